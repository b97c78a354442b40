"""Bytes in, frames out: cuts a stream into elements.

The cost is linear in the bytes, however they are cut, and what is held is bounded: the framer
remembers how far it has searched, and keeps a BLOB in the pieces in which it arrived.

Only well-formed elements come out.  Between them it skips white space, XML declarations, comments
and junk.  The start of an INDI element begins a new one wherever it is, except in a comment
between elements: so a missing quote or end tag costs one element, not the stream.

What is beyond a limit ends the stream, unless the peer passes on what others send.  Then it is skipped: everything
after its first byte is dropped, up to its end tag or the start of an INDI element, wherever that is.
"""

from __future__ import annotations

import re
from typing import Final

from ..errors import FrameTooLarge, MalformedFrame, RemoteProtocolError
from .blobs import BLOB_TAGS, BlobCollector, BlobHook, HookAsSent
from .frame import Address, BlobFrame, Frame
from .limits import Limits, check_size
from .repair import repair
from .scan import (
    CUT_SHORT,
    DECLARATION,
    HEAD,
    LONGEST_END_OR_START,
    LONGEST_TAG_NAME,
    OTHER_PROTOCOL,
    SOUND,
    START,
    START_TAG,
    TAG_CUT_SHORT,
    TAG_END,
    TagWatch,
    end_or_start,
)
from .shapes import common_shapes
from .texts import excerpt
from .wellformed import check, make_address

__all__ = ["Framer", "Limits"]

_JUNK_SAMPLE: Final = 81  # one more than an excerpt shows
_CACHED_ADDRESSES: Final = 4096
_NEWLINE: Final = 10
_COPIED_BELOW: Final = 4096  # bytes for which copying is faster than creating a view


class Framer:
    """Cuts the bytes of one peer into frames.

    Args:
        limits: What it may send; see :class:`Limits`.
        as_sent: Leave the members of BLOB vectors as they are, for whoever judges the peer.
        lenient: The peer passes on what others send: what is beyond a limit is skipped, as one fault.
        blobs: What a link adds to the BLOBs it carries.

    Attributes:
        faults: The faults since the list was last emptied: the first `MAX_FAULTS`, and the one that
            made it fail; the user empties it.
        dropped: How many elements and runs of junk have been dropped so far.
        failed: The fault that ended the framing: the peer went beyond a limit and is not `lenient`, or the link gave
            up; from then on everything is ignored.
        apart: The frames returned last have to be handed on in more than one call.
    """

    MAX_FAULTS: Final = 16
    apart = False

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        as_sent: bool = False,
        lenient: bool = False,
        blobs: BlobHook | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.lenient = lenient
        self.faults: list[RemoteProtocolError] = []
        self.dropped = 0
        self.failed: RemoteProtocolError | None = None
        self._common, self._common_definition = common_shapes(self.limits)
        self._passing_frame = self.limits.passing_frame
        self._longest_beginning = min(self.limits.start_tag, self.limits.frame)
        self._blobs = blobs or (HookAsSent() if as_sent else BlobHook())
        self._held = bytearray()  # the beginning of an element whose end has not arrived
        self._waiting = False  # for what has to arrive before the held bytes are looked at again
        self._searched = 0  # offset in _held before which there is nothing to find
        self._wanted: re.Pattern[bytes] | bytes = b""  # what must arrive before searching again is worthwhile
        self._maybe_empty = False  # or, as its start tag has not ended, "/>" may come
        self._tag: TagWatch | None = None  # or this start tag has to end
        self._search_beyond = 0  # size of _held beyond which it is searched in any case
        self._blob: BlobCollector | None = None
        self._skipping: re.Pattern[bytes] | None = None  # what ends the skipping of something too large
        self._junk = 0  # bytes of junk in a row
        self._junk_sample = b""
        self._addresses: dict[tuple[bytes, bytes, bytes], Address] = {}

    @property
    def unfinished(self) -> int:
        """Bytes held of an element whose end has not arrived; 0 between elements."""
        return self._blob.size if self._blob else len(self._held)

    @property
    def is_within(self) -> bool:
        """Something has begun whose end has not arrived: an element, or what is skipped."""
        return bool(self._blob or self._held or self._skipping or self._junk)

    def sole(self, data: bytes) -> Address | None:
        """Its address, if one element that could be handed on as it is, and its newline, are all of the next bytes.

        Only for the commonest shape and addresses that have come before; None says nothing about others.
        """
        match = self._common.match(data)
        if match is None or match.start(1) or match.end() + 1 != len(data) or data[-1] != _NEWLINE:
            return None
        if self._held or self._blob or self._junk or self._skipping or self.failed or len(data) > self._passing_frame:
            return None
        tag, device, name = match.group(2, 3, 4)
        return self._addresses.get((tag, device, name))

    def passed_on(self, count: int) -> None:
        """Note that this many bytes, for which `sole` had an address, have been handed on."""

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes of the stream and return the frames that they complete."""
        frames: list[Frame] = []
        pos = 0
        if self._waiting:
            held = self._held
            held += data
            if len(held) <= self._search_beyond and (TAG_END not in data or not self._worth_looking(len(data))):
                return frames
            self._waiting = False
            data = bytes(held)
            held.clear()
        elif self.failed:
            return frames
        elif self._skipping is not None:
            data = bytes(self._held) + data
            self._held.clear()
            pos = self._pass_over(data, 0)
            if pos < 0:
                return frames
        elif self._blob:
            data, pos = self._feed_blob(data, 0, frames)
        searched = b""
        last_end = -1
        while pos < len(data):
            if data is not searched:  # and not again after each BLOB
                searched = data
                last_end = data.rfind(b"Vector>", pos)
            data, pos = self._cut(data, pos, last_end, frames)
        return frames

    def _worth_looking(self, new: int) -> bool:
        """Could the bytes held, the last `new` of which have just come, contain what is waited for?"""
        held, wanted, searched = self._held, self._wanted, self._searched
        if self._tag is not None:
            return self._tag.is_over(held)
        size = len(held)
        overlap = max(searched, size - LONGEST_END_OR_START)
        if isinstance(wanted, bytes):
            self._searched = overlap
            return held.find(wanted, searched) >= 0
        if wanted.search(held, searched) is not None or (self._maybe_empty and held.find(b"/>", size - new - 1) >= 0):
            return True
        begun = held.rfind(b"<", overlap)  # the tag that may still become the wanted one
        self._searched = begun if begun >= 0 else size
        return False

    def _cut(self, data: bytes, pos: int, last_end: int, frames: list[Frame]) -> tuple[bytes, int]:
        """Cut frames from data until a BLOB begins or more bytes are needed; returns where to go on.

        No vector ends after `last_end`, unless there is white space in its end tag.
        """
        match_shape, match_other = self._common.match, self._common_definition.match
        addresses = self._addresses
        passing = self._passing_frame
        append = frames.append
        done = b"", 0
        if self._junk:  # from earlier bytes; the white space after it counts too
            pos = self._skip(data, pos)
            if pos < 0:
                return done
        while True:
            # The shapes of nearly all traffic, framed, checked and read by one match.  Definitions come in
            # runs, so whichever shape has matched last is tried first.
            while pos <= last_end:
                match = match_shape(data, pos)
                if match is None:
                    match = match_other(data, pos)
                    if match is None:
                        break
                    match_shape, match_other = match_other, match_shape
                raw, tag, device, name = match.group(1, 2, 3, 4)
                if self._junk:
                    self._end_junk()
                if len(raw) > passing:
                    pos = self._take_element(data, match.start(1), match.end(), frames)
                    if pos < 0:
                        return done
                    continue
                append(Frame(addresses.get((tag, device, name)) or self._address((tag, device, name)), raw))
                pos = match.end()
            if len(data) - pos < 3 and not self._junk and not data[pos:].strip():
                return done  # the newline after the last element
            pos = self._cut_uncommon(data, pos, last_end, frames)
            if self._blob is not None:
                return self._feed_blob(data, pos, frames)
            if pos < 0:
                return done

    def _cut_uncommon(self, data: bytes, pos: int, last_end: int, frames: list[Frame]) -> int:
        """Cut one element that does not have a common shape, or skip what is before it.

        Returns:
            Where to go on (for a BLOB, after its start tag); -1 when more bytes are needed.
        """
        head = HEAD.match(data, pos)
        if head is None:
            return self._skip(data, pos)
        if self._junk:
            self._end_junk()
        name = head[1]
        pos = head.start(1) - 1
        if pos > last_end and self._hold_beginning(data, pos, name):
            return -1
        start = START_TAG.match(data, pos)
        if start is None:
            return self._unfinished_start(data, pos, name)
        end = start.end()
        if end - pos > self.limits.start_tag:
            return self._too_large("start tag", end - pos, self.limits.start_tag, data, pos)
        if data.startswith(b"/>", end - 2):
            return self._take_element(data, pos, end, frames)
        if name in BLOB_TAGS:
            self._blob = self._blobs.begin(name, start[0], self.limits)
            return end
        return self._cut_content(data, pos, end, name, frames)

    def _cut_content(self, data: bytes, pos: int, content: int, name: bytes, frames: list[Frame]) -> int:
        """Cut an element whose start tag ends at `content`; returns where to go on, or -1: more bytes are needed."""
        limit = self.limits.frame
        found = end_or_start(name).search(data, content)
        if found is None:
            behind = self._hold(data, pos, end_or_start(name), "unfinished element", limit)
            if behind < 0:
                self._searched = max(content - pos, self._searched)
            return behind
        if found[0].startswith(b"</"):
            return self._take_element(data, pos, found.end(), frames)
        # Another element begins before this one has ended.
        size = found.end() + 1 - pos
        if size > limit:
            return self._too_large("unfinished element", size, limit, data, pos)
        sample = excerpt(data[pos : found.start()])
        self.drop(MalformedFrame("unfinished element", tag=name.decode(), excerpt=sample))
        return found.start()

    def _take_element(self, data: bytes, pos: int, end: int, frames: list[Frame]) -> int:
        """Append this element if it is sound; returns where to go on, or -1 as `_too_large` does."""
        if end - pos > self.limits.frame:
            return self._too_large("element", end - pos, self.limits.frame, data, pos)
        self._judge(data[pos:end], frames)
        return end

    def _skip(self, data: bytes, pos: int) -> int:
        """Where the next known element starts; -1 when there is none, with the rest held or counted as junk."""
        limits = self.limits
        while True:
            begin = data.find(b"<", pos)
            if not self._count_junk(data[pos:begin] if begin >= 0 else data[pos:]):
                return self._too_much_junk(data, pos)
            if begin < 0:
                return -1
            if START.match(data, begin):
                return begin
            if data.startswith(b"<?", begin):
                declaration = DECLARATION.match(data, begin)
                assert declaration is not None
                pos = declaration.end()
                if not declaration[1] and pos == len(data):
                    return self._hold(data, begin, b">", "unfinished declaration", limits.start_tag)
                if pos - begin > limits.start_tag:
                    return self._too_large("declaration", pos - begin, limits.start_tag, data, begin)
                if not declaration[1] and not self._count_junk(data[begin:pos]):  # another tag begins before it ended
                    return self._too_much_junk(data, begin)
            elif data.startswith(b"<!--", begin):
                room = limits.junk - self._junk
                pos = data.find(b"-->", begin + 4) + 3
                if pos < 3:
                    return self._hold(data, begin, b"-->", "unfinished comment", room)
                if pos - begin > room:
                    return self._too_large("comments", self._junk + pos - begin, limits.junk, data, begin)
                self._junk += pos - begin  # legal, but bounded
            elif CUT_SHORT.match(data, begin):
                self._hold(data, begin, b"", "name", LONGEST_TAG_NAME + 1)
                self._search_beyond = 0
                return -1
            else:
                pos = begin + 1
                if not self._count_junk(b"<"):
                    return self._too_much_junk(data, begin)

    def _unfinished_start(self, data: bytes, pos: int, name: bytes) -> int:
        """A start tag without an end so far; returns -1 when it may still come, else where to go on."""
        sound = SOUND.match(data, pos)
        assert sound is not None
        resume = seen = sound.end()
        if not data.startswith(b"<", resume):  # the bytes end here, perhaps within a quoted value
            following = START.search(data, resume)
            if following is None:
                behind = self._hold(data, pos, b">", "unfinished start tag", self.limits.start_tag)
                if behind < 0:
                    self._tag = TagWatch(resume - pos, len(data) - pos)
                return behind
            resume, seen = following.start(), following.end()
        size = seen + 1 - pos
        if size > self.limits.start_tag:
            return self._too_large("start tag", size, self.limits.start_tag, data, pos)
        self.drop(MalformedFrame("broken start tag", tag=name.decode(), excerpt=excerpt(data[pos:resume])))
        return resume

    def _hold_beginning(self, data: bytes, pos: int, name: bytes) -> bool:
        """Hold the beginning of an element, unless it has to be examined whether it is only that."""
        wanted = end_or_start(name)
        limit = self._longest_beginning
        if (
            len(data) - pos > limit
            or name in BLOB_TAGS
            or data.find(b"/>", pos) >= 0
            or wanted.search(data, pos + 1) is not None
        ):
            return False
        self._hold(data, pos, wanted, "unfinished element", limit)
        self._maybe_empty = True
        return True

    def _hold(self, data: bytes, pos: int, wanted: re.Pattern[bytes] | bytes, what: str, limit: int) -> int:
        """Hold something unfinished until what is wanted may have arrived; returns -1, or as `_too_large` does."""
        size = len(data) - pos
        if size > limit:
            return self._too_large(what, size, limit, data, pos)
        self._held += data[pos:] if size < _COPIED_BELOW else memoryview(data)[pos:]
        self._waiting = True
        self._wanted = wanted
        self._maybe_empty = False
        self._tag = None
        self._search_beyond = limit
        self._searched = max(0, size - LONGEST_END_OR_START)
        return -1

    def _judge(self, raw: bytes, frames: list[Frame]) -> None:
        """Append the frame if the element is well-formed, or can be made so."""
        try:
            if len(raw) > self._passing_frame:
                check_size(raw, self.limits)
            match = self._common_definition.fullmatch(raw)
            if match is not None:
                tag, device, name = match.group(2, 3, 4)
                frames.append(Frame(self._address((tag, device, name)), raw))
                return
            if raw.isascii() and b"&#" not in raw and b"<!" not in raw and b"\x7f" not in raw:
                try:
                    frames.append(Frame(check(raw, self.limits), raw))
                    return
                except MalformedFrame:
                    mended = repair(raw)
                    if mended == raw:
                        raise
            else:
                mended = repair(raw)
            if len(mended) > self._passing_frame:
                check_size(mended, self.limits)
            frames.append(Frame(check(mended, self.limits), mended))
        except MalformedFrame as fault:
            self.drop(fault)

    def _feed_blob(self, data: bytes, pos: int, frames: list[Frame]) -> tuple[bytes, int]:
        """Give the bytes to the BLOB being collected; returns where to go on after it."""
        blob = self._blob
        assert blob is not None
        frame: BlobFrame | None = None
        try:
            rest = blob.feed(data, pos)
            if rest is None:
                return b"", 0
            self._blob = None
            frame = blob.frame()
        except FrameTooLarge as fault:
            self._blob = None
            data, pos = blob.rest
            pos = self._give_up(fault.with_traceback(None), data, pos, end_or_start(blob.tag))  # it holds the BLOB
            return (data, pos) if pos >= 0 else (b"", 0)
        except MalformedFrame as fault:
            self._blob = None
            self.drop(fault)
            rest = blob.rest
        frame = self._blobs.end(self, blob, frame, *rest)
        if frame is not None:
            frames.append(frame)
        return rest if self.failed is None else (b"", 0)

    def _address(self, key: tuple[bytes, bytes, bytes]) -> Address:
        """The address for a tag, device and name as they were received; one object for each."""
        address = self._addresses.get(key)
        if address is None:
            if len(self._addresses) >= _CACHED_ADDRESSES:  # a peer may invent names
                self._addresses.clear()
            tag, device, name = key
            address = self._addresses[key] = make_address(tag, device[1:-1], name[1:-1])
        return address

    def _count_junk(self, junk: bytes) -> bool:
        """Count junk, but white space only after other junk, so that cuts make no difference; False: not allowed."""
        if not self._junk_sample:
            junk = junk.lstrip()
        if not junk:
            return True
        if len(self._junk_sample) < _JUNK_SAMPLE:
            self._junk_sample += junk[: _JUNK_SAMPLE - len(self._junk_sample)]
        self._junk += len(junk)
        return self._junk <= self.limits.junk and not self._other_protocol

    @property
    def _other_protocol(self) -> bytes:
        """How the junk begins, if that is not allowed whatever follows; otherwise empty."""
        match = OTHER_PROTOCOL.match(self._junk_sample) if self.limits.only_indi else None
        return match[0] if match else b""

    def _too_much_junk(self, data: bytes, pos: int) -> int:
        if other := self._other_protocol:
            self.fail(MalformedFrame("HTTP or TLS, and not INDI", excerpt=excerpt(other)))
            return -1
        what = "text that belongs to no element"
        fault = FrameTooLarge(what, size=self._junk, limit=self.limits.junk, excerpt=excerpt(self._junk_sample))
        return self._give_up(fault, data, pos, START)

    def _end_junk(self) -> None:
        """A known element begins: report the run of junk before it, if any, as one fault."""
        if self._junk_sample:
            self.drop(MalformedFrame("text that belongs to no element", excerpt=excerpt(self._junk_sample.rstrip())))
        self._junk = 0
        self._junk_sample = b""

    def drop(self, fault: RemoteProtocolError) -> None:
        """An element, or a run of junk, has been dropped for this fault."""
        self.dropped += 1
        if len(self.faults) < self.MAX_FAULTS:
            self.faults.append(fault)

    def fail(self, fault: RemoteProtocolError) -> None:
        """Frame nothing more because of this fault."""
        if self.failed is None:
            self.failed = fault
            self.faults.append(fault)
        self._waiting = False
        self._held.clear()

    def _too_large(self, what: str, size: int, limit: int, data: bytes, pos: int) -> int:
        """Give up something that begins here and is too large; returns what `_give_up` does."""
        fault = FrameTooLarge(what, size=size, limit=limit, excerpt=excerpt(data[pos : pos + _JUNK_SAMPLE]))
        start = START.match(data, pos)
        return self._give_up(fault, data, pos + 1, end_or_start(start[0][1:]) if start else START)

    def _give_up(self, fault: FrameTooLarge, data: bytes, pos: int, until: re.Pattern[bytes]) -> int:
        """Fail, or skip what is too large, from here on; returns where it has ended, else -1.

        This depends only on where it began, and so not on how the bytes are cut.
        """
        self._junk = 0
        self._junk_sample = b""
        if self.lenient:
            self.drop(fault)
            self._skipping = until
            return self._pass_over(data, pos)
        self.fail(fault)
        return -1

    def _pass_over(self, data: bytes, pos: int) -> int:
        """Skip bytes; returns where skipping ends, or -1: not in these bytes, and what may begin its end is held."""
        assert self._skipping is not None
        found = self._skipping.search(data, pos)
        if found is None:
            rest = TAG_CUT_SHORT.search(data, max(pos, len(data) - LONGEST_END_OR_START))
            if rest is not None:
                self._held += rest[0]
            self._blobs.skipped(data, len(data) if rest is None else rest.start())
            return -1
        self._skipping = None
        end = found.end() if found[0].startswith(b"</") else found.start()
        self._blobs.skipped(data, end)
        return end
