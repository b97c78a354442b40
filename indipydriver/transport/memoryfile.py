"""BLOBs in memory files: their descriptors, and the two forms of a BLOB vector, attached and inline.

In the attached form a ``oneBLOB`` says ``attached="true"`` and is empty, and a descriptor of a file with the bytes
is sent with the element; in the inline form the element contains the bytes as base64.
Observed with libindi 1.9.9: the file may be longer than the BLOB, so ``len`` or ``size`` counts, and a client maps
``size`` bytes of it, which is the length after inflating if the BLOB is compressed.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
import threading
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

from ..errors import MalformedFrame, ValueFormatError
from ..protocol.base64text import base64_from, length_in_base64
from ..protocol.blobtags import ATTRIBUTE, attributes_of, is_attached
from ..protocol.decode import texts_of
from ..protocol.frame import Address, BlobFrame
from ..protocol.texts import excerpt
from ..protocol.values import decode_base64

__all__ = [
    "FILE_WEIGHT",
    "MAX_DESCRIPTORS",
    "AttachedFrame",
    "Descriptor",
    "Tagged",
    "attach",
    "attachable",
    "attached_members",
    "is_in_memory",
    "length_in_base64",
    "length_of_file",
    "told_length",
]

MAX_DESCRIPTORS: Final = 16
"""Descriptors in one message: libindi's limit."""
FILE_WEIGHT: Final = 1 << 20
"""Bytes that a descriptor counts for, at least: libindi's files are a multiple of it, and so the 128 MiB that may be
queued for a client take no more than 128 of this process's descriptors (usually 1024)."""

_CHILD: Final = re.compile(rb"""<oneBLOB(?=[\s/>])(?:[^"'>]*+(?:"[^"]*+"|'[^']*+'))*[^"'>]*+>""")
_SIZE_TEXT: Final = re.compile(rb"\s*([0-9]{1,15})\s*\Z")
_ONE_BLOB_END: Final = b"</oneBLOB"
_FIRST_BYTES: Final = 4096  # the first bytes of an element, with which its descriptors are sent
_SEAL_FUTURE_WRITE: Final = 0x10  # Linux 5.1, not in CPython 3.11: whoever has the file already mapped may write
_NOT_A_FILE: Final = "the descriptor of an attached BLOB is not a readable memory file"
_LARGEST_FILE: Final = 1 << 40  # what `size` may ask for; the file has holes where there is no data


class Descriptor:
    """A file descriptor that is closed when nobody needs it any more.

    Attributes:
        fd: The number.
        held: Bytes of memory that the file takes, as far as is known.
    """

    __slots__ = ("fd", "held")

    def __init__(self, fd: int, held: int = 0) -> None:
        self.fd = fd
        self.held = held

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.fd)


class Tagged(bytes):
    """Bytes with descriptors, which are sent with the first of them.

    Attributes:
        descriptors: At most MAX_DESCRIPTORS.
        in_files: The bytes that they count for.
    """

    descriptors: Sequence[Descriptor] = ()
    in_files = 0


def is_in_memory(fd: int) -> bool:
    """Is this a memory file, which nobody can make slow to be looked at or closed?  Only Linux tells; else True."""
    if sys.platform.startswith("linux"):
        import fcntl

        try:
            fcntl.fcntl(fd, fcntl.F_GET_SEALS)  # the kernel answers this by itself, and only for files in memory
        except OSError:
            return False
    return True


def length_of_file(descriptor: Descriptor) -> int:
    """The length of the file.

    Only memory files are taken (memfd, shm_open, tmpfs): reading a file on a hung network or FUSE file system would
    block a thread for ever, and even asking for its length could.

    Raises:
        MalformedFrame: It is not a memory file, or cannot be read.
    """
    if not is_in_memory(descriptor.fd):
        raise MalformedFrame(_NOT_A_FILE)
    try:
        if sys.platform.startswith("linux"):
            import fcntl

            if fcntl.fcntl(descriptor.fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
                raise MalformedFrame(_NOT_A_FILE)
        status = os.fstat(descriptor.fd)
    except OSError:
        raise MalformedFrame(_NOT_A_FILE) from None
    if not stat.S_ISREG(status.st_mode):
        raise MalformedFrame(_NOT_A_FILE)
    descriptor.held = status.st_blocks * 512
    return status.st_size


def _retagged(tag: bytes, without: Sequence[bytes], more: bytes = b"", end: bytes = b">") -> bytes:
    """The start tag without some attributes, with others, and with this end."""
    kept = [match[0] for match in ATTRIBUTE.finditer(tag) if match[1] not in without]
    return b"<oneBLOB" + b"".join(kept) + more + end


def attached_members(skeleton: bytes) -> list[bytes]:
    """The start tags of the members whose data is in files."""
    return [child[0] for child in _CHILD.finditer(skeleton) if is_attached(child[0])]


def told_length(tag: bytes) -> int:
    """How many bytes of its file are the BLOB, according to the start tag of a member; -1 if it does not say."""
    attributes = attributes_of(tag)
    match = _SIZE_TEXT.match(attributes.get(b"len", attributes.get(b"size", b"")))
    return int(match[1]) if match else -1


def _parts(raw: bytes) -> Iterator[tuple[int, bytes, int, int]]:
    """For each oneBLOB: its offset, its start tag, and where its text begins and ends."""
    for child in _CHILD.finditer(raw):
        begin = child.end()
        end = begin if child[0].endswith(b"/>") else raw.find(_ONE_BLOB_END, begin)
        yield child.start(), child[0], begin, end


class AttachedFrame(BlobFrame):
    """A BLOB vector whose data, or some of it, is in files.

    Args:
        address: Its address.
        raw: The element with its empty, attached oneBLOBs.
        descriptors: One for each attached oneBLOB, in order.
        lengths: How many bytes of each file are the BLOB.

    Attributes:
        descriptors: One for each attached oneBLOB, in order.
        lengths: How many bytes of each file are the BLOB.
    """

    __slots__ = ("_in_files", "_inline", "_lock", "descriptors", "lengths")

    def __init__(self, address: Address, raw: bytes, descriptors: Sequence[Descriptor], lengths: Sequence[int]) -> None:
        self.descriptors = tuple(descriptors)
        self.lengths = tuple(lengths)
        self._in_files = sum(
            max(FILE_WEIGHT, length, descriptor.held)
            for descriptor, length in zip(self.descriptors, self.lengths, strict=True)
        )
        spans = [(begin, end) for _, _, begin, end in _parts(raw)]
        skeleton = raw if len(spans) == len(self.lengths) else _without(raw, spans)
        head = Tagged(raw[:_FIRST_BYTES])
        head.descriptors = self.descriptors
        head.in_files = self._in_files
        super().__init__(address, [head, raw[_FIRST_BYTES:]] if len(raw) > _FIRST_BYTES else [head], skeleton, spans)
        self._inline: weakref.ref[BlobFrame] | None = None
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return self.inline().__reduce__()  # no copy may close the descriptors of this one

    @property
    def in_files(self) -> int:
        return self._in_files

    @property
    def can_be_passed(self) -> bool:
        """Its descriptors fit in one message."""
        return len(self.descriptors) <= MAX_DESCRIPTORS

    @property
    def encoded(self) -> BlobFrame | None:
        """The inline form, which lives while somebody needs it.

        It counts in the queues that hold it; in those that hold the attached form, only the files count.
        """
        return self._inline() if self._inline is not None else None

    def inline(self) -> BlobFrame:
        """The same vector with its data as base64; made once while anybody needs it, takes about 1 ms per MB.

        The files are read, not mapped: whoever owns one could shorten it meanwhile, and touching a mapping beyond
        its end would kill this process.

        Raises:
            MalformedFrame: A file has become shorter than announced.
            OSError: A file cannot be read.
        """
        with self._lock:
            form = self.encoded
            if form is None:
                form = self._encode()
                self._inline = weakref.ref(form)
            return form

    def _encode(self) -> BlobFrame:
        raw = self.raw
        chunks: list[bytes] = []
        skeleton: list[bytes] = []
        spans: list[tuple[int, int]] = []
        size = last = 0
        files = iter(zip(self.descriptors, self.lengths, strict=True))
        tail = b""
        for start, tag, begin, end in _parts(raw):
            tags = tail + raw[last:start]
            tail = b""
            if is_attached(tag):
                descriptor, length = next(files)
                tags += _retagged(tag, (b"attached", b"enclen"))
                texts = _base64_of(descriptor.fd, length)
                if tag.endswith(b"/>"):
                    tail = _ONE_BLOB_END + b">"
            else:
                tags += tag
                texts = [raw[begin:end]]
            chunks.append(tags)
            skeleton.append(tags)
            chunks += texts
            size += len(tags)
            spans.append((size, size := size + sum(map(len, texts))))
            last = end
        chunks.append(tail + raw[last:])
        skeleton.append(chunks[-1])
        return BlobFrame(self.address, chunks, b"".join(skeleton), spans)


def _without(raw: bytes, spans: Sequence[tuple[int, int]]) -> bytes:
    pieces = []
    last = 0
    for begin, end in spans:
        pieces.append(raw[last:begin])
        last = end
    return b"".join([*pieces, raw[last:]])


def _base64_of(fd: int, length: int) -> list[bytes]:
    offset = 0

    def read_into(piece: memoryview) -> None:
        nonlocal offset
        while piece:
            count = os.preadv(fd, (piece,), offset)
            if not count:
                raise MalformedFrame(f"the file of an attached BLOB ends after {offset} of {length} bytes")
            offset += count
            piece = piece[count:]

    # Whoever takes chunks takes any buffer.
    return cast("list[bytes]", base64_from(read_into, length))


def attachable(frame: BlobFrame) -> bool:
    """Can the data of this inline vector be passed in files?"""
    with_data = sum(end > begin for begin, end in frame.spans)
    return 0 < with_data <= MAX_DESCRIPTORS and hasattr(os, "memfd_create")


def attach(frame: BlobFrame) -> BlobFrame:
    """The attached form of an inline vector, as indiserver gives it to clients on its local socket.

    Takes about 2 ms per MB.  Members without data stay as they are.

    Raises:
        MalformedFrame: Its data is not base64.
        OSError: There is no descriptor or no memory for a file.
    """
    descriptors: list[Descriptor] = []
    lengths: list[int] = []
    pieces: list[bytes] = []
    skeleton = frame.skeleton
    texts = texts_of(frame)
    last = 0
    for child in _CHILD.finditer(skeleton):
        text = next(texts, ())
        try:
            data = decode_base64(text)
        except ValueFormatError as error:
            raise MalformedFrame(str(error), excerpt=excerpt(skeleton)) from None
        if not data:
            continue
        tag = child[0]
        attributes = attributes_of(tag)
        size = _SIZE_TEXT.match(attributes.get(b"size", b""))
        descriptors.append(_memory_file(data, int(size[1]) if size else 0))
        lengths.append(len(data))
        without = [b"attached", b"enclen"]
        told = b""
        if b"len" in attributes and told_length(tag) != len(data):
            without.append(b"len")
            told = b' len="%d"' % len(data)
        if size is None:
            without.append(b"size")
            told += b' size="%d"' % len(data)
        pieces += [skeleton[last : child.start()], _retagged(tag, without, told + b' attached="true"', b"/>")]
        last = child.end()
        if not tag.endswith(b"/>"):
            last = skeleton.index(b">", skeleton.index(_ONE_BLOB_END, last)) + 1
    if not descriptors:
        return frame
    pieces.append(skeleton[last:])
    return AttachedFrame(frame.address, b"".join(pieces), descriptors, lengths)


def _memory_file(data: bytes, size: int) -> Descriptor:
    """A file with this data and at least this size, because clients may map that many bytes of it.

    All clients get the same file, so none of them may change it.
    """
    import fcntl

    descriptor = Descriptor(os.memfd_create("blob", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), len(data))
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor.fd, view) :]
    if len(data) < size <= _LARGEST_FILE:
        os.ftruncate(descriptor.fd, size)
    with contextlib.suppress(OSError):  # a kernel before 5.1
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | _SEAL_FUTURE_WRITE
        fcntl.fcntl(descriptor.fd, fcntl.F_ADD_SEALS, seals)
    return descriptor
