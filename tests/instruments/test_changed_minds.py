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


# --- parking


class Slow(Mount):
    """A mount that takes its time to end what is cancelled."""

    def __init__(self, name=None):
        super().__init__(name)
        self.log = []
        self.fault = None

    async def slew_to(self, ra, dec):
        self.log.append("slew")
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(1)

    async def park(self):
        await self.slew_to(0, 90)

    async def unpark(self):
        self.log.append("unpark")

    async def find_home(self):
        self.log.append("home")
        await asyncio.sleep(30)

    async def abort(self):
        self.log.append("abort")
        if self.fault:
            raise self.fault

    async def start_motion(self, direction, rate):
        await asyncio.sleep(0.5)
        self.log.append("start")

    async def stop_motion(self, direction):
        self.log.append("stop")


@driver_test
async def test_a_mount_that_is_unparked_twice_while_it_parks_is_stopped():
    async with Session(Slow()) as client:
        device = await client.connect()
        await client.press(PARK, "PARK")
        await client.advance(2)
        await client.press(PARK, "UNPARK")
        await client.advance(0.3)
        await client.press(PARK, "UNPARK")
        await client.until(PARK, "Ok", 5)
        assert device.log == ["slew", "abort", "unpark"]


@driver_test
async def test_a_mount_that_could_not_be_stopped_is_stopped_when_it_is_unparked_again():
    async with Session(Slow()) as client:
        device = await client.connect()
        await client.press(PARK, "PARK")
        await client.advance(2)
        device.fault = OSError("no answer")
        await client.press(PARK, "UNPARK")
        await client.until(PARK, "Alert", 5)
        device.fault = None
        await client.press(PARK, "UNPARK")
        await client.until(PARK, "Ok", 5)
        assert device.log == ["slew", "abort", "abort", "unpark"]


@driver_test
async def test_a_mount_that_slews_as_it_could_not_be_stopped_goes_on():
    async with Session(Slow()) as client:
        device = await client.connect()
        await client.press(PARK, "PARK")
        await client.advance(2)
        device.fault = OSError("no answer")
        await client.press(PARK, "UNPARK")
        await client.until(PARK, "Alert", 5)
        await client.number(EOD, RA=1, DEC=1)
        await client.advance(1)
        await client.press(PARK, "UNPARK")
        await client.advance(1)
        assert (device.log, client.state(EOD)) == (["slew", "abort", "slew"], "Busy")


class Turned(Dome):
    """A dome that takes its time for all that it does."""

    def __init__(self, name=None):
        super().__init__(name)
        self.log = []

    async def turn_to(self, azimuth):
        self.log.append("turn")
        await asyncio.sleep(0 if self.azimuth == azimuth else 30)

    async def open_shutter(self):
        self.log.append("open")
        await asyncio.sleep(30)

    async def close_shutter(self):
        await asyncio.sleep(30)

    async def abort(self):
        await asyncio.sleep(1)
        self.log.append("abort")


@driver_test
async def test_a_dome_that_is_unparked_twice_while_it_parks_is_stopped():
    async with Session(Turned()) as client:
        device = await client.connect()
        device.azimuth = 90
        await client.press(DOME_PARK, "PARK")
        await client.advance(2)
        await client.press(DOME_PARK, "UNPARK")
        await client.advance(0.3)
        await client.press(DOME_PARK, "UNPARK")
        await client.until(DOME_PARK, "Ok", 5)
        assert device.log == ["turn", "abort"]


@driver_test
async def test_a_shutter_that_unparking_opens_is_stopped_when_the_dome_parks():
    async with Session(Turned()) as client:
        device = await client.connect()
        device.parked, device.shutter_open = True, False
        await client.press("DOME_SHUTTER_PARK_POLICY", "SHUTTER_OPEN_ON_UNPARK")
        await client.press(DOME_PARK, "UNPARK")
        await client.advance(2)
        await client.press(DOME_PARK, "PARK")
        await client.advance(0.3)
        await client.press(DOME_PARK, "PARK")
        await client.until(DOME_PARK, "Ok", 5)
        assert device.log == ["open", "abort", "turn"]
        assert (client.state(SHUTTER), client.on(SHUTTER)) == ("Idle", [])


@driver_test
async def test_a_roof_that_may_not_close_answers_whichever_way_it_was_asked():
    class Roof(Dome):
        async def open_roof(self):
            await asyncio.sleep(30)

        close_roof = open_roof

    async with Session(Roof()) as client:
        device = await client.connect()
        device.parked = True
        await client.press("MOUNT_POLICY", "MOUNT_LOCKS")
        await client.press("DOME_MOTION", "DOME_CW")
        await client.advance(2)
        told = len(client.history("DOME_MOTION"))
        await client.press("DOME_MOTION", "DOME_CCW")
        await client.settle()
        assert len(client.history("DOME_MOTION")) == told + 1
        assert (client.state("DOME_MOTION"), client.on("DOME_MOTION")) == ("Busy", ["DOME_CW"])


# --- motions by hand


@pytest.mark.parametrize("homes", [False, True])
@driver_test
async def test_a_motion_by_hand_that_begins_before_a_slew_does_is_ended(homes):
    async with Session(Slow()) as client:
        device = await client.connect()
        await client.number(EOD, RA=1, DEC=1)
        await client.advance(1)
        if homes:
            await client.press(HOME, "FIND")
        else:
            await client.number(EOD, RA=2, DEC=2)
        await client.advance(0.7)  # it waits for the end of the slew before
        await client.press(NS, "MOTION_NORTH")
        await client.advance(2)
        assert (client.state(NS), client.on(NS)) == ("Idle", [])
        assert device.log == ["slew", "stop", "home" if homes else "slew"]


@driver_test
async def test_a_motion_by_hand_that_begins_while_another_is_being_stopped_can_be_stopped():
    class Lazy(Slow):
        async def start_motion(self, direction, rate):
            self.log.append("start")

        async def stop_motion(self, direction):
            await asyncio.sleep(1)
            self.log.append("stop")

    async with Session(Lazy()) as client:
        device = await client.connect()
        await client.press(NS, "MOTION_NORTH")
        await client.number(EOD, RA=1, DEC=1)
        await client.advance(0.5)
        await client.press(NS, "MOTION_NORTH")
        await client.advance(2)
        assert client.state(NS) == "Busy"
        await client.set_switch(client.name, NS, MOTION_NORTH="Off")
        await client.until(NS, "Idle", 3)
        assert device.log == ["start", "start", "stop", "slew", "stop"]


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


# --- outputs


@driver_test
async def test_a_pulse_that_was_cancelled_does_not_end_what_came_later():
    log = []

    class Deaf(Outputs):
        outputs = ("Fan",)

        async def set_output(self, number, on):
            try:
                await asyncio.sleep(0.5)
            except asyncio.CancelledError:
                pass
            log.append(on)

    async with Session(Deaf()) as client:
        await client.connect()
        await client.number("PULSE_0", DURATION=30000)
        await client.press("DIGITAL_OUTPUT_1", "ON")
        await client.advance(0.2)
        await client.press("DIGITAL_OUTPUT_1", "OFF")
        await client.advance(8)
        await client.number("PULSE_0", DURATION=0)
        await client.press("DIGITAL_OUTPUT_1", "ON")
        await client.advance(60)
        assert (log[-1], client.on("DIGITAL_OUTPUT_1")) == (True, ["ON"])


# --- receivers


@pytest.fixture
def new_york(monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_the_time_of_a_fix_without_a_zone_is_utc(new_york):
    class Receiver(GPS):
        async def read_fix(self):
            return Fix(50, 10, 100, datetime(2026, 11, 22, 18), -5)

    async def session():
        async with Session(Receiver()) as client:
            await client.connect()
            await client.until("TIME_UTC", "Ok", 5)
            assert client.values("TIME_UTC")["UTC"] == "2026-11-22T18:00:00"

    run(session)


@driver_test
async def test_a_time_that_is_about_to_be_sent_is_not_as_old_as_the_one_before():
    told = []

    class Timed(Mount):
        async def set_time(self, utc, offset):
            told.append(utc)

    class Receiver(GPS):
        now = datetime(2026, 11, 22, 18, tzinfo=UTC)

        async def read_fix(self):
            return Fix(50, 10, 100, self.now, 0)

    async with DriverHarness(InstrumentDriver(Timed("M"), Receiver("G"))) as client:
        receiver = client.driver["G"]
        await client.set_text("M", "ACTIVE_DEVICES", ACTIVE_GPS="G")
        for name in "GM":
            await client.set_switch(name, "CONNECTION", CONNECT="On")
        await client.advance(5)
        send = receiver._updates.send

        async def held_up(vector, state=None, message=""):
            if vector.name == "GEOGRAPHIC_COORD":
                await asyncio.sleep(3)
            await send(vector, state, message)

        receiver._updates.send = held_up  # as by a link that is full
        await client.advance(3600)
        receiver.now = datetime(2026, 11, 22, 19, tzinfo=UTC)
        await client.set_switch("G", "GPS_REFRESH", REFRESH="On")
        await client.advance(10)
        assert len(told) == 2
        assert (told[-1] - receiver.now).total_seconds() < 3


# --- files


@driver_test
async def test_a_wheel_does_not_turn_as_the_settings_were_saved_before_it_was_connected(home):
    turns = []

    class Wheel(FilterWheel):
        filters = ("A", "B", "C")

        async def connect(self):
            self.slot = 3

        async def select(self, slot):
            turns.append(slot)

    async with Session(Wheel()) as client:
        await client.number("POLLING_PERIOD", PERIOD_MS=500)
        await client.advance(1)
        saved = (home / ".indi" / "Wheel_config.xml").read_text()
        assert "POLLING_PERIOD" in saved
        assert "DEBUG_LEVEL" in saved
        assert "FILTER" not in saved
        await client.connect()
        await client.press("CONFIG_PROCESS", "CONFIG_LOAD")
        await client.until("CONFIG_PROCESS", "Ok")
        await client.advance(1)
        assert turns == []


@driver_test
async def test_what_xml_cannot_have_does_not_cost_the_settings(home):
    class Wheel(FilterWheel):
        async def connect(self):
            self.filters = ("Lum\x00\x00", "R\udcff", "G")

        async def select(self, slot):
            pass

    async with Session(Wheel()) as client:
        await client.connect()
        await client.number("POLLING_PERIOD", PERIOD_MS=500)
        await client.advance(1)
    root = ET.parse(home / ".indi" / "Wheel_config.xml").getroot()
    assert root.findtext("newTextVector[@name='FILTER_NAME']/oneText").strip() == "Lum"


def test_what_is_parked_is_written_though_it_is_disconnected_meanwhile(home):
    class Quick(Mount):
        async def slew_to(self, ra, dec):
            pass

        async def park(self):
            pass

    class Wheel(FilterWheel):
        async def select(self, slot):
            pass

    async def session():
        folder = home / ".indi"
        folder.mkdir()
        async with DriverHarness(InstrumentDriver(Quick("M"), Wheel("A"), Wheel("B"))) as client:
            for name in "MAB":
                await client.set_switch(name, "CONNECTION", CONNECT="On")
                await client.wait_for(name, "CONNECTION", state="Ok", timeout=30)
            mount = client.driver["M"]
            other = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(other, fcntl.LOCK_EX)  # another driver writes
                for name in "AB":
                    await client.set_text(name, "FILTER_NAME", FILTER_SLOT_NAME_1="X")
                await asyncio.sleep(0.2)
                await client.set_switch("M", PARK, PARK="On")
                async with asyncio.timeout(30):
                    while not mount.parked:
                        await asyncio.sleep(0.01)
                mount._operations.drop(PARK)  # as when it is disconnected
                await asyncio.sleep(0.2)
            finally:
                os.close(other)
            async with asyncio.timeout(30):
                while not (folder / "ParkData.xml").exists():
                    await asyncio.sleep(0.01)
        assert "<parkstatus>true</parkstatus>" in (folder / "ParkData.xml").read_text()

    asyncio.run(session())


def test_an_image_is_sent_though_the_folder_does_not_answer():
    gone = threading.Event()

    class Far(Camera):
        width = height = 8
        patience = 1.0

        async def expose(self, shot):
            return bytes(128)

        def _keep(self, data):
            gone.wait(30)
            raise OSError("gone")

    async def session():
        async with Session(Far()) as client:
            await client.press("CONNECTION", "CONNECT")
            await client.wait_for(client.name, "UPLOAD_MODE", timeout=30)
            await client.press("UPLOAD_MODE", "UPLOAD_BOTH")
            await client.number("CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0.01)
            await client.until("CCD_EXPOSURE", "Alert", 30)
            assert client.property(client.name, "CCD1").updates == 1

    try:
        asyncio.run(session())
    finally:
        gone.set()


# --- cameras


@driver_test
async def test_a_keyword_that_is_cut_does_not_describe_the_data():
    class Small(Camera):
        async def expose(self, shot):
            return b""

    async with Session(Small()) as client:
        await client.connect()
        for keyword in ("END     X", "BITPIX  X"):
            await client.text("FITS_HEADER", KEYWORD_NAME=keyword, KEYWORD_VALUE="5")
            assert client.state("FITS_HEADER") == "Alert"


@driver_test
async def test_a_camera_that_is_polled_seldom_may_cool_between_two_polls():
    class Cold(Camera):
        wanted = 20.0

        async def expose(self, shot):
            return b""

        async def set_temperature(self, celsius):
            self.wanted = celsius

        async def poll(self):
            self.temperature = self.wanted

    async with Session(Cold()) as client:
        await client.connect()
        await client.number("POLLING_PERIOD", PERIOD_MS=120000)
        await client.advance(1)
        await client.number("CCD_TEMPERATURE", CCD_TEMPERATURE_VALUE=-10)
        await client.advance(200)
        assert [state for state, _ in client.history("CCD_TEMPERATURE")][-2:] == ["Busy", "Ok"]
