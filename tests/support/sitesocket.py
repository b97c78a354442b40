"""The far end of a local socket at a :class:`tests.support.site.Site`: BLOBs come and go as descriptors.

The kernel's part is a pair of connected sockets in this process, so what is written on one side can be read on the
other at once, and runs are as repeatable as without.
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable

from indipydriver.transport.attached import PassingLink

from .siterules import Said

__all__ = ["SocketEnd", "files_open", "memory_file"]


def memory_file(name: str, data: bytes, *, readable: bool = True) -> int:
    """A descriptor of a file in memory."""
    fd = os.memfd_create(name)
    os.write(fd, data)
    if readable:
        return fd
    writing = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY)
    os.close(fd)
    return writing


def files_open(site: str) -> list[int]:
    """The lengths of the memory files of this name that this process holds open."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith(f"/memfd:{site} "):
                found.append(os.fstat(int(name)).st_size)
    return found


class SocketEnd:
    """Drives the far end of a PassingLink, as :class:`tests.support.sitelink.SiteLink` does without a socket.

    Args:
        label: Who it is.
        tell: Called with the bytes that it takes.
        buffer: Bytes that the kernel keeps between the two, as far as it lets itself be told.

    Attributes:
        link: The server's end.
        rate: Bytes it takes with each tick; None: all there is.
        files: Descriptors that have come and belong to elements that have not.
    """

    def __init__(self, label: str, tell: Callable[[bytes], None], buffer: int) -> None:
        near, self._sock = socket.socketpair()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)  # more than the server reads at a time
        near.setblocking(False)
        self._sock.setblocking(False)
        self.link = PassingLink(label, near)
        self.rate: int | None = None
        self.ended = False
        self.paused = False
        self.files: deque[int] = deque()
        self._tell = tell
        self._waiting: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._finished = False

    @property
    def idle(self) -> bool:
        return not self._waiting

    def feed(self, read: list[Said]) -> None:
        """Send this: what has descriptors in one go, but for what comes before it, as they come with its first byte."""
        if self.ended or self._finished:
            _close(tuple(file for said in read for file in said.files))
            return
        data = b""
        files: tuple[int, ...] = ()
        for said in read:
            if data and said.files:
                self._waiting.append((data, files))
                data, files = b"", ()
            data += said.raw + b"\n"
            files = files or said.files
        self._waiting.append((data, files))
        self._send()

    def _send(self) -> None:
        while self._waiting and not self.ended:
            data, files = self._waiting[0]
            fds = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
            try:
                count = self._sock.sendmsg([data], fds)
            except BlockingIOError:
                return
            except OSError:
                self.close()
                return
            _close(files)
            if count == len(data):
                self._waiting.popleft()
            else:
                self._waiting[0] = data[count:], ()
        if self._finished and not self.ended:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)

    def finish(self) -> None:
        """Say no more."""
        self._finished = True
        self._send()

    def break_off(self) -> None:
        self.close()

    def close(self) -> None:
        if not self.ended:
            self.ended = True
            self._sock.close()
            for _, files in self._waiting:
                _close(files)
            self._waiting.clear()
            _close(tuple(self.files))
            self.files.clear()

    def tick(self) -> bool:
        """Go on with sending, and take what it takes in one step; True if anything has come."""
        self._send()
        room = 1 << 30 if self.rate is None else self.rate
        some = False
        while room > 0 and not self.ended:
            try:
                data, ancillary, _, _ = self._sock.recvmsg(min(room, 1 << 18), socket.CMSG_SPACE(4 * 64))
            except BlockingIOError:
                break
            except OSError:
                data, ancillary = b"", []
            for _, _, fds in ancillary:
                numbers = array.array("i")
                numbers.frombytes(fds)
                self.files += numbers
            if not data:
                self.close()
                break
            some = True
            room -= len(data)
            self._tell(data)
        return some and self.rate is None


def _close(files: tuple[int, ...]) -> None:
    for file in files:
        os.close(file)
