"""Which devices there are, whose they are, and how their properties were last defined.  Sans-I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Generic, TypeVar

from indipydriver.protocol.frame import Frame
from indipydriver.protocol.tags import VectorKind

__all__ = ["MAX_DEVICES", "MAX_PROPERTIES", "DeviceRecord", "DeviceTable", "Property"]

MAX_DEVICES: Final = 500
"""Devices one party may own."""
MAX_PROPERTIES: Final = 2000
"""Properties one device may have."""

P = TypeVar("P")

_TIMESTAMP: Final = re.compile(rb"""\stimestamp=(?:"[^"]*"|'[^']*')""")


class Property(Generic[P]):
    """One defined property.

    Attributes:
        definition: The last definition.
        missing: The parties that have asked for it and not been given this definition since.
        is_blob: It is a BLOB vector.
        enabled: Its owner, another server, has been asked for the data.
    """

    __slots__ = ("definition", "enabled", "is_blob", "missing")

    def __init__(self, definition: Frame) -> None:
        self.definition = definition
        self.missing: set[P] = set()
        self.is_blob = definition.tag.kind is VectorKind.BLOB
        self.enabled = False


class DeviceRecord(Generic[P]):
    """One device.

    Attributes:
        circles: It comes round through servers that do not keep it from doing so (indiserver): servers above
            get nothing of it.
        owner: The party that speaks for it.
        fixed: The owner keeps it even when it deletes all of it: a driver in this process.
        seen: Something of it has been shown to others.
        properties: What is defined, by name.
    """

    __slots__ = ("circles", "fixed", "owner", "properties", "seen")

    def __init__(self, owner: P, fixed: bool) -> None:
        self.circles = False
        self.owner = owner
        self.fixed = fixed
        self.seen = not fixed
        self.properties: dict[str, Property[P]] = {}


class DeviceTable(Generic[P]):
    """All devices by name."""

    def __init__(self) -> None:
        self._records: dict[str, DeviceRecord[P]] = {}
        self._counts: dict[P, int] = {}
        self._blobs: set[tuple[str, str]] = set()

    def __contains__(self, device: str) -> bool:
        return device in self._records

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def get(self, device: str) -> DeviceRecord[P] | None:
        return self._records.get(device)

    def of(self, owner: P) -> list[str]:
        """The names of the devices of one party."""
        return [device for device, record in self._records.items() if record.owner is owner]

    def claim(self, device: str, owner: P, *, fixed: bool = False) -> bool:
        """Make a party the owner of a device nobody owns; False if it owns MAX_DEVICES already."""
        count = self._counts.get(owner, 0)
        if count >= MAX_DEVICES and not fixed:
            return False
        self._counts[owner] = count + 1
        self._records[device] = DeviceRecord(owner, fixed)
        return True

    def transfer(self, device: str, owner: P) -> None:
        """Give a device to another owner; what is defined stays."""
        record = self._records[device]
        self._counts[record.owner] -= 1
        self._counts[owner] = self._counts.get(owner, 0) + 1
        record.owner = owner
        for prop in record.properties.values():
            prop.enabled = False

    def pop(self, device: str) -> DeviceRecord[P] | None:
        """Remove a device."""
        record = self._records.pop(device, None)
        if record is not None:
            self._counts[record.owner] -= 1
            self._drop_properties(device, record)
        return record

    def clear(self, device: str, *, keep: bool) -> bool:
        """Its owner has deleted it; True if it has no owner now.

        Args:
            device: Its name.
            keep: It still belongs to the owner, who may define it again.
        """
        record = self._records.get(device)
        if record is None:
            return False
        if not (record.fixed or keep):
            self.pop(device)
            return True
        self._drop_properties(device, record)
        record.seen = False
        return False

    def _drop_properties(self, device: str, record: DeviceRecord[P]) -> None:
        for name, prop in record.properties.items():
            if prop.is_blob:
                self._blobs.discard((device, name))
        record.properties.clear()

    def define(self, device: str, name: str, frame: Frame) -> tuple[Property[P] | None, bool]:
        """Note a definition.

        Returns:
            The property, or None if the device has MAX_PROPERTIES already; and whether the definition is
            news to those who have the one before.  The answer of a driver in this process to a getProperties
            never is; of others, it is news if anything but the timestamp differs.
        """
        record = self._records[device]
        record.seen = True
        prop = record.properties.get(name)
        if prop is None:
            if len(record.properties) >= MAX_PROPERTIES:
                return None, False
            prop = record.properties[name] = Property(frame)
            if prop.is_blob:
                self._blobs.add((device, name))
            return prop, True
        old = prop.definition
        prop.definition = frame
        if frame.reply:
            return prop, False
        if record.fixed:
            return prop, True
        return prop, old.raw != frame.raw and _without_time(old.raw) != _without_time(frame.raw)

    def undefine(self, device: str, name: str) -> None:
        """The property is gone."""
        record = self._records.get(device)
        if record is not None and record.properties.pop(name, None) is not None:
            self._blobs.discard((device, name))

    def properties(self, device: str | None, name: str | None) -> list[Property[P]]:
        """The defined properties that a request covers."""
        if device is None:
            return [prop for record in self._records.values() for prop in record.properties.values()]
        record = self._records.get(device)
        if record is None:
            return []
        if name is None:
            return list(record.properties.values())
        prop = record.properties.get(name)
        return [] if prop is None else [prop]

    def blobs(self) -> list[tuple[str, str, P, Property[P]]]:
        """The BLOB properties: device, name, owner, property."""
        found = []
        for device, name in sorted(self._blobs):
            record = self._records[device]
            found.append((device, name, record.owner, record.properties[name]))
        return found

    def forget(self, party: P) -> None:
        """The party is gone: nothing is missing to it any more."""
        self._counts.pop(party, None)
        for record in self._records.values():
            for prop in record.properties.values():
                prop.missing.discard(party)


def _without_time(raw: bytes) -> bytes:
    return _TIMESTAMP.sub(b"", raw, count=1)
