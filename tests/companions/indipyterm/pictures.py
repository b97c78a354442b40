"""The pictures of the terminal client in the documentation: ``python3 -m tests.companions.indipyterm.pictures``.

An imaginary observatory is served, keys are pressed, and the screen is written down as SVG.
"""

import argparse
import asyncio
import math
import os
import re
import tempfile
from pathlib import Path

from indipyclient.model.history import History
from tests.companions.indipyclient.scripted import Connection, scripted
from tests.support import ROOT, eventually
from tests.support.fits import fits

from .observatory import OBSERVATORY, SAID, blob, update

GUIDE = ROOT / "docs" / "how-to" / "terminal.md"
FOLDER = GUIDE.with_suffix("")
MOUNT = ("Number", "Telescope", "EQUATORIAL_EOD_COORD")


def tidy(svg: str) -> str:
    """Without fonts from elsewhere, and without what differs from run to run."""
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S)
    svg = svg.replace("Fira Code", "DejaVu Sans Mono, Menlo, Consolas")
    number = re.search(r"terminal-(\d+)-", svg)
    if number:
        svg = svg.replace(f"terminal-{number[1]}", "terminal")
    svg = re.sub(r"\d\d:\d\d(&#160;| )UTC", r"03:13\1UTC", svg)
    return re.sub(r"127\.0\.0\.1:\d{4,5}", "127.0.0.1:7624", svg)


class Camera:
    """Presses keys in a terminal client, and takes pictures of it."""

    only: frozenset[str] = frozenset()

    def __init__(self, app, pilot, link: Connection, folder: Path, name: str) -> None:
        self.app, self.pilot, self.link = app, pilot, link
        self._folder, self._name = folder, name

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
            await eventually(lambda: self.app.in_order.idle)
        await self.pilot.pause(0.05)

    async def wait(self) -> None:
        await asyncio.sleep(0.25)
        await self.pilot.pause()

    def save(self, suffix: str = "") -> None:
        if self.only and f"{self._name}{suffix}.svg" not in self.only:
            return
        svg = self.app.export_screenshot(title="indipyterm")
        (self._folder / f"{self._name}{suffix}.svg").write_text(tidy(svg), encoding="utf-8")

    async def edit(self) -> None:
        """Type a new position."""
        await self.press("j", "enter", *"5:40:00", "enter", "j")


async def wander(camera: Camera) -> None:
    """A temperature that has a past."""
    model = camera.app.workspace.session.client.model
    await camera.link.send(update("Number", "CCD 1", "CCD_TEMPERATURE", {"CCD_TEMPERATURE_VALUE": "-9.78"}))
    await camera.wait()
    found = History(600)
    model._histories._of["CCD 1", "CCD_TEMPERATURE", "CCD_TEMPERATURE_VALUE"] = found
    now = asyncio.get_running_loop().time()
    for n in range(240):
        found.add(now - 240 + n, -10 + 18 * math.exp(-n / 40) + 0.3 * math.sin(n / 5))


async def small(camera: Camera) -> None:
    await camera.edit()
    camera.save()
    await camera.press("enter", *"-95:30", "left")
    camera.save("-editing")
    await camera.press("escape", "enter", *"-5:30:00", "ctrl+s")
    await camera.link.expect(lambda e: e.tag == "newNumberVector")
    await camera.wait()
    camera.save("-sent")
    await camera.link.send(update(*MOUNT, state="Alert", message="The mount is parked"))
    await camera.wait()
    camera.save("-refused")
    await camera.press("c")
    camera.save("-compact")
    await camera.press("c", "slash", *"state:alert", "enter")
    camera.save("-filter")
    await camera.press("escape")
    camera.app.main.go_device("CCD 1")
    await camera.link.send(blob("CCD 1", "CCD1", "CCD1", fits(320, 240)))
    await eventually(lambda: camera.app.workspace.session.receiver.last, 10)
    await camera.wait()
    await camera.press("g", *"jjjj")
    camera.save("-camera")
    await camera.press("v")
    await asyncio.sleep(0.5)
    await camera.wait()
    camera.save("-image")
    await camera.press("escape", "b")
    camera.save("-blobs")
    await camera.press("escape", "question_mark")
    camera.save("-help")
    await camera.press("escape", "m")
    camera.save("-log")
    await camera.press("escape", "o")
    camera.save("-open")
    await camera.press("escape", "ctrl+p", *"shutter")
    await camera.wait()
    camera.save("-palette")
    await camera.press("escape", "k")
    await wander(camera)
    await camera.press("p")
    await camera.wait()
    camera.save("-plot")
    await camera.press("escape", "j", "j", "enter")
    await camera.wait()
    camera.save("-file")
    await camera.press("escape")
    camera.link.close()
    await eventually(lambda: not camera.app.workspace.session.live)
    await camera.wait()
    camera.save("-lost")


async def wide(camera: Camera) -> None:
    await camera.edit()
    camera.save()
    camera.app.main.go_device("CCD 1")
    await wander(camera)
    await camera.press("g", "j", "j", "j")
    camera.save("-camera")


async def one(camera: Camera) -> None:
    await camera.edit()
    camera.save()


PICTURES = (
    ("dark", (80, 24), "small", small),
    ("light", (80, 24), "light", one),
    ("night", (80, 24), "night", one),
    ("dark", (124, 40), "wide", wide),
    ("light", (124, 40), "wide-light", wide),
)


async def draw(folder: Path) -> None:
    from indipyterm import IPyTerm
    from indipyterm.settings import Settings

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as blobs:
        os.environ["XDG_STATE_HOME"] = blobs
        async with scripted() as server:
            for theme, size, name, play in PICTURES:
                app = IPyTerm("127.0.0.1", server.port, blobs, settings=Settings(theme=theme))
                async with app.run_test(size=size) as pilot:
                    link = await server.client(OBSERVATORY + SAID)
                    devices = app.main.devices
                    await eventually(lambda devices=devices: len(devices.names) == 4)
                    await pilot.pause(0.5)  # time to read it
                    await play(Camera(app, pilot, link, folder, name))
                    link.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="where they go; else those of the guide")
    folder = parser.parse_args().folder
    if folder == FOLDER:
        Camera.only = frozenset(re.findall(r"\(terminal/([\w-]+\.svg)\)", GUIDE.read_text(encoding="utf-8")))
    asyncio.run(draw(folder))


if __name__ == "__main__":
    main()
