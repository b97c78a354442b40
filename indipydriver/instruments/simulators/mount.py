"""A simulated mount."""

from __future__ import annotations

import asyncio
from typing import Final

from ..guider import Direction, Guider
from ..mount import Mount
from .faults import TICK, Simulator

__all__ = ["TelescopeSimulator"]

_SLEW_SPEED: Final = 10.0
_SIDEREAL: Final = 15.041067 / 3600  # degrees a second
_RATES: Final = (0.5 * _SIDEREAL, 0.1, 1.0, 4.0)  # degrees a second


class TelescopeSimulator(Simulator, Mount, Guider):
    """A mount on a pier that follows the sky when it tracks, and drifts with the earth when it does not."""

    has_pier_side = True
    mount_type = "EQ_GEM"
    park_axes = "HA_DEC"

    def __init__(self, devicename: str | None = None) -> None:
        super().__init__(devicename)
        self._clock = 0.0
        self._moving: dict[Direction, float] = {}
        self._home = (0.0, 90.0)
        self._has_flipped = False

    async def connect(self) -> None:
        await super().connect()
        self._moving.clear()
        self._clock = asyncio.get_running_loop().time()

    async def poll(self) -> None:
        """Turn the sky, and move the mount."""
        await super().poll()
        now = asyncio.get_running_loop().time()
        seconds, self._clock = now - self._clock, now
        ra, dec = self.coordinates
        if not self.tracking and not self.slewing:
            ra += seconds * _SIDEREAL / 15
        for direction, rate in self._moving.items():
            ra, dec = _moved(ra, dec, direction, rate * seconds)
        self.coordinates = ra, dec
        self.pier_side = "EAST" if (ra < 12) != self._has_flipped else "WEST"

    async def slew_to(self, ra: float, dec: float) -> None:
        most = _SLEW_SPEED * TICK
        while True:
            await self.hardware(TICK)
            here = self.coordinates
            east, north = ((ra - here[0] + 12) % 24 - 12) * 15, dec - here[1]
            self._clock = asyncio.get_running_loop().time()
            if max(abs(east), abs(north)) <= most:
                self.coordinates = ra, dec
                return
            self.coordinates = (
                here[0] + max(-most, min(most, east)) / 15,
                here[1] + max(-most, min(most, north)),
            )

    async def flip(self, ra: float, dec: float) -> None:
        await self.slew_to(ra, dec)
        self._has_flipped = not self._has_flipped

    async def sync(self, ra: float, dec: float) -> None:
        await self.hardware()

    async def abort(self) -> None:
        await self.hardware()

    async def set_tracking(self, on: bool) -> None:
        await self.hardware()

    async def set_track_mode(self, mode: str) -> None:
        await self.hardware()

    async def set_track_rate(self, ra: float, dec: float) -> None:
        await self.hardware()

    async def park(self) -> None:
        await self.slew_to(*self.park_coordinates)

    async def unpark(self) -> None:
        await self.hardware()

    async def find_home(self) -> None:
        await self.slew_to(*self._home)

    async def set_home(self) -> None:
        await self.hardware()
        self._home = self.coordinates

    async def go_home(self) -> None:
        await self.slew_to(*self._home)

    async def set_pec(self, on: bool) -> None:
        await self.hardware()

    async def set_guide_rate(self, west_east: float, north_south: float) -> None:
        await self.hardware()

    async def start_motion(self, direction: Direction, rate: int) -> None:
        await self.hardware()
        self._moving[direction] = _RATES[rate]

    async def stop_motion(self, direction: Direction) -> None:
        self._moving.pop(direction, None)
        await self.hardware()

    async def guide(self, direction: Direction, seconds: float) -> None:
        await self.hardware(seconds)
        rate = self.guide_rate[direction in (Direction.NORTH, Direction.SOUTH)]
        self.coordinates = _moved(*self.coordinates, direction, rate * _SIDEREAL * seconds)


def _moved(ra: float, dec: float, direction: Direction, degrees: float) -> tuple[float, float]:
    """Coordinates after a motion of some degrees."""
    match direction:
        case Direction.NORTH:
            dec = min(90, dec + degrees)
        case Direction.SOUTH:
            dec = max(-90, dec - degrees)
        case Direction.EAST:
            ra += degrees / 15
        case Direction.WEST:
            ra -= degrees / 15
    return ra % 24, dec
