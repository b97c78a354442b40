"""The sense of rotation, and of focusing, is changed only while nothing moves."""

import asyncio

import pytest

from indipydriver.instruments import Focuser, Rotator
from indipydriver.instruments.simulators import RotatorSimulator
from indipydriver.testing import driver_test
from tests.instruments.sessions import Session

ANGLE, REVERSE, LIMITS, SYNC = "ABS_ROTATOR_ANGLE", "ROTATOR_REVERSE", "ROTATOR_LIMITS", "SYNC_ROTATOR_ANGLE"


class Rod(Rotator):
    """Keeps the place of the hardware, from which the angle follows."""

    def __init__(self, name=None):
        super().__init__(name)
        self.place, self.sense, self.pause = 0.0, 1, 0.0
        self.calls, self.seen = [], []

    async def turn_to(self, angle):
        self.calls.append(("turn_to", angle, self.sense))
        while abs(way := (self.sense * angle - self.place + 180) % 360 - 180) > 1e-6:
            await asyncio.sleep(0.1)
            self.place = self.place + max(-1, min(1, way))
            self.seen.append(self.place)
            self.angle = self.sense * self.place

    async def abort(self):
        self.calls.append(("abort",))

    async def sync(self, angle):
        self.calls.append(("sync", angle))
        await asyncio.sleep(self.pause)
        self.place = self.sense * angle

    async def set_reverse(self, reverse):
        self.calls.append(("reverse", reverse))
        await asyncio.sleep(self.pause)
        self.sense = -1 if reverse else 1

    async def poll(self):
        self.angle = self.sense * self.place


@driver_test
async def test_a_rotator_that_turns_is_not_reversed():
    async with Session(Rod()) as client:
        device = await client.connect()
        await client.number(LIMITS, ROTATOR_LIMITS_VALUE=90)
        await client.number(ANGLE, ANGLE=40)
        await client.advance(2)
        await client.press(REVERSE, "INDI_ENABLED")
        assert (client.state(REVERSE), client.on(REVERSE)) == ("Alert", ["INDI_DISABLED"])
        assert "[ERROR] The rotator turns" in client.texts
        await client.press(REVERSE, "INDI_DISABLED")  # as settings do that are loaded
        assert client.state(REVERSE) == "Ok"
        await client.until(ANGLE, "Ok", 9)
        assert device.calls == [("turn_to", 40, 1)]
        assert max(map(abs, device.seen)) <= 45


@driver_test
async def test_the_same_angle_is_the_mirrored_place():
    async with Session(RotatorSimulator()) as client:
        device = await client.connect()
        await client.number(SYNC, ANGLE=30)
        await client.press(REVERSE, "INDI_ENABLED")
        await client.until(ANGLE, ANGLE="330.0")
        await client.number(ANGLE, ANGLE=40)
        await client.until(ANGLE, "Ok", 20)
        assert device.angle == 40
        await client.press(REVERSE, "INDI_DISABLED")
        await client.until(ANGLE, ANGLE="320.0")


@driver_test
async def test_a_target_that_comes_while_it_is_reversed_is_one_of_the_new_sense():
    async with Session(Rod()) as client:
        device = await client.connect()
        await client.number(LIMITS, ROTATOR_LIMITS_VALUE=90)
        await client.number(SYNC, ANGLE=100)
        device.pause = 1.0
        await client.press(REVERSE, "INDI_ENABLED")
        await client.number(ANGLE, ANGLE=120)  # allowed in the present sense, and far away in the next one
        await client.until(ANGLE, "Alert", 3)
        assert client.on(REVERSE) == ["INDI_ENABLED"]
        assert not any(call[0] == "turn_to" for call in device.calls)
        await client.advance(3)
        await client.number(ANGLE, ANGLE=240)
        await client.until(ANGLE, "Ok", 9)


@pytest.mark.parametrize("first", ["sync", "reverse"])
@driver_test
async def test_the_safe_range_is_right_whether_it_is_synchronised_or_reversed_first(first):
    async with Session(Rod()) as client:
        device = await client.connect()
        await client.number(LIMITS, ROTATOR_LIMITS_VALUE=60)
        device.pause = 1.0
        commands = [client.number(SYNC, ANGLE=50), client.press(REVERSE, "INDI_ENABLED")]
        for command in commands if first == "sync" else reversed(commands):
            await command
        await client.advance(5)
        here = 310 if first == "sync" else 50
        assert device.angle == here
        for away, state in ((31, "Alert"), (29, "Ok"), (-29, "Ok"), (-31, "Alert")):
            await client.number(ANGLE, ANGLE=here + away)
            await client.advance(10)
            assert client.state(ANGLE) == state, away


@driver_test
async def test_a_focuser_that_moves_is_not_reversed():
    calls = []

    class Tube(Focuser):
        async def move_to(self, position):
            calls.append(position)
            await asyncio.sleep(5)

        async def set_reverse(self, reverse):
            calls.append(reverse)
            await asyncio.sleep(1)

    async with Session(Tube()) as client:
        await client.connect()
        await client.number("ABS_FOCUS_POSITION", FOCUS_ABSOLUTE_POSITION=500)
        await client.press("FOCUS_REVERSE_MOTION", "INDI_ENABLED")
        assert (client.state("FOCUS_REVERSE_MOTION"), calls) == ("Alert", [500])
        await client.until("ABS_FOCUS_POSITION", "Ok", 6)
        await client.press("FOCUS_REVERSE_MOTION", "INDI_ENABLED")
        await client.number("ABS_FOCUS_POSITION", FOCUS_ABSOLUTE_POSITION=600)
        await client.advance(0.5)
        assert calls == [500, True]
        await client.until("ABS_FOCUS_POSITION", "Ok", 7)
        assert calls == [500, True, 600]


class Forgetful(Rod):
    """Loses its hardware when it is told to, which then turns in the normal sense again."""

    is_lost = False

    async def connect(self):
        self.angle = self.sense * self.place

    async def poll(self):
        if self.is_lost:
            self.is_lost, self.sense = False, 1
            raise ConnectionError("no power")
        await super().poll()


@driver_test
async def test_the_safe_range_is_right_when_the_hardware_has_forgotten_its_direction():
    async with Session(Forgetful()) as client:
        device = await client.connect()
        await client.number(LIMITS, ROTATOR_LIMITS_VALUE=60)
        await client.number(SYNC, ANGLE=90)
        await client.press(REVERSE, "INDI_ENABLED")
        await client.until(ANGLE, ANGLE="270.0")
        device.is_lost = True
        await client.until("CONNECTION", "Alert", 5)
        await client.connect()
        await client.until(ANGLE, ANGLE="270.0")
        assert (device.place % 360, device.sense, client.on(REVERSE)) == (90, -1, ["INDI_ENABLED"])
        for away, state in ((-180, "Alert"), (31, "Alert"), (29, "Ok"), (-29, "Ok"), (-31, "Alert")):
            await client.number(ANGLE, ANGLE=270 + away)
            await client.advance(10)
            assert client.state(ANGLE) == state, away
        assert max(abs(place % 360 - 90) for place in device.seen) <= 30


@driver_test
async def test_an_angle_that_was_shown_before_it_was_reversed_is_another_place():
    async with Session(Rod()) as client:
        device = await client.connect()
        await client.number(SYNC, ANGLE=10)
        await client.advance(2)
        await client.press(REVERSE, "INDI_ENABLED")
        await client.number(ANGLE, ANGLE=10)  # nothing has read the new angle yet
        await client.advance(10)
        assert ("turn_to", 10, -1) in device.calls
        assert device.place % 360 == 350


@driver_test
async def test_lost_hardware_that_is_moved_at_once_is_told_its_direction_before():
    calls, lost = [], []

    class Tube(Focuser):
        async def poll(self):
            if lost:
                lost.clear()
                raise ConnectionError("no power")

        async def read_temperature(self):
            if calls == [True]:  # it is connected again
                await client.number("ABS_FOCUS_POSITION", FOCUS_ABSOLUTE_POSITION=600)
                await asyncio.sleep(0.5)
            return 10

        async def move_to(self, position):
            calls.append(("begins", position))
            await asyncio.sleep(5)
            calls.append(("ends", position))

        async def set_reverse(self, reverse):
            if not calls:
                lost.append(True)
            calls.append(reverse)

    async with Session(Tube()) as client:
        await client.connect()
        await client.press("FOCUS_REVERSE_MOTION", "INDI_ENABLED")
        await client.until("CONNECTION", "Alert", 5)
        await client.connect()
        await client.advance(10)
        assert calls == [True, True, ("begins", 600), ("ends", 600)]
        assert (client.state("FOCUS_REVERSE_MOTION"), client.state("ABS_FOCUS_POSITION")) == ("Ok", "Ok")


@driver_test
async def test_what_is_sent_while_lost_hardware_is_told_its_direction_is_not_reversed_on_the_way():
    calls, lost = [], []

    class Tube(Focuser):
        async def poll(self):
            if lost:
                lost.clear()
                raise ConnectionError("no power")

        async def move_to(self, position):
            calls.append("begins")
            await asyncio.sleep(5)
            calls.append("ends")

        async def set_reverse(self, reverse):
            calls.append(reverse)
            await asyncio.sleep(1)

    async with Session(Tube()) as client:
        await client.connect()
        await client.press("FOCUS_REVERSE_MOTION", "INDI_ENABLED")
        await client.advance(2)
        lost.append(True)
        await client.until("CONNECTION", "Alert", 5)
        calls.clear()
        await client.press("CONNECTION", "CONNECT")
        await client.advance(0.5)
        assert calls == [True]
        await client.press("FOCUS_REVERSE_MOTION", "INDI_DISABLED")
        await client.number("ABS_FOCUS_POSITION", FOCUS_ABSOLUTE_POSITION=600)
        await client.advance(12)
        assert calls == [True, False, "begins", "ends"]
        assert client.on("FOCUS_REVERSE_MOTION") == ["INDI_DISABLED"]
