"""The subject of a check, and how to talk to it: a program, a server, or drivers in this process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import ssl
import traceback
from collections import deque
from collections.abc import Callable
from io import FileIO
from typing import Any, Final, Protocol

from indipydriver.errors import RemoteProtocolError
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch, BlobFrame, Frame
from indipydriver.protocol.framer import Framer, Limits
from indipydriver.protocol.messages import AnyMessage, GetProperties
from indipydriver.protocol.tags import Verb
from indipydriver.transport.connecting import NameService, connect
from indipydriver.transport.memory import MemoryLink, memory_pair

from ..certificates import client_context
from ..loading import load_drivers, place_of
from ..process import Child, start_with_pipes
from ..spec import ProgramSpec, PythonSpec, RemoteSpec, Spec, join_host_and_port
from .watching import DriverWatch

__all__ = ["CannotRun", "Recipient", "Subject", "open_subject"]

logger = logging.getLogger("indipyserver.check")

_SUBJECT_READ: Final = 1 << 18
_SUBJECT_TIMEOUT: Final = 10.0
_KILL_AFTER: Final = 2.0
_FAREWELL: Final = 2.0  # seconds in which a server has to take what was sent last
_STDERR_LINES: Final = 20
_MOST_UNSENT: Final = 16 << 20  # bytes for a subject that takes nothing, and may request answers without end


class CannotRun(Exception):
    """The subject could not be started or reached.  The text says why."""


class Recipient(Protocol):
    """Receives what comes from the subject."""

    def bytes_received(self, data: bytes) -> None: ...
    def frames_received(self, frames: list[Frame]) -> None: ...
    def fault_received(self, fault: RemoteProtocolError) -> None: ...
    def closed(self, unfinished: int) -> None: ...


class Subject(Protocol):
    """The subject of a check.

    Attributes:
        kind: A description of its kind.
        is_server: It is a server and not a driver.
        device: The one device to check, or None for all.
        stderr: The last lines it wrote to standard error.
        failure: How it ended, if that was not an orderly end.
        watch: For drivers in this process: their faults that no client sees.
    """

    kind: str
    is_server: bool
    device: str | None
    stderr: deque[str]
    failure: str | None
    watch: DriverWatch | None

    async def start(self, recipient: Recipient) -> None:
        """Start it; CannotRun if that fails."""

    def send(self, message: AnyMessage) -> None:
        """Send it something."""

    async def finish(self, timeout: float) -> bool:
        """End its input; False if it had to be killed."""


def open_subject(spec: Spec, to_other_servers: Callable[[], ssl.SSLContext] = client_context) -> Subject:
    """The subject that a specification names, not yet started.

    Args:
        spec: A program, a Python callable or a server.
        to_other_servers: Makes the context of a link with TLS.

    Raises:
        CannotRun: The files for TLS cannot be used, or no device can have that name.
    """
    if isinstance(spec, ProgramSpec):
        return _Program(spec)
    if isinstance(spec, PythonSpec):
        return PythonSubject(spec)
    try:
        return _ServerSubject(spec, to_other_servers() if spec.tls else None)
    except (OSError, ValueError) as error:
        raise CannotRun(str(error)) from None


class _Stream:
    """What programs and servers have in common: bytes in both directions."""

    watch: DriverWatch | None = None

    def __init__(self) -> None:
        self.stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self.failure: str | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    def send(self, message: AnyMessage) -> None:
        writer = self._writer
        if writer is not None and not writer.is_closing() and writer.transport.get_write_buffer_size() < _MOST_UNSENT:
            writer.write(encode(message).raw + b"\n")

    async def _read(self, reader: asyncio.StreamReader, recipient: Recipient) -> None:
        framer = Framer(Limits(blob=1 << 30), as_sent=True)
        data = b""
        with contextlib.suppress(OSError):  # including those of TLS: the peer has gone, and the judge sees that
            while data := await reader.read(_SUBJECT_READ):
                recipient.bytes_received(data)
                self._hand_on(framer, data, recipient)
        unfinished = framer.unfinished
        if not unfinished:
            framer.feed(b"<message/>")  # makes the framer report what precedes it
            self._hand_on(framer, b"", recipient)
        recipient.closed(unfinished)

    @staticmethod
    def _hand_on(framer: Framer, data: bytes, recipient: Recipient) -> None:
        frames = framer.feed(data)
        if frames:
            recipient.frames_received(frames)
        for fault in framer.faults:
            recipient.fault_received(fault)
        framer.faults.clear()


def _hint(program: str) -> str:
    """A hint if a Python file was named: its drivers are probably meant, even if the file is executable."""
    if program.endswith(".py") and os.path.isfile(program):
        return f"; to check drivers that a function of it returns: {program}:FUNCTION"
    is_here = os.path.isfile(program) and os.path.basename(program) == program
    return f"; for the file here: ./{program}" if is_here else ""


class _Program(_Stream):
    """An executable, on two pipes: then libindi's drivers send BLOBs inline."""

    kind = "program"
    is_server = False
    device: str | None = None

    def __init__(self, spec: ProgramSpec) -> None:
        super().__init__()
        self._name = spec.text
        self._child: Child | None = None
        self._pipes: list[FileIO | asyncio.BaseTransport] = []
        self._logging: asyncio.Task[None] | None = None

    async def start(self, recipient: Recipient) -> None:
        try:
            started = start_with_pipes(self._name)
        except OSError as error:
            why = f"{self._name} cannot be started: {error.strerror}" if error.strerror else str(error)
            raise CannotRun(why + _hint(self._name)) from None
        self._child = started.child  # before anything else: from now on it has to be ended
        stdin, stdout, errors = FileIO(started.stdin, "w"), FileIO(started.stdout), FileIO(started.errors)
        self._pipes = [stdin, stdout, errors]
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_write_pipe(_protocol, stdin)
        self._pipes[0] = transport
        self._writer = asyncio.StreamWriter(transport, protocol, None, loop)
        self._reading = asyncio.create_task(self._read(await self._reader(1, stdout), recipient))
        self._logging = asyncio.create_task(self._log(await self._reader(2, errors)))

    async def _reader(self, number: int, pipe: FileIO) -> asyncio.StreamReader:
        reader = asyncio.StreamReader(limit=_SUBJECT_READ)
        connecting = asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        self._pipes[number], _ = await connecting
        return reader

    async def _log(self, reader: asyncio.StreamReader) -> None:
        rest = b""
        while data := await reader.read(_SUBJECT_READ):
            *lines, rest = (rest + data)[-_SUBJECT_READ:].split(b"\n")
            for line in lines:
                self.stderr.append(line.decode("utf-8", "replace")[:500])

    async def finish(self, timeout: float) -> bool:
        child = self._child
        if child is None:
            return True
        early = child.exited.done()
        if self._writer is not None:
            self._writer.close()
        try:
            in_time = await child.wait(timeout)
            for insist in (signal.SIGTERM, signal.SIGKILL):
                if not child.exited.done():
                    child.signal(insist)
                    await child.wait(_KILL_AFTER)
            for task in (self._reading, self._logging):
                if task is not None:
                    await asyncio.wait((task,), timeout=_KILL_AFTER)
                    task.cancel()
        finally:
            child.kill()  # the program itself, if this is cancelled, and what it has left behind
            for pipe in self._pipes:
                pipe.close()
        status = child.process.returncode
        if early and status is not None:
            self.failure = f"it had ended before, {_ending(status)}"
        elif in_time and status is not None and status < 0:
            self.failure = _ending(status)
        return in_time


def _protocol() -> asyncio.StreamReaderProtocol:
    return asyncio.StreamReaderProtocol(asyncio.StreamReader(limit=_SUBJECT_READ))


class _ServerSubject(_Stream):
    """Another server, or one device of it."""

    kind = "server"
    is_server = True

    def __init__(self, spec: RemoteSpec, context: ssl.SSLContext | None) -> None:
        super().__init__()
        encode(GetProperties(spec.device))  # if this fails, no server has a device of that name
        self._spec = spec
        self._context = context
        self.device = spec.device

    async def start(self, recipient: Recipient) -> None:
        spec = self._spec
        try:
            async with asyncio.timeout(_SUBJECT_TIMEOUT):
                reader, self._writer = await self._connect()
        except TimeoutError:
            raise CannotRun(f"{join_host_and_port(spec.host, spec.port)} does not answer") from None
        except (OSError, ValueError) as error:  # including those of TLS, and invalid names
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise CannotRun(f"{join_host_and_port(spec.host, spec.port)} cannot be reached: {why}") from None
        self._reading = asyncio.create_task(self._read(reader, recipient))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        spec = self._spec
        sock = await connect(await NameService().look_up(spec.host, spec.port))
        name = spec.host.partition("%")[0] if self._context is not None else None
        try:
            return await asyncio.open_connection(
                sock=sock, limit=_SUBJECT_READ, ssl=self._context, server_hostname=name
            )
        except BaseException:
            sock.close()
            raise

    async def finish(self, timeout: float) -> bool:
        if self._writer is not None:
            self._writer.close()
            try:
                async with asyncio.timeout(_FAREWELL):
                    await self._writer.wait_closed()
            except TimeoutError:
                self._writer.transport.abort()  # it has stopped reading
            except OSError:
                pass  # it has ended in another way
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait((self._reading,))
        return True


class PythonSubject:
    """One or more IPyDrivers in this process, each on a link in memory; they see each other as under a server."""

    kind = "Python"
    is_server = False
    device: str | None = None
    limit: tuple[float, Callable[[], None]] | None = None

    def __init__(self, spec: PythonSpec) -> None:
        self.stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self.failure: str | None = None
        self.watch: DriverWatch | None = None
        self._spec = spec
        self._ends: list[_DriverEnd] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, recipient: Recipient) -> None:
        self.watch = DriverWatch()
        self.watch.limit = self.limit
        self.watch.listen()
        try:
            drivers = load_drivers(self._spec)
        except (ImportError, ValueError) as error:
            raise CannotRun(str(error)) from None
        names = [name for driver in drivers for name in driver.data]
        for name in names:
            if names.count(name) > 1:  # a server refuses them all
                raise CannotRun(f"{self._spec.text!r} returned two drivers that have a device named {name!r}")
        self.watch.start()
        for driver in drivers:
            ours, theirs = memory_pair(type(driver).__name__, "the check")
            self._ends.append(_DriverEnd(self, ours, recipient, set(driver.data)))
            self._tasks.append(asyncio.create_task(self._serve(driver, theirs, recipient)))

    async def _serve(self, driver: Any, link: MemoryLink, recipient: Recipient) -> None:
        try:
            await driver.serve(link)
        except Exception as error:
            while isinstance(error, ExceptionGroup):
                error = error.exceptions[0]
            place = place_of(traceback.extract_tb(error.__traceback__))
            where = f" ({place})" if place else ""
            self.failure = f"{type(driver).__name__} failed with {type(error).__name__}: {error}{where}"
            logger.exception("%s has failed", type(driver).__name__)
        finally:
            recipient.closed(0)

    def relay(self, source: _DriverEnd, frame: Frame) -> None:
        """Pass a driver what other drivers send of the properties that it watches."""
        for end in self._ends:
            if end is not source and end.snoops(frame):
                end.send(frame)

    def ask(self, source: _DriverEnd, device: str | None, name: str | None) -> None:
        """Handle a driver's request for properties of another."""
        for end in self._ends:
            if end is not source and (device in end.devices or device is None):
                end.send(encode(GetProperties(device, name)))

    def send(self, message: AnyMessage) -> None:
        frame = encode(message)
        for end in self._ends:
            if len(self._ends) == 1 or not isinstance(frame.device, str) or frame.device in end.devices:
                end.send(frame)

    async def finish(self, timeout: float) -> bool:
        if self.watch is not None:
            self.watch.stop()
        for end in self._ends:
            end.link.close()
        if not self._tasks:
            return True
        _, late = await asyncio.wait(self._tasks, timeout=timeout)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=_KILL_AFTER)
        return not late


class _DriverEnd:
    """Our end of the link to one driver."""

    def __init__(self, subject: PythonSubject, link: MemoryLink, recipient: Recipient, devices: set[str]) -> None:
        self.link = link
        self.devices = devices
        self._subject = subject
        self._listener = recipient
        self._watched: set[tuple[str | None, str | None]] = set()
        self._defined: set[tuple[str | None, str | None]] = set()
        link.open(self)

    def snoops(self, frame: Frame) -> bool:
        _, device, name = frame.address
        return not self._watched.isdisjoint(((None, None), (device, None), (device, name)))

    def send(self, frame: Frame) -> None:
        self.link.write(Batch([frame]))
        self.link.flush()

    def frames_received(self, frames: list[Frame]) -> None:
        heard = []
        for frame in frames:
            tag, device, name = frame.address
            if tag.verb is Verb.DEF:
                self._defined.add((device, name))
            elif tag.verb is Verb.SET and (device, name) not in self._defined:
                continue  # it was sent before anybody could request the definition: not the author's fault
            heard.append(frame)
            self._listener.bytes_received(frame.skeleton if isinstance(frame, BlobFrame) else frame.raw)
            if tag.verb is Verb.GET:
                self._watched.add((device, name))
                self._subject.ask(self, device, name)
            elif tag.verb in (Verb.DEF, Verb.SET, Verb.DELETE, Verb.MESSAGE):
                self._subject.relay(self, frame)
        self._listener.frames_received(heard)

    def fault_received(self, fault: RemoteProtocolError) -> None:
        self._listener.fault_received(fault)

    def link_drained(self) -> None:
        pass

    def link_closed(self, error: Exception | None) -> None:
        pass


def _ending(status: int) -> str:
    if status >= 0:
        return f"with status {status}"
    try:
        return f"by the signal {signal.Signals(-status).name}"
    except ValueError:
        return f"by signal {-status}"
