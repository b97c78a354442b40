"""Connects the router and the peers: one read is routed at once and becomes one write to each receiver."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from indipydriver.errors import DriverExited
from indipydriver.protocol.frame import Address, Batch, BlobFrame, Frame
from indipydriver.protocol.tags import Verb
from indipydriver.protocol.texts import brief
from indipydriver.protocol.values import format_timestamp

from ..routing.endpoint import COMMANDERS, Delivery
from ..routing.router import Router
from .conversions import Conversions
from .observer import Observer
from .peer import Peer, put_for_all

__all__ = ["Switchboard"]

logger = logging.getLogger("indipyserver.ipyserver")

_Method = TypeVar("_Method", bound=Callable[..., None])


class Switchboard:
    """All peers of one server.

    Args:
        name: The name of the server, unique among servers; see :mod:`indipydriver.protocol.via`.

    Attributes:
        router: Decides who gets what.
        last_traffic: When something was last sent to anybody, in the loop's time.
    """

    def __init__(self, name: str) -> None:
        self.router: Router[Peer] = Router(name)
        self.last_traffic = 0.0
        # Methods of observers: only those they override.
        self._greeters: list[Callable[[Peer], None]] = []
        self._leavers: list[Callable[[Peer], None]] = []
        self._watchers: list[Callable[[Peer, list[Frame]], None]] = []
        self._followers: list[Callable[[Peer, list[Delivery[Peer]]], None]] = []
        self._failed: set[int] = set()  # ids of those that have raised
        self._removed: asyncio.Future[None] | None = None
        self._conversions = Conversions(self._flush_all)
        self._backlogs = self._conversions.backlogs

    @property
    def peers(self) -> list[Peer]:
        """All peers, in order of arrival."""
        return self.router.endpoints.copy()

    @property
    def clients(self) -> list[Peer]:
        """The peers that have connected to us."""
        return [peer for peer in self.peers if peer.role in COMMANDERS]

    @property
    def queued_commands(self) -> int:
        """Bytes of commands that wait for drivers and servers below."""
        return self._conversions.uploads + sum(peer.queued_commands for peer in self.router.endpoints)

    def observe(self, observer: Observer) -> None:
        """Show an observer, from now on, what it wants to see."""
        kind = type(observer)
        if kind.peer_added is not Observer.peer_added:
            self._greeters.append(observer.peer_added)
        if kind.peer_removed is not Observer.peer_removed:
            self._leavers.append(observer.peer_removed)
        if kind.received is not Observer.received:
            self._watchers.append(observer.received)
        if kind.routed is not Observer.routed:
            self._followers.append(observer.routed)

    def unobserve(self, observer: Observer) -> None:
        """Stop showing an observer anything."""
        self._greeters = _not_of(observer, self._greeters)
        self._leavers = _not_of(observer, self._leavers)
        self._watchers = _not_of(observer, self._watchers)
        self._followers = _not_of(observer, self._followers)

    def _show(self, look: Callable[..., None], *what: object) -> None:
        """Call a method of an observer; its exceptions must not disturb the traffic."""
        try:
            look(*what)
        except Exception:
            if id(look) not in self._failed:
                self._failed.add(id(look))
                name = getattr(look, "__qualname__", look)  # any callable may replace a method
                logger.exception("%s has failed (further failures are not logged)", name)

    def add(self, peer: Peer) -> None:
        """Add a peer and open its link."""
        for greet in self._greeters:
            self._show(greet, peer)
        self.router.attach(peer)
        peer.link.open(peer)

    def remove(self, peer: Peer, error: Exception | str | None) -> None:
        """Remove a peer whose link has ended, and delete its devices for those who are interested.

        Whatever the link still delivers is ignored: nobody would be left to withdraw it.
        """
        peer.closed = True
        self._conversions.sender_gone(peer)
        for receiver in self.router.endpoints:
            receiver.sender_gone(peer)
        if self._leavers and peer in self.router.endpoints:
            for leave in self._leavers:
                self._show(leave, peer)
        if isinstance(error, DriverExited):
            reason = str(error)
        else:
            reason = f"{peer.public_label}: {error}" if error is not None else f"{peer.public_label} is gone"
        self.deliver(peer if peer in self._backlogs else None, self.router.detach(peer, brief(reason)))
        if self._removed is not None and not self._removed.done():
            self._removed.set_result(None)

    async def wait_until_empty(self, deadline: float) -> None:
        """Wait until all peers are gone, or until this time of the loop."""
        loop = asyncio.get_running_loop()
        while self.peers and (left := deadline - loop.time()) > 0:
            self._removed = loop.create_future()
            await asyncio.wait((self._removed,), timeout=left)
        self._removed = None

    def relay(self, source: Peer, frames: list[Frame]) -> None:
        """Route what has come from a peer."""
        for watch in self._watchers:
            self._show(watch, source, frames)
        deliveries = self.router.route(source, frames)
        if deliveries:
            for follow in self._followers:
                self._show(follow, source, deliveries)
            self.deliver(source, deliveries)

    def pass_on(self, source: Peer, address: Address, data: bytes) -> bool:
        """Relay one element and its newline unchanged, if only one peer gets it and can take it now.

        It does what :meth:`relay` would do, or nothing, and returns False.
        """
        if self._watchers or self._followers or self._backlogs:
            return False
        peer = self.router.sole_receiver(source, address)
        if peer is None or peer is source or not peer.put_now(data, command=source.role in COMMANDERS):
            return False
        self.last_traffic = asyncio.get_running_loop().time()
        return True

    def deliver(self, source: Peer | None, deliveries: list[Delivery[Peer]]) -> None:
        """Queue frames for their receivers, then flush each receiver once."""
        if (
            len(deliveries) == 1
            and len(deliveries[0][1]) == 1
            and deliveries[0][0][0].__class__ is Frame
            and not self._backlogs
        ):
            # Most wake-ups bring one frame for one peer: not collecting receivers saves 1.5 us of 10.
            frames, (peer,) = deliveries[0]
            if peer is not source:
                peer.put(Batch(frames, sealed=not peer.in_process), frames, source)
                self._flush(peer, source)
                self.last_traffic = asyncio.get_running_loop().time()
                return
        touched: dict[Peer, None] = {}
        for frames, endpoints in deliveries:
            receivers: Sequence[Peer] = endpoints
            if self._backlogs:
                receivers = self._conversions.keep_order(source, frames, receivers)
            first = frames[0]
            if isinstance(first, BlobFrame):
                receivers = self._conversions.put(source, first, receivers, touched)
            elif first.address.tag.verb is Verb.PONG and receivers:
                self._conversions.put_pong(source, frames)
                continue
            put_for_all(frames, receivers, touched, source)
        self._flush_all(touched, source)

    def _flush_all(self, touched: Iterable[Peer], source: Peer | None) -> None:
        for peer in touched:
            self._flush(peer, source)
        if touched:
            self.last_traffic = asyncio.get_running_loop().time()

    def _flush(self, peer: Peer, source: Peer | None) -> None:
        """Send what has been queued, and apply back-pressure to its sender.

        A client that commands faster than the driver takes it is not read for a while, and neither is a driver that
        asks for more answers than it takes.
        """
        peer.flush()
        if source is not None and (source is peer or source.role in COMMANDERS):
            peer.hold_if_congested(source)

    async def settle(self, deadline: float) -> None:
        """Wait until all BLOBs have been converted, or until this time of the loop."""
        await self._conversions.settle(deadline)

    def send(self, peer: Peer, frame: Frame) -> None:
        """Send one frame to one peer."""
        self.deliver(None, [([frame], (peer,))])

    def announce(self, text: str, *, about: Peer | Iterable[str] | None = None) -> None:
        """Send everybody a message without device about something the server has noticed.

        It is truncated to a length that all clients show; a failure to send it is only logged.

        Args:
            text: The text.
            about: The peer, or the devices, that it concerns, so that clients that may see only some devices do not
                learn of others; None: it concerns nobody in particular.
        """
        text = brief(text)
        try:
            self.deliver(None, self.router.site_message(text, now(), about))
        except Exception:
            logger.exception("clients cannot be told: %s", text)

    def refresh(self, peer: Peer) -> None:
        """Ask again for what a peer snoops on."""
        self.deliver(None, self.router.refresh(peer))


def now() -> str:
    """The time for a ``timestamp`` attribute: UTC, whole seconds."""
    return format_timestamp(None).partition(".")[0]


def _not_of(observer: Observer, methods: list[_Method]) -> list[_Method]:
    return [method for method in methods if getattr(method, "__self__", None) is not observer]
