"""Updates that are sent because a value was assigned: soon, but not too often."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import deque
from threading import get_ident
from typing import Final

from ..device import Device
from ..errors import NotRunning
from ..propertyvectors import BLOBVector, PropertyVector

__all__ = ["INTERVAL", "Updates"]

logger = logging.getLogger("indipydriver.instruments")

INTERVAL: Final = 0.1
"""Seconds between two updates of one vector that are sent because values were assigned."""

_MOST_TEXTS: Final = 256
"""Messages that wait; more than a client can show."""


class Updates:
    """Sends the messages and the changed vectors of one device, in this order.

    Values that are assigned before the device runs are sent when it does: clients may have its definitions already.

    Args:
        device: The device.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._changed: dict[str, tuple[PropertyVector, set[str]]] = {}
        self._texts: deque[str] = deque(maxlen=_MOST_TEXTS)
        self._sent: dict[str, float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._news = asyncio.Event()

    def put(self, vector: PropertyVector, member: str) -> None:
        """Note that a value has changed. Any thread may call this."""
        self._in_loop(lambda: self._note(vector, member))

    def say(self, text: str) -> None:
        """Send a message. Any thread may call this."""
        self._in_loop(lambda: self._texts.append(text))

    async def send(self, vector: PropertyVector, state: str | None = None, message: str = "") -> None:
        """Send a vector now, with all its values.

        Args:
            vector: The vector.
            state: None: as it is.
            message: Human-readable text.
        """
        if state:
            vector.state = state
        self._sent[vector.name] = asyncio.get_running_loop().time()
        with contextlib.suppress(NotRunning):  # its first definition tells
            await self._send_texts()
            _, members = self._changed.pop(vector.name, (vector, set()))
            if isinstance(vector, BLOBVector):
                await vector.send_setVectorMembers(message=message, members=sorted(members))
            else:
                await vector.send_setVector(message=message)

    def sent(self, name: str) -> float | None:
        """When a vector was last sent in this run, by the clock of the event loop; None if it was not."""
        if name in self._changed and self._loop is not None:
            return self._loop.time()  # it is about to be sent
        return self._sent.get(name)

    async def run(self) -> None:
        """Send what is pending, until cancelled."""
        self._loop, self._thread, self._news = asyncio.get_running_loop(), get_ident(), asyncio.Event()
        self._sent.clear()
        self._news.set()
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                await self._send_texts()
                wait = math.inf
                for vector, _ in list(self._changed.values()):
                    due = self._sent.get(vector.name, -math.inf) + INTERVAL - self._loop.time()
                    if due <= 0:
                        await self._try_to_send(vector)
                    else:
                        wait = min(wait, due)
                if wait < math.inf:
                    self._loop.call_later(wait, self._news.set)
        finally:
            self._loop = None
            self._changed.clear()  # it is in the definitions of the next run

    async def _try_to_send(self, vector: PropertyVector) -> None:
        """One value that cannot be sent must not cost the others."""
        try:
            await self.send(vector)
        except Exception:
            logger.exception("%s %s cannot be sent", vector.devicename, vector.name)

    def _note(self, vector: PropertyVector, member: str) -> None:
        if self._device.driver is not None:  # else nobody has heard of it
            self._changed.setdefault(vector.name, (vector, set()))[1].add(member)

    def _in_loop(self, change: object) -> None:
        assert callable(change)
        loop = self._loop  # whatever thread this is, the run may just end
        if loop is None or get_ident() == self._thread:
            change()
            self._news.set()
            return

        def both() -> None:
            change()
            self._news.set()

        try:
            loop.call_soon_threadsafe(both)
        except RuntimeError:  # the loop has been closed
            change()

    async def _send_texts(self) -> None:
        while self._texts:
            text = self._texts.popleft()
            try:
                await self._device.send_device_message(text)
            except NotRunning:
                self._texts.appendleft(text)
                raise
