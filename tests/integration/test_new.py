"""indipyserver --new: what it writes works as it is."""

import os
import subprocess
import sys

import pytest

from indipyserver.cli.main import main
from indipyserver.cli.new import KINDS
from indipyserver.cli.options import build_parser
from tests.support import ROOT


def python(*arguments, cwd):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(cwd), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=50, check=False)


def test_new_drivers_pass_their_tests_and_the_checker(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for kind in KINDS:
        assert main(["--new", kind, f"my_{kind}.py"]) == 0
        assert f"indipyserver --check my_{kind}.py:make_driver" in capsys.readouterr().out
    tested = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, ".", cwd=tmp_path)
    assert f"{len(KINDS)} passed" in tested.stdout, tested.stdout
    linted = python("-m", "ruff", "check", "--isolated", "--select=E,F,I", "--line-length=120", ".", cwd=tmp_path)
    assert linted.returncode == 0, linted.stdout
    formed = python("-m", "ruff", "format", "--isolated", "--line-length=120", "--check", ".", cwd=tmp_path)
    assert formed.returncode == 0, formed.stdout
    names = [f"my_{kind}" for kind in KINDS]
    together = (
        "import importlib\n\ndef make():\n    return [importlib.import_module(name).make_driver() for name in %r]\n"
    )
    (tmp_path / "together.py").write_text(together % names)
    checked = python("-m", "indipyserver", "--check", "together.py:make", cwd=tmp_path)
    assert "fine: 0 errors, 0 warnings, 0 notes" in checked.stdout, checked.stdout


def test_the_kinds_are_in_the_help():
    assert f"KIND: {', '.join(sorted(KINDS))}" in " ".join(build_parser().format_help().split())


def test_nothing_is_overwritten(tmp_path, capsys):
    path = tmp_path / "led.py"
    path.write_text("mine")
    assert main(["--new", "focuser", str(path)]) == 2
    assert capsys.readouterr().err == f"{path} exists already\n"
    assert path.read_text() == "mine"
    assert [file.name for file in tmp_path.iterdir()] == ["led.py"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--new", "telescope", "x.py"], "'telescope' must be one of focuser"),
        (["--new", "focuser", "my-focuser.py"], "must be a name such as my_focuser.py"),
        (["--new", "focuser", "focuser"], "must be a name such as my_focuser.py"),
        (["--new", "focuser", "x.py", "indi_x"], "it takes no DRIVER"),
        *((["--new", "focuser", f"{name}.py"], "must be a name such as") for name in ("class", "None", "caf\u00e9")),
        *(
            (["--new", "focuser", f"{name}.py"], f"would hide the module {name!r}")
            for name in ("asyncio", "random", "sys", "indipydriver", "pytest", "conftest", "_pytest", "__init__")
        ),
        (["--new", "focuser", "nodir/x.py"], "nodir/x.py cannot be written: No such file or directory"),
        (["--new", "focuser", f"{'x' * 64}.py"], "is too long: the name of a device has at most 63"),
    ],
)
def test_what_cannot_be_written_is_said(arguments, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_names_follow_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file, name in (
        ("focuser.py", "class MyFocuser(Focuser)"),
        ("none.py", "class MyNone(Focuser)"),
        ("_2x.py", "class My2x(Focuser)"),
        ("big_2nd.py", "class Big2nd(Focuser)"),
    ):
        assert main(["--new", "focuser", file]) == 0
        assert name in (tmp_path / file).read_text()
        compile((tmp_path / file).read_text(), file, "exec")
    assert 'NAME = "Big2nd"' in (tmp_path / "test_big_2nd.py").read_text()
