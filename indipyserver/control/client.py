"""The client of the control socket."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import socket
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Final

from ..clients.sockets import at_the_other_end
from .paths import possible_paths
from .wire import MAX_REQUEST, Code, ControlError

__all__ = ["TIMEOUT", "Control"]

TIMEOUT: Final = 60.0
"""Seconds that an answer may take: a driver that does not end is given up after ten or so."""
_LONGEST_REPLY: Final = 64 << 20  # bytes of an answer: many drivers with many devices
_MOST_EVENTS_KEPT: Final = 10_000

Record = dict[str, Any]


class Control:
    """Monitors and controls a server on this machine through its control socket.

    ::

        async with Control() as control:
            for driver in await control.drivers():
                print(driver["label"], driver["state"])

    The answers are those of the protocol: dictionaries as the reference of the protocol has them. Requests may be made
    by several tasks; the server answers them in turn. If there are many connections, the server may close one that has
    been idle for some seconds.

    Args:
        path: The control socket; by default, the usual path for this port.
        port: Port of that server.
        timeout: Seconds that an answer may take.

    Raises:
        OSError: Nobody listens there; ConnectionError: the connection is lost, which every method may raise.
        ControlError: The server refuses the request; every method may raise it.
        TimeoutError: There is no answer in time, which every method may raise. The connection is closed.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, *, port: int = 7624, timeout: float | None = TIMEOUT
    ) -> None:
        self._paths = possible_paths(port) if path is None else [os.fspath(path)]
        self._timeout = timeout
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._number = 0
        self._answers: dict[int, asyncio.Future[Record]] = {}
        self._events: asyncio.Queue[Record | Exception | None] = asyncio.Queue()
        """The events of this connection; after the last, why the connection was lost, or None if it was closed."""
        self._why: Exception | None = None
        self._closed = False
        self._connecting = asyncio.Lock()

    # Connecting

    async def __aenter__(self) -> Control:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def connect(self) -> None:
        """Connect, if there is no connection."""
        async with self._connecting:
            if self._writer is not None:
                return
            self._why = None
            self._closed = False
            self._events = asyncio.Queue()
            self._reader, self._writer = await self._open()
            self._reading = asyncio.create_task(self._read(self._reader), name="control")

    async def close(self) -> None:
        """Close the connection; whoever waits for an answer gets a ConnectionError."""
        self._closed = self._writer is not None
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.wait((reading,))
        self._lost(ConnectionError("the connection to the server has been closed"))

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if not hasattr(socket, "AF_UNIX"):
            raise OSError("this platform has no local sockets, so servers have no control socket")
        errors: list[OSError] = []
        for path in self._paths:
            try:
                reader, writer = await asyncio.open_unix_connection(path, limit=_LONGEST_REPLY)
            except OSError as error:
                errors.append(error)
                continue
            try:
                _, user = at_the_other_end(writer.get_extra_info("socket"))
            except OSError:
                user = None
            if os.geteuid() == 0 or user in (None, 0, os.geteuid()):
                return reader, writer
            writer.close()
            errors.append(PermissionError(errno.EACCES, f"user {user} listens there, and not you"))
        worst = next((each for each in errors if not isinstance(each, FileNotFoundError)), errors[0])
        where = " or ".join(self._paths)
        why = worst.strerror or str(worst)
        if isinstance(worst, FileNotFoundError):
            why += "; has it been started with --control?"
        raise type(worst)(worst.errno, f"no server can be controlled at {where}: {why}") from worst

    # Queries

    async def status(self) -> Record:
        """Version, process, uptime, where it listens, how many clients, and the traffic so far."""
        return await self.request("status")

    async def drivers(self) -> list[Record]:
        """The Python drivers and the programs, each with its state and the last lines of its log."""
        return self._list(await self.request("drivers"), "drivers")

    async def remotes(self) -> list[Record]:
        """The links to other servers."""
        return self._list(await self.request("remotes"), "remotes")

    async def clients(self) -> list[Record]:
        """The connected clients, what they have requested, and what waits for them."""
        return self._list(await self.request("clients"), "clients")

    async def log(self, driver: str | int | None = None, lines: int = 100) -> list[Record]:
        """The last lines of the log of the server, or about one driver.

        Args:
            driver: As for :meth:`start`.
            lines: The most lines to return.
        """
        return self._list(await self.request("log", driver=driver, lines=lines), "lines")

    # Commands

    async def start(self, driver: str | int) -> list[Record]:
        """Start a driver that has been stopped, or has ended, or a link to a server.

        Args:
            driver: Its number, the argument it was started with, the name of a device, or its label.

        Returns:
            Its present record; one argument may stand for several drivers.
        """
        return self._list(await self.request("start", driver=driver), "drivers")

    async def stop(self, driver: str | int) -> list[Record]:
        """Stop a driver, and wait until it has ended; it can be started again."""
        return self._list(await self.request("stop", driver=driver), "drivers")

    async def restart(self, driver: str | int) -> list[Record]:
        """Stop a driver and start it again."""
        return self._list(await self.request("restart", driver=driver), "drivers")

    async def add(
        self,
        spec: str,
        *,
        name: str | None = None,
        config: str | None = None,
        skeleton: str | None = None,
        prefix: str | None = None,
    ) -> list[Record]:
        """Serve something more: a program, Python code or another server.

        Args:
            spec: What to serve, a DRIVER of the command ``indipyserver``. Paths are relative to the server's folder.
            name: For programs: the name of the device (INDIDEV).
            config: For programs: the configuration file (INDICONFIG).
            skeleton: For programs: the skeleton file (INDISKEL).
            prefix: For programs: INDIPREFIX.

        Returns:
            Its present record; its ``state`` is "ended" if it could not be started.
        """
        result = await self.request("add", spec=spec, name=name, config=config, skeleton=skeleton, prefix=prefix)
        return self._list(result, "drivers")

    async def remove(self, driver: str | int) -> list[Record]:
        """Stop a driver and forget it; returns number and label."""
        return self._list(await self.request("remove", driver=driver), "removed")

    async def follow(self, *, log: bool = False) -> AsyncIterator[Record]:
        """Changes, as events, until the connection is closed or lost.

        The first event, ``{"event": "now", ...}``, has all drivers, remotes and clients as they are.

        Args:
            log: Include what is logged.

        Yields:
            Events as the reference of the protocol has them.
        """
        events = self._events  # before these are taken, there may be another connection with its own events
        yield {"event": "now", **await self.request("follow", log=log)}
        while isinstance(event := await events.get(), dict):
            yield event
        events.put_nowait(event)  # for other followers
        if event is not None:
            raise event

    async def request(self, do: str, **arguments: str | int | bool | None) -> Record:
        """Send any request of the protocol; returns the result.

        Args:
            do: The name of the request.
            arguments: Its arguments; those that are None are left out.
        """
        writer = self._writer
        if writer is None:
            raise self._why or ConnectionError("there is no connection to the server")
        self._number += 1
        number = self._number
        given = {name: value for name, value in arguments.items() if value is not None}
        line = json.dumps({"do": do, **given, "id": number}).encode() + b"\n"
        if len(line) > MAX_REQUEST:
            raise ControlError(Code.REQUEST, f"a request has at most {MAX_REQUEST} bytes, not {len(line)}")
        future = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            writer.write(line)
            async with asyncio.timeout(self._timeout):
                answer = await future
        except TimeoutError:
            await self.close()
            raise TimeoutError(f"the server has not answered {do!r} in {self._timeout:g} s") from None
        finally:
            self._answers.pop(number, None)
        if answer.get("ok"):
            result: Record = answer.get("result") or {}
            return result
        raise _error(answer)

    @staticmethod
    def _list(result: Record, name: str) -> list[Record]:
        found: list[Record] = result.get(name) or []
        return found

    # Reading

    async def _read(self, reader: asyncio.StreamReader) -> None:
        why: Exception = ConnectionError("the server has closed the connection")
        try:
            while line := await reader.readline():
                message = json.loads(line)
                if "event" in message:
                    self._keep(message)
                elif (future := self._answers.get(message.get("id"))) is not None:
                    if not future.done():
                        future.set_result(message)
                elif message.get("ok") is False and message.get("id") is None:  # the server takes no more connections
                    why = _error(message)
        except (OSError, ValueError, AttributeError, TypeError) as error:
            why = ConnectionError(f"the connection to the server is lost: {error}")
        self._lost(why)

    def _keep(self, event: Record) -> None:
        """Keep an event for the follower; if too many wait, only their number."""
        if self._events.qsize() >= _MOST_EVENTS_KEPT:
            missed = 0
            while not self._events.empty():
                old = self._events.get_nowait()
                missed += old["count"] if isinstance(old, dict) and old.get("event") == "missed" else 1
            self._events.put_nowait({"event": "missed", "count": missed})
        self._events.put_nowait(event)

    def _lost(self, why: Exception) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        self._why = why
        with contextlib.suppress(OSError):
            writer.transport.abort()
        for future in self._answers.values():
            if not future.done():
                future.set_exception(why)
        self._events.put_nowait(None if self._closed else why)


def _error(answer: Record) -> ControlError:
    error = answer.get("error")
    if not isinstance(error, dict):
        error = {}
    return ControlError(str(error.get("code", Code.FAILED)), str(error.get("text", "the server gives no reason")))
