"""The image of a FITS file as a stretched picture, with the facts that an observer needs.  Pure."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .fits import SIZES, Fits, inflated, open_fits

__all__ = ["Picture", "picture_of"]

_CODES: Final = {8: "B", 16: "h", 32: "i", -32: "f", -64: "d"}
_SAMPLE: Final = 50_000
_BINS: Final = 96
_SKY: Final = 0.25
"""The brightness to which the sky is lifted."""
_SHADOWS: Final = 2.8


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of 8 bits a channel.

    Attributes:
        width: Pixels.
        height: Rows.
        channels: 1 for grey, 3 for colours.
        pixels: Row by row from the top.
        facts: Facts about the image.
    """

    width: int
    height: int
    channels: int
    pixels: bytes
    facts: dict[str, Any]


def _row(data: bytes | memoryview, fits: Fits, y: int, x: int, end: int, step: int, plane: int = 0) -> Sequence[float]:
    """Each `step`-th raw value of a row from `x` on."""
    size = SIZES[fits.bits]
    begin = fits.start + ((plane * fits.height + y) * fits.width + x) * size
    piece = data[begin : begin + (end - x) * size]
    if fits.bits == 8:
        return bytes(piece)[::step]
    row = array(_CODES[fits.bits])
    row.frombytes(piece)
    row = row[::step]
    if sys.byteorder == "little":
        row.byteswap()
    return row


def _physical(fits: Fits) -> Callable[[float], float]:
    zero, scale = fits.zero, fits.scale
    return lambda raw: zero + scale * raw


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Maps values to brightness."""

    low: float
    reach: float
    curve: float

    def grey(self, value: float) -> int:
        x = (value - self.low) / self.reach
        if not x > 0:  # it is not a number either
            return 0
        if x >= 1:
            return 255
        return int(255 * (self.curve - 1) * x / ((2 * self.curve - 1) * x - self.curve))


def _stretch(values: list[float]) -> tuple[_Stretch, dict[str, Any]]:
    """Lift the sky to a quarter of the brightness: a midtones curve, as in image viewers."""
    if not values:
        return _Stretch(0.0, 1.0, 0.5), {}
    ordered = sorted(values)
    middle = ordered[len(ordered) // 2]
    spread = sorted(abs(value - middle) for value in ordered)[len(ordered) // 2] * 1.4826
    top = ordered[-1]
    low = max(ordered[0], middle - _SHADOWS * spread)
    reach = top - low
    if not math.isfinite(reach) or reach <= 0:
        return _Stretch(low, 1.0, 0.5), _statistics(ordered, middle)
    sky = (middle - low) / reach
    curve = sky * (_SKY - 1) / (2 * _SKY * sky - _SKY - sky) if 0 < sky < 1 else 0.5
    return _Stretch(low, reach, min(max(curve, 1e-6), 1 - 1e-6)), _statistics(ordered, middle)


def _statistics(ordered: list[float], middle: float) -> dict[str, Any]:
    low, high = ordered[0], ordered[-1]
    mean = math.fsum(value / len(ordered) for value in ordered)  # the sum may be too large for a float
    bins = [0] * _BINS
    reach = high - low
    if 0 < reach < math.inf:
        for value in ordered:
            bins[min(int((value - low) / reach * _BINS), _BINS - 1)] += 1
    else:
        bins[0] = len(ordered)
    return {"min": low, "max": high, "median": middle, "mean": mean, "bins": bins}


def picture_of(
    data: bytes | memoryview, format: str, columns: int, rows: int, crop: tuple[int, int, int] | None = None
) -> tuple[Fits, Picture]:
    """The image of a FITS file as a picture.

    Args:
        data: The file.
        format: Its suffixes.
        columns: The most pixels that a row of the picture may have.
        rows: The most rows that it may have.
        crop: Instead of the whole image, a square around a point, one to one: x, y and size in pixels.

    Raises:
        NoImage: There is no image that can be shown.
    """
    view = memoryview(inflated(data, format))
    fits = open_fits(view)
    least = 2 if fits.bayer else 1
    step = max(-(-fits.width // columns), -(-fits.height // rows), 1)
    step = -(-step // least) * least
    left, top, right, bottom = 0, 0, fits.width, fits.height
    coarse = max(step, least)
    if crop is not None:
        x, y, size = crop
        size = min(max(size, 16), columns, rows)
        left = min(max(x - size // 2, 0), max(fits.width - size, 0)) // least * least
        top = min(max(y - size // 2, 0), max(fits.height - size, 0)) // least * least
        right, bottom = min(left + size, fits.width), min(top + size, fits.height)
        step = least
    if fits.bayer:  # pixels of all colours
        places = [(dx, dy) for dy in (0, 1) for dx in (0, 1)]
        grid = [
            _row(view, fits, y + dy, dx, fits.width, 2 * coarse)
            for y in range(0, fits.height - 1, 2 * coarse)
            for dx, dy in places
        ]
    else:
        grid = [_row(view, fits, y, 0, fits.width, coarse) for y in range(0, fits.height, coarse)]
    physical = _physical(fits)
    low, high = _ends(grid, physical)
    sample = _sampled(grid, physical)
    if sample and math.isfinite(low):
        sample += [low, high]
    stretch, facts = _stretch(sample)
    paint = _painter(fits, stretch, physical)
    if fits.bayer:
        right, bottom = left + (right - left) // 2 * 2, top + (bottom - top) // 2 * 2
        channels = [_offset(fits.bayer, colour) for colour in "RGB"]
        painted = [
            [paint(_row(view, fits, y + dy, left + dx, right, step)) for dx, dy in channels]
            for y in range(top, bottom - 1, step)
        ]
    elif fits.planes == 3:
        painted = [
            [paint(_row(view, fits, y, left, right, step, plane)) for plane in range(3)]
            for y in range(top, bottom, step)
        ]
    else:
        whole = crop is None and coarse == step
        painted = (
            [[paint(row)] for row in grid]
            if whole
            else [[paint(_row(view, fits, y, left, right, step))] for y in range(top, bottom, step)]
        )
    width = min(len(colour) for row in painted for colour in row)
    pixels = b"".join(_interleaved(row, width) for row in painted)
    facts |= {"width": fits.width, "height": fits.height, "bits": fits.bits, "step": coarse, "bayer": fits.bayer}
    facts |= {"left": left, "top": top, "shown": [right - left, bottom - top]}
    return fits, Picture(width, len(painted), len(painted[0]), pixels, facts)


def _offset(bayer: str, colour: str) -> tuple[int, int]:
    place = bayer.index(colour)
    return place % 2, place // 2


def _ends(grid: list[Sequence[float]], physical: Callable[[float], float]) -> tuple[float, float]:
    """The smallest and the largest value of the rows that were examined."""
    known = [physical(raw) for row in grid for raw in (min(row), max(row))]
    known = [value for value in known if math.isfinite(value)]
    return (min(known), max(known)) if known else (math.nan, math.nan)


def _sampled(grid: list[Sequence[float]], physical: Callable[[float], float]) -> list[float]:
    total = sum(map(len, grid))
    step = max(1, math.isqrt(max(1, total // _SAMPLE)))
    found = [physical(raw) for row in grid[::step] for raw in row[::step]]
    return [value for value in found if math.isfinite(value)]


def _painter(fits: Fits, stretch: _Stretch, physical: Callable[[float], float]) -> Callable[[Sequence[float]], bytes]:
    if fits.bits in (8, 16):
        # Negative values are at the end, where a negative index finds them.
        half, whole = (1 << 15, 1 << 16) if fits.bits == 16 else (256, 256)
        table = bytes([stretch.grey(physical(raw if raw < half else raw - whole)) for raw in range(whole)])
        if fits.bits == 8:
            return lambda row: bytes(row).translate(table)  # type: ignore[arg-type]
        grey = table.__getitem__
        return lambda row: bytes(map(grey, row))  # type: ignore[arg-type]
    return lambda row: bytes([stretch.grey(physical(raw)) for raw in row])


def _interleaved(colours: list[bytes], width: int) -> bytes:
    if len(colours) == 1:
        return colours[0][:width]
    found = bytearray(3 * width)
    for place, colour in enumerate(colours):
        found[place::3] = colour[:width]
    return bytes(found)
