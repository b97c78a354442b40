"""The drivers that the documentation shows: short, and without fault for the checker."""

import asyncio
import importlib.util
import os
import pty
import subprocess
import sys

import pytest

from indipydriver.testing import DriverHarness, run
from tests.support import ROOT

SNIPPETS = ROOT / "docs" / "snippets"
MINIMAL = sorted(SNIPPETS.glob("minimal_*.py"))


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", MINIMAL, ids=lambda path: path.stem)
def test_a_minimal_driver_is_short(path):
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) <= 25


TOGETHER = """
import importlib
from indipydriver.instruments import InstrumentDriver, simulators

def minimal():
    return [importlib.import_module(name).make_driver() for name in {names}]

def simulated():
    kinds = [getattr(simulators, name) for name in simulators.__all__ if name.endswith("Simulator")]
    return InstrumentDriver(*(kind() for kind in kinds if kind is not simulators.Simulator))
"""


@pytest.mark.parametrize(("function", "notes"), [("minimal", True), ("simulated", False)])
def test_the_checker_finds_nothing(function, notes, home):
    """All in one process, which takes much less time than one for each."""
    together = home / "together.py"
    together.write_text(TOGETHER.format(names=[path.stem for path in MINIMAL]))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, SNIPPETS))), "HOME": str(home)}
    command = [sys.executable, "-m", "indipyserver", "--check", f"{together}:{function}"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=55, check=False)
    assert "fine: 0 errors, 0 warnings" in done.stdout, done.stdout + done.stderr
    assert not notes or "0 notes" in done.stdout, done.stdout


def test_the_focuser_on_a_serial_port():
    position, target = 1000, 1000

    def answer(ours):
        nonlocal position, target
        for command in os.read(ours, 100).decode().split():
            match command[0]:
                case "P":
                    position += max(-500, min(500, target - position))
                    os.write(ours, b"%d\n" % position)
                case "M":
                    target = int(command[1:])
                case "S":
                    target = position

    async def session():
        ours, theirs = pty.openpty()
        loop = asyncio.get_running_loop()
        loop.add_reader(ours, answer, ours)
        name, absolute = "Serial Focuser", "ABS_FOCUS_POSITION"
        try:
            async with DriverHarness(load(SNIPPETS / "serial_focuser.py").make_driver()) as client:
                await client.set_text(name, "DEVICE_PORT", PORT=os.ttyname(theirs))
                await client.set_switch(name, "CONNECTION", CONNECT="On")
                await client.wait_for(name, absolute, values={"FOCUS_ABSOLUTE_POSITION": "1000"}, timeout=5)
                await client.set_number(name, absolute, FOCUS_ABSOLUTE_POSITION=2600)
                await client.wait_for(name, absolute, state="Busy", timeout=5)
                await client.wait_for(name, absolute, state="Ok", values={"FOCUS_ABSOLUTE_POSITION": "2600"}, timeout=9)
        finally:
            loop.remove_reader(ours)
            os.close(ours)
            os.close(theirs)

    run(session, real_time=True)
