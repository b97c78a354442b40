"""Previews: what a FITS file shows, what a lying one does, and that nobody waits for them."""

import asyncio
import base64
import contextlib
import html
import json
import os
import random
import re
import threading
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import quote

import pytest

pytest.importorskip("starlette", reason="the web client needs the extra web")

from indipyclient import BlobMode, Client, ReceivedBlob
from indipyclient.images import previews
from indipyweb import site as site_module
from indipyweb.disk import Disk
from indipyweb.pages import blobs
from indipyweb.site import Filter, Site
from indipyweb.unsaved import Unsaved
from tests.support import asynchronous
from tests.support.fits import fits, read_png

from .parts import AWKWARD, PASSWORD, poll, soon, website


@asynchronous
async def test_a_browser_keeps_an_image_for_its_own_sake_only(tmp_path):
    starts = []
    for n in range(2):  # one web server after the other: both count from 1
        folder = tmp_path / str(n)
        folder.mkdir()
        async with website(folder) as site, site.browser("viewer") as browser:
            vector, model = site.driver.device["IMAGE"], site.web.first.model

            async def send(vector=vector):
                vector["I"] = fits(20, 20)
                await vector.send_setVectorMembers(members=["I"])

            async def kept(send=send, browser=browser):
                """Where the page has an image that a browser may keep."""
                await send()
                page = (await browser.get("/image", params={"d": AWKWARD, "p": "IMAGE", "m": "I"})).text
                source = html.unescape(page.partition('data-src="')[2].partition('"')[0])
                found = await browser.get(source)
                return source if "max-age" in found.headers.get("cache-control", "") else ""

            source = await poll(kept)
            rev = int(source.rpartition(".")[2])
            await send()
            await soon(lambda model=model, rev=rev: model.get(AWKWARD, "IMAGE").rev > rev)
            assert "max-age" not in (await browser.get(source)).headers.get("cache-control", "")
            starts.append(source.removesuffix(str(rev)))
    assert starts[0] != starts[1]


@asynchronous
async def test_an_image_keeps_its_time_when_its_property_is_defined_again(tmp_path):
    """As an indiserver does for everybody who connects: it looked like a newer image."""
    async with website(tmp_path) as site, site.browser("viewer") as browser:
        one, vector, where = site.web.first, site.driver.device["IMAGE"], {"d": AWKWARD, "p": "IMAGE", "m": "I"}

        async def shown():
            await soon(lambda: one.rev == one.model.rev)
            told = json.loads(one.delta(Filter(AWKWARD), 1)[1])["set"][str(one.id_of((AWKWARD, "IMAGE")))]["rev"]
            page = (await browser.get("/image", params=where)).text
            assert f'data-rev="{told}"' in page
            name = (await browser.get("/image/file", params=where)).headers["content-disposition"]
            tag = (await browser.get(f"/api/{quote(AWKWARD, safe='')}/IMAGE/I/blob")).headers["etag"]
            assert tag.endswith(f'.{told}"')
            return told, re.findall(r"B, (2026[0-9T:-]+)", page), name.rpartition("I_")[2]

        async def taken(second):
            async def arrives():
                vector["I"] = fits(20, 20)
                await vector.send_setVectorMembers("", datetime(2026, 1, 2, 3, 4, second, tzinfo=UTC), members=["I"])
                await asyncio.sleep(0.1)
                return one.last_blob((AWKWARD, "IMAGE"))[1].startswith(f"2026-01-02T03:04:0{second}")

            await poll(arrives)
            return await shown()

        number, *facts = await taken(5)
        assert facts == [["2026-01-02T03:04:05"], "2026-01-02T03_04_05.fits"]
        await vector.send_defVector("", datetime(2026, 1, 2, 4, 4, 4, tzinfo=UTC))
        await soon(lambda: one.model.get(AWKWARD, "IMAGE").timestamp.startswith("2026-01-02T04"))
        assert await shown() == (number, *facts)
        assert (await taken(6))[0] > number


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
async def test_an_image_that_comes_while_another_is_drawn_is_told(tmp_path, monkeypatch):
    async with website(tmp_path) as site, site.browser("viewer") as browser:
        vector, web = site.driver.device["IMAGE"], site.web
        vector["I"] = fits(30, 20)
        await vector.send_setVectorMembers(members=["I"])
        await poll(lambda: _has(site, vector, fits(30, 20)))
        draw = web.previews.get

        async def slowly(*arguments):
            made = await draw(*arguments)
            vector["I"] = fits(40, 40)
            await vector.send_setVectorMembers(members=["I"])
            await soon(lambda: web.first.model.get(AWKWARD, "IMAGE")["I"].data == fits(40, 40))
            await soon(lambda: web.first.rev == web.first.model.rev)
            return made

        monkeypatch.setattr(web.previews, "get", slowly)
        page = (await browser.get("/image", params={"d": AWKWARD, "p": "IMAGE", "m": "I"})).text
        assert "30 \u00d7 20" in page
        (since,) = re.findall(r'data-live="[0-9a-f]+\.(\d+)"', page)
        assert json.loads(web.first.delta(Filter(AWKWARD, "Other"), int(since))[1])["set"]


async def _has(site, vector, data):
    await vector.send_setVectorMembers(members=["I"])
    await asyncio.sleep(0.1)
    return (
        site.web.first.model.get(AWKWARD, "IMAGE")["I"].data == data and site.web.first.rev == site.web.first.model.rev
    )


@asynchronous
async def test_blobs_are_saved_listed_and_deleted(tmp_path):
    folder = tmp_path / "blobs"
    folder.mkdir()
    (folder / "old.fits").write_bytes(fits())
    (folder / ".hidden").write_bytes(b"x")
    (folder / "link.fits").symlink_to("/etc/passwd")
    (folder / "page.html").write_bytes(b"<script>alert(1)</script>")
    (tmp_path / "secret").write_bytes(b"secret")
    with contextlib.suppress(OSError):  # some systems have no such names
        (folder / os.fsdecode(b"M\xe4rz.fits")).write_bytes(fits())
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
        site.web.settings = replace(site.web.settings, blobfolder=tmp_path / os.fsdecode(b"M\xe4rz"))
        assert (await admin.get("/system")).status_code == 200


async def _send(vector, site):
    await vector.send_setVectorMembers(members=["I"])
    await asyncio.sleep(0.1)
    return site.web.first.saved


@asynchronous
async def test_a_flood_of_other_updates_costs_no_blob(tmp_path):
    folder = tmp_path / "blobs"
    folder.mkdir()
    async with website(tmp_path, blobfolder=folder) as site:
        device = site.driver.device
        device["IMAGE"]["I"] = b"one"
        await poll(lambda: _send(device["IMAGE"], site))
        device["IMAGE"]["I"] = b"two"
        for n in range(3000):
            if n == 100:
                await device["IMAGE"].send_setVectorMembers(members=["I"])
            device["RO"]["V"] = n
            await device["RO"].send_setVector(state="Ok")
        await soon(lambda: {file.read_bytes() for file in folder.glob("[!.]*")} == {b"one", b"two"})


class _Line:
    """An INDI server of a few lines, which sends what it is told."""

    async def __aenter__(self):
        self.writer = asyncio.get_running_loop().create_future()
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def _serve(self, reader, writer):
        if not self.writer.done():
            self.writer.set_result(writer)
        while await reader.read(4096):
            pass

    async def send(self, *pieces):
        (await self.writer).write("".join(pieces).encode())

    async def __aexit__(self, *_):
        if self.writer.done():
            self.writer.result().close()
        self.server.close()


def _definition(name):
    return (
        f'<defBLOBVector device="Camera" name="{name}" state="Idle" perm="ro">'
        '<defBLOB name="I"/></defBLOBVector><setBLOBVector device="Camera" name="none"/>'
    )


def _blob(name, data):
    text = base64.b64encode(data).decode()
    return (
        f'<setBLOBVector device="Camera" name="{name}" state="Ok">'
        f'<oneBLOB name="I" size="{len(data)}" format=".bin">{text}</oneBLOB></setBLOBVector>'
    )


@asynchronous
async def test_blobs_that_come_with_their_property_are_all_saved_also_at_the_end(tmp_path):
    folder, gone = tmp_path / "blobs", '<delProperty device="Camera" name="CCD1"/>'
    sent = [f"image {n}".encode() for n in range(9)]
    async with _Line() as line:
        site = Site("here", Client("127.0.0.1", line.port, blobs=BlobMode.ALSO), folder)
        await site.start()
        try:
            first = [_definition("CCD1"), *(_blob("CCD1", data) for data in sent[:3]), gone]
            # It comes again at once, and while its last BLOBs are being saved.
            await line.send(*first, _definition("CCD1"), _blob("CCD1", sent[3]), gone)
            await soon(lambda: site.saved == 4)
            await line.send(_definition("CCD1"), _blob("CCD1", sent[4]), _blob("CCD1", sent[5]))
            await soon(lambda: site.saved == 6)
            await line.send(*(_blob("CCD1", data) for data in sent[6:]))
            await soon(lambda: (found := site.model.get("Camera", "CCD1")) and found["I"].data == sent[-1])
        finally:
            await site.aclose()
    assert sorted(file.read_bytes() for file in folder.iterdir()) == sent


def test_what_waits_to_be_saved_is_bounded_for_all_cameras_together(monkeypatch):
    monkeypatch.setattr("indipyweb.unsaved.BYTES", 8192)

    def blob(name, data):
        return ReceivedBlob("Camera", name, "I", data, ".bin", None, None)

    chance, unsaved, waiting = random.Random(5), Unsaved(), []
    for _ in range(3000):
        if chance.random() < 0.7:
            given = blob(f"C{chance.randrange(12)}", bytes(chance.choice((1, 500, 3000, 20_000))))
            gone = unsaved.put(given)
            waiting.append(given)
            assert not any(one is given for one in gone)
            for lost in gone:  # the oldest of its property
                first = next(one for one in waiting if one.name == lost.name)
                assert lost is first
                waiting.remove(first)
            assert unsaved.bytes <= 8192 or len(waiting) == 1
        elif (taken := unsaved.take()) is not None:
            first = next(one for one in waiting if one.name == taken.name)
            assert taken is first
            waiting.remove(first)
    while unsaved.take() is not None:
        waiting.pop()
    assert (waiting, unsaved.bytes) == ([], 0)
    for number in range(70):  # a stream of small ones costs the image of another camera nothing
        gone = unsaved.put(blob("video", b"%d" % number))
        unsaved.put(blob("image", b"image")) if not number else None
    assert all(one.name == "video" for one in gone)
    assert [unsaved.take().name for _ in range(3)] == ["video", "image", "video"]


@asynchronous
async def test_blobs_of_many_cameras_do_not_pile_up_before_a_disk_that_does_not_answer(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("indipyweb.unsaved.BYTES", 1 << 20)
    answers, written = threading.Event(), []
    monkeypatch.setattr(site_module, "_write", lambda folder, blob: answers.wait(60) and written.append(blob))
    async with _Line() as line:
        site = Site("here", Client("127.0.0.1", line.port, blobs=BlobMode.ALSO), tmp_path)
        await site.start()
        try:
            for name in "ABCD":
                await line.send(_definition(name), *(_blob(name, bytes(200_000)) for _ in range(5)))
            await line.send(_definition("E"), _blob("E", b"last"))
            await soon(lambda: (found := site.model.get("Camera", "E")) and found["I"].data == b"last")
            assert "came faster than they could be saved" in site.problem
        finally:
            answers.set()
            await site.aclose()
    assert len(written) == 7  # one that was being written, five that had room, and the last
    assert {blob.name for blob in written} == set("ABCDE")


@asynchronous
async def test_what_is_long_only_when_it_is_inflated_fills_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("indipyweb.site.FOLDER_MOST", 2 << 20)
    folder = tmp_path / "blobs"
    folder.mkdir()
    bomb = zlib.compress(bytes(2_000_000))
    async with website(tmp_path, blobfolder=folder) as site:
        image = site.driver.device["IMAGE"]
        image.data["I"].blobformat = ".fits.z"
        image["I"] = bomb
        await poll(lambda: _send(image, site))
        await image.send_setVectorMembers(members=["I"])
        await soon(lambda: site.web.first.saved >= 2)
        assert {file.stat().st_size for file in folder.iterdir()} == {len(bomb), 2_000_000}


@asynchronous
async def test_a_disk_that_does_not_answer_holds_up_nothing_else(tmp_path, monkeypatch):
    folder = tmp_path / "blobs"
    folder.mkdir()
    (folder / "old.fits").write_bytes(fits())
    answers = threading.Event()
    wait = lambda *_: answers.wait(60) and []  # noqa: E731
    monkeypatch.setattr("indipyweb.pages.blobs._files", wait)
    monkeypatch.setattr("indipyweb.pages.blobs._is_plain", wait)
    monkeypatch.setattr("indipyweb.disk.PATIENCE", 0.2)
    monkeypatch.setattr("indipyweb.disk.GRACE", 0.2)
    async with website(tmp_path, blobfolder=folder) as site, site.browser("admin") as browser:
        try:
            for _ in range(3):  # pressing Reload makes it no worse
                pages = [browser.get("/blobs") for _ in range(12)]
                for page in await asyncio.gather(*pages):
                    assert (page.status_code, "does not answer" in page.text) == (500, True)
            name = {"name": "old.fits"}
            assert (await browser.get("/blobs/file", params=name)).status_code == 503
            assert (await browser.get("/blobs/thumbnail", params=name)).status_code == 503
            assert (await browser.post("/blobs/delete", data=name)).status_code == 503
            monkeypatch.setattr("indipyweb.pages.system._folder", wait)
            form = {"host": "localhost", "port": "8000", "indiport": "7624", "blobfolder": str(tmp_path)}
            for page in await asyncio.gather(*[browser.post("/system", data=form) for _ in range(12)]):
                assert (page.status_code, "does not answer" in page.text) == (422, True)
            answer = await browser.post("/login", data={"name": "user", "password": PASSWORD})
            assert answer.status_code == 303
            assert (await browser.get("/api")).status_code == 200
            await asyncio.wait_for(site.web.disk.aclose(), 30)
        finally:
            answers.set()


@asynchronous
async def test_what_is_being_written_is_written_before_the_end():
    disk, done, go = Disk(), [], threading.Event()
    writing = asyncio.create_task(disk.do(lambda: go.wait(60) and done.append("whole")))
    await asyncio.sleep(0.05)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    asyncio.get_running_loop().call_later(0.05, go.set)
    await disk.aclose()
    assert done == ["whole"]


@asynchronous
async def test_a_disk_that_stops_to_answer_holds_up_no_image_and_not_the_end(tmp_path, monkeypatch):
    folder = tmp_path / "blobs"
    folder.mkdir()
    (folder / "old.fits").write_bytes(fits())
    answers = threading.Event()
    run = previews._run

    def no_file(source, *more):
        return run(source, *more) if isinstance(source, bytes) else answers.wait(60)

    monkeypatch.setattr("indipyclient.images.previews._run", no_file)
    monkeypatch.setattr("indipyweb.pages.blobs._slice", lambda *_: answers.wait(60))
    monkeypatch.setattr("indipyweb.disk.GRACE", 0.2)
    try:
        async with website(tmp_path, blobfolder=folder) as site, site.browser("viewer") as browser:
            vector = site.driver.device["IMAGE"]
            vector["I"] = fits(30, 20)
            await poll(lambda: _send(vector, site))
            monkeypatch.setattr("indipyweb.disk.PATIENCE", 0.2)
            name = {"name": "old.fits"}
            drawing = asyncio.create_task(browser.get("/blobs/thumbnail", params=name))
            where = {"d": AWKWARD, "p": "IMAGE", "m": "I"}
            assert "20, 16 bit" in (await browser.get("/image", params=where)).text
            assert (await drawing).status_code == 404
            with pytest.raises(OSError, match="does not answer"):
                await browser.get("/blobs/file", params=name)
        await asyncio.wait_for(asyncio.get_running_loop().shutdown_default_executor(), 30)
        assert not any("AnyIO" in thread.name for thread in threading.enumerate())  # they would be waited for
    finally:
        answers.set()


@asynchronous
async def test_the_page_of_an_image_that_is_not_drawn_here_shows_it(tmp_path):
    images = (
        (b"\x89PNG\r\n\x1a\n" + b"x" * 50, "image/png"),
        (b"\xff\xd8\xff\xe0" + b"x" * 50, "image/jpeg"),
        (b"x", ""),
    )
    async with website(tmp_path) as site, site.browser("viewer") as browser:
        vector, where = site.driver.device["IMAGE"], {"d": AWKWARD, "p": "IMAGE", "m": "I"}
        for data, kind in images:

            async def shown(data=data):
                vector["I"] = data
                await vector.send_setVectorMembers(members=["I"])
                await asyncio.sleep(0.1)
                return site.web.first.model.get(AWKWARD, "IMAGE")["I"].data == data

            await poll(shown)
            page = await browser.get("/image", params=where)
            assert (page.status_code, "<img" in page.text) == (200, bool(kind))
            picture = await browser.get("/image.png", params=where)
            assert picture.status_code == (200 if kind else 404)
            assert not kind or picture.headers["content-type"] == kind
        site.web.previews._in_thread = _late
        vector["I"] = b"another one"
        await poll(lambda: _send_again(vector, site))
        page = await browser.get("/image", params=where)
        assert (page.status_code, "it takes too long" in page.text) == (200, True)


async def _late(*_):
    return previews.Preview({"problem": "it takes too long"}, b"")


async def _send_again(vector, site):
    await vector.send_setVectorMembers(members=["I"])
    await asyncio.sleep(0.1)
    return site.web.first.model.get(AWKWARD, "IMAGE")["I"].data == b"another one"


@asynchronous
async def test_a_thumbnail_is_kept_as_long_as_its_file_is_the_same(tmp_path):
    folder = tmp_path / "blobs"
    folder.mkdir()
    file = folder / "latest.fits"
    file.write_bytes(fits(30, 20))
    async with website(tmp_path, blobfolder=folder) as site, site.browser("viewer") as browser:
        page = (await browser.get("/blobs")).text
        source = html.unescape(page.partition('src="/blobs/')[2].partition('"')[0])
        assert "max-age" in (await browser.get(f"/blobs/{source}")).headers["cache-control"]
        os.utime(file, (1, 1))
        assert html.escape(source) not in (await browser.get("/blobs")).text
        assert (await browser.get(f"/blobs/{source}")).headers["cache-control"] == "no-store"


@asynchronous
async def test_a_download_is_whole_or_cut_and_never_of_two_files(tmp_path):
    folder = tmp_path / "blobs"
    folder.mkdir()
    file, data = folder / "long", os.urandom((2 << 20) + 5)
    file.write_bytes(data)
    async with website(tmp_path, blobfolder=folder) as site, site.browser("viewer") as browser:
        assert (await browser.get("/blobs/file", params={"name": "long"})).content == data
        pieces = blobs._slices(site.web.disk, file, file.stat())
        assert await anext(pieces) == data[: 1 << 20]
        file.write_bytes(b"short")
        with pytest.raises(OSError, match="changed"):
            await anext(pieces)


@asynchronous
async def test_several_servers_share_the_bound_of_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("indipyweb.site.FOLDER_MOST", 1000)
    (tmp_path / "odd").symlink_to("x" * 300)  # nobody can look at it
    disk, real = Disk(), site_module._bytes_in
    monkeypatch.setattr("indipyweb.site._bytes_in", lambda folder: (real(folder), threading.Event().wait(0.1))[0])
    sites = [Site(f"localhost:{n}", Client(f"localhost:{n}"), tmp_path, disk) for n in (1, 2, 3)]
    blob = ReceivedBlob("d", "p", "m", b"x" * 600, ".fits", 600, None)
    await asyncio.gather(*(site._save_one(tmp_path, blob) for site in sites))
    assert sorted(site.saved for site in sites) == [0, 0, 1]
    assert real(tmp_path) == 600
