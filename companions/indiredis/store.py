"""Keeps redis as the model is: writes what changes, and after a loss everything anew."""

from __future__ import annotations

import asyncio
import contextlib
import logging
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
"""Seconds after the last of which the key ``link`` goes."""
LOOK: Final = 0.2
"""Seconds between two looks at what waits for redis."""
LARGE: Final = 256 << 10
WAITING: Final = 160 << 20
"""Bytes that wait for redis, or for their files: a large image has room beside others, and pushes none of them out."""
TOLD: Final = 100
"""Texts of the bridge that wait while redis is away."""
FIRST_WAIT: Final = 0.25
LONGEST_WAIT: Final = 4.0
Files = dict[tuple[str, str, str], Stored]
"""By device, property and member, where a BLOB is."""


class Store:
    """Writes what a feed says to redis.

    Args:
        server: Where redis is.
        feed: What is stored.
        folder: Where BLOBs go.
        logs: Histories.
        source: Where the feed comes from, for the key ``link``.
        name: How the connection is named there.

    Attributes:
        ready: Redis shows everything.
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
            keeping.cancel()
            if (news := await self._feed.take()) is not None:  # which redis has never got, and does not wait
                _write_blobs(self._folder, _blobs_of(news))

    async def _keep_blobs(self) -> None:
        """While redis is away: make files of BLOBs before there is no room for them."""
        while True:
            await asyncio.sleep(LOOK)
            if self._link is None and self._feed.is_crowded:
                async with self._lock:
                    if self._link is None and (news := await self._feed.take()) is not None:
                        self.planner.absorb(news.changes, await self._save(news), news.messages)
                        self._missed += news.lost + len(news.changes)

    async def _run_links(self) -> None:
        wait = FIRST_WAIT
        while True:
            link = RedisLink(self._server, self._name)
            try:
                async with link:
                    await self._rewrite(link)
                    self._link = link
                    self.ready.set()
                    logger.info("redis at %s:%s shows everything", self._server.host, self._server.port)
                    wait = FIRST_WAIT
                    await self._follow(link)
            except ConnectionAbortedError:
                raise
            except link.failures as error:
                logger.warning("redis at %s:%s: %s", self._server.host, self._server.port, error or type(error))
            finally:
                self._link = None
                self.ready.clear()
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def shake(self) -> None:
        """The connection to redis was lost somewhere else: see whether it still shows everything."""
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
                        logger.warning("redis has lost what it held: everything is written anew")
                        await self._rewrite_locked(link)

    # Writing

    async def _write(self, link: RedisLink, news: News | None, files: Files) -> None:
        commands: list[Command] = []
        published: list[Command] = []
        with self._in_flight(news):
            if news is not None:
                if news.delta.reset:  # too much has happened to tell what is gone
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
        """What redis does not get is missed."""
        self._missed += news.lost if news is not None else 0
        try:
            yield
        except BaseException:
            self._missed += len(news.changes) if news is not None else 0
            raise

    async def _run_telling(self, link: RedisLink, commands: list[Command], published: Sequence[Command]) -> None:
        """Write the texts of the bridge too; they wait for better times if redis fails."""
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
                logger.warning("redis refuses something: %s", reply)
                raise ConnectionError(f"redis refused a part of a transaction: {reply}")

    async def _save(self, news: News) -> Files:
        """Write BLOBs to files, before anybody is told of them; all of them, also if this bridge is stopped."""
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
            text = f"{self._missed} changes are in no log, and were not published: redis was away, or too slow"
            logger.warning("%s", text)
            self._told.append((None, text))
            self._missed = 0

    async def _rewrite_locked(self, link: RedisLink, earlier: News | None = None) -> None:
        """Write everything; what came earlier is absorbed already."""
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
        return [("HSET", self.keys.link, *fields), ("EXPIRE", self.keys.link, ALIVE)]

    async def _beat(self, link: RedisLink) -> bool:
        """Say that the bridge is there; False if redis has lost what it held."""
        *_, there = await link.transaction([*self._sign_of_life(), ("EXISTS", self.keys.devices)])
        return bool(there) == bool(len(self._feed.model)) or self._feed.model.rev > self._feed.rev

    def status_changed(self, status: Status, texts: Iterable[str]) -> None:
        """The link to the INDI server has come or gone."""
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

    # For those who take commands

    async def write(self, plan: Callable[[], Sequence[Command]]) -> bool:
        """Write something at once; False if redis is away.

        Args:
            plan: Makes the commands; called when nobody else writes, so that nothing older comes after them.
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
    """Write BLOBs to files; blocks.  Returns where they are, and devices with texts for people."""
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
    """The XML of a message; b"" of one that a server has sent and nobody may send.  A large one takes a thread."""
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
