"""A simulated dome, and a simulated roof."""

from __future__ import annotations

from typing import Final

from ..dome import Dome
from .faults import Simulator

__all__ = ["DomeSimulator", "RollOffSimulator"]

_DEGREES_A_SECOND: Final = 10.0
_SECONDS_TO_OPEN: Final = 4.0
_TICK: Final = 0.1


class DomeSimulator(Simulator, Dome):
    """A dome that turns, with a shutter that is closed at first."""

    park_azimuth = 90.0

    def __init__(self, devicename: str | None = None) -> None:
        super().__init__(devicename)
        self._turning = 0.0
        self.shutter_open = False

    async def poll(self) -> None:
        """Go on turning, if a client has started it."""
        await super().poll()
        if self._turning:
            self.azimuth += self._turning * self._period

    async def turn_to(self, azimuth: float) -> None:
        while abs(way := (azimuth - self.azimuth + 180) % 360 - 180) > 1e-4:
            await self.hardware(_TICK)
            most = _DEGREES_A_SECOND * _TICK
            self.azimuth += max(-most, min(most, way))

    async def start_turning(self, clockwise: bool) -> None:
        await self.hardware()
        self._turning = _DEGREES_A_SECOND if clockwise else -_DEGREES_A_SECOND

    async def abort(self) -> None:
        self._turning = 0.0
        await self.hardware()

    async def disconnect(self) -> None:
        self._turning = 0.0

    async def sync(self, azimuth: float) -> None:
        await self.hardware()

    async def open_shutter(self) -> None:
        await self.hardware(_SECONDS_TO_OPEN)

    async def close_shutter(self) -> None:
        await self.hardware(_SECONDS_TO_OPEN)


class RollOffSimulator(Simulator, Dome):
    """A roof that rolls off."""

    default_name = "RollOff Simulator"

    async def open_roof(self) -> None:
        await self.hardware(_SECONDS_TO_OPEN)

    async def close_roof(self) -> None:
        await self.hardware(_SECONDS_TO_OPEN)

    async def abort(self) -> None:
        await self.hardware()
