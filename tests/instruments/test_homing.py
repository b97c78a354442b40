"""Homing that is stopped while something else is wanted: what is stopped is what was there, and not what comes later."""

import asyncio

import pytest

from indipydriver.instruments import Mount, Rotator
from indipydriver.testing import driver_test
from tests.instruments.sessions import Session


class Slow:
    """Hardware that needs half a second to stop, and a second to abort."""

    def __init__(self, name=None):
        super().__init__(name)
        self.log = []

    async def move(self, what):
        self.log.append(what)
        try:
            await asyncio.sleep(20)
        finally:
            await asyncio.sleep(0.5)
            self.log.append(f"{what} ends")

    async def abort(self):
        self.log.append("abort")
        await asyncio.sleep(1)
        self.log.append("stopped")


class SlowRotator(Slow, Rotator):
    async def turn_to(self, angle):
        await self.move(f"turn to {angle:g}")

    async def home(self):
        await self.move("home")


class SlowMount(Slow, Mount):
    async def slew_to(self, ra, dec):
        await self.move("slew")

    async def go_home(self):
        await self.move("home")

    async def start_motion(self, direction, rate):
        self.log.append("start")

    async def stop_motion(self, direction):
        self.log.append("stop")


@driver_test
async def test_a_rotator_that_turns_instead_is_not_stopped_as_it_homes_no_more():
    async with Session(SlowRotator()) as client:
        device = await client.connect()
        await client.press("ROTATOR_HOME", "HOME")
        await client.number("ABS_ROTATOR_ANGLE", ANGLE=180)
        await client.set_switch(client.name, "ROTATOR_HOME", HOME="Off")
        await client.advance(5)
        assert device.log == ["home", "home ends", "turn to 180"]
        assert client.state("ABS_ROTATOR_ANGLE") == "Busy"


@pytest.mark.parametrize("aborts", [False, True])
@driver_test
async def test_a_rotator_turns_when_the_end_of_homing_has_stopped_it(aborts):
    async with Session(SlowRotator()) as client:
        device = await client.connect()
        await client.press("ROTATOR_HOME", "HOME")
        await client.set_switch(client.name, "ROTATOR_HOME", HOME="Off")
        if aborts:
            await client.press("ROTATOR_ABORT_MOTION", "ABORT")
        await client.number("ABS_ROTATOR_ANGLE", ANGLE=180)
        await client.advance(5)
        assert device.log == ["home", "home ends", "abort", "stopped", "turn to 180"]
        assert client.state("ABS_ROTATOR_ANGLE") == "Busy"
        assert client.on("ROTATOR_HOME") == []
        assert client.state("ROTATOR_HOME") == "Ok"


@pytest.mark.parametrize("aborts", [False, True])
@driver_test
async def test_a_mount_is_moved_by_hand_when_the_end_of_homing_has_stopped_it(aborts):
    async with Session(SlowMount()) as client:
        device = await client.connect()
        await client.press("TELESCOPE_HOME", "GO")
        await client.set_switch(client.name, "TELESCOPE_HOME", GO="Off")
        if aborts:
            await client.press("TELESCOPE_ABORT_MOTION", "ABORT")
        await client.press("TELESCOPE_MOTION_WE", "MOTION_EAST")
        await client.advance(5)
        assert device.log == ["home", "home ends", "abort", "stopped", "start"]
        assert client.state("TELESCOPE_MOTION_WE") == "Busy"
        assert client.state("TELESCOPE_HOME") == "Ok"


@driver_test
async def test_a_mount_that_does_not_home_is_not_stopped():
    async with Session(SlowMount()) as client:
        device = await client.connect()
        await client.number("EQUATORIAL_EOD_COORD", RA=1, DEC=1)
        await client.set_switch(client.name, "TELESCOPE_HOME", GO="Off")
        await client.press("TELESCOPE_MOTION_WE", "MOTION_EAST")
        await client.advance(3)
        assert device.log == ["slew", "start"]


@driver_test
async def test_a_slew_behind_the_end_of_homing_is_busy():
    async with Session(SlowMount()) as client:
        await client.connect()
        await client.press("TELESCOPE_HOME", "GO")
        await client.set_switch(client.name, "TELESCOPE_HOME", GO="Off")
        await client.number("EQUATORIAL_EOD_COORD", RA=1, DEC=1)
        begin = len(client.history("EQUATORIAL_EOD_COORD"))
        await client.advance(5)
        assert {state for state, *_ in client.history("EQUATORIAL_EOD_COORD")[begin:]} <= {"Busy"}
        assert client.state("EQUATORIAL_EOD_COORD") == "Busy"
