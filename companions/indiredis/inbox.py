"""What has arrived from the other side and waits for the instruments, with limits on size and age."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final, Generic, TypeVar

__all__ = ["LATE", "Inbox", "Watch", "last_moment", "too_late"]

LATE: Final = 10.0
"""Seconds after which a waiting command is no longer sent: by then nobody expects the dome to move."""
STILL: Final = LATE
"""If the clock was not read for this many seconds, the program has been suspended."""
MOST: Final = 10_000
MOST_BYTES: Final = 128 << 20
Item = TypeVar("Item")


class Inbox(Generic[Item]):
    """A queue of one reader.

    Args:
        most: Items that may wait.
        most_bytes: Bytes that may wait.

    Attributes:
        lost: Items for which there was no room.
    """

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self.lost = 0
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self._items: deque[tuple[Item, int, float]] = deque()
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item, size: int) -> bool:
        """Add an item; False if there is no room.  A single item may have any size."""
        if len(self._items) >= self._most or (self._items and self._bytes + size > self._most_bytes):
            self.lost += 1
            return False
        self._items.append((item, size, asyncio.get_running_loop().time()))
        self._bytes += size
        self._some.set()
        return True

    async def get(self) -> tuple[Item, float]:
        """The oldest item, and when it arrived, in the loop's time."""
        while not self._items:
            self._some.clear()
            await self._some.wait()
        return self._take()

    def waiting(self, most: int) -> list[tuple[Item, float]]:
        """All waiting items, oldest first."""
        return [self._take() for _ in range(min(most, len(self._items)))]

    def _take(self) -> tuple[Item, float]:
        item, size, came = self._items.popleft()
        self._bytes -= size
        return item, came


def last_moment(came: float) -> float:
    """Until when a command that arrived at this time may be sent."""
    return came + LATE


def too_late(came: float) -> str:
    """Why a command that arrived at this time is no longer sent; "" if it is not too late."""
    if asyncio.get_running_loop().time() <= last_moment(came):
        return ""
    return f"it had to wait for more than {LATE:g} s"


class Watch:
    """Sees that this program, or the whole machine, has stood still: what comes then may have waited for long."""

    def __init__(self) -> None:
        self._seen = _now()

    def look(self) -> float:
        """Seconds since the last look, if a command may have become too old in them; else 0."""
        before, self._seen = self._seen, _now()
        gap = self._seen - before
        return gap if gap > STILL else 0.0


def _now() -> float:
    """A clock that goes on while the machine is suspended, where there is one."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
