"""A driver whose standard input is a local socket takes the BLOBs that come as descriptors, as indiserver sends them."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

import indipydriver as ipd
from indipydriver.transport.link import Link
from indipydriver.transport.stdio import open_stdio
from tests.support import asynchronous, eventually

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors are passed on Linux")

COMMAND = (
    b'<newBLOBVector device="Store" name="FILES">'
    b'<oneBLOB name="A" size="%d" format=".bin" attached="true"/></newBLOBVector>'
)
NEWS = COMMAND.replace(b"new", b"set").replace(b"Store", b"Camera")


class Store(ipd.IPyDriver):
    """Notes what it gets."""

    def __init__(self) -> None:
        members = [ipd.BLOBMember("A"), ipd.BLOBMember("B")]
        super().__init__(ipd.Device("Store", [ipd.BLOBVector("FILES", "Files", "Main", "rw", "Ok", members)]))
        self.events: list[Any] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def rxevent(self, event: Any) -> None:
        self.events.append(event)
        await self.may_go_on.wait()

    async def snoopevent(self, event: Any) -> None:
        self.events.append(event)


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[tuple[Store, socket.socket, Link]]:
    driver = Store()
    driver.snoopdevices.add("Camera")
    server, its = socket.socketpair()
    with its:
        link = open_stdio(its.fileno(), its.fileno(), linger=0)
    task = asyncio.create_task(driver.serve(link))
    server.setblocking(False)
    try:
        yield driver, server, link
    finally:
        server.close()
        driver.may_go_on.set()
        async with asyncio.timeout(5):
            await task


def send(server: socket.socket, element: bytes, *contents: bytes) -> None:
    """Send an element with a memory file for each of these contents."""
    fds = []
    for content in contents:
        fds.append(os.memfd_create("blob"))
        os.write(fds[-1], content)
        os.ftruncate(fds[-1], 1 << 20)
    socket.send_fds(server, [element], fds)
    for fd in fds:
        os.close(fd)


@pytest.mark.parametrize("size", [1, 5000, 700_000])
@asynchronous
async def test_commands_and_news(size: int) -> None:
    content = os.urandom(size)
    async with served() as (driver, server, _):
        before = len(os.listdir("/proc/self/fd"))
        send(server, COMMAND % size, content)
        send(server, NEWS % size, content[::-1])
        await eventually(lambda: len(driver.events) == 2)
        command, news = sorted(driver.events, key=lambda event: type(event).__name__)
        assert isinstance(command, ipd.newBLOBVector)
        assert command["A"] == content
        assert command.sizeformat == {"A": (size, ".bin")}
        assert command.root[0].text
        assert isinstance(news, ipd.setBLOBVector)
        assert news["A"] == content[::-1]
        assert news.sizeformat == {"A": (size, ".bin")}
        await eventually(lambda: len(os.listdir("/proc/self/fd")) == before)


@asynchronous
async def test_a_file_that_cannot_be_read_costs_only_its_command() -> None:
    async with served() as (driver, server, link):
        fd = os.memfd_create("blob")
        os.write(fd, b"picture")
        driver.may_go_on.clear()
        send(server, COMMAND % 3, b"one")
        socket.send_fds(server, [COMMAND % 7], [fd])
        send(server, COMMAND % 5, b"three")
        await eventually(lambda: link.bytes_received == 3 * len(COMMAND % 3))
        os.ftruncate(fd, 3)
        os.close(fd)
        driver.may_go_on.set()
        await eventually(lambda: len(driver.events) == 2)
        assert [event["A"] for event in driver.events] == [b"one", b"three"]
        assert driver["Store"]["FILES"].state == "Alert"


@asynchronous
async def test_a_driver_that_is_busy_holds_few_files() -> None:
    """Each of them is one of the descriptors that this process may have."""
    async with served() as (driver, server, _):
        driver.may_go_on.clear()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(60):
            send(server, COMMAND % 3, b"one")
        await eventually(lambda: len(driver.events) == 1)
        await asyncio.sleep(0.05)
        assert len(os.listdir("/proc/self/fd")) < before + 10
        driver.may_go_on.set()
        await eventually(lambda: len(driver.events) == 60)
