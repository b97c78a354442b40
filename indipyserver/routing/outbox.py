"""A queue to one peer, and what happens when it is full.  Sans-I/O."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from indipydriver.protocol.frame import Batch

__all__ = ["MIB", "Outbox", "OutboxLimits", "Verdict"]

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """How much may be queued for one peer, in bytes.

    Attributes:
        total: For a client or a server above: beyond it the peer is cut off (indiserver's ``-m``).
        stream: When more than this is queued, a newer frame of a video stream replaces the older one
            that is still queued (indiserver's ``-d``); 0: never.
        commands: For a driver: beyond it the senders of commands are not read.
        snoop: For a driver: beyond it snooped news is dropped until the driver has taken the backlog.
    """

    total: int = 128 * MIB
    stream: int = 5 * MIB
    commands: int = 1 * MIB
    snoop: int = 8 * MIB


_SMALL_BATCH: Final = 4096
_TAIL: Final = 64 << 10
_MANY: Final = 64


class Verdict(Enum):
    """What became of a batch."""

    QUEUED = auto()
    REPLACED = auto()
    """Queued in place of an older frame of the same stream."""
    OVERFLOW = auto()
    """Not queued: the limit had already been exceeded."""


class _Entry:
    """Something in the queue.

    Attributes:
        batch: The batch, or None if a newer frame has replaced it.
        count: The frames in it.
    """

    __slots__ = ("batch", "count")

    def __init__(self, batch: Batch, count: int) -> None:
        self.batch: Batch | None = batch
        self.count = count


class Outbox:
    """First in, first out; only the frames of a stream may be replaced.

    Small sealed batches are joined while they are queued: a separate Batch for each message of 300
    bytes would take twice the memory that is accounted for.

    Attributes:
        queued: The backlog in bytes, with the files of attached BLOBs.
        count: The frames in it.
    """

    __slots__ = (
        "_empty",
        "_entries",
        "_stream_limit",
        "_streams",
        "_tail",
        "_tail_count",
        "_total",
        "count",
        "queued",
    )

    def __init__(self, total: int, stream_limit: int = 0) -> None:
        self.queued = 0
        self.count = 0
        self._total = total
        self._stream_limit = stream_limit
        self._entries: deque[_Entry] = deque()
        self._empty = 0  # entries whose frames were replaced
        self._tail = bytearray()  # small batches at the end of the queue, joined
        self._tail_count = 0  # their frames
        self._streams: dict[tuple[str | None, str | None], _Entry] = {}

    def __bool__(self) -> bool:
        return self.queued > 0

    def put(self, batch: Batch, in_link: int = 0, *, always: bool = False, count: int = 1) -> Verdict:
        """Add to the end.

        Args:
            batch: What to add; one batch may exceed the limit, and the next one overflows.
            in_link: Bytes that have left the outbox but not this process.
            always: Add it even when the limit has been exceeded.
            count: The frames in it.

        Returns:
            What became of it; after OVERFLOW the outbox is unchanged.
        """
        waiting = self.queued + in_link
        verdict = Verdict.QUEUED
        frame = batch.blob
        stream = (frame.device, frame.name) if self._stream_limit and frame is not None and frame.is_stream else None
        older: _Entry | None = None
        if stream is not None:
            older = self._streams.get(stream)
            if older is not None and older.batch is not None and waiting + batch.weight > self._stream_limit:
                waiting -= older.batch.weight
                verdict = Verdict.REPLACED
        if waiting > self._total and not always:
            return Verdict.OVERFLOW
        if verdict is Verdict.REPLACED:
            assert older is not None
            assert older.batch is not None
            self.queued -= older.batch.weight
            self.count -= older.count
            older.batch = None
            self._empty += 1
            if self._empty > max(_MANY, len(self._entries) // 2):
                self._entries = deque(each for each in self._entries if each.batch is not None)
                self._empty = 0
        self.queued += batch.weight
        self.count += count
        if batch.size < _SMALL_BATCH and not batch.frames and frame is None:
            self._tail += batch.buffers[0]
            self._tail_count += count
            if len(self._tail) >= _TAIL:
                self._close_tail()
        else:
            entry = _Entry(batch, count)
            if stream is not None:
                self._streams[stream] = entry
            self._close_tail()
            self._entries.append(entry)
        return verdict

    def _close_tail(self) -> None:
        if self._tail:
            self._entries.append(_Entry(Batch.of_bytes(bytes(self._tail)), self._tail_count))
            self._tail.clear()
            self._tail_count = 0

    def pop(self) -> Batch | None:
        """The first queued batch, or None."""
        entries = self._entries
        if not entries:
            self._close_tail()
        while entries:
            entry = entries.popleft()
            batch, entry.batch = entry.batch, None
            if batch is not None:
                self.queued -= batch.weight
                self.count -= entry.count
                blob = batch.blob
                if blob is not None and self._streams.get((blob.device, blob.name)) is entry:
                    del self._streams[blob.device, blob.name]
                return batch
            self._empty -= 1
            if not entries:
                self._close_tail()
        self._streams.clear()
        return None

    def clear(self) -> None:
        """Drop everything."""
        self._entries.clear()
        self._streams.clear()
        self._tail.clear()
        self._tail_count = 0
        self._empty = 0
        self.queued = 0
        self.count = 0
