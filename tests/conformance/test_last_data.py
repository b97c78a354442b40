"""A link that ends while its peer still talks: the peer gets all that was sent to it, and nobody waits for ever."""

import asyncio
import os
import socket
import ssl
import sys
import threading
from contextlib import suppress

import pytest

from indipydriver.protocol.frame import Batch
from indipydriver.transport import descriptor, stream
from indipydriver.transport.descriptor import DescriptorLink
from indipydriver.transport.stream import StreamLink
from tests.support.certificates import certificates, trusting
from tests.support.links import PATIENCE, Recorder

from .links import tcp_sockets, text

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells what has arrived")

KINDS = {"descriptors": (DescriptorLink, False), "stream": (StreamLink, False), "TLS": (StreamLink, True)}
MUCH = Batch([text(i, 30_000) for i in range(12)], sealed=True)
"""More than has arrived before the peer reads, and less than the system takes."""

TALK = b"<getProperties version='1.7'/>" * 1000


async def linked(kind: str) -> tuple[DescriptorLink | StreamLink, Recorder, socket.socket]:
    """A link, what it tells, and the socket of its peer, which blocks and takes little."""
    here, there = tcp_sockets()
    here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
    there.settimeout(PATIENCE)
    make, secure = KINDS[kind]
    if make is DescriptorLink:
        link = DescriptorLink("peer", sock=here)
    else:
        link = StreamLink("peer")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificates() / "server.pem", certificates() / "server.key")
        tls = {"ssl": context, "ssl_shutdown_timeout": 0.2} if secure else {}
        accepting = asyncio.get_running_loop().connect_accepted_socket(lambda: link, here, **tls)
        wrapping = asyncio.to_thread(trusting().wrap_socket, there, server_hostname="localhost")
        if secure:
            _, there = await asyncio.gather(accepting, wrapping)
        else:
            wrapping.close()
            await accepting
    recorder = Recorder()
    link.open(recorder)
    return link, recorder, there


def read_all(sock: socket.socket) -> int:
    """How much comes until the end, or until the connection is lost."""
    size = 0
    with suppress(OSError):
        while data := sock.recv(1 << 16):
            size += len(data)
    return size


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_not_arrived_when_a_link_is_given_up_does_not_come_later(kind):
    """A roof would open when the line is up again, although everybody has been told that its server is gone."""

    async def check() -> None:
        link, recorder, peer = await linked(kind)
        with peer:
            link.write(MUCH)
            link.flush()
            async with asyncio.timeout(PATIENCE):
                while link.unsent:
                    await asyncio.sleep(0)
            assert link.bytes_sent == MUCH.size
            assert link.on_the_way > 0
            link.drop_when_ended()
            link.abort()
            await recorder.until_closed()
            assert link.on_the_way == 0
            assert await asyncio.to_thread(read_all, peer) < MUCH.size

    asyncio.run(check())


@pytest.mark.parametrize("kind", KINDS)
def test_a_peer_that_still_talks_gets_all(kind):
    async def check() -> None:
        link, recorder, peer = await linked(kind)
        stop = threading.Event()

        def talk() -> None:
            with suppress(OSError):
                while not stop.is_set():
                    peer.sendall(TALK)

        with peer:
            link.write(MUCH)
            link.flush()
            link.close()
            async with asyncio.timeout(PATIENCE):
                while link.unsent:
                    await asyncio.sleep(0)
            await asyncio.to_thread(peer.sendall, TALK)
            talking = asyncio.create_task(asyncio.to_thread(talk))
            try:
                assert await asyncio.to_thread(read_all, peer) == MUCH.size
            finally:
                stop.set()
                peer.close()
                await talking
        assert await recorder.until_closed() is None
        assert recorder.wrong == []

    before = os.listdir("/proc/self/fd")
    asyncio.run(check(), debug=True)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_peer_that_takes_nothing_is_not_waited_for_longer_than_said(kind, monkeypatch):
    monkeypatch.setattr(descriptor, "LONGEST_LINK_END", 0.2)
    monkeypatch.setattr(stream, "LONGEST_LINK_END", 0.2)

    async def check() -> None:
        link, recorder, peer = await linked(kind)
        with peer:
            link.write(MUCH)
            link.flush()
            link.close()
            assert await recorder.until_closed() is None
            assert recorder.wrong == []

    asyncio.run(check())


@pytest.mark.parametrize("kind", KINDS)
def test_it_can_be_given_up_while_it_waits(kind):
    async def check() -> None:
        link, recorder, peer = await linked(kind)
        with peer:
            link.write(MUCH)
            link.flush()
            link.close()
            async with asyncio.timeout(PATIENCE):
                while link.unsent:
                    await asyncio.sleep(0)
            link.close()
            link.abort()
            link.abort()
            await recorder.until_closed()
            assert recorder.wrong == []

    asyncio.run(check())


@pytest.mark.parametrize("end", ["half", "whole"])
def test_a_peer_that_ends_while_it_is_waited_for(end):
    """Nothing can come from it now that would make TCP reset the connection."""

    async def check() -> None:
        link, recorder, peer = await linked("descriptors")
        with peer:
            link.write(MUCH)
            link.flush()
            link.close()
            if end == "half":
                peer.shutdown(socket.SHUT_WR)
                assert await asyncio.to_thread(read_all, peer) == MUCH.size
            else:
                peer.close()
            await recorder.until_closed()
            assert recorder.wrong == []

    asyncio.run(check())


@pytest.mark.parametrize("pair", [socket.socketpair, tcp_sockets], ids=["local", "TCP"])
def test_a_link_that_is_paused_and_closed_ends_with_its_peer(pair):
    """Nobody takes what the peer has sent before, so nobody waits until somebody does."""

    async def check() -> None:
        here, there = pair()
        here.setblocking(False)
        link, recorder = DescriptorLink("peer", sock=here), Recorder()
        link.open(recorder)
        link.pause_reading()
        link.write(Batch([text(i, 30_000) for i in range(300)], sealed=True))
        link.flush()
        link.close()
        with there:
            there.shutdown(socket.SHUT_WR)
            await asyncio.sleep(0)
        await recorder.until_closed()
        assert recorder.wrong == []

    asyncio.run(check())


def test_a_tls_peer_that_goes_while_it_is_not_read_is_written_nothing(caplog):
    """Its commands wait for a driver: asyncio does not tell that it has gone, and would log each write."""

    async def check() -> None:
        link, recorder, peer = await linked("TLS")
        link.write(Batch([text(0, 10)], sealed=True))
        link.flush()
        await asyncio.to_thread(peer.recv, 1000)  # otherwise the connection would be reset
        link.pause_reading()
        await asyncio.to_thread(peer.sendall, TALK)
        assert not link.is_dead()
        peer.close()
        for number in range(20):
            await asyncio.sleep(0.001)
            link.write(Batch([text(number, 10)], sealed=True))
            link.flush()
        assert link.is_dead()
        assert link.unsent == 0
        link.resume_reading()
        await recorder.until_closed()
        assert len(recorder.frames) == 1000

    asyncio.run(check())
    assert not [record for record in caplog.records if record.name == "asyncio"]
