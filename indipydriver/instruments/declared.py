"""Properties that are declared on a class: one value each, with its type, its limits and its handler."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Sequence
from enum import Enum
from os import PathLike
from typing import Any, ClassVar, Final, Generic, Protocol, Self, TypeAlias, TypedDict, TypeVar, Unpack, overload

from ..errors import DefinitionError
from ..events import newBLOBVector, newNumberVector, newSwitchVector, newVector
from ..propertymembers import BLOBMember, LightMember, NumberMember, PropertyMember, SwitchMember, TextMember
from ..propertyvectors import BLOBVector, LightVector, NumberVector, PropertyVector, SwitchVector, TextVector
from ..protocol.tags import Permission, State, SwitchRule

__all__ = [
    "MAIN",
    "Blob",
    "BlobValue",
    "Button",
    "Choice",
    "Declared",
    "How",
    "Light",
    "Number",
    "Owner",
    "Switch",
    "Text",
    "Value",
    "values_of",
]

MAIN: Final = "Main Control"
"""The group in which clients show a property that names none."""

BlobValue: TypeAlias = bytes | str | PathLike[str] | None
"""Bytes, or the path of a file; None before there is one."""

_T = TypeVar("_T")
_D = TypeVar("_D")
_E = TypeVar("_E", bound=Enum)
_H = TypeVar("_H", bound=Callable[..., Coroutine[Any, Any, None]])


class Owner(Protocol):
    """An object with declared values: a device, or a group in it."""

    def read(self, declared: Value[Any]) -> Any: ...
    def write(self, declared: Value[Any], value: Any) -> None: ...


class How(TypedDict, total=False):
    """The options of every property, see :class:`Declared`."""

    name: str | None
    group: str
    writable: bool
    saved: bool
    state: str


class Declared(Generic[_T]):
    """One property of a device, declared on its class.

    Args:
        label: Human-readable text; by default made from the attribute's name.
        name: The name for clients; by default the attribute's, in capitals.
        group: Text by which clients group properties.
        writable: Clients may set it, even without a handler.
        saved: Its value is kept from run to run. Clients may set it.
        state: Its initial state.

    Attributes:
        attribute: Its name in the class.
        handler: Handles the commands of clients; None: commands set the value.
        replaces: A new command cancels the handler of the previous one instead of waiting for it.
    """

    def __init__(
        self,
        label: str | None = None,
        *,
        name: str | None = None,
        group: str = MAIN,
        writable: bool = False,
        saved: bool = False,
        state: str = State.IDLE,
    ) -> None:
        self.attribute = ""
        self.handler: Callable[..., Coroutine[Any, Any, None]] | None = None
        self.replaces = False
        self.saved = saved
        self._label = label
        self._name = name
        self._group = group
        self._writable = writable
        self._state = state

    def __set_name__(self, owner: type[Any], attribute: str) -> None:
        if self.attribute and self.attribute != attribute:
            raise DefinitionError(f"{attribute!r} is already declared, as {self.attribute!r}")
        self.attribute = attribute

    def rename(self, name: str) -> None:
        """Give it this name for clients, unless it was declared with another."""
        self._name = self._name or name

    @property
    def name(self) -> str:
        """The name for clients."""
        return self._name or self.attribute.upper()

    @property
    def label(self) -> str:
        """Human-readable text."""
        return self._label or self.attribute.replace("_", " ").capitalize()

    @property
    def perm(self) -> Permission:
        """What clients may do."""
        may_write = self._writable or self.saved or self.handler is not None
        return Permission.READ_WRITE if may_write else Permission.READ_ONLY

    def command(
        self, handler: Callable[[_D, _T], Coroutine[Any, Any, None]]
    ) -> Callable[[_D, _T], Coroutine[Any, Any, None]]:
        """Decorate the coroutine that handles the commands of clients.

        It is given the requested value. While it runs, the state is Busy, then Ok; the property then has the requested
        value, unless the coroutine has assigned another. Raising :class:`Refused` makes it Alert, with the text.
        Commands wait for each other.
        """
        return self._handled_by(handler, replaces=False)

    def task(
        self, handler: Callable[[_D, _T], Coroutine[Any, Any, None]]
    ) -> Callable[[_D, _T], Coroutine[Any, Any, None]]:
        """Like :meth:`command`, but a new command cancels the coroutine, and so does :meth:`PropertyDevice.cancel`."""
        return self._handled_by(handler, replaces=True)

    def _handled_by(self, handler: _H, replaces: bool) -> _H:
        if not inspect.iscoroutinefunction(handler):
            raise TypeError(f"the handler of {self._name or 'a property'!r} must be a coroutine: write async def")
        if self.attribute:  # it would get a handler there, too
            raise TypeError(f"{self.attribute!r} belongs to another class: declare it again in the derived class")
        if self.handler is not None:
            raise TypeError(f"{self._name or 'this property'!r} already has a handler: {self.handler.__qualname__}")
        self.handler, self.replaces = handler, replaces
        vars(handler).setdefault("_indi_handles", []).append(self)
        return handler

    @staticmethod
    def handled_by(function: object) -> list[Declared[Any]]:
        """The properties of which a function is the handler."""
        found: list[Declared[Any]] = vars(function).get("_indi_handles", []) if inspect.isfunction(function) else []
        return found

    def handle(
        self, handler: Callable[..., Coroutine[Any, Any, None]], device: Any, wanted: _T
    ) -> Coroutine[Any, Any, None]:
        """What a handler does with what a client wants."""
        return handler(device, wanted)

    def vector(self) -> PropertyVector:
        """A new vector of this property."""
        raise NotImplementedError

    def _vector_of(
        self,
        kind: type[PropertyVector],
        members: Sequence[PropertyMember],
        rule: SwitchRule = SwitchRule.ANY_OF_MANY,
    ) -> PropertyVector:
        """A new vector of these members."""
        make: Callable[..., PropertyVector] = kind
        about: list[Any] = [self.name, self.label, self._group]
        if kind is not LightVector:
            about.append(self.perm)
        if kind is SwitchVector:
            about.append(rule)
        return make(*about, self._state, members)

    def wanted(self, device: Any, values: dict[str, Any]) -> _T:
        """What a client has requested, in the form that the handler receives."""
        raise NotImplementedError

    def accept(self, device: Any, wanted: _T) -> None:
        """Set the values that a client has requested."""
        raise NotImplementedError


class Value(Declared[_T]):
    """A property of one value, or a member of a group."""

    vector_class: ClassVar[type[PropertyVector]]

    def __init__(self, value: _T, label: str | None = None, **how: Unpack[How]) -> None:
        super().__init__(label, **how)
        self.value = value

    @overload
    def __get__(self, owner: None, kind: type[Any]) -> Self: ...
    @overload
    def __get__(self, owner: Owner, kind: type[Any]) -> _T: ...
    def __get__(self, owner: Owner | None, kind: type[Any]) -> Self | _T:
        if owner is None:
            return self
        value: _T = owner.read(self)
        return value

    def __set__(self, owner: Owner, value: _T) -> None:
        owner.write(self, value)

    def member(self) -> PropertyMember:
        """A new member for this value."""
        raise NotImplementedError

    def vector(self) -> PropertyVector:
        return self._vector_of(self.vector_class, [self.member()])

    def from_wire(self, value: Any) -> _T:
        """The value of a member, as the author sees it."""
        result: _T = value
        return result

    def to_wire(self, value: _T) -> Any:
        """The member's value for a value that the author uses."""
        return value

    def store(self, vector: PropertyVector, value: _T) -> None:
        """Put a value into the vector."""
        vector[self.name] = self.to_wire(value)

    def load(self, vector: PropertyVector) -> _T:
        """The value in the vector."""
        return self.from_wire(vector[self.name])

    def wanted(self, device: Any, values: dict[str, Any]) -> _T:
        return self.from_wire(next(iter(values.values())))

    def accept(self, device: Any, wanted: _T) -> None:
        device.write(self, wanted)


class Number(Value[float]):
    """A number.

    Args:
        value: The initial value.
        label: Human-readable text.
        format: How clients show it: a printf format, or such as "%9.6m" for degrees and hours.
        min: The smallest value that clients may set.
        max: The largest value; there is a range only if min < max.
        step: The step of the arrows that clients show; 0 for none.
    """

    vector_class = NumberVector

    def __init__(
        self,
        value: float = 0.0,
        label: str | None = None,
        *,
        format: str = "%g",
        min: float = 0.0,
        max: float = 0.0,
        step: float = 0.0,
        **how: Unpack[How],
    ) -> None:
        super().__init__(value, label, **how)
        self._number = (format, min, max, step)

    def member(self) -> NumberMember:
        return NumberMember(self.name, self.label, *self._number, self.value)

    def load(self, vector: PropertyVector) -> float:
        member: NumberMember = vector.data[self.name]
        return member.getfloatvalue()


class Text(Value[str]):
    """A text."""

    vector_class = TextVector

    def __init__(self, value: str = "", label: str | None = None, **how: Unpack[How]) -> None:
        super().__init__(value, label, **how)

    def member(self) -> TextMember:
        return TextMember(self.name, self.label, self.value)


class Switch(Value[bool]):
    """A switch that is on or off."""

    vector_class = SwitchVector

    def __init__(self, value: bool = False, label: str | None = None, **how: Unpack[How]) -> None:
        super().__init__(value, label, **how)

    def member(self) -> SwitchMember:
        return SwitchMember(self.name, self.label, self.to_wire(self.value))

    def from_wire(self, value: Any) -> bool:
        return value == "On" if isinstance(value, str) else bool(value)

    def to_wire(self, value: bool | str) -> str:
        return value if isinstance(value, str) else "On" if value else "Off"  # "Off" would be true


class Light(Value[str]):
    """A light: "Idle", "Ok", "Busy" or "Alert"."""

    vector_class = LightVector

    def __init__(
        self,
        value: str = State.IDLE,
        label: str | None = None,
        *,
        name: str | None = None,
        group: str = MAIN,
        state: str = State.IDLE,
    ) -> None:
        super().__init__(value, label, name=name, group=group, state=state)

    def member(self) -> LightMember:
        return LightMember(self.name, self.label, self.value)


class Blob(Value[BlobValue]):
    """An image, or other bytes. What is assigned is sent; a file is read when it is sent."""

    vector_class = BLOBVector

    def __init__(
        self,
        label: str | None = None,
        *,
        format: str = "",
        name: str | None = None,
        group: str = MAIN,
        writable: bool = False,
        state: str = State.IDLE,
    ) -> None:
        super().__init__(None, label, name=name, group=group, writable=writable, state=state)
        self._format = format

    def member(self) -> BLOBMember:
        return BLOBMember(self.name, self.label, blobformat=self._format)


class Button(Declared[None]):
    """A button, which springs back when it has been pressed."""

    @property
    def perm(self) -> Permission:
        return Permission.READ_WRITE

    def vector(self) -> PropertyVector:
        return self._vector_of(SwitchVector, [SwitchMember(self.name, self.label)], SwitchRule.AT_MOST_ONE)

    def pressed(self, handler: Callable[[_D], Coroutine[Any, Any, None]]) -> Callable[[_D], Coroutine[Any, Any, None]]:
        """Decorate the coroutine that runs when the button is pressed."""
        self._handled_by(handler, replaces=False)
        return handler

    def handle(
        self, handler: Callable[..., Coroutine[Any, Any, None]], device: Any, wanted: None
    ) -> Coroutine[Any, Any, None]:
        return handler(device)

    def wanted(self, device: Any, values: dict[str, Any]) -> None:
        return None

    def accept(self, device: Any, wanted: None) -> None:
        """It is Off again."""


class Choice(Value[_E]):
    """One of several choices, the members of an Enum. Clients identify them by name and show their values to users.

    Args:
        value: The initial choice; its class has the others.
    """

    vector_class = SwitchVector

    def __init__(self, value: _E, label: str | None = None, **how: Unpack[How]) -> None:
        super().__init__(value, label, **how)
        self._kind = type(value)

    def vector(self) -> PropertyVector:
        if not issubclass(self._kind, Enum):
            raise TypeError(f"a Choice is made with a member of an Enum, not with {self.value!r:.80}")
        members = [SwitchMember(one.name, str(one.value), "On" if one is self.value else "Off") for one in self._kind]
        return self._vector_of(SwitchVector, members, SwitchRule.ONE_OF_MANY)

    def wanted(self, device: Any, values: dict[str, Any]) -> _E:
        on = [name for name, value in values.items() if value]
        if on:
            return self._kind[on[0]]
        present: _E = device.read(self)
        if values.get(present.name, True) is False:
            raise ValueError("one of them is always On: turn another one On")
        return present

    def store(self, vector: PropertyVector, value: _E) -> None:
        if not isinstance(value, self._kind):
            raise ValueError(f"{self.attribute!r} is a {self._kind.__name__}, not {value!r}")
        assert isinstance(vector, SwitchVector)
        vector.choose(value.name)

    def load(self, vector: PropertyVector) -> _E:
        assert isinstance(vector, SwitchVector)
        chosen = vector.chosen
        assert chosen is not None, "one of them is always On"
        return self._kind[chosen]


def values_of(event: newVector) -> dict[str, Any]:
    """What a client has sent: float, bool, str or bytes for each member."""
    if isinstance(event, newNumberVector):
        return {name: event.getfloatvalue(name) for name in event}
    if isinstance(event, newSwitchVector):
        return {name: value == "On" for name, value in event.items()}
    if isinstance(event, newBLOBVector):
        return dict(event.items())
    return {name: str(value) for name, value in event.items()}
