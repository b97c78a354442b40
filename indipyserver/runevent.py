"""An event for something that can be run again, perhaps in another event loop or thread."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Literal

from indipydriver.transport.calling import call_in_loop

__all__ = ["RunEvent"]


class RunEvent(asyncio.Event):
    """An event that belongs to no event loop; asyncio's belong to the one in which they are first awaited."""

    def __init__(self) -> None:
        super().__init__()
        self._futures: set[asyncio.Future[None]] = set()

    def set(self) -> None:
        """Set it: wake all waiters, in whatever thread they wait."""
        super().set()
        for future in tuple(self._futures):
            loop = future.get_loop()
            if not loop.is_closed():
                call_in_loop(loop, partial(_wake, future))

    async def wait(self) -> Literal[True]:
        """Wait until it is set."""
        if not self.is_set():
            future = asyncio.get_running_loop().create_future()
            self._futures.add(future)
            try:
                if not self.is_set():  # in another thread, meanwhile
                    await future
            finally:
                self._futures.discard(future)
        return True


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
