"""What all links that carry bytes share: the framer on the way in, the queue on the way out."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable
from typing import Final

from ..errors import LinkClosed, MalformedFrame
from ..protocol.frame import Batch, Frame
from ..protocol.framer import Framer, Limits
from .link import LOW_WATER, SLICE, Receiver
from .progress import ProgressWatch, UnfinishedTotal
from .sockets import drop_untaken, give_up_after, is_tcp, untaken

__all__ = ["FramedLink"]

_LOOK_TIME: Final = 1.0
"""Seconds between two checks whether the other end has gone, while reading is paused."""


class FramedLink:
    """A base for links over bytes; subclasses move the bytes.

    Args:
        label: Who is at the other end, for logs.
        limits: What the peer may send.
        lenient: The peer passes on what others send: what is beyond a limit is skipped, and does not end the link.

    Attributes:
        linger: How long to keep sending to a peer that has ended its sending side, in seconds after the last bytes
            from it: ``printf ... | nc`` wants its answers.  0: not at all.
        last_received: When these arrived, in the loop's time; kept only if `linger` is set.
        input_ended: Called when a peer has ended its sending side between two elements and may still be sent to;
            whoever sets it ends the link.  Without it, the link ends itself when `linger` is over.
        abandoned_after: Seconds after which the link ends if the other end has gone while reading is paused, and so
            its end is not seen; 0: it ends when reading goes on.
        left_within: Called with the framer when the link ends within an element although the input has not ended, for
            whoever goes on reading the same stream.
    """

    peer_paused: bool = False  # not known over bytes
    full_vectors: frozenset[tuple[str | None, str | None]] = frozenset()  # everything is one stream
    full_news: bool = False

    def __init__(self, label: str, limits: Limits | None = None, *, lenient: bool = False) -> None:
        self.label = label
        self.bytes_received = 0
        self._taken = 0
        self.unsent = 0
        self._receiver: Receiver | None = None
        self._framer = Framer(limits, lenient=lenient)
        self._out: deque[bytes | memoryview] = deque()
        self._above_water = False
        self._closing = False  # no more writes are taken
        self._ended = False  # link_closed has been called
        self._paused = False  # the user does not want to read now
        self._progress: ProgressWatch | None = None
        self.linger = 0.0
        self.last_received = 0.0
        self.input_ended: Callable[[], None] | None = None
        self.abandoned_after = 0.0
        self._looking: asyncio.TimerHandle | None = None  # whether the other end has gone
        self._dead_since: float | None = None
        self.left_within: Callable[[Framer], None] | None = None
        self._got_end = False  # the peer sends no more

    @property
    def bytes_sent(self) -> int:
        return self._taken

    @property
    def on_the_way(self) -> int:
        """Bytes that have left this process, and have not reached the other machine; 0 if the system does not tell."""
        with contextlib.suppress(OSError):  # it is closed
            if (sock := self._socket_used()) is not None and is_tcp(sock):
                return untaken(sock)
        return 0

    def give_up_after(self, seconds: float) -> None:
        """End if what is on the way does not arrive in this time, as far as the system can do that."""
        if (sock := self._socket_used()) is not None:
            give_up_after(sock, seconds)

    def drop_when_ended(self) -> None:
        """Have the system drop at the end what is on the way, instead of delivering it when the line is up again."""
        if (sock := self._socket_used()) is not None:
            drop_untaken(sock)

    def _socket_used(self) -> socket.socket | None:
        """The socket, if it has one and has not ended."""
        return None

    @property
    def unfinished(self) -> int:
        """Bytes of an element whose end has not arrived; 0 between elements."""
        return self._framer.unfinished

    @property
    def lingering(self) -> bool:
        """The peer sends no more; it is only sent to."""
        return self._got_end

    def is_dead(self) -> bool:
        """The peer is gone, but its link has not ended: reading is paused, and what it has sent must still be taken."""
        return False

    def _look_while_paused(self) -> None:
        """Check from time to time whether the other end has gone, until reading resumes."""
        if self.abandoned_after and self._looking is None and self._receiver is not None:
            self._dead_since = None
            self._looking = asyncio.get_running_loop().call_later(_LOOK_TIME, self._look_for_end)

    def _look_for_end(self) -> None:
        self._looking = None
        if not self._paused or self._ended:
            return
        loop = asyncio.get_running_loop()
        if not self.is_dead():
            self._dead_since = None
        elif self._dead_since is None:
            self._dead_since = loop.time()
        elif loop.time() - self._dead_since >= self.abandoned_after:
            text = f"{self.label}: the other end has gone, and nobody has taken its last elements"
            self._end(LinkClosed(f"{text} for {self.abandoned_after:g} seconds"))
            return
        self._looking = loop.call_later(_LOOK_TIME, self._look_for_end)

    def resume(self, framer: Framer) -> None:
        """Go on within an element; only before the link is opened.

        Args:
            framer: The framer of a link of the same kind that has read the stream so far.
        """
        self._framer = framer

    def demand_progress(self, patience: float, total: UnfinishedTotal | None = None) -> None:
        """End the link when an unfinished element does not grow as :class:`ProgressWatch` demands.

        Args:
            patience: Seconds in which it must end or grow; 0: no limit.
            total: What this link and others may hold open together.
        """
        if patience or total is not None:
            self._progress = ProgressWatch(patience, self._too_slow, total, self._give_up)

    def _too_slow(self, text: str) -> None:
        assert self._progress is not None
        if self._paused:  # by us: it may have grown without our reading that
            self._progress.start()
        else:
            self._give_up(text)

    def _give_up(self, text: str) -> None:
        if not self._ended:
            assert self._receiver is not None
            fault = MalformedFrame(text)
            self._receiver.fault_received(fault)
            self._end(fault)

    def write(self, batch: Batch) -> None:
        if self._closing or self._ended or not batch.size:
            return
        self._out += batch.buffers
        self.unsent += batch.size if batch.blob is None else self._weigh(batch)
        if self.unsent > LOW_WATER:
            self._above_water = True

    def _weigh(self, batch: Batch) -> int:
        """What a BLOB counts for until it is sent."""
        return batch.size

    def _received(self, data: bytes) -> None:
        """Frame received bytes and hand them on.  After a FrameTooLarge the link ends, unless it is lenient."""
        receiver = self._receiver
        assert receiver is not None
        framer = self._framer
        self.bytes_received += len(data)
        frames = framer.feed(data)
        finished = bool(frames)
        if finished:
            if framer.apart:
                self._hand_on_apart(frames)
            else:
                receiver.frames_received(frames)
        if framer.faults:
            faults, framer.faults = framer.faults, []
            for fault in faults:
                receiver.fault_received(fault)
            if framer.failed and not self._ended:
                self._end(framer.failed)
        if self._progress is not None and not self._ended:  # last, as it may end the link
            self._progress.received(self.bytes_received, framer.unfinished, finished)

    def _hand_on_apart(self, frames: list[Frame]) -> None:
        """Hand on frames in order, in more than one call."""
        raise NotImplementedError

    def _next_slice(self) -> list[bytes | memoryview]:
        """The buffers to write next: about SLICE bytes, still in the queue until they are `_sent`."""
        out = self._out
        if len(out) == 1 and len(out[0]) <= SLICE:
            return [out[0]]
        buffers: list[bytes | memoryview] = []
        room = SLICE
        for buffer in out:
            if len(buffer) > room:
                buffers.append(memoryview(buffer)[:room])
                break
            buffers.append(buffer)
            room -= len(buffer)
            if not room or len(buffers) == 64:
                break
        return buffers

    def _sent(self, count: int) -> None:
        """Take this many bytes off the queue."""
        self._taken += count
        self.unsent -= count
        out = self._out
        while count:
            size = len(out[0])
            if count < size:
                out[0] = memoryview(out[0])[count:]
                return
            count -= size
            out.popleft()

    def _tell_drained(self) -> None:
        if self._above_water and self.unsent <= LOW_WATER and not self._ended:
            self._above_water = False
            if self._receiver is not None:
                self._receiver.link_drained()

    def _end(self, error: Exception | None) -> None:
        """Release everything and tell the receiver, once."""
        if self._ended:
            return
        self._ended = True
        if error is not None:  # whoever keeps it keeps none of the frames of its traceback
            error = error.with_traceback(None)
        self._drop_queue()
        if self._progress is not None:
            self._progress.stop()
        if self._looking is not None:
            self._looking.cancel()
        self._release()
        framer, self._framer = self._framer, Framer()  # it may hold half a BLOB
        if error is None and self.left_within is not None and framer.is_within and not framer.failed:
            self.left_within(framer)
        if self._receiver is not None:
            self._receiver.link_closed(error)

    def _drop_queue(self) -> None:
        self._out.clear()
        self.unsent = 0

    def _release(self) -> None:
        """Release the descriptors or the transport."""
        raise NotImplementedError
