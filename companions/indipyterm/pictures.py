"""What is in a BLOB: facts of a FITS header, and its image as a small grey picture."""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Fits", "Picture", "facts", "half_blocks", "open_fits", "picture_of", "unpacked"]

BLOCK: Final = 2880
CARD: Final = 80
MOST_BLOCKS: Final = 100
MOST_PIXELS: Final = 200_000_000
MOST_INFLATED: Final = 1 << 30
_CODES: Final = {8: "B", 16: "h", 32: "i", -32: "f", -64: "d"}
_FACTS: Final = (
    "OBJECT",
    "EXPTIME",
    "FILTER",
    "FRAME",
    "IMAGETYP",
    "CCD-TEMP",
    "XBINNING",
    "GAIN",
    "DATE-OBS",
    "INSTRUME",
)


@dataclass(slots=True)
class Fits:
    """The first image of a FITS file.

    Attributes:
        cards: Keywords and their values, as text without quotes.
        width: Pixels in a row.
        height: Rows.
        bits: BITPIX: 8, 16, 32, -32 or -64.
        start: Where its pixels begin.
    """

    cards: dict[str, str] = field(default_factory=dict)
    width: int = 0
    height: int = 0
    bits: int = 0
    start: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """Grey values from 0 to 255, row by row from the top."""

    width: int
    height: int
    pixels: bytes


def unpacked(data: bytes, format: str) -> bytes:
    """The bytes, inflated where the format ends in ``.z`` or ``.gz``.

    Raises:
        ValueError: They cannot be inflated, or are too many.
    """
    if not format.endswith((".z", ".gz")):
        return data
    inflater = zlib.decompressobj(wbits=47)
    try:
        found = inflater.decompress(data, MOST_INFLATED)
    except zlib.error as error:
        raise ValueError(f"not compressed as it says: {error}") from None
    if inflater.unconsumed_tail:
        raise ValueError("too large to be shown")
    return found


def open_fits(data: bytes) -> Fits:
    """The header of a FITS file.

    Raises:
        ValueError: It is none, or says what cannot be.
    """
    if not data.startswith(b"SIMPLE  ="):
        raise ValueError("not a FITS file")
    found = Fits()
    end = None
    for begin in range(0, min(len(data), MOST_BLOCKS * BLOCK), CARD):
        card = data[begin : begin + CARD].decode("latin-1")
        keyword = card[:8].rstrip()
        if keyword == "END":
            end = begin + CARD
            break
        if card[8:10] == "= ":
            found.cards.setdefault(keyword, _value(card[10:]))
    if end is None:
        raise ValueError("a FITS header without an end")
    found.start = -(-end // BLOCK) * BLOCK
    axes = _integer(found.cards, "NAXIS")
    found.bits = _integer(found.cards, "BITPIX")
    if axes >= 2:
        found.width, found.height = _integer(found.cards, "NAXIS1"), _integer(found.cards, "NAXIS2")
    return found


def _value(text: str) -> str:
    text = text.strip()
    if not text.startswith("'"):
        return text.partition("/")[0].strip()
    inside, rest = "", text[1:]
    while rest:
        part, _, rest = rest.partition("'")
        inside += part
        if not rest.startswith("'"):
            break
        inside, rest = inside + "'", rest[1:]
    return inside.rstrip()


def _integer(cards: dict[str, str], keyword: str) -> int:
    try:
        return int(cards.get(keyword, "0"))
    except ValueError:
        raise ValueError(f"{keyword} is no number: {cards[keyword][:20]!r}") from None


def facts(data: bytes, format: str) -> list[tuple[str, str]]:
    """What a FITS header says of an image; empty if it is no FITS file."""
    try:
        # A header is at the beginning: of what is compressed no more is inflated.
        head = data
        if format.endswith((".z", ".gz")):
            head = zlib.decompressobj(wbits=47).decompress(data[: 1 << 20], MOST_BLOCKS * BLOCK)
        fits = open_fits(head)
    except (ValueError, zlib.error):
        return []
    found = []
    if fits.width and fits.height:
        kind = {8: "8 bit", 16: "16 bit", 32: "32 bit", -32: "float", -64: "double"}.get(fits.bits, f"{fits.bits}")
        found.append(("size", f"{fits.width} x {fits.height}, {kind}"))
    found += [(key.lower(), fits.cards[key]) for key in _FACTS if fits.cards.get(key)]
    return found


def picture_of(data: bytes, format: str, columns: int, rows: int) -> Picture:
    """The image of a FITS file in at most so many columns and rows of square pixels, with its faint parts lifted.

    Raises:
        ValueError: There is no image that this program can show.
    """
    data = unpacked(data, format)
    fits = open_fits(data)
    code = _CODES.get(fits.bits)
    if code is None or fits.width < 1 or fits.height < 1:
        raise ValueError("no image in this FITS file")
    if fits.width * fits.height > MOST_PIXELS:
        raise ValueError("too large to be shown")
    size = struct.calcsize(f">{code}")
    if len(data) < fits.start + fits.width * fits.height * size:
        raise ValueError("the file ends before the image does")
    step = max(fits.width / columns, fits.height / rows, 1.0)
    width, height = max(int(fits.width / step), 1), max(int(fits.height / step), 1)
    places = [min(int((x + 0.5) * step), fits.width - 1) for x in range(width)]
    samples: list[list[float]] = []
    for y in range(height):
        line = min(int((y + 0.5) * step), fits.height - 1)
        begin = fits.start + line * fits.width * size
        row = array(code, data[begin : begin + fits.width * size])
        if sys.byteorder == "little":
            row.byteswap()
        samples.append([float(row[x]) for x in places])
    return Picture(width, height, _stretched(samples))


def _stretched(samples: list[list[float]]) -> bytes:
    """Sky to a quarter of the brightness, stars to the top: a midtones curve, as viewers of images have it."""
    values = sorted(value for row in samples for value in row if value - value == 0)
    if not values:
        return bytes(sum(map(len, samples)))
    middle = values[len(values) // 2]
    spread = sorted(abs(value - middle) for value in values)[len(values) // 2] * 1.4826
    top = values[-1]
    low = max(values[0], middle - 2.8 * spread)
    reach = (top - low) or 1.0
    sky = (middle - low) / reach
    # The curve that moves `sky` to 0.25.
    curve = 0.5 if not 0 < sky < 1 else sky * (0.25 - 1) / (2 * 0.25 * sky - 0.25 - sky)
    found = bytearray()
    for row in samples:
        for value in row:
            x = min(max((value - low) / reach, 0.0), 1.0) if value - value == 0 else 0.0
            if 0 < x < 1:
                x = (curve - 1) * x / ((2 * curve - 1) * x - curve)
            found.append(int(min(max(x, 0.0), 1.0) * 255))
    return bytes(found)


def half_blocks(picture: Picture) -> list[list[tuple[int, int]]]:
    """Rows of pairs: the grey of the upper and the lower half of a character."""
    found = []
    for y in range(0, picture.height, 2):
        upper = picture.pixels[y * picture.width : (y + 1) * picture.width]
        lower = picture.pixels[(y + 1) * picture.width : (y + 2) * picture.width] or bytes(picture.width)
        found.append(list(zip(upper, lower, strict=True)))
    return found
