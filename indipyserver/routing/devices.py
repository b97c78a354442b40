"""Which devices there are, who owns them, and how their properties were last defined.  Sans-I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Generic, TypeVar

from indipydriver.protocol.frame import Frame
from indipydriver.protocol.scan import WHITE_SPACE
from indipydriver.protocol.tags import VectorKind

__all__ = ["MAX_DEFINED", "MAX_DEVICES", "MAX_PROPERTIES", "DeviceRecord", "DeviceTable", "PropertyRecord"]

MAX_DEVICES: Final = 500
"""Devices one endpoint may own."""
MAX_PROPERTIES: Final = 2000
"""Properties one device may have."""
MAX_DEFINED: Final = 50_000
"""Properties all devices of one endpoint may have together: about 64 MiB of memory with the longest names."""

P = TypeVar("P")

_STAMP: Final = b' timestamp="'
_LESS, _QUOTE, _APOSTROPHE = b"<\"'"
_IN_QUOTES = re.compile(rb"""\"[^\"]*\"|'[^']*'""")


class PropertyRecord:
    """One defined property.

    Sets of endpoints are kept as integers with one bit per endpoint: there can be many properties, and set objects
    would take some kilobytes for each.

    Attributes:
        definition: Hash and length of the last definition; not kept for devices in this process.
        missing: The endpoints that have asked for it and have not been sent a definition since.
        unseen: The clients and servers above among them that have never been sent a definition of it, or have missed
            news of it.
        changed: It has been updated since its last definition.
        kind: The kind of vector.
        is_blob: It is a BLOB vector.
        takers: The endpoints that want its data, if it is a BLOB of another server.
    """

    __slots__ = ("changed", "definition", "is_blob", "kind", "missing", "takers", "unseen")

    def __init__(self, kind: VectorKind) -> None:
        self.definition = (0, 0)
        self.missing = 0
        self.unseen = 0
        self.changed = False
        self.kind = kind
        self.is_blob = kind is VectorKind.BLOB
        self.takers = 0


class DeviceRecord(Generic[P]):
    """One device.

    Attributes:
        circles: It has come back through servers that do not prevent loops (indiserver): servers above get only its
            deletion.
        owner: The endpoint that speaks for it.
        watched: It has come from a server above, here or at a server below: it cannot be commanded this way.
        fixed: The owner, a driver in this process, keeps it even when it deletes the whole device.
        seen: Others may have been shown something of it.
        properties: The defined properties, by name.
        refused: The endpoints whose definitions of it were refused, or that have lost it, because it has another owner.
    """

    __slots__ = ("circles", "fixed", "owner", "properties", "refused", "seen", "watched")

    def __init__(self, owner: P, fixed: bool, watched: bool) -> None:
        self.circles = False
        self.owner = owner
        self.watched = watched
        self.fixed = fixed
        self.seen = not fixed
        self.properties: dict[str, PropertyRecord] = {}
        self.refused: set[P] = set()

    @property
    def rivals(self) -> set[P]:
        """All who have defined it: those who were refused, and the owner unless it has deleted it."""
        return self.refused | {self.owner} if self.seen else self.refused

    @property
    def vacant(self) -> bool:
        """Its owner has deleted it: whoever defines it next becomes its owner."""
        return not (self.fixed or self.seen)


class DeviceTable(Generic[P]):
    """All devices by name.

    Attributes:
        changed: If set, called when a device has got an owner, or has lost it.
    """

    def __init__(self) -> None:
        self.changed: Callable[[], None] | None = None
        self._records: dict[str, DeviceRecord[P]] = {}
        self._owned: dict[P, dict[str, None]] = {}
        self._defined: dict[P, int] = {}
        self._blobs: dict[str, dict[str, PropertyRecord]] = {}

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, device: str) -> bool:
        return device in self._records

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def get(self, device: str) -> DeviceRecord[P] | None:
        return self._records.get(device)

    def property(self, device: str, name: str) -> PropertyRecord | None:
        """A defined property, or None."""
        record = self._records.get(device)
        return None if record is None else record.properties.get(name)

    def of(self, owner: P) -> list[str]:
        """The names of the devices of one endpoint."""
        return list(self._owned.get(owner, ()))

    def owns(self, owner: P, device: str | None) -> bool:
        """Is this the owner of this device?"""
        return device in self._owned.get(owner, ())

    def count(self, owner: P) -> int:
        """How many properties the devices of one endpoint have."""
        return self._defined.get(owner, 0)

    def shown_by(self, owner: P) -> list[str]:
        """The devices of one endpoint of which others may have been shown something."""
        return [device for device in self._owned.get(owner, ()) if self._records[device].seen]

    def claim(
        self,
        device: str,
        owner: P,
        *,
        fixed: bool = False,
        watched: bool = False,
        before: DeviceRecord[P] | None = None,
    ) -> bool:
        """Make an endpoint the owner of a device nobody owns; False if it already owns MAX_DEVICES.

        A device that it has deleted makes room.

        Args:
            device: Its name.
            owner: The endpoint.
            fixed: See :class:`DeviceRecord`.
            watched: See :class:`DeviceRecord`.
            before: What was known of the device until it was taken from another owner.
        """
        owned = self._owned.setdefault(owner, {})
        if len(owned) >= MAX_DEVICES and not fixed:
            vacant = self._vacant(owner)
            if vacant is None:
                return False
            self.pop(vacant)
        owned[device] = None
        record = self._records[device] = DeviceRecord(owner, fixed, watched)
        if before is not None:
            record.refused = before.rivals - {owner}
        if self.changed is not None:
            self.changed()
        return True

    def has_room(self, owner: P) -> bool:
        """May this endpoint have one more device?"""
        return len(self._owned.get(owner, ())) < MAX_DEVICES or self._vacant(owner) is not None

    def _vacant(self, owner: P) -> str | None:
        return next((name for name in self._owned[owner] if self._records[name].vacant), None)

    def pop(self, device: str) -> DeviceRecord[P] | None:
        """Remove a device."""
        record = self._records.pop(device, None)
        if record is not None:
            del self._owned[record.owner][device]
            self._drop_properties(device, record)
            if self.changed is not None:
                self.changed()
        return record

    def clear(self, device: str, *, keep: bool) -> bool:
        """The owner has deleted a device; True if it has no owner now.

        Args:
            device: Its name.
            keep: It still belongs to the owner, which may define it again.
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
        self._blobs.pop(device, None)
        self._defined[record.owner] = self._defined.get(record.owner, 0) - len(record.properties)
        record.properties.clear()

    def define(self, device: str, name: str, frame: Frame) -> tuple[PropertyRecord | None, bool]:
        """Record a definition.

        Returns:
            The property, or None if the device already has MAX_PROPERTIES or its owner MAX_DEFINED; and whether the
            definition is news to those who have the previous one.  From a driver in this process it is, unless it
            answers a getProperties.  From others it is if anything but the timestamp differs, or if the property has
            been updated since.
        """
        record = self._records[device]
        record.seen = True
        kind = frame.address.tag.kind
        assert kind is not None
        prop = record.properties.get(name)
        if prop is not None and prop.kind is not kind:  # another property of the same name
            self.undefine(device, name)
            prop = None
        if prop is None:
            defined = self._defined.get(record.owner, 0)
            if len(record.properties) >= MAX_PROPERTIES or defined >= MAX_DEFINED:
                return None, False
            self._defined[record.owner] = defined + 1
            prop = record.properties[name] = PropertyRecord(kind)
            if prop.is_blob:
                self._blobs.setdefault(device, {})[name] = prop
            if not record.fixed:
                _note_definition(prop, frame.raw)
            return prop, True
        changed, prop.changed = prop.changed, False
        if record.fixed:
            return prop, not frame.reply
        same = _note_definition(prop, frame.raw)
        return prop, (changed or not same) and not frame.reply

    def undefine(self, device: str, name: str) -> PropertyRecord | None:
        """Remove a property; returns it, if there was one."""
        record = self._records.get(device)
        prop = None if record is None else record.properties.pop(name, None)
        if record is not None and prop is not None:
            self._defined[record.owner] -= 1
            if prop.is_blob:
                self._blobs[device].pop(name, None)
        return prop

    def defined(self, device: str | None, name: str | None) -> Iterator[tuple[str, Mapping[str, PropertyRecord]]]:
        """The devices that a request covers, each with those of its defined properties that it covers, by name."""
        if device is None:
            for each, record in self._records.items():
                yield each, record.properties
        elif (found := self._records.get(device)) is not None:
            if name is None:
                yield device, found.properties
            elif (prop := found.properties.get(name)) is not None:
                yield device, {name: prop}

    def with_blobs(self) -> Iterable[str]:
        """The devices that have, or have had, BLOB properties."""
        return self._blobs

    def blobs(self, device: str, name: str | None = None) -> list[tuple[str, PropertyRecord]]:
        """Name and record of the BLOB properties of a device, or of one of them."""
        found = self._blobs.get(device, {})
        if name is None:
            return list(found.items())
        return [(name, found[name])] if name in found else []

    def forget(self, endpoint: P, bit: int) -> None:
        """The endpoint is gone: remove it from all sets, as another one may get its bit."""
        others = ~bit
        self._owned.pop(endpoint, None)
        self._defined.pop(endpoint, None)
        for record in self._records.values():
            record.refused.discard(endpoint)
            for prop in record.properties.values():
                prop.missing &= others
                prop.unseen &= others
                prop.takers &= others


def _note_definition(prop: PropertyRecord, raw: bytes) -> bool:
    """Record a definition as the last one; True if it differs from the one before in its timestamp at most.

    Definitions can be long and many, so only their hashes are kept.  Nobody can predict these to make two collide.
    """
    before = prop.definition
    head, mark, rest = raw.partition(_STAMP)
    # As nearly everybody writes it: in the start tag, behind values in double quotes.
    # Bytes are given as numbers: to look for a byte string of one takes much longer with `in`.
    if mark and not head.rfind(_LESS) and _APOSTROPHE not in head and not head.count(_QUOTE) % 2:
        tail = rest.partition(b'"')[2]
        prop.definition = hash((head, tail)), len(head) + len(tail)
    else:
        timeless = _without_timestamp(raw)
        prop.definition = hash(timeless), len(timeless)
    return prop.definition == before


def _without_timestamp(raw: bytes) -> bytes:
    """A definition without its timestamp, found by plain searches: a regular expression takes four times as long.

    Only the start tag is searched: further on, the same characters are content.
    """
    begin = raw.find(b"timestamp=", 0, raw.find(b"<", 1)) - 1
    if begin < 0 or raw[begin] not in WHITE_SPACE or raw[begin + 11] not in b"\"'":
        return raw
    end = raw.find(raw[begin + 11 : begin + 12], begin + 12)
    before = raw[:begin]
    if end < 0 or _is_quoted(before):
        return raw
    return before + raw[end + 1 :]


def _is_quoted(before: bytes) -> bool:
    """Does this part of a start tag end within an attribute value?"""
    rest = _IN_QUOTES.sub(b"", before)
    return b'"' in rest or b"'" in rest
