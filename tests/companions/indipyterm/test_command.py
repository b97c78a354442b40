"""The command: its options, the verbs it hands on, and what it says where the extra is not installed."""

import importlib.util
import os
import re
import subprocess
import sys

import pytest

from indipyclient.cli.main import VERBS
from indipyterm import cli
from tests.support import ROOT, asynchronous, run

PATH = os.pathsep.join(map(str, (ROOT / "companions", ROOT)))

HELP = """\
usage: indipyterm [options]

Terminal client to communicate to an INDI service.

options:
  -h, --help            show this help message and exit
  --port PORT           Port of the INDI server (default 7624).
  --host HOST           Hostname/IP of the INDI server (default localhost).
  --blobfolder BLOBFOLDER
                        Optional folder where BLOB's will be saved.
  --version             show program's version number and exit
"""


def command(*arguments, **env):
    return run(sys.executable, "-m", "indipyterm", *arguments, PYTHONPATH=PATH, COLUMNS="80", **env)


@asynchronous
async def test_the_help_has_the_texts_that_people_know():
    done = await command("--help")
    assert done.returncode == 0
    words = re.sub(r"\s+", " ", done.stdout)
    assert words.startswith(re.sub(r"\s+", " ", HELP))


@asynchronous
async def test_the_version():
    from indipyterm import version

    done = await command("--version")
    assert (done.returncode, done.stdout) == (0, f"{version}\n")


@asynchronous
async def test_options_that_cannot_be(tmp_path):
    done = await command("--blobfolder", str(tmp_path / "none"))
    assert done.returncode == 1
    assert "is not a folder" in done.stderr
    assert (await command("--port", "0")).returncode == 2
    assert (await command("--port", "x")).returncode == 2
    assert (await command("nonsense")).returncode == 2


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_are_handed_on(verb, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([verb, "--help"])
    assert end.value.code == 0
    assert f"usage: indipyclient {verb}" in capsys.readouterr().out


@asynchronous
async def test_verbs_do_not_load_textual():
    code = "import sys; from indipyterm.cli import main; main(['devices', '-s', '127.0.0.1:1']); print('textual' in sys.modules)"
    done = await run(sys.executable, "-c", code, PYTHONPATH=PATH)
    assert done.stdout.strip() == "False"


@asynchronous
async def test_without_the_extra_one_line_says_how_to_install_it():
    code = """
import sys
sys.modules["textual"] = None
sys.modules["rich"] = None
import importlib.util
find = importlib.util.find_spec
from indipyterm import cli
cli.find_spec = lambda name: None if name in cli.NEEDED else find(name)
sys.exit(cli.main([]))
"""
    done = await run(sys.executable, "-c", code, PYTHONPATH=PATH)
    assert done.returncode == 2
    assert done.stderr == "indipyterm needs more packages: pip install 'indipydriver[term]'\n"


@pytest.mark.skipif(importlib.util.find_spec("textual") is None, reason="the terminal client needs the extra term")
@asynchronous
async def test_what_is_no_terminal_is_told():
    done = await command()
    assert done.returncode == 2
    assert done.stderr == "indipyterm: this is not a terminal; for scripts there are indipyterm get, set and watch\n"
    done = await run(sys.executable, "-m", "indipyclient", PYTHONPATH=PATH)
    assert "this is not a terminal" in done.stderr


def test_the_class_has_the_arguments_of_the_contract():
    pytest.importorskip("textual", reason="the terminal client needs the extra term")
    import inspect

    from indipyterm import IPyTerm

    found = list(inspect.signature(IPyTerm).parameters.values())
    assert [(p.name, p.default) for p in found[:3]] == [("host", "localhost"), ("port", 7624), ("blobfolder", None)]
    with pytest.raises(ValueError, match="no folder"):
        IPyTerm(blobfolder="/no/such")
    with pytest.raises(ValueError, match="port"):
        IPyTerm(port=70000)


def test_importing_the_package_needs_nothing():
    code = "import sys; sys.modules['textual'] = None; import indipyterm; print(indipyterm.version)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20, env={**os.environ, "PYTHONPATH": PATH})


@pytest.mark.parametrize("stream", ["stdin", "stdout", "stderr"])
@pytest.mark.parametrize("gone", [False, True])
def test_where_one_stream_is_no_terminal_that_is_told(stream, gone, monkeypatch, capsys):
    pytest.importorskip("textual")
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(getattr(sys, name), "isatty", lambda name=name: name != stream, raising=False)
    if gone:
        monkeypatch.setattr(sys, stream, None)
    assert cli.main([]) == 2
    told = capsys.readouterr()
    assert "this is not a terminal" in (told.err if stream == "stdout" else told.out)


def test_a_port_in_the_environment_that_is_none(monkeypatch, capsys):
    pytest.importorskip("textual")
    monkeypatch.setenv("INDI_PORT", "abc")
    assert cli.main([]) == 2
    assert "INDI_PORT: not a port: abc" in capsys.readouterr().err
