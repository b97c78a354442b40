"""Commands in orders, and at moments, that nobody has thought of: what is aborted stands still, and stays so."""

import asyncio
import contextlib

import pytest

from indipydriver.instruments import (
    Camera,
    Dome,
    DustCap,
    FilterWheel,
    Focuser,
    InstrumentDriver,
    Mount,
    Refused,
    Rotator,
)
from indipydriver.instruments.simulators import DomeSimulator, FocuserSimulator, TelescopeSimulator
from indipydriver.testing import DriverHarness, driver_test
from tests.instruments.sessions import Session

EOD, ABORT, PARK = "EQUATORIAL_EOD_COORD", "TELESCOPE_ABORT_MOTION", "TELESCOPE_PARK"
NS, HOME, TRACKING = "TELESCOPE_MOTION_NS", "TELESCOPE_HOME", "TELESCOPE_TRACK_STATE"
DOME_ABS, MOTION, SHUTTER = "ABS_DOME_POSITION", "DOME_MOTION", "DOME_SHUTTER"


class Logged:
    """Hardware that needs a second to stop."""

    def __init__(self, *args, **how):
        self.log = []
        super().__init__(*args, **how)

    async def work(self, what, seconds=50):
        self.log.append(f"begin {what}")
        try:
            await asyncio.sleep(seconds)
        finally:
            await asyncio.sleep(1)
        self.log.append(f"end {what}")

    async def abort(self):
        self.log.append("abort")


class LoggedMount(Logged, Mount):
    async def slew_to(self, ra, dec):
        await self.work(f"slew {ra:g}")

    async def set_tracking(self, on):
        self.log.append(f"track {on}")

    async def park(self):
        await self.work("park", 20)

    async def unpark(self):
        pass

    async def go_home(self):
        await self.work("home")

    async def start_motion(self, direction, rate):
        self.log.append(f"start {direction.name}")

    async def stop_motion(self, direction):
        self.log.append(f"stop {direction.name}")


class LoggedDome(Logged, Dome):
    async def turn_to(self, azimuth):
        await self.work(f"turn {azimuth:g}", 20)

    async def start_turning(self, clockwise):
        self.log.append("end start")

    async def open_shutter(self):
        await self.work("open", 30)

    async def close_shutter(self):
        await self.work("close", 15)


class LoggedFocuser(Logged, Focuser):
    async def move_to(self, position):
        await self.work(f"move {position}")


class LoggedRotator(Logged, Rotator):
    async def turn_to(self, angle):
        await self.work(f"turn {angle:g}")

    async def home(self):
        await self.work("home")


class LoggedCamera(Logged, Camera):
    async def expose(self, shot):
        await self.work(f"expose {shot.seconds:g}")
        return b""


class LoggedCap(Logged, DustCap):
    async def open_cap(self):
        await self.work("open")

    async def close_cap(self):
        await self.work("close")


async def send(client, vector, what):
    """Switch one member on, or set numbers."""
    if isinstance(what, str):
        await client.press(vector, what)
    else:
        await client.number(vector, **what)


MOVES = [
    (LoggedMount, EOD, {"RA": 1, "DEC": 1}, EOD, {"RA": 5, "DEC": 1}, ABORT),
    (LoggedMount, EOD, {"RA": 1, "DEC": 1}, PARK, "PARK", ABORT),
    (LoggedMount, EOD, {"RA": 1, "DEC": 1}, HOME, "GO", ABORT),
    (LoggedDome, DOME_ABS, {"DOME_ABSOLUTE_POSITION": 90}, DOME_ABS, {"DOME_ABSOLUTE_POSITION": 180}, "DOME_ABORT_MOTION"),
    (LoggedDome, DOME_ABS, {"DOME_ABSOLUTE_POSITION": 90}, "REL_DOME_POSITION", {"DOME_RELATIVE_POSITION": 9}, "DOME_ABORT_MOTION"),
    (LoggedDome, DOME_ABS, {"DOME_ABSOLUTE_POSITION": 90}, MOTION, "DOME_CW", "DOME_ABORT_MOTION"),
    (LoggedDome, DOME_ABS, {"DOME_ABSOLUTE_POSITION": 90}, "DOME_PARK", "PARK", "DOME_ABORT_MOTION"),
    (LoggedDome, SHUTTER, "SHUTTER_OPEN", SHUTTER, "SHUTTER_CLOSE", "DOME_ABORT_MOTION"),
    (
        LoggedFocuser,
        *("ABS_FOCUS_POSITION", {"FOCUS_ABSOLUTE_POSITION": 100}),
        *("REL_FOCUS_POSITION", {"FOCUS_RELATIVE_POSITION": 200}),
        "FOCUS_ABORT_MOTION",
    ),
    (LoggedRotator, "ABS_ROTATOR_ANGLE", {"ANGLE": 1}, "ABS_ROTATOR_ANGLE", {"ANGLE": 2}, "ROTATOR_ABORT_MOTION"),
    (LoggedRotator, "ABS_ROTATOR_ANGLE", {"ANGLE": 1}, "ROTATOR_HOME", "HOME", "ROTATOR_ABORT_MOTION"),
    (
        LoggedCamera,
        *("CCD_EXPOSURE", {"CCD_EXPOSURE_VALUE": 1}),
        *("CCD_EXPOSURE", {"CCD_EXPOSURE_VALUE": 2}),
        "CCD_ABORT_EXPOSURE",
    ),
    (LoggedCap, "CAP_PARK", "UNPARK", "CAP_PARK", "PARK", "CAP_ABORT"),
]  # fmt: skip


@pytest.mark.parametrize("ends", ["abort", "disconnection"])
@pytest.mark.parametrize(("kind", "first", "one", "then", "other", "abort"), MOVES)
@driver_test
async def test_what_waits_for_its_turn_is_cancelled_too(kind, first, one, then, other, abort, ends):
    """The second motion waits until the first has stopped; meanwhile everything is to end."""
    async with Session(kind()) as client:
        device = await client.connect()
        await client.press("FOCUS_MOTION", "FOCUS_OUTWARD") if kind is LoggedFocuser else None
        await send(client, first, one)
        await client.advance(2)
        await send(client, then, other)
        await client.advance(0.1)
        device.log.clear()
        if ends == "abort":
            await client.press(abort, "ABORT")
        else:
            await client.press("CONNECTION", "DISCONNECT")
        await client.advance(200)
        assert device.log == (["abort"] if ends == "abort" else [])
        if ends == "abort":
            busy = {name for name in client.defined() if client.state(name) == "Busy"}
            assert not busy - {TRACKING}
        else:
            client.assert_state(client.name, "CONNECTION", "Idle")


@driver_test
async def test_a_command_behind_an_abort_begins_when_that_is_done():
    class Slow(LoggedMount):
        async def abort(self):
            await self.work("abort", 5)

    async with Session(Slow()) as client:
        device = await client.connect()
        await client.press(ABORT, "ABORT")
        await client.number(EOD, RA=5, DEC=1)
        assert client.state(EOD) == "Busy"
        await client.advance(10)
        assert device.log == ["begin abort", "end abort", "begin slew 5"]
        assert (client.state(ABORT), client.state(EOD)) == ("Ok", "Busy")
        await client.until(EOD, "Ok", 60)


@driver_test
async def test_of_two_motions_only_the_later_one_is_made():
    async with Session(LoggedMount()) as client:
        device = await client.connect()
        await client.number(EOD, RA=1, DEC=1)
        await client.advance(2)
        await client.number(EOD, RA=5, DEC=1)
        await client.advance(0.1)
        await client.press(PARK, "PARK")
        await client.until(PARK, "Ok", 60)
        assert device.log == ["begin slew 1", "begin park", "end park"]
        assert device.parked
        assert not device.tracking
        await client.until(EOD, "Idle", 2)


@driver_test
async def test_nothing_else_moves_a_mount_that_is_being_parked():
    async with Session(LoggedMount()) as client:
        device = await client.connect()
        await client.press(PARK, "PARK")
        await client.advance(2)
        await client.press(NS, "MOTION_NORTH")
        assert (client.state(NS), client.on(NS)) == ("Idle", [])
        await client.press(HOME, "GO")
        assert client.state(HOME) == "Alert"
        await client.press(TRACKING, "TRACK_ON")
        assert client.on(TRACKING) == ["TRACK_OFF"]
        await client.until(PARK, "Ok", 60)
        assert device.log == ["begin park", "end park"]


@driver_test
async def test_a_motion_by_hand_that_could_not_be_stopped_can_be_stopped_again():
    class Glitch(LoggedMount):
        fails = True

        async def stop_motion(self, direction):
            await super().stop_motion(direction)
            if self.fails:
                raise OSError("no answer")

    async with Session(Glitch()) as client:
        device = await client.connect()
        await client.press(NS, "MOTION_NORTH")
        stop = {"MOTION_NORTH": "Off", "MOTION_SOUTH": "Off"}
        await client.set_switch(client.name, NS, stop)
        await client.until(NS, "Alert", 1, MOTION_NORTH="On")
        device.fails = False
        await client.set_switch(client.name, NS, stop)
        assert (client.state(NS), client.on(NS)) == ("Idle", [])
        assert device.log == ["start NORTH", "stop NORTH", "stop NORTH"]


@driver_test
async def test_a_motion_by_hand_whose_start_failed_can_be_stopped():
    class Glitch(LoggedMount):
        async def start_motion(self, direction, rate):
            raise OSError("no answer, but perhaps it moves")

    async with Session(Glitch()) as client:
        device = await client.connect()
        await client.press(NS, "MOTION_SOUTH")
        assert client.state(NS) == "Alert"
        await client.set_switch(client.name, NS, MOTION_NORTH="Off", MOTION_SOUTH="Off")
        assert (client.state(NS), device.log) == ("Idle", ["stop SOUTH"])


@driver_test
async def test_a_motion_by_hand_behind_an_abort_can_be_stopped():
    class Slow(LoggedMount):
        async def abort(self):
            await self.work("abort", 5)

    async with Session(Slow()) as client:
        device = await client.connect()
        await client.press(NS, "MOTION_NORTH")
        await client.press(ABORT, "ABORT")
        await client.advance(1)
        await client.press(NS, "MOTION_SOUTH")
        await client.advance(10)
        assert (client.state(ABORT), client.state(NS), client.on(NS)) == ("Ok", "Busy", ["MOTION_SOUTH"])
        await client.set_switch(client.name, NS, MOTION_NORTH="Off", MOTION_SOUTH="Off")
        assert (client.state(NS), client.on(NS)) == ("Idle", [])
        assert device.log[-2:] == ["start SOUTH", "stop SOUTH"]


@pytest.mark.parametrize("hangs", [False, True])
@driver_test
async def test_an_abort_reaches_the_hardware_though_a_motion_by_hand_cannot_be_stopped(hangs):
    class Glitch(LoggedMount):
        async def stop_motion(self, direction):
            if hangs:
                await asyncio.Event().wait()
            raise OSError("no answer")

    async with Session(Glitch()) as client:
        device = await client.connect()
        await client.number(EOD, RA=5, DEC=1)
        await client.press(NS, "MOTION_NORTH")
        await client.press(ABORT, "ABORT")
        await client.advance(2)
        assert device.log == ["begin slew 5", "start NORTH", "abort"]
        await client.until(ABORT, "Alert", 100)
        await client.until(NS, "Alert")


@pytest.mark.parametrize(
    ("kind", "vector", "abort"), [(LoggedMount, PARK, ABORT), (LoggedDome, "DOME_PARK", "DOME_ABORT_MOTION")]
)
@driver_test
async def test_what_has_parked_stays_parked_though_it_is_aborted_while_that_is_written(kind, vector, abort):
    async def slow(self, parked=None):
        await asyncio.sleep(5)
        return True

    class Slow(kind):
        """Its disk is slow."""

    Slow._save_park = slow
    async with Session(Slow()) as client:
        device = await client.connect()
        await client.press(vector, "PARK")
        await client.advance(23)
        await client.press(abort, "ABORT")
        assert client.on(vector) == ["PARK"]
        assert device.parked


@driver_test
async def test_the_end_of_homing_stops_the_hardware():
    async with Session(LoggedMount()) as client:
        device = await client.connect()
        await client.press(HOME, "GO")
        await client.advance(2)
        await client.set_switch(client.name, HOME, GO="Off")
        await client.advance(2)
        assert device.log == ["begin home", "abort"]
        assert (client.state(HOME), client.on(HOME), client.state(EOD)) == ("Ok", [], "Idle")


@driver_test
async def test_nothing_turns_to_an_old_target_while_it_homes():
    async with Session(LoggedMount()) as client:
        device = await client.connect()
        await client.number(EOD, RA=5, DEC=1)
        await client.until(EOD, "Ok", 60)
        device.coordinates = 7, 30
        await client.advance(1)
        await client.press(HOME, "GO")
        assert client.state(EOD) == "Busy"
        assert [float(value) for value in client.values("TARGET_EOD_COORD").values()] == [7, 30]


@driver_test
async def test_homing_goes_on_as_long_as_it_tells_where_it_is():
    class Far(Mount):
        async def find_home(self):
            for n in range(100):
                await asyncio.sleep(1)
                self.coordinates = n / 10, 3

    async with Session(Far()) as client:
        await client.connect()
        await client.press(HOME, "FIND")
        await client.until(HOME, "Ok", 120)

    class Slow(Rotator):
        async def turn_to(self, angle):
            pass

        async def home(self):
            for n in range(100):
                await asyncio.sleep(1)
                self.angle = n

    async with Session(Slow()) as client:
        await client.connect()
        await client.press("ROTATOR_HOME", "HOME")
        await client.until("ROTATOR_HOME", "Ok", 120)


@driver_test
async def test_what_does_not_stop_is_waited_for_only_once():
    class Deaf(LoggedFocuser):
        async def move_to(self, position):
            self.log.append(f"move {position}")
            if position == 100:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(1000)
                self.log.append("deaf")
                await asyncio.sleep(100)

    async with Session(Deaf()) as client:
        device = await client.connect()
        for position in (100, 200):
            await client.number("ABS_FOCUS_POSITION", FOCUS_ABSOLUTE_POSITION=position)
        await client.until("ABS_FOCUS_POSITION", "Ok", 6)
        await client.number("ABS_FOCUS_POSITION", FOCUS_ABSOLUTE_POSITION=300)
        await client.until("ABS_FOCUS_POSITION", "Ok", 1)
        await client.press("FOCUS_ABORT_MOTION", "ABORT")
        await client.until("FOCUS_ABORT_MOTION", "Ok", 1)
        assert device.log == ["move 100", "deaf", "move 200", "move 300", "abort"]
        await client.advance(200)


# --- domes ---


@driver_test
async def test_a_dome_that_is_turned_by_hand_is_not_sent_anywhere():
    async with Session(LoggedDome()) as client:
        device = await client.connect()
        await client.press(MOTION, "DOME_CW")
        await client.press(MOTION, "DOME_CCW")
        assert (client.state(MOTION), client.on(MOTION)) == ("Busy", ["DOME_CW"])
        await client.set_switch(client.name, MOTION, DOME_CW="On", DOME_CCW="On")  # no client may do that
        await client.number(DOME_ABS, DOME_ABSOLUTE_POSITION=100)
        assert client.state(DOME_ABS) == "Alert"
        await client.press("DOME_ABORT_MOTION", "ABORT")
        assert (client.state(MOTION), client.on(MOTION)) == ("Idle", [])
        assert device.log == ["end start", "abort"]
        await client.press(MOTION, "DOME_CCW")
        await client.press("DOME_PARK", "PARK")  # it is stopped first
        await client.until("DOME_PARK", "Ok", 30)
        assert device.log[3:] == ["abort", "begin turn 0", "end turn 0"]
        assert (client.state(MOTION), client.on(MOTION)) == ("Ok", [])


@driver_test
async def test_a_dome_whose_turning_could_not_be_started_is_stopped_first():
    class Glitch(LoggedDome):
        async def start_turning(self, clockwise):
            raise OSError("no answer, but perhaps it turns")

    async with Session(Glitch()) as client:
        device = await client.connect()
        await client.press(MOTION, "DOME_CW")
        assert client.state(MOTION) == "Alert"
        await client.number(DOME_ABS, DOME_ABSOLUTE_POSITION=100)
        assert client.state(DOME_ABS) == "Alert"
        await client.press("DOME_PARK", "PARK")
        await client.until("DOME_PARK", "Ok", 60)
        assert device.log == ["abort", "begin turn 0", "end turn 0"]


@driver_test
async def test_a_dome_that_cannot_be_stopped_is_not_said_to_stand_still():
    class Glitch(LoggedDome):
        async def abort(self):
            raise OSError("no answer")

    async with Session(Glitch()) as client:
        await client.connect()
        await client.press(MOTION, "DOME_CW")
        await client.press("DOME_ABORT_MOTION", "ABORT")
        assert (client.state("DOME_ABORT_MOTION"), client.state(MOTION)) == ("Alert", "Alert")
        assert client.on(MOTION) == ["DOME_CW"]
        await client.number(DOME_ABS, DOME_ABSOLUTE_POSITION=100)
        assert client.state(DOME_ABS) == "Alert"


@driver_test
async def test_a_dome_that_is_stopped_on_its_way_is_not_parked():
    async with Session(LoggedDome()) as client:
        device = await client.connect()
        await client.press("DOME_PARK", "PARK")
        await client.advance(2)
        await client.set_switch(client.name, MOTION, DOME_CW="Off", DOME_CCW="Off")
        await client.advance(60)
        assert device.log == ["begin turn 0", "abort"]
        assert (client.state("DOME_PARK"), client.on("DOME_PARK")) == ("Alert", ["UNPARK"])
        assert not device.parked


@driver_test
async def test_no_motion_of_a_dome_stays_busy_when_another_takes_its_place():
    async with Session(LoggedDome()) as client:
        await client.connect()
        await client.number("REL_DOME_POSITION", DOME_RELATIVE_POSITION=10)
        await client.advance(2)
        await client.number(DOME_ABS, DOME_ABSOLUTE_POSITION=100)
        await client.advance(2)
        await client.press("DOME_PARK", "PARK")
        await client.until("DOME_PARK", "Ok", 60)
        await client.settle()
        assert not {name for name in client.defined() if client.state(name) == "Busy"}


@driver_test
async def test_a_shutter_does_not_open_while_parking_closes_it():
    async with Session(LoggedDome()) as client:
        device = await client.connect()
        await client.press("DOME_SHUTTER_PARK_POLICY", "SHUTTER_CLOSE_ON_PARK")
        await client.press(SHUTTER, "SHUTTER_OPEN")
        await client.advance(5)
        await client.press("DOME_PARK", "PARK")
        await client.advance(10)
        await client.press(SHUTTER, "SHUTTER_OPEN")
        assert client.state(SHUTTER) == "Alert"
        await client.until("DOME_PARK", "Ok", 60)
        assert device.log == ["begin open", "begin close", "begin turn 0", "end close", "end turn 0"]
        assert device.shutter_open is False


@driver_test
async def test_parking_closes_the_shutter_by_itself_though_that_is_wanted_late():
    async with Session(LoggedDome()) as client:
        device = await client.connect()
        await client.press(SHUTTER, "SHUTTER_OPEN")
        await client.press("DOME_PARK", "PARK")
        await client.advance(1)
        await client.press("DOME_SHUTTER_PARK_POLICY", "SHUTTER_CLOSE_ON_PARK")
        await client.advance(24)
        await client.set_switch(client.name, "DOME_SHUTTER_PARK_POLICY", SHUTTER_CLOSE_ON_PARK="Off")
        await client.press(SHUTTER, "SHUTTER_OPEN")
        assert client.state(SHUTTER) == "Alert"
        await client.until("DOME_PARK", "Ok", 60)
        assert device.log == ["begin open", "begin turn 0", "end turn 0", "begin close", "end close"]


@driver_test
async def test_a_dome_that_was_stopped_does_not_follow_the_mount():
    async with DriverHarness(InstrumentDriver(DomeSimulator("D"), TelescopeSimulator("T"))) as client:
        for name in "TD":
            await client.set_switch(name, "CONNECTION", CONNECT="On")
        dome = client.driver["D"]
        await client.set_text("D", "ACTIVE_DEVICES", ACTIVE_TELESCOPE="T")
        await client.set_number("T", "GEOGRAPHIC_COORD", LAT=50, LONG=11, ELEV=1)
        dome.azimuth = (dome._wanted_azimuth() + 180) % 360
        await client.set_switch("D", "DOME_AUTOSYNC", DOME_AUTOSYNC_ENABLE="On")
        await client.advance(2)
        client.assert_state("D", DOME_ABS, "Busy")
        await client.set_switch("D", "DOME_ABORT_MOTION", ABORT="On")
        azimuth = dome.azimuth
        await client.advance(10)
        assert dome.azimuth == azimuth
        client.assert_values("D", "DOME_AUTOSYNC", DOME_AUTOSYNC_ENABLE="Off", DOME_AUTOSYNC_DISABLE="On")


@driver_test
async def test_what_goes_on_when_a_disconnection_is_refused_is_busy():
    class Closed(LoggedDome):
        async def disconnect(self):
            raise Refused("Not now")

    async with Session(Closed()) as client:
        await client.connect()
        await client.press(MOTION, "DOME_CW")
        await client.press(SHUTTER, "SHUTTER_OPEN")
        await client.press("CONNECTION", "DISCONNECT")
        await client.until("CONNECTION", "Alert", 5, CONNECT="On")
        await client.settle()
        assert (client.state(MOTION), client.on(MOTION)) == ("Busy", ["DOME_CW"])
        assert client.state(SHUTTER) == "Idle"


# --- others ---


@driver_test
async def test_a_relative_move_keeps_to_the_limits_when_it_begins():
    class Coasts(Focuser):
        maximum = 50_000

        async def move_to(self, position):
            assert position <= self.maximum
            try:
                while self.position != position:
                    await asyncio.sleep(0.1)
                    self.position += max(-500, min(500, position - self.position))
            finally:
                await asyncio.sleep(1)
                self.position += 3000

    async with Session(Coasts()) as client:
        device = await client.connect()
        await client.number("ABS_FOCUS_POSITION", FOCUS_ABSOLUTE_POSITION=40_000)
        await client.advance(7)
        await client.press("FOCUS_MOTION", "FOCUS_OUTWARD")
        await client.number("REL_FOCUS_POSITION", FOCUS_RELATIVE_POSITION=49_000 - device.position)
        await client.until("REL_FOCUS_POSITION", "Alert", 5)
        assert "out of bound" in client.texts[-1]


@driver_test
async def test_the_largest_position_is_not_changed_below_a_move():
    async with Session(FocuserSimulator()) as client:
        await client.connect()
        await client.number("ABS_FOCUS_POSITION", FOCUS_ABSOLUTE_POSITION=90_000)
        await client.number("FOCUS_MAX", FOCUS_MAX_VALUE=60_000)
        assert client.state("FOCUS_MAX") == "Alert"
        await client.number("FOCUS_MAX", FOCUS_MAX_VALUE=200_000)
        assert client.state("FOCUS_MAX") == "Ok"


@driver_test
async def test_a_focuser_of_relative_moves_tells_progress_by_its_position():
    class Slow(Focuser):
        async def move_by(self, steps):
            for _ in range(100):
                await asyncio.sleep(1)
                self.position += 1

    async with Session(Slow()) as client:
        await client.connect()
        await client.press("FOCUS_MOTION", "FOCUS_OUTWARD")
        await client.number("REL_FOCUS_POSITION", FOCUS_RELATIVE_POSITION=100)
        await client.until("REL_FOCUS_POSITION", "Ok", 120)


@driver_test
async def test_a_wheel_that_was_interrupted_turns_to_any_slot():
    turned = []

    class Wheel(FilterWheel):
        async def select(self, slot):
            turned.append(slot)
            await asyncio.sleep(5)

    async with Session(Wheel()) as client:
        await client.connect()
        await client.number("FILTER_SLOT", FILTER_SLOT_VALUE=5)
        await client.advance(2)
        await client.press("CONNECTION", "DISCONNECT")
        await client.connect()
        await client.number("FILTER_SLOT", FILTER_SLOT_VALUE=1)  # where it was before
        await client.until("FILTER_SLOT", "Ok", 9)
        await client.advance(1)
        await client.number("FILTER_SLOT", FILTER_SLOT_VALUE=1)
        assert turned == [5, 1]


@driver_test
async def test_a_bias_frame_takes_the_shortest_time():
    async with Session(LoggedCamera()) as client:
        device = await client.connect()
        await client.number("CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0)
        assert client.state("CCD_EXPOSURE") == "Alert"
        await client.press("CCD_FRAME_TYPE", "FRAME_BIAS")
        await client.number("CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0)
        assert (client.state("CCD_EXPOSURE"), device.log) == ("Busy", ["begin expose 0.01"])
        await client.press("CCD_FRAME_TYPE", "FRAME_DARK")
        await client.number("CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0)
        assert client.state("CCD_EXPOSURE") == "Alert"


@driver_test
async def test_connecting_again_while_it_is_being_read():
    class Slow(FocuserSimulator):
        async def read_temperature(self):
            await asyncio.sleep(2)
            return 10.0

    async with Session(Slow()) as client:
        await client.press("CONNECTION", "CONNECT")
        await client.until("CONNECTION", "Ok", 5)
        await client.press("CONNECTION", "CONNECT")
        assert client.state("CONNECTION") == "Ok"
        await client.advance(30)
        assert client.state("CONNECTION") == "Ok"


@driver_test
async def test_what_never_answers_behind_the_definitions_holds_nothing_up():
    class Hangs(FocuserSimulator):
        answers = False

        async def read_temperature(self):
            if not self.answers:
                await asyncio.Event().wait()
            return 10.0

    async with Session(Hangs()) as client:
        device = await client.connect()
        await client.advance(200)
        device.answers = True
        await client.until("FOCUS_TEMPERATURE", "Ok", 100)
        assert client.state("CONNECTION") == "Ok"
