"""What is cut short, is stuck, or overlaps with another: nothing is claimed that is not known."""

import asyncio

import pytest

from indipydriver.instruments import (
    Camera,
    Dome,
    DustCap,
    FilterWheel,
    Focuser,
    Guider,
    Instrument,
    Mount,
    Outputs,
    Refused,
    Rotator,
)
from indipydriver.instruments.simulators import TelescopeSimulator
from indipydriver.testing import driver_test
from tests.instruments.sessions import Session

EOD, NS = "EQUATORIAL_EOD_COORD", "TELESCOPE_TIMED_GUIDE_NS"


# --- no progress


class StuckMount(Mount):
    async def slew_to(self, ra, dec):
        await asyncio.Event().wait()

    async def park(self):
        await asyncio.Event().wait()

    async def find_home(self):
        await asyncio.Event().wait()

    async def poll(self):
        self.coordinates = 3, 4


class StuckFocuser(Focuser):
    async def move_to(self, position):
        await asyncio.Event().wait()

    async def poll(self):
        self.position = 500


class StuckRotator(Rotator):
    async def turn_to(self, angle):
        await asyncio.Event().wait()

    async def home(self):
        await asyncio.Event().wait()

    async def poll(self):
        self.angle = 5


class StuckDome(Dome):
    async def turn_to(self, azimuth):
        await asyncio.Event().wait()

    async def poll(self):
        self.azimuth = 5


class StuckWheel(FilterWheel):
    async def select(self, slot):
        await asyncio.Event().wait()

    async def poll(self):
        self.slot = 2


@pytest.mark.parametrize(
    ("kind", "vector", "what"),
    [
        (StuckMount, EOD, {"RA": 1, "DEC": 1}),
        (StuckMount, "TELESCOPE_PARK", "PARK"),
        (StuckMount, "TELESCOPE_HOME", "FIND"),
        (StuckFocuser, "ABS_FOCUS_POSITION", {"FOCUS_ABSOLUTE_POSITION": 10}),
        (StuckFocuser, "REL_FOCUS_POSITION", {"FOCUS_RELATIVE_POSITION": 10}),
        (StuckRotator, "ABS_ROTATOR_ANGLE", {"ANGLE": 100}),
        (StuckRotator, "ROTATOR_HOME", "HOME"),
        (StuckDome, "ABS_DOME_POSITION", {"DOME_ABSOLUTE_POSITION": 100}),
        (StuckDome, "REL_DOME_POSITION", {"DOME_RELATIVE_POSITION": 100}),
        (StuckDome, "DOME_PARK", "PARK"),
        (StuckWheel, "FILTER_SLOT", {"FILTER_SLOT_VALUE": 3}),
    ],
)
@driver_test
async def test_what_is_stuck_is_told_though_it_is_polled(kind, vector, what):
    async with Session(kind()) as client:
        await client.connect()
        await client.advance(2)
        await (client.press(vector, what) if isinstance(what, str) else client.number(vector, **what))
        assert client.state(vector) == "Busy"
        await client.until(vector, "Alert", 70)


@driver_test
async def test_what_was_asked_for_may_take_as_long_as_it_was_asked_for():
    class Box(Outputs, Guider):
        outputs = ("Flat panel",)

        async def set_output(self, number, on):
            await asyncio.sleep(0.1)

        async def guide(self, direction, seconds):
            await asyncio.sleep(seconds + 0.1)

    async with Session(Box()) as client:
        await client.connect()
        await client.number("PULSE_0", DURATION=60_000)
        await client.press("DIGITAL_OUTPUT_1", "ON")
        await client.number(NS, TIMED_GUIDE_N=60_000, TIMED_GUIDE_S=0)
        await client.until("PULSE_0", "Ok", 70)
        await client.until(NS, "Idle", 70)
        assert client.on("DIGITAL_OUTPUT_1") == ["OFF"]


@driver_test
async def test_a_video_of_the_longest_frames_goes_on():
    class Slow(Camera):
        width, height = 8, 8

        async def expose(self, shot):
            return bytes(2 * shot.columns * shot.rows)

        async def capture_frame(self, shot):
            await asyncio.sleep(shot.seconds + 1)
            return bytes(shot.width * shot.height)

    async with Session(Slow()) as client:
        await client.connect()
        await client.number("STREAMING_EXPOSURE", STREAMING_EXPOSURE_VALUE=60)
        await client.press("CCD_VIDEO_STREAM", "STREAM_ON")
        await client.advance(200)
        assert client.state("CCD_VIDEO_STREAM") == "Busy"


# --- disconnected half way


class Slow:
    """What opens and closes within ten seconds."""

    stuck = False
    refuses = False

    async def move(self):
        if self.refuses:
            raise Refused("Not now")
        await asyncio.sleep(10)
        if self.stuck:
            raise OSError("stuck")


class SlowCap(Slow, DustCap):
    async def open_cap(self):
        await self.move()

    async def close_cap(self):
        await self.move()

    async def disconnect(self):
        if self.refuses:
            raise Refused("Not now")


class SlowDome(Slow, Dome):
    async def turn_to(self, azimuth):
        pass

    async def open_shutter(self):
        await self.move()

    async def close_shutter(self):
        await self.move()


@driver_test
async def test_a_cap_that_was_left_half_way_is_not_closed():
    async with Session(SlowCap()) as client:
        device = await client.connect()
        await client.press("CAP_PARK", "UNPARK")
        await client.until("CAP_PARK", "Ok", 12)
        await client.press("CAP_PARK", "PARK")
        await client.press("CONNECTION", "DISCONNECT")
        await client.connect()
        assert device.closed is None
        assert client.on("CAP_PARK") == []
        await client.press("CAP_PARK", "PARK")
        device.refuses = True
        await client.press("CONNECTION", "DISCONNECT")
        assert (client.state("CAP_PARK"), client.on("CAP_PARK")) == ("Idle", [])


@pytest.mark.parametrize("fails", [False, True])
@driver_test
async def test_a_shutter_that_was_left_half_way_is_not_closed(fails):
    async with Session(SlowDome()) as client:
        device = await client.connect()
        await client.press("DOME_SHUTTER", "SHUTTER_OPEN")
        await client.until("DOME_SHUTTER", "Ok", 12)
        device.stuck = fails
        await client.press("DOME_SHUTTER", "SHUTTER_CLOSE")
        if fails:
            await client.until("DOME_SHUTTER", "Alert", 12)
        await client.press("CONNECTION", "DISCONNECT")
        await client.connect()
        assert device.shutter_open is None
        assert (client.state("DOME_SHUTTER"), client.on("DOME_SHUTTER")) == ("Idle", [])
        device.stuck = False
        await client.press("DOME_SHUTTER", "SHUTTER_CLOSE")
        await client.until("DOME_SHUTTER", "Ok", 12)
        await client.press("CONNECTION", "DISCONNECT")
        await client.connect()
        assert (client.state("DOME_SHUTTER"), client.on("DOME_SHUTTER")) == ("Ok", ["SHUTTER_CLOSE"])


@driver_test
async def test_nothing_remains_of_what_a_disconnection_has_ended():
    class Port(Rotator, Guider):
        async def turn_to(self, angle):
            pass

        async def home(self):
            await asyncio.sleep(10)

        async def guide(self, direction, seconds):
            await asyncio.sleep(seconds)

    async with Session(Port()) as client:
        await client.connect()
        await client.press("ROTATOR_HOME", "HOME")
        await client.number(NS, TIMED_GUIDE_N=5000, TIMED_GUIDE_S=0)
        await client.press("CONNECTION", "DISCONNECT")
        await client.connect()
        assert client.on("ROTATOR_HOME") == []
        assert client.value(NS) == 0


class Obstinate:
    """What is never disconnected."""

    async def disconnect(self):
        raise Refused("Not now")


@driver_test
async def test_what_a_refused_disconnection_has_ended_is_not_claimed():
    class Filmed(Obstinate, Camera):
        width, height = 8, 8

        async def expose(self, shot):
            await asyncio.sleep(shot.seconds)
            return bytes(2 * shot.columns * shot.rows)

        async def capture_frame(self, shot):
            await asyncio.sleep(1)
            return bytes(shot.width * shot.height)

    async with Session(Filmed()) as client:
        await client.connect()
        await client.press("CCD_VIDEO_STREAM", "STREAM_ON")
        await client.press("CONNECTION", "DISCONNECT")
        assert (client.state("CCD_VIDEO_STREAM"), client.on("CCD_VIDEO_STREAM")) == ("Idle", ["STREAM_OFF"])
        await client.press("CCD_FAST_TOGGLE", "INDI_ENABLED")
        await client.number("CCD_FAST_COUNT", FRAMES=3)
        await client.number("CCD_EXPOSURE", CCD_EXPOSURE_VALUE=1)
        await client.advance(1.5)
        assert client.state("CCD_FAST_COUNT") == "Busy"
        await client.press("CONNECTION", "DISCONNECT")
        await client.until("CCD_FAST_COUNT", "Idle")
        assert (client.state("CCD_EXPOSURE"), client.value("CCD_EXPOSURE")) == ("Idle", 0)

    class Parked(Obstinate, SlowDome):
        async def turn_to(self, azimuth):
            await asyncio.sleep(10)

    async with Session(Parked()) as client:
        device = await client.connect()
        await client.press("DOME_PARK", "PARK")
        await client.press("CONNECTION", "DISCONNECT")
        assert (client.state("DOME_PARK"), client.on("DOME_PARK")) == ("Idle", ["UNPARK"])
        assert not device.parked
        await client.number("ABS_DOME_POSITION", DOME_ABSOLUTE_POSITION=90)
        assert client.on("DOME_MOTION") == ["DOME_CW"]
        await client.press("CONNECTION", "DISCONNECT")
        assert (client.state("DOME_MOTION"), client.on("DOME_MOTION")) == ("Idle", [])


@driver_test
async def test_it_is_disconnected_when_polling_has_ended():
    class Careful(Instrument):
        log = ()

        async def poll(self):
            try:
                await asyncio.sleep(5)
            finally:
                await asyncio.sleep(1)
                self.log += ("polled",)

        async def disconnect(self):
            self.log += ("disconnected",)

    async with Session(Careful()) as client:
        device = await client.connect()
        await client.advance(0.1)
        await client.press("CONNECTION", "DISCONNECT")
        await client.until("CONNECTION", "Idle", 10)
        assert device.log == ("polled", "disconnected")


# --- one after the other


@pytest.mark.parametrize(
    ("vector", "what"),
    [
        ("TELESCOPE_ABORT_MOTION", "ABORT"),
        ("TELESCOPE_PARK", "PARK"),
        ("TELESCOPE_HOME", "GO"),
        (EOD, {"RA": 1, "DEC": 1}),
    ],
)
@driver_test
async def test_a_mount_that_is_aborted_or_sent_away_is_not_guided_any_more(vector, what):
    async with Session(TelescopeSimulator()) as client:
        await client.connect()
        await client.number("GEOGRAPHIC_COORD", LAT=50, LONG=10, ELEV=0)
        await client.number(NS, TIMED_GUIDE_N=60_000, TIMED_GUIDE_S=0)
        assert client.state(NS) == "Busy"
        await (client.press(vector, what) if isinstance(what, str) else client.number(vector, **what))
        await client.until(NS, "Idle", 1, TIMED_GUIDE_N="0")


class Filming(Camera):
    """Hardware that needs a second to stop, and more to abort."""

    width, height = 8, 8

    def __init__(self):
        super().__init__()
        self.log = []

    async def work(self, what, seconds):
        self.log.append(f"begin {what}")
        try:
            await asyncio.sleep(seconds)
        finally:
            await asyncio.sleep(1)
            self.log.append(f"end {what}")

    async def expose(self, shot):
        await self.work("exposure", shot.seconds)
        return bytes(2 * shot.columns * shot.rows)

    async def abort(self):
        await self.work("abort", 1)

    async def capture_frame(self, shot):
        await self.work("frame", 5)
        return bytes(shot.width * shot.height)


@driver_test
async def test_a_video_begins_when_the_exposure_has_been_aborted():
    async with Session(Filming()) as client:
        device = await client.connect()
        await client.number("CCD_EXPOSURE", CCD_EXPOSURE_VALUE=10)
        await client.advance(0.1)
        abort = asyncio.create_task(client.press("CCD_ABORT_EXPOSURE", "ABORT"))
        await asyncio.sleep(0.1)
        await client.press("CCD_VIDEO_STREAM", "STREAM_ON")
        await abort
        await client.advance(6)
        assert device.log[:5] == ["begin exposure", "end exposure", "begin abort", "end abort", "begin frame"]


@driver_test
async def test_an_exposure_begins_when_the_video_has_ended():
    async with Session(Filming()) as client:
        device = await client.connect()
        await client.press("CCD_VIDEO_STREAM", "STREAM_ON")
        await client.advance(0.1)
        stop = asyncio.create_task(client.press("CCD_VIDEO_STREAM", "STREAM_OFF"))
        await asyncio.sleep(0.1)
        await client.number("CCD_EXPOSURE", CCD_EXPOSURE_VALUE=1)
        await stop
        await client.until("CCD_EXPOSURE", "Ok", 10)
        assert device.log == ["begin frame", "end frame", "begin exposure", "end exposure"]


class Halting:
    """Hardware that needs three seconds to stop."""

    def __init__(self):
        super().__init__()
        self.log = []

    async def abort(self):
        await asyncio.sleep(3)
        self.log.append("stopped")

    async def sync(self, *place):
        self.log.append("synchronised")


class HaltingFocuser(Halting, Focuser):
    async def move_to(self, position):
        await asyncio.sleep(30)


class HaltingRotator(Halting, Rotator):
    async def turn_to(self, angle):
        await asyncio.sleep(30)


class HaltingDome(Halting, Dome):
    async def turn_to(self, azimuth):
        await asyncio.sleep(30)


class HaltingMount(Halting, Mount, Guider):
    async def slew_to(self, ra, dec):
        await asyncio.sleep(30)

    async def guide(self, direction, seconds):
        self.log.append("guided")


@pytest.mark.parametrize(
    ("kind", "move", "abort", "then"),
    [
        (
            HaltingFocuser,
            ("ABS_FOCUS_POSITION", {"FOCUS_ABSOLUTE_POSITION": 10}),
            "FOCUS_ABORT_MOTION",
            ("FOCUS_SYNC", {"FOCUS_SYNC_VALUE": 5}),
        ),
        (
            HaltingRotator,
            ("ABS_ROTATOR_ANGLE", {"ANGLE": 10}),
            "ROTATOR_ABORT_MOTION",
            ("SYNC_ROTATOR_ANGLE", {"ANGLE": 5}),
        ),
        (
            HaltingDome,
            ("ABS_DOME_POSITION", {"DOME_ABSOLUTE_POSITION": 10}),
            "DOME_ABORT_MOTION",
            ("DOME_SYNC", {"DOME_SYNC_VALUE": 5}),
        ),
        (
            HaltingMount,
            (EOD, {"RA": 1, "DEC": 1}),
            "TELESCOPE_ABORT_MOTION",
            (NS, {"TIMED_GUIDE_N": 100, "TIMED_GUIDE_S": 0}),
        ),
    ],
)
@driver_test
async def test_it_is_synchronised_and_guided_when_it_stands_still(kind, move, abort, then):
    async with Session(kind()) as client:
        device = await client.connect()
        await client.number(move[0], **move[1])
        await client.advance(1)
        stop = asyncio.create_task(client.press(abort, "ABORT"))
        await asyncio.sleep(1)
        await client.number(then[0], **then[1])
        await stop
        await client.advance(5)
        assert device.log[0] == "stopped"
        assert len(device.log) == 2


@driver_test
async def test_a_camera_is_cooled_though_the_cooler_was_just_being_switched_off():
    class Cold(Camera):
        width, height = 8, 8
        is_on, wanted, now = False, 20.0, 20.0

        async def expose(self, shot):
            return b""

        async def set_temperature(self, celsius):
            self.is_on, self.wanted = True, celsius

        async def set_cooler(self, on):
            await asyncio.sleep(3)
            self.is_on = on

        async def poll(self):
            if self.is_on:
                self.now += max(-1, min(1, self.wanted - self.now))
            self.temperature = self.now

    async with Session(Cold()) as client:
        await client.connect()
        await client.number("CCD_TEMPERATURE", CCD_TEMPERATURE_VALUE=10)
        await client.advance(2)
        off = asyncio.create_task(client.press("CCD_COOLER", "COOLER_OFF"))
        await asyncio.sleep(0.5)
        await client.number("CCD_TEMPERATURE", CCD_TEMPERATURE_VALUE=5)
        await off
        await client.until("CCD_TEMPERATURE", "Ok", 60)
        assert client.value("CCD_TEMPERATURE") == 5
        assert client.on("CCD_COOLER") == ["COOLER_ON"]


# --- filter wheels


@driver_test
async def test_the_slot_in_the_light_is_not_turned_to_again():
    class Wheel(FilterWheel):
        turned = 0

        async def select(self, slot):
            self.turned += 1
            self.slot = slot

    async with Session(Wheel()) as client:
        device = await client.connect()
        for _ in range(2):
            await client.number("FILTER_SLOT", FILTER_SLOT_VALUE=7)
            await client.until("FILTER_SLOT", "Ok", 1, FILTER_SLOT_VALUE="7")
        assert device.turned == 1
        await client.press("CONNECTION", "DISCONNECT")
        device.filters = ("Red", "Green", "Blue")
        await client.connect()
        assert client.value("FILTER_SLOT") == 3  # no more than there are
        await client.number("FILTER_SLOT", FILTER_SLOT_VALUE=3)
        assert device.turned == 2
