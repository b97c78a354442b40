"""IPyServer: puts the parts together, starts them and stops them."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import socket
import ssl as tls
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

from indipydriver.errors import DefinitionError
from indipydriver.protocol.framer import Limits
from indipydriver.protocol.values import format_timestamp
from indipydriver.transport.link import Link

from .audit import AuditLog
from .backoff import Backoff
from .entrance import Entrance, warn_of_open_doors
from .exdriver import ExDriver
from .keepalive import Keepalive
from .listener import CLIENT_LIMITS, PROGRESS_TIME, Listener, bind_unix, where
from .localdriver import LocalDriver, PythonDriver
from .outbox import OutboxLimits
from .peer import HANG_TIME, Peer
from .reception import Reception, is_lingering
from .remote import RemoteConnection
from .rights import EVERYTHING, Rights
from .signals import on_signal
from .stats import ServerStats, take_stats
from .switchboard import Switchboard

__all__ = ["MAX_CONNECTIONS", "IPyServer"]

logger = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 128
"""Clients at the same time; KStars alone opens one connection for each BLOB property."""
GRACE: Final = 5.0
"""Seconds that drivers and clients get to end when the server stops."""


class IPyServer:
    """Serves drivers to INDI clients, as one tree.

    Args:
        drivers: IPyDrivers to run in this process; each may have several devices.  Do not run
            them yourself.
        host: What to listen on: a name, an address, "" for all interfaces, or several of these.
        port: TCP port; 0 picks a free one, which :attr:`port` holds once :attr:`started` is set.
        maxconnections: Clients at the same time, at least 1; one too many is closed at once.
        limits: How much may wait for a client or a driver.
        client_limits: What a client may send.
        hang_time: Seconds after which a driver that takes nothing is cut off; 0: never.
        shutdown_grace: Seconds that drivers and clients get to end when the server stops.
        unix_socket: Listen on this local socket too, see :func:`bind_unix`; or on a bound one, for one run.
        unix_any_user: Every user of this machine may use it, and not only our own and root.
        ssl: Clients must use TLS (:mod:`indipyserver.certificates`); :meth:`add_listener` makes a plain one beside.
        progress_time: Seconds in which what a client has begun must end or grow by 1 KiB; 0: any time.
        audit: Log each command that is passed on, at INFO on ``indipyserver.audit``.

    Raises:
        TypeError: Something among the drivers is not a driver, or an argument has a wrong type.
        ValueError: Two drivers have a device of the same name, or maxconnections is less than 1.

    Attributes:
        drivers: The IPyDrivers.
        exdrivers: The external drivers.
        remotes: The links to other servers.
        devices: The devices of the IPyDrivers, by name.
        started: Set when clients can connect.
        stopped: Set when everything has ended.
        on_deserted: Called when the last driver has ended by itself, and there is no link to a server.
    """

    def __init__(
        self,
        *drivers: Any,
        host: str | Iterable[str] = "localhost",
        port: int = 7624,
        maxconnections: int = MAX_CONNECTIONS,
        limits: OutboxLimits | None = None,
        client_limits: Limits = CLIENT_LIMITS,
        hang_time: float = HANG_TIME,
        shutdown_grace: float = GRACE,
        unix_socket: str | socket.socket | None = None,
        unix_any_user: bool = False,
        ssl: tls.SSLContext | None = None,
        progress_time: float = PROGRESS_TIME,
        audit: bool = False,
    ) -> None:
        if not isinstance(maxconnections, int):
            raise TypeError(f"maxconnections must be an integer, not {type(maxconnections).__name__}")
        if maxconnections < 1:
            raise ValueError("maxconnections must be 1 or more")
        self.drivers: list[PythonDriver] = []
        self.exdrivers: list[ExDriver] = []
        self.remotes: list[RemoteConnection] = []
        self.devices: dict[str, Any] = {}
        self.host = host
        self.port = port
        self.maxconnections = maxconnections
        self.limits = limits or OutboxLimits()
        self.client_limits = client_limits
        self.hang_time = hang_time
        self.shutdown_grace = shutdown_grace
        self.unix_socket = unix_socket
        self.unix_any_user = unix_any_user
        self.ssl = ssl
        self.progress_time = progress_time
        self.on_deserted: Callable[[], None] | None = None
        self.board = Switchboard(f"{socket.gethostname() or 'server'}-{secrets.token_hex(4)}")
        self.reception = Reception(self.board)
        if audit:
            self.board.followers.append(AuditLog())
        self.started = asyncio.Event()
        self.stopped = asyncio.Event()
        self._shutdown = asyncio.Event()
        self._keepalive = Keepalive(self.board)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._group: asyncio.TaskGroup | None = None
        self._parts: list[LocalDriver | ExDriver | RemoteConnection] = []
        self._tasks: dict[LocalDriver | ExDriver | RemoteConnection, asyncio.Task[None]] = {}
        self._entrances: list[Entrance] = []
        self._listeners: list[Listener] = []
        self._terminated = False
        for driver in drivers:
            self.add_driver(driver)

    # What is served

    def add_driver(self, driver: Any) -> LocalDriver:
        """Serve one more IPyDriver; also while the server runs.

        Raises:
            TypeError: It is not a driver.
            ValueError: One of its devices is served already.
        """
        if not hasattr(driver, "data") or not hasattr(driver, "serve"):
            raise TypeError(f"a driver must be an IPyDriver, not {type(driver).__name__}")
        for name in driver.data:
            if name in self.devices:
                raise DefinitionError(f"two drivers have a device named {name!r}")
        self.devices.update(driver.data)
        self.drivers.append(driver)
        part = LocalDriver(self.board, driver, self.limits, self.hang_time)
        self._add(part)
        return part

    def add_exdriver(
        self,
        program: str,
        *args: str,
        debug_enable: bool = False,
        env: Mapping[str, str] | None = None,
        name: str | None = None,
        config: str | None = None,
        skeleton: str | None = None,
        prefix: str | None = None,
        restarts: int = 10,
        pipes: bool = False,
        backoff: Backoff | None = None,
    ) -> ExDriver:
        """Run a program as a driver, for example one of indilib's; also while the server runs.

        Args:
            program: Name on PATH, or path; no shell is used.
            args: Its arguments.
            debug_enable: Log what it gets (RX) and sends (TX) at DEBUG on ``indipyserver.exdriver``.
            env: Further environment variables.
            name: Name of the device of a libindi driver (INDIDEV).
            config: Its configuration file (INDICONFIG).
            skeleton: Its skeleton file (INDISKEL).
            prefix: INDIPREFIX; the program is ``<prefix>/bin/<program>``.
            restarts: How often it is restarted when it ends; 60 s of health start the count again.
            pipes: Give it two pipes, and not the one local socket with which libindi drivers on Linux hand
                over BLOBs without encoding them.
            backoff: How long to wait before a restart; by default 0.5 s, doubled up to 30 s.

        Returns:
            What :meth:`remove` takes.
        """
        part = ExDriver(
            self.board,
            str(program),
            *map(str, args),
            limits=self.limits,
            debug_enable=debug_enable,
            env=env,
            name=name,
            config=config,
            skeleton=skeleton,
            prefix=prefix,
            restarts=restarts,
            pipes=pipes,
            hang_time=self.hang_time,
            backoff=backoff,
        )
        self.exdrivers.append(part)
        self._add(part)
        return part

    def add_remote(
        self,
        host: str,
        port: int = 7624,
        blob_enable: object = False,
        debug_enable: bool = False,
        *,
        device: str | None = None,
        ssl: tls.SSLContext | None = None,
        server_hostname: str | None = None,
        backoff: Backoff | None = None,
    ) -> RemoteConnection:
        """Serve what another server serves; also while this server runs.

        Args:
            host: Name or address of the other server.
            port: Its port.
            blob_enable: BLOBs may pass, to those who enable them; any true value.
            debug_enable: Log what goes there (TX) and comes from there (RX) at DEBUG on
                ``indipyserver.remote``.
            device: Only this device of it; by default all.
            ssl: For TLS.
            server_hostname: The name in its certificate, if not the host.
            backoff: How long to wait before connecting again; by default 1 s, doubled up to 30 s.

        Returns:
            What :meth:`remove` takes.
        """
        part = RemoteConnection(
            self.board,
            host,
            int(port),
            blob_enable=blob_enable,
            debug_enable=debug_enable,
            device=device,
            context=ssl,
            server_hostname=server_hostname,
            limits=self.limits,
            backoff=backoff,
            hang_time=self.hang_time,
        )
        self.remotes.append(part)
        self._add(part)
        return part

    def add_listener(
        self,
        host: str | Iterable[str] = "localhost",
        port: int = 0,
        *,
        ssl: tls.SSLContext | None = None,
        read_only: bool = False,
        devices: str | Iterable[str] | None = None,
    ) -> Entrance:
        """Listen on one more port, whose clients may have other rights; also while the server runs.

        Args:
            host: As for the server.
            port: TCP port; 0 picks a free one.
            ssl: Its clients must use TLS.
            read_only: They see everything; their commands are refused with a message.
            devices: Patterns (``Mount*``) of the devices that exist for them; by default all.

        Returns:
            It has the ``port``.

        Raises:
            OSError: The server runs, and cannot listen there.
            ValueError: The patterns are empty.
        """
        entrance = Entrance(host, port, ssl, Rights.of(read_only, devices))
        if self._group is not None:
            self._listen(entrance, entrance.bind()).start()
            warn_of_open_doors([entrance])
        self._entrances.append(entrance)
        return entrance

    async def remove(self, part: Any) -> None:
        """Stop serving something that was added, and wait until it has ended; clients see its devices go.

        Args:
            part: What add_driver, add_exdriver or add_remote returned, or an IPyDriver.

        Raises:
            ValueError: It is not served here.
        """
        for known in self._parts:
            if known is part or (isinstance(known, LocalDriver) and known.driver is part):
                break
        else:
            raise ValueError(f"{part!r} is not served here")
        self._parts.remove(known)
        if isinstance(known, LocalDriver):
            self.drivers.remove(known.driver)
            for name in known.devices:
                self.devices.pop(name, None)
            known.driver.shutdown()
        elif isinstance(known, ExDriver):
            self.exdrivers.remove(known)
        else:
            self.remotes.remove(known)
        task = self._tasks.get(known)
        if task is not None:
            if isinstance(known, LocalDriver):
                await asyncio.wait((task,), timeout=self.shutdown_grace)
            task.cancel()
            await asyncio.wait((task,))

    def _add(self, part: LocalDriver | ExDriver | RemoteConnection) -> None:
        self._parts.append(part)
        if self._group is not None and not self.stop:
            self._start_part(part)

    def _start_part(self, part: LocalDriver | ExDriver | RemoteConnection) -> None:
        assert self._group is not None
        if isinstance(part, LocalDriver):
            part.driver.expect_run()  # what other coroutines send before its task begins is kept
        task = self._group.create_task(self._run_part(part), name=part.label)
        self._tasks[part] = task
        task.add_done_callback(lambda _: self._part_ended(part))

    async def _run_part(self, part: LocalDriver | ExDriver | RemoteConnection) -> None:
        """One part may fail, even in a way that nobody has foreseen; the others go on."""
        try:
            await part.run()
        except Exception as error:
            logger.exception("%s has failed; the others go on", part.label)
            self.board.announce(f"{part.label} has failed: {error!r}")

    def _part_ended(self, part: LocalDriver | ExDriver | RemoteConnection) -> None:
        self._tasks.pop(part, None)
        if not self._tasks and not self.stop and self.on_deserted is not None:
            self.on_deserted()

    # What scripts look at

    @property
    def stop(self) -> bool:
        """shutdown() has been called."""
        return self._shutdown.is_set()

    @property
    def keepalive(self) -> int | None:
        """Seconds without traffic after which clients get a message; 0 or None: never."""
        return self._keepalive.interval

    @keepalive.setter
    def keepalive(self, seconds: int | None) -> None:
        self._keepalive.interval = seconds

    def stats(self) -> ServerStats:
        """What has passed through, what waits, and what went wrong: a snapshot."""
        return take_stats(self.board.peers, self._parts, self.reception.served, self.reception.refused)

    def log_stats(self) -> None:
        """The same as text in the log, as SIGUSR1 does."""
        for line in self.stats().lines():
            logger.warning("%s", line)

    @property
    def sockets(self) -> list[socket.socket]:
        """The sockets it listens on."""
        return [sock for listener in self._listeners for sock in listener.sockets]

    @property
    def server(self) -> Listener | None:
        """What accepts the clients, with its ``sockets``; None while it does not run."""
        return self._listeners[0] if self._listeners else None

    @property
    def connectionpool(self) -> list[Peer]:
        """The clients that are connected, without those that send no more and only wait for last answers."""
        return [peer for peer in self.board.clients if not is_lingering(peer) and not peer.closed]

    async def send_message(self, message: str, timestamp: datetime | None = None) -> None:
        """Send a message that concerns no device to all clients; nothing when the server does not run.

        Args:
            message: The text.
            timestamp: When; by default now.  A time without zone is UTC.

        Raises:
            ValueError: The timestamp is not a datetime.
        """
        text = format_timestamp(timestamp)
        if self._group is not None:
            self.board.announce(message, text)

    # Life

    def shutdown(self, shutdownmessage: str = "") -> None:
        """Have :meth:`asyncrun` end: drivers are told, clients get what waits for them.

        Called before the run, it ends the run as soon as it has begun.

        Args:
            shutdownmessage: Logged at ERROR if given.
        """
        if shutdownmessage:
            logger.error("%s", shutdownmessage)
        self._shutdown.set()

    async def asyncrun(self) -> None:
        """Serve until :meth:`shutdown`, cancellation or SIGTERM; it can be run again.

        SIGTERM is handled here only if nobody else handles it: then everything is shut down and the process
        ends with status 143.

        Raises:
            OSError: It cannot listen, for example as the port is taken.
        """
        if self._group is not None:
            raise RuntimeError("this server runs already")
        self._renew_events()
        if self._shutdown.is_set():
            self._shutdown.clear()
            self.stopped.set()
            return
        port = self.port
        bound = self._bind()
        self.stopped.clear()
        self._terminated = False
        keepalive: list[asyncio.Task[None]] = []
        unhandle = self._handle_signals()
        try:
            async with asyncio.TaskGroup() as self._group:
                try:
                    for entrance, sockets in bound:
                        self._listen(entrance, sockets)
                    warn_of_open_doors(entrance for entrance, _ in bound)
                    self.port = self.sockets[0].getsockname()[1]
                    for part in self._parts:
                        self._start_part(part)
                    keepalive.append(self._group.create_task(self._keepalive.run(), name="keepalive"))
                    for listener in self._listeners:
                        listener.start()
                    self.started.set()
                    await self._shutdown.wait()
                finally:
                    for task in keepalive:
                        task.cancel()
                    await self._close_down()
        finally:
            unhandle()
            self._group = None
            self._listeners.clear()
            for entrance in self._entrances:
                entrance.listeners = []
            self._tasks.clear()
            self.port = port
            self.started.clear()
            self._shutdown.clear()
            self.stopped.set()
            logger.info("the server has stopped")
        if self._terminated:
            raise SystemExit(128 + signal.SIGTERM)

    def _renew_events(self) -> None:
        """asyncio's events belong to the loop that first waited for them; a second run may have another."""
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            shutdown = self._shutdown.is_set()
            self.started, self.stopped, self._shutdown = asyncio.Event(), asyncio.Event(), asyncio.Event()
            if shutdown:
                self._shutdown.set()
        self._loop = loop

    def _bind(self) -> list[tuple[Entrance, list[socket.socket]]]:
        bound: list[tuple[Entrance, list[socket.socket]]] = []
        try:
            for entrance in (Entrance(self.host, self.port, self.ssl), *self._entrances):
                bound += [(entrance, entrance.bind())]
            if self.unix_socket is not None:
                local = self.unix_socket
                sock = bind_unix(local, self.unix_any_user) if isinstance(local, str) else local
                bound.append((Entrance((), 0), [sock]))
        except BaseException:
            for _, sockets in bound:
                for sock in sockets:
                    sock.close()
            raise
        return bound

    def _listen(self, entrance: Entrance, sockets: list[socket.socket]) -> Listener:
        listener = Listener(
            sockets,
            partial(self._accepted, rights=entrance.rights),
            context=entrance.ssl,
            limits=self.client_limits,
            any_user=self.unix_any_user,
            progress_time=self.progress_time,
        )
        entrance.listeners = [listener]
        self._listeners.append(listener)
        for sock in sockets:
            rights = f" ({entrance.rights})" if entrance.rights.limited else ""
            logger.info("listening on %s%s%s", where(sock), " with TLS" if entrance.ssl is not None else "", rights)
        return listener

    def _accepted(self, link: Link, rights: Rights = EVERYTHING) -> bool:
        return self.reception.admit(link, self.maxconnections, self.limits, rights)

    def _handle_signals(self) -> Callable[[], None]:
        """SIGTERM is shutdown(), and a second one ends the process at once; SIGUSR1 logs the statistics."""

        def terminate() -> None:
            logger.warning("SIGTERM: the server stops")
            undo[0]()
            self._terminated = True
            self._shutdown.set()

        undo = [on_signal("SIGTERM", terminate), on_signal("SIGUSR1", self.log_stats)]

        def undo_all() -> None:
            for each in undo:
                each()

        return undo_all

    async def _close_down(self) -> None:
        """Accept no more; tell drivers and give them time; send what waits for clients; end the rest."""
        deadline = asyncio.get_running_loop().time() + self.shutdown_grace
        await asyncio.sleep(0)  # a driver that was started in this turn of the loop has to run before it can end
        for listener in self._listeners:
            listener.close()
        local = []
        others = []
        for part, task in list(self._tasks.items()):
            if isinstance(part, LocalDriver):
                part.driver.shutdown()
                local.append(task)
            else:
                task.cancel()
                others.append(task)
        await _wait_until(deadline, local)
        for task in local:
            task.cancel()
        await _wait_until(None, [*local, *others])
        for peer in self.board.peers:
            peer.link.close()
        await self.board.wait_until_empty(deadline)
        for peer in self.board.peers:
            peer.link.abort()
        await asyncio.sleep(0)


async def _wait_until(deadline: float | None, tasks: list[asyncio.Task[None]]) -> None:
    if tasks:
        timeout = None if deadline is None else max(0.0, deadline - asyncio.get_running_loop().time())
        await asyncio.wait(tasks, timeout=timeout)
