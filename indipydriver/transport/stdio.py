"""Frames over this process's standard input and output, whatever they are.

A server gives a driver one local socket as both, or two pipes; a person gives it a terminal or a file.  Through a
local socket, indiserver passes BLOBs as descriptors, even if standard output leads elsewhere, as in
``driver | tee log``.  What a driver sends is always inline.

The blocking mode belongs to the open file, which the parent or the shell may share, so it is never changed: every call
on a socket says not to block, a pipe is opened a second time through ``/proc``, and the rest is left to threads.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import stat
import sys
import threading
import weakref
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import ClassVar, Final

from ..protocol.framer import Framer, Limits
from .attached import PassingLink
from .descriptor import DescriptorLink
from .framed import FramedLink
from .link import FIRST_PORTION, Link, Receiver, portion_after
from .sockets import has_hung_up

__all__ = ["STDIO_LINGER", "TeedLink", "ThreadLink", "open_stdio"]

STDIO_LINGER: Final = 1.0
"""Seconds: ``driver < commands > answers`` wants its answers, but a driver whose server is gone has to end."""


_ABANDONED: Final = 5.0  # seconds in which a driver may still take what a departed server has sent


def open_stdio(stdin: int = 0, stdout: int = 1, *, linger: float = STDIO_LINGER, limits: Limits | None = None) -> Link:
    """A link over two descriptors of any kind, by default standard input and output.

    The descriptors themselves stay open and unchanged.  At the other end is a server, which passes on what its
    clients send, or a person: what is beyond a limit is skipped, and does not end the link.

    If an earlier link over the same input has ended within an element, as in the first run of a driver, this one
    continues the element.

    Args:
        stdin: Where to read.
        stdout: Where to write.
        linger: How long to wait for answers to the last input after its end, in seconds.
        limits: What the peer may send.

    Raises:
        OSError: Standard input or output was closed when this process began: whatever has its number now belongs to
            somebody else.
    """
    for fd, number, stream in ((stdin, 0, sys.__stdin__), (stdout, 1, sys.__stdout__)):
        if fd == number and (stream is None or stream.closed):
            text = f"standard {'output' if number else 'input'} is closed, and a driver needs it to talk to its server"
            raise OSError(errno.EBADF, text)
    link = _link_over(stdin, stdout, linger, limits)
    link.abandoned_after = _ABANDONED
    if isinstance(link, DescriptorLink) and link.discards_input:
        return link
    key = _file_of(stdin)
    framer = _left_within.pop(key, None)
    if framer is not None and framer.limits == (limits or Limits()):
        link.resume(framer)
    link.left_within = partial(_left_within.__setitem__, key)
    return link


def _link_over(stdin: int, stdout: int, linger: float, limits: Limits | None) -> DescriptorLink | ThreadLink:
    label = "standard input"
    in_mode, out_mode = os.fstat(stdin), os.fstat(stdout)
    if stat.S_ISSOCK(in_mode.st_mode) and hasattr(socket, "MSG_DONTWAIT"):
        # With this type, socket.setdefaulttimeout() in a driver changes neither the mode nor what a call does.
        never_waits = socket.SOCK_STREAM | getattr(socket, "SOCK_NONBLOCK", 0)
        sock = socket.socket(type=never_waits, fileno=os.dup(stdin))
        passes = sock.family == getattr(socket, "AF_UNIX", None) and hasattr(socket, "SCM_RIGHTS")
        both = os.path.samestat(in_mode, out_mode)
        if passes and both:
            return PassingLink(label, sock, shared=True, lenient=True, linger=linger, limits=limits)
        if passes:
            return TeedLink(label, sock, stdout, lenient=True, linger=linger, limits=limits)
        if both:
            return DescriptorLink(label, sock=sock, shared=True, lenient=True, linger=linger, limits=limits)
        sock.close()
    if stat.S_ISFIFO(in_mode.st_mode) and stat.S_ISFIFO(out_mode.st_mode):
        pipes = _reopen(stdin, stdout)
        if pipes is not None:
            return DescriptorLink(label, pipes=pipes, lenient=True, linger=linger, limits=limits)
    return ThreadLink(label, stdin, stdout, lenient=True, linger=linger, limits=limits)


def _reopen(stdin: int, stdout: int) -> tuple[int, int] | None:
    """Open the same pipes again, with blocking modes of their own; None if that is not possible."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        reader = os.open(f"/proc/self/fd/{stdin}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        writer = os.open(f"/proc/self/fd/{stdout}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        os.close(reader)
        return None
    return reader, writer


def _read_some(fd: int, count: int) -> bytes:
    while True:
        try:
            return os.read(fd, count)
        except BlockingIOError:  # another process that shares it has made it non-blocking
            select.select([fd], [], [])


def _write_some(fd: int, data: memoryview) -> int:
    while True:
        try:
            return os.write(fd, data)
        except BlockingIOError:
            select.select([], [fd], [])


_File = tuple[int, int, int]


def _file_of(fd: int) -> _File:
    """Identifies an open file; its descriptor's number alone may have been reused."""
    try:
        status = os.fstat(fd)
    except OSError:  # reading or writing it will fail
        return fd, -1, -1
    return fd, status.st_dev, status.st_ino


_left_within: Final[dict[_File, Framer]] = {}
"""Framers of inputs of which a link has read the beginning of an element; a later link reads the rest of it."""

_writers: Final[weakref.WeakValueDictionary[_File, threading.Lock]] = weakref.WeakValueDictionary()
"""Held during a write, which cannot be interrupted, and goes on when its link has ended."""


class _StdinReader:
    """Reads a descriptor in a thread, a piece at a time, whenever it is asked to.

    A read cannot be interrupted. What it returns after its link has ended belongs to the next link of the same open
    file, as in the second run of a driver.
    """

    _left_behind: ClassVar[dict[_File, _StdinReader]] = {}  # in a read, or with what it has returned

    @classmethod
    def of(cls, fd: int) -> _StdinReader:
        """The reader of a descriptor."""
        key = _file_of(fd)
        return cls._left_behind.pop(key, None) or cls(fd, key)

    def __init__(self, fd: int, key: _File) -> None:
        self._fd = fd
        self._key = key
        self._lock = threading.RLock()  # guards what follows
        self._asked: threading.Semaphore | None = None  # wakes the thread, if there is one
        self._is_reading = False
        self._deliver: Callable[[bytes | OSError], None] | None = None
        self._left: bytes | None = None
        self._most = 0

    def ask(self, most: int, deliver: Callable[[bytes | OSError], None]) -> None:
        """Read at most this many bytes, and call `deliver` with them, b"" at the end or an error; in any thread."""
        with self._lock:
            self._deliver = deliver
            self._most = most
            left, self._left = self._left, None
            if left is None:
                if not self._is_reading:
                    self._is_reading = True
                    self._thread().release()
                return
        deliver(left)

    def leave(self, left: bytes | None = None) -> None:
        """The link has ended.

        Args:
            left: Bytes that it has not taken.
        """
        with self._lock:
            self._deliver = None
            self._left = left or self._left
            self._left_behind[self._key] = self
            if not self._is_reading:
                self._stop()

    def _thread(self) -> threading.Semaphore:
        if self._asked is None:
            self._asked = threading.Semaphore(0)
            threading.Thread(target=self._run, args=(self._asked,), name=f"reader of {self._fd}", daemon=True).start()
        return self._asked

    def _stop(self) -> None:
        if self._left is None:
            self._left_behind.pop(self._key, None)
        if self._asked is not None:
            self._asked.release()
            self._asked = None

    def _run(self, asked: threading.Semaphore) -> None:
        while True:
            asked.acquire()
            with self._lock:
                if self._asked is not asked:
                    return
            piece: bytes | OSError
            try:
                piece = _read_some(self._fd, self._most)
            except OSError as error:
                piece = error
            with self._lock:
                self._is_reading = False
                if self._deliver is not None:
                    self._deliver(piece)  # before anybody else can ask
                else:
                    self._left = piece if isinstance(piece, bytes) and piece else None
                    self._stop()


class _Writer:
    """Writes to a descriptor in a thread, a piece at a time.

    Args:
        fd: The descriptor; it is not closed.
        label: Who is at the other end.
        written: Called in the loop when a piece has been written, with its length.
        failed: Called in the loop when nothing can be written any more.
    """

    def __init__(
        self, fd: int, label: str, written: Callable[[int], object], failed: Callable[[OSError], object]
    ) -> None:
        self._fd = fd
        self._written = written
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._piece = b""
        self._has_stopped = False
        self._wake = threading.Semaphore(0)
        may_write = _writers.setdefault(_file_of(fd), threading.Lock())
        threading.Thread(target=self._run, args=(may_write,), name=f"{label} writer", daemon=True).start()

    def write(self, piece: bytes) -> None:
        """Write a piece; only when the previous one has been written."""
        self._piece = piece
        self._wake.release()

    def stop(self) -> None:
        """Write nothing more, except for a piece that has begun."""
        self._has_stopped = True
        self._wake.release()

    def _run(self, may_write: threading.Lock) -> None:
        while True:
            self._wake.acquire()
            with may_write:
                if self._has_stopped:
                    return
                view = memoryview(self._piece)
                count = len(view)
                try:
                    while view:
                        view = view[_write_some(self._fd, view) :]
                except OSError as error:
                    _call(self._loop, self._failed, error)
                    return
            _call(self._loop, self._written, count)


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: object) -> bool:
    """Have the loop call a function; False if the loop has been closed."""
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        return False
    return True


class TeedLink(PassingLink):
    """A link that reads a local socket, with the descriptors that come through it, and writes elsewhere in a thread.

    Args:
        label: Who is at the other end, for logs.
        sock: Where to read, a connected AF_UNIX stream socket whose blocking mode is shared with other processes.
        stdout: Where to write; not closed by the link.
        lenient: See :class:`PassingLink`.
        linger: How long to wait for answers to the last input after its end, in seconds.
        limits: What the peer may send.
    """

    def __init__(
        self,
        label: str,
        sock: socket.socket,
        stdout: int,
        *,
        lenient: bool = False,
        linger: float = 0.0,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(label, sock, shared=True, lenient=lenient, linger=linger, limits=limits)
        self._stdout = stdout
        self._writer: _Writer | None = None

    def open(self, receiver: Receiver) -> None:
        if not self._ended:
            self._writer = _Writer(self._stdout, self.label, self._written, self._cannot_write)
        super().open(receiver)

    def _send(self) -> None:
        """Hand a slice to the thread, which is idle."""
        if self._out:
            assert self._writer is not None
            self._writing = True
            self._writer.write(b"".join(self._next_slice()))
        elif self._closing:
            self._end_soon()

    def _written(self, count: int) -> None:
        self._writing = False
        if self._ended or not self._out:  # aborted meanwhile
            return
        self._sent(count)
        self._send()
        if self._above_water:
            self._tell_drained()

    def _unwatch_writing(self) -> None:
        self._writing = False  # by us; the loop watches nothing

    def _end_of_input(self) -> None:
        """Answers to the last input may still come; they do not go to whoever has ended the input."""
        self._got_end = True
        self.left_within = None
        self._unwatch()
        if self.linger and self.bytes_received:
            self._lingering = self._loop.call_later(self.linger, self.close)
        else:
            self.close()

    def _release(self) -> None:
        if self._writer is not None:
            self._writer.stop()
        super()._release()


class ThreadLink(FramedLink):
    """A link over two descriptors that may block: one thread reads, one writes.

    Args:
        label: Who is at the other end, for logs.
        stdin: Where to read; not closed by the link.
        stdout: Where to write; not closed by the link.
        lenient: See :class:`FramedLink`.
        linger: How long to wait for answers to the last input after its end, in seconds.
        limits: What the peer may send.
    """

    def __init__(
        self,
        label: str,
        stdin: int,
        stdout: int,
        *,
        lenient: bool = False,
        linger: float = 0.0,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(label, limits, lenient=lenient)
        self._linger = linger
        self._stdin = stdin
        self._stdout = stdout
        self._loop: asyncio.AbstractEventLoop
        self._reader: _StdinReader | None = None
        self._portion = FIRST_PORTION
        self._kept: bytes | None = None  # a piece that arrived while reading was paused
        self._writer: _Writer | None = None
        self._is_writing = False

    def open(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        if self._ended:  # it was closed before it was opened
            self._loop.call_soon(receiver.link_closed, None)
            return
        self._writer = _Writer(self._stdout, self.label, self._written, self._end)
        self._reader = _StdinReader.of(self._stdin)
        self._reader.ask(self._portion, self._deliver)
        self.flush()

    def flush(self) -> None:
        """Hand a slice to the writing thread, if it is idle."""
        if self._writer is None or self._is_writing or self._ended:
            return
        if self._out:
            self._is_writing = True
            self._writer.write(b"".join(self._next_slice()))
        elif self._closing:
            self._loop.call_soon(self._end, None)

    def is_dead(self) -> bool:
        return self._paused and not self._ended and has_hung_up(self._stdin)

    def pause_reading(self) -> None:
        self._paused = True
        self._look_while_paused()

    def resume_reading(self) -> None:
        self._paused = False
        if self._kept is not None:
            data, self._kept = self._kept, None
            self._loop.call_soon(self._take, data)

    def close(self) -> None:
        if self._closing or self._ended:
            return
        self._closing = True
        if self._receiver is None:
            self._end(None)
        else:
            self.flush()

    def abort(self) -> None:
        if self._ended:
            return
        self._closing = True
        self._drop_queue()
        if self._receiver is None:
            self._end(None)
        else:
            self._loop.call_soon(self._end, None)

    def _release(self) -> None:
        if self._reader is not None:
            self._reader.leave(self._kept)
            self._kept = None
        if self._writer is not None:
            self._writer.stop()

    def _deliver(self, piece: bytes | OSError) -> None:
        """Called in the reader's thread."""
        if not _call(self._loop, self._take, piece):
            self._give_back(piece)

    def _give_back(self, piece: bytes | OSError) -> None:
        assert self._reader is not None
        if isinstance(piece, bytes) and piece:
            self._reader.leave(piece)

    def _take(self, piece: bytes | OSError) -> None:
        assert self._reader is not None
        if self._ended:
            self._give_back(piece)
        elif isinstance(piece, OSError):
            # A terminal that has been hung up reports EIO.
            (self._end_of_input if piece.errno == errno.EIO else self._end)(piece)
        elif not piece:
            self._end_of_input(None)
        elif self._paused or self._closing:
            self._kept = piece
        else:
            began = monotonic()
            self._received(piece)
            self._portion = portion_after(self._portion, len(piece), monotonic() - began)
            if not self._ended:
                self._reader.ask(self._portion, self._deliver)

    def _end_of_input(self, _: OSError | None) -> None:
        """Answers to the last input may still come."""
        self.left_within = None
        if self._linger and self.bytes_received:
            self._loop.call_later(self._linger, self.close)
        else:
            self.close()

    def _written(self, count: int) -> None:
        self._is_writing = False
        if self._ended or not self._out:  # aborted meanwhile
            return
        self._sent(count)
        self.flush()
        if self._above_water:
            self._tell_drained()
