"""Clients that have ended their sending side: ``printf ... | nc`` wants its answers."""

from __future__ import annotations

import asyncio
from typing import Final, TypeAlias

from indipydriver.transport.descriptor import DescriptorLink
from indipydriver.transport.framed import FramedLink
from indipydriver.transport.stream import StreamLink

from ..relay.peer import Peer
from ..routing.endpoint import Role

__all__ = ["CLIENT_LINGER", "MOST_LINGERING", "ClientLink", "Lingering"]

ClientLink: TypeAlias = DescriptorLink | StreamLink
"""The link of a client."""
CLIENT_LINGER: Final = 5.0
"""Seconds after its last request during which a client that has ended its sending side still gets answers."""
MOST_LINGERING: Final = 16
"""The most such clients at the same time: they are commands in scripts, which end in milliseconds."""
_AFTERTHOUGHT: Final = 0.1
"""Seconds for answers that need no driver, to a ping for example."""


class Lingering:
    """Sends clients that send no more their answers, then ends their links.

    One that has asked for nothing has no answers to come, and is closed at once.  One that takes nothing of what
    waits for it is cut off.

    Args:
        most: How many at the same time; with one more, the oldest is cut off.
    """

    def __init__(self, most: int = MOST_LINGERING) -> None:
        self._most = most
        self._timers: dict[Peer, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._timers)

    def begin(self, peer: Peer) -> None:
        """Note that this client has ended its sending side, between two elements."""
        link = peer.link
        if peer.closed or not isinstance(link, FramedLink):
            return
        if peer.role is Role.UPSTREAM:  # its devices must go as soon as it does: it may be back at once
            link.abort()
            return
        while len(self._timers) >= self._most:
            self.cut_oldest()
        wait = _AFTERTHOUGHT
        if peer.interest:
            wait = max(wait, link.last_received + CLIENT_LINGER - asyncio.get_running_loop().time())
        self._start(peer, wait)

    def cut_oldest(self) -> bool:
        """End the link of the client that has been here longest; False if there is none."""
        for peer in self._timers:
            self.ended(peer)
            peer.closed = True
            peer.link.abort()
            return True
        return False

    def ended(self, peer: Peer) -> None:
        """Note that the link of a client has ended."""
        timer = self._timers.pop(peer, None)
        if timer is not None:
            timer.cancel()

    def _start(self, peer: Peer, wait: float) -> None:
        self._timers[peer] = asyncio.get_running_loop().call_later(wait, self._finish, peer)

    def _finish(self, peer: Peer) -> None:
        self._timers[peer] = asyncio.get_running_loop().call_later(
            CLIENT_LINGER, self._look, peer, peer.link.bytes_sent
        )
        peer.close()

    def _look(self, peer: Peer, sent: int) -> None:
        """Whether it is still taking what waits for it; it may also have gone without notice."""
        now_sent = peer.link.bytes_sent
        if now_sent == sent:
            self.ended(peer)
            peer.closed = True
            peer.link.abort()
        else:
            self._timers[peer] = asyncio.get_running_loop().call_later(CLIENT_LINGER, self._look, peer, now_sent)
