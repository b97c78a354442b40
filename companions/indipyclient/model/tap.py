"""A bounded queue of everything, in order, for readers that must not miss anything without being told."""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import Generic, TypeVar

from indipydriver.protocol.messages import AnyMessage, OneBlob, SetVector
from indipydriver.protocol.tags import VectorKind

from .kept import EACH

__all__ = ["Overflow", "TapQueue", "weight"]

Item = TypeVar("Item")


def weight(message: AnyMessage, size: int) -> int:
    """Approximate bytes of memory that a message takes.

    Args:
        message: As decoded.
        size: Bytes of the element; its texts are no longer than that.
    """
    members = getattr(message, "members", ())
    if type(message) is SetVector and message.kind is VectorKind.BLOB:
        size = sum(len(one.data) for one in members if isinstance(one, OneBlob))
    return size + EACH * len(members)


class Overflow(StrEnum):
    """What happens when a reader is too slow."""

    WAIT = "wait"  # the server is not read meanwhile; it may cut the connection
    DROP_OLDEST = "drop oldest"  # `lost` says how many
    CLOSE = "close"  # the reader gets Overrun


class TapQueue(Generic[Item]):
    """The queue, without the waiting.

    Args:
        limit: Items that it holds.
        limit_bytes: And bytes, as whoever puts them into it counts them.
        overflow: What happens when it is full.

    Attributes:
        lost: Items that were dropped so far.
        delivered: Items that were taken so far.
        overrun: It was full, and accepts nothing any more.
    """

    def __init__(
        self, limit: int = 1000, limit_bytes: int = 256 << 20, overflow: Overflow = Overflow.DROP_OLDEST
    ) -> None:
        if limit < 1 or limit_bytes < 1:
            raise ValueError(f"a tap holds something: limit={limit!r}, limit_bytes={limit_bytes!r}")
        self.limit = limit
        self.limit_bytes = limit_bytes
        self.overflow = overflow
        self.lost = 0
        self.delivered = 0
        self.overrun = False
        self._items: deque[tuple[Item, int]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def bytes(self) -> int:
        """Bytes that wait."""
        return self._bytes

    @property
    def full(self) -> bool:
        """Whether whoever adds to it should wait, if that is its policy."""
        return len(self._items) >= self.limit or self._bytes >= self.limit_bytes

    def put(self, item: Item, size: int = 0) -> None:
        """Add an item; one that is larger than the limit is taken when nothing else waits."""
        if self.overrun:
            self.lost += 1
            return
        if self.overflow is not Overflow.WAIT:
            while self._items and (len(self._items) >= self.limit or self._bytes + size > self.limit_bytes):
                self.lost += 1
                if self.overflow is Overflow.CLOSE:
                    self.overrun = True
                    return
                self._bytes -= self._items.popleft()[1]
        self._items.append((item, size))
        self._bytes += size

    def take(self) -> Item | None:
        """The oldest item, or None."""
        if not self._items:
            return None
        item, size = self._items.popleft()
        self._bytes -= size
        self.delivered += 1
        return item
