"""A driver whose standard input or output was closed by whoever started it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support import asynchronous, run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")

PROGRAM = """
import asyncio
port = open({path!r}, "r+b", buffering=0)  # takes the first free number: 0 or 1, if one of them is closed
import indipydriver as ipd

class Driver(ipd.IPyDriver):
    async def hardware(self):
        await self.send_message("hello")

driver = Driver(ipd.Device("D", []))
driver.shutdown_grace = 0.2
asyncio.run(driver.asyncrun())
"""


@pytest.mark.parametrize("redirection", [">&-", "<&-", "<&- >&-"])
@asynchronous
async def test_it_refuses_to_run_and_touches_no_file_that_has_the_number(redirection: str, tmp_path: Path) -> None:
    port = tmp_path / "serial port"
    port.write_bytes(b"untouched")
    program = tmp_path / "driver.py"
    program.write_text(PROGRAM.format(path=str(port)))
    done = await run("sh", "-c", f'"{sys.executable}" "{program}" {redirection}')
    assert port.read_bytes() == b"untouched"
    assert done.returncode == 1
    assert "closed, and a driver needs it to talk to its server" in done.stderr


@asynchronous
async def test_it_runs_when_both_are_there(tmp_path: Path) -> None:
    port = tmp_path / "serial port"
    port.write_bytes(b"untouched")
    program = tmp_path / "driver.py"
    program.write_text(PROGRAM.format(path=str(port)))
    done = await run("sh", "-c", f'printf "<getProperties version=\'1.7\'/>" | "{sys.executable}" "{program}"')
    assert port.read_bytes() == b"untouched"
    assert "hello" in done.stdout
