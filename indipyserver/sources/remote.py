"""Another INDI server as a peer: what it serves is served here as well."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Mapping
from typing import Final

from indipydriver.protocol.encode import encode
from indipydriver.protocol.framer import Limits
from indipydriver.protocol.messages import GetProperties
from indipydriver.protocol.texts import LONGEST_LABEL, brief
from indipydriver.protocol.via import with_via
from indipydriver.transport.connecting import NameService, connect
from indipydriver.transport.descriptor import DescriptorLink
from indipydriver.transport.link import Link
from indipydriver.transport.stream import StreamLink
from indipydriver.transport.watching import can_watch_descriptors

from ..arguments import checked_flag, checked_type
from ..certificates import checked_certificate_name, checked_context
from ..relay.peer import HANG_TIME, Peer, tracer
from ..relay.switchboard import Switchboard
from ..routing.endpoint import Role
from ..routing.outbox import OutboxLimits
from ..spec import checked_server, join_host_and_port
from .backoff import Backoff
from .source import Distant

__all__ = ["RemoteConnection"]

logger = logging.getLogger("indipyserver.remote")

CONNECT_TIMEOUT = 10.0
"""Seconds to look up a name, and as many to connect to one of its addresses."""
_ASK_PLAINLY = 1.0  # PyPI's indipyserver does not know device="*" and defines nothing
_CAUSE: Final = 120  # bytes of a cause, so that the text that it ends is sent whole


class RemoteConnection(Distant):
    """Keeps a link to another server, and reconnects when it is lost.

    Args:
        board: The server's peers.
        host: Name or address.
        port: Its port.
        blob_enable: BLOBs may pass, if somebody here enables them; any true value.
        debug_enable: Log what goes there (TX) and comes from there (RX) at DEBUG.
        device: The only device to serve, or None for all.
        context: For TLS.
        server_hostname: The name in the server's certificate, if not the host.
        limits: How much may wait for it.
        backoff: How long to wait before reconnecting; each run begins with a new one like it.
        hang_time: Seconds without taking anything after which the link is cut.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: No host can have that name, there is no such port, or no device can have that name.
    """

    kind = "remote"

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
        self.host, self.port = host, port = checked_server(host, port)
        checked_type("device", device, str, type(None))
        if device is not None and not device.strip():
            raise ValueError(f"the device of a remote server needs a name, not {device!r}; None means all devices")
        # With "*" we introduce ourselves as a server; indiserver does the same.  For one device the `via` does it.
        introduction = encode(GetProperties(device or "*"))
        self._introduction = introduction if device is None else with_via(introduction, board.router.name)
        self.device = device
        self.blob_enable = bool(blob_enable)
        self.connects = 0
        self.where = brief(join_host_and_port(host, port), LONGEST_LABEL)
        super().__init__(board, f"remote {device}@{self.where}" if device else f"remote {self.where}")
        self._debug = checked_flag("debug_enable", debug_enable)
        self._context = checked_context(context)
        checked_type("server_hostname", server_hostname, str, type(None))
        self._server_hostname = checked_certificate_name(server_hostname, self._context)
        self._limits = limits
        self._backoff = checked_type("backoff", backoff, Backoff, type(None)) or Backoff(1.0, 30.0, 10.0)
        self._hang_time = hang_time
        self._names = NameService()
        self._status = ""
        self._short = False  # the last link ended at once, without an element: there is no INDI server at the other end

    @property
    def connected(self) -> bool:
        """Whether the link is up."""
        return self.running

    @property
    def restarted(self) -> int:
        """How often it has reconnected."""
        return max(0, self.connects - 1)

    @property
    def details(self) -> Mapping[str, object]:
        """Where it leads."""
        return {"host": self.host, "port": self.port, "device": self.device, "connected": self.running}

    async def run(self) -> None:
        """Connect, serve, and reconnect, until cancelled."""
        loop = asyncio.get_running_loop()
        backoff = self._backoff.fresh()
        self.connects = 0
        self._status = ""
        self._short = False
        self._tell(f"Attempting to connect to {self.where}")
        while True:
            lived = 0.0
            try:
                link = await self._connect()
            except ConnectionRefusedError:
                self._tell(f"Connection refused on {self.where}")
            except TimeoutError:
                self._tell(f"Connection failed on {self.where}: no answer in {CONNECT_TIMEOUT:g} s")
            except (OSError, ValueError) as error:  # including those of TLS, and invalid names
                cause = brief(getattr(error, "strerror", None) or str(error) or type(error).__name__, _CAUSE)
                self._tell(f"Connection failed on {self.where}: {cause}")
            else:
                if not self._short:
                    self._tell_connected()
                self.connects += 1
                begin = loop.time()
                error_of_link: Exception | None
                try:
                    error_of_link = await self._live(link)
                except OSError as failure:  # no memory to watch its descriptor, which may be temporary
                    error_of_link = failure
                lived = loop.time() - begin
                cause = f": {brief(str(error_of_link), _CAUSE)}" if error_of_link is not None else ""
                if not self._short:
                    self._tell(f"Connection Lost on {self.where}{cause}")
                self._short = lived < _ASK_PLAINLY and not (self.peer and self.peer.received)
            await asyncio.sleep(backoff.next(lived))

    def _tell_connected(self) -> None:
        self._short = False
        self._tell(f"Connected to {self.where}")

    def _tell(self, text: str) -> None:
        """Log and announce a change of state; the same state again is no news."""
        if text != self._status:
            self._status = text
            self.recent.log(logger, logging.WARNING, text)
            self._board.announce(text, about=self.devices)

    async def _connect(self) -> Link:
        # Not wait_for: in Python 3.11 it loses a cancellation that arrives as it ends.
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                addresses = await self._names.look_up(self.host, self.port)
        except TimeoutError:
            text = f"the name has not been looked up in {CONNECT_TIMEOUT:g} s"
            raise socket.gaierror(socket.EAI_AGAIN, text) from None
        async with asyncio.timeout(CONNECT_TIMEOUT):
            return await self._link(await connect(addresses))

    async def _link(self, sock: socket.socket) -> Link:
        """The link over a connected socket."""
        if self._context is None and can_watch_descriptors(asyncio.get_running_loop()):
            return DescriptorLink(self.label, sock=sock)
        link = StreamLink(self.label, Limits())
        await link.use(sock, self.host, self._context, self._server_hostname)
        return link

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
            self._board.send(peer, self._introduction)
            await asyncio.wait((ended,), timeout=_ASK_PLAINLY)
            if not ended.done():
                self._tell_connected()
                if self.device is None and not self.devices:
                    self._board.send(peer, encode(GetProperties()))
            return await ended
        finally:
            link.abort()
            self._board.remove(peer, None)
