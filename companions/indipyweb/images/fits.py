"""FITS files: their header and their image as a stretched picture, with what an observer looks for in it.  Pure."""

from __future__ import annotations

import math
import sys
import zlib
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["Fits", "NoImage", "Picture", "inflated", "open_fits", "picture_of"]

BLOCK: Final = 2880
CARD: Final = 80
BLOCKS: Final = 100
"""Of one header."""
UNITS: Final = 20
"""Header and data units that are looked at."""
PIXELS: Final = 200_000_000
INFLATED: Final = 512 << 20
_CODES: Final = {8: "B", 16: "h", 32: "i", -32: "f", -64: "d"}
_SIZES: Final = {8: 1, 16: 2, 32: 4, -32: 4, -64: 8}
_SAMPLE: Final = 50_000
_BINS: Final = 96
_SKY: Final = 0.25
"""The brightness to which the sky is lifted."""
_SHADOWS: Final = 2.8


class NoImage(ValueError):
    """There is nothing to be shown, or the file lies; the text says why."""


@dataclass(slots=True)
class Fits:
    """The first image of a FITS file.

    Attributes:
        cards: Keywords, values without quotes, and comments, in their order.
        width: Pixels in a row.
        height: Rows.
        planes: Colours: 1 or 3.
        bits: BITPIX: 8, 16, 32, -32 or -64.
        start: Where its pixels begin.
        zero: BZERO.
        scale: BSCALE.
        bayer: The colours of the first two rows, such as RGGB, or "".
    """

    cards: list[tuple[str, str, str]] = field(default_factory=list)
    width: int = 0
    height: int = 0
    planes: int = 1
    bits: int = 0
    start: int = 0
    zero: float = 0.0
    scale: float = 1.0
    bayer: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that a browser shows.

    Attributes:
        width: Pixels.
        height: Rows.
        channels: 1 for grey, 3 for colours.
        pixels: Row by row from the top.
        facts: What there is to say of the image.
    """

    width: int
    height: int
    channels: int
    pixels: bytes
    facts: dict[str, Any]


def inflated(data: bytes | memoryview, format: str) -> bytes | memoryview:
    """The bytes, no longer compressed.

    Raises:
        NoImage: They cannot be inflated, or are too many.
    """
    if not (format.endswith((".z", ".gz")) or bytes(data[:2]) == b"\x1f\x8b"):
        return data
    inflater = zlib.decompressobj(wbits=47)
    found = bytearray()
    try:
        for begin in range(0, len(data), 1 << 20):
            piece = bytes(data[begin : begin + (1 << 20)])
            while piece:
                found += inflater.decompress(piece, 1 << 22)
                piece = inflater.unconsumed_tail
                if len(found) > INFLATED:
                    raise NoImage(f"it holds more than {INFLATED >> 20} MiB")
    except zlib.error as error:
        raise NoImage(f"it is not compressed as it says: {error}") from None
    return bytes(found)


def open_fits(data: bytes | memoryview) -> Fits:
    """The header of the first image.

    Raises:
        NoImage: There is none, or it says what cannot be.
    """
    if bytes(data[:9]) != b"SIMPLE  =":
        raise NoImage("this is not a FITS file")
    begin = 0
    for _ in range(UNITS):
        found, values = _header(data, begin)
        axes = _integer(values, "NAXIS", 0, 999)
        lengths = [_integer(values, f"NAXIS{n}", 0, 1 << 31) for n in range(1, min(axes, 9) + 1)]
        bits = _integer(values, "BITPIX", -64, 64)
        if bits not in _SIZES:
            raise NoImage(f"BITPIX is {bits}")
        pixels = math.prod(lengths) if lengths else 0
        is_image = begin == 0 or values.get("XTENSION", "IMAGE") == "IMAGE"
        if axes >= 2 and is_image and pixels:
            return _image(found, values, lengths, bits, len(data))
        size = pixels * _SIZES[bits] + _integer(values, "PCOUNT", 0, 1 << 40)
        begin = found.start + -(-size // BLOCK) * BLOCK
        if bytes(data[begin : begin + 8]) != b"XTENSION":
            break
    raise NoImage("there is no image in this FITS file")


def _header(data: bytes | memoryview, begin: int) -> tuple[Fits, dict[str, str]]:
    found = Fits()
    values: dict[str, str] = {}
    for place in range(begin, min(len(data), begin + BLOCKS * BLOCK), CARD):
        card = bytes(data[place : place + CARD]).decode("latin-1")
        keyword = card[:8].rstrip()
        if keyword == "END":
            found.start = begin + -(-(place + CARD - begin) // BLOCK) * BLOCK
            return found, values
        if card[8:10] == "= ":
            value, comment = _value(card[10:])
            found.cards.append((keyword, value, comment))
            values.setdefault(keyword, value)
        elif keyword in ("COMMENT", "HISTORY"):
            found.cards.append((keyword, card[8:].strip(), ""))
    raise NoImage("the FITS header has no end")


def _value(text: str) -> tuple[str, str]:
    text = text.strip()
    if not text.startswith("'"):
        value, _, comment = text.partition("/")
        return value.strip(), comment.strip()
    inside, rest = "", text[1:]
    while rest:
        part, _, rest = rest.partition("'")
        inside += part
        if not rest.startswith("'"):
            break
        inside, rest = inside + "'", rest[1:]
    return inside.rstrip(), rest.partition("/")[2].strip()


def _integer(values: dict[str, str], keyword: str, low: int, high: int) -> int:
    text = values.get(keyword, "0")
    try:
        number = int(text[:24])
    except ValueError:
        raise NoImage(f"{keyword} is no number: {text[:20]!r}") from None
    if not low <= number <= high:
        raise NoImage(f"{keyword} is {number}")
    return number


def _float(values: dict[str, str], keyword: str, default: float) -> float:
    try:
        number = float(values.get(keyword, default))
    except ValueError:
        return default
    return number if math.isfinite(number) else default


def _image(found: Fits, values: dict[str, str], lengths: list[int], bits: int, size: int) -> Fits:
    found.width, found.height, found.bits = lengths[0], lengths[1], bits
    found.planes = 3 if len(lengths) > 2 and lengths[2] == 3 else 1
    if found.width * found.height * found.planes > PIXELS:
        raise NoImage(f"it has more than {PIXELS // 1_000_000} million pixels")
    if size < found.start + found.width * found.height * found.planes * _SIZES[bits]:
        raise NoImage("the file ends before its image does")
    found.zero = _float(values, "BZERO", 0.0)
    found.scale = _float(values, "BSCALE", 1.0) or 1.0
    bayer = values.get("BAYERPAT", "").strip().upper()
    if bayer in ("RGGB", "BGGR", "GRBG", "GBRG") and found.planes == 1 and min(lengths[:2]) >= 4:
        found.bayer = bayer
    return found


# The picture


def _row(data: bytes | memoryview, fits: Fits, y: int, x: int, end: int, step: int, plane: int = 0) -> Sequence[float]:
    """Each `step`-th raw value of a row from `x` on."""
    size = _SIZES[fits.bits]
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
    """From values to brightness."""

    low: float
    reach: float
    curve: float

    def grey(self, value: float) -> int:
        x = (value - self.low) / self.reach
        if not x > 0:  # nor is it a number
            return 0
        if x >= 1:
            return 255
        return int(255 * (self.curve - 1) * x / ((2 * self.curve - 1) * x - self.curve))


def _stretch(values: list[float]) -> tuple[_Stretch, dict[str, Any]]:
    """Sky to a quarter of the brightness, stars to the top: a midtones curve, as viewers of images have it."""
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


def _mean(values: list[float]) -> float:
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        return math.nan


def _statistics(ordered: list[float], middle: float) -> dict[str, Any]:
    low, high = ordered[0], ordered[-1]
    bins = [0] * _BINS
    factor = _BINS / (high - low) if math.isfinite(high - low) and high > low else 0.0
    for value in ordered:
        bins[min(int((value - low) * factor), _BINS - 1)] += 1
    return {"min": low, "max": high, "median": middle, "mean": _mean(ordered), "bins": bins}


def picture_of(
    data: bytes | memoryview, format: str, most: int, crop: tuple[int, int, int] | None = None
) -> tuple[Fits, Picture]:
    """The image of a FITS file as a picture.

    Args:
        data: The file.
        format: Its suffixes.
        most: Columns and rows that the picture has at most.
        crop: Instead of the whole a square of so many pixels around a place, one to one: x, y and size.

    Raises:
        NoImage: There is none that can be shown.
    """
    view = memoryview(inflated(data, format))
    fits = open_fits(view)
    least = 2 if fits.bayer else 1
    step = max(-(-max(fits.width, fits.height) // most), 1)
    step = -(-step // least) * least
    left, top, right, bottom = 0, 0, fits.width, fits.height
    coarse = max(step, least)
    if crop is not None:
        x, y, size = crop
        size = min(max(size, 16), most)
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
        rows = [
            [paint(_row(view, fits, y + dy, left + dx, right, step)) for dx, dy in channels]
            for y in range(top, bottom - 1, step)
        ]
    elif fits.planes == 3:
        rows = [
            [paint(_row(view, fits, y, left, right, step, plane)) for plane in range(3)]
            for y in range(top, bottom, step)
        ]
    else:
        whole = crop is None and coarse == step
        rows = (
            [[paint(row)] for row in grid]
            if whole
            else [[paint(_row(view, fits, y, left, right, step))] for y in range(top, bottom, step)]
        )
    width = min(len(colour) for row in rows for colour in row)
    pixels = b"".join(_interleaved(row, width) for row in rows)
    facts |= {"width": fits.width, "height": fits.height, "bits": fits.bits, "step": coarse, "bayer": fits.bayer}
    facts |= {"left": left, "top": top, "shown": [right - left, bottom - top]}
    return fits, Picture(width, len(rows), len(rows[0]), pixels, facts)


def _offset(bayer: str, colour: str) -> tuple[int, int]:
    place = bayer.index(colour)
    return place % 2, place // 2


def _ends(grid: list[Sequence[float]], physical: Callable[[float], float]) -> tuple[float, float]:
    """The least and the largest value of the rows that were looked at."""
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
        # Negative values stand at the end, where a negative index finds them.
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
