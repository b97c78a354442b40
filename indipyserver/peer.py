"""One peer: a link, what waits for it, and what it is interested in."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, Protocol

from indipydriver.errors import FrameTooLarge, RemoteProtocolError, SlowPeer
from indipydriver.protocol.frame import Batch, Frame
from indipydriver.protocol.tags import Verb
from indipydriver.transport.attached import PassingLink
from indipydriver.transport.descriptor import DescriptorLink
from indipydriver.transport.link import LOW_WATER, Link

from .outbox import Outbox, OutboxLimits, Verdict
from .party import Delivery, Party, Role

__all__ = ["HANG_TIME", "Peer", "tracer"]

logger = logging.getLogger("indipyserver.ipyserver")

HANG_TIME: Final = 30.0
"""Seconds after which a driver that takes nothing of what waits for it is declared hung."""
_FAULTS_IN_A_ROW: Final = 32
_DATA = (Verb.DEF, Verb.SET, Verb.DELETE, Verb.MESSAGE)


class Board(Protocol):
    """What a peer needs of the switchboard."""

    def process(self, source: Peer, frames: list[Frame]) -> None:
        """Frames have come from this peer."""

    def remove(self, peer: Peer, error: Exception | None) -> None:
        """Its link has ended."""

    def refresh(self, peer: Peer) -> None:
        """Some of what it snoops on did not reach it."""

    def announce(self, text: str) -> None:
        """A message for everybody."""


class Peer(Party):
    """A party with a link.

    Args:
        board: Brings the frames of all peers together.
        link: How frames get there and back.
        role: What the peer is to this server.
        limits: How much may wait for it.
        label: Who it is, for logs and messages; by default the link's.
        on_closed: Called when the link has ended and the peer is detached, with the reason.
        in_process: The link carries frames and not bytes.
        hang_time: Seconds without progress after which a driver is cut off; 0: never.
        stays: The peer is not removed when its link ends; whoever made it does that, with a reason.
        only_device: See :class:`Party`.
        takes_blobs: See :class:`Party`.

    Attributes:
        received: Frames that came from it.
        sent: Frames that were queued for it.
        dropped: Frames that were not queued for it, or replaced, as it was too slow.
        since: When it came, in seconds since the epoch.
        last_error: The last thing that went wrong with it, or "".
        deferred: What it has sent and waits until a BLOB before it has been encoded; the switchboard's.
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
        self.sent = 0
        self.dropped = 0
        self.since = time.time()
        self.last_error = ""
        self.deferred: list[Delivery] | None = None
        self.takes_descriptors = role is Role.CLIENT and isinstance(link, PassingLink)
        self.trace: Callable[[str, Frame], None] | None = None
        self.closed = False
        self._board = board
        self._limits = limits
        self._on_closed = on_closed
        self._stays = stays
        self._outbox = Outbox(limits.total if role is Role.CLIENT else limits.snoop, limits.stream)
        self._commands: Outbox | None = None if role is Role.CLIENT else Outbox(1 << 62)
        self._hang_time = hang_time
        self._watchdog: asyncio.TimerHandle | None = None
        self._taken = 0  # what it had taken when the watchdog last looked
        self._holding: set[Peer] = set()  # senders of commands that are not read until it has taken some
        self._held_by: set[object] = set()
        self._left_out = 0  # snooped frames it did not get since it fell behind
        self._faults = 0  # in a row

    def is_a_server(self) -> None:
        """Its devices have to go as soon as it does: it may be back at once."""
        super().is_a_server()
        if isinstance(self.link, DescriptorLink):
            self.link.linger = 0.0

    # Sending

    @property
    def queued(self) -> int:
        """Bytes that wait for it, in the outbox and in the link."""
        waiting = self._outbox.queued + self.link.unsent
        return waiting if self._commands is None else waiting + self._commands.queued

    def put(self, batch: Batch, frames: list[Frame]) -> None:
        """Queue frames; the switchboard flushes.

        Args:
            batch: The frames, which may be sealed.
            frames: The same frames.
        """
        if self.closed:
            return
        if self.trace is not None:
            for frame in frames:
                self.trace("to", frame)
        first, count = frames[0], len(frames)
        link = self.link
        commands = self._commands
        if commands is None:
            if not self._outbox and link.unsent <= LOW_WATER:
                link.write(batch)
            else:
                self._queue(self._outbox, batch, count)
        elif first.address.tag.verb in _DATA:
            if self._left_out:
                self._left_out += count
                self.dropped += count
                return
            self._queue(self._outbox, batch, count)
        elif not commands and link.unsent <= LOW_WATER:
            link.write(batch)
        else:
            commands.put(batch)
        self.sent += count

    def _queue(self, outbox: Outbox, batch: Batch, count: int) -> None:
        if self._commands is not None and not outbox and self.link.unsent <= LOW_WATER:
            self.link.write(batch)
            return
        verdict = outbox.put(batch, self.link.unsent)
        if verdict is Verdict.REPLACED:
            self.dropped += 1
        elif verdict is Verdict.OVERFLOW:
            self.dropped += count
            if self._commands is None:
                self.cut(SlowPeer(self.label, self.queued, self._limits.total))
            else:
                self._left_out = count

    def flush(self) -> None:
        """Send what the link takes now."""
        self.link.flush()
        if self._commands is not None and self._watchdog is None and self._hang_time and self.queued:
            self._taken = self.link.bytes_sent
            self._watchdog = asyncio.get_running_loop().call_later(self._hang_time, self._watch)

    @property
    def congested(self) -> bool:
        """More commands wait than are allowed."""
        # Of less than LOW_WATER the link never says that it has been taken.
        limit = max(self._limits.commands, LOW_WATER)
        return self._commands is not None and self._commands.queued + self.link.unsent > limit

    def hold(self, sender: Peer) -> None:
        """Do not read this sender until there is room for more commands."""
        if sender not in self._holding and not self.closed and not sender.closed:
            self._holding.add(sender)
            sender.pause(self)

    def _let_go(self) -> None:
        for sender in self._holding:
            sender.resume(self)
        self._holding.clear()

    def pause(self, reason: object) -> None:
        """Read no more of what it sends until :meth:`resume` is called with the same reason."""
        self._held_by.add(reason)
        self.link.pause_reading()

    def resume(self, reason: object) -> None:
        """This reason is gone; with the last one, reading goes on."""
        self._held_by.discard(reason)
        if not self._held_by and not self.closed:
            self.link.resume_reading()

    def link_drained(self) -> None:
        """The link asks for more."""
        link = self.link
        while link.unsent <= LOW_WATER:
            batch = (self._commands.pop() if self._commands is not None else None) or self._outbox.pop()
            if batch is None:
                break
            link.write(batch)
        link.flush()
        if self._holding and not self.congested:
            self._let_go()
        if self._left_out and not self._outbox:
            logger.warning("%s was too slow: %d snooped elements were left out", self.label, self._left_out)
            self._left_out = 0
            self._board.refresh(self)

    def _watch(self) -> None:
        """Has it taken anything since the last look?"""
        self._watchdog = None
        if self.closed or not self.queued:
            return
        if self.link.bytes_sent == self._taken:
            logger.error("%s has taken nothing for %g seconds: hung", self.label, self._hang_time)
            self._board.announce(f"{self.label} hangs: it has taken nothing for {self._hang_time:g} seconds")
            self.cut(SlowPeer(self.label, self.queued, self._limits.commands))
        else:
            self.flush()

    def cut(self, error: Exception) -> None:
        """End the link at once, dropping what waits."""
        if not self.closed:
            logger.warning("%s is cut off: %s", self.label, error)
            self.last_error = str(error)
            self._outbox.clear()
            if self._commands is not None:
                self._commands.clear()
            self.closed = True
            self.link.abort()

    # Called by the link

    def frames_received(self, frames: list[Frame]) -> None:
        """Frames have come in."""
        self.received += len(frames)
        self._faults = 0
        if self.trace is not None:
            for frame in frames:
                self.trace("from", frame)
        if not self.closed:
            self._board.process(self, frames)

    def fault_received(self, fault: RemoteProtocolError) -> None:
        """Something it sent was skipped; a client that sends nothing else is cut off."""
        self.last_error = str(fault)
        if isinstance(fault, FrameTooLarge):
            return  # the link closes, with this as the reason
        self.complain("malformed", f"sent something that was skipped: {fault}")
        self._faults += 1
        if self._faults >= _FAULTS_IN_A_ROW and self.role is Role.CLIENT:
            self.cut(fault)

    def link_closed(self, error: Exception | None) -> None:
        """The link has ended: the peer goes, and with it what it owned."""
        self.closed = True
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._let_go()
        for receiver in self._held_by:
            if isinstance(receiver, Peer):
                receiver._holding.discard(self)
        self._held_by.clear()
        if error is not None:
            self.last_error = str(error)
        if isinstance(error, FrameTooLarge):
            logger.error("%s is cut off: %s", self.label, error)
        if not self._stays:
            self._board.remove(self, error)
        if self._on_closed is not None:
            self._on_closed(error)


def tracer(log: logging.Logger, *, to: str, come: str) -> Callable[[str, Frame], None]:
    """For :attr:`Peer.trace`: logs the elements themselves at DEBUG, BLOBs cut.

    Args:
        log: Where.
        to: The word for what goes to the peer: RX or TX, as seen by the one who debugs.
        come: The word for what comes from it.
    """

    def trace(direction: str, frame: Frame) -> None:
        if log.isEnabledFor(logging.DEBUG):
            start = frame.chunks[0][:2000].decode("utf-8", "replace")
            log.debug("%s:: %s", to if direction == "to" else come, start)

    return trace
