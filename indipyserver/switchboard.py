"""Brings the router and the peers together: one read is routed at once and becomes one write for each receiver."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from indipydriver.errors import DriverExited, MalformedFrame
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch, Frame
from indipydriver.protocol.messages import Message
from indipydriver.protocol.values import format_timestamp
from indipydriver.transport.attached import AttachedFrame

from .party import Delivery, Party, Role
from .peer import Peer
from .router import Router

__all__ = ["Switchboard"]

logger = logging.getLogger("indipyserver.ipyserver")


class Switchboard:
    """All peers of one server.

    Args:
        name: The name of the server, unlike that of any other; see :mod:`indipydriver.protocol.via`.

    Attributes:
        router: Decides who gets what.
        last_traffic: When something was last sent to anybody, in the loop's time.
        watchers: Called with the source and its frames before they are routed: the message log.
        followers: Called with the source and what goes to whom, before it is delivered: the audit log.
        greeters: Called with each new peer before its link is opened.
    """

    def __init__(self, name: str) -> None:
        self.router = Router(name)
        self.last_traffic = 0.0
        self.watchers: list[Callable[[Peer, list[Frame]], None]] = []
        self.followers: list[Callable[[Peer, list[Delivery]], None]] = []
        self.greeters: list[Callable[[Peer], None]] = []
        self._removed: asyncio.Future[None] | None = None
        self._encoding: set[asyncio.Task[None]] = set()

    @property
    def peers(self) -> list[Peer]:
        """All peers, in the order in which they came."""
        return [party for party in self.router.parties if isinstance(party, Peer)]

    @property
    def clients(self) -> list[Peer]:
        """The peers that have connected to us."""
        return [peer for peer in self.peers if peer.role in (Role.CLIENT, Role.UPSTREAM)]

    def add(self, peer: Peer) -> None:
        """A new peer; opens its link."""
        for greet in self.greeters:
            greet(peer)
        self.router.attach(peer)
        peer.link.open(peer)

    def remove(self, peer: Peer, error: Exception | None) -> None:
        """The peer's link has ended: those who are interested see its devices deleted."""
        if isinstance(error, DriverExited):
            reason = str(error)
        else:
            reason = f"{peer.label}: {error}" if error is not None else f"{peer.label} is gone"
        self.deliver(None, self.router.detach(peer, reason))
        if self._removed is not None and not self._removed.done():
            self._removed.set_result(None)

    async def wait_until_empty(self, deadline: float) -> None:
        """Wait until all peers are gone, or until this time of the loop."""
        loop = asyncio.get_running_loop()
        while self.peers and (left := deadline - loop.time()) > 0:
            self._removed = loop.create_future()
            await asyncio.wait((self._removed,), timeout=left)
        self._removed = None

    def process(self, source: Peer, frames: list[Frame]) -> None:
        """Route what has come from a peer."""
        for watch in self.watchers:
            watch(source, frames)
        deliveries = self.router.process(source, frames)
        if deliveries:
            for follow in self.followers:
                follow(source, deliveries)
            self.deliver(source, deliveries)

    def deliver(self, source: Peer | None, deliveries: list[Delivery]) -> None:
        """Queue frames for their receivers, then flush each receiver once."""
        if source is not None and source.deferred is not None:
            source.deferred += deliveries
            return
        if len(deliveries) == 1 and len(deliveries[0][1]) == 1 and deliveries[0][0][0].__class__ is not AttachedFrame:
            # One frame for one peer is what most wake-ups bring: 1.5 us of 10 are saved by not collecting.
            frames, (peer,) = deliveries[0]
            assert isinstance(peer, Peer)
            peer.put(Batch(frames, sealed=not peer.in_process), frames)
            self._flush(peer, source)
            self.last_traffic = asyncio.get_running_loop().time()
            return
        touched: dict[Party, None] = {}
        for index, (frames, receivers) in enumerate(deliveries):
            if frames[0].__class__ is AttachedFrame:
                if not self._put_attached(frames[0], receivers, touched):
                    assert source is not None
                    self._defer(source, frames[0], deliveries[index:])
                    break
                continue
            shared: Batch | None = None
            for peer in receivers:
                assert isinstance(peer, Peer)
                if peer.in_process:
                    peer.put(Batch(frames), frames)
                else:
                    if shared is None:
                        shared = Batch(frames, sealed=True)
                    peer.put(shared, frames)
                touched[peer] = None
        for peer in touched:
            assert isinstance(peer, Peer)
            self._flush(peer, source)
        if touched:
            self.last_traffic = asyncio.get_running_loop().time()

    def _flush(self, peer: Peer, source: Peer | None) -> None:
        """Send what has been put; a client that commands faster than the driver takes it has to wait."""
        peer.flush()
        if source is not None and source.role in (Role.CLIENT, Role.UPSTREAM) and peer.congested:
            peer.hold(source)

    def _put_attached(self, frame: Frame, receivers: Iterable[Party], touched: dict[Party, None]) -> bool:
        """Give descriptors to those who take them and base64 to the others; False if it is not yet encoded."""
        assert isinstance(frame, AttachedFrame)
        peers = [peer for peer in receivers if isinstance(peer, Peer)]
        inline = frame.encoded
        if inline is None and not all(peer.takes_descriptors for peer in peers):
            return False
        for peer in peers:
            form: Frame = frame if inline is None or peer.takes_descriptors else inline
            peer.put(Batch([form], sealed=not peer.in_process), [form])
            touched[peer] = None
        return True

    def _defer(self, source: Peer, frame: Frame, deliveries: list[Delivery]) -> None:
        """Have a BLOB encoded in a thread; what the same peer has sent after it waits, to keep the order."""
        assert isinstance(frame, AttachedFrame)
        source.deferred = deliveries
        source.pause(frame.descriptors)
        task = asyncio.get_running_loop().create_task(self._encode(source, frame))
        self._encoding.add(task)
        task.add_done_callback(self._encoding.discard)

    async def _encode(self, source: Peer, frame: AttachedFrame) -> None:
        try:
            await asyncio.to_thread(frame.inline)
        except MalformedFrame as fault:
            source.fault_received(fault)
            if source.deferred:
                del source.deferred[0]
        finally:
            waiting, source.deferred = source.deferred or [], None
            source.resume(frame.descriptors)
        if not source.closed:
            self.deliver(source, waiting)

    def send(self, peer: Peer, frame: Frame) -> None:
        """Send one frame to one peer."""
        self.deliver(None, [([frame], (peer,))])

    def announce(self, text: str, timestamp: str | None = None) -> None:
        """A message without device to everybody who may want it."""
        self.deliver(None, self.router.site_message(text, timestamp or now()))

    def tell_interested(self, device: str, text: str) -> None:
        """A message of one device, for those who are interested in it."""
        frame = encode(Message(device, text, now()))
        receivers = tuple(p for p in self.router.parties if p.interest.wants(frame.address))
        if receivers:
            self.deliver(None, [([frame], receivers)])

    def refresh(self, peer: Peer) -> None:
        """Ask again for what a peer snoops on."""
        self.deliver(None, self.router.refresh(peer))


def now() -> str:
    """The time for a ``timestamp`` attribute: UTC, whole seconds."""
    return format_timestamp(None).partition(".")[0]
