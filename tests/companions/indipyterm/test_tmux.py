"""The program in a true terminal: against our server, and against indiserver with libindi's simulators."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import time

import pytest

from examples import camera, led, thermostat
from tests.support import ROOT, asynchronous, free_port, require, running_server, serving

pytest.importorskip("textual", reason="the terminal client needs the extra term")
pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(170),
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]

READ = 0.6
"""Seconds in which a person reads what has come."""
PATH = os.pathsep.join(map(str, (ROOT / "companions", ROOT)))


class Tmux:
    """A terminal with the program in it."""

    def __init__(self, socket, home) -> None:
        self._socket, self._home = str(socket), home

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-f", os.devnull, "-S", self._socket, *arguments]
        done = subprocess.run(command, check=False, capture_output=True, timeout=20, cwd=self._home)
        return done.stdout.decode(errors="replace")

    def start(self, *arguments: str, size=(80, 24)) -> None:
        words = [
            *"env -u COLUMNS -u LINES".split(),
            f"PYTHONPATH={PATH}",
            f"XDG_STATE_HOME={self._home}",
            f"XDG_CONFIG_HOME={self._home}",
            "COLORTERM=truecolor",
            sys.executable,
            "-m",
            "indipyterm",
            *arguments,
        ]
        command = " ".join(f"'{word}'" for word in words) + "; echo ended with $?; sleep 60"
        self._tmux("new-session", "-d", "-x", str(size[0]), "-y", str(size[1]), command)

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    async def press(self, *keys: str) -> None:
        for key in keys:
            await asyncio.to_thread(self._tmux, "send-keys", key)
            await asyncio.sleep(0.05)

    async def type(self, text: str) -> None:
        await asyncio.to_thread(self._tmux, "send-keys", "-l", text)
        await asyncio.sleep(0.1)

    async def sees(self, *patterns: str, timeout: float = 20) -> str:
        end = time.monotonic() + timeout
        while True:
            text = await asyncio.to_thread(self.screen)
            if all(re.search(pattern, text) for pattern in patterns):
                return text
            if time.monotonic() > end:
                raise AssertionError(f"{[p for p in patterns if not re.search(p, text)]} is not on the screen:\n{text}")
            await asyncio.sleep(0.1)

    async def escape(self, pattern: str) -> None:
        """Go back to where this is seen.  What follows Escape at once would be a key with Alt."""
        await self.press("Escape")
        await self.sees(pattern)

    async def resize(self, columns: int, rows: int) -> None:
        await asyncio.to_thread(self._tmux, "resize-window", "-x", str(columns), "-y", str(rows))

    def kill(self) -> None:
        self._tmux("kill-server")


@pytest.fixture
def tmux(tmp_path):
    found = Tmux(tmp_path / "tmux", tmp_path)
    yield found
    found.kill()


async def filter_to(tmux: Tmux, *words: str) -> None:
    """Put the cursor on the first member that these words find."""
    await tmux.press("/", "C-u")
    await tmux.sees("words, or state:alert")  # the field is there, and empty
    await tmux.type(" ".join(words))
    await tmux.sees(words[-1])
    await tmux.press("Enter")
    await tmux.sees(r"[1-9] propert\w+ of all devices")
    await asyncio.sleep(READ)


@asynchronous
async def test_our_server(tmux, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    async with running_server(thermostat.make_driver(0.02), camera.make_driver(), led.make_driver()) as server:
        tmux.start("--host", "127.0.0.1", "--port", str(server.port), "--blobfolder", str(images))
        await tmux.sees("Thermostat", "Camera", "LED", "3 devices")
        await tmux.press("j", "k")
        await asyncio.sleep(READ)
        await tmux.press("Enter")
        await tmux.type("20.5")
        await tmux.press("Enter")
        await tmux.sees("=> 20.5", "1 unsent")
        await tmux.press("s")
        await tmux.sees(r"Target, °C +20\.5")
        await tmux.press("]", "]")
        await tmux.sees("Lamp")
        await tmux.press("M-1")
        await tmux.sees("Target")
        await tmux.press("M-3")
        await tmux.sees("Lamp")
        await tmux.press("[")
        await filter_to(tmux, "device:camera", "name:connection")
        await tmux.press("Space")
        await tmux.sees(r"\(\*\) Connect")
        await asyncio.sleep(0.5)
        await filter_to(tmux, "device:camera", "name:ccd_exposure")
        await tmux.press("Enter")
        await tmux.type("0.2")
        await tmux.press("C-s")
        end = time.monotonic() + 20
        while not list(images.glob("*.fits")):
            assert time.monotonic() < end, tmux.screen()
            await asyncio.sleep(0.1)
        for size in ((120, 40), (40, 10), (80, 24)):
            await tmux.resize(*size)
            await tmux.sees("CCD_EXPOSURE|Exp|Dur")
        await tmux.escape("0 All")
        await tmux.press("?")
        await tmux.sees("member above")
        await tmux.escape("0 All")
        await tmux.press("q")
        await tmux.sees("ended with 0")


@asynchronous
async def test_libindi_simulators(tmux, tmp_path):
    """A telescope goes to a star, a camera takes a picture of it, and the picture is a file."""
    require("indiserver")
    images = tmp_path / "images"
    images.mkdir()
    port = free_port()
    drivers = ("indi_simulator_telescope", "indi_simulator_ccd")
    async with serving(
        "indiserver", "-p", str(port), "-u", str(tmp_path / "indi"), *drivers, port=port, HOME=str(tmp_path)
    ):
        tmux.start("--host", "127.0.0.1", "--port", str(port), "--blobfolder", str(images), size=(120, 40))
        await tmux.resize(120, 40)
        await tmux.sees("Telescope Simulator", "CCD Simulator")
        for device in ("telescope", "ccd"):
            await filter_to(tmux, f"device:{device}", "name:connection")
            await tmux.press("Space")
            await tmux.sees(r"\(\*\) Connect +\( \) Disconnect")
        await asyncio.sleep(2)
        await tmux.escape("0 All")
        await filter_to(tmux, "device:telescope", "name:telescope_park")
        await tmux.press("l", "Space")  # the simulator begins parked
        await asyncio.sleep(1)
        await filter_to(tmux, "name:equatorial_eod_coord")
        await tmux.press("Enter")
        await tmux.type("5:40:00")
        await tmux.press("Tab")
        await tmux.type("20:30:00")
        await tmux.press("C-s")
        await tmux.sees("acknowledged|sent|Busy")
        await tmux.sees("accepted after", timeout=90)
        await tmux.sees(r"RA .* 5:40:\d\d", r"DEC .* 20:(29|30):\d\d")
        await filter_to(tmux, "device:ccd", "name:ccd_exposure", "duration")
        await tmux.press("Enter")
        await tmux.type("0.5")
        await tmux.press("C-s")
        end = time.monotonic() + 40
        while not list(images.glob("*.fits")):
            assert time.monotonic() < end, tmux.screen()
            await asyncio.sleep(0.2)
        assert next(images.glob("*.fits")).stat().st_size > 100_000
        await filter_to(tmux, "device:ccd", "name:ccd1", "kind:blob")
        await tmux.sees(r"MB \.fits|kB \.fits")
        await tmux.press("v")
        await tmux.sees("▀", r"\d+ x \d+, 16 bit")
        await tmux.escape("of all devices")
        await tmux.press("q")
        await tmux.sees("ended with 0")
