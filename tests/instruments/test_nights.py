"""What happens in a night: partners that were read long ago, motions in place of others, settings that are hidden."""

import asyncio
from datetime import datetime

import pytest

from indipydriver.instruments import (
    Camera,
)
from indipydriver.testing import driver_test
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
