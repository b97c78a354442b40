"""What is on its way to one peer: what waits for it, and what goes next.  Sans-I/O.

A client has one queue.  A driver, or a server below, has one for what it snoops and one for each sender of commands:
none of them must hold up another.
"""

from __future__ import annotations

from typing import Final, Protocol

from indipydriver.protocol.frame import Address, Batch, Frame
from indipydriver.protocol.tags import Verb

from .fairqueue import FairQueue, HasFullVectors
from .outbox import Outbox, OutboxLimits, Verdict

__all__ = ["Queues", "Way"]

_NEWS: Final = (Verb.DEF, Verb.SET, Verb.DELETE, Verb.MESSAGE)
_MAX_DELETIONS: Final = 10_000  # kept for a driver that is behind with what it snoops
_SENDERS: Final = 16
"""What all senders of commands together may have waiting, in parts of what one may have."""


class Way(HasFullVectors, Protocol):
    """What the queues need of the link that they lead to."""

    @property
    def unsent(self) -> int:
        """Bytes that it has been given and that have not left this process."""

    def write(self, batch: Batch) -> None:
        """It is given this."""


class Queues:
    """Gives a link as much as it takes, and keeps the rest in order.

    Args:
        way: The link.
        limits: How much may wait.
        low_water: When no more bytes than this are unsent, the link is given more.
        for_client: There are no commands for it, and nothing is left out: what is too much ends it.
        seal: What is put here is bytes, and not to be taken apart again.

    Attributes:
        sent: Frames that were given to the link, or wait.
        dropped: Frames that were not, or were replaced.
        given: Batches of commands that the link has been given.
        too_slow: More waits for a client than is allowed.
        left_out: Snooped frames that were dropped since it fell behind.
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
        # Of less than `low_water` the link never says that it has been taken.
        self._most_commands = max(limits.commands, low_water)
        self._news = Outbox(limits.total if for_client else limits.snoop, limits.stream)
        self._commands: FairQueue | None = None if for_client else FairQueue(way, seal=seal)
        self._news_first = False
        self._behind = False  # with what it snoops: it gets no more of that until it has taken what waits
        self._deletions: set[Address] = set()  # those that were kept since then

    def __bool__(self) -> bool:
        """Something waits here."""
        return bool(self._news or self._commands)

    @property
    def queued(self) -> int:
        """Bytes that wait, here and in the link."""
        waiting = self._news.queued + self._way.unsent
        return waiting if self._commands is None else waiting + self._commands.queued

    def has_too_many(self, sender: object) -> bool:
        """More commands of this sender wait than are allowed, or some do and those of all are too many."""
        if self._commands is None:
            return False
        own, most = self._commands.of(sender), self._most_commands
        for_all = self._commands.modes_queued + self._way.unsent
        return own + for_all > most or (own > 0 and self._commands.memory > _SENDERS * most)

    def put(self, batch: Batch, frames: list[Frame], sender: object = None) -> bool:
        """Give it to the link if nothing is before it, or else keep it.

        Args:
            batch: The frames, which may be sealed.
            frames: The same frames: either all commands and requests, or all news.
            sender: Who commands or requests; None: this server.

        Returns:
            False if it is left out, or is too much; see `too_slow`.
        """
        way, commands = self._way, self._commands
        if commands is None or frames[0].address.tag.verb in _NEWS:
            if self._behind:
                self._leave_out(frames)
                return False
            if not self._news and way.unsent <= self._low_water:
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
        """Give the link as much as it takes, of vectors too that have room again.

        Commands and news take turns, so that no flood of one keeps the other back.
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
        """It has taken all that waited: from now on it gets what it snoops again.

        Returns:
            How many frames it has not had, if it was behind and is no more.
        """
        if not self._behind or self._news:
            return 0
        left_out, self.left_out = self.left_out, 0
        self._behind = False
        self._deletions.clear()
        return left_out

    def clear(self) -> None:
        """Drop all."""
        self._news.clear()
        if self._commands is not None:
            self._commands.clear()

    def _next(self) -> Batch | None:
        commands = self._commands
        if not commands:
            return self._news.pop()
        self._news_first = not self._news_first
        batch = self._news.pop() if self._news_first else None
        if batch is None:
            batch = commands.pop()
            if batch is None:
                return self._news.pop()
            self.given += 1
        return batch

    def _keep_news(self, batch: Batch, frames: list[Frame]) -> bool:
        verdict = self._news.put(batch, self._way.unsent)
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
        """Drop news for a driver that is behind, except deletions: nobody answers for what is gone."""
        self._behind = True
        deletions = [frame for frame in frames if self._is_new_deletion(frame)]
        self.left_out += len(frames) - len(deletions)
        self.dropped += len(frames) - len(deletions)
        if deletions:
            self._news.put(Batch(deletions, sealed=self._seal), always=True)
            self.sent += len(deletions)

    def _is_new_deletion(self, frame: Frame) -> bool:
        """It says that something is gone, for the first time since the driver fell behind."""
        kept = self._deletions
        if frame.address.tag.verb is not Verb.DELETE or frame.address in kept or len(kept) >= _MAX_DELETIONS:
            return False
        kept.add(frame.address)
        return True
