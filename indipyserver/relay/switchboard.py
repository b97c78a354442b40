"""Brings the router and the peers together: one read is routed at once and becomes one write for each receiver."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from indipydriver.errors import DriverExited, MalformedFrame
from indipydriver.protocol.frame import Batch, BlobFrame, Frame
from indipydriver.protocol.tags import Verb
from indipydriver.protocol.texts import brief
from indipydriver.protocol.values import format_timestamp
from indipydriver.transport.memoryfile import AttachedFrame
from indipydriver.transport.threads import in_thread

from ..routing.endpoint import COMMANDERS, Delivery, Endpoint
from ..routing.router import Router
from .attachments import IN_LOOP, Backlog, convert, converted, needs_conversion
from .observer import Observer
from .peer import Peer

__all__ = ["Switchboard"]

logger = logging.getLogger("indipyserver.ipyserver")


class Switchboard:
    """All peers of one server.

    Args:
        name: The name of the server, unlike that of any other; see :mod:`indipydriver.protocol.via`.

    Attributes:
        router: Decides who gets what.
        last_traffic: When something was last sent to anybody, in the loop's time.
    """

    def __init__(self, name: str) -> None:
        self.router = Router(name)
        self.last_traffic = 0.0
        # Methods of observers, only those that do something.
        self._greeters: list[Callable[[Peer], None]] = []
        self._watchers: list[Callable[[Peer, list[Frame]], None]] = []
        self._followers: list[Callable[[Peer, list[Delivery]], None]] = []
        self._failed: set[int] = set()  # of these, by their ids
        self._removed: asyncio.Future[None] | None = None
        self._backlogs: dict[Peer | None, Backlog] = {}  # by who has sent it
        self._converting: set[asyncio.Task[None]] = set()

    @property
    def peers(self) -> list[Peer]:
        """All peers, in the order in which they came."""
        return [endpoint for endpoint in self.router.endpoints if isinstance(endpoint, Peer)]

    @property
    def clients(self) -> list[Peer]:
        """The peers that have connected to us."""
        return [peer for peer in self.peers if peer.role in COMMANDERS]

    def observe(self, observer: Observer) -> None:
        """Show it from now on what it wants to see."""
        kind = type(observer)
        if kind.peer_added is not Observer.peer_added:
            self._greeters.append(observer.peer_added)
        if kind.received is not Observer.received:
            self._watchers.append(observer.received)
        if kind.routed is not Observer.routed:
            self._followers.append(observer.routed)

    def _show(self, look: Callable[..., None], *what: object) -> None:
        """A mistake of an observer must not cost what it looks at."""
        try:
            look(*what)
        except Exception:
            if id(look) not in self._failed:
                self._failed.add(id(look))
                name = getattr(look, "__qualname__", look)  # any callable may stand in the place of a method
                logger.exception("%s has failed (further failures are not logged)", name)

    def add(self, peer: Peer) -> None:
        """A new peer; opens its link."""
        for greet in self._greeters:
            self._show(greet, peer)
        self.router.attach(peer)
        peer.link.open(peer)

    def remove(self, peer: Peer, error: Exception | str | None) -> None:
        """The peer's link has ended, for this reason: those who are interested see its devices deleted.

        Nothing that the link still brings is taken: there would be nobody to withdraw it.
        """
        peer.closed = True
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

    def process(self, source: Peer, frames: list[Frame]) -> None:
        """Route what has come from a peer."""
        for watch in self._watchers:
            self._show(watch, source, frames)
        deliveries = self.router.process(source, frames)
        if deliveries:
            for follow in self._followers:
                self._show(follow, source, deliveries)
            self.deliver(source, deliveries)

    def deliver(self, source: Peer | None, deliveries: list[Delivery]) -> None:
        """Queue frames for their receivers, then flush each receiver once."""
        if (
            len(deliveries) == 1
            and len(deliveries[0][1]) == 1
            and deliveries[0][0][0].__class__ is Frame
            and not self._backlogs
        ):
            # One frame for one peer is what most wake-ups bring: 1.5 us of 10 are saved by not collecting.
            frames, (peer,) = deliveries[0]
            assert isinstance(peer, Peer)
            if peer is not source:
                peer.put(Batch(frames, sealed=not peer.in_process), frames, source)
                self._flush(peer, source)
                self.last_traffic = asyncio.get_running_loop().time()
                return
        touched: dict[Endpoint, None] = {}
        for frames, endpoints in deliveries:
            receivers: Sequence[Endpoint] = endpoints
            if self._backlogs:
                receivers = self._not_held_up(source, frames, receivers)
            first = frames[0]
            if isinstance(first, BlobFrame):
                receivers = self._put_converted(source, first, receivers, touched)
            elif first.address.tag.verb is Verb.PONG and receivers:
                self._backlog_of(source).add(frames, [source] if source is not None else [], source)
                continue
            _put(frames, receivers, touched, source)
        self._flush_all(touched, source)

    def _flush_all(self, touched: Iterable[Endpoint], source: Peer | None) -> None:
        for peer in touched:
            assert isinstance(peer, Peer)
            self._flush(peer, source)
        if touched:
            self.last_traffic = asyncio.get_running_loop().time()

    def _flush(self, peer: Peer, source: Peer | None) -> None:
        """Send what has been put.

        A client that commands faster than the driver takes it has to wait, and so has a driver that asks for
        more answers than it takes.
        """
        peer.flush()
        if source is not None and (source is peer or source.role in COMMANDERS):
            peer.hold_if_congested(source)

    # BLOBs of which some receivers take the other form

    def _put_converted(
        self, source: Peer | None, frame: BlobFrame, receivers: Iterable[Endpoint], touched: dict[Endpoint, None]
    ) -> list[Endpoint]:
        """Give the attached form of a BLOB, or the inline one, to those who take the other one than it has.

        Returns:
            The receivers who take it as it is.
        """
        others: list[Peer] = []
        same: list[Endpoint] = []
        for peer in receivers:
            assert isinstance(peer, Peer)
            if needs_conversion(frame, peer):
                others.append(peer)
            else:
                same.append(peer)
        if not others:
            return same
        form: BlobFrame | Exception | None = frame.encoded if isinstance(frame, AttachedFrame) else None
        if form is None and (sum(frame.lengths) if isinstance(frame, AttachedFrame) else frame.size) <= IN_LOOP:
            form = converted(frame)
        if form is None:
            backlog = self._backlog_of(source)
            backlog.add([frame], others, source, to_convert=True)
            if source is not None:
                source.pause(backlog)
        else:
            _put(self._without_fault(source, form), others, touched, source)
        return same

    def _backlog_of(self, source: Peer | None) -> Backlog:
        """What waits of this source; a new one begins to move in the next turn of the loop."""
        backlog = self._backlogs.get(source)
        if backlog is not None:
            return backlog
        backlog = self._backlogs[source] = Backlog(source)
        task = asyncio.get_running_loop().create_task(self._work_off(backlog))
        self._converting.add(task)
        task.add_done_callback(self._converting.discard)
        return backlog

    async def _work_off(self, backlog: Backlog) -> None:
        source = backlog.source
        try:
            # What was before a ping is done when it is answered: a connection that was made or closed before it may
            # be among the events that the loop handles after it.
            await asyncio.sleep(0)
            touched: dict[Endpoint, None] = {}
            while backlog.entries:
                entry = backlog.entries[0]
                if entry.to_convert:
                    self._flush_all(touched, source)
                    touched.clear()
                    (frame,) = entry.frames
                    assert isinstance(frame, BlobFrame)
                    box: list[BlobFrame | Exception] = [frame]
                    del frame
                    await in_thread(partial(convert, box))
                    entry.frames = self._without_fault(source, box.pop())
                backlog.pop()
                _put(entry.frames, entry.receivers, touched, entry.sender)
                del entry  # whoever gets the answer to a ping may count the descriptors
            self._flush_all(touched, source)
        finally:
            del self._backlogs[source]
            if source is not None:
                source.resume(backlog)

    def _without_fault(self, source: Peer | None, form: BlobFrame | Exception) -> list[Frame]:
        """The BLOB to be delivered, or nothing but a complaint."""
        if not isinstance(form, Exception):
            return [form]
        if isinstance(form, MalformedFrame) and source is not None:
            source.fault_received(form)
        elif isinstance(form, (MalformedFrame, OSError)):
            if source is not None:
                source.complain("blob", f"sent a BLOB that cannot be read: {form}")
        else:
            logger.error("a BLOB is dropped: %r", form)
        return []

    def _not_held_up(self, source: Peer | None, frames: list[Frame], receivers: Iterable[Endpoint]) -> list[Endpoint]:
        """The receivers that need not wait for a BLOB; the others get the frames behind it."""
        free: list[Endpoint] = []
        later: dict[Backlog, list[Peer]] = {}
        backlogs = list(self._backlogs.values())
        if (own := self._backlogs.get(source)) is not None:
            backlogs.insert(0, own)  # what it sends stays in order, whoever else holds a receiver up
        for peer in receivers:
            assert isinstance(peer, Peer)
            for backlog in backlogs:
                if backlog.holds_up(peer, source):
                    later.setdefault(backlog, []).append(peer)
                    break
            else:
                free.append(peer)
        for backlog, peers in later.items():
            first = frames[0]
            if isinstance(first, BlobFrame):
                converting = {peer for peer in peers if needs_conversion(first, peer)}
                for to_convert in (False, True):  # all of one form at once, as each is made once
                    if chosen := [peer for peer in peers if (peer in converting) is to_convert]:
                        backlog.add(frames, chosen, source, to_convert=to_convert)
            else:
                backlog.add(frames, peers, source)
        return free

    async def settle(self, deadline: float) -> None:
        """Wait until no BLOB waits to be converted, or until this time of the loop."""
        if self._converting:
            left = deadline - asyncio.get_running_loop().time()
            await asyncio.wait(self._converting, timeout=max(0.0, left))

    def send(self, peer: Peer, frame: Frame) -> None:
        """Send one frame to one peer."""
        self.deliver(None, [([frame], (peer,))])

    def announce(self, text: str, *, about: Endpoint | Iterable[str] | None = None) -> None:
        """Say in a message without device what the server has noticed, to everybody who may want it.

        It is cut to a length that all clients show; a failure to send it is logged, and ends nothing.

        Args:
            text: The text.
            about: The peer, or the devices, that it concerns, so that listeners which show some devices only do not
                name others; None: it concerns nobody in particular.
        """
        text = brief(text)
        try:
            self.deliver(None, self.router.site_message(text, now(), about))
        except Exception:
            logger.exception("clients cannot be told: %s", text)

    def refresh(self, peer: Peer) -> None:
        """Ask again for what a peer snoops on."""
        self.deliver(None, self.router.refresh(peer))


def _put(
    frames: list[Frame], receivers: Iterable[Endpoint], touched: dict[Endpoint, None], source: Endpoint | None
) -> None:
    """Queue frames for receivers, joined once for all that get bytes."""
    if not frames:
        return
    shared: Batch | None = None
    for peer in receivers:
        assert isinstance(peer, Peer)
        if peer.in_process:
            peer.put(Batch(frames), frames, source)
        else:
            if shared is None:
                shared = Batch(frames, sealed=True)
            peer.put(shared, frames, source)
        touched[peer] = None


def now() -> str:
    """The time for a ``timestamp`` attribute: UTC, whole seconds."""
    return format_timestamp(None).partition(".")[0]
