"""Devices whose properties are declared on their class."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import inspect
import logging
import os
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from ..device import Device
from ..errors import DefinitionError
from ..events import newVector
from ..propertyvectors import PropertyVector
from ..protocol.tags import Permission, State
from ..protocol.texts import brief
from .declared import Button, Declared, Value, values_of
from .groups import Group
from .loops import loops_of
from .operations import End, Operation, Operations, Refused, words_of
from .settings import LOADING, Saved, Settings, SettingsError, saved_values
from .threads import SETTINGS
from .updates import Updates
from .watched import watched

__all__ = ["ENDS", "LONGEST_END", "Bound", "PropertyDevice"]

_SOON: Final = 0.05
"""Seconds that a handler may take before clients are told that it is busy."""

LONGEST_END: Final = 4.0
"""Seconds in which what runs must end when the driver does."""

ENDS: Final = {End.DONE: State.OK, End.CANCELLED: State.IDLE, End.FAILED: State.ALERT}
"""The state of a property when its handler has ended."""

logger = logging.getLogger("indipydriver.instruments")

_G = TypeVar("_G", bound=Group[Any])


@dataclass(slots=True, eq=False)
class Bound:
    """A property of one device.

    Attributes:
        vector: Its vector.
        handle: Handles the values that a client sent, and answers; None if clients cannot set it.
        saved: It is kept from run to run.
        state: Its state at first.
        is_permanent: It is defined all the time; else while the device is connected. Only instruments connect.
        is_shown: It is not defined while this is False.
    """

    vector: PropertyVector
    handle: Callable[[dict[str, Any]], Awaitable[None]] | None = None
    saved: bool = False
    state: str = State.IDLE
    is_permanent: bool = False
    is_shown: bool = True


class PropertyDevice(Device):
    """A device whose properties are declared on its class, with types and handlers.

    Properties of base classes come first; then they come in the order of their declaration. It belongs into an
    :class:`InstrumentDriver`. Any other driver awaits :meth:`devhardware` in its hardware(), and :meth:`devrxevent`
    in its rxevent().

    Args:
        devicename: By default `default_name`; in its place the environment variable INDIDEV is taken, if it is set.
        vectors: Vectors that are made by hand; override devrxevent() for their commands.
        devicedata: Anything else that is to be kept with it.

    Attributes:
        default_name: The name of the device; by default made of the name of the class.
        patience: Seconds without progress after which a handler is cancelled and fails; None: never.
        settings: Where saved properties are kept.
    """

    default_name: ClassVar[str] = ""
    patience: ClassVar[float | None] = None
    _declarations: ClassVar[dict[str, Declared[Any]]] = {}

    def __init__(
        self, devicename: str | None = None, vectors: Iterable[PropertyVector] = (), **devicedata: Any
    ) -> None:
        self._updates = Updates(self)
        self._operations = Operations(self._failed)
        self._versions: dict[str, int] = {}
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
        self.settings = Settings(self.devicename)

    def __init_subclass__(cls, **how: Any) -> None:
        super().__init_subclass__(**how)
        declarations: dict[str, Declared[Any]] = {}
        for attribute, value in vars(cls).items():
            if _hides_method(attribute, value):
                raise DefinitionError(f"{cls.__name__}.{attribute} {_HIDES}")
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
            if any(attribute in vars(base) for base in PropertyDevice.__mro__):
                raise DefinitionError(
                    f"{cls.__name__}.{attribute} would hide what every device has: "
                    f"choose another attribute, with name={attribute.upper()!r} if clients are to see that name"
                )
        cls._declarations = declarations

    if not TYPE_CHECKING:  # to type checkers it would mean that any attribute may be assigned

        def __setattr__(self, attribute: str, value: Any) -> None:
            if _hides_method(attribute, value):
                raise AttributeError(f"{type(self).__name__}.{attribute} {_HIDES}")
            super().__setattr__(attribute, value)
            if self.__dict__.get("driver") is not None and not attribute.startswith("_"):
                self._check_spelling(attribute)

    def _check_spelling(self, attribute: str) -> None:
        """Say once that an attribute that is assigned is no property, if its name is nearly that of one."""
        if attribute in self._declarations or attribute in self._spelled or hasattr(type(self), attribute):
            return
        self._spelled.add(attribute)
        for meant in difflib.get_close_matches(attribute, self._declarations, 1, 0.8):
            logger.warning("%s.%s is no property: is %r meant?", type(self).__name__, attribute, meant)

    @classmethod
    def own_name(cls) -> str:
        """The name of the device, if nobody gives it another."""
        return cls.default_name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", cls.__name__)

    def _make(self) -> list[Bound]:
        """The properties of this device."""
        made = []
        for attribute, declared in self._declarations.items():
            vector = declared.vector()
            self._vectors[attribute] = vector
            if isinstance(declared, Group):
                self._groups[attribute] = declared.bind(vector, self._written)
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
        declared.store(vector, value)
        self._written(vector, declared.name)

    def group(self, declared: _G) -> _G:
        """A group of this device. Write ``self.attribute`` instead."""
        group: _G = self._groups[declared.attribute]  # type: ignore[assignment]
        return group

    def vector(self, declared: object) -> PropertyVector:
        """The vector of a property, as ``self.vector(Thermostat.target)``."""
        if not isinstance(declared, Declared):
            raise TypeError(f"a property is named by its class, as Thermostat.target, not {declared!r}")
        return self._vectors[declared.attribute]

    async def show(self, declared: object, state: str | None = None, message: str = "") -> None:
        """Send a property now, with a state.

        Args:
            declared: The property, as an attribute of the class: ``Thermostat.target``.
            state: "Idle", "Ok", "Busy" or "Alert"; None: as it is.
            message: Human-readable text.
        """
        await self._updates.send(self.vector(declared), state, message)

    def _written(self, vector: PropertyVector, member: str) -> None:
        self._versions[vector.name] = self._versions.get(vector.name, 0) + 1
        self._operations.progressed(vector.name)
        self._updates.put(vector, member)

    # --- messages ---

    def info(self, text: str) -> None:
        """Tell clients something. Any thread may call this, as the others below."""
        self._say(logging.INFO, text)

    def warning(self, text: str) -> None:
        """Warn clients."""
        self._say(logging.WARNING, text)

    def error(self, text: str) -> None:
        """Tell clients what has failed."""
        self._say(logging.ERROR, text)

    def debug(self, text: str) -> None:
        """Tell those who look for a fault."""
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
            await bound.handle(values_of(event))

    async def cancel(self, handler: Callable[..., Any]) -> bool:
        """Cancel the handler of a property: ``await self.cancel(self.heat_to)``. Its state is then Idle.

        Returns:
            False if it does not run.

        Raises:
            TypeError: It is not a handler of this device.
        """
        function = getattr(handler, "__func__", handler)
        for declared in self._declarations.values():
            if declared.handler is function:
                return await self._operations.cancel(declared.name)
        raise TypeError(f"{handler!r} does not handle a property")

    async def _command(self, declared: Declared[Any], values: dict[str, Any]) -> None:
        """Handle a command for a declared property."""
        vector = self._vectors[declared.attribute]
        name = vector.name
        if isinstance(declared, Button) and not any(values.values()):  # nobody presses it
            await self._updates.send(vector)
            return
        try:
            wanted = declared.wanted(self, values)
        except ValueError as error:
            await self._updates.send(vector, State.ALERT, f"[ERROR] {declared.label}: {error}")
            return
        if declared.handler is None:
            declared.accept(self, wanted)
            await self._updates.send(vector, State.OK)
            await self._save_one(name)
            return
        handler = declared.handler
        while name in self._operations and not declared.replaces:
            await self._operations.join(name)
        await self._run(
            [vector],
            handler.__qualname__,
            handler(self, wanted),
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
        """Run a coroutine of the author's because of a command, and tell how it ends.

        It is begun before this waits for anything, so what is cancelled for it, and what cancels it, cannot come
        in between.

        Args:
            vectors: What it works for; it is named by the first.
            what: Its name, for the log.
            coro: The coroutine; nothing else may run under this name.
            accept: Takes over what was wanted, when it is done and has not assigned the first vector itself.
            revoke: Called if it is not done in the end, before clients are told.
            waits: Return when it has ended; else when clients know that it runs.
            ends: The state of the vectors at its end.
            then: Awaited when its end has been told.
            patience: Seconds without progress after which it fails.
            after: What must have ended before it begins.
            announce: Properties that are sent before those for which it works.
        """
        first = vectors[0]
        name = first.name
        try:
            self._check_ready(name)
        except Refused:
            coro.close()
            raise
        before = 0

        def begin() -> None:
            nonlocal before
            before = self._versions.get(name, 0)
            for vector in vectors:
                if vector.state != State.BUSY:  # the end of what it replaces was told meanwhile
                    vector.state = State.BUSY
                    self._updates.put(vector, next(iter(vector)))

        async def ended(end: End, text: str) -> None:
            if end is End.DONE and accept is not None and self._versions.get(name, 0) == before:
                try:
                    accept()
                except ValueError as error:
                    end, text = End.FAILED, words_of(error)
            if end is not End.DONE and revoke is not None:
                revoke()
            for vector in vectors:
                message = f"[ERROR] {text}" if text and vector is first else ""
                await self._updates.send(vector, ends[end], brief(message))
            if then is not None:
                await then(end)
            if end is End.DONE:
                for vector in vectors:
                    await self._save_one(vector.name)

        for vector in vectors:
            vector.state = State.BUSY
        about = [vector.name for vector in vectors]
        self._operations.start(name, what, coro, ended, patience, after, begin, about)
        for one in announce:
            await self._updates.send(self._bound[one].vector)
        waiting = asyncio.ensure_future(self._operations.join(name))
        await asyncio.wait([waiting], timeout=_SOON if waits else 0)
        if not waiting.done() and name in self._operations:
            for vector in vectors:
                if vector.state == State.BUSY:
                    await self._updates.send(vector)
        if waits:
            await waiting
        else:
            waiting.cancel()

    def _check_ready(self, name: str) -> None:
        """Raise Refused, if nothing may be done now for a property."""

    def _failed(self, what: str, error: BaseException) -> str:
        """Log the failure of a coroutine of the author's; the words for clients."""
        if not isinstance(error, Refused):
            logger.error("%s of %s failed", what, self.devicename, exc_info=error)
        return words_of(error)

    # --- saved settings ---

    async def _save_one(self, name: str) -> None:
        """Save a property that a client has set, if it is one to be saved."""
        if LOADING.get() or not self._bound[name].saved:
            return
        try:
            is_there = await SETTINGS.run(self.settings.path.exists)
        except OSError:  # the folder is not ours
            is_there = True
        await self._save([self._bound[name]] if is_there else None)

    async def _save(self, which: Iterable[Bound] | None = None) -> bool:
        """Save some properties, or all that are to be saved; False if that fails."""
        chosen = [bound for bound in self._bound.values() if bound.saved] if which is None else [*which]
        elements = {bound.vector.name: self.settings.element(bound.vector) for bound in chosen}
        # What clients do not see now has perhaps not been restored, so what is in the file counts.
        hidden = [bound for bound in chosen if which is None and not bound.vector.enable]
        kept = {bound.vector.name for bound in hidden}
        unknown = {bound.vector.name for bound in hidden if not bound.is_permanent}
        try:
            await SETTINGS.run(self.settings.save, elements, kept, unknown)
        except OSError as error:
            self.error(f"The settings could not be saved: {error}")
            return False
        return True

    async def _load(self, accept: Callable[[Bound], bool] = lambda bound: True) -> bool:
        """Apply the saved settings, as if a client had sent them; False if there are none, or none to be read."""
        try:
            found = await SETTINGS.run(self.settings.load)
        except FileNotFoundError:
            return False
        except SettingsError as error:
            self.error(str(error))
            return False
        await self._apply(found, accept)
        return True

    async def _apply(self, found: Iterable[Saved], accept: Callable[[Bound], bool]) -> None:
        loading = LOADING.set(True)
        try:
            for saved in found:
                bound = self._bound.get(saved.name)
                if bound is None or bound.handle is None or not (bound.saved and accept(bound)):
                    continue  # a file cannot connect it, or move something
                if not (bound.vector.enable or bound.is_permanent):
                    continue
                values = saved_values(bound.vector, saved)
                try:
                    if values:
                        await bound.handle(values)
                except (Exception, SystemExit) as error:  # the others can be restored nevertheless
                    self.warning(f"{saved.name} could not be restored: {self._failed(saved.name, error)}")
        finally:
            LOADING.reset(loading)

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
                async with asyncio.timeout(LONGEST_END):
                    await self._end()
            self._loops.clear()
            await self._operations.end()
            sender.cancel()
            await asyncio.wait([sender])

    async def _begin(self) -> None:
        """The driver runs: load what is saved, start what runs all the time."""
        if any(bound.saved for bound in self._bound.values()):
            await self._load()
        self._start_loops()

    async def _end(self) -> None:
        """The driver is about to end."""

    def _start_loops(self) -> None:
        for name, work, seconds in loops_of(self):
            self._loops.append(self._operations.spawn(self._repeat(work, name, seconds)))

    def _goes_on(self) -> bool:
        """The loop that asks is not to end: it may have been cancelled, and have gone on nevertheless."""
        return asyncio.current_task() in self._loops

    async def _repeat(self, work: Callable[[], Coroutine[Any, Any, None]], what: str, seconds: float) -> None:
        """Run a coroutine again and again; what it raises is told once until it works again."""
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
                    self.error(self._failed(what, error))
            if not self._goes_on():
                return
            await asyncio.sleep(seconds)


_METHODS: Final = {
    name
    for kind in (PropertyDevice, Device)
    for name, value in vars(kind).items()
    if inspect.isfunction(value) and not name.startswith("_")
}
_HIDES: Final = "would hide a method that every device has: choose another name"


def _hides_method(attribute: str, value: object) -> bool:
    """It would take the place of a method, such as error(), which is then missed when it is needed."""
    return attribute in _METHODS and not (callable(value) or isinstance(value, (Declared, classmethod)))
