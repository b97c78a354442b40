"""What happens in a night: partners that were read long ago, motions in place of others, settings that are hidden."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from indipydriver import Device, TextMember, TextVector
from indipydriver.instruments import (
    GPS,
    Camera,
    Dome,
    FilterWheel,
    Fix,
    Focuser,
    InstrumentDriver,
    LightBox,
    Mount,
    Network,
    Reading,
    Rotator,
    Serial,
    WeatherStation,
)
from indipydriver.instruments.simulators import CCDSimulator
from indipydriver.protocol.messages import DefMember, DefVector
from indipydriver.protocol.tags import Permission, State, VectorKind
from indipydriver.testing import DriverHarness, driver_test, run
from tests.instruments.sessions import Session
from tests.instruments.test_odd_partners import news, park

EOD, TARGET, PARK = "EQUATORIAL_EOD_COORD", "TARGET_EOD_COORD", "TELESCOPE_PARK"
DOME_PARK, SHUTTER = "DOME_PARK", "DOME_SHUTTER"


# --- the time of a receiver


def definition(where, **members):
    """The definition of a text in another driver."""
    values = tuple(DefMember(name, value) for name, value in members.items())
    return DefVector(VectorKind.TEXT, *where, State.OK, values, perm=Permission.READ_ONLY)


class Timed(Mount):
    def __init__(self, name=None):
        super().__init__(name)
        self.told = []

    async def set_time(self, utc, offset):
        self.told.append(utc)


class Once(GPS):
    async def read_fix(self):
        return Fix(50, 10, 100, datetime(2026, 11, 22, 18, tzinfo=UTC), 0)


@driver_test
async def test_a_mount_that_is_connected_again_does_not_go_back_to_the_time_of_the_evening():
    async with DriverHarness(InstrumentDriver(Timed("M"), Once("G"))) as client:
        await client.set_text("M", "ACTIVE_DEVICES", ACTIVE_GPS="G")
        for name in "GM":
            await client.set_switch(name, "CONNECTION", CONNECT="On")
        await client.advance(3)
        told = client.driver["M"].told
        assert told == [pytest.approx(datetime(2026, 11, 22, 18, tzinfo=UTC), abs=timedelta(seconds=3))]
        await client.set_switch("M", "CONNECTION", DISCONNECT="On")
        await client.advance(2 * 3600)
        await client.set_switch("M", "CONNECTION", CONNECT="On")
        await client.advance(3)
        assert told[1:] == [pytest.approx(datetime(2026, 11, 22, 20, tzinfo=UTC), abs=timedelta(seconds=15))]


@driver_test
async def test_the_time_of_a_receiver_is_later_when_it_was_sent_earlier_and_not_known_when_it_is_only_defined():
    time = {"UTC": "2026-11-22T18:00:00", "OFFSET": "0"}
    async with Session(Timed("M")) as client:
        await client.text("ACTIVE_DEVICES", ACTIVE_GPS="G")
        await client.send(definition(("G", "TIME_UTC"), **time))
        device = await client.connect()
        await client.advance(3)
        assert device.told == []
        await client.send(news(("G", "TIME_UTC"), VectorKind.TEXT, "Ok", **time))
        await client.advance(3)
        assert device.told == [datetime(2026, 11, 22, 18, tzinfo=UTC)]
        await client.press("CONNECTION", "DISCONNECT")
        await client.advance(600)
        await client.send(definition(("G", "TIME_UTC"), **time))  # as it is asked for again
        await client.connect()
        await client.advance(3)
        assert device.told[1:] == [pytest.approx(datetime(2026, 11, 22, 18, 10, tzinfo=UTC), abs=timedelta(seconds=9))]


@driver_test
async def test_a_receiver_that_the_author_has_made_tells_the_time_when_it_changes():
    members = [TextMember("UTC", membervalue="2026-11-22T18:00:00"), TextMember("OFFSET", membervalue="1")]
    time = TextVector("TIME_UTC", "UTC", "Site", "ro", "Ok", members)
    async with DriverHarness(InstrumentDriver(Timed("M"), Device("G", [time]))) as client:
        await client.set_text("M", "ACTIVE_DEVICES", ACTIVE_GPS="G")
        await client.set_switch("M", "CONNECTION", CONNECT="On")
        await client.advance(5)
        told = client.driver["M"].told
        assert told == []
        time["UTC"] = "2026-11-22T19:30:00"
        await time.send_setVector()
        await client.advance(5)
        assert told == [datetime(2026, 11, 22, 19, 30, tzinfo=UTC)]


@driver_test
async def test_a_location_and_a_time_that_the_hardware_did_not_take_are_told_again_a_few_times():
    class Busy(Mount):
        fails = 1

        def __init__(self, name):
            self.told = []
            super().__init__(name)

        def note(self, what):
            self.told.append(what)
            if self.told.count(what) <= self.fails:
                raise TimeoutError("busy")

        async def set_location(self, latitude, longitude, elevation):
            self.note(latitude)

        async def set_time(self, utc, offset):
            self.note("time")

    async with Session(Busy("M")) as client:
        device = await client.connect()
        await client.text("ACTIVE_DEVICES", ACTIVE_GPS="G")
        place, time = ("G", "GEOGRAPHIC_COORD"), ("G", "TIME_UTC")
        await client.send(news(time, VectorKind.TEXT, "Ok", UTC="2026-11-22T18:00:00", OFFSET="0"))
        await client.send(news(place, VectorKind.NUMBER, "Ok", LAT="50", LONG="11", ELEV="0"))
        await client.advance(300)
        assert sorted(map(str, device.told)) == ["50.0", "50.0", "time", "time"]
        assert (client.state("GEOGRAPHIC_COORD"), client.state("TIME_UTC")) == ("Ok", "Ok")
        device.fails = 100
        await client.send(news(time, VectorKind.TEXT, "Ok", UTC="2026-11-22T19:00:00", OFFSET="0"))
        await client.send(news(place, VectorKind.NUMBER, "Ok", LAT="51", LONG="11", ELEV="0"))
        await client.advance(900)
        assert (device.told.count(51), device.told.count("time")) == (4, 6)
        assert (client.state("GEOGRAPHIC_COORD"), client.state("TIME_UTC")) == ("Alert", "Alert")


# --- partners


@pytest.mark.parametrize("changed", [{"ACTIVE_FILTER": "W"}, {"ACTIVE_FOCUSER": "F"}])
@driver_test
async def test_what_is_known_of_a_partner_that_stays_is_not_forgotten(changed):
    async with Session(CCDSimulator()) as client:
        device = await client.connect()
        await client.text("ACTIVE_DEVICES", ACTIVE_FILTER="W")
        await client.send(news(("W", "FILTER_SLOT"), VectorKind.NUMBER, "Ok", FILTER_SLOT_VALUE="2"))
        await client.text("ACTIVE_DEVICES", **changed)
        assert device._seen("ACTIVE_FILTER", "FILTER_SLOT")
        await client.text("ACTIVE_DEVICES", ACTIVE_FILTER="")
        assert not device._seen("ACTIVE_FILTER", "FILTER_SLOT")
        assert ("W", "FILTER_SLOT") not in client.driver.snoopvectors


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


# --- motions in place of others


class Pier(Mount):
    """A mount that moves on until it is stopped, as hardware does."""

    def __init__(self, name=None):
        super().__init__(name)
        self.way = None
        self.log = []

    async def poll(self):
        if self.way is not None:
            ra, dec = self.coordinates
            self.coordinates = ra, dec + max(-1, min(1, self.way - dec))

    async def slew_to(self, ra, dec):
        self.log.append("slew")
        self.way = dec
        while self.coordinates[1] != dec:
            await asyncio.sleep(0.2)
        self.way = None

    async def abort(self):
        self.log.append("abort")
        self.way = None

    async def park(self):
        await self.slew_to(0, 80)

    async def unpark(self):
        self.log.append("unpark")

    async def set_home(self):
        self.log.append("home is here")

    async def find_home(self):
        await self.slew_to(0, 10)

    async def start_motion(self, direction, rate):
        self.log.append("start")

    async def stop_motion(self, direction):
        self.log.append("stop")


@driver_test
async def test_the_home_position_is_not_set_while_it_slews():
    async with Session(Pier()) as client:
        device = await client.connect()
        await client.number(EOD, RA=5, DEC=40)
        await client.advance(3)
        await client.press("TELESCOPE_HOME", "SET")
        await client.advance(2)
        assert (client.state("TELESCOPE_HOME"), client.on("TELESCOPE_HOME")) == ("Alert", [])
        assert (client.state(EOD), device.log) == ("Busy", ["slew"])


@driver_test
async def test_a_mount_that_is_unparked_while_it_parks_stands_still():
    async with Session(Pier()) as client:
        device = await client.connect()
        await client.press(PARK, "PARK")
        await client.advance(5)
        await client.press(PARK, "UNPARK")
        await client.advance(2)
        assert device.log == ["slew", "abort", "unpark"]
        assert (device.way, client.state(PARK), client.on(PARK), client.state(EOD)) == (None, "Ok", ["UNPARK"], "Idle")


@pytest.mark.parametrize("homes", [False, True])
@driver_test
async def test_a_motion_by_hand_ends_when_it_slews(homes):
    async with Session(Pier()) as client:
        device = await client.connect()
        await client.press("TELESCOPE_MOTION_NS", "MOTION_NORTH")
        await client.advance(1)
        if homes:
            await client.press("TELESCOPE_HOME", "FIND")
        else:
            await client.number(EOD, RA=5, DEC=40)
        await client.advance(2)
        assert device.log == ["start", "stop", "slew"]
        assert (client.state("TELESCOPE_MOTION_NS"), client.on("TELESCOPE_MOTION_NS")) == ("Idle", [])
        if not homes:
            assert float(client.values(TARGET)["DEC"]) == 40


@driver_test
async def test_a_mount_that_parks_below_a_closed_roof_goes_on():
    async with Session(Pier()) as client:
        await client.connect()
        await client.press("DOME_POLICY", "DOME_LOCKS")
        await client.text("ACTIVE_DEVICES", ACTIVE_DOME="Far Roof")
        await client.press(PARK, "PARK")
        await client.advance(2)
        await client.press(PARK, "UNPARK")
        assert (client.state(PARK), client.on(PARK)) == ("Busy", ["PARK"])
        await client.until(PARK, "Ok", 200, PARK="On")


class Turned(Dome):
    """A dome that turns on until it is stopped, with a shutter that takes its time, or fails."""

    park_azimuth = 90.0

    def __init__(self, name=None):
        super().__init__(name)
        self.way = None
        self.fault = None

    async def poll(self):
        if self.way is not None:
            self.azimuth += max(-1, min(1, self.way - self.azimuth))

    async def turn_to(self, azimuth):
        self.way = azimuth
        while abs(self.azimuth - azimuth) > 1e-6:
            await asyncio.sleep(0.2)
        self.way = None

    async def abort(self):
        self.way = None

    async def move_shutter(self):
        await asyncio.sleep(4)
        if self.fault:
            raise self.fault

    open_shutter = close_shutter = move_shutter


@driver_test
async def test_a_dome_that_is_unparked_while_it_parks_stands_still():
    async with Session(Turned()) as client:
        device = await client.connect()
        await client.press(DOME_PARK, "PARK")
        await client.advance(5)
        await client.press(DOME_PARK, "UNPARK")
        await client.advance(2)
        assert (device.way, client.state(DOME_PARK), client.on(DOME_PARK)) == (None, "Ok", ["UNPARK"])


async def unparking(client):
    """Begin to open the shutter of a dome that is parked, because it is unparked."""
    device = await client.connect()
    device.parked, device.shutter_open = True, False
    await client.press("DOME_SHUTTER_PARK_POLICY", "SHUTTER_OPEN_ON_UNPARK")
    await client.press(DOME_PARK, "UNPARK")
    await client.advance(2)
    assert (client.state(SHUTTER), client.on(SHUTTER), device.shutter_open) == ("Busy", ["SHUTTER_OPEN"], None)
    return device


@driver_test
async def test_a_shutter_that_was_stopped_while_the_dome_unparked_is_not_closed():
    async with Session(Turned()) as client:
        device = await unparking(client)
        await client.press("DOME_ABORT_MOTION", "ABORT")
        await client.advance(1)
        assert (client.state(SHUTTER), client.on(SHUTTER), device.shutter_open) == ("Idle", [], None)
        await client.press("CONNECTION", "DISCONNECT")
        await client.connect()
        assert (client.state(SHUTTER), client.on(SHUTTER)) == ("Idle", [])


@driver_test
async def test_a_shutter_that_fails_while_the_dome_unparks_is_not_closed():
    async with Session(Turned()) as client:
        device = await unparking(client)
        device.fault = OSError("stuck")
        await client.until(DOME_PARK, "Alert", 5)
        await client.settle()
        assert (client.state(SHUTTER), client.on(SHUTTER), device.shutter_open) == ("Alert", [], None)
        device.fault = None
        await client.press(DOME_PARK, "UNPARK")
        await client.until(DOME_PARK, "Ok", 5)
        await client.settle()
        assert (client.state(SHUTTER), client.on(SHUTTER), device.shutter_open) == ("Ok", ["SHUTTER_OPEN"], True)


@driver_test
async def test_a_roof_that_opens_goes_on_when_it_is_not_allowed_to_close():
    class Roof(Dome):
        async def open_roof(self):
            await asyncio.sleep(10)

        close_roof = open_roof

    async with Session(Roof()) as client:
        device = await client.connect()
        device.parked = True
        await client.press("MOUNT_POLICY", "MOUNT_LOCKS")
        await client.text("ACTIVE_DEVICES", ACTIVE_TELESCOPE="Far Mount")
        await client.press(DOME_PARK, "UNPARK")
        await client.send(park(("Far Mount", "TELESCOPE_PARK"), "Ok", False))
        await client.press(DOME_PARK, "PARK")
        assert (client.state(DOME_PARK), client.on(DOME_PARK)) == ("Busy", ["UNPARK"])
        assert (client.state("DOME_MOTION"), client.on("DOME_MOTION")) == ("Busy", ["DOME_CW"])


@driver_test
async def test_the_safe_range_lies_around_where_the_rotator_was_found():
    class Found(Rotator):
        there = 170.0

        async def poll(self):
            self.angle = self.there

        async def turn_to(self, angle):
            self.there = angle

    async with Session(Found()) as client:
        device = await client.connect()
        await client.advance(1)
        await client.number("ROTATOR_LIMITS", ROTATOR_LIMITS_VALUE=30)
        await client.number("ABS_ROTATOR_ANGLE", ANGLE=5)
        assert (client.state("ABS_ROTATOR_ANGLE"), device.there) == ("Alert", 170)
        await client.number("ABS_ROTATOR_ANGLE", ANGLE=184)
        await client.until("ABS_ROTATOR_ANGLE", "Ok")
        await client.number("ABS_ROTATOR_ANGLE", ANGLE=186)
        assert (client.state("ABS_ROTATOR_ANGLE"), device.there) == ("Alert", 184)


@driver_test
async def test_a_wheel_goes_on_to_where_it_turns_when_settings_are_loaded():
    turns = []

    class Wheel(FilterWheel):
        async def select(self, slot):
            turns.append(slot)
            await asyncio.sleep(5)

    async with Session(Wheel()) as client:
        await client.connect()
        await client.number("FILTER_SLOT", FILTER_SLOT_VALUE=3)
        await client.until("FILTER_SLOT", "Ok", 6)
        await client.advance(1)
        await client.number("FILTER_SLOT", FILTER_SLOT_VALUE=5)
        await client.press("CONFIG_PROCESS", "CONFIG_LOAD")
        await client.until("FILTER_SLOT", "Ok", 12)
        assert (client.value("FILTER_SLOT"), turns) == (5, [3, 5])


@driver_test
async def test_an_override_ends_with_the_connection():
    class Rain(WeatherStation):
        readings = (Reading("WEATHER_RAIN_HOUR", "Rain", 0, 0.1),)

        async def read_weather(self):
            return {"WEATHER_RAIN_HOUR": 5}

    async with Session(Rain()) as client:
        device = await client.connect()
        await client.set_switch(client.name, "WEATHER_OVERRIDE", OVERRIDE="On")
        assert device.safe
        await client.press("CONNECTION", "DISCONNECT")
        await client.connect()
        await client.advance(1)
        assert (client.on("WEATHER_OVERRIDE"), client.state("WEATHER_STATUS"), device.safe) == ([], "Alert", False)


# --- settings


class Wheel(FilterWheel):
    filters = ("A", "B", "C")

    async def select(self, slot):
        pass


@driver_test
async def test_what_is_not_defined_is_not_overwritten_when_settings_are_saved(home):
    file = home / ".indi" / "Wheel_config.xml"
    async with Session(Wheel()) as client:
        await client.connect()
        await client.text("FILTER_NAME", FILTER_SLOT_NAME_1="Lum")
        await client.advance(1)
        assert "Lum" in file.read_text()
    async with Session(Wheel()) as client:
        await client.number("POLLING_PERIOD", PERIOD_MS=500)
        await client.press("CONFIG_PROCESS", "CONFIG_SAVE")
        await client.until("CONFIG_PROCESS", "Ok")
        assert "Lum" in file.read_text()
        assert file.read_text().count("'FILTER_NAME'") + file.read_text().count('"FILTER_NAME"') == 1
        await client.connect()
        await client.press("CONFIG_PROCESS", "CONFIG_LOAD")
        await client.until("FILTER_NAME", "Ok", FILTER_SLOT_NAME_1="Lum")


@driver_test
async def test_a_brightness_for_each_filter_is_kept_as_long_as_the_wheel_is_not_known(home):
    class Light(LightBox):
        async def set_light(self, on):
            pass

        async def set_brightness(self, value):
            pass

    file = home / ".indi" / "L_config.xml"
    async with DriverHarness(InstrumentDriver(Light("L"), Wheel("W"))) as client:
        await client.set_text("L", "ACTIVE_DEVICES", ACTIVE_FILTER="W")
        for name in "WL":
            await client.set_switch(name, "CONNECTION", CONNECT="On")
        await client.advance(3)
        await client.set_number("L", "FLAT_LIGHT_FILTER_INTENSITY", FILTER_1=77, FILTER_2=88, FILTER_3=99)
        await client.advance(1)
        assert "88" in file.read_text()
    async with DriverHarness(InstrumentDriver(Light("L"), Wheel("W"))) as client:
        await client.set_switch("L", "CONNECTION", CONNECT="On")
        await client.set_switch("L", "CONFIG_PROCESS", CONFIG_SAVE="On")
        await client.wait_for("L", "CONFIG_PROCESS", state="Ok")
        assert "88" in file.read_text()


@driver_test
async def test_the_address_and_the_levels_that_are_hidden_now_are_restored():
    class Wired(Focuser):
        connections = (Serial(), Network(port=4001))

        async def move_to(self, position):
            pass

    async with Session(Wired()) as client:
        await client.press("CONNECTION_MODE", "CONNECTION_TCP")
        await client.text("DEVICE_ADDRESS", ADDRESS="192.0.2.50", PORT="4002")
        await client.press("DEBUG", "ENABLE")
        await client.set_switch(client.name, "LOGGING_LEVEL", LOG_DEBUG="On")
        await client.press("CONFIG_PROCESS", "CONFIG_SAVE")
        await client.until("CONFIG_PROCESS", "Ok")
        await client.press("DEBUG", "DISABLE")
        await client.press("CONNECTION_MODE", "CONNECTION_SERIAL")
        await client.advance(1)
    async with Session(Wired()) as client:
        await client.advance(1)
        assert "DEVICE_ADDRESS" not in client.defined()
        await client.press("CONFIG_PROCESS", "CONFIG_SAVE")
        await client.until("CONFIG_PROCESS", "Ok")
    async with Session(Wired()) as client:
        await client.advance(1)
        await client.press("CONNECTION_MODE", "CONNECTION_TCP")
        await client.press("DEBUG", "ENABLE")
        await client.settle()
        assert client.values("DEVICE_ADDRESS") == {"ADDRESS": "192.0.2.50", "PORT": "4002"}
        assert "LOG_DEBUG" in client.on("LOGGING_LEVEL")


# --- calls in threads that never return


def test_calls_that_never_return_hold_up_neither_a_roof_nor_an_image():
    class Roof(Dome):
        async def open_roof(self):
            pass

        async def close_roof(self):
            pass

    class Small(Camera):
        width = height = 8

        async def expose(self, shot):
            return bytes(128)

    release = threading.Event()

    async def night():
        executor = ThreadPoolExecutor(1)
        executor.submit(release.wait)  # as of a library whose device hangs
        asyncio.get_running_loop().set_default_executor(executor)
        async with DriverHarness(InstrumentDriver(Roof("R"), Small("C"))) as client:
            for name in "RC":
                await client.set_switch(name, "CONNECTION", CONNECT="On")
                await client.wait_for(name, "CONNECTION", state="Ok", timeout=30)
            await client.set_switch("R", "DOME_PARK", PARK="On")
            await client.wait_for("R", "DOME_PARK", state="Ok", values={"PARK": "On"}, timeout=30)
            await client.set_switch("C", "UPLOAD_MODE", UPLOAD_BOTH="On")
            await client.set_switch("C", "CCD_COMPRESSION", INDI_ENABLED="On")
            await client.set_number("C", "CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0.01)
            await client.wait_for("C", "CCD1", state="Ok", timeout=30)
        release.set()

    try:
        run(night, real_time=True)
    finally:
        release.set()
