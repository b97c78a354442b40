"""From frames to the coroutines of a driver: in order for each vector, different vectors side by side."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from .errors import MalformedFrame, RemoteProtocolError
from .events import Event, getProperties, new_event, snoop_event
from .propertyvectors import PropertyVector
from .protocol import messages
from .protocol.decode import decode
from .protocol.encode import encode
from .protocol.frame import Frame
from .protocol.tags import State, Verb
from .sending import LARGE, Outlet, in_thread_if, text_of
from .snooping import Snoops
from .transport.link import Link

if TYPE_CHECKING:
    from .ipydriver import IPyDriver

__all__ = ["MAX_WAITING", "Dispatcher"]

MAX_WAITING: Final = 256
"""Events of one vector that wait for their turn; with more, the link is not read."""

_LONGEST_TEXT: Final = 200
"""Characters of a message about an error: clients of libindi take 255."""

logger = logging.getLogger("indipydriver.ipydriver")
event_logger = logging.getLogger("indipydriver.events")

_Job: TypeAlias = Callable[[], Awaitable[None]]
_Key: TypeAlias = tuple[Verb | None, str | None, str | None]


class Dispatcher:
    """The receiver of a driver's link, during one run.

    Args:
        driver: The driver.
        link: Where frames come from.
        outlet: Where answers go to.
        snoops: What the driver watches.
        clock: The time in seconds, which never jumps.
        start: Starts a task with a name.
        closed: Called when the link is closed.

    Attributes:
        refused: How many elements have been refused, by kind.
    """

    def __init__(
        self,
        driver: IPyDriver,
        link: Link,
        outlet: Outlet,
        snoops: Snoops,
        clock: Callable[[], float],
        start: Callable[[Coroutine[Any, Any, None], str], object],
        closed: Callable[[Exception | None], None],
    ) -> None:
        self.refused: Counter[str] = Counter()
        self._driver = driver
        self._link = link
        self._outlet = outlet
        self._snoops = snoops
        self._clock = clock
        self._start = start
        self._closed = closed
        self._waiting: dict[_Key, deque[_Job]] = {}
        self._full: set[_Key] = set()
        self._open = True

    # --- called by the link ---

    def frames_received(self, frames: list[Frame]) -> None:
        """Put frames into the queues of their vectors."""
        log = logger.isEnabledFor(logging.DEBUG) and self._driver.debug_enable
        for frame in frames:
            if log:
                logger.debug("RX:: %s", text_of(frame))
            if self._open:
                self._take(frame)

    def fault_received(self, fault: RemoteProtocolError) -> None:
        """Count and log what was skipped on the way."""
        self._count(type(fault).__name__, "%s: skipped: %s", self._link.label, fault)

    def link_drained(self) -> None:
        self._outlet.drained()

    def link_closed(self, error: Exception | None) -> None:
        self._closed(error)

    def close(self) -> None:
        """Take no more frames, and forget those that wait."""
        self._open = False
        for jobs in self._waiting.values():
            jobs.clear()
        if self._full:
            self._full.clear()
            self._link.resume_reading()

    # --- from frames to jobs ---

    def _take(self, frame: Frame) -> None:
        tag, device, name = frame.address
        match tag.verb:
            case Verb.NEW:
                if self._vector(device, name) is not None:
                    self._queue((Verb.NEW, device, name), partial(self._command, frame))
            case Verb.GET:
                self._queue((Verb.GET, None, None), partial(self._definitions, frame))
            case Verb.PING:
                self._pong(frame)
            case Verb.DEF | Verb.SET | Verb.DELETE | Verb.MESSAGE:
                self._take_news(frame)

    def _take_news(self, frame: Frame) -> None:
        tag, device, name = frame.address
        if tag.verb is Verb.DEF and device in self._driver.data:
            self._count(
                f"definition of {device}",
                "somebody else defines the device %r, which is one of this driver's: ignored",
                device,
            )
        elif self._snoops.wants(frame.address):
            if self._snoops.heard(frame.address, self._clock()):
                self._outlet.put(encode(messages.EnableBlob(device, name)))
            if tag.verb is Verb.MESSAGE:
                name = None
            self._queue((None, device, name), partial(self._news, frame))

    def _vector(self, device: str | None, name: str | None) -> PropertyVector | None:
        """The vector, if both it and its device are enabled."""
        found = self._driver.data.get(device or "")
        if found is None or not found.enable:
            return None
        vector: PropertyVector | None = found.data.get(name or "")
        return vector if vector is not None and vector.enable else None

    def _queue(self, key: _Key, job: _Job) -> None:
        jobs = self._waiting.get(key)
        if jobs is None:
            jobs = self._waiting[key] = deque()
            self._start(self._work(key, jobs), f"events of {key[1]} {key[2]}")
        jobs.append(job)
        if len(jobs) >= MAX_WAITING and key not in self._full:
            self._full.add(key)
            self._link.pause_reading()

    async def _work(self, key: _Key, jobs: deque[_Job]) -> None:
        """Do the jobs of one queue in turn, until there are none."""
        while jobs:
            job = jobs.popleft()
            if key in self._full and len(jobs) < MAX_WAITING:
                self._full.discard(key)
                if not self._full:
                    self._link.resume_reading()
            try:
                await job()
            except Exception:  # a mistake of this package: the driver is to go on
                logger.exception("an event of %s %s could not be handled", key[1], key[2])
        del self._waiting[key]

    # --- jobs ---

    async def _command(self, frame: Frame) -> None:
        vector = self._vector(frame.device, frame.name)
        if vector is None:  # disabled meanwhile
            return
        try:
            message = await self._decoded(frame)
            assert isinstance(message, messages.NewVector)
            event = new_event(frame, message, vector)
        except RemoteProtocolError as error:
            self._refuse(error)
            reason = error.reason.removeprefix(f"{frame.tag.text}: ")
            await self._alert(vector, f"{vector.name}: refused: {reason}")
            return
        vector._is_commanded = True
        await self._received(event, vector)

    async def _received(self, event: Event, vector: PropertyVector) -> None:
        """Hand an event to the driver's rxevent."""
        try:
            await self._driver.rxevent(event)
        except Exception as error:
            logger.exception(
                "%s: rxevent failed with %s for %s %s",
                type(self._driver).__name__,
                type(event).__name__,
                vector.devicename,
                vector.name,
            )
            if not isinstance(event, getProperties):  # who asks for a definition may know nothing of it yet
                await self._alert(vector, f"{vector.name}: the driver failed: {type(error).__name__}: {error}")

    async def _alert(self, vector: PropertyVector, text: str) -> None:
        if len(text) > _LONGEST_TEXT:
            text = text[: _LONGEST_TEXT - 3] + "..."
        try:
            await vector._answer(State.ALERT, text)
        except Exception:
            logger.exception("%s %s could not be set to Alert", vector.devicename, vector.name)

    async def _definitions(self, frame: Frame) -> None:
        """Answer a getProperties, whatever its version; "*" is how a server asks for everything."""
        device, name = frame.device, frame.name
        devices = [self._driver.data.get(device)] if device and device != "*" else self._driver.devices()
        for found in devices:
            if found is None or not found.enable:
                continue
            for vector in found.properties():
                if not vector.enable or (name is not None and device is not None and vector.name != name):
                    continue
                if not self._driver.auto_send_def:
                    event = getProperties(frame, vector)
                    key = (Verb.NEW, vector.devicename, vector.name)
                    self._queue(key, partial(self._received, event, vector))
                    continue
                try:
                    await vector._reply()
                except Exception:
                    logger.exception("%s %s cannot be defined", found.devicename, vector.name)

    async def _news(self, frame: Frame) -> None:
        """Hand news of another device to the driver's snoopevent."""
        try:
            event = snoop_event(frame, await self._decoded(frame))
        except RemoteProtocolError as error:
            self._refuse(error)
            return
        try:
            await self._driver.snoopevent(event)
        except Exception:
            logger.exception(
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
        self._outlet.put(encode(messages.Ping(ping.uid, reply=True)))

    async def _decoded(self, frame: Frame) -> messages.AnyMessage:
        return await in_thread_if(frame.size > LARGE, partial(decode, frame))

    # --- what was wrong ---

    def _refuse(self, error: RemoteProtocolError) -> None:
        self._count(
            f"{type(error).__name__} {error.tag}", "%s of %r %r refused: %s", error.tag, error.device, error.name, error
        )

    def _count(self, kind: str, text: str, *args: object) -> None:
        """Log the first of each kind, and count them all."""
        self.refused[kind] += 1
        if self.refused[kind] == 1:
            event_logger.error("%s; more of this kind are only counted", text % args)
