"""Incoming BLOBs: collected in pieces, checked at their tags."""

from __future__ import annotations

from typing import ClassVar, Final, NoReturn, Protocol

from ..errors import FrameTooLarge, MalformedFrame, RemoteProtocolError
from .blobtags import fits, is_attached, look_at, mend_attached, mend_command, mend_update, tidied
from .frame import BlobFrame, parts
from .limits import Limits, check_size
from .repair import encoding_of, repair
from .scan import SOUND, START, START_TAG, TAG_END, WHITE_SPACE, TagWatch
from .tags import TAGS
from .texts import excerpt
from .wellformed import check

__all__ = ["BLOB_TAGS", "BlobAsSent", "BlobCollector", "BlobHook", "HookAsSent", "HookedFramer"]

BLOB_TAGS: Final = frozenset(tag.text.encode() for tag in TAGS.values() if tag.is_blob)

_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_SMALL_PIECE: Final = 4096
_GATHERED: Final = 1 << 16


class BlobCollector:
    """A setBLOBVector or newBLOBVector whose end has not arrived.

    The tags go to a skeleton, which is checked like any element; the base64 text between them is kept
    in the pieces in which it arrived, and only searched for what XML does not allow in text.  Once
    something is wrong nothing more is kept, but the bytes still count, up to the end of the element.
    The result is in a form that all readers accept, see :mod:`indipydriver.protocol.blobtags`.

    Args:
        tag: Its name.
        start_tag: Its start tag.
        limits: What the peer may send.

    Attributes:
        tag: As given.
        size: Bytes taken so far.
        rest: Where to go on after :meth:`feed` has raised or returned.  After a FrameTooLarge this does not depend on
            how the bytes were cut.
        takes_descriptors: The link passes descriptors, so data may be attached.
        as_sent: The members stay as they are.
    """

    takes_descriptors: ClassVar[bool] = False
    as_sent: ClassVar[bool] = False

    def __init__(self, tag: bytes, start_tag: bytes, limits: Limits) -> None:
        self.rest: tuple[bytes, int] = (b"", 0)
        self.size = len(start_tag)
        self.tag = tag
        self._start_tag = start_tag
        self._limits = limits
        self._is_command = tag.startswith(b"new")
        self._strict = limits.strict_blobs or (self._is_command and not self.as_sent)
        self._chunks: list[bytes] = [start_tag]
        self._small = bytearray()  # pieces too small to be kept separately
        self._skeleton: list[bytes] = [start_tag]
        self._markup = len(start_tag)  # bytes of all tags
        self._most_markup = limits.passing_frame
        self._starts: list[int] = []  # where the start tags of the members are in the skeleton
        self._spans: list[tuple[int, int]] = []
        self._spaced: set[int] = set()  # members with white space in their text, if that is looked for
        self._padding = 0  # how many "=" the text has had, if that is looked for
        self._inside = -1  # offset at which the base64 text began, or -1 outside a oneBLOB
        self._part = bytearray()  # a tag whose ">" has not arrived
        self._watch: TagWatch | None = None  # finds that ">" if the tag can be well-formed
        self._trouble = ""

    def feed(self, data: bytes, pos: int) -> tuple[bytes, int] | None:
        """Take the bytes from `pos` on.

        Returns:
            Bytes and the offset in them at which the element has ended, or None when its end has not arrived.

        Raises:
            MalformedFrame: Another element begins before it has ended.
            FrameTooLarge: It, or one of its tags, is beyond a limit.
        """
        if self._part:
            self._part += data[pos:]
            if len(self._part) <= self._limits.start_tag and (TAG_END not in data or not self._worth_looking()):
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
                self._tag_too_large(data, first, begin, pos - begin)
            offset = self.size - first
            self._note_tag(match[0], match[1], offset + begin, offset + pos)
            if match[1] == self.tag and data.startswith(b"</", begin):
                self._take(data, first, pos)
                self.rest = data, pos
                return self.rest

    def _worth_looking(self) -> bool:
        return self._watch is None or self._watch.is_over(self._part)

    def _no_tag(self, data: bytes, first: int, begin: int) -> int:
        """A "<" without a whole tag: -1 if it may still become one, otherwise where to go on."""
        sound = SOUND.match(data, begin)
        end = sound.end() if sound else begin + 1
        if sound is None and (end == len(data) or (end + 1 == len(data) and data.endswith(b"</"))):
            end = len(data)
        elif sound is None or data.startswith(b"<", end):
            self._spoil("a comment, a declaration or a broken tag in a BLOB")
            if end + 1 - begin > self._limits.start_tag:
                self._tag_too_large(data, first, begin, end + 1 - begin)
            return end
        following = START.search(data, end)
        if following is not None:
            if following.end() + 1 - begin > self._limits.start_tag:
                self._tag_too_large(data, first, begin, following.end() + 1 - begin)
            self._unfinished(data, first, following.start())
        if len(data) - begin > self._limits.start_tag:
            self._tag_too_large(data, first, begin, len(data) - begin)
        self._take(data, first, begin)
        self._part += memoryview(data)[begin:]
        self._watch = TagWatch(sound.end() - begin, len(self._part)) if sound else None
        return -1

    def _note_tag(self, tag: bytes, name: bytes, begin: int, end: int) -> None:
        """Record a tag from offset `begin` to `end` of the element."""
        if self._trouble:
            return
        self._skeleton.append(tag)
        self._markup += len(tag)
        if self._markup > self._most_markup:
            self._spoil(f"tags of more than {self._most_markup} bytes in a BLOB")
        if tag.startswith(b"</"):
            if self._inside >= 0:
                self._spans.append((self._inside, begin))
            elif name != self.tag:
                self._spoil("an end tag without its start in a BLOB")
            self._inside = -1
        elif self._inside >= 0:
            self._spoil("an element inside a member")
        else:
            self._starts.append(len(self._skeleton) - 1)
            if tag.endswith(b"/>"):
                self._spans.append((end, end))
            else:
                self._inside = end
                self._padding = 0
        if len(self._spans) > self._limits.members:
            self._spoil(f"more than {self._limits.members} members")

    def _text(self, data: bytes, pos: int, end: int) -> None:
        if self._trouble:
            return
        if self._inside < 0:
            if self._skeleton[-1] != b" ":
                self._skeleton.append(b" ")
            if data[pos:end].strip(WHITE_SPACE):
                self._spoil("text beside the oneBLOB elements")
        elif data.find(b"&", pos, end) >= 0 or not (data.isascii() or data[pos:end].isascii()):
            self._spoil("bytes in a BLOB that are not base64")
        elif self._strict:
            others = data[pos:end].translate(None, _BASE64)
            if others.strip(WHITE_SPACE):
                self._spoil("bytes in a BLOB that are not base64")
            elif others:
                self._spaced.add(len(self._starts) - 1)
            if self._padding or data.find(b"=", pos, end) >= 0:
                self._pad(data[pos:end])

    def _pad(self, text: bytes) -> None:
        """Padding has begun: nothing else may follow, and there are at most two."""
        if not self._padding:
            text = text[text.index(b"=") :]
        self._padding += text.count(b"=")
        if self._padding > 2 or text.translate(None, b"=" + WHITE_SPACE):
            self._spoil("base64 that goes on after its padding")

    def _take(self, data: bytes, pos: int, end: int) -> None:
        size = end - pos
        self.size += size
        if self.size > self._limits.blob:
            self.rest = data, max(pos, end - (self.size - self._limits.blob))  # the first byte beyond the limit
            raise self._beyond("BLOB", self.size, self._limits.blob)
        if self._trouble:
            return
        if size < _SMALL_PIECE or self._small:
            self._small += memoryview(data)[pos:end]
            if len(self._small) >= _GATHERED:
                self._flush_small()
        else:
            self._chunks.append(data if size == len(data) else data[pos:end])

    def _flush_small(self) -> None:
        if self._small:
            self._chunks.append(bytes(self._small))
            self._small.clear()

    def _spoil(self, reason: str) -> None:
        """Note that it will be dropped, for this reason."""
        if not self._trouble:
            self._trouble = reason
            self._chunks.clear()
            self._small.clear()
            self._skeleton.clear()

    def _unfinished(self, data: bytes, first: int, begin: int) -> None:
        """Fail because another element begins."""
        if self.size + begin - first > self._limits.blob:
            self._take(data, first, begin)
        self.rest = data, begin
        raise self._malformed(self._trouble or "unfinished BLOB")

    def _malformed(self, reason: str) -> MalformedFrame:
        return MalformedFrame(reason, tag=self.tag.decode(), excerpt=excerpt(self._start_tag))

    def _tag_too_large(self, data: bytes, first: int, begin: int, size: int) -> NoReturn:
        self._take(data, first, begin)  # which may already be beyond the limit
        self.rest = data, begin + 1
        raise self._beyond("tag in a BLOB", size, self._limits.start_tag)

    def _beyond(self, what: str, size: int, limit: int) -> FrameTooLarge:
        return FrameTooLarge(what, size=size, limit=limit, tag=self.tag.decode())

    def frame(self) -> BlobFrame:
        """The finished frame.

        Raises:
            MalformedFrame: A tag is not well-formed, something is not base64, or what a tag says about the data is
                wrong and cannot be corrected.
        """
        if self._trouble:
            raise self._malformed(self._trouble)
        self._flush_small()
        skeleton = b"".join(self._skeleton)
        mended = repair(skeleton)
        check_size(mended, self._limits)
        address = check(mended, self._limits)
        encoding = None if mended == skeleton else encoding_of(skeleton)
        tags: list[bytes] = []
        texts: list[list[bytes] | None] = []
        for index, pieces in enumerate(parts(self._chunks, self._spans)):
            tag = self._skeleton[self._starts[index]]
            try:
                tag, text = self._member(index, repair(tag, encoding) if encoding else tag, pieces)
            except MalformedFrame as fault:
                raise self._malformed(fault.reason) from None
            tags.append(tag)
            texts.append(text)
        if (
            encoding is None
            and all(text is None for text in texts)
            and tags == [self._skeleton[start] for start in self._starts]
        ):
            return BlobFrame(address, self._chunks, skeleton, self._spans)
        return self._rebuilt(tags, texts, encoding)

    def _member(self, index: int, tag: bytes, pieces: list[memoryview]) -> tuple[bytes, list[bytes] | None]:
        """The start tag of a member to pass on, and its text, or None when that is unchanged."""
        if self.as_sent:
            return tag, None
        start, end = self._spans[index]
        length = end - start
        # Judged by the tag as received, like the count of descriptors: a repair could make one attached that has none.
        if self.takes_descriptors and is_attached(self._skeleton[self._starts[index]]):
            if tidied(pieces)[1].characters:
                raise MalformedFrame("an attached BLOB with data")
            return mend_attached(tag, self._is_command), None
        text = None if self._strict and index in self._spaced else look_at(pieces, length)
        kept: list[bytes] | None = None
        if text is None or not (self._strict or fits(tag, text)):
            kept, text = tidied(pieces)
            if text.characters == length:
                kept = None
        return (mend_command if self._is_command else mend_update)(tag, text), kept

    def _rebuilt(self, tags: list[bytes], texts: list[list[bytes] | None], encoding: str | None) -> BlobFrame:
        """The frame with these start tags and texts instead of its own.

        Raises:
            MalformedFrame: With these, the frame is beyond a limit.
        """
        between = zip(
            [0, *(end for _, end in self._spans)], [*(start for start, _ in self._spans), self.size], strict=True
        )
        members = parts(self._chunks, self._spans)
        chunks: list[bytes] = []
        skeleton: list[bytes] = []
        spans: list[tuple[int, int]] = []
        size = 0
        for index, pieces in enumerate(parts(self._chunks, between)):
            markup = b"".join(pieces)
            if index < len(tags):
                markup = markup[: -len(self._skeleton[self._starts[index]])]
            if encoding:
                markup = repair(markup, encoding)
            if index < len(tags):
                markup += tags[index]
            chunks.append(markup)
            skeleton.append(markup)
            size += len(markup)
            if index < len(tags):
                text = texts[index]
                whole = next(members)
                chunks += [_bytes_of(piece) for piece in whole] if text is None else text
                begin = size
                size += sum(map(len, whole)) if text is None else sum(map(len, text))
                spans.append((begin, size))
        if size > self._limits.blob:
            raise self._malformed(f"a BLOB of more than {self._limits.blob} bytes")
        mended = b"".join(skeleton)
        check_size(mended, self._limits)
        return BlobFrame(check(mended, self._limits), chunks, mended, spans)


class BlobAsSent(BlobCollector):
    """A collector that leaves the members as they are, for whoever judges the peer."""

    as_sent = True


def _bytes_of(piece: memoryview) -> bytes:
    """The bytes of a view; not copied when the view covers a whole object."""
    whole = piece.obj
    return whole if isinstance(whole, bytes) and len(piece) == len(whole) else bytes(piece)


class HookedFramer(Protocol):
    """What a hook needs of its framer; see :class:`~.framer.Framer`."""

    limits: Limits
    lenient: bool
    failed: RemoteProtocolError | None

    def drop(self, fault: RemoteProtocolError) -> None:
        """Report what has been dropped."""

    def fail(self, fault: RemoteProtocolError) -> None:
        """Frame nothing more because of this fault."""


class BlobHook:
    """What a framer leaves to its link when a BLOB begins; this one is for links that carry only bytes."""

    def begin(self, tag: bytes, start_tag: bytes, limits: Limits) -> BlobCollector:
        """A BLOB vector begins; returns its collector."""
        return BlobCollector(tag, start_tag, limits)

    def end(
        self, framer: HookedFramer, blob: BlobCollector, frame: BlobFrame | None, data: bytes, pos: int
    ) -> BlobFrame | None:
        """A BLOB vector has ended, and what follows it is in the data from `pos` on.

        Args:
            framer: Whose BLOB it is.
            blob: Its collector.
            frame: Its frame, or None if it was malformed and has been dropped.
            data: Received bytes.
            pos: Offset in them.

        Returns:
            The frame to hand on, if any.
        """
        return frame

    def skipped(self, data: bytes, pos: int) -> None:
        """What was beyond a limit has been skipped up to `pos`; there may be more of it to skip."""


class HookAsSent(BlobHook):
    """Leaves the members of BLOB vectors as they are."""

    def begin(self, tag: bytes, start_tag: bytes, limits: Limits) -> BlobCollector:
        return BlobAsSent(tag, start_tag, limits)
