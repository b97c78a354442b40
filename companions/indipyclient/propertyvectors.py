"""Vectors, as the class :class:`indipyclient.IPyClient` shows them: mappings of member names to values."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from indipydriver.protocol.messages import DefMember, DefVector, NewVector, OneBlob, OneMember, SetVector
from indipydriver.protocol.tags import VectorKind
from indipydriver.protocol.values import parse_timestamp

from .model.kept import brief
from .model.properties import number_of
from .propertymembers import (
    BLOBMember,
    LightMember,
    Member,
    NumberMember,
    SwitchMember,
    TextMember,
    getfloat,
)
from .snapshots import SnapNumberVector, SnapVector

if TYPE_CHECKING:
    from .devices import Device
    from .devicestore import DeviceStore

__all__ = [
    "BLOBVector",
    "LightVector",
    "NumberVector",
    "PropertyVector",
    "SnapNumberVector",
    "SnapVector",
    "SwitchVector",
    "TextVector",
    "new_vector",
]

SHORT: Final = 128
"""Bytes of a text below which it is not counted."""
DEFAULT_GROUP: Final = "DEFAULT GROUP"
"""Of vectors whose definition names none."""


@lru_cache(maxsize=16)
def _time_of(text: str) -> datetime | None:
    """Most devices give whole seconds, so that many updates have the same."""
    return parse_timestamp(text)


def stamp(text: str | None) -> datetime:
    """The timestamp of a message; now, if it has none."""
    return (_time_of(text) if text else None) or datetime.now(UTC)


def _limit(new: str | None, old: str) -> str:
    """The new limit of a number, unless there is none; longer text is not a number."""
    return new if new and len(new) <= SHORT else old


class PropertyVector(Mapping[str, Any]):
    """The base of all vectors; ``vector["RA"]`` is the value of that member.

    It has the attributes ``label group state perm rule timeout message`` as defined and updated; `rule` is None but for
    switches.

    Attributes:
        device: Its device.
        devicename: The name of its device.
        name: Its name.
        vectortype: ``NumberVector``, for example.
        timestamp: Of the last definition or update.
        message_timestamp: Of the last that had a message.
        enable: False when it has been deleted.
        user_string: For your own use.
        itemid: A number that no other item of this client has.
    """

    kind: VectorKind

    def __init__(self, device: Device, client: DeviceStore, message: DefVector) -> None:
        self.device = device
        self.devicename = device.devicename
        self.name = message.name
        self.vectortype = f"{message.kind}Vector"
        self.data: dict[str, Member] = {}
        self._client = client
        self.itemid = client.create_itemid(self.devicename, self.name)
        self.user_string = client.stored_user_string(self.devicename, self.name)
        self.message = ""
        self.message_timestamp = stamp(message.timestamp)
        self.timeout: float | None = None
        self.size = 0  # bytes of its texts, about
        self._long: dict[str, int] = {}  # lengths of those that are long, by member
        self._due = 0.0  # when an answer is late; 0 when none is awaited
        self.define(message)

    def define(self, message: DefVector) -> None:
        """Apply a definition, which may not be the first: members that stay keep what belongs to the user."""
        self.label = message.label or message.name
        self.group = message.group or DEFAULT_GROUP
        self.state = message.state.value
        self.perm = message.perm.value if message.perm is not None else "ro"
        self.rule = message.rule.value if message.rule is not None else None
        self.timestamp = stamp(message.timestamp)
        if message.message:
            self.message = message.message
            self.message_timestamp = self.timestamp
        self.timeout = None if self.kind is VectorKind.LIGHT else self._seconds(message.timeout, 0.0)
        self.enable = True
        self._due = 0.0
        self._long = {one.name: len(one.value) for one in message.members if len(one.value) > SHORT}
        before, self.data = self.data, {}
        for one in message.members:
            member = self.data[one.name] = self._make(one)
            old = before.get(one.name)
            if old is not None:
                member.itemid, member.user_string = old.itemid, old.user_string
                member.keep(old)
            else:
                member.itemid = self._client.create_itemid(self.devicename, self.name, one.name)
                member.user_string = self._client.stored_user_string(self.devicename, self.name, one.name)
        self._client.vector_changed(self)

    def _make(self, one: DefMember) -> Member:
        raise NotImplementedError

    @staticmethod
    def _seconds(text: str | None, default: float | None) -> float | None:
        seconds = number_of(text or "")
        return seconds if seconds >= 0 else default  # nan is not

    def update(self, message: SetVector) -> None:
        """The device has sent new values."""
        fields = self.__dict__  # what __setattr__ does for users is done once, at the end
        if message.state is not None:
            fields["state"] = message.state._value_
        fields["timestamp"] = time = stamp(message.timestamp)
        if message.message:
            fields["message"] = message.message
            fields["message_timestamp"] = time
        if message.timeout is not None:
            fields["timeout"] = self._seconds(message.timeout, self.timeout)
        fields["_due"] = 0.0
        self._set_members(message)
        self._client.vector_changed(self)

    def growth(self, message: SetVector) -> int:
        """By how many bytes an update makes the message and the texts of the members longer; short ones do not count
        of these."""
        long = self._long
        more = self._more_said(message)
        if not long:
            for one in message.members:
                if len(one[1]) > SHORT:
                    break
            else:
                return more
        sizes = {one[0]: len(one[1]) for one in message.members if one[0] in self.data}  # of two with a name the last
        return more + sum((size if size > SHORT else 0) - long.get(name, 0) for name, size in sizes.items())

    def _more_said(self, message: SetVector) -> int:
        return len(message.message) - len(self.message or "") if message.message else 0

    def grow(self, message: SetVector, more: int) -> None:
        """There is room for what has been found by :meth:`growth`."""
        self.size += more
        sizes = {one.name: len(one[1]) for one in message.members if one.name in self.data}
        self._long = {name: size for name, size in {**self._long, **sizes}.items() if size > SHORT}

    def _set_members(self, message: SetVector) -> None:
        members = self.data
        for one in message.members:
            member = members.get(one[0])
            if member is not None:
                member.received(one[1])

    def __getitem__(self, membername: str) -> Any:
        return self.data[membername].membervalue

    def __setitem__(self, membername: str, value: Any) -> None:
        """Change the values here; nothing is sent."""
        self.data[membername].membervalue = value
        self._client.vector_changed(self)

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if name in ("state", "timestamp", "user_string", "enable", "message", "itemid") and "_due" in self.__dict__:
            self._client.vector_changed(self)

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other if isinstance(other, PropertyVector) else dict(self) == other

    def members(self) -> dict[str, Member]:
        """The members themselves, by name."""
        return dict(self.data)

    def member(self, membername: str) -> Member:
        """One of them."""
        return self.data[membername]

    def memberlabel(self, membername: str) -> str:
        """Its label."""
        return self.data[membername].label

    def snapshot(self) -> SnapVector:
        """A copy that does not change."""
        return SnapVector(self)

    def checktimedout(self, nowtime: float) -> bool:
        """Whether an answer is late at this time of the event loop; True only once."""
        if self._due and nowtime >= self._due:
            self._due = 0.0
            return True
        return False

    async def create_clientevent(self, eventtype: str = "ClientEvent", **payload: Any) -> None:
        """Raise an event of your own, with the present values."""
        await self._client.raise_clientevent(eventtype, self, payload)

    # Sending

    def _clean(self, members: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in members.items() if name in self.data}

    async def _send(self, timestamp: datetime | None, members: tuple[OneMember, ...] | tuple[OneBlob, ...]) -> None:
        if not members or not self.enable:
            return
        if timestamp is None:
            timestamp = datetime.now(UTC)
        if not isinstance(timestamp, datetime) or (timestamp.utcoffset() or timedelta(0)) != timedelta(0):
            self._client.refuse_to_send(f"{self.devicename}.{self.name}: the timestamp is not a UTC datetime; not sent")
            return
        text = timestamp.replace(tzinfo=None).isoformat(sep="T")
        before, self._due = self._due, math.inf  # on a slow line the answer may come before send_message returns
        sent = False
        try:
            sent = await self._client.send_indi(NewVector(self.kind, self.devicename, self.name, members, text))
        finally:
            answered = self._due != math.inf
            if not answered:
                self._due = before
        if sent and not answered:
            self.state = "Busy"
            self._wait_for_answer()

    def _wait_for_answer(self) -> None:
        client = self._client
        if client.timeout_enable:
            seconds = min(max(self.timeout or 0.0, client.vector_timeout_min), client.vector_timeout_max)
            loop = asyncio.get_running_loop()
            self._due = loop.time() + seconds
            loop.call_later(seconds + 0.001, client.look_at_timeout, self)


class SwitchVector(PropertyVector):
    """Switches; ``rule`` says how many may be On."""

    kind = VectorKind.SWITCH

    def _make(self, one: DefMember) -> Member:
        return SwitchMember(one.name, one.label, one.value)

    async def send_newSwitchVector(
        self, timestamp: datetime | None = None, members: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        """Send these switches, Off before On; unknown names are left out."""
        values = {}
        for name, value in self._clean(members).items():
            if isinstance(value, bool):
                value = "On" if value else "Off"
            if value not in ("On", "Off"):
                self._client.refuse_to_send(
                    f"{self.devicename}.{self.name}.{name} is On or Off, not {value!r}; not sent"
                )
                return
            values[name] = value
        ordered = sorted(values.items(), key=lambda item: item[1] == "On")
        await self._send(timestamp, tuple(OneMember(name, value) for name, value in ordered))


class LightVector(PropertyVector):
    """Lights, which clients cannot set."""

    kind = VectorKind.LIGHT

    def _make(self, one: DefMember) -> Member:
        return LightMember(one.name, one.label, one.value)


class TextVector(PropertyVector):
    """Text members."""

    kind = VectorKind.TEXT

    def _make(self, one: DefMember) -> Member:
        return TextMember(one.name, one.label, one.value)

    async def send_newTextVector(
        self, timestamp: datetime | None = None, members: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        """Send all members: the given values, and the others as they are."""
        given = self._clean(members)
        if members and not given:
            return
        every = {name: str(given.get(name, member.membervalue)) for name, member in self.data.items()}
        await self._send(timestamp, tuple(OneMember(name, value) for name, value in every.items()))


class NumberVector(PropertyVector):
    """Numbers."""

    kind = VectorKind.NUMBER

    def _make(self, one: DefMember) -> Member:
        return NumberMember(one.name, one.label, one.format, one.min, one.max, one.step, one.value)

    def _set_members(self, message: SetVector) -> None:
        super()._set_members(message)
        for one in message.members:
            if len(one) == 5 and (one[2] is not None or one[3] is not None or one[4] is not None):  # limits change, too
                member = self.data.get(one.name)
                if isinstance(one, OneMember) and isinstance(member, NumberMember):
                    member.min, member.max = _limit(one.min, member.min), _limit(one.max, member.max)
                    member.step = _limit(one.step, member.step)

    def _number(self, membername: str) -> NumberMember:
        member = self.data[membername]
        assert isinstance(member, NumberMember)
        return member

    def getfloatvalue(self, membername: str) -> float:
        """The value of a member as a float."""
        return self._number(membername).getfloatvalue()

    def getformattedvalue(self, membername: str) -> str:
        """The value of a member in its format."""
        return self._number(membername).getformattedvalue()

    async def send_newNumberVector(
        self, timestamp: datetime | None = None, members: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        """Send all numbers: the given ones, and the others as they are."""
        given = self._clean(members)
        if members and not given:
            return
        found = []
        for name, member in self.data.items():
            value = given.get(name, member.membervalue)
            try:
                getfloat(value)
            except TypeError as error:
                self._client.refuse_to_send(f"{self.devicename}.{self.name}.{name}: {error}; not sent")
                return
            found.append(OneMember(name, str(value).strip() or "0"))
        await self._send(timestamp, tuple(found))

    def snapshot(self) -> SnapVector:
        return SnapNumberVector(self)


class BLOBVector(PropertyVector):
    """BLOBs; a value is bytes, or None until there are any."""

    kind = VectorKind.BLOB

    def _make(self, one: DefMember) -> Member:
        return BLOBMember(one.name, one.label)

    def _blob(self, membername: str) -> BLOBMember:
        member = self.data[membername]
        assert isinstance(member, BLOBMember)
        return member

    def growth(self, message: SetVector) -> int:
        return self._more_said(message)

    def grow(self, message: SetVector, more: int) -> None:
        self.size += more

    def set_blobsize(self, membername: str, blobsize: int) -> None:
        """Change the size that is known here."""
        self._blob(membername).blobsize = int(blobsize)

    def set_blobformat(self, membername: str, blobformat: str) -> None:
        """Change the format that is known here."""
        self._blob(membername).blobformat = blobformat

    def _set_members(self, message: SetVector) -> None:
        for one in message.members:
            member = self.data.get(one.name)
            if isinstance(member, BLOBMember) and isinstance(one, OneBlob):
                member.received(one.data)
                self._client.keep_blob(self, one.name, len(one.data))
                member.blobsize = one.size if one.size is not None else len(one.data)
                member.blobformat = brief(one.format) or ""

    async def send_newBLOBVector(
        self, timestamp: datetime | None = None, members: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        """Send BLOBs, each as ``(value, size, format)``; unknown names are left out.

        A value is bytes, a path or a binary file; a size of 0 is that of the data; an empty format is the suffix of
        the path.

        Raises:
            ValueError: A value is not such a triple, or a path that of no file, or of more than a server takes.
            OSError: A file cannot be read.
        """
        found = []
        for name, value in self._clean(members).items():
            triple = (value, 0, "") if isinstance(value, bytes) else value
            if not isinstance(triple, (tuple, list)) or len(triple) != 3:
                raise ValueError(f"{name}: a BLOB is sent as (value, size, format)")
            data, size, format = await asyncio.to_thread(self._blob(name).contents, *triple)
            if data:
                found.append(OneBlob(name, data, size, format))
        await self._send(timestamp, tuple(found))


_CLASSES: Final[dict[VectorKind, type[PropertyVector]]] = {
    each.kind: each for each in (SwitchVector, LightVector, TextVector, NumberVector, BLOBVector)
}


def new_vector(device: Device, client: DeviceStore, message: DefVector) -> PropertyVector:
    """The vector that a definition describes."""
    return _CLASSES[message.kind](device, client, message)
