"""Bytes in, frames out: cuts a stream into elements, whatever its pieces.

The cost is linear in the bytes, however they are cut, and what is held is bounded: the framer
remembers how far it has searched, and keeps a BLOB in the pieces in which it came.

Only well-formed elements come out.  Between them it skips white space, XML declarations, comments
and junk, and after a broken element it goes on at the next start of one it knows.
"""

from __future__ import annotations

import re
from typing import Final

from ..errors import FrameTooLarge, MalformedFrame, RemoteProtocolError
from .frame import Address, BlobFrame, Frame
from .tags import TAGS
from .wellformed import COMMON, COMMON_DEFINITION, Limits, check, excerpt, make_address, repair

__all__ = ["Framer", "Limits"]

_KNOWN: Final = "|".join(sorted(TAGS, key=len, reverse=True)).encode()
# The start of an element of INDI; what follows the name must end the name.
_START: Final = re.compile(rb"<(" + _KNOWN + rb")(?=[\s/>])")
# A whole start tag; a quoted value may hold anything but its quote.
_START_TAG: Final = re.compile(rb"""<[A-Za-z]++(?:[^"'<>]*+(?:"[^"]*+"|'[^']*+'))*[^"'<>]*+>""")
_END_OR_START: Final = {
    tag.encode(): re.compile(rb"</" + tag.encode() + rb"\s*+>|<(?:" + _KNOWN + rb")(?=[\s/>])") for tag in TAGS
}
_BLOB_TAGS: Final = {tag.text.encode() for tag in TAGS.values() if tag.is_blob}
_CACHED_ADDRESSES: Final = 4096
# What may become a known start tag, a declaration or a comment with the next bytes.
_CUT_SHORT: Final = re.compile(rb"<(?:[A-Za-z]{0,%d}+|!-?)\Z" % max(map(len, TAGS)))
# As much of a start tag as is sound; what stands behind it tells broken from unfinished.
_SOUND: Final = re.compile(rb"""<[A-Za-z]++(?:[^"'<>]*+(?:"[^"]*+"|'[^']*+'))*[^"'<>]*+""")
_SMALL: Final = 4096
_PIECE: Final = 1 << 16


_START_OR_END_TAG: Final = re.compile(rb"""</?([A-Za-z]++)(?:[^"'<>]*+(?:"[^"]*+"|'[^']*+'))*[^"'<>]*+>""")


class Framer:
    """Cuts the bytes of one peer into frames.

    Args:
        limits: What it may send; see :class:`Limits`.

    Attributes:
        faults: What was wrong since the list was last emptied, at most `MAX_FAULTS`; the user empties it.
        dropped: How many elements and runs of junk have been dropped so far.
        failed: Set when the peer went beyond a limit after which there is no going on;
            from then on everything is ignored.
    """

    MAX_FAULTS: Final = 16

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.faults: list[RemoteProtocolError] = []
        self.dropped = 0
        self.failed: FrameTooLarge | None = None
        self._held = bytearray()  # the beginning of an element whose end has not come
        self._searched = 0  # offset in _held before which there is nothing to find
        self._wanted: re.Pattern[bytes] | bytes = b""  # what must come before it is worth looking again
        self._blob: _BlobCollector | None = None
        self._junk = 0  # bytes of junk in a row
        self._junk_sample = b""
        self._addresses: dict[tuple[bytes, bytes, bytes], Address] = {}

    @property
    def unfinished(self) -> int:
        """Bytes held of an element whose end has not come; 0 between elements."""
        return self._blob.size if self._blob else len(self._held)

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes of the stream and return the frames that they complete."""
        frames: list[Frame] = []
        if self.failed:
            return frames
        if self._blob:
            data = self._feed_blob(data, frames)
        elif self._held:
            held = self._held
            held += data
            if not self._worth_looking():
                return frames
            data = bytes(held)
            held.clear()
        while data:
            data = self._cut(data, frames)
        return frames

    def _worth_looking(self) -> bool:
        """Could the bytes held contain the end of the element?  Searches only what is new."""
        held, wanted = self._held, self._wanted
        if isinstance(wanted, bytes):
            found = held.find(wanted, self._searched) >= 0
        else:
            found = wanted.search(held, self._searched) is not None
        if found:
            return True
        self._remember_search()
        return False

    def _remember_search(self) -> None:
        """All of what is held has been searched, but for an end that may be cut in two."""
        held, wanted = self._held, self._wanted
        if isinstance(wanted, bytes):
            self._searched = max(0, len(held) - len(wanted) + 1) if wanted else 0
            what, limit = "unfinished start tag, declaration or comment", self.limits.start_tag
        else:  # white space in an end tag may be of any length
            last = held.rfind(b"<", self._searched)
            self._searched = last if last >= 0 else len(held)
            what, limit = "unfinished element", self.limits.frame
        if len(held) > limit:
            self._fail(what, len(held), limit)

    def _cut(self, data: bytes, frames: list[Frame]) -> bytes:
        """Cut frames from data until a BLOB begins or more bytes are needed; returns what to go on with."""
        pos = 0
        match_common = COMMON.match
        addresses = self._addresses
        append = frames.append
        while True:
            # The shape that nearly all traffic has, framed, checked and read by one match.
            while (match := match_common(data, pos)) is not None:
                raw, tag, device, name = match.group(1, 2, 3, 4)
                address = addresses.get((tag, device, name)) or self._address((tag, device, name))
                if len(raw) > self.limits.frame:
                    self._fail("element", len(raw), self.limits.frame)
                    return b""
                append(Frame(address, raw))
                pos = match.end()
                self._junk = 0
            pos = self._next_start(data, pos)
            if pos < 0:
                return b""
            match = _START_TAG.match(data, pos)
            if match is None:
                pos = self._broken_or_unfinished_start(data, pos)
                if pos < 0:
                    return b""
                continue
            end = match.end()
            start = _START.match(data, pos)
            assert start is not None, "_next_start stops only at the start of a known element"
            name = start[1]
            if end - pos > self.limits.start_tag:
                self._fail("start tag", end - pos, self.limits.start_tag)
                return b""
            if data[end - 2] == 0x2F:  # "/>"
                self._judge(data[pos:end], frames)
                pos = end
            elif name in _BLOB_TAGS:
                self._end_junk()
                self._blob = _BlobCollector(name, match[0], self.limits)
                return self._feed_blob(data[end:], frames)
            else:
                found = _END_OR_START[name].search(data, end)
                if found is None:
                    self._hold(data, pos, _END_OR_START[name])
                    return b""
                if found[0].startswith(b"</"):
                    if found.end() - pos > self.limits.frame:
                        self._fail("element", found.end() - pos, self.limits.frame)
                        return b""
                    self._judge(data[pos : found.end()], frames)
                    pos = found.end()
                else:  # another element begins before this one ended
                    self._drop(MalformedFrame("unfinished element", tag=name.decode(), excerpt=excerpt(data[pos:])))
                    pos = found.start()

    def _next_start(self, data: bytes, pos: int) -> int:
        """Where the next known element starts; -1 when there is none, with the rest held or counted as junk."""
        while True:
            begin = data.find(b"<", pos)
            if begin < 0:
                self._count_junk(data[pos:])
                return -1
            if begin > pos:
                self._count_junk(data[pos:begin])
            if self.failed:
                return -1
            if _START.match(data, begin):
                self._end_junk()
                return begin
            if data.startswith(b"<?", begin):
                end = data.find(b"?>", begin)
                if end < 0:
                    return self._wait(data, begin, b"?>")
                pos = end + 2
            elif data.startswith(b"<!--", begin):
                end = data.find(b"-->", begin + 4)
                if end < 0:
                    return self._wait(data, begin, b"-->")
                self._junk += end + 3 - begin  # legal, but not without end
                pos = end + 3
                if self._junk > self.limits.junk:
                    self._fail("comments", self._junk, self.limits.junk)
                    return -1
            elif _CUT_SHORT.match(data, begin):
                return self._wait(data, begin, b"")
            else:
                self._count_junk(data[begin : begin + 1])
                pos = begin + 1

    def _broken_or_unfinished_start(self, data: bytes, pos: int) -> int:
        """A start tag without an end so far: -1 when it may still come, else where to go on."""
        sound = _SOUND.match(data, pos)
        assert sound is not None
        if data[sound.end() : sound.end() + 1] == b"<":
            resume = sound.end()
        else:  # the bytes end here, perhaps within a quoted value
            following = _START.search(data, pos + 1)
            if following is None:
                return self._wait(data, pos, b">")
            resume = following.start()
        self._drop(MalformedFrame("broken start tag", excerpt=excerpt(data[pos:resume])))
        return resume

    def _hold(self, data: bytes, pos: int, wanted: re.Pattern[bytes] | bytes) -> None:
        """Keep an unfinished element, declaration, comment or name until what is wanted may have come."""
        self._held += memoryview(data)[pos:]
        self._wanted = wanted
        self._searched = 0
        self._remember_search()

    def _wait(self, data: bytes, pos: int, wanted: bytes) -> int:
        self._hold(data, pos, wanted)
        return -1

    def _judge(self, raw: bytes, frames: list[Frame]) -> None:
        """Append the frame if the element is well-formed, or can be made so."""
        match = COMMON_DEFINITION.fullmatch(raw)
        if match is not None:
            frames.append(Frame(self._address(match.group(2, 3, 4)), raw))
            return
        try:
            if raw.isascii() and b"&#" not in raw and b"<!" not in raw:
                try:
                    frames.append(Frame(check(raw, self.limits), raw))
                    return
                except MalformedFrame:
                    mended = repair(raw)
                    if mended == raw:
                        raise
            else:
                mended = repair(raw)
            frames.append(Frame(check(mended, self.limits), mended))
        except MalformedFrame as fault:
            self._drop(fault)

    def _feed_blob(self, data: bytes, frames: list[Frame]) -> bytes:
        """Give the bytes to the BLOB being collected; returns what lies behind it."""
        blob = self._blob
        assert blob is not None
        try:
            rest = blob.feed(data)
        except FrameTooLarge as fault:
            self._blob = None
            self.failed = fault
            self._note(fault)
            return b""
        except MalformedFrame as fault:
            self._blob = None
            self._drop(fault)
            return blob.rest
        if rest is None:
            return b""
        self._blob = None
        try:
            frames.append(blob.frame())
        except MalformedFrame as fault:
            self._drop(fault)
        return rest

    def _address(self, key: tuple[bytes, bytes, bytes]) -> Address:
        """The address for a tag, device and name as they stand on the wire; one object for each."""
        address = self._addresses.get(key)
        if address is None:
            if len(self._addresses) >= _CACHED_ADDRESSES:  # a peer that invents names
                self._addresses.clear()
            tag, device, name = key
            address = self._addresses[key] = make_address(tag, device[1:-1], name[1:-1])
        return address

    def _count_junk(self, junk: bytes) -> None:
        if junk.isspace() or not junk:
            return
        if len(self._junk_sample) < 80:
            self._junk_sample += junk[: 80 - len(self._junk_sample)]
        self._junk += len(junk)
        if self._junk > self.limits.junk:
            self._fail("text that belongs to no element", self._junk, self.limits.junk)

    def _end_junk(self) -> None:
        """A known element begins: report the run of junk before it, if any, as one fault."""
        if self._junk_sample:
            self._drop(MalformedFrame("text that belongs to no element", excerpt=excerpt(self._junk_sample.strip())))
        self._junk = 0
        self._junk_sample = b""

    def _drop(self, fault: RemoteProtocolError) -> None:
        self.dropped += 1
        self._note(fault)

    def _note(self, fault: RemoteProtocolError) -> None:
        if len(self.faults) < self.MAX_FAULTS:
            self.faults.append(fault)

    def _fail(self, what: str, size: int, limit: int) -> None:
        self.failed = FrameTooLarge(what, size=size, limit=limit, excerpt=excerpt(bytes(self._held[:80])))
        self._held.clear()
        self._blob = None
        self._note(self.failed)


class _BlobCollector:
    """A setBLOBVector or newBLOBVector on its way in.

    The tags go to a skeleton, which is checked like any element; the base64 text between the tags
    is kept in the pieces in which it came and only searched for ``<`` and ``&``.
    """

    def __init__(self, tag: bytes, start_tag: bytes, limits: Limits) -> None:
        self.rest = b""
        self.size = len(start_tag)
        self._tag = tag
        self._limits = limits
        self._chunks: list[bytes] = [start_tag]
        self._small = bytearray()  # pieces too small to be kept one by one
        self._skeleton: list[bytes] = [start_tag]
        self._spans: list[tuple[int, int]] = []
        self._inside = -1  # offset at which the base64 text began, or -1 outside a oneBLOB
        self._part = b""  # a tag whose ">" has not come
        self._trouble = ""

    def feed(self, data: bytes) -> bytes | None:
        """Returns what lies behind the element, or None when its end has not come."""
        if self._part:
            data, self._part = self._part + data, b""
        pos = 0
        while True:
            begin = data.find(b"<", pos)
            end = len(data) if begin < 0 else begin
            if end > pos:
                self._text(data, pos, end)
            if begin < 0:
                self._take(data, 0, len(data))
                return None
            if data.startswith(b"<!--", begin) or data.startswith(b"<?", begin):
                self.rest = data[begin + 1 :]
                raise MalformedFrame("a comment or declaration in a BLOB", tag=self._tag.decode())
            match = _START_OR_END_TAG.match(data, begin)
            if match is None:
                following = _START.search(data, begin)
                if following is not None:
                    self._unfinished(data, following.start())
                if len(data) - begin > self._limits.start_tag:
                    raise FrameTooLarge(
                        "start tag in a BLOB", size=len(data) - begin, limit=self._limits.start_tag, tag=self._tag.decode()
                    )
                self._take(data, 0, begin)
                self._part = data[begin:]
                return None
            if _START.match(data, begin):
                self._unfinished(data, begin)
            tag = match[0]
            pos = match.end()
            offset = self.size + begin
            self._skeleton.append(tag)
            if tag.startswith(b"</"):
                if match[1] == self._tag:
                    self._take(data, 0, pos)
                    return data[pos:]
                if self._inside >= 0:
                    self._spans.append((self._inside, offset))
                    self._inside = -1
            elif not tag.endswith(b"/>"):
                self._inside = self.size + pos
            else:
                self._spans.append((self.size + pos, self.size + pos))
            if len(self._spans) > self._limits.members:
                self.rest = data[pos:]
                raise MalformedFrame(f"more than {self._limits.members} members", tag=self._tag.decode())

    def _text(self, data: bytes, pos: int, end: int) -> None:
        if self._inside < 0:
            if self._skeleton[-1] != b" ":
                self._skeleton.append(b" ")
            if not data[pos:end].isspace():
                self._trouble = "text beside the oneBLOB elements"
        elif data.find(b"&", pos, end) >= 0 or not (data.isascii() or data[pos:end].isascii()):
            self._trouble = "bytes in a BLOB that are not base64"

    def _take(self, data: bytes, pos: int, end: int) -> None:
        if end - pos < _SMALL or self._small:
            self._small += memoryview(data)[pos:end]
            if len(self._small) >= _PIECE:
                self._flush_small()
        else:
            self._chunks.append(data if end - pos == len(data) else data[pos:end])
        self.size += end - pos
        if self.size > self._limits.blob:
            raise FrameTooLarge("BLOB", size=self.size, limit=self._limits.blob, tag=self._tag.decode())

    def _flush_small(self) -> None:
        if self._small:
            self._chunks.append(bytes(self._small))
            self._small.clear()

    def _unfinished(self, data: bytes, begin: int) -> None:
        self.rest = data[begin:]
        raise MalformedFrame("unfinished BLOB", tag=self._tag.decode(), excerpt=excerpt(self._chunks[0]))

    def frame(self) -> BlobFrame:
        """The finished frame.

        Raises:
            MalformedFrame: A tag is not well-formed, or there is something that is not base64.
        """
        self._flush_small()
        skeleton = b"".join(self._skeleton)
        mended = repair(skeleton)
        address = check(mended, self._limits)
        if self._trouble:
            raise MalformedFrame(self._trouble, tag=self._tag.decode(), excerpt=excerpt(skeleton))
        if mended != skeleton:
            return self._mended(address, mended)
        return BlobFrame(address, self._chunks, skeleton, self._spans)

    def _mended(self, address: Address, skeleton: bytes) -> BlobFrame:
        """The frame with its tags re-encoded; the base64 text stays as it is."""
        raw = b"".join(self._chunks)
        chunks: list[bytes] = []
        spans: list[tuple[int, int]] = []
        last = size = 0
        for start, end in self._spans:
            tags = repair(raw[last:start])
            text = raw[start:end]
            chunks += [tags, text]
            size += len(tags)
            spans.append((size, size + len(text)))
            size += len(text)
            last = end
        chunks.append(repair(raw[last:]))
        return BlobFrame(address, [chunk for chunk in chunks if chunk], skeleton, spans)
