"""The camera example's pictures are FITS files that others can read."""

import struct
from array import array

from examples.pictures import BLOCK, fits, star_field


def read_fits(data):
    """Header and pixels of a 16-bit FITS file, by the rules of the format."""
    assert len(data) % BLOCK == 0
    header, offset = {}, 0
    while True:
        card = data[offset : offset + 80].decode("ascii")
        offset += 80
        if card.rstrip() == "END":
            break
        assert card[8:10] == "= ", card
        header[card[:8].rstrip()] = card[10:].strip()
    assert set(data[offset : -(-offset // BLOCK) * BLOCK]) <= {32}, "the header is filled with blanks"
    offset = -(-offset // BLOCK) * BLOCK
    count = int(header["NAXIS1"]) * int(header["NAXIS2"])
    stored = struct.unpack(f">{count}h", data[offset : offset + 2 * count])
    assert len(data) - offset - 2 * count < BLOCK
    assert not any(data[offset + 2 * count :]), "the data is filled with zeros"
    return header, [value * int(header["BSCALE"]) + int(header["BZERO"]) for value in stored]


def test_pixels_come_back():
    pixels = array("H", [0, 1, 32767, 32768, 65534, 65535])
    header, values = read_fits(fits(pixels, 3, 2, EXPTIME=0.5, DATE_OBS="2026-01-02T03:04:05.678", OBJECT="Bob's"))
    assert values == list(pixels)
    assert list(header)[:4] == ["SIMPLE", "BITPIX", "NAXIS", "NAXIS1"]
    assert header["SIMPLE"] == "T"
    assert header["BITPIX"] == "16"
    assert header["EXPTIME"] == "0.5"
    assert header["DATE-OBS"] == "'2026-01-02T03:04:05.678'"
    assert header["OBJECT"] == "'Bob''s  '"


def test_the_header_may_take_several_blocks():
    keywords = {f"KEY{n}": n for n in range(60)}
    header, values = read_fits(fits(array("H", [7]), 1, 1, **keywords))
    assert header["KEY59"] == "59"
    assert values == [7]


def test_stars_stay_where_they_are_and_grow_with_the_exposure():
    def brightest(seconds):
        pixels = star_field(100, 80, seconds, stars=3)
        assert len(pixels) == 100 * 80
        return max(pixels), max(range(len(pixels)), key=pixels.__getitem__)

    faint, position = brightest(1)
    bright, same = brightest(4)
    assert bright > faint > 1000
    assert position == same


def test_a_long_exposure_is_overexposed_and_not_an_error():
    assert max(star_field(40, 40, 10_000)) == 65535
