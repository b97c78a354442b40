"""Whether a broker, or the line to it, has stood still: commands that arrive afterwards are old."""

from __future__ import annotations

import array
import contextlib
import math
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from ..inbox import LATE

__all__ = ["Silence", "give_up_after"]

ASK: Final = 3.0
"""Seconds of silence after which the broker is asked for a sign of life."""
AFTER: Final = 2.0
"""Seconds after a long silence in which commands may be as old as it was."""
PING: Final = "_send_pingreq"


class Silence:
    """Notices that nothing has come from a broker although it was asked, over one connection or several."""

    def __init__(self) -> None:
        self._heard = time.monotonic()
        self._lasted = 0.0
        self._until = -math.inf
        self._waiting = 0

    def note_bytes(self) -> None:
        """Note that bytes have come from the broker."""
        now = time.monotonic()
        if now - self._heard > LATE:
            self._lasted, self._until = now - self._heard, now + AFTER
        self._heard = now

    def note_alive(self) -> None:
        """Note that the line is known to be up, or that nobody can be standing still at its other end."""
        self._heard = time.monotonic()

    def reason(self) -> str:
        """Why a command that has just come is not carried out; "" if it may be."""
        if time.monotonic() > self._until:
            return ""
        return f"the broker, or the line to it, stood still for {self._lasted:.0f} s"

    def ask(self, paho: Any) -> None:
        """Ask the broker if it has been silent; called again and again.

        An answer may come behind a large message, or the question wait behind one: then bytes move.
        """
        left = _unsent(paho.socket())
        if left < self._waiting:
            self.note_alive()
        self._waiting = left
        if time.monotonic() >= self._heard + ASK:
            inner = vars(paho)
            with contextlib.suppress(AttributeError, KeyError):  # paho, whose own patience stays as it is, hides this
                if not inner["_ping_t"]:
                    getattr(paho, PING)()
                    inner["_ping_t"] = 0.0

    def listening(self, loop_read: Callable[..., Any]) -> Callable[..., Any]:
        """A function in place of the one that reads from the broker."""

        def read(*args: Any, **options: Any) -> Any:
            self.note_bytes()
            return loop_read(*args, **options)

        return read


def give_up_after(sock: Any, seconds: float) -> None:
    """Let the system (Linux) end a connection, and drop what it could not deliver for this many seconds."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None and sock is not None:
        with contextlib.suppress(OSError):  # it is already gone
            sock.setsockopt(socket.IPPROTO_TCP, option, int(seconds * 1000))


def _unsent(sock: Any) -> int:
    """Bytes that have not been delivered; 0 where the system does not tell (Linux does)."""
    if sock is None or not sys.platform.startswith("linux"):
        return 0
    import fcntl
    import termios

    waiting = array.array("i", [0])
    try:
        fcntl.ioctl(sock, termios.TIOCOUTQ, waiting)
    except (OSError, ValueError):
        return 0
    return waiting[0]
