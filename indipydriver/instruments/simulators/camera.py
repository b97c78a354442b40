"""A simulated camera with a filter wheel and a guide port, which looks at a generated sky."""

from __future__ import annotations

import asyncio
import math
import random
import sys
from array import array
from typing import Final

from ..camera import Camera
from ..chips import Sensor
from ..filterwheel import FilterWheel
from ..guider import Direction, Guider
from ..shots import FrameType, Shot
from ..sky import is_on_sky
from .faults import Simulator

__all__ = ["CCDSimulator"]

_FULL: Final = 65535
_FOCAL_LENGTH: Final = 500.0  # mm, until clients set another
_BEST_FOCUS: Final = 50_000
_SHARP: Final = 1.2  # pixels of the sensor
_STARS_A_DEGREE: Final = 400  # per square degree
_FARTHEST: Final = 10.0  # degrees from the middle to a star, however short the focal length
_WARMING: Final = 0.5  # degrees per second


class CCDSimulator(Simulator, Camera, FilterWheel, Guider):
    """A camera that shows the stars where the mount in ACTIVE_DEVICES points, blurred by the focuser there.

    The stars are made up, but they are always the same ones.
    """

    default_name = "CCD Simulator"
    width = 640
    height = 480
    pixel_size = (5.2, 5.2)
    largest_binning = 4
    has_subframes = True
    gains = (0, 100)
    offsets = (0, 255)
    guide_head = Sensor(320, 240, (5.2, 5.2), largest_binning=2, has_subframes=True)
    guide_group = "Guider Control"

    def __init__(self, devicename: str | None = None) -> None:
        super().__init__(devicename)
        self._target = 20.0
        self.temperature = 20.0

    async def connect(self) -> None:
        await super().connect()
        if not self._is_on("CCD_COOLER", "COOLER_ON"):  # perhaps it had no power
            self._target = 20.0

    async def poll(self) -> None:
        """Let the sensor cool down or warm up."""
        await super().poll()
        way = self._target - self.temperature
        most = _WARMING * self._period
        self.temperature += max(-most, min(most, way))
        self.cooler_power = max(0.0, min(100.0, (20 - self.temperature) * 2))

    async def set_temperature(self, celsius: float) -> None:
        await self.hardware()
        self._target = celsius

    async def set_cooler(self, on: bool) -> None:
        await self.hardware()
        if not on:
            self._target = 20.0

    async def abort(self) -> None:
        await self.hardware()

    async def select(self, slot: int) -> None:
        await self.hardware(0.5)

    async def guide(self, direction: Direction, seconds: float) -> None:
        await self.hardware(seconds)

    async def abort_guide_head(self) -> None:
        await self.hardware()

    async def expose(self, shot: Shot) -> memoryview:
        await self.hardware(shot.seconds)
        return await self._look(shot, (self.width, self.height))

    async def expose_guide_head(self, shot: Shot) -> memoryview:
        await self.hardware(shot.seconds)
        assert self.guide_head is not None
        return await self._look(shot, (self.guide_head.width, self.guide_head.height))

    async def capture_frame(self, shot: Shot) -> bytes:
        await self.hardware(shot.seconds)
        pixels = await self._look(shot, (self.width, self.height))
        return bytes(pixels.cast("B"))[1::2] if sys.byteorder == "little" else bytes(pixels.cast("B"))[0::2]

    async def _look(self, shot: Shot, size: tuple[int, int]) -> memoryview:
        """The sky as it appears now."""
        mount, focuser = "ACTIVE_TELESCOPE", "ACTIVE_FOCUSER"
        ra = self._seen_number(mount, "EQUATORIAL_EOD_COORD", "RA") or 0.0
        dec = self._seen_number(mount, "EQUATORIAL_EOD_COORD", "DEC") or 0.0
        if not is_on_sky(ra, dec):
            ra = dec = 0.0
        focus = self._seen_number(focuser, "ABS_FOCUS_POSITION", "FOCUS_ABSOLUTE_POSITION")
        length = self._get("SCOPE_INFO", "FOCAL_LENGTH") or _FOCAL_LENGTH
        scale = 206.264806 * self.pixel_size[0] / length / 3600  # degrees per pixel of the sensor
        blur = _SHARP if focus is None else _SHARP + abs(focus - _BEST_FOCUS) / 5000
        return await asyncio.to_thread(_picture, shot, size, ra * 15, dec, scale, min(blur, 12.0))


def _picture(shot: Shot, size: tuple[int, int], ra: float, dec: float, scale: float, blur: float) -> memoryview:
    """The pixels of an image: noise, and stars if it is one of the sky."""
    columns, rows = shot.columns, shot.rows
    noise = bytearray(2 * columns * rows)
    noise[0::2] = random.randbytes(columns * rows)
    noise[1::2] = bytes([4 + min(100, shot.offset or 0)]) * (columns * rows)
    pixels = array("H", bytes(noise))
    if shot.frame_type is FrameType.FLAT:
        return memoryview(array("H", [20000 + value for value in pixels]))
    if shot.frame_type is FrameType.LIGHT:
        for east, north, flux in _stars(ra, dec, min(_FARTHEST, scale * max(size) * 0.75)):
            x = (size[0] / 2 - east / scale - shot.x) / shot.binning[0]
            y = (size[1] / 2 - north / scale - shot.y) / shot.binning[1]
            bright = flux * shot.seconds * (1 + (shot.gain or 0) / 20) * shot.binning[0] * shot.binning[1]
            _draw(pixels, columns, rows, x, y, bright, blur / shot.binning[0])
    return memoryview(pixels)


def _stars(ra: float, dec: float, radius: float) -> list[tuple[float, float, float]]:
    """The stars around a place: degrees to the east and to the north of it, and how bright they are."""
    found = []
    shrink = max(0.05, math.cos(math.radians(dec)))
    for cell_dec in range(math.floor(dec - radius), math.floor(dec + radius) + 1):
        for cell_ra in range(math.floor(ra - radius / shrink), math.floor(ra + radius / shrink) + 1):
            chance = random.Random(f"{cell_ra % 360} {cell_dec}")
            for _ in range(round(_STARS_A_DEGREE * shrink)):
                east = (cell_ra + chance.random() - ra) * shrink
                north = cell_dec + chance.random() - dec
                flux = 3000 / (0.05 + 0.95 * chance.random()) ** 1.5
                if abs(east) < radius and abs(north) < radius:
                    found.append((east, north, flux))
    return found


def _draw(pixels: array[int], columns: int, rows: int, x: float, y: float, bright: float, blur: float) -> None:
    """Add a star; far out of focus it grows more than it fades, so that it can still be found."""
    reach = math.ceil(3 * blur)
    peak = bright / (2 * math.pi * _SHARP * blur)
    for row in range(max(0, math.floor(y) - reach), min(rows, math.floor(y) + reach + 1)):
        for column in range(max(0, math.floor(x) - reach), min(columns, math.floor(x) + reach + 1)):
            distance = (column - x) ** 2 + (row - y) ** 2
            value = peak * math.exp(-distance / (2 * blur * blur))
            if value >= 1:
                place = row * columns + column
                pixels[place] = min(_FULL, pixels[place] + round(value))
