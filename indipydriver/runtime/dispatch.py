"""From frames to the coroutines of a driver: in order for each vector, different vectors concurrently."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from itertools import count
from typing import Any, Final, TypeAlias

from ..errors import LocalProtocolError, MalformedFrame, RemoteProtocolError
from ..events import Event, EventException, getProperties, new_event, snoop_event
from ..propertyvectors import PropertyVector
from ..protocol import messages
from ..protocol.decode import decode
from ..protocol.encode import encode
from ..protocol.frame import Address, BlobFrame, Frame
from ..protocol.tags import Permission, State, VectorKind, Verb
from ..protocol.texts import brief, named
from ..transport.link import Link
from ..transport.memory import MemoryLink
from ..transport.memoryfile import AttachedFrame
from ..transport.outlet import Outlet, text_of
from ..transport.threads import LARGE_WORK, in_thread_if
from .eventqueues import EventQueues, Job, Key, Kind
from .served import Driver
from .snooping import Snoops

__all__ = ["LOG_AGAIN", "Dispatcher"]

logger = logging.getLogger("indipydriver.ipydriver")
event_logger = logging.getLogger("indipydriver.events")

_Asked: TypeAlias = tuple[str | None, str | None]
_ALL_DEVICES: _Asked = (None, None)

LOG_AGAIN: Final = 60.0
"""Seconds for which a failure of the same kind is only counted."""


class Dispatcher:
    """The receiver of a driver's link, during one run.

    Args:
        driver: The driver.
        link: Where frames come from.
        outlet: Where answers go to.
        snoops: What the driver watches on other devices.
        clock: A monotonic clock, in seconds.
        start: Starts a task with a name.
        closed: Called when the link is closed.
        is_ending: Says whether the driver is about to end, so that its tasks may be cancelled.

    Attributes:
        refused: How many elements have been refused, by kind.
    """

    def __init__(
        self,
        driver: Driver,
        link: Link,
        outlet: Outlet,
        snoops: Snoops,
        clock: Callable[[], float],
        start: Callable[[Coroutine[Any, Any, None], str], object],
        closed: Callable[[Exception | None], None],
        is_ending: Callable[[], bool],
    ) -> None:
        self.refused: Counter[str] = Counter()
        self._driver = driver
        self._link = link
        self._outlet = outlet
        self._snoops = snoops
        self._clock = clock
        self._start = start
        self._closed = closed
        self._is_ending = is_ending
        self._queues = EventQueues(start, self._pause_commands, self._pause_news, self._left_out, is_ending)
        self._log_left_out = -math.inf  # not before this time
        self._left_out_since = 0  # how many since it was last logged
        self._waits_for: set[object] = set()  # why the link is not read
        self._failures = _Failures(clock)
        self._requests: dict[_Asked, Frame] = {}  # requests for definitions, not yet answered
        self._is_answering = False
        self._to_be_asked: set[int] = set()  # vectors to be asked for their definitions, by id(): they have no hash
        self._arrivals = count(1)  # of commands
        self._open = True

    # --- when too much waits ---

    def _pause_commands(self, key: Key, paused: bool) -> None:
        """Stop accepting commands for a vector, or resume. If the link supports it, everything else is delivered
        meanwhile: a moving roof must hear of rain, and of the command to stop, however many commands clients send.
        """
        if isinstance(self._link, MemoryLink):
            self._link.set_full(key.device, key.name, paused)
        else:
            self._pause(key, paused)

    def _pause_news(self, paused: bool) -> None:
        """Stop accepting news, or resume. If the link supports it, commands are delivered meanwhile."""
        if isinstance(self._link, MemoryLink):
            self._link.set_full_of_news(paused)
        else:
            self._pause("news", paused)

    def _pause(self, reason: object, paused: bool) -> None:
        """Stop reading the link as long as there is a reason."""
        reasons = self._waits_for
        if paused:
            reasons.add(reason)
            if len(reasons) == 1:
                self._link.pause_reading()
        else:
            reasons.discard(reason)
            if not reasons:
                self._link.resume_reading()

    def _left_out(self, device: str | None, name: str | None, count: int, ask: bool) -> None:
        """Old news was dropped, as snoopevent is too slow; request the present values if they are still needed."""
        now = self._clock()
        self._left_out_since += count
        if now >= self._log_left_out:
            text = "%s: snoopevent is too slow: %d old events were dropped, the last of %s %s"
            logger.warning(text, type(self._driver).__name__, self._left_out_since, device, name or "")
            self._log_left_out, self._left_out_since = now + LOG_AGAIN, 0
        if ask:
            try:
                self._outlet.emit(encode(messages.GetProperties(device, name)))
            except LocalProtocolError as error:
                self._count("getProperties", "%r %r cannot be requested: %s", device, name, error)

    # --- called by the link ---

    def frames_received(self, frames: list[Frame]) -> None:
        """Put frames into the queues of their vectors."""
        log = logger.isEnabledFor(logging.DEBUG) and self._driver.debug_enable
        for frame in frames:
            if log:
                logger.debug("RX:: %s", text_of(frame))
            if self._open:
                try:
                    self._take(frame)
                except Exception as error:  # whatever it is, the other frames are accepted
                    self._fail(frame, error)

    def fault_received(self, fault: RemoteProtocolError) -> None:
        """Count and log what was skipped on the way."""
        self._count(type(fault).__name__, "%s: skipped: %s", self._link.label, fault)

    def link_drained(self) -> None:
        self._outlet.drained()

    def link_closed(self, error: Exception | None) -> None:
        self._closed(error)

    def close(self) -> None:
        """Accept no more frames, and forget the queued ones. A signal handler may call this at any point."""
        self._open = False
        self._queues.close()

    # --- from frames to jobs ---

    def _take(self, frame: Frame) -> None:
        tag, device, name = frame.address
        match tag.verb:
            case Verb.NEW:
                if self._vector(device, name) is not None:
                    handle = partial(self._command, frame, next(self._arrivals))
                    self._queues.add(Key(True, device, name), Job(handle, _held_by(frame)))
            case Verb.GET:
                self._take_request(frame)
            case Verb.PING:
                self._pong(frame)
            case Verb.DEF | Verb.SET:
                self._take_values(frame)
            case Verb.MESSAGE:
                if self._note_if_wanted(frame, Address(tag, device or None, name or None)):
                    job = Job(partial(self._news, frame), frame.size, Kind.MESSAGE)
                    self._queues.add_news(device or None, None, job)
            case Verb.DELETE:
                self._take_deletion(frame)

    def _take_values(self, frame: Frame) -> None:
        """News of a vector: its definition, or an update."""
        tag, device, name = frame.address
        if tag.verb is Verb.DEF and device in self._driver.data:
            self._count(
                f"definition of {device}",
                "somebody else defines the device %r, which is one of this driver's: ignored",
                device,
            )
        elif not device or not name:
            if self._snoops.all or device:
                self._refuse(EventException("no device or no name", tag=tag.text, device=device, name=name))
        elif self._note_if_wanted(frame, frame.address):
            self._queues.add_news(device, name, Job(partial(self._news, frame), _held_by(frame), _kind(frame)))

    def _take_deletion(self, frame: Frame) -> None:
        """News that a vector or a whole device is gone; only the decoded element tells which."""
        if not self._snoops.watches(frame.address):
            return
        try:
            message = decode(frame)
            event = snoop_event(frame, message)
        except RemoteProtocolError as error:
            self._refuse(error)
            return
        assert isinstance(message, messages.DelProperty)
        device, name = message.device, message.name
        assert device is not None, "without a device it is not an event"
        self._snoops.note_news(Address(frame.tag, device, name), self._clock())
        job = Job(partial(self._snooped, frame, event), frame.size, Kind.DELETION)
        if name is None:
            self._queues.add_deletion(device, job)
        else:
            self._queues.add_news(device, name, job)

    def _note_if_wanted(self, frame: Frame, address: Address) -> bool:
        """Note news; True if the driver watches this. If it will send BLOBs, they are enabled."""
        if not self._snoops.watches(address):
            return False
        if self._snoops.note_news(address, self._clock()):
            try:
                self._outlet.emit(encode(messages.EnableBlob(address.device, address.name)))
            except LocalProtocolError as error:  # its BLOBs will not arrive, everything else will
                self._count("enableBLOB", "the BLOBs of %r %r cannot be enabled: %s", *address[1:], error)
        return True

    def _vector(self, device: str | None, name: str | None) -> PropertyVector | None:
        """The vector, if both it and its device are enabled."""
        found = self._driver.data.get(device or "")
        if found is None or not found.enable:
            return None
        vector: PropertyVector | None = found.data.get(name or "")
        return vector if vector is not None and vector.enable else None

    # --- requests for definitions ---

    def _take_request(self, frame: Frame) -> None:
        """A getProperties, whatever its version; "*" is how a server asks for everything.

        Waiting requests are merged, so that there are never more of them than vectors, and a flood of
        them neither stops the reading of the link nor delays a command.
        """
        device, name = frame.device or None, frame.name or None
        asked: _Asked = _ALL_DEVICES if device is None or device == "*" else (device, name)
        if asked is not _ALL_DEVICES:
            found = self._driver.data.get(device or "")
            if found is None or (name is not None and name not in found.data):
                return
        requests = self._requests
        if not (_ALL_DEVICES in requests or (device, None) in requests or asked in requests):
            if asked is _ALL_DEVICES:
                requests.clear()
            requests[asked] = frame
        if not self._is_answering:
            self._is_answering = True
            self._start(self._answer_requests(), "definitions")

    async def _answer_requests(self) -> None:
        """Answer waiting requests. Each answer paces itself, so commands get their turn every few milliseconds."""
        try:
            while self._requests and self._open:
                asked = next(iter(self._requests))
                frame = self._requests.pop(asked)
                for vector in self._asked_for(asked):
                    try:
                        await self._define(frame, vector)
                    except Exception as error:
                        self._failures.log(error, (vector,), "%s %s cannot be defined", vector.devicename, vector.name)
        finally:
            self._is_answering = False

    def _asked_for(self, asked: _Asked) -> Iterable[PropertyVector]:
        device, name = asked
        if device is None:
            return [vector for found in self._driver.devices() for vector in found.properties()]
        of_device = self._driver.data.get(device)
        vectors = of_device.data if of_device is not None else {}
        if name is None:
            return list(vectors.values())
        return [vectors[name]] if name in vectors else []

    async def _define(self, frame: Frame, vector: PropertyVector) -> None:
        if not (vector.enable and vector.device.enable):
            return
        if self._driver.auto_send_def:
            await vector.answer_request()
        elif id(vector) not in self._to_be_asked:
            self._to_be_asked.add(id(vector))
            job = Job(partial(self._ask_for_definition, frame, vector))
            self._queues.add(Key(True, vector.devicename, vector.name), job)
            await self._outlet.pace()

    async def _ask_for_definition(self, frame: Frame, vector: PropertyVector) -> None:
        """Let the driver's rxevent answer."""
        self._to_be_asked.discard(id(vector))
        if self._vector(vector.devicename, vector.name) is vector:
            await self._received(getProperties(frame, vector), vector)

    # --- jobs ---

    async def _command(self, frame: Frame, arrival: int) -> None:
        vector = self._vector(frame.device, frame.name)
        if vector is None:  # disabled meanwhile
            return
        if vector.perm == Permission.READ_ONLY:
            await self._refuse_read_only(frame, vector)
            return
        try:
            frame, message = await self._decoded(frame)
            assert isinstance(message, messages.NewVector)
            event = new_event(frame, message, vector)
            event.arrival = arrival
        except RemoteProtocolError as error:
            self._refuse(error)
            reason = error.reason.removeprefix(f"{frame.tag.text}: ")
            await self._answer(vector, State.ALERT, brief(f"{vector.name}: refused: {reason}"))
            return
        vector.note_command()
        try:
            await self._received(event, vector)
        finally:
            is_due = vector.note_handled()
        if is_due:
            await self._answer(vector, State(vector.state), "")

    async def _refuse_read_only(self, frame: Frame, vector: PropertyVector) -> None:
        """Tell clients, but leave the state of the vector alone: only the instrument determines it."""
        reason = "the vector is read-only"
        self._refuse(EventException(reason, tag=frame.tag.text, device=frame.device, name=frame.name))
        try:
            await vector.device.send_device_message(brief(f"{vector.name}: refused: {reason}"))
        except Exception as error:
            self._failures.log(error, (vector,), "%s: a message could not be sent", vector.devicename)

    async def _received(self, event: Event, vector: PropertyVector) -> None:
        """Hand an event to the driver's rxevent."""
        try:
            await self._driver.rxevent(event)
        except (Exception, asyncio.CancelledError) as error:
            if self._is_cancelled(error):
                raise
            self._failures.log(
                error,
                (vector,),
                "%s: rxevent failed with %s for %s %s",
                type(self._driver).__name__,
                type(event).__name__,
                vector.devicename,
                vector.name,
            )
            if not isinstance(event, getProperties):  # whoever asks for a definition may not know the vector yet
                text = f"{vector.name}: the driver failed: {named(error)}"
                await self._answer(vector, State.ALERT, brief(text))

    def _is_cancelled(self, error: BaseException) -> bool:
        """Was it cancelled because the driver is about to end? Any other cancellation, such as that of an awaited
        task, is a failure of the coroutine that lets the exception through.
        """
        return isinstance(error, asyncio.CancelledError) and self._is_ending()

    async def _answer(self, vector: PropertyVector, state: State, text: str) -> None:
        try:
            await vector.answer_command(state, text)
        except Exception as error:
            what = "%s %s could not be set to %s"
            self._failures.log(error, (vector,), what, vector.devicename, vector.name, state)

    async def _news(self, frame: Frame) -> None:
        """Hand news of another device to the driver's snoopevent."""
        try:
            frame, message = await self._decoded(frame)
            event = snoop_event(frame, message)
        except RemoteProtocolError as error:
            self._refuse(error)
            return
        await self._snooped(frame, event)

    async def _snooped(self, frame: Frame, event: Event) -> None:
        try:
            await self._driver.snoopevent(event)
        except (Exception, asyncio.CancelledError) as error:
            if self._is_cancelled(error):
                raise
            self._failures.log(
                error,
                (),
                "%s: snoopevent failed with %s of %s %s",
                type(self._driver).__name__,
                type(event).__name__,
                frame.device,
                frame.name or "",
            )

    def _pong(self, frame: Frame) -> None:
        try:
            ping = decode(frame)
        except MalformedFrame as error:
            self._refuse(error)
            return
        assert isinstance(ping, messages.Ping)
        self._outlet.emit(encode(messages.Ping(ping.uid, reply=True)))

    async def _decoded(self, frame: Frame) -> tuple[Frame, messages.AnyMessage]:
        """The frame with its data inline, wherever that was, and the decoded message."""
        size = sum(frame.lengths) if isinstance(frame, AttachedFrame) else frame.size
        return await in_thread_if(size > LARGE_WORK, partial(_read, frame))

    # --- what was wrong ---

    def _refuse(self, error: RemoteProtocolError) -> None:
        self._count(
            f"{type(error).__name__} {error.tag}", "%s of %r %r refused: %s", error.tag, error.device, error.name, error
        )

    def _fail(self, frame: Frame, error: Exception) -> None:
        kind = f"failure {frame.tag.text}"
        self.refused[kind] += 1
        if self.refused[kind] == 1:
            text = "%s of %r %r could not be accepted; more of this kind are only counted"
            event_logger.error(text, frame.tag.text, frame.device, frame.name, exc_info=error)

    def _count(self, kind: str, text: str, *args: object) -> None:
        """Log the first of each kind, and count them all."""
        self.refused[kind] += 1
        if self.refused[kind] == 1:
            event_logger.error("%s; more of this kind are only counted", text % args)


def _kind(frame: Frame) -> Kind:
    """The kind of a definition or an update."""
    tag = frame.address.tag
    if tag.verb is Verb.DEF:
        return Kind.DEFINITION
    if tag.kind is not VectorKind.BLOB:
        return Kind.UPDATE
    return Kind.FRAME if isinstance(frame, BlobFrame) and frame.is_stream else Kind.EXPOSURE


def _held_by(frame: Frame) -> int:
    """Bytes that a frame keeps in memory, including its files."""
    return frame.size + frame.in_files if isinstance(frame, BlobFrame) else frame.size


def _read(frame: Frame) -> tuple[Frame, messages.AnyMessage]:
    if isinstance(frame, AttachedFrame):
        try:
            frame = frame.inline()
        except OSError as error:
            reason = f"{frame.tag.text}: the file of an attached BLOB cannot be read: {error}"
            raise MalformedFrame(reason, tag=frame.tag.text, device=frame.device, name=frame.name) from None
    return frame, decode(frame)


class _Failures:
    """Logs repeated failures only now and then, with traceback, and counts the others: commands or news that make a
    driver fail must not fill the disk.

    Args:
        clock: The time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._logged: dict[tuple[object, ...], tuple[float, int]] = {}  # when it may be logged again; how many since

    def log(self, error: BaseException, about: tuple[PropertyVector, ...], text: str, *args: object) -> None:
        """Log an exception.

        Args:
            error: The exception; one of another class is another failure.
            about: The driver's vectors that it concerns.
            text: What has failed; the same text is the same failure.
            args: The arguments of the text.
        """
        kind = type(error)  # by name: a class that a function defines is a new one at each call
        key = (text, kind.__module__, kind.__qualname__, *map(id, about))
        now = self._clock()
        again, count = self._logged.get(key, (now, 0))
        if now < again:
            self._logged[key] = again, count + 1
            return
        self._logged[key] = now + LOG_AGAIN, 0
        more = f"; {count} more of this kind since it was last logged" if count else ""
        logger.error("%s%s", text % args, more, exc_info=error)
