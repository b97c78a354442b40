"""Keeps redis equal to the model: writes what changes, and after a loss everything anew."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from indipyclient.reconnect import Status
from indipydriver.errors import LocalProtocolError
from indipydriver.protocol.encode import encode
from indipydriver.protocol.messages import AnyMessage, OneBlob, SetVector

from .blobfolder import write_blob
from .connection import RedisLink
from .feed import Feed, News
from .keys import Keys
from .logs import Command, Logs
from .plan import Planner
from .records import Stored
from .servers import RedisServer

__all__ = ["Store"]

logger = logging.getLogger("indiredis")

HEARTBEAT: Final = 3.0
"""Seconds between two signs of life."""
ALIVE: Final = 10
"""Seconds after the last sign of life until the key ``link`` disappears."""
LOOK: Final = 0.2
"""Seconds between two checks of what waits for redis."""
LARGE: Final = 256 << 10
WAITING: Final = 160 << 20
"""Bytes that may wait for redis, or for their files: there is room for a large image without dropping others."""
TOLD: Final = 100
"""Messages of the bridge that may wait while redis is unreachable."""
FIRST_WAIT: Final = 0.25
LONGEST_WAIT: Final = 4.0
Files = dict[tuple[str, str, str], Stored]
"""The files of BLOBs, by device, property and member."""


class Store:
    """Writes a feed to redis.

    Args:
        server: The redis server.
        feed: The feed to store.
        folder: The folder for BLOBs.
        logs: Histories.
        source: The origin of the feed, for the key ``link``.
        name: The name of the connection in redis.

    Attributes:
        ready: Set when redis shows everything.
        writes: Transactions so far.
    """

    def __init__(
        self, server: RedisServer, feed: Feed, folder: Path, logs: Logs, *, source: str = "", name: str = "indiredis"
    ) -> None:
        self.keys = Keys(server.keyprefix)
        self.planner = Planner(self.keys, logs)
        self.ready = asyncio.Event()
        self.writes = 0
        self._server = server
        self._feed = feed
        self._folder = folder
        self._logs = logs
        self._source = source
        self._name = name
        self._link: RedisLink | None = None
        self._lock = asyncio.Lock()
        self._status = ("down", "")
        self._since = _now()
        self._token = secrets.token_hex(8)
        self._is_alone = True
        self._alive = time.monotonic()  # when the last sign of life was sent
        self._told: deque[tuple[str | None, str]] = deque(maxlen=TOLD)
        self._shaken = False
        self._missed = 0  # changes that are in no log, and were not published

    # Life

    async def run(self) -> None:
        """Write until cancelled; ends when the client of the feed is closed."""
        keeping = asyncio.create_task(self._keep_blobs())
        try:
            await self._run_links()
        finally:
            was_there = self._link is not None
            keeping.cancel()
            if (news := await self._feed.take()) is not None:  # redis has never received it, and does not wait for it
                _write_blobs(self._folder, _blobs_of(news))
            if was_there:
                await self._leave()

    async def _keep_blobs(self) -> None:
        """While redis is unreachable, write BLOBs to files before there is no room for them."""
        while True:
            await asyncio.sleep(LOOK)
            if self._link is None and self._feed.is_crowded:
                async with self._lock:
                    if self._link is None and (news := await self._feed.take()) is not None:
                        self.planner.absorb(news.changes, await self._save(news), news.messages)
                        self._missed += news.lost + len(news.changes)

    async def _run_links(self) -> None:
        wait, told = FIRST_WAIT, ""
        while True:
            link = RedisLink(self._server, self._name)
            try:
                async with link:
                    await self._rewrite(link)
                    self._link = link
                    self.ready.set()
                    logger.info("redis at %s:%s shows everything", self._server.host, self._server.port)
                    wait, told = FIRST_WAIT, ""
                    await self._follow(link)
            except ConnectionAbortedError:
                raise
            except link.failures as error:
                text = f"redis at {self._server.host}:{self._server.port}: {error or type(error)}"
                logger.log(logging.INFO if text == told else logging.WARNING, "%s", text)  # all night, perhaps
                told = text
            self._link = None
            self.ready.clear()
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def shake(self) -> None:
        """Check whether redis still shows everything after another connection to it was lost."""
        self._shaken = True
        self._feed.poke()

    async def _follow(self, link: RedisLink) -> None:
        beat = 0.0
        while True:
            news = await self._feed.next(max(0.0, beat + HEARTBEAT - time.monotonic()))
            files = await self._save(news) if news is not None else {}  # commands do not wait for a slow disk
            async with self._lock:
                if news is not None or self._told:
                    await self._write(link, news, files)
                if self._shaken or time.monotonic() >= beat + HEARTBEAT:
                    beat = time.monotonic()
                    self._shaken = False
                    if not await self._beat(link):
                        logger.warning("redis has lost something: everything is written anew")
                        await self._rewrite_locked(link)

    # Writing

    async def _write(self, link: RedisLink, news: News | None, files: Files) -> None:
        commands: list[Command] = []
        published: list[Command] = []
        with self._in_flight(news):
            if news is not None:
                if news.delta.reset:  # too much has happened to know what is gone
                    self.planner.absorb(news.changes, files, news.messages)
                    await self._rewrite_locked(link, news)
                    return
                deleted = [(grave.device, grave.name) for grave in news.delta.deleted]
                commands += self.planner.update(news.delta.properties, deleted, news.changes, news.messages, files)
                published = await self._notices(news.messages)
                self._tell_missed()
            await self._run_telling(link, commands, published)

    @contextlib.contextmanager
    def _in_flight(self, news: News | None) -> Iterator[None]:
        """Note what redis has missed."""
        self._missed += news.lost if news is not None else 0
        try:
            yield
        except BaseException:
            self._missed += len(news.changes) if news is not None else 0
            raise

    async def _run_telling(self, link: RedisLink, commands: list[Command], published: Sequence[Command]) -> None:
        """Write, including the messages of the bridge, which wait if redis fails."""
        told = [*self._told]
        self._told.clear()
        for device, text in told:
            commands += self.planner.note(device, text)
        try:
            await self._run(link, [*commands, *published])
        except BaseException:
            self._told = deque([*told, *self._told], maxlen=TOLD)
            raise

    async def _run(self, link: RedisLink, commands: Sequence[Command]) -> None:
        if not commands:
            return
        self.writes += 1
        for reply in await link.transaction(commands):
            if isinstance(reply, Exception):
                raise ConnectionError(f"redis refused a part of a transaction: {reply}")

    async def _save(self, news: News) -> Files:
        """Write BLOBs to files before they are announced; all of them, even if this bridge is stopped."""
        if not (blobs := _blobs_of(news)):
            return {}
        found, told = await asyncio.to_thread(_write_blobs, self._folder, blobs)
        self._told.extend(told)
        return found

    async def _rewrite(self, link: RedisLink) -> None:
        async with self._lock:
            await self._rewrite_locked(link)

    def _tell_missed(self) -> None:
        if self._missed:
            text = f"{self._missed} changes are in no log, and were not published: redis was unreachable, or too slow"
            logger.warning("%s", text)
            self._told.append((None, text))
            self._missed = 0

    async def _rewrite_locked(self, link: RedisLink, earlier: News | None = None) -> None:
        """Write everything; earlier changes have already been absorbed."""
        existing = await self._existing(link)
        site = [*self._feed.model]
        wanted = self.planner.log_keys(site)
        replies = await link.pipeline([self._logs.ask_newest(key) for key in wanted])
        other = [key for key, reply in zip(wanted, replies, strict=True) if not self._logs.seed(key, reply)]
        later = await self._feed.take()
        with self._in_flight(later):
            if later is not None:
                self.planner.absorb(later.changes, await self._save(later))
            self._tell_missed()
            found = [news for news in (earlier, later) if news is not None]
            changes = [change for news in found for change in news.changes]
            messages = [message for news in found for message in news.messages]
            properties = [*self._feed.model]
            notes = self._feed.model.notes()
            commands = self.planner.rewrite(properties, notes, [*existing, *other], changes, messages)
            commands += self._sign_of_life()
            await self._run_telling(link, commands, await self._notices(messages))

    async def _notices(self, messages: Iterable[AnyMessage]) -> list[Command]:
        payloads = [await encoded(message) for message in messages]
        return [("PUBLISH", self._server.from_indi_channel, payload) for payload in payloads if payload]

    async def _existing(self, link: RedisLink) -> list[str]:
        found: list[str] = []
        cursor = b"0"
        while True:
            [reply] = await link.pipeline([("SCAN", cursor, "MATCH", self.keys.pattern, "COUNT", 2000)])
            if isinstance(reply, Exception):
                raise reply
            cursor, keys = reply
            found += [key for key in map(_text, keys) if self.keys.is_current(key)]
            if _text(cursor) == "0":
                return found

    # Signs of life

    def _sign_of_life(self) -> list[Command]:
        state, reason = self._status
        fields = ["state", state, "source", self._source, "since", self._since, "reason", reason]
        fields += ["bridge", self._token]
        self._alive = time.monotonic()
        return [("HSET", self.keys.link, *fields), ("EXPIRE", self.keys.link, ALIVE)]

    async def _beat(self, link: RedisLink) -> bool:
        """Write a sign of life; False if redis has lost its data."""
        last, before = ("HGET", self.keys.link, "bridge"), self._alive
        who, *_, there = await link.transaction([last, *self._sign_of_life(), ("EXISTS", self.keys.devices)])
        if self._is_alone and isinstance(who, bytes) and who.decode(errors="replace") != self._token:
            self._is_alone = False
            text = f"Another bridge uses the prefix {self.keys.prefix} at this redis, too: it may do each command again"
            logger.warning("%s", text)
            self.tell(text)
        if who is None and time.monotonic() < before + ALIVE:  # emptied, perhaps, and only in part written again since
            return False
        return bool(there) == bool(len(self._feed.model)) or self._feed.model.rev > self._feed.rev

    async def _leave(self) -> None:
        """Take the sign of life away at once, unless it is that of another bridge; redis may not answer in time."""
        link = RedisLink(self._server, self._name)
        try:
            async with link:
                [who] = await link.pipeline([("HGET", self.keys.link, "bridge")])
                if who == self._token.encode():
                    await link.transaction([("DEL", self.keys.link)])
        except link.failures as error:
            logger.info("the key %s goes by itself: %s", self.keys.link, error)

    def status_changed(self, status: Status, texts: Iterable[str]) -> None:
        """Show a change of the link to the INDI server."""
        up = self._feed.model.connected
        state = ("up" if up else "down", "" if up else status.reason)
        if state[0] != self._status[0]:
            self._since = _now()
        self._status = state
        self._told.extend((None, text) for text in texts)
        self._shaken = True
        self._feed.poke()

    def tell(self, text: str) -> None:
        """Show a text as the last message of the site."""
        self._told.append((None, text))
        self._feed.poke()

    # For the receiver of commands

    async def write(self, plan: Callable[[], Sequence[Command]]) -> bool:
        """Write something at once; False if redis is unreachable.

        Args:
            plan: Makes the commands; called when nothing else is being written, so that nothing older follows them.
        """
        async with self._lock:
            commands = plan()
            link = self._link
            if link is None:
                return False
            try:
                await self._run(link, commands)
            except link.failures:
                self._shaken = True
                self._feed.poke()
                return False
            return True


def _blobs_of(news: News) -> list[tuple[SetVector, OneBlob]]:
    vectors = [change.message for change in news.changes if isinstance(change.message, SetVector)]
    return [(vector, one) for vector in vectors for one in vector.members if isinstance(one, OneBlob)]


def _write_blobs(folder: Path, blobs: Iterable[tuple[SetVector, OneBlob]]) -> tuple[Files, list[tuple[str, str]]]:
    """Write BLOBs to files; blocks.  Returns their paths, and devices with human-readable error messages."""
    found: Files = {}
    told: list[tuple[str, str]] = []
    for message, one in blobs:
        try:
            found[message.device, message.name, one.name] = write_blob(folder, message, one)
        except OSError as error:
            logger.error("a BLOB of %s cannot be written: %s", message.device, error)
            told.append((message.device, f"The BLOB {one.name} cannot be written: {error.strerror}"))
    return found, told


async def encoded(message: AnyMessage) -> bytes:
    """The XML of a message; b"" if it cannot be sent although a server has sent it.  A large one takes a thread."""
    try:
        return await _encoded(message)
    except LocalProtocolError as error:
        logger.warning("not passed on: %s", error)
        return b""


async def _encoded(message: AnyMessage) -> bytes:
    if isinstance(message, SetVector) and any(
        isinstance(one, OneBlob) and len(one.data) > LARGE for one in message.members
    ):
        frame = await asyncio.to_thread(encode, message)
        return b"".join(frame.chunks)
    return b"".join(encode(message).chunks)


def _text(value: Any) -> str:
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else str(value)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
