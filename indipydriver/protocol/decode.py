"""Frame to message.

Strict with commands: what a client sends is complete and uses the right words, or is refused as a whole.
Lenient with definitions and updates, as far as real drivers need it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final
from xml.etree import ElementTree as ET

from ..errors import MalformedFrame, ValueFormatError
from .frame import BlobFrame, Frame, parts
from .messages import (
    AnyMessage,
    DefMember,
    DefVector,
    DelProperty,
    EnableBlob,
    GetProperties,
    Message,
    NewVector,
    OneBlob,
    OneMember,
    Ping,
    SetVector,
)
from .scan import WHITE_SPACE
from .tags import State, SwitchRule, VectorKind, Verb
from .texts import excerpt
from .values import decode_base64, parse_blob_mode, parse_perm, parse_rule, parse_state, parse_switch

__all__ = ["decode", "root", "texts_of"]

_LONGEST_SIZE: Final = 18  # digits of a number of bytes
_SWITCH_WORDS: Final = {"On": "On", "Off": "Off"}
_LIGHT_WORDS: Final = {state.value: state.value for state in State}
_WHITE_TEXT: Final = WHITE_SPACE.decode()
_LONGEST_UID: Final = 256  # libindi's have 64 bytes at most; escaped, such a uid still fits into the reply


class _FrameReader:
    """A frame being read: its element, and exceptions that say where the fault is."""

    __slots__ = ("attributes", "element", "frame", "tag")

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.tag = frame.address.tag
        try:
            # As fast as handlers that expat calls: 11 us for three numbers (CPython 3.11).
            self.element = ET.fromstring(frame.skeleton if isinstance(frame, BlobFrame) else frame.raw)
        except ET.ParseError as error:
            raise self.fault(f"not well-formed ({error})") from None
        if self.element.tag != self.tag.text:
            raise self.fault(f"the element is <{self.element.tag[:40]}>")
        self.attributes = self.element.attrib

    def fault(self, reason: str) -> MalformedFrame:
        return _fault(self.frame, reason)

    def optional(self, key: str) -> str | None:
        """An attribute; None when it is absent or empty."""
        return self.attributes.get(key) or None

    def required(self, key: str) -> str:
        text = self.attributes.get(key)
        if not text:
            raise self.fault(f"no {key}")
        return text

    def timeout(self) -> str | None:
        text = self.attributes.get("timeout")
        return text.strip() or None if text else None

    def members(self) -> list[tuple[str, dict[str, str], str]]:
        """Name, attributes and text of each child; all must have the right tag.

        Some drivers define members with an empty name (libindi's receiver simulator). In definitions
        and updates the caller leaves these out; in a command they are a fault.
        """
        wanted = self.tag.child
        is_command = self.tag.verb is Verb.NEW
        found = []
        for child in self.element:
            if child.tag != wanted:
                raise self.fault(f"a child <{child.tag[:40]}>, not <{wanted}>")
            if len(child):
                raise self.fault(f"an element inside a <{wanted}>")
            attributes = child.attrib
            name = attributes.get("name")
            if not name and (name is None or is_command):
                raise self.fault("a member without a name")
            found.append((name or "", attributes, child.text or ""))
        return found


def _fault(frame: Frame, reason: str) -> MalformedFrame:
    beginning = frame.skeleton if isinstance(frame, BlobFrame) else frame.raw
    return MalformedFrame(
        f"{frame.tag.text}: {reason}",
        tag=frame.tag.text,
        device=frame.device,
        name=frame.name,
        excerpt=excerpt(beginning),
    )


def decode(frame: Frame) -> AnyMessage:
    """The message that a frame contains.

    Values of switches, lights and numbers are stripped; text only when it begins with a line
    end, because then a pretty-printer has wrapped it.  Empty optional attributes count as absent, and
    an absent label is replaced by the name.

    Args:
        frame: A well-formed element.

    Raises:
        MalformedFrame: Something is missing, or has a word or form that is not allowed.
    """
    reader = _FrameReader(frame)
    try:
        return _READERS[reader.tag.verb](reader)
    except ValueFormatError as error:
        raise reader.fault(str(error)) from None


def root(frame: Frame) -> ET.Element:
    """The element as a tree, for those who want to look at it themselves.

    Raises:
        MalformedFrame: It is not well-formed.
    """
    try:
        return ET.fromstring(frame.raw)
    except ET.ParseError as error:
        raise _fault(frame, f"not well-formed ({error})") from None


# --- values ----------------------------------------------------------------------------


def _switch(text: str) -> str:
    return _SWITCH_WORDS.get(text) or parse_switch(text).value


def _light(text: str) -> str:
    return _LIGHT_WORDS.get(text) or parse_state(text).value


def _text(text: str) -> str:
    return text.strip(_WHITE_TEXT) if text.startswith("\n") else text


def _nothing(_: str) -> str:
    return ""  # a defBLOB has no value


_VALUE_READERS: Final[dict[VectorKind, Callable[[str], str]]] = {
    VectorKind.SWITCH: _switch,
    VectorKind.LIGHT: _light,
    VectorKind.TEXT: _text,
    VectorKind.NUMBER: str.strip,
    VectorKind.BLOB: _nothing,
}


def _kind(reader: _FrameReader) -> VectorKind:
    kind = reader.tag.kind
    assert kind is not None, "only vectors have members"
    return kind


# --- vectors ---------------------------------------------------------------------------


def _read_def(reader: _FrameReader) -> DefVector:
    kind = _kind(reader)
    read = _VALUE_READERS[kind]
    name = reader.required("name")
    members: list[DefMember] = []
    for member, attributes, text in reader.members():
        if not member:
            continue
        label = attributes.get("label") or member
        if kind is VectorKind.NUMBER:
            limits = [attributes.get(key, "0").strip() for key in ("min", "max", "step")]
            members.append(DefMember(member, read(text), label, attributes.get("format", ""), *limits))
        else:
            members.append(DefMember(member, read(text), label))
    is_light = kind is VectorKind.LIGHT
    return DefVector(
        kind=kind,
        device=reader.required("device"),
        name=name,
        state=parse_state(reader.required("state")),
        members=tuple(members),
        label=reader.optional("label") or name,
        group=reader.attributes.get("group", ""),
        perm=None if is_light else parse_perm(reader.required("perm")),
        rule=_read_rule(reader) if kind is VectorKind.SWITCH else None,
        timeout=None if is_light else reader.timeout(),
        timestamp=reader.optional("timestamp"),
        message=reader.optional("message"),
    )


def _read_rule(reader: _FrameReader) -> SwitchRule:
    return parse_rule(reader.required("rule"))


def _read_set(reader: _FrameReader) -> SetVector:
    kind = _kind(reader)
    return SetVector(
        kind,
        reader.required("device"),
        reader.required("name"),
        tuple(_read_blobs(reader)) if kind is VectorKind.BLOB else _read_members(reader, kind),
        _read_state(reader),
        None if kind is VectorKind.LIGHT else reader.timeout(),
        reader.optional("timestamp"),
        reader.optional("message"),
    )


def _read_state(reader: _FrameReader) -> State | None:
    """The state of an update; None, which means unchanged, if it is absent or not a state."""
    text = reader.attributes.get("state")
    if not text:
        return None
    try:
        return parse_state(text)
    except ValueFormatError:  # INDI 1.7 makes it optional, so the values still count
        return None


def _read_new(reader: _FrameReader) -> NewVector:
    kind = _kind(reader)
    device, name = reader.required("device"), reader.required("name")
    members: tuple[OneMember, ...] | tuple[OneBlob, ...]
    if kind is VectorKind.BLOB:
        members = tuple(_read_blobs(reader))
    else:
        members = _read_members(reader, kind)
        if kind is VectorKind.NUMBER and not all(member.value for member in members):
            raise reader.fault("a number without a value")
    if not members:
        raise reader.fault("no members")
    return NewVector(kind, device, name, members, reader.optional("timestamp"))


def _read_members(reader: _FrameReader, kind: VectorKind) -> tuple[OneMember, ...]:
    read = _VALUE_READERS[kind]
    may_have_limits = kind is VectorKind.NUMBER and reader.tag.verb is Verb.SET
    return tuple(
        [
            OneMember(name, read(text), *[_limit(attributes, key) for key in ("min", "max", "step")])
            if len(attributes) > 1 and may_have_limits
            else OneMember(name, read(text))
            for name, attributes, text in reader.members()
            if name
        ]
    )


def _limit(attributes: dict[str, str], key: str) -> str | None:
    """A limit in an update (libindi's extension); None when absent or empty."""
    return attributes.get(key, "").strip() or None


# --- BLOBs -----------------------------------------------------------------------------


def _read_blobs(reader: _FrameReader) -> Iterator[OneBlob]:
    """The BLOBs of an update or a command.

    An empty one in an update only means that there is no news, so it is left out.  (libindi 1.9.9 sends
    it with size 0 to report a state.  A descriptor or URL in place of data is not followed.)
    """
    frame = reader.frame
    is_command = reader.tag.verb is Verb.NEW
    members = reader.members()
    texts: Iterable[Sequence[memoryview]]
    if not isinstance(frame, BlobFrame):
        texts = [[memoryview(text.encode())] for _, _, text in members]
    elif len(frame.spans) == len(members):
        texts = texts_of(frame)
    else:
        raise reader.fault("its spans do not fit its members")
    for (name, attributes, _), pieces in zip(members, texts, strict=True):
        if not name:
            continue
        data = decode_base64(pieces[0] if len(pieces) == 1 else pieces)
        size = _count(attributes.get("size"))
        if is_command and size is None:
            raise reader.fault(f"the BLOB {name!r} has no size")
        length = _count(attributes.get("len"))
        if data and length is not None and length != len(data):
            if length > len(data):  # indiserver 1.9.9 truncates compressed BLOBs that it relays
                raise reader.fault(f"the BLOB {name!r} is truncated: {len(data)} of {length} bytes")
            data = data[:length]
        if not data:
            if is_command:
                raise reader.fault(f"the BLOB {name!r} is empty")
            continue
        yield OneBlob(name, data, size, attributes.get("format", "").strip())


def texts_of(frame: BlobFrame) -> Iterator[Sequence[memoryview]]:
    """The base64 text of each oneBLOB, in pieces; nothing is copied."""
    return parts(frame.chunks, frame.spans)


def _count(text: str | None) -> int | None:
    """A number of bytes; None when it is absent or not a number."""
    text = text.strip() if text else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_SIZE else None


# --- the others ------------------------------------------------------------------------


def _read_del(reader: _FrameReader) -> DelProperty:
    name = reader.attributes.get("name")
    if name == "":  # libindi's receiver simulator deletes a property without a name, not its device
        raise reader.fault("an empty name")
    return DelProperty(reader.optional("device"), name, reader.optional("timestamp"), reader.optional("message"))


def _read_message(reader: _FrameReader) -> Message:
    return Message(
        reader.optional("device"),
        reader.attributes.get("message", ""),
        reader.optional("timestamp"),
        reader.optional("via"),
    )


def _read_get(reader: _FrameReader) -> GetProperties:
    device = reader.optional("device")
    # A name has a meaning only with its device: without a device, everything is requested.
    return GetProperties(device, reader.optional("name") if device else None, reader.optional("version"))


def _read_enable_blob(reader: _FrameReader) -> EnableBlob:
    return EnableBlob(reader.optional("device"), reader.optional("name"), parse_blob_mode(reader.element.text or ""))


def _read_ping(reader: _FrameReader) -> Ping:
    uid = reader.required("uid")
    if len(uid) > _LONGEST_UID:
        raise reader.fault(f"a uid of more than {_LONGEST_UID} characters")
    return Ping(uid, reader.tag.verb is Verb.PONG)


_READERS: Final[dict[Verb, Callable[[_FrameReader], AnyMessage]]] = {
    Verb.DEF: _read_def,
    Verb.SET: _read_set,
    Verb.NEW: _read_new,
    Verb.DELETE: _read_del,
    Verb.MESSAGE: _read_message,
    Verb.GET: _read_get,
    Verb.ENABLE_BLOB: _read_enable_blob,
    Verb.PING: _read_ping,
    Verb.PONG: _read_ping,
}
