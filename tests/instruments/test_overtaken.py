"""A command to stop overtakes what still waits for its turn: that must not begin afterwards."""

import asyncio

import pytest

from indipydriver.instruments import Camera, Dome, DustCap, Focuser, InstrumentDriver, Mount, Outputs, Rotator
from indipydriver.testing import DriverHarness, driver_test
from tests.instruments.sessions import Session

EOD, TARGET = "EQUATORIAL_EOD_COORD", "ABS_FOCUS_POSITION"


class Logged:
    """Notes what begins to move, and what ends that."""

    seconds = 10.0

    def __init__(self, *args):
        self.log = []
        super().__init__(*args)

    async def _move(self, what):
        self.log.append(what)
        await asyncio.sleep(self.seconds)

    async def abort(self):
        self.log.append("abort")
        await asyncio.sleep(0.2)


class AFocuser(Logged, Focuser):
    async def move_to(self, position):
        await self._move(position)

    async def move_for(self, seconds, outward):
        await self._move(seconds)


class AMount(Logged, Mount):
    async def slew_to(self, ra, dec):
        await self._move(ra)

    async def start_motion(self, direction, rate):
        self.log.append(direction.name)
        await asyncio.sleep(1)

    async def stop_motion(self, direction):
        self.log.append("stop")

    async def park(self):
        await self._move("park")

    async def unpark(self):
        await self._move("unpark")


class ADome(Logged, Dome):
    async def turn_to(self, azimuth):
        await self._move(azimuth)

    async def start_turning(self, clockwise):
        await self._move("turning")


class ARotator(Logged, Rotator):
    async def turn_to(self, angle):
        await self._move(angle)


class ACamera(Logged, Camera):
    width = height = 8
    pixel_size = (3.8, 3.8)

    async def expose(self, shot):
        await self._move(shot.seconds)
        return bytes(shot.columns * shot.rows * 2)


class ACap(Logged, DustCap):
    async def open_cap(self):
        await self._move("open")

    async def close_cap(self):
        await self._move("close")


PLACES = {
    AFocuser: (TARGET, "FOCUS_ABSOLUTE_POSITION", "FOCUS_ABORT_MOTION"),
    AMount: (EOD, "RA", "TELESCOPE_ABORT_MOTION"),
    ADome: ("ABS_DOME_POSITION", "DOME_ABSOLUTE_POSITION", "DOME_ABORT_MOTION"),
    ARotator: ("ABS_ROTATOR_ANGLE", "ANGLE", "ROTATOR_ABORT_MOTION"),
    ACamera: ("CCD_EXPOSURE", "CCD_EXPOSURE_VALUE", "CCD_ABORT_EXPOSURE"),
}


def ready(client):
    """Unpark what starts parked."""
    if isinstance(client.device, Dome):
        client.device.parked = False


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("many", [2, 5])
@driver_test
async def test_nothing_that_was_sent_before_an_abort_begins_after_it(kind, many):
    name, member, abort = PLACES[kind]
    async with Session(kind()) as client:
        device = await client.connect()
        ready(client)
        device.log.clear()
        commands = [client.number(name, **{member: 1 + number}) for number in range(many)]
        await asyncio.gather(*commands, client.press(abort, "ABORT"))
        await client.advance(30)
        assert device.log[-1] == "abort", device.log
        assert client.state(abort) == "Ok"
        assert client.state(name) in ("Idle", "Ok")


@pytest.mark.parametrize("kind", PLACES)
@driver_test
async def test_what_is_sent_after_it_begins(kind):
    name, member, abort = PLACES[kind]
    async with Session(kind()) as client:
        device = await client.connect()
        ready(client)
        device.log.clear()
        commands = [client.number(name, **{member: 1 + number}) for number in range(3)]
        await asyncio.gather(*commands, client.press(abort, "ABORT"), client.number(name, **{member: 7}))
        await client.advance(5)
        assert device.log[-2:] == ["abort", 7], device.log
        assert client.state(name) == "Busy"
        await client.advance(20)
        assert client.state(name) in ("Ok", "Idle")


@driver_test
async def test_switching_an_abort_off_overtakes_nothing():
    async with Session(AFocuser()) as client:
        device = await client.connect()
        first, second = (client.number(TARGET, FOCUS_ABSOLUTE_POSITION=place) for place in (10, 20))
        off = client.set_switch(client.name, "FOCUS_ABORT_MOTION", {"ABORT": "Off"})
        await asyncio.gather(first, second, off)
        await client.advance(1)
        assert device.log[-1] == 20


@driver_test
async def test_a_motion_by_hand_that_waits_for_one_that_starts_is_overtaken_too():
    async with Session(AMount()) as client:
        device = await client.connect()
        device.parked = False
        device.log.clear()
        await client.press("TELESCOPE_MOTION_NS", "MOTION_NORTH")
        await client.press("TELESCOPE_MOTION_NS", "MOTION_NORTH")
        await client.press("TELESCOPE_ABORT_MOTION", "ABORT")
        await client.advance(10)
        assert device.log == ["NORTH", "abort", "stop"] or device.log == ["NORTH", "stop", "abort"]
        assert (client.state("TELESCOPE_MOTION_NS"), client.on("TELESCOPE_MOTION_NS")) == ("Idle", [])


@driver_test
async def test_a_dome_that_is_told_to_stand_still_does():
    async with Session(ADome()) as client:
        device = await client.connect()
        device.parked = False
        device.log.clear()
        turns = [client.number("ABS_DOME_POSITION", DOME_ABSOLUTE_POSITION=place) for place in (10, 20, 30)]
        off = client.set_switch(client.name, "DOME_MOTION", {"DOME_CW": "Off", "DOME_CCW": "Off"})
        await asyncio.gather(*turns, off)
        await client.advance(30)
        assert device.log[-1] == "abort"


@driver_test
async def test_a_cap_stops_half_way():
    async with Session(ACap()) as client:
        device = await client.connect()
        turns = [client.press("CAP_PARK", where) for where in ("PARK", "UNPARK", "PARK")]
        await asyncio.gather(*turns, client.press("CAP_ABORT", "ABORT"))
        await client.advance(30)
        assert device.log[-1] == "abort"


@driver_test
async def test_the_order_is_that_of_one_run():
    device = AFocuser()
    driver = InstrumentDriver(device)
    for _ in range(2):
        async with DriverHarness(driver) as harness:
            await harness.set_switch(device.devicename, "CONNECTION", CONNECT="On")
            await harness.advance(1)
            await harness.set_number(device.devicename, TARGET, FOCUS_ABSOLUTE_POSITION=10)
            await harness.advance(1)
            assert device.log == [10]
            for _ in range(5):
                await harness.set_switch(device.devicename, "FOCUS_ABORT_MOTION", ABORT="On")
                await harness.advance(1)
            device.log.clear()


@driver_test
async def test_the_abort_of_a_part_leaves_the_others_alone():
    class Both(AMount):
        parts = (AFocuser,)

    async with Session(Both()) as client:
        device = await client.connect()
        device.parked = False
        focuser = device.part(AFocuser)
        moves = [client.number(TARGET, FOCUS_ABSOLUTE_POSITION=place) for place in (10, 20)]
        slews = [client.number(EOD, RA=hour, DEC=1) for hour in (1, 2)]
        await asyncio.gather(*moves, *slews, client.press("TELESCOPE_ABORT_MOTION", "ABORT"))
        await client.advance(5)
        assert focuser.log[-1] == 20
        assert device.log[-1] == "abort"
        moves = [client.number(TARGET, FOCUS_ABSOLUTE_POSITION=place) for place in (30, 40)]
        await asyncio.gather(*moves, client.press("FOCUS_ABORT_MOTION", "ABORT"))
        await client.advance(20)
        assert focuser.log[-1] == "abort"


class SlowToSync(AMount):
    async def sync(self, ra, dec):
        await self._move(f"sync {ra:g}")


@driver_test
async def test_coordinates_that_wait_are_for_what_was_chosen_when_they_came():
    async with Session(SlowToSync()) as client:
        device = await client.connect()
        device.seconds = 1.0
        device.parked = False
        for mode, ra in (("SYNC", 1), ("TRACK", 2), ("SYNC", 3)):
            await client.press("ON_COORD_SET", mode)
            await client.number(EOD, RA=ra, DEC=1)
        await client.press("ON_COORD_SET", "SLEW")
        await client.advance(5)
        assert device.log == ["sync 1", 2]  # it cannot be synchronised while it slews
        assert device.tracking
        await client.press("ON_COORD_SET", "SYNC")
        await client.number(EOD, RA=5, DEC=1)
        await client.advance(2)
        assert device.log[-1] == "sync 5"


@driver_test
async def test_modes_that_change_for_ever_are_not_remembered_for_ever():
    async with Session(SlowToSync()) as client:
        device = await client.connect()
        device.parked = False
        await client.press("ON_COORD_SET", "SYNC")
        await client.number(EOD, RA=1, DEC=1)
        await client.number(EOD, RA=2, DEC=1)
        for _ in range(501):
            await client.press("ON_COORD_SET", "SLEW")
            await client.press("ON_COORD_SET", "SYNC")
        await client.advance(12)
        assert device.log == ["sync 1"]
        assert any("changed too often" in text for text in client.texts)
        await client.number(EOD, RA=3, DEC=1)
        await client.advance(12)
        assert device.log == ["sync 1", "sync 3"]


@driver_test
async def test_a_motion_by_hand_that_waits_has_the_speed_and_the_direction_that_were_chosen_when_it_was_requested():
    class Slow(Mount):
        def __init__(self):
            self.log = []
            super().__init__()

        async def slew_to(self, ra, dec):
            pass

        async def start_motion(self, direction, rate):
            self.log.append((direction.name, rate))

        async def stop_motion(self, direction):
            await asyncio.sleep(1)

    async with Session(Slow()) as client:
        device = await client.connect()
        motion = "TELESCOPE_MOTION_NS"
        await client.press("TELESCOPE_SLEW_RATE", "1x")
        await client.press(motion, "MOTION_NORTH")
        await client.set_switch(client.name, motion, {"MOTION_NORTH": "Off"})
        await client.press(motion, "MOTION_NORTH")
        await client.press("TELESCOPE_SLEW_RATE", "4x")
        await client.press("TELESCOPE_REVERSE_MOTION", "REVERSE_NS")
        await client.until(motion, "Busy", 3)
        await client.advance(2)
        assert device.log == [("NORTH", 0), ("NORTH", 0)]
        await client.set_switch(client.name, motion, {"MOTION_NORTH": "Off"})
        await client.press(motion, "MOTION_NORTH")
        await client.advance(3)
        assert device.log[-1] == ("SOUTH", 3)


@driver_test
async def test_an_output_that_waits_stays_on_for_the_time_that_was_set_when_it_was_requested():
    class Slow(Outputs):
        outputs = ("Shutter",)

        def __init__(self):
            self.log = []
            super().__init__()

        async def set_output(self, number, on):
            self.log.append(on)
            await asyncio.sleep(1)

    async with Session(Slow()) as client:
        device = await client.connect()
        await client.number("PULSE_0", DURATION=500)
        await client.press("DIGITAL_OUTPUT_1", "OFF")
        await client.press("DIGITAL_OUTPUT_1", "ON")
        await client.number("PULSE_0", DURATION=0)
        await client.advance(5)
        assert device.log == [False, True, False]


@pytest.mark.parametrize("kind", PLACES)
@driver_test
async def test_a_second_abort_does_not_stop_what_was_sent_after_it(kind):
    name, member, abort = PLACES[kind]
    async with Session(kind()) as client:
        device = await client.connect()
        ready(client)
        await client.number(name, **{member: 1})
        await client.advance(1)
        device.log.clear()
        await client.press(abort, "ABORT")
        await client.press(abort, "ABORT")  # it waits for its turn
        await client.advance(0.1)
        await client.number(name, **{member: 7})
        await client.advance(5)
        assert device.log == ["abort", 7]
        assert (client.state(name), client.state(abort), client.on(abort)) == ("Busy", "Ok", [])
        await client.press(abort, "ABORT")
        await client.advance(1)
        assert device.log == ["abort", 7, "abort"]


@driver_test
async def test_a_second_abort_of_a_cap_does_not_stop_what_was_sent_after_it():
    async with Session(ACap()) as client:
        device = await client.connect()
        await client.press("CAP_PARK", "PARK")
        await client.advance(1)
        await client.press("CAP_ABORT", "ABORT")
        await client.press("CAP_ABORT", "ABORT")
        await client.advance(0.1)
        await client.press("CAP_PARK", "UNPARK")
        await client.until("CAP_PARK", "Ok", 15)
        assert device.log == ["close", "abort", "open"]


@driver_test
async def test_a_second_abort_does_not_stop_a_motion_by_hand_that_was_sent_after_it():
    async with Session(AMount()) as client:
        device = await client.connect()
        await client.press("TELESCOPE_MOTION_NS", "MOTION_NORTH")
        await client.advance(2)
        device.log.clear()
        await client.press("TELESCOPE_ABORT_MOTION", "ABORT")
        await client.press("TELESCOPE_ABORT_MOTION", "ABORT")
        await client.press("TELESCOPE_MOTION_WE", "MOTION_WEST")
        await client.advance(5)
        assert device.log[-1] == "WEST"
        assert client.on("TELESCOPE_MOTION_WE") == ["MOTION_WEST"]


@driver_test
async def test_a_second_abort_stops_what_one_axis_does_although_the_other_began_later():
    async with Session(AMount()) as client:
        device = await client.connect()
        await client.press("TELESCOPE_MOTION_NS", "MOTION_NORTH")
        await client.advance(2)
        device.log.clear()
        await client.press("TELESCOPE_ABORT_MOTION", "ABORT")
        await client.press("TELESCOPE_MOTION_NS", "MOTION_NORTH")
        await client.press("TELESCOPE_ABORT_MOTION", "ABORT")
        await client.press("TELESCOPE_MOTION_WE", "MOTION_WEST")
        await client.advance(5)
        assert "stop" in device.log
        assert client.on("TELESCOPE_MOTION_NS") == []
