"""The pages name every option and route, with who may use it, and the pictures are shown."""

import re

import pytest

pytest.importorskip("starlette", reason="the web client needs the extra web")

from indipyweb.cli import build_parser
from indipyweb.security.permissions import RULES
from tests.support import ROOT

REFERENCE = (ROOT / "docs/reference/web.md").read_text(encoding="utf-8")
PICTURES = ROOT / "docs/how-to/web"
PAGES = [ROOT / "docs/how-to/web.md", ROOT / "docs/tutorials/web.md"]


def test_every_option_is_in_the_reference():
    for action in build_parser()._actions:
        for option in action.option_strings:
            assert f"`{option}" in REFERENCE, option


def test_every_route_is_in_the_reference_with_its_rule():
    rows = re.findall(r"^\| `(GET|POST) (\S+)` \| (\w+) \| .+ \|$", REFERENCE, re.M)
    assert {(method, path): need for method, path, need in rows} == {key: need.value for key, need in RULES.items()}
    assert len(rows) == len(RULES)


def test_every_picture_is_there_and_shown():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    shown = set(re.findall(r"\]\((?:\.\./how-to/)?web/([\w-]+\.png)\)", text))
    assert shown == {path.name for path in PICTURES.glob("*.png")}
    for path in PICTURES.glob("*.png"):
        assert path.stat().st_size < 150_000
