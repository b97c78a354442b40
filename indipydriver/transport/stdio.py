"""Frames over this process's standard input and output, whatever they are.

indiserver gives a driver one socket as both; an IPyServer gives it two pipes; a person gives it a
terminal or a file.  The blocking mode belongs to the open file, which the parent or the shell may share,
so it is never changed: a socket is told with every call not to wait, a pipe is opened a second time
through ``/proc``, and the rest is left to two threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import socket
import stat
import sys
import threading
from collections import deque
from typing import Final

from ..protocol.framer import Limits
from .descriptor import DescriptorLink
from .framed import FramedLink
from .link import SLICE, Link, Receiver

__all__ = ["LINGER", "ThreadLink", "open_stdio"]

LINGER: Final = 1.0
"""Seconds: ``driver < commands > answers`` wants its answers, and a driver whose server is gone is to end."""


def open_stdio(stdin: int = 0, stdout: int = 1, *, linger: float = LINGER, limits: Limits | None = None) -> Link:
    """A link over two descriptors of any kind, by default standard input and output.

    The descriptors themselves stay open and as they are.

    Args:
        stdin: Where to read.
        stdout: Where to write.
        linger: How long the answers to what came last are waited for when the input ends, in seconds.
        limits: What the peer may send.

    Raises:
        OSError: Standard input or output was closed when this process began: whatever has its number now belongs to
            somebody else.
    """
    label = "standard input"
    for fd, number, stream in ((stdin, 0, sys.__stdin__), (stdout, 1, sys.__stdout__)):
        if fd == number and (stream is None or stream.closed):
            text = f"standard {'output' if number else 'input'} is closed: a driver speaks to its server through it"
            raise OSError(errno.EBADF, text)
    in_mode, out_mode = os.fstat(stdin), os.fstat(stdout)
    if stat.S_ISSOCK(in_mode.st_mode) and os.path.samestat(in_mode, out_mode) and hasattr(socket, "MSG_DONTWAIT"):
        return DescriptorLink(
            label, sock=socket.socket(fileno=os.dup(stdin)), shared=True, linger=linger, limits=limits
        )
    if stat.S_ISFIFO(in_mode.st_mode) and stat.S_ISFIFO(out_mode.st_mode):
        pipes = _reopen(stdin, stdout)
        if pipes is not None:
            return DescriptorLink(label, pipes=pipes, linger=linger, limits=limits)
    return ThreadLink(label, stdin, stdout, linger=linger, limits=limits)


def _reopen(stdin: int, stdout: int) -> tuple[int, int] | None:
    """Two new open files of the same pipes, which do not share their blocking mode; None if there is no way."""
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


def _read_some(fd: int) -> bytes:
    while True:
        try:
            return os.read(fd, SLICE)
        except BlockingIOError:  # somebody who shares it has made it so
            select.select([fd], [], [])


def _write_some(fd: int, data: memoryview) -> int:
    while True:
        try:
            return os.write(fd, data)
        except BlockingIOError:
            select.select([], [fd], [])


class ThreadLink(FramedLink):
    """A link over two descriptors that may block: one thread reads, one writes.

    Args:
        label: Who is at the other end, for logs.
        stdin: Where to read; not closed by the link.
        stdout: Where to write; not closed by the link.
        linger: How long the answers to what came last are waited for when the input ends, in seconds.
        limits: What the peer may send.
    """

    def __init__(
        self, label: str, stdin: int, stdout: int, *, linger: float = 0.0, limits: Limits | None = None
    ) -> None:
        super().__init__(label, limits)
        self._linger = linger
        self._stdin = stdin
        self._stdout = stdout
        self._loop: asyncio.AbstractEventLoop
        self._may_read = threading.Semaphore(1)  # one piece on its way to the loop at a time
        self._kept: bytes | None = None  # one that came when reading had been paused
        self._pieces: deque[bytes] = deque()  # for the writing thread
        self._some_pieces = threading.Semaphore(0)

    def open(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        if self._ended:  # it was closed before it was opened
            self._loop.call_soon(receiver.link_closed, None)
            return
        for work in (self._read, self._write):
            threading.Thread(target=work, name=f"{self.label} {work.__name__}", daemon=True).start()
        self.flush()

    def flush(self) -> None:
        """Hand a slice to the writing thread, if it has none."""
        if self._receiver is None or self._pieces or self._ended:
            return
        if self._out:
            self._pieces.append(b"".join(self._next_slice()))
            self._some_pieces.release()
        elif self._closing:
            self._loop.call_soon(self._end, None)

    def pause_reading(self) -> None:
        self._paused = True

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
        # The threads are daemons: a read of a terminal cannot be interrupted.
        self._may_read.release()
        self._some_pieces.release()

    def _call(self, function: object, *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
            self._loop.call_soon_threadsafe(function, *args)  # type: ignore[arg-type]

    def _read(self) -> None:
        while True:
            self._may_read.acquire()
            if self._ended:
                return
            try:
                data = _read_some(self._stdin)
            except OSError as error:
                # A terminal that has been hung up says EIO.
                self._call(self._end_of_input if error.errno == errno.EIO else self._end, error)
                return
            if not data:
                self._call(self._end_of_input, None)
                return
            self._call(self._take, data)

    def _take(self, data: bytes) -> None:
        if self._paused:
            self._kept = data
        elif not self._ended:
            if not self._closing:
                self._received(data)
            self._may_read.release()

    def _end_of_input(self, _: OSError | None) -> None:
        """Answers may come yet to what was read last."""
        if self._linger and self.bytes_received:
            self._loop.call_later(self._linger, self.close)
        else:
            self.close()

    def _write(self) -> None:
        while True:
            self._some_pieces.acquire()
            if self._ended:
                return
            view = memoryview(self._pieces[0])
            try:
                while view:
                    view = view[_write_some(self._stdout, view) :]
            except OSError as error:
                self._call(self._end, error)
                return
            self._call(self._written)

    def _written(self) -> None:
        piece = self._pieces.popleft()
        if self._ended or not self._out:  # aborted meanwhile
            return
        self._sent(len(piece))
        self.flush()
        if self._above_water:
            self._tell_drained()
