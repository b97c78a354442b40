"""One device that is several instruments: by inheriting, and by parts."""

import asyncio

import pytest

from indipydriver.instruments import (
    Camera,
    DustCap,
    FilterWheel,
    Focuser,
    Guider,
    InstrumentDriver,
    Mount,
    Number,
    Refused,
    Rotator,
)
from indipydriver.instruments.simulators import CCDSimulator, FocuserSimulator, TelescopeSimulator
from indipydriver.testing import DriverHarness, driver_test
from tests.instruments.sessions import Session

ABS, EOD = "ABS_FOCUS_POSITION", "EQUATORIAL_EOD_COORD"


class HandFocuser(Focuser):
    ticks = Number()

    def __init__(self, name=None):
        super().__init__(name)
        self.calls = []
        self.fails = {}

    async def note(self, what):
        self.calls.append(what)
        if what in self.fails:
            raise self.fails[what]

    async def connect(self):
        await self.note("connect")

    async def disconnect(self):
        await self.note("disconnect")

    async def poll(self):
        await self.note("poll")
        self.ticks += 1

    async def move_to(self, position):
        await asyncio.sleep(5)

    async def abort(self):
        await self.note("abort")


class Pier(Mount, Guider):
    parts = (HandFocuser,)

    def __init__(self, name=None):
        super().__init__(name)
        self.calls = []

    async def connect(self):
        self.calls.append("connect")

    async def disconnect(self):
        self.calls.append("disconnect")

    async def slew_to(self, ra, dec):
        await asyncio.sleep(5)

    async def abort(self):
        self.calls.append("abort")

    async def guide(self, direction, seconds):
        await asyncio.sleep(seconds)


@driver_test
async def test_a_mount_with_a_focuser_is_one_device():
    async with Session(Pier()) as client:
        device = await client.connect()
        focuser = device.part(HandFocuser)
        assert client.values("DRIVER_INFO")["DRIVER_INTERFACE"] == "13"
        assert {ABS, EOD, "FOCUS_ABORT_MOTION", "TELESCOPE_ABORT_MOTION", "TICKS"} <= set(client.defined())
        assert focuser.connected
        assert (focuser.devicename, focuser.whole, device.whole) == ("Pier", device, device)
        await client.number(ABS, FOCUS_ABSOLUTE_POSITION=700)
        await client.number(EOD, RA=3, DEC=10)
        assert (client.state(ABS), client.state(EOD)) == ("Busy", "Busy")
        await client.press("FOCUS_ABORT_MOTION", "ABORT")
        assert (client.state(ABS), client.state(EOD)) == ("Idle", "Busy")
        assert focuser.calls[-1] == "abort"
        assert "abort" not in device.calls
        await client.until(EOD, "Ok", 6)
        await client.advance(3)
        assert client.value("TICKS") > 2
        focuser.ticks = 70
        await client.until("TICKS", None, 1, TICKS="70")
        await client.press("CONNECTION", "DISCONNECT")
        assert (focuser.calls[-1], device.calls[-1]) == ("disconnect", "disconnect")
        assert ABS not in client.defined()
        calls = len(focuser.calls)
        await client.advance(5)
        assert len(focuser.calls) == calls


@driver_test
async def test_what_is_connected_is_disconnected_if_a_part_is_not_there():
    async with Session(Pier()) as client:
        client.device.part(HandFocuser).fails["connect"] = OSError("no focuser")
        await client.press("CONNECTION", "CONNECT")
        await client.until("CONNECTION", "Alert")
        assert client.device.calls == ["connect", "disconnect"]
        assert client.device.part(HandFocuser).calls == ["connect"]


@driver_test
async def test_a_part_can_lose_the_hardware():
    async with Session(Pier()) as client:
        await client.connect()
        client.device.part(HandFocuser).fails["poll"] = ConnectionResetError("gone")
        await client.until("CONNECTION", "Alert", 3)
        assert client.device.calls[-1] == "disconnect"


@driver_test
async def test_a_part_has_saved_settings_in_the_file_of_the_device(home):
    async with Session(Pier()) as client:
        await client.connect()
        await client.number("FOCUS_MAX", FOCUS_MAX_VALUE=5000)
    assert "FOCUS_MAX" in (home / ".indi" / "Pier_config.xml").read_text()
    async with Session(Pier()) as client:
        await client.connect()
        await client.press("CONFIG_PROCESS", "CONFIG_LOAD")
        await client.until("FOCUS_MAX", "Ok", 1, FOCUS_MAX_VALUE="5000")


@driver_test
async def test_partners_of_all_parts_are_in_one_property():
    class Eye(CCDSimulator):
        default_name = "Eye"

    class All(TelescopeSimulator):
        default_name = "All"
        parts = (Eye,)

    async with DriverHarness(InstrumentDriver(All(), FocuserSimulator())) as client:
        for name in ("All", "Focuser Simulator"):
            await client.set_switch(name, "CONNECTION", CONNECT="On")
            await client.wait_for(name, "CONNECTION", state="Ok")
        names = client.property("All", "ACTIVE_DEVICES").values
        assert {"ACTIVE_GPS", "ACTIVE_DOME", "ACTIVE_FOCUSER", "ACTIVE_TELESCOPE"} <= set(names)
        wanted = {"ACTIVE_TELESCOPE": "All", "ACTIVE_FOCUSER": "Focuser Simulator"}
        await client.set_text("All", "ACTIVE_DEVICES", wanted)
        client.assert_values("All", "ACTIVE_DEVICES", **wanted)
        await client.set_number("All", "CCD_EXPOSURE", CCD_EXPOSURE_VALUE=1)
        await client.wait_for("All", "CCD_EXPOSURE", state="Ok", timeout=60)
        image = client.property("All", "CCD1").values["CCD1"]
        assert b"FOCUSPOS" in image[:8640]
        assert b"OBJCTRA" in image[:8640]


def test_a_method_of_a_part_that_must_be_a_coroutine_is_named(caplog):
    class Wheel(FilterWheel):
        def select(self, slot):
            """The `async` is forgotten."""

    class Whole(Rotator):
        parts = (Wheel,)

        async def turn_to(self, angle):
            self.angle = angle

    @driver_test
    async def session():
        async with Session(Whole()) as client:
            await client.press("CONNECTION", "CONNECT")
            await client.wait_for("Whole", "CONNECTION", state="Ok")
            await client.set_number("Whole", "FILTER_SLOT", FILTER_SLOT_VALUE=2)
            await client.wait_for("Whole", "FILTER_SLOT", state="Alert")
            assert "a coroutine is needed, not NoneType: is `async` missing?" in client.texts[-1]

    session()
    assert "Wheel.select must be a coroutine: write async def select" in caplog.text


def test_classes_that_cannot_be_told_apart_are_named():
    with pytest.raises(TypeError, match=r"Both: abort\(\) of Mount and of Focuser"):
        type("Both", (Mount, Focuser), {})
    with pytest.raises(TypeError, match="parts"):
        type("Other", (Rotator, DustCap), {})
    type("Fine", (Camera, FilterWheel, Guider), {})


@driver_test
async def test_there_may_be_parts_in_parts_and_a_part_that_is_missed():
    class Wheel(FilterWheel):
        async def select(self, slot):
            raise Refused("stuck")

    class Inner(HandFocuser):
        parts = (Wheel,)

    class Outer(Pier):
        parts = (Inner,)

    async with Session(Outer()) as client:
        device = await client.connect()
        await client.number("FILTER_SLOT", FILTER_SLOT_VALUE=2)
        assert client.state("FILTER_SLOT") == "Alert"
        with pytest.raises(LookupError, match="no part"):
            device.part(Rotator)
