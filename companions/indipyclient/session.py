"""One connection: received frames become messages, in order; messages are sent."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Protocol
from xml.etree import ElementTree as ET

from indipydriver.errors import RemoteProtocolError
from indipydriver.protocol.decode import decode
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch, BlobFrame, Frame
from indipydriver.protocol.messages import AnyMessage, NewVector, OneBlob, Ping, SetVector
from indipydriver.transport.framed import FramedLink
from indipydriver.transport.link import LOW_WATER, SLICE, Link

from .quick import read

__all__ = ["Owner", "Sending", "Session"]

LARGE: Final = 1 << 20
"""Bytes of a BLOB frame that is decoded in a thread, so that the loop goes on."""
LARGE_TO_SEND: Final = 256 << 10
ANSWERS: Final = 1 << 20
"""Bytes of answers that may wait for a server that takes nothing; beyond that, it is not read."""
_ANSWERS: Final = "answers"
SLOWEST: Final = 8 << 10
"""Bytes per second of a slow line."""
UNSEEN: Final = 2 << 20
"""Bytes that have been sent and may still wait in the system."""
LAST_BYTES: Final = 5.0
"""Seconds, when the client ends, in which a server must take some of what waits, and all of a send in progress."""
LEAVING: Final = 30.0
"""Seconds in which it must take everything that has been sent."""
LOOK: Final = 0.05
"""Seconds between checks whether a message has gone while others wait behind it."""


class Sending:
    """The progress of a message that was passed to :meth:`Session.send`.

    Args:
        on_begun: Called when the message is in the link's queue: what is sent from then on comes later.

    Attributes:
        end: Bytes that the link has sent, about, once the message has gone.
    """

    def __init__(self, on_begun: Callable[[], None] = lambda: None) -> None:
        self.end = 0
        self._on_begun = on_begun
        self._link: Link | None = None
        self._gone = False

    def begin(self, link: Link) -> None:
        """The message has just been written to this link."""
        self._link, self.end = link, link.bytes_sent + link.unsent
        self._on_begun()

    @property
    def begun(self) -> bool:
        """The message is in the link's queue, or has gone."""
        return self._link is not None

    @property
    def gone(self) -> bool:
        """Nearly all of it has been handed to the system, whatever waits behind it."""
        link = self._link
        if link is not None and not self._gone:
            self._gone = link.unsent <= LOW_WATER or link.bytes_sent >= self.end
        return self._gone


class Owner(Protocol):
    """The owner of a session."""

    @property
    def over(self) -> bool:
        """Whether it wants nothing more."""

    def message_received(self, message: AnyMessage, size: int) -> None:
        """Take a message, in order; its element had this many bytes."""

    def batch_received(self) -> None:
        """Called when everything from one read has been handed on."""

    def fault_received(self, fault: RemoteProtocolError) -> None:
        """Called when something was skipped."""

    def pong_received(self, uid: str) -> None:
        """Called when the server has answered this ping."""


class Session:
    """The use of one link.

    Args:
        link: Connected, but not opened.
        owner: Receives the messages.

    Attributes:
        closed: Done when the link is gone; its result is why, or None.
        last: When something was last understood, in the loop's time.
        messages: How many were understood.
    """

    def __init__(self, link: Link, owner: Owner) -> None:
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[Exception | None] = self._loop.create_future()
        self.last = self._loop.time()
        self.messages = 0
        self._link = link
        self._owner = owner
        self._backlog: deque[Frame] = deque()
        self._holds: set[str] = set()  # why nothing is read
        self._decoding: asyncio.Task[None] | None = None
        self._drained = asyncio.Event()
        self._answers = 0  # bytes of them that were sent while the server was slow to take anything
        self._looked = self._alive = self.last
        self._left = False  # nothing more will be handed on
        self._under_way = 0  # bytes that were sent since the server was last heard
        self._progress = (0, 0)
        self._told = 0  # bytes sent once everything has gone that was reported as sent

    def open(self) -> None:
        """Begin to read."""
        self._link.open(self)

    @property
    def bytes_received(self) -> int:
        return self._link.bytes_received

    @property
    def bytes_sent(self) -> int:
        return self._link.bytes_sent

    @property
    def unsent(self) -> int:
        """Bytes that wait for the server to take them."""
        return self._link.unsent

    # Output

    async def send(self, message: AnyMessage, sending: Sending | None = None) -> None:
        """Send a message; returns when nearly all of it has been handed to the system.

        Args:
            message: What to send.
            sending: Shows the progress meanwhile.

        Raises:
            LocalProtocolError: It cannot be sent.
        """
        if isinstance(message, NewVector) and any(
            isinstance(one, OneBlob) and len(one.data) > LARGE_TO_SEND for one in message.members
        ):
            self.put(await asyncio.to_thread(encode, message))
        else:
            self.put(encode(message))
        sending = sending or Sending()
        sending.begin(self._link)
        while not sending.gone and not self.closed.done():
            self._drained.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._drained.wait()
        held = 2 * SLICE if self._link.unsent > LOW_WATER else 0  # which the transport may hold uncounted
        self._told = max(self._told, sending.end + held)

    def put(self, frame: Frame) -> None:
        """Send a frame without waiting."""
        self._link.write(Batch([frame]))
        self._link.flush()

    def answer(self, frame: Frame) -> None:
        """Send an answer that the server's message requires."""
        self.put(frame)
        if self._link.unsent > LOW_WATER:
            self._answers += len(frame.raw)
            if self._answers > ANSWERS:
                self.hold(_ANSWERS, True)

    def alive(self) -> float:
        """When the server last showed that it is alive, in the loop's time.

        A large BLOB is on its way for minutes, in or out, and nothing is understood meanwhile: what has come since
        this was last called counts as of now, and what was sent takes its time.  It is not the server's fault either
        when nothing is read.
        """
        now = self._loop.time()
        link = self._link
        came, went = link.bytes_received - self._progress[0], link.bytes_sent - self._progress[1]
        self._progress = link.bytes_received, link.bytes_sent
        if self.last >= self._looked:  # the bytes were those, as far as anybody knows
            came = self._under_way = 0
        self._looked = now
        self._under_way = min(self._under_way + went, UNSEEN)
        if came or (went and link.unsent) or self._holds - {_ANSWERS}:
            self._alive = now
        return min(max(self._alive, self.last) + self._under_way / SLOWEST, now)

    async def leave(self) -> None:
        """Send what waits, then end, without waiting for a server that takes nothing or too little.

        What is still being sent, such as a large file, goes out only if that is quick: nobody has been told that it is
        sent.
        """
        self._left = True
        link = self._link
        is_told = link.unsent <= LOW_WATER or link.bytes_sent < self._told
        until = self._loop.time() + (LEAVING if is_told else LAST_BYTES)
        link.close()
        try:
            while not self.closed.done() and (wait := until - self._loop.time()) > 0:
                sent = link.bytes_sent
                await asyncio.wait([self.closed], timeout=min(wait, LAST_BYTES))
                if link.bytes_sent == sent:
                    break
        finally:
            link.abort()

    def abort(self, *, unanswered: bool = False) -> None:
        """End at once.

        Args:
            unanswered: The server does not answer: a command that is still on its way to it must not come later.
        """
        if unanswered and isinstance(self._link, FramedLink):
            self._link.drop_when_ended()
        self._link.abort()

    # Input; called by the link

    def frames_received(self, frames: list[Frame]) -> None:
        if self._backlog or self._decoding is not None:
            self._backlog += frames
        else:
            self._take(frames)

    def fault_received(self, fault: RemoteProtocolError) -> None:
        self._owner.fault_received(fault)

    def link_drained(self) -> None:
        self._drained.set()
        self._answers = 0
        self.hold(_ANSWERS, False)

    def link_closed(self, error: Exception | None) -> None:
        self._drained.set()
        self._finish(error)

    def _finish(self, error: Exception | None) -> None:
        if self._decoding is not None:  # what came before the end counts
            self._decoding.add_done_callback(lambda _: self._finish(error))
        elif not self.closed.done():
            self.closed.set_result(error)

    def _take(self, frames: Iterable[Frame]) -> None:
        """Hand on messages; stop at a large BLOB until it has been decoded."""
        waiting = iter(frames)
        self.last = self._loop.time()
        for frame in waiting:
            if isinstance(frame, BlobFrame) and (frame.size > LARGE or frame.in_files):
                self._backlog.extend(waiting)
                self.hold("blob", True)
                self._decoding = self._loop.create_task(self._decode_large(frame))
                break
            try:
                message = read(frame)
            except RemoteProtocolError as fault:
                self._owner.fault_received(fault)
                continue
            except (MemoryError, RecursionError) as error:
                self._owner.fault_received(RemoteProtocolError(f"an element that cannot be read: {error!r}"))
                continue
            self._hand_on(message, frame.size)
        self._owner.batch_received()

    async def _decode_large(self, frame: BlobFrame) -> None:
        message: AnyMessage | None = None
        try:
            message = await asyncio.to_thread(_decode_blob, frame)
        except RemoteProtocolError as fault:
            self._owner.fault_received(fault)
        except Exception as error:  # including a lack of memory for it; the next message is not affected
            self._owner.fault_received(RemoteProtocolError(f"a BLOB that cannot be read: {error!r}"))
        self._decoding = None
        frames, self._backlog = self._backlog, deque()
        if self._left or self._owner.over:  # meanwhile
            return
        if message is not None:
            self._hand_on(message, frame.size)
        self._take(frames)
        if self._decoding is None:
            self.hold("blob", False)

    def _hand_on(self, message: AnyMessage, size: int) -> None:
        self.messages += 1
        if type(message) is Ping:
            if message.reply:
                self._owner.pong_received(message.uid)
            else:
                self.answer(encode(Ping(message.uid, reply=True)))
            return
        self._owner.message_received(message, size)

    def hold(self, reason: str, on: bool) -> None:
        """Do not read while there is a reason to wait."""
        before = bool(self._holds)
        (self._holds.add if on else self._holds.discard)(reason)
        if self.closed.done() or before == bool(self._holds):
            return
        if self._holds:
            self._link.pause_reading()
        else:
            self._alive = self._loop.time()
            self._link.resume_reading()


def _decode_blob(frame: BlobFrame) -> AnyMessage:
    if not frame.in_files:
        return decode(frame)
    from indipydriver.transport.memoryfile import AttachedFrame

    assert isinstance(frame, AttachedFrame)
    members = list(ET.fromstring(frame.skeleton))
    if len(members) != len(frame.descriptors):
        return decode(frame.inline())
    blobs = []
    for member, descriptor, length in zip(members, frame.descriptors, frame.lengths, strict=True):
        data = _read_file(descriptor.fd, length)
        size = member.get("size", "")
        format = member.get("format", "").strip()
        if data:
            blobs.append(OneBlob(member.get("name", ""), data, int(size) if size.isdecimal() else None, format))
    message = decode(Frame(frame.address, frame.skeleton))  # its members are empty there
    assert isinstance(message, SetVector)
    return message._replace(members=tuple(blobs))


def _read_file(fd: int, length: int) -> bytes:
    """The first bytes of a file that was passed on; it may be shared, so its position is left alone.

    Raises:
        OSError: It has become shorter than announced.
    """
    pieces: list[bytes] = []
    done = 0
    while done < length:
        piece = os.pread(fd, length - done, done)
        if not piece:
            raise OSError(f"a file of {done} bytes for a BLOB of {length}")
        pieces.append(piece)
        done += len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
