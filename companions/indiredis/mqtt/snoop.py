"""Which devices of this site are followed from elsewhere, and by whom.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["SnoopTable", "Subject", "is_over", "reduced"]

Subject = tuple[str | None, str | None]
"""Device and property; None for all."""
MOST: Final = 1000
"""The most bridges, and requests of one of them, that are kept."""


class SnoopTable:
    """Requests of other bridges, by their names."""

    def __init__(self) -> None:
        self._wanted: dict[str, set[Subject]] = {}

    def add(self, who: str, device: str | None, name: str | None) -> bool:
        """Note a request; False if it is invalid, or one too many."""
        if device is None and name is not None:
            return False
        if who not in self._wanted and len(self._wanted) >= MOST:
            return False
        wanted = self._wanted.setdefault(who, set())
        if len(wanted) >= MOST and (device, name) not in wanted:
            return False
        wanted.add((device, name))
        return True

    def forget(self, who: str) -> None:
        """Forget a bridge that has gone."""
        self._wanted.pop(who, None)

    def deleted(self, device: str, name: str | None) -> None:
        """Drop the requests for a property, or with a name of None for a device, that has been deleted."""
        for who, wanted in list(self._wanted.items()):
            wanted -= {each for each in wanted if is_over(each, device, name)}
            if not wanted:
                del self._wanted[who]

    def who_wants(self, device: str | None, name: str | None) -> Iterable[str]:
        """Names of the bridges that want a message about this."""
        if not self._wanted:
            return ()
        return [who for who, wanted in self._wanted.items() if any(_covers(each, device, name) for each in wanted)]

    def __len__(self) -> int:
        return sum(map(len, self._wanted.values()))


def is_over(subject: Subject, device: str | None, name: str | None) -> bool:
    """Whether a request ends when this property, or with a name of None the device, is deleted."""
    return subject[0] == device and (name is None or subject[1] == name)


def reduced(asked: set[Subject]) -> list[Subject]:
    """Requests without those that a wider one covers."""
    if (None, None) in asked:
        return [(None, None)]
    return [each for each in asked if each[1] is None or (each[0], None) not in asked]


def _covers(subject: Subject, device: str | None, name: str | None) -> bool:
    of_device, of_name = subject
    return of_device is None or (of_device == device and (of_name is None or name is None or of_name == name))
