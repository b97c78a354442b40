"""The queues to one peer, and what goes next.  Sans-I/O.

A client has one queue.  A driver or a server below has one for snooped news and one for each sender of commands, so
that none of them holds up another.
"""

from __future__ import annotations

from typing import Final, Protocol

from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Address, Batch, Frame
from indipydriver.protocol.messages import DelProperty
from indipydriver.protocol.tags import NEWS, Verb

from .fairqueue import FairQueue, HasFullVectors
from .outbox import Outbox, OutboxLimits, Verdict

__all__ = ["Queues", "Way"]

_MAX_DELETIONS: Final = 10_000
"""Deletions kept for a driver that is behind with snooped news. Of further ones only the devices are kept, as many
again: the driver is told that they are gone, and then what is left of them."""
_LONG_DELETION: Final = 4096  # bytes of a deletion kept as it is; of a longer one, only the names are kept
_SENDERS: Final = 16
"""How much all senders of commands together may have queued, and those that have gone, as a multiple of what one may
have."""


class Way(HasFullVectors, Protocol):
    """What the queues need of their link."""

    @property
    def full_news(self) -> bool:
        """Whether it takes no news now."""

    @property
    def unsent(self) -> int:
        """Bytes that it has been given and has not sent."""

    def write(self, batch: Batch) -> None:
        """Give it a batch to send."""


class Queues:
    """Gives a link as much as it takes, and queues the rest in order.

    Args:
        way: The link.
        limits: How much may wait.
        low_water: When no more bytes than this are unsent, the link is given more.
        for_client: The peer gets no commands, and no news is dropped: it is cut off if too much is queued.
        seal: Frames are queued as bytes, and not taken apart again.

    Attributes:
        sent: Frames given to the link, or queued.
        dropped: Frames dropped, or replaced by newer ones.
        given: Batches of commands given to the link.
        too_slow: More is queued for a client than is allowed.
        left_out: Snooped frames dropped since the peer fell behind.
    """

    def __init__(self, way: Way, limits: OutboxLimits, *, low_water: int, for_client: bool, seal: bool) -> None:
        self.sent = 0
        self.dropped = 0
        self.given = 0
        self.too_slow = False
        self.left_out = 0
        self._way = way
        self._low_water = low_water
        self._seal = seal
        # Below `low_water` the link does not report that something has been taken.
        self._most_commands = max(limits.commands, low_water)
        self._news = Outbox(limits.total if for_client else limits.snoop, limits.stream)
        self._commands: FairQueue | None = None if for_client else FairQueue(way, seal=seal)
        self._news_first = False
        self._behind = False  # with snooped news: it gets no more until it has taken the backlog
        self._deletions: set[Address] = set()  # kept since it fell behind

    def __bool__(self) -> bool:
        """Whether something is queued here."""
        return bool(self._news or self._commands)

    @property
    def are_idle(self) -> bool:
        """Whether nothing waits here."""
        return not self._news.queued and (self._commands is None or not self._commands.queued)

    @property
    def queued(self) -> int:
        """Bytes queued, here and in the link."""
        waiting = self._news.queued + self._way.unsent
        return waiting if self._commands is None else waiting + self._commands.queued

    @property
    def queued_news(self) -> int:
        """Frames of news queued here, without those that the link has been given."""
        return self._news.count

    @property
    def queued_commands(self) -> int:
        """Bytes of commands and requests queued here."""
        return 0 if self._commands is None else self._commands.queued

    def has_too_many(self, sender: object) -> bool:
        """Whether too many commands of this sender are queued, or any while those of all senders are too many."""
        if self._commands is None:
            return False
        own, most = self._commands.of(sender), self._most_commands
        for_all = self._commands.modes_queued + self._way.unsent
        return own + for_all > most or (own > 0 and self._commands.memory > _SENDERS * most)

    def sender_gone(self, sender: object) -> int:
        """Note that a sender of commands has gone; returns how many commands of such senders were dropped for that."""
        dropped = 0 if self._commands is None else self._commands.gone(sender, _SENDERS * self._most_commands)
        self.dropped += dropped
        return dropped

    def put(self, batch: Batch, frames: list[Frame], sender: object = None) -> bool:
        """Give frames to the link if nothing is queued before them; otherwise queue them.

        Args:
            batch: The frames, which may be sealed.
            frames: The same frames: either all are commands and requests, or all are news.
            sender: Who sent the commands or requests; None: this server.

        Returns:
            False if they were dropped, or exceed the limit; see `too_slow`.
        """
        way, commands = self._way, self._commands
        if commands is None or frames[0].address.tag.verb in NEWS:
            if self._behind:
                self._leave_out(frames)
                return False
            if not self._news.queued and way.unsent <= self._low_water and not way.full_news:
                way.write(batch)
            elif not self._keep_news(batch, frames):
                return False
        elif not commands and way.unsent <= self._low_water and not way.full_vectors:
            way.write(batch)
            self.given += 1
        else:
            self.dropped += commands.put(sender, batch, frames)
            self._give()
        self.sent += len(frames)
        return True

    def refill(self) -> None:
        """Give the link as much as it takes, including commands for vectors, and news, that have room again.

        Commands and news take turns, so that a flood of one does not hold up the other.
        """
        if self._commands is not None:
            self._commands.look_again()
        self._give()

    def _give(self) -> None:
        way = self._way
        while way.unsent <= self._low_water:
            batch = self._next()
            if batch is None:
                break
            way.write(batch)

    def catch_up(self) -> int:
        """Resume snooped news if the peer has taken the whole backlog of it.

        Returns:
            How many frames it has missed, if it was behind and no longer is; otherwise 0.
        """
        if not self._behind or self._news:
            return 0
        left_out, self.left_out = self.left_out, 0
        self._behind = False
        self._deletions.clear()
        return left_out

    def clear(self) -> None:
        """Drop everything."""
        self._news.clear()
        if self._commands is not None:
            self._commands.clear()

    def _next(self) -> Batch | None:
        commands = self._commands
        if not commands:
            return self._next_news()
        self._news_first = not self._news_first
        batch = self._next_news() if self._news_first else None
        if batch is None:
            batch = commands.pop()
            if batch is None:
                return self._next_news()
            self.given += 1
        return batch

    def _next_news(self) -> Batch | None:
        return None if self._way.full_news else self._news.pop()

    def _keep_news(self, batch: Batch, frames: list[Frame]) -> bool:
        verdict = self._news.put(batch, self._way.unsent, count=len(frames))
        if verdict is Verdict.REPLACED:
            self.dropped += 1
        elif verdict is Verdict.OVERFLOW:
            if self._commands is None:
                self.dropped += len(frames)
                self.too_slow = True
            else:
                self._leave_out(frames)
            return False
        return True

    def _leave_out(self, frames: list[Frame]) -> None:
        """Drop news for a driver that is behind, except deletions: what is gone cannot be requested again."""
        self._behind = True
        deletions = [deletion for frame in frames if (deletion := self._new_deletion(frame)) is not None]
        self.left_out += len(frames) - len(deletions)
        self.dropped += len(frames) - len(deletions)
        if deletions:
            self._news.put(Batch(deletions, sealed=self._seal), always=True, count=len(deletions))
            self.sent += len(deletions)

    def _new_deletion(self, frame: Frame) -> Frame | None:
        """What to keep of a frame: nothing, unless it is the first deletion of its subject in this backlog."""
        kept = self._deletions
        if frame.address.tag.verb is not Verb.DELETE or frame.address in kept:
            return None
        if len(kept) >= _MAX_DELETIONS:
            _, device, name = frame.address
            if name is not None:
                frame = encode(DelProperty(device))
            if frame.address in kept or len(kept) >= 2 * _MAX_DELETIONS:
                return None
            if name is not None:
                self.left_out += 1  # what is left of the device
        kept.add(frame.address)
        return _without_padding(frame)


def _without_padding(deletion: Frame) -> Frame:
    """The deletion in few bytes: others may have written a megabyte of blanks or a long message into it."""
    if deletion.size <= _LONG_DELETION:
        return deletion
    _, device, name = deletion.address
    return encode(DelProperty(device, name))
