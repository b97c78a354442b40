"""A second connection that carries only BLOBs, so that values do not wait behind images."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from typing import Final

from indipydriver.errors import LocalProtocolError, RemoteProtocolError
from indipydriver.protocol.encode import encode
from indipydriver.protocol.messages import AnyMessage, EnableBlob, GetProperties, Ping, SetVector
from indipydriver.protocol.tags import BlobMode, VectorKind

from .connect import Connect
from .eventline import is_cancelled
from .reaching import CONNECT_TIMEOUT
from .reconnect import Retry
from .session import Owner, Session

__all__ = ["BlobLink"]

logger = logging.getLogger("indipyclient")

AGREED: Final = 2.0
"""Seconds for the server to confirm the requests for BLOBs; PyPI's server does not."""
UNTAKEN: Final = 16 << 20
"""Bytes that may wait for a server that takes nothing; beyond that, the connection is replaced."""
ASKED: Final = 10_000
"""Properties that are remembered as requested; new ones may appear for ever."""


class BlobLink:
    """Connected while BLOBs are wanted and its owner is connected.

    Args:
        connect: Creates a link.
        owner: Receives the BLOBs, like the messages of any session.
        retry: When to reconnect.
        wanted: What to send when it is connected.
    """

    def __init__(
        self, connect: Connect, owner: Owner, retry: Retry, wanted: Callable[[], Iterable[EnableBlob]]
    ) -> None:
        self.session: Session | None = None
        self._connect = connect
        self._owner = owner
        self._retry = retry
        self._wanted = wanted
        self._needed = asyncio.Event()
        self._asked: set[tuple[str | None, str | None]] = set()
        self._agreed: dict[str, asyncio.Future[None]] = {}
        self._up = asyncio.Event()
        self._count = 0
        self._before = (0, 0, 0)

    async def run(self) -> None:
        """Connect when BLOBs are wanted, and reconnect, until cancelled."""
        while True:
            await self._needed.wait()
            lived = 0.0
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    link = await self._connect()
            except (OSError, ValueError):
                pass  # the other connection shows whether the server exists
            except (Exception, asyncio.CancelledError):  # for example from a user's `connect`
                if is_cancelled():
                    raise
                logger.exception("there is no second connection for BLOBs")
            else:
                loop = asyncio.get_running_loop()
                began = loop.time()
                await self._live(Session(link, self))
                lived = loop.time() - began
            await asyncio.sleep(self._retry.next(lived, random.random()))

    async def _live(self, session: Session) -> None:
        self.session = session
        self._asked.clear()
        try:
            session.open()
            for message in self._wanted():
                self._put(session, message)
            self._up.set()
            await asyncio.wait([session.closed])
        finally:
            self._before = self.counts()
            self._up.clear()
            self.session = None
            session.abort()

    def counts(self) -> tuple[int, int, int]:
        """Messages, bytes received and bytes sent so far."""
        messages, received, sent = self._before
        session = self.session
        if session is None:
            return self._before
        return messages + session.messages, received + session.bytes_received, sent + session.bytes_sent

    def send(self, message: EnableBlob) -> None:
        """Request BLOBs, now or as soon as there is a connection."""
        if message.mode is not BlobMode.NEVER:
            self._needed.set()
        if self.session is not None:
            self._put(self.session, message)

    async def agree(self) -> None:
        """Wait until the server has handled the requests, so that a command on the other connection comes later."""
        uid = f"blobs-{self._count}"
        self._count += 1
        future = self._agreed[uid] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(AGREED):
                await self._up.wait()
                if self.session is not None:
                    self.session.put(encode(Ping(uid)))
                await future
        except TimeoutError:
            pass
        finally:
            del self._agreed[uid]

    def _put(self, session: Session, message: EnableBlob) -> None:
        """Nothing: servers send only what was requested."""
        mode = BlobMode.NEVER if message.mode is BlobMode.NEVER else BlobMode.ONLY
        key = (message.device, message.name)
        try:
            frame = encode(message._replace(mode=mode))
            asking = encode(GetProperties(*key))
        except LocalProtocolError:
            return
        if key not in self._asked and mode is not BlobMode.NEVER:
            if len(self._asked) >= ASKED:
                self._asked.clear()
            self._asked.add(key)
            session.put(asking)
        session.put(frame)
        if session.unsent > UNTAKEN:
            session.abort()

    # Called by the session

    @property
    def over(self) -> bool:
        return self._owner.over

    def message_received(self, message: AnyMessage, size: int) -> None:
        if type(message) is SetVector and message.kind is VectorKind.BLOB:
            self._owner.message_received(message, size)

    def batch_received(self) -> None:
        self._owner.batch_received()

    def fault_received(self, fault: RemoteProtocolError) -> None:
        self._owner.fault_received(fault)

    def pong_received(self, uid: str) -> None:
        future = self._agreed.get(uid)
        if future is not None and not future.done():
            future.set_result(None)
