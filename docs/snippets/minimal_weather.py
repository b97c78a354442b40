from indipydriver.instruments import InstrumentDriver, Reading, WeatherStation
from indipyserver import IPyServer


class MyStation(WeatherStation):
    readings = (
        Reading("WEATHER_TEMPERATURE", "Temperature (C)", -10, 30),
        Reading("WEATHER_WIND_SPEED", "Wind (kph)", 0, 20),
        Reading("WEATHER_RAIN_HOUR", "Precip (mm)", 0, 0.1),
    )

    async def read_weather(self):  # here the hardware is asked
        return {"WEATHER_TEMPERATURE": 12.5, "WEATHER_WIND_SPEED": 7, "WEATHER_RAIN_HOUR": 0}


def make_driver():
    return InstrumentDriver(MyStation())


if __name__ == "__main__":
    IPyServer(make_driver()).run()
