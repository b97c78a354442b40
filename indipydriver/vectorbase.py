"""What the five kinds of property vector have in common."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from .arguments import Call, attribute, seconds, word
from .errors import DefinitionError, NotRunning
from .fixed import listed
from .locks import TOGETHER
from .propertymembers import PropertyMember, as_text, check_name
from .protocol.encode import encode
from .protocol.forms import Forms
from .protocol.frame import Frame
from .protocol.messages import DefVector, DelProperty
from .protocol.tags import Permission, State, SwitchRule, VectorKind
from .protocol.values import format_timestamp
from .shapes import DeviceLike, DriverLike, Sender
from .transport.outlet import Outlet

__all__ = ["PropertyVector"]

_handled: Final[ContextVar[object]] = ContextVar("_handled", default=None)
"""The vector whose command this task handles, or the task that has started it."""


class PropertyVector(UserDict[str, Any]):
    """What all vectors have in common: a mapping of member names to values.

    The members themselves are in `data`. Assigning a value checks it, but sends nothing: use the
    send coroutines for that. They raise NotRunning before the driver runs, and do nothing after it
    has ended.

    Attributes:
        name: Printable ASCII, unique in its device.
        vectortype: The name of the class.
        enable: While False, nothing is sent and commands are ignored.
        devicename: None until it is in a Device.
        driver: None until it is in an IPyDriver.
        changed: State, timeout or message differ from what was last sent.

    Raises:
        DefinitionError: The name is empty or not printable ASCII, or two members have the same name.
        TypeError: A member is of the wrong class.
        ValueError: The state is not one of the four.
    """

    vectorkind: ClassVar[VectorKind]
    _member_class: ClassVar[type[PropertyMember]]

    def __init__(self, name: str, label: str, group: str, state: str, members: Iterable[PropertyMember]) -> None:
        super().__init__()
        self.name = check_name("vector", name)
        self.label = label
        self.group = group
        self.vectortype = type(self).__name__
        self.enable = True
        self.devicename: str | None = None
        self.driver: DriverLike[PropertyVector] | None = None
        self.changed = True
        self._state = word(State, state, "state", name)
        self._timeout = "0"
        self._message = ""
        self._assigned = dict.fromkeys(("state", "timeout", "message"), 0)  # how many assignments there have been
        self._sends_to: Sender | None = None
        self._is_commanded = False  # a client waits for an answer
        self._is_in_hands = False  # rxevent handles the command
        self._is_held_back = False  # what others have sent meanwhile, who may not know of it
        self._forms = Forms()
        if isinstance(members, PropertyMember):
            raise TypeError(f"the members of {name!r} must be in a list: [{members.name}]")
        for member in members:
            if not isinstance(member, self._member_class):
                raise TypeError(
                    f"the members of the {self.vectortype} {name!r} must be {self._member_class.__name__}, "
                    f"not {type(member).__name__}"
                )
            if member.name in self.data:
                raise DefinitionError(f"two members of {name!r} are named {member.name!r}")
            self.data[member.name] = member

    @property
    def label(self) -> str:
        """Human-readable text; an empty one is sent as the name."""
        return self._label

    @label.setter
    def label(self, value: str | None) -> None:
        self._label = attribute(as_text(value), "label", self.name)

    @property
    def group(self) -> str:
        """Text by which clients group vectors."""
        return self._group

    @group.setter
    def group(self, value: str | None) -> None:
        self._group = attribute(as_text(value), "group", self.name)

    @property
    def state(self) -> str:
        """One of Idle, Ok, Busy and Alert; anything else raises ValueError."""
        return self._state.value

    @state.setter
    def state(self, value: str) -> None:
        state = word(State, value, "state", self.name)
        self._assigned["state"] += 1
        if state != self._state:
            self._state = state
            self.changed = True

    @property
    def timeout(self) -> str:
        """The longest time in seconds that a change takes, as str; "0" means at once, or unknown.

        Anything but a finite number, 0 or more, raises ValueError.
        """
        return self._timeout

    @timeout.setter
    def timeout(self, value: Any) -> None:
        timeout = seconds(value, self.name)
        self._assigned["timeout"] += 1
        if timeout != self._timeout:
            self._timeout = timeout
            self.changed = True

    @property
    def message(self) -> str:
        """The last text that was given to a send. It goes out in that send only."""
        return self._message

    @message.setter
    def message(self, value: Any) -> None:
        message = as_text(value)
        self._assigned["message"] += 1
        if message and message != self._message:
            self._message = message
            self.changed = True

    @property
    def perm(self) -> str:
        """What clients may do: ro, wo or rw."""
        return Permission.READ_ONLY.value

    @property
    def device(self) -> DeviceLike[PropertyVector]:
        """The device it is in; TypeError if that does not belong to a driver."""
        if self.driver is None or self.devicename is None:
            raise TypeError(f"the vector {self.name!r} does not belong to a driver")
        return self.driver[self.devicename]

    def __getitem__(self, membername: str) -> Any:
        try:
            return self.data[membername].membervalue
        except KeyError:
            raise self._unknown(membername) from None

    def __setitem__(self, membername: str, value: Any) -> None:
        if membername not in self.data:
            raise self._unknown(membername)
        self.data[membername].membervalue = value

    def update(self, other: Any = (), /, **values: Any) -> None:
        """Assign several values; if one of them is wrong, nothing is changed."""
        given = dict(other)
        given.update(values)
        for membername, value in given.items():
            if membername not in self.data:
                raise self._unknown(membername)
            self.data[membername].check(value)
        with TOGETHER:
            for membername, value in given.items():
                self._assign(membername, value)

    def _assign(self, membername: str, value: Any) -> None:
        """Assign one of several values, which have been checked."""
        self[membername] = value

    def _unknown(self, membername: object) -> KeyError:
        return KeyError(f"the vector {self.name!r} has no member {membername!r}; it has {listed(self.data)}")

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]  # that of UserDict would replace members by values
        self.update(other)
        return self

    async def send_defVector(
        self,
        message: str = "",
        timestamp: datetime | None = None,
        timeout: Any = None,
        state: str | None = None,
    ) -> None:
        """Define the vector at the clients, with all members.

        Args:
            message: Human-readable text.
            timestamp: By default, now.
            timeout: By default, unchanged.
            state: By default, unchanged.

        Raises:
            ValueError: An argument is wrong; nothing has been changed or sent.
            NotRunning: The driver does not run yet.
        """
        self._check_content()
        outlet = self._outlet()
        with outlet.in_order:
            call = self._checked(message, timestamp, timeout, state)
            if self._is_enabled():
                before = self._begin()
                try:
                    frame = self._def_frame(call)
                except BaseException:
                    self._give_up(before)
                    raise
                self._apply(call)
                outlet.emit(frame)
        await outlet.pace()

    async def send_delProperty(self, message: str = "", timestamp: datetime | None = None) -> None:
        """Delete the vector at the clients and disable it. This is sent even if it is disabled already."""
        call = self._checked(message, timestamp, None, None)
        outlet = self._outlet()
        deletion = encode(DelProperty(self.devicename, self.name, call.timestamp, call.message))
        with outlet.in_order:
            outlet.emit(deletion)
            self.enable = False
        self.changed = True
        for member in self.data.values():
            member.changed = True
        await outlet.pace()

    if TYPE_CHECKING:
        # To type checkers `device[name]` is a PropertyVector; all vectors have the second of these, all but
        # BLOBVector the first.

        async def send_setVector(
            self,
            message: str = "",
            timestamp: datetime | None = None,
            timeout: Any = None,
            state: str | None = None,
            allvalues: bool = True,
        ) -> None: ...

        async def send_setVectorMembers(
            self,
            message: str = "",
            timestamp: datetime | None = None,
            timeout: Any = None,
            state: str | None = None,
            members: Sequence[str] = (),
        ) -> None: ...

    def join_driver(self, driver: DriverLike[PropertyVector], sender: Sender) -> None:
        """Told that it is in a driver, and where to send."""
        self.driver, self._sends_to = driver, sender

    def _outlet(self) -> Outlet:
        """Where to send."""
        if self._sends_to is None or self.devicename is None:
            raise NotRunning(f"the vector {self.name!r} does not belong to a driver, so it cannot send anything")
        return self._sends_to.outlet

    def _is_enabled(self) -> bool:
        return bool(self.enable and self.device.enable)

    def _checked(self, message: Any, timestamp: Any, timeout: Any, state: Any) -> Call:
        return Call(
            as_text(message),
            format_timestamp(timestamp),
            None if timeout is None else seconds(timeout, self.name),
            word(State, state, "state", self.name) if state else None,
            tuple(self._assigned.values()),
        )

    def _check_content(self) -> None:
        """Raise LocalProtocolError if these values may not be sent together, unless as an answer to clients."""

    def _begin(self) -> bool:
        """Begin a send; returns whether something had changed. What is assigned from now on belongs to the next."""
        changed, self.changed = self.changed, False
        return changed

    def _give_up(self, was_changed: bool) -> None:
        """Undo the beginning of a send: nothing has been sent."""
        if was_changed:
            self.changed = True

    def _apply(self, call: Call) -> None:
        """Make the arguments of a send those of the vector, except what has been assigned since it began."""
        state, timeout, message = [
            now != before for now, before in zip(self._assigned.values(), call.assigned, strict=True)
        ]
        if call.timeout is not None and not timeout:
            self._timeout = call.timeout
        if call.state and not state:
            self._state = call.state
        if call.message and not message:
            self._message = call.message
        if (state and call.state not in (None, self._state)) or (timeout and call.timeout not in (None, self._timeout)):
            self.changed = True  # what has been sent is older

    def _is_news(self, call: Call) -> bool:
        """Whether the vector differs from what was last sent, or will with the arguments of a send."""
        return bool(
            self.changed
            or (call.state and call.state != self._state)
            or (call.timeout is not None and call.timeout != self._timeout)
            or (call.message and call.message != self._message)
        )

    def _sent_timeout(self, call: Call) -> str | None:
        """The timeout to send; a vector that clients cannot set has none."""
        return None

    def _def_frame(self, call: Call, values: Sequence[str] | None = None) -> Frame:
        state, timeout = call.state or self._state, self._sent_timeout(call)
        perm, rule = self._perm_and_rule()
        descriptions = [member.description for member in self.data.values()]
        values = self._defined_values() if values is None else values
        what = ("def", self.devicename, self.name, self._label, self._group, perm, rule, timeout, *descriptions)

        def message() -> DefVector:
            assert self.devicename is not None
            members = tuple([of._replace(value=value) for of, value in zip(descriptions, values, strict=True)])
            return DefVector(
                self.vectorkind,
                self.devicename,
                self.name,
                state,
                members,
                self._label,
                self._group,
                perm,
                rule,
                timeout,
                call.timestamp,
                call.message,
            )

        return self._forms.encode(what, state, call.timestamp, call.message, values, message, comes_again=True)

    def _defined_values(self) -> list[str]:
        """What a definition says about the values."""
        with TOGETHER:
            return self._sent_values(self.data.values())

    def _sent_values(self, members: Iterable[PropertyMember]) -> list[str]:
        """Their values as they are sent."""
        return [member.membervalue for member in members]

    def check_definition(self) -> None:
        """Raise LocalProtocolError if no receiver would accept the definition: it is too long, for example."""
        self._def_frame(self._checked("", None, None, None))

    def _perm_and_rule(self) -> tuple[Permission | None, SwitchRule | None]:
        return Permission(self.perm), None

    # --- called when commands and requests come ---

    def note_command(self) -> None:
        """Note that this task is about to handle a command, and a client waits for an answer: the next send goes out
        even if nothing has changed, but until :meth:`note_handled` only one by this task, or by those that it starts.
        """
        self._is_commanded = self._is_in_hands = True
        _handled.set(self)

    def note_handled(self) -> bool:
        """Note that the command has been handled, or will not be.

        Returns:
            Whether it is still to be answered, because others have sent meanwhile what might have been the answer.
        """
        self._is_in_hands, is_held_back, self._is_held_back = False, self._is_held_back, False
        return is_held_back and self._is_commanded

    def _is_answer(self) -> bool:
        """Whether a send answers a command."""
        self._is_held_back = self._is_commanded and self._is_in_hands and _handled.get() is not self
        return self._is_commanded and not self._is_held_back

    async def answer_request(self) -> None:
        """Answer a getProperties. Only the requester gets it, so changes still have to be sent to others."""
        outlet = self._outlet()
        with outlet.in_order:
            if self._is_enabled():
                frame = self._def_frame(self._checked("", None, None, None))
                frame.reply = True
                outlet.emit(frame)
        await outlet.pace()

    async def answer_command(self, state: State, message: str) -> None:
        """Tell clients the outcome of a command, with the present values."""
        raise NotImplementedError
