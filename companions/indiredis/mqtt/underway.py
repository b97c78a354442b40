"""What is on its way to a broker: how much of it there may be, and whether it moves."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from typing import Any, Final

__all__ = ["PATIENCE", "Window", "patient"]

ROOM: Final = 1 << 20
"""Bytes on their way, unless one message alone has more: what comes behind them is late on a slow line."""
PATIENCE: Final = 60.0
"""Seconds in which nothing moves, after which a connection with something on its way leads nowhere."""


class Window:
    """Room for messages, and for their bytes, in order of arrival.

    Args:
        places: How many.
        room: How many bytes.

    Attributes:
        confirmed: Messages that have left it.
    """

    def __init__(self, places: int, room: int = ROOM) -> None:
        self.confirmed = 0
        self._places = asyncio.Semaphore(places)
        self._turn = asyncio.Lock()
        self._room = room
        self._bytes = 0
        self._inside = 0
        self._left = asyncio.Event()

    @property
    def is_empty(self) -> bool:
        """Nothing is on its way."""
        return not self._inside

    async def acquire(self, size: int = 0) -> None:
        """Wait until there is room."""
        async with self._turn:
            while self._bytes and self._bytes + size > self._room:
                self._left.clear()
                await self._left.wait()
            await self._places.acquire()
            self._inside += 1
            self._bytes += size

    def release(self, size: int = 0) -> None:
        """It has arrived, or never will."""
        self.confirmed += 1
        self._inside -= 1
        self._bytes -= size
        self._left.set()
        self._places.release()


def patient(paho: Any, loop_misc: Callable[[], Any], window: Callable[[], Window]) -> Callable[[], Any]:
    """Look each second whether bytes move.

    An answer to a ping comes behind a large BLOB: as long as its bytes move, nobody waits in vain.  And a broker that
    answers pings but confirms nothing would be waited for without end; but what it confirms comes behind a large BLOB,
    too, if one is on its way to us.
    """
    inner = vars(paho)
    head: Any = None
    position = coming = received = confirmed = 0
    moved_at = time.monotonic()

    def look() -> Any:
        nonlocal head, position, coming, received, confirmed, moved_at
        with contextlib.suppress(IndexError, KeyError):  # what paho does not show to everybody
            now = time.monotonic()
            out = inner["_out_packet"]
            first = out[0] if out else None  # what waits behind it does not move
            here = first["pos"] if first is not None else 0
            is_out = first is not head or here != position
            left = inner["_in_packet"]["to_process"]
            is_in = left not in (0, coming)
            if (is_out or inner["_last_bytes_received"] != received) and inner["_ping_t"]:
                inner["_ping_t"] = inner["_last_bytes_received"] = now
            head, position, coming, received = first, here, left, inner["_last_bytes_received"]
            if is_out or is_in or window().is_empty or window().confirmed != confirmed:
                confirmed, moved_at = window().confirmed, now
            elif now - moved_at > PATIENCE:
                moved_at = now
                _cut(paho.socket())
        return loop_misc()

    return look


def _cut(sock: Any) -> None:
    """End a connection; whoever reads from it finds out."""
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
