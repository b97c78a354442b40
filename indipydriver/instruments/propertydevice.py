"""Devices whose properties are declared on their class."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import logging
import os
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from ..errors import DefinitionError
from ..events import newVector
from ..propertyvectors import NumberVector, PropertyVector
from ..protocol.tags import Permission, State
from ..protocol.texts import brief
from .declared import Button, Declared, Value, values_of
from .groups import Group
from .loops import loops_of
from .names import (
    HIDES_METHOD,
    PrivateNames,
    check_attributes,
    handlers_of,
    hides_method,
    methods_of,
    where_async_is_missing,
)
from .operations import End, Operation, Operations, Refused, words_of
from .saving import Bound, Saving
from .updates import Updates
from .watched import watched

__all__ = ["ENDS", "LONGEST_DEVICE_END", "Bound", "PropertyDevice"]

_BUSY_AFTER: Final = 0.05
"""Seconds that a handler may take before clients are told that it is busy."""

LONGEST_DEVICE_END: Final = 4.0
"""Seconds in which everything must end when the driver does."""

ENDS: Final = {End.DONE: State.OK, End.CANCELLED: State.IDLE, End.FAILED: State.ALERT}
"""The state of a property when its handler has ended."""

logger = logging.getLogger("indipydriver.instruments")

_G = TypeVar("_G", bound=Group[Any])


@dataclass(eq=False)
class _Work:
    """What is to be done for a command, and at its end; see :meth:`PropertyDevice._run`.

    Attributes:
        version: How often the first vector had been written when it began.
    """

    vectors: Sequence[PropertyVector]
    accept: Callable[[], object] | None
    revoke: Callable[[], None] | None
    ends: Mapping[End, State]
    then: Callable[[End], Awaitable[None]] | None
    version: int = 0


class PropertyDevice(Saving):
    """A device whose properties are declared on its class, with types and handlers.

    Properties of base classes come first, then others in the order of their declaration. The device belongs in an
    :class:`InstrumentDriver`. Any other driver awaits :meth:`devhardware` in its hardware(), and :meth:`devrxevent`
    in its rxevent().

    Args:
        devicename: By default the environment variable INDIDEV, or `default_name` if that is not set.
        vectors: Vectors that are made by hand; override devrxevent() for their commands.
        devicedata: Anything else to keep with the device.

    Attributes:
        default_name: The name of the device; by default made from the name of the class.
        patience: Seconds without progress after which a handler is cancelled and fails; None: never.
        settings: Where saved properties are kept.
    """

    default_name: ClassVar[str] = ""
    patience: ClassVar[float | None] = None
    _declarations: ClassVar[dict[str, Declared[Any]]] = {}
    _indi_handlers: ClassVar[dict[str, Callable[..., Coroutine[Any, Any, None]]]] = {}
    _indi_methods: ClassVar[frozenset[str]] = frozenset()
    _indi_private: ClassVar[PrivateNames]

    def __init__(
        self, devicename: str | None = None, vectors: Iterable[PropertyVector] = (), **devicedata: Any
    ) -> None:
        self._updates = Updates(self)
        self._operations = Operations(self._failed)
        self._versions: dict[str, int] = {}
        self._unread: dict[str, str] = {}  # what was last assigned was no value; the states before
        self._spelled: set[str] = set()
        self._groups: dict[str, Group[Any]] = {}
        self._vectors: dict[str, PropertyVector] = {}  # by attribute
        self._bound: dict[str, Bound] = {}
        self._loops: list[asyncio.Task[None]] = []
        for bound in self._make():
            if bound.vector.name in self._bound:
                raise DefinitionError(f"two properties of {type(self).__name__} are named {bound.vector.name!r}")
            self._bound[bound.vector.name] = bound
        name = devicename or os.environ.get("INDIDEV") or self.own_name()
        super().__init__(name, [*(bound.vector for bound in self._bound.values()), *vectors], **devicedata)
        self._begin_saving()

    def __init_subclass__(cls, **how: Any) -> None:
        super().__init_subclass__(**how)
        declarations: dict[str, Declared[Any]] = {}
        cls._indi_methods = methods_of(cls)
        for attribute, value in vars(cls).items():
            if hides_method(cls._indi_methods, attribute, value):
                raise DefinitionError(f"{cls.__name__}.{attribute} {HIDES_METHOD}")
        for base in reversed(cls.__mro__):
            for attribute, value in vars(base).items():
                declarations.pop(attribute, None)
                if isinstance(value, Declared):
                    declarations[attribute] = value
        for attribute, declared in declarations.items():
            try:
                declared.vector()
            except (ValueError, TypeError) as error:
                error.add_note(f"in the declaration of {cls.__name__}.{attribute}")
                raise
        check_attributes(cls, declarations, PropertyDevice)
        cls._declarations, cls._indi_handlers = declarations, handlers_of(cls, declarations)

    if not TYPE_CHECKING:  # to type checkers it would mean that any attribute may be assigned

        def __setattr__(self, attribute: str, value: Any) -> None:
            if hides_method(self._indi_methods, attribute, value):
                raise AttributeError(f"{type(self).__name__}.{attribute} {HIDES_METHOD}")
            if attribute.startswith("_"):
                self._private_names().check(self.__dict__.setdefault("_indi_owners", {}), attribute)
            elif self.__dict__.get("driver") is not None:
                self._check_spelling(attribute)
            super().__setattr__(attribute, value)

    @classmethod
    def _private_names(cls) -> PrivateNames:
        if "_indi_private" not in vars(cls):
            cls._indi_private = PrivateNames(cls)
        return cls._indi_private

    def _check_spelling(self, attribute: str) -> None:
        """Log once that an assigned attribute is not a property, if its name is close to that of one."""
        if attribute in self._declarations or attribute in self._spelled or hasattr(type(self), attribute):
            return
        self._spelled.add(attribute)
        for meant in difflib.get_close_matches(attribute, self._declarations, 1, 0.8):
            logger.warning("%s.%s is not a property: is %r meant?", type(self).__name__, attribute, meant)

    @classmethod
    def own_name(cls) -> str:
        """The name of the device if it is given no other."""
        return cls.default_name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", cls.__name__)

    def _make(self) -> list[Bound]:
        """The properties of this device."""
        made = []
        for attribute, declared in self._declarations.items():
            vector = declared.vector()
            self._vectors[attribute] = vector
            if isinstance(declared, Group):
                self._groups[attribute] = declared.bind(vector, self._assign)
            handle = None if declared.perm is Permission.READ_ONLY else partial(self._command, declared)
            made.append(Bound(vector, handle, declared.saved, vector.state))
        return made

    # --- values ---

    def read(self, declared: Value[Any]) -> Any:
        """The value of a property. Write ``self.attribute`` instead."""
        return declared.load(self._vectors[declared.attribute])

    def write(self, declared: Value[Any], value: Any) -> None:
        """Assign a property. Write ``self.attribute = value`` instead."""
        vector = self._vectors[declared.attribute]
        self._assign(vector, [declared.name], partial(declared.store, vector, value))

    def group(self, declared: _G) -> _G:
        """A group of this device. Write ``self.attribute`` instead."""
        group: _G = self._groups[declared.attribute]  # type: ignore[assignment]
        return group

    def vector(self, declared: object) -> PropertyVector:
        """The vector of a property, as ``self.vector(Thermostat.target)``."""
        if not isinstance(declared, Declared):
            raise TypeError(f"a property is an attribute of the class, such as Thermostat.target, not {declared!r}")
        return self._vectors[declared.attribute]

    async def show(self, declared: object, state: str | None = None, message: str = "") -> None:
        """Send a property now, with a state.

        Args:
            declared: The property, as an attribute of the class: ``Thermostat.target``.
            state: "Idle", "Ok", "Busy" or "Alert"; None: as it is.
            message: Human-readable text.
        """
        await self._updates.send(self.vector(declared), state, message)

    def _assign(self, vector: PropertyVector, members: Sequence[str], store: Callable[[], None]) -> None:
        """Assign members of a declared property, by a function that does so."""
        try:
            store()
        except ValueError:
            if isinstance(vector, NumberVector):
                self._is_unread(vector, members[0])
            raise
        if (state := self._is_read(vector)) is not None:
            vector.state = state
        for member in members:
            self._written(vector, member)

    def _is_unread(self, vector: PropertyVector, member: str) -> None:
        """Note that what was to be assigned is no value: until there is one, the property is Alert."""
        if vector.state != State.BUSY:  # else what it does decides
            self._unread.setdefault(vector.name, vector.state)
            vector.state = State.ALERT
            self._updates.put(vector, member)

    def _is_read(self, vector: PropertyVector) -> str | None:
        """Note that there is a value; returns the state to which the property returns if it was Alert until then."""
        before = self._unread.pop(vector.name, None)
        return before if vector.state == State.ALERT else None

    def _written(self, vector: PropertyVector, member: str) -> None:
        self._versions[vector.name] = self._versions.get(vector.name, 0) + 1
        self._operations.progressed(vector.name)
        self._updates.put(vector, member)

    # --- messages ---

    def info(self, text: str) -> None:
        """Send a message to clients. Any thread may call this and the methods below."""
        self._say(logging.INFO, text)

    def warning(self, text: str) -> None:
        """Send a warning to clients."""
        self._say(logging.WARNING, text)

    def error(self, text: str) -> None:
        """Send an error message to clients."""
        self._say(logging.ERROR, text)

    def debug(self, text: str) -> None:
        """Send a debugging message to those who want it."""
        self._say(logging.DEBUG, text)

    def _say(self, level: int, text: str) -> None:
        logger.log(logging.INFO if level > logging.INFO else level, "%s: %s", self.devicename, text)
        if level > logging.DEBUG:
            self._updates.say(brief(f"[{logging.getLevelName(level)}] {text}"))

    # --- commands ---

    async def devrxevent(self, event: Any, *args: Any, **kwargs: Any) -> None:
        """Handle a command for a declared property; others are left to the author."""
        bound = self._bound.get(event.vectorname)
        if isinstance(event, newVector) and bound is not None and bound.handle is not None:
            with self._set_by_clients.handled(event.vectorname):
                await bound.handle(values_of(event))

    async def cancel(self, handler: Callable[..., Any]) -> bool:
        """Cancel the handler of a property: ``await self.cancel(self.heat_to)``. Its state is then Idle.

        Returns:
            False if it does not run.

        Raises:
            TypeError: It is not a handler of this device.
        """
        function = getattr(handler, "__func__", handler)
        for attribute, declared in self._declarations.items():
            if function in (declared.handler, self._indi_handlers.get(attribute)):
                return await self._operations.cancel(declared.name)
        raise TypeError(f"{handler!r} does not handle a property")

    async def _command(self, declared: Declared[Any], values: dict[str, Any]) -> None:
        """Handle a command for a declared property."""
        vector = self._vectors[declared.attribute]
        name = vector.name
        if isinstance(declared, Button) and not any(values.values()):  # nothing is pressed
            await self._updates.send(vector)
            return
        try:
            wanted = declared.wanted(self, values)
        except ValueError as error:
            await self._updates.send(vector, State.ALERT, f"[ERROR] {declared.label}: {error}")
            return
        handler = self._indi_handlers.get(declared.attribute)
        if handler is None:
            declared.accept(self, wanted)
            await self._updates.send(vector, State.OK)
            self._save_one(name)
            return
        while name in self._operations and not declared.replaces:
            await self._operations.join(name)
        await self._run(
            [vector],
            handler.__qualname__,
            declared.handle(handler, self, wanted),
            accept=lambda: declared.accept(self, wanted),
            waits=not declared.replaces,
            patience=self.patience,
            after=self._operations.drop(name),
        )

    async def _run(
        self,
        vectors: Sequence[PropertyVector],
        what: str,
        coro: Coroutine[Any, Any, None],
        *,
        accept: Callable[[], object] | None = None,
        revoke: Callable[[], None] | None = None,
        waits: bool = True,
        ends: Mapping[End, State] = ENDS,
        then: Callable[[End], Awaitable[None]] | None = None,
        patience: float | None = None,
        after: Sequence[Operation] = (),
        announce: Sequence[str] = (),
    ) -> None:
        """Run a coroutine of the author for a command, and report how it ends.

        The operation starts before this first waits, so neither what is cancelled for it nor what cancels it can come
        in between.

        Args:
            vectors: The vectors for which it works; the first gives it its name.
            what: Its name, for the log.
            coro: The coroutine; nothing else may run under this name.
            accept: Applies the requested values when it has succeeded without assigning the first vector itself.
            revoke: Called if it does not succeed, before clients are told.
            waits: Return when it has ended; otherwise when clients know that it runs.
            ends: The state of the vectors at its end.
            then: Awaited when its end has been reported.
            patience: Seconds without progress after which it fails.
            after: What must have ended before it begins.
            announce: Properties that are sent before those for which it works.
        """
        name = vectors[0].name
        try:
            self._check_ready(name)
        except BaseException:
            coro.close()
            raise
        work = _Work(vectors, accept, revoke, ends, then)
        for vector in vectors:
            vector.state = State.BUSY
        about = [vector.name for vector in vectors]
        begun, ended = partial(self._note_begin, work), partial(self._report_end, work)
        self._operations.start(name, what, coro, ended, patience, after, begun, about)
        for one in announce:
            await self._updates.send(self._bound[one].vector)
        waiting = asyncio.ensure_future(self._operations.join(name))
        await asyncio.wait([waiting], timeout=_BUSY_AFTER if waits else 0)
        if not waiting.done() and name in self._operations:
            await self._report_busy(vectors)
        if waits:
            await waiting
        else:
            waiting.cancel()

    def _note_begin(self, work: _Work) -> None:
        """Note how things are as it begins, and that clients are told that it does."""
        work.version = self._versions.get(work.vectors[0].name, 0)
        for vector in work.vectors:
            if vector.state != State.BUSY:  # the end of what it replaces was reported meanwhile
                vector.state = State.BUSY
                self._updates.put(vector, next(iter(vector)))

    async def _report_busy(self, vectors: Iterable[PropertyVector]) -> None:
        for vector in vectors:
            if vector.state == State.BUSY:
                await self._updates.send(vector)

    async def _report_end(self, work: _Work, end: End, text: str) -> None:
        """Apply or revoke what was requested, tell clients, and save what is now so."""
        first = work.vectors[0]
        if end is End.DONE and work.accept is not None and self._versions.get(first.name, 0) == work.version:
            try:
                work.accept()
            except ValueError as error:
                end, text = End.FAILED, words_of(error)
        if end is not End.DONE and work.revoke is not None:
            work.revoke()
        for vector in work.vectors:
            message = f"[ERROR] {text}" if text and vector is first else ""
            await self._updates.send(vector, work.ends[end], brief(message))
        if work.then is not None:
            await work.then(end)
        if end is End.DONE:
            for vector in work.vectors:
                self._save_one(vector.name)

    def _check_ready(self, name: str) -> None:
        """Raise Refused if no command for a property may be handled now."""

    def _loop_failed(self, what: str, error: BaseException) -> None:
        """Report the failure of a loop."""
        self.error(self._failed(what, error))

    def _failed(self, what: str, error: BaseException) -> str:
        """Log the failure of the author's coroutine; returns the text for clients."""
        if not isinstance(error, Refused):
            hint = where_async_is_missing(type(self), error)
            logger.error("%s of %s failed%s", what, self.devicename, hint, exc_info=error)
        return words_of(error)

    # --- its life ---

    async def devhardware(self, *args: Any, **kwargs: Any) -> None:
        """Run the device until the driver ends."""
        assert self.driver is not None
        stop = self.driver.shutdownrequested
        sender = asyncio.create_task(self._updates.run())
        try:
            await self._begin()
            await stop.wait()
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_DEVICE_END):
                    await self._end()
                    await self._all_saved()
            self._loops.clear()
            stopped = self._operations.about()
            await self._operations.end()
            for name in stopped:
                if self._bound[name].vector.state == State.BUSY:
                    self._bound[name].vector.state = State.IDLE  # for the next run
            self._set_by_clients.of_run.clear()
            self._set_by_clients.restored.clear()
            sender.cancel()
            await asyncio.wait([sender])

    async def _begin(self) -> None:
        """The driver has started: load the settings, and start what always runs."""
        if any(bound.saved for bound in self._bound.values()):
            await self._load(self._is_as_left)
        self._start_loops()

    def _is_as_left(self, bound: Bound) -> bool:
        """No client has set it in this run: what is saved counts."""
        return bound.vector.name not in self._set_by_clients.of_run

    async def _end(self) -> None:
        """The driver is about to end."""

    def _start_loops(self) -> None:
        for name, work, seconds in loops_of(self):
            self._loops.append(self._operations.spawn(self._repeat(work, name, seconds)))

    def _goes_on(self) -> bool:
        """Whether the calling loop may go on: it may have been cancelled and have swallowed that."""
        return asyncio.current_task() in self._loops

    async def _repeat(self, work: Callable[[], Coroutine[Any, Any, None]], what: str, seconds: float) -> None:
        """Run a coroutine again and again; a failure is reported once until it works again."""
        failing: str | None = None
        while True:
            try:
                await watched(work(), what)
                failing = None
            except (Exception, SystemExit) as error:
                if not self._goes_on():
                    raise
                if words_of(error) != failing:
                    failing = words_of(error)
                    self._loop_failed(what, error)
            if not self._goes_on():
                return
            await asyncio.sleep(seconds)
