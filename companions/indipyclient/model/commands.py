"""Requested values, checked against the definition and put into a message before anything is sent."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from indipydriver.errors import ValueFormatError
from indipydriver.protocol.limits import Limits
from indipydriver.protocol.messages import NewVector, OneBlob, OneMember
from indipydriver.protocol.tags import Permission, SwitchRule, VectorKind
from indipydriver.protocol.values import file_format, format_timestamp, getfloat, parse_switch

from ..errors import BadValue, NoSuchMember, NotWritable, WrongKind
from .properties import Member, Property

__all__ = [
    "LARGEST",
    "Blob",
    "Value",
    "command",
    "file_format",
    "press",
    "switched_on",
    "texts",
    "with_colons",
    "with_point",
]

_COMMA: Final = re.compile(r"([^,.]*),(\d+)")
_THOUSANDS: Final = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")
_APART: Final = re.compile(r"[-+]?\d+( +\d\d?){1,2}(\.\d*)?")
LARGEST: Final = (Limits().blob - Limits().start_tag) // 4 * 3
"""Bytes of a file that a person may send as a BLOB: with more, servers end the connection."""


class Blob(NamedTuple):
    """Bytes to send to a device.

    Attributes:
        data: The bytes.
        format: Suffixes of its file name, each with its dot.
        size: Length after inflating, if `format` ends in ``.z``; None for that of the data.
    """

    data: bytes
    format: str = ""
    size: int | None = None


Value = str | float | int | bool | Blob | bytes
"""The values to which a member can be set."""


def texts(prop: Property, values: Mapping[str, Value]) -> dict[str, str]:
    """The values as they are sent.

    Raises:
        NotWritable: The property is read-only.
        NoSuchMember: It has no member of that name.
        BadValue: A value is not accepted, there is nothing to set, or two switches are On where only one may be.
    """
    where = f"{prop.device}.{prop.name}"
    if not prop.writable:
        raise NotWritable(f"{where} is read-only")
    if not values:
        raise BadValue(f"{where}: nothing to set")
    found: dict[str, str] = {}
    for name, value in values.items():
        member = prop.members.get(name)
        if member is None:
            raise NoSuchMember(name, prop.members, where)
        found[name] = _text(prop, member, value)
    if prop.kind is VectorKind.SWITCH and prop.rule is not SwitchRule.ANY_OF_MANY:
        on = [name for name, value in found.items() if value == "On"]
        if len(on) > 1:
            raise BadValue(f"{where}: only one of its switches can be On, not {' and '.join(on)}")
    return found


def _text(prop: Property, member: Member, value: Value) -> str:
    where = f"{prop.device}.{prop.name}.{member.name}"
    if prop.kind is VectorKind.SWITCH:
        if isinstance(value, (bytes, Blob)):
            raise BadValue(f"{where} is a switch, not bytes")
        if isinstance(value, bool):
            return "On" if value else "Off"
        try:
            return parse_switch(str(value).strip().capitalize()).value
        except ValueFormatError:
            raise BadValue(f"{where} is a switch: On or Off, not {value!r}") from None
    if prop.kind is VectorKind.NUMBER:
        return _number(where, member, value)
    if prop.kind is VectorKind.TEXT:
        if isinstance(value, (bytes, Blob)):
            raise BadValue(f"{where} is a text, not bytes")
        text = str(value)
        try:
            text.encode()
        except UnicodeEncodeError:  # as of the name of a file in another encoding; a device would get "?" for it
            raise BadValue(f"{where}: {value!r} is not UTF-8") from None
        return text
    if isinstance(value, (bytes, Blob)):
        return ""
    raise BadValue(f"{where} is a BLOB: bytes are wanted, not {type(value).__name__}")


def _number(where: str, member: Member, value: Value) -> str:
    if isinstance(value, (bytes, Blob)):
        raise BadValue(f"{where} is a number, not bytes")
    text = value.strip() if isinstance(value, str) else ""
    try:
        text = with_colons(text)
        number = getfloat(text if isinstance(value, str) else value)
    except ValueFormatError as error:
        raise BadValue(f"{where}: {error}") from None
    has_digit = not isinstance(value, str) or any(map(str.isdigit, text))  # "-" is 0 to who reads it, and not to people
    if not math.isfinite(number) or not has_digit:
        raise BadValue(f"{where}: {value!r} is not a number")
    bounds = member.range
    if bounds is not None:
        low, high = bounds
        slack = 1e-9 * max(abs(low), abs(high))
        if not low - slack <= number <= high + slack:
            step = Member("", "", member.step).number
            text = f"{where}: {value} is not from {member.min} to {member.max}"
            raise BadValue(text, min=low, max=high, step=step)
    return text or (str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number))


def with_point(typed: str) -> str:
    """A number with its decimal comma as a point: in many countries a phone offers no point.

    "10,000" stays as it is, and is not a number, because to some people it is ten thousand.
    """
    match = None if _THOUSANDS.fullmatch(typed) else _COMMA.fullmatch(typed)
    return f"{match[1]}.{match[2]}" if match else typed


def with_colons(text: str) -> str:
    """A number with colons for its blanks, which separate in INDI; drivers of libindi leave them out: "12 30" is 1230.

    Raises:
        ValueFormatError: It is not a number, as "10 000", which could be ten or ten thousand.
    """
    if " " in text and not _APART.fullmatch(text):
        raise ValueFormatError(f"{text!r} is not a number")
    return re.sub(" +", ":", text)


def press(prop: Property, name: str) -> dict[str, Value]:
    """What to set so that this switch goes On, and the others follow the rule.

    Raises:
        WrongKind: They are not switches.
        NoSuchMember: There is no such switch.
    """
    if prop.kind is not VectorKind.SWITCH:
        raise WrongKind(f"{prop.device}.{prop.name} has no switches: it is {prop.kind}")
    if name not in prop.members:
        raise NoSuchMember(name, prop.members, f"{prop.device}.{prop.name}")
    values: dict[str, Value] = {}
    if prop.rule is not SwitchRule.ANY_OF_MANY:
        values = {other.name: "Off" for other in prop.members.values() if other.on and other.name != name}
    values[name] = "On"
    return values


def switched_on(prop: Property, values: Mapping[str, Value]) -> str | None:
    """The switch that these values turn on where at most one may be On; None if they do not.

    Who presses it by :meth:`.Client.press`, instead of setting the values, turns off what else is On when that is sent:
    an earlier command may have turned it on.
    """
    if prop.kind is not VectorKind.SWITCH or prop.rule is SwitchRule.ANY_OF_MANY:
        return None
    on = [name for name, value in values.items() if value is True or value == "On"]
    return on[0] if len(on) == 1 else None


def command(
    prop: Property, values: Mapping[str, Value], asked: Mapping[str, str], timestamp: datetime | None = None
) -> NewVector:
    """The message: for switches and BLOBs the given members, Off before On, otherwise all members that are
    known (INDI 1.7).

    Args:
        prop: The property as known.
        values: The values as given.
        asked: The same values as text, from :func:`texts`.
        timestamp: None for now.
    """
    stamp = format_timestamp(timestamp)
    if prop.kind is VectorKind.BLOB:
        blobs = []
        for name, value in values.items():
            blob = value if isinstance(value, Blob) else Blob(value if isinstance(value, bytes) else b"")
            if not blob.data:
                raise BadValue(f"{prop.device}.{prop.name}.{name}: a BLOB without bytes")
            blobs.append(OneBlob(name, blob.data, len(blob.data) if blob.size is None else blob.size, blob.format))
        return NewVector(prop.kind, prop.device, prop.name, tuple(blobs), stamp)
    if prop.kind is VectorKind.SWITCH:
        ordered = sorted(asked.items(), key=lambda item: item[1] == "On")
        members = [OneMember(name, value) for name, value in ordered]
    else:
        # An empty number is none; an empty write-only text, such as a password, is not known, and "" would erase it.
        empty = prop.kind is VectorKind.NUMBER or prop.perm is Permission.WRITE_ONLY
        members = [
            OneMember(name, asked.get(name, member.value))
            for name, member in prop.members.items()
            if name in asked or member.value or not empty
        ]
    return NewVector(prop.kind, prop.device, prop.name, tuple(members), stamp)
