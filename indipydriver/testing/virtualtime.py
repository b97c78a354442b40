"""An event loop with virtual time: when there is nothing to do but wait, the wait ends at once."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["VirtualTimeLoop"]

_THREAD_PATIENCE: Final = 10.0
"""Real seconds that a thread has to produce what everything waits for."""


class _Selector(selectors.BaseSelector):
    """Does not wait: it lets the loop advance its clock instead."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.threads = 0  # futures of threads that work for the loop: time stands still for them
        self.advance: Callable[[float], None]

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self.threads:
            return self._real.select()
        if timeout is None:
            if threading.active_count() > 1:
                ready = self._real.select(_THREAD_PATIENCE)
            if not ready:
                raise RuntimeError("every task is waiting, and no timer is set that could wake one")
            return ready
        self.advance(timeout)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """For tests: an hour of asyncio.sleep takes no time, and everything happens in order of time.

    Time advances when nothing is ready to run and no thread is working. Sockets and processes do
    not fit in: their data may arrive after any number of virtual hours.
    """

    def __init__(self) -> None:
        self._virtual_time = 0.0
        selector = _Selector()
        selector.advance = self._advance
        self._virtual_selector = selector
        super().__init__(selector)

    def time(self) -> float:
        """Seconds since the loop was created."""
        return self._virtual_time

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """As usual; time stands still until the work is done."""
        future = super().run_in_executor(executor, func, *args)
        self._virtual_selector.threads += 1
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, *args: Any) -> None:
        """As usual; time stands still until the threads have ended."""
        self._virtual_selector.threads += 1
        try:
            await super().shutdown_default_executor(*args)
        finally:
            self._virtual_selector.threads -= 1

    def _advance(self, seconds: float) -> None:
        self._virtual_time += seconds

    def _thread_done(self, future: asyncio.Future[Any]) -> None:
        self._virtual_selector.threads -= 1
