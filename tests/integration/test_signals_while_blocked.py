"""A driver that holds up the event loop, as with a serial port that never answers, does not hold up the end."""

import asyncio
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support import ROOT, Program, asynchronous, eventually, started

COMMAND = (sys.executable, "-m", "indipyserver", "-p", "0", "--no-unix-socket")
AT_ITS_START = """
    import time

    def make_driver():
        print("blocked", flush=True)
        time.sleep(60)
"""
LATER = """
    import time
    from indipydriver import IPyDriver

    class Blocking(IPyDriver):
        async def hardware(self):
            print("blocked", flush=True)
            time.sleep(60)

    def make_driver():
        return Blocking()
"""
SERVER = """
    import asyncio
    from indipyserver import IPyServer

    asyncio.run(IPyServer(make_driver(), host="127.0.0.1", port=0).asyncrun())
"""

DRIVER = """
    make_driver().run()
"""


def said(program: Program) -> str:
    """What it has printed: a driver that is the whole program prints to standard error."""
    return program.stdout() + program.stderr()


async def insist(program: Program, number: int) -> int:
    """Send it a signal again and again, as a person does; returns how it has ended."""
    await eventually(lambda: "blocked" in said(program), timeout=20)
    async with asyncio.timeout(10):
        while program.process.poll() is None:
            program.signal(number)
            await asyncio.sleep(0.1)
    return await program.wait()


@pytest.mark.skipif(sys.platform == "win32", reason="its event loop handles no signals")
@pytest.mark.parametrize(
    "text",
    [AT_ITS_START, LATER, LATER.replace("time.sleep(60)", "__import__('threading').Event().wait()")],
    ids=["at its start", "later", "in a lock"],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@asynchronous
async def test_a_second_signal_ends_the_command(tmp_path: Path, text: str, number: signal.Signals) -> None:
    path = tmp_path / "blocking.py"
    path.write_text(textwrap.dedent(text))
    with started(*COMMAND, f"{path}:make_driver", cwd=ROOT) as program:
        assert await insist(program, number) == 128 + number


@pytest.mark.skipif(sys.platform == "win32", reason="its event loop handles no signals")
@asynchronous
async def test_a_second_sigterm_ends_a_check(tmp_path: Path) -> None:
    path = tmp_path / "blocking.py"
    path.write_text(
        textwrap.dedent(AT_ITS_START.replace("flush=True", "file=sys.stderr").replace("time", "sys, time", 1))
    )
    with started(*COMMAND[:3], "--check", f"{path}:make_driver", cwd=ROOT) as program:
        assert await insist(program, signal.SIGTERM) == -signal.SIGTERM


@pytest.mark.skipif(sys.platform == "win32", reason="its event loop handles no signals")
@pytest.mark.parametrize(
    "call",
    ["time.sleep(60)", "os.read(os.pipe()[0], 1)", "threading.Event().wait()"],
    ids=["a call", "a read", "a lock"],
)
@pytest.mark.parametrize("by", ["script", "driver"])
@asynchronous
async def test_a_second_sigterm_ends_what_runs_a_driver_alone(by: str, call: str) -> None:
    text = LATER.replace("import time", "import os, threading, time").replace("time.sleep(60)", call)
    words = (sys.executable, "-c", textwrap.dedent(text) + textwrap.dedent(SERVER if by == "script" else DRIVER))
    with started(*words, cwd=ROOT, stdin=subprocess.PIPE) as program:
        assert await insist(program, signal.SIGTERM) == -signal.SIGTERM


ORDERLY = """
    import asyncio, time
    from indipydriver import IPyDriver

    class Orderly(IPyDriver):
        async def hardware(self):
            print("blocked", flush=True)
            time.sleep(HELD_UP)
            await self.shutdownrequested.wait()
            await asyncio.sleep(0.3)
            print("parked", flush=True)

    def make_driver():
        return Orderly()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="its event loop handles no signals")
@pytest.mark.parametrize("held_up", [1, 0])
@pytest.mark.parametrize("by", ["command", "script", "driver"])
@asynchronous
async def test_two_signals_in_one_moment_are_one(tmp_path: Path, by: str, held_up: int) -> None:
    """timeout(1) sends it to the process and to its group, and a terminal that is closed to both too."""
    path = tmp_path / "orderly.py"
    orderly = textwrap.dedent(ORDERLY.replace("HELD_UP", str(held_up)))
    path.write_text(orderly)
    words = [*COMMAND, f"{path}:make_driver"]
    if by != "command":
        words = [sys.executable, "-c", orderly + textwrap.dedent(SERVER if by == "script" else DRIVER)]
    with started(*words, cwd=ROOT, stdin=subprocess.PIPE) as program:
        await eventually(lambda: "blocked" in said(program), timeout=20)
        for _ in range(2):
            program.signal(signal.SIGTERM)
            await asyncio.sleep(0.02)  # one that waits takes another in
        assert await program.wait() == (0 if by == "driver" else 143)
        assert "parked" in said(program)


QUICK = """
    import indipydriver.transport.signals as signals

    signals.HELD_UP = 0.3
"""


@pytest.mark.skipif(sys.platform == "win32", reason="its event loop handles no signals")
@pytest.mark.parametrize("text", [AT_ITS_START, LATER], ids=["at its start", "later"])
@asynchronous
async def test_one_signal_names_what_blocks_and_the_command_ends_without_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "blocking.py"
    path.write_text(textwrap.dedent(QUICK + text))
    name = "make_driver" if text is AT_ITS_START else "hardware"
    line = path.read_text().splitlines().index(" " * (4 if text is AT_ITS_START else 8) + "time.sleep(60)") + 1
    with started(*COMMAND, f"{path}:make_driver", cwd=ROOT) as program:
        await eventually(lambda: "blocked" in said(program), timeout=20)
        program.signal(signal.SIGTERM)
        assert await program.wait() == 143
        told = f"SIGTERM: the event loop is held up, so nothing can be stopped: it is at blocking.py:{line} in {name}; "
        assert told in program.stderr()


@pytest.mark.skipif(sys.platform == "win32", reason="its event loop handles no signals")
@pytest.mark.parametrize("by", ["script", "driver"])
@asynchronous
async def test_one_sigterm_names_what_blocks_a_script_which_goes_on_waiting(by: str) -> None:
    words = (
        sys.executable,
        "-c",
        textwrap.dedent(QUICK) + textwrap.dedent(LATER) + textwrap.dedent(SERVER if by == "script" else DRIVER),
    )
    with started(*words, cwd=ROOT, stdin=subprocess.PIPE) as program:
        await eventually(lambda: "blocked" in said(program), timeout=20)
        program.signal(signal.SIGTERM)
        await eventually(lambda: "in hardware; send it again to end it at once" in program.stderr(), timeout=20)
        assert program.process.poll() is None
        assert await insist(program, signal.SIGTERM) == -signal.SIGTERM


@pytest.mark.skipif(sys.platform == "win32", reason="its event loop handles no signals")
@asynchronous
async def test_a_loop_that_goes_on_within_the_time_ends_as_usual(tmp_path: Path) -> None:
    """It has been named, and the drivers have their time nevertheless."""
    path = tmp_path / "orderly.py"
    path.write_text(textwrap.dedent(QUICK.replace("0.3", "2.0") + ORDERLY.replace("HELD_UP", "3")))
    with started(*COMMAND, f"{path}:make_driver", cwd=ROOT) as program:
        await eventually(lambda: "blocked" in program.stdout(), timeout=20)
        program.signal(signal.SIGTERM)
        assert await program.wait() == 143
        assert "held up" in program.stderr()
        assert "parked" in program.stdout()
