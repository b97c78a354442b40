"""What pyproject.toml promises."""

import ast
import re
import tomllib
from collections.abc import Iterator

import pytest

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


SHARED_NAMES = {
    # The event of PyPI's indipydriver, and the message of the protocol that it tells of.
    "Message": {"indipydriver/events.py", "indipydriver/protocol/messages.py"},
}


def test_each_class_of_the_core_packages_has_a_name_of_its_own():
    where: dict[str, list[str]] = {}
    for package in ("indipydriver", "indipyserver"):
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    where.setdefault(node.name, []).append(file.relative_to(ROOT).as_posix())
    shared = {name: files for name, files in where.items() if len(files) > 1}
    assert {name: files for name, files in shared.items() if set(files) != SHARED_NAMES.get(name)} == {}
    assert shared.keys() == SHARED_NAMES.keys(), "an exception that is not needed any more"


def _constants(text: str) -> Iterator[str]:
    """The names in capitals at the top of a module, without the underscore of a private one.

    Type variables are not counted, nor are private texts: they are short names for names of properties, groups and the
    like, and the same short name may well mean another property in another instrument.
    """
    for node in ast.parse(text).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            several = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
            pairs = zip(target.elts, node.value.elts, strict=True) if several else [(target, node.value)]
            for name, value in pairs:
                if not (isinstance(name, ast.Name) and re.fullmatch("_*[A-Z][A-Z0-9_]*", name.id)):
                    continue
                is_text = isinstance(value, ast.JoinedStr) or isinstance(getattr(value, "value", None), str)
                is_type = isinstance(value, ast.Call) and ast.unparse(value.func) in ("TypeVar", "ParamSpec")
                if not (is_type or (is_text and name.id.startswith("_"))):
                    yield name.id.lstrip("_")


def test_each_constant_of_the_core_packages_has_a_name_of_its_own():
    where: dict[str, set[str]] = {}
    for package in ("indipydriver", "indipyserver"):
        for file in sorted((ROOT / package).rglob("*.py")):
            for name in _constants(file.read_text(encoding="utf-8")):
                where.setdefault(name, set()).add(file.relative_to(ROOT).as_posix())
    assert len(where) > 400
    assert {name: files for name, files in where.items() if len(files) > 1} == {}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("MOST = 1\n_MOST: Final = 2", ["MOST", "MOST"]),
        ("_LEAST, MOST = 1, 2\nBOTH = ENDS = {}\nfirst, REST = call()", ["LEAST", "MOST", "BOTH", "ENDS"]),
        ("_ABORT, _LIMITS = 'CAP_ABORT', (1, 2)\n_TITLE: Final = f'{x}'\nTITLE: Final = ''", ["LIMITS", "TITLE"]),
        ("_T = TypeVar('_T')\n_P = ParamSpec('_P')\nlogger = 1\ndef f():\n    MOST = 1", []),
    ],
)
def test_what_counts_as_a_constant(text, names):
    assert list(_constants(text)) == names


@pytest.mark.parametrize("package", ["indipydriver", "indipyserver"])
def test_the_architecture_page_has_a_line_for_each_module_and_folder(package):
    page = (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
    table = page.partition(f"\n| in `{package}` |")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    named = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    there = {path.stem for path in (ROOT / package).glob("*.py")} | {
        path.name for path in (ROOT / package).iterdir() if next(path.glob("*.py"), None)
    }
    assert sorted(named) == sorted(there - {"__init__", "__main__"})
