"""A message to clients when there has been no traffic for a while."""

from __future__ import annotations

import asyncio
import contextlib

from indipydriver.protocol.encode import encode
from indipydriver.protocol.messages import Message

from .party import Role
from .switchboard import Switchboard, now

__all__ = ["Keepalive"]


class Keepalive:
    """Sends "Keep alive message" to all clients after some seconds without traffic.

    Args:
        board: The server's peers.
        interval: Seconds; 0 or None: never.
    """

    def __init__(self, board: Switchboard, interval: int | None = 30) -> None:
        self._board = board
        self._interval = interval
        self._changed: asyncio.Event | None = None

    @property
    def interval(self) -> int | None:
        """Seconds without traffic; it can be changed while it runs."""
        return self._interval

    @interval.setter
    def interval(self, seconds: int | None) -> None:
        self._interval = seconds
        if self._changed is not None:
            self._changed.set()

    async def run(self) -> None:
        """Send until cancelled; while there is no interval, it sleeps."""
        loop = asyncio.get_running_loop()
        board, changed = self._board, asyncio.Event()
        self._changed = changed
        while True:
            changed.clear()
            wait = max(0.0, board.last_traffic + self._interval - loop.time()) if self._interval else None
            if wait == 0.0:
                clients = tuple(peer for peer in board.clients if peer.role is Role.CLIENT)
                board.last_traffic = loop.time()
                if clients:
                    board.deliver(None, [([encode(Message(None, "Keep alive message", now()))], clients)])
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await changed.wait()
