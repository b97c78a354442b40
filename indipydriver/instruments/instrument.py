"""Instruments: devices that clients connect to, with the life cycle on which clients rely."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from ..errors import DefinitionError
from ..propertyvectors import PropertyVector
from ..protocol.tags import State
from ..protocol.texts import brief
from ..standard import Interface, find
from .operations import CANCEL_GRACE, End, Operation, Refused, words_of
from .order import CommandOrder, Overtaken
from .parts import Parts
from .propertydevice import LONGEST_DEVICE_END, Bound
from .standarddevice import optional
from .watched import watched

__all__ = ["Instrument"]

_CONNECTING: Final = "connect"  # the name of an operation, which no property has
_NOT_CONNECTED: Final = "[ERROR] The device is not connected"

logger = logging.getLogger("indipydriver.instruments")


class Instrument(Parts):
    """A device that clients connect to. Override :meth:`connect`, :meth:`disconnect` and :meth:`poll`.

    The properties of its class, and those that it declares itself, are defined while it is connected. Raise
    ConnectionError anywhere if the hardware is lost: the device is then disconnected, and clients are told. Any other
    exception makes the present command fail.

    A reading that is not a finite number is refused with ValueError, and the property is Alert until there is a better
    one.

    Lost hardware may have been without power, so tracking, cooling, and outputs that were on count as off when it is
    connected again, and where a shutter or a cap is counts as unknown, unless connect() assigns what the hardware says.
    Whenever it is connected again, saved settings that clients have set or that were restored, such as a reversed
    direction, are set again: it may have been switched off.

    Args:
        devicename: As for :class:`PropertyDevice`.
        vectors: As for :class:`PropertyDevice`; they are defined all the time.
        devicedata: Anything else to keep with the device.
    """

    def __init__(
        self, devicename: str | None = None, vectors: Iterable[PropertyVector] = (), **devicedata: Any
    ) -> None:
        self._is_up = False
        self._changing = asyncio.Lock()
        self._due = asyncio.Event()
        self._order = CommandOrder()
        self._restored = asyncio.Event()  # what is saved of what is always defined
        self._is_restored = False  # the rest of it
        self._is_losing = False  # it is known to be lost, and about to be disconnected
        if self.connections:
            self._general_group = "Connection"
        super().__init__(devicename, vectors, **devicedata)
        self._adopt_parts()
        self._hide_all()

    # --- what an author overrides ---

    async def connect(self) -> None:
        """Open the hardware and check that it answers; an exception says why it cannot be connected."""

    async def disconnect(self) -> None:
        """Stop what moves and close the hardware. Called after a successful connect(), even if the hardware is lost."""

    @optional
    async def poll(self) -> None:
        """Read the hardware and assign what has changed. Called periodically while it is connected."""

    @property
    def connected(self) -> bool:
        """Whether the hardware is connected."""
        up: bool = self.whole._is_up
        return up

    # --- what a class of instruments overrides ---

    def _before_connecting(self) -> None:
        """Called before it is connected: values that the author assigns from now on are known."""

    async def _prepare(self) -> None:
        """Called when it is connected, before its properties are defined: limits and values must be final."""

    async def _after_definitions(self) -> None:
        """Called when its properties have been defined: read the hardware and send what is known."""

    async def _poll_standard(self) -> None:
        """Read what poll() does not read."""

    def _poll_failed(self) -> None:
        """Called when poll() has failed."""

    def _after_interruption(self) -> None:
        """Called when disconnecting has cancelled everything: note what may have been stopped half-way."""

    def _forget(self) -> None:
        """Called when the hardware has been lost: it may be without power, so what was known of it no longer counts."""

    # --- its properties ---

    def _make(self) -> list[Bound]:
        self._make_parts()
        made = [
            self._bind(find("CONNECTION"), self._on_connection, permanent=True),
            *self._about(),
            *self._options(),
            *self._ways(),
            *self._active_devices(member for one in self._everything() for member in one._all_partners()),
            *super()._make(),
        ]
        names = {bound.vector.name for bound in made}
        for part in self._members:
            found = part._bound.values()
            declared = {each.name for each in part._declarations.values()}
            own = {one.vector.name for one in found if not one.is_permanent} - declared
            if own and own <= names:
                raise DefinitionError(
                    f"{type(self).__name__}: clients cannot see the part {type(part).__name__}, as all of its standard "
                    f"properties are there already; make two devices of them"
                )
            made += [one for one in found if one.vector.name not in names]  # properties of every device exist only once
            names |= {one.vector.name for one in found}
        return made

    def _interface(self) -> Interface:
        found = super()._interface()
        for part in self._members:
            found |= part._interface()
        return found

    def _operating(self) -> list[Bound]:
        """The properties that are defined while it is connected."""
        return [bound for bound in self._bound.values() if not bound.is_permanent]

    def _may_define(self, bound: Bound) -> bool:
        return bound.is_permanent or self.connected

    def _hide_all(self) -> None:
        for bound in self._bound.values():
            bound.vector.enable = bound.is_permanent and bound.is_shown

    def _check_ready(self, name: str) -> None:
        if not self.connected and not self._bound[name].is_permanent:
            raise Refused("The device is not connected")
        self.whole._order.check(name)
        self.whole._order.begins(name)

    def _changes(self, name: str) -> None:
        """Note that a property is about to change, for commands that arrived before and still wait for their turn."""
        self.whole._order.changes(name, dict(self._vector(name)))

    def _then(self, name: str) -> Mapping[str, Any]:
        """What a property, if its changes are noted, was when the present command arrived."""
        found: Mapping[str, Any] = self.whole._order.then(name, self._vector(name))
        return found

    def _abandon(self, *names: str, told: Sequence[str] = ()) -> list[Operation]:
        """Cancel operations because of the present command; earlier commands for them are not carried out.

        Returns those that have to be awaited. The ends of those that are `told` are reported.
        """
        self.whole._order.stop([*names, *told])
        return self._operations.drop(*names) + self._operations.drop(*told, quietly=False)

    async def devrxevent(self, event: Any, *args: Any, **kwargs: Any) -> None:
        bound = self._bound.get(event.vectorname)
        if bound is not None and not bound.is_permanent:
            while self._is_up and _CONNECTING in self._operations and self._waits_for_settings(bound):
                await self._operations.join(_CONNECTING)
            if not self._is_up:
                await self._updates.send(bound.vector, State.ALERT, _NOT_CONNECTED)
                return
        try:
            with self._order.handled(event.vectorname, getattr(event, "arrival", 0)):
                await super().devrxevent(event)
        except Overtaken:
            is_moving = event.vectorname in self._operations.about()  # because of a later command
            await self._updates.send(event.vector, None if is_moving else State.IDLE)
        except Refused as error:
            await self._updates.send(event.vector, State.ALERT, brief(f"[ERROR] {error}"))
        except (Exception, SystemExit) as error:
            text = self._failed(f"{type(self).__name__}, handling {event.vectorname},", error)
            await self._updates.send(event.vector, State.ALERT, brief(f"[ERROR] {text}"))

    # --- connecting ---

    async def _on_connection(self, values: dict[str, Any]) -> None:
        if values.get("CONNECT"):
            await self._want_up()
        elif values.get("DISCONNECT"):
            await self._want_down()
        else:
            await self._send("CONNECTION")

    async def _want_up(self) -> None:
        await self._restored.wait()  # the saved port counts, and not the one by default
        if _CONNECTING in self._operations and not self._is_up:  # clients ask again and again
            await self._send("CONNECTION", State.BUSY)
            return
        async with self._changing:  # perhaps it is just being disconnected
            if self._is_up:
                self._choose("CONNECTION", "CONNECT")
                await self._send("CONNECTION", State.OK)
                return
            self._choose("CONNECTION", "CONNECT")
            await self._send("CONNECTION", State.BUSY)
            connected: list[Instrument] = []
            what, opened = f"{type(self).__name__}.connect", partial(self._opened, connected)
            self._operations.start(_CONNECTING, what, self._open(connected), opened, self.patience)

    async def _want_down(self) -> None:
        await self._operations.cancel(_CONNECTING, quietly=True)
        if self._is_up:
            await self._go_down(State.IDLE)
            return
        async with self._changing:  # perhaps it was lost, and is just being closed
            self._close_line()
            self._choose("CONNECTION", "DISCONNECT")
            await self._send("CONNECTION", State.IDLE)

    async def _open(self, connected: list[Instrument]) -> None:
        """Connect all parts; `connected` receives those that have to be disconnected."""
        try:
            await self._open_line()
        except OSError as error:  # the hardware is missing, which is not our mistake: one line in the log is enough
            logger.error("%s: %s", self.devicename, error)
            raise Refused(words_of(error)) from error
        self._share_line(self.line)
        try:
            for one in self._everything():
                one._before_connecting()
                await one.connect()
                connected.append(one)
                self._check_going_on(_CONNECTING)
            await self._stop_motion(is_connecting=True)
            for one in connected:
                await one._prepare()
        except BaseException:
            await self._disconnect(connected)
            raise

    async def _disconnect(self, connected: list[Instrument]) -> None:
        """Disconnect parts, each of them once, the last one first; what fails is logged."""
        while connected:
            one = connected.pop()
            try:
                async with asyncio.timeout(self.patience):
                    await watched(one.disconnect(), f"{type(one).__name__}.disconnect")
            except (Exception, SystemExit) as error:
                logger.warning("%s.disconnect failed", type(one).__name__, exc_info=error)

    async def _opened(self, connected: list[Instrument], end: End, text: str) -> None:
        if end is End.DONE:
            await self._go_up()
            return
        await self._disconnect(connected)
        self._close_line()
        self._choose("CONNECTION", "DISCONNECT")
        if text:
            self.error(text)
        await self._send("CONNECTION", State.ALERT if end is End.FAILED else State.IDLE)

    async def _go_up(self) -> None:
        """Report that it is connected, then define its properties."""
        self._is_up, self._is_losing = True, False
        await self._send("CONNECTION", State.OK)
        for bound in self._operating():
            if bound.is_shown and self._is_up:
                bound.vector.enable = True
                bound.vector.state = bound.state
                await bound.vector.send_defVector()
        for one in self._everything():
            try:
                async with asyncio.timeout(self.patience):
                    await one._after_definitions()
            except ConnectionError as error:
                self._lose(error)
                return
            except (Exception, SystemExit) as error:
                self.error(self._failed(f"{type(one).__name__}, reading the hardware,", error))
        if not self._is_restored:  # the first connection
            await self._load(self._may_restore)
        if self._may_have_forgotten():
            await self._tell_again(self._may_tell_again)
        if self._is_up:
            self._is_restored, self._has_forgotten = True, False
            self._start_all()
            await self._save_ways()

    def _may_restore(self, bound: Bound) -> bool:
        """Whether what is saved of a property is restored when it is connected for the first time."""
        return self._is_up and not (bound.is_permanent or bound.moves) and self._is_as_left(bound)

    def _may_tell_again(self, bound: Bound) -> bool:
        """Whether the hardware, which may have been switched off, is told again how a property is set."""
        tasks = {one.name for part in self._everything() for one in part._declarations.values() if one.replaces}
        return self._is_up and not (bound.is_permanent or bound.moves or bound.vector.name in tasks)

    def _waits_for_settings(self, bound: Bound) -> bool:
        """Whether a command waits, just after it was connected, until saved settings apply: a safe range must do so
        before anything moves. What stops it does not wait, nor do settings, which count more than the saved ones."""
        return (bound.moves or not bound.saved) and "ABORT" not in bound.vector.name

    def _is_known(self, bound: Bound) -> bool:
        return super()._is_known(bound) if bound.is_permanent else self._is_restored and bound.is_shown

    def _start_all(self) -> None:
        """Start what runs while it is connected."""
        for one in self._everything():
            one._start_loops()
        self._loops.append(self._operations.spawn(self._poll_all()))

    async def _stop_all_that_runs(self) -> None:
        """It is no longer connected: cancel what ran while it was, and wait for it to end."""
        self._is_up = False
        loops = [task for one in self._everything() for task in one._loops]
        for task in loops:
            task.cancel()
        for one in self._everything():
            one._loops.clear()
        await self._operations.cancel_all()
        if loops:
            await asyncio.wait(loops, timeout=CANCEL_GRACE)  # their final steps need the hardware

    async def _go_down(self, state: State) -> None:
        """Disconnect: stop, close, report that, and delete its properties."""
        async with self._changing:
            if not self._is_up:
                return
            stopped = self._operations.about()
            await self._stop_all_that_runs()
            self._is_losing = False
            if state is State.IDLE:
                await self._stop_motion()
            for one in self._everything():
                one._after_interruption()
            closed: list[Instrument] = []
            for one in reversed([*self._everything()]):
                try:
                    async with asyncio.timeout(self.patience):
                        await watched(one.disconnect(), f"{type(one).__name__}.disconnect")
                except Refused as error:
                    if state is State.IDLE:
                        await self._stay_up(error, stopped, closed)
                        return
                except (Exception, SystemExit) as error:
                    self.warning(f"While disconnecting: {words_of(error)}")
                    logger.warning("%s.disconnect failed", type(one).__name__, exc_info=error)
                closed.append(one)
            self._has_forgotten = True
            for one in self._everything() if state is State.ALERT else ():
                one._forget()
            self._close_line()
            self._choose("CONNECTION", "DISCONNECT")
            await self._send("CONNECTION", state)
            for bound in self._operating():
                if bound.vector.enable:
                    await bound.vector.send_delProperty()

    async def _stay_up(self, error: Refused, stopped: set[str], closed: Sequence[Instrument]) -> None:
        """Report that it cannot be disconnected now; some operations were cancelled, and some parts closed."""
        try:
            async with asyncio.timeout(self.patience):
                for one in reversed(closed):
                    await watched(one.connect(), f"{type(one).__name__}.connect")
        except (Exception, SystemExit) as lost:
            self._is_up = True
            self._lose(lost)
            return
        self._is_up = True
        self._choose("CONNECTION", "CONNECT")
        self.error(str(error))
        await self._send("CONNECTION", State.ALERT)
        for bound in self._operating():
            if bound.vector.state == State.BUSY and bound.vector.name in stopped:
                await self._updates.send(bound.vector, State.IDLE)
        self._start_all()

    def _lose(self, error: BaseException) -> None:
        """The hardware is lost."""
        if self.whole is not self:
            self.whole._lose(error)
        elif self._is_up and not self._is_losing:
            self._is_losing = True
            self.error(f"The connection is lost: {words_of(error)}")
            self._operations.spawn(self._go_down(State.ALERT))

    def _failed(self, what: str, error: BaseException) -> str:
        if isinstance(error, ConnectionError) and self.connected:
            self._lose(error)
            return words_of(error)
        return super()._failed(what, error)

    def _loop_failed(self, what: str, error: BaseException) -> None:
        if isinstance(error, ConnectionError) and self.connected:
            self._lose(error)  # which reports it
        else:
            super()._loop_failed(what, error)

    # --- polling ---

    async def _poll_all(self) -> None:
        """Update it periodically; a failure is reported once until it works again."""
        failing: dict[str, str] = {}
        while True:
            self._due.clear()
            for one in self._everything():
                name = type(one).__name__
                try:
                    async with asyncio.timeout(one.patience) as limit:
                        await watched(one.poll(), f"{name}.poll")
                        await watched(one._poll_standard(), f"{name}, being polled,")
                    failing.pop(name, None)
                except (Exception, SystemExit) as raised:
                    if not self._goes_on():
                        raise
                    if isinstance(raised, ConnectionError):
                        self._failed(f"{name}.poll", raised)
                        return
                    error: BaseException = raised
                    if isinstance(error, TimeoutError) and limit.expired():
                        error = TimeoutError(f"poll() has not returned for {one.patience:g} s")
                    if words_of(error) != failing.get(name):
                        failing[name] = words_of(error)
                        self.error(self._failed(f"{name}.poll", error))
                    one._poll_failed()
                if not self._goes_on():
                    return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._period):
                    await self._due.wait()

    def _period_changed(self) -> None:
        self._due.set()

    async def _load_settings(self, of_default: bool) -> bool:
        await self._all_there()
        return await super()._load_settings(of_default)

    async def _save_settings(self) -> bool:
        await self._all_there()
        return await super()._save_settings()

    async def _all_there(self) -> None:
        """If it is just being connected, wait until all is defined and restored."""
        if self._is_up:
            await self._operations.join(_CONNECTING)

    def _may_change_simulation(self) -> bool:
        return not self.connected and _CONNECTING not in self._operations

    # --- its life ---

    def _reset(self) -> None:
        """Reset it to the state before it was first connected."""
        self._restored = asyncio.Event()
        self._is_restored = self._is_up = self._has_forgotten = self._is_losing = False
        self._hide_all()
        self._choose("CONNECTION", "DISCONNECT")
        self._vector("CONNECTION").state = State.IDLE

    async def _begin(self) -> None:
        self._changing, self._due, self._order = asyncio.Lock(), asyncio.Event(), CommandOrder()
        for one in self._everything():
            one.driver = self.driver
            one._loops.clear()
        try:
            await self._load(lambda bound: bound.is_permanent and self._is_as_left(bound))
        finally:
            self._restored.set()
        for one in self._everything():
            one._start_watching()

    async def _end(self) -> None:
        try:
            async with self._changing:  # perhaps it is just being disconnected
                was_up = self._is_up
                with contextlib.suppress(TimeoutError):  # some time is left for closing it
                    async with asyncio.timeout(LONGEST_DEVICE_END / 2 if was_up else None):
                        await self._stop_all_that_runs()
                        if was_up:
                            await self._stop_motion()
                for one in self._everything():
                    one._after_interruption()
                if was_up:
                    await self._disconnect([*self._everything()])
        finally:
            self._reset()
            self._close_line()
