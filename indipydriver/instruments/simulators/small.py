"""Simulated filter wheel, rotator, dust cap and light box."""

from __future__ import annotations

from typing import Final

from ..covers import DustCap, LightBox
from ..filterwheel import FilterWheel
from ..operations import Refused
from ..rotator import Rotator
from .faults import TICK, Simulator

__all__ = ["DustCapSimulator", "FilterSimulator", "LightPanelSimulator", "RotatorSimulator"]

_SECONDS_A_SLOT: Final = 0.5
_ROTATOR_SPEED: Final = 10.0
_CAP_SECONDS: Final = 3.0


class FilterSimulator(Simulator, FilterWheel):
    """A wheel of eight filters that turns the shorter way."""

    async def select(self, slot: int) -> None:
        slots = len(self.names)
        way = abs(slot - self.slot)
        for _ in range(min(way, slots - way)):
            await self.hardware(_SECONDS_A_SLOT)


class RotatorSimulator(Simulator, Rotator):
    """A rotator that turns the shorter way. Reversed, the same place has the angle that is missing to 360 degrees."""

    async def turn_to(self, angle: float) -> None:
        while abs(way := (angle - self.angle + 180) % 360 - 180) > 1e-9:
            await self.hardware(TICK)
            most = _ROTATOR_SPEED * TICK
            self.angle += max(-most, min(most, way))

    async def abort(self) -> None:
        await self.hardware()

    async def sync(self, angle: float) -> None:
        await self.hardware()

    async def home(self) -> None:
        await self.turn_to(0)

    async def set_reverse(self, reverse: bool) -> None:
        await self.hardware()
        if reverse != self.reversed:
            self.angle = -self.angle


class DustCapSimulator(Simulator, DustCap, LightBox):
    """A cap with a light in it, which can only be switched on when it is closed."""

    async def connect(self) -> None:
        await super().connect()
        if self.closed is None:
            self.closed = True

    async def close_cap(self) -> None:
        await self.hardware(_CAP_SECONDS)

    async def open_cap(self) -> None:
        if self.light:
            raise Refused("Cannot open the cap while the light is on.")
        await self.hardware(_CAP_SECONDS)

    async def abort(self) -> None:
        await self.hardware()

    async def set_light(self, on: bool) -> None:
        if on and not self.closed:
            raise Refused("Cannot control light while cap is unparked.")
        await self.hardware()

    async def set_brightness(self, value: int) -> None:
        await self.hardware()


class LightPanelSimulator(Simulator, LightBox):
    """A light panel."""

    async def set_light(self, on: bool) -> None:
        await self.hardware()

    async def set_brightness(self, value: int) -> None:
        await self.hardware()
