"""A BLOB on its way in: collected in pieces, checked at its tags."""

from __future__ import annotations

from typing import Final

from ..errors import FrameTooLarge, MalformedFrame
from .frame import Address, BlobFrame
from .scan import SOUND, START, START_TAG
from .tags import TAGS
from .wellformed import Limits, check, encoding_of, excerpt, repair

__all__ = ["BLOB_TAGS", "BlobCollector"]

BLOB_TAGS: Final = frozenset(tag.text.encode() for tag in TAGS.values() if tag.is_blob)

_CONTROL: Final = bytes(c for c in range(32) if c not in b"\t\n\r") + b"\x7f"
_SMALL: Final = 4096
_PIECE: Final = 1 << 16
_XML_SPACE: Final = b" \t\r\n"


class BlobCollector:
    """A setBLOBVector or newBLOBVector whose end has not come.

    The tags go to a skeleton, which is checked like any element; the base64 text between them is kept
    in the pieces in which it came and only searched for what XML would not take as text.  As soon as
    something is wrong nothing is kept any more, but the bytes still count, up to the end of the element.

    Args:
        tag: Its name.
        start_tag: Its start tag.
        limits: What the peer may send.

    Attributes:
        size: Bytes taken so far.
        rest: Where to go on after :meth:`feed` has raised MalformedFrame, or returned.
    """

    def __init__(self, tag: bytes, start_tag: bytes, limits: Limits) -> None:
        self.rest: tuple[bytes, int] = (b"", 0)
        self.size = len(start_tag)
        self._tag = tag
        self._start_tag = start_tag
        self._limits = limits
        self._chunks: list[bytes] = [start_tag]
        self._small = bytearray()  # pieces too small to be kept one by one
        self._skeleton: list[bytes] = [start_tag]
        self._spans: list[tuple[int, int]] = []
        self._inside = -1  # offset at which the base64 text began, or -1 outside a oneBLOB
        self._part = bytearray()  # a tag whose ">" has not come
        self._trouble = ""

    def feed(self, data: bytes, pos: int) -> tuple[bytes, int] | None:
        """Take the bytes from `pos` on.

        Returns:
            Bytes and the offset in them at which the element has ended, or None when its end has not come.

        Raises:
            MalformedFrame: Another element begins before it has ended.
            FrameTooLarge: It is beyond the limit.
        """
        if self._part:
            self._part += data[pos:]
            if len(self._part) <= self._limits.start_tag and b">" not in data:
                return None
            data, pos = bytes(self._part), 0
            self._part.clear()
        first = pos  # what has not been taken yet
        while True:
            begin = data.find(b"<", pos)
            end = len(data) if begin < 0 else begin
            if end > pos:
                self._text(data, pos, end)
            if begin < 0:
                self._take(data, first, end)
                return None
            if START.match(data, begin):
                self._unfinished(data, first, begin)
            match = START_TAG.match(data, begin)
            if match is None:
                pos = self._no_tag(data, first, begin)
                if pos < 0:
                    return None
                continue
            pos = match.end()
            if pos - begin > self._limits.start_tag:
                raise self._tag_too_large(pos - begin)
            offset = self.size - first
            self._note_tag(match[0], match[1], offset + begin, offset + pos)
            if match[1] == self._tag and data.startswith(b"</", begin):
                self._take(data, first, pos)
                self.rest = data, pos
                return self.rest

    def _no_tag(self, data: bytes, first: int, begin: int) -> int:
        """A "<" that begins no whole tag: -1 when it may still become one, else where to go on."""
        sound = SOUND.match(data, begin)
        end = sound.end() if sound else begin + 1
        if sound is None and (end == len(data) or data[begin:] == b"</"):
            end = len(data)
        elif sound is None or data.startswith(b"<", end):
            self._spoil("a comment, a declaration or a broken tag in a BLOB")
            if end + 1 - begin > self._limits.start_tag:
                raise self._tag_too_large(end + 1 - begin)
            return end
        following = START.search(data, end)
        if following is not None:
            if following.end() + 1 - begin > self._limits.start_tag:
                raise self._tag_too_large(following.end() + 1 - begin)
            self._unfinished(data, first, following.start())
        if len(data) - begin > self._limits.start_tag:
            raise self._tag_too_large(len(data) - begin)
        self._take(data, first, begin)
        self._part += memoryview(data)[begin:]
        return -1

    def _note_tag(self, tag: bytes, name: bytes, begin: int, end: int) -> None:
        """A tag from offset `begin` to `end` of the element."""
        if self._trouble:
            return
        self._skeleton.append(tag)
        if tag.startswith(b"</"):
            if self._inside >= 0:
                self._spans.append((self._inside, begin))
            elif name != self._tag:
                self._spoil("an end tag without its start in a BLOB")
            self._inside = -1
        elif self._inside >= 0:
            self._spoil("an element inside a member")
        elif tag.endswith(b"/>"):
            self._spans.append((end, end))
        else:
            self._inside = end
        if len(self._spans) > self._limits.members:
            self._spoil(f"more than {self._limits.members} members")

    def _text(self, data: bytes, pos: int, end: int) -> None:
        if self._trouble:
            return
        if self._inside < 0:
            if self._skeleton[-1] != b" ":
                self._skeleton.append(b" ")
            if data[pos:end].strip(_XML_SPACE):
                self._spoil("text beside the oneBLOB elements")
        elif data.find(b"&", pos, end) >= 0 or not (data.isascii() or data[pos:end].isascii()):
            self._spoil("bytes in a BLOB that are not base64")
        elif self._limits.strict_blobs and len(data[pos:end].translate(None, _CONTROL)) != end - pos:
            self._spoil("control characters in a BLOB")

    def _take(self, data: bytes, pos: int, end: int) -> None:
        size = end - pos
        self.size += size
        if self.size > self._limits.blob:
            raise FrameTooLarge("BLOB", size=self.size, limit=self._limits.blob, tag=self._tag.decode())
        if self._trouble:
            return
        if size < _SMALL or self._small:
            self._small += memoryview(data)[pos:end]
            if len(self._small) >= _PIECE:
                self._flush_small()
        else:
            self._chunks.append(data if size == len(data) else data[pos:end])

    def _flush_small(self) -> None:
        if self._small:
            self._chunks.append(bytes(self._small))
            self._small.clear()

    def _spoil(self, reason: str) -> None:
        """It will be dropped, for this reason."""
        if not self._trouble:
            self._trouble = reason
            self._chunks.clear()
            self._small.clear()

    def _unfinished(self, data: bytes, first: int, begin: int) -> None:
        """Another element begins."""
        if self.size + begin - first > self._limits.blob:
            self._take(data, first, begin)
        self.rest = data, begin
        raise self._malformed(self._trouble or "unfinished BLOB")

    def _malformed(self, reason: str) -> MalformedFrame:
        return MalformedFrame(reason, tag=self._tag.decode(), excerpt=excerpt(self._start_tag))

    def _tag_too_large(self, size: int) -> FrameTooLarge:
        return FrameTooLarge("tag in a BLOB", size=size, limit=self._limits.start_tag, tag=self._tag.decode())

    def frame(self) -> BlobFrame:
        """The finished frame.

        Raises:
            MalformedFrame: A tag is not well-formed, or there is something that is not base64.
        """
        if self._trouble:
            raise self._malformed(self._trouble)
        self._flush_small()
        skeleton = b"".join(self._skeleton)
        mended = repair(skeleton)
        address = check(mended, self._limits)
        if mended != skeleton:
            return self._mended(address, mended, encoding_of(skeleton))
        return BlobFrame(address, self._chunks, skeleton, self._spans)

    def _mended(self, address: Address, skeleton: bytes, encoding: str) -> BlobFrame:
        """The frame with its tags re-encoded; the base64 text stays as it is."""
        raw = b"".join(self._chunks)
        self._chunks.clear()  # it may be large
        chunks: list[bytes] = []
        spans: list[tuple[int, int]] = []
        last = size = 0
        for start, end in self._spans:
            tags = repair(raw[last:start], encoding)
            text = raw[start:end]
            chunks += [tags, text]
            size += len(tags)
            spans.append((size, size + len(text)))
            size += len(text)
            last = end
        chunks.append(repair(raw[last:], encoding))
        return BlobFrame(address, [chunk for chunk in chunks if chunk], skeleton, spans)
