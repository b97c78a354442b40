"""The last values of numbers, for sparklines and plots.  Each number has a ring of its own."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from typing import Final, NamedTuple

from indipydriver.protocol.messages import DefVector, OneBlob, SetVector

from .properties import Key, Property, number_of

__all__ = ["Histories", "History", "Point"]

POINTS: Final = 8 << 20
"""Points of all numbers together, which take 32 bytes each; beyond, no history grows, and there are no new ones."""
_EMPTY: Final = 20
"""The memory of a history without points, in points."""


class Point(NamedTuple):
    """The values of a number in one span of time.

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
    """A ring of points of one number; its memory grows with the points that it has.

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

    def add(self, now: float, value: float, may_grow: bool = True) -> bool:
        """Note the present value; anything but a number is left out.

        Args:
            now: The time.
            value: The value.
            may_grow: False: it takes no more memory from now on than it does.

        Returns:
            Whether there is one more point.
        """
        if not math.isfinite(value):
            return False
        times, lows, highs, lasts = self._fields
        begin = now - now % self._span
        newest = self._next - 1  # the last of all when it is -1
        if times and times[newest] == begin:
            lows[newest] = min(lows[newest], value)
            highs[newest] = max(highs[newest], value)
            lasts[newest] = value
            return False
        if not may_grow and times:
            self._points = len(times)
        if len(times) < self._points:
            for field, number in zip(self._fields, (begin, value, value, value), strict=True):
                field.append(number)
            return True
        here = self._next
        times[here], lows[here], highs[here], lasts[here] = begin, value, value, value
        self._next = (here + 1) % len(times)
        return False

    def points(self) -> list[Point]:
        """Oldest first."""
        begin = self._next
        return [Point(*point) for point in zip(*(field[begin:] + field[:begin] for field in self._fields), strict=True)]


class Histories:
    """Those of all numbers.

    Args:
        points: How many are kept of each; 0 for none.
        span: Seconds that one stands for.

    Raises:
        ValueError: Fewer than none, or no time.

    Attributes:
        wanted: How many points are kept.
    """

    def __init__(self, points: int, span: float) -> None:
        if not span > 0:
            raise ValueError(f"a point of a history stands for some time, not for {span!r} s")
        self.wanted = _amount(points)
        self._span = span
        self._of: dict[tuple[str, str, str], History] = {}
        self._size = 0  # in points

    def __len__(self) -> int:
        return len(self._of)

    def keep(self, points: int) -> None:
        """Keep this many from now on; 0 drops the existing ones.

        Raises:
            ValueError: Fewer than none; nothing has changed.
        """
        self.wanted = _amount(points)
        if not points:
            self._of.clear()
            self._size = 0

    def points(self, device: str, name: str, member: str) -> list[Point]:
        """Oldest first; empty if none are kept."""
        found = self._of.get((device, name, member))
        return found.points() if found is not None else []

    def record(self, prop: Property, message: SetVector | DefVector, now: float) -> None:
        """A vector of numbers has these values."""
        if not self.wanted:
            return
        for one in message.members:
            key = (message.device, message.name, one.name)
            if one.name not in prop.members or isinstance(one, OneBlob):
                continue
            history = self._of.get(key)
            if history is None:
                if self._size >= POINTS:
                    continue
                history = self._of[key] = History(self.wanted, self._span)
                self._size += _EMPTY
            self._size += history.add(now, number_of(one.value), self._size < POINTS)

    def forget(self, key: Key, members: Iterable[str]) -> None:
        """These members are gone."""
        if self._of:
            for member in members:
                history = self._of.pop((*key, member), None)
                if history is not None:
                    self._size -= len(history) + _EMPTY


def _amount(points: int) -> int:
    if not points >= 0:  # nan is not
        raise ValueError(f"a history has 0 points or more, not {points!r}")
    return points
