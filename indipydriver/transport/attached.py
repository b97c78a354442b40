"""BLOBs handed over as file descriptors, on Linux's local sockets.

A libindi driver whose standard output is an AF_UNIX socket does not encode its BLOBs: the element says
``attached="true"`` and is empty, and a descriptor of a memory file with the bytes comes along with it (SCM_RIGHTS).
Clients on a local socket may get the same descriptor; for all others the bytes are encoded, once.
Observed with libindi 1.9.9: descriptors come in the order of their elements, no later than the end of the
element, at most 16 in one message; the file may be longer than the BLOB, so ``len`` or ``size`` counts.
"""

from __future__ import annotations

import array
import binascii
import contextlib
import os
import re
import socket
import stat
import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

from ..errors import MalformedFrame
from ..protocol.frame import Address, BlobFrame, Frame
from ..protocol.framer import Framer, Limits
from ..protocol.wellformed import excerpt
from .descriptor import DescriptorLink

__all__ = ["AttachedFrame", "Descriptor", "PassingLink"]

MAX_DESCRIPTORS: Final = 16
"""Descriptors in one message, and waiting for their element: libindi's bound."""

_ATTACHED: Final = re.compile(rb"""\sattached\s*=\s*(?:"true"|'true')""")
_ENCLEN: Final = re.compile(rb"""\senclen\s*=\s*(?:"[^"]*"|'[^']*')""")
_LENGTH: Final = re.compile(rb"""\s(len|size)\s*=\s*(?:"\s*([0-9]{1,15})\s*"|'\s*([0-9]{1,15})\s*')""")
_CHILD: Final = re.compile(rb"""<oneBLOB(?=[\s/>])(?:[^"'>]*+(?:"[^"]*+"|'[^']*+'))*[^"'>]*+>""")
_READ: Final = 3 << 16  # a multiple of 3, so that the pieces of base64 can be joined; 256 KiB of base64


class Descriptor:
    """A file descriptor that is closed when nobody needs it any more."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.fd)


class Tagged(bytes):
    """Bytes with which descriptors go along."""

    descriptors: Sequence[Descriptor] = ()


class AttachedFrame(BlobFrame):
    """A BLOB vector whose data is in files.

    Args:
        address: Its address.
        raw: The element with its empty, attached oneBLOBs.
        descriptors: One for each attached oneBLOB, in order.
        lengths: How many bytes of each file are the BLOB.

    Attributes:
        descriptors: One for each attached oneBLOB, in order.
    """

    __slots__ = ("_inline", "_lock", "descriptors", "lengths")

    def __init__(self, address: Address, raw: bytes, descriptors: Sequence[Descriptor], lengths: Sequence[int]) -> None:
        tagged = Tagged(raw)
        tagged.descriptors = tuple(descriptors)
        super().__init__(address, [tagged], raw, [(0, 0)] * len(lengths))
        self.descriptors = tagged.descriptors
        self.lengths = tuple(lengths)
        self._inline: BlobFrame | None = None
        self._lock = threading.Lock()

    @property
    def encoded(self) -> BlobFrame | None:
        """The inline form, if it has been made."""
        return self._inline

    def inline(self) -> BlobFrame:
        """The same vector with its data as base64; made once, takes about 1 ms per MB: call it in a thread.

        The files are read, not mapped: whoever owns one could shorten it meanwhile, and touching a mapping behind
        its end would kill this process.

        Raises:
            MalformedFrame: A file has become shorter than was said.
        """
        with self._lock:
            if self._inline is None:
                self._inline = self._encode()
            return self._inline

    def _encode(self) -> BlobFrame:
        raw = b"".join(self._chunks)
        chunks: list[bytes] = []
        skeleton: list[bytes] = []
        spans: list[tuple[int, int]] = []
        size = last = index = 0
        for child in _CHILD.finditer(raw):
            if not _ATTACHED.search(child[0]):
                continue
            start = _ENCLEN.sub(b"", _ATTACHED.sub(b"", child[0])).rstrip(b">").rstrip().rstrip(b"/") + b">"
            tags = raw[last : child.start()] + start
            end = raw.find(b"</oneBLOB", child.end())
            closed = child[0].endswith(b"/>")
            last = child.end() if closed else end
            chunks.append(tags)
            skeleton.append(tags)
            size += len(tags)
            begin = size
            for piece in _base64_of(self.descriptors[index].fd, self.lengths[index]):
                chunks.append(piece)
                size += len(piece)
            spans.append((begin, size))
            index += 1
            if closed:
                chunks.append(b"</oneBLOB>")
                skeleton.append(b"</oneBLOB>")
                size += 10
        chunks.append(raw[last:])
        skeleton.append(raw[last:])
        return BlobFrame(self.address, chunks, b"".join(skeleton), spans)


def _base64_of(fd: int, length: int) -> list[bytes]:
    pieces = []
    offset = 0
    while offset < length:
        data = os.pread(fd, min(_READ, length - offset), offset)
        if not data:
            raise MalformedFrame(f"the file of an attached BLOB ends after {offset} of {length} bytes")
        while len(data) % 3 and offset + len(data) < length:  # a short read
            more = os.pread(fd, min(_READ, length - offset - len(data)), offset + len(data))
            if not more:
                break
            data += more
        pieces.append(binascii.b2a_base64(data, newline=False))
        offset += len(data)
    return pieces


class _AttachingFramer(Framer):
    """A framer that gives attached BLOBs their descriptors."""

    def __init__(self, limits: Limits | None, waiting: deque[Descriptor]) -> None:
        super().__init__(limits)
        self._waiting = waiting

    def _feed_blob(self, data: bytes, pos: int, frames: list[Frame]) -> tuple[bytes, int]:
        count = len(frames)
        rest = super()._feed_blob(data, pos, frames)
        if len(frames) > count:
            frame = frames[-1]
            if isinstance(frame, BlobFrame) and b"attached" in frame.skeleton:
                try:
                    frames[-1] = self._framed(frame)
                except MalformedFrame as fault:
                    frames.pop()
                    self._drop(fault)
        return rest

    def _framed(self, frame: BlobFrame) -> BlobFrame:
        """The frame, with its descriptors if it has attached data.

        Raises:
            MalformedFrame: A descriptor is missing, is no file, or is shorter than the BLOB.
        """
        children = [child[0] for child in _CHILD.finditer(frame.skeleton) if _ATTACHED.search(child[0])]
        if not children:
            return frame
        descriptors: list[Descriptor] = []
        lengths: list[int] = []
        for child in children:
            if not self._waiting:
                raise MalformedFrame("an attached BLOB without its descriptor", excerpt=excerpt(frame.skeleton))
            descriptor = self._waiting.popleft()
            told = {match[1]: int(match[2] or match[3]) for match in _LENGTH.finditer(child)}
            length = told.get(b"len", told.get(b"size", -1))
            status = os.fstat(descriptor.fd)
            if not stat.S_ISREG(status.st_mode):
                raise MalformedFrame("the descriptor of an attached BLOB is no file", excerpt=excerpt(frame.skeleton))
            if not 0 <= length <= min(status.st_size, self.limits.blob):
                raise MalformedFrame(
                    f"an attached BLOB of {length} bytes in a file of {status.st_size}", excerpt=excerpt(frame.skeleton)
                )
            descriptors.append(descriptor)
            lengths.append(length)
        return AttachedFrame(frame.address, frame.raw, descriptors, lengths)


class PassingLink(DescriptorLink):
    """A link over a local socket that takes and gives descriptors.

    Args:
        label: Who is at the other end, for logs.
        sock: A connected, non-blocking AF_UNIX stream socket.
        linger: See :class:`DescriptorLink`.
        limits: What the peer may send; `limits.blob` also bounds an attached BLOB.
    """

    def __init__(self, label: str, sock: socket.socket, *, linger: float = 0.0, limits: Limits | None = None) -> None:
        super().__init__(label, sock=sock, linger=linger, limits=limits)
        self._socket = sock
        self._recvmsg_into = sock.recvmsg_into
        self._waiting: deque[Descriptor] = deque()
        self._ancillary = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
        self._flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
        self._framer = _AttachingFramer(limits, self._waiting)
        self._read_into = self._receive
        self._write_some = self._transmit

    def _receive(self) -> int:
        count, ancillary, _, _ = self._recvmsg_into((self._view,), self._ancillary, self._flags)
        if ancillary:
            self._keep(ancillary)
        return count

    def _keep(self, ancillary: list[tuple[int, int, bytes]]) -> None:
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
                self._waiting += map(Descriptor, fds)
        while len(self._waiting) > 4 * MAX_DESCRIPTORS:  # a peer that sends descriptors and no elements
            self._waiting.popleft()

    def _transmit(self, buffers: Sequence[bytes | memoryview]) -> int:
        first = buffers[0]
        if isinstance(first, Tagged) and first.descriptors:
            fds = array.array("i", [descriptor.fd for descriptor in first.descriptors])
            return self._socket.sendmsg(buffers, [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        return self._socket.send(first) if len(buffers) == 1 else self._socket.sendmsg(buffers)

    def _next_slice(self) -> list[bytes | memoryview]:
        """As usual, but a buffer with descriptors comes first in its slice, so that they go along with it."""
        buffers = super()._next_slice()
        for index in range(1, len(buffers)):
            if isinstance(buffers[index], Tagged):
                return buffers[:index]
        return buffers
