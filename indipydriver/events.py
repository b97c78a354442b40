"""What rxevent and snoopevent receive.

The names are those of INDI's elements. Nothing that a peer sent raises into user code: an element
that cannot become an event is refused with an EventException, which never leaves the package.
"""

from __future__ import annotations

import copy
import math
from collections import UserDict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, Self, TypeAlias
from xml.etree.ElementTree import Element

from .errors import RemoteProtocolError
from .propertymembers import NumberMember, getfloat
from .propertyvectors import BLOBVector, NumberVector, PropertyVector, SwitchVector, TextVector
from .protocol import decode, messages
from .protocol.frame import Frame
from .protocol.tags import Permission, SwitchRule, SwitchState, VectorKind
from .protocol.values import parse_timestamp

__all__ = [
    "Event",
    "EventException",
    "Message",
    "RxEvent",
    "SnoopEvent",
    "SnoopedEvent",
    "defBLOBVector",
    "defLightVector",
    "defNumberVector",
    "defSwitchVector",
    "defTextVector",
    "defVector",
    "delProperty",
    "getProperties",
    "newBLOBVector",
    "newNumberVector",
    "newSwitchVector",
    "newTextVector",
    "newVector",
    "new_event",
    "setBLOBVector",
    "setLightVector",
    "setNumberVector",
    "setSwitchVector",
    "setTextVector",
    "setVector",
    "snoop_event",
]


class EventException(RemoteProtocolError):
    """An element that cannot become an event, or a command that the vector does not allow."""


class Event:
    """What all events have in common.

    Attributes:
        devicename: The device it concerns; None for what concerns the whole site.
        vectorname: The vector; None for what concerns the whole device.
        timestamp: When it was sent, aware and in UTC; the time of arrival if there is none, None if it cannot be read.
    """

    def __init__(self, frame: Frame, timestamp: str | None = None) -> None:
        self.devicename = frame.device
        self.vectorname = frame.name
        self.timestamp = parse_timestamp(timestamp) if timestamp else datetime.now(UTC)
        self._frame = frame
        self._root: Element | None = None

    @property
    def root(self) -> Element:
        """The element as an ElementTree element, made on first use."""
        if self._root is None:
            self._root = decode.root(self._frame)
        return self._root


class _Values(UserDict[str, Any]):
    """What was sent, by member name."""

    def copy(self) -> Self:
        """Another event with the same values."""
        return copy.copy(self)

    def __setitem__(self, membername: str, value: Any) -> NoReturn:
        raise KeyError(f"events are read-only: {membername!r} cannot be set")


class _MappingEvent(Event, _Values):
    """An event that is a mapping of member names to values."""

    def __init__(self, frame: Frame, timestamp: str | None, values: Iterable[tuple[str, Any]]) -> None:
        UserDict.__init__(self)
        Event.__init__(self, frame, timestamp)
        self.data = dict(values)


# --- commands of clients ---------------------------------------------------------------


class getProperties(Event):
    """A client asks for a definition. Only received when `auto_send_def` of the driver is False.

    Attributes:
        vector: The requested vector.
    """

    def __init__(self, frame: Frame, vector: PropertyVector) -> None:
        super().__init__(frame)
        self.devicename = vector.devicename
        self.vectorname = vector.name
        self.vector = vector


class newVector(_MappingEvent):
    """A client asks for new values of some or all members. The vector itself is left as it is.

    Attributes:
        vector: The vector.
        arrival: Its place among the commands of this run of the driver, in the order in which they came, from 1; 0 if
            it did not come from a client.
    """

    arrival: int = 0
    devicename: str
    vectorname: str
    vector: PropertyVector

    def __init__(self, frame: Frame, message: messages.NewVector, vector: PropertyVector) -> None:
        super().__init__(frame, message.timestamp, ((member.name, self._value(member)) for member in message.members))
        self.vector = vector
        self._check()

    def _value(self, member: messages.OneMember | messages.OneBlob) -> Any:
        assert isinstance(member, messages.OneMember)
        return member.value

    def _check(self) -> None:
        """Refuse what the vector does not allow."""


class newSwitchVector(newVector):
    """A client wants to set switches: "On" or "Off"."""

    vector: SwitchVector

    def _check(self) -> None:
        if self.vector.rule != SwitchRule.ANY_OF_MANY and list(self.data.values()).count(SwitchState.ON) > 1:
            raise _refusal(f"only one switch may be On ({self.vector.rule})", self._frame)


class newTextVector(newVector):
    """A client wants to set text values."""

    vector: TextVector


class newNumberVector(newVector):
    """A client wants to set numbers. Each value is text: a number within the range of its member."""

    vector: NumberVector

    def getfloatvalue(self, membername: str) -> float:
        """The value as float; KeyError if the member is not in the event."""
        return getfloat(self.data[membername])

    def getformattedvalue(self, membername: str) -> str:
        """The value as clients show it; KeyError if the member is not in the event."""
        value = self.getfloatvalue(membername)
        member: NumberMember = self.vector.data[membername]
        return member.format_number(value)

    def _check(self) -> None:
        for name, text in self.data.items():
            try:
                value = getfloat(text)
            except TypeError as error:
                raise _refusal(f"{name!r}: {error}", self._frame) from None
            if not any(map(str.isdigit, text)):  # "-" and ":" are 0 to getfloat, but nobody has asked for 0
                raise _refusal(f"{name!r}: not a number: {text!r}", self._frame)
            if not math.isfinite(value):
                raise _refusal(f"{name!r} is not finite", self._frame)
            limits = self.vector.data[name].allowed_range()
            if limits and not limits[0] <= value <= limits[1]:
                raise _refusal(f"{name!r} is {value:g}, outside {limits[0]:g} to {limits[1]:g}", self._frame)


class newBLOBVector(newVector):
    """A client sends BLOBs: bytes as they were sent (".z" means that they are compressed).

    Attributes:
        sizeformat: For each member the size that the client gave, and the format.
    """

    vector: BLOBVector

    def __init__(self, frame: Frame, message: messages.NewVector, vector: PropertyVector) -> None:
        self.sizeformat: dict[str, tuple[int, str]] = {}
        super().__init__(frame, message, vector)

    def _value(self, member: messages.OneMember | messages.OneBlob) -> Any:
        return _blob(member, self.sizeformat)


RxEvent: TypeAlias = newSwitchVector | newTextVector | newNumberVector | newBLOBVector | getProperties
"""What rxevent receives; a getProperties only if `auto_send_def` of the driver is False."""


def _blob(member: object, sizeformat: dict[str, tuple[int, str]]) -> bytes:
    """The data of a BLOB; its size and format are put into a dict."""
    assert isinstance(member, messages.OneBlob)
    size = len(member.data) if member.size is None else member.size
    sizeformat[member.name] = size, member.format
    return member.data


def _refusal(reason: str, frame: Frame) -> EventException:
    return EventException(reason, tag=frame.tag.text, device=frame.device, name=frame.name)


_NEW_EVENTS: Final[dict[VectorKind, type[newVector]]] = {
    VectorKind.SWITCH: newSwitchVector,
    VectorKind.TEXT: newTextVector,
    VectorKind.NUMBER: newNumberVector,
    VectorKind.BLOB: newBLOBVector,
}


def new_event(frame: Frame, message: messages.NewVector, vector: PropertyVector) -> newVector:
    """The event of a command.

    Raises:
        EventException: The vector does not allow it; the reason may be sent to the client.
    """
    if message.kind is not vector.vectorkind:
        raise _refusal(f"the vector is a {vector.vectorkind}Vector, the command a {frame.tag.text}", frame)
    if vector.perm == Permission.READ_ONLY:
        raise _refusal("the vector is read-only", frame)
    for member in message.members:
        if member.name not in vector.data:
            raise _refusal(f"there is no member {member.name!r}", frame)
    return _NEW_EVENTS[message.kind](frame, message, vector)


# --- news from other devices -------------------------------------------------------------


class SnoopEvent(Event):
    """News from a device that the driver watches."""


class Message(SnoopEvent):
    """Human-readable text.

    Attributes:
        message: The text.
    """

    def __init__(self, frame: Frame, message: messages.Message) -> None:
        super().__init__(frame, message.timestamp)
        self.vectorname = None
        self.message = message.message


class delProperty(SnoopEvent):
    """A vector is gone, or with `vectorname` None the whole device.

    Attributes:
        message: Human-readable text.
    """

    def __init__(self, frame: Frame, message: messages.DelProperty) -> None:
        super().__init__(frame, message.timestamp)
        self.message = message.message or ""


class defVector(SnoopEvent):
    """The definition of a vector.

    Attributes:
        label: Human-readable text; the name if there is no label.
        group: Text by which clients group vectors.
        state: One of Idle, Ok, Busy and Alert.
        message: Human-readable text.
        memberlabels: The label of each member.
    """

    def __init__(self, frame: Frame, message: messages.DefVector) -> None:
        self._define(frame, message)

    def _define(self, frame: Frame, message: messages.DefVector) -> None:
        Event.__init__(self, frame, message.timestamp)
        self.label = message.label or message.name
        self.group = message.group
        self.state = message.state.value
        self.message = message.message or ""
        self.memberlabels: dict[str, Any] = {member.name: self._label(member) for member in message.members}

    def _label(self, member: messages.DefMember) -> Any:
        return member.label or member.name


class _PermittedDef(defVector):
    """The definition of a vector with a permission: any kind but lights.

    Attributes:
        perm: ro, wo or rw.
        timeout: Seconds that a change takes at most, as str.
    """

    def _define(self, frame: Frame, message: messages.DefVector) -> None:
        super()._define(frame, message)
        assert message.perm is not None, "only lights have no permission"
        self.perm = message.perm.value
        self.timeout = message.timeout or "0"


class _DefValues(defVector, _Values):
    """A definition that is a mapping of member names to values."""

    def __init__(self, frame: Frame, message: messages.DefVector) -> None:
        UserDict.__init__(self)
        self._define(frame, message)
        self.data = {member.name: self._value(member) for member in message.members}

    def _value(self, member: messages.DefMember) -> Any:
        return member.value


class defSwitchVector(_DefValues, _PermittedDef):
    """The definition of switches: "On" or "Off".

    Attributes:
        rule: OneOfMany, AtMostOne or AnyOfMany.
    """

    def _define(self, frame: Frame, message: messages.DefVector) -> None:
        super()._define(frame, message)
        assert message.rule is not None, "switches have a rule"
        self.rule = message.rule.value


class defTextVector(_DefValues, _PermittedDef):
    """The definition of text members; an empty one is None."""

    def _value(self, member: messages.DefMember) -> Any:
        return member.value or None


class defNumberVector(_DefValues, _PermittedDef):
    """The definition of numbers, as text.

    Attributes:
        memberlabels: For each member its label, format, min, max and step.
    """

    def getfloatvalue(self, membername: str) -> float:
        """The value as float; KeyError if there is no such member, TypeError if it cannot be read."""
        return getfloat(self.data[membername])

    def _label(self, member: messages.DefMember) -> Any:
        return member.label or member.name, member.format, member.min, member.max, member.step


class defLightVector(_DefValues):
    """The definition of lights: Idle, Ok, Busy or Alert."""


class defBLOBVector(_PermittedDef):
    """The definition of BLOBs. It is not a mapping, as there are no values yet."""


class setVector(_MappingEvent, SnoopEvent):
    """New values of some or all members, or a new state only.

    Attributes:
        state: One of Idle, Ok, Busy and Alert; None if it stays as it was.
        message: Human-readable text.
    """

    def __init__(self, frame: Frame, message: messages.SetVector) -> None:
        super().__init__(frame, message.timestamp, self._values(message.members))
        self.state = message.state.value if message.state else None
        self.message = message.message or ""

    def _values(self, members: Iterable[Any]) -> Iterable[tuple[str, Any]]:
        return ((member.name, member.value) for member in members)


class _TimedSet(setVector):
    """New values of a vector that clients may set.

    Attributes:
        timeout: Seconds that a change takes at most, as str.
    """

    def __init__(self, frame: Frame, message: messages.SetVector) -> None:
        super().__init__(frame, message)
        self.timeout = message.timeout or "0"


class setSwitchVector(_TimedSet):
    """New values of switches: "On" or "Off"."""


class setTextVector(_TimedSet):
    """New text values."""


class setNumberVector(_TimedSet):
    """New numbers, as text. A member that came without a value keeps the one it had, so it is left out."""

    def getfloatvalue(self, membername: str) -> float:
        """The value as float; KeyError if it is not in the event, TypeError if it cannot be read."""
        return getfloat(self.data[membername])

    def _values(self, members: Iterable[Any]) -> Iterable[tuple[str, Any]]:
        return ((member.name, member.value) for member in members if member.value)


class setLightVector(setVector):
    """New values of lights: Idle, Ok, Busy or Alert."""


class setBLOBVector(_TimedSet):
    """New BLOBs: bytes as they were sent (".z" means that they are compressed).

    Attributes:
        sizeformat: For each member the size that was given, and the format.
    """

    def __init__(self, frame: Frame, message: messages.SetVector) -> None:
        self.sizeformat: dict[str, tuple[int, str]] = {}
        super().__init__(frame, message)

    def _values(self, members: Iterable[Any]) -> Iterable[tuple[str, Any]]:
        return ((member.name, _blob(member, self.sizeformat)) for member in members)


SnoopedEvent: TypeAlias = (
    Message
    | delProperty
    | defSwitchVector
    | defTextVector
    | defNumberVector
    | defLightVector
    | defBLOBVector
    | setSwitchVector
    | setTextVector
    | setNumberVector
    | setLightVector
    | setBLOBVector
)
"""What snoopevent receives."""

_DEF_EVENTS: Final[dict[VectorKind, type[defVector]]] = {
    VectorKind.SWITCH: defSwitchVector,
    VectorKind.TEXT: defTextVector,
    VectorKind.NUMBER: defNumberVector,
    VectorKind.LIGHT: defLightVector,
    VectorKind.BLOB: defBLOBVector,
}
_SET_EVENTS: Final[dict[VectorKind, type[setVector]]] = {
    VectorKind.SWITCH: setSwitchVector,
    VectorKind.TEXT: setTextVector,
    VectorKind.NUMBER: setNumberVector,
    VectorKind.LIGHT: setLightVector,
    VectorKind.BLOB: setBLOBVector,
}


def snoop_event(frame: Frame, message: messages.AnyMessage) -> SnoopEvent:
    """The event for news from another device.

    Raises:
        EventException: The element is not news.
    """
    match message:
        case messages.DefVector():
            return _DEF_EVENTS[message.kind](frame, message)
        case messages.SetVector():
            return _SET_EVENTS[message.kind](frame, message)
        case messages.DelProperty():
            if message.device is None:
                raise _refusal("delProperty without a device", frame)
            return delProperty(frame, message)
        case messages.Message():
            return Message(frame, message)
        case _:
            raise _refusal(f"{frame.tag.text} is not something to snoop on", frame)
