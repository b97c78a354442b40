"""FITS files for tests, and the pixels of a PNG."""

import struct
import sys
import zlib
from array import array


def fits(width=64, height=48, **cards):
    """A FITS file with a few stars on a sky of a gradient."""
    values = {"OBJECT": "'M 42    '", "EXPTIME": "2.0", "FILTER": "'Red     '", **cards}
    lines = ["SIMPLE  =                    T", "BITPIX  =                   16", "NAXIS   =                    2"]
    lines += [f"NAXIS1  = {width:20}", f"NAXIS2  = {height:20}", "BZERO   =                32768"]
    lines += [f"{name:8}= {value}" for name, value in values.items()] + ["END"]
    head = "".join(line.ljust(80) for line in lines)
    head = head.ljust(-(-len(head) // 2880) * 2880)
    pixels = array("h", [0]) * (width * height)
    for y in range(height):
        for x in range(width):
            pixels[y * width + x] = 1000 + (x + y) * 2 + (x * 7919 + y * 104729) % 97 - 32768
    for n in range(1 + width * height // 400):
        star = (n * 7927 % (width * height - 4 * width - 4)) + 2 * width + 2
        peak = 3000 + n * 7717 % 40000
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                at = star + dy * width + dx
                pixels[at] = min(pixels[at] + peak // (1 + 2 * (abs(dx) + abs(dy))), 32767)
    if sys.byteorder == "little":
        pixels.byteswap()
    data = head.encode("latin-1") + pixels.tobytes()
    return data.ljust(-(-len(data) // 2880) * 2880, b"\0")


def header(**cards):
    lines = ["SIMPLE  =                    T"]
    lines += [f"{name:8}= {value}" for name, value in cards.items()] + ["END"]
    text = "".join(line.ljust(80) for line in lines)
    return text.ljust(-(-len(text) // 2880) * 2880).encode()


def frame(bits, width, height, values, **cards):
    """A FITS file with these values."""
    code = {8: "B", 16: "h", 32: "i", -32: "f", -64: "d"}[bits]
    pixels = array(code, values)
    pixels.byteswap()
    return header(BITPIX=bits, NAXIS=2, NAXIS1=width, NAXIS2=height, **cards) + pixels.tobytes()


def read_png(data):
    """Width, height, channels and rows of a PNG with unfiltered rows, read by its specification."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    place, packed, size = 8, b"", (0, 0, 0)
    while place < len(data):
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        body = data[place + 8 : place + 8 + length]
        assert struct.unpack(">I", data[place + 8 + length : place + 12 + length])[0] == zlib.crc32(kind + body)
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
            size = (width, height, {0: 1, 2: 3}[colour])
            assert depth == 8
        elif kind == b"IDAT":
            packed += body
        place += 12 + length
    raw, stride = zlib.decompress(packed), size[0] * size[2] + 1
    assert len(raw) == stride * size[1]
    return (*size, [raw[y * stride + 1 : (y + 1) * stride] for y in range(size[1])])
