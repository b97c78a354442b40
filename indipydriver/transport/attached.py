"""Links over local sockets that pass BLOBs as file descriptors.

A libindi driver whose standard output is an AF_UNIX socket does not encode its BLOBs: a descriptor of a memory file
with the bytes arrives with the element (SCM_RIGHTS).  Clients on a local socket may get the same descriptor; for all
others the bytes are encoded, once.
Observed with libindi 1.9.9: descriptors arrive in the order of their elements, after the first byte of the element and
no later than its end, at most 16 in one message.

Only this order tells which descriptor belongs to which element.  A BLOB that is merely malformed is dropped with its
own descriptors; but if these cannot be identified, the link ends, because later images could be mixed up.

A server that passes on what its clients send is not to blame for that: indiserver puts the data of any ``oneBLOB`` into
a file, even in elements that INDI does not know, and leaves a misplaced ``attached`` as it is.  It sends each element
on its own, so the descriptors of each are known, and extra, missing or unreadable ones concern that element only.
What is beyond a limit is skipped, with its descriptors.
"""

from __future__ import annotations

import array
import errno
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from ..errors import MalformedFrame
from ..protocol.blobs import BlobCollector, BlobHook, HookedFramer
from ..protocol.blobtags import is_attached
from ..protocol.frame import Address, Batch, BlobFrame, Frame
from ..protocol.framer import Framer, Limits
from ..protocol.texts import excerpt
from .descriptor import DescriptorLink
from .memoryfile import (
    MAX_DESCRIPTORS,
    AttachedFrame,
    Descriptor,
    Tagged,
    attached_members,
    is_in_memory,
    length_in_base64,
    length_of_file,
    told_length,
)
from .sockets import all_is_taken

__all__ = ["MAX_DESCRIPTORS", "MAX_IN_FLIGHT", "MAX_WAITING_DESCRIPTORS", "AttachedFrame", "Descriptor", "PassingLink"]

MAX_WAITING_DESCRIPTORS: Final = 4 * MAX_DESCRIPTORS
"""Descriptors of one peer whose element has not ended: one per member, more than any camera has."""


MAX_IN_FLIGHT: Final = 32 << 20
"""Bytes in files sent to a peer and not yet read by it; at this number, no more are sent.  The kernel keeps the files
alive, some 200 for each socket, and no longer passes descriptors when one user has more of them in flight than
a process may open (usually 1024): a few clients that do not read would stop all cameras."""


_TRUNCATED: Final = int(getattr(socket, "MSG_CTRUNC", 0))  # each use of the enumeration would take a microsecond


class _CountingCollector(BlobCollector):
    """A collector that counts the descriptors of its element, even if the element will be dropped."""

    takes_descriptors = True

    def __init__(self, tag: bytes, start_tag: bytes, limits: Limits) -> None:
        super().__init__(tag, start_tag, limits)
        self.attached = 0
        self.broken = False  # something unreadable in it may have been an attached member

    def _note_tag(self, tag: bytes, name: bytes, begin: int, end: int) -> None:
        if name == b"oneBLOB" and is_attached(tag):
            self.attached += 1
        super()._note_tag(tag, name, begin, end)

    def _no_tag(self, data: bytes, first: int, begin: int) -> int:
        end = super()._no_tag(data, first, begin)
        if end >= 0:
            self.broken = True
        return end

    def _unfinished(self, data: bytes, first: int, begin: int) -> None:
        self.broken = True
        super()._unfinished(data, first, begin)


class _Descriptors(BlobHook):
    """Assigns received descriptors to the BLOBs that they belong to.

    Attributes:
        waiting: Descriptors whose element has not ended, each with the stream offset by which it had arrived.
        fed: Bytes of the stream that have been given to the framer.
        gave: The last bytes fed have completed an element with descriptors.
    """

    def __init__(self) -> None:
        self.waiting: deque[tuple[int, Descriptor]] = deque()
        self.fed = 0
        self.gave = False
        self.together = 0

    def begin(self, tag: bytes, start_tag: bytes, limits: Limits) -> BlobCollector:
        return _CountingCollector(tag, start_tag, limits)

    def end(
        self, framer: HookedFramer, blob: BlobCollector, frame: BlobFrame | None, data: bytes, pos: int
    ) -> BlobFrame | None:
        assert isinstance(blob, _CountingCollector)
        if not (blob.attached or blob.broken):
            return frame
        began = self.fed - (len(data) - pos) - blob.size
        later = self._of_later_elements(framer, data, pos)
        whole = self._attach(framer, frame, blob, began)
        if framer.failed:
            return None
        self.waiting += later
        self.gave = self.gave or whole is not None
        return whole

    def skipped(self, data: bytes, pos: int) -> None:
        """Close the descriptors of what is skipped: those that arrived before what follows it began."""
        if self.waiting:
            following = data[pos:]
            self._let_go(self.fed - len(following) if following.strip() else self.fed)

    def left_over(self, framer: HookedFramer, began: int | None = None, sample: bytes = b"") -> None:
        """Close descriptors that arrived before an element began, or that belong to none."""
        self._doubt(framer, "a descriptor that belongs to no element", sample)
        self._let_go(began)

    def distrust(self, framer: HookedFramer, reason: str, sample: bytes = b"") -> None:
        """Fail, because it is no longer known which descriptor belongs to which element."""
        framer.fail(MalformedFrame(reason, excerpt=excerpt(sample)))
        self.waiting.clear()

    def _doubt(self, framer: HookedFramer, reason: str, sample: bytes) -> None:
        """Drop the element if only that one is affected; otherwise fail."""
        if framer.lenient:
            framer.drop(MalformedFrame(reason, excerpt=excerpt(sample)))
        else:
            self.distrust(framer, reason, sample)

    def _let_go(self, until: int | None) -> None:
        """Close the descriptors that had arrived by this offset; None: all."""
        while self.waiting and (until is None or self.waiting[0][0] <= until):
            self.waiting.popleft()

    def _of_later_elements(self, framer: HookedFramer, data: bytes, pos: int) -> list[tuple[int, Descriptor]]:
        """Remove descriptors that do not belong to the element that has just ended, as far as that is known.

        When each element is sent on its own, the descriptors of a read belong to the element with which the read
        ends: the kernel appends no other message to one with descriptors.
        """
        if not framer.lenient or not data[pos:].strip():
            return []
        later = [each for each in self.waiting if each[0] == self.fed]
        for _ in later:
            self.waiting.pop()
        return later

    def _attach(
        self, framer: HookedFramer, frame: BlobFrame | None, blob: _CountingCollector, began: int
    ) -> BlobFrame | None:
        """The frame with its descriptors; None if it is dropped with them, or has already been dropped."""
        waiting = self.waiting
        sample = frame.skeleton if frame is not None else b""
        if blob.broken:
            if blob.attached or waiting:
                self._doubt(framer, "an attached BLOB that is truncated", sample)
                waiting.clear()
            return frame
        if waiting and waiting[0][0] <= began and (framer.lenient or len(waiting) >= blob.attached):
            self.left_over(framer, began, sample)
            if framer.failed:
                return None
        if len(waiting) < blob.attached:
            self._doubt(framer, "an attached BLOB without its descriptor", sample)
            waiting.clear()
            return None
        if framer.lenient and len(waiting) > blob.attached:
            self.left_over(framer, None, sample)
            return None
        taken = [waiting.popleft() for _ in range(blob.attached)]
        if frame is None:  # malformed, which has already been reported
            return None
        tags = attached_members(frame.skeleton)
        if len(tags) != blob.attached:
            self.distrust(framer, "an attached BLOB that was hidden", sample)
            return None
        fault = _fault(frame, tags, [descriptor for _, descriptor in taken], framer.limits.blob)
        if fault:
            framer.drop(MalformedFrame(fault, tag=frame.tag.text, excerpt=excerpt(sample)))
            return None
        lengths = [told_length(tag) for tag in tags]
        self.together += sum(map(length_in_base64, lengths))
        if self.together > framer.limits.blob:  # reading stops behind a BLOB whose receiver is busy, not within a read
            reason = f"attached BLOBs sent at once that together are more than {framer.limits.blob} bytes as base64"
            framer.drop(MalformedFrame(reason, tag=frame.tag.text, excerpt=excerpt(sample)))
            return None
        return AttachedFrame(frame.address, frame.raw, [descriptor for _, descriptor in taken], lengths)


class _AttachingFramer(Framer):
    """A framer that gives attached BLOBs their descriptors.

    Args:
        limits: What the peer may send.
        lenient: Go on after descriptors that are missing, left over or of an unreadable element, and after what is
            beyond a limit.
    """

    def __init__(self, limits: Limits | None, lenient: bool = False) -> None:
        self._descriptors = _Descriptors()
        super().__init__(limits, lenient=lenient, blobs=self._descriptors)
        self.may_be_cut = False  # what is fed next may end within a message

    def take_descriptors(self, fds: Sequence[int], count: int) -> None:
        """Add descriptors that have arrived with the next `count` bytes of the stream."""
        descriptors = self._descriptors
        descriptors.waiting += [(descriptors.fed + count, Descriptor(fd)) for fd in fds]
        if len(descriptors.waiting) > MAX_WAITING_DESCRIPTORS:
            descriptors.distrust(self, f"more than {MAX_WAITING_DESCRIPTORS} descriptors before their elements")

    def lost(self) -> None:
        """Descriptors of the next bytes have been lost."""
        reason = f"descriptors were lost: more than {MAX_DESCRIPTORS} in one message, or too many open files"
        if self.lenient:  # their element will lack them
            self.drop(MalformedFrame(reason))
        else:
            self._descriptors.distrust(self, reason)

    def sole(self, data: bytes) -> Address | None:
        return super().sole(data) if not self._descriptors.waiting else None  # it has to be found out whose they are

    def passed_on(self, count: int) -> None:
        self._descriptors.fed += count

    def feed(self, data: bytes) -> list[Frame]:
        descriptors = self._descriptors
        descriptors.fed += len(data)
        descriptors.together = 0
        frames = super().feed(data)
        self.apart = descriptors.gave
        descriptors.gave = False
        # The kernel ends a read after a message with descriptors; a read that has filled the buffer may have ended
        # within it.
        if descriptors.waiting and not self.unfinished and not self.may_be_cut:
            descriptors.left_over(self)
        if self.failed:  # an earlier element may have got the descriptor of a later one
            return [frame for frame in frames if not isinstance(frame, AttachedFrame)]
        return frames


def _fault(frame: BlobFrame, tags: list[bytes], descriptors: list[Descriptor], limit: int) -> str:
    """Describe what is wrong with the files of a frame, if anything."""
    size = frame.size
    for tag, descriptor in zip(tags, descriptors, strict=True):
        try:
            available = length_of_file(descriptor)
        except MalformedFrame as error:
            return error.reason
        length = told_length(tag)
        if not 0 <= length <= available:
            return f"an attached BLOB of {length} bytes in a file of {available}"
        size += length_in_base64(length)
    # It may have to be passed on as base64, to a server that has the same limit.
    if size > limit:
        return f"attached BLOBs that are {size} bytes as base64, and {limit} are allowed"
    return ""


def _descriptors_in(ancillary: Sequence[tuple[int, int, bytes]]) -> array.array[int]:
    """The descriptors that have come with a message."""
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return fds


class PassingLink(DescriptorLink):
    """A link over a local socket that receives and sends descriptors.

    Args:
        label: Who is at the other end, for logs.
        sock: A connected AF_UNIX stream socket, non-blocking unless `shared`.
        shared: See :class:`DescriptorLink`.
        lenient: The peer passes on what others send: neither descriptors that are missing, left over or of an
            unreadable element, nor what is beyond a limit, ends the link.
        linger: See :class:`DescriptorLink`.
        limits: What the peer may send; `limits.blob` also bounds an attached BLOB, by its length as base64.
        close_apart: For a stranger: calls what closes its socket in a thread, because closing the descriptors in it may
            take any time.  A stranger may pass nothing but memory files, whose closing takes none.

    `unsent` counts the files that wait with their elements.
    """

    def __init__(
        self,
        label: str,
        sock: socket.socket,
        *,
        shared: bool = False,
        lenient: bool = False,
        linger: float = 0.0,
        limits: Limits | None = None,
        close_apart: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        super().__init__(label, sock=sock, shared=shared, lenient=lenient, linger=linger, limits=limits)
        self._socket = sock
        self._close_apart = close_apart
        self._refused: list[Descriptor] = []  # to be closed in that thread
        self._recvmsg_into = sock.recvmsg_into
        self._ancillary = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
        self._flags_out = socket.MSG_DONTWAIT if shared else 0
        self._flags_in = getattr(socket, "MSG_CMSG_CLOEXEC", 0) | self._flags_out
        self._framer = self._attaching = _AttachingFramer(limits, lenient)
        self._read_into = self._receive
        self._write_some = self._transmit
        self._write_one = None
        self._in_flight = 0  # bytes in files that the peer may not have read

    def resume(self, framer: Framer) -> None:
        assert isinstance(framer, _AttachingFramer)
        self._framer = self._attaching = framer

    def _weigh(self, batch: Batch) -> int:
        return batch.weight

    def _receive(self) -> int:
        views = self._views
        if self._close_apart is not None:
            views = [views[0][: self._harmless()]]
        count, ancillary, flags, _ = self._recvmsg_into(views, self._ancillary, self._flags_in)
        self._attaching.may_be_cut = count == len(self._views[0])
        if ancillary or flags & _TRUNCATED:
            framer = self._attaching
            framer.take_descriptors(_descriptors_in(ancillary), count)
            if flags & _TRUNCATED:
                framer.lost()
        return count

    def _harmless(self) -> int:
        """How many of the next bytes have no descriptors but those of memory files.

        Raises:
            OSError: There are others.
        """
        count, ancillary, flags, _ = self._recvmsg_into(self._views, self._ancillary, self._flags_in | socket.MSG_PEEK)
        if ancillary or flags & _TRUNCATED:
            copies = list(map(Descriptor, _descriptors_in(ancillary)))
            if flags & _TRUNCATED or not all(is_in_memory(copy.fd) for copy in copies):
                self._refused = copies
                raise PermissionError("it has passed what is no memory file, or too many at once")
        return count

    def _close_socket(self, sock: socket.socket) -> None:
        refused, self._refused = self._refused, []

        def close() -> None:
            refused.clear()
            sock.close()

        if self._close_apart is None:
            close()
        else:
            self._close_apart(close)

    def _hand_on_apart(self, frames: list[Frame]) -> None:
        """Hand on what follows a BLOB only when its descriptors are closed, unless somebody needs them: a driver whose
        ping is answered may count on that."""
        receiver = self._receiver
        assert receiver is not None
        while frames:
            count = next((n for n, frame in enumerate(frames, 1) if isinstance(frame, AttachedFrame)), len(frames))
            part = frames[:count]
            del frames[:count]
            last = part[-1]
            if self._progress is not None and isinstance(last, AttachedFrame):
                text = self._progress.refuses(sum(map(length_in_base64, last.lengths)))
                if text:
                    self._give_up(text)
                    return
            del last
            receiver.frames_received(part)
            part.clear()
            if self._ended:
                return

    def _release(self) -> None:
        super()._release()
        self._attaching = _AttachingFramer(None)  # the old one may hold half a BLOB, with its descriptors

    def _transmit(self, buffers: Sequence[bytes | memoryview]) -> int:
        first = buffers[0]
        if isinstance(first, Tagged) and first.descriptors:
            return self._pass(first, buffers)
        flags = self._flags_out
        return self._socket.send(first, flags) if len(buffers) == 1 else self._socket.sendmsg(buffers, (), flags)

    def _pass(self, first: Tagged, buffers: Sequence[bytes | memoryview]) -> int:
        """Send with descriptors, which travel with the first byte."""
        if self._in_flight and all_is_taken(self._socket):
            self._in_flight = 0
        if self._in_flight >= MAX_IN_FLIGHT:
            self._must_wait = True
            return 0
        fds = array.array("i", [descriptor.fd for descriptor in first.descriptors])
        try:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]
            count = self._socket.sendmsg(buffers, ancillary, self._flags_out)
        except OSError as error:
            if error.errno != errno.ETOOMANYREFS:  # this user's processes have too many in flight
                raise
            self._must_wait = True
            return 0
        self.unsent -= first.in_files
        self._in_flight += first.in_files
        return count

    def _next_slice(self) -> list[bytes | memoryview]:
        """As usual, but a buffer with descriptors comes first in its slice, so that they are sent with it."""
        buffers = super()._next_slice()
        for index in range(1, len(buffers)):
            if isinstance(self._out[index], Tagged):
                return buffers[:index]
        return buffers
