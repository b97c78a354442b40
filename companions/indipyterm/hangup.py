"""Terminals that stand still or go: the program goes on without them, or ends."""

from __future__ import annotations

import asyncio
import contextlib
import select
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TextIO, TypeVar, cast

__all__ = ["Outlet", "driver_of", "is_hung_up"]

Driver = TypeVar("Driver")

MOST: Final = 1 << 18
"""Characters that wait for a terminal that takes nothing; what comes on top is drawn when it takes something again."""
LAST: Final = 1.0
"""Seconds for what is written last."""


class Outlet:
    """Where the screen is written.

    A terminal that stands still, as over a connection that is stuck, holds up nobody: else no message of a server is
    read meanwhile, and no BLOB is saved.  What a terminal that has gone does not take is dropped.

    Args:
        file: The terminal.
        caught_up: Called by another thread when everything is to be drawn again.
    """

    def __init__(self, file: Any, caught_up: Callable[[], object] = lambda: None) -> None:
        self._file = file
        self._caught_up = caught_up
        self._texts: deque[str] = deque()
        self._waiting = 0
        self._has_dropped = False
        self._over = False
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None

    def write(self, text: str) -> None:
        """Print it as soon as the terminal takes it."""
        with self._news:
            if self._waiting > MOST:
                self._has_dropped = True
                return
            self._texts.append(text)
            self._waiting += len(text)
            self._news.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="terminal", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """That is done."""

    def close(self) -> None:
        """Print what waits, but wait for it only so long."""
        with self._news:
            self._over = True
            self._news.notify()
        if self._thread is not None:
            self._thread.join(LAST)

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._texts or self._over)
                if not self._texts:
                    return
                text = "".join(self._texts)
                self._texts.clear()
            with contextlib.suppress(OSError, ValueError):
                self._file.write(text)
                self._file.flush()
            with self._news:
                self._waiting -= len(text)
                again = self._has_dropped and not self._texts
                self._has_dropped = self._has_dropped and not again
            if again:
                self._caught_up()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def driver_of(found: type[Driver]) -> type[Driver]:
    """The same driver, writing to an :class:`Outlet`."""

    base: Any = found

    def begin(self: Any, app: Any, *args: Any, **options: Any) -> None:
        base.__init__(self, app, *args, **options)
        self.outlet = None
        if getattr(self, "_file", None) is not None:
            loop = asyncio.get_running_loop()
            self.outlet = self._file = Outlet(self._file, partial(_draw, loop, app))

    def close(self: Any) -> None:
        base.close(self)
        if self.outlet is not None:
            self.outlet.close()

    methods = {"__init__": begin, "close": close, "__module__": found.__module__}
    return cast("type[Driver]", type(found.__name__, (found,), methods))


def _draw(loop: asyncio.AbstractEventLoop, app: Any) -> None:
    with contextlib.suppress(RuntimeError):  # it has ended
        loop.call_soon_threadsafe(partial(app.refresh, layout=True))


def is_hung_up(stream: TextIO | None) -> bool:
    """Nobody is at the other end of this terminal any more."""
    if stream is None or not hasattr(select, "poll"):
        return False
    look = select.poll()
    with contextlib.suppress(OSError, ValueError):
        look.register(stream.fileno(), 0)
        return any(event & (select.POLLHUP | select.POLLERR) for _, event in look.poll(0))
    return False
