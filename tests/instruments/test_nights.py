"""What happens in a night: partners that were read long ago, motions in place of others, settings that are hidden."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from indipydriver.instruments import (
    Camera,
    Dome,
    InstrumentDriver,
)
from indipydriver.testing import DriverHarness, driver_test, run
from tests.instruments.sessions import Session

EOD, TARGET, PARK = "EQUATORIAL_EOD_COORD", "TARGET_EOD_COORD", "TELESCOPE_PARK"
DOME_PARK, SHUTTER = "DOME_PARK", "DOME_SHUTTER"


# --- exposures


@pytest.mark.parametrize("aborts", [False, True])
@driver_test
async def test_an_exposure_begins_when_what_was_there_has_ended(aborts, monkeypatch):
    loop = asyncio.get_running_loop()

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.fromtimestamp(loop.time(), tz)

    monkeypatch.setattr("indipydriver.instruments.chips.datetime", Clock)
    began = []

    class Slow(Camera):
        width = height = 8

        async def expose(self, shot):
            began.append(shot.began.timestamp() - loop.time())
            try:
                await asyncio.sleep(shot.seconds)
            finally:
                await asyncio.sleep(2)
            return bytes(128)

        async def abort(self):
            await asyncio.sleep(2)

    async with Session(Slow()) as client:
        await client.connect()
        await client.number("CCD_EXPOSURE", CCD_EXPOSURE_VALUE=60)
        await client.advance(1)
        if aborts:
            await client.press("CCD_ABORT_EXPOSURE", "ABORT")
        await client.number("CCD_EXPOSURE", CCD_EXPOSURE_VALUE=1)
        await client.until("CCD_EXPOSURE", "Ok", 20)
        assert began == pytest.approx([0, 0], abs=0.01)


# --- calls in threads that never return


def test_calls_that_never_return_hold_up_neither_a_roof_nor_an_image():
    class Roof(Dome):
        async def open_roof(self):
            pass

        async def close_roof(self):
            pass

    class Small(Camera):
        width = height = 8

        async def expose(self, shot):
            return bytes(128)

    release = threading.Event()

    async def night():
        executor = ThreadPoolExecutor(1)
        executor.submit(release.wait)  # as of a library whose device hangs
        asyncio.get_running_loop().set_default_executor(executor)
        async with DriverHarness(InstrumentDriver(Roof("R"), Small("C"))) as client:
            for name in "RC":
                await client.set_switch(name, "CONNECTION", CONNECT="On")
                await client.wait_for(name, "CONNECTION", state="Ok", timeout=30)
            await client.set_switch("R", "DOME_PARK", PARK="On")
            await client.wait_for("R", "DOME_PARK", state="Ok", values={"PARK": "On"}, timeout=30)
            await client.set_switch("C", "UPLOAD_MODE", UPLOAD_BOTH="On")
            await client.set_switch("C", "CCD_COMPRESSION", INDI_ENABLED="On")
            await client.set_number("C", "CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0.01)
            await client.wait_for("C", "CCD1", state="Ok", timeout=30)
        release.set()

    try:
        run(night, real_time=True)
    finally:
        release.set()
