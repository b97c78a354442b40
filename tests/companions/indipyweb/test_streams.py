"""Streams over real connections: browsers that are gone without a word, and links that are slow."""

import asyncio
import contextlib
import json
import socket
import sys

import pytest

pytest.importorskip("starlette", reason="the web client needs the extra web")

import uvicorn

from indipydriver import Device, IPyDriver
from indipydriver.propertymembers import TextMember
from indipydriver.propertyvectors import TextVector
from indipyweb import events
from indipyweb.connections import Connection
from indipyweb.events import BEHIND, OF_ONE
from tests.support import asynchronous

from .parts import Everything, soon, website

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a peer has taken")
LARGE = "x" * 8000


class Page:
    """A browser's end of a stream, which reads when it is told to."""

    def __init__(self, port, *, window=0, path="/events", address="127.0.0.1"):
        self.socket = socket.socket()
        if window:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.socket.bind((address, 0))
        self.socket.connect(("127.0.0.1", port))
        self.socket.setblocking(False)
        if path is not None:
            self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        self.seen = b""

    async def read(self, wanted):
        """Read until this is there."""
        async with asyncio.timeout(30):
            while wanted not in self.seen:
                data = await asyncio.get_running_loop().sock_recv(self.socket, 1 << 16)
                assert data, self.seen[-200:]
                self.seen += data


@contextlib.asynccontextmanager
async def served(folder, *drivers, places=None):
    """The web server on a port, and a function that opens streams."""
    async with website(folder, *drivers) as site:
        more = {"http": Connection, "lifespan": "off", "ws": "none", "limit_concurrency": places}
        config = uvicorn.Config(site.app, host="127.0.0.1", port=0, log_level="error", **more)
        server = uvicorn.Server(config)
        running = asyncio.create_task(server._serve())
        await soon(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        with contextlib.ExitStack() as stack:

            def page(**more):
                opened = Page(port, **more)
                stack.callback(opened.socket.close)
                return opened

            try:
                yield site, page
            finally:
                site.web.close_streams()
                server.should_exit = True
                async with asyncio.timeout(30):
                    await running


async def gone(site, page, count, **more):
    """Open streams that nobody reads, and wait until something waits in each."""
    before = site.web.streams.total
    pages = [page(window=1, **more) for _ in range(count)]
    await soon(lambda: site.web.streams.total == before + count)
    await soon(lambda: all(stream._untaken for stream in list(site.web.streams._streams)[before:]))
    return pages


@asynchronous
async def test_a_browser_that_is_gone_is_found_though_nothing_happens(tmp_path, monkeypatch):
    monkeypatch.setattr(events, "PING", 0.01)
    monkeypatch.setattr(events, "STUCK", 0.3)
    async with served(tmp_path) as (site, page):
        await gone(site, page, 1)
        lively = page()
        await lively.read(b"event: ping")
        assert site.web.streams.total == 2
        reading = asyncio.create_task(lively.read(b"never"))
        await soon(lambda: site.web.streams.total == 1)
        assert site.web.streams.cut == 1
        assert not reading.done()
        reading.cancel()


@asynchronous
async def test_browsers_that_are_gone_make_room(tmp_path, monkeypatch):
    monkeypatch.setattr(events, "PING", 0.01)
    monkeypatch.setattr(events, "QUIET", 0.3)
    async with served(tmp_path) as (site, page):
        counts = site.web.streams
        await gone(site, page, OF_ONE)
        streams = list(counts._streams)
        await soon(lambda: all(stream.silence() > 0.3 for stream in streams))
        lively = page()
        await lively.read(b"event: hello")
        assert (counts.total, counts.cut) == (OF_ONE, 1)
        assert len({*streams, *counts._streams}) == OF_ONE + 1


@asynchronous
async def test_those_who_read_keep_their_places(tmp_path, monkeypatch):
    monkeypatch.setattr(events, "PING", 0.01)
    monkeypatch.setattr(events, "QUIET", 0.3)
    monkeypatch.setattr(events, "OF_GUESTS", OF_ONE + 1)
    async with served(tmp_path) as (site, page):
        pages = [page() for _ in range(OF_ONE)]
        reading = [asyncio.create_task(one.read(b"never")) for one in pages]
        await soon(lambda: site.web.streams.total == OF_ONE)
        await gone(site, page, 1, address="127.0.0.2")
        await soon(lambda: any(stream.silence() > 0.3 for stream in site.web.streams._streams))
        one_more = page()
        await one_more.read(b"too many tabs are open")  # of its own places none is free
        assert site.web.streams.cut == 0
        other = page(address="127.0.0.3")
        await other.read(b"event: hello")
        assert site.web.streams.cut == 1
        assert site.web.streams.total == OF_ONE + 1
        assert not any(task.done() for task in reading)
        for task in reading:
            task.cancel()


@asynchronous
async def test_a_slow_link_is_told_the_newest_values_and_no_backlog(tmp_path, monkeypatch):
    monkeypatch.setattr("indipyweb.site.TICK", 0.01)
    text = TextVector("T", "T", "Main", "ro", "Ok", [TextMember("T", membervalue="")])
    driver = IPyDriver(Device("Talks", [text]))
    async with served(tmp_path, Everything(), driver) as (site, page):
        await soon(lambda: site.web.first.model.get("Talks", "T"))
        slow, lively = page(window=4096, path="/events?d=Talks"), page(path="/events?d=Talks")
        await slow.read(b"event: hello")
        for n in range(100):
            text["T"] = f"{n} {LARGE}"
            await text.send_setVector()
            await lively.read(f'["{n} '.encode())
        before = len(slow.seen)
        await slow.read(b'["99 ')
        assert len(slow.seen) - before < 3 * BEHIND
        # It goes on as before.
        text["T"] = "short"
        await text.send_setVector()
        await slow.read(b'["short"]')
        numbers = [line for line in slow.seen.split(b"\n") if line.startswith(b'data: {"rev"')]
        assert [json.loads(line[6:])["rev"] for line in numbers] == sorted(json.loads(n[6:])["rev"] for n in numbers)


@asynchronous
async def test_a_machine_that_opens_connections_and_says_nothing_keeps_nobody_out(tmp_path):
    async with served(tmp_path, places=24) as (_, page):
        following = page()
        await following.read(b"event: hello")
        idle = page(path="/health")  # it will ask for more
        await idle.read(b"uptime")
        heads = (b"", b"GET / HT", b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nname")
        silent = []
        for n in range(60):
            silent.append(page(path=None, address="127.0.0.5"))
            silent[-1].socket.sendall(heads[n % 3])
        for _ in range(3):
            other = page(path="/health", address="127.0.0.9")
            await other.read(b"uptime")
        idle.seen = b""
        idle.socket.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await idle.read(b"uptime")
        await following.read(b"event: ping")
