"""A watch on the author's coroutines: which of them holds up the event loop, for how long, and where."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
import types
from collections.abc import Coroutine, Generator
from typing import Any, Final, TypeVar

__all__ = ["LONGEST_STEP", "STUCK", "watched"]

LONGEST_STEP: Final = 0.25
"""Seconds that a coroutine may run between two awaits; longer ones, for which everything waits, are logged."""

STUCK: Final = 5.0
"""Seconds after which a coroutine that still holds up the event loop is named, as it may never return."""

logger = logging.getLogger("indipydriver.instruments")


class _Watchdog:
    """Watches, from a thread of its own, the current step of the coroutines in each event loop's thread."""

    def __init__(self) -> None:
        self._steps: dict[int, tuple[str, float]] = {}
        self._told: dict[int, float] = {}
        self._thread: threading.Thread | None = None

    def enter(self, what: str, begin: float) -> tuple[str, float] | None:
        """Note that a step begins in this thread; returns the enclosing step."""
        thread = threading.get_ident()
        outer = self._steps.get(thread)
        self._steps[thread] = what, begin
        if self._thread is None or not self._thread.is_alive():  # initially, and after a fork
            self._thread = threading.Thread(target=self._run, name="watchdog of instruments", daemon=True)
            self._thread.start()
        return outer

    def leave(self, outer: tuple[str, float] | None) -> None:
        """Note that the step is over."""
        if outer is None:
            self._steps.pop(threading.get_ident(), None)
        else:
            self._steps[threading.get_ident()] = outer

    def look(self) -> None:
        """Log what takes too long, once."""
        for thread, (what, begin) in list(self._steps.items()):
            if time.monotonic() - begin > STUCK and self._told.get(thread) != begin:
                self._told[thread] = begin
                frame = sys._current_frames().get(thread)
                logger.error(
                    "%s has held up the event loop for more than %g s, and still does%s",
                    what,
                    STUCK,
                    "" if frame is None else f"; it is at {_innermost(frame)}",
                )

    def _run(self) -> None:
        while True:
            time.sleep(STUCK / 5)
            self.look()


_watchdog: Final = _Watchdog()

_T = TypeVar("_T")


@types.coroutine
def watched(coro: Coroutine[Any, Any, _T], what: str) -> Generator[Any, Any, _T]:
    """Await a coroutine; log what it does between two awaits if that takes long.

    Args:
        coro: The coroutine.
        what: Its name, for the log.
    """
    if not hasattr(coro, "send"):
        raise TypeError(f"{what}: a coroutine is needed, not {type(coro).__name__}: is `async` missing?")
    value: Any = None
    error: BaseException | None = None
    task = asyncio.current_task()
    cancelled_before = task.cancelling() if task is not None else 0
    while True:
        before = _place(coro)
        begin = time.monotonic()
        outer = _watchdog.enter(what, begin)
        try:
            awaited = coro.send(value) if error is None else coro.throw(error)
        except StopIteration as stop:
            result: _T = stop.value
            return result
        except asyncio.CancelledError as cancelled:
            if task is not None and task.cancelling():
                raise
            # Something in it was cancelled, but not the coroutine itself: its caller goes on.
            raise RuntimeError(f"{what} was ended by a cancellation of its own") from cancelled
        except ExceptionGroup as group:
            # A TaskGroup leaves its own cancellation behind if a task fails while it waits for all of them. With that,
            # no asyncio.timeout() of this task would end as one in Python 3.11.2, which Debian 12 has.
            while task is not None and task.cancelling() > cancelled_before:
                task.uncancel()
            raise _meaning(group) from group
        finally:
            _watchdog.leave(outer)
            seconds = time.monotonic() - begin
            if seconds > LONGEST_STEP:
                _log(what, seconds, before, _place(coro))
        value = error = None
        try:
            value = yield awaited
        except GeneratorExit:
            coro.close()
            raise
        except BaseException as thrown:
            error = thrown


def _meaning(group: ExceptionGroup[Exception]) -> Exception:
    """The failure in a TaskGroup that matters most: the loss of the hardware, if that is among them."""
    leaves: list[Exception] = []
    inner: list[Exception] = [group]
    while inner:
        error = inner.pop()
        if isinstance(error, ExceptionGroup):
            inner += reversed(error.exceptions)
        else:
            leaves.append(error)
    lost = [error for error in leaves if isinstance(error, ConnectionError)]
    return (lost or leaves)[0]


def _place(coro: Coroutine[Any, Any, Any]) -> str | None:
    """Where a coroutine waits, as file and line; None when it has ended."""
    frame = getattr(coro, "cr_frame", None)
    return None if frame is None else f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"


def _innermost(frame: types.FrameType) -> str:
    """The place in the author's code from which a frame was called, and what that has called."""
    places = []
    at: types.FrameType | None = frame
    while at is not None and at.f_code.co_filename != __file__:
        places.append(f"{os.path.basename(at.f_code.co_filename)}:{at.f_lineno} ({at.f_code.co_name})")
        at = at.f_back
    return ", called from ".join(places[:4])


def _log(what: str, seconds: float, before: str | None, after: str | None) -> None:
    places = f"between {before} and {after}" if after else f"after {before}"
    logger.warning(
        "%s held up the event loop for %.1f s, %s: wrap what blocks in await asyncio.to_thread(...)",
        what,
        seconds,
        places,
    )
