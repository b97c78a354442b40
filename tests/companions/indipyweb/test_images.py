"""Previews: what a FITS file shows, what a lying one does, and that nobody waits for them."""

import asyncio
import gzip
import json
import struct
import zlib
from array import array

import pytest

pytest.importorskip("starlette", reason="the web client needs the extra web")

from indipyweb.images import fits as fits_module
from indipyweb.images.fits import NoImage, inflated, open_fits, picture_of
from indipyweb.images.previews import Previews, _run
from indipyweb.images.worker import preview
from tests.companions.indipyterm.observatory import fits
from tests.support import asynchronous

from .parts import AWKWARD, poll, soon, website


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
    _, whole = picture_of(data, ".fits", 100)
    assert (whole.width, whole.height) == (100, 70)
    assert whole.facts["step"] == 10
    _, part = picture_of(data, ".fits", 512, (500, 350, 64))
    assert (part.width, part.height) == (64, 64)
    assert (part.facts["left"], part.facts["top"]) == (468, 318)
    _, corner = picture_of(data, ".fits", 512, (99999, 99999, 64))
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
        picture_of(data, ".fits", 900)
    facts, png = preview(data, ".fits", 900, None)
    assert png == b""
    assert facts["problem"]


def test_odd_scales_are_harmless():
    for cards in ({"BZERO": "nan"}, {"BSCALE": "0"}, {"BZERO": "1e308", "BSCALE": "1e308"}, {"BSCALE": "'x'"}):
        facts, _ = preview(frame(16, 8, 8, range(64), **cards), ".fits", 900, None)
        json.dumps(facts)


def test_a_bomb_is_not_inflated(monkeypatch):
    monkeypatch.setattr(fits_module, "INFLATED", 10 << 20)
    bomb = zlib.compress(b"\0" * (64 << 20), 9)
    with pytest.raises(NoImage, match="more than 10 MiB"):
        inflated(bomb, ".fits.z")


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
    monkeypatch.setattr("indipyweb.images.previews.TIME", 0.001)
    late = await previews.get("late", data, ".fits", 900)
    assert late.facts["problem"] == "it takes too long"
    path.write_bytes(b"")
    assert (await previews.get("empty", path, ".fits", 900)).facts["problem"] == "the file is empty"


@asynchronous
async def test_the_image_page_shows_the_newest_image(tmp_path):
    data = fits(300, 200)
    async with website(tmp_path) as site, site.browser("viewer") as browser:
        where = {"d": AWKWARD, "p": "IMAGE", "m": "I"}
        assert "No image has come yet" in (await browser.get("/image", params=where)).text
        assert (await browser.get("/image.png", params=where)).status_code == 404
        vector = site.driver.device["IMAGE"]

        async def shown():
            vector["I"] = data
            await vector.send_setVectorMembers(members=["I"])
            await asyncio.sleep(0.1)
            prop = site.web.first.model.get(AWKWARD, "IMAGE")
            return prop["I"].data

        await poll(shown)
        page = (await browser.get("/image", params=where)).text
        assert "200, 16 bit" in page
        assert "<td>M 42</td>" in page
        png = await browser.get("/image.png", params=where)
        assert png.headers["content-type"] == "image/png"
        assert read_png(png.content)[:2] == (300, 200)
        assert read_png((await browser.get("/image.png", params={**where, "small": "1"})).content)[0] == 150
        assert read_png((await browser.get("/image.png", params={**where, "x": "10", "y": "10"})).content)[0] == 300
        file = await browser.get("/image/file", params=where)
        assert file.content == data
        assert file.headers["content-type"] == "application/octet-stream"
        assert "attachment" in file.headers["content-disposition"]
        assert "sandbox" in file.headers["content-security-policy"]


@asynchronous
async def test_blobs_are_saved_listed_and_deleted(tmp_path):
    folder = tmp_path / "blobs"
    folder.mkdir()
    (folder / "old.fits").write_bytes(fits())
    (folder / ".hidden").write_bytes(b"x")
    (folder / "link.fits").symlink_to("/etc/passwd")
    (folder / "page.html").write_bytes(b"<script>alert(1)</script>")
    (tmp_path / "secret").write_bytes(b"secret")
    async with (
        website(tmp_path, blobfolder=folder) as site,
        site.browser("viewer") as browser,
        site.browser("admin") as admin,
    ):
        vector = site.driver.device["IMAGE"]
        vector["I"] = b"some bytes"
        await poll(lambda: _send(vector, site))
        text = (await browser.get("/blobs")).text
        assert "old.fits" in text
        assert "hidden" not in text
        assert "link.fits" not in text
        assert "Delete" not in text
        for name in ("../secret", ".hidden", "link.fits", "", "/etc/passwd", "..", "a\0b", "x/../old.fits", "nothing"):
            assert (await browser.get("/blobs/file", params={"name": name})).status_code == 404, name
            assert (await admin.post("/blobs/delete", data={"name": name})).status_code == 404, name
        page = await browser.get("/blobs/file", params={"name": "page.html"})
        assert page.headers["content-type"] == "application/octet-stream"
        assert "attachment" in page.headers["content-disposition"]
        thumbnail = await browser.get("/blobs/thumbnail", params={"name": "old.fits"})
        assert thumbnail.headers["content-type"] == "image/png"
        assert (await browser.get("/blobs/thumbnail", params={"name": "page.html"})).status_code == 404
        assert (await admin.post("/blobs/delete", data={"name": "old.fits"})).status_code == 303
        assert not (folder / "old.fits").exists()
        assert (tmp_path / "secret").exists()


async def _send(vector, site):
    await vector.send_setVectorMembers(members=["I"])
    await asyncio.sleep(0.1)
    return site.web.first.saved


def test_the_process_needs_nothing_but_the_standard_library():
    made = _run(fits(), json.dumps({"format": ".fits", "most": 900, "crop": None}))
    assert made.png


@asynchronous
async def test_a_flood_of_other_updates_costs_no_blob(tmp_path):
    folder = tmp_path / "blobs"
    folder.mkdir()
    async with website(tmp_path, blobfolder=folder) as site:
        device = site.driver.device
        await soon(lambda: len(site.web.first._savers) == 2)
        device["IMAGE"]["I"] = b"one"
        for n in range(3000):
            if n == 100:
                await device["IMAGE"].send_setVectorMembers(members=["I"])
            device["RO"]["V"] = n
            await device["RO"].send_setVector(state="Ok")
        await soon(lambda: site.web.first.saved == 1)
        assert [file.read_bytes() for file in folder.iterdir()] == [b"one"]
