"""Threads for files, so that a call of an author's that never returns holds up none of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

__all__ = ["IMAGES", "SETTINGS", "Threads"]

_T = TypeVar("_T")


class Threads:
    """A pool for one kind of work: those of `asyncio.to_thread` are few, and authors' calls may take all of them.

    Args:
        count: How many there are.
        name: How their names begin.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._begin()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin)  # a forked process has none of them

    def _begin(self) -> None:
        self._executor = ThreadPoolExecutor(self._count, thread_name_prefix=self._name)

    async def run(self, work: Callable[..., _T], *args: object) -> _T:
        """The result of a function that blocks. It is called though perhaps nobody waits for it any more."""
        running = asyncio.get_running_loop().run_in_executor(self._executor, work, *args)
        running.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait([running])
        return running.result()


SETTINGS: Final = Threads(2, "indi-settings")
"""For what drivers keep in their folder: settings, and what is parked."""

IMAGES: Final = Threads(4, "indi-images")
"""For images: where they are kept may be far away, and not answer."""
