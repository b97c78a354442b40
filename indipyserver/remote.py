"""Another INDI server as a peer: what it serves is served here too."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl

from indipydriver.protocol.encode import encode
from indipydriver.protocol.framer import Limits
from indipydriver.protocol.messages import GetProperties
from indipydriver.transport.descriptor import DescriptorLink, tune_socket
from indipydriver.transport.link import Link
from indipydriver.transport.stream import StreamLink

from .backoff import Backoff
from .outbox import OutboxLimits
from .party import Role
from .peer import HANG_TIME, Peer, tracer
from .switchboard import Switchboard

__all__ = ["RemoteConnection"]

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0
"""Seconds for one try to connect."""
_ASK_PLAINLY = 1.0  # PyPI's indipyserver does not know device="*" and defines nothing


class RemoteConnection:
    """Keeps a link to another server, and connects again when it is lost.

    Args:
        board: The server's peers.
        host: Name or address.
        port: Its port.
        blob_enable: BLOBs may pass, if somebody here enables them; any true value.
        debug_enable: Log what goes there (TX) and comes from there (RX) at DEBUG.
        device: The one device that is wanted, or None for all.
        context: For TLS.
        server_hostname: The name in the server's certificate, if not the host.
        limits: How much may wait for it.
        backoff: How long to wait before connecting again.
        hang_time: Seconds without taking anything after which the link is cut.
    """

    def __init__(
        self,
        board: Switchboard,
        host: str,
        port: int = 7624,
        *,
        blob_enable: object = False,
        debug_enable: bool = False,
        device: str | None = None,
        context: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
        limits: OutboxLimits,
        backoff: Backoff | None = None,
        hang_time: float = HANG_TIME,
    ) -> None:
        self.host = host
        self.port = port
        self.device = device
        self.blob_enable = bool(blob_enable)
        self.peer: Peer | None = None
        self.connects = 0
        self.where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.label = f"remote {device}@{self.where}" if device else f"remote {self.where}"
        self._board = board
        self._debug = debug_enable
        self._context = context
        self._server_hostname = server_hostname
        self._limits = limits
        self._backoff = backoff or Backoff(1.0, 30.0, 10.0)
        self._hang_time = hang_time
        self._status = ""

    @property
    def connected(self) -> bool:
        """The link is up."""
        return self.peer is not None and not self.peer.closed

    @property
    def devices(self) -> list[str]:
        """The devices it has announced."""
        return self._board.router.devices.of(self.peer) if self.peer is not None else []

    async def run(self) -> None:
        """Connect, serve, and connect again, until cancelled."""
        loop = asyncio.get_running_loop()
        self._tell(f"Attempting to connect to {self.where}")
        while True:
            started = loop.time()
            try:
                # Not wait_for: in Python 3.11 it forgets a cancellation that comes as it ends.
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    link = await self._connect()
            except ConnectionRefusedError:
                self._tell(f"Connection refused on {self.where}")
            except TimeoutError:
                self._tell(f"Connection failed on {self.where}: no answer in {CONNECT_TIMEOUT:g} s")
            except (OSError, ssl.SSLError) as error:
                self._tell(f"Connection failed on {self.where}: {error.strerror or error}")
            else:
                self._tell(f"Connected to {self.where}")
                self.connects += 1
                error_of_link = await self._live(link)
                cause = f": {error_of_link}" if error_of_link is not None else ""
                self._tell(f"Connection Lost on {self.where}{cause}")
            await asyncio.sleep(self._backoff.next(loop.time() - started))

    def _tell(self, text: str) -> None:
        """Log and announce a change of state; the same state again is no news."""
        if text != self._status:
            self._status = text
            logger.warning("%s", text)
            self._board.announce(text)

    async def _connect(self) -> Link:
        loop = asyncio.get_running_loop()
        if self._context is not None:
            link = StreamLink(self.label, Limits())
            name = self._server_hostname or self.host
            await loop.create_connection(
                lambda: link, self.host, self.port, ssl=self._context, server_hostname=name, happy_eyeballs_delay=0.25
            )
            return link
        infos = await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        last: OSError | None = None
        for family, kind, proto, _, address in infos:
            sock = socket.socket(family, kind, proto)
            try:
                tune_socket(sock)
                await loop.sock_connect(sock, address)
            except OSError as error:
                sock.close()
                last = error
            except BaseException:
                sock.close()
                raise
            else:
                return DescriptorLink(self.label, sock=sock)
        raise last or OSError(f"{self.host!r} has no address")

    async def _live(self, link: Link) -> Exception | None:
        """One life of the link; returns why it ended."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Exception | None] = loop.create_future()
        peer = self.peer = Peer(
            self._board,
            link,
            Role.REMOTE,
            limits=self._limits,
            label=self.label,
            hang_time=self._hang_time,
            only_device=self.device,
            takes_blobs=self.blob_enable,
            on_closed=lambda error: None if ended.done() else ended.set_result(error),
        )
        if self._debug:
            peer.trace = tracer(logger, to="TX", come="RX")
        try:
            self._board.add(peer)
            # With "*" we introduce ourselves as a server; indiserver does the same.
            self._board.send(peer, encode(GetProperties(self.device or "*")))
            if self.device is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_ASK_PLAINLY):
                        return await asyncio.shield(ended)
                if not self.devices:
                    self._board.send(peer, encode(GetProperties()))
            return await ended
        finally:
            link.abort()
            self._board.remove(peer, None)
