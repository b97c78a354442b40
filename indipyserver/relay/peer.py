"""One peer: a link, its queues, and its interests."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from indipydriver.errors import FrameTooLarge, RemoteProtocolError, SlowPeer
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Address, Batch, Frame
from indipydriver.protocol.messages import Message
from indipydriver.transport.attached import PassingLink
from indipydriver.transport.descriptor import DescriptorLink
from indipydriver.transport.framed import FramedLink
from indipydriver.transport.link import LOW_WATER, Link

from ..routing.endpoint import Endpoint, Role
from ..routing.outbox import OutboxLimits
from ..routing.queues import Queues

__all__ = ["DEAD_TIME", "HANG_TIME", "Peer", "put_for_all", "tracer"]

logger = logging.getLogger("indipyserver.ipyserver")

HANG_TIME: Final = 30.0
"""Seconds after which a driver that takes nothing of its backlog counts as hung.  Even if another time is set, a
server above is told within this one that this server is well."""
DEAD_TIME: Final = 120.0
"""Seconds after which a server above is gone if nothing reaches its machine: who snoops on its devices is told."""
_FAULTS_IN_A_ROW: Final = 32


class Board(Protocol):
    """What a peer needs of the switchboard."""

    def relay(self, source: Peer, frames: list[Frame]) -> None:
        """Route frames from this peer."""

    def pass_on(self, source: Peer, address: Address, data: bytes) -> bool:
        """Relay one element from this peer, if nothing but its bytes is needed for that; False: it is not relayed."""

    def remove(self, peer: Peer, error: Exception | None) -> None:
        """Remove a peer whose link has ended."""

    def refresh(self, peer: Peer) -> None:
        """Ask again for what a peer snoops on, as it has missed some of it."""

    def announce(self, text: str, *, about: Peer) -> None:
        """Send everybody a message about this endpoint."""

    def send(self, peer: Peer, frame: Frame) -> None:
        """Send one frame to one peer."""


class Peer(Endpoint):
    """An endpoint with a link.

    Args:
        board: Exchanges frames between the peers.
        link: Carries its frames.
        role: What the peer is to this server.
        limits: How much may be queued for it.
        label: Who it is, for logs and messages; by default the link's.
        on_closed: Called when the link has ended and the peer is detached, with the reason.
        in_process: The link carries frames, not bytes.
        hang_time: Seconds without progress after which a driver is cut off; 0: never, it is only reported as busy.
        stays: The peer stays when its link ends; whoever added it removes it, with a reason.
        only_device: See :class:`Endpoint`.
        takes_blobs: See :class:`Endpoint`.

    Attributes:
        received: Number of frames received from it.
        since: When it connected, in seconds since the epoch.
        last_error: The last thing that went wrong with it, or "".
        takes_descriptors: It can be given attached BLOBs.
        trace: If set, called with "to" or "from" and each frame.
    """

    def __init__(
        self,
        board: Board,
        link: Link,
        role: Role,
        *,
        limits: OutboxLimits,
        label: str | None = None,
        on_closed: Callable[[Exception | None], None] | None = None,
        in_process: bool = False,
        hang_time: float = HANG_TIME,
        stays: bool = False,
        only_device: str | None = None,
        takes_blobs: bool = True,
    ) -> None:
        super().__init__(label or link.label, role, only_device=only_device, takes_blobs=takes_blobs)
        self.link = link
        self.in_process = in_process
        self.received = 0
        self.since = time.time()
        self.last_error = ""
        self.takes_descriptors = role is Role.CLIENT and isinstance(link, PassingLink)
        self.trace: Callable[[str, Frame], None] | None = None
        self.closed = False
        self._board = board
        self._limits = limits
        self._on_closed = on_closed
        self._stays = stays
        is_client = role is Role.CLIENT
        self._queues = Queues(link, limits, low_water=LOW_WATER, for_client=is_client, seal=not in_process)
        self._is_commanded = not is_client
        self._hang_time = hang_time
        patience = hang_time or HANG_TIME
        self._looks = 2 * max(1, math.ceil(patience / HANG_TIME))  # of the watchdog, until the driver counts as hung
        self._look_time = patience / self._looks
        self._watchdog: asyncio.TimerHandle | None = None
        self._progress = 0  # at the last check of the watchdog
        self._looks_in_vain = 0  # of the watchdog, since the peer last took something
        self._is_busy = False  # everybody has been told so
        self._holding: set[Peer] = set()  # senders that are not read until it has taken some commands
        self._held_by: set[object] = set()
        self._closing = False
        self._faults = 0  # in a row
        if isinstance(link, DescriptorLink):
            link.shortcut = self._element_received

    def become_server(self) -> None:
        """Stop its link from lingering, too: its devices must go when it does, because it may reconnect at once.

        They must also go when the line is dead, and not a quarter of an hour later.
        """
        super().become_server()
        if isinstance(self.link, FramedLink):
            self.link.linger = 0.0
            self.link.give_up_after(DEAD_TIME)

    # Sending

    @property
    def sent(self) -> int:
        """Number of frames queued for it."""
        return self._queues.sent

    @property
    def dropped(self) -> int:
        """Number of frames dropped or replaced because it was too slow."""
        return self._queues.dropped

    @property
    def queued(self) -> int:
        """Bytes queued for it, here and in the link."""
        return self._queues.queued

    @property
    def queued_news(self) -> int:
        """Frames of news queued here for it, without those that its link is sending."""
        return self._queues.queued_news

    @property
    def queued_commands(self) -> int:
        """Bytes of commands and requests queued here for it."""
        return self._queues.queued_commands

    def put(self, batch: Batch, frames: list[Frame], sender: Peer | None = None) -> None:
        """Queue frames; the switchboard flushes.

        Args:
            batch: The frames, which may be sealed.
            frames: The same frames: either all are commands and requests, or all are news.
            sender: Who sent the commands or requests; None: this server.
        """
        if self.closed or self._closing:
            return
        if not self._queues.put(batch, frames, None if sender is None else sender.token):
            if self._queues.too_slow:
                self.cut(SlowPeer(self.label, self.queued, self._limits.total))
        elif self.trace is not None:
            for frame in frames:
                self.trace("to", frame)

    def put_now(self, data: bytes, *, command: bool) -> bool:
        """Send a frame, with its newline, if nothing waits before it; False if it has not been taken.

        Clients get news, and the others commands: what drivers snoop goes the usual way.
        """
        link = self.link
        if (
            self.closed
            or command is not self._is_commanded
            or self._closing
            or self.trace is not None
            or not isinstance(link, DescriptorLink)
            or not self._queues.are_idle
            or not link.write_now(data)
        ):
            return False
        self._queues.sent += 1
        if command:
            self._queues.given += 1
            if link.unsent or self.role is Role.REMOTE:
                self.flush()
        return True

    def flush(self) -> None:
        """Send what the link takes now."""
        self.link.flush()
        if self._is_commanded and self._watchdog is None and (self.queued or self._on_the_way):
            self._progress = self._progress_now()
            self._looks_in_vain = 0
            # Whatever else it takes does not end that.
            self._is_busy = self._is_busy and bool(self.link.full_news or self.link.full_vectors)
            self._look_again()

    def hold_if_congested(self, sender: Peer) -> None:
        """Do not read this sender while more of its commands wait than are allowed."""
        if self._queues.has_too_many(sender.token):
            if sender.closed:
                self.sender_gone(sender)
            else:
                self.hold(sender)

    def hold(self, sender: Peer) -> None:
        """Stop reading this sender until there is room for more of its commands."""
        if sender not in self._holding and not self.closed and not sender.closed:
            self._holding.add(sender)
            sender.pause(self)

    def sender_gone(self, sender: Peer) -> None:
        """Note that a sender has gone: what waits of its commands stays, but nobody can be held for it any more."""
        if self._queues.sender_gone(sender.token):
            self.complain("backlog", "takes too little: commands of clients that have gone were dropped")

    def stop_holding(self, sender: Peer) -> None:
        """Forget a sender that has gone."""
        self._holding.discard(sender)

    def _let_go(self, senders: Iterable[Peer]) -> None:
        for sender in list(senders):
            self._holding.discard(sender)
            sender.resume(self)

    def pause(self, reason: object) -> None:
        """Stop reading its link until :meth:`resume` is called with the same reason."""
        self._held_by.add(reason)
        self.link.pause_reading()

    def resume(self, reason: object) -> None:
        """Drop a reason to pause; reading resumes when none is left."""
        self._held_by.discard(reason)
        if not self._held_by and not self.closed:
            self.link.resume_reading()

    def link_drained(self) -> None:
        """The link can take more."""
        self._queues.refill()
        self.link.flush()
        if self._holding:
            self._let_go(sender for sender in self._holding if not self._queues.has_too_many(sender.token))
        if self._closing:
            self._close_when_empty()
        elif left_out := self._queues.catch_up():
            logger.warning("%s was too slow: %d snooped elements were dropped", self.label, left_out)
            self._board.refresh(self)

    @property
    def _on_the_way(self) -> int:
        """Bytes for a server below that have not reached its machine: the system may repeat them for a quarter of an
        hour, and a command would be carried out when the line is up again."""
        return self.link.on_the_way if self.role is Role.REMOTE and isinstance(self.link, FramedLink) else 0

    def _progress_now(self) -> int:
        """A number that changes while the peer is alive.

        A server below may take nothing because one of its drivers takes nothing; what its other drivers send
        shows that the server itself is well. A driver that takes no commands while some of its vectors
        are full is busy with those it has, even if it takes news.
        """
        link = self.link
        if link.full_vectors:
            return self._queues.given
        if self.role is not Role.REMOTE:
            return link.bytes_sent
        # With TLS more is on the way than was written, so that writing alone would make this smaller.
        return max(self._progress, link.bytes_sent + link.bytes_received - self._on_the_way)

    def _watch(self) -> None:
        """Check, at least twice before a peer counts as hung, whether it has taken anything since the last check."""
        self._watchdog = None
        if self.closed or not (self.queued or self._on_the_way):
            self._is_busy = False
            return
        if self._progress_now() != self._progress:
            self.flush()
            return
        self._looks_in_vain += 1
        if self._looks_in_vain == 1:
            for sender in tuple(self._holding):  # this also tells a server above that this one is well
                self._tell(sender, "takes nothing at the moment: commands wait for it")
        elif self._looks_in_vain < self._looks:
            self._tell_servers()
        elif not self._hang_time or self.link.peer_paused or self.link.full_vectors or self.link.full_news:
            self._tell_busy()
        else:
            self._cut_hung()
            return
        self._look_again()

    def _look_again(self) -> None:
        self._watchdog = asyncio.get_running_loop().call_later(self._look_time, self._watch)

    def _cut_hung(self) -> None:
        logger.error("%s has taken nothing for %g seconds: hung", self.label, self._hang_time)
        text = f"{self.label} hangs: it has taken nothing for {self._hang_time:g} seconds"
        self._board.announce(text, about=self)
        if isinstance(self.link, FramedLink):
            self.link.drop_when_ended()
        waiting = self.queued + self._on_the_way
        self.cut(TimeoutError(f"it has taken nothing for {self._hang_time:g} seconds of {waiting} bytes"))

    def close(self) -> None:
        """Accept no more, send the backlog, then close the link."""
        if not self.closed:
            self._closing = True
            self._close_when_empty()

    def _close_when_empty(self) -> None:
        if not self._queues:
            self.link.close()

    def _tell_busy(self) -> None:
        """Report that a driver is busy instead of cutting it off, which could leave a roof half-way."""
        if not self._is_busy:
            self._is_busy = True
            senders = ", ".join(sorted(sender.label for sender in self._holding)) or "nobody"
            text = f"{self.label} is busy: it has taken nothing for {self._look_time * self._looks:g} seconds"
            logger.warning("%s; %d bytes wait for it; held up: %s", text, self.queued, senders)
            self._board.announce(text, about=self)
        self._tell_servers()

    def _tell_servers(self) -> None:
        """Reassure servers above, which would otherwise take this one for hung."""
        for sender in tuple(self._holding):
            if sender.role is Role.UPSTREAM:
                self._tell(sender, "is still busy")

    def _tell(self, sender: Peer, text: str) -> None:
        """Tell a sender whose commands wait; a restricted one without the label, which can name hidden devices."""
        who = "The driver of a device" if sender.rights.devices else self.label
        self._board.send(sender, encode(Message(None, f"{who} {text}")))

    def cut(self, error: Exception) -> None:
        """End the link at once and drop the backlog."""
        if not self.closed:
            if self.may_log():
                logger.warning("%s is cut off: %s", self.label, error)
            self.last_error = str(error)
            self._drop_what_waits()
            self.closed = True
            self.link.abort()

    def _drop_what_waits(self) -> None:
        """Free the backlog now: peer and link refer to each other, so it would stay until a garbage collection."""
        self._queues.clear()

    # Called by the link

    def frames_received(self, frames: list[Frame]) -> None:
        """Count, trace and route frames from the link."""
        self.received += len(frames)
        self._faults = 0
        if self.trace is not None:
            for frame in frames:
                self.trace("from", frame)
        if not self.closed:
            self._board.relay(self, frames)

    def _element_received(self, address: Address, data: bytes) -> bool:
        """Relay one element in few steps if that is possible: it saves a fifth of the time of most elements."""
        if self.closed or self.trace is not None or not self._board.pass_on(self, address, data):
            return False
        self.received += 1
        self._faults = 0
        return True

    def fault_received(self, fault: RemoteProtocolError) -> None:
        """Something it sent was skipped; a client that keeps sending nothing else is cut off."""
        self.last_error = str(fault)
        if isinstance(fault, FrameTooLarge):
            return  # the link closes, with this as the reason
        self.complain("malformed", f"sent something that was skipped: {fault}")
        self._faults += 1
        if self._faults >= _FAULTS_IN_A_ROW and self.role is Role.CLIENT:
            self.cut(fault)

    def link_closed(self, error: Exception | None) -> None:
        """The link has ended: remove the peer, and with it its devices."""
        self.closed = True
        self._drop_what_waits()
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._let_go(self._holding)
        for receiver in self._held_by:
            if isinstance(receiver, Peer):
                receiver.stop_holding(self)
        self._held_by.clear()
        if error is not None:
            self.last_error = str(error)
        if isinstance(error, FrameTooLarge) and self.may_log():
            logger.error("%s is cut off: %s", self.label, error)
        if not self._stays:
            self._board.remove(self, error)
        if self._on_closed is not None:
            self._on_closed(error)


def put_for_all(frames: list[Frame], receivers: Iterable[Peer], touched: dict[Peer, None], source: Peer | None) -> None:
    """Queue frames for receivers; they are joined once for all receivers that get bytes."""
    if not frames:
        return
    shared: Batch | None = None
    for peer in receivers:
        if peer.in_process:
            peer.put(Batch(frames), frames, source)
        else:
            if shared is None:
                shared = Batch(frames, sealed=True)
            peer.put(shared, frames, source)
        touched[peer] = None


def tracer(log: logging.Logger, *, to: str, come: str) -> Callable[[str, Frame], None]:
    """A function for :attr:`Peer.trace` that logs elements at DEBUG, truncated.

    Args:
        log: The logger.
        to: The word for what goes to the peer: RX or TX, from the point of view of the user who debugs.
        come: The word for what comes from it.
    """

    def trace(direction: str, frame: Frame) -> None:
        if log.isEnabledFor(logging.DEBUG):
            start = frame.chunks[0][:2000].decode("utf-8", "replace")
            log.debug("%s:: %s", to if direction == "to" else come, start)

    return trace
