"""The bridge beside clients: the instruments behind a broker look like an INDI server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from indipydriver.errors import RemoteProtocolError
from indipydriver.protocol.decode import decode
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch, BlobFrame, Frame
from indipydriver.protocol.messages import DelProperty, EnableBlob, Message
from indipydriver.protocol.tags import BlobMode, Verb
from indipydriver.protocol.values import format_timestamp
from indipydriver.transport.link import Link
from indipydriver.transport.memory import memory_pair
from indipydriver.transport.stream import StreamLink

from ..requests import NotUnderstood, elements
from .broker import Broker, Incoming
from .topics import STATUS, Topics, is_online, presence, presence_text

__all__ = ["Listener"]

logger = logging.getLogger("indiredis")

QUEUED: Final = 1000
"""Requests that wait for the broker, beyond which the client is not read."""


class Listener:
    """Makes links that lead to the broker; one at a time is in use.

    Args:
        broker: Its callbacks become ours.
        topics: Of this bridge.
    """

    def __init__(self, broker: Broker, topics: Topics) -> None:
        self._broker = broker
        self._topics = topics
        self._up = asyncio.Event()
        self._link: Link | None = None
        self._waiting: deque[Frame] = deque()
        self._news = asyncio.Event()
        self._paused = False
        self._owners: dict[str, str] = {}  # by device: the bridge that has it
        self._wanted: dict[tuple[str | None, str | None], BlobMode] = {}
        self._greet = False
        self.ready = asyncio.Event()
        broker.on_message = self._take
        broker.on_up = self._broker_up
        broker.on_down = self._broker_down

    # Links

    async def connect(self) -> Link:
        """A link for a client in this process.

        Raises:
            ConnectionRefusedError: The broker is out of reach.
        """
        try:
            async with asyncio.timeout(3):
                await self._up.wait()
        except TimeoutError:
            raise ConnectionRefusedError(f"no broker at {self._broker.where}: {self._broker.refused}") from None
        ours, theirs = memory_pair("the client", f"MQTT at {self._broker.where}")
        self._use(ours)
        return theirs

    def accept(self) -> StreamLink:
        """A link for a server in this process, which connects by TCP."""
        return _Accepted(self._accepted)

    def _accepted(self, link: StreamLink) -> None:
        if not self._broker.up or self._link is not None:
            link.abort()
        else:
            self._use(link)

    def _use(self, link: Link) -> None:
        if self._link is not None:
            self._link.abort()
        self._link = link
        self._waiting.clear()
        self._owners.clear()
        self._wanted.clear()
        self._paused = False
        link.open(_Receiver(self, link))
        self._news.set()

    def _broker_up(self) -> None:
        self._greet = True
        self._up.set()
        self._news.set()

    def _broker_down(self) -> None:
        self._up.clear()
        self.ready.clear()
        if self._link is not None:
            self._link.abort()

    # From the client; called by the link

    def frames_received(self, frames: list[Frame]) -> None:
        self._waiting += frames
        self._news.set()
        if len(self._waiting) > QUEUED and not self._paused and self._link is not None:
            self._paused = True
            self._link.pause_reading()

    def link_closed(self, link: Link) -> None:
        if self._link is link:
            self._link = None

    async def pump(self) -> None:
        """Publish what the client asks for, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            if self._greet and self._broker.up:
                self._greet = False
                await self._broker.publish(self._topics.status, presence(self._topics.own, True), qos=1, retain=True)
            if self._link is not None and self._broker.up:
                self.ready.set()
            while self._waiting:
                await self._publish(self._waiting.popleft())
                if self._paused and len(self._waiting) < QUEUED // 2 and self._link is not None:
                    self._paused = False
                    self._link.resume_reading()

    async def _publish(self, frame: Frame) -> None:
        verb = frame.tag.verb
        if verb not in (Verb.NEW, Verb.GET, Verb.ENABLE_BLOB):
            return
        payload = b"".join(frame.chunks)
        response = ""
        if verb is Verb.ENABLE_BLOB:
            self._want(frame)
            response = self._topics.blobs
        await self._broker.publish(self._topics.to_indi, payload, response=response)

    def _want(self, frame: Frame) -> None:
        with contextlib.suppress(RemoteProtocolError):
            message = decode(frame)
            if isinstance(message, EnableBlob):
                if message.name is None:
                    for key in [key for key in self._wanted if key[0] == message.device]:
                        del self._wanted[key]
                self._wanted[message.device, message.name] = message.mode

    def _is_wanted(self, device: str | None, name: str | None) -> bool:
        mode = self._wanted.get((device, name)) or self._wanted.get((device, None)) or BlobMode.NEVER
        return mode is not BlobMode.NEVER

    # From the broker

    def _take(self, message: Incoming) -> None:
        first, who = self._topics.split(message.topic)
        if first == STATUS:
            self._presence(who, message)
            return
        if self._link is None:
            return
        try:
            frames = elements(message.payload)
        except NotUnderstood as error:
            logger.warning("a payload on %s is ignored: %s", message.topic, error)
            return
        batch: list[Frame] = []
        for frame in frames:
            verb = frame.tag.verb
            if verb is Verb.DEF and frame.device is not None:
                self._owners[frame.device] = who
            elif verb is Verb.DELETE and frame.device is not None and frame.name is None:
                self._owners.pop(frame.device, None)
            elif verb not in (Verb.SET, Verb.MESSAGE, Verb.DELETE):
                continue
            if isinstance(frame, BlobFrame):
                if self._is_wanted(frame.device, frame.name):
                    self._write(batch)
                    batch = []
                    self._write([frame])
                continue
            batch.append(frame)
        self._write(batch)

    def _write(self, frames: list[Frame]) -> None:
        if frames and self._link is not None:
            self._link.write(Batch(frames))
            self._link.flush()

    def _presence(self, who: str, message: Incoming) -> None:
        text = presence_text(message.payload)
        online = is_online(text)
        if who == self._topics.own:
            if online is False and self._broker.up:
                self._greet = True
                self._news.set()
            return
        if online is None:
            return
        now = format_timestamp()
        news = [] if message.retained and online else [encode(Message(None, text, now))]
        if not online:
            gone = [owned for owned, owner in self._owners.items() if owner == who]
            news = [encode(DelProperty(each, None, now, text)) for each in gone] + news
            for each in gone:
                del self._owners[each]
        elif not message.retained:  # its BLOBs have to be asked for again
            for (device, name), mode in self._wanted.items():
                self._waiting.append(encode(EnableBlob(device, name, mode)))
            self._news.set()
        self._write(news)


class _Receiver:
    """What the link calls."""

    def __init__(self, listener: Listener, link: Link) -> None:
        self._listener = listener
        self._link = link

    def frames_received(self, frames: list[Frame]) -> None:
        self._listener.frames_received(frames)

    def fault_received(self, fault: RemoteProtocolError) -> None:
        logger.warning("the client sent something that was skipped: %s", fault)

    def link_drained(self) -> None:
        """What is sent waits in the link."""

    def link_closed(self, error: Exception | None) -> None:
        self._listener.link_closed(self._link)


class _Accepted(StreamLink):
    """A link that says when it is there."""

    def __init__(self, accepted: Callable[[StreamLink], None]) -> None:
        super().__init__("the server in this process")
        self._accepted = accepted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._accepted(self)
