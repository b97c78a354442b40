"""Properties of several values, declared on a class: mappings, or classes with one attribute for each value."""

from __future__ import annotations

import copy
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Self, TypeAlias, TypeVar, Unpack, overload

from ..errors import DefinitionError
from ..propertymembers import PropertyMember
from ..propertyvectors import PropertyVector
from .declared import Declared, How, Light, Number, Switch, Text, Value

__all__ = ["Group", "Lights", "Numbers", "Switches", "Texts"]

_Assign: TypeAlias = Callable[[PropertyVector, Sequence[str], Callable[[], None]], None]
_T = TypeVar("_T")
_D = TypeVar("_D")
_OF_EVERY_GROUP: Final = frozenset(vars(Declared()))
"""Attributes that a group has, and its class has not."""


class Group(Declared[Any], Generic[_T]):
    """Several values of one kind with one state: a mapping of their names to the values.

    The values are declared in the class body, or given to the constructor. Only what is declared in the class body
    is also an attribute.

    Args:
        members: Further values, or labels of values with default settings.
        label: Human-readable text.
    """

    _value_class: ClassVar[type[Value[Any]]]
    _declared: ClassVar[dict[str, Value[Any]]] = {}

    def __init__(
        self,
        members: Mapping[str, Value[_T] | str] | None = None,
        label: str | None = None,
        **how: Unpack[How],
    ) -> None:
        super().__init__(label, **how)
        self._members: dict[str, Value[Any]] = {value.name: value for value in self._declared.values()}
        for member, value in (members or {}).items():
            made = self._value_class(label=value) if isinstance(value, str) else value  # type: ignore[call-arg]
            made.__set_name__(type(self), member)
            made.rename(member)
            if made.name in self._members:
                raise DefinitionError(f"two members are named {made.name!r}")
            self._members[made.name] = made
        self._vector: PropertyVector | None = None  # None in a declaration and in a client's request
        self._assign: _Assign | None = None
        self._values: dict[str, Any] = {}  # the members that a client has named
        self._named: tuple[str, ...] = ()

    def __init_subclass__(cls, **how: Any) -> None:
        super().__init_subclass__(**how)
        declared = dict(cls._declared)
        for attribute, value in vars(cls).items():
            if isinstance(value, Declared):
                if attribute in _OF_EVERY_GROUP or hasattr(Group, attribute):
                    raise DefinitionError(
                        f"{cls.__name__}.{attribute} would hide what every group has: "
                        f"choose another attribute, with name={attribute.upper()!r} if clients are to see that name"
                    )
                if not isinstance(value, cls._value_class):
                    raise DefinitionError(
                        f"{cls.__name__}.{attribute} is a {type(value).__name__}, not a {cls._value_class.__name__}"
                    )
                declared[attribute] = value
        cls._declared = declared

    @overload
    def __get__(self, owner: None, kind: type[Any]) -> Self: ...
    @overload
    def __get__(self, owner: Any, kind: type[Any]) -> Self: ...
    def __get__(self, owner: Any, kind: type[Any]) -> Self:
        if owner is None:
            return self
        bound: Self = owner.group(self)
        return bound

    def __set__(self, owner: Any, value: Self) -> None:
        raise AttributeError(f"{self.attribute!r} is a group: assign its members, or use its update()")

    if not TYPE_CHECKING:  # to type checkers it would mean that any attribute may be assigned

        def __setattr__(self, attribute: str, value: Any) -> None:
            if self.__dict__.get("_vector") is not None and attribute not in self._declared and attribute[0] != "_":
                known = ", ".join(self._declared) or "not attributes, but names: " + ", ".join(self._members)
                raise AttributeError(f"{type(self).__name__} has no {attribute!r}, but {known}")
            super().__setattr__(attribute, value)

    def bind(self, vector: PropertyVector, assign: _Assign) -> Self:
        """The group of one device."""
        bound = copy.copy(self)
        bound.attach(vector, assign)
        return bound

    def attach(self, vector: PropertyVector, assign: _Assign) -> None:
        """Keep the values in a vector from now on; `assign` calls what assigns some of them."""
        self._vector, self._assign = vector, assign

    if TYPE_CHECKING:  # a handler gets a group with the requested values; changes() has the named ones

        def command(
            self, handler: Callable[[_D, Self], Coroutine[Any, Any, None]]
        ) -> Callable[[_D, Self], Coroutine[Any, Any, None]]: ...
        def task(
            self, handler: Callable[[_D, Self], Coroutine[Any, Any, None]]
        ) -> Callable[[_D, Self], Coroutine[Any, Any, None]]: ...

    # --- the values ---

    def read(self, declared: Value[Any]) -> Any:
        """The value of a member."""
        return declared.load(self._vector) if self._vector is not None else self._values[declared.name]

    def write(self, declared: Value[Any], value: Any) -> None:
        """Assign a member."""
        if self._vector is None or self._assign is None:
            raise AttributeError("what a client has requested cannot be changed")
        self._assign(self._vector, [declared.name], partial(declared.store, self._vector, value))

    def __getitem__(self, member: str) -> _T:
        value: _T = self.read(self._members[member])
        return value

    def __setitem__(self, member: str, value: _T) -> None:
        self._check_member(member)
        self.write(self._members[member], value)

    def _check_member(self, member: str) -> None:
        if member not in self._members:
            raise KeyError(f"{self.name} has no member {member!r}, but {', '.join(self._members)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, member: object) -> bool:
        return member in self._members

    def keys(self) -> list[str]:
        """The names."""
        return list(self._members)

    def values(self) -> list[_T]:
        """The values."""
        return [self[member] for member in self._members]

    def items(self) -> list[tuple[str, _T]]:
        """Names and values."""
        return [(member, self[member]) for member in self._members]

    def update(self, values: Mapping[str, _T] | Self) -> None:
        """Assign several members; if there is a mistake in one of them, nothing is changed."""
        if self._vector is None or self._assign is None:
            raise AttributeError("what a client wants cannot be changed")
        given = dict(values.items())
        for member in given:
            self._check_member(member)
        wire = {member: self._members[member].to_wire(value) for member, value in given.items()}
        self._assign(self._vector, list(wire), partial(self._vector.update, wire))

    def changes(self) -> dict[str, _T]:
        """In a client's request: the members that it has named."""
        return {member: self[member] for member in self._named}

    # --- as a property ---

    def members(self) -> list[PropertyMember]:
        """New members."""
        if not self._members:
            raise DefinitionError(f"the group {self.attribute!r} has no members")
        return [value.member() for value in self._members.values()]

    def vector(self) -> PropertyVector:
        return self._vector_of(self._value_class.vector_class, self.members())

    def wanted(self, device: Any, values: dict[str, Any]) -> Self:
        present: Self = device.group(self)
        named = {member: self._members[member].from_wire(value) for member, value in values.items()}
        wanted = copy.copy(self)
        wanted.hold({**dict(present.items()), **named}, tuple(values))
        return wanted

    def hold(self, values: dict[str, Any], named: tuple[str, ...]) -> None:
        """Take the values that a client has requested; `named` are the members that the client has sent."""
        self._values, self._named = values, named

    def accept(self, device: Any, wanted: Any) -> None:
        device.group(self).update(wanted.changes())


class Numbers(Group[float]):
    """Several numbers. In a class body, or as a dict, they are declared with :class:`Number`."""

    _value_class = Number


class Texts(Group[str]):
    """Several text values, declared with :class:`Text`."""

    _value_class = Text


class Switches(Group[bool]):
    """Several switches, each of which may be on or off, declared with :class:`Switch`."""

    _value_class = Switch


class Lights(Group[str]):
    """Several lights, declared with :class:`Light`."""

    _value_class = Light
