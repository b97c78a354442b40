"""Calls that may come from any thread, or from a signal handler."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

__all__ = ["call_in_loop"]


def call_in_loop(loop: asyncio.AbstractEventLoop | None, function: Callable[[], object]) -> None:
    """Call a function in the thread of an event loop: at once from that thread, otherwise as soon as possible.

    Args:
        loop: If it is None or does not run, the function is called at once, in this thread.
        function: May wake what waits in the loop.
    """
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        running = None
    if loop is None or not loop.is_running():
        function()
    elif running is loop:
        function()
        loop.call_soon_threadsafe(_nothing)  # in a signal handler nothing else would wake it
    else:
        with contextlib.suppress(RuntimeError):  # it has been closed meanwhile
            loop.call_soon_threadsafe(function)


def _nothing() -> None:
    pass
