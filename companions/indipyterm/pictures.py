"""The content of a BLOB: facts of a FITS header, and its image in half blocks."""

from __future__ import annotations

from typing import Final

from indipyclient.images.fits import NoImage, beginning, open_fits
from indipyclient.images.picture import Picture

__all__ = ["Colour", "facts", "half_blocks"]

Colour = tuple[int, int, int]
"""Red, green and blue, from 0 to 255."""
_KINDS: Final = {8: "8 bit", 16: "16 bit", 32: "32 bit", -32: "float", -64: "double"}
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


def facts(data: bytes, format: str) -> list[tuple[str, str]]:
    """Facts of a FITS header; empty if there is none."""
    try:
        fits = open_fits(beginning(data, format), whole=False)
    except NoImage:
        return []
    cards: dict[str, str] = {}
    for keyword, value, _ in fits.cards:
        cards.setdefault(keyword, value)
    found = [("size", f"{fits.width} x {fits.height}, {_KINDS[fits.bits]}")]
    return found + [(key.lower(), cards[key]) for key in _FACTS if cards.get(key)]


def half_blocks(picture: Picture) -> list[list[tuple[Colour, Colour]]]:
    """Rows of pairs: the colours of the upper and the lower half of a character."""
    stride = picture.width * picture.channels
    dark = bytes(stride)
    found = []
    for begin in range(0, picture.height * stride, 2 * stride):
        upper = picture.pixels[begin : begin + stride]
        lower = picture.pixels[begin + stride : begin + 2 * stride] or dark
        found.append(list(zip(_colours(upper, picture.channels), _colours(lower, picture.channels), strict=True)))
    return found


def _colours(row: bytes, channels: int) -> list[Colour]:
    if channels == 1:
        return [(grey, grey, grey) for grey in row]
    return list(zip(row[::3], row[1::3], row[2::3], strict=True))
