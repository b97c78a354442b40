"""Message to frame: the only place that writes XML.

The form is what every peer reads: double quotes, attributes in libindi's order, only the four
entities that are necessary, raw UTF-8, no unnecessary white space.  A numeric reference is never
sent, as libindi 1.9.9 does not decode it.

Nearly all messages contain nothing that needs an entity.  So all texts of a message are checked
together, and only a message that needs it is rewritten, by :func:`~.escaping.escaped`, before it is encoded.
Names are joined with `+`: formatting would write a member of an enumeration with the name of its class.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from ..errors import LocalProtocolError, MalformedFrame
from .blobtags import LARGEST_COUNT, LONGEST_BLOB_FORMAT, is_compressed
from .escaping import escaped, is_plain
from .frame import Address, BlobFrame, Frame, address
from .limits import Limits, check_size
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
from .tags import TAGS, BlobMode, Permission, State, SwitchRule, SwitchState, Tag, VectorKind
from .values import encode_base64
from .wellformed import check

__all__ = ["PASSING", "WORDS", "encode"]

_LIMITS: Final = Limits()
PASSING: Final = _LIMITS.passing_frame
"""Bytes of the longest element, without BLOB data, that all receivers accept."""
_LONG_ATTRIBUTE: Final = re.compile(rb'="[^"]{%d}' % (_LIMITS.name + 1))

_STATES: Final = frozenset(State)
_PERMISSIONS: Final = frozenset(Permission)
_SWITCH_RULES: Final = frozenset(SwitchRule)
_BLOB_MODES: Final = frozenset(BlobMode)
WORDS: Final[dict[VectorKind, frozenset[str]]] = {
    VectorKind.SWITCH: frozenset(SwitchState),
    VectorKind.LIGHT: frozenset(State),
}
"""The words that members may have, if not any text."""


class _Shape(NamedTuple):
    """The fixed parts of one kind of vector element."""

    tag: Tag
    head: str
    tail: str
    child_head: str
    child_tail: str
    words: frozenset[str] | None  # the words that a member may have; None: any text
    is_number: bool
    is_light: bool


def _shape(tag: Tag) -> _Shape:
    kind = tag.kind
    assert kind is not None, "only vectors have a shape"
    return _Shape(
        tag=tag,
        head=f'<{tag.text} device="',
        tail=f"</{tag.text}>",
        child_head=f'<{tag.child} name="',
        child_tail=f"</{tag.child}>",
        words=WORDS.get(kind),
        is_number=kind is VectorKind.NUMBER,
        is_light=kind is VectorKind.LIGHT,
    )


_DEFS: Final = {kind: _shape(TAGS[f"def{kind}Vector"]) for kind in VectorKind}
_UPDATES: Final = {kind: _shape(TAGS[f"set{kind}Vector"]) for kind in VectorKind}
_NEW_VECTORS: Final[dict[VectorKind, _Shape]] = {
    kind: _shape(TAGS[f"new{kind}Vector"]) for kind in VectorKind if kind is not VectorKind.LIGHT
}


def encode(message: AnyMessage) -> Frame:
    """The frame of a message; a BlobFrame for BLOB data.

    Empty optional attributes are left out, an empty label is sent as the name, and
    a getProperties always asks for version 1.7.  Line ends and tabs in attributes become blanks;
    characters that XML cannot carry are removed.  The size of a BLOB that is not compressed is that of its data.

    Raises:
        LocalProtocolError: INDI 1.7 does not allow it: a name is missing, a word is not in its list,
            or an attribute or member does not belong there.  Or no receiver would accept it, by the
            defaults of :class:`~indipydriver.protocol.limits.Limits`.
    """
    try:
        writer = _WRITERS[type(message)]
    except KeyError:
        raise LocalProtocolError(f"{type(message).__name__} is not a message") from None
    try:
        frame = writer(message)
    except (TypeError, AttributeError) as error:
        raise LocalProtocolError(f"a value of the wrong type in {type(message).__name__}: {error}") from error
    # Without a long attribute, only what is very large or has many members can be beyond a limit.
    markup = frame.skeleton if isinstance(frame, BlobFrame) else frame.raw
    if frame.size > PASSING or len(getattr(message, "members", ())) > _LIMITS.members or _LONG_ATTRIBUTE.search(markup):
        _check_limits(frame)
    return frame


def _check_limits(frame: Frame) -> None:
    """Raises LocalProtocolError when the frame is beyond the limits of its receivers."""
    try:
        if isinstance(frame, BlobFrame):
            if frame.size > _LIMITS.blob:
                raise MalformedFrame(f"a BLOB of more than {_LIMITS.blob} bytes")
            check_size(frame.skeleton, _LIMITS)
            check(frame.skeleton, _LIMITS)
        else:
            check_size(frame.raw, _LIMITS)
            check(frame.raw, _LIMITS)
    except MalformedFrame as fault:
        where = " ".join(repr(part) for part in (frame.device, frame.name) if part)
        raise LocalProtocolError(f"{frame.tag.text} {where[:80]}: receivers would refuse it: {fault.reason}") from None


# --- checks ----------------------------------------------------------------------------


def _refuse_state(state: object, tag: Tag, name: str) -> None:
    raise LocalProtocolError(f"{tag.text} {name!r}: {state!r} is not a state")


def _check_names(tag: Tag, device: str | None, name: str | None) -> None:
    """Both must be present."""
    if not device or device.isspace():
        raise LocalProtocolError(f"{tag.text} without a device")
    if not name or name.isspace():
        raise LocalProtocolError(f"{tag.text} of {device!r} without a name")


def _refuse_member(shape: _Shape, name: str, value: object) -> None:
    if not name:
        raise LocalProtocolError(f"{shape.tag.text} with a member without a name")
    assert shape.words is not None
    raise LocalProtocolError(f"{shape.tag.text}: {name!r} is {value!r}, not one of {', '.join(sorted(shape.words))}")


# --- vectors ---------------------------------------------------------------------------


def _one_members(shape: _Shape, members: Sequence[OneMember]) -> str:
    """The members of an update or a command."""
    head, tail, words = shape.child_head, shape.child_tail, shape.words
    pieces: list[str] = []
    for member in members:
        name, value = member.name, member.value
        if not name or (words is not None and value not in words):
            _refuse_member(shape, name, value)
        if member.min is None and member.max is None and member.step is None:
            pieces.append(head + name + '">' + value + tail if value else head + name + '" />')
            continue
        if shape.tag is not _UPDATES[VectorKind.NUMBER].tag:
            raise LocalProtocolError(f"{shape.tag.text}: only a number in an update has limits")
        limits = (("min", member.min), ("max", member.max), ("step", member.step))
        written = "".join([f' {key}="{limit}"' for key, limit in limits if limit is not None])
        pieces.append(head + name + f'"{written}>' + value + tail if value else head + name + f'"{written} />')
    return "".join(pieces)


def _texts(members: Sequence[OneMember]) -> str:
    """The text of all members, to be checked together."""
    return "".join(
        [
            m.name + m.value if m.min is None and m.max is None and m.step is None else
            m.name + m.value + (m.min or "") + (m.max or "") + (m.step or "")
            for m in members
        ]
    )  # fmt: skip


def _encode_set(message: SetVector) -> Frame:
    shape = _UPDATES[message.kind]
    tag = shape.tag
    device, name, state = message.device, message.name, message.state
    if not device or not name or device.isspace() or name.isspace():
        _check_names(tag, device, name)
    if state is not None and state not in _STATES:
        _refuse_state(state, tag, name)
    if shape.is_light and message.timeout:
        raise LocalProtocolError(f"{tag.text} {name!r}: lights have no timeout")
    if tag.is_blob:
        return _encode_blobs(shape, message)
    members: Any = message.members
    head = f"{message.timestamp}{message.timeout}{message.message}"
    if not is_plain(device + name + head + _texts(members)):
        message = escaped(message)
        members = message.members
    start = _set_start(shape, message)
    body = _one_members(shape, members)
    raw = f"{start}>{body}{shape.tail}" if body else f"{start} />"
    return Frame(Address(tag, device, name), raw.encode())


def _set_start(shape: _Shape, message: SetVector) -> str:
    """The start tag of an update, without its end."""
    start = shape.head + message.device + '" name="' + message.name + '"'
    if message.state is not None:
        start += f' state="{message.state}"'
    if message.timestamp:
        start += f' timestamp="{message.timestamp}"'
    if message.timeout:
        start += f' timeout="{message.timeout}"'
    if message.message:
        start += f' message="{message.message}"'
    return start


def _encode_new(message: NewVector) -> Frame:
    shape = _NEW_VECTORS.get(message.kind)
    if shape is None:
        raise LocalProtocolError("there is no command for lights in INDI")
    tag = shape.tag
    device, name = message.device, message.name
    _check_names(tag, device, name)
    if not message.members:
        raise LocalProtocolError(f"{tag.text} {name!r} without members")
    if tag.is_blob:
        return _encode_blobs(shape, message)
    members: Any = message.members
    if not is_plain(device + name + f"{message.timestamp}" + _texts(members)):
        message = escaped(message)
        members = message.members
    if shape.is_number and not all(member.value.strip() for member in members):
        raise LocalProtocolError(f"{tag.text} {name!r}: a number without a value")
    raw = f"{_new_start(shape, message)}>{_one_members(shape, members)}{shape.tail}"
    return Frame(Address(tag, device, name), raw.encode())


def _new_start(shape: _Shape, message: NewVector) -> str:
    """The start tag of a command, without its end."""
    start = shape.head + message.device + '" name="' + message.name + '"'
    if message.timestamp:
        start += f' timestamp="{message.timestamp}"'
    return start


def _encode_blobs(shape: _Shape, message: SetVector | NewVector) -> BlobFrame:
    """The frame of BLOB data, with the base64 text in pieces of its own."""
    where = Address(shape.tag, message.device, message.name)
    safe = escaped(message)
    start = _set_start(shape, safe) if isinstance(safe, SetVector) else _new_start(shape, safe)
    if not safe.members:
        raw = f"{start} />".encode()
        return BlobFrame(where, [raw], raw, ())
    chunks: list[bytes] = []
    tags: list[bytes] = []
    spans: list[tuple[int, int]] = []
    offset = 0
    markup = f"{start}>"
    for member in safe.members:
        if not isinstance(member, OneBlob):
            raise LocalProtocolError(f"{shape.tag.text}: a member is {type(member).__name__}, not OneBlob")
        if not member.name:
            _refuse_member(shape, member.name, "")
        if not member.data:
            raise LocalProtocolError(f"{shape.tag.text}: {member.name!r} is empty; leave it out to send the state only")
        size = _blob_size(shape, member)
        markup += shape.child_head + member.name + '" format="' + member.format + f'" size="{size}">'
        piece, text = markup.encode(), encode_base64(member.data)
        chunks += (piece, text)
        tags.append(piece)
        offset += len(piece)
        spans.append((offset, offset + len(text)))
        offset += len(text)
        markup = shape.child_tail
    piece = (markup + shape.tail).encode()
    chunks.append(piece)
    tags.append(piece)
    return BlobFrame(where, chunks, b"".join(tags), spans)


def _blob_size(shape: _Shape, member: OneBlob) -> int:
    size = member.size
    if size is not None and not 0 <= size <= LARGEST_COUNT:
        raise LocalProtocolError(f"{shape.tag.text}: the size of {member.name!r} is {size}")
    format = member.format.encode()
    if len(format) > LONGEST_BLOB_FORMAT:
        raise LocalProtocolError(
            f"{shape.tag.text}: the format of {member.name!r} is longer than {LONGEST_BLOB_FORMAT}"
        )
    return size if size and is_compressed(format) else len(member.data)


def _encode_def(message: DefVector) -> Frame:
    shape = _DEFS[message.kind]
    tag = shape.tag
    device, name = message.device, message.name
    _check_names(tag, device, name)
    _check_definition(shape, message)
    members = message.members
    head = f"{message.label}{message.group}{message.timestamp}{message.timeout}{message.message}"
    texts = [m.name + m.value + m.label + m.format + m.min + m.max + m.step for m in members]
    if not is_plain(device + name + head + "".join(texts)):
        message = escaped(message)
    start = shape.head + message.device + '" name="' + message.name + '" label="' + (message.label or message.name)
    start += f'" group="{message.group}" state="{message.state}"'
    if message.perm is not None:
        start += f' perm="{message.perm}"'
    if message.rule is not None:
        start += f' rule="{message.rule}"'
    if message.timestamp:
        start += f' timestamp="{message.timestamp}"'
    if message.timeout:
        start += f' timeout="{message.timeout}"'
    if message.message:
        start += f' message="{message.message}"'
    body = "".join([_def_member(shape, member) for member in message.members])
    raw = f"{start}>{body}{shape.tail}" if body else f"{start} />"
    return Frame(Address(tag, device, name), raw.encode())


def _check_definition(shape: _Shape, message: DefVector) -> None:
    """State, permission and rule must be present where they belong, and nowhere else."""
    where = f"{shape.tag.text} {message.name!r}"
    if message.state not in _STATES:
        _refuse_state(message.state, shape.tag, message.name)
    if shape.is_light:
        if message.perm is not None or message.timeout:
            raise LocalProtocolError(f"{where}: lights have neither permission nor timeout")
    elif message.perm not in _PERMISSIONS:
        raise LocalProtocolError(f"{where}: {message.perm!r} is not a permission")
    if message.kind is VectorKind.SWITCH:
        if message.rule not in _SWITCH_RULES:
            raise LocalProtocolError(f"{where}: {message.rule!r} is not a rule")
    elif message.rule is not None:
        raise LocalProtocolError(f"{where}: only switches have a rule")


def _def_member(shape: _Shape, member: DefMember) -> str:
    """One member of a definition whose text needs no escaping."""
    name, value = member.name, member.value
    if not name or (shape.words is not None and value not in shape.words):
        _refuse_member(shape, name, value)
    start = shape.child_head + name + '" label="' + (member.label or name) + '"'
    if shape.is_number:
        start += f' format="{member.format}" min="{member.min}" max="{member.max}" step="{member.step}"'
    if not value:
        return f"{start} />"
    if shape.tag.kind is VectorKind.BLOB:
        raise LocalProtocolError(f"{shape.tag.text}: {name!r} has a value")
    return start + ">" + value + shape.child_tail


# --- the others ------------------------------------------------------------------------


def _refuse_blank(where: Address) -> None:
    """A name of white space alone counts as absent, as for receivers."""
    for name in (where.device, where.name):
        if name and name.isspace():
            raise LocalProtocolError(f"{where.tag.text}: {name!r} is not a name")


def _empty_element(where: Address, *attributes: tuple[str, str | None]) -> Frame:
    """The frame of an element without content; empty attributes are left out."""
    _refuse_blank(where)
    written = "".join([" " + key + '="' + text + '"' for key, text in attributes if text])
    return Frame(where, f"<{where.tag.text}{written} />".encode())


def _encode_del(message: DelProperty) -> Frame:
    if not message.device:
        raise LocalProtocolError("delProperty without a device")
    if message.name == "":  # None stands for the whole device
        raise LocalProtocolError(f"delProperty of {message.device!r} with an empty name")
    safe: DelProperty = escaped(message)
    return _empty_element(
        address("delProperty", message.device, message.name or None),
        ("device", safe.device),
        ("name", safe.name),
        ("timestamp", safe.timestamp),
        ("message", safe.message),
    )


def _encode_message(message: Message) -> Frame:
    safe: Message = escaped(message)
    return _empty_element(
        address("message", message.device or None),
        ("device", safe.device),
        ("timestamp", safe.timestamp),
        ("message", safe.message),
        ("via", safe.via),
    )


def _encode_get(message: GetProperties) -> Frame:
    if message.name and not message.device:
        raise LocalProtocolError(f"getProperties for {message.name!r} without its device")
    safe: GetProperties = escaped(message)
    return _empty_element(
        address("getProperties", message.device or None, message.name or None),
        ("version", "1.7"),  # libindi's drivers exit on any other
        ("device", safe.device),
        ("name", safe.name),
    )


def _encode_enable_blob(message: EnableBlob) -> Frame:
    if not message.device:
        raise LocalProtocolError("enableBLOB without a device")
    if message.mode not in _BLOB_MODES:
        raise LocalProtocolError(f"enableBLOB: {message.mode!r} is not a BLOB mode")
    safe: EnableBlob = escaped(message)
    assert safe.device is not None
    name = ' name="' + safe.name + '"' if safe.name else ""
    raw = '<enableBLOB device="' + safe.device + '"' + name + ">" + safe.mode + "</enableBLOB>"
    where = address("enableBLOB", message.device, message.name or None)
    _refuse_blank(where)
    return Frame(where, raw.encode())


def _encode_ping(message: Ping) -> Frame:
    if not message.uid:
        raise LocalProtocolError("a ping without a uid")
    safe: Ping = escaped(message)
    return _empty_element(address("pingReply" if message.reply else "pingRequest"), ("uid", safe.uid))


_WRITERS: Final[dict[type, Callable[[Any], Frame]]] = {
    SetVector: _encode_set,
    NewVector: _encode_new,
    DefVector: _encode_def,
    DelProperty: _encode_del,
    Message: _encode_message,
    GetProperties: _encode_get,
    EnableBlob: _encode_enable_blob,
    Ping: _encode_ping,
}
