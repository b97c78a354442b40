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
"""Numbers of which values are kept: with 40 kB each when they are full."""
_SHORT: Final = (600, 1.0)
_LONG: Final = (720, 60.0)


class Histories:
    """Keeps values of the numbers that came first, and of those that somebody asks for.

    Attributes:
        gaps: When the link was lost and came back, in the clock of the values, the last ones.
    """

    def __init__(self) -> None:
        self._known: dict[NumberKey, tuple[History, History]] = {}
        self.gaps: list[tuple[float, float]] = []

    def __len__(self) -> int:
        return len(self._known)

    def add(self, prop: Property, now: float) -> None:
        """A number property is like this now."""
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
        """Nobody knows what they were in this time."""
        self.gaps = [*self.gaps[-19:], (begin, end)]

    def keep(self, is_there: Callable[[str, str], bool]) -> None:
        """Forget the properties that are not there any more."""
        gone = {key[:2] for key in self._known if not is_there(*key[:2])}
        if gone:
            self._known = {key: known for key, known in self._known.items() if key[:2] not in gone}

    def points(self, key: NumberKey, seconds: float) -> list[Point]:
        """The values of so many seconds, oldest first, as finely as they are kept."""
        found = self._known.get(key)
        if found is None:
            return []
        return found[0 if seconds <= _SHORT[0] * _SHORT[1] else 1].points()
