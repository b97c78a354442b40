"""Mounts, as KStars, PHD2 and CCDciel expect them, and pulse guiding."""

import asyncio
import xml.etree.ElementTree as ET
from datetime import UTC, datetime

import pytest

from indipydriver.instruments import Direction, Guider, InstrumentDriver, Mount
from indipydriver.instruments.simulators import DomeSimulator, GPSSimulator, TelescopeSimulator
from indipydriver.protocol.messages import SetVector
from indipydriver.standard import INTERFACES, Interface
from indipydriver.testing import DriverHarness, driver_test
from tests.instruments.sessions import GENERAL, Session

EOD, ON_SET, ABORT, PARK = "EQUATORIAL_EOD_COORD", "ON_COORD_SET", "TELESCOPE_ABORT_MOTION", "TELESCOPE_PARK"
TRACKING, NS, WE = "TELESCOPE_TRACK_STATE", "TELESCOPE_MOTION_NS", "TELESCOPE_MOTION_WE"
NAME = "Telescope Simulator"


class PushTo(Mount):
    async def poll(self):
        self.coordinates = 5.5, 20


class GoTo(Mount):
    async def slew_to(self, ra, dec):
        await asyncio.sleep(2)


class Port(Guider):
    pulses = ()

    async def guide(self, direction, seconds):
        self.pulses = (*self.pulses, (direction, seconds))
        await asyncio.sleep(seconds)


@pytest.mark.parametrize(
    ("kind", "names", "bits"),
    [
        (PushTo, {"ACTIVE_DEVICES", EOD, "TIME_UTC", "GEOGRAPHIC_COORD"}, 1),
        (GoTo, {"ACTIVE_DEVICES", ON_SET, EOD, "TARGET_EOD_COORD", "TIME_UTC", "GEOGRAPHIC_COORD"}, 1),
        (Port, {"TELESCOPE_TIMED_GUIDE_NS", "TELESCOPE_TIMED_GUIDE_WE"}, 4),
    ],
)
@driver_test
async def test_what_is_implemented_is_defined(kind, names, bits):
    async with Session(kind()) as client:
        await client.connect()
        assert set(client.defined()) - set(GENERAL) == names
        assert client.values("DRIVER_INFO")["DRIVER_INTERFACE"] == str(bits)
        if kind is PushTo:
            assert client.property("Push To", EOD).definition.perm == "ro"
            await client.until(EOD, RA="5.5")


@driver_test
async def test_the_simulator_has_what_clients_want_in_the_order_of_the_table():
    async with Session(TelescopeSimulator()) as client:
        await client.connect()
        table = [standard.name for standard in (*INTERFACES[Interface.TELESCOPE], *INTERFACES[Interface.GUIDER])]
        names = [name for name in client.defined() if name in table and name not in ("ACTIVE_DEVICES", "DOME_POLICY")]
        assert names == sorted(names, key=table.index)
        used = {s.name for s in INTERFACES[Interface.TELESCOPE] if "P" in s.users or "S" in s.users or "C" in s.users}
        assert not used - set(names)
        assert client.values("DRIVER_INFO")["DRIVER_INTERFACE"] == "5"
        assert client.state("TIME_UTC") == "Ok"
        assert client.on("TELESCOPE_SLEW_RATE") == ["3x"]
        assert list(client.values(ON_SET)) == ["TRACK", "SLEW", "SYNC", "FLIP"]


async def slew(client, ra, dec, mode="TRACK"):
    await client.press(ON_SET, mode)
    await client.number(EOD, RA=ra, DEC=dec)


@driver_test
async def test_a_slew_is_busy_with_the_present_place_and_tracks_on_arrival():
    async with Session(TelescopeSimulator()) as client:
        device = await client.connect()
        assert client.state(EOD) == "Idle"
        client.messages.clear()
        await slew(client, 2, 30)
        assert client.state(EOD) == "Busy"
        assert client.values("TARGET_EOD_COORD") == {"RA": "2.0", "DEC": "30.0"}
        await client.until(EOD, "Ok", 10)
        states = [state for state, *_ in client.history(EOD)]
        assert states == ["Busy"] * (len(states) - 1) + ["Ok"]
        places = [float(dec) for _, _, dec in client.history(EOD)]
        assert places == sorted(places)
        assert len(set(places)) > 5
        assert (client.state(TRACKING), client.on(TRACKING)) == ("Busy", ["TRACK_ON"])
        assert device.coordinates == (2, 30)
        await client.advance(30)
        assert client.state(EOD) == "Ok"
        assert client.value(EOD) == 2


@driver_test
async def test_without_tracking_the_sky_goes_by():
    async with Session(TelescopeSimulator()) as client:
        await client.connect()
        await slew(client, 2, 30, "SLEW")
        await client.until(EOD, "Idle", 10, RA="2.0")
        await client.advance(60)
        assert client.value(EOD) == pytest.approx(2 + 1 / 60, abs=0.001)
        await client.press(TRACKING, "TRACK_ON")
        assert (client.state(TRACKING), client.state(EOD)) == ("Busy", "Ok")
        await client.press(TRACKING, "TRACK_OFF")
        await client.until(EOD, "Idle")
        assert (client.state(TRACKING), client.on(TRACKING)) == ("Idle", ["TRACK_OFF"])


@driver_test
async def test_sync_and_coordinates_that_are_none():
    async with Session(TelescopeSimulator()) as client:
        device = await client.connect()
        await slew(client, 7, -10, "SYNC")
        await client.until(EOD, "Ok", 1, DEC="-10.0")
        assert device.coordinates == (7, -10)
        await client.number(EOD, RA=25, DEC=0)
        assert client.state(EOD) == "Alert"
    async with Session(GoTo()) as client:
        await client.connect()
        await slew(client, 7, -10, "SYNC")
        assert client.state(EOD) == "Alert"


@driver_test
async def test_abort_of_a_slew():
    async with Session(TelescopeSimulator()) as client:
        device = await client.connect()
        await slew(client, 2, 80)
        await client.advance(2)
        await client.press(ABORT, "ABORT")
        assert (client.state(ABORT), client.on(ABORT)) == ("Ok", [])
        assert client.state(EOD) == "Idle"
        dec = device.coordinates[1]
        await client.advance(10)
        assert 10 < dec < 30
        assert device.coordinates[1] == pytest.approx(dec)


@driver_test
async def test_a_new_target_replaces_the_old():
    async with Session(TelescopeSimulator()) as client:
        device = await client.connect()
        await slew(client, 2, 80)
        await client.advance(2)
        client.messages.clear()
        await slew(client, 2, 10)
        await client.until(EOD, "Ok", 10)
        assert device.coordinates == (2, 10)
        assert {state for state, *_ in client.history(EOD)} == {"Busy", "Ok"}


@driver_test
async def test_moving_by_hand():
    async with Session(TelescopeSimulator()) as client:
        device = await client.connect()
        await client.press("TELESCOPE_SLEW_RATE", "4x")
        await client.press(NS, "MOTION_NORTH")
        assert (client.state(NS), client.on(NS)) == ("Busy", ["MOTION_NORTH"])
        await client.advance(3)
        assert device.coordinates[1] > 6
        await client.set_switch(NAME, NS, MOTION_NORTH="Off", MOTION_SOUTH="Off")
        assert (client.state(NS), client.on(NS)) == ("Idle", [])
        await client.press(WE, "MOTION_EAST")
        await client.press(WE, "MOTION_WEST")  # the other way: it stops
        assert (client.state(WE), client.on(WE)) == ("Idle", [])
        await client.press(WE, "MOTION_WEST")
        await client.press(ABORT, "ABORT")
        assert (client.state(WE), client.on(WE)) == ("Idle", [])


@driver_test
async def test_parking_is_remembered(home):
    folder = home / ".indi"
    folder.mkdir()
    (folder / "ParkData.xml").write_text(
        "<parkdata><device name='Other'><parkstatus>true</parkstatus><parkposition><axis1position>-6.000000"
        "</axis1position></parkposition></device></parkdata>"
    )
    async with Session(TelescopeSimulator()) as client:
        await client.connect()
        assert (client.state(PARK), client.on(PARK)) == ("Ok", ["UNPARK"])
        await slew(client, 2, 30)
        await client.until(EOD, "Ok", 10)
        await client.press(PARK, "PARK")
        assert (client.state(PARK), client.on(PARK), client.state(EOD)) == ("Busy", ["PARK"], "Busy")
        await client.until(PARK, "Ok", 20)
        await client.until(EOD, "Idle")
        assert client.on(TRACKING) == ["TRACK_OFF"]
        await client.advance(1)
        await client.press(PARK, "PARK")
        assert (client.state(PARK), client.on(PARK)) == ("Idle", ["PARK"])
        # nothing moves
        await slew(client, 5, 5)
        assert client.state(EOD) == "Idle"
        assert "[WARNING] Please unpark the mount" in client.texts[-1]
        await client.press(NS, "MOTION_NORTH")
        assert (client.state(NS), client.on(NS)) == ("Idle", [])
        await client.press(TRACKING, "TRACK_ON")
        assert client.on(TRACKING) == ["TRACK_OFF"]
        await client.number("TELESCOPE_TIMED_GUIDE_NS", TIMED_GUIDE_N=100, TIMED_GUIDE_S=0)
        assert client.state("TELESCOPE_TIMED_GUIDE_NS") == "Alert"
    root = ET.parse(folder / "ParkData.xml").getroot()
    found = {device.get("name"): device.findtext("parkstatus") for device in root}
    assert found == {"Other": "true", NAME: "true"}
    assert root.findtext("device/parkposition/axis1position") == "-6.000000"
    async with Session(TelescopeSimulator()) as client:
        await client.connect()
        await client.until(PARK, "Ok", 1, PARK="On")
        await client.press(PARK, "UNPARK")
        await client.until(PARK, "Ok", 1, UNPARK="On")
        await slew(client, 5, 5)
        await client.until(EOD, "Ok", 20)


@driver_test
async def test_parking_that_is_aborted_or_fails():
    async with Session(TelescopeSimulator()) as client:
        device = await client.connect()
        await client.press(PARK, "PARK")
        await client.advance(2)
        await client.press(ABORT, "ABORT")
        assert (client.state(PARK), client.on(PARK)) == ("Alert", [])
        assert not device.parked
        await client.press(PARK, "PARK")
        await client.advance(1)
        await client.press("SIMULATED_FAULT", "FAILS")
        await client.until(PARK, "Alert", 2)
        assert not device.parked


@driver_test
async def test_guiding():
    async with Session(Port()) as client:
        device = await client.connect()
        ns, we = "TELESCOPE_TIMED_GUIDE_NS", "TELESCOPE_TIMED_GUIDE_WE"
        client.messages.clear()
        await client.number(ns, TIMED_GUIDE_N=500, TIMED_GUIDE_S=0)
        await client.number(we, TIMED_GUIDE_W=0, TIMED_GUIDE_E=200)
        assert (client.state(ns), client.state(we)) == ("Busy", "Busy")
        await client.until(we, "Idle", 0.3)
        assert client.state(ns) == "Busy"
        await client.until(ns, "Idle", 0.4, TIMED_GUIDE_N="0")
        assert client.history(ns)[0] == ("Busy", "500.0", "0")
        assert device.pulses == ((Direction.NORTH, 0.5), (Direction.EAST, 0.2))
        await client.number(ns, TIMED_GUIDE_S=5000)
        await client.advance(1)
        await client.number(ns, TIMED_GUIDE_S=100)  # replaces it
        await client.until(ns, "Idle", 0.2)
        await client.number(ns, TIMED_GUIDE_N=0, TIMED_GUIDE_S=0)
        assert client.state(ns) == "Idle"
        await client.number(ns, TIMED_GUIDE_N=60_001)
        assert client.state(ns) == "Alert"


@driver_test
async def test_time_and_place(home):
    async with Session(TelescopeSimulator()) as client:
        device = await client.connect()
        await client.text("TIME_UTC", UTC="2026-11-22T07:30:00.5", OFFSET="-3")
        assert client.state("TIME_UTC") == "Ok"
        assert client.values("TIME_UTC") == {"UTC": "2026-11-22T07:30:00.5", "OFFSET": "-3"}
        await client.text("TIME_UTC", UTC="noon", OFFSET="1")
        assert client.state("TIME_UTC") == "Alert"
        assert client.values("TIME_UTC")["OFFSET"] == "-3"
        await client.number("GEOGRAPHIC_COORD", LAT=48.1, LONG=11.5, ELEV=520)
        assert client.state("GEOGRAPHIC_COORD") == "Ok"
        assert device.location == (48.1, 11.5, 520)
        await client.number("GEOGRAPHIC_COORD", LAT=0, LONG=0, ELEV=0)
        assert client.state("GEOGRAPHIC_COORD") == "Idle"
        assert device.location == (48.1, 11.5, 520)
        await client.advance(1)
    assert "GEOGRAPHIC_COORD" in (home / ".indi" / f"{NAME}_config.xml").read_text()


@driver_test
async def test_homing():
    async with Session(TelescopeSimulator()) as client:
        device = await client.connect()
        await client.press("TELESCOPE_HOME", "FIND")
        assert (client.state("TELESCOPE_HOME"), client.on("TELESCOPE_HOME")) == ("Busy", ["FIND"])
        await client.until("TELESCOPE_HOME", "Ok", 20)
        assert client.on("TELESCOPE_HOME") == []
        assert device.coordinates[1] > 85


@driver_test
async def test_coordinates_are_sent_when_they_have_changed():
    async with Session(TelescopeSimulator()) as client:
        await client.connect()
        await slew(client, 2, 30)
        await client.until(EOD, "Ok", 10)
        await client.advance(1)
        client.messages.clear()
        await client.advance(60)
        assert [m for m in client.messages if isinstance(m, SetVector) and m.name == EOD] == []


class Fork(TelescopeSimulator):
    park_axes = "RA_DEC"
    park_default = (3.0, 40.0)


class Altaz(TelescopeSimulator):
    park_axes = "AZ_ALT"
    park_default = (180.0, 10.0)


PLACE, OPTION = "TELESCOPE_PARK_POSITION", "TELESCOPE_PARK_OPTION"


@driver_test
async def test_where_it_is_parked_can_be_chosen(home):
    async with Session(Fork()) as client:
        device = await client.connect()
        assert client.values(PLACE) == {"PARK_RA": "3", "PARK_DEC": "40"}
        await client.press(PARK, "PARK")
        await client.until(PARK, "Ok", 20)
        assert device.coordinates == pytest.approx((3, 40))
        await client.press(OPTION, "PARK_CURRENT")
        assert (client.state(OPTION), client.on(OPTION)) == ("Alert", [])  # it is parked
        await client.press(PARK, "UNPARK")
        await client.until(PARK, "Ok", 2)
        await slew(client, 2, 30)
        await client.press(OPTION, "PARK_CURRENT")
        assert (client.state(OPTION), client.on(OPTION)) == ("Alert", [])  # it slews
        await client.until(EOD, "Ok", 20)
        await client.press(OPTION, "PARK_CURRENT")
        assert (client.state(OPTION), client.on(OPTION)) == ("Ok", [])
        assert client.values(PLACE) == {"PARK_RA": "2", "PARK_DEC": "30"}
        await client.press(OPTION, "PARK_WRITE_DATA")
        assert client.state(OPTION) == "Ok"
        await client.press(OPTION, "PARK_DEFAULT")
        assert client.values(PLACE) == {"PARK_RA": "3", "PARK_DEC": "40"}
    async with Session(Fork()) as client:
        await client.connect()
        assert client.values(PLACE) == {"PARK_RA": "2", "PARK_DEC": "30"}
        await client.press(OPTION, "PARK_PURGE_DATA")
        assert client.state(OPTION) == "Ok"
        assert "Fork" not in (home / ".indi" / "ParkData.xml").read_text()
        await client.number(PLACE, PARK_RA=1, PARK_DEC=10)
        assert (client.state(PLACE), client.device.park_position) == ("Ok", (1, 10))


@driver_test
async def test_a_parking_place_above_the_horizon_needs_a_location(monkeypatch):
    monkeypatch.setattr("indipydriver.instruments.parking.now_utc", lambda: datetime(2026, 11, 22, 21, tzinfo=UTC))
    async with Session(Altaz()) as client:
        device = await client.connect()
        await client.press(OPTION, "PARK_CURRENT")
        assert client.state(OPTION) == "Alert"
        await client.number("GEOGRAPHIC_COORD", LAT=50, LONG=10, ELEV=100)
        await client.number(PLACE, PARK_AZ=90, PARK_ALT=30)
        await client.press(PARK, "PARK")
        await client.until(PARK, "Ok", 60)
        device.parked = False
        await client.press(OPTION, "PARK_CURRENT")
        assert device.park_position == pytest.approx((90, 30), abs=1e-4)


@driver_test
async def test_the_place_and_the_time_come_from_a_gps_receiver():
    name = "GPS Simulator"
    async with DriverHarness(InstrumentDriver(TelescopeSimulator(), GPSSimulator())) as client:
        await client.set_switch(NAME, "CONNECTION", CONNECT="On")
        await client.wait_for(NAME, "GEOGRAPHIC_COORD", timeout=3)
        client.assert_values(NAME, "ACTIVE_DEVICES", ACTIVE_GPS=name)
        await client.set_switch(name, "CONNECTION", CONNECT="On")
        await client.wait_for(name, "GEOGRAPHIC_COORD", state="Ok", timeout=9)
        await client.wait_for(NAME, "GEOGRAPHIC_COORD", state="Ok", timeout=3)
        assert float(client.property(NAME, "GEOGRAPHIC_COORD").values["LAT"]) == pytest.approx(31.9583)
        assert (
            client.property(NAME, "TIME_UTC").values["UTC"][:10] == client.property(name, "TIME_UTC").values["UTC"][:10]
        )
        await client.set_number(NAME, "GEOGRAPHIC_COORD", LAT=1, LONG=2, ELEV=3)
        await client.advance(5)
        client.assert_values(NAME, "GEOGRAPHIC_COORD", LAT="1.0")  # the same place is not taken over again


@driver_test
async def test_a_dome_that_is_parked_locks_the_mount():
    dome = "Dome Simulator"
    async with DriverHarness(InstrumentDriver(TelescopeSimulator(), DomeSimulator())) as client:
        for name in (NAME, dome):
            await client.set_switch(name, "CONNECTION", CONNECT="On")
            await client.set_switch(name, "DOME_PARK" if name == dome else PARK, PARK="On")
        await client.wait_for(dome, "DOME_PARK", state="Ok", values={"PARK": "On"}, timeout=60)
        await client.wait_for(NAME, PARK, state="Ok", values={"PARK": "On"}, timeout=60)
        await client.set_switch(NAME, "DOME_POLICY", DOME_LOCKS="On")
        await client.set_switch(NAME, PARK, UNPARK="On")
        client.assert_state(NAME, PARK, "Alert")
        client.assert_values(NAME, PARK, PARK="On")
        await client.set_switch(dome, "DOME_PARK", UNPARK="On")
        await client.wait_for(dome, "DOME_PARK", state="Ok", values={"UNPARK": "On"}, timeout=60)
        await client.set_switch(NAME, PARK, UNPARK="On")
        await client.wait_for(NAME, PARK, state="Ok", values={"UNPARK": "On"}, timeout=5)


@driver_test
async def test_home_flip_reverse_and_the_other_options():
    async with Session(TelescopeSimulator()) as client:
        device = await client.connect()
        await slew(client, 2, 30)
        await client.until(EOD, "Ok", 20)
        await client.press("TELESCOPE_HOME", "SET")
        assert client.state("TELESCOPE_HOME") == "Ok"
        await client.press(ON_SET, "FLIP")
        side = device.pier_side
        await client.number(EOD, RA=4, DEC=10)
        await client.until(EOD, "Ok", 20)
        await client.advance(2)
        assert device.pier_side != side
        await client.press("TELESCOPE_HOME", "GO")
        assert (client.state("TELESCOPE_HOME"), client.state(EOD)) == ("Busy", "Busy")
        await client.until("TELESCOPE_HOME", "Ok", 20)
        assert client.on("TELESCOPE_HOME") == []
        assert device.coordinates == pytest.approx((2, 30))
        await client.press("TELESCOPE_HOME", "GO")
        await client.press(PARK, "PARK")
        await client.until(PARK, "Ok", 30)
        assert client.state("TELESCOPE_HOME") in ("Ok", "Idle")
        await client.press(PARK, "UNPARK")
        await client.until(PARK, "Ok", 2)
        device.coordinates = 5, 20
        await client.set_switch(client.name, "TELESCOPE_REVERSE_MOTION", REVERSE_NS="On")
        await client.press(NS, "MOTION_NORTH")
        await client.advance(3)
        await client.set_switch(client.name, NS, MOTION_NORTH="Off")
        assert client.state(NS) == "Idle"
        assert device.coordinates[1] < 20
        await client.until("TARGET_EOD_COORD", None, 1)
        assert float(client.values("TARGET_EOD_COORD")["DEC"]) == pytest.approx(device.coordinates[1], abs=0.01)
        await client.press("PEC", "PEC ON")
        await client.number("GUIDE_RATE", GUIDE_RATE_WE=0.7, GUIDE_RATE_NS=0.4)
        assert (client.state("PEC"), client.state("GUIDE_RATE"), device.guide_rate) == ("Ok", "Ok", (0.7, 0.4))
        await client.press("SIMULATED_FAULT", "FAILS")
        await client.until(EOD, "Alert", 3)
        await client.press("SIMULATED_FAULT", "NONE")
        await client.until(EOD, "Idle", 3)


@pytest.mark.parametrize(("stops_itself", "calls"), [(False, [True, False]), (True, [True])])
@driver_test
async def test_a_mount_that_is_parked_does_not_track(stops_itself, calls):
    class Goes(Mount):
        park_axes = "RA_DEC"

        def __init__(self, name=None):
            super().__init__(name)
            self.told = []

        async def slew_to(self, ra, dec):
            await asyncio.sleep(1)

        async def set_tracking(self, on):
            self.told.append(on)

        async def park(self):
            await self.slew_to(*self.park_coordinates)
            if stops_itself:
                self.tracking = False

        async def unpark(self):
            pass

    async with Session(Goes()) as client:
        device = await client.connect()
        await client.press("TELESCOPE_TRACK_STATE", "TRACK_ON")
        for _ in range(2):  # a second time it does not track
            await client.press("TELESCOPE_PARK", "PARK")
            await client.until("TELESCOPE_PARK", "Ok", 3, PARK="On")
            assert (device.told, client.on("TELESCOPE_TRACK_STATE")) == (calls, ["TRACK_OFF"])
            await client.press("TELESCOPE_PARK", "UNPARK")
            await client.until("TELESCOPE_PARK", "Ok", 3, UNPARK="On")


@driver_test
async def test_a_mount_that_goes_on_tracking_is_not_said_to_be_parked():
    class Goes(Mount):
        async def slew_to(self, ra, dec):
            pass

        async def set_tracking(self, on):
            if not on:
                raise OSError("it goes on")

        async def park(self):
            pass

        async def unpark(self):
            pass

    async with Session(Goes()) as client:
        device = await client.connect()
        await client.press("TELESCOPE_TRACK_STATE", "TRACK_ON")
        await client.press("TELESCOPE_PARK", "PARK")
        await client.until("TELESCOPE_PARK", "Alert", 3)
        assert (device.parked, client.on("TELESCOPE_TRACK_STATE")) == (False, ["TRACK_ON"])
        assert client.texts[-1] == "[ERROR] it goes on"


@driver_test
async def test_a_mount_that_was_just_told_to_track_does_not_when_it_is_parked():
    class Slow(Mount):
        tracks = False

        async def slew_to(self, ra, dec):
            pass

        async def set_tracking(self, on):
            self.tracks = on
            await asyncio.sleep(1)  # until it answers

        async def park(self):
            pass

    async with Session(Slow()) as client:
        device = await client.connect()
        await client.press("TELESCOPE_TRACK_STATE", "TRACK_ON")
        await client.press("TELESCOPE_PARK", "PARK")
        await client.until("TELESCOPE_PARK", "Ok", 9, PARK="On")
        assert (device.tracks, client.on("TELESCOPE_TRACK_STATE")) == (False, ["TRACK_OFF"])
