"""Commands in place of others before those have begun or ended, and values as clients, receivers and hardware have them."""

import asyncio
import fcntl
import os
import threading
import time
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest

from indipydriver.instruments import (
    GPS,
    Camera,
    Dome,
    FilterWheel,
    Fix,
    InstrumentDriver,
    Mount,
    Outputs,
    Rotator,
)
from indipydriver.instruments.simulators import RotatorSimulator
from indipydriver.testing import DriverHarness, driver_test, run
from tests.instruments.sessions import Session

EOD, PARK, HOME, NS = "EQUATORIAL_EOD_COORD", "TELESCOPE_PARK", "TELESCOPE_HOME", "TELESCOPE_MOTION_NS"
DOME_PARK, SHUTTER, ANGLE = "DOME_PARK", "DOME_SHUTTER", "ABS_ROTATOR_ANGLE"


# --- angles


@pytest.mark.parametrize(("wanted", "reached"), [("360", 0), ("12.345678912345", 12.345679), ("359.99999999", 0)])
@driver_test
async def test_an_angle_that_is_assigned_can_be_equal_to_the_target(wanted, reached):
    class Steps(Rotator):
        async def turn_to(self, angle):
            while self.angle != angle:
                await asyncio.sleep(0.1)
                self.angle += max(-10, min(10, angle - self.angle))

    for device in (Steps(), RotatorSimulator()):
        async with Session(device) as client:
            await client.connect()
            await client.number(ANGLE, ANGLE=wanted)
            await client.until(ANGLE, "Ok", 30)
            assert client.value(ANGLE) == reached


@pytest.mark.parametrize(("wanted", "reached"), [("360", 0), ("12.345678912345", 12.3457)])
@driver_test
async def test_an_azimuth_that_is_assigned_can_be_equal_to_the_target(wanted, reached):
    class Steps(Dome):
        async def turn_to(self, azimuth):
            while self.azimuth != azimuth:
                await asyncio.sleep(0.1)
                self.azimuth += max(-10, min(10, azimuth - self.azimuth))

    async with Session(Steps()) as client:
        await client.connect()
        await client.number("ABS_DOME_POSITION", DOME_ABSOLUTE_POSITION=wanted)
        await client.until("ABS_DOME_POSITION", "Ok", 30)
        assert client.value("ABS_DOME_POSITION") == reached
        await client.number("DOME_PARK_POSITION", PARK_AZ=wanted)
        await client.press(DOME_PARK, "PARK")
        await client.until(DOME_PARK, "Ok", 30)
        assert client.value("ABS_DOME_POSITION") == reached


@driver_test
async def test_a_safe_range_does_not_move_with_a_rotator_that_turns_at_once():
    class Quick(Rotator):
        async def connect(self):
            self.angle = 90

        async def poll(self):
            await asyncio.sleep(0.5)

        async def turn_to(self, angle):
            await asyncio.sleep(1)

    async with Session(Quick()) as client:
        await client.connect()
        await client.number("ROTATOR_LIMITS", ROTATOR_LIMITS_VALUE=60)
        await client.number(ANGLE, ANGLE=115)
        await client.until(ANGLE, "Ok", 5)
        await client.advance(3)
        await client.number(ANGLE, ANGLE=140)
        assert (client.state(ANGLE), client.value(ANGLE)) == ("Alert", 115)


@driver_test
async def test_a_rotator_with_a_safe_range_does_not_turn_before_it_is_known_where_it_is():
    class Late(Rotator):
        async def poll(self):
            await asyncio.sleep(5)
            self.angle = 180

        async def turn_to(self, angle):
            pass

    async with Session(Late()) as client:
        await client.connect()
        await client.number("ROTATOR_LIMITS", ROTATOR_LIMITS_VALUE=60)
        await client.number(ANGLE, ANGLE=10)
        assert client.state(ANGLE) == "Alert"
        await client.advance(6)
        await client.number(ANGLE, ANGLE=200)
        await client.until(ANGLE, "Ok")
