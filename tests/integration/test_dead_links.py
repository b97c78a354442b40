"""A peer that has more waiting for it than it may, and whose far end is gone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys

import pytest

from indipydriver.errors import SlowPeer
from indipydriver.protocol.encode import encode
from indipydriver.protocol.messages import NewVector, OneMember
from indipydriver.protocol.tags import VectorKind
from indipydriver.transport.attached import PassingLink
from indipydriver.transport.descriptor import DescriptorLink
from indipydriver.transport.framed import FramedLink
from indipyserver.relay.peer import DEAD_TIME, Peer
from indipyserver.relay.switchboard import Switchboard
from indipyserver.routing.endpoint import Role
from indipyserver.routing.outbox import OutboxLimits
from tests.support import IndiClient, asynchronous, eventually, match, running_server
from tests.support.certificates import certificates, trusting

BIG = encode(NewVector(VectorKind.TEXT, "A", "p", (OneMember("m", "x" * 300_000),)))


@pytest.mark.parametrize("kind", [DescriptorLink, PassingLink])
@asynchronous
async def test_one_that_is_not_read_because_it_takes_nothing_ends_when_its_far_end_is_gone(
    kind: type[DescriptorLink],
) -> None:
    """It is found out in writing, and reading goes on only when it has taken what waits: which it never will."""
    board = Switchboard("here")
    (near, far), (other, client) = socket.socketpair(), socket.socketpair()
    for sock in (near, other):
        sock.setblocking(False)
    ended = asyncio.get_running_loop().create_future()
    peer = Peer(
        board, kind("x", sock=near), Role.REMOTE, limits=OutboxLimits(), hang_time=0, on_closed=ended.set_result
    )
    sender = Peer(board, kind("y", sock=other), Role.CLIENT, limits=OutboxLimits())
    with far, client:
        board.add(sender)
        board.add(peer)
        for _ in range(8):
            board.deliver(sender, [([BIG], (peer,))])
            board.deliver(peer, [([BIG], (peer,))])  # as if it had asked for that
        assert sender._held_by == {peer}
        assert peer._held_by == {peer}
        async with asyncio.timeout(10):
            far.close()
            await ended
        assert sender._held_by == set()
        assert board.peers == [sender]
        sender.cut(SlowPeer("y", 0, 0))
        await eventually(lambda: board.peers == [])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells what has arrived")
@pytest.mark.parametrize("secure", [False, True])
@asynchronous
async def test_commands_for_a_server_behind_a_dead_line_are_dropped_and_everybody_is_told(secure: bool) -> None:
    """They were kept by the system for a quarter of an hour, and carried out when the line was up again.

    The line is dead for all but the first few kilobytes: whoever is at its other end takes nothing out of a small room.
    Each further command, too, is written at once.
    """
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as stack:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
        listening.setblocking(False)
        async with running_server(hang_time=0.6) as server, IndiClient(server.port) as client:
            server.add_remote("127.0.0.1", listening.getsockname()[1], ssl=trusting() if secure else None)
            below, _ = await loop.sock_accept(listening)
            below.setblocking(True)
            below.settimeout(10)
            if secure:
                context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                context.load_cert_chain(certificates() / "server.pem", certificates() / "server.key")
                below = await asyncio.to_thread(context.wrap_socket, below, server_side=True)
            stack.enter_context(below)
            assert b'device="*"' in await asyncio.to_thread(below.recv, 1000)
            await client.get_properties()
            await eventually(lambda: server.board.clients[0].interest.everything)
            below.sendall(
                b'<defTextVector device="Roof" name="T" state="Ok" perm="rw"><defText name="t">x</defText></defTextVector>'
            )
            await client.expect(match("defTextVector", device="Roof"))
            for text in ["x" * 30_000, *["y" * 100] * 8]:
                await client.send(
                    f'<newTextVector device="Roof" name="T"><oneText name="t">{text}</oneText></newTextVector>'
                )
                await asyncio.sleep(0.1)
            await client.expect(lambda element: "hangs" in element.get("message", ""))
            await client.expect(match("delProperty", device="Roof"))
        came = bytearray()
        with contextlib.suppress(OSError):
            while data := await asyncio.to_thread(below.recv, 1 << 16):
                came += data
        assert b"</newTextVector" not in came


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux ends such connections by itself")
@pytest.mark.parametrize("secure", [False, True])
@asynchronous
async def test_the_system_ends_the_link_of_a_server_above_whose_line_is_dead(secure: bool) -> None:
    """What drivers snoop on stayed as it was for a quarter of an hour if something was on its way to that server."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if secure else None
    if context is not None:
        context.load_cert_chain(certificates() / "server.pem", certificates() / "server.key")
    async with running_server(ssl=context, unix_socket=None) as server:
        name = "localhost" if secure else None
        _, writer = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=trusting() if secure else None, server_hostname=name
        )
        await eventually(lambda: server.board.clients)
        (peer,) = server.board.clients
        assert isinstance(peer.link, FramedLink)
        sock = peer.link._socket_used()
        assert sock is not None
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0
        writer.write(b'<getProperties version="1.7" device="*"/>')
        await eventually(lambda: peer.role is Role.UPSTREAM)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == DEAD_TIME * 1000
        writer.close()
