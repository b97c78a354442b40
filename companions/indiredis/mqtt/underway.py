"""Messages in transit to a broker: how many there may be, and whether their bytes move."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from typing import Any, Final

__all__ = ["PATIENCE", "Window", "cut", "patient"]

ROOM: Final = 1 << 20
"""Bytes in transit, unless a single message has more: what follows them is late on a slow line."""
PATIENCE: Final = 60.0
"""Seconds without movement after which a connection with something in transit counts as dead."""


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
        """Whether nothing is in transit."""
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
        """Note that it has arrived, or never will."""
        self.confirmed += 1
        self._inside -= 1
        self._bytes -= size
        self._left.set()
        self._places.release()


def patient(paho: Any, loop_misc: Callable[[], Any], window: Callable[[], Window]) -> Callable[[], Any]:
    """Check each second whether bytes move.

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
        with contextlib.suppress(IndexError, KeyError):  # private attributes of paho
            now = time.monotonic()
            out = inner["_out_packet"]
            first = out[0] if out else None  # what waits after it does not move
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
                cut(paho.socket())
        return loop_misc()

    return look


def cut(sock: Any) -> None:
    """End a connection; its reader will notice."""
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
