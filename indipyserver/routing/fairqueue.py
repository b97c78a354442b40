"""The commands queued for one driver: a queue for each sender, served in turn.  Sans-I/O.

A sender that sends more than the driver takes delays only itself, never an abort from another one.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection
from typing import Final, Protocol, TypeAlias

from indipydriver.protocol.frame import Address, Batch, Frame
from indipydriver.protocol.tags import Verb

from .outbox import Outbox

__all__ = ["FairQueue", "HasFullVectors", "Vector"]

Vector: TypeAlias = tuple[str | None, str | None]
"""A device and the name of one of its properties."""

_ANY: Final = 1 << 62
_FLOW_BYTES: Final = 4096


class HasFullVectors(Protocol):
    """A link whose other end may take commands for some vectors but not for others."""

    @property
    def full_vectors(self) -> Collection[Vector]:
        """The vectors for which it takes no commands now."""


class FairQueue:
    """First in, first out for each sender and vector.

    Args:
        way: The link that the commands go to.
        seal: They go there as bytes: vectors are not told apart, and all commands of one sender stay in order.

    Attributes:
        queued: The backlog in bytes, with the files of attached BLOBs.
        modes_queued: The part of it that is enableBLOBs.
    """

    def __init__(self, way: HasFullVectors, *, seal: bool) -> None:
        self.queued = 0
        self.modes_queued = 0
        self._way = way
        self._seal = seal
        self._flows: dict[object, Outbox | _Flow] = {}  # by sender; none is empty
        # Senders with something that may go, or might at the last check; each is in line once.
        self._turns: OrderedDict[object, None] = OrderedDict()
        self._stopped: dict[object, _Flow] = {}  # senders with commands that wait for a full vector
        self._gone: set[object] = set()  # senders that have gone, of which something is queued
        # Which BLOBs are wanted depends on all senders together, so their enableBLOBs share one queue.  It keeps only
        # the newest for each property, so that repeated changes do not fill the memory.
        self._modes: dict[Address, Frame] = {}
        self._had_modes = False

    def __bool__(self) -> bool:
        return self.queued > 0

    @property
    def memory(self) -> int:
        """Approximate bytes of memory for everything queued, including the queues of senders that have gone."""
        return self.queued + len(self._flows) * _FLOW_BYTES

    def of(self, sender: object) -> int:
        """Bytes queued from this sender."""
        flow = self._flows.get(sender)
        return 0 if flow is None else flow.queued

    def put(self, sender: object, batch: Batch, frames: list[Frame]) -> int:
        """Add to the queue of a sender.

        Returns:
            How many frames were replaced.
        """
        if frames[0].address.tag.verb is Verb.ENABLE_BLOB:
            return self._put_modes(frames)
        self.queued += batch.weight
        flow = self._flows.get(sender)
        if flow is None:
            flow = self._flows[sender] = Outbox(_ANY) if self._seal else _Flow(self._way)
            self._turns[sender] = None
        elif isinstance(flow, _Flow) and not flow.may_go:
            self._turns[sender] = None
        flow.put(batch, count=len(frames))
        return 0

    def gone(self, sender: object, most: int) -> int:
        """Note that a sender has gone, and bound what is queued of those that have: nothing holds them any more.

        Args:
            sender: It sends nothing more.
            most: Approximate bytes of memory for what they have left, without the largest part, which is one upload.
                Beyond it, the largest parts are dropped, so that an abort is the last.

        Returns:
            How many frames were dropped.
        """
        if sender in self._flows:
            self._gone.add(sender)
        if self.memory <= most:
            return 0
        sizes = sorted((self._flows[each].queued + _FLOW_BYTES, number, each) for number, each in enumerate(self._gone))
        left = sum(size for size, *_ in sizes[:-1])
        dropped = 0
        while left > most:
            *_, each = sizes.pop()
            left -= sizes[-1][0]
            dropped += self._drop(each)
        return dropped

    def _drop(self, sender: object) -> int:
        flow = self._flows.pop(sender)
        self._turns.pop(sender, None)
        self._stopped.pop(sender, None)
        self._gone.discard(sender)
        self.queued -= flow.queued
        return flow.count

    def pop(self) -> Batch | None:
        """The next batch, or None if nothing may go."""
        if self._modes and not self._had_modes:
            self._had_modes = True
            return self._counted(self._pop_modes())
        self._had_modes = False
        turns = self._turns
        while turns:
            sender, _ = turns.popitem(last=False)
            flow = self._flows[sender]
            batch = flow.pop()
            if not flow.queued:
                del self._flows[sender]
                self._stopped.pop(sender, None)
                self._gone.discard(sender)
            elif isinstance(flow, Outbox) or flow.may_go:
                turns[sender] = None
            if isinstance(flow, _Flow) and flow.stopped:
                self._stopped[sender] = flow
            if batch is not None:
                return self._counted(batch)
        return self._counted(self._pop_modes())

    def look_again(self) -> None:
        """Note that full vectors may have room again."""
        for sender, flow in list(self._stopped.items()):
            could_go = flow.may_go
            flow.go_on()
            if flow.may_go and not could_go:
                self._turns[sender] = None
            if not flow.stopped:
                del self._stopped[sender]

    def clear(self) -> None:
        """Drop everything."""
        self._flows.clear()
        self._turns.clear()
        self._stopped.clear()
        self._gone.clear()
        self._modes.clear()
        self.queued = self.modes_queued = 0

    def _put_modes(self, frames: list[Frame]) -> int:
        before = len(self._modes) + len(frames)
        for frame in frames:
            older = self._modes.pop(frame.address, None)
            self._modes[frame.address] = frame
            more = frame.size - older.size if older is not None else Batch([frame]).size
            self.queued += more
            self.modes_queued += more
        return before - len(self._modes)

    def _pop_modes(self) -> Batch | None:
        if not self._modes:
            return None
        frames = list(self._modes.values())
        self._modes.clear()
        self.modes_queued = 0
        return Batch(frames, sealed=self._seal)

    def _counted(self, batch: Batch | None) -> Batch | None:
        if batch is not None:
            self.queued -= batch.weight
        return batch


class _Flow:
    """The commands of one sender for a driver in this process, which says for each vector whether it takes more.

    Attributes:
        count: The frames in it.
        queued: The backlog in bytes.
        stopped: The commands that wait for full vectors, by vector.
    """

    __slots__ = ("_frames", "_free", "_way", "count", "queued", "stopped")

    def __init__(self, way: HasFullVectors) -> None:
        self.count = 0
        self.queued = 0
        self.stopped: dict[Vector, deque[Frame]] = {}
        self._way = way
        self._frames: deque[Frame] = deque()
        self._free: deque[Vector] = deque()  # those in `stopped` that had room at the last check

    @property
    def may_go(self) -> bool:
        """Whether, as far as is known, some command need not wait for a full vector."""
        return bool(self._frames or self._free)

    def put(self, batch: Batch, *, count: int) -> None:
        self.count += count
        self.queued += batch.weight
        self._frames.extend(batch.frames)

    def go_on(self) -> None:
        """Check which vectors have room again."""
        full = self._way.full_vectors
        self._free = deque(vector for vector in self.stopped if vector not in full)

    def pop(self) -> Batch | None:
        """The next command; those for one vector stay in order."""
        frame = self._next()
        if frame is None:
            return None
        batch = Batch([frame])
        self.queued -= batch.weight
        self.count -= 1
        return batch

    def _next(self) -> Frame | None:
        stopped, full = self.stopped, self._way.full_vectors
        while self._free:
            vector = self._free[0]
            if vector in full:
                self._free.popleft()
                continue
            frames = stopped[vector]
            frame = frames.popleft()
            if not frames:
                del stopped[vector]
                self._free.popleft()
            return frame
        while self._frames:
            frame = self._frames.popleft()
            tag, device, name = frame.address
            vector = device, name
            if tag.verb is Verb.NEW and (vector in stopped or vector in full):
                stopped.setdefault(vector, deque()).append(frame)
            else:
                return frame
        return None
