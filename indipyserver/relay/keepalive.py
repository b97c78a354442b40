"""A message to clients when there has been no traffic for a while."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import Final

from indipydriver.protocol.encode import encode
from indipydriver.protocol.messages import Message

from ..routing.endpoint import Role
from .switchboard import Switchboard, now

__all__ = ["Keepalive"]


SHORTEST_INTERVAL: Final = 0.05
"""The shortest interval in seconds: with a shorter one, nothing else would get a turn."""


class Keepalive:
    """Sends "Keep alive message" to all clients after some seconds without traffic.

    Args:
        board: The server's peers.
        interval: Seconds; None, 0 or less: never.
    """

    def __init__(self, board: Switchboard, interval: float | None = 30) -> None:
        self._board = board
        self._interval = interval
        self._changed: asyncio.Event | None = None

    @property
    def interval(self) -> float | None:
        """Seconds without traffic; can be changed while :meth:`run` runs.

        Raises:
            TypeError: Set to something that is not a number.
            ValueError: Set to a number that is not finite.
        """
        return self._interval

    @interval.setter
    def interval(self, seconds: float | None) -> None:
        if seconds is not None:
            if not isinstance(seconds, int | float) or isinstance(seconds, bool):
                raise TypeError(f"keepalive must be a number of seconds or None, not {type(seconds).__name__}")
            if not math.isfinite(seconds):
                raise ValueError(f"keepalive must be a finite number of seconds or None, not {seconds}")
        self._interval = seconds
        if self._changed is not None:
            self._changed.set()

    async def run(self) -> None:
        """Send until cancelled; sleep while there is no interval."""
        loop = asyncio.get_running_loop()
        board, changed = self._board, asyncio.Event()
        self._changed = changed
        while True:
            changed.clear()
            interval = self._interval or 0
            wait = board.last_traffic + max(interval, SHORTEST_INTERVAL) - loop.time() if interval > 0 else None
            if wait is not None and wait <= 0:
                self._send()
                wait = SHORTEST_INTERVAL
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await changed.wait()

    def _send(self) -> None:
        board = self._board
        clients = tuple(peer for peer in board.clients if peer.role is Role.CLIENT)
        board.last_traffic = asyncio.get_running_loop().time()
        if clients:
            board.deliver(None, [([encode(Message(None, "Keep alive message", now()))], clients)])
