"""What has been typed and not sent, and the outcome of what was sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

__all__ = ["Edits", "Fate", "Told"]

Key = tuple[str, str]


class Fate(StrEnum):
    """The outcome of a command."""

    SENT = "sent"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    NO_ANSWER = "no answer"
    UNKNOWN = "lost"
    NOT_SENT = "not sent"


class Told(NamedTuple):
    """What the user is told about the last command to a property.

    Attributes:
        fate: The outcome.
        text: A description; the driver's message if it refused.
        at: When, by the clock of the model.
    """

    fate: Fate
    text: str
    at: float

    @property
    def bad(self) -> bool:
        """Whether it must stay until the user has seen it."""
        return self.fate not in (Fate.SENT, Fate.ACCEPTED)


class Edits:
    """New values by property and member, in the order in which they were typed."""

    def __init__(self) -> None:
        self._edits: dict[Key, dict[str, str]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._edits.values()))

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._edits))

    def of(self, key: Key) -> Mapping[str, str]:
        """Edits of a property."""
        return self._edits.get(key, {})

    def put(self, key: Key, member: str, value: str) -> None:
        """Keep an edit."""
        self._edits.setdefault(key, {})[member] = value

    def undo(self, key: Key, member: str) -> bool:
        """Drop the edit of this member, or else those of the whole property; False if there is none."""
        found = self._edits.get(key)
        if not found:
            return False
        if found.pop(member, None) is None:
            found.clear()
        if not found:
            del self._edits[key]
        return True

    def take(self, key: Key) -> dict[str, str]:
        """Remove and return the edits of a property."""
        return self._edits.pop(key, {})

    def put_back(self, key: Key, values: Mapping[str, str]) -> None:
        """Restore edits that could not be sent, except where something was typed since."""
        for member, value in values.items():
            self._edits.setdefault(key, {}).setdefault(member, value)

    def forget(self, key: Key) -> None:
        """Forget a property that is gone."""
        self._edits.pop(key, None)
