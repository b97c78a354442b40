"""The command ``indipyserver ctl``, and a server with ``--control``, as processes."""

import contextlib
import json
import os
import re
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from indipyserver.cli.ctl import run_ctl
from indipyserver.cli.main import main
from tests.support import ROOT, Program, asynchronous, eventually, run, started

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no local sockets here")

COMMAND = (sys.executable, "-m", "indipyserver")
LONG = 30


@contextlib.asynccontextmanager
async def server(*words: str, **env: str) -> AsyncIterator[tuple[Program, int]]:
    """A server process, and its port."""
    with started(*COMMAND, "--no-unix-socket", "-p", "0", *words, cwd=ROOT, **env) as program:
        await eventually(lambda: "serving" in program.stderr() or program.process.poll() is not None, timeout=LONG)
        found = re.search(r"serving .* port (\d+)", program.stderr())
        assert found, program.stderr()
        yield program, int(found[1])


async def ctl(*words: str, **env: str) -> tuple[int, str, str]:
    result = await run(*COMMAND, "ctl", *words, timeout=LONG, cwd=ROOT, **env)
    return result.returncode, result.stdout, result.stderr


@asynchronous
async def test_from_beginning_to_end(tmp_path: Path) -> None:
    (tmp_path / "pairs.py").write_text(
        "from tests.support.drivers import echo_driver\ndef dome(): return echo_driver('Dome')\n"
    )
    path, word = str(tmp_path / "control"), f"{tmp_path}/pairs.py:dome"
    async with server(f"--control={path}") as (program, port):
        assert "nothing yet (" in program.stderr()
        assert "ctl add DRIVER" in program.stderr()
        status, out, _ = await ctl("--socket", path, "add", word)
        assert (status, out) == (0, "1  Echo (Dome): running\n")
        status, out, _ = await ctl("drivers", "--socket", path)
        assert status == 0
        assert re.search(r"^1 +running .* Echo \(Dome\) +Dome$", out, re.M)
        status, out, _ = await ctl("status", "--json", "--socket", path)
        assert json.loads(out)["port"] == port
        status, out, _ = await ctl("stop", "Dome", "--socket", path)
        assert (status, out) == (0, "Echo (Dome): stopped\n")
        status, out, err = await ctl("--socket", path, "start", "Mount")
        assert (status, out) == (1, "")
        assert "'Mount' is not served" in err
        status, out, err = await ctl("--socket", path, "add", "no-such-program")
        assert (status, out) == (1, "2  driver no-such-program: ended\n")
        assert "cannot be started" in err
        status, out, _ = await ctl("--socket", path, "log", "2")
        assert "cannot be started" in out
        status, out, _ = await ctl("--socket", path, "remove", "1", "2")
        assert out == "Echo (Dome): removed\ndriver no-such-program: removed\n"
        status, out, _ = await ctl("--socket", path, "add", "kein-Gerät", PYTHONIOENCODING="ascii")
        assert (status, out) == (1, "3  driver kein-Ger\\xe4t: ended\n")
        assert program.process.poll() is None, "it waits for further ones"
        program.interrupt()
        await program.wait(LONG)
    assert not os.path.exists(path)


@asynchronous
async def test_the_server_is_found_by_its_port(tmp_path: Path) -> None:
    env = {"XDG_RUNTIME_DIR": str(tmp_path)}
    (tmp_path / "drivers.toml").write_text("control = true\n")
    for words in (["--control"], ["--config", str(tmp_path / "drivers.toml")]):
        async with server(*words, **env) as (_, port):
            status, out, _ = await ctl("--port", str(port), "clients", **env)
            assert (status, out) == (0, "nobody is connected\n")
            status, out, _ = await ctl("drivers", "--port", str(port), **env)
            assert (status, out) == (0, "nothing is served\n")


@asynchronous
async def test_changes_as_lines(tmp_path: Path) -> None:
    path = str(tmp_path / "control")
    async with server(f"--control={path}"):
        with started(*COMMAND, "ctl", "--socket", path, "follow", cwd=ROOT) as following:
            await eventually(lambda: "0 drivers and links, 0 clients" in following.stdout(), timeout=LONG)
            await ctl("--socket", path, "add", "no-such-program")
            await eventually(lambda: "driver no-such-program: ended" in following.stdout(), timeout=LONG)
            following.interrupt()
            assert await following.wait(LONG) == 130
            assert following.stderr() == ""


@asynchronous
async def test_nobody_there(tmp_path: Path) -> None:
    path = str(tmp_path / "control")
    status, out, err = await ctl("--socket", path, "status")
    assert (status, out) == (3, "")
    assert err.startswith(f"no server can be controlled at {path}: No such file")
    assert err.endswith("has it been started with --control?\n")
    assert err.count("\n") == 1
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    status, out, err = await ctl("--socket", path, "status")
    assert (status, out) == (3, "")
    assert "Connection refused" in err


@pytest.mark.parametrize(
    "words",
    [
        "", "dance", "start", "stop", "log -n 0", "log -n x", "--port 0 status", "--port 70000 status", "add",
        "add x y", "status x", "drivers --log",
    ],
)  # fmt: skip
def test_wrong_usage(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_ctl(words.split()) == 2
    assert "usage: indipyserver ctl" in capsys.readouterr().err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ctl", "--help"]) == 0
    out = capsys.readouterr().out
    assert "examples:" in out
    assert "%(" not in out
    for command in "status drivers clients log start stop restart remove add follow".split():
        assert f"    {command} " in out
        assert main(["ctl", command, "--help"]) == 0


@pytest.mark.parametrize(
    ("words", "drivers", "control"),
    [
        (["--control", "indi_a"], ["indi_a"], True),
        (["--control"], [], True),
        (["indi_a", "--control"], ["indi_a"], True),
        (["--control", "@host"], ["@host"], True),
        (["--control", "/no/such/control", "indi_a"], ["indi_a"], "/no/such/control"),
        (["--control=here", "indi_a"], ["indi_a"], "here"),
        (["--control", "/bin/sh"], ["/bin/sh"], True),
        (["--control", "./drivers.py:make"], ["./drivers.py:make"], True),
        (["indi_a"], ["indi_a"], False),
    ],
)
def test_a_path_behind_control(
    words: list[str], drivers: list[str], control: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from indipyserver.cli import serving

    seen: dict[str, Any] = {}

    class Server:
        def __init__(self, **options: Any) -> None:
            seen.update(options)
            raise OSError("enough")

    monkeypatch.setattr(serving, "IPyServer", Server)
    monkeypatch.setattr(serving, "serve", lambda options, _: seen.update(drivers=options.drivers, given=options) or 0)
    assert main(["--no-unix-socket", *words]) == 0
    assert [spec.text for spec in seen["drivers"]] == drivers
    with pytest.raises(OSError, match="enough"):
        serving._Run(seen["given"], serving.Access(seen["given"]), "indipyserver", [], lambda: None)
    assert seen["control"] == (os.path.abspath(control) if isinstance(control, str) else control)
