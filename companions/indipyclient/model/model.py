"""Applies what a server sends, numbers the changes, and tells readers what they have not seen."""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from indipydriver.protocol.messages import (
    AnyMessage,
    DefVector,
    DelProperty,
    Message,
    OneBlob,
    SetVector,
)
from indipydriver.protocol.tags import VectorKind

from .delta import Delta, Grave, Note, newer
from .history import Histories, Point
from .kept import EACH, KeptBlobs, KeptTexts, brief, held
from .properties import Definition, Key, Member, Pending, Property, entering
from .site import Device, Site

__all__ = ["Change", "Model", "What"]

MAX_PROPERTIES: Final = 100_000
"""Properties that are kept; further definitions are ignored and counted."""
MAX_DEVICES: Final = 10_000
GRAVES: Final = 1024
NOTES: Final = 1000
NOTES_OF_A_DEVICE: Final = 100

_new: Final = tuple.__new__  # Member(...) takes twice as long


class What(StrEnum):
    """What kind of change it was."""

    DEFINED = "defined"
    SET = "set"
    DELETED = "deleted"
    NOTE = "note"


class Change(NamedTuple):
    """One message that changed something.

    Attributes:
        what: What it did.
        rev: Number of the change.
        message: As it came.
        prop: The property as it is now; None for a deletion and a text.
    """

    what: What
    rev: int
    message: AnyMessage
    prop: Property | None

    def concerns(self, device: str, name: str) -> bool:
        """Whether it concerns this property, or something that contains it."""
        of_device, of_name = getattr(self.message, "device", None), getattr(self.message, "name", None)
        return of_device in (None, device) and of_name in (None, name)


@dataclass(slots=True)
class _Record:
    """A device, as the model keeps it."""

    name: str
    properties: dict[str, Property] = field(default_factory=dict)
    notes: deque[Note] = field(default_factory=deque)
    seen: Device | None = None  # as it was last shown, until it changes


class Model:
    """What is known about one server.

    A reader keeps one integer, the `rev` that it has seen, and asks :meth:`since`.

    Args:
        history: Points that are kept of each number, and 8 million in all; 0 for none.
        span: Seconds that one of them stands for.
        keep_blobs: Keep the data of the newest BLOB of each member, up to 512 MiB in all.
        values: False: keep only which properties exist, if values are kept elsewhere.

    Raises:
        ValueError: `history` is negative, or `span` is not positive.

    Attributes:
        epoch: Random; two models never share one.
        rev: Number of the last change.
        connected: The link is up.
        session: Which connection it is, counted from 1; 0 before the first.
        unknown: Updates of properties or members that were never defined, and were ignored.
        refused: What was beyond the limits, such as 256 MiB of text, and was ignored.
        defined_at: When the last definition or deletion arrived, by the caller's clock.
    """

    def __init__(self, *, history: int = 0, span: float = 1.0, keep_blobs: bool = True, values: bool = True) -> None:
        self.epoch = os.urandom(4).hex()  # not of `secrets`, which loads much more
        self.rev = 0
        self.connected = False
        self.session = 0
        self.unknown = 0
        self.refused = 0
        self.defined_at = 0.0
        self._devices: dict[str, _Record] = {}
        self._by_rev: OrderedDict[Key, Property] = OrderedDict()
        self._graves: deque[Grave] = deque()
        self._forgotten = 0  # readers who know less cannot be told what was deleted
        self._notes: deque[Note] = deque(maxlen=NOTES)
        self._site: Site | None = None
        self._last: Delta | None = None
        self._histories = Histories(history, span)
        self._keep_blobs = keep_blobs
        self._values = values
        self._blobs = KeptBlobs()
        self._texts = KeptTexts()

    # What comes in

    def apply(self, message: AnyMessage, now: float = 0.0) -> Change | None:
        """Apply a message of the server; None if it changes nothing.

        Args:
            message: As decoded.
            now: The caller's monotonic clock.
        """
        if type(message) is SetVector:
            return self._set(message, now) if self._values else None
        if type(message) is DefVector:
            return self._define(message, now)
        if type(message) is DelProperty:
            return self._delete(message, now)
        if type(message) is Message:
            note = self._note(message.device, None, message.message, message.timestamp, now)
            return Change(What.NOTE, note.rev, message, None)
        return None

    def _set(self, message: SetVector, now: float) -> Change | None:
        record = self._devices.get(message.device)
        old = record.properties.get(message.name) if record is not None else None
        if record is None or old is None or old.definition.kind is not message.kind:
            self.unknown += 1
            return None
        members = old.members.copy()
        text = message.message
        more = len(text) - len(old.message) if text else 0
        if message.kind is not VectorKind.BLOB:
            for one in message.members:
                member = members.get(one.name)
                if member is None or isinstance(one, OneBlob):
                    self.unknown += 1
                    continue
                name, label, before, format, low, high, step, data, size = member
                _, value, lowest, highest, by = one
                more += len(value) - len(before)
                if lowest is not None or highest is not None or by is not None:
                    more -= len(low) + len(high) + len(step)
                    low, high, step = lowest or low, highest or high, by or step
                    more += len(low) + len(high) + len(step)
                members[name] = _new(Member, (name, label, value, format, low, high, step, data, size))
        if more and not self._texts.take(more):
            self.refused += 1
            return None
        if message.kind is VectorKind.BLOB:
            self._set_blobs(old, members, message)
        self.rev = rev = self.rev + 1
        state = message.state
        entered = old.entered
        if state is None or state is old.state:
            state = old.state
        else:
            entered = entering(entered, state, rev)
        timestamp = brief(message.timestamp)
        prop = Property(
            old.definition,
            state,
            members,
            (message.timeout and brief(message.timeout)) or old.timeout,
            timestamp or old.timestamp,
            text or old.message,
            timestamp if text else old.message_timestamp,
            rev,
            old.defined,
            now,
            old.session,
            entered,
            old.pending,
        )
        self._put(record, prop)
        if text:
            self._note(message.device, message.name, text, message.timestamp, now)
        if message.kind is VectorKind.NUMBER and self._histories.wanted:
            self._histories.record(prop, message, now)
        return Change(What.SET, rev, message, prop)

    def _set_blobs(self, old: Property, members: dict[str, Member], message: SetVector) -> None:
        for one in message.members:
            member = members.get(one.name)
            if member is None or not isinstance(one, OneBlob):
                self.unknown += 1
                continue
            data = one.data if self._keep_blobs else None
            members[one.name] = member._replace(format=brief(one.format) or "", data=data, size=one.size)
            for key in self._blobs.add((*old.key, one.name), len(data)) if data is not None else ():
                if key[:2] == old.key:
                    members[key[2]] = members[key[2]]._replace(data=None)
                else:
                    self._let_go(*key)

    def _let_go(self, device: str, name: str, member: str) -> None:
        """Drop the data of a BLOB, which is not a change."""
        record = self._devices[device]
        prop = record.properties[name]
        members = {**prop.members, member: prop.members[member]._replace(data=None)}
        prop = replace(prop, members=members)
        record.properties[name] = self._by_rev[device, name] = prop
        record.seen = self._site = None

    def _define(self, message: DefVector, now: float) -> Change | None:
        key = (message.device, message.name)
        record = self._devices.get(message.device)
        old = record.properties.get(message.name) if record is not None else None
        has_place = old is not None or (
            len(self._by_rev) < MAX_PROPERTIES and (record is not None or len(self._devices) < MAX_DEVICES)
        )
        members = {
            m.name: _new(Member, (m.name, m.label or m.name, m.value, m.format, m.min, m.max, m.step, None, None))
            for m in (message.members if self._values else ())
        }
        definition = Definition.of(message)
        before = held(old.definition, old.members.values(), old.message) if old is not None else 0
        if not has_place or not self._texts.take(held(definition, members.values(), message.message) - before):
            self.refused += 1
            return None
        if record is None:
            record = self._devices[message.device] = _Record(message.device)
        self.rev = rev = self.rev + 1
        self.defined_at = now
        if old is not None and message.kind is VectorKind.BLOB is old.kind:  # a definition says nothing of the data
            for name, member in members.items():
                last = old.members.get(name)
                if last is not None:
                    members[name] = member._replace(format=last.format, data=last.data, size=last.size)
            self._forget_blobs(key, members)
        elif old is not None:
            self._forget_blobs(key)
        if old is not None and old.kind is VectorKind.NUMBER:
            numbers = members if message.kind is VectorKind.NUMBER else {}
            self._histories.forget(key, old.members.keys() - numbers.keys())
        text, timestamp = message.message, brief(message.timestamp)
        entered = old.entered if old is not None else (0, 0, 0, 0)
        prop = Property(
            definition,
            message.state,
            members,
            brief(message.timeout),
            timestamp,
            text or "",
            timestamp if text else None,
            rev,
            rev,
            now,
            self.session,
            entered if old is not None and old.state is message.state else entering(entered, message.state, rev),
            old.pending if old is not None else None,
        )
        self._put(record, prop)
        if text:
            self._note(message.device, message.name, text, message.timestamp, now)
        if message.kind is VectorKind.NUMBER:
            self._histories.record(prop, message, now)
        return Change(What.DEFINED, rev, message, prop)

    def _delete(self, message: DelProperty, now: float) -> Change | None:
        if message.message:
            self._note(message.device, message.name, message.message, message.timestamp, now)
        if message.device is None:  # indiserver 1.9.9 takes it for all; nobody sends it
            names = list(self._devices)
        elif message.device in self._devices:
            names = [message.device]
        else:
            names = []
        buried = False
        for name in names:
            buried = self._bury(name, message.name) or buried
        if not buried:
            if not message.message:
                self.unknown += 1
                return None
        else:
            self.defined_at = now
        return Change(What.DELETED, self.rev, message, None)

    def _bury(self, device: str, name: str | None) -> bool:
        """Remove a property, or a device with all its properties; a device without properties does not exist."""
        record = self._devices[device]
        if name is None:
            gone = list(record.properties)
        elif name in record.properties:
            gone = [name]
        else:
            return False
        for each in gone:
            self._forget_blobs((device, each))
            prop = record.properties.pop(each)
            self._texts.take(-held(prop.definition, prop.members.values(), prop.message))
            self._histories.forget((device, each), prop.members)
            del self._by_rev[device, each]
        record.seen = self._site = None
        self.rev += 1
        if not record.properties:
            del self._devices[device]
            self._texts.take(-sum(map(_weight, record.notes)))
            name = None
        self._graves.append(Grave(device, name, self.rev))
        if len(self._graves) > GRAVES:
            self._forgotten = self._graves.popleft().rev
        return True

    def _note(self, device: str | None, name: str | None, text: str, timestamp: str | None, now: float) -> Note:
        self.rev += 1
        note = Note(device, name, text, brief(timestamp), self.rev, now)
        self._notes.append(note)
        record = self._devices.get(device) if device is not None else None
        if record is not None:
            notes = record.notes
            while notes and (len(notes) >= NOTES_OF_A_DEVICE or not self._texts.has_room(_weight(note))):
                self._texts.take(-_weight(notes.popleft()))
            if self._texts.take(_weight(note)):
                notes.append(note)
            record.seen = None
        self._site = None
        return note

    def _put(self, record: _Record, prop: Property) -> None:
        definition = prop.definition
        key = (definition.device, definition.name)
        record.properties[definition.name] = prop
        self._by_rev[key] = prop
        self._by_rev.move_to_end(key)
        record.seen = self._site = None

    # What the client does itself

    def set_pending(self, key: Key, pending: Pending | None) -> None:
        """Note that a command has been sent, or is over; readers see it as a change."""
        record = self._devices.get(key[0])
        prop = record.properties.get(key[1]) if record is not None else None
        if record is not None and prop is not None and prop.pending is not pending:
            self.rev += 1
            self._put(record, replace(prop, pending=pending, rev=self.rev))

    def link_made(self) -> None:
        """Note that the link is up: what is known is stale until it is defined again."""
        self.session += 1
        self.connected = True
        self.rev += 1
        self._site = None

    def link_lost(self) -> None:
        """Note that the link is down: everything is stale, but nothing is deleted."""
        self.connected = False
        self.rev += 1
        self._site = None

    def sweep(self) -> int:
        """Delete what has not been defined since the link came back; returns how many properties."""
        stale = [key for key, prop in self._by_rev.items() if prop.session != self.session]
        for key in stale:
            self._bury(*key)
        return len(stale)

    def clear(self) -> None:
        """Delete everything."""
        for device in list(self._devices):
            self._bury(device, None)

    @property
    def has_stale(self) -> bool:
        """Whether anything has not been defined since the link came back."""
        return any(prop.session != self.session for prop in self._by_rev.values())

    # What is read

    def __len__(self) -> int:
        """How many properties exist."""
        return len(self._by_rev)

    def __iter__(self) -> Iterator[Property]:
        """All properties, device by device."""
        for record in self._devices.values():
            yield from record.properties.values()

    def get(self, device: str, name: str) -> Property | None:
        """The property as it is now, or None."""
        record = self._devices.get(device)
        return record.properties.get(name) if record is not None else None

    def names(self, device: str | None = None) -> list[str]:
        """Names of all devices, or of the properties of one; none for one that is unknown."""
        if device is None:
            return list(self._devices)
        record = self._devices.get(device)
        return list(record.properties) if record is not None else []

    def is_stale(self, prop: Property) -> bool:
        """Whether it may be out of date."""
        return not self.connected or prop.session != self.session

    def device(self, name: str) -> Device | None:
        """A device as it is now, or None."""
        record = self._devices.get(name)
        return _show(record) if record is not None else None

    def site(self) -> Site:
        """Everything as it is now.  Unchanged parts are shared with earlier results."""
        if self._site is None:
            devices = MappingProxyType({name: _show(record) for name, record in self._devices.items()})
            notes = tuple(note for note in self._notes if note.device is None)
            self._site = Site(devices, self.connected, self.session, self.rev, self.epoch, notes)
        return self._site

    def since(self, rev: int, epoch: str | None = None) -> Delta:
        """What has changed after this number; the cost depends on how much that is.

        Args:
            rev: What the reader knows; 0 for nothing.
            epoch: The epoch of the model from which it knows that, if it may be another one.
        """
        reset = rev < self._forgotten or rev <= 0 or rev > self.rev or (epoch is not None and epoch != self.epoch)
        if reset:
            rev = 0
        last = self._last
        if last is not None and last.since == rev and last.rev == self.rev:
            return last
        properties: list[Property] = []
        for prop in reversed(self._by_rev.values()):
            if prop.rev <= rev:
                break
            properties.append(prop)
        properties.reverse()
        graves = () if reset else tuple(newer(self._graves, rev))
        notes = tuple(newer(self._notes, rev))
        self._last = Delta(
            self.epoch, rev, self.rev, reset, self.connected, self.session, graves, tuple(properties), notes
        )
        return self._last

    def notes(self, device: str | None = None, since: int = 0) -> list[Note]:
        """The messages that are kept, oldest first, of one device or all."""
        if device is None:
            return list(newer(self._notes, since))
        record = self._devices.get(device)
        return list(newer(record.notes, since)) if record is not None else []

    # History

    def keep_history(self, points: int) -> None:
        """Keep this many points of each number from now on; 0 for none, which drops the existing ones.

        Raises:
            ValueError: It is negative.
        """
        self._histories.keep(points)

    def history(self, device: str, name: str, member: str) -> list[Point]:
        """The last values of a number, oldest first; empty if none are kept."""
        return self._histories.points(device, name, member)

    def _forget_blobs(self, key: Key, but: Container[str] = ()) -> None:
        prop = self._by_rev.get(key)
        if prop is not None and prop.kind is VectorKind.BLOB:
            for member in prop.members:
                if member not in but:
                    self._blobs.forget((*key, member))


def _weight(note: Note) -> int:
    return EACH + len(note.text)


def _show(record: _Record) -> Device:
    if record.seen is None:
        properties: Mapping[str, Property] = MappingProxyType(dict(record.properties))
        record.seen = Device(record.name, properties, tuple(record.notes))
    return record.seen
