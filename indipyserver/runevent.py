"""An event of something that can be run again, perhaps in another event loop or thread."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Literal

from indipydriver.transport.calling import call_in_loop

__all__ = ["RunEvent"]


class RunEvent(asyncio.Event):
    """Belongs to no event loop: those of asyncio belong to the one in which somebody first waits for them."""

    def __init__(self) -> None:
        super().__init__()
        self._futures: set[asyncio.Future[None]] = set()

    def set(self) -> None:
        """It has happened: wake those who wait, in whatever thread they do."""
        super().set()
        for future in tuple(self._futures):
            loop = future.get_loop()
            if not loop.is_closed():
                call_in_loop(loop, partial(_wake, future))

    async def wait(self) -> Literal[True]:
        """Wait until it has happened."""
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
