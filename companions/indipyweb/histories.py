"""The last values of numbers: ten minutes by the second, half a day by the minute.  Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from indipyclient import Property, VectorKind
from indipyclient.model.history import History, Point

__all__ = ["Histories", "NumberKey"]

NumberKey = tuple[str, str, str]
"""Device, property and member."""
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
        self.gaps: list[tuple[float, float]] = []

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
            found[0].add(now, number)
            found[1].add(now, number)

    def add_gap(self, begin: float, end: float) -> None:
        """Note a time in which the values are unknown."""
        self.gaps = [*self.gaps[-19:], (begin, end)]

    def gaps_of(self, seconds: float) -> list[tuple[float, float]]:
        """The same for :meth:`points`, whose times are the beginnings of their spans: a gap ends with such a time."""
        span = (_SHORT if seconds <= _SHORT[0] * _SHORT[1] else _LONG)[1]
        return [(begin, end - end % span) for begin, end in self.gaps]

    def keep(self, is_there: Callable[[str, str], bool]) -> None:
        """Forget properties that no longer exist."""
        gone = {key[:2] for key in self._known if not is_there(*key[:2])}
        if gone:
            self._known = {key: known for key, known in self._known.items() if key[:2] not in gone}

    def points(self, key: NumberKey, seconds: float) -> list[Point]:
        """The values of at least this many seconds, oldest first, in the finest resolution that is kept."""
        found = self._known.get(key)
        if found is None:
            return []
        return found[0 if seconds <= _SHORT[0] * _SHORT[1] else 1].points()
