"""Threads for files, so that an author's call that never returns does not hold them up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from ..transport.threads import Pool

__all__ = ["IMAGES", "SETTINGS", "Threads"]

_T = TypeVar("_T")


class Threads(Pool):
    """A pool for work that is completed once begun."""

    async def run(self, work: Callable[..., _T], *args: object) -> _T:
        """The result of a function that blocks. The function is called even if nobody waits for it any more."""
        running = asyncio.get_running_loop().run_in_executor(self.executor, work, *args)
        running.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait([running])
        return running.result()


SETTINGS: Final = Threads(2, "indi-settings")
"""For what drivers keep in their folder: settings and parking data."""

IMAGES: Final = Threads(4, "indi-images")
"""For images, whose folder may be remote and not respond."""
