"""The bridge beside clients: the instruments behind a broker look like an INDI server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import re
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from indipydriver.errors import RemoteProtocolError
from indipydriver.protocol.decode import decode
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch, BlobFrame, Frame
from indipydriver.protocol.messages import DelProperty, EnableBlob, GetProperties, Message
from indipydriver.protocol.tags import BlobMode, Verb
from indipydriver.protocol.values import format_timestamp
from indipydriver.transport.link import Link
from indipydriver.transport.memory import memory_pair
from indipydriver.transport.stream import StreamLink

from ..inbox import LATE, last_moment, too_late
from ..requests import NotUnderstood, elements
from .broker import Broker, Incoming
from .owners import MOST, Owners
from .topics import BLOBS, COUNT, STATUS, Topics, is_online, presence, presence_text

__all__ = ["Listener"]

logger = logging.getLogger("indiredis")

AWAKE: Final = 2.0
"""Seconds between two checks of the clock."""
SAID: Final = 100
"""Texts that are remembered."""
QUEUED: Final = 1000
"""Requests that may wait for the broker; beyond that, the client is not read."""


class Listener:
    """Creates links to the broker; one at a time is in use.

    Args:
        broker: The broker; its callbacks are set here.
        topics: The topics of this bridge.
    """

    def __init__(self, broker: Broker, topics: Topics) -> None:
        self._broker = broker
        self._topics = topics
        self._up = asyncio.Event()
        self._link: Link | None = None
        self._waiting: deque[tuple[Frame, str, float]] = deque()  # its only bridge, and when it arrived
        self._late: dict[tuple[str | None, str | None], None] = {}  # properties with a command that was not sent
        self._news = asyncio.Event()
        self._paused = False
        self._owners = Owners()
        self._present: set[str] = set()  # other bridges
        self._said: dict[Message, str] = {}  # recent messages about unknown devices, and their senders
        self._wanted: dict[tuple[str | None, str | None], BlobMode] = {}
        self._again: dict[tuple[str | None, str | None], None] = {}  # of these, the definitions to request once more
        self._greet = False
        self._jobs: set[asyncio.Task[None]] = set()
        self._look_at = math.inf  # when to ask once more who is online; the broker must have room for the answer
        self.ready = asyncio.Event()
        broker.on_message = self._take
        broker.on_up = self._broker_up
        broker.on_down = self._broker_down
        broker.on_refused = self._say

    async def broker_up(self) -> None:
        """Wait until the broker is within reach."""
        await self._up.wait()

    # Links

    async def connect(self) -> Link:
        """A link for a client in this process.

        Raises:
            ConnectionError: The broker is out of reach.
        """
        try:
            async with asyncio.timeout(3):
                await self._up.wait()
        except TimeoutError:
            raise ConnectionError(self._broker.refused or "the MQTT broker does not answer") from None
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
        self._late.clear()
        self._owners.clear()
        self._wanted.clear()
        self._again.clear()
        self._paused = False
        link.open(_Receiver(self, link))
        self._news.set()

    def _broker_up(self) -> None:
        self._present.clear()
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
        now = asyncio.get_running_loop().time()
        self._waiting += [(frame, "", now) for frame in frames]
        self._news.set()
        if len(self._waiting) > QUEUED and not self._paused and self._link is not None:
            self._paused = True
            self._link.pause_reading()

    def link_closed(self, link: Link) -> None:
        if self._link is link:
            self._link = None

    async def pump(self) -> None:
        """Publish what the client sends, until cancelled."""
        try:
            await self._pump()
        finally:
            for job in self._jobs:
                job.cancel()

    async def _pump(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            begin = loop.time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AWAKE):
                    await self._news.wait()
            if loop.time() - begin > 2 * AWAKE:  # this machine was suspended, and the broker may have dropped something
                self._look_at = loop.time() + AWAKE
            self._news.clear()
            if self._greet and self._broker.up:
                self._greet = False
                await self._broker.announce(lambda: presence(self._topics.own, True))
            if self._link is not None and self._broker.up:
                self.ready.set()
            self._ask_for_missed()
            if loop.time() >= self._look_at and not self._jobs:
                self._look_at = math.inf
                self._look()
            while self._waiting:
                await self._publish(*self._waiting.popleft())
                if self._paused and len(self._waiting) < QUEUED // 2 and self._link is not None:
                    self._paused = False
                    self._link.resume_reading()
            for key in self._again:  # with the present request
                if (mode := self._wanted.get(key)) is not None:
                    self._wait(encode(EnableBlob(*key, mode)))
            self._again.clear()
            for device, name in self._late:  # clients that believe that it is Busy get the true state
                self._wait(encode(GetProperties(device, name)))
            self._late.clear()

    def _look(self) -> None:
        """Ask who is online.  The answer comes after everything that the broker sends; commands do not wait for it."""
        for topic in self._topics.of_presence:
            job = asyncio.ensure_future(self._broker.listen_again(topic))
            self._jobs.add(job)
            job.add_done_callback(self._jobs.discard)

    async def _publish(self, frame: Frame, to: str, came: float) -> None:
        verb = frame.tag.verb
        if verb not in (Verb.NEW, Verb.GET, Verb.ENABLE_BLOB):
            return
        payload = b"".join(frame.chunks)
        response, expiry, deadline, refused = "", 0, math.inf, None
        if verb is Verb.ENABLE_BLOB:
            self._want(frame)
            response = self._topics.blobs
        elif verb is Verb.NEW:
            expiry, deadline, refused = int(LATE), last_moment(came), partial(self._tell_not_sent, frame)
        if verb is not Verb.GET:
            to = self._owners.of(frame.device)
        sent = await self._broker.publish(
            self._topics.to_indi,
            payload,
            response=response,
            to=to,
            expiry=expiry,
            deadline=deadline,
            on_refused=refused,
        )
        if not sent and verb is Verb.NEW and self._broker.up:
            self._tell_not_sent(frame, too_late(came) or "the broker refuses it")

    def _tell_not_sent(self, frame: Frame, reason: str) -> None:
        text = f"The command for {frame.device} {frame.name} was not sent: {reason}"
        logger.warning("%s", text)
        self._write([encode(Message(frame.device, text, format_timestamp()))])
        self._late[frame.device, frame.name] = None
        self._news.set()

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
        if message.retained:
            logger.warning("a retained message on %s is ignored: it is from the past", message.topic)
            return
        if first == COUNT:
            self._counted(who, message.payload)
            return
        direct = first == BLOBS
        if not direct:
            self._owners.note_message(who)
        if self._link is None:
            return
        try:
            frames = elements(message.payload)
        except NotUnderstood as error:
            logger.warning("a payload on %s is ignored: %s", message.topic, error)
            return
        batch: list[Frame] = []
        for frame in frames:
            if not self._check_news(frame, who, direct):
                continue
            if isinstance(frame, BlobFrame):
                if self._is_wanted(frame.device, frame.name):
                    self._write(batch)
                    batch = []
                    self._write([frame])
                continue
            batch.append(frame)
        self._write(batch)

    def _check_news(self, frame: Frame, who: str, direct: bool) -> bool:
        """Note what a message says about devices; False if it is not to be passed on to the client."""
        verb, device = frame.tag.verb, frame.device
        if verb not in (Verb.DEF, Verb.SET, Verb.MESSAGE, Verb.DELETE):
            return False
        if direct:
            return isinstance(frame, BlobFrame)  # that topic is only for this bridge, and devices have no owner there
        if verb is Verb.MESSAGE and not self._owners.of(device):
            return self._note_said(frame, who)
        if not device or (verb in (Verb.DEF, Verb.SET) and not frame.name):
            return False  # it also stands for the devices of others, otherwise nobody could delete it again
        if self._owners.is_of_another(device, who):
            if self._owners.contest(device, who):
                owner = self._owners.of(device)
                logger.warning("what %s says of %s is ignored: that is a device of %s", who, device, owner)
            return False
        if verb is Verb.DEF and self._owners.defined(who, device, frame.name):
            self._want_again(device)
        elif verb is Verb.DELETE and self._owners.deleted(device, frame.name):
            self._ask(device)
        return True

    def _note_said(self, frame: Frame, who: str) -> bool:
        """Note a message; False if another bridge has just sent the same, as one does that receives what we pass on."""
        try:
            message = decode(frame)
        except RemoteProtocolError:
            return False
        assert isinstance(message, Message)
        if self._said.setdefault(message._replace(via=None), who) != who:
            return False
        if len(self._said) > SAID:
            del self._said[next(iter(self._said))]
        return True

    def _ask(self, device: str | None = None, to: str = "") -> None:
        self._wait(encode(GetProperties(device)), to)

    def _wait(self, frame: Frame, to: str = "") -> None:
        self._waiting.append((frame, to, asyncio.get_running_loop().time()))
        self._news.set()

    def _want_again(self, device: str | None = None, who: str = "") -> None:
        """Request BLOBs again: all, or those of a device, or of the devices of a bridge."""
        for of, name in self._wanted:
            if device in (None, of) and who in ("", self._owners.of(of)):
                self._again[of, name] = None
                self._news.set()

    def _ask_for_missed(self) -> None:
        loop = asyncio.get_running_loop()
        for who in self._owners.to_ask(loop.time()):
            logger.warning("not everything from %s has arrived: requesting it again", who)
            self._look_at = loop.time() + AWAKE
            self._ask(to=who)
            self._want_again(who=who)  # it may have restarted without our being told

    def _counted(self, who: str, payload: bytes) -> None:
        """Compare the counts, because a broker silently drops what a slow listener does not fetch."""
        match = re.fullmatch(rb"(\d{1,18}) (\d{1,18}) (.+)", payload, re.DOTALL)
        if match is None or match[3] != self._topics.of_messages.encode():
            return
        total, answers = int(match[1]), int(match[2])
        if not self._owners.counted(who, total, answers):
            self._ask_for_missed()
            return
        now = format_timestamp()
        for device, name in self._owners.left_over(who, answers):
            self._owners.deleted(device, name)
            self._write([encode(DelProperty(device, name, now))])

    def _say(self, text: str) -> None:
        self._write([encode(Message(None, text, format_timestamp()))])

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
        if online is None or (online and who in self._present):  # it repeats this
            return
        if not online:
            self._present.discard(who)
        elif len(self._present) < MOST:
            self._present.add(who)
        now = format_timestamp()
        news = [] if message.retained and online else [encode(Message(None, text, now))]
        if not online:
            gone, contested = self._owners.gone(who)
            news = [encode(DelProperty(each, None, now, text)) for each in gone] + news
            for each in contested:
                self._ask(each)
        elif not message.retained:
            self._want_again()
        self._write(news)


class _Receiver:
    """The receiver of the link."""

    def __init__(self, listener: Listener, link: Link) -> None:
        self._listener = listener
        self._link = link

    def frames_received(self, frames: list[Frame]) -> None:
        self._listener.frames_received(frames)

    def fault_received(self, fault: RemoteProtocolError) -> None:
        logger.warning("the client sent something that was skipped: %s", fault)

    def link_drained(self) -> None:
        """Wait: what is sent is still in the link."""

    def link_closed(self, error: Exception | None) -> None:
        self._listener.link_closed(self._link)


class _Accepted(StreamLink):
    """A link that says when it is open."""

    def __init__(self, accepted: Callable[[StreamLink], None]) -> None:
        super().__init__("the server in this process")
        self._accepted = accepted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._accepted(self)
