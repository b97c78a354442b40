"""Weather stations, GPS receivers and power boxes."""

import pytest

from indipydriver.instruments import GPS, Fix, PowerBox, Reading, WeatherStation
from indipydriver.instruments.simulators import GPSSimulator, PowerBoxSimulator, WeatherSimulator
from indipydriver.testing import driver_test
from tests.instruments.sessions import GENERAL, Session

STATUS, SAFETY, VALUES = "WEATHER_STATUS", "SAFETY_STATUS", "WEATHER_PARAMETERS"


# --- weather


@driver_test
async def test_a_station_defines_its_readings_and_their_ranges():
    async with Session(WeatherSimulator()) as client:
        await client.connect()
        names = [name for name in client.defined() if name not in {*GENERAL, "SIMULATED_FAULT", "ACTIVE_DEVICES"}]
        assert names[:6] == ["WEATHER_UPDATE", "WEATHER_REFRESH", "WEATHER_OVERRIDE", STATUS, SAFETY, VALUES]
        assert names[6:] == [*client.values(STATUS), "GEOGRAPHIC_COORD"]
        assert client.state("GEOGRAPHIC_COORD") == "Ok"
        assert "WEATHER_PRESSURE" in client.values(VALUES)
        assert "WEATHER_PRESSURE" not in client.values(STATUS)
        await client.until(VALUES, "Ok")
        assert (client.state(STATUS), client.state(SAFETY), client.values(SAFETY)) == ("Ok", "Ok", {"SAFETY": "Ok"})
        assert client.device.safe


@pytest.mark.parametrize(
    ("wind", "state"), [(0, "Ok"), (16.9, "Ok"), (17.1, "Busy"), (20, "Busy"), (20.1, "Alert"), (-1, "Alert")]
)
@driver_test
async def test_the_state_is_that_of_the_worst_reading(wind, state):
    async with Session(WeatherSimulator()) as client:
        device = await client.connect()
        device.weather["WEATHER_WIND_SPEED"] = wind
        await client.press("WEATHER_REFRESH", "REFRESH")
        await client.settle()
        assert client.on("WEATHER_REFRESH") == []
        assert (client.state(STATUS), client.values(STATUS)["WEATHER_WIND_SPEED"]) == (state, state)
        assert client.state(SAFETY) == state
        assert device.safe == (state != "Alert")


@driver_test
async def test_ranges_can_be_changed_and_are_saved(home):
    async with Session(WeatherSimulator()) as client:
        device = await client.connect()
        device.weather["WEATHER_WIND_SPEED"] = 15
        await client.press("WEATHER_REFRESH", "REFRESH")
        await client.number("WEATHER_WIND_SPEED", MIN_OK=0, MAX_OK=10, PERC_WARN=15, ALERT_TYPE=0)
        assert client.state("WEATHER_WIND_SPEED") == "Ok"
        assert client.state(STATUS) == "Alert"
        await client.number("WEATHER_WIND_SPEED", ALERT_TYPE=1)
        assert client.values(STATUS)["WEATHER_WIND_SPEED"] == "Ok"
        await client.set_switch(client.name, "WEATHER_OVERRIDE", OVERRIDE="On")
        assert (client.state("WEATHER_OVERRIDE"), client.state(STATUS)) == ("Busy", "Ok")
        await client.set_switch(client.name, "WEATHER_OVERRIDE", OVERRIDE="Off")
        assert client.state("WEATHER_OVERRIDE") == "Idle"
        await client.advance(1)
    assert "WEATHER_WIND_SPEED" in (home / ".indi" / "Weather Simulator_config.xml").read_text()


@driver_test
async def test_without_readings_it_is_not_safe():
    async with Session(WeatherSimulator()) as client:
        device = await client.connect()
        await client.settle()
        assert device.safe
        await client.press("SIMULATED_FAULT", "FAILS")
        await client.press("WEATHER_REFRESH", "REFRESH")
        await client.until(VALUES, "Alert")
        assert client.state(STATUS) == "Ok"
        await client.advance(150)
        assert (client.state(STATUS), client.state(SAFETY)) == ("Alert", "Alert")
        assert len([text for text in client.texts if "could not be read" in text]) == 1
        await client.press("SIMULATED_FAULT", "NONE")
        await client.until(STATUS, "Ok", 6)
        assert client.state(VALUES) == "Ok"


def test_a_station_must_say_what_it_reads():
    class Silent(WeatherStation):
        async def read_weather(self):
            return {}

    with pytest.raises(TypeError, match="in `readings`"):
        Silent()
    Silent.readings = (Reading("WEATHER_PRESSURE", "Pressure"),)
    with pytest.raises(TypeError, match="no reading with a range"):
        Silent()
    with pytest.raises(TypeError, match="read_weather"):
        type("Bare", (WeatherStation,), {})()


# --- GPS


@driver_test
async def test_a_receiver_is_busy_until_it_knows_where_it_is():
    async with Session(GPSSimulator()) as client:
        await client.connect()
        await client.settle()
        for name in ("GEOGRAPHIC_COORD", "TIME_UTC", "GPS_REFRESH"):
            assert client.state(name) == "Busy"
        await client.until("GPS_REFRESH", "Ok", 6)
        place = {name: float(value) for name, value in client.values("GEOGRAPHIC_COORD").items()}
        assert place == {"LAT": 31.9583, "LONG": pytest.approx(248.4033), "ELEV": 2096}
        assert client.state("TIME_UTC") == "Ok"
        assert len(client.values("TIME_UTC")["UTC"]) == 19
        client.messages.clear()
        await client.advance(100)
        assert client.history("TIME_UTC") == []
        await client.number("GPS_REFRESH_PERIOD", PERIOD=10)
        await client.advance(35)
        assert len(client.history("TIME_UTC")) == 4
        await client.press("GPS_REFRESH", "REFRESH")
        await client.until("GPS_REFRESH", "Ok", 1)


@driver_test
async def test_a_receiver_that_fails():
    class Broken(GPS):
        async def read_fix(self):
            raise OSError("no antenna")

    async with Session(Broken()) as client:
        await client.connect()
        await client.until("GEOGRAPHIC_COORD", "Alert")
        await client.advance(20)
        assert client.texts.count("[ERROR] The receiver could not be read: no antenna") == 1
    assert Fix(1, 2).elevation == 0


# --- power


@driver_test
async def test_outputs_are_switched_one_by_one(home):
    async with Session(PowerBoxSimulator()) as client:
        device = await client.connect()
        assert client.property(client.name, "POWER_CHANNELS").definition.members[0].label == "Mount"
        await client.set_switch(client.name, "POWER_CHANNELS", POWER_CHANNEL_2="On")
        assert client.state("POWER_CHANNELS") == "Ok"
        assert client.on("POWER_CHANNELS") == ["POWER_CHANNEL_2"]
        assert device.channel(2)
        await client.advance(2)
        assert client.values("POWER_CURRENTS")["POWER_CHANNEL_2"] == "1.5"
        assert client.values("POWER_SENSORS")["SENSOR_CURRENT"] == "1.5"
        await client.number("DEW_DUTY_CYCLES", DEW_CHANNEL_1=40)
        assert (client.state("DEW_DUTY_CYCLES"), client.values("DEW_DUTY_CYCLES")["DEW_CHANNEL_1"]) == ("Ok", "40.0")
        await client.press("SIMULATED_FAULT", "REFUSES")
        await client.set_switch(client.name, "POWER_CHANNELS", POWER_CHANNEL_3="On")
        assert (client.state("POWER_CHANNELS"), client.on("POWER_CHANNELS")) == ("Alert", ["POWER_CHANNEL_2"])
        await client.text("POWER_LABELS", POWER_CHANNEL_1="Dome")
        await client.advance(1)
    async with Session(PowerBoxSimulator()) as client:
        await client.connect()
        assert client.property(client.name, "POWER_CHANNELS").definition.members[0].label == "Dome"


def test_outputs_need_a_method():
    with pytest.raises(TypeError, match="set_channel"):
        type("Box", (PowerBox,), {"channels": ("One",)})()
