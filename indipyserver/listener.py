"""Accepts clients on TCP and TLS, and on local sockets."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl
import stat
import struct
import sys
from collections.abc import Callable

from indipydriver.protocol.framer import Limits
from indipydriver.transport.attached import PassingLink
from indipydriver.transport.descriptor import DescriptorLink, tune_socket
from indipydriver.transport.link import Link
from indipydriver.transport.stream import StreamLink

__all__ = ["CLIENT_LIMITS", "LINGER", "PROGRESS_TIME", "Listener", "bind", "bind_unix", "where"]

logger = logging.getLogger("indipyserver.ipyserver")

CLIENT_LIMITS = Limits(blob=64 << 20, strict_blobs=True)
"""What a client may send: as a driver, but a BLOB of 64 MiB at most, and with every byte of it looked at."""
PROGRESS_TIME = 30.0
"""Seconds in which an unfinished element of a client must end or grow by 1 KiB."""
LINGER = 5.0
"""Seconds after its last request during which a client that has ended its sending side still gets answers."""
_HANDSHAKES = 64  # at the same time; further clients wait to be accepted
_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def bind(host: str, port: int) -> list[socket.socket]:
    """Listening sockets on every address of a host, all with the same port.

    Args:
        host: A name or address; "" for all interfaces.
        port: 0 for any free one.

    Raises:
        OSError: The port is taken on one of them, or there is no such address.
    """
    try:
        infos = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise socket.gaierror(error.errno, f"cannot listen on {host!r}: {error.strerror}") from None
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, kind, proto, _, address in dict.fromkeys(infos):
            try:
                sock = socket.socket(family, kind, proto)
            except OSError as error:  # this kernel has no IPv6
                missing = error
                continue
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if len(sockets) > 1 and port == 0:
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            try:
                sock.bind(address)
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:
                    text = f"cannot listen on {host or 'all interfaces'} port {int(address[1])}: {error.strerror}"
                    raise OSError(error.errno, text) from None
                missing = error
                sockets.pop().close()
                continue
            sock.listen(128)
            sock.setblocking(False)
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    if not sockets:
        raise missing or OSError(errno.EADDRNOTAVAIL, f"{host!r} has no address to listen on")
    return sockets


def bind_unix(name: str, any_user: bool = False) -> socket.socket:
    """A listening local socket (AF_UNIX).

    On Linux it has a name in the abstract space and no file, as indiserver's, where libindi's clients look
    for it.  Elsewhere it is a file that only its owner can use; one that nobody listens on is replaced.

    Args:
        name: For example ``/tmp/indiserver``.
        any_user: The file is for everybody; who may use an abstract name is decided when he connects.

    Raises:
        OSError: The name is taken, or this platform has no local sockets.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise OSError(errno.EAFNOSUPPORT, "this platform has no local sockets")
    abstract = sys.platform.startswith("linux")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if abstract:
            sock.bind("\0" + name.removeprefix("\0"))
        else:
            _bind_file(sock, name, 0o111 if any_user else 0o177)
        sock.listen(128)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot listen on the local socket {name}: {error.strerror or error}") from None
    return sock


def _bind_file(sock: socket.socket, path: str, umask: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                if probe.connect_ex(path) == errno.ECONNREFUSED:
                    os.unlink(path)
    before = os.umask(umask)
    try:
        sock.bind(path)
    finally:
        os.umask(before)


def where(sock: socket.socket) -> str:
    """What a socket listens on, in words."""
    address = sock.getsockname()
    if isinstance(address, tuple):
        return f"{address[0]} port {address[1]}"
    name = address.decode(errors="replace") if isinstance(address, bytes) else address
    return f"the local socket {name.removeprefix(chr(0))}"


class Listener:
    """Accepts connections and hands their links on.

    Args:
        sockets: Listening sockets, non-blocking; closed with the listener.
        accepted: Called with the link of each new client; it opens the link, or returns False to refuse it.
        context: For TLS.
        limits: What a client may send.
        any_user: On local sockets, accept every user of this machine, and not only our own and root.
        progress_time: Seconds in which an unfinished element must end or grow by 1 KiB; 0: any time.
    """

    def __init__(
        self,
        sockets: list[socket.socket],
        accepted: Callable[[Link], bool],
        *,
        context: ssl.SSLContext | None = None,
        limits: Limits = CLIENT_LIMITS,
        any_user: bool = False,
        progress_time: float = PROGRESS_TIME,
    ) -> None:
        self.sockets = sockets
        self._accepted = accepted
        self._context = context
        self._limits = limits
        self._any_user = any_user
        self._progress_time = progress_time
        self._loop = asyncio.get_running_loop()
        self._timers: set[asyncio.TimerHandle] = set()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._full: set[socket.socket] = set()  # not accepting until a handshake has ended

    def start(self) -> None:
        """Begin to accept."""
        for sock in self.sockets:
            self._loop.add_reader(sock, self._accept, sock)

    def close(self) -> None:
        """Accept no more; the clients that are there stay."""
        for timer in self._timers:
            timer.cancel()
        for task in self._handshakes:
            task.cancel()
        for sock in self.sockets:
            self._loop.remove_reader(sock)
            path = sock.getsockname() if sock.fileno() >= 0 and not _is_tcp(sock) else b""
            sock.close()
            if isinstance(path, str) and path:
                with contextlib.suppress(OSError):
                    os.unlink(path)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(64):  # of those that wait; the others get their turn in between
            if len(self._handshakes) >= _HANDSHAKES:
                self._loop.remove_reader(listening)
                self._full.add(listening)
                return
            try:
                sock, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _OUT_OF_DESCRIPTORS:
                    raise
                logger.error("no more clients can be accepted for a second: %s", error.strerror)
                self._loop.remove_reader(listening)
                timer = self._loop.call_later(1.0, self._resume, listening)
                self._timers = {t for t in self._timers if not t.cancelled() and t.when() > self._loop.time()} | {timer}
                return
            tune_socket(sock)
            if _is_tcp(listening):
                label = f"client {_name(address)}"
            else:
                pid, user = _at_the_other_end(sock)
                label = f"client process {pid} of user {user}" if pid else "client on the local socket"
                if not self._any_user and user not in (None, 0, os.geteuid()):
                    logger.warning("%s is refused: the local socket is for user %d only", label, os.geteuid())
                    sock.close()
                    continue
            if self._context is None:
                if _is_tcp(listening) or not hasattr(socket, "SCM_RIGHTS"):
                    link = DescriptorLink(label, sock=sock, linger=LINGER, limits=self._limits)
                else:  # libindi's clients hand BLOBs over as descriptors there
                    link = PassingLink(label, sock, linger=LINGER, limits=self._limits)
                link.demand_progress(self._progress_time)
                if not self._accepted(link):
                    link.abort()
            else:
                task = self._loop.create_task(self._handshake(sock, label, self._context))
                self._handshakes.add(task)
                task.add_done_callback(self._handshake_ended)

    def _handshake_ended(self, task: asyncio.Task[None]) -> None:
        self._handshakes.discard(task)
        for listening in self._full:
            self._resume(listening)
        self._full.clear()

    def _resume(self, listening: socket.socket) -> None:
        if listening.fileno() >= 0:
            self._loop.add_reader(listening, self._accept, listening)

    async def _handshake(self, sock: socket.socket, label: str, context: ssl.SSLContext) -> None:
        link = StreamLink(label, self._limits)
        link.demand_progress(self._progress_time)
        try:
            await self._loop.connect_accepted_socket(lambda: link, sock, ssl=context, ssl_handshake_timeout=10)
        except (OSError, ssl.SSLError) as error:
            logger.warning("%s: no TLS: %s", label, error or type(error).__name__)
            with contextlib.suppress(OSError):
                sock.close()
            return
        if not self._accepted(link):
            link.abort()


def _name(address: tuple[str, int]) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_tcp(sock: socket.socket) -> bool:
    return sock.family in (socket.AF_INET, socket.AF_INET6)


def _at_the_other_end(sock: socket.socket) -> tuple[int, int | None]:
    """Process and user that have connected to a local socket; 0 and None where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return 0, None  # there the mode of the file decides
    pid, user, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return pid, user
