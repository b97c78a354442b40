"""What a frame means: one named tuple for each kind of element.

All values are text as received, with entities decoded: numbers stay text, so that
nothing is lost on the way.  BLOB data is bytes.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from .tags import BlobMode, Permission, State, SwitchRule, VectorKind

__all__ = [
    "AnyMessage",
    "DefMember",
    "DefVector",
    "DelProperty",
    "EnableBlob",
    "GetProperties",
    "Message",
    "NewVector",
    "OneBlob",
    "OneMember",
    "Ping",
    "SetVector",
]


class GetProperties(NamedTuple):
    """A request to define properties: all, those of a device, or one.  From a driver: to snoop on them."""

    device: str | None = None
    name: str | None = None
    version: str | None = "1.7"


class EnableBlob(NamedTuple):
    """A request to send the BLOBs of a device or a property, or not to."""

    device: str | None
    name: str | None = None
    mode: BlobMode = BlobMode.ALSO


class DefMember(NamedTuple):
    """A member in a definition.

    Attributes:
        name: Its name, unique in the vector.
        value: Its value as text; "" for a BLOB.
        label: Human-readable text; "" means the name.
        format: Numbers only: printf format for display, or ``%<w>.<f>m``.
        min: Numbers only: smallest value, as text.
        max: Numbers only: largest value; there is a range only if min < max.
        step: Numbers only: step of the value, 0 for none.
    """

    name: str
    value: str = ""
    label: str = ""
    format: str = ""
    min: str = "0"
    max: str = "0"
    step: str = "0"


class OneMember(NamedTuple):
    """A member in an update or a command: its name and value as text.

    The limits are libindi's extension of setNumberVector; None when absent.
    """

    name: str
    value: str
    min: str | None = None
    max: str | None = None
    step: str | None = None


class OneBlob(NamedTuple):
    """A BLOB in an update or a command.

    Attributes:
        name: Name of the member.
        data: The bytes after base64, still compressed if the format ends in ``.z``.
        size: The ``size`` attribute: length after inflating; None when absent or unreadable.
        format: File name suffixes, each with its dot, such as ``.fits`` or ``.fits.z``.
    """

    name: str
    data: bytes
    size: int | None = None
    format: str = ""


class DefVector(NamedTuple):
    """The definition of a property vector."""

    kind: VectorKind
    device: str
    name: str
    state: State
    members: tuple[DefMember, ...]
    label: str = ""
    group: str = ""
    perm: Permission | None = None  # None for lights
    rule: SwitchRule | None = None  # switches only
    timeout: str | None = None  # seconds
    timestamp: str | None = None
    message: str | None = None


class SetVector(NamedTuple):
    """An update from the device."""

    kind: VectorKind
    device: str
    name: str
    members: tuple[OneMember, ...] | tuple[OneBlob, ...]
    state: State | None = None  # None: unchanged
    timeout: str | None = None  # seconds; None: unchanged
    timestamp: str | None = None
    message: str | None = None


class NewVector(NamedTuple):
    """A command to the device."""

    kind: VectorKind
    device: str
    name: str
    members: tuple[OneMember, ...] | tuple[OneBlob, ...]
    timestamp: str | None = None


class DelProperty(NamedTuple):
    """The property, or without a name the whole device, is gone."""

    device: str | None
    name: str | None = None
    timestamp: str | None = None
    message: str | None = None


class Message(NamedTuple):
    """Human-readable text, of one device or of the whole site."""

    device: str | None = None
    message: str = ""
    timestamp: str | None = None
    via: str | None = None  # names of the servers it came through (our extension)


class Ping(NamedTuple):
    """libindi's flow control: a request, or the reply with the same uid."""

    uid: str
    reply: bool = False


AnyMessage: TypeAlias = GetProperties | EnableBlob | DefVector | SetVector | NewVector | DelProperty | Message | Ping
