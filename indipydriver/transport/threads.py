"""Threads for the work on large BLOBs, which would hold up the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

__all__ = ["LARGE", "in_thread", "in_thread_if"]

LARGE: Final = 256 * 1024
"""Bytes beyond which encoding and decoding go to a thread: about a millisecond of work."""

_T = TypeVar("_T")

# Of our own, so that calls that block in threads, such as a slow name server or a driver's `asyncio.to_thread`, hold up
# no BLOB.
_threads = ThreadPoolExecutor(2, thread_name_prefix="indi-blob")


async def in_thread(work: Callable[[], _T]) -> _T:
    """The result of some work, done in a thread. The work only computes, and waits for nothing."""
    return await asyncio.get_running_loop().run_in_executor(_threads, work)


async def in_thread_if(large: bool, work: Callable[[], _T]) -> _T:
    """The result of some work, done in a thread if it is large."""
    return await in_thread(work) if large else work()
