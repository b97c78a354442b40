"""Commands in place of others before those have begun or ended, and values as clients, receivers and hardware have them."""

import asyncio
import contextlib
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
from indipydriver.instruments.simulators import RotatorSimulator, WeatherSimulator
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


@contextlib.asynccontextmanager
async def parking(made, name):
    """The client of a device that parks, and the device."""
    async with Session(made) as client:
        device = await client.connect()
        if isinstance(device, Dome):
            device.azimuth = 90
        await client.press(name, "PARK")
        await client.advance(2)
        yield client, device


@driver_test
async def test_a_mount_that_is_unparked_twice_while_it_parks_is_stopped():
    async with parking(Slow(), PARK) as (client, device):
        await client.press(PARK, "UNPARK")
        await client.advance(0.3)
        await client.press(PARK, "UNPARK")
        await client.until(PARK, "Ok", 5)
        assert device.log == ["slew", "abort", "unpark"]


@driver_test
async def test_a_mount_that_could_not_be_stopped_is_stopped_when_it_is_unparked_again():
    async with parking(Slow(), PARK) as (client, device):
        device.fault = OSError("no answer")
        await client.press(PARK, "UNPARK")
        await client.until(PARK, "Alert", 5)
        device.fault = None
        await client.press(PARK, "UNPARK")
        await client.until(PARK, "Ok", 5)
        assert device.log == ["slew", "abort", "abort", "unpark"]


@driver_test
async def test_a_mount_that_slews_as_it_could_not_be_stopped_goes_on():
    async with parking(Slow(), PARK) as (client, device):
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
    async with parking(Turned(), DOME_PARK) as (client, device):
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

    def keep(self, data):
        gone.wait(30)
        raise OSError("gone")

    Far._keep = keep

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


# --- what is and what is said


@driver_test
async def test_a_weather_station_that_is_lost_is_not_safe():
    async with Session(WeatherSimulator()) as client:
        device = await client.connect()
        await client.advance(1)
        assert device.safe
        await client.press("SIMULATED_FAULT", "LOST")
        await client.until("CONNECTION", "Alert", 10)
        assert not device.safe


class Cooled(Camera):
    """A camera whose cooler is switched apart from its temperature."""

    is_on, wanted, fault = False, 20.0, None

    async def expose(self, shot):
        return b""

    async def set_temperature(self, celsius):
        self.wanted = celsius

    async def set_cooler(self, on):
        if self.fault:
            raise self.fault
        self.is_on = on

    async def poll(self):
        way = (self.wanted if self.is_on else 20) - self.temperature
        self.temperature += max(-1, min(1, way))


@driver_test
async def test_a_cooler_that_is_said_to_be_on_is_on():
    async with Session(Cooled()) as client:
        device = await client.connect()
        device.temperature = 20
        await client.number("CCD_TEMPERATURE", CCD_TEMPERATURE_VALUE=10)
        await client.until("CCD_TEMPERATURE", "Ok", 60)
        assert (client.on("CCD_COOLER"), device.is_on) == (["COOLER_ON"], True)
        await client.press("CCD_COOLER", "COOLER_OFF")
        device.fault = OSError("no power")
        await client.number("CCD_TEMPERATURE", CCD_TEMPERATURE_VALUE=5)
        await client.until("CCD_TEMPERATURE", "Alert", 5)
        assert (client.state("CCD_COOLER"), client.on("CCD_COOLER"), device.is_on) == ("Alert", ["COOLER_OFF"], False)


class Ponderous(Cooled):
    async def set_cooler(self, on):
        await asyncio.sleep(2)
        await super().set_cooler(on)


@driver_test
@pytest.mark.parametrize("pause", [0, 1])
async def test_a_cooler_is_switched_on_though_another_temperature_is_wanted_at_once(pause):
    async with Session(Ponderous()) as client:
        device = await client.connect()
        device.temperature = 20
        await client.number("CCD_TEMPERATURE", CCD_TEMPERATURE_VALUE=10)
        if pause:
            await client.advance(pause)
        await client.number("CCD_TEMPERATURE", CCD_TEMPERATURE_VALUE=5)
        await client.until("CCD_TEMPERATURE", "Ok", 60)
        assert (client.on("CCD_COOLER"), device.is_on, device.wanted) == (["COOLER_ON"], True, 5)


@driver_test
@pytest.mark.parametrize("what", ["off", "stuck", "disconnect"])
async def test_a_cooler_that_was_not_switched_on_in_the_end_is_off(what, monkeypatch):
    if what == "stuck":
        monkeypatch.setattr(Ponderous, "patience", 0.5)
        monkeypatch.setattr(Ponderous, "poll", Camera.poll)  # nothing is measured
    async with Session(Ponderous()) as client:
        device = await client.connect()
        await client.number("CCD_TEMPERATURE", CCD_TEMPERATURE_VALUE=10)
        await client.advance(0.5)
        if what == "off":
            device.fault = OSError("no power")
            await client.press("CCD_COOLER", "COOLER_OFF")
        elif what == "disconnect":
            await client.press("CONNECTION", "DISCONNECT")
            await client.advance(1)
            await client.connect()
        await client.advance(5)
        assert (client.on("CCD_COOLER"), device.is_on) == (["COOLER_OFF"], False)


@driver_test
async def test_a_cooler_that_is_on_is_shown_as_on_though_the_temperature_is_not_reached(monkeypatch):
    monkeypatch.setattr(Ponderous, "patience", 10)
    monkeypatch.setattr(Ponderous, "poll", Camera.poll)  # nothing is measured
    async with Session(Ponderous()) as client:
        device = await client.connect()
        await client.press("CCD_COOLER", "COOLER_ON")
        await client.number("CCD_TEMPERATURE", CCD_TEMPERATURE_VALUE=-10)  # while it is being switched on
        await client.until("CCD_TEMPERATURE", "Alert", 20)
        assert (client.on("CCD_COOLER"), device.is_on) == (["COOLER_ON"], True)


class Twisted(Rotator):
    """A rotator that turns the shorter way, with cables."""

    def __init__(self, name=None):
        super().__init__(name)
        self.hardware = 90.0
        self.sign = 1
        self.twist = self.most = 0.0

    async def turn_to(self, angle):
        while abs(way := (self.sign * angle - self.hardware + 180) % 360 - 180) > 1e-6:
            await asyncio.sleep(0.1)
            step = max(-1, min(1, way))
            self.hardware += step
            self.twist += step
            self.most = max(self.most, abs(self.twist))

    async def set_reverse(self, reverse):
        self.sign = -1 if reverse else 1

    async def poll(self):
        self.angle = self.sign * self.hardware


@driver_test
async def test_the_shorter_way_does_not_lead_out_of_the_safe_range():
    async with Session(Twisted()) as client:
        device = await client.connect()
        await client.advance(2)
        await client.number("ROTATOR_LIMITS", ROTATOR_LIMITS_VALUE=300)
        for angle in (230, 310, 200):
            await client.number(ANGLE, ANGLE=angle)
            await client.until(ANGLE, "Ok", 100)
            await client.advance(2)
            assert client.value(ANGLE) == angle
        assert device.most <= 150


@driver_test
async def test_the_safe_range_stays_where_it_was_when_angles_grow_the_other_way():
    async with Session(Twisted()) as client:
        device = await client.connect()
        await client.advance(2)
        await client.number("ROTATOR_LIMITS", ROTATOR_LIMITS_VALUE=60)
        await client.number(ANGLE, ANGLE=110)
        await client.until(ANGLE, "Ok", 10)
        await client.press("ROTATOR_REVERSE", "INDI_ENABLED")
        await client.advance(2)
        assert device.angle == 250
        for angle, state in ((90, "Alert"), (235, "Alert"), (245, "Ok"), (299, "Ok"), (301, "Alert")):
            await client.number(ANGLE, ANGLE=angle)
            await client.advance(30)
            assert client.state(ANGLE) == state, angle
        assert device.most <= 30


@driver_test
async def test_the_safe_range_stays_where_it_was_when_the_direction_is_changed_and_changed_back():
    async with Session(Twisted()) as client:
        await client.connect()
        await client.advance(2)
        await client.number("POLLING_PERIOD", PERIOD_MS=60000)
        await client.number("ROTATOR_LIMITS", ROTATOR_LIMITS_VALUE=60)
        await client.number(ANGLE, ANGLE=110)
        await client.until(ANGLE, "Ok", 10)
        for member in ("INDI_ENABLED", "INDI_DISABLED"):
            await client.press("ROTATOR_REVERSE", member)
        await client.number("POLLING_PERIOD", PERIOD_MS=1000)
        await client.advance(60)
        for angle, state in ((130, "Alert"), (115, "Ok"), (65, "Ok"), (59, "Alert")):
            await client.number(ANGLE, ANGLE=angle)
            await client.advance(70)
            assert client.state(ANGLE) == state, angle


@driver_test
async def test_a_part_of_a_colour_image_says_where_in_the_matrix_it_begins():
    class Coloured(Camera):
        width = height = 64
        bits = 8
        bayer = "RGGB"
        has_subframes = True

        async def expose(self, shot):
            return bytes(shot.columns * shot.rows)

    async with Session(Coloured()) as client:
        await client.connect()
        for x, y in ((0, 0), (11, 6), (10, 7)):
            await client.number("CCD_FRAME", X=x, Y=y, WIDTH=20, HEIGHT=20)
            await client.number("CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0.1)
            await client.until("CCD_EXPOSURE", "Ok", 5)
            image = next(m for m in reversed(client.messages) if getattr(m, "name", "") == "CCD1").members[0].data
            cards = {image[n : n + 8].decode().strip(): image[n + 10 : n + 30].strip() for n in range(0, 2880, 80)}
            assert (int(cards["XBAYROFF"]), int(cards["YBAYROFF"])) == (x % 2, y % 2)


@driver_test
async def test_a_mount_parks_where_was_wanted_last():
    class Parked(Mount):
        park_axes = "RA_DEC"

        async def slew_to(self, ra, dec):
            pass

        async def park(self):
            self.place = self.park_position

    async with Session(Parked()) as client:
        device = await client.connect()
        async with asyncio.TaskGroup() as group:
            for dec in (10, 20):
                group.create_task(client.number("TELESCOPE_PARK_POSITION", PARK_RA=1, PARK_DEC=dec))
            group.create_task(client.press(PARK, "PARK"))
        await client.until(PARK, "Ok", 5)
        assert device.place == (1, 20)
