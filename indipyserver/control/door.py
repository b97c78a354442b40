"""The control socket of a running server: who may connect, how much each may send, and what waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections import deque
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, Final, Protocol, cast

from indipydriver.protocol.texts import describe
from indipydriver.transport.forked import descriptor_ours_only, ours_only

from ..clients.sockets import FileOf, at_the_other_end, bind_file
from ..lines import CommandError, Lines
from ..relay.switchboard import Switchboard
from ..services import Services
from ..sources.recent import LogLine
from ..sources.sources import Sources
from .desk import CHANGES, Desk, Facts
from .log import RecentLog
from .paths import default_path
from .watch import Watch, line_record
from .wire import MAX_REQUEST, Code, ControlError, encode, failure, read_request, success

__all__ = ["ANSWER_PATIENCE", "IDLE", "MOST_CONNECTIONS", "MOST_EVENT_BYTES", "MOST_LINES_WAITING", "ControlDoor"]

logger = logging.getLogger("indipyserver.control")

MOST_CONNECTIONS: Final = 16
"""Connections at the same time."""
IDLE: Final = 5.0
"""Seconds after which a connection that requests nothing and follows nothing gives way to another one, if there are
MOST_CONNECTIONS."""
MOST_EVENT_BYTES: Final = 1 << 20
"""Bytes that may wait for a follower; events beyond that are dropped, and it is told how many."""
MOST_LINES_WAITING: Final = 1000
"""Lines of the log that may wait for the event loop; of further ones, followers only get the number."""
ANSWER_PATIENCE: Final = 30.0
"""Seconds after which a connection that does not take its answers is closed."""
_WRITE_BUFFER: Final = 1 << 16
_REST_FACTOR: Final = 4  # answers to all connections take a fifth of the time at most
_SHORTEST_REST: Final = 0.002  # seconds; shorter pauses are made up for later
_COLLECT_TIME: Final = 0.05  # seconds in which changes are collected for followers


class Controlled(Facts, Protocol):
    """What is needed of a server."""

    board: Switchboard
    services: Services
    control: bool | str


class ControlDoor:
    """Listens while the block lasts.

    Args:
        server: The server to control.
        sources: Everything that it serves.

    Raises:
        OSError: It cannot listen there.
    """

    def __init__(self, server: Controlled, sources: Sources) -> None:
        self._loop = asyncio.get_running_loop()
        self._log = RecentLog(self._logged)
        self._watch = Watch(server.board, sources, server.services, touched=self._touched)
        self._desk = Desk(server, self._watch, server.services, self._log, turn=_turn)
        self._path = server.control if isinstance(server.control, str) else default_path(server.port)
        self._listening: asyncio.Server | None = None
        self._file: FileOf | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._free_at = 0.0
        self._lines: deque[LogLine] = deque()  # lines to be sent
        self._lines_are_told = False  # the event loop will soon send them
        self._left_out = 0  # lines so far, counted in the logging threads
        self._left_out_told = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections: list[_Connection] = []
        self.closed = False

    async def __aenter__(self) -> ControlDoor:
        sock = bind_control(self._path)
        try:
            self._file = FileOf(sock)
            # In two steps: a cancellation during the second must find what watches the socket.
            self._listening = await self._loop.create_unix_server(self._connection, sock=sock, start_serving=False)
            await self._listening.start_serving()
        except BaseException:
            if self._listening is not None:
                self._listening.close()
            sock.close()
            if self._file is not None:
                self._file.remove()
            raise
        logging.getLogger().addHandler(self._log)
        self._watch.begin()
        logger.info("control socket: %s", self._path)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed = True
        self._watch.end()
        logging.getLogger().removeHandler(self._log)
        if self._timer is not None:
            self._timer.cancel()
        if self._listening is not None:
            self._listening.close()
        if self._file is not None:
            self._file.remove()
        for each in self.connections:
            each.end()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _connection(self) -> _Connection:
        return _Connection(self, self._desk)

    # Called by connections

    def admit(self, new: _Connection) -> bool:
        """Is there room for one more?  An idle one makes room."""
        if len(self.connections) >= MOST_CONNECTIONS:
            latest = self._loop.time() - IDLE
            idle = min(self.connections, key=lambda each: each.idle_since)
            if idle.idle_since > latest:
                return False
            idle.end()
            self.left(idle)
        self.connections.append(new)
        return True

    def keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start something that is given up only when the server ends."""
        task = self._loop.create_task(work, name="control")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def left(self, connection: _Connection) -> None:
        """Note that a connection has gone."""
        if connection in self.connections:
            self.connections.remove(connection)

    async def take_turns(self, took: float) -> None:
        """Leave most of the time to the server's actual work.

        Args:
            took: Seconds that the last answer has taken.
        """
        now = self._loop.time()
        self._free_at = max(now, self._free_at) + _REST_FACTOR * took
        wait = self._free_at - now
        await asyncio.sleep(wait if wait > _SHORTEST_REST else 0)

    # Events for followers

    def _touched(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(_COLLECT_TIME, self._look)

    def look_now(self) -> None:
        """Send what has changed, but not to new followers, who get everything anyway."""
        if self._timer is not None:
            self._timer.cancel()
        self._look()

    def _look(self) -> None:
        self._timer = None
        following = [each for each in self.connections if each.follows]
        for event in self._watch.look(tell=bool(following)):
            self._tell(following, event)

    def _logged(self, line: LogLine) -> None:
        """Called in any thread, but never in two at once."""
        if not any(each.follows_log for each in list(self.connections)):
            return
        if len(self._lines) >= MOST_LINES_WAITING:  # a driver may hold up the loop while its thread goes on logging
            self._left_out += 1
            return
        self._lines.append(line)
        if not self._lines_are_told:
            self._lines_are_told = True
            with contextlib.suppress(RuntimeError):  # the loop has been closed
                self._loop.call_soon_threadsafe(self._tell_lines)

    def _tell_lines(self) -> None:
        self._lines_are_told = False
        following = [each for each in self.connections if each.follows_log]
        for _ in range(len(self._lines)):
            self._tell(following, {"event": "log", "line": line_record(self._lines.popleft())})
        missed = self._left_out - self._left_out_told
        if missed:
            self._left_out_told += missed
            self._tell(following, {"event": "missed", "count": missed}, missed)

    def _tell(self, connections: list[_Connection], event: Mapping[str, Any], count: int = 1) -> None:
        if connections:
            data = encode(event)
            for each in connections:
                each.tell(data, count)


class _Connection(asyncio.BufferedProtocol):
    """One connection, whose requests are answered in turn.

    Args:
        door: Where it came in.
        desk: Answers.

    Attributes:
        label: Who has connected, for the log.
        follows: It is sent changes.
        follows_log: It is sent what is logged.
        idle_since: When its last request was answered, in the loop's time; infinite while it is in use.
    """

    def __init__(self, door: ControlDoor, desk: Desk) -> None:
        self.label = "the control socket"
        self.follows = False
        self.follows_log = False
        self._door = door
        self._desk = desk
        self._loop = asyncio.get_running_loop()
        self._lines = Lines(MAX_REQUEST)
        self._buffer = bytearray(MAX_REQUEST)
        self._waiting: deque[str | CommandError] = deque()
        self._begin = 0.0  # when the work on the present answer began
        self._task: asyncio.Task[None] | None = None
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._timer: asyncio.TimerHandle | None = None
        self._missed = 0
        self._ended = False  # it will send no more
        self._last = self._loop.time()
        self._transport: asyncio.Transport
        self._ours: object = None  # keeps it from forked children

    @property
    def idle_since(self) -> float:
        if self._task is not None or (self.follows and not self._ended):
            return float("inf")
        return self._last

    # Called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast("asyncio.Transport", transport)  # uvloop has a class of its own
        transport.set_write_buffer_limits(_WRITE_BUFFER)
        self._ours = descriptor_ours_only(transport.get_extra_info("socket").fileno())
        if self._door.closed:  # the server has ended since it connected
            transport.abort()
            return
        try:
            process, user = at_the_other_end(transport.get_extra_info("socket"))
        except OSError:  # it has gone already
            transport.abort()
            return
        if process:
            self.label = f"process {process} of user {user}"
        if user not in (None, 0, os.geteuid()):
            logger.warning("%s is refused at the control socket", self.label)
            self._refuse(Code.DENIED, "only the user who runs the server, and root, may control it")
        elif not self._door.admit(self):
            self._refuse(Code.BUSY, f"there are {MOST_CONNECTIONS} connections, and no more are allowed")

    def _refuse(self, code: str, text: str) -> None:
        self._ended = True
        self._transport.write(encode(failure(None, code, text)))
        self._transport.close()

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._take(self._lines.feed(bytes(self._buffer[:nbytes])))

    def eof_received(self) -> bool:
        self._ended = True
        self._take(self._lines.finish())
        self._close_if_done()
        return True  # what it has asked for is still answered

    def connection_lost(self, error: Exception | None) -> None:
        self._ours = None
        self._door.left(self)
        self._has_room.set()
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        self._waiting.clear()

    def pause_writing(self) -> None:
        self._has_room.clear()
        self._timer = self._loop.call_later(ANSWER_PATIENCE, self._transport.abort)

    def resume_writing(self) -> None:
        self._has_room.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._missed:
            missed, self._missed = self._missed, 0
            self._transport.write(encode({"event": "missed", "count": missed}))

    # Its requests

    def _take(self, lines: list[str | CommandError]) -> None:
        if lines and not self._transport.is_closing():
            self._waiting += lines
            if self._task is None:
                if not self._ended:
                    self._transport.pause_reading()
                self._task = self._door.keep(self._work())

    async def _work(self) -> None:
        """Answer everything that has arrived, then go on reading."""
        try:
            while self._waiting and not self._transport.is_closing():
                line = self._waiting.popleft()
                self._begin = self._loop.time()
                if isinstance(line, CommandError) or line.strip():
                    self._transport.write(await self._answer(line))
                took = self._loop.time() - self._begin
                await self._has_room.wait()
                await self._door.take_turns(took)
        finally:
            self._task = None
            self._last = self._loop.time()
            self._close_if_done()
            if not (self._ended or self._transport.is_closing()):
                self._transport.resume_reading()

    async def _answer(self, line: str | CommandError) -> bytes:
        number = None
        try:
            if isinstance(line, CommandError):
                raise ControlError(Code.REQUEST, str(line))
            request = read_request(line)
            number = request.id
            try:
                result = await self._desk.answer(self, request)
            finally:
                if request.do in CHANGES:  # others have had their turns meanwhile
                    self._begin = self._loop.time()
            return encode(success(number, result))
        except ControlError as error:
            return encode(failure(error.id if number is None else number, error.code, error.text))
        except Exception as error:
            logger.exception("a request at the control socket could not be answered")
            return encode(failure(number, Code.FAILED, describe(error)))

    def _close_if_done(self) -> None:
        if self._ended and not (self._waiting or self._task or self.follows):
            self._transport.close()

    # What it is sent

    def follow(self, log: bool) -> None:
        """Send it changes from now on, and with `log` what is logged."""
        self._door.look_now()
        self.follows = True
        self.follows_log = log

    def tell(self, event: bytes, count: int = 1) -> None:
        """Send it an event, which stands for this many, if it takes its events.

        While it does, an event may have any size.  It is told what was dropped when it takes more.
        """
        is_behind = not self._has_room.is_set()
        if self._missed or (is_behind and self._transport.get_write_buffer_size() + len(event) > MOST_EVENT_BYTES):
            self._missed += count
        elif not self._transport.is_closing():
            self._transport.write(event)

    def end(self) -> None:
        """Close it."""
        self._transport.abort()


def bind_control(path: str) -> socket.socket:
    """A local socket at this path that only its owner can use; it does not listen yet.

    Raises:
        OSError: That is not possible here.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise OSError(errno.EAFNOSUPPORT, "this platform has no local sockets, so it has no control socket")
    sock = ours_only(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    try:
        sock.setblocking(False)
        bind_file(sock, path, 0o600)
    except OSError as error:
        sock.close()
        taken = error.errno == errno.EADDRINUSE
        why = "another server has it, or something else exists there" if taken else error.strerror or error
        number = errno.EEXIST if taken else error.errno
        raise OSError(number, f"cannot listen on the control socket {path}: {why}") from None
    return sock


async def _turn() -> None:
    await asyncio.sleep(0)
