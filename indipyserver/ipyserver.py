"""IPyServer: puts the parts together, starts them and stops them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl as tls
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from indipydriver.errors import DefinitionError
from indipydriver.protocol.framer import Limits
from indipydriver.protocol.values import format_timestamp
from indipydriver.protocol.via import server_name
from indipydriver.transport.calling import call_in_loop

from .arguments import checked_driver, checked_flag, checked_type
from .blocking import BlockingServer
from .clients.acceptor import CLIENT_LIMITS, PROGRESS_TIME, UNFINISHED_TOTAL, Acceptor
from .clients.admission import Admission, is_lingering
from .clients.clientele import Clientele
from .clients.listener import Listener
from .observers.audit import AuditLog
from .relay.keepalive import Keepalive
from .relay.observer import Observer
from .relay.peer import HANG_TIME, Peer
from .relay.switchboard import Switchboard
from .routing.outbox import OutboxLimits
from .routing.rights import Rights
from .runevent import RunEvent
from .services import Services
from .signals import server_signals
from .sources.backoff import Backoff
from .sources.exdriver import RESTARTS, ExDriver, Program
from .sources.localdriver import LocalDriver, PythonDriver
from .sources.remote import RemoteConnection
from .sources.sources import Sources
from .stats import ServerStats, take_stats

__all__ = ["MAX_CONNECTIONS", "IPyServer"]

logger = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 128
"""Clients at the same time; KStars alone opens one connection for each BLOB property."""
SHUTDOWN_GRACE: Final = 5.0
"""Seconds that drivers and clients have to end when the server stops."""


class IPyServer(BlockingServer):
    """Serves drivers to INDI clients, as one tree.

    Args:
        drivers: IPyDrivers to run in this process; each may have several devices.  Do not run
            them yourself.
        host: What to listen on: a name, an address, "" for all interfaces, or several of these.
        port: TCP port; 0 picks a free one, which :attr:`port` holds once :attr:`started` is set.
        maxconnections: Clients that may be connected at the same time, at least 1; others are refused.
        limits: How much may be queued for a client or a driver.
        client_limits: What a client may send.
        hang_time: Seconds after which a driver that reads nothing is cut off; 0: never.
        shutdown_grace: Seconds that drivers and clients have to end when the server stops.
        unix_socket: An additional local socket to listen on: a name (:func:`.bind_unix`), or a bound one for one run.
        unix_any_user: Let every user of this machine use it, not only our own and root.
        ssl: Clients must use TLS (:mod:`indipyserver.certificates`); :meth:`add_listener` adds one without.
        progress_time: Seconds in which a client's unfinished element must end or grow by 1 KiB and 1/32; 0: no limit.
        unfinished_total: Bytes of all clients' unfinished elements; beyond that, the client with the largest is cut.
        audit: Log each command that is passed on, at INFO on ``indipyserver.audit``.
        control: The control socket, for :class:`.Control`: its path, or True for the usual one; False: there is none.

    Raises:
        TypeError: One of the drivers is not a driver, or an argument has the wrong type.
        ValueError: Two drivers have a device of the same name, the port does not exist, maxconnections is less
            than 1, or a time is negative or not finite.

    All arguments but ``audit`` can be read, and changed between runs, as attributes with these names. While the server
    runs, only ``shutdown_grace``, :attr:`keepalive` and ``on_deserted`` can be set; setting another raises
    RuntimeError. New ``limits`` and ``hang_time`` apply to what is added later, and to the clients of the next run.

    Attributes:
        drivers: The IPyDrivers.
        exdrivers: The external drivers.
        remotes: The links to other servers.
        services: Starts and stops what driver specifications name, like the arguments of the command ``indipyserver``.
        devices: The devices of the IPyDrivers, by name.
        started: Set when clients can connect.
        stopped: Set when everything has ended.
        on_deserted: Called when the last driver has ended by itself and there is no link to a server; None: logged.
    """

    def __init__(
        self,
        *drivers: PythonDriver,
        host: str | Iterable[str] = "localhost",
        port: int = 7624,
        maxconnections: int = MAX_CONNECTIONS,
        limits: OutboxLimits | None = None,
        client_limits: Limits = CLIENT_LIMITS,
        hang_time: float = HANG_TIME,
        shutdown_grace: float = SHUTDOWN_GRACE,
        unix_socket: str | socket.socket | None = None,
        unix_any_user: bool = False,
        ssl: tls.SSLContext | None = None,
        progress_time: float = PROGRESS_TIME,
        unfinished_total: int = UNFINISHED_TOTAL,
        audit: bool = False,
        control: bool | str = False,
    ) -> None:
        self._clientele: Clientele | None = None
        self._used_port = 0
        self.drivers: list[PythonDriver] = []
        self.exdrivers: list[ExDriver] = []
        self.remotes: list[RemoteConnection] = []
        self.devices: dict[str, Any] = {}
        self.host = host
        self.port = port
        self.maxconnections = maxconnections
        self.limits = OutboxLimits() if limits is None else limits
        self.client_limits = client_limits
        self.hang_time = hang_time
        self.shutdown_grace = shutdown_grace
        self.unix_socket = unix_socket
        self.unix_any_user = unix_any_user
        self.ssl = ssl
        self.progress_time = progress_time
        self.unfinished_total = unfinished_total
        self.control = control
        self.on_deserted: Callable[[], None] | None = None
        self.board = Switchboard(f"{server_name(socket.gethostname())}-{os.urandom(4).hex()}")
        self.admission = Admission(self.board)
        if checked_flag("audit", audit):
            self.board.observe(AuditLog())
        self.started = RunEvent()
        self.stopped = RunEvent()
        self._shutdown = RunEvent()
        self._keepalive = Keepalive(self.board)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sources = Sources(self.board, self._deserted)
        self.services = Services(self, self._sources)
        self._listeners: list[Listener] = []
        for driver in drivers:
            self.add_driver(driver)

    # What is served

    def add_driver(self, driver: PythonDriver) -> LocalDriver:
        """Serve one more IPyDriver; returns what :meth:`remove` takes. The server may be running.

        Raises:
            TypeError: It is not a driver.
            ValueError: It is already served, or one of its devices is.
            RuntimeError: The server runs, but something else is already running the driver; nothing is changed.
        """
        checked_driver(driver)
        if any(driver is other for other in self.drivers):
            raise ValueError("this driver is already being served")
        for name in driver.data:
            if name in self.devices:
                raise DefinitionError(f"two drivers have a device named {name!r}")
        part = LocalDriver(self.board, driver, self.limits, self.hang_time)
        self._sources.add(part)
        self.devices.update(driver.data)
        self.drivers.append(driver)
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
        restarts: int = RESTARTS,
        pipes: bool = False,
        backoff: Backoff | None = None,
    ) -> ExDriver:
        """Run a program as a driver, for example one of libindi's. The server may be running.

        Args:
            program: Name on PATH, or path; no shell is used.
            args: Its arguments.
            debug_enable: Log what it receives (RX) and sends (TX) at DEBUG on ``indipyserver.exdriver``.
            env: Further environment variables.
            name: Name of the device of a libindi driver (INDIDEV).
            config: Its configuration file (INDICONFIG).
            skeleton: Its skeleton file (INDISKEL).
            prefix: INDIPREFIX; the program is ``<prefix>/bin/<program>``.
            restarts: How often it is restarted when it ends; after 60 s without a failure the count starts again.
            pipes: Give it two pipes instead of the local socket over which libindi drivers on Linux hand
                over BLOBs without encoding them.
            backoff: How long to wait before a restart; by default 0.5 s, doubled up to 30 s.

        Returns:
            What :meth:`remove` takes.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: The name or an argument cannot be that of a program, or restarts is negative.
        """
        what = Program(
            program,
            args,
            debug_enable=debug_enable,
            env=env,
            name=name,
            config=config,
            skeleton=skeleton,
            prefix=prefix,
            restarts=restarts,
            pipes=pipes,
            backoff=backoff,
        )
        folder = self.services.folder
        part = ExDriver(self.board, what, limits=self.limits, hang_time=self.hang_time, folder=folder)
        self._sources.add(part)
        self.exdrivers.append(part)
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
        """Serve what another server serves. This server may be running.

        Args:
            host: Name or address of the other server.
            port: Its port.
            blob_enable: BLOBs may pass, to clients that enable them; any true value.
            debug_enable: Log what is sent there (TX) and received from there (RX) at DEBUG on
                ``indipyserver.remote``.
            device: The only device to serve; by default all.
            ssl: For TLS.
            server_hostname: The name in the server's certificate, if that is not the host.
            backoff: How long to wait before connecting again; by default 1 s, doubled up to 30 s.

        Returns:
            What :meth:`remove` takes.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: No host, certificate or device can have that name, or there is no such port.
        """
        part = RemoteConnection(
            self.board,
            host,
            port,
            blob_enable=blob_enable,
            debug_enable=debug_enable,
            device=device,
            context=ssl,
            server_hostname=server_hostname,
            limits=self.limits,
            backoff=backoff,
            hang_time=self.hang_time,
        )
        self._sources.add(part)
        self.remotes.append(part)
        return part

    def add_listener(
        self,
        host: str | Iterable[str] = "localhost",
        port: int = 0,
        *,
        ssl: tls.SSLContext | None = None,
        read_only: bool = False,
        devices: str | Iterable[str] | None = None,
    ) -> Listener:
        """Listen on one more port, whose clients may have other rights. The server may be running.

        Args:
            host: Like the server's.
            port: TCP port; 0 picks a free one.
            ssl: Its clients must use TLS.
            read_only: Its clients see everything, but their commands are refused with a message.
            devices: Patterns (``Mount*``) of the devices that exist for them; by default all.

        Returns:
            The listener; its ``port`` is the one that was picked.

        Raises:
            OSError: The server runs, and cannot listen there.
            TypeError: An argument has the wrong type.
            ValueError: The patterns are empty, there is no host, or no such port.
        """
        listener = Listener(host, port, ssl, Rights.of(read_only, devices))
        if not listener.hosts:
            raise ValueError("a listener needs a host, a name or an address, to listen on")
        if self._clientele is not None:
            self._clientele.let_in(listener)
        self._listeners.append(listener)
        return listener

    async def remove(self, part: Any) -> None:
        """Stop serving something, and wait until it has ended; its devices are deleted at the clients.

        The server does not wait for a driver that goes on after its cancellation.

        Args:
            part: What add_driver, add_exdriver or add_remote returned, or an IPyDriver.

        Raises:
            ValueError: It is not served here.
        """
        known = self._sources.find(part)
        if any(known.serves(driver) for driver in self.drivers):
            self.drivers[:] = [driver for driver in self.drivers if not known.serves(driver)]
            for name in known.devices:
                self.devices.pop(name, None)
        self.exdrivers[:] = [each for each in self.exdrivers if each is not known]
        self.remotes[:] = [each for each in self.remotes if each is not known]
        await self._sources.remove(known, self.shutdown_grace)

    def _deserted(self) -> None:
        text = "no driver is left; the server keeps running, so that others can be added"
        if not self.stop:
            (self.on_deserted or (lambda: logger.warning(text)))()

    def add_observer(self, observer: Observer) -> None:
        """Add an observer of the traffic, such as a log. The server may be running.

        Args:
            observer: Sees everything from now on, whatever rights clients have.

        Raises:
            TypeError: It is not an Observer.
        """
        checked_type("observer", observer, Observer)
        self.board.observe(observer)

    # What scripts read

    @property
    def stop(self) -> bool:
        """Whether shutdown() has been called."""
        return self._shutdown.is_set()

    @property
    def running(self) -> bool:
        """Whether :meth:`asyncrun` is running."""
        return self._clientele is not None

    @property
    def port(self) -> int:
        """The port to listen on; while the server runs, the one that 0 became."""
        return self._used_port or self._wanted_port

    @port.setter
    def port(self, port: int) -> None:
        self._wanted_port = port

    @property
    def keepalive(self) -> float | None:
        """Seconds without traffic after which clients are sent a message; None, 0 or less: never.

        Raises:
            TypeError: Set to something that is not a number.
            ValueError: Set to a number that is not finite.
        """
        return self._keepalive.interval

    @keepalive.setter
    def keepalive(self, seconds: float | None) -> None:
        self._keepalive.interval = seconds

    def stats(self) -> ServerStats:
        """A snapshot: the traffic so far, what is queued, and what went wrong."""
        return take_stats(self.board.peers, self._sources, self.admission.served, self.admission.refused)

    def log_stats(self) -> None:
        """Write the same to the log as text, as SIGUSR1 does."""
        for line in self.stats().lines():
            logger.warning("%s", line)

    @property
    def sockets(self) -> list[socket.socket]:
        """The sockets it listens on."""
        return [sock for acceptor in self._acceptors for sock in acceptor.sockets]

    @property
    def listening(self) -> list[str]:
        """Descriptions of where clients can connect, and of their rights; empty when it stops or does not run."""
        return self._clientele.places if self._clientele is not None else []

    @property
    def server(self) -> Acceptor | None:
        """The object that accepts clients, with its ``sockets``; None while the server does not run."""
        return next(iter(self._acceptors), None)

    @property
    def _acceptors(self) -> list[Acceptor]:
        return self._clientele.acceptors if self._clientele is not None else []

    @property
    def connectionpool(self) -> list[Peer]:
        """The connected clients, without those that have closed their sending side and only wait for last answers."""
        return [peer for peer in self.board.clients if not is_lingering(peer) and not peer.closed]

    async def send_message(self, message: str, timestamp: datetime | None = None) -> None:
        """Send all clients a message that is not about a device. Does nothing while the server does not run.

        Args:
            message: The text.
            timestamp: When; by default now.  A time without zone is UTC.

        Raises:
            ValueError: The timestamp is not a datetime.
        """
        text = format_timestamp(timestamp)
        if self._clientele is not None:
            self.board.deliver(None, self.board.router.site_message(message, text))

    # Life

    def shutdown(self, shutdownmessage: str = "") -> None:
        """Make :meth:`asyncrun` end: drivers are told, and clients are sent what is queued for them.

        Called before the run, it ends the run as soon as it has begun. Any thread and any signal handler may call it.

        Args:
            shutdownmessage: Logged at ERROR if given.
        """
        if shutdownmessage:
            logger.error("%s", shutdownmessage)
        call_in_loop(self._loop, self._shutdown.set)

    async def asyncrun(self) -> None:
        """Serve until :meth:`shutdown`, cancellation, SIGTERM or SIGHUP; it can be run again.

        These signals are handled here only if nothing else handles them: then everything is shut down, and the process
        ends with status 143 or 129. SIGHUP comes when the terminal is closed.

        Raises:
            OSError: It cannot listen, for example because the port is in use.
            ValueError: There is nothing to listen on.
            RuntimeError: It is already running.
        """
        if self.running:
            raise RuntimeError("this server is already running")
        self._loop = asyncio.get_running_loop()
        if self._shutdown.is_set():
            self._shutdown.clear()
            self.stopped.set()
            return
        listener = Listener(self.host, self.port, self.ssl)
        self.admission = Admission(self.board)  # it counts the clients of one run
        clientele = Clientele(self.board, self.admission, [listener, *self._listeners], self)
        self.stopped.clear()
        try:
            self._clientele = clientele
            self._used_port = listener.port
            with server_signals(self._shutdown.set, self.log_stats):
                await self._serve(clientele)
        finally:
            clientele.end()
            self._clientele = None
            self._used_port = 0
            self._sources.forget()
            self.started.clear()
            self._shutdown.clear()
            self.stopped.set()
            logger.info("the server has stopped")

    def _controlled(self) -> contextlib.AbstractAsyncContextManager[object]:
        if self.control is False:
            return contextlib.nullcontext()
        from .control.door import ControlDoor  # imported here because few servers need it

        return ControlDoor(self, self._sources)

    async def _serve(self, clientele: Clientele) -> None:
        async with self._controlled(), asyncio.TaskGroup() as group:
            keepalive = group.create_task(self._keepalive.run(), name="keepalive")
            try:
                self._sources.start(group)
                clientele.start()
                self.started.set()
                await self._shutdown.wait()
            finally:
                keepalive.cancel()
                clientele.close()
                deadline = asyncio.get_running_loop().time() + self.shutdown_grace
                await self._sources.stop(deadline)
                await clientele.say_goodbye(deadline)
