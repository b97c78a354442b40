"""What has changed since a reader last looked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

from indipydriver.protocol.tags import State

from .properties import Property

__all__ = ["Delta", "Grave", "Note", "newer"]


class Grave(NamedTuple):
    """Something was deleted.

    Attributes:
        device: Its device.
        name: Of the property, or None for the whole device.
        rev: Number of the change.
    """

    device: str
    name: str | None
    rev: int


class Note(NamedTuple):
    """Human-readable text that came from the server.

    Attributes:
        device: Whose, or None for the whole site.
        name: Of the property that it came with, or None.
        text: What it says.
        timestamp: As it was sent, or None.
        rev: Number of the change.
        at: When it came, in the clock of the model.
    """

    device: str | None
    name: str | None
    text: str
    timestamp: str | None
    rev: int
    at: float


_Numbered = TypeVar("_Numbered", Grave, Note)


def newer(items: Sequence[_Numbered], rev: int) -> list[_Numbered]:
    """Those after this change; their numbers grow."""
    found: list[_Numbered] = []
    for item in reversed(items):
        if item.rev <= rev:
            break
        found.append(item)
    found.reverse()
    return found


class Delta(NamedTuple):
    """All that has changed between two changes.  Who applies it, deletions first, knows what the model knows.

    Attributes:
        epoch: Of the model; numbers of changes of another one mean nothing.
        since: What the reader knew.
        rev: What it knows now.
        reset: It was too long ago to say what was deleted: forget everything, this is all there is.
        connected: The link to the server is up.
        session: Which connection this is, counted from 1.
        deleted: In their order.
        properties: As they are now, in the order of their last change.
        notes: In their order.
    """

    epoch: str
    since: int
    rev: int
    reset: bool
    connected: bool
    session: int
    deleted: tuple[Grave, ...]
    properties: tuple[Property, ...]
    notes: tuple[Note, ...]

    def __bool__(self) -> bool:
        return self.reset or self.rev > self.since

    def is_stale(self, prop: Property) -> bool:
        """Nobody knows whether it is still so: the link is down, or it has not been defined since it came back."""
        return not self.connected or prop.session != self.session

    def is_new(self, prop: Property) -> bool:
        """It was defined since, perhaps not for the first time."""
        return self.reset or prop.defined > self.since

    def passed(self, prop: Property) -> frozenset[State]:
        """The states it was in since, the present one included: a short Alert is not lost."""
        return frozenset({prop.state}) if self.reset else prop.passed(self.since)

    def of(self, device: str, name: str | None = None) -> Iterator[Property]:
        """Those of one device, or one property."""
        for prop in self.properties:
            if prop.device == device and name in (None, prop.name):
                yield prop

    def only(self, device: str | None, name: str | None) -> Delta:
        """What concerns one device, or one property; None stands for all."""
        if device is None:
            return self
        return self._replace(
            deleted=tuple(g for g in self.deleted if g.device == device and (None in (name, g.name) or g.name == name)),
            properties=tuple(self.of(device, name)),
            notes=tuple(n for n in self.notes if n.device in (None, device) and (name is None or n.name == name)),
        )

    @property
    def is_empty(self) -> bool:
        """It names nothing; the link may have come or gone."""
        return not (self.reset or self.deleted or self.properties or self.notes)
