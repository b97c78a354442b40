"""Property vectors: groups of members with one state, which clients see and may set."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from .arguments import Call, named, timestamp_string, word
from .errors import LocalProtocolError
from .locks import TOGETHER
from .propertymembers import (
    BLOBMember,
    BLOBSource,
    LightMember,
    NumberMember,
    PropertyMember,
    SwitchMember,
    TextMember,
    as_text,
    check_length,
)
from .protocol.encode import PASSING, encode
from .protocol.escaping import escaped
from .protocol.frame import Frame
from .protocol.limits import Limits
from .protocol.messages import OneBlob, OneMember, SetVector
from .protocol.tags import Permission, State, SwitchRule, VectorKind
from .protocol.values import plain_number
from .transport.outlet import Outlet
from .transport.threads import LARGE_WORK, in_thread_if
from .valuevector import ValueVector
from .vectorbase import PropertyVector

__all__ = [
    "BLOBVector",
    "LightVector",
    "NumberVector",
    "PropertyVector",
    "SwitchVector",
    "TextVector",
    "timestamp_string",
]


_SHORT_TEXTS: Final = 4096  # total characters below which nothing need be checked
_MOST_TEXT: Final = PASSING - 2 * Limits().start_tag  # used with these, and with a message


class PermittedVector(PropertyVector):
    """A vector with a permission: any but lights."""

    def __init__(
        self, name: str, label: str, group: str, perm: str, state: str, members: Iterable[PropertyMember]
    ) -> None:
        super().__init__(name, label, group, state, members)
        self._perm = word(Permission, perm, "perm", name)

    def _sent_timeout(self, call: Call) -> str | None:
        if self._perm is Permission.READ_ONLY:
            return None
        return self._timeout if call.timeout is None else call.timeout

    @property
    def perm(self) -> str:
        """What clients may do: ro, wo or rw; anything else raises ValueError."""
        return self._perm.value

    @perm.setter
    def perm(self, value: str) -> None:
        self._perm = word(Permission, value, "perm", self.name)


class SwitchVector(PermittedVector, ValueVector):
    """A vector of switches, which enforces its rule.

    Where at most one switch may be On, turning one On turns the others Off: by assignment to the vector or to a
    member, and by ``vector.update(event)``. A send of some members includes what has changed with them. If more than
    one is On nevertheless, as at its creation, a send raises LocalProtocolError.

    Args:
        name: Printable ASCII, unique in its device.
        label: Human-readable text.
        group: Text by which clients group vectors.
        perm: "ro", "wo" or "rw".
        rule: "OneOfMany", "AtMostOne" or "AnyOfMany".
        state: "Idle", "Ok", "Busy" or "Alert".
        switchmembers: The members.
    """

    vectorkind = VectorKind.SWITCH
    _member_class = SwitchMember

    def __init__(
        self,
        name: str,
        label: str,
        group: str,
        perm: str,
        rule: str,
        state: str,
        switchmembers: Iterable[SwitchMember],
    ) -> None:
        super().__init__(name, label, group, perm, state, switchmembers)
        self._rule = word(SwitchRule, rule, "rule", name)
        for member in self.data.values():
            member.before_on = self._make_room

    @property
    def rule(self) -> str:
        """How many may be On: OneOfMany, AtMostOne or AnyOfMany; anything else raises ValueError."""
        return self._rule.value

    @rule.setter
    def rule(self, value: str) -> None:
        self._rule = word(SwitchRule, value, "rule", self.name)

    @property
    def chosen(self) -> str | None:
        """The name of the switch that is On, the first if there are several; None if there is none."""
        with TOGETHER:
            return next((name for name, member in self.data.items() if member.membervalue == "On"), None)

    def choose(self, membername: str | None) -> None:
        """Turn one switch On and all others Off.

        Args:
            membername: None turns all Off, which OneOfMany does not allow.

        Raises:
            KeyError: There is no such switch; nothing has been changed.
            ValueError: It is None, but one has to be On.
        """
        if membername is None and self._rule is SwitchRule.ONE_OF_MANY:
            raise ValueError(f"one switch of {self.name!r} must be On, as its rule is OneOfMany")
        if membername is not None and membername not in self.data:
            raise self._unknown(membername)
        with TOGETHER:
            self._turn_off_others(membername)
            if membername is not None:
                self.data[membername].membervalue = "On"

    def __setitem__(self, membername: str, value: Any) -> None:
        with TOGETHER:
            super().__setitem__(membername, value)
            if value == "On":
                self._make_room(membername)  # including members that were added to `data` later

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for member in self.data.values():
            member.before_on = self._make_room

    def _make_room(self, membername: str) -> None:
        """A switch is about to be turned On."""
        if self._rule is not SwitchRule.ANY_OF_MANY:
            self._turn_off_others(membername)

    def _turn_off_others(self, membername: str | None) -> None:
        for name, member in self.data.items():
            if name != membername:
                member.membervalue = "Off"

    def _perm_and_rule(self) -> tuple[Permission | None, SwitchRule | None]:
        return self._perm, self._rule

    def _check_content(self) -> None:
        """Raise LocalProtocolError if more switches are On than the rule allows."""
        if self._rule is SwitchRule.ANY_OF_MANY:
            return
        with TOGETHER:
            on = [name for name, member in self.data.items() if member.membervalue == "On"]
        if len(on) > 1:
            raise LocalProtocolError(
                f"{', '.join(on)} of {self.name!r} are On, but its rule is {self._rule}: "
                "choose(name) turns one On and the others Off"
            )

    def _update_frame(self, members: Sequence[PropertyMember], call: Call) -> Frame:
        if members and self._rule is not SwitchRule.ANY_OF_MANY:
            # What has changed with them belongs to them: clients would show two that are On, or none.
            chosen = set(map(id, members))
            members = [member for member in self.data.values() if member.changed or id(member) in chosen]
        return super()._update_frame(members, call)

    def _in_order(self, members: Sequence[PropertyMember]) -> Sequence[PropertyMember]:
        # Off before On, so that a client that applies them one by one never shows two that are On.
        return sorted(members, key=lambda member: member.membervalue == "On")


class LightVector(ValueVector):
    """A vector of lights, which clients cannot set.

    Args:
        name: Printable ASCII, unique in its device.
        label: Human-readable text.
        group: Text by which clients group vectors.
        state: "Idle", "Ok", "Busy" or "Alert".
        lightmembers: The members.
    """

    vectorkind = VectorKind.LIGHT
    _member_class = LightMember

    def __init__(self, name: str, label: str, group: str, state: str, lightmembers: Iterable[LightMember]) -> None:
        super().__init__(name, label, group, state, lightmembers)

    def _checked(self, message: Any, timestamp: Any, timeout: Any, state: Any) -> Call:
        return super()._checked(message, timestamp, None, state)

    def _perm_and_rule(self) -> tuple[Permission | None, SwitchRule | None]:
        return None, None


def _written(texts: Iterable[str]) -> int:
    """The length in bytes of text values as written in XML."""
    return sum(len(escaped(OneMember("", text)).value.encode()) for text in texts)


class TextVector(PermittedVector, ValueVector):
    """A vector of text values.

    Assigning text that is too long to be sent in one element, nearly 1 MiB, raises LocalProtocolError.

    Args:
        name: Printable ASCII, unique in its device.
        label: Human-readable text.
        group: Text by which clients group vectors.
        perm: "ro", "wo" or "rw".
        state: "Idle", "Ok", "Busy" or "Alert".
        textmembers: The members.
    """

    vectorkind = VectorKind.TEXT
    _member_class = TextMember

    def __init__(
        self, name: str, label: str, group: str, perm: str, state: str, textmembers: Iterable[TextMember]
    ) -> None:
        super().__init__(name, label, group, perm, state, textmembers)

    def __setitem__(self, membername: str, value: Any) -> None:
        self._check_texts({membername: value})
        super().__setitem__(membername, value)

    def update(self, other: Any = (), /, **values: Any) -> None:
        """Assign several values; if one of them is wrong, nothing is changed."""
        given = {**dict(other), **values}
        self._check_texts(given)
        super().update(given)

    def _assign(self, membername: str, value: Any) -> None:
        self.data[membername].membervalue = value  # with only some of the values it may be too long for a moment

    def _check_texts(self, texts: Mapping[str, Any]) -> None:
        """Raise LocalProtocolError if these values are longer than the present ones and too long to be sent."""
        short = _SHORT_TEXTS // max(1, len(self.data))
        if self.devicename is None or all(len(as_text(text)) <= short for text in texts.values()):
            return  # the device will check this when it gets the vector
        before = {name: member.membervalue for name, member in self.data.items()}
        size = _written(as_text(texts.get(name, text)) for name, text in before.items())
        room = _MOST_TEXT - self._def_frame(self._checked("", None, None, None), [""] * len(before)).size
        if size > max(room, _written(before.values())):
            raise LocalProtocolError(f"the texts of {self.name!r} may have {room} bytes together, not {size}")


class NumberVector(PermittedVector, ValueVector):
    """A vector of numbers.

    Args:
        name: Printable ASCII, unique in its device.
        label: Human-readable text.
        group: Text by which clients group vectors.
        perm: "ro", "wo" or "rw".
        state: "Idle", "Ok", "Busy" or "Alert".
        numbermembers: The members.
    """

    vectorkind = VectorKind.NUMBER
    _member_class = NumberMember

    def __init__(
        self, name: str, label: str, group: str, perm: str, state: str, numbermembers: Iterable[NumberMember]
    ) -> None:
        super().__init__(name, label, group, perm, state, numbermembers)

    def _sent_values(self, members: Iterable[NumberMember]) -> list[str]:  # type: ignore[override]  # it has no others
        return [plain_number(member.membervalue) for member in members]

    def getfloatvalue(self, membername: str) -> float:
        """The value of a member as float; KeyError if there is no such member, TypeError if it cannot be read."""
        member: NumberMember = self.data[membername]
        return member.getfloatvalue()

    def getformattedvalue(self, membername: str) -> str:
        """The value of a member as clients show it; KeyError if there is no such member."""
        member: NumberMember = self.data[membername]
        return member.getformattedvalue()


class BLOBVector(PermittedVector):
    """A vector of BLOBs.

    Args:
        name: Printable ASCII, unique in its device.
        label: Human-readable text.
        group: Text by which clients group vectors.
        perm: "ro", "wo" or "rw".
        state: "Idle", "Ok", "Busy" or "Alert".
        blobmembers: The members.
    """

    vectorkind = VectorKind.BLOB
    _member_class = BLOBMember

    def __init__(
        self, name: str, label: str, group: str, perm: str, state: str, blobmembers: Iterable[BLOBMember]
    ) -> None:
        super().__init__(name, label, group, perm, state, blobmembers)
        self._files = object()  # makes reads of files take turns

    def _defined_values(self) -> list[str]:
        return [""] * len(self.data)

    def set_blobsize(self, membername: str, blobsize: int) -> None:
        """Set the size that is sent for a member: that of its data after inflating; 0 for its length."""
        if membername not in self.data:
            raise KeyError(f"the vector {self.name!r} has no member {membername!r}")
        self.data[membername].blobsize = blobsize

    async def send_defVector(
        self,
        message: str = "",
        timestamp: datetime | None = None,
        timeout: Any = None,
        state: str | None = None,
    ) -> None:
        """Define the vector at the clients, as with other vectors."""
        async with self._outlet().turn(self):
            await super().send_defVector(message, timestamp, timeout, state)

    async def send_delProperty(self, message: str = "", timestamp: datetime | None = None) -> None:
        """Delete the vector at the clients and disable it. This is sent even if it is disabled already."""
        async with self._outlet().turn(self):
            await super().send_delProperty(message, timestamp)

    async def send_setVectorMembers(
        self,
        message: str = "",
        timestamp: datetime | None = None,
        timeout: Any = None,
        state: str | None = None,
        members: Sequence[str] = (),
    ) -> None:
        """Send some BLOBs to the clients; with none, only the state.

        Files are read and large BLOBs are encoded in a thread.

        Args:
            message: Human-readable text.
            timestamp: By default, now.
            timeout: By default, unchanged.
            state: By default, unchanged.
            members: Their names; unknown ones, and those without a value, are left out.

        Raises:
            ValueError: An argument is wrong, or a file cannot be read; nothing has been changed or sent.
            NotRunning: The driver does not run yet.
        """
        call = self._checked(message, timestamp, timeout, state)
        outlet = self._outlet()
        sources = [member.as_source() for member in named(self.data, members) if member.membervalue is not None]
        async with outlet.turn(self):
            if self._is_enabled():
                await self._send(outlet, sources, call)
        await outlet.pace()

    async def _send(self, outlet: Outlet, sources: Sequence[BLOBSource], call: Call) -> None:
        """Encode and send. Values that are assigned while a thread is working belong to the next send."""
        before = self._begin()
        was_commanded, self._is_commanded = self._is_commanded, False
        is_sent = False
        try:
            start = self._set_message((), call)
            blobs = await self._read(outlet, sources)
            large = sum(len(blob.data) for blob in blobs) > LARGE_WORK
            frame = await in_thread_if(large, lambda: encode(start._replace(members=blobs)))
            if self._is_enabled():  # still
                outlet.emit(frame)
                is_sent = True
        finally:
            if not is_sent:
                self._give_up(before)
                self._is_commanded = was_commanded or self._is_commanded
        if is_sent:
            self._apply(call)

    async def _read(self, outlet: Outlet, sources: Sequence[BLOBSource]) -> tuple[OneBlob, ...]:
        """What is to be sent. Files may take any time, so they are read in the pool of threads that the author uses.

        Reading cannot be interrupted, so it may outlive its send. The next send of a file waits for it: however often
        a hanging disk is tried, it occupies only one thread.
        """

        def read() -> tuple[OneBlob, ...]:
            check_length(sum(source.length() for source in sources))
            blobs = tuple([source.read() for source in sources])
            check_length(sum(len(blob.data) for blob in blobs))
            return blobs

        def over(reading: asyncio.Future[tuple[OneBlob, ...]]) -> None:
            turn.release()
            if not reading.cancelled():
                reading.exception()  # keeps asyncio from logging that it was never retrieved

        if not any(source.is_file for source in sources):
            return read()
        turn = outlet.turn(self._files)
        await turn.acquire()
        try:
            reading = asyncio.get_running_loop().run_in_executor(None, contextvars.copy_context().run, read)
        except BaseException:
            turn.release()
            raise
        try:
            reading.add_done_callback(over)
            return await asyncio.shield(reading)
        finally:
            del reading  # its exception keeps this frame in its traceback

    def _set_message(self, blobs: tuple[OneBlob, ...], call: Call) -> SetVector:
        assert self.devicename is not None
        return SetVector(
            VectorKind.BLOB,
            self.devicename,
            self.name,
            blobs,
            call.state or self._state,
            self._sent_timeout(call),
            call.timestamp,
            call.message,
        )

    async def answer_command(self, state: State, message: str) -> None:
        await self.send_setVectorMembers(message=message, state=state)
