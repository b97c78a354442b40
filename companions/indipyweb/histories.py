"""The last values of numbers: ten minutes by the second, half a day by the minute.  Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from indipyclient import Property, VectorKind
from indipyclient.model.history import History, Point

__all__ = ["Gap", "Histories", "NumberKey"]

NumberKey = tuple[str, str, str]
"""Device, property and member."""
Gap = tuple[float, float]
"""A time without values, from its beginning to its end, which may be infinite."""
MOST: Final = 1000
"""Numbers whose values are kept, with up to 40 kB each."""
_SHORT: Final = (600, 1.0)
_LONG: Final = (720, 60.0)


class Histories:
    """Keeps values of the first numbers, and of those that are requested.

    Attributes:
        gaps: The last times when the link was lost and came back, by the clock of the values.
    """

    def __init__(self) -> None:
        self._known: dict[NumberKey, tuple[History, History]] = {}
        self.gaps: list[Gap] = []
        self._none: dict[NumberKey, list[Gap]] = {}  # when a number was none, such as NaN

    def __len__(self) -> int:
        return len(self._known)

    def add(self, prop: Property, now: float) -> None:
        """Note the present values of a number property."""
        if prop.kind is not VectorKind.NUMBER:
            return
        for member in prop.members.values():
            key = (prop.device, prop.name, member.name)
            found = self._known.get(key)
            if found is None:
                if len(self._known) >= MOST:
                    continue
                found = self._known[key] = (History(*_SHORT), History(*_LONG))
            number = member.number
            none = self._none.get(key, [])
            is_none = bool(none) and none[-1][1] == math.inf
            if not math.isfinite(number):
                if not is_none:
                    self._none[key] = [*none[-19:], (now, math.inf)]
                continue
            if is_none:
                none[-1] = (none[-1][0], now)
            found[0].add(now, number)
            found[1].add(now, number)

    def add_gap(self, begin: float, end: float) -> None:
        """Note a time in which all values are unknown."""
        self.gaps = [*self.gaps[-19:], (begin, end)]

    def gaps_of(self, seconds: float, key: NumberKey | None = None) -> list[Gap]:
        """The same for :meth:`points`, whose times are the beginnings of their spans: a gap ends with such a time.

        Args:
            seconds: As for the points.
            key: With the times when this number was none.
        """
        span = (_SHORT if seconds <= _SHORT[0] * _SHORT[1] else _LONG)[1]
        gaps = self.gaps + (self._none.get(key, []) if key is not None else [])
        return [(begin, end - end % span if end < math.inf else end) for begin, end in gaps]

    def keep(self, is_there: Callable[[str, str], bool]) -> None:
        """Forget properties that no longer exist."""
        gone = {key[:2] for key in self._known if not is_there(*key[:2])}
        if gone:
            self._known = {key: known for key, known in self._known.items() if key[:2] not in gone}
            self._none = {key: none for key, none in self._none.items() if key[:2] not in gone}

    def points(self, key: NumberKey, seconds: float) -> list[Point]:
        """The values of at least this many seconds, oldest first, in the finest resolution that is kept."""
        found = self._known.get(key)
        if found is None:
            return []
        return found[0 if seconds <= _SHORT[0] * _SHORT[1] else 1].points()
