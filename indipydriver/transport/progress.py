"""Finds peers that leave an element unfinished without progress, or leave too many bytes unfinished."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

__all__ = ["GROWTH", "LARGE_ELEMENT", "MIN_PROGRESS", "ProgressWatch", "UnfinishedTotal"]

MIN_PROGRESS: Final = 1024
"""Bytes by which an unfinished element must grow in the time allowed: 34 bytes a second for 30 s, less than any
line that carries INDI.  Otherwise a peer that writes a byte now and then would hold a buffer and a slot for ever."""
GROWTH: Final = 32
"""It must also grow by 1/GROWTH of its size: 1 MiB in 30 s for an element of 32 MiB.  So a large element must end or
reach its limit, and no peer can keep it unfinished for ever."""


LARGE_ELEMENT: Final = 1 << 20
"""Bytes from which an unfinished element may be given up because of what others have finished."""


class UnfinishedTotal:
    """Limits the unfinished bytes of several peers together: beyond the limit, the largest element is given up.

    Args:
        limit: Bytes.
        finished: How many bytes of finished elements wait to be taken, which count as well; only elements of at least
            LARGE_ELEMENT are given up for them.

    Attributes:
        used: Bytes of unfinished elements at the moment.
    """

    def __init__(self, limit: int, finished: Callable[[], int] | None = None) -> None:
        self.limit = limit
        self.used = 0
        self._finished = finished
        self._watches: set[ProgressWatch] = set()

    def changed(self, watch: ProgressWatch, by: int) -> None:
        """The unfinished element of a peer has grown by so many bytes, or shrunk."""
        self.used += by
        if watch.unfinished:
            self._watches.add(watch)
        else:
            self._watches.discard(watch)
        if watch.unfinished >= LARGE_ELEMENT and self._finished is not None:
            self._give_up_largest(self._finished(), least=LARGE_ELEMENT)
        self._give_up_largest(0, least=1)

    def refuses(self, size: int) -> str:
        """Why an element of this size may not come in, which arrives whole; "" if it may."""
        finished = self._finished() if self._finished is not None and size >= LARGE_ELEMENT else 0
        if self.used + finished + size <= self.limit:
            return ""
        return f"an attached BLOB of {size} bytes, with {self.used + finished} that wait: more than {self.limit}"

    def _give_up_largest(self, finished: int, *, least: int) -> None:
        while self.used + finished > self.limit and self._watches:
            largest = max(self._watches, key=lambda each: each.unfinished)
            if largest.unfinished < least:
                break
            waiting = f", with {finished} that wait to be taken," if finished else ""
            largest.give_up(
                f"{largest.unfinished} bytes of an unfinished element, the largest of {len(self._watches)} "
                f"that together{waiting} are more than {self.limit}"
            )


class ProgressWatch:
    """The rule that an unfinished element must end, or grow by MIN_PROGRESS and 1/GROWTH, in a given time.

    A timer runs only while an element is unfinished: a peer that is idle between elements costs nothing.

    Args:
        patience: The time, in seconds; 0: no limit.
        expired: Called when the time is over, with a description.
        total: The limit for this and other peers together.
        gave_up: Called when they exceed it and this peer has the largest element, with a description.

    Attributes:
        unfinished: Bytes of the unfinished element, 0 between elements.
    """

    __slots__ = ("_another", "_expired", "_gave_up", "_mark", "_patience", "_seen", "_timer", "_total", "unfinished")

    def __init__(
        self,
        patience: float,
        expired: Callable[[str], None],
        total: UnfinishedTotal | None = None,
        gave_up: Callable[[str], None] | None = None,
    ) -> None:
        self.unfinished = 0
        self._patience = patience
        self._expired = expired
        self._total = total
        self._gave_up = gave_up or expired
        self._timer: asyncio.TimerHandle | None = None
        self._mark = -1  # bytes received when the time began
        self._seen = 0
        self._another = False  # another element has begun since the time began

    def received(self, total: int, unfinished: int, finished: bool) -> None:
        """Note that bytes have been received.

        Args:
            total: Bytes received so far.
            unfinished: Bytes of the unfinished element, 0 between elements.
            finished: It completed an element.
        """
        self._seen = total
        if unfinished != self.unfinished:
            self._set(unfinished)
        if not self.unfinished:
            self._stop_timer()
        elif self._timer is None:
            self.start()
        elif finished:
            self._another = True

    def refuses(self, size: int) -> str:
        """See :meth:`UnfinishedTotal.refuses`."""
        return self._total.refuses(size) if self._total is not None else ""

    def stop(self) -> None:
        """Note that the link has ended."""
        self._stop_timer()
        if self.unfinished:
            self._set(0)

    def start(self) -> None:
        """Give the unfinished element the full time, from now on."""
        self._mark = self._seen
        self._another = False
        if self._patience:
            self._timer = asyncio.get_running_loop().call_later(self._patience, self._look)

    def give_up(self, text: str) -> None:
        """Give up the element, because it takes more room than there is."""
        self._gave_up(text)
        self.stop()

    def _set(self, unfinished: int) -> None:
        by = unfinished - self.unfinished
        self.unfinished = unfinished
        if self._total is not None:
            self._total.changed(self, by)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        least = max(MIN_PROGRESS, self.unfinished // GROWTH)
        if self._another or self._seen - self._mark >= least:
            self.start()
        else:
            self._expired(
                f"{self.unfinished} bytes of an unfinished element, and fewer than {least} more in {self._patience:g} s"
            )
