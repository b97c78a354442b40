"""The judge: what a driver sends goes in, findings come out.  Sans-I/O.

It keeps what a strict client would keep, so that it can tell an update that fits from one that does
not.  What only shows in the answer to a command is judged by the code that sends the commands.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final
from xml.etree.ElementTree import Element
from xml.etree.ElementTree import fromstring as parse

from indipydriver.errors import FrameTooLarge, RemoteProtocolError, ValueFormatError
from indipydriver.protocol.frame import BlobFrame, Frame
from indipydriver.protocol.limits import LIBINDI_NAME
from indipydriver.protocol.tags import Permission, State, SwitchRule, SwitchState, Tag, VectorKind, Verb
from indipydriver.protocol.values import (
    parse_perm,
    parse_rule,
    parse_state,
    parse_switch,
    parse_timestamp,
)

from .blobs import judge_blobs
from .model import Key, Member, PropertySeen, number
from .numbers import judge_format, judge_number, judge_range
from .rules import Findings
from .wire import ByteWatch

__all__ = ["Checker"]

_LIBINDI_MESSAGE: Final = 254
_LIBINDI_UID: Final = 64
_STRICT_TIMESTAMP: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?")
_MOST_REMEMBERED: Final = 1000  # sizes of BLOBs of one property, and replies to pings
_CLOCK_ERROR: Final = 600.0  # seconds; the nearest time zones are 15 minutes apart


class Checker:
    """Plays a client that checks everything.

    Args:
        server: The subject is a server, which also passes on the commands of other clients.
        clock: Returns the present time, timezone-aware.

    Attributes:
        findings: The faults that were found.
        properties: What is defined at the moment.
        messages: How many messages arrived, by device; None: those without a device.
        last_message: The text of the last message of each.
        blobs: The sizes of the received BLOBs, by property.
        frames: How many elements were received, by tag.
        bytes: How many bytes were received.
        pongs: The uids of replies to pings.
    """

    def __init__(self, *, server: bool = False, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.findings = Findings()
        self.properties: dict[Key, PropertySeen] = {}
        self.messages: Counter[str | None] = Counter()
        self.last_message: dict[str | None, str] = {}
        self.blobs: dict[Key, list[int]] = {}
        self.frames: Counter[str] = Counter()
        self.bytes = 0
        self.pongs: list[str] = []
        self._server = server
        self._clock = clock
        self._watch = ByteWatch(self.findings)

    @property
    def devices(self) -> list[str]:
        """The devices that have properties, in order of arrival."""
        return list(dict.fromkeys(device for device, _ in self.properties))

    # Input

    def bytes_received(self, data: bytes) -> None:
        """Examine received bytes before they are framed."""
        self.bytes += len(data)
        self._watch.feed(data)

    def fault_received(self, fault: RemoteProtocolError) -> None:
        """Note something that the framer has skipped."""
        if isinstance(fault, FrameTooLarge):
            self.findings.add("too-large", str(fault), fault.device, fault.name)
        elif fault.tag is None and fault.reason.startswith("text that"):
            self.findings.add("stray-output", fault.excerpt)
        else:
            where = f"<{fault.tag}> " if fault.tag else ""
            self.findings.add("malformed", f"{where}{fault}", fault.device, fault.name)

    def ended(self, unfinished: int) -> None:
        """Note the end of the stream, in the middle of an element of this many bytes if it is not 0."""
        self._watch.end()
        if unfinished:
            self.findings.add("cut-short", f"the stream ended after {unfinished} bytes of an element")

    def received(self, frame: Frame) -> None:
        """Judge one element."""
        tag = frame.address.tag
        self.frames[tag.text] += 1
        element = parse(frame.skeleton if isinstance(frame, BlobFrame) else frame.raw)
        match tag.verb:
            case Verb.DEF:
                self._define(tag, element)
            case Verb.SET:
                self._update(tag, frame, element)
                if element.get("message"):
                    self.last_message[element.get("device")] = element.get("message", "")
            case Verb.DELETE:
                self._delete(element)
            case Verb.MESSAGE:
                self._judge_common(element, None, None)
                self.messages[element.get("device")] += 1
                self.last_message[element.get("device")] = element.get("message", "")
            case Verb.PING | Verb.PONG:
                self._judge_ping(tag, element)
            case Verb.NEW if not self._server:
                self.findings.add("foreign-element", f"<{tag.text}>", element.get("device"), element.get("name"))

    # Definitions

    def _define(self, tag: Tag, element: Element) -> None:
        kind = tag.kind
        assert kind is not None
        device, name = self._names(tag, element)
        if device is None or name is None:
            return
        add = self.findings.add
        state = self._attribute_word(element, "state", State, parse_state, device, name) or State.IDLE.value
        perm = rule = None
        if kind is not VectorKind.LIGHT:
            perm = self._attribute_word(element, "perm", Permission, parse_perm, device, name)
        if kind is VectorKind.SWITCH:
            rule = self._attribute_word(element, "rule", SwitchRule, parse_rule, device, name)
            if perm == Permission.WRITE_ONLY:
                add("switch-write-only", "perm='wo'", device, name)
        self._judge_common(element, device, name)
        for key in ("label", "group"):
            text = element.get(key)
            if not text:
                add(f"{key}-missing", f"no {key}", device, name)
            elif _too_long(text):
                add("label-too-long", f"the {key} has {len(text.encode())} bytes", device, name)
        members: dict[str, Member] = {}
        for child in self._children(tag, element, device, name):
            member = self._define_member(kind, child, device, name)
            if member.name in members:
                add("member-duplicate", f"{member.name!r} is defined twice", device, name, member.name)
            members[member.name] = member
        if not len(element):
            add("members-missing", "no members", device, name)
        shape = (kind, perm, rule, tuple(members))
        label = element.get("label") or name
        new = PropertySeen(kind, device, name, state, label, perm, rule, members, shape)
        old = self.properties.get(new.key)
        if old is not None:
            if old.shape != shape:
                add("redefined", f"{_shape_text(old.shape)}, now {_shape_text(shape)}", device, name)
            new.definitions, new.updates = old.definitions + 1, old.updates
        self.properties[new.key] = new
        if rule is not None and members and not _keeps(rule, len(new.on)):
            add("rule-at-start", f"{rule} with {len(new.on)} of {len(members)} switches On", device, name)

    def _define_member(self, kind: VectorKind, child: Element, device: str, name: str) -> Member:
        add = self.findings.add
        member = child.get("name", "")
        self._judge_name(member, "member", device, name, member)
        label = child.get("label")
        if label and _too_long(label):
            add("label-too-long", f"the label has {len(label.encode())} bytes", device, name, member)
        text = (child.text or "").strip()
        if kind is VectorKind.NUMBER:
            return self._define_number(child, text, device, name, member)
        return Member(member, self._value(kind, text, device, name, member))

    def _define_number(self, child: Element, text: str, device: str, name: str, member: str) -> Member:
        where = (device, name, member)
        findings = self.findings
        for key in ("format", "min", "max", "step"):
            if child.get(key) is None:
                findings.add("attribute-missing", f"the defNumber has no {key}", *where)
        format = child.get("format")
        if format is not None:
            judge_format(findings, format, where)
        limits = {}
        for key in ("min", "max", "step"):
            value = child.get(key)
            limits[key] = number(value)
            if value is not None:
                judge_number(findings, value, key, where)
        judge_number(findings, text, "value", where)
        result = Member(member, text, limits["min"], limits["max"], limits["step"])
        judge_range(findings, result, where)
        return result

    # Updates

    def _update(self, tag: Tag, frame: Frame, element: Element) -> None:
        kind = tag.kind
        assert kind is not None
        device, name = self._names(tag, element)
        if device is None or name is None:
            return
        add = self.findings.add
        self._judge_common(element, device, name)
        state: str | None = None
        if element.get("state") is None:
            add("update-stateless", "no state", device, name)
        else:
            state = self._attribute_word(element, "state", State, parse_state, device, name)
        if kind is VectorKind.BLOB:
            sizes = judge_blobs(self.findings, frame, element)
            if sizes:
                kept = self.blobs.setdefault((device, name), [])
                kept += sizes[: _MOST_REMEMBERED - len(kept)]
        known = self.properties.get((device, name))
        if known is None:
            add("update-undefined", f"<{tag.text}> of a property that is not defined", device, name)
        elif known.kind is not kind:
            add("update-kind", f"<{tag.text}> of a def{known.kind}Vector", device, name)
            known = None
        children = list(self._children(tag, element, device, name))
        if not len(element):
            add("update-empty", "no members", device, name)
        seen: set[str] = set()
        for child in children:
            member = child.get("name", "")
            if member in seen:
                add("member-duplicate", f"{member!r} occurs twice", device, name, member)
            seen.add(member)
            self._update_member(kind, child, known, device, name)
        if known is not None:
            known.updates += 1
            known.state = state or known.state
            if known.rule is not None and seen and not _keeps(known.rule, len(known.on)):
                code = "rule-broken" if known.on else "none-on"
                add(code, f"{known.rule} with {len(known.on)} of {len(known.members)} switches On", device, name)

    def _update_member(
        self, kind: VectorKind, child: Element, known: PropertySeen | None, device: str, name: str
    ) -> None:
        member = child.get("name", "")
        text = (child.text or "").strip()
        where = (device, name, member)
        target = known.members.get(member) if known is not None else None
        if known is not None and target is None and member:
            self.findings.add("member-unknown", f"{member!r} was not defined", *where)
        if kind is VectorKind.BLOB:
            return
        if kind is VectorKind.NUMBER:
            judge_number(self.findings, text, "value", where)
            if text and number(text) is not None and any(c in text.lstrip("+-") for c in ":; "):
                self.findings.add("sexagesimal-update", repr(text[:40]), *where)
            if target is not None:
                target.value = text or target.value
                for key in ("min", "max", "step"):
                    if child.get(key) is not None:
                        setattr(target, key, number(child.get(key)))
                judge_range(self.findings, target, where)
            return
        value = self._value(kind, text, device, name, member)
        if target is not None:
            target.value = value

    # The others

    def _delete(self, element: Element) -> None:
        device, name = element.get("device"), element.get("name")
        self._judge_common(element, device, name)
        if not device:
            self.findings.add("delete-everything", "no device", None, name)
        elif name == "":
            self.findings.add("name-empty", "delProperty of a property without a name", device)
        elif name is None:
            for key in [key for key in self.properties if key[0] == device]:
                del self.properties[key]
        elif self.properties.pop((device, name), None) is None:
            self.findings.add("delete-undefined", "it was not defined", device, name)

    def _judge_ping(self, tag: Tag, element: Element) -> None:
        uid = element.get("uid")
        if not uid or len(uid.encode()) > _LIBINDI_UID:
            self.findings.add("ping-uid", f"{tag.text} with uid={uid and uid[:80]!r}")
        elif tag.verb is Verb.PONG and len(self.pongs) < _MOST_REMEMBERED:
            self.pongs.append(uid)

    # Their parts

    def _names(self, tag: Tag, element: Element) -> tuple[str | None, str | None]:
        """Device and name of a vector; None for a missing one."""
        device, name = element.get("device"), element.get("name")
        for key, text in (("device", device), ("name", name)):
            if text is None:
                self.findings.add("attribute-missing", f"<{tag.text}> has no {key}", device, name)
            else:
                self._judge_name(text, key, device, name)
        return _unless_blank(device), _unless_blank(name)

    def _judge_name(self, text: str, what: str, *where: str | None) -> None:
        if not text.strip():
            self.findings.add("name-empty", f"the {what} is {text!r}", *where)
        if _too_long(text):
            self.findings.add("name-too-long", f"the {what} has {len(text.encode())} bytes", *where)
        if not text.isascii():
            self.findings.add("name-not-ascii", f"{what} {text[:70]!r}", *where)

    def _judge_common(self, element: Element, device: str | None, name: str | None) -> None:
        """Check timestamp, timeout and message."""
        text = element.get("timestamp")
        if text:
            time = parse_timestamp(text)
            if time is None or not _STRICT_TIMESTAMP.fullmatch(text):
                self.findings.add("timestamp-form", f"timestamp={text[:40]!r}", device, name)
            elif abs((time - self._clock()).total_seconds()) > _CLOCK_ERROR:
                now = self._clock().strftime("%Y-%m-%dT%H:%M:%S")
                self.findings.add("timestamp-zone", f"timestamp={text[:40]!r} at {now} UTC", device, name)
        timeout = element.get("timeout")
        if timeout:
            seconds = number(timeout)
            if seconds is None or seconds < 0:
                self.findings.add("timeout-form", f"timeout={timeout[:40]!r}", device, name)
        message = element.get("message")
        if message and len(message.encode()) > _LIBINDI_MESSAGE:
            self.findings.add("message-too-long", f"{len(message.encode())} bytes", device, name)

    def _children(self, tag: Tag, element: Element, device: str, name: str) -> Iterable[Element]:
        for child in element:
            if child.tag != tag.child:
                self.findings.add("child-unknown", f"<{child.tag[:40]}> in a {tag.text}", device, name)
            elif child.get("name") is None:
                self.findings.add("attribute-missing", f"a {tag.child} has no name", device, name)
            elif not child.get("name", "").strip():
                self.findings.add("name-empty", f"a member is named {child.get('name')!r}", device, name)
            else:
                yield child

    def _value(self, kind: VectorKind, text: str, device: str, name: str, member: str) -> str:
        if kind is VectorKind.SWITCH:
            return self._word(text, SwitchState, parse_switch, "a switch is", device, name, member) or "Off"
        if kind is VectorKind.LIGHT:
            return self._word(text, State, parse_state, "a light is", device, name, member) or "Idle"
        return text

    def _attribute_word(
        self,
        element: Element,
        key: str,
        words: type[StrEnum],
        read: Callable[[str], StrEnum],
        device: str,
        name: str,
    ) -> str | None:
        text = element.get(key)
        if text is None:
            self.findings.add("attribute-missing", f"no {key}", device, name)
            return None
        return self._word(text, words, read, f"{key} is", device, name)

    def _word(
        self, text: str, words: type[StrEnum], read: Callable[[str], StrEnum], what: str, *where: str
    ) -> str | None:
        """The word that was meant, or None."""
        if text in words.__members__.values():
            return text
        try:
            word = read(text)
        except ValueFormatError:
            self.findings.add("word-unknown", f"{what} {text[:40]!r}", *where)
            return None
        self.findings.add("word-spelling", f"{what} {text[:40]!r}, not {word.value!r}", *where)
        return word.value


def _unless_blank(name: str | None) -> str | None:
    """A name; None if it is only white space, which no command can carry."""
    return name if name and name.strip() else None


def _too_long(text: str) -> bool:
    return len(text.encode()) > LIBINDI_NAME


def _keeps(rule: str, on: int) -> bool:
    """Does this number of switches keep the rule?"""
    if rule == SwitchRule.ONE_OF_MANY:
        return on == 1
    return rule == SwitchRule.ANY_OF_MANY or on <= 1


def _shape_text(shape: tuple[object, ...]) -> str:
    kind, perm, rule, members = shape
    assert isinstance(members, tuple)
    return f"{kind} {perm or ''} {rule or ''} with {', '.join(members[:8])}".replace("  ", " ")
