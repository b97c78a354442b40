"""What has come from the other side and waits for the instruments: bounded, and nothing in it grows old unseen."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Generic, TypeVar

__all__ = ["LATE", "Inbox", "last_moment", "too_late"]

LATE: Final = 10.0
"""Seconds after which a command that still waits is not sent: nobody expects a dome to move any more."""
MOST: Final = 10_000
MOST_BYTES: Final = 128 << 20
Item = TypeVar("Item")


class Inbox(Generic[Item]):
    """A queue of one reader.

    Args:
        most: Items that wait.
        most_bytes: And bytes.

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
        """Add an item; False if there is no room.  One alone may be as large as it likes."""
        if len(self._items) >= self._most or (self._items and self._bytes + size > self._most_bytes):
            self.lost += 1
            return False
        self._items.append((item, size, asyncio.get_running_loop().time()))
        self._bytes += size
        self._some.set()
        return True

    async def get(self) -> tuple[Item, float]:
        """The oldest item, and when it came, in the loop's time."""
        while not self._items:
            self._some.clear()
            await self._some.wait()
        return self._take()

    def waiting(self, most: int) -> list[tuple[Item, float]]:
        """What there is now, oldest first."""
        return [self._take() for _ in range(min(most, len(self._items)))]

    def _take(self) -> tuple[Item, float]:
        item, size, came = self._items.popleft()
        self._bytes -= size
        return item, came


def last_moment(came: float) -> float:
    """Until when a command that came then may be sent."""
    return came + LATE


def too_late(came: float) -> str:
    """Why a command that came then is not sent any more; "" if it is not too late."""
    if asyncio.get_running_loop().time() <= last_moment(came):
        return ""
    return f"it had to wait for more than {LATE:g} s"
