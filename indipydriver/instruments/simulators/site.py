"""A simulated weather station, GPS receiver and power box."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

from ..gps import GPS, Fix
from ..powerbox import PowerBox
from ..weather import Reading, WeatherStation
from .faults import Simulator

__all__ = ["GPSSimulator", "PowerBoxSimulator", "WeatherSimulator"]


class WeatherSimulator(Simulator, WeatherStation):
    """A station whose wind rises and falls within a quarter of an hour. Tests can assign its readings."""

    readings: ClassVar[Sequence[Reading]] = (
        Reading("WEATHER_TEMPERATURE", "Temperature (C)", -10, 30),
        Reading("WEATHER_HUMIDITY", "Humidity (%)", 0, 90),
        Reading("WEATHER_WIND_SPEED", "Wind (kph)", 0, 20),
        Reading("WEATHER_RAIN_HOUR", "Precip (mm)", 0, 0.1),
        Reading("WEATHER_PRESSURE", "Pressure (hPa)"),
    )

    def __init__(self, devicename: str | None = None) -> None:
        super().__init__(devicename)
        self.weather: dict[str, float] = {}

    async def read_weather(self) -> Mapping[str, float]:
        await self.hardware()
        phase = asyncio.get_running_loop().time() / 900 * 2 * math.pi
        changing = {"WEATHER_WIND_SPEED": 8 + 4 * math.sin(phase), "WEATHER_TEMPERATURE": 12 + math.cos(phase)}
        steady = {"WEATHER_HUMIDITY": 55.0, "WEATHER_RAIN_HOUR": 0.0, "WEATHER_PRESSURE": 1013.0}
        return {**changing, **steady, **self.weather}


class GPSSimulator(Simulator, GPS):
    """A receiver that finds its location at the second attempt.

    Attributes:
        place: Degrees north, degrees east and metres; by default near Kitt Peak.
    """

    default_name = "GPS Simulator"
    place: tuple[float, float, float] = (31.9583, -111.5967, 2096)

    def __init__(self, devicename: str | None = None) -> None:
        super().__init__(devicename)
        self._tries = 0

    async def connect(self) -> None:
        await super().connect()
        self._tries = 0

    async def read_fix(self) -> Fix | None:
        await self.hardware()
        self._tries += 1
        return Fix(*self.place) if self._tries > 1 else None


class PowerBoxSimulator(Simulator, PowerBox):
    """A box with four outputs, two dew heaters and two USB ports; each output draws 1.5 A."""

    channels = ("Mount", "Camera", "Focuser", "Flat panel")
    heaters = ("Telescope", "Guide scope")
    variable = ("Flat panel",)
    usb_ports = ("Camera", "Guide camera")
    sensors = ("VOLTAGE", "CURRENT", "POWER")
    measures_channels = True
    measures_heaters = True

    async def poll(self) -> None:
        """Measure."""
        await super().poll()
        currents = [1.5 if self.channel(number) else 0.0 for number in range(1, len(self.channels) + 1)]
        for number, amperes in enumerate(currents, 1):
            self.show_current(number, amperes)
        self.voltage = 12.6 - 0.05 * sum(currents)
        self.current = sum(currents)
        self.power = self.voltage * self.current

    async def set_channel(self, number: int, on: bool) -> None:
        await self.hardware()

    async def set_heater(self, number: int, on: bool) -> None:
        await self.hardware()

    async def set_duty(self, number: int, percent: float) -> None:
        await self.hardware()

    async def set_auto_heater(self, number: int, on: bool) -> None:
        await self.hardware()

    async def set_variable(self, number: int, on: bool) -> None:
        await self.hardware()

    async def set_voltage(self, number: int, volts: float) -> None:
        await self.hardware()

    async def set_leds(self, on: bool) -> None:
        await self.hardware()

    async def set_usb_port(self, number: int, on: bool) -> None:
        await self.hardware()
