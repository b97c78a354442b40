"""The recorded traffic is what was recorded: not a byte of it may change on the way into a checkout."""

import hashlib
import json
from pathlib import Path

import pytest

CAPTURES = Path(__file__).parents[1] / "fixtures" / "captures"
INDEX = json.loads((CAPTURES / "index.json").read_text(encoding="utf-8"))["files"]


@pytest.mark.parametrize("name", INDEX)
def test_it_is_unchanged(name):
    data = (CAPTURES / name).read_bytes()
    assert len(data) == INDEX[name]["bytes"]
    assert hashlib.sha256(data).hexdigest() == INDEX[name]["sha256"]


def test_every_file_is_in_the_index():
    files = {path.relative_to(CAPTURES).as_posix() for path in CAPTURES.rglob("*") if path.is_file()}
    assert files - {"README.md", "index.json", "client_indi_tools.json"} == set(INDEX)
