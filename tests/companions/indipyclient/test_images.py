"""Pictures of FITS files: what a file shows, what a lying one does, and the process that makes them."""

import asyncio
import gzip
import json
import zlib

import pytest

from indipyclient import ReceivedBlob
from indipyclient.images import fits as fits_module
from indipyclient.images.fits import NoImage, beginning, inflated, open_fits
from indipyclient.images.picture import picture_of
from indipyclient.images.previews import Previews, _run
from indipyclient.images.worker import preview
from tests.support import asynchronous, eventually
from tests.support.fits import fits, frame, header, read_png


@pytest.mark.parametrize("bits", [8, 16, 32, -32, -64])
def test_each_kind_of_pixels_gets_brighter_with_its_value(bits):
    width, height = 40, 30
    low = 0 if bits == 8 else -100
    values = [low + (x * 200 // width) for _ in range(height) for x in range(width)]
    facts, png = preview(frame(bits, width, height, values), ".fits", 900, None)
    shown = read_png(png)
    assert shown[:3] == (width, height, 1)
    assert list(shown[3][0]) == sorted(shown[3][0])
    assert shown[3][0][0] < 20
    assert shown[3][0][-1] > 200
    assert (facts["min"], facts["max"]) == (min(values), max(values))
    assert abs(facts["median"] - sorted(values)[len(values) // 2]) <= 5
    assert sum(facts["bins"]) >= width * height


def test_unsigned_numbers_are_read_with_their_zero():
    values = [n - 32768 for n in (0, 1000, 40000, 65535)] * 64
    facts, png = preview(frame(16, 16, 16, values, BZERO=32768), ".fits", 900, None)
    assert (facts["min"], facts["max"]) == (0, 65535)
    rows = read_png(png)[3]
    assert rows[0][0] <= rows[0][1] < rows[0][2] < rows[0][3]


def test_values_that_are_no_numbers_are_black():
    values = [float("nan"), float("inf"), 1.0, 2.0] * 64
    facts, png = preview(frame(-32, 16, 16, values), ".fits", 900, None)
    assert (facts["min"], facts["max"]) == (1, 2)
    assert read_png(png)[3][0][0] == 0


@pytest.mark.parametrize("bayer", ["RGGB", "BGGR", "GRBG", "GBRG"])
def test_a_colour_camera_is_shown_in_colours(bayer):
    red = bayer.index("R")
    values = [30000 if (y % 2) * 2 + x % 2 == red else 100 + x % 7 for y in range(20) for x in range(20)]
    _, png = preview(frame(16, 20, 20, values, BAYERPAT=f"'{bayer}'"), ".fits", 900, None)
    width, height, channels, rows = read_png(png)
    assert (width, height, channels) == (10, 10, 3)
    assert all(row[0::3] == b"\xff" * 10 and max(row[1::3]) < 200 for row in rows)


def test_a_large_image_is_made_small_and_a_part_is_shown_one_to_one():
    data = fits(1000, 700)
    _, whole = picture_of(data, ".fits", 100, 100)
    assert (whole.width, whole.height) == (100, 70)
    assert whole.facts["step"] == 10
    _, part = picture_of(data, ".fits", 512, 512, (500, 350, 64))
    assert (part.width, part.height) == (64, 64)
    assert (part.facts["left"], part.facts["top"]) == (468, 318)
    _, corner = picture_of(data, ".fits", 512, 512, (99999, 99999, 64))
    assert (corner.facts["left"], corner.facts["top"]) == (936, 636)


def test_compressed_files_and_extensions_are_opened():
    data = fits()
    for packed, format in (
        (gzip.compress(data), ".fits.gz"),
        (zlib.compress(data), ".fits.z"),
        (gzip.compress(data), ""),
    ):
        assert open_fits(inflated(packed, format)).width == 64
    first = header(BITPIX=8, NAXIS=0)
    second = data.replace(b"SIMPLE  =                    T", b"XTENSION= 'IMAGE   '          ", 1)
    assert open_fits(first + second).start == 2880 + open_fits(data).start
    cards = open_fits(data).cards
    assert ("OBJECT", "M 42", "") in cards


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"SIMPLE  =",
        b"nonsense" * 1000,
        header(BITPIX=16, NAXIS=2, NAXIS1=100000, NAXIS2=100000),
        header(BITPIX=16, NAXIS=2, NAXIS1=-5, NAXIS2=10),
        header(BITPIX=16, NAXIS=2, NAXIS1="1e9", NAXIS2=10),
        header(BITPIX=17, NAXIS=2, NAXIS1=10, NAXIS2=10) + b"x" * 200,
        header(BITPIX=16, NAXIS=2, NAXIS1=10, NAXIS2=10) + b"x" * 199,
        header(BITPIX=16, NAXIS=999),
        header(BITPIX=8, NAXIS=0),
        header(BITPIX="9" * 60, NAXIS=2),
        header(BITPIX=16, NAXIS=2, NAXIS1=10, NAXIS2=10)[:2000],
        b"SIMPLE  =".ljust(80) * 10000,
        header(BITPIX=8, NAXIS=0) + header(BITPIX=8, NAXIS=0).replace(b"SIMPLE  =", b"XTENSION=") * 50,
        gzip.compress(b"x" * 100, mtime=0)[:30],
        b"\x1f\x8b nonsense",
    ],
)
def test_files_that_lie_have_no_picture(data):
    with pytest.raises(NoImage):
        picture_of(data, ".fits", 900, 900)
    facts, png = preview(data, ".fits", 900, None)
    assert png == b""
    assert facts["problem"]


def test_the_header_of_a_file_that_is_not_whole_can_be_read():
    data = fits(320, 240)
    for head in (data[:9000], beginning(zlib.compress(data)[:4000], ".fits.z"), beginning(gzip.compress(data), "")):
        found = open_fits(head, whole=False)
        assert (found.width, found.height) == (320, 240)
        assert ("OBJECT", "M 42", "") in found.cards
    facts, _ = preview(zlib.compress(data[:9000]), ".fits.z", 900, None)
    assert facts["problem"] == "the file ends before its image does"
    assert ("OBJECT", "M 42", "") in facts["cards"]
    assert len(beginning(zlib.compress(bytes(50_000_000)), ".z")) < 1 << 20


def test_a_quote_and_a_stroke_in_a_value():
    data = fits(OBJECT="'Barnard''s / star ' / it moves")
    assert ("OBJECT", "Barnard's / star", "it moves") in open_fits(data).cards


def test_odd_scales_are_harmless():
    for cards in ({"BZERO": "nan"}, {"BSCALE": "0"}, {"BZERO": "1e308", "BSCALE": "1e308"}, {"BSCALE": "'x'"}):
        facts, _ = preview(frame(16, 8, 8, range(64), **cards), ".fits", 900, None)
        json.dumps(facts, allow_nan=False)


@pytest.mark.parametrize("ends", [(-1.7e308, 1.7e308), (1.6e308, 1.7e308), (0.0, 5e-324)])
def test_values_that_are_too_far_apart_or_too_close_are_shown(ends):
    facts, png = preview(frame(-64, 16, 16, ends * 128), ".fits", 900, None)
    assert png
    assert (facts["min"], facts["max"]) == ends
    assert sum(facts["bins"]) >= 256
    json.dumps(facts, allow_nan=False)


def test_a_zero_may_be_written_as_fortran_does():
    facts, _ = preview(frame(16, 16, 16, [-32768, 32767] * 128, BZERO="3.2768D+04", BSCALE="1.d0"), ".fits", 900, None)
    assert (facts["min"], facts["max"]) == (0, 65535)


def test_a_bomb_is_not_inflated(monkeypatch):
    monkeypatch.setattr(fits_module, "INFLATED", 10 << 20)
    bomb = zlib.compress(b"\0" * (64 << 20), 9)
    with pytest.raises(NoImage, match="more than 10 MiB"):
        inflated(bomb, ".fits.z")


def test_a_gzip_file_of_several_members_is_inflated_whole():
    """As ``bgzip`` makes them, and ``cat``."""
    data = frame(16, 600, 600, [n % 1000 for n in range(360_000)])
    for size in (100, 1 << 14, 1 << 18):
        packed = b"".join(gzip.compress(data[n : n + size], 1) for n in range(0, len(data), size))
        for padding in (b"", bytes(3), b"\x1f"):
            assert inflated(packed + padding, ".fits.gz") == data
        assert open_fits(beginning(packed, ".fits.gz"), whole=False).width == 600
    with pytest.raises(NoImage, match="not compressed as it says"):
        inflated(gzip.compress(data) + b"\x1f\x8b nonsense", ".fits.gz")


def test_the_bound_is_that_of_all_members(monkeypatch):
    monkeypatch.setattr(fits_module, "INFLATED", 10 << 20)
    member = gzip.compress(bytes(4 << 20))
    assert len(inflated(member * 2, ".fits.gz")) == 8 << 20
    with pytest.raises(NoImage, match="more than 10 MiB"):
        inflated(member * 3, ".fits.gz")
    monkeypatch.setattr(fits_module, "MEMBERS", 100)
    assert inflated(gzip.compress(b"x") * 200, ".fits.gz") == b"x" * 100


def test_what_would_be_too_long_is_written_as_it_came(tmp_path):
    bomb = zlib.compress(bytes(2000))
    blob = ReceivedBlob("CCD", "CCD1", "CCD1", bomb, ".fits.z", 2000, None)
    written = [blob.write_to(tmp_path, limit) for limit in (1999, 2000)]
    assert [(path.suffixes[-1], path.read_bytes()) for path in written] == [(".z", bomb), (".fits", bytes(2000))]


@asynchronous
async def test_the_process_is_bounded_and_its_work_is_shared(monkeypatch, tmp_path):
    previews = Previews()
    data = fits(200, 100)
    made = await asyncio.gather(*(previews.get("k", data, ".fits", 900) for _ in range(5)))
    assert all(one is made[0] for one in made)
    path = tmp_path / "x.fits"
    path.write_bytes(data)
    from_file = await previews.get("f", path, ".fits", 900)
    assert from_file.png == made[0].png
    monkeypatch.setattr("indipyclient.images.previews.TIME", 0.001)
    late = await previews.get("late", data, ".fits", 900)
    assert late.facts["problem"] == "it takes too long"
    monkeypatch.undo()
    assert (await previews.get("late", data, ".fits", 900)).png, "when the machine has time again"
    path.write_bytes(b"")
    assert (await previews.get("empty", path, ".fits", 900)).facts["problem"] == "the file is empty"


@asynchronous
async def test_nobody_waits_for_a_preview_at_the_end(monkeypatch):
    monkeypatch.setattr("indipyclient.images.previews._START", "import time; time.sleep(600)")
    monkeypatch.setattr("indipyclient.images.previews.TIME", 600)
    previews = Previews()
    getting = asyncio.create_task(previews.get("k", fits(), ".fits", 900))
    await eventually(lambda: previews._process is not None)
    previews.close()
    process = previews._process
    await eventually(lambda: process.poll() is not None)
    await asyncio.gather(getting, return_exceptions=True)


def test_a_process_that_dies_has_made_nothing(monkeypatch):
    text = 'import os, sys; sys.stdout.write(\'{"kind": "image/png"}\\nhalf of it\'); sys.stdout.flush(); os._exit(1)'
    monkeypatch.setattr("indipyclient.images.previews._START", text)
    assert "too much" in _run(fits(), "{}").facts["problem"]


def test_the_process_needs_nothing_but_the_standard_library():
    made = _run(fits(), json.dumps({"format": ".fits", "most": 900, "crop": None}))
    assert made.png
