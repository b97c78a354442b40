"""A simulated dome, and a simulated roof."""

from __future__ import annotations

from typing import Final

from ..dome import Dome
from .faults import TICK, Simulator

__all__ = ["DomeSimulator", "RollOffSimulator"]

_DOME_SPEED: Final = 10.0
_SHUTTER_SECONDS: Final = 4.0


class DomeSimulator(Simulator, Dome):
    """A dome that turns, with a shutter that is initially closed."""

    park_azimuth = 90.0

    def __init__(self, devicename: str | None = None) -> None:
        super().__init__(devicename)
        self._turning = 0.0
        self.shutter_open = False

    async def poll(self) -> None:
        """Go on turning if a client has started that."""
        await super().poll()
        if self._turning:
            self.azimuth += self._turning * self._period

    async def turn_to(self, azimuth: float) -> None:
        while abs(way := (azimuth - self.azimuth + 180) % 360 - 180) > 1e-4:
            await self.hardware(TICK)
            most = _DOME_SPEED * TICK
            self.azimuth += max(-most, min(most, way))

    async def start_turning(self, clockwise: bool) -> None:
        await self.hardware()
        self._turning = _DOME_SPEED if clockwise else -_DOME_SPEED

    async def abort(self) -> None:
        self._turning = 0.0
        await self.hardware()

    async def disconnect(self) -> None:
        self._turning = 0.0

    async def sync(self, azimuth: float) -> None:
        await self.hardware()

    async def open_shutter(self) -> None:
        await self.hardware(_SHUTTER_SECONDS)

    async def close_shutter(self) -> None:
        await self.hardware(_SHUTTER_SECONDS)


class RollOffSimulator(Simulator, Dome):
    """A roof that rolls off."""

    default_name = "RollOff Simulator"

    async def open_roof(self) -> None:
        await self.hardware(_SHUTTER_SECONDS)

    async def close_roof(self) -> None:
        await self.hardware(_SHUTTER_SECONDS)

    async def abort(self) -> None:
        await self.hardware()
