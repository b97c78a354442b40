"""An event of something that can be run again, perhaps in another event loop."""

from __future__ import annotations

import asyncio
from typing import Literal

__all__ = ["RunEvent"]


class RunEvent(asyncio.Event):
    """Belongs to no event loop: those of asyncio belong to the one in which somebody first waits for them."""

    def __init__(self) -> None:
        super().__init__()
        self._futures: set[asyncio.Future[None]] = set()

    def set(self) -> None:
        """It has happened: wake those who wait."""
        super().set()
        for future in self._futures:
            if not (future.done() or future.get_loop().is_closed()):
                future.set_result(None)

    async def wait(self) -> Literal[True]:
        """Wait until it has happened."""
        if not self.is_set():
            future = asyncio.get_running_loop().create_future()
            self._futures.add(future)
            try:
                await future
            finally:
                self._futures.discard(future)
        return True
