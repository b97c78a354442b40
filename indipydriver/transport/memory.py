"""Two linked ends in one process: frames go by reference, never through bytes."""

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
        label_a: Who the user of the *second* end is, as the first end's peer is named in logs.
        label_b: Likewise for the second end.
    """
    a, b = MemoryLink(label_a), MemoryLink(label_b)
    a._other, b._other = b, a
    return a, b


class MemoryLink:
    """One end.  What is written here is delivered at the other end from the next loop turn on."""

    _other: MemoryLink

    def __init__(self, label: str) -> None:
        self.label = label
        self.bytes_received = 0
        self._written = 0
        self._receiver: Receiver | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._inbox: deque[Batch] = deque()  # written by the other end, not yet delivered here
        self._inbox_size = 0
        self._paused = False
        self._full_vectors: set[tuple[str | None, str | None]] = set()
        self._scheduled = False
        self._writer_waits = False  # the other end was above LOW_WATER
        self._closing = False  # no more is written or read; it ends when the other end has taken the rest
        self._ending = False  # the other end has closed: deliver the rest, then end
        self._ended = False

    @property
    def unsent(self) -> int:
        return self._other._inbox_size

    @property
    def peer_paused(self) -> bool:
        return self._other._paused

    @property
    def full_vectors(self) -> Collection[tuple[str | None, str | None]]:
        return self._other._full_vectors

    @property
    def bytes_sent(self) -> int:
        return self._written - self._other._inbox_size

    def open(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        if self._ended:  # it was closed before it was opened
            self._loop.call_soon(self._tell_closed)
        self._schedule()

    def write(self, batch: Batch) -> None:
        other = self._other
        if self._closing or self._ended or self._ending or other._ended or not batch.size:
            return
        other._inbox.append(batch)
        other._inbox_size += batch.size
        self._written += batch.size
        if other._inbox_size > LOW_WATER:
            other._writer_waits = True

    def flush(self) -> None:
        self._other._schedule()

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._schedule()

    def set_full(self, device: str | None, name: str | None, is_full: bool) -> None:
        """Ask the other end to keep commands for this vector to itself, or to go on.

        What has been written already is delivered, and so is all else: while reading is paused, nothing is.
        """
        if is_full:
            self._full_vectors.add((device, name))
        elif (device, name) in self._full_vectors:
            self._full_vectors.discard((device, name))
            if self._loop is not None:
                self._loop.call_soon(self._tell_drained)

    def _tell_drained(self) -> None:
        """The other end may go on; if it has commands, it writes them."""
        other = self._other
        if other._receiver is not None and not other._ended and self._inbox_size <= LOW_WATER:
            other._receiver.link_drained()

    def close(self) -> None:
        if self._ended or self._closing:
            return
        other = self._other
        self._closing = other._ending = True
        self._inbox.clear()
        self._inbox_size = 0
        other._schedule()
        if not other._inbox or other._loop is None:  # nothing waits, or there is nobody to take it
            self._end_soon()

    def abort(self) -> None:
        if not self._ended:
            other = self._other
            self._written -= other._inbox_size
            other._inbox.clear()
            other._inbox_size = 0
            self.close()
            self._end_soon()

    def _end_soon(self) -> None:
        if not self._ended:
            self._ended = True
            self._inbox.clear()
            self._inbox_size = 0
            if self._loop is not None:
                self._loop.call_soon(self._tell_closed)
            if self._other._closing:
                self._other._end_soon()

    def _tell_closed(self) -> None:
        if self._receiver is not None:
            self._receiver.link_closed(None)

    def _schedule(self) -> None:
        if self._loop is not None and not self._scheduled and not self._ended and (self._inbox or self._ending):
            self._scheduled = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        """Hand over some of what waits: a receiver that pauses the link keeps the rest at the writer's end."""
        self._scheduled = False
        if self._ended or self._closing:
            if self._ending:
                self._end_soon()
            return
        if self._inbox and not self._paused:
            assert self._receiver is not None
            self._receiver.frames_received(self._portion())
            if self._writer_waits and self._inbox_size <= LOW_WATER:
                self._writer_waits = False
                if self._other._receiver is not None and not self._other._ended:
                    self._other._receiver.link_drained()
        if self._ending and not self._inbox:
            self._end_soon()
        elif not self._paused:
            self._schedule()

    def _portion(self) -> list[Frame]:
        """The frames of the next SLICE, and at least one batch."""
        inbox = self._inbox
        batch = inbox.popleft()
        frames, size = list(batch.frames), batch.size
        while inbox and size + inbox[0].size <= SLICE:
            batch = inbox.popleft()
            frames += batch.frames
            size += batch.size
        self._inbox_size -= size
        self.bytes_received += size
        return frames
