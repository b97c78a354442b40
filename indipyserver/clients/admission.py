"""Admits clients, up to a number."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from functools import partial
from typing import Final

from indipydriver.errors import LinkClosed
from indipydriver.transport.descriptor import DescriptorLink, perhaps_ended
from indipydriver.transport.framed import FramedLink

from ..relay.peer import Peer
from ..relay.switchboard import Switchboard
from ..routing.endpoint import Role
from ..routing.outbox import OutboxLimits
from ..routing.rights import Rights
from .lingering import CLIENT_LINGER, ClientLink, Lingering
from .lograte import LogRate, network_of

__all__ = ["CLIENT_SHARE", "SILENCE", "Admission", "is_lingering"]

logger = logging.getLogger("indipyserver.ipyserver")

SILENCE: Final = 2.0
"""Seconds after which a client that has not yet sent an element gives way to others if places are short: INDI
begins with a getProperties of the client."""
CLIENT_SHARE: Final = 16
"""Places that nobody from another address can take from one; where there are more than twice as many, half of them."""


def is_lingering(peer: Peer) -> bool:
    """Whether it sends no more and only waits for its last answers."""
    return isinstance(peer.link, FramedLink) and peer.link.lingering


def is_dead(peer: Peer) -> bool:
    """Whether it has gone, but what it has sent must still be taken."""
    return isinstance(peer.link, FramedLink) and peer.link.is_dead()


class Admission:
    """Makes peers of the links of new clients.

    Args:
        board: The server's peers.

    Attributes:
        served: Clients accepted so far.
        refused: Clients refused so far because there were too many.
        rate: Limits what is logged about each address.
    """

    def __init__(self, board: Switchboard) -> None:
        self.served = 0
        self.refused = 0
        self.rate = LogRate()
        self._board = board
        self._lingering = Lingering()
        self._silent: dict[Peer, float] = {}  # those that may have sent nothing yet, and when they came
        self._networks: dict[Peer, str] = {}  # of all clients, newest last
        self._refused_in_a_row = 0

    def admit(self, link: ClientLink, host: str, most: int, limits: OutboxLimits, rights: Rights) -> bool:
        """Admit a client; False if there are too many.

        Args:
            link: Its link, not yet open.
            host: Its address.
            most: Clients at the same time.  When there are as many, those that have gone make room, even if their last
                commands wait. Otherwise one does: one that only waits for its last answers; one that has been here
                for SILENCE and has sent nothing; one with restricted rights, for a client with all rights; one of an
                address that has more than its share, for a client of another address.
            limits: How much may wait for it.
            rights: What it may see and do.
        """
        clients = sum(not peer.closed for peer in self._board.clients)
        network = network_of(host)
        if clients >= most and not self._make_room(network, rights, max(CLIENT_SHARE, most // 2)):
            self.refused += 1
            if not self._refused_in_a_row and self.rate.count_line(host):
                logger.warning("%s is refused: the limit of %d clients is reached", link.label, most)
            self._refused_in_a_row += 1
            return False
        if self._refused_in_a_row:
            if self.rate.count_line(host):
                logger.warning("%d clients were refused; there is room again now", self._refused_in_a_row)
            self._refused_in_a_row = 0
        peer = Peer(self._board, link, Role.CLIENT, limits=limits, on_closed=lambda error: self._gone(peer, error))
        peer.restrict(rights)
        peer.may_log = partial(self.rate.count_line, host)
        link.linger = CLIENT_LINGER
        link.input_ended = partial(self._lingering.begin, peer)
        self.served += 1
        logger.info("connection received from %s", link.label)
        self._silent[peer] = asyncio.get_running_loop().time()
        self._networks[peer] = network
        self._board.add(peer)
        return True

    def _make_room(self, network: str, rights: Rights, share: int) -> bool:
        """Disconnect a client for a new one from this network, if one has to give way."""
        return (
            self._notice_ends()
            or self._cut_dead()
            or self._lingering.cut_oldest()
            or self._cut_silent()
            or (not rights.limited and self._cut_youngest(self._guests(), "a client with all rights"))
            or self._cut_youngest(self._crowd(network, rights, share), "a client from another address")
        )

    def _notice_ends(self) -> bool:
        """Remove clients that have gone: their ends may have arrived in the same turn of the loop as the new client."""
        here = [peer for peer in self._networks if not peer.closed]
        for link in perhaps_ended([peer.link for peer in here if isinstance(peer.link, DescriptorLink)]):
            link.notice_end()
        return any(peer.closed for peer in here)

    def _cut_dead(self) -> bool:
        """Cut off clients that have gone, and whose last commands wait until a driver takes more."""
        dead = [peer for peer in self._networks if not peer.closed and is_dead(peer)]
        for peer in dead:
            self._cut(peer, "another client: it has gone, and nobody has taken its last commands")
        return bool(dead)

    def _cut_silent(self) -> bool:
        """Cut off the client that has been silent longest, if there is one."""
        latest = asyncio.get_running_loop().time() - SILENCE
        for peer, since in list(self._silent.items()):
            if since > latest:
                break
            del self._silent[peer]
            if not (peer.received or peer.closed):
                self._cut(peer, "another client: it has not sent anything")
                return True
        return False

    def _guests(self) -> list[Peer]:
        return [peer for peer in self._networks if peer.rights.limited and not peer.closed]

    def _crowd(self, network: str, rights: Rights, share: int) -> list[Peer]:
        """Clients of the address that has most, if that is more than its share but not the new client's."""
        clients = [(peer, origin) for peer, origin in self._networks.items() if not peer.closed]
        largest, count = max(
            Counter(origin for _, origin in clients).items(), key=lambda item: item[1], default=("", 0)
        )
        if count <= share or largest == network:
            return []
        crowd = [peer for peer, origin in clients if origin == largest]
        return [peer for peer in crowd if peer.rights.limited] if rights.limited else crowd

    def _cut_youngest(self, peers: list[Peer], whom: str) -> bool:
        if peers:
            self._cut(peers[-1], whom)
        return bool(peers)

    def _cut(self, peer: Peer, whom: str) -> None:
        if peer.may_log():
            logger.warning("%s is disconnected to make room for %s", peer.label, whom)
        peer.closed = True
        peer.link.abort()

    def _gone(self, peer: Peer, error: Exception | None) -> None:
        self._lingering.ended(peer)
        self._silent.pop(peer, None)
        self._networks.pop(peer, None)
        # A client that leaves while something is being sent to it has done nothing wrong.
        has_left = isinstance(error, (BrokenPipeError, ConnectionResetError, LinkClosed))
        why = "" if error is None or has_left else f": {error}"
        logger.info("connection from %s closed%s", peer.label, why)
