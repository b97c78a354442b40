"""What links ask of their sockets."""

from __future__ import annotations

import array
import contextlib
import select
import socket
import struct
import sys
from typing import Final

__all__ = [
    "LONGEST_LINK_END",
    "LOOK_EVERY",
    "all_is_taken",
    "drop_untaken",
    "give_up_after",
    "has_hung_up",
    "is_tcp",
    "sends_no_more",
    "tune_socket",
    "untaken",
]

LOOK_EVERY: Final = 0.01
"""Seconds between two checks whether the peer has received everything, when the link is to end."""
LONGEST_LINK_END: Final = 30.0
"""Seconds after which it ends in any case: the system goes on sending, unless the peer says something."""


def is_tcp(sock: socket.socket) -> bool:
    """Is it a TCP socket, and not a local one?"""
    return sock.family in (socket.AF_INET, socket.AF_INET6)


def tune_socket(sock: socket.socket) -> None:
    """No blocking, no delay before sending, and a keepalive that finds vanished peers in about two minutes.

    But it does so only while nothing is on the way to them: then the system repeats that for a quarter of an hour.
    """
    sock.setblocking(False)
    if not is_tcp(sock):
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)


def all_is_taken(sock: socket.socket) -> bool:
    """Has the other end of a local socket read, or of TCP received, all that was sent?  Only Linux tells.

    A link over TCP waits for that before it ends: what comes in for a socket that is closed makes TCP reset the
    connection, and drop what is still on its way.
    """
    return untaken(sock) == 0


def untaken(sock: socket.socket) -> int:
    """How many bytes that were sent the other end has not taken yet; 0 where the system does not tell, as only Linux
    does.

    Raises:
        OSError: It is closed.
    """
    if not sys.platform.startswith("linux"):
        return 0
    import fcntl
    import termios

    waiting = array.array("i", [0])
    fcntl.ioctl(sock, termios.TIOCOUTQ, waiting)
    return waiting[0]


def drop_untaken(sock: socket.socket) -> None:
    """Have the system drop what TCP has not delivered when the socket is closed, instead of delivering it later."""
    if is_tcp(sock):
        with contextlib.suppress(OSError):  # it is closed
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def give_up_after(sock: socket.socket, seconds: float) -> None:
    """Have TCP end the connection if what is on the way does not arrive in this time.  Only Linux does that."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None and is_tcp(sock):
        with contextlib.suppress(OSError):  # it is closed
            sock.setsockopt(socket.IPPROTO_TCP, option, int(seconds * 1000))


def has_hung_up(fd: int) -> bool:
    """Has the other end of a socket, a pipe or a terminal been closed, with or without an error?  Only Linux tells."""
    if not sys.platform.startswith("linux"):
        return False
    poll = select.poll()
    poll.register(fd, 0)
    return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))


def sends_no_more(fd: int) -> bool:
    """Has the other end of a socket ended at least its sending side, with or without an error?  Only Linux tells."""
    if not hasattr(select, "POLLRDHUP"):
        return False
    poll = select.poll()
    poll.register(fd, select.POLLRDHUP)
    return bool(poll.poll(0))
