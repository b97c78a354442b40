"""What pyproject.toml promises."""

import tomllib

import indipyclient
import indipydriver
import indipyserver
import indipyterm
import indipyweb
from tests.support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


COMPANIONS = ("indipyclient", "indipyterm", "indipyweb", "indiredis", "indimqttredis")


def test_one_version():
    assert indipyclient.version == indipyterm.version == indipyweb.version == PROJECT["version"]
    assert indipydriver.version == indipyserver.version == PROJECT["version"]


def test_nothing_is_required():
    assert PROJECT["dependencies"] == []


def test_all_packages_say_that_they_are_typed():
    assert all(
        (ROOT / package / "py.typed").exists()
        for package in ("indipydriver", "indipyserver", *(f"companions/{name}" for name in COMPANIONS))
    )


def test_the_changes_of_this_version_are_listed():
    assert f"\n## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_top_level_holds_what_belongs_there():
    expected = {"indipydriver", "indipyserver", "companions", "examples", "tests", "docs"}
    expected |= {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"}
    there = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert there - {"build", "dist", "htmlcov"} <= expected
    assert expected <= there
