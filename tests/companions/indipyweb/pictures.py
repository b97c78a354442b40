"""The pictures of the web client in the documentation: ``python3 -m tests.companions.indipyweb.pictures``.

Simulated instruments are served and set, and Chromium takes the pictures.
"""

import asyncio
import tempfile
from pathlib import Path

from indipydriver.instruments.simulators import make_observatory
from tests.support import ROOT

from .parts import soon
from .test_browser import desk

FOLDER = ROOT / "docs" / "how-to" / "web"


async def take():
    """Take them all."""
    FOLDER.mkdir(exist_ok=True)
    drivers = make_observatory()
    drivers = drivers if isinstance(drivers, (list, tuple)) else [drivers]
    with tempfile.TemporaryDirectory() as folder:
        async with desk(Path(folder), *drivers) as here:
            client = here.site.web.first.client
            for name in ("Telescope Simulator", "CCD Simulator", "Dome Simulator", "Weather Simulator"):
                await client.wait_device(name)
                await client.press(name, "CONNECTION", "CONNECT")
            await client.settle()
            await client.set("CCD Simulator", "CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0.5)
            await soon(lambda: client.need("CCD Simulator", "CCD1")["CCD1"].data)
            for file, width, height, theme, path in (
                ("desk-light.png", 1100, 640, "light", "/device?d=CCD+Simulator"),
                ("phone-night.png", 390, 700, "night", "/device?d=Telescope+Simulator"),
                ("image-dark.jpg", 800, 500, "dark", "/image?d=CCD+Simulator&p=CCD1&m=CCD1"),
            ):
                page = await here.page("user", width=width, height=height)
                async with page.expect_response("**/theme"):
                    await page.get_by_label("Theme").select_option(theme)
                await page.goto(f"{here.url}{path}")
                await page.wait_for_timeout(1500)
                await page.screenshot(
                    path=FOLDER / file, **({"type": "jpeg", "quality": 70} if file.endswith("jpg") else {})
                )


if __name__ == "__main__":
    asyncio.run(take())
