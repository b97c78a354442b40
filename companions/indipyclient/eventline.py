"""A queue of events that are handled one at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final

__all__ = ["EventLine", "is_cancelled"]

EVENTS_WAITING: Final = 1000
"""Elements that may wait for rxevent; beyond that, the server is not read."""
BYTES_WAITING: Final = 256 << 20
LAST_EVENTS: Final = 2.0
"""Seconds for rxevent to handle what has arrived when the client ends."""
HELD_UP: Final = 0.05
"""Seconds without progress of rxevent: it may be waiting for the very task that has something to report."""
INJECTED: Final = 100
"""With this many items of this client in the line, HELD_UP counts twice, and so on: their sender should slow down."""
TURNS: Final = 10
"""Turns of the event loop, also without progress."""
_turn: Final[ContextVar[object]] = ContextVar("turn", default=None)
"""The event during which this task, or the one that started it, was started."""


def is_cancelled() -> bool:
    """This task has to end.  Without this, a CancelledError comes from something that was awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class EventLine:
    """A queue of events, and the task that handles them.

    Args:
        handle: Stores what has arrived, and reports it.
        hold: Called with True when nothing more should be received, and with False when it may be.
    """

    def __init__(self, handle: Callable[[Any], Awaitable[None]], hold: Callable[[bool], None]) -> None:
        self._handle = handle
        self._hold = hold
        self._items: deque[tuple[Any, int, asyncio.Future[None] | None]] = deque()
        self._bytes = 0
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._turn: object = None  # the event that is being handled
        self._injected = 0  # items of our own that wait

    def __len__(self) -> int:
        return len(self._items)

    def start(self) -> asyncio.Task[None]:
        """Begin to handle events; the task ends with :meth:`finish`."""
        self._task = asyncio.ensure_future(self._work())
        return self._task

    async def finish(self) -> None:
        """Handle what has arrived, for some time, and end."""
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
        """Add something that takes this many bytes; `done` has a result when it has been handled."""
        self._items.append((item, size, done))
        self._bytes += size
        self._news.set()
        if len(self._items) >= EVENTS_WAITING or self._bytes >= BYTES_WAITING:
            self._hold(True)

    async def inject(self, item: Any) -> None:
        """Handle an event of this client, and return when that is done, even from within the handler, and from tasks
        for which it may wait: if it makes no progress, this returns earlier, and the event keeps its place in the line.
        """
        if self._task is None or self._task.done() or asyncio.current_task() is self._task:
            await self._handle(item)
            return
        if self._turn is not None and _turn.get() is self._turn:
            self.put(item)
            return
        done = asyncio.get_running_loop().create_future()
        self.put(item, 0, done)
        self._injected += 1
        while not done.done() and not self._task.done():
            turn, wait = self._turn, HELD_UP * (1 + self._injected // INJECTED)
            await asyncio.wait([done, self._task], timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            if turn is not None and await self._stands_still(turn):
                return

    async def _stands_still(self, turn: object) -> bool:
        """Whether this event is still being handled, and not only because the machine is busy."""
        for _ in range(TURNS):
            if self._turn is not turn:
                return False
            await asyncio.sleep(0)
        return True

    async def _work(self) -> None:
        while not is_cancelled():  # even if a handler has swallowed that
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
            if done is not None:
                self._injected -= 1
                if not done.done():
                    done.set_result(None)


class _End:
    """There are no more events."""
