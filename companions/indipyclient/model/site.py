"""A server and its devices at one moment: trees that share what has not changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .delta import Note
from .properties import Property

__all__ = ["Device", "Site"]


@dataclass(frozen=True, slots=True)
class Device:
    """A device at one moment; ``device["CONNECTION"]`` is its property of that name.

    Attributes:
        name: Its name.
        properties: By name, in the order in which they were defined.
        notes: Its last messages, oldest first.
    """

    name: str
    properties: Mapping[str, Property]
    notes: tuple[Note, ...]

    @property
    def connected(self) -> bool | None:
        """Whether the driver is connected to its instrument; None if it has no CONNECTION."""
        prop = self.properties.get("CONNECTION")
        member = prop.members.get("CONNECT") if prop else None
        return member.on if member else None

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of its properties, in order of appearance."""
        return tuple(dict.fromkeys(prop.group for prop in self.properties.values()))

    def get(self, name: str) -> Property | None:
        """The property of this name, or None."""
        return self.properties.get(name)

    def __getitem__(self, name: str) -> Property:
        return self.properties[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.properties)

    def __len__(self) -> int:
        return len(self.properties)

    def __contains__(self, name: object) -> bool:
        return name in self.properties


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that is known about a server at one moment; ``site["Telescope"]`` is that device.

    Attributes:
        devices: By name.
        connected: The link to the server is up.
        session: Which connection it is, counted from 1.
        rev: Number of the last change.
        epoch: Of the model.
        notes: Messages for the whole site, oldest first.
    """

    devices: Mapping[str, Device]
    connected: bool
    session: int
    rev: int
    epoch: str
    notes: tuple[Note, ...]

    def get(self, device: str, name: str) -> Property | None:
        """This property, or None."""
        found = self.devices.get(device)
        return found.properties.get(name) if found else None

    def is_stale(self, prop: Property) -> bool:
        """Whether it may be out of date."""
        return not self.connected or prop.session != self.session

    def __getitem__(self, name: str) -> Device:
        return self.devices[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.devices)

    def __len__(self) -> int:
        return len(self.devices)

    def __contains__(self, name: object) -> bool:
        return name in self.devices
