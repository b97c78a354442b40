"""The command goes on, and ends, while nobody reads its log: Ctrl-S, a frozen ssh, a stuck pager."""

import asyncio
import contextlib
import os
import re
import shlex
import signal
import sys
from pathlib import Path

import pytest

from indipydriver.transport.signals import AGAIN
from tests.support import (
    ROOT,
    IndiClient,
    asynchronous,
    eventually,
    match,
    new_vector,
    started,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")

COMMAND = (sys.executable, "-m", "indipyserver")
SERVE = (*COMMAND, "-vvv", "-p", "0", "--no-unix-socket", "examples.led:make_driver")
BUSY = """
import time

def make_driver():
    print("busy", flush=True)
    time.sleep(60)
"""
SLOW = """
import asyncio
from indipydriver import IPyDriver

class Slow(IPyDriver):
    async def hardware(self):
        await self.shutdownrequested.wait()
        print("slow", flush=True)
        await asyncio.sleep(60)

def make_driver():
    return Slow()
"""


class Pipe:
    """Standard error as a pipe."""

    def __init__(self, path: Path) -> None:
        self.name = str(path / "pipe")
        os.mkfifo(self.name)
        self.fd = os.open(self.name, os.O_RDWR | os.O_NONBLOCK)
        self.text = ""

    def read(self) -> str:
        """All that has come so far."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.fd, 1 << 16):
                self.text += data.decode(errors="replace")
        return self.text

    def stop(self) -> None:
        """From now on it takes nothing."""
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.fd, b"-" * 512)

    def resume(self) -> None:
        """To be read again."""

    def close(self) -> None:
        os.close(self.fd)


class Terminal(Pipe):
    """Standard error as a terminal, with Ctrl-S to stop it and Ctrl-Q to go on."""

    def __init__(self, path: Path) -> None:
        self.fd, self._other = os.openpty()
        os.set_blocking(self.fd, False)
        self.name = os.ttyname(self._other)
        self.text = ""

    def stop(self) -> None:
        import termios

        termios.tcflow(self._other, termios.TCOOFF)

    def resume(self) -> None:
        import termios

        termios.tcflow(self._other, termios.TCOON)

    def close(self) -> None:
        os.close(self._other)
        os.close(self.fd)


def logging_to(where: Pipe, *command: str):
    return started("sh", "-c", f"exec {shlex.join(command)} 2>{shlex.quote(where.name)}", cwd=ROOT)


async def port_of(where: Pipe) -> int:
    await eventually(lambda: re.search(r"serving .* port \d+.*\n", where.read()), timeout=20)
    return int(re.search(r"serving .* port (\d+)", where.text)[1])


@pytest.fixture(params=[Pipe, Terminal], ids=["pipe", "terminal"])
def where(request, tmp_path):
    with contextlib.closing(request.param(tmp_path)) as made:
        yield made


@asynchronous
async def test_it_serves_while_nobody_reads_its_log(where):
    """The first line that did not fit stopped the whole server."""
    with logging_to(where, *SERVE) as program:
        async with IndiClient(await port_of(where)) as client:
            await client.get_properties()
            await client.expect(match("defSwitchVector", device="LED"))
            where.read()
            where.stop()
            for state in ("On", "Off", "On"):
                await client.send(new_vector("Switch", "LED", "LIGHT", LAMP=state))
                await client.expect(match("setSwitchVector", device="LED", name="LIGHT"), timeout=5)
            where.text = ""
            where.resume()
            await eventually(lambda: where.read().count("sent <setSwitchVector> LED.LIGHT") == 3)
        program.signal(signal.SIGTERM)
        await eventually(lambda: "SIGTERM" in where.read())
        assert await program.wait() == 143


@asynchronous
async def test_it_ends_though_nobody_reads_why(where):
    with logging_to(where, *SERVE) as program:
        await port_of(where)
        where.stop()
        program.signal(signal.SIGTERM)
        assert await program.wait(5) == 143


@asynchronous
async def test_it_ends_at_once_though_nobody_reads_why(where, tmp_path):
    path = tmp_path / "busy.py"
    path.write_text(BUSY)
    with logging_to(where, *COMMAND, "-vvv", "-p", "0", "--no-unix-socket", f"{path}:make_driver") as program:
        where.stop()
        await eventually(lambda: "busy" in program.stdout(), timeout=20)
        program.signal(signal.SIGTERM)
        await asyncio.sleep(1.1 * AGAIN)
        program.signal(signal.SIGTERM)
        assert await program.wait(5) == 143


@asynchronous
async def test_a_check_ends_though_nobody_reads_why(where):
    where.stop()
    with logging_to(where, *COMMAND, "--check", "no-such-program") as program:
        assert await program.wait(10) == 2


@asynchronous
async def test_the_last_lines_before_an_end_at_once_are_written_if_somebody_reads(where, tmp_path):
    path = tmp_path / "slow.py"
    path.write_text(SLOW)
    with logging_to(where, *COMMAND, "-p", "0", "--no-unix-socket", f"{path}:make_driver") as program:
        await port_of(where)
        where.stop()
        program.signal(signal.SIGTERM)
        await eventually(lambda: "slow" in program.stdout())
        await asyncio.sleep(1.1 * AGAIN)
        program.signal(signal.SIGTERM)
        where.resume()
        await eventually(lambda: "SIGTERM: the server is stopping" in where.read())
        assert await program.wait(5) == 143
