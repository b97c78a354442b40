"""FITS files, as cameras write them: one image, unsigned pixels, the first row at the top."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable
from math import isfinite
from typing import Final, NamedTuple

__all__ = ["Card", "fits_file"]

_BLOCK: Final = 2880
_CARD: Final = 80
_CHUNK: Final = 1 << 20
_ARRAY_CODES: Final = {8: "B", 16: "H", 32: "I"}


class Card(NamedTuple):
    """One line of a header.

    Attributes:
        keyword: Up to eight capitals.
        value: None for a comment.
        comment: Human-readable text.
    """

    keyword: str
    value: bool | int | float | str | None
    comment: str = ""


def fits_file(
    pixels: bytes | bytearray | memoryview, width: int, height: int, bits: int, cards: Iterable[Card]
) -> bytes:
    """A file with one image; blocks for some time if it is large.

    Args:
        pixels: In the order of this machine's bytes, row by row from the top; three planes (red, green, blue) for a
            colour image.
        width: Pixels in a row.
        height: Rows.
        bits: Of a pixel: 8, 16 or 32.
        cards: The header, after the cards that describe the data.

    Raises:
        ValueError: There are too many or too few pixels.
    """
    if bits not in _ARRAY_CODES:
        raise ValueError(f"a pixel has 8, 16 or 32 bits, not {bits}")
    data = memoryview(pixels).cast("B")
    planes, rest = divmod(len(data), width * height * bits // 8)
    if rest or planes not in (1, 3):
        raise ValueError(f"{len(data)} bytes are not an image of {width} by {height} pixels with {bits} bits")
    head = [Card("SIMPLE", True, "file conforms to FITS standard"), Card("BITPIX", bits, "bits of a pixel")]
    head.append(Card("NAXIS", 2 if planes == 1 else 3, "number of axes"))
    head += [Card("NAXIS1", width), Card("NAXIS2", height)]
    head += [Card("NAXIS3", planes)] if planes > 1 else []
    head.append(Card("EXTEND", True))
    if bits > 8:
        head += [Card("BZERO", 1 << (bits - 1), "offset of unsigned pixels"), Card("BSCALE", 1)]
    text = "".join(map(_card, [*head, *cards])) + "END".ljust(_CARD)
    header = text.ljust(-(-len(text) // _BLOCK) * _BLOCK).encode("ascii", "replace")
    body = b"".join(_signed(data[start : start + _CHUNK], bits) for start in range(0, len(data), _CHUNK))
    return header + body + bytes(-len(body) % _BLOCK)


def _signed(data: memoryview, bits: int) -> bytes:
    """Pixels as FITS has them: the most significant byte first, the sign bit inverted."""
    if bits == 8:
        return bytes(data)
    values = array(_ARRAY_CODES[bits], data.tobytes())
    if sys.byteorder == "little":
        values.byteswap()
    raw = values.tobytes()
    signs = (b"\x80" + bytes(bits // 8 - 1)) * (len(raw) * 8 // bits)
    return (int.from_bytes(raw) ^ int.from_bytes(signs)).to_bytes(len(raw))


def _card(card: Card) -> str:
    keyword = card.keyword.upper()[:8].ljust(8)
    if card.value is None:
        return f"{keyword}{_plain(card.comment)}"[:_CARD].ljust(_CARD)
    match card.value:
        case bool():
            value = ("T" if card.value else "F").rjust(20)
        case int():
            value = str(card.value).rjust(20)
        case float():
            value = _float(card.value).rjust(20)
        case _:
            quoted = _plain(card.value).replace("'", "''")[:66]
            if (len(quoted) - len(quoted.rstrip("'"))) % 2:  # truncated within a pair
                quoted = quoted[:-1]
            value = f"'{quoted.ljust(8)}'".ljust(20)
    comment = f" / {_plain(card.comment)}" if card.comment else ""
    return f"{keyword}= {value}{comment}"[:_CARD].ljust(_CARD)


def _float(value: float) -> str:
    if not isfinite(value):
        return ""  # undefined
    text = f"{value:.10G}"
    return text if "." in text or "E" in text else f"{text}.0"


def _plain(text: str) -> str:
    return "".join(c if " " <= c <= "~" else "?" for c in text)
