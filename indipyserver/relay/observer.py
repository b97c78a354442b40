"""The observers of a server: its own logs, or those of a script."""

from __future__ import annotations

from indipydriver.protocol.frame import Frame

from ..routing.endpoint import Delivery
from .peer import Peer

__all__ = ["Observer"]


class Observer:
    """Sees the traffic of a server. A subclass overrides the methods that it needs.

    The methods are called in the event loop, for each read of each peer, so they must be quick and must not wait.
    They must not modify their arguments. An exception is logged the first time, and has no other effect.
    """

    def peer_added(self, peer: Peer) -> None:
        """A client, a driver or another server has arrived; its link is not open yet.

        Args:
            peer: It has a ``label``, a ``role``, and counts what passes.
        """

    def peer_removed(self, peer: Peer) -> None:
        """A client, a driver or another server has gone.

        Args:
            peer: Its counts are final.
        """

    def received(self, peer: Peer, frames: list[Frame]) -> None:
        """Elements have come from a peer, and are about to be routed.

        Args:
            peer: Where they came from.
            frames: Each has a ``tag``, a ``device``, a ``name``, and its bytes as ``raw``.
        """

    def routed(self, peer: Peer, deliveries: list[Delivery[Peer]]) -> None:
        """What a peer has sent is about to go to others.

        Args:
            peer: Where it came from.
            deliveries: Pairs of frames, and the endpoints that get all of them in this order.
        """
