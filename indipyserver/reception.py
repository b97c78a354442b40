"""Takes clients in, up to a number."""

from __future__ import annotations

import logging
from functools import partial

from indipydriver.transport.descriptor import DescriptorLink
from indipydriver.transport.link import Link

from .outbox import OutboxLimits
from .party import Role
from .peer import Peer
from .rights import Rights
from .switchboard import Switchboard

__all__ = ["Reception", "is_lingering"]

logger = logging.getLogger("indipyserver.ipyserver")


def is_lingering(peer: Peer) -> bool:
    """It sends no more and only waits for its last answers."""
    return isinstance(peer.link, DescriptorLink) and peer.link.lingering


class Reception:
    """Makes peers of the links of new clients.

    Args:
        board: The server's peers.

    Attributes:
        served: Clients accepted so far.
        refused: Clients refused so far, as there were too many.
    """

    def __init__(self, board: Switchboard) -> None:
        self.served = 0
        self.refused = 0
        self._board = board
        self._refused_in_a_row = 0

    def admit(self, link: Link, most: int, limits: OutboxLimits, rights: Rights) -> bool:
        """Take a client in; False if there are too many.

        Args:
            link: Its link, not yet open.
            most: Clients at the same time.  One that only waits for its last answers gives way.
            limits: How much may wait for it.
            rights: What it may see and do.
        """
        clients = [peer for peer in self._board.clients if not peer.closed]
        if len(clients) >= most:
            for peer in filter(is_lingering, clients):
                peer.closed = True
                peer.link.abort()
                break
            else:
                self.refused += 1
                if not self._refused_in_a_row:
                    logger.warning("%s is refused: there are %d clients, the limit", link.label, most)
                self._refused_in_a_row += 1
                return False
        if self._refused_in_a_row:
            logger.warning("%d clients were refused; now there is room again", self._refused_in_a_row)
            self._refused_in_a_row = 0
        peer = Peer(self._board, link, Role.CLIENT, limits=limits, on_closed=partial(_gone, link))
        peer.restrict(rights)
        self.served += 1
        logger.info("connection received from %s", link.label)
        self._board.add(peer)
        return True


def _gone(link: Link, error: Exception | None) -> None:
    logger.info("connection from %s closed%s", link.label, f": {error}" if error is not None else "")
