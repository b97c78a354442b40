"""The camera's images: stars with noise, as a FITS file.

FITS is the image format of astronomy: a header of 80-character lines in blocks of 2880 bytes, followed by the pixels,
most significant byte first.
"""

import random
import sys
from array import array
from math import exp

BLOCK = 2880


def star_field(width, height, seconds, seed=1, stars=60):
    """Brightness of `width * height` pixels, row by row, as 16-bit numbers.

    The same `seed` gives the same stars, with different noise. A longer exposure gives brighter stars.
    """
    # Drawing from a short list is much faster than computing random noise for each pixel.
    noise = [max(0, round(random.gauss(800, 30))) for _ in range(1024)]
    pixels = array("H", random.choices(noise, k=width * height))
    sky = random.Random(seed)
    for _ in range(stars):
        x, y = sky.uniform(0, width), sky.uniform(0, height)
        peak = seconds * 500 / sky.uniform(0.05, 1.0)  # few bright stars, many faint ones
        radius = 1.6
        for row in range(max(0, int(y) - 8), min(height, int(y) + 9)):
            for column in range(max(0, int(x) - 8), min(width, int(x) + 9)):
                light = peak * exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * radius**2))
                position = row * width + column
                pixels[position] = min(65535, pixels[position] + int(light))
    return pixels


def fits(pixels, width, height, **keywords):
    """A FITS file of 16-bit `pixels`, with further `keywords` in its header.

    A hyphen cannot be part of a Python name: ``DATE_OBS`` stands for the keyword DATE-OBS.
    """
    header = {
        "SIMPLE": True,
        "BITPIX": 16,
        "NAXIS": 2,
        "NAXIS1": width,
        "NAXIS2": height,
        "BZERO": 32768,  # FITS has signed 16-bit numbers only: the pixels are stored minus 32768
        "BSCALE": 1,
        **{name.replace("_", "-"): value for name, value in keywords.items()},
    }
    cards = "".join(_card(name, value) for name, value in header.items()) + "END".ljust(80)
    data = array("h", [pixel - 32768 for pixel in pixels])
    if sys.byteorder == "little":
        data.byteswap()
    return _fill(cards.encode("ascii"), b" ") + _fill(data.tobytes(), b"\0")


def _card(name, value):
    """One line of the header."""
    match value:
        case bool():
            text = ("T" if value else "F").rjust(20)
        case str():
            text = "'" + value.replace("'", "''").ljust(8) + "'"
        case _:
            text = str(value).upper().rjust(20)
    return f"{name:8.8}= {text}".ljust(80)[:80]


def _fill(data, filler):
    """`data`, padded to a whole number of blocks."""
    return data + filler * (-len(data) % BLOCK)
