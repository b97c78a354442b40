"""Where clients come in: an address, a port, perhaps TLS, and the rights that go with it."""

from __future__ import annotations

import ipaddress
import logging
import socket
import ssl as tls
from collections.abc import Iterable
from typing import Final

from .listener import Listener, bind
from .rights import EVERYTHING, Rights

__all__ = ["Entrance", "warn_of_open_doors"]

logger = logging.getLogger("indipyserver.ipyserver")


class Entrance:
    """One of the ways into a server; what ``add_listener`` returns.

    Args:
        host: A name, an address, "" for all interfaces, or several of these.
        port: TCP port; 0 picks a free one.
        ssl: For TLS; without it, plain TCP.
        rights: What its clients may see and do.

    Attributes:
        listeners: What accepts there while the server runs.
    """

    def __init__(
        self, host: str | Iterable[str], port: int, ssl: tls.SSLContext | None = None, rights: Rights = EVERYTHING
    ) -> None:
        if ssl is not None and not isinstance(ssl, tls.SSLContext):
            raise TypeError(f"ssl must be an ssl.SSLContext, not {type(ssl).__name__}")
        self.hosts = [host] if isinstance(host, str) else list(host)
        self.ssl = ssl
        self.rights = rights
        self.listeners: list[Listener] = []
        self._port = port

    @property
    def sockets(self) -> list[socket.socket]:
        """The sockets it listens on."""
        return [sock for listener in self.listeners for sock in listener.sockets]

    @property
    def port(self) -> int:
        """The TCP port; while the server runs, the one that 0 became."""
        for sock in self.sockets:
            if sock.fileno() >= 0:
                return int(sock.getsockname()[1])
        return self._port

    def bind(self) -> list[socket.socket]:
        """Listening sockets on all hosts, with one port.

        Raises:
            OSError: It cannot be listened on; nothing is left open.
        """
        sockets: list[socket.socket] = []
        port = self._port
        try:
            for host in self.hosts:
                sockets += bind(host, port)
                port = sockets[0].getsockname()[1]
        except BaseException:
            for sock in sockets:
                sock.close()
            raise
        return sockets


_ADVICE: Final = (
    "%s is open to everybody who can reach it, without encryption: who connects can %s; "
    "use TLS, or listen on localhost only"
)


def warn_of_open_doors(entrances: Iterable[Entrance]) -> None:
    """One warning for all that is listened on beyond this machine without TLS."""
    where = []
    command = False
    for entrance in entrances:
        if entrance.ssl is None:
            for sock in entrance.sockets:
                address = sock.getsockname()
                if isinstance(address, tuple) and not _is_loopback(address[0]):
                    where.append(f"{address[0]} port {address[1]}")
                    command = command or not entrance.rights.read_only
    if where:
        logger.warning(_ADVICE, " and ".join(where), "command every device" if command else "watch every device")


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
