"""Which redis commands make redis show what a model shows.  Pure: a mirror of what redis holds, and differences to it.

All commands of one call belong in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from indipyclient.model.delta import Note
from indipyclient.model.model import Change
from indipyclient.model.properties import Key, Property
from indipydriver.protocol.messages import AnyMessage, DefVector, DelProperty, Message, SetVector
from indipydriver.protocol.tags import VectorKind
from indipydriver.protocol.values import format_timestamp

from .keys import Keys
from .logs import NOTHING, Command, Logs
from .records import ELEMENT_LOGS, Overlay, Stored, element_fields, property_fields

__all__ = ["Planner"]

MOST_BLOBS: Final = 1000
"""Requests for BLOBs that are remembered."""


@dataclass(slots=True)
class _Mirror:
    """What redis holds."""

    hashes: dict[str, dict[str, str]] = field(default_factory=dict)
    sets: dict[str, frozenset[str]] = field(default_factory=dict)
    strings: dict[str, str] = field(default_factory=dict)


class Planner:
    """Plans what to write.

    Args:
        keys: Names of keys.
        logs: Histories.
        clock: The time as text.
    """

    def __init__(self, keys: Keys, logs: Logs, clock: Callable[[], str] = format_timestamp) -> None:
        self.keys = keys
        self.logs = logs
        self._clock = clock
        self._redis = _Mirror()
        self._properties: dict[Key, Property] = {}
        self._names: dict[str, set[str]] = {}  # the records of each device's properties
        self._overlays: dict[Key, Overlay] = {}
        self._blobs: dict[tuple[str, str | None], bool] = {}  # what was requested, also of what is not there

    # State beyond the model

    def knows(self, key: Key) -> bool:
        """Whether redis shows this property."""
        return key in self._properties

    def blob_properties(self, device: str) -> list[str]:
        """Names of the BLOB properties of a device."""
        names = self._names.get(device, ())
        return [name for name in names if self._properties[device, name].kind is VectorKind.BLOB]

    def _overlay(self, key: Key) -> Overlay:
        found = self._overlays.get(key)
        if found is None:
            blobs = self._blobs.get(key, self._blobs.get((key[0], None), False))
            found = self._overlays[key] = Overlay(self._clock(), blobs=blobs)
        return found

    @property
    def is_empty(self) -> bool:
        """Whether there is no device."""
        return not self._redis.sets

    # Updates

    def update(
        self,
        properties: Iterable[Property],
        deleted: Iterable[tuple[str, str | None]],
        changes: Iterable[Change] = (),
        messages: Iterable[AnyMessage] = (),
        files: Mapping[tuple[str, str, str], Stored] | None = None,
    ) -> list[Command]:
        """Make redis show these changes.

        Args:
            properties: Changed properties, as they are now.
            deleted: Devices, or properties of devices, that have gone; this happened before the above were defined.
            changes: Every change, for the logs.
            messages: Every message, for the message keys.
            files: The files of BLOBs that arrived with the changes.
        """
        now = self._clock()
        out: list[Command] = []
        devices = set(self._redis.sets.get(self.keys.devices, ()))
        touched: set[str] = set()
        for device, name in deleted:
            self._forget(device, name, out)
            touched.add(device)
        self.absorb(changes, files or {})
        for prop in properties:
            if prop.key not in self._properties:
                touched.add(prop.device)
            self._show(prop, out)
            self._properties[prop.key] = prop
            self._names.setdefault(prop.device, set()).add(prop.name)
        for device in touched:
            self._show_names(device, devices, out, now)
        self._set(self.keys.devices, devices, out)
        if touched:
            out += self.logs.add("devices", self.keys.log(self.keys.devices), sorted(devices), now)
        self._log(changes, out, now)
        for message in messages:
            self._say(message, devices, out, now)
        return out + self._tidied(changes)

    def absorb(
        self,
        changes: Iterable[Change],
        files: Mapping[tuple[str, str, str], Stored],
        messages: Iterable[AnyMessage] = (),
    ) -> None:
        """Note what the changes and messages contain beyond the state of the model."""
        now = self._clock()
        for message in messages:
            self._say(message, set(), [], now)
        for change in changes:
            prop, message = change.prop, change.message
            if prop is None:
                continue
            overlay = self._overlay(prop.key)
            blobs = overlay.blobs
            stored = overlay.files
            if isinstance(message, SetVector) and message.kind is VectorKind.BLOB:
                blobs = True
                stored = {**stored} | {
                    one.name: files[prop.device, prop.name, one.name]
                    for one in message.members
                    if (prop.device, prop.name, one.name) in files
                }
            text = message.message if isinstance(message, DefVector | SetVector) else ""
            busy = overlay.busy if change.rev <= overlay.busy else 0
            self._overlays[prop.key] = Overlay(message_time(message) or now, text or "", busy, blobs, stored)

    def _show(self, prop: Property, out: list[Command]) -> None:
        overlay = self._overlay(prop.key)
        device, name = prop.key
        self._hash(self.keys.attributes(name, device), property_fields(prop, overlay), out)
        names = set(prop.members)
        before = self._redis.sets.get(self.keys.elements(name, device), frozenset())
        self._set(self.keys.elements(name, device), names, out)
        for gone in before - names:
            self._drop(self.keys.elementattributes(gone, name, device), out)
        for member in prop.members.values():
            self._hash(
                self.keys.elementattributes(member.name, name, device), element_fields(prop, member, overlay), out
            )

    def _forget(self, device: str, name: str | None, out: list[Command]) -> None:
        names = self._names.get(device, set())
        for each in sorted(names) if name is None else [name]:
            prop = self._properties.pop((device, each), None)
            names.discard(each)
            self._overlays.pop((device, each), None)
            self._drop(self.keys.getproperties(each, device), out)
            if prop is None:
                continue
            self._retire(prop)
            for member in prop.members:
                self._drop(self.keys.elementattributes(member, each, device), out)
            self._drop(self.keys.elements(each, device), out)
            self._drop(self.keys.attributes(each, device), out)
        if name is None:
            self._drop(self.keys.devicemessages(device), out)
            self._drop(self.keys.getproperties(device=device), out)

    def _retire(self, prop: Property) -> None:
        """It is gone, and its logs with it if there are too many."""
        self.logs.retire(self._logs_of(prop))
        if prop.device not in self._names:
            self.logs.retire(map(self.keys.log, self._of_device(prop.device)))

    def _tidied(self, changes: Iterable[Change]) -> list[Command]:
        out: list[Command] = []
        for change in changes:
            if change.prop is not None and not self.knows(change.prop.key):
                self._overlays.pop(change.prop.key, None)
                self._retire(change.prop)
        for log in self.logs.too_many():
            out.append(("DEL", log))
            if (key := self.keys.logged(log)) in self._redis.strings:  # the last message of an unknown device
                self._drop(key, out)
        return out

    def _show_names(self, device: str, devices: set[str], out: list[Command], now: str) -> None:
        names = set(self._names.get(device, ()))
        if not names:
            self._names.pop(device, None)
        key = self.keys.properties(device)
        before = self._redis.sets.get(key, frozenset())
        self._set(key, names, out)
        (devices.add if names else devices.discard)(device)
        if names != before:
            out += self.logs.add("properties", self.keys.log(key), sorted(names) or NOTHING, now)
        if not names:
            self.logs.retire(map(self.keys.log, self._of_device(device)))

    def _log(self, changes: Iterable[Change], out: list[Command], now: str) -> None:
        """Add to the logs of properties and their elements; entries that would be trimmed at once are not written."""
        by_property: dict[Key, list[Property]] = {}
        texts: dict[int, AnyMessage] = {}
        for change in changes:
            if change.prop is not None:
                by_property.setdefault(change.prop.key, []).append(change.prop)
                texts[change.prop.rev] = change.message
        lengths = self.logs.lengths
        for (device, name), versions in by_property.items():
            current = self._overlays.get((device, name)) or Overlay(now)
            kind = ELEMENT_LOGS[versions[-1].kind]
            attributes = self.keys.log(self.keys.attributes(name, device))
            for index, prop in enumerate(versions, -len(versions)):
                message = texts[prop.rev]
                text = getattr(message, "message", None) or ""
                came = current.timestamp if index == -1 else now  # in the form of redis
                overlay = current._replace(timestamp=message_time(message) or came, text=text, busy=0)
                if -index <= lengths["attributes"]:
                    out += self.logs.add("attributes", attributes, property_fields(prop, overlay), now)
                if -index <= lengths[kind]:
                    for member in prop.members.values():
                        key = self.keys.log(self.keys.elementattributes(member.name, name, device))
                        out += self.logs.add(kind, key, element_fields(prop, member, overlay), now)
            names = sorted(versions[-1].members)
            out += self.logs.add("elements", self.keys.log(self.keys.elements(name, device)), names, now)

    # Messages

    def _say(self, message: AnyMessage, devices: set[str], out: list[Command], now: str) -> None:
        if isinstance(message, DelProperty):
            if message.device is None:
                return
            if message.name is not None:
                text = message.message or f"Property {message.name} deleted from device {message.device}"
                out += self.note(message.device, text, message.timestamp or now)
            elif message.device not in devices:
                out += self.note(None, message.message or f"{message.device} deleted", message.timestamp or now)
            return
        if isinstance(message, Message | DefVector | SetVector) and message.message:
            out += self.note(message.device, message.message, message.timestamp or now)

    def note(self, device: str | None, text: str, timestamp: str | None = None) -> list[Command]:
        """Show a text as the last message of the site or of a device."""
        stamp = timestamp or self._clock()
        key = self.keys.messages if device is None else self.keys.devicemessages(device)
        out: list[Command] = []
        self._string(key, f"{stamp} {text}", out)
        out += self.logs.add("messages", self.keys.log(key), [stamp, text], self._clock())
        if device is not None and device not in self._names:
            self.logs.retire([self.keys.log(key)])
        return out

    # Commands

    def mark_busy(self, key: Key, rev: int) -> list[Command]:
        """Note that a command for this property is in progress, which no change up to this one answers."""
        prop = self._properties.get(key)
        if prop is None:
            return []
        self._overlays[key] = self._overlay(key)._replace(busy=rev)
        return self._again(prop)

    def unmark_busy(self, key: Key) -> list[Command]:
        """Note that it has not been sent."""
        prop = self._properties.get(key)
        if prop is None or not self._overlay(key).busy:
            return []
        self._overlays[key] = self._overlay(key)._replace(busy=0)
        return self._again(prop)

    def doubt_state(self, key: Key) -> None:
        """Note that another program may have marked it Busy: the next update writes the state in any case."""
        attributes = self.keys.attributes(key[1], key[0])
        held = self._redis.hashes.get(attributes)
        if held is not None:
            self._redis.hashes[attributes] = {name: value for name, value in held.items() if name != "state"}

    def mark_blobs(self, device: str, name: str | None, enabled: bool) -> list[Command]:
        """Note that BLOBs of a property, or of a whole device, have been enabled or disabled, now and when it comes."""
        out: list[Command] = []
        for asked in [asked for asked in self._blobs if asked[0] == device and name in (None, asked[1])]:
            del self._blobs[asked]
        if len(self._blobs) < MOST_BLOBS:
            self._blobs[device, name] = enabled
        for each in self.blob_properties(device) if name is None else [name]:
            prop = self._properties.get((device, each))
            if prop is not None and prop.kind is VectorKind.BLOB:
                self._overlays[device, each] = self._overlay((device, each))._replace(blobs=enabled)
                out += self._again(prop)
        return out

    def _again(self, prop: Property) -> list[Command]:
        out: list[Command] = []
        overlay = self._overlay(prop.key)
        fields = property_fields(prop, overlay)
        key = self.keys.attributes(prop.name, prop.device)
        self._hash(key, fields, out)
        return out + self.logs.add("attributes", self.keys.log(key), fields, self._clock())

    def asked(self, name: str = "", device: str = "") -> list[Command]:
        """Note that definitions have been requested."""
        out: list[Command] = []
        self._string(self.keys.getproperties(name, device), self._clock().partition(".")[0], out)
        return out

    # Everything anew

    def rewrite(
        self,
        properties: Iterable[Property],
        notes: Iterable[Note],
        existing: Iterable[str],
        changes: Iterable[Change] = (),
        messages: Iterable[AnyMessage] = (),
    ) -> list[Command]:
        """Make redis show this and nothing else, whatever it holds.

        Args:
            properties: All properties.
            notes: All known messages.
            existing: Keys that redis holds.
            changes: Changes that are in no log yet; they have already been absorbed.
            messages: Messages since redis last showed everything.
        """
        before = self._redis
        self._redis = _Mirror()
        earlier = [*self._properties.values()]
        self._properties.clear()
        self._names.clear()
        out: list[Command] = [("DEL", *part) for part in _parts([*existing], 500)]
        everything = list(properties)
        current = {prop.key for prop in everything}
        known = {prop.device for prop in everything}
        for key in self._overlays.keys() - current:
            del self._overlays[key]
        for prop in earlier:
            if prop.key not in current:
                self._retire(prop)
                before.strings.pop(self.keys.getproperties(prop.name, prop.device), None)
                if prop.device not in known:
                    before.strings.pop(self.keys.getproperties(device=prop.device), None)
        out += self.update(everything, ())
        now = self._clock()
        self._log(changes, out, now)
        for prop in everything:
            overlay = self._overlay(prop.key)
            device, name = prop.key
            attributes = self.keys.attributes(name, device)
            out += self.logs.add("attributes", self.keys.log(attributes), property_fields(prop, overlay), now)
            kind = ELEMENT_LOGS[prop.kind]
            for member in prop.members.values():
                key_of = self.keys.elementattributes(member.name, name, device)
                out += self.logs.add(kind, self.keys.log(key_of), element_fields(prop, member, overlay), now)
            elements = self.keys.elements(name, device)
            out += self.logs.add("elements", self.keys.log(elements), sorted(prop.members), now)
        last = {note.device: note for note in notes if note.device is None or note.device in known}
        strings = {
            self.keys.messages if device is None else self.keys.devicemessages(device): (
                f"{note.timestamp or now} {note.text}"
            )
            for device, note in last.items()
        }
        kept = {key: text for key, text in before.strings.items() if self._is_kept(key, known)}
        for shown, text in (strings | kept).items():
            self._string(shown, text, out)
        for message in messages:
            of_device = isinstance(message, DelProperty) and message.name is None  # the device may be gone
            named = getattr(message, "device", None)
            if of_device or named is None or named in known:
                self._say(message, known, out, now)
        return out + self._tidied(changes)

    def _is_kept(self, key: str, devices: set[str]) -> bool:
        return not key.startswith(f"{self.keys.prefix}devicemessages:") or key in map(self.keys.devicemessages, devices)

    def log_keys(self, properties: Iterable[Property]) -> list[str]:
        """The logs that a rewrite may add to."""
        keys = [self.keys.log(self.keys.devices), self.keys.log(self.keys.messages)]
        devices: set[str] = set()
        for prop in properties:
            if prop.device not in devices:
                devices.add(prop.device)
                keys += map(self.keys.log, self._of_device(prop.device))
            keys += self._logs_of(prop)
        return keys

    def _of_device(self, device: str) -> list[str]:
        return [self.keys.properties(device), self.keys.devicemessages(device)]

    def _logs_of(self, prop: Property) -> list[str]:
        device, name = prop.key
        keys = [self.keys.attributes(name, device), self.keys.elements(name, device)]
        keys += [self.keys.elementattributes(member, name, device) for member in prop.members]
        return [*map(self.keys.log, keys)]

    # Differences

    def _hash(self, key: str, fields: dict[str, str], out: list[Command]) -> None:
        before = self._redis.hashes.get(key)
        if before is None:
            changed = fields
        else:
            changed = {name: value for name, value in fields.items() if before.get(name) != value}
            gone = [name for name in before if name not in fields]
            if gone:
                out.append(("HDEL", key, *gone))
        if changed:
            command: list[str] = ["HSET", key]
            for pair in changed.items():
                command += pair
            out.append(command)
        self._redis.hashes[key] = fields

    def _set(self, key: str, names: set[str], out: list[Command]) -> None:
        before = self._redis.sets.get(key, frozenset())
        if names == before:
            return
        if before - names:
            out.append(("SREM", key, *sorted(before - names)))
        if names - before:
            out.append(("SADD", key, *sorted(names - before)))
        if names:
            self._redis.sets[key] = frozenset(names)
        else:
            del self._redis.sets[key]

    def _string(self, key: str, text: str, out: list[Command]) -> None:
        if self._redis.strings.get(key) != text:
            self._redis.strings[key] = text
            out.append(("SET", key, text))

    def _drop(self, key: str, out: list[Command]) -> None:
        mirror = self._redis
        held = mirror.hashes.pop(key, None), mirror.sets.pop(key, None), mirror.strings.pop(key, None)
        if any(one is not None for one in held):
            out.append(("DEL", key))


def message_time(message: AnyMessage) -> str | None:
    """The timestamp of a message, if it has one."""
    return getattr(message, "timestamp", None)


def _parts(items: list[str], size: int) -> Iterable[list[str]]:
    return (items[index : index + size] for index in range(0, len(items), size))
