"""Connections that end by themselves when nothing comes over them, or nobody takes what is sent."""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["Connection"]

HEAD: Final = 20.0
"""Seconds in which a request has to begin, and its header to be whole."""
UNREAD: Final = 60.0
"""Seconds in which some of what waits to be sent has to be taken."""
SLOWEST: Final = 4096
"""Bytes in a second of it that have to be taken meanwhile: a large answer over a slow link takes longer."""


class Connection(H11Protocol):
    """One of a browser: there are so many at once, and so nobody may hold one for nothing."""

    _due: float | None = None
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def _watch(self) -> None:
        """While no request is answered, the next one is waited for, and no longer for each of its bytes."""
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
