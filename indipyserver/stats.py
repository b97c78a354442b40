"""Figures about what a server has done and what waits in it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from .relay.peer import Peer
from .sources.source import Source

__all__ = ["DriverStats", "PeerStats", "ServerStats", "take_stats"]


@dataclass(frozen=True, slots=True)
class PeerStats:
    """The present figures of one link.

    Attributes:
        label: Who it is.
        kind: ``client``, ``server above``, ``driver`` or ``server below``.
        since: When it connected, in seconds since the epoch.
        frames_in: Elements received from it.
        frames_out: Elements that were queued for it.
        bytes_in: Bytes received from it.
        bytes_out: Bytes that it has taken.
        queued: Bytes that wait for it.
        dropped: Elements dropped or replaced by newer ones because it was too slow.
        refused: Elements from it that were refused or skipped.
        last_error: The last thing that went wrong with it, or "".
    """

    label: str
    kind: str
    since: float
    frames_in: int
    frames_out: int
    bytes_in: int
    bytes_out: int
    queued: int
    dropped: int
    refused: int
    last_error: str

    def __str__(self) -> str:
        trouble = "".join(
            f", {text}"
            for count, text in (
                (self.queued, f"{self.queued} bytes wait"),
                (self.dropped, f"{self.dropped} dropped"),
                (self.refused, f"{self.refused} refused"),
                (self.last_error, f"last error: {self.last_error}"),
            )
            if count
        )
        return (
            f"{self.label} ({self.kind}): in {_counted(self.frames_in, 'element')}, {_counted(self.bytes_in, 'byte')}; "
            f"out {_counted(self.frames_out, 'element')}, {_counted(self.bytes_out, 'byte')}{trouble}"
        )


@dataclass(frozen=True, slots=True)
class DriverStats:
    """Something that is served, whether its link is up or not.

    Attributes:
        label: What it is.
        kind: ``python``, ``program`` or ``remote``.
        running: Whether its link is up.
        restarts: How often it has been started, or connected to, again.
        devices: The devices it has announced.
    """

    label: str
    kind: str
    running: bool
    restarts: int
    devices: tuple[str, ...]

    def __str__(self) -> str:
        state = "running" if self.running else "not running"
        restarts, devices = _counted(self.restarts, "restart"), _counted(len(self.devices), "device")
        return f"{self.label} ({self.kind}): {state}, {restarts}, {devices}"


@dataclass(frozen=True, slots=True)
class ServerStats:
    """A snapshot of a server.

    Attributes:
        taken: When it was taken, in seconds since the epoch.
        peers: All links, oldest first.
        drivers: Everything that is served, in the order in which it was added.
        clients_served: Clients accepted so far, in this run.
        clients_refused: Clients refused so far because there were too many.
    """

    taken: float
    peers: tuple[PeerStats, ...]
    drivers: tuple[DriverStats, ...]
    clients_served: int
    clients_refused: int

    def lines(self) -> list[str]:
        """The snapshot as text."""
        links, served = _counted(len(self.peers), "link"), _counted(self.clients_served, "client")
        head = f"{links}, {served} so far, {self.clients_refused} refused"
        return [head, *map(str, self.drivers), *map(str, self.peers)]


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def take_stats(
    peers: Iterable[Peer],
    sources: Iterable[Source],
    clients_served: int = 0,
    clients_refused: int = 0,
) -> ServerStats:
    """A snapshot of these peers and of what is served."""
    return ServerStats(
        time.time(), tuple(map(_peer, peers)), tuple(map(_driver, sources)), clients_served, clients_refused
    )


def _peer(peer: Peer) -> PeerStats:
    link = peer.link
    return PeerStats(
        label=peer.label,
        kind=peer.role.value,
        since=peer.since,
        frames_in=peer.received,
        frames_out=peer.sent,
        bytes_in=link.bytes_received,
        bytes_out=link.bytes_sent,
        queued=peer.queued,
        dropped=peer.dropped,
        refused=sum(peer.complaints.values()),
        last_error=peer.last_error,
    )


def _driver(source: Source) -> DriverStats:
    return DriverStats(source.label, source.kind, source.running, source.restarted, tuple(source.devices))
