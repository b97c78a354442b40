"""The basis of the instrument classes: standard properties, and how their commands are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, ClassVar, Final, TypeVar
from xml.etree.ElementTree import Element, SubElement

from ..propertymembers import NumberMember
from ..propertyvectors import PropertyVector, timestamp_string
from ..protocol.tags import State
from ..standard import StandardProperty
from .operations import End, Operation
from .propertydevice import ENDS, Bound, PropertyDevice
from .standardvectors import make_vector

__all__ = ["StandardDevice", "optional"]

_F = TypeVar("_F", bound=Callable[..., Any])
Handler = Callable[[dict[str, Any]], Awaitable[None]]

_SWITCH: Final = {True: "On", False: "Off"}


def optional(method: _F) -> _F:
    """Mark a method that an author may override; the properties that belong to it are defined only then."""
    vars(method)["_indi_optional"] = True
    return method


class StandardDevice(PropertyDevice):
    """A device with standard properties.

    Attributes:
        patience: Seconds without progress after which a coroutine is cancelled and fails; None: never.
    """

    patience: ClassVar[float | None] = 60.0

    # --- what there is ---

    def _standard(self) -> list[Bound]:
        """The standard properties; each class adds its own before those of the next class."""
        return []

    def _make(self) -> list[Bound]:
        return [*self._standard(), *super()._make()]

    def _bind(
        self,
        standard: StandardProperty,
        handle: Handler | None = None,
        *,
        permanent: bool = False,
        shown: bool = True,
        **how: Any,
    ) -> Bound:
        """A standard property of this device; without a handler it is read-only.

        Args:
            standard: The property.
            handle: Handles commands, and answers each of them.
            permanent: It is always defined.
            shown: It is defined.
            how: Arguments of make_vector().
        """
        if handle is None and standard.perm is not None:
            how["perm"] = "ro"
        vector = make_vector(standard, **how)
        return Bound(vector, handle, standard.saved, vector.state, permanent, shown)

    def _implements(self, method: str) -> bool:
        """Whether the author has overridden a method."""
        return not hasattr(getattr(type(self), method), "_indi_optional")

    def _require(self, *methods: str) -> None:
        """Raise TypeError if the author has overridden none of these methods."""
        if not any(self._implements(method) for method in methods):
            names = " or ".join(f"{method}()" for method in methods)
            raise TypeError(f"{type(self).__name__} does not override {names}")

    def _has(self, name: str) -> bool:
        """Whether it has this property, and shows it."""
        bound = self._bound.get(name)
        return bound is not None and bound.is_shown

    # --- values ---

    def _vector(self, name: str) -> PropertyVector:
        return self._bound[name].vector

    def _get(self, name: str, member: str) -> float:
        number: NumberMember = self._vector(name).data[member]
        return number.getfloatvalue()

    def _is_on(self, name: str, member: str) -> bool:
        return bool(self._vector(name)[member] == "On")

    def _put(self, name: str, values: Mapping[str, Any], state: str | None = None) -> bool:
        """Assign members, and a state; changes are sent soon. False if all values are as before.

        Raises:
            ValueError: The hardware has reported something else than a value. Until it reports one again, it is Alert.
        """
        vector = self._vector(name)
        try:
            for member, value in values.items():
                vector.data[member].check(_SWITCH[value] if isinstance(value, bool) else value)
        except ValueError:
            self._is_unread(vector, next(iter(values)))
            raise
        restored = self._is_read(vector)
        state = restored if state is None else state
        is_new = state is not None and vector.state != state
        has_changed = False
        for member, value in values.items():
            before = vector[member]
            vector[member] = _SWITCH[value] if isinstance(value, bool) else value
            has_changed = has_changed or vector[member] != before
        if state is not None:
            vector.state = state
        if has_changed or (values and self._operations.goes_on(name)):  # an unchanged value from poll() is not progress
            self._versions[name] = self._versions.get(name, 0) + 1
        if has_changed:
            self._operations.progressed(name)
        if is_new or has_changed:
            self._updates.put(vector, next(iter(values), ""))
        return has_changed

    async def _send(
        self, name: str, state: str | None = None, values: Mapping[str, Any] | None = None, message: str = ""
    ) -> None:
        """Assign members and send the property now."""
        vector = self._vector(name)
        for member, value in (values or {}).items():
            vector[member] = _SWITCH[value] if isinstance(value, bool) else value
        await self._updates.send(vector, state, message)

    async def _send_limits(self, name: str) -> None:
        """Tell clients the new limits of a number that is already defined, as libindi does."""
        vector = self._vector(name)
        if self.driver is None or not (vector.enable and self.enable):
            return
        about = {"device": self.devicename, "name": name, "state": vector.state, "timeout": vector.timeout}
        element = Element("setNumberVector", {**about, "timestamp": timestamp_string()})
        for member in vector.data.values():
            limits = {"name": member.name, "min": member.min, "max": member.max, "step": member.step}
            SubElement(element, "oneNumber", limits).text = member.membervalue
        await self.driver.send(element)

    async def _show(self, name: str, shown: bool) -> None:
        """Define a property, or delete it."""
        bound = self._bound[name]
        bound.is_shown = shown
        if shown and not bound.vector.enable and self._may_define(bound):
            bound.vector.enable = True
            await bound.vector.send_defVector()
        elif not shown and bound.vector.enable:
            await bound.vector.send_delProperty()

    def _may_define(self, bound: Bound) -> bool:
        """Whether a property would be defined now."""
        return True

    def _choose(self, name: str, member: str | None) -> None:
        """Turn one member on and all others off; None: all off."""
        vector = self._vector(name)
        for other in vector:
            vector[other] = _SWITCH[other == member]

    def _chosen(self, name: str) -> str | None:
        """The member that is on."""
        return next((member for member, value in self._vector(name).items() if value == "On"), None)

    # --- commands ---

    async def _button(self, name: str, state: str = State.OK, message: str = "") -> None:
        """Answer a button: it springs back."""
        self._choose(name, None)
        await self._send(name, state, message=message)

    async def _pick(self, name: str, values: Mapping[str, Any]) -> str | None:
        """The member that a command turns on; if there is none, the command is answered."""
        member = next((member for member, on in values.items() if on), None)
        if member is None:
            await self._send(name)
        return member

    async def _store(self, name: str, values: Mapping[str, Any]) -> None:
        """Apply what a client has requested when nothing else has to be done."""
        await self._send(name, State.OK, values)
        self._save_one(name)

    async def _store_choice(self, name: str, values: Mapping[str, Any]) -> None:
        """Apply which switch is on when nothing else has to be done."""
        member = await self._pick(name, values)
        if member is not None:
            self._choose(name, member)
            await self._store(name, {})

    async def _set_up(
        self, name: str, values: Mapping[str, Any], method: Callable[[bool], Coroutine[Any, Any, None]], on: str
    ) -> None:
        """Handle a command for a pair of switches with a method that is told whether one of them is on."""
        member = await self._pick(name, values)
        if member is not None:
            await self._perform(name, method(member == on), accept=lambda: self._choose(name, member))

    def _check_going_on(self, name: str) -> None:
        """Raise CancelledError if the author's method has returned although its operation was cancelled."""
        if not self._operations.goes_on(name):
            raise asyncio.CancelledError

    async def _perform(
        self,
        name: str,
        coro: Coroutine[Any, Any, None],
        *,
        accept: Callable[[], object] | None = None,
        revoke: Callable[[], None] | None = None,
        others: tuple[str, ...] = (),
        waits: bool = True,
        ends: Mapping[End, State] = ENDS,
        then: Callable[[End], Awaitable[None]] | None = None,
        after: Sequence[Operation] = (),
        announce: Sequence[str] = (),
        takes: float = 0.0,
    ) -> None:
        """Run a method of the author for a command, in place of the one that runs under this name.

        Args:
            name: The property, which is also the name of the operation.
            coro: The method, called.
            accept: Applies the requested values, unless the method has assigned them.
            revoke: Called if it does not succeed.
            others: Further properties that are Busy with it.
            waits: Return when it has ended.
            ends: The state of the properties at its end.
            then: Awaited when its end has been reported.
            after: What else must have ended before it begins.
            announce: Properties that are sent before them.
            takes: Its expected duration: additional seconds without progress that are allowed.
        """
        try:
            while waits and name in self._operations:
                await self._operations.join(name)
        except BaseException:
            coro.close()
            raise
        vectors = [self._vector(each) for each in (name, *others) if self._has(each)]
        what = getattr(coro, "__qualname__", name)
        await self._run(
            vectors,
            what,
            coro,
            accept=accept,
            revoke=revoke,
            waits=waits,
            ends=ends,
            then=then,
            patience=None if self.patience is None else self.patience + takes,
            after=[*after, *self._operations.drop(name)],
            announce=announce,
        )
