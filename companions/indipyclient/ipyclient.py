"""The client of PyPI's package: subclass :class:`IPyClient`, override ``rxevent``, and run it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from xml.etree import ElementTree as ET

from indipydriver.errors import IndiError, LocalProtocolError
from indipydriver.protocol.encode import encode
from indipydriver.protocol.framer import Framer
from indipydriver.protocol.messages import (
    AnyMessage,
    DefVector,
    DelProperty,
    EnableBlob,
    GetProperties,
    Message,
    OneBlob,
    SetVector,
)
from indipydriver.protocol.tags import BlobMode, VectorKind
from indipydriver.protocol.values import format_timestamp

from .addresses import parse_endpoint
from .blobs import write_new
from .connect import connector
from .devices import Device, Snap, SnapDevice
from .devicestore import DeviceStore
from .engine import Engine
from .errors import ClientError
from .events import ClientEvent, ConnectionLost, ConnectionMade, VectorTimeOut, event_of, setBLOBVector
from .model.model import Model
from .model.wishes import BlobWishes
from .propertymembers import BLOBMember
from .propertyvectors import (
    BLOBVector,
    NumberVector,
    PropertyVector,
    SwitchVector,
    TextVector,
    stamp,
)
from .reconnect import LinkState, Retry, Status

__all__ = ["Device", "IPyClient", "Snap", "SnapDevice"]

logger = logging.getLogger("indipyclient")

RETRY: Final = 5.0
"""Seconds between two tries to connect."""
EVENTS_WAITING: Final = 1000
"""Elements that wait for rxevent; with more the server is not read."""
BYTES_WAITING: Final = 256 << 20
LAST_EVENTS: Final = 2.0
"""Seconds for rxevent to take what has come when the client ends."""
_turn: Final[ContextVar[object]] = ContextVar("turn", default=None)
"""During which event this task, or the one that began it, was begun."""


class IPyClient(DeviceStore):
    """A mapping of device names to devices, kept up to date while ``asyncrun`` runs.

    Args:
        indihost: Name or address of the server.
        indiport: Its port.
        clientdata: Yours.

    Attributes:
        clientdata: As given.
        messages: What was said for the site, newest first, as ``(time, text)``.
        stopped: Set when ``asyncrun`` has ended.
        user_string: Yours.
        enable_reports: :meth:`report` tells its text to rxevent, too.
        resend_enableBLOB_on_def: What was said of a device's BLOBs is repeated when they are defined.
        timeout_enable: A vector that is sent must be answered in time.
        vector_timeout_min, vector_timeout_max: Bounds of that time, in seconds.
        idle_timeout: Seconds of silence after which properties are asked for.
        respond_timeout: Seconds of silence after which the connection is made anew.
    """

    def __init__(self, indihost: str = "localhost", indiport: int = 7624, **clientdata: Any) -> None:
        super().__init__(indihost, indiport)
        self.clientdata = clientdata
        self.enable_reports = True
        self.idle_timeout: float = 20
        self.respond_timeout: float = 40
        self.stopped = asyncio.Event()
        self._stop = False
        self._stopping = asyncio.Event()
        self._verbose = 1
        self._blobfolder: Path | None = None
        self._default = BlobMode.NEVER
        self._wishes = BlobWishes()
        self._engine: Engine | None = None
        self._events: deque[tuple[Any, int, asyncio.Future[None] | None]] = deque()
        self._waiting = 0  # bytes in it
        self._news = asyncio.Event()
        self._told = ""
        self._linked = False
        self._handler: asyncio.Task[None] | None = None
        self._turn: object = None  # the event that is being handled

    # To be overridden

    async def rxevent(self, event: Any) -> None:
        """Called with each event, one after the other, when it has been stored."""

    async def hardware(self) -> None:
        """Runs beside everything else."""

    # Life

    async def asyncrun(self) -> None:
        """Connect, and connect again when that is lost, until :meth:`shutdown` is called."""
        endpoint = parse_endpoint(self.indihost, self.indiport)
        make = connector(endpoint)
        engine = self._engine = Engine(
            endpoint,
            make,
            Model(values=False),
            self._wishes,
            retry=Retry.every(RETRY),
            clear_when_lost=True,
            idle=self.idle_timeout,
            unanswered=self.respond_timeout,
        )
        self._say(logging.INFO, f"Attempting to connect to {self.indihost}:{self.indiport}")
        engine.on_status = self._status_changed
        engine.on_message = self._received
        tasks = [asyncio.ensure_future(each) for each in (engine.run(), self._handle_events(), self._run_hardware())]
        self._handler = tasks[1]
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            self._stop = True
            stopping.cancel()
            tasks[0].cancel()
            tasks[2].cancel()
            await asyncio.gather(stopping, tasks[0], tasks[2], return_exceptions=True)
            self._put(_End())  # what has come still counts
            await asyncio.wait([tasks[1]], timeout=LAST_EVENTS)
            tasks[1].cancel()
            await asyncio.gather(tasks[1], return_exceptions=True)
            self._engine = None
            self._clear()
            self.stopped.set()

    async def _run_hardware(self) -> None:
        await self.hardware()
        await self._stopping.wait()

    def shutdown(self) -> None:
        """End: ``asyncrun`` comes back."""
        self._stop = True
        self._stopping.set()

    @property
    def stop(self) -> bool:
        """It is about to end, or has ended."""
        return self._stop

    @property
    def connected(self) -> bool:
        """The server has been reached."""
        return self._engine is not None and self._engine.session is not None

    def _status_changed(self, status: Status) -> None:
        where = f"{self.indihost}:{self.indiport}"
        if status.state is LinkState.READY:
            self._told = ""
            self._linked = True
            self._say(logging.INFO, f"Connected to {where}")
            self._put(ConnectionMade())
            self._say(logging.INFO, "getProperties sent")
        elif status.state is not LinkState.CONNECTING:
            self._link_gone(where, status.reason)

    def _link_gone(self, where: str, reason: str) -> None:
        """The connection has ended, or could not be made; the same is told once."""
        if self._linked:
            self._linked = False
            self._put(_Cleared())
            self._say(logging.WARNING, f"Connection closed on {where}")
            self._put(ConnectionLost())
        elif self._told != reason and not self._stop:
            self._told = reason
            self._say(logging.WARNING, f"Connection failed on {where}, re-trying: {reason}")

    # In

    def _received(self, message: AnyMessage) -> None:
        if self._verbose and logger.isEnabledFor(logging.DEBUG):
            self._log("RX", message)
        size = 0
        if type(message) is SetVector and message.kind is VectorKind.BLOB:
            size = sum(len(one.data) for one in message.members if isinstance(one, OneBlob))
        self._put(message, size)

    def _put(self, item: Any, size: int = 0, done: asyncio.Future[None] | None = None) -> None:
        self._events.append((item, size, done))
        self._waiting += size
        self._news.set()
        if len(self._events) >= EVENTS_WAITING or self._waiting >= BYTES_WAITING:
            self._hold(True)

    def _hold(self, on: bool) -> None:
        if self._engine is not None:
            self._engine.hold("events", on)

    async def _handle_events(self) -> None:
        while True:
            while not self._events:
                self._news.clear()
                await self._news.wait()
            item, size, done = self._events.popleft()
            self._waiting -= size
            if len(self._events) == EVENTS_WAITING // 2 or not self._events:
                self._hold(False)
            if isinstance(item, _End):
                return
            self._turn = object()
            _turn.set(self._turn)
            await self._handle(item)
            self._turn = None
            if done is not None and not done.done():
                done.set_result(None)

    async def _handle(self, item: Any) -> None:
        """Store what has come, and tell of it."""
        event = self._event_of(item)
        if event is None:
            return
        if self._blobfolder is not None and isinstance(event, setBLOBVector):
            await self._save(event, self._blobfolder)
        await self._tell(event)

    async def _tell(self, event: Any) -> None:
        try:
            await self.rxevent(event)
        except Exception:  # the user's; the next event is none the worse
            where = f"{event.devicename} {event.vectorname}" if event.devicename else "the site"
            logger.exception("rxevent has failed with a %s of %s", event.eventtype, where)

    def _event_of(self, item: Any) -> Any:
        """Store what has come; its event."""
        if type(item) is SetVector:
            return self._update(item)
        if isinstance(item, DefVector):
            vector = self.define(item)
            return event_of(item, vector.device, vector) if vector is not None else None
        if isinstance(item, _Cleared):
            self._clear()
            return None
        device = self.data.get(getattr(item, "device", None) or "")
        name = getattr(item, "name", None)
        known = device.data.get(name) if device is not None and name else None
        if isinstance(item, DelProperty):
            return event_of(item, device, known) if self.delete(item, device, known) else None
        if isinstance(item, Message):
            said = (stamp(item.timestamp), item.message)
            (self.messages if item.device is None or device is None else device.messages).appendleft(said)
            self._snap = None
            return event_of(item, device, None)
        if isinstance(item, GetProperties):
            return event_of(item, device, known)
        return item if hasattr(item, "eventtype") else None

    def _update(self, item: SetVector) -> Any:
        device = self.data.get(item.device)
        vector = device.data.get(item.name) if device is not None else None
        if device is None or vector is None or vector.kind is not item.kind or not vector.enable:
            self._say(logging.WARNING, f"Error: {item.device} {item.name} has been set and is not defined")
            return None
        vector.update(item)
        return event_of(item, device, vector)

    async def _save(self, event: setBLOBVector, folder: Path) -> None:
        vector = event.vector
        assert vector is not None
        for name, data in event.items():
            member = vector.data.get(name)
            if not isinstance(member, BLOBMember):
                continue
            format = event.sizeformat[name][1]
            try:
                path = await asyncio.to_thread(write_new, folder, name, format, data, event.timestamp)
            except OSError as error:
                where = f"{event.devicename} {event.vectorname} {name}"
                self._say(logging.WARNING, f"The BLOB {where} was not saved: {error}")
            else:
                member.filename = path.name
        self.changed(vector)

    def look_at_timeout(self, vector: PropertyVector) -> None:
        """The time for the answer to a vector may be over."""
        if vector.checktimedout(asyncio.get_running_loop().time()) and vector.enable:
            self._put(VectorTimeOut(vector.device, vector))

    async def raise_clientevent(self, eventtype: str, vector: PropertyVector, payload: dict[str, Any]) -> None:
        await self._inject(ClientEvent(eventtype, vector.device, vector, **payload))

    async def _inject(self, item: Any) -> None:
        """Handle something of our own, and come back when rxevent has; also from within rxevent, and from tasks for
        which it may wait."""
        if self._handler is None or self._handler.done() or asyncio.current_task() is self._handler:
            await self._handle(item)
            return
        if self._turn is not None and _turn.get() is self._turn:
            self._put(item)
            return
        done = asyncio.get_running_loop().create_future()
        self._put(item, 0, done)
        await asyncio.wait([done, self._handler], return_when=asyncio.FIRST_COMPLETED)

    # What is said here

    async def report(self, message: str) -> None:
        """Log a text, and show it as a message of the site."""
        logger.info("%s", message)
        if self.enable_reports:
            await self._inject(Message(None, message, format_timestamp()))

    async def warning(self, message: str) -> None:
        """Log a warning, and show it as a message of the site."""
        logger.warning("%s", message)
        await self._inject(Message(None, message, format_timestamp()))

    def refuse(self, message: str) -> None:
        """Something cannot be sent: log why."""
        logger.warning("%s", message)

    def _say(self, level: int, text: str) -> None:
        logger.log(level, "%s", text)
        if level > logging.INFO or self.enable_reports:
            self._put(Message(None, text, format_timestamp()))

    def debug_verbosity(self, verbose: int) -> None:
        """How much of the XML is logged at DEBUG: 0 nothing, 1 no members, 2 members without BLOBs, 3 all.

        Raises:
            ValueError: It is none of these.
        """
        if verbose not in (0, 1, 2, 3):
            raise ValueError("verbose is 0, 1, 2 or 3")
        self._verbose = verbose

    def _log(self, direction: str, message: AnyMessage) -> None:
        try:
            raw = encode(message).raw
        except LocalProtocolError:
            return
        text = raw.decode(errors="replace")
        is_blob = any(isinstance(one, OneBlob) for one in getattr(message, "members", ()))
        if self._verbose == 1 or (self._verbose == 2 and is_blob):
            text = text[: text.find(">") + 1]
        logger.debug("%s: %s", direction, text)

    # Out

    async def send_message(self, message: AnyMessage) -> bool:
        """Send a message; False, and a line in the log, if that cannot be done."""
        engine = self._engine
        if engine is None or engine.session is None:
            return False
        try:
            await engine.send(message)
        except (ClientError, LocalProtocolError) as error:
            self.refuse(str(error))
            return False
        if self._verbose and logger.isEnabledFor(logging.DEBUG):
            self._log("TX", message)
        return True

    async def send(self, xmldata: ET.Element) -> None:
        """Send an element of your own."""
        from indipydriver.protocol.decode import decode

        try:
            frames = Framer().feed(ET.tostring(xmldata))
            for frame in frames:
                await self.send_message(decode(frame))
        except IndiError as error:
            self.refuse(str(error))

    async def send_newVector(
        self,
        devicename: str,
        vectorname: str,
        timestamp: datetime | None = None,
        members: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Send new values of a vector; a name that is unknown is left out."""
        device = self.data.get(devicename)
        vector = device.data.get(vectorname) if device is not None else None
        if isinstance(vector, SwitchVector):
            await vector.send_newSwitchVector(timestamp, members)
        elif isinstance(vector, TextVector):
            await vector.send_newTextVector(timestamp, members)
        elif isinstance(vector, NumberVector):
            await vector.send_newNumberVector(timestamp, members)
        elif isinstance(vector, BLOBVector):
            await vector.send_newBLOBVector(timestamp, members)

    async def send_getProperties(self, devicename: str | None = None, vectorname: str | None = None) -> None:
        """Ask for definitions: of everything, a device, or a vector."""
        await self.send_message(GetProperties(devicename, vectorname if devicename else None))

    async def send_enableBLOB(self, value: str, devicename: str, vectorname: str | None = None) -> None:
        """Say which BLOBs should come: ``Never``, ``Also``, or ``Only``; anything else is ignored."""
        if value in list(BlobMode) and devicename:
            await self.send_message(self._wishes.wish(devicename, vectorname, BlobMode(value)))

    async def resend_enableBLOB(self, devicename: str, vectorname: str | None = None) -> None:
        """Say it again."""
        await self.send_message(EnableBlob(devicename, vectorname, self._wishes.wanted(devicename, vectorname)))

    @property
    def resend_enableBLOB_on_def(self) -> bool:
        """What was said of a device's BLOBs is repeated when they are defined."""
        return self._wishes.repeat

    @resend_enableBLOB_on_def.setter
    def resend_enableBLOB_on_def(self, value: bool) -> None:
        self._wishes.repeat = bool(value)

    @property
    def enableBLOBdefault(self) -> str:
        """What is said of a device's BLOBs when they are defined: Never, Also or Only; anything else is ignored."""
        return self._default.value

    @enableBLOBdefault.setter
    def enableBLOBdefault(self, value: str) -> None:
        if value in list(BlobMode):
            self._default = self._wishes.default = BlobMode(value)

    @property
    def BLOBfolder(self) -> Path | None:
        """Where BLOBs are saved; setting it asks for those of all devices, None ends that.

        Raises:
            KeyError: It is not an existing directory.
        """
        return self._blobfolder

    @BLOBfolder.setter
    def BLOBfolder(self, value: Any) -> None:
        if not value:
            self._blobfolder = None
            mode = self._default
        else:
            folder = Path(value).expanduser().resolve()
            if not folder.is_dir():
                raise KeyError("If given, the BLOB's folder should be an existing directory")
            self._blobfolder = folder
            mode = BlobMode.ALSO
        self._wishes.default = mode
        engine = self._engine
        for devicename, device in self.data.items():
            message = self._wishes.wish(devicename, None, mode)
            has_blobs = any(vector.kind is VectorKind.BLOB for vector in device.data.values())
            if engine is not None and engine.session is not None and has_blobs:
                engine.session.put(encode(message))

    def set_vector_timeouts(
        self,
        timeout_enable: bool | None = None,
        timeout_min: float | None = None,
        timeout_max: float | None = None,
    ) -> None:
        """Change when an answer is late; the times of silence follow `timeout_max`: twice and four times that."""
        if timeout_enable is not None:
            self.timeout_enable = timeout_enable
        if timeout_min is not None:
            self.vector_timeout_min = timeout_min
        if timeout_max is not None:
            self.vector_timeout_max = timeout_max
            self.idle_timeout = 2 * timeout_max
            self.respond_timeout = 4 * timeout_max
            if self._engine is not None:
                self._engine.idle, self._engine.unanswered = self.idle_timeout, self.respond_timeout


class _Cleared:
    """Everything that was known is not any more."""


class _End:
    """There are no more events."""
