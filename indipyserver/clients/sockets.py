"""Sockets that clients connect to: TCP on all addresses of a host, and local sockets."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import struct
import sys
from collections.abc import Iterable
from typing import Any, Final

from indipydriver.transport.connecting import AddressInfo
from indipydriver.transport.sockets import is_tcp

__all__ = [
    "ALL_INTERFACES",
    "ANYWHERE",
    "FileOf",
    "at_the_other_end",
    "bind",
    "bind_any_port",
    "bind_file",
    "bind_unix",
    "let_listen",
    "where",
]

_PORT_TRIES: Final = 20  # tries for port 0: a port that is free on one address may be taken on another
_BACKLOG: Final = 128
ANYWHERE: Final = ("", "0.0.0.0", "::")
"""Hosts that stand for all interfaces."""
ALL_INTERFACES: Final = "all interfaces"
"""What they are called."""
_ONLY_US: Final[int | None] = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
"""On Windows, where SO_REUSEADDR lets any other program listen on the same port and take the clients."""


def bind_any_port(hosts: Iterable[str], port: int) -> list[socket.socket]:
    """Listening sockets on every address of several hosts, all with the same port.

    An address that several hosts share is listened on once.

    Args:
        hosts: Names or addresses; "" for all interfaces.
        port: 0 for any one that is free on all of them.

    Raises:
        OSError: The port is taken on one of them, or there is no such address; nothing is left open.
    """
    hosts = sorted(hosts, key=lambda host: host not in ANYWHERE)  # which cannot be bound after another of its kind
    for tries_left in reversed(range(_PORT_TRIES if port == 0 else 1)):
        sockets: list[socket.socket] = []
        try:
            for host in hosts:
                sockets += bind(host, sockets[0].getsockname()[1] if sockets else port, sockets)
        except OSError as error:
            _close(sockets)
            if error.errno != errno.EADDRINUSE or not tries_left:
                raise
        else:
            return sockets
    raise AssertionError("the last try returns or raises")


def bind(host: str, port: int, others: Iterable[socket.socket] = ()) -> list[socket.socket]:
    """Listening sockets on every address of a host, all with the same port.

    Args:
        host: A name or address; "" for all interfaces.
        port: 0 for any free one.
        others: Sockets that already listen on this port; the addresses that they cover are left out.

    Raises:
        OSError: The port is taken on one of them, or there is no such address.
    """
    covered = {(sock.family, sock.getsockname()[0]) for sock in others}
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    left_out = False
    try:
        for family, kind, proto, _, address in _look_up(host, port):
            if not covered.isdisjoint((family, each) for each in (address[0], *ANYWHERE)):
                left_out = True
                continue
            try:
                sock = socket.socket(family, kind, proto)
            except OSError as error:  # this kernel has no IPv6
                missing = error
                continue
            sockets.append(sock)
            if len(sockets) > 1 and port == 0:
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            try:
                _listen(sock, address, host or ALL_INTERFACES)
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                missing = error
                sockets.pop().close()
    except BaseException:
        _close(sockets)
        raise
    if not sockets and not left_out:
        raise missing or OSError(errno.EADDRNOTAVAIL, f"{host!r} has no address to listen on")
    return sockets


def _look_up(host: str, port: int) -> Iterable[AddressInfo]:
    """The addresses to listen on for a host, each once.

    Raises:
        OSError: There is none.
    """
    try:
        infos = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise socket.gaierror(error.errno, f"cannot listen on {host!r}: {error.strerror}") from None
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, f"cannot listen on {host!r}: not a valid host name") from None
    return dict.fromkeys(infos)


def _listen(sock: socket.socket, address: tuple[Any, ...], name: str) -> None:
    """Listen on this address only: IPv6 gets a socket of its own.

    Raises:
        OSError: The port is taken, or the address is not one of this machine.
    """
    sock.setsockopt(socket.SOL_SOCKET, _ONLY_US or socket.SO_REUSEADDR, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        sock.bind(address)
    except OSError as error:
        text = f"cannot listen on {name} port {int(address[1])}: {error.strerror}"
        raise OSError(error.errno, text) from None
    sock.listen(_BACKLOG)
    sock.setblocking(False)


def bind_unix(name: str, any_user: bool = False) -> socket.socket:
    """A listening local socket (AF_UNIX).

    On Linux it has a name in the abstract space and no file, as indiserver's, where libindi's clients look
    for it.  Elsewhere it is a file that only its owner can use; one that nobody listens on is replaced.

    Args:
        name: For example ``/tmp/indiserver``.
        any_user: Everybody may use the file; for an abstract name, this is decided when a client connects.

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
            bind_file(sock, name, 0o666 if any_user else 0o600)
        let_listen(sock)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot listen on the local socket {name}: {error.strerror or error}") from None
    return sock


def let_listen(sock: socket.socket) -> socket.socket:
    """Prepare a bound local socket for accepting: one that a script hands over may block, and hold up everybody.

    Raises:
        OSError: It cannot be listened on.
    """
    sock.setblocking(False)
    if not is_tcp(sock):
        sock.listen(_BACKLOG)
    return sock


def bind_file(sock: socket.socket, path: str, mode: int) -> None:
    """Bind a local socket to a file with this mode; a socket there that nobody listens on is replaced.

    Raises:
        OSError: That is not possible.
    """
    try:
        sock.bind(path)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or not _is_abandoned(path):
            raise
        os.unlink(path)
        sock.bind(path)
    os.chmod(path, mode)  # nobody can connect before it listens


def _is_abandoned(path: str) -> bool:
    """Whether it is a local socket on which nobody listens."""
    with contextlib.suppress(OSError):
        before = os.stat(path)
        if stat.S_ISSOCK(before.st_mode):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                refused = probe.connect_ex(path) == errno.ECONNREFUSED
            return refused and os.path.samestat(before, os.stat(path))  # and it has not been replaced meanwhile
    return False


class FileOf:
    """The file of a local socket, to be removed with the socket unless another has replaced it.

    Args:
        sock: A listening socket; it need not have a file.
    """

    def __init__(self, sock: socket.socket) -> None:
        name = sock.getsockname() if not is_tcp(sock) else ""
        # A driver may change the directory before it is removed.
        self._path = os.path.abspath(name) if isinstance(name, str) and name else ""
        self._file: os.stat_result | None = None
        if self._path:
            with contextlib.suppress(OSError):
                self._file = os.stat(self._path)

    def remove(self) -> None:
        """Remove it, after the socket has been closed."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                if os.path.samestat(self._file, os.stat(self._path)):
                    os.unlink(self._path)


def _close(sockets: Iterable[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def where(sock: socket.socket) -> str:
    """A description of what a socket listens on."""
    address = sock.getsockname()
    if isinstance(address, tuple):
        return f"{address[0]} port {address[1]}"
    name = address.decode(errors="replace") if isinstance(address, bytes) else address
    return f"the local socket {name.removeprefix(chr(0))}"


def at_the_other_end(sock: socket.socket) -> tuple[int, int | None]:
    """Process and user that have connected to a local socket; 0 and None if the system does not say."""
    if not hasattr(socket, "SO_PEERCRED"):
        return 0, None  # in that case the mode of the file decides
    form = "iII"  # users and groups have numbers up to 2**32 - 2
    pid, user, _ = struct.unpack(form, sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(form)))
    return pid, user
