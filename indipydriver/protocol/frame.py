"""A frame: one top-level element as bytes, with its address."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple

from .tags import TAGS, Tag

__all__ = ["Address", "Batch", "BlobFrame", "Frame", "address", "parts"]

_STREAM: Final = re.compile(rb"""\sformat\s*=\s*(?:"[^"]*stream|'[^']*stream)""")


class Address(NamedTuple):
    """What a frame concerns: the key of every routing table.

    Attributes:
        tag: The kind of element.
        device: Its ``device`` attribute with entities decoded, or None.
        name: Its ``name`` attribute with entities decoded, or None.
    """

    tag: Tag
    device: str | None
    name: str | None


def address(tag: str, device: str | None = None, name: str | None = None) -> Address:
    """The address of an element with this tag; KeyError when INDI has no such tag."""
    return Address(TAGS[tag], device, name)


class Frame:
    """One complete, well-formed element.

    Attributes:
        address: Tag, device and name.
        raw: The element from its ``<`` to its ``>``, without white space around it.
        reply: True when an in-process driver answers a getProperties with it, so that
            only those who asked need it.
    """

    __slots__ = ("address", "raw", "reply")

    address: Address
    raw: bytes
    reply: bool

    def __init__(self, address: Address, raw: bytes, reply: bool = False) -> None:
        self.address = address
        self.raw = raw
        self.reply = reply

    @property
    def tag(self) -> Tag:
        return self.address.tag

    @property
    def device(self) -> str | None:
        return self.address.device

    @property
    def name(self) -> str | None:
        return self.address.name

    @property
    def size(self) -> int:
        """Length of the element in bytes."""
        return len(self.raw)

    @property
    def chunks(self) -> Sequence[bytes]:
        """The element in pieces, for writing."""
        return (self.raw,)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Frame):
            return NotImplemented
        return self.address == other.address and self.raw == other.raw

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.tag.text} {self.device!r} {self.name!r}, {self.size} bytes)"


class BlobFrame(Frame):
    """A setBLOBVector or newBLOBVector: kept in the pieces in which it arrived.

    It may be hundreds of megabytes, so it is never joined on the way through a server;
    only :attr:`raw` joins it, for whoever decodes it.

    Attributes:
        chunks: The element in pieces.
        skeleton: The element without the base64 text: all its tags.
        spans: For each ``oneBLOB`` in order, where its base64 text lies: (start, end)
            as offsets into :attr:`raw`.
    """

    __slots__ = ("__weakref__", "_chunks", "_size", "skeleton", "spans")

    def __init__(
        self,
        address: Address,
        chunks: Sequence[bytes],
        skeleton: bytes,
        spans: Sequence[tuple[int, int]],
    ) -> None:
        self.address = address
        self.reply = False
        self._chunks = tuple(chunks)
        self._size = sum(map(len, chunks))
        self.skeleton = skeleton
        self.spans = tuple(spans)

    def __reduce__(self) -> tuple[Any, ...]:
        """For copy.deepcopy and pickle, which would assign to :attr:`raw`."""
        return BlobFrame, (self.address, [bytes(chunk) for chunk in self._chunks], self.skeleton, self.spans)

    @property
    def raw(self) -> bytes:  # type: ignore[override]
        return b"".join(self._chunks)

    @property
    def size(self) -> int:
        return self._size

    @property
    def chunks(self) -> Sequence[bytes]:
        return self._chunks

    @property
    def in_files(self) -> int:
        """Bytes in files that are sent with it."""
        return 0

    @property
    def is_stream(self) -> bool:
        """A video frame, of which only the newest matters: a format says ``stream`` (indiserver's criterion)."""
        return _STREAM.search(self.skeleton) is not None


def parts(chunks: Sequence[bytes], spans: Iterable[tuple[int, int]]) -> Iterator[list[memoryview]]:
    """The pieces of each of these spans of some bytes in chunks; nothing is copied."""
    ends = list(accumulate(map(len, chunks)))
    for start, end in spans:
        pieces: list[memoryview] = []
        index = bisect_right(ends, start)
        position = start
        while position < end:
            base = ends[index] - len(chunks[index])
            pieces.append(memoryview(chunks[index])[position - base : end - base])
            position = ends[index]
            index += 1
        yield pieces


class Batch:
    """Frames that go together to the same receivers, in order.

    The bytes are joined once, however many receivers share the batch.

    Args:
        frames: The frames; a BlobFrame is alone.
        sealed: It goes only to links that carry bytes: join now and release the frames, so that the
            backlog of a slow peer is in memory once.

    Attributes:
        frames: The frames; empty when sealed.
        blob: The BlobFrame, if it is one.
        size: Length in bytes, with a newline after each frame.
        weight: Bytes that this process holds while the batch is queued: its size, and that of attached files.
    """

    __slots__ = ("_buffers", "blob", "frames", "size", "weight")

    def __init__(self, frames: list[Frame], sealed: bool = False) -> None:
        first = frames[0]
        self.frames = frames
        self.blob = first if isinstance(first, BlobFrame) else None
        self._buffers: list[bytes] | None = None
        if sealed:
            if self.blob is None and len(frames) == 1:
                self._buffers = buffers = [first.raw + b"\n"]
            else:
                buffers = self.buffers
            self.size = len(buffers[0]) if len(buffers) == 1 else sum(map(len, buffers))
            self.frames = []
        elif len(frames) == 1:
            self.size = first.size + 1
        else:
            self.size = sum([frame.size for frame in frames]) + len(frames)
        self.weight = self.size if self.blob is None else self.size + self.blob.in_files

    @staticmethod
    def of_bytes(data: bytes) -> Batch:
        """A sealed batch of frames that are already bytes, each with its newline."""
        return _BatchOfBytes(data)

    @property
    def buffers(self) -> list[bytes]:
        """What to write: one joined buffer, or the pieces of a BLOB."""
        if self._buffers is None:
            if self.blob is not None:
                self._buffers = [*self.blob.chunks, b"\n"]
            else:
                raws = [frame.raw for frame in self.frames]
                raws.append(b"")
                self._buffers = [b"\n".join(raws)]
        return self._buffers


class _BatchOfBytes(Batch):
    """A sealed batch that never was frames."""

    __slots__ = ()

    def __init__(self, data: bytes) -> None:
        self.frames = []
        self.blob = None
        self._buffers = [data]
        self.size = self.weight = len(data)
