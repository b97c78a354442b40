"""What a client knows about the properties it has received.  Sans-I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from indipydriver.errors import ValueFormatError
from indipydriver.protocol.tags import VectorKind
from indipydriver.protocol.values import getfloat

__all__ = ["Key", "Member", "PropertySeen", "number"]

Key: TypeAlias = tuple[str, str]
"""Device and name."""


def number(text: str | None) -> float | None:
    """The value of a number, or None if it is not a finite number."""
    try:
        return getfloat(text) if text else None
    except ValueFormatError:
        return None


@dataclass(slots=True)
class Member:
    """One member as the client knows it; the limits are None if they cannot be read."""

    name: str
    value: str
    min: float | None = None
    max: float | None = None
    step: float | None = None

    @property
    def range(self) -> tuple[float, float] | None:
        """Smallest and largest value, if there is a range."""
        if self.min is None or self.max is None or self.min >= self.max:
            return None
        return self.min, self.max


@dataclass(slots=True)
class PropertySeen:
    """One property as the client knows it.

    Attributes:
        shape: What another definition must repeat.
        definitions: How often it was defined.
        updates: How often it was updated.
    """

    kind: VectorKind
    device: str
    name: str
    state: str
    label: str
    perm: str | None
    rule: str | None
    members: dict[str, Member]
    shape: tuple[object, ...] = ()
    definitions: int = 1
    updates: int = 0

    @property
    def key(self) -> Key:
        return self.device, self.name

    @property
    def writable(self) -> bool:
        """Whether a client may command it."""
        return self.perm in ("rw", "wo")

    @property
    def on(self) -> list[str]:
        """The switches that are On."""
        return [name for name, member in self.members.items() if member.value == "On"]
