"""What :meth:`indipyclient.IPyClient.rxevent` is called with."""

from __future__ import annotations

import contextlib
from collections import UserDict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from indipydriver.errors import LocalProtocolError
from indipydriver.protocol.encode import encode
from indipydriver.protocol.messages import (
    AnyMessage,
    DefVector,
    DelProperty,
    GetProperties,
    OneBlob,
    SetVector,
)
from indipydriver.protocol.messages import Message as MessageElement
from indipydriver.protocol.tags import VectorKind

from .model.properties import number_of
from .propertyvectors import DEFAULT_GROUP, PropertyVector, stamp

if TYPE_CHECKING:
    from .devices import Device

__all__ = [
    "ClientEvent",
    "ConnectionLost",
    "ConnectionMade",
    "Event",
    "Message",
    "VectorTimeOut",
    "defBLOBVector",
    "defLightVector",
    "defNumberVector",
    "defSwitchVector",
    "defTextVector",
    "delProperty",
    "event_of",
    "getProperties",
    "setBLOBVector",
    "setLightVector",
    "setNumberVector",
    "setSwitchVector",
    "setTextVector",
]


class _Event:
    """The base of all events.

    Attributes:
        eventtype: The kind of event, as a word.
        device: The device that it concerns, or None.
        devicename: The name of the device.
        vector: The vector that it concerns, or None.
        vectorname: The name of the vector.
        timestamp: The time, in UTC.
    """

    eventtype = ""

    def __init__(self, device: Device | None, vector: PropertyVector | None, timestamp: datetime | None = None) -> None:
        self.device = device
        self.devicename: str | None = device.devicename if device is not None else None
        self.vector = vector
        self.vectorname: str | None = vector.name if vector is not None else None
        self.timestamp = timestamp or datetime.now(UTC)

    @property
    def root(self) -> ET.Element | None:
        """The received element as a tree; None if there is none."""
        return None


class ConnectionMade(_Event):
    """The server has been reached."""

    eventtype = "ConnectionMade"

    def __init__(self) -> None:
        super().__init__(None, None)


class ConnectionLost(_Event):
    """The connection has ended; no devices are known any more."""

    eventtype = "ConnectionLost"

    def __init__(self) -> None:
        super().__init__(None, None)


class VectorTimeOut(_Event):
    """A vector that was sent has not been answered in time."""

    eventtype = "TimeOut"

    def __init__(self, device: Device, vector: PropertyVector) -> None:
        super().__init__(device, vector)


class ClientEvent(UserDict[str, Any], _Event):
    """An event that your own code has raised: the values of the vector at that moment.

    Attributes:
        payload: The argument with which it was raised.
    """

    def __init__(self, eventtype: str, device: Device, vector: PropertyVector, **payload: Any) -> None:
        UserDict.__init__(self, dict(vector))
        _Event.__init__(self, device, vector)
        self.eventtype = eventtype
        self.payload = payload


class Event(_Event):
    """Something received from the server; ``str(event)`` is the XML."""

    def __init__(self, element: AnyMessage, device: Device | None, vector: PropertyVector | None) -> None:
        super().__init__(device, vector, stamp(getattr(element, "timestamp", None)))
        self.devicename = getattr(element, "device", None)
        self.vectorname = getattr(element, "name", None)
        self._element = element

    _root: ET.Element | None = None

    @property
    def root(self) -> ET.Element | None:
        """The received element as a tree; made on first use."""
        if self._root is None:
            with contextlib.suppress(LocalProtocolError):  # an element that could not be sent again has none
                self._root = ET.fromstring(encode(self._element).raw)
        return self._root

    def __str__(self) -> str:
        root = self.root
        return ET.tostring(root, encoding="unicode") if root is not None else repr(self._element)


class Message(Event):
    """Human-readable text, of a device or of the site.

    Attributes:
        message: The text.
    """

    eventtype = "Message"

    def __init__(self, element: MessageElement, device: Device | None, vector: None = None) -> None:
        super().__init__(element, device, None)
        self.message = element.message


class getProperties(Event):
    """A driver asks for properties of others."""

    eventtype = "getProperties"


class delProperty(Event):
    """A vector, or with a vectorname of None the whole device, is gone: its ``enable`` is False.

    Attributes:
        message: The reason, or "".
    """

    eventtype = "Delete"

    def __init__(self, element: DelProperty, device: Device | None, vector: PropertyVector | None) -> None:
        super().__init__(element, device, vector)
        self.message = element.message or ""


class defVector(UserDict[str, Any], Event):
    """A vector is defined: member names and values.

    It has the attributes ``label group state perm rule timeout message`` of the definition; `rule` is None but for
    switches.

    Attributes:
        memberlabels: Labels by name; of numbers ``(label, format, min, max, step)``.
    """

    eventtype = "Define"

    def __init__(self, element: DefVector, device: Device, vector: PropertyVector) -> None:
        has_values = element.kind is not VectorKind.BLOB
        UserDict.__init__(self, {one.name: one.value for one in element.members} if has_values else {})
        Event.__init__(self, element, device, vector)
        self.label = element.label or element.name
        self.group = element.group or DEFAULT_GROUP
        self.state = element.state.value
        self.perm = element.perm.value if element.perm is not None else "ro"
        self.rule = element.rule.value if element.rule is not None else None
        self.timeout = vector.timeout
        self.message = element.message or ""
        self.memberlabels: dict[str, Any] = {}
        for one in element.members:
            is_number = element.kind is VectorKind.NUMBER
            limits = (one.label, one.format, one.min, one.max, one.step)
            self.memberlabels[one.name] = limits if is_number else one.label

    def __setitem__(self, membername: str, value: Any) -> None:
        self.data[membername] = value


class defSwitchVector(defVector):
    """Switches are defined."""


class defTextVector(defVector):
    """Text members are defined."""


class defNumberVector(defVector):
    """Numbers are defined."""


class defLightVector(defVector):
    """Lights are defined."""


class defBLOBVector(defVector):
    """BLOBs are defined, without values yet."""

    eventtype = "DefineBLOB"


class setVector(UserDict[str, Any], Event):
    """The device has sent new values of some or all members.

    Attributes:
        state: The new state, or None if it was not sent.
        timeout: Seconds, or None if it was not sent.
        message: Its message, or "".
    """

    eventtype = "Set"

    def __init__(self, element: SetVector, device: Device, vector: PropertyVector) -> None:
        # Set directly, and not through the base classes: this is created for each update.
        known = vector.data
        self.data = {one[0]: one[1] for one in element.members if one[0] in known}  # values, or bytes
        self.device = device
        self.devicename = element.device
        self.vector = vector
        self.vectorname = element.name
        self.timestamp = vector.timestamp
        self._element = element
        state = element.state
        self.state = state._value_ if state is not None else None
        self.timeout: float | None = None
        if element.timeout is not None:
            seconds = number_of(element.timeout)
            self.timeout = seconds if seconds >= 0 else None
        self.message = element.message or ""


class setSwitchVector(setVector):
    """Switches have new values."""


class setTextVector(setVector):
    """Text members have new values."""


class setNumberVector(setVector):
    """Numbers have new values."""


class setLightVector(setVector):
    """Lights have new values."""


class setBLOBVector(setVector):
    """BLOBs have been received: member names and bytes.

    Attributes:
        sizeformat: ``(size, format)`` by member name.
    """

    eventtype = "SetBLOB"

    def __init__(self, element: SetVector, device: Device, vector: PropertyVector) -> None:
        super().__init__(element, device, vector)
        self.sizeformat = {
            one.name: (one.size if one.size is not None else len(one.data), one.format)
            for one in element.members
            if isinstance(one, OneBlob) and one.name in vector.data
        }


_DEFINITIONS = {
    VectorKind.SWITCH: defSwitchVector,
    VectorKind.TEXT: defTextVector,
    VectorKind.NUMBER: defNumberVector,
    VectorKind.LIGHT: defLightVector,
    VectorKind.BLOB: defBLOBVector,
}
_UPDATES = {
    VectorKind.SWITCH: setSwitchVector,
    VectorKind.TEXT: setTextVector,
    VectorKind.NUMBER: setNumberVector,
    VectorKind.LIGHT: setLightVector,
    VectorKind.BLOB: setBLOBVector,
}


def event_of(element: AnyMessage, device: Device | None, vector: PropertyVector | None) -> Event | None:
    """The event for a message, once that has been stored; None if it has none."""
    if isinstance(element, DefVector) and device is not None and vector is not None:
        return _DEFINITIONS[element.kind](element, device, vector)
    if isinstance(element, SetVector) and device is not None and vector is not None:
        return _UPDATES[element.kind](element, device, vector)
    if isinstance(element, DelProperty):
        return delProperty(element, device, vector)
    if isinstance(element, MessageElement):
        return Message(element, device)
    if isinstance(element, GetProperties):
        return getProperties(element, device, vector)
    return None
