"""Access to the folder of BLOBs in separate threads, so that a disk that does not respond holds up nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import threading
from collections.abc import Callable
from typing import Final, TypeVar

__all__ = ["Disk"]

Result = TypeVar("Result")
PLACES: Final = 4
PATIENCE: Final = 20.0
"""Seconds for which a request waits."""
GRACE: Final = 5.0
"""Seconds for which the end of the program waits."""


class Disk:
    """Calls functions in a few threads, which the end of the program does not wait for when they hang.

    Attributes:
        saving: Held while a BLOB is saved: several together would be too much for the folder and the memory.
    """

    def __init__(self) -> None:
        self.saving = asyncio.Lock()
        self._places = asyncio.Semaphore(PLACES)

    async def do(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Call it, however long it takes; it goes on if the caller is cancelled.

        Raises:
            Exception: What it raises.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()

        def over(result: Result | None, error: BaseException | None) -> None:
            self._places.release()
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        def run() -> None:
            result: Result | None = None
            error: Exception | None = None
            try:
                result = function(*arguments)
            except Exception as problem:
                error = problem
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(over, result, error)

        await self._places.acquire()
        try:
            threading.Thread(target=run, name="files", daemon=True).start()
        except BaseException:
            self._places.release()
            raise
        return await future

    async def soon(self, function: Callable[..., Result], *arguments: object) -> Result:
        """The same with a time-out, for requests.

        Raises:
            OSError: It does not answer.
            Exception: What the function raises.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.do(function, *arguments)
        except TimeoutError:
            raise OSError(errno.ETIMEDOUT, "the disk does not answer") from None

    async def aclose(self) -> None:
        """Wait for calls in progress, unless they hang."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                for _ in range(PLACES):
                    await self._places.acquire()
