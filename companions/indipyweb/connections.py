"""Connections that are closed when nothing is received, or nothing that is sent is taken."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol

from indipydriver.transport.sockets import untaken

from .events import CONNECTION
from .security.limits import network_of

__all__ = ["Connection"]

HEAD: Final = 20.0
"""Seconds in which a request must begin, and its header be complete."""
UNREAD: Final = 60.0
"""Seconds in which some of what waits to be sent must be taken."""
SLOWEST: Final = 4096
"""Bytes per second that must be taken meanwhile: a large answer over a slow link takes longer."""


class Connection(H11Protocol):
    """A connection of a browser. Their number is limited, so idle ones are closed, and make room for others.

    Attributes:
        heard: When it last sent something, by the clock of the loop.
    """

    heard: float = 0.0
    _due: float | None = None
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, CONNECTION: self}  # for streams
        self.heard = self.loop.time()
        self._watch()
        most = self.limit_concurrency
        if most is not None and len(self.connections) > most - most // 8:
            self._make_room()

    def _make_room(self) -> None:
        """End a connection that keeps others out: of the address that has most of them, the one silent for longest."""
        known = [one for one in self.connections if isinstance(one, Connection) and one is not self]
        spare = [one for one in known if one.is_spare()]
        count = Counter(one.address for one in spare)
        if spare:
            max(spare, key=lambda one: (count[one.address], -one.heard)).cut()

    @property
    def address(self) -> str:
        """The network from which it comes; a proxy's for all that it passes on."""
        return network_of(self.client[0]) if self.client else ""

    def is_spare(self) -> bool:
        """Whether nothing is being answered on it: there is no complete request, or nobody reads the answer."""
        if self.transport.is_closing():
            return False
        cycle = self.cycle
        return cycle is None or cycle.response_complete or cycle.more_body or self._stuck is not None

    def untaken(self) -> int:
        """Bytes that were sent, and have not reached the browser's machine yet."""
        if self.transport.is_closing():
            return 0
        sock = self.transport.get_extra_info("socket")
        return self.transport.get_write_buffer_size() + (untaken(sock) if sock is not None else 0)

    def cut(self) -> None:
        """End it at once, with what it has not sent."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.heard = self.loop.time()
        self._watch()

    def _watch(self) -> None:
        """Limit the wait for the next request as a whole, not for each of its bytes."""
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if is_answering or self.transport.is_closing():
            self._due = None
            return
        if self._due is None:
            self._due = self.loop.time() + HEAD
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_at(self._due, self.timeout_keep_alive_handler)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._forget_stuck()
        self._look_later()

    def _look_later(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._stuck = self.loop.call_later(UNREAD, self._look, waiting)

    def _look(self, before: int) -> None:
        if before - self.transport.get_write_buffer_size() < UNREAD * SLOWEST:
            self.transport.abort()
        else:
            self._look_later()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forget_stuck()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forget_stuck()

    def _forget_stuck(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
