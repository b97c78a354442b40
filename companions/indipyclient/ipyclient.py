"""The client of PyPI's package: subclass :class:`IPyClient`, override ``rxevent``, and run it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
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
from .eventline import EventLine, is_cancelled
from .events import ClientEvent, ConnectionLost, ConnectionMade, VectorTimeOut, event_of, setBLOBVector
from .model.model import Model
from .model.tap import weight
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
"""Seconds between two attempts to connect."""


class IPyClient(DeviceStore):
    """A mapping of device names to devices, kept up to date while ``asyncrun`` runs.

    Args:
        indihost: Name or address of the server.
        indiport: Its port.
        clientdata: For your own use.

    Attributes:
        clientdata: As given.
        messages: Messages for the whole site, newest first, as ``(time, text)``.
        stopped: Set when ``asyncrun`` has ended.
        user_string: For your own use.
        enable_reports: :meth:`report` also passes its text to rxevent.
        resend_enableBLOB_on_def: The BLOB mode of a device is sent again when its BLOBs are defined.
        timeout_enable: Report vectors that are not answered in time.
        vector_timeout_min, vector_timeout_max: Limits of that time, in seconds.
    """

    def __init__(self, indihost: str = "localhost", indiport: int = 7624, **clientdata: Any) -> None:
        super().__init__(indihost, indiport)
        self.clientdata = clientdata
        self.enable_reports = True
        self._indi_silence: tuple[float, float] = (20, 40)
        self.stopped = asyncio.Event()
        self._stop = False
        self._indi_stopping = asyncio.Event()
        self._indi_verbose = 1
        self._indi_blobfolder: Path | None = None
        self._indi_default = BlobMode.NEVER
        self._indi_wishes = BlobWishes()
        self._indi_engine: Engine | None = None
        self._indi_loop: asyncio.AbstractEventLoop | None = None
        self._indi_events = EventLine(self._indi_handle, self._indi_hold)
        self._indi_told = ""
        self._indi_linked = False

    # To be overridden

    async def rxevent(self, event: Any) -> None:
        """Called with each event in turn, when it has been stored."""

    async def hardware(self) -> None:
        """Runs beside everything else."""

    # Life

    async def asyncrun(self) -> None:
        """Connect, and reconnect after a loss, until :meth:`shutdown` is called.  It may be run again."""
        endpoint = parse_endpoint(self.indihost, self.indiport)
        make = connector(endpoint)
        engine = self._indi_engine = Engine(
            endpoint,
            make,
            Model(values=False),
            self._indi_wishes,
            retry=Retry.every(RETRY),
            clear_when_lost=True,
        )
        self._indi_set_silence(*self._indi_silence)
        self._indi_begin()
        self._indi_say(logging.INFO, f"Attempting to connect to {self.indihost}:{self.indiport}")
        engine.on_status = self._indi_status_changed
        engine.on_message = self._indi_received
        stopping, running, hardware = [
            asyncio.ensure_future(each)
            for each in (self._indi_stopping.wait(), engine.run(), self._indi_run_hardware())
        ]
        tasks = {"the connection": running, "hardware": hardware, "rxevent": self._indi_events.start()}
        try:
            await asyncio.wait([stopping, *tasks.values()], return_when=asyncio.FIRST_COMPLETED)
            for what, task in tasks.items():
                if task.cancelled():  # by other code, or by itself
                    logger.error("%s was cancelled: the client ends", what)
                if task.done():
                    task.result()
        finally:
            self._stop = True
            for task in (stopping, running, hardware):
                task.cancel()
            try:
                await asyncio.gather(stopping, running, hardware, return_exceptions=True)
                await self._indi_events.finish()  # what has arrived still counts
            finally:  # it may be cancelled twice
                tasks["rxevent"].cancel()
                self._indi_engine = self._indi_loop = None
                self._indi_clear()
                self.stopped.set()

    def _indi_begin(self) -> None:
        """Reset everything: it may have been run before, on another event loop."""
        self._indi_loop = asyncio.get_running_loop()
        if self.stopped.is_set():
            self.stopped, self._indi_stopping, self._stop = asyncio.Event(), asyncio.Event(), False
            self._indi_told = ""
            self._indi_events = EventLine(self._indi_handle, self._indi_hold)

    async def _indi_run_hardware(self) -> None:
        await self.hardware()
        await self._indi_stopping.wait()

    def shutdown(self) -> None:
        """End: ``asyncrun`` returns.  May be called from any thread."""
        self._stop = True
        loop = self._indi_loop
        if loop is None:
            self._indi_stopping.set()
            return
        with contextlib.suppress(RuntimeError):  # it has just ended
            loop.call_soon_threadsafe(self._indi_stopping.set)

    @property
    def stop(self) -> bool:
        """Whether it is about to end, or has ended."""
        return self._stop

    @property
    def connected(self) -> bool:
        """The server has been reached."""
        return self._indi_engine is not None and self._indi_engine.session is not None

    def _indi_status_changed(self, status: Status) -> None:
        where = f"{self.indihost}:{self.indiport}"
        if status.state is LinkState.READY:
            self._indi_told = ""
            self._indi_linked = True
            self._indi_say(logging.INFO, f"Connected to {where}")
            self._indi_events.put(ConnectionMade())
            self._indi_say(logging.INFO, "getProperties sent")
        elif status.state is not LinkState.CONNECTING:
            self._indi_link_gone(where, status.reason)

    def _indi_link_gone(self, where: str, reason: str) -> None:
        """Report that the connection has ended or failed; the same reason is reported once."""
        if self._indi_linked:
            self._indi_linked = False
            self._indi_events.put(_Cleared())
            self._indi_say(logging.WARNING, f"Connection closed on {where}")
            self._indi_events.put(ConnectionLost())
        elif self._indi_told != reason and not self._stop:
            self._indi_told = reason
            self._indi_say(logging.WARNING, f"Connection failed on {where}, re-trying: {reason}")

    # Input

    def _indi_received(self, message: AnyMessage, size: int) -> None:
        if self._indi_verbose and logger.isEnabledFor(logging.DEBUG):
            self._indi_log("RX", message)
        self._indi_events.put(message, weight(message, size))

    def _indi_hold(self, on: bool) -> None:
        if self._indi_engine is not None:
            self._indi_engine.hold("events", on)

    async def _indi_handle(self, item: Any) -> None:
        """Store what has arrived, and report it."""
        event = self._indi_event_of(item)
        if event is None:
            return
        if self._indi_blobfolder is not None and isinstance(event, setBLOBVector):
            await self._indi_save(event, self._indi_blobfolder)
        await self._indi_tell(event)

    async def _indi_tell(self, event: Any) -> None:
        try:
            await self.rxevent(event)
        except (Exception, asyncio.CancelledError):  # the user's code, which does not affect the next event
            if is_cancelled():
                raise
            where = f"{event.devicename} {event.vectorname}" if event.devicename else "the site"
            logger.exception("rxevent has failed with a %s of %s", event.eventtype, where)

    def _indi_event_of(self, item: Any) -> Any:
        """Store what has arrived; returns its event."""
        if type(item) is SetVector:
            return self._indi_update(item)
        if isinstance(item, DefVector):
            vector = self.define_vector(item)
            return event_of(item, vector.device, vector) if vector is not None else None
        if isinstance(item, _Cleared):
            self._indi_clear()
            return None
        device = self.data.get(getattr(item, "device", None) or "")
        name = getattr(item, "name", None)
        known = device.data.get(name) if device is not None and name else None
        if isinstance(item, DelProperty):
            return event_of(item, device, known) if self.delete_known(item, device, known) else None
        if isinstance(item, Message):
            said = (stamp(item.timestamp), item.message)
            if item.device is None or device is None:
                self.messages.appendleft(said)
            else:
                self._indi_hear(device, said)
            self._indi_snap = None
            return event_of(item, device, None)
        if isinstance(item, GetProperties):
            return event_of(item, device, known)
        return item if hasattr(item, "eventtype") else None

    def _indi_update(self, item: SetVector) -> Any:
        device = self.data.get(item.device)
        vector = device.data.get(item.name) if device is not None else None
        if device is None or vector is None or vector.kind is not item.kind or not vector.enable:
            self._indi_say(logging.WARNING, f"Error: {item.device} {item.name} has been set and is not defined")
            return None
        if not self.take_update(item, vector):
            self._indi_say(logging.WARNING, f"Error: there is no room for {item.device} {item.name}")
            return None
        return event_of(item, device, vector)

    async def _indi_save(self, event: setBLOBVector, folder: Path) -> None:
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
                self._indi_say(logging.WARNING, f"The BLOB {where} was not saved: {error}")
            else:
                member.filename = path.name
        self.vector_changed(vector)

    def look_at_timeout(self, vector: PropertyVector) -> None:
        """Note that the time for the answer to a vector may be over."""
        known = self.data.get(vector.devicename) is vector.device
        if vector.checktimedout(asyncio.get_running_loop().time()) and vector.enable and known:
            self._indi_events.put(VectorTimeOut(vector.device, vector))

    async def raise_clientevent(self, eventtype: str, vector: PropertyVector, payload: dict[str, Any]) -> None:
        await self._indi_events.inject(ClientEvent(eventtype, vector.device, vector, **payload))

    # Messages of the client itself

    async def report(self, message: str) -> None:
        """Log a text, and show it as a message of the site."""
        logger.info("%s", message)
        if self.enable_reports:
            await self._indi_events.inject(Message(None, message, format_timestamp()))

    async def warning(self, message: str) -> None:
        """Log a warning, and show it as a message of the site."""
        logger.warning("%s", message)
        await self._indi_events.inject(Message(None, message, format_timestamp()))

    def refuse_to_send(self, message: str) -> None:
        """Log why something cannot be sent."""
        logger.warning("%s", message)

    def _indi_say(self, level: int, text: str) -> None:
        logger.log(level, "%s", text)
        if level > logging.INFO or self.enable_reports:
            self._indi_events.put(Message(None, text, format_timestamp()))

    def debug_verbosity(self, verbose: int) -> None:
        """How much of the XML is logged at DEBUG: 0 nothing, 1 no members, 2 members without BLOBs, 3 all.

        Raises:
            ValueError: It is none of these.
        """
        if verbose not in (0, 1, 2, 3):
            raise ValueError("verbose must be 0, 1, 2 or 3")
        self._indi_verbose = verbose

    def _indi_log(self, direction: str, message: AnyMessage) -> None:
        try:
            raw = encode(message).raw
        except LocalProtocolError:
            return
        text = raw.decode(errors="replace")
        is_blob = any(isinstance(one, OneBlob) for one in getattr(message, "members", ()))
        if self._indi_verbose == 1 or (self._indi_verbose == 2 and is_blob):
            text = text[: text.find(">") + 1]
        logger.debug("%s: %s", direction, text)

    # Output

    async def send_indi(self, message: AnyMessage) -> bool:
        """Send a message; False, and a line in the log, if that fails."""
        engine = self._indi_engine
        if engine is None or engine.session is None:
            return False
        try:
            await engine.send(message)
        except (ClientError, LocalProtocolError) as error:
            self.refuse_to_send(str(error))
            return False
        if self._indi_verbose and logger.isEnabledFor(logging.DEBUG):
            self._indi_log("TX", message)
        return True

    async def send(self, xmldata: ET.Element) -> None:
        """Send an element of your own."""
        from indipydriver.protocol.decode import decode

        try:
            frames = Framer().feed(ET.tostring(xmldata))
            for frame in frames:
                await self.send_indi(decode(frame))
        except IndiError as error:
            self.refuse_to_send(str(error))

    async def send_newVector(
        self,
        devicename: str,
        vectorname: str,
        timestamp: datetime | None = None,
        members: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Send new values of a vector; unknown names are left out."""
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
        await self.send_indi(GetProperties(devicename, vectorname if devicename else None))

    async def send_enableBLOB(self, value: str, devicename: str, vectorname: str | None = None) -> None:
        """Set the BLOB mode: ``Never``, ``Also``, or ``Only``; anything else is ignored."""
        if value in list(BlobMode) and devicename:
            await self.send_indi(self._indi_wishes.wish(devicename, vectorname, BlobMode(value)))

    async def resend_enableBLOB(self, devicename: str, vectorname: str | None = None) -> None:
        """Send it again."""
        await self.send_indi(EnableBlob(devicename, vectorname, self._indi_wishes.wanted(devicename, vectorname)))

    @property
    def resend_enableBLOB_on_def(self) -> bool:
        """Whether the BLOB mode of a device is sent again when its BLOBs are defined."""
        return self._indi_wishes.repeat

    @resend_enableBLOB_on_def.setter
    def resend_enableBLOB_on_def(self, value: bool) -> None:
        self._indi_wishes.repeat = bool(value)

    @property
    def enableBLOBdefault(self) -> str:
        """The BLOB mode sent when a device's BLOBs are defined: Never, Also or Only; anything else is ignored."""
        return self._indi_default.value

    @enableBLOBdefault.setter
    def enableBLOBdefault(self, value: str) -> None:
        if value in list(BlobMode):
            self._indi_default = self._indi_wishes.default = BlobMode(value)

    @property
    def BLOBfolder(self) -> Path | None:
        """The folder for BLOBs; setting it requests those of all devices, None ends that.

        Raises:
            KeyError: It is not an existing directory.
        """
        return self._indi_blobfolder

    @BLOBfolder.setter
    def BLOBfolder(self, value: Any) -> None:
        if not value:
            self._indi_blobfolder = None
            mode = self._indi_default
        else:
            folder = Path(value).expanduser().resolve()
            if not folder.is_dir():
                raise KeyError("If given, the BLOB's folder should be an existing directory")
            self._indi_blobfolder = folder
            mode = BlobMode.ALSO
        self._indi_wishes.default = mode
        engine = self._indi_engine
        for devicename, device in self.data.items():
            message = self._indi_wishes.wish(devicename, None, mode)
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
            self._indi_set_silence(2 * timeout_max, 4 * timeout_max)

    @property
    def idle_timeout(self) -> float:
        """Seconds of silence after which properties are requested."""
        return self._indi_silence[0]

    @idle_timeout.setter
    def idle_timeout(self, value: float) -> None:
        self._indi_set_silence(value, self.respond_timeout)

    @property
    def respond_timeout(self) -> float:
        """Seconds of silence after which the connection is replaced."""
        return self._indi_silence[1]

    @respond_timeout.setter
    def respond_timeout(self, value: float) -> None:
        self._indi_set_silence(self.idle_timeout, value)

    def _indi_set_silence(self, idle: float, respond: float) -> None:
        self._indi_silence = idle, respond
        if self._indi_engine is not None:
            self._indi_engine.idle, self._indi_engine.unanswered = idle, respond


class _Cleared:
    """Forget everything that was known."""
