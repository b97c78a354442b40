"""The pages name every option, setting and key, and the pictures are shown."""

import re
import tomllib
from dataclasses import fields

import pytest

pytest.importorskip("textual", reason="the terminal client needs the extra term")

from indipyterm.cli import build_parser
from indipyterm.keymap import ACTIONS
from indipyterm.settings import Settings, load
from tests.support import ROOT

REFERENCE = (ROOT / "docs/reference/terminal.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs/how-to/terminal.md").read_text(encoding="utf-8")
PICTURES = ROOT / "docs/how-to/terminal"


def test_every_option_is_in_the_reference():
    for action in build_parser()._actions:
        for option in action.option_strings:
            assert f"`{option}" in REFERENCE


def test_every_action_is_in_the_reference_with_its_keys():
    rows = dict(re.findall(r"^\| `([\w.-]+)` \| `(.*)` \| .* \|$", REFERENCE, re.M))
    for action in ACTIONS:
        if action.id.rpartition(".")[2].isdigit() and not action.id.endswith(".1"):
            continue
        assert rows.pop(action.id).replace("` `", ",") == action.keys
    assert rows == {}


def test_the_settings_of_the_reference_are_read(tmp_path):
    text = re.search(r"```toml\n(.*?)```", REFERENCE, re.S)[1]
    names = {field.name for field in fields(Settings)} - {"wrong"}
    assert set(tomllib.loads(text)) == names
    path = tmp_path / "settings.toml"
    path.write_text(text)
    found = load(path)
    assert found.wrong == []
    assert found.theme == "night"
    assert found.keys == {"value.plot": "ctrl+t", "value.send": "s,f5"}


def test_every_picture_is_there():
    shown = set(re.findall(r"\]\(terminal/([\w-]+\.svg)\)", GUIDE))
    assert shown <= {path.name for path in PICTURES.glob("*.svg")}
    for path in PICTURES.glob("*.svg"):
        text = path.read_text(encoding="utf-8")
        assert "http" not in text.replace("http://www.w3.org", "").replace("https://www.textualize.io", "")
        assert path.name in shown, f"{path.name} is not shown"
