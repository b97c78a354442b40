"""Instruments in an event loop in which tasks begin while they are created."""

import asyncio

import pytest

from indipydriver.instruments import Camera, Focuser
from indipydriver.testing import driver_test
from tests.instruments.sessions import Session
from tests.support.eager import tasks_begin_at_once


class Slow(Focuser):
    maximum = 1000
    polls = 0

    async def poll(self):
        self.polls += 1

    async def move_to(self, position):
        while self.position != position:
            await asyncio.sleep(0.1)
            self.position += 100

    async def abort(self):
        pass


@driver_test
async def test_an_operation_runs_and_is_stopped_and_polls_go_on():
    tasks_begin_at_once()
    async with Session(Slow("F")) as session:
        await session.connect()
        await session.number("ABS_FOCUS_POSITION", FOCUS_ABSOLUTE_POSITION=500)
        assert session.state("ABS_FOCUS_POSITION") == "Busy"
        await session.until("ABS_FOCUS_POSITION", "Ok", 60)
        assert session.device.position == 500
        await session.number("ABS_FOCUS_POSITION", FOCUS_ABSOLUTE_POSITION=1000)
        await session.press("FOCUS_ABORT_MOTION", "ABORT")
        await session.until("FOCUS_ABORT_MOTION", "Ok", 60)
        assert session.device.position < 1000
        before = session.device.polls
        await session.advance(10)
        assert session.device.polls > before + 5


@pytest.mark.parametrize("seconds", [0.01, 2])
@driver_test
async def test_an_image_is_taken(seconds):
    class Dark(Camera):
        width, height, bits = 4, 4, 8

        async def expose(self, shot):
            if shot.seconds > 1:
                await asyncio.sleep(shot.seconds)
            return bytes(16)

    tasks_begin_at_once()
    async with Session(Dark("C")) as session:
        await session.connect()
        await session.number("CCD_EXPOSURE", CCD_EXPOSURE_VALUE=seconds)
        await session.until("CCD_EXPOSURE", "Ok", 60)
        assert session.values("CCD1")["CCD1"].startswith(b"SIMPLE")
