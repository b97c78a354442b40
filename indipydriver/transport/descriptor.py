"""Frames over descriptors that the event loop watches: sockets and pipes on POSIX.

Twice as fast as an asyncio transport for BLOBs and nearly so for round trips: one system call into one
buffer that all links share, no copies on the way out.

How much is read at once depends on how long it takes to handle: BLOBs are read in slices of 256 KiB; short elements,
of which as many bytes may take seconds, in smaller ones, so that the other links get their turns.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from time import monotonic
from typing import Final

from ..protocol.frame import Address
from ..protocol.framer import Limits
from .forked import descriptor_ours_only
from .framed import FramedLink
from .link import FIRST_PORTION, LEAST_PORTION, LONGEST_TURN, SLICE, Receiver, portion_after
from .sockets import LONGEST_LINK_END, LOOK_EVERY, all_is_taken, has_hung_up, is_tcp

__all__ = ["DescriptorLink", "perhaps_ended"]


class _Buffer(threading.local):
    """The buffer that all links of a thread read into, as a read ends before the next one begins.

    Event loops in two threads must not share it: a read releases the interpreter's lock.
    """

    def __init__(self) -> None:
        self.view = memoryview(bytearray(SLICE))


_buffer = _Buffer()
bytes(4 * SLICE)
"""Allocated and freed once, for the sake of glibc: it returns the free end of its heap to the system as soon as that is
twice the largest block ever freed, which is less than a few batches of messages. Each batch would then pay for memory
that the system has to clear, about a tenth of what it costs to pass on a flood. The system has nothing to clear here,
and other C libraries are not affected."""
_FIRST_RETRY: Final = 0.002
_LAST_RETRY: Final = 0.25
"""Seconds between two attempts to send what must wait although the descriptor is writable."""
_LARGEST_REST: Final = 64 * SLICE
"""Bytes still read from a peer that takes nothing more: more than any kernel buffers; it may send for ever."""


class DescriptorLink(FramedLink):
    """A link over one socket, or over a pair of pipe ends.

    Args:
        label: Who is at the other end, for logs.
        sock: A connected stream socket, non-blocking unless `shared`.
        pipes: Or two non-blocking descriptors: to read from, to write to.
        shared: The socket's blocking mode is shared with other processes (an inherited standard input),
            so it is left alone, and every call says that it must not block.
        lenient: See :class:`FramedLink`.
        linger: See :class:`FramedLink`.
        limits: What the peer may send.

    The descriptors are closed with the link.

    Attributes:
        shortcut: Called with the address and the bytes of an element that came alone, as most do at a few thousand a
            second; if it returns True, it has handled the element, and the receiver is not called.
    """

    def __init__(
        self,
        label: str,
        *,
        sock: socket.socket | None = None,
        pipes: tuple[int, int] | None = None,
        shared: bool = False,
        lenient: bool = False,
        linger: float = 0.0,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(label, limits, lenient=lenient)
        if (sock is None) == (pipes is None):
            raise ValueError("a DescriptorLink needs either a socket or two pipe ends")
        self._sock = sock
        self._shared = shared
        self.linger = linger
        self.shortcut: Callable[[Address, bytes], bool] | None = None
        self._reading = False
        self._writing = False
        self._sending = False
        self._lingering: asyncio.TimerHandle | None = None
        self._leaving: asyncio.Handle | None = None
        self._must_wait = False  # set by a write: nothing can be sent now, although the descriptor is writable
        self._retry: asyncio.TimerHandle | None = None
        self._retry_time = _FIRST_RETRY
        self._ours: list[object] = []  # keeps the pipes from forked children
        self._write_error: OSError | None = None  # the peer takes nothing more, but there may be more to read
        self._rest = _LARGEST_REST
        self._rest_is_due = False
        self._discarding = False  # what still comes in, as the link is to end
        self._end_by = 0.0  # in the loop's time, once it only waits for the peer to have all
        self._loop: asyncio.AbstractEventLoop
        self._views = [_buffer.view[:FIRST_PORTION]]  # where to read into
        self._read_into: Callable[[], int]
        self._write_some: Callable[[Sequence[bytes | memoryview]], int]
        self._write_plain: Callable[[bytes | memoryview], int] | None = None  # the same for one of bytes, if cheaper
        if sock is not None:
            self._read_fd = self._write_fd = sock.fileno()
        else:
            assert pipes is not None
            self._read_fd, self._write_fd = pipes
            self._ours = list(map(descriptor_ours_only, pipes))
        if sock is not None and shared:
            self._read_into = lambda: sock.recv_into(self._views[0], 0, socket.MSG_DONTWAIT)
            self._write_some = lambda buffers: sock.sendmsg(buffers, (), socket.MSG_DONTWAIT)
        else:
            read_fd, write_fd = self._read_fd, self._write_fd
            self._read_into = partial(os.readv, read_fd, self._views)
            self._write_some = partial(os.writev, write_fd)
            self._write_plain = partial(os.write, write_fd)
        self._write_one = self._write_plain  # the same for any buffer

    def open(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        self._views[0] = _buffer.view[:FIRST_PORTION]
        if self._ended:  # it was closed before it was opened
            self._loop.call_soon(receiver.link_closed, None)
            return
        if not self._paused:
            self._watch()
        self.flush()

    def flush(self) -> None:
        waits = self._writing or self._sending or self._retry is not None
        if self._out and not waits and self._receiver is not None and not self._ended:
            self._send()

    def write_now(self, data: bytes) -> bool:
        """Send these bytes, if nothing waits before them; False if they have not been taken."""
        write = self._write_plain
        if self._out or write is None or self._receiver is None or self._closing or self._ended or self._sending:
            return False
        try:
            count = write(data)
        except OSError:  # the usual way finds out what that means
            return False
        self._taken += count
        if count < len(data):
            self._out.append(memoryview(data)[count:])
            self.unsent += len(data) - count
            self._send()
        return True

    def pause_reading(self) -> None:
        self._paused = True
        self._unwatch()
        self._look_while_paused()

    def resume_reading(self) -> None:
        self._paused = False
        if self._write_error is not None:
            self._read_rest_soon()
        elif not self._ended and not self._got_end and not self._closing and self._receiver is not None:
            self._watch()

    def close(self) -> None:
        if self._write_error is not None:
            self._write_error = None
            self._end_soon()
        if self._closing or self._ended:
            return
        self._closing = True
        self._unwatch()
        if self._receiver is None:
            self._end(None)
            return
        if not self._got_end and self.discards_input:
            self._discarding = True
            self._loop.add_reader(self._read_fd, self._discard)
        self._got_end = True
        self.flush()
        if not self._out:
            self._see_off()

    def abort(self) -> None:
        if self._ended:
            return
        self._closing = True
        self._write_error = None
        self._unwatch()
        self._drop_queue()
        self._end_soon()

    def _socket_used(self) -> socket.socket | None:
        return None if self._ended else self._sock

    def _see_off(self) -> None:
        """All is sent: end, but not before the system of a peer that may still send has got it."""
        if not self._discarding:
            self._end_soon()
        elif not self._end_by and not self._ended:
            self._end_by = self._loop.time() + LONGEST_LINK_END
            if self._sock is not None and not self._shared:
                with contextlib.suppress(OSError):  # the peer has just gone, which reading tells
                    self._sock.shutdown(socket.SHUT_WR)
            self._leaving = self._loop.call_soon(self._look_if_taken)

    def _look_if_taken(self) -> None:
        assert self._sock is not None
        if all_is_taken(self._sock) or self._loop.time() >= self._end_by:
            self._end(None)
        else:
            self._leaving = self._loop.call_later(LOOK_EVERY, self._look_if_taken)

    def _discard(self) -> None:
        """Read what nobody wants any more: a peer may not read before it has sent that."""
        try:
            count = self._read_into()
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # the peer has gone
            self._end(None)
            return
        if not count:
            self._stop_discarding()
            if not self._out:
                self._end(None)

    def _stop_discarding(self) -> None:
        if self._discarding:
            self._discarding = False
            self._loop.remove_reader(self._read_fd)

    def _end_soon(self) -> None:
        if self._receiver is None:
            self._end(None)
        elif not self._ended:
            self._loop.call_soon(self._end, None)

    def _watch(self) -> None:
        if not self._reading:
            self._reading = True
            self._loop.add_reader(self._read_fd, self._readable)

    def _unwatch(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._read_fd)

    def _unwatch_writing(self) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._write_fd)

    def _readable(self) -> None:
        try:
            count = self._read_into()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(error)
            return
        if count:
            if self.linger:
                self.last_received = self._loop.time()
            view = self._views[0]
            if count < LEAST_PORTION:  # however long that takes, the next portion is no smaller
                data = bytes(view[:count])
                if self.shortcut is not None and (self._progress is None or not self._progress.unfinished):
                    address = self._framer.sole(data)
                    if address is not None and self.shortcut(address, data):
                        self._framer.passed_on(count)
                        self.bytes_received += count
                        return
                self._received(data)
                return
            began = monotonic()
            self._received(bytes(view[:count]))
            taken = monotonic() - began
            portion = len(view)
            if count == portion or taken > LONGEST_TURN:
                self._views[0] = _buffer.view[: portion_after(portion, count, taken)]
        else:
            self._end_of_input()

    def _end_of_input(self) -> None:
        """The peer sends no more; perhaps it still wants the answers to what it has sent."""
        self._got_end = True
        self.left_within = None
        self._unwatch()
        wait = self.last_received + self.linger - self._loop.time()
        if not self.linger or not self.last_received or self.unfinished or self._hung_up():
            self._end(None)
        elif self.input_ended is not None:
            self.input_ended()
        elif wait > 0:
            self._lingering = self._loop.call_later(wait, self.close)
        else:
            self._end(None)

    def _hung_up(self) -> bool:
        """Has the peer closed its end, and not only ended its sending side?  Only a local socket can tell."""
        return self._sock is not None and not is_tcp(self._sock) and has_hung_up(self._read_fd)

    def fileno(self) -> int:
        """The descriptor that is read; -1 if the link has ended."""
        return -1 if self._ended else self._read_fd

    def is_dead(self) -> bool:
        if not self._paused or self._ended:
            return False
        return self._write_error is not None or has_hung_up(self._read_fd)

    def notice_end(self) -> None:
        """The peer may have ended its side: take now what little it has sent before that, and its end."""
        for _ in range(2):
            if self._write_error is not None:
                self._read_rest()
            elif self._reading:
                self._readable()

    def _send(self) -> None:
        """Write about a slice; the rest follows when the descriptor takes it, so that other links get their turn."""
        room = SLICE
        self._must_wait = False
        out, write_one = self._out, self._write_one
        try:
            while out and room > 0:
                if write_one is not None and len(out) == 1 and len(out[0]) <= room:  # nearly always
                    size = len(out[0])
                    count = write_one(out[0])
                    if count < size:
                        self._sent(count)
                    else:
                        out.clear()
                        self._taken += size
                        self.unsent -= size
                    break
                buffers = self._next_slice()
                count = self._write_some(buffers)
                self._sent(count)
                room -= count
                if count < sum(map(len, buffers)):
                    break
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:  # the writer is not told from within its own call
            self._cannot_write(error)
            return
        if self._above_water:
            self._sending = True  # what is written from within link_drained goes out in the next turn
            try:
                self._tell_drained()
            finally:
                self._sending = False
            if self._ended:
                return
        if self._must_wait:
            self._send_later()
            return
        self._retry_time = _FIRST_RETRY
        if self._out:
            if not self._writing:
                self._writing = True
                self._loop.add_writer(self._write_fd, self._send)
        elif self._writing:
            self._unwatch_writing()
        if self._closing and not self._out:
            self._see_off()

    def _send_later(self) -> None:
        """Try again after a while, as the descriptor is writable but takes nothing."""
        self._unwatch_writing()
        if self._retry is None:
            self._retry = self._loop.call_later(self._retry_time, self._try_again)
            self._retry_time = min(2 * self._retry_time, _LAST_RETRY)

    def _try_again(self) -> None:
        self._retry = None
        self._send()

    def _cannot_write(self, error: OSError) -> None:
        """The peer takes nothing more; what it sent before that still counts, unless the link has been closed."""
        self._drop_queue()
        was_closed, self._closing = self._closing, True
        self._unwatch_writing()
        self._unwatch()
        self._stop_discarding()
        if was_closed:
            self._end_soon()
            return
        self._write_error = error.with_traceback(None)  # which holds what was to be sent
        self._read_rest_soon()

    def _read_rest_soon(self) -> None:
        if not self._rest_is_due:
            self._rest_is_due = True
            self._loop.call_soon(self._read_rest)

    def _read_rest(self) -> None:
        self._rest_is_due = False
        self._tell_drained()  # reading may be paused until the queue has drained
        if self._write_error is None or self._ended or self._paused:
            return
        try:
            count = self._read_into()
            if not count:
                self.left_within = None
        except OSError:  # there is nothing more
            count = 0
        if not count or self._rest <= 0:
            self._end(self._write_error)
            return
        self._rest -= count
        began = monotonic()
        view = self._views[0]
        self._received(bytes(view[:count]))
        self._views[0] = _buffer.view[: portion_after(len(view), count, monotonic() - began)]
        self._read_rest_soon()

    @property
    def discards_input(self) -> bool:
        """Unread input is dropped when the link ends: it would make TCP reset the connection and lose what was just
        sent."""
        return self._sock is not None and is_tcp(self._sock)

    def _release(self) -> None:
        self._unwatch()
        self._unwatch_writing()
        self._stop_discarding()
        for timer in (self._lingering, self._retry, self._leaving):
            if timer is not None:
                timer.cancel()
        if self._sock is not None:
            if self._closing and self._receiver is not None and self.discards_input:
                self._discard_input()
            self._close_socket(self._sock)
        else:
            self._ours.clear()
            os.close(self._read_fd)
            if self._write_fd != self._read_fd:
                os.close(self._write_fd)

    def _close_socket(self, sock: socket.socket) -> None:
        sock.close()

    def _discard_input(self) -> None:
        self._views[0] = _buffer.view
        with contextlib.suppress(OSError):
            for _ in range(64):
                if not self._read_into():
                    return


def perhaps_ended(links: Iterable[DescriptorLink]) -> list[DescriptorLink]:
    """The links over sockets whose peers have at least ended their sending sides; all links if that cannot be known."""
    if not hasattr(select, "POLLRDHUP"):
        return list(links)
    poll = select.poll()
    by_fd = {}
    for link in links:
        fd = link.fileno()
        if fd >= 0:
            by_fd[fd] = link
            poll.register(fd, select.POLLRDHUP)
    return [by_fd[fd] for fd, _ in poll.poll(0)]
