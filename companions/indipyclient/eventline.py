"""Events that wait for their turn: each is handled when the one before has been."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final

__all__ = ["EventLine", "is_cancelled"]

EVENTS_WAITING: Final = 1000
"""Elements that wait for rxevent; with more the server is not read."""
BYTES_WAITING: Final = 256 << 20
LAST_EVENTS: Final = 2.0
"""Seconds for rxevent to take what has come when the client ends."""
_turn: Final[ContextVar[object]] = ContextVar("turn", default=None)
"""During which event this task, or the one that began it, was begun."""


def is_cancelled() -> bool:
    """This task is to end.  A CancelledError without that is of something that was waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class EventLine:
    """A queue of events, and the task that handles them.

    Args:
        handle: Stores what has come, and tells of it.
        hold: Called with True when nothing more should come in, and with False when it may.
    """

    def __init__(self, handle: Callable[[Any], Awaitable[None]], hold: Callable[[bool], None]) -> None:
        self._handle = handle
        self._hold = hold
        self._items: deque[tuple[Any, int, asyncio.Future[None] | None]] = deque()
        self._bytes = 0
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._turn: object = None  # the event that is being handled

    def __len__(self) -> int:
        return len(self._items)

    def start(self) -> asyncio.Task[None]:
        """Begin to handle what comes; the task ends with :meth:`finish`."""
        self._task = asyncio.ensure_future(self._work())
        return self._task

    async def finish(self) -> None:
        """Handle what has come, for a while, and end."""
        task = self._task
        if task is None:
            return
        self.put(_End())
        try:
            await asyncio.wait([task], timeout=LAST_EVENTS)
        finally:
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def put(self, item: Any, size: int = 0, done: asyncio.Future[None] | None = None) -> None:
        """Add something that takes so many bytes; `done` has a result when it has been handled."""
        self._items.append((item, size, done))
        self._bytes += size
        self._news.set()
        if len(self._items) >= EVENTS_WAITING or self._bytes >= BYTES_WAITING:
            self._hold(True)

    async def inject(self, item: Any) -> None:
        """Handle something of our own, and come back when that is done; also from within the handler, and from tasks
        for which it may wait."""
        if self._task is None or self._task.done() or asyncio.current_task() is self._task:
            await self._handle(item)
            return
        if self._turn is not None and _turn.get() is self._turn:
            self.put(item)
            return
        done = asyncio.get_running_loop().create_future()
        self.put(item, 0, done)
        await asyncio.wait([done, self._task], return_when=asyncio.FIRST_COMPLETED)

    async def _work(self) -> None:
        while not is_cancelled():  # also where a handler has swallowed that
            while not self._items:
                self._news.clear()
                await self._news.wait()
            item, size, done = self._items.popleft()
            self._bytes -= size
            if len(self._items) == EVENTS_WAITING // 2 or not self._items:
                self._hold(False)
            if isinstance(item, _End):
                return
            self._turn = object()
            _turn.set(self._turn)
            await self._handle(item)
            self._turn = None
            if done is not None and not done.done():
                done.set_result(None)


class _End:
    """There are no more events."""
