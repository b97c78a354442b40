"""The last values of numbers: ten minutes by the second, half a day by the minute.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
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

    def forget(self, device: str, name: str, members: Iterable[str]) -> None:
        """They are no more."""
        for member in members:
            self._known.pop((device, name, member), None)

    def forget_device(self, device: str, name: str | None) -> None:
        """A property is no more, or a device with all of its own."""
        for key in [key for key in self._known if key[0] == device and name in (None, key[1])]:
            del self._known[key]

    def points(self, key: NumberKey, seconds: float) -> list[Point]:
        """The values of so many seconds, oldest first, as finely as they are kept."""
        found = self._known.get(key)
        if found is None:
            return []
        return found[0 if seconds <= _SHORT[0] * _SHORT[1] else 1].points()
