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
        name: The property, or None for the whole device.
        rev: Number of the change.
    """

    device: str
    name: str | None
    rev: int


class Note(NamedTuple):
    """Human-readable text from the server.

    Attributes:
        device: The device, or None for the whole site.
        name: The property with which it arrived, or None.
        text: The text.
        timestamp: As it was sent, or None.
        rev: Number of the change.
        at: When it arrived, by the clock of the model.
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
    """Everything that has changed since.  A reader that applies it, deletions first, knows what the model knows.

    Attributes:
        epoch: The epoch of the model; change numbers of another one are meaningless.
        since: The last change that the reader knew.
        rev: The last change that it knows now.
        reset: Deletions since then are not known: forget everything, the delta is complete.
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
        """Whether it may be out of date: the link is down, or it has not been defined since the link came back."""
        return not self.connected or prop.session != self.session

    def is_new(self, prop: Property) -> bool:
        """Whether it was defined since, though not necessarily for the first time."""
        return self.reset or prop.defined > self.since

    def passed(self, prop: Property) -> frozenset[State]:
        """The states it was in since, including the present one: a short Alert is not lost."""
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
        """Whether it names nothing; the state of the link may have changed."""
        return not (self.reset or self.deleted or self.properties or self.notes)
