"""A peer that has more waiting for it than it may, and whose far end is gone."""

from __future__ import annotations

import asyncio
import socket

import pytest

from indipydriver.errors import SlowPeer
from indipydriver.protocol.encode import encode
from indipydriver.protocol.messages import NewVector, OneMember
from indipydriver.protocol.tags import VectorKind
from indipydriver.transport.attached import PassingLink
from indipydriver.transport.descriptor import DescriptorLink
from indipyserver.relay.peer import Peer
from indipyserver.relay.switchboard import Switchboard
from indipyserver.routing.endpoint import Role
from indipyserver.routing.outbox import OutboxLimits
from tests.support import asynchronous, eventually

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
