"""Two linked ends in one process: frames are passed by reference, never as bytes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection

from ..protocol.frame import Batch, Frame
from .link import LOW_WATER, SLICE, Receiver

__all__ = ["MemoryLink", "memory_pair"]


def memory_pair(label_a: str, label_b: str) -> tuple[MemoryLink, MemoryLink]:
    """Two links, each the other end of the other.

    Args:
        label_a: What logs of the first end call its peer, the user of the second end.
        label_b: The same for the second end.
    """
    a, b = _End(), _End()
    a.other, b.other = b, a
    return MemoryLink(label_a, a, b), MemoryLink(label_b, b, a)


class _End:
    """One end, as both links know it.

    Attributes:
        other: The other end.
        receiver: The receiver of this end's link.
        loop: The event loop in which the receiver is called.
        inbox: Batches written by the other end and not yet delivered here.
        inbox_size: Bytes in it.
        bytes_received: Bytes delivered here.
        paused: Nothing is to be delivered.
        full_vectors: The vectors, by device and name, for which the other end has to hold its commands.
        full_news: The other end has to hold its news.
        writer_waits: The inbox has been above LOW_WATER, so the other end waits for ``link_drained``.
        closing: No more is written or read; it ends when the other end has taken the rest.
        ending: The other end has closed: the rest is delivered, then this one ends.
        ended: It has ended.
    """

    __slots__ = (
        "_is_scheduled",
        "bytes_received",
        "closing",
        "ended",
        "ending",
        "full_news",
        "full_vectors",
        "inbox",
        "inbox_size",
        "loop",
        "other",
        "paused",
        "receiver",
        "writer_waits",
    )
    other: _End

    def __init__(self) -> None:
        self.receiver: Receiver | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.inbox: deque[Batch] = deque()
        self.inbox_size = 0
        self.bytes_received = 0
        self.paused = False
        self.full_vectors: set[tuple[str | None, str | None]] = set()
        self.full_news = False
        self.writer_waits = False
        self.closing = False
        self.ending = False
        self.ended = False
        self._is_scheduled = False

    def empty(self) -> None:
        """Drop what has not been delivered."""
        self.inbox.clear()
        self.inbox_size = 0

    def schedule(self) -> None:
        """Deliver the inbox, from the next turn of the event loop on."""
        if self.loop is not None and not self._is_scheduled and not self.ended and (self.inbox or self.ending):
            self._is_scheduled = True
            self.loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        """Deliver a part of the inbox: if the receiver pauses the link, the rest still counts as unsent."""
        self._is_scheduled = False
        if self.ended or self.closing:
            if self.ending:
                self.end_soon()
            return
        if self.inbox and not self.paused:
            assert self.receiver is not None
            self.receiver.frames_received(self._portion())
            if self.writer_waits and self.inbox_size <= LOW_WATER:
                self.writer_waits = False
                if self.other.receiver is not None and not self.other.ended:
                    self.other.receiver.link_drained()
        if self.ending and not self.inbox:
            self.end_soon()
        elif not self.paused:
            self.schedule()

    def _portion(self) -> list[Frame]:
        """The frames of the next SLICE, and at least one batch."""
        inbox = self.inbox
        batch = inbox.popleft()
        frames, size = list(batch.frames), batch.size
        while inbox and size + inbox[0].size <= SLICE:
            batch = inbox.popleft()
            frames += batch.frames
            size += batch.size
        self.inbox_size -= size
        self.bytes_received += size
        return frames

    def tell_drained(self) -> None:
        """Tell the other end that it may write what it holds."""
        other = self.other
        if other.receiver is not None and not other.ended and self.inbox_size <= LOW_WATER:
            other.receiver.link_drained()

    def end_soon(self) -> None:
        """Deliver nothing more, and tell the receiver in the next turn of the event loop."""
        if not self.ended:
            self.ended = True
            self.empty()
            if self.loop is not None:
                self.loop.call_soon(self.tell_closed)
            if self.other.closing:
                self.other.end_soon()

    def tell_closed(self) -> None:
        """Tell the receiver, if there is one, that the link has ended."""
        if self.receiver is not None:
            self.receiver.link_closed(None)


class MemoryLink:
    """One of two links.  What is written here is delivered at the other end from the next loop turn on."""

    def __init__(self, label: str, here: _End, there: _End) -> None:
        self.label = label
        self._here = here
        self._there = there
        self._written = 0

    @property
    def unsent(self) -> int:
        return self._there.inbox_size

    @property
    def peer_paused(self) -> bool:
        return self._there.paused

    @property
    def full_vectors(self) -> Collection[tuple[str | None, str | None]]:
        return self._there.full_vectors

    @property
    def full_news(self) -> bool:
        return self._there.full_news

    @property
    def bytes_received(self) -> int:
        return self._here.bytes_received

    @property
    def bytes_sent(self) -> int:
        return self._written - self._there.inbox_size

    def open(self, receiver: Receiver) -> None:
        here = self._here
        here.receiver = receiver
        here.loop = asyncio.get_running_loop()
        if here.ended:  # it was closed before it was opened
            here.loop.call_soon(here.tell_closed)
        here.schedule()

    def write(self, batch: Batch) -> None:
        here, there = self._here, self._there
        if here.closing or here.ended or here.ending or there.ended or not batch.size:
            return
        there.inbox.append(batch)
        there.inbox_size += batch.size
        self._written += batch.size
        if there.inbox_size > LOW_WATER:
            there.writer_waits = True

    def flush(self) -> None:
        self._there.schedule()

    def pause_reading(self) -> None:
        self._here.paused = True

    def resume_reading(self) -> None:
        self._here.paused = False
        self._here.schedule()

    def set_full(self, device: str | None, name: str | None, is_full: bool) -> None:
        """Ask the other end to hold commands for this vector, or to send them again.

        What has already been written is delivered, and so is everything else, unless reading is paused.
        """
        here = self._here
        if is_full:
            here.full_vectors.add((device, name))
        elif (device, name) in here.full_vectors:
            here.full_vectors.discard((device, name))
            if here.loop is not None:
                here.loop.call_soon(here.tell_drained)

    def set_full_of_news(self, is_full: bool) -> None:
        """The same for all news, which is everything but commands and requests."""
        here = self._here
        had_room, here.full_news = not here.full_news, is_full
        if not (is_full or had_room) and here.loop is not None:
            here.loop.call_soon(here.tell_drained)

    def close(self) -> None:
        here, there = self._here, self._there
        if here.ended or here.closing:
            return
        here.closing = there.ending = True
        here.empty()
        there.schedule()
        if not there.inbox or there.loop is None:  # nothing waits, or there is nobody to take it
            here.end_soon()

    def abort(self) -> None:
        if not self._here.ended:
            self._written -= self._there.inbox_size
            self._there.empty()
            self.close()
            self._here.end_soon()
