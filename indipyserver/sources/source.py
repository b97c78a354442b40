"""The interface of all sources: a driver in this process, a program, or a link to another server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from indipydriver.protocol.texts import LONGEST_LABEL, brief

from ..relay.peer import Peer
from ..relay.switchboard import Switchboard
from .recent import RecentLines

__all__ = ["Distant", "PeerSource", "Source"]


class Source(Protocol):
    """Something that is served.

    Its :meth:`run` is a task of the server's. To end it, the server calls :meth:`stop` and, where that says so, lets it
    wind up; then it cancels the task, and calls :meth:`let_go` if that does not end it either.
    """

    label: str
    """What it is, for logs and messages."""
    peer: Peer | None
    """Its link, or the last one that it had."""
    recent: RecentLines
    """What the log has said about it."""

    @property
    def kind(self) -> str:
        """``python``, ``program`` or ``remote``."""

    @property
    def running(self) -> bool:
        """Its link is up."""

    @property
    def restarted(self) -> int:
        """How often it has been started, or connected to, again."""

    @property
    def devices(self) -> Sequence[str]:
        """The devices it has announced."""

    @property
    def details(self) -> Mapping[str, object]:
        """What only sources of its kind have, by names for the control socket."""

    def serves(self, thing: object) -> bool:
        """Is this object, such as a driver, what it runs?"""

    def expect_run(self) -> None:
        """Prepare for :meth:`run`, which the server is about to call.

        Raises:
            RuntimeError: Something else is running it.
        """

    async def run(self) -> None:
        """Serve until it has ended by itself, or is cancelled."""

    def stop(self) -> bool:
        """Tell it to end; True if it needs some time to do so by itself, before it may be cancelled."""

    def let_go(self) -> bool:
        """Called if it goes on after its cancellation; True if the server need not wait for it any more."""


class PeerSource:
    """What all sources have in common: a peer that comes and goes.

    Args:
        board: The server's peers.
        label: What it is.
    """

    def __init__(self, board: Switchboard, label: str) -> None:
        self.label = brief(label, LONGEST_LABEL)
        self.peer: Peer | None = None
        self.recent = RecentLines()
        self._board = board

    @property
    def running(self) -> bool:
        """Its link is up."""
        return self.peer is not None and not self.peer.closed

    @property
    def details(self) -> Mapping[str, object]:
        """What only sources of its kind have: nothing, unless a subclass says so."""
        return {}


class Distant(PeerSource):
    """What programs and links to other servers have in common: nothing of them runs in this process."""

    @property
    def devices(self) -> list[str]:
        """The devices it has announced."""
        return self._board.router.devices.of(self.peer) if self.peer is not None else []

    def serves(self, thing: object) -> bool:
        """Never: it runs nothing that a script could hand over."""
        return False

    def expect_run(self) -> None:
        """Nothing has to be prepared."""

    def stop(self) -> bool:
        """It ends when it is cancelled."""
        return False

    def let_go(self) -> bool:
        """It always ends when it is cancelled."""
        return False
