"""Calls that may come from any thread, from a signal handler, or from where an event loop runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

__all__ = ["call_in_loop", "refuse_within_loop"]


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


def refuse_within_loop(instead: str) -> None:
    """Raise RuntimeError if an event loop is running in this thread, so that there can be no other.

    Args:
        instead: What to write there.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(f"an event loop is already running, as in a notebook: there, use `{instead}`")


def _nothing() -> None:
    pass
