"""One look at a server with a blocking socket, for commands that print and end: an event loop takes longer to load
than everything that they do."""

from __future__ import annotations

import socket
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING

from indipydriver.errors import RemoteProtocolError
from indipydriver.protocol.encode import encode
from indipydriver.protocol.framer import Framer
from indipydriver.protocol.messages import AnyMessage, GetProperties, Ping

from .addresses import Endpoint
from .errors import NotConnected
from .model.model import Model
from .quick import read
from .reaching import CONNECT_TIMEOUT, describe, local_names

if TYPE_CHECKING:
    import ssl

__all__ = ["Look"]

_PIECE = 1 << 18
_LONGEST_WAIT = 3600.0  # the system counts in an integer


class Look:
    """A connection that keeps a model, and sends requests when told to; use it with ``with``.

    Args:
        endpoint: Where the server is.
        tls: The context for TLS.

    Attributes:
        model: What is known about the server.

    Raises:
        NotConnected: The server cannot be reached.
    """

    def __init__(self, endpoint: Endpoint, tls: ssl.SSLContext | None = None) -> None:
        self.endpoint = endpoint
        self.model = Model()
        self._framer = Framer(lenient=True)
        try:
            self._socket = _connected(endpoint, tls)
        except (OSError, ValueError) as error:
            raise NotConnected(describe(error, endpoint)) from None
        self.model.link_made()

    def __enter__(self) -> Look:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, device: str | None = None, name: str | None = None) -> None:
        """Ask for definitions: of everything, a device, or a property.

        Raises:
            NotConnected: The connection has ended.
        """
        self._send(GetProperties(device, name))

    def until(self, check: Callable[[], bool], timeout: float) -> bool:
        """Receive until a condition holds, checked after each read; False if it does not in time.

        Raises:
            NotConnected: The connection has ended before.
        """
        end = monotonic() + timeout
        while not check():
            left = end - monotonic()
            if left <= 0:
                return False
            self._take(left)
        return True

    def settle(self, quiet: float, timeout: float) -> bool:
        """Wait until no more definitions arrive; False if they do not stop."""
        end = monotonic() + timeout
        since = monotonic()
        while (now := monotonic()) < end:
            since = max(since, self.model.defined_at)
            if len(self.model) and now - since >= quiet:
                return True
            self._take(min(since + quiet, end) - now if now < since + quiet else min(quiet, end - now))
        return False

    def _take(self, seconds: float) -> None:
        """Receive what comes next, if it arrives in time."""
        self._socket.settimeout(min(max(seconds, 0.001), _LONGEST_WAIT))
        try:
            data = self._socket.recv(_PIECE)
        except TimeoutError:
            return
        except OSError as error:
            raise NotConnected(describe(error, self.endpoint)) from None
        if not data:
            raise NotConnected(f"{self.endpoint} has closed the connection")
        now = monotonic()
        for frame in self._framer.feed(data):
            try:
                message = read(frame)
            except RemoteProtocolError:
                continue
            if type(message) is Ping and not message.reply:
                self._send(Ping(message.uid, reply=True))
            self.model.apply(message, now)
        self._framer.faults.clear()
        if self._framer.failed is not None:
            raise NotConnected(f"{self.endpoint}: {self._framer.failed}")

    def _send(self, message: AnyMessage) -> None:
        self._socket.settimeout(CONNECT_TIMEOUT)
        try:
            self._socket.sendall(encode(message).raw + b"\n")
        except OSError as error:
            raise NotConnected(describe(error, self.endpoint)) from None


def _connected(endpoint: Endpoint, tls: ssl.SSLContext | None) -> socket.socket:
    if not endpoint.path:
        sock = socket.create_connection((endpoint.host, endpoint.port), CONNECT_TIMEOUT)
        try:
            name = endpoint.host.partition("%")[0]  # a certificate does not name the zone of an address
            return tls.wrap_socket(sock, server_hostname=name) if tls is not None else sock
        except BaseException:
            sock.close()
            raise
    failure: OSError | None = None
    for name in local_names(endpoint.path):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(CONNECT_TIMEOUT)
            sock.connect(name)
        except (ConnectionRefusedError, FileNotFoundError) as error:
            sock.close()
            failure = type(error)(error.errno, f"nothing listens on {endpoint.path}")
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    assert failure is not None
    raise failure
