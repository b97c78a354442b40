"""Whether the INDI server answers: what is sent to one that does not may be carried out much later."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from indipyclient.client import Client
from indipyclient.errors import LinkLost, NotConnected, TimedOut
from indipyclient.reconnect import LinkState, Status

from .inbox import LATE, last_moment

__all__ = ["Answering", "Check", "unchecked"]

FRESH: Final = 1.0
"""Seconds for which an answer counts."""
LOOK: Final = 0.1
Check = Callable[[float], Awaitable[str]]
"""Why a command that arrived at this time is not sent; "" if it may be."""


async def unchecked(came: float) -> str:
    """Nobody has to be asked."""
    return ""


class Answering:
    """Asks the server before a command is sent, if it answers pings at all; PyPI's does not.

    The connection stays up while the line, a tunnel or the server stands still, and takes what is sent: all of that
    would be carried out when it goes on.

    Args:
        client: The client of the server.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._can = False  # in this session
        self._asked = 0.0  # when, for the last answer
        self._turn = asyncio.Lock()
        self._learning: asyncio.Task[None] | None = None

    def status_changed(self, status: Status) -> None:
        """Find out with each new link whether pings are answered."""
        self.close()
        if status.state is LinkState.READY:
            self._learning = asyncio.ensure_future(self._learn())

    def close(self) -> None:
        """Forget the server."""
        self._can = False
        if self._learning is not None:
            self._learning.cancel()

    async def _learn(self) -> None:
        with contextlib.suppress(NotConnected, LinkLost, TimedOut):
            await self._client.ping(timeout=LATE)
            self._can = True

    async def check(self, came: float) -> str:
        """Wait for a sign of life; returns why a command that arrived at this time is not sent, or "" if it may be."""
        loop = asyncio.get_running_loop()
        if not self._can:
            return ""
        try:
            async with asyncio.timeout_at(last_moment(came)), self._turn:  # in order, also when an answer has just come
                if self._can and loop.time() > self._asked + FRESH:
                    await self._ask()
        except TimeoutError:
            return "the INDI server, or the line to it, does not answer"
        return ""

    async def _ask(self) -> None:
        """Wait for an answer, or for anything else: the answer may come behind a large BLOB."""
        began = asyncio.get_running_loop().time()
        before = self._client.stats.bytes_in
        answer = asyncio.ensure_future(self._client.ping(timeout=None))
        try:
            while not answer.done() and self._client.stats.bytes_in == before:
                await asyncio.wait([answer], timeout=LOOK)
        finally:
            answer.cancel()
            await asyncio.gather(answer, return_exceptions=True)  # if the link was lost, who sends something is told
        self._asked = began
