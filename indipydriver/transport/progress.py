"""Finds peers that hold an element open without going on with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

__all__ = ["MIN_PROGRESS", "ProgressWatch"]

MIN_PROGRESS: Final = 1024
"""Bytes by which an unfinished element must grow in the time allowed: 34 bytes a second for 30 s, less than any
line that carries INDI; a peer that writes one byte now and then keeps a buffer and a place for ever otherwise."""


class ProgressWatch:
    """The rule that an unfinished element must end, or grow by MIN_PROGRESS, in a given time.

    A timer runs only while an element is unfinished: a peer that is idle between elements costs nothing.

    Args:
        patience: The time, in seconds.
        expired: Called, once, when the rule is broken, with a description.
    """

    __slots__ = ("_another", "_expired", "_mark", "_patience", "_seen", "_timer", "_unfinished")

    def __init__(self, patience: float, expired: Callable[[str], None]) -> None:
        self._patience = patience
        self._expired = expired
        self._timer: asyncio.TimerHandle | None = None
        self._mark = -1  # bytes that had come when the time began
        self._seen = 0
        self._unfinished = 0
        self._another = False  # another element has begun since the time began

    def received(self, total: int, unfinished: int, finished: bool) -> None:
        """Something has come in.

        Args:
            total: Bytes that have come in so far.
            unfinished: Bytes of the unfinished element, 0 between elements.
            finished: It completed an element.
        """
        self._seen = total
        self._unfinished = unfinished
        if not unfinished:
            self.stop()
        elif self._timer is None:
            self.start()
        elif finished:
            self._another = True

    def stop(self) -> None:
        """Nothing is unfinished, or the link has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def start(self) -> None:
        """Give the element that is unfinished all of the time from now on."""
        self._mark = self._seen
        self._another = False
        self._timer = asyncio.get_running_loop().call_later(self._patience, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._another or self._seen - self._mark >= MIN_PROGRESS:
            self.start()
        else:
            self._expired(
                f"{self._unfinished} bytes of an unfinished element, "
                f"and fewer than {MIN_PROGRESS} more in {self._patience:g} s"
            )
