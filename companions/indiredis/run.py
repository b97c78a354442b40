"""The bridges between INDI and redis as coroutines that can be stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from indipyclient.client import Client
from indipyclient.reconnect import Status
from indipydriver.protocol.messages import AnyMessage

from .answering import Answering
from .blobfolder import open_folder, remove_parts
from .commands import Commands
from .feed import Feed
from .logs import Logs, LogStore
from .servers import IndiServer, RedisServer
from .sources import Driver, driver_hub, server_client
from .store import WAITING, Store

__all__ = ["Telling", "run_driverstoredis", "run_inditoredis", "serve_redis", "until"]

logger = logging.getLogger("indiredis")

AGAIN: Final = 0.5
"""Seconds after which a task that does not end is cancelled again."""
STARTED: Final = "Drivers started, waiting for data"
Ready = Callable[[], None]


class Telling:
    """Keeps a client's reports until there is a receiver."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Status, list[str]]] = []
        self.to: Callable[[Status, list[str]], None] = lambda status, texts: self.waiting.append((status, texts))
        self.message: Callable[[AnyMessage], None] = lambda message: None
        self.also: Callable[[Status], None] = lambda status: None

    def status(self, status: Status, texts: list[str]) -> None:
        self.also(status)
        self.to(status, texts)

    def pass_message(self, message: AnyMessage) -> None:
        self.message(message)

    def pass_on(self, to: Callable[[Status, list[str]], None]) -> None:
        """Set the receiver, and pass on what has waited."""
        self.to = to
        for status, texts in self.waiting:
            to(status, texts)
        self.waiting.clear()


async def until(stop: asyncio.Event | None, *jobs: Coroutine[Any, Any, None]) -> None:
    """Run everything until `stop` is set; the first failure ends it."""
    tasks = [asyncio.create_task(job) for job in jobs]
    stopping = asyncio.create_task((stop or asyncio.Event()).wait())
    try:
        done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task is not stopping:
                task.result()
    finally:
        left: set[asyncio.Task[Any]] = {*tasks, stopping}
        while left:  # third-party code may lose a cancellation by catching it together with a time-out
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=AGAIN)


@contextlib.asynccontextmanager
async def following(client: Client, limit_bytes: int | None = None) -> AsyncIterator[Feed]:
    """Start a client and follow it."""
    await client.start(wait=False)
    feed = Feed(client, limit_bytes)
    try:
        yield feed
    finally:
        feed.close()
        await client.aclose()


@contextlib.contextmanager
def asking(client: Client, telling: Telling) -> Iterator[Answering]:
    """Find out with each new link of this client whether its server can be asked."""
    answering = Answering(client)
    telling.also = answering.status_changed
    try:
        yield answering
    finally:
        telling.also = lambda status: None
        answering.close()


async def serve_redis(
    client: Client,
    telling: Telling,
    redisserver: RedisServer,
    folder: Path,
    logs: Logs,
    stop: asyncio.Event | None,
    *,
    source: str,
    said: Iterable[str] = (),
    ready: Ready | None = None,
    extra: Iterable[Coroutine[Any, Any, None]] = (),
) -> None:
    """Store what a client receives, and pass on requests of programs, until stopped."""
    await asyncio.to_thread(remove_parts, folder)
    with asking(client, telling) as answering:
        async with following(client, WAITING) as feed:
            store = Store(redisserver, feed, folder, logs, source=source)
            commands = Commands(redisserver, client, store, answering.check)
            telling.pass_on(store.status_changed)
            for text in said:
                store.tell(text)

            async def tell_ready() -> None:
                await store.ready.wait()
                await commands.ready.wait()
                if ready is not None:
                    ready()
                await asyncio.Event().wait()

            await until(stop, store.run(), commands.run(), tell_ready(), *extra)


async def run_inditoredis(
    indiserver: IndiServer,
    redisserver: RedisServer,
    stop: asyncio.Event | None = None,
    *,
    log_lengths: Mapping[str, int] | None = None,
    blob_folder: str | os.PathLike[str] = "",
    log_store: LogStore | str = LogStore.STREAM,
    ready: Ready | None = None,
) -> None:
    """Store in redis what an INDI server sends, until stopped.

    Args:
        indiserver: From :func:`indi_server`.
        redisserver: From :func:`redis_server`.
        stop: Ends it when set.
        log_lengths: How many entries are kept, by kind of log.
        blob_folder: The folder for BLOBs.
        log_store: ``stream``, or ``list`` for the form of old versions.
        ready: Called when redis shows everything and commands are listened to.

    Raises:
        ValueError: An argument is wrong.
        MissingPackage: The package redis is not installed.
    """
    folder = open_folder(blob_folder)
    logs = Logs(log_lengths, log_store)
    telling = Telling()
    client = server_client(indiserver, telling.status)
    source = f"{indiserver.host}:{indiserver.port}"
    logger.info("from INDI at %s to redis at %s:%s", source, redisserver.host, redisserver.port)
    await serve_redis(client, telling, redisserver, folder, logs, stop, source=source, ready=ready)


async def run_driverstoredis(
    drivers: Driver | Iterable[Driver],
    redisserver: RedisServer,
    stop: asyncio.Event | None = None,
    *,
    log_lengths: Mapping[str, int] | None = None,
    blob_folder: str | os.PathLike[str] = "",
    log_store: LogStore | str = LogStore.STREAM,
    ready: Ready | None = None,
) -> None:
    """Run drivers, and store in redis what they send, until stopped; see :func:`run_inditoredis`.

    Args:
        drivers: Programs, programs with arguments, or IPyDrivers; or a single one of these.

    Raises:
        FileNotFoundError: There is no such program.
    """
    folder = open_folder(blob_folder)
    logs = Logs(log_lengths, log_store)
    telling = Telling()
    async with driver_hub(drivers, telling.status) as client:
        logger.info("from drivers to redis at %s:%s", redisserver.host, redisserver.port)
        await serve_redis(
            client, telling, redisserver, folder, logs, stop, source="drivers", said=[STARTED], ready=ready
        )
