"""Domes and roofs, as KStars and CCDciel expect them."""

import asyncio
from datetime import UTC, datetime

import pytest

from indipydriver.instruments import Dome, InstrumentDriver, Refused, slaving
from indipydriver.instruments.simulators import DomeSimulator, RollOffSimulator, TelescopeSimulator
from indipydriver.standard import INTERFACES, Interface
from indipydriver.testing import DriverHarness, driver_test
from tests.instruments.sessions import GENERAL, Session

ABS, REL, MOTION, SHUTTER = "ABS_DOME_POSITION", "REL_DOME_POSITION", "DOME_MOTION", "DOME_SHUTTER"
PARK, ABORT = "DOME_PARK", "DOME_ABORT_MOTION"


class Turning(Dome):
    async def turn_to(self, azimuth):
        await asyncio.sleep(1)


@driver_test
async def test_what_is_implemented_is_defined():
    always = {MOTION, ABORT, PARK, "MOUNT_POLICY", "ACTIVE_DEVICES"}
    async with Session(RollOffSimulator()) as client:
        await client.connect()
        assert set(client.defined()) - {*GENERAL, "SIMULATED_FAULT"} == always
        labels = [m.label for m in client.property(client.name, MOTION).definition.members]
        assert labels == ["Open", "Close"]
    async with Session(Turning()) as client:
        await client.connect()
        turning = {ABS, REL, "DOME_AUTOSYNC", "DOME_PARAMS", "DOME_PARK_POSITION", "DOME_PARK_OPTION"}
        turning |= {"DM_OTA_SIDE", "DOME_MEASUREMENTS"}
        assert set(client.defined()) - set(GENERAL) == always | turning
        assert client.values("DRIVER_INFO")["DRIVER_INTERFACE"] == "32"
        await client.press(MOTION, "DOME_CW")
        assert (client.state(MOTION), client.on(MOTION)) == ("Alert", [])
    async with Session(DomeSimulator()) as client:
        await client.connect()
        table = [s.name for s in INTERFACES[Interface.DOME]]
        permanent = ("ACTIVE_DEVICES", "MOUNT_POLICY", "DOME_SHUTTER_PARK_POLICY")
        names = [name for name in client.defined() if name in table and name not in permanent]
        assert names == sorted(names, key=table.index)


@driver_test
async def test_a_dome_turns_the_shorter_way_and_shows_its_direction():
    async with Session(DomeSimulator()) as client:
        device = await client.connect()
        await client.number(ABS, DOME_ABSOLUTE_POSITION=340)
        await client.advance(0.5)
        assert (client.state(ABS), client.state(MOTION), client.on(MOTION)) == ("Busy", "Busy", ["DOME_CCW"])
        assert client.value(ABS) > 340
        await client.until(ABS, "Ok", 5)
        assert (client.state(MOTION), client.on(MOTION), device.azimuth) == ("Ok", [], 340)
        await client.number(REL, DOME_RELATIVE_POSITION=30)
        await client.until(REL, "Ok", 5)
        assert device.azimuth == pytest.approx(10)


@driver_test
async def test_abort():
    async with Session(DomeSimulator()) as client:
        device = await client.connect()
        await client.number(ABS, DOME_ABSOLUTE_POSITION=170)
        await client.advance(1)
        await client.press(ABORT, "ABORT")
        assert (client.state(ABORT), client.state(ABS), client.state(MOTION)) == ("Ok", "Idle", "Idle")
        assert client.on(MOTION) == []
        where = device.azimuth
        await client.advance(5)
        assert device.azimuth == where
        await client.press(MOTION, "DOME_CW")
        assert (client.state(MOTION), client.on(MOTION)) == ("Busy", ["DOME_CW"])
        await client.advance(3)
        assert device.azimuth > where + 10
        await client.number(ABS, DOME_ABSOLUTE_POSITION=10)
        assert client.state(ABS) == "Alert"
        await client.set_switch(client.name, MOTION, DOME_CW="Off", DOME_CCW="Off")
        assert (client.state(MOTION), client.on(MOTION)) == ("Idle", [])
        where = device.azimuth
        await client.advance(3)
        assert device.azimuth == where


@driver_test
async def test_parking_with_the_shutter(home):
    async with Session(DomeSimulator()) as client:
        device = await client.connect()
        await client.press(SHUTTER, "SHUTTER_OPEN")
        assert (client.state(SHUTTER), client.on(SHUTTER), device.shutter_open) == ("Busy", ["SHUTTER_OPEN"], None)
        await client.until(SHUTTER, "Ok", 5)
        assert device.shutter_open
        await client.set_switch(client.name, "DOME_SHUTTER_PARK_POLICY", SHUTTER_CLOSE_ON_PARK="On")
        await client.press(PARK, "PARK")
        assert (client.state(PARK), client.on(PARK)) == ("Busy", ["PARK"])
        await client.until(PARK, "Ok", 30)
        assert (device.azimuth, device.shutter_open, device.parked) == (90, False, True)
        await client.until(ABS, "Idle")
        await client.number(ABS, DOME_ABSOLUTE_POSITION=10)
        assert client.state(ABS) == "Alert"
    assert "<axis1position>90.000000</axis1position>" in (home / ".indi" / "ParkData.xml").read_text()
    async with Session(DomeSimulator()) as client:
        device = await client.connect()
        assert client.on(PARK) == ["PARK"]
        await client.press(PARK, "UNPARK")
        await client.until(PARK, "Ok", 5, UNPARK="On")
        await client.number(ABS, DOME_ABSOLUTE_POSITION=120)
        await client.until(ABS, "Ok", 15)
        await client.press(PARK, "PARK")
        await client.advance(1)
        await client.press(ABORT, "ABORT")
        assert (client.state(PARK), client.on(PARK)) == ("Alert", ["UNPARK"])


@driver_test
async def test_a_roof_opens_and_closes_by_its_motion():
    async with Session(RollOffSimulator()) as client:
        device = await client.connect()
        device.parked = True
        await client.press(MOTION, "DOME_CW")
        assert (client.state(MOTION), client.on(MOTION)) == ("Busy", ["DOME_CW"])
        assert (client.state(PARK), client.on(PARK)) == ("Busy", ["UNPARK"])
        await client.until(PARK, "Ok", 6, UNPARK="On")
        await client.until(MOTION, "Ok", 1, DOME_CW="Off")
        assert not device.parked
        await client.press(MOTION, "DOME_CCW")
        await client.advance(1)
        await client.press(ABORT, "ABORT")
        assert (client.state(PARK), client.on(PARK)) == ("Alert", ["UNPARK"])
        assert (client.state(MOTION), client.on(MOTION)) == ("Idle", [])
        await client.press(PARK, "PARK")
        await client.until(PARK, "Ok", 6, PARK="On")


@driver_test
async def test_a_dome_follows_the_mount_and_waits_for_it(monkeypatch):
    monkeypatch.setattr(slaving, "now_utc", lambda: datetime(1987, 4, 10, 19, 21, tzinfo=UTC))
    turning, mount = DomeSimulator(), TelescopeSimulator()
    name = turning.devicename
    async with DriverHarness(InstrumentDriver(turning, mount)) as client:
        for device in (name, mount.devicename):
            await client.set_switch(device, "CONNECTION", CONNECT="On")
        await client.settle()
        await client.set_number(mount.devicename, "GEOGRAPHIC_COORD", LAT=38.9214, LONG=282.934444, ELEV=0)
        mount.tracking = True
        mount.coordinates = 23.1546225, -6.719892
        await client.set_text(name, "ACTIVE_DEVICES", ACTIVE_TELESCOPE=mount.devicename)
        await client.set_switch(name, "DOME_AUTOSYNC", DOME_AUTOSYNC_ENABLE="On")
        await client.advance(30)
        assert turning.azimuth == pytest.approx(248.03, abs=0.1)  # Meeus, example 13.b
        await client.set_switch(name, "DOME_AUTOSYNC", DOME_AUTOSYNC_DISABLE="On")
        await client.set_switch(name, "MOUNT_POLICY", MOUNT_LOCKS="On")
        await client.set_switch(name, PARK, PARK="On")
        client.assert_state(name, PARK, "Alert")
        mount.parked = True
        await client.set_switch(name, PARK, PARK="On")
        await client.wait_for(name, PARK, state="Ok", timeout=30)


def test_where_a_telescope_looks_through_a_dome():
    from indipydriver.instruments.slaving import DomeShape, opening_azimuth

    centre = DomeShape(2.0)
    assert opening_azimuth(0, 0, 50, centre, 0) == pytest.approx(180)
    assert opening_azimuth(0, 80, 50, centre, 0) == pytest.approx(0, abs=1e-9)
    assert opening_azimuth(6, 0, 50, centre, 0) == pytest.approx(270)
    # The telescope is 1 m west of the centre and looks south at the horizon: the opening is sqrt(3) m south of it.
    west = opening_azimuth(0, -40, 50, DomeShape(2.0, offset=1.0), 1)
    assert west == pytest.approx(180 + 30)
    assert opening_azimuth(0, -40, 50, DomeShape(2.0, offset=1.0), -1) == pytest.approx(150)
    assert opening_azimuth(0, -40, 50, DomeShape(2.0, east=-1.0), 0) == pytest.approx(west)
    # what cannot be is taken as if it stood in the centre
    assert opening_azimuth(0, -40, 50, DomeShape(2.0, east=-3.0), 0) == pytest.approx(180)
    assert opening_azimuth(0, -40, 50, DomeShape(0.0, offset=1.0), 1) == pytest.approx(180)


@driver_test
async def test_a_dome_knows_on_which_side_of_the_pier_the_telescope_is(monkeypatch):
    monkeypatch.setattr(slaving, "now_utc", lambda: datetime(2026, 11, 22, 21, tzinfo=UTC))
    turning, mount = DomeSimulator(), TelescopeSimulator()
    name, other = turning.devicename, mount.devicename
    async with DriverHarness(InstrumentDriver(turning, mount)) as client:
        for device in (name, other):
            await client.set_switch(device, "CONNECTION", CONNECT="On")
        await client.settle()
        await client.set_number(other, "GEOGRAPHIC_COORD", LAT=50, LONG=0, ELEV=0)
        ra = slaving.sidereal_time(0, datetime(2026, 11, 22, 21, tzinfo=UTC))
        mount.tracking = True
        mount.coordinates = ra, -30
        await client.set_text(name, "ACTIVE_DEVICES", ACTIVE_TELESCOPE=other)
        shape = {"DM_DOME_RADIUS": 2.5, "DM_SHUTTER_WIDTH": 1, "DM_OTA_OFFSET": 0.6}
        shape |= dict.fromkeys(("DM_NORTH_DISPLACEMENT", "DM_EAST_DISPLACEMENT", "DM_UP_DISPLACEMENT"), 0)
        await client.set_number(name, "DOME_MEASUREMENTS", shape)
        for side, west in (("WEST", True), ("EAST", False), ("MOUNT", mount.pier_side == "WEST"), ("HA", None)):
            await client.set_switch(name, "DM_OTA_SIDE", {f"DM_OTA_SIDE_{side}": "On"})
            await client.set_switch(name, "DOME_AUTOSYNC", DOME_AUTOSYNC_ENABLE="On")
            await client.advance(40)
            if west is not None:
                assert turning.azimuth > 185 if west else turning.azimuth < 175
            await client.set_switch(name, "DOME_AUTOSYNC", DOME_AUTOSYNC_DISABLE="On")
        await client.set_switch(name, "DM_OTA_SIDE", DM_OTA_SIDE_IGNORE="On")
        await client.set_switch(name, "DOME_AUTOSYNC", DOME_AUTOSYNC_ENABLE="On")
        await client.advance(40)
        assert turning.azimuth == pytest.approx(180, abs=0.6)


@driver_test
async def test_where_a_dome_is_parked_can_be_chosen(home):
    place, option = "DOME_PARK_POSITION", "DOME_PARK_OPTION"
    async with Session(DomeSimulator()) as client:
        await client.connect()
        await client.number(ABS, DOME_ABSOLUTE_POSITION=30)
        await client.press(option, "PARK_CURRENT")
        assert client.state(option) == "Alert"  # it moves
        await client.until(ABS, "Ok", 9)
        await client.press(option, "PARK_CURRENT")
        await client.press(option, "PARK_WRITE_DATA")
        assert client.values(place) == {"PARK_AZ": "30"}
    assert "<axis1position>30.000000</axis1position>" in (home / ".indi" / "ParkData.xml").read_text()
    async with Session(DomeSimulator()) as client:
        await client.connect()
        assert client.values(place) == {"PARK_AZ": "30"}
        await client.press(option, "PARK_DEFAULT")
        assert client.values(place) == {"PARK_AZ": "90"}


@driver_test
async def test_speed_and_backlash():
    class Fast(DomeSimulator):
        fastest = 3.0

        async def set_speed(self, rpm):
            self.rpm = rpm

        async def set_backlash(self, steps):
            self.steps = steps

    async with Session(Fast()) as client:
        device = await client.connect()
        await client.number("DOME_SPEED", DOME_SPEED_VALUE=2)
        assert (client.state("DOME_SPEED"), device.rpm) == ("Ok", 2)
        await client.number("DOME_SPEED", DOME_SPEED_VALUE=4)
        assert client.state("DOME_SPEED") == "Alert"
        await client.press("DOME_BACKLASH_TOGGLE", "INDI_ENABLED")
        await client.number("DOME_BACKLASH_STEPS", DOME_BACKLASH_VALUE=40)
        assert (client.state("DOME_BACKLASH_STEPS"), device.steps, device.backlash) == ("Ok", 40, 40)


class Jamming(Dome):
    """A dome that does not turn, with a shutter that closes slowly."""

    jam: object = OSError("jammed")

    def __init__(self, name=None):
        super().__init__(name)
        self.log = []
        self.azimuth = 10.0
        self.shutter_open = True

    async def turn_to(self, azimuth):
        self.log.append("turn")
        if isinstance(self.jam, Exception):
            raise self.jam
        await asyncio.sleep(self.jam)
        self.log.append("turned")

    async def start_turning(self, clockwise):
        pass

    async def open_shutter(self):
        self.log.append("open")

    async def close_shutter(self):
        self.log.append("close")
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            self.log.append("closes no more")
            raise

    async def abort(self):
        self.log.append("abort")
        if isinstance(self.jam, Exception):
            raise self.jam


async def closing(client):
    device = await client.connect()
    await client.set_switch(client.name, "DOME_SHUTTER_PARK_POLICY", SHUTTER_CLOSE_ON_PARK="On")
    return device


@driver_test
@pytest.mark.parametrize("jam", [OSError("jammed"), Refused("not now"), 1000])
async def test_a_dome_that_jams_while_it_parks_closes_its_shutter(jam):
    async with Session(Jamming()) as client:
        device = await closing(client)
        device.jam = jam
        await client.press(PARK, "PARK")
        await client.until(SHUTTER, "Ok", 30, SHUTTER_CLOSE="On")
        await client.until(PARK, "Alert", 70, UNPARK="On")
        assert (device.shutter_open, device.parked) == (False, False)
        assert sorted(device.log) == ["close", "turn"]


@driver_test
async def test_a_dome_that_cannot_be_stopped_to_park_closes_its_shutter():
    async with Session(Jamming()) as client:
        device = await closing(client)
        await client.press(MOTION, "DOME_CW")
        await client.press(PARK, "PARK")
        await client.until(PARK, "Alert", 5)
        await client.until(SHUTTER, "Ok", 30, SHUTTER_CLOSE="On")
        assert device.log == ["abort", "close"]


@driver_test
async def test_a_shutter_that_needs_the_place_of_parking_waits_for_it():
    class Contacts(Jamming):
        shutter_needs_park = True

    async with Session(Contacts()) as client:
        device = await closing(client)
        await client.press(PARK, "PARK")
        await client.until(PARK, "Alert", 5)
        assert (device.shutter_open, device.log) == (True, ["turn"])
        device.jam = 5
        await client.press(PARK, "PARK")
        await client.until(PARK, "Ok", 40)
        assert (device.shutter_open, device.log) == (False, ["turn", "turn", "turned", "close"])


@driver_test
async def test_a_dome_that_parks_has_parked_when_its_shutter_is_closed():
    async with Session(Jamming()) as client:
        device = await closing(client)
        device.jam = 5
        await client.press(PARK, "PARK")
        await client.advance(10)
        assert (client.state(PARK), client.state(SHUTTER), device.log[-1]) == ("Busy", "Busy", "turned")
        await client.until(PARK, "Ok", 30)
        assert (device.parked, device.shutter_open) == (True, False)


@driver_test
async def test_a_shutter_that_fails_while_the_dome_parks_is_not_said_to_be_closed():
    class Stuck(Jamming):
        async def close_shutter(self):
            self.log.append("close")
            raise OSError("stuck")

    async with Session(Stuck()) as client:
        device = await closing(client)
        device.jam = 5
        await client.press(PARK, "PARK")
        await client.until(PARK, "Alert", 30)
        assert (client.state(SHUTTER), client.on(SHUTTER), device.shutter_open) == ("Alert", [], None)
        assert device.log.count("close") == 1
        assert not device.parked


@driver_test
@pytest.mark.parametrize(("vector", "member"), [(ABORT, "ABORT"), (PARK, "UNPARK"), ("CONNECTION", "DISCONNECT")])
async def test_a_shutter_that_closes_while_the_dome_parks_is_stopped_with_it(vector, member):
    async with Session(Jamming()) as client:
        device = await closing(client)
        device.jam = 1000
        await client.press(PARK, "PARK")
        await client.advance(5)
        await client.press(vector, member)
        await client.advance(5)
        assert (device.log[2], device.shutter_open) == ("closes no more", None)
        assert device.log[3:] == ([] if member == "DISCONNECT" else ["abort"])


@driver_test
async def test_a_dome_that_cannot_follow_says_so_once(monkeypatch):
    monkeypatch.setattr(slaving, "now_utc", lambda: datetime(2026, 11, 22, 21, tzinfo=UTC))
    device, mount = Jamming(), TelescopeSimulator()
    name, other = device.devicename, mount.devicename
    async with DriverHarness(InstrumentDriver(device, mount)) as client:
        for each in (name, other):
            await client.set_switch(each, "CONNECTION", CONNECT="On")
        await client.settle()
        await client.set_number(other, "GEOGRAPHIC_COORD", LAT=50, LONG=0, ELEV=0)
        mount.tracking = True
        await client.set_text(name, "ACTIVE_DEVICES", ACTIVE_TELESCOPE=other)
        await client.set_switch(name, "DOME_AUTOSYNC", DOME_AUTOSYNC_ENABLE="On")
        await client.advance(5)
        assert device.log.count("turn") == 1
        await client.advance(600)
        assert device.log.count("turn") == 4  # it is tried again a few times, and then needs a reason
        ra, dec = mount.coordinates
        mount.coordinates = ra - 0.02, dec  # less than the threshold
        await client.advance(10)
        assert device.log.count("turn") == 4
        mount.coordinates = ra - 1, dec
        await client.advance(600)
        assert device.log.count("turn") == 5
        assert [text for text in client.texts if "jammed" in text] == ["[ERROR] jammed"]
        await client.set_switch(name, "DOME_AUTOSYNC", DOME_AUTOSYNC_ENABLE="On")
        await client.advance(300)
        assert device.log.count("turn") == 9
        assert [text for text in client.texts if "jammed" in text] == ["[ERROR] jammed"] * 2
        device.jam = 0
        assert "[INFO] The dome follows the mount again." not in client.texts
        mount.coordinates = ra - 2, dec
        await client.advance(40)
        assert "turned" in device.log
        assert client.texts.count("[INFO] The dome follows the mount again.") == 1


@driver_test
async def test_a_dome_does_not_follow_a_mount_that_is_nowhere(monkeypatch):
    monkeypatch.setattr(slaving, "now_utc", lambda: datetime(2026, 11, 22, 21, tzinfo=UTC))
    device, mount = Jamming(), TelescopeSimulator()
    device.jam = 0
    name, other = device.devicename, mount.devicename
    async with DriverHarness(InstrumentDriver(device, mount)) as client:
        for each in (name, other):
            await client.set_switch(each, "CONNECTION", CONNECT="On")
        await client.settle()
        mount.tracking = True
        await client.set_text(name, "ACTIVE_DEVICES", ACTIVE_TELESCOPE=other)
        await client.set_switch(name, "DOME_AUTOSYNC", DOME_AUTOSYNC_ENABLE="On")
        await client.advance(30)
        assert device.log == []
        assert len([text for text in client.texts if "location" in text]) == 1
        await client.set_number(other, "GEOGRAPHIC_COORD", LAT=50, LONG=0, ELEV=0)
        await client.advance(30)
        assert device.log == ["turn", "turned"]


@driver_test
async def test_a_dome_that_could_not_park_does_not_follow_the_mount_instead(monkeypatch):
    monkeypatch.setattr(slaving, "now_utc", lambda: datetime(2026, 11, 22, 21, tzinfo=UTC))
    device, mount = Jamming(), TelescopeSimulator()
    name, other = device.devicename, mount.devicename
    async with DriverHarness(InstrumentDriver(device, mount)) as client:
        for each in (name, other):
            await client.set_switch(each, "CONNECTION", CONNECT="On")
        await client.settle()
        device.jam = 3
        await client.set_number(other, "GEOGRAPHIC_COORD", LAT=50, LONG=0, ELEV=0)
        mount.tracking = True
        await client.set_text(name, "ACTIVE_DEVICES", ACTIVE_TELESCOPE=other)
        await client.set_switch(name, "DOME_AUTOSYNC", DOME_AUTOSYNC_ENABLE="On")
        await client.advance(10)
        device.jam = OSError("jammed")
        await client.set_switch(name, PARK, PARK="On")
        await client.wait_for(name, PARK, state="Alert")
        device.jam, count = 3, device.log.count("turn")
        mount.coordinates = (mount.coordinates[0] + 6) % 24, 0
        await client.advance(60)
        assert device.log.count("turn") == count
        assert client.property(name, "DOME_AUTOSYNC").values["DOME_AUTOSYNC_DISABLE"] == "On"


@driver_test
@pytest.mark.parametrize("what", ["unpark", "sync"])
async def test_a_dome_does_not_turn_to_where_the_mount_went_before(what):
    class Slow(TelescopeSimulator):
        async def unpark(self):
            await asyncio.sleep(8)

        async def sync(self, ra, dec):
            await asyncio.sleep(8)

    device, mount = Jamming(), Slow()
    name, other = device.devicename, mount.devicename
    async with DriverHarness(InstrumentDriver(device, mount)) as client:
        for each in (name, other):
            await client.set_switch(each, "CONNECTION", CONNECT="On")
        await client.settle()
        device.jam = 1
        await client.set_number(other, "GEOGRAPHIC_COORD", LAT=50, LONG=0, ELEV=0)
        await client.set_number(other, "EQUATORIAL_EOD_COORD", RA=3, DEC=10)
        await client.wait_for(other, "EQUATORIAL_EOD_COORD", state="Ok", timeout=40)
        if what == "unpark":
            await client.set_number(other, "TELESCOPE_PARK_POSITION", PARK_HA=3, PARK_DEC=0)
            await client.set_switch(other, "TELESCOPE_PARK", PARK="On")
            await client.wait_for(other, "TELESCOPE_PARK", state="Ok", timeout=60)
        else:
            await client.set_switch(other, "ON_COORD_SET", SYNC="On")
            mount.coordinates = 9, 10  # it was moved by hand
        await client.set_text(name, "ACTIVE_DEVICES", ACTIVE_TELESCOPE=other)
        await client.set_switch(name, "DOME_AUTOSYNC", DOME_AUTOSYNC_ENABLE="On")
        await client.advance(5)
        if what == "unpark":
            await client.set_switch(other, "TELESCOPE_PARK", UNPARK="On")
            await client.advance(5)
            shape = slaving.DomeShape()
            assert device.azimuth == pytest.approx(slaving.opening_azimuth(3, 0, 50, shape, 0), abs=1)
        else:
            count = device.log.count("turn")
            await client.set_number(other, "EQUATORIAL_EOD_COORD", RA=9, DEC=10)
            await client.advance(5)
            assert device.log.count("turn") == count


class Shuttered(Turning):
    """A dome whose shutter takes its time, and that wants to look to the east when it follows."""

    polling = 0.1

    def __init__(self, name=None):
        super().__init__(name)
        self.log = []

    async def turn_to(self, azimuth):
        self.log.append("turn")
        await asyncio.sleep(5)

    async def open_shutter(self):
        await asyncio.sleep(2)
        self.log.append("open")

    async def close_shutter(self):
        await asyncio.sleep(2)
        self.log.append("closed")

    async def abort(self):
        self.log.append("abort")


@driver_test
async def test_a_dome_that_is_aborted_does_not_follow_while_that_is_told(monkeypatch):
    monkeypatch.setattr(Shuttered, "_wanted_azimuth", lambda self: 90.0)
    async with Session(Shuttered()) as client:
        device = await client.connect()
        await client.press("DOME_AUTOSYNC", "DOME_AUTOSYNC_ENABLE")
        await client.advance(1)
        send = device._updates.send

        async def send_slowly(*args, **how):  # as if the server took nothing for a while
            await asyncio.sleep(1)
            await send(*args, **how)

        monkeypatch.setattr(device._updates, "send", send_slowly)
        await client.press(ABORT, "ABORT")
        await client.advance(20)
        assert device.log == ["turn", "abort"]
        assert client.on("DOME_AUTOSYNC") == ["DOME_AUTOSYNC_DISABLE"]


@driver_test
async def test_a_shutter_that_was_opened_while_the_dome_parked_is_closed_in_the_end():
    async with Session(Shuttered()) as client:
        device = await closing(client)
        await client.press(PARK, "PARK")
        await client.advance(1)
        await client.set_switch(client.name, "DOME_SHUTTER_PARK_POLICY", SHUTTER_CLOSE_ON_PARK="Off")
        await client.press(SHUTTER, "SHUTTER_OPEN")
        await client.set_switch(client.name, "DOME_SHUTTER_PARK_POLICY", SHUTTER_CLOSE_ON_PARK="On")
        await client.until(PARK, "Ok", 30)
        assert (device.shutter_open, device.log) == (False, ["turn", "open", "closed"])


@driver_test
@pytest.mark.parametrize("needs_park", [False, True])
async def test_a_dome_that_is_parked_and_open_closes_when_it_is_to_park(needs_park, monkeypatch):
    monkeypatch.setattr(Shuttered, "shutter_needs_park", needs_park)
    async with Session(Shuttered()) as client:
        device = await closing(client)
        await client.press(PARK, "PARK")
        await client.until(PARK, "Ok", 30)
        for wait in (10, 1):  # it is open, or just opens
            await client.press(SHUTTER, "SHUTTER_OPEN")
            await client.advance(wait)
            await client.press(PARK, "PARK")
            assert (client.state(PARK), client.on(PARK)) == ("Busy", ["PARK"])
            await client.until(PARK, "Ok", 30)
            assert (device.shutter_open, device.parked, device.log[-1]) == (False, True, "closed")
        await client.press(SHUTTER, "SHUTTER_OPEN")
        await client.advance(10)
        await client.press("MOUNT_POLICY", "MOUNT_LOCKS")
        await client.press(PARK, "PARK")
        assert (client.state(PARK), client.on(PARK)) == ("Alert", ["PARK"])
        assert device.log.count("turn") == 1


@driver_test
async def test_a_dome_stays_where_its_shutter_has_power_while_that_moves(monkeypatch):
    monkeypatch.setattr(Shuttered, "_wanted_azimuth", lambda self: 90.0)
    monkeypatch.setattr(Shuttered, "shutter_needs_park", True)
    async with Session(Shuttered()) as client:
        device = await client.connect()
        await client.press(SHUTTER, "SHUTTER_OPEN")
        await client.press("DOME_AUTOSYNC", "DOME_AUTOSYNC_ENABLE")
        await client.number(ABS, DOME_ABSOLUTE_POSITION=10)
        assert client.state(ABS) == "Alert"
        await client.advance(10)
        assert device.log == ["open", "turn"]


@pytest.mark.parametrize("moves", ["absolute", "by hand", "parks"])
@driver_test
async def test_a_shutter_without_power_is_not_moved_while_the_dome_turns(moves):
    class Contacts(Jamming):
        shutter_needs_park = True
        jam = 5

        async def start_turning(self, clockwise):
            pass

    async with Session(Contacts()) as client:
        device = await client.connect()
        if moves == "absolute":
            await client.number(ABS, DOME_ABSOLUTE_POSITION=50)
        else:
            await client.press(*(("DOME_MOTION", "DOME_CW") if moves == "by hand" else (PARK, "PARK")))
        await client.press(SHUTTER, "SHUTTER_CLOSE")
        assert (client.state(SHUTTER), client.on(SHUTTER)) == ("Alert", ["SHUTTER_OPEN"])
        assert client.texts[-1].startswith("[ERROR] The shutter has power only at the park position")
        await client.press("DOME_ABORT_MOTION", "ABORT")
        await client.advance(40)
        await client.press(SHUTTER, "SHUTTER_CLOSE")
        await client.until(SHUTTER, "Ok", 30, SHUTTER_CLOSE="On")
        assert device.log.count("close") == 1


@driver_test
async def test_a_dome_parks_when_its_shutter_which_would_lose_its_power_has_moved():
    class Contacts(Shuttered):
        shutter_needs_park = True

    async with Session(Contacts()) as client:
        device = await client.connect()
        await client.press(SHUTTER, "SHUTTER_CLOSE")
        await client.press(PARK, "PARK")
        await client.until(PARK, "Ok", 40)
        assert device.log == ["closed", "turn"]


@driver_test
async def test_a_parked_dome_whose_shutter_may_have_been_opened_by_hand_closes_it():
    async with Session(Shuttered()) as client:
        device = await closing(client)
        for _ in range(2):  # once is enough
            await client.press(PARK, "PARK")
            await client.until(PARK, "Ok", 30)
        assert device.log == ["turn", "closed"]
        await client.press("CONNECTION", "DISCONNECT")
        await client.connect()
        assert client.on(SHUTTER) == ["SHUTTER_CLOSE"]
        for _ in range(2):
            await client.press(PARK, "PARK")
            await client.until(PARK, "Ok", 30)
        assert device.log == ["turn", "closed", "closed"]
        assert (device.parked, device.shutter_open) == (True, False)


@driver_test
async def test_a_shutter_that_once_refused_to_close_is_told_again(monkeypatch):
    monkeypatch.setattr(Shuttered, "shutter_needs_park", True)
    async with Session(Shuttered()) as client:
        device = await closing(client)
        await client.press(PARK, "PARK")
        await client.until(PARK, "Ok", 30)
        await client.press("CONNECTION", "DISCONNECT")
        await client.connect()

        async def refuse():
            raise Refused("no power")

        device.close_shutter = refuse
        await client.press(PARK, "PARK")
        await client.until(PARK, "Alert", 30)
        del device.close_shutter
        await client.press(PARK, "PARK")
        await client.until(PARK, "Ok", 30)
        assert device.log == ["turn", "closed", "closed"]
