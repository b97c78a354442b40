"""Streams for readers: a cursor sees the present state, a tap sees everything, each at its own pace."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar

from .errors import Overrun
from .model.delta import Delta
from .model.model import Model
from .model.tap import Overflow, TapQueue

__all__ = ["Cursor", "Lost", "Tap"]

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Lost:
    """Takes the place of items that were dropped because the reader was too slow.

    Attributes:
        count: How many.
    """

    count: int


class Cursor:
    """Follows changes: ``async for delta in cursor``.  Ten changes of a value between two deltas are one.

    Args:
        model: The model to follow.
        device: Only this device; None for all.
        name: Only this property.
        interval: Minimum seconds between two deltas.
        since: The last change that is already known; None for the present one, 0 for nothing.
        closed: Called when it is over.

    Attributes:
        rev: The last change that has been seen.
    """

    def __init__(
        self,
        model: Model,
        device: str | None,
        name: str | None,
        interval: float,
        since: int | None,
        closed: Callable[[Cursor], None],
    ) -> None:
        self.rev = model.rev if since is None else since
        self._model = model
        self._device = device
        self._name = name
        self._interval = interval
        self._closed = closed
        self._news = asyncio.Event()
        self._over = False
        self._ended = asyncio.Event()
        self._last = -interval
        self._first = since == 0
        self._connected = model.connected

    def wake(self) -> None:
        """Note that there may be news."""
        self._news.set()

    async def next(self) -> Delta:
        """Wait for changes, and for `interval` to pass; what has happened meanwhile is in one delta.

        Raises:
            StopAsyncIteration: The client, or the cursor, is closed.
        """
        loop = asyncio.get_running_loop()
        while True:
            while self._model.rev <= self.rev and not self._first and not self._over:
                self._news.clear()
                await self._news.wait()
            wait = self._last + self._interval - loop.time()
            if wait > 0 and not self._over:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._ended.wait()
            if self._over and self._model.rev <= self.rev:
                raise StopAsyncIteration
            delta = self._model.since(self.rev).only(self._device, self._name)
            self.rev = delta.rev
            changed = delta.connected != self._connected
            self._connected = delta.connected
            first, self._first = self._first, False
            if not delta.is_empty or changed or first:
                self._last = loop.time()
                return delta

    def __aiter__(self) -> Cursor:
        return self

    async def __anext__(self) -> Delta:
        return await self.next()

    def close(self) -> None:
        """End after the changes that have already happened."""
        if not self._over:
            self._over = True
            self._news.set()
            self._ended.set()
            self._closed(self)

    async def __aenter__(self) -> Cursor:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


class Tap(Generic[Item]):
    """Everything in order: ``async for item in tap``.

    A :class:`Lost` takes the place of dropped items; with ``Overflow.CLOSE`` the loop ends with Overrun.

    Args:
        queue: What waits for the reader.
        closed: Called when it is over.
        drained: Called when there is room again in a queue that had been full.
    """

    def __init__(
        self,
        queue: TapQueue[Item],
        closed: Callable[[Tap[Item]], None],
        drained: Callable[[], None] = lambda: None,
    ) -> None:
        self._queue = queue
        self._closed = closed
        self._drained = drained
        self._news = asyncio.Event()
        self._over = False
        self._told = 0

    @property
    def waiting(self) -> int:
        """Items that wait for the reader."""
        return len(self._queue)

    @property
    def waiting_bytes(self) -> int:
        """Approximate bytes of memory that these take."""
        return self._queue.bytes

    @property
    def lost(self) -> int:
        """Items that were dropped so far."""
        return self._queue.lost

    @property
    def delivered(self) -> int:
        """Items that the reader has taken so far."""
        return self._queue.delivered

    @property
    def holds_up(self) -> bool:
        """Whether it is full, and whoever adds items has to wait."""
        return self._queue.overflow is Overflow.WAIT and self._queue.full and not self._over

    def put(self, item: Item, size: int = 0) -> None:
        """Add an item."""
        if not self._over:
            self._queue.put(item, size)
            self._news.set()

    async def next(self) -> Item | Lost:
        """The next item.

        Raises:
            StopAsyncIteration: The client, or the tap, is closed, and everything has been taken.
            Overrun: Items were lost, and that ends it.
        """
        queue = self._queue
        while True:
            if queue.lost > self._told and not queue.overrun:
                count, self._told = queue.lost - self._told, queue.lost
                return Lost(count)
            was_full = queue.full
            item = queue.take()
            if item is not None:
                if was_full and not queue.full:
                    self._drained()
                return item
            if queue.overrun:
                self.close()
                raise Overrun(f"{queue.lost} items were lost: the reader was too slow")
            if self._over:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()

    def __aiter__(self) -> Tap[Item]:
        return self

    async def __anext__(self) -> Item | Lost:
        return await self.next()

    def close(self) -> None:
        """Accept nothing more; what waits can still be taken."""
        if not self._over:
            self._over = True
            self._news.set()
            self._closed(self)
            self._drained()

    def __del__(self) -> None:
        if "_told" in self.__dict__:  # it was made
            self.close()

    async def __aenter__(self) -> Tap[Item]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
