"""What has been typed and not been sent, and what has come of what was sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

__all__ = ["Edits", "Fate", "Told"]

Key = tuple[str, str]


class Fate(StrEnum):
    """What has come of a command."""

    SENT = "sent"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    NO_ANSWER = "no answer"
    UNKNOWN = "lost"
    NOT_SENT = "not sent"


class Told(NamedTuple):
    """What a person is told about their last command to a property.

    Attributes:
        fate: In a word.
        text: In more words; those of the driver where it refused.
        at: When, in the clock of the model.
    """

    fate: Fate
    text: str
    at: float

    @property
    def bad(self) -> bool:
        """It is to stay until a person has seen it."""
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
        """Drop the edit of this member, or else of the whole property; False if there is none."""
        found = self._edits.get(key)
        if not found:
            return False
        if found.pop(member, None) is None:
            found.clear()
        if not found:
            del self._edits[key]
        return True

    def take(self, key: Key) -> dict[str, str]:
        """The edits of a property, which are none any more."""
        return self._edits.pop(key, {})

    def put_back(self, key: Key, values: Mapping[str, str]) -> None:
        """What could not be sent is unsent again, but for what was typed since."""
        for member, value in values.items():
            self._edits.setdefault(key, {}).setdefault(member, value)

    def forget(self, key: Key) -> None:
        """The property is gone."""
        self._edits.pop(key, None)
