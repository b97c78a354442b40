"""Coroutines of an author's, watched: which of them holds up the event loop, for how long, and where."""

from __future__ import annotations

import logging
import os
import time
import types
from collections.abc import Coroutine, Generator
from typing import Any, Final, TypeVar

__all__ = ["LONGEST_STEP", "watched"]

LONGEST_STEP: Final = 0.25
"""Seconds between two awaits of a coroutine; more is logged: commands, and all other drivers, wait meanwhile."""

logger = logging.getLogger("indipydriver.instruments")

_T = TypeVar("_T")


@types.coroutine
def watched(coro: Coroutine[Any, Any, _T], what: str) -> Generator[Any, Any, _T]:
    """Await a coroutine; log what it does between two awaits if that takes long.

    Args:
        coro: The coroutine.
        what: Its name, for the log.
    """
    value: Any = None
    error: BaseException | None = None
    while True:
        before = _place(coro)
        begin = time.monotonic()
        try:
            awaited = coro.send(value) if error is None else coro.throw(error)
        except StopIteration as stop:
            result: _T = stop.value
            return result
        finally:
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


def _place(coro: Coroutine[Any, Any, Any]) -> str | None:
    """Where a coroutine waits, as file and line; None when it has ended."""
    frame = getattr(coro, "cr_frame", None)
    return None if frame is None else f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"


def _log(what: str, seconds: float, before: str | None, after: str | None) -> None:
    places = f"between {before} and {after}" if after else f"after {before}"
    logger.warning(
        "%s held up the event loop for %.1f s, %s: put what blocks into await asyncio.to_thread(...)",
        what,
        seconds,
        places,
    )
