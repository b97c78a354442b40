"""What a server serves, and its clients, as records that can be sent, with their changes.  No I/O of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final

from ..relay.observer import Observer
from ..relay.peer import Peer
from ..relay.switchboard import Switchboard
from ..services import Services
from ..sources.recent import LogLine
from ..sources.source import Source
from ..sources.sources import Sources

__all__ = ["LAST_LINES", "MOST_NAMES", "Traffic", "Watch", "line_record"]

MOST_NAMES: Final = 100
"""Names of devices in one record of a client."""
_LOOKED_AT: Final = 1000  # names of devices, which may occur several times
LAST_LINES: Final = 5
"""Lines of its log in each record of a driver."""

Record = dict[str, Any]


@dataclass(slots=True)
class Traffic:
    """Traffic so far.

    Attributes:
        messages_in: Elements that were received.
        messages_out: Elements that were queued for others.
        bytes_in: Bytes that were received.
        bytes_out: Bytes that others have taken.
    """

    messages_in: int = 0
    messages_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0

    def add(self, peer: Peer) -> None:
        """Add what one link has carried."""
        self.messages_in += peer.received
        self.messages_out += peer.sent
        self.bytes_in += peer.link.bytes_received
        self.bytes_out += peer.link.bytes_sent

    def record(self) -> Record:
        """The same as figures by name."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class _Known:
    """What is remembered of a source.

    Attributes:
        id: Its number.
        state: Its state at the last check.
        since: When that state began.
        told: What followers were last told.
    """

    id: int
    state: str = ""
    since: float = 0.0
    told: object = None


class Watch(Observer):
    """Watches a running server.

    Args:
        board: The server's peers.
        sources: Everything that it serves.
        services: Knows the specs of the sources.
        touched: Called when something may have changed; :meth:`look` must then be called soon.
        clock: Returns the present time, in seconds since the epoch.
    """

    def __init__(
        self,
        board: Switchboard,
        sources: Sources,
        services: Services,
        *,
        touched: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._board = board
        self._sources = sources
        self._services = services
        self._touched = touched
        self._clock = clock
        self._gone = Traffic()  # of links that have ended
        self._known: dict[Source, _Known] = {}
        self._last_driver = 0
        self._clients: dict[Peer, int] = {}
        self._last_client = 0
        self._told: set[Peer] = set()  # clients that followers have heard of

    def begin(self) -> None:
        """Start watching."""
        self._board.observe(self)
        self._sources.changed = self._board.router.devices.changed = self._touched
        self.look(tell=False)

    def end(self) -> None:
        """Stop watching."""
        self._board.unobserve(self)
        self._sources.changed = self._board.router.devices.changed = None

    # Called by the server

    def peer_added(self, peer: Peer) -> None:
        """Note a new peer."""
        self._touched()

    def peer_removed(self, peer: Peer) -> None:
        """Note that a peer has gone."""
        self._gone.add(peer)
        self._touched()

    # Queries

    def look(self, *, tell: bool = True) -> list[Record]:
        """What has changed since the last call, as events; none if there are no followers."""
        events: list[Record] = []
        present = dict.fromkeys(self._sources)
        for source in [source for source in self._known if source not in present]:
            known = self._known.pop(source)
            events.append({"event": "removed", "driver": {"id": known.id, "label": source.label}})
        for source in present:
            known = self._look_at(source)
            what = (known.state, known.since, source.restarted, tuple(source.devices))
            if known.told != what:
                known.told = what
                if tell:
                    events.append({"event": "driver", "driver": self.driver(source)})
        clients = dict.fromkeys(self._board.clients)
        for peer in [peer for peer in self._clients if peer not in clients]:
            number = self._clients.pop(peer)
            if peer in self._told:
                self._told.remove(peer)
                events.append({"event": "left", "client": {"id": number, "label": peer.label}})
        for peer in clients:
            if peer not in self._told:
                self._told.add(peer)
                self._number(peer)
                if tell:
                    events.append({"event": "client", "client": self._client(peer)})
        return events if tell else []

    def sources(self) -> list[Source]:
        """Everything that is served, in the order in which it was added."""
        return list(self._sources)

    def id(self, source: Source) -> int:
        """Its number, which is not reused while the server runs."""
        return self._look_at(source).id

    def drivers(self, *, remote: bool) -> list[Record]:
        """Records of the links to other servers, or of everything else that is served."""
        return [self.driver(source) for source in self._sources if (source.kind == "remote") is remote]

    def clients(self) -> list[Record]:
        """Records of the connected clients."""
        return [self._client(peer) for peer in self._board.clients]

    def traffic(self) -> Record:
        """The traffic since the server was started."""
        total = Traffic(**self._gone.record())
        for peer in self._board.peers:
            total.add(peer)
        return total.record()

    def has_begun(self, source: Source) -> bool:
        """Whether it has been started, and the outcome is known."""
        return source.running or not self._sources.is_active(source)

    def driver(self, source: Source) -> Record:
        """The record of a source."""
        known = self._look_at(source)
        spec, name = self._services.named(source)
        peer = source.peer
        return {
            "id": known.id,
            "label": source.label,
            "kind": source.kind,
            "spec": spec,
            "name": name,
            "state": known.state,
            "since": known.since,
            "restarts": source.restarted,
            "devices": list(source.devices),
            **_flow(peer),
            "last_error": peer.last_error if peer is not None else "",
            "log": list(map(line_record, source.recent.last(LAST_LINES))),
            **source.details,
        }

    def _look_at(self, source: Source) -> _Known:
        known = self._known.get(source)
        if known is None:
            self._last_driver += 1
            known = self._known[source] = _Known(self._last_driver)
        state = self._state(source)
        if state == "running" and source.peer is not None:
            known.since = source.peer.since
        elif state != known.state:
            known.since = self._clock()
        known.state = state
        return known

    def _state(self, source: Source) -> str:
        if self._sources.is_ending(source):
            return "stopping"
        if self._sources.is_halted(source):
            return "stopped"
        if source.running:
            return "running"
        return "waiting" if self._sources.is_active(source) else "ended"

    def _number(self, peer: Peer) -> int:
        number = self._clients.get(peer)
        if number is None:
            self._last_client += 1
            number = self._clients[peer] = self._last_client
        return number

    def _client(self, peer: Peer) -> Record:
        interest, rights = peer.interest, peer.rights
        names = chain(interest.devices, (device for device, _ in interest.properties))  # there may be thousands
        return {
            "id": self._number(peer),
            "label": peer.label,
            "address": peer.label.removeprefix("client "),
            "kind": peer.role.value,
            "since": peer.since,
            "read_only": rights.read_only,
            "only_devices": list(rights.devices),
            "everything": interest.everything,
            "devices": sorted(set(islice(names, _LOOKED_AT)))[:MOST_NAMES],
            **_flow(peer),
            "messages_waiting": peer.queued_news,
            "dropped": peer.dropped,
            "refused": sum(peer.complaints.values()),
            "last_error": peer.last_error,
        }


def _flow(peer: Peer | None) -> Record:
    """The traffic of one link, and what waits for it."""
    traffic = Traffic()
    if peer is not None:
        traffic.add(peer)
    return {**traffic.record(), "bytes_waiting": peer.queued if peer is not None else 0}


def line_record(line: LogLine) -> Record:
    """The record of a log line."""
    return {"time": line.time, "level": logging.getLevelName(line.level).lower(), "text": line.text}
