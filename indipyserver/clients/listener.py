"""Where clients connect: an address, a port, perhaps TLS, and the rights of its clients."""

from __future__ import annotations

import logging
import socket
import ssl as tls
from collections.abc import Iterable
from itertools import chain
from typing import Final

from indipydriver.transport.sockets import is_tcp

from ..arguments import checked_hosts, checked_port
from ..certificates import checked_context
from ..routing.rights import EVERYTHING, Rights
from .acceptor import Acceptor
from .sockets import ALL_INTERFACES, ANYWHERE, bind_any_port

__all__ = ["Listener", "warn_of_open_doors"]

logger = logging.getLogger("indipyserver.ipyserver")


class Listener:
    """One of a server's listeners; what ``add_listener`` returns.

    Args:
        host: A name, an address, "" for all interfaces, or several of these.
        port: TCP port; 0 picks a free one.
        ssl: The context for TLS; None: plain TCP.
        rights: What its clients may see and do.

    Attributes:
        acceptor: What accepts there while the server runs, otherwise None.

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
        hosts = dict.fromkeys(ALL_INTERFACES if host in ANYWHERE else host for host in self.hosts)
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
    "%s open to everybody who can reach it, without encryption: whoever connects can %s; "
    "use TLS, or listen on localhost only"
)


def warn_of_open_doors(listeners: Iterable[Listener]) -> None:
    """Log one warning for all listeners without TLS that other machines can reach."""
    where = []
    rights: list[Rights] = []
    for listener in listeners:
        if listener.ssl is None:
            for sock in listener.sockets:
                address = sock.getsockname()
                if isinstance(address, tuple) and not _is_loopback(address[0]):
                    where.append(f"{address[0]} port {address[1]}")
                    rights.append(listener.rights)
    if where:
        what = f"{' and '.join(where)} {'is' if len(where) == 1 else 'are'}"
        commanding = [each for each in rights if not each.read_only]
        seen = [each.devices for each in commanding or rights]
        devices = f"the devices {', '.join(sorted({*chain(*seen)}))}" if all(seen) else "every device"
        logger.warning(_ADVICE, what, f"{'command' if commanding else 'watch'} {devices}")


def _is_loopback(address: str) -> bool:
    """The address of a bound socket, in the system's spelling."""
    return address.startswith("127.") or address == "::1"
