"""Threads for the work on large BLOBs, which would hold up the event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Generic, TypeVar

__all__ = ["LARGE_WORK", "Pool", "in_thread", "in_thread_if"]

LARGE_WORK: Final = 256 * 1024
"""Bytes beyond which encoding and decoding go to a thread: about a millisecond of work."""

_T = TypeVar("_T")


class Pool:
    """Threads for one kind of work, so that other calls that block in threads, such as name lookups or a driver's
    `asyncio.to_thread`, which are few, do not hold it up.

    Args:
        count: How many there are.
        name: The beginning of their names.

    Attributes:
        executor: Made anew in a forked process, which has none of its parent's threads.
    """

    executor: ThreadPoolExecutor

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._begin()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self.executor = ThreadPoolExecutor(self._count, thread_name_prefix=self._name)


_threads = Pool(2, "indi-blob")


class _Job(Generic[_T]):
    """Some work that is done once, by whoever calls this first.

    It keeps neither the work nor the result: the traceback of an error leads to the frames of whoever called, and so
    to the job itself, which would make a circle with a BLOB and its descriptors in it.
    """

    def __init__(self, work: Callable[[], _T], result: Future[_T]) -> None:
        self._parts = [(work, result)]

    def __call__(self) -> None:
        try:
            work, result = self._parts.pop()
        except IndexError:
            return
        try:
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)
            del work, result


async def in_thread(work: Callable[[], _T]) -> _T:
    """The result of some work, done in a thread. The work must only compute, and wait for nothing.

    If no thread can be started, it is done here and now, so that no BLOB is lost.
    """
    result: Future[_T] = Future()
    job = _Job(work, result)
    del work
    try:
        try:
            await asyncio.get_running_loop().run_in_executor(_threads.executor, job)
        except RuntimeError:  # the executor keeps the job nevertheless, and one of its other threads may have begun it
            job()
        return result.result() if result.done() else await asyncio.wrap_future(result)
    finally:
        del result  # its exception keeps this frame in its traceback


async def in_thread_if(large: bool, work: Callable[[], _T]) -> _T:
    """The result of some work, done in a thread if it is large."""
    return await in_thread(work) if large else work()
