"""What authors, clients and files may do wrong, and what instruments make of it."""

import asyncio

import pytest

from indipydriver.instruments import GPS, Camera, Fix, Focuser, Instrument, PowerBox, Reading, WeatherStation, every
from indipydriver.instruments.simulators import DomeSimulator, FocuserSimulator, TelescopeSimulator
from indipydriver.testing import driver_test
from tests.instruments.sessions import Session

NONSENSE = [float("nan"), float("inf"), -float("inf"), 1e300]


class Station(WeatherStation):
    readings = (Reading("WEATHER_TEMPERATURE", "Temperature", -10, 30),)
    answer = 5.0

    async def read_weather(self):
        if isinstance(self.answer, BaseException):
            raise self.answer
        return {"WEATHER_TEMPERATURE": self.answer}


@pytest.mark.parametrize(
    "answer", [*NONSENSE[:3], "warm", None, SystemExit(3), asyncio.CancelledError(), KeyError("x")]
)
@driver_test
async def test_a_weather_station_reads_on_after_nonsense(answer):
    async with Session(Station()) as client:
        device = await client.connect()
        device.answer = answer
        await client.press("WEATHER_REFRESH", "REFRESH")
        await client.until("WEATHER_PARAMETERS", "Alert", 3)
        device.answer = 7
        await client.until("WEATHER_PARAMETERS", "Ok", 10, WEATHER_TEMPERATURE="7")


class Receiver(GPS):
    answer = None

    async def read_fix(self):
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    "answer", [Fix(float("nan"), 0), Fix(100, 0), Fix(1, float("inf")), SystemExit(), asyncio.CancelledError(), "here"]
)
@driver_test
async def test_a_receiver_reads_on_after_nonsense(answer):
    async with Session(Receiver()) as client:
        client.device.answer = answer
        await client.connect()
        await client.until("GEOGRAPHIC_COORD", "Alert", 3)
        client.device.answer = Fix(50, 11)
        await client.until("GEOGRAPHIC_COORD", "Ok", 10)


class Meter(Instrument):
    reading = 0
    fails = None
    looped = 0

    async def poll(self):
        self.reading += 1
        if self.fails is not None:
            raise self.fails

    @every(1)
    async def loop(self):
        self.looped += 1
        if self.fails is not None:
            raise self.fails


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), SystemExit(1), TimeoutError(), KeyError(), StopAsyncIteration()]
)
@driver_test
async def test_polling_goes_on_whatever_is_raised(error):
    async with Session(Meter()) as client:
        device = await client.connect()
        device.fails = error
        await client.advance(5)
        before = device.reading, device.looped
        device.fails = None
        await client.advance(5)
        assert device.reading >= before[0] + 4
        assert device.looped >= before[1] + 4
        assert any("[ERROR]" in text for text in client.texts)


@driver_test
async def test_a_handler_that_cancels_itself_has_failed():
    class Odd(Focuser):
        async def move_to(self, position):
            raise asyncio.CancelledError

    async with Session(Odd()) as client:
        await client.connect()
        await client.number("ABS_FOCUS_POSITION", FOCUS_ABSOLUTE_POSITION=10)
        await client.until("ABS_FOCUS_POSITION", "Alert", 1)


@driver_test
async def test_a_frame_that_is_smaller_than_a_binned_pixel_is_refused():
    class Small(Camera):
        width, height = 8, 8
        largest_binning = 4
        has_subframes = True

        async def expose(self, shot):
            return bytes(2 * shot.columns * shot.rows)

    async with Session(Small()) as client:
        await client.connect()
        await client.number("CCD_FRAME", X=0, Y=0, WIDTH=2, HEIGHT=2)
        await client.number("CCD_BINNING", HOR_BIN=4, VER_BIN=4)
        await client.number("CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0.1)
        assert client.state("CCD_EXPOSURE") == "Alert"
        assert "smaller than one pixel" in client.property("Small", "CCD_EXPOSURE").message


class Box(PowerBox):
    channels = ("One", "Two")

    async def set_channel(self, number, on):
        pass


@pytest.mark.parametrize("label", ["", " ", "x" * 500, "Zürich", "a\tb", "\u202e", "<&>"])
@driver_test
async def test_clients_may_call_an_output_as_they_like(label):
    async with Session(Box()) as client:
        await client.text("POWER_LABELS", POWER_CHANNEL_1=label, POWER_CHANNEL_2="Two")
        await client.connect()
        assert "POWER_CHANNELS" in client.defined()
        await client.press("POWER_CHANNELS", "POWER_CHANNEL_1")
        assert client.on("POWER_CHANNELS") == ["POWER_CHANNEL_1"]


HOSTILE = [
    b"",
    b"\xff\xfe\x00",
    b'<?xml version="1.0" encoding="utf-7"?><INDIDriver/>',
    b'<?xml version="1.0" encoding="nowhere"?><INDIDriver/>',
    b"<a>" * 20_000,
    b"<INDIDriver>" + b"<a>" * 20_000 + b"</a>" * 20_000 + b"</INDIDriver>",
    (
        b"<INDIDriver><newNumberVector device='Focuser Simulator' name='FOCUS_MAX'><oneNumber name='FOCUS_MAX_VALUE'>nan"
        b"</oneNumber></newNumberVector></INDIDriver>"
    ),
    (
        b"<INDIDriver><newSwitchVector device='Focuser Simulator' name='CONNECTION'><oneSwitch name='CONNECT'>On"
        b"</oneSwitch></newSwitchVector><newSwitchVector device='Focuser Simulator' name='FOCUS_MAX'/></INDIDriver>"
    ),
    (
        b"<INDIDriver><newNumberVector device='Focuser Simulator' name='POLLING_PERIOD'><oneNumber name='PERIOD_MS'>-5"
        b"</oneNumber><oneNumber name='OTHER'>1</oneNumber></newNumberVector></INDIDriver>"
    ),
]


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
@driver_test
async def test_hostile_settings_do_no_harm(content, home):
    folder = home / ".indi"
    folder.mkdir()
    path = folder / "Focuser Simulator_config.xml"
    path.write_bytes(content)
    async with Session(FocuserSimulator()) as client:
        assert client.state("CONNECTION") == "Idle"
        await client.connect()
        await client.press("CONFIG_PROCESS", "CONFIG_LOAD")
        assert client.state("CONFIG_PROCESS") in ("Ok", "Alert")
        await client.number("FOCUS_MAX", FOCUS_MAX_VALUE=5000 + 50_000)
        assert client.state("FOCUS_MAX") == "Ok"
        await client.press("CONFIG_PROCESS", "CONFIG_SAVE")
        assert client.state("CONFIG_PROCESS") == "Ok"
        assert float(client.values("POLLING_PERIOD")["PERIOD_MS"]) == 1000
    assert "55000" in path.read_text()


@pytest.mark.parametrize("kind", ["directory", "fifo"])
@driver_test
async def test_settings_that_are_no_file_do_no_harm(kind, home):
    import os

    folder = home / ".indi"
    folder.mkdir()
    path = folder / "Focuser Simulator_config.xml"
    path.mkdir() if kind == "directory" else os.mkfifo(path)
    async with asyncio.timeout(5):
        async with Session(FocuserSimulator()) as client:
            await client.connect()
            await client.press("CONFIG_PROCESS", "CONFIG_LOAD")
            assert client.state("CONFIG_PROCESS") == "Alert"


@pytest.mark.parametrize("content", HOSTILE[:6], ids=range(6))
@driver_test
async def test_hostile_parking_data_does_no_harm(content, home):
    folder = home / ".indi"
    folder.mkdir()
    (folder / "ParkData.xml").write_bytes(content)
    for kind in (TelescopeSimulator, DomeSimulator):
        async with Session(kind()) as client:
            device = await client.connect()
            assert not device.parked
            name = "TELESCOPE_PARK" if kind is TelescopeSimulator else "DOME_PARK"
            await client.press(name, "PARK")
            await client.until(name, "Ok", 60, PARK="On")
    assert "Dome Simulator" in (folder / "ParkData.xml").read_text()


@driver_test
async def test_two_clients_at_once():
    """One connects and the other disconnects, one moves and the other aborts; each command has an answer."""
    async with Session(FocuserSimulator()) as client:
        commands = [client.press("CONNECTION", member) for member in ("CONNECT", "DISCONNECT") * 5]
        await asyncio.gather(*commands)
        await client.connect()
        moves = [client.number("ABS_FOCUS_POSITION", FOCUS_ABSOLUTE_POSITION=n * 1000) for n in range(1, 9)]
        aborts = [client.press("FOCUS_ABORT_MOTION", "ABORT") for _ in range(4)]
        await asyncio.gather(*moves, *aborts)
        await client.advance(30)
        assert client.state("ABS_FOCUS_POSITION") in ("Ok", "Idle")
        assert client.state("FOCUS_ABORT_MOTION") == "Ok"
