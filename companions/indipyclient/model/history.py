"""The last values of numbers, for sparklines and plots."""

from __future__ import annotations

import math
from array import array
from typing import NamedTuple

__all__ = ["History", "Point"]


class Point(NamedTuple):
    """What a number was in one span of time.

    Attributes:
        time: Its beginning, in seconds of the model's clock.
        min: The smallest.
        max: The largest.
        last: The last.
    """

    time: float
    min: float
    max: float
    last: float


class History:
    """A ring of points of one number; its memory is taken once.

    Args:
        points: How many are kept.
        span: Seconds that one stands for.
    """

    __slots__ = ("_count", "_fields", "_next", "_span")

    def __init__(self, points: int = 600, span: float = 1.0) -> None:
        if points < 1 or not span > 0:
            raise ValueError(f"a history has points and a span, not {points!r} and {span!r}")
        self._span = span
        self._fields = tuple(array("d", bytes(8 * points)) for _ in range(4))
        self._next = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, now: float, value: float) -> None:
        """The number has this value now; what is no number is left out."""
        if not math.isfinite(value):
            return
        times, lows, highs, lasts = self._fields
        begin = now - now % self._span
        newest = (self._next or len(times)) - 1
        if self._count and times[newest] == begin:
            lows[newest] = min(lows[newest], value)
            highs[newest] = max(highs[newest], value)
            lasts[newest] = value
            return
        here = self._next
        times[here], lows[here], highs[here], lasts[here] = begin, value, value, value
        self._next = (here + 1) % len(times)
        self._count = min(self._count + 1, len(times))

    def points(self) -> list[Point]:
        """Oldest first."""
        size = len(self._fields[0])
        first = (self._next - self._count) % size
        return [Point(*(field[(first + i) % size] for field in self._fields)) for i in range(self._count)]
