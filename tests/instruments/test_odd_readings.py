"""Weather stations and receivers that do not answer, or answer with less than they should."""

import asyncio
from datetime import datetime

import pytest

from indipydriver.instruments import (
    GPS,
    Camera,
    Dome,
    FilterWheel,
    Fix,
    Focuser,
    Inputs,
    LightBox,
    Mount,
    PowerBox,
    Reading,
    Rotator,
    WeatherStation,
)
from indipydriver.instruments.lines import Line, _Incoming
from indipydriver.testing import driver_test
from tests.instruments.sessions import Session


@pytest.mark.parametrize(
    "odd",
    [
        Fix(1, 2, utc="noon"),
        Fix(1, 2, utc=datetime.min),
        Fix(1, 2, offset="two"),
        Fix(1, 2, offset=float("nan")),
        Fix(1, 2, 1e300),
    ],
)
@driver_test
async def test_a_receiver_reads_on_after_any_nonsense(odd):
    class Receiver(GPS):
        fix = odd

        async def read_fix(self):
            return self.fix

    async with Session(Receiver()) as client:
        device = await client.connect()
        await client.until("GEOGRAPHIC_COORD", "Alert", 5)
        device.fix = Fix(50, 11)
        await client.until("GEOGRAPHIC_COORD", "Ok", 10, LAT="50")


class Station(WeatherStation):
    period = 5
    readings = (Reading("WEATHER_TEMPERATURE", "T", -10, 30), Reading("WEATHER_RAIN_HOUR", "Rain", 0, 0.1))
    answer = None  # what it reads; None: it never answers

    async def read_weather(self):
        if self.answer is None:
            await asyncio.Event().wait()
        return self.answer


GOOD = {"WEATHER_TEMPERATURE": 1, "WEATHER_RAIN_HOUR": 0}


@pytest.mark.parametrize("patience", [60.0, None])
@pytest.mark.parametrize("answer", [None, {}, {"WEATHER_TEMPERATURE": 1}])
@driver_test
async def test_without_a_reading_for_two_periods_it_is_not_safe(answer, patience, monkeypatch):
    monkeypatch.setattr(Station, "patience", patience)
    station = Station()
    station.answer = GOOD
    async with Session(station) as client:
        await client.connect()
        await client.until("SAFETY_STATUS", "Ok", 2)
        await client.advance(30)
        station.answer = answer
        await client.advance(4)
        assert client.state("SAFETY_STATUS") == "Ok"
        await client.until("SAFETY_STATUS", "Alert", 12)
        if answer is not None:
            station.answer = GOOD
            await client.until("SAFETY_STATUS", "Ok", 6)


@pytest.mark.parametrize("answer", [None, {}, {"WEATHER_TEMPERATURE": 1}])
@driver_test
async def test_what_has_never_been_read_is_not_safe(answer):
    station = Station()
    station.answer = answer
    async with Session(station) as client:
        await client.connect()
        await client.advance(4)
        assert client.state("SAFETY_STATUS") == "Idle"
        await client.until("SAFETY_STATUS", "Alert", 16)


# --- lines ---


def test_what_nobody_asks_for_is_not_kept():
    incoming = _Incoming()
    for _ in range(64):
        incoming.data_received(bytes(1 << 20))
    assert len(incoming.data) < 4 << 20


@driver_test
async def test_an_instrument_that_takes_nothing_is_lost():
    class Deaf(asyncio.WriteTransport):
        waiting = 0

        def write(self, data):
            self.waiting += len(data)

        def get_write_buffer_size(self):
            return self.waiting

        def is_closing(self):
            return False

    line = Line(_Incoming(), [Deaf()], "a mount")
    for _ in range(17):
        await line.tell(bytes(1 << 20))
    with pytest.raises(ConnectionError, match="a mount is lost: it takes no more data"):
        await line.tell(b"one more")


class Silent(WeatherStation):
    readings = (Reading("WEATHER_TEMPERATURE", "Temperature", -10, 30),)
    answers = True
    hangs = False

    async def read_weather(self):
        if self.hangs:
            await asyncio.Event().wait()
        if not self.answers:
            raise OSError("no answer")
        return {"WEATHER_TEMPERATURE": 5}


@pytest.mark.parametrize("hangs", [False, True])
@driver_test
async def test_an_override_holds_as_long_as_it_is_on(hangs):
    async with Session(Silent()) as client:
        device = await client.connect()
        device.answers, device.hangs = False, hangs
        await client.until("WEATHER_STATUS", "Alert", 200)
        await client.press("WEATHER_OVERRIDE", "OVERRIDE")
        assert client.state("WEATHER_STATUS") == "Ok"
        await client.advance(150)
        assert (client.state("WEATHER_STATUS"), client.state("SAFETY_STATUS")) == ("Ok", "Ok")
        await client.set_switch(client.name, "WEATHER_OVERRIDE", {"OVERRIDE": "Off"})
        assert (client.state("WEATHER_STATUS"), client.state("SAFETY_STATUS")) == ("Alert", "Alert")
        assert not device.safe
        device.answers, device.hangs = True, False
        await client.until("WEATHER_STATUS", "Ok", 90)


@pytest.mark.parametrize("kind", ["weather", "receiver"])
@driver_test
async def test_nothing_is_read_without_a_pause(kind):
    """However short a period clients send."""
    count = 0

    class Station(WeatherStation):
        readings = (Reading("WEATHER_WIND_SPEED", "Wind", 0, 10),)

        async def read_weather(self):
            nonlocal count
            count += 1
            return {"WEATHER_WIND_SPEED": 5}

    class Receiver(GPS):
        async def read_fix(self):
            nonlocal count
            count += 1
            return Fix(1, 1)

    device, vector = (Station(), "WEATHER_UPDATE") if kind == "weather" else (Receiver(), "GPS_REFRESH_PERIOD")
    async with Session(device) as client:
        await client.connect()
        await client.number(vector, PERIOD=0.01)
        await client.advance(10)
        assert 5 < count < 15


NO_NUMBERS = [float("nan"), float("inf"), -float("inf"), None, "n/a"]  # libraries say None


@pytest.mark.parametrize("value", [*NO_NUMBERS, 10**400])
@driver_test
async def test_one_instrument_that_is_broken_does_not_hide_what_the_others_read(value):
    station = Station()
    station.answer = GOOD
    async with Session(station) as client:
        await client.connect()
        await client.until("SAFETY_STATUS", "Ok", 2)
        station.answer = {"WEATHER_TEMPERATURE": value, "WEATHER_RAIN_HOUR": 1}
        await client.until("SAFETY_STATUS", "Alert", 6)
        assert client.values("WEATHER_STATUS") == {"WEATHER_TEMPERATURE": "Ok", "WEATHER_RAIN_HOUR": "Alert"}
        await client.until("WEATHER_PARAMETERS", "Alert")
        assert sum("WEATHER_TEMPERATURE is" in text for text in client.texts) == 1
        await client.until("WEATHER_STATUS", "Alert", 15, WEATHER_TEMPERATURE="Alert")
        station.answer = GOOD
        await client.until("SAFETY_STATUS", "Ok", 6)
        await client.until("WEATHER_PARAMETERS", "Ok")


@driver_test
async def test_what_was_read_before_is_not_shown_as_good_when_a_station_is_connected_again():
    station = Station()
    station.answer = GOOD
    async with Session(station) as client:
        await client.connect()
        await client.until("SAFETY_STATUS", "Ok", 2)
        await client.press("CONNECTION", "DISCONNECT")
        station.answer = None
        begin = len(client.messages)
        await client.connect()
        assert not station.safe
        names = ("WEATHER_STATUS", "SAFETY_STATUS", "WEATHER_PARAMETERS")
        about = [message for message in client.messages[begin:] if getattr(message, "name", None) in names]
        assert [message.state for message in about] == ["Idle"] * 3


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_a_mount_that_does_not_know_where_it_is_says_so(value):
    class Lost(Mount):
        place = (1.0, 2.0)

        async def poll(self):
            self.coordinates = self.place

        async def slew_to(self, ra, dec):
            self.coordinates = (value, value)

    @driver_test
    async def run():
        async with Session(Lost()) as client:
            device = await client.connect()
            eod = "EQUATORIAL_EOD_COORD"
            assert client.state(eod) == "Idle"
            for place in ((value, 2.0), (1.0, value)):
                device.place = place
                await client.advance(5)
                assert client.state(eod) == "Alert"
                assert [float(one) for one in client.values(eod).values()] == [1, 2]
                device.place = (1.0, 2.0)
                await client.advance(5)
                assert client.state(eod) == "Idle"
            await client.number(eod, RA=3, DEC=4)
            assert client.state(eod) == "Alert"
            assert [float(one) for one in client.values(eod).values()] == [1, 2]

    run()


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_a_sensor_that_fails_is_shown(value):
    class Box(PowerBox):
        channels = ("Camera",)
        sensors = ("VOLTAGE",)
        measures_channels = True
        reading = 12.0

        async def set_channel(self, number, on):
            pass

        async def poll(self):
            try:
                self.voltage = self.reading
            finally:
                self.show_current(1, self.reading)

    class Warm(Focuser):
        reading = 12.0

        async def move_to(self, position):
            pass

        async def read_temperature(self):
            return self.reading

    class Analog(Inputs):
        analog_inputs = ("Rain",)
        reading = 12.0

        async def poll(self):
            self.show_analog_input(1, self.reading)

    class Thermometer(Camera):
        has_thermometer = True
        reading = 12.0

        async def expose(self, shot):
            return b""

        async def poll(self):
            self.temperature = self.reading

    @driver_test
    async def run():
        for kind, vectors in (
            (Box, ("POWER_SENSORS", "POWER_CURRENTS")),
            (Warm, ("FOCUS_TEMPERATURE",)),
            (Analog, ("ANALOG_INPUT_1",)),
            (Thermometer, ("CCD_TEMPERATURE",)),
        ):
            async with Session(kind()) as client:
                device = await client.connect()
                before = [client.state(vector) for vector in vectors]
                device.reading = value
                await client.advance(5)
                assert [client.state(vector) for vector in vectors] == ["Alert"] * len(vectors), kind
                assert [client.value(vector) for vector in vectors] == [12.0] * len(vectors)
                assert len([text for text in client.texts if text.startswith("[ERROR]")]) == 1
                device.reading = 12.0
                await client.advance(5)
                assert [client.state(vector) for vector in vectors] == before, kind

    run()


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_a_place_that_is_no_number_is_not_shown(value):
    class AFocuser(Focuser):
        async def move_to(self, position):
            self.position = value

    class ADome(Dome):
        async def turn_to(self, azimuth):
            self.azimuth = value

    class ARotator(Rotator):
        async def turn_to(self, angle):
            self.angle = value

    class AWheel(FilterWheel):
        async def select(self, slot):
            self.slot = value

    @driver_test
    async def run():
        for kind, vector, attribute in (
            (AFocuser, "ABS_FOCUS_POSITION", "position"),
            (ADome, "ABS_DOME_POSITION", "azimuth"),
            (ARotator, "ABS_ROTATOR_ANGLE", "angle"),
            (AWheel, "FILTER_SLOT", "slot"),
        ):
            async with Session(kind()) as client:
                device = await client.connect()
                state, before = client.state(vector), client.value(vector)
                with pytest.raises(ValueError, match="finite"):
                    setattr(device, attribute, value)
                await client.advance(1)
                assert (client.state(vector), client.value(vector)) == ("Alert", before)
                setattr(device, attribute, before)
                await client.advance(1)
                assert (client.state(vector), client.value(vector)) == (state, before)
                await client.number(vector, **{next(iter(client.values(vector))): 3})
                await client.advance(1)
                assert (client.state(vector), client.value(vector)) == ("Alert", before)
                assert sum("finite" in text for text in client.texts) == 1

    run()


@driver_test
async def test_what_is_neither_open_nor_closed_is_not_shown_as_known():
    """Many libraries say 0 and 1, or have words of their own."""

    class ADome(Dome):
        async def turn_to(self, azimuth):
            self.azimuth = azimuth

        async def open_shutter(self):
            pass

        async def close_shutter(self):
            pass

    class AMount(Mount):
        has_pier_side = True

        async def slew_to(self, ra, dec):
            pass

    async with Session(ADome()) as client:
        device = await client.connect()
        device.shutter_open = True
        for wrong in (1, 0, "closed"):
            with pytest.raises(ValueError, match="must be one of Off, On"):
                device.shutter_open = wrong
            await client.advance(1)
            assert client.state("DOME_SHUTTER") == "Alert"
        assert device.shutter_open is None
        device.shutter_open = False
        await client.until("DOME_SHUTTER", "Ok", 1, SHUTTER_CLOSE="On")
    async with Session(AMount()) as client:
        device = await client.connect()
        device.pier_side = "EAST"
        for wrong in ("west", "W", 1):
            with pytest.raises(ValueError, match='pier_side is "EAST", "WEST" or None, not'):
                device.pier_side = wrong
        assert device.pier_side == "EAST"


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_a_brightness_that_cannot_be_read_is_not_shown_as_the_last_one(value):
    class Box(LightBox):
        async def set_light(self, on):
            pass

        async def set_brightness(self, number):
            pass

    @driver_test
    async def run():
        async with Session(Box()) as client:
            device = await client.connect()
            device.brightness = 7
            with pytest.raises(ValueError, match="finite"):
                device.brightness = value
            await client.advance(1)
            assert (client.state("FLAT_LIGHT_INTENSITY"), client.value("FLAT_LIGHT_INTENSITY")) == ("Alert", 7)

    run()
