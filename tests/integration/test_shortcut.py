"""The shorter way of elements that come alone, where it must give way to the usual one."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
from collections.abc import Callable

import pytest

from indipydriver.protocol.frame import Frame
from indipydriver.transport.attached import PassingLink
from indipydriver.transport.descriptor import DescriptorLink
from indipydriver.transport.link import Link
from indipyserver.relay.observer import Observer
from indipyserver.relay.peer import HANG_TIME, Peer
from indipyserver.relay.switchboard import Switchboard
from indipyserver.routing.endpoint import Role
from indipyserver.routing.outbox import OutboxLimits
from tests.support import asynchronous, eventually

DEFINITION = b'<defTextVector device="D" name="T" state="Ok" perm="ro"><defText name="t">x</defText></defTextVector>\n'


def update(value: int, size: int = 0) -> bytes:
    text = f"{value}".ljust(size, "-")
    return (
        f'<setTextVector device="D" name="T" state="Ok"><oneText name="t">{text}</oneText></setTextVector>\n'.encode()
    )


def command(value: int, size: int = 0) -> bytes:
    return update(value, size).replace(b"setText", b"newText").replace(b' state="Ok"', b"")


class Wired:
    """A driver and a client at one switchboard."""

    def __init__(
        self,
        *,
        buffer: int = 0,
        link: Callable[[str, socket.socket], DescriptorLink] | None = None,
        hang_time: float = HANG_TIME,
    ) -> None:
        self.board = Switchboard("here")
        self.taken = 0
        (near, self.driver_end), (other, self.client_end) = socket.socketpair(), socket.socketpair()
        if buffer:
            for sock in (near, other):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        for sock in (near, other, self.driver_end, self.client_end):
            sock.setblocking(False)
        limits = OutboxLimits()
        of_driver = link("driver", near) if link is not None else DescriptorLink("driver", sock=near)
        self.driver = Peer(self.board, of_driver, Role.REMOTE, limits=limits, hang_time=hang_time)
        self.client = Peer(self.board, DescriptorLink("client", sock=other), Role.CLIENT, limits=limits)

    async def __aenter__(self) -> Wired:
        self.board.add(self.driver)
        self.board.add(self.client)
        for peer in (self.driver, self.client):
            self._count(peer.link)
        self.client_end.send(b"<getProperties version='1.7'/>\n")
        await eventually(lambda: self.client.received)
        for piece in (DEFINITION, update(0)):
            await self.send(piece)
        return self

    def _count(self, link: Link) -> None:
        assert isinstance(link, DescriptorLink)
        shortcut = link.shortcut
        assert shortcut is not None

        def counted(*element: object) -> bool:
            taken = shortcut(*element)  # type: ignore[arg-type]
            self.taken += taken
            return taken

        link.shortcut = counted

    async def command(self, data: bytes) -> None:
        """One read of the server's, from the client."""
        before = self.client.link.bytes_received
        self.client_end.send(data)
        await eventually(lambda: self.client.link.bytes_received == before + len(data))

    async def send(self, data: bytes) -> None:
        """One read of the server's."""
        before = self.driver.link.bytes_received
        self.driver_end.send(data)
        await eventually(lambda: self.driver.link.bytes_received == before + len(data))

    async def received(self, end: socket.socket | None = None) -> bytes:
        """What has come out at the client's end, or at another one."""
        got = b""
        for _ in range(4):
            await asyncio.sleep(0)
            try:
                got += (end or self.client_end).recv(1 << 20)
            except BlockingIOError:
                continue
        return got

    async def __aexit__(self, *_: object) -> None:
        for peer in (self.driver, self.client):
            peer.link.abort()
        self.driver_end.close()
        self.client_end.close()
        await asyncio.sleep(0)


@asynchronous
async def test_it_is_taken_and_counted() -> None:
    async with Wired() as wired:
        sent, received = wired.client.sent, wired.driver.received
        before = wired.client.link.bytes_sent
        await wired.send(update(1))
        assert wired.taken == 1
        assert (wired.client.sent, wired.driver.received) == (sent + 1, received + 1)
        assert wired.client.link.bytes_sent == before + len(update(1))
        assert (await wired.received()).endswith(update(0) + update(1))


@pytest.mark.parametrize("link", [DescriptorLink, PassingLink])
@asynchronous
async def test_a_command_takes_it_too(link: type[DescriptorLink]) -> None:
    async with Wired(link=lambda label, sock: link(label, sock=sock)) as wired:
        assert isinstance(wired.client.link, DescriptorLink)
        wired.client.link.demand_progress(60.0)
        await wired.command(command(0))
        sent, received = wired.driver.sent, wired.client.received
        before = wired.taken
        await wired.command(command(1))
        assert wired.taken == before + 1
        assert (wired.driver.sent, wired.client.received) == (sent + 1, received + 1)
        assert (await wired.received(wired.driver_end)).endswith(command(0) + command(1))


@asynchronous
async def test_a_driver_that_takes_only_half_a_command_is_found_out() -> None:
    room = 10_000  # bytes that the driver still takes
    write = os.write

    def write_some(fd: int, data: bytes | memoryview) -> int:
        nonlocal room
        if not room:
            raise BlockingIOError
        count = write(fd, data[:room])
        room -= count
        return count

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", write_some)
        wired = Wired(hang_time=0.1)
    async with wired:
        await wired.command(command(0))
        before = wired.taken
        room = 10
        await wired.command(command(1))
        assert wired.taken == before + 1
        assert wired.driver.queued == len(command(1)) - 10
        await eventually(lambda: wired.board.peers == [wired.client])


@asynchronous
async def test_commands_that_do_not_fit_wait_in_order() -> None:
    async with Wired(buffer=4096) as wired:
        await wired.received(wired.driver_end)
        for value in range(60):
            await wired.command(command(value, 1000))
        assert 0 < wired.taken < 60
        got = b""
        while got.count(b"</newTextVector>") < 60:
            got += await wired.received(wired.driver_end)
        assert [int(text) for text in re.findall(rb">(\d+)-", got)] == list(range(60))
        assert not wired.driver.queued


@asynchronous
async def test_only_commands_to_who_is_commanded_and_only_news_to_clients() -> None:
    """What a driver snoops may be left out when it falls behind, which takes more than a write."""
    async with Wired() as wired:
        assert not wired.driver.put_now(update(1), command=False)
        assert not wired.client.put_now(command(1), command=True)


@asynchronous
async def test_what_does_not_fit_into_the_socket_waits_in_order() -> None:
    async with Wired(buffer=4096) as wired:
        await wired.received()
        for value in range(60):
            await wired.send(update(value, 1000))
        assert 0 < wired.taken < 60
        assert wired.client.queued
        got = b""
        while got.count(b"</setTextVector>") < 60:
            got += await wired.received()
        assert [int(value) for value in re.findall(rb">(\d+)-", got)] == list(range(60))
        assert not wired.client.queued


@asynchronous
async def test_the_peer_that_is_gone_is_found_out_in_the_usual_way() -> None:
    async with Wired() as wired:
        wired.client.pause("test")  # it cannot be found out by reading
        wired.client_end.close()
        await wired.send(update(1))
        assert not wired.taken
        wired.client.resume("test")
        await eventually(lambda: wired.board.peers == [wired.driver])


@pytest.mark.parametrize("to_whom", ["driver", "client"])
@asynchronous
async def test_what_is_traced_is_traced(to_whom: str) -> None:
    async with Wired() as wired:
        traced: list[tuple[str, bytes]] = []

        def trace(direction: str, frame: Frame) -> None:
            traced.append((direction, frame.raw))

        getattr(wired, to_whom).trace = trace
        await wired.send(update(1))
        assert traced == [("from" if to_whom == "driver" else "to", update(1)[:-1])]


@asynchronous
async def test_observers_see_it() -> None:
    seen: list[bytes] = []

    class Watcher(Observer):
        def received(self, peer: Peer, frames: list[Frame]) -> None:
            seen.extend(frame.raw for frame in frames)

    async with Wired() as wired:
        wired.board.observe(Watcher())
        await wired.send(update(1))
        assert seen == [update(1)[:-1]]
        assert not wired.taken


@asynchronous
async def test_a_peer_that_is_being_closed_gets_nothing_more() -> None:
    async with Wired() as wired:
        await wired.received()
        wired.client.close()
        wired.driver_end.send(update(1))
        await eventually(lambda: wired.driver.received == 3)
        assert not wired.taken
        assert not await wired.received()


@asynchronous
async def test_it_is_not_taken_while_half_an_element_is_held() -> None:
    async with Wired() as wired:
        await wired.received()
        await wired.send(update(1)[:30])
        await wired.send(update(2))
        assert not wired.taken
        assert await wired.received() == update(2)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors are passed on Linux")
@asynchronous
async def test_a_descriptor_that_belongs_to_no_element_ends_the_link_also_here() -> None:
    """Otherwise the next picture would be taken from it."""
    async with Wired(link=PassingLink) as wired:
        await wired.send(update(1))
        assert wired.taken == 1
        stray = os.memfd_create("stray")
        socket.send_fds(wired.driver_end, [update(2)], [stray])
        os.close(stray)
        await eventually(lambda: wired.board.peers == [wired.client])
        assert wired.taken == 1
