"""FITS files: the content of their headers, and where the pixels of their image are.  Pure."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field
from typing import Final

__all__ = ["SIZES", "Fits", "NoImage", "beginning", "inflated", "open_fits"]

BLOCK: Final = 2880
CARD: Final = 80
BLOCKS: Final = 100
"""Of one header."""
UNITS: Final = 20
"""The most header and data units that are examined."""
PIXELS: Final = 200_000_000
INFLATED: Final = 512 << 20
MEMBERS: Final = 1 << 16
"""Of a gzip file that are looked at: as many as 4 GiB in the blocks of ``bgzip``."""
GZIP: Final = b"\x1f\x8b"
_PIECE: Final = 1 << 16
SIZES: Final = {8: 1, 16: 2, 32: 4, -32: 4, -64: 8}
"""The bytes of a pixel, for each BITPIX."""


class NoImage(ValueError):
    """There is nothing to show, or the file is inconsistent; the text says why."""


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


def inflated(data: bytes | memoryview, format: str) -> bytes | memoryview:
    """The bytes, decompressed.

    Raises:
        NoImage: They cannot be inflated, or are too many.
    """
    if not _is_packed(data, format):
        return data
    found = _inflate(memoryview(data), INFLATED + 1)
    if len(found) > INFLATED:
        raise NoImage(f"it holds more than {INFLATED >> 20} MiB")
    return memoryview(found)


def beginning(data: bytes | memoryview, format: str) -> bytes | memoryview:
    """The first bytes of a file, decompressed: enough for a header.

    Raises:
        NoImage: They cannot be inflated.
    """
    if not _is_packed(data, format):
        return data
    return memoryview(_inflate(memoryview(data)[: 1 << 20], BLOCKS * BLOCK))


def _inflate(data: memoryview, most: int) -> bytearray:
    """The first bytes of all members of a gzip file, as ``bgzip`` and ``cat`` make them, or of a zlib stream."""
    found = bytearray()
    inflater = zlib.decompressobj(wbits=47)
    place, members = 0, 1
    try:
        while place < len(data) and len(found) < most:
            piece: bytes | memoryview = data[place : place + _PIECE]
            place += len(piece)
            while piece and len(found) < most:
                found += inflater.decompress(piece, min(1 << 22, most - len(found)))
                piece = inflater.unconsumed_tail
            if inflater.eof:
                place -= len(inflater.unused_data)
                if bytes(data[place : place + 2]) != GZIP or members >= MEMBERS:  # the rest is padding
                    break
                inflater = zlib.decompressobj(wbits=47)
                members += 1
    except zlib.error as error:
        raise NoImage(f"it is not compressed as it says: {error}") from None
    return found


def _is_packed(data: bytes | memoryview, format: str) -> bool:
    return format.endswith((".z", ".gz")) or bytes(data[:2]) == GZIP


def open_fits(data: bytes | memoryview, *, whole: bool = True) -> Fits:
    """The header of the first image.

    Args:
        data: The file.
        whole: All pixels must exist, and not be more than can be shown.

    Raises:
        NoImage: There is none, or the header is inconsistent.
    """
    if bytes(data[:9]) != b"SIMPLE  =":
        raise NoImage("this is not a FITS file")
    begin = 0
    for _ in range(UNITS):
        found, values = _header(data, begin)
        axes = _integer(values, "NAXIS", 0, 999)
        lengths = [_integer(values, f"NAXIS{n}", 0, 1 << 31) for n in range(1, min(axes, 9) + 1)]
        bits = _integer(values, "BITPIX", -64, 64)
        if bits not in SIZES:
            raise NoImage(f"BITPIX is {bits}")
        pixels = math.prod(lengths) if lengths else 0
        is_image = begin == 0 or values.get("XTENSION", "IMAGE") == "IMAGE"
        if axes >= 2 and is_image and pixels:
            return _image(found, values, lengths, bits, len(data) if whole else None)
        size = pixels * SIZES[bits] + _integer(values, "PCOUNT", 0, 1 << 40)
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
        raise NoImage(f"{keyword} is not a number: {text[:20]!r}") from None
    if not low <= number <= high:
        raise NoImage(f"{keyword} is {number}")
    return number


def _float(values: dict[str, str], keyword: str, default: float) -> float:
    try:
        number = float(values.get(keyword, str(default)).upper().replace("D", "E"))  # as FORTRAN writes doubles
    except ValueError:
        return default
    return number if math.isfinite(number) else default


def _image(found: Fits, values: dict[str, str], lengths: list[int], bits: int, size: int | None) -> Fits:
    found.width, found.height, found.bits = lengths[0], lengths[1], bits
    found.planes = 3 if len(lengths) > 2 and lengths[2] == 3 else 1
    if size is not None:
        pixels = found.width * found.height * found.planes
        if pixels > PIXELS:
            raise NoImage(f"it has more than {PIXELS // 1_000_000} million pixels")
        if size < found.start + pixels * SIZES[bits]:
            raise NoImage("the file ends before its image does")
    found.zero = _float(values, "BZERO", 0.0)
    found.scale = _float(values, "BSCALE", 1.0) or 1.0
    bayer = values.get("BAYERPAT", "").strip().upper()
    if bayer in ("RGGB", "BGGR", "GRBG", "GBRG") and found.planes == 1 and min(lengths[:2]) >= 4:
        found.bayer = bayer
    return found
