"""Coroutines that do not end as they should, and drivers that end meanwhile: nothing is claimed, and nothing runs on."""

import asyncio
import time

import pytest

from indipydriver.errors import DefinitionError
from indipydriver.instruments import (
    GPS,
    Camera,
    Dome,
    FilterWheel,
    Fix,
    Focuser,
    Guider,
    InstrumentDriver,
    Mount,
    Outputs,
    Reading,
    Refused,
    Rotator,
    WeatherStation,
    every,
)
from indipydriver.instruments.parkdata import read_park_data
from indipydriver.testing import DriverHarness, driver_test, run
from tests.instruments.sessions import Session

ABS = "ABS_FOCUS_POSITION"


async def stubborn(seconds):
    """It sleeps, and returns when it is cancelled, as if nothing were."""
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        pass


class StubbornRotator(Rotator):
    async def turn_to(self, angle):
        await stubborn(30)

    async def abort(self):
        pass


@driver_test
async def test_what_was_stopped_has_not_arrived_though_it_returns():
    async with Session(StubbornRotator()) as client:
        device = await client.connect()
        await client.number("ABS_ROTATOR_ANGLE", ANGLE=90)
        await client.advance(2)
        await client.press("ROTATOR_ABORT_MOTION", "ABORT")
        assert (client.state("ABS_ROTATOR_ANGLE"), device.angle) == ("Ok", 0)


@driver_test
async def test_what_is_stuck_has_not_arrived_though_it_returns():
    class Stuck(Focuser):
        async def move_to(self, position):
            await stubborn(1000)

    async with Session(Stuck()) as client:
        device = await client.connect()
        await client.number(ABS, FOCUS_ABSOLUTE_POSITION=90)
        await client.advance(70)
        assert (client.state(ABS), device.position) == ("Alert", 0)


class Counting:
    """It notes how many coroutines run at the same time."""

    def __init__(self, name=None):
        super().__init__(name)
        self.running = self.most = 0

    async def work(self, seconds):
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await stubborn(seconds)
        finally:
            self.running -= 1


class Polled(Counting, Rotator):
    polling = 0.1

    async def turn_to(self, angle):
        pass

    async def poll(self):
        await self.work(0.5)


class Failing(Polled):
    async def poll(self):
        try:
            await asyncio.sleep(0.5)
        finally:
            await self.work(0)
            raise OSError("the port is busy")  # in place of the cancellation


class Looping(Polled):
    async def poll(self):
        pass

    @every(0.1)
    async def look(self):
        await self.work(0.5)


class Station(Counting, WeatherStation):
    readings = (Reading("WEATHER_WIND_SPEED", "Wind", 0, 10),)
    period = 1

    async def read_weather(self):
        await self.work(0.9)
        return {"WEATHER_WIND_SPEED": 5}


class Receiver(Counting, GPS):
    async def read_fix(self):
        await self.work(3)
        return Fix(1, 1)


@pytest.mark.parametrize("kind", [Polled, Failing, Looping, Station, Receiver])
@driver_test
async def test_nothing_reads_the_hardware_twice_however_often_it_is_connected(kind):
    async with Session(kind()) as client:
        device = await client.connect()
        for _ in range(3):
            await client.advance(1.2)
            await client.press("CONNECTION", "DISCONNECT")
            await client.advance(1)
            assert device.running == 0
            await client.advance(10)
            assert device.running == 0
            await client.connect()
        await client.advance(3)
        assert device.most == 1


class Door(Focuser):
    """It counts how often it is open."""

    seconds = 5.0

    def __init__(self, name=None):
        super().__init__(name)
        self.open = 0
        self.log = []

    async def connect(self):
        await stubborn(self.seconds)
        self.open += 1

    async def disconnect(self):
        self.open -= 1

    async def move_to(self, position):
        pass


@pytest.mark.parametrize(("seconds", "disconnects", "state"), [(5, True, "Idle"), (1000, False, "Alert")])
@driver_test
async def test_what_is_opened_though_nobody_wants_it_any_more_is_closed(seconds, disconnects, state):
    device = Door()
    device.seconds = seconds
    async with Session(device) as client:
        await client.press("CONNECTION", "CONNECT")
        await client.advance(1)
        if disconnects:
            await client.press("CONNECTION", "DISCONNECT")
        await client.advance(70)
        assert (client.state("CONNECTION"), device.open) == (state, 0)


class Slow(Focuser):
    """It needs a second to disconnect, and some to stop."""

    polling = 0.1
    stopping = 0.0

    def __init__(self, name=None):
        super().__init__(name)
        self.log = []

    async def poll(self):
        self.log.append("poll")
        await asyncio.sleep(0.05)

    async def move_to(self, position):
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(self.stopping)

    async def disconnect(self):
        self.log.append("disconnect")
        await asyncio.sleep(1)
        self.log.append("disconnected")


@pytest.mark.parametrize("first", ["", "disconnect", "lose", "disconnect later"])
@driver_test
async def test_a_driver_that_ends_disconnects_once_and_to_the_end(first):
    device = Slow()
    async with Session(device) as client:
        await client.connect()
        await client.advance(1)
        match first:
            case "disconnect":
                await client.press("CONNECTION", "DISCONNECT")
            case "lose":
                device.poll = lost
                await client.advance(0.3)
            case "disconnect later":
                client.driver.shutdown()
                await client.press("CONNECTION", "DISCONNECT")
    assert device.log[device.log.index("disconnect") :] == ["disconnect", "disconnected"]


async def lost():
    raise ConnectionResetError("it is gone")


@driver_test
async def test_a_driver_that_ends_disconnects_though_something_does_not_stop():
    device = Slow()
    device.stopping = 4.5
    async with Session(device) as client:
        await client.connect()
        await client.number(ABS, FOCUS_ABSOLUTE_POSITION=90)
        await client.advance(1)
    assert device.log[-2:] == ["disconnect", "disconnected"]
    assert not device.connected


@driver_test
async def test_what_fails_long_after_a_disconnection_does_not_end_the_next_connection():
    class Late(Focuser):
        async def move_to(self, position):
            try:
                await asyncio.sleep(100)
            finally:
                await asyncio.sleep(8)
                raise ConnectionResetError("the old connection")

    async with Session(Late()) as client:
        await client.connect()
        await client.number(ABS, FOCUS_ABSOLUTE_POSITION=90)
        await client.advance(1)
        await client.press("CONNECTION", "DISCONNECT")
        await client.advance(6)
        await client.connect()
        await client.advance(20)
        assert client.state("CONNECTION") == "Ok"


# --- parts ---


class Part(Focuser):
    async def connect(self):
        self.whole.log.append("open")
        if self.whole.log.count("open") == self.whole.fails_at:
            raise OSError("it is gone")

    async def disconnect(self):
        self.whole.log.append("close")

    async def move_to(self, position):
        pass


class Whole(Mount):
    parts = (Part,)
    fails_at = 0

    def __init__(self, name=None):
        super().__init__(name)
        self.log = []

    async def slew_to(self, ra, dec):
        pass

    async def disconnect(self):
        raise Refused("It must not be left alone")


@pytest.mark.parametrize(("fails_at", "state"), [(0, "Alert"), (2, "Alert")])
@driver_test
async def test_parts_are_open_again_when_a_disconnection_is_refused(fails_at, state):
    device = Whole()
    device.fails_at = fails_at
    async with Session(device) as client:
        await client.connect()
        await client.press("CONNECTION", "DISCONNECT")
        await client.advance(1)
        assert device.log[:3] == ["open", "close", "open"]
        assert client.state("CONNECTION") == state
        assert device.connected is (fails_at == 0)


def test_two_parts_of_one_kind_are_named():
    class Other(Part):
        pass

    class Port(Mount, Guider):
        async def slew_to(self, ra, dec):
            pass

        async def guide(self, direction, seconds):
            pass

    class PortPart(Guider):
        async def guide(self, direction, seconds):
            pass

    with pytest.raises(DefinitionError, match="cannot see the part Other"):
        type("Both", (Whole,), {"parts": (Part, Other)})()
    with pytest.raises(DefinitionError, match="cannot see the part PortPart"):
        type("Ports", (Port,), {"parts": (PortPart,)})()


# --- outputs ---


class Heater(Outputs):
    outputs = ("Heater",)
    trouble = TimeoutError("no answer")
    is_hot = False

    async def set_output(self, number, on):
        if isinstance(self.trouble, Refused) and on:
            raise self.trouble
        self.is_hot = on
        if on:
            raise self.trouble


@driver_test
async def test_an_output_does_not_stay_on_because_its_answer_was_lost():
    async with Session(Heater()) as client:
        device = await client.connect()
        await client.number("PULSE_0", DURATION=2000)
        await client.press("DIGITAL_OUTPUT_1", "ON")
        await client.advance(5)
        assert not device.is_hot
        assert (client.state("DIGITAL_OUTPUT_1"), client.on("DIGITAL_OUTPUT_1")) == ("Alert", ["OFF"])


@driver_test
async def test_an_output_that_was_refused_is_as_it_was():
    device = Heater()
    device.trouble, device.is_hot = Refused("not now"), True
    async with Session(device) as client:
        await client.connect()
        await client.number("PULSE_0", DURATION=2000)
        await client.press("DIGITAL_OUTPUT_1", "ON")
        await client.advance(5)
        assert device.is_hot
        assert client.state("DIGITAL_OUTPUT_1") == "Alert"


@driver_test
async def test_a_driver_whose_poll_swallows_everything_ends():
    """It would be polled for ever."""
    driver = InstrumentDriver(Polled())
    async with DriverHarness(driver) as client:
        await client.set_switch("Polled", "CONNECTION", CONNECT="On")
        await client.wait_for("Polled", "CONNECTION", state="Ok")
        await client.advance(1.2)
    await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


def test_progress_may_be_told_by_a_thread():
    class Blocking(Focuser):
        patience = 0.5

        async def move_to(self, position):
            await asyncio.to_thread(self.move, position)

        def move(self, position):
            for place in range(position + 1):
                time.sleep(0.1)
                self.position = place

    async def session():
        async with Session(Blocking()) as client:
            await client.connect()
            await client.number(ABS, FOCUS_ABSOLUTE_POSITION=12)
            await client.until(ABS, "Ok", 30)
            assert client.value(ABS) == 12

    run(session, real_time=True)


@driver_test
async def test_hardware_that_a_task_group_has_lost_is_lost():
    class Grouped(Focuser):
        trouble = None

        async def move_to(self, position):
            pass

        async def poll(self):
            assert not asyncio.current_task().cancelling()  # timeouts of Python 3.11.2 would not end as such
            async with asyncio.TaskGroup() as group:
                group.create_task(self.ask())

        async def ask(self):
            if self.trouble is not None:
                raise self.trouble

    async with Session(Grouped()) as client:
        device = await client.connect()
        device.trouble = OSError("it hums")
        await client.advance(3)
        assert "[ERROR] it hums" in client.texts
        device.trouble = None
        await client.advance(3)
        device.trouble = ConnectionResetError("it is gone")
        await client.advance(3)
        assert client.state("CONNECTION") == "Alert"


@driver_test
async def test_a_lost_connection_is_open_until_it_has_been_closed(monkeypatch):
    device = Slow()
    closed = []
    monkeypatch.setattr(device, "_close_line", lambda: closed.append(list(device.log)))
    async with Session(device) as client:
        await client.connect()
        await client.advance(1)
        device.poll = lost
        await client.until("CONNECTION", None, 5)
        while "disconnect" not in device.log:
            await client.advance(0.1)
        await client.press("CONNECTION", "DISCONNECT")
        await client.until("CONNECTION", "Idle", 5, CONNECT="Off")
        assert "disconnected" in closed[0]


@driver_test
async def test_a_wheel_that_is_polled_on_its_way_arrives():
    class Wheel(FilterWheel):
        place = 1

        async def poll(self):
            self.slot = self.place

        async def select(self, slot):
            await asyncio.sleep(2.5)
            self.place = slot

    class Jammed(Wheel):
        async def select(self, slot):
            await asyncio.sleep(2.5)
            self.slot = self.place

    for kind, arrives in ((Wheel, 3), (Jammed, 1)):
        async with Session(kind()) as client:
            await client.connect()
            await client.number("FILTER_SLOT", FILTER_SLOT_VALUE=3)
            await client.until("FILTER_SLOT", "Ok", 10)
            assert client.value("FILTER_SLOT") == arrives


# --- what returns though it was cancelled, in the middle of what a command does ---


class StubbornDome(Dome):
    shutter_needs_park = True

    def __init__(self, name=None):
        super().__init__(name)
        self.log = []

    async def turn_to(self, azimuth):
        await stubborn(20)

    async def close_shutter(self):
        self.log.append("close")
        await stubborn(20)

    async def open_shutter(self):
        pass

    async def abort(self):
        pass


class StubbornRoof(Dome):
    async def open_roof(self):
        await stubborn(20)

    async def close_roof(self):
        await stubborn(20)

    async def abort(self):
        pass


class StubbornMount(Mount):
    follows = False

    async def slew_to(self, ra, dec):
        await stubborn(20)

    async def park(self):
        await stubborn(20)

    async def set_tracking(self, on):
        self.follows = on

    async def abort(self):
        pass


@pytest.mark.parametrize("seconds", [5, 15])
@driver_test
async def test_a_dome_that_was_stopped_is_not_parked_though_it_returns(seconds):
    device = StubbornDome()
    async with Session(device) as client:
        await client.connect()
        await client.press("DOME_SHUTTER_PARK_POLICY", "SHUTTER_CLOSE_ON_PARK")
        await client.press("DOME_PARK", "PARK")
        await client.advance(20 + seconds if seconds > 10 else seconds)
        await client.press("DOME_ABORT_MOTION", "ABORT")
        await client.advance(30)
        assert (client.state("DOME_PARK"), client.on("DOME_PARK"), device.parked) == ("Alert", ["UNPARK"], False)
        assert device.log == (["close"] if seconds > 10 else [])
        assert device.shutter_open is not True


@pytest.mark.parametrize("late", [False, True])
@driver_test
async def test_a_roof_that_was_stopped_is_not_closed_though_it_returns(late):
    device = StubbornRoof()
    device.patience = 10.0 if late else 60.0
    async with Session(device) as client:
        await client.connect()
        await client.press("DOME_PARK", "PARK")
        await client.advance(5)
        if not late:
            await client.press("DOME_ABORT_MOTION", "ABORT")
        await client.advance(30)
        assert (client.state("DOME_PARK"), client.on("DOME_PARK"), device.parked) == ("Alert", ["UNPARK"], False)
    assert read_park_data(device.devicename).parked is None


@driver_test
async def test_a_mount_that_was_stopped_neither_tracks_nor_is_parked_though_it_returns():
    device = StubbornMount()
    async with Session(device) as client:
        await client.connect()
        await client.number("EQUATORIAL_EOD_COORD", RA=5, DEC=5)
        await client.advance(5)
        await client.press("TELESCOPE_ABORT_MOTION", "ABORT")
        await client.advance(30)
        assert not device.follows
        await client.press("TELESCOPE_PARK", "PARK")
        await client.advance(5)
        await client.press("TELESCOPE_ABORT_MOTION", "ABORT")
        await client.advance(30)
        assert (client.state("TELESCOPE_PARK"), client.on("TELESCOPE_PARK"), device.parked) == ("Alert", [], False)


@driver_test
async def test_an_exposure_that_was_stopped_brings_no_image_though_it_returns():
    class StubbornCamera(Camera):
        width, height = 4, 4

        async def expose(self, shot):
            await stubborn(shot.seconds)
            return bytes(32)

    async with Session(StubbornCamera()) as client:
        await client.connect()
        await client.number("CCD_EXPOSURE", CCD_EXPOSURE_VALUE=20)
        await client.advance(5)
        await client.press("CCD_ABORT_EXPOSURE", "ABORT")
        await client.advance(30)
        assert client.state("CCD_EXPOSURE") == "Idle"
        assert not client.values("CCD1").get("CCD1")
