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
    """A ring of points of one number; it takes no more memory than it has points.

    Args:
        points: How many are kept.
        span: Seconds that one stands for.
    """

    __slots__ = ("_fields", "_next", "_points", "_span")

    def __init__(self, points: int = 600, span: float = 1.0) -> None:
        if points < 1 or not span > 0:
            raise ValueError(f"a history has points and a span, not {points!r} and {span!r}")
        self._span = span
        self._points = points
        self._fields = tuple(array("d") for _ in range(4))
        self._next = 0  # where the next point goes when the ring is full

    def __len__(self) -> int:
        return len(self._fields[0])

    def add(self, now: float, value: float) -> None:
        """The number has this value now; what is no number is left out."""
        if not math.isfinite(value):
            return
        times, lows, highs, lasts = self._fields
        begin = now - now % self._span
        newest = self._next - 1  # the last of all when it is -1
        if times and times[newest] == begin:
            lows[newest] = min(lows[newest], value)
            highs[newest] = max(highs[newest], value)
            lasts[newest] = value
            return
        if len(times) < self._points:
            for field, number in zip(self._fields, (begin, value, value, value), strict=True):
                field.append(number)
            return
        here = self._next
        times[here], lows[here], highs[here], lasts[here] = begin, value, value, value
        self._next = (here + 1) % len(times)

    def points(self) -> list[Point]:
        """Oldest first."""
        begin = self._next
        return [Point(*point) for point in zip(*(field[begin:] + field[:begin] for field in self._fields), strict=True)]
