"""Where clients come in: an address, a port, perhaps TLS, and the rights that go with it."""

from __future__ import annotations

import logging
import socket
import ssl as tls
from collections.abc import Iterable
from typing import Final

from ..arguments import checked_context, checked_hosts, checked_port
from ..routing.rights import EVERYTHING, Rights
from .acceptor import Acceptor
from .sockets import ANYWHERE, bind_any_port, is_tcp

__all__ = ["Listener", "warn_of_open_doors"]

logger = logging.getLogger("indipyserver.ipyserver")


class Listener:
    """One of the ways into a server; what ``add_listener`` returns.

    Args:
        host: A name, an address, "" for all interfaces, or several of these.
        port: TCP port; 0 picks a free one.
        ssl: For TLS; without it, plain TCP.
        rights: What its clients may see and do.

    Attributes:
        acceptor: What accepts there while the server runs, else None.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: There is no such port, or an address has a NUL in it.
    """

    def __init__(
        self, host: str | Iterable[str], port: int, ssl: tls.SSLContext | None = None, rights: Rights = EVERYTHING
    ) -> None:
        self.hosts = checked_hosts(host)
        self.ssl = checked_context(ssl)
        self.rights = rights
        self.acceptor: Acceptor | None = None
        self._port = checked_port(port)

    def __str__(self) -> str:
        hosts = dict.fromkeys("all interfaces" if host in ANYWHERE else host for host in self.hosts)
        tcp = [sock for sock in self.sockets if is_tcp(sock)]
        words = [f"{' and '.join(hosts)} port {self.port}"]
        if self.ssl is not None:
            words.append("with TLS")
        if self.rights.limited:
            words.append(str(self.rights))
        if tcp and all(_is_loopback(sock.getsockname()[0]) for sock in tcp):
            words.append("for this machine only")
        return ", ".join(words)

    @property
    def sockets(self) -> list[socket.socket]:
        """The sockets it listens on."""
        return self.acceptor.sockets if self.acceptor is not None else []

    @property
    def port(self) -> int:
        """The TCP port; while the server runs, the one that 0 became."""
        for sock in self.sockets:
            if sock.fileno() >= 0 and is_tcp(sock):
                return int(sock.getsockname()[1])
        return self._port

    def bind(self) -> list[socket.socket]:
        """Listening sockets on all hosts, with one port.

        Raises:
            OSError: It cannot be listened on; nothing is left open.
        """
        return bind_any_port(self.hosts, self._port)


_ADVICE: Final = (
    "%s open to everybody who can reach it, without encryption: who connects can %s; "
    "use TLS, or listen on localhost only"
)


def warn_of_open_doors(listeners: Iterable[Listener]) -> None:
    """One warning for all that is listened on beyond this machine without TLS."""
    where = []
    command = False
    for listener in listeners:
        if listener.ssl is None:
            for sock in listener.sockets:
                address = sock.getsockname()
                if isinstance(address, tuple) and not _is_loopback(address[0]):
                    where.append(f"{address[0]} port {address[1]}")
                    command = command or not listener.rights.read_only
    if where:
        what = f"{' and '.join(where)} {'is' if len(where) == 1 else 'are'}"
        logger.warning(_ADVICE, what, "command every device" if command else "watch every device")


def _is_loopback(address: str) -> bool:
    """Of a socket that is bound, so it is written in the one way of the system."""
    return address.startswith("127.") or address == "::1"
