"""What was stopped on its way between two places is in neither of them, and can be sent to either."""

import asyncio

import pytest

from indipydriver.instruments import Dome, DustCap, InstrumentDriver, Mount, Refused, Rotator
from indipydriver.instruments.parkdata import read_park_data
from indipydriver.testing import DriverHarness, driver_test
from tests.instruments.sessions import Session


class Roof(Dome):
    fails = None

    def __init__(self, name=None):
        super().__init__(name)
        self.log = []

    async def open_roof(self):
        self.log.append("open")
        await asyncio.sleep(10)
        if self.fails is not None:
            raise self.fails

    async def close_roof(self):
        self.log.append("close")
        await asyncio.sleep(10)

    async def abort(self):
        self.log.append("abort")


class ClosedRoof(Roof):
    async def connect(self):
        if not self.log:
            self.parked = True


class Pier(Mount):
    """It needs some seconds to unlock."""

    def __init__(self, name=None):
        super().__init__(name)
        self.log = []

    async def slew_to(self, ra, dec):
        self.log.append("slew")

    async def park(self):
        self.log.append("park")

    async def unpark(self):
        self.log.append("unpark")
        await asyncio.sleep(5)

    async def abort(self):
        pass


@pytest.mark.parametrize("by_motion", [False, True])
@pytest.mark.parametrize("fails", [False, True])
@driver_test
async def test_a_roof_that_is_half_open_can_be_closed(by_motion, fails):
    device = ClosedRoof()
    device.fails = OSError("it is jammed") if fails else None
    async with Session(device) as client:
        await client.connect()
        await client.press("DOME_PARK", "UNPARK")
        await client.advance(20 if fails else 4)
        if not fails:
            await client.press("DOME_ABORT_MOTION", "ABORT")
        assert (client.state("DOME_PARK"), client.on("DOME_PARK"), device.parked) == ("Alert", ["PARK"], False)
        await client.press(*(("DOME_MOTION", "DOME_CCW") if by_motion else ("DOME_PARK", "PARK")))
        await client.until("DOME_PARK", "Ok", 15, PARK="On")
        assert device.log[-1] == "close"
        assert device.parked
        await client.press("DOME_PARK", "PARK")  # now it is
        await client.until("DOME_PARK", "Ok")
        assert device.log.count("close") == 1


@driver_test
async def test_a_roof_that_is_half_closed_can_be_opened():
    device = Roof()
    async with Session(device) as client:
        await client.connect()
        await client.press("DOME_PARK", "PARK")
        await client.advance(4)
        await client.press("DOME_ABORT_MOTION", "ABORT")
        assert (client.state("DOME_PARK"), client.on("DOME_PARK")) == ("Alert", ["UNPARK"])
        await client.press("DOME_PARK", "UNPARK")
        await client.until("DOME_PARK", "Ok", 15, UNPARK="On")
        assert device.log == ["close", "abort", "open"]


@driver_test
async def test_a_roof_that_refuses_is_where_it_was(home):
    device = ClosedRoof()
    async with Session(device) as client:
        await client.connect()

        async def refuse():
            raise Refused("It rains")

        device.open_roof = refuse
        await client.press("DOME_PARK", "UNPARK")
        assert (client.state("DOME_PARK"), device.parked) == ("Alert", True)
        await client.press("DOME_PARK", "PARK")
        await client.until("DOME_PARK", "Ok", PARK="On")
        assert device.log == []
    assert read_park_data(device.devicename).parked is True


@pytest.mark.parametrize("again", ["connection", "run"])
@driver_test
async def test_a_roof_that_was_left_half_open_is_not_closed(again, home):
    device = ClosedRoof()
    async with Session(device) as client:
        await client.connect()
        await client.press("DOME_PARK", "UNPARK")
        await client.advance(4)
        if again == "connection":
            await client.press("CONNECTION", "DISCONNECT")
            await client.connect()
            assert (client.state("DOME_PARK"), device.parked) == ("Alert", False)
    assert read_park_data(device.devicename).parked is None
    device = Roof("Closed Roof")
    async with Session(device) as client:
        await client.connect()
        assert (client.state("DOME_PARK"), device.parked) == ("Alert", False)
        assert any("stopped on its way" in text for text in client.texts)
        await client.press("DOME_PARK", "PARK")
        await client.until("DOME_PARK", "Ok", 15, PARK="On")
        assert device.log == ["close"]
    assert read_park_data(device.devicename).parked is True


@driver_test
async def test_what_the_hardware_knows_of_a_roof_that_was_stopped_counts():
    device = ClosedRoof()
    async with Session(device) as client:
        await client.connect()
        await client.press("DOME_PARK", "UNPARK")
        await client.advance(4)
        await client.press("DOME_ABORT_MOTION", "ABORT")
        device.parked = True  # somebody has closed it by hand
        await client.until("DOME_PARK", "Ok", PARK="On")
        await client.press("DOME_PARK", "PARK")
        assert device.log == ["open", "abort"]


class Stubborn(ClosedRoof):
    async def disconnect(self):
        raise Refused("The roof moves")


@driver_test
async def test_a_mount_does_not_unpark_below_a_roof_that_is_half_open():
    """Also if that could not be disconnected."""
    roof, mount = Stubborn("Roof"), Pier("Mount")
    async with DriverHarness(InstrumentDriver(roof, mount)) as client:
        for device in ("Roof", "Mount"):
            await client.set_switch(device, "CONNECTION", CONNECT="On")
            await client.wait_for(device, "CONNECTION", state="Ok")
        await client.set_text("Mount", "ACTIVE_DEVICES", ACTIVE_DOME="Roof")
        await client.set_switch("Mount", "DOME_POLICY", DOME_LOCKS="On")
        mount.parked = True
        await client.set_switch("Roof", "DOME_PARK", UNPARK="On")
        await client.advance(4)
        await client.set_switch("Roof", "CONNECTION", DISCONNECT="On")
        await client.advance(1)
        assert client.property("Roof", "DOME_PARK").state == "Alert"
        await client.set_switch("Mount", "TELESCOPE_PARK", UNPARK="On")
        await client.advance(10)
        assert mount.log == []


@driver_test
async def test_a_mount_that_was_stopped_while_it_unparked_can_be_parked():
    device = Pier()
    async with Session(device) as client:
        await client.connect()
        device.parked = True
        await client.press("TELESCOPE_PARK", "UNPARK")
        await client.advance(1)
        await client.press("TELESCOPE_ABORT_MOTION", "ABORT")
        assert client.state("TELESCOPE_PARK") == "Alert"
        await client.number("EQUATORIAL_EOD_COORD", RA=1, DEC=1)
        assert device.log == ["unpark"]
        await client.press("TELESCOPE_PARK", "PARK")
        await client.until("TELESCOPE_PARK", "Ok", PARK="On")
        assert device.log == ["unpark", "park"]


@driver_test
async def test_a_rotator_that_was_stopped_turns_back():
    """It does not tell where it is on the way."""

    class Silent(Rotator):
        def __init__(self, name=None):
            super().__init__(name)
            self.log = []

        async def turn_to(self, angle):
            self.log.append(angle)
            await asyncio.sleep(10)

        async def abort(self):
            pass

    async with Session(Silent()) as client:
        device = await client.connect()
        await client.number("ABS_ROTATOR_ANGLE", ANGLE=90)
        await client.advance(5)
        await client.press("ROTATOR_ABORT_MOTION", "ABORT")
        await client.number("ABS_ROTATOR_ANGLE", ANGLE=0)
        await client.until("ABS_ROTATOR_ANGLE", "Ok", 15)
        await client.number("ABS_ROTATOR_ANGLE", ANGLE=0)
        assert device.log == [90, 0]


@driver_test
async def test_a_cap_that_has_failed_is_neither_open_nor_closed_when_it_is_connected_again():
    class Cap(DustCap):
        async def close_cap(self):
            pass

        async def open_cap(self):
            raise OSError("it is jammed")

    async with Session(Cap()) as client:
        device = await client.connect()
        await client.press("CAP_PARK", "PARK")
        await client.until("CAP_PARK", "Ok")
        await client.press("CAP_PARK", "UNPARK")
        await client.until("CAP_PARK", "Alert")
        await client.press("CONNECTION", "DISCONNECT")
        await client.connect()
        assert (client.on("CAP_PARK"), device.closed) == ([], None)


@driver_test
async def test_a_mount_that_refuses_to_unpark_is_parked():
    class Refusing(Pier):
        async def unpark(self):
            raise Refused("The roof is closed")

    async with Session(Refusing()) as client:
        device = await client.connect()
        device.parked = True
        await client.press("TELESCOPE_PARK", "UNPARK")
        await client.advance(1)
        assert (client.state("TELESCOPE_PARK"), client.on("TELESCOPE_PARK"), device.parked) == ("Alert", ["PARK"], True)
