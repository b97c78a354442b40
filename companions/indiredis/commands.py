"""Takes commands from redis, in order, and passes them on to the INDI server."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Any, Final

from indipyclient.client import Client
from indipyclient.errors import LinkLost, NotConnected
from indipydriver.errors import IndiError
from indipydriver.protocol.messages import AnyMessage, EnableBlob, GetProperties, NewVector
from indipydriver.protocol.tags import BlobMode

from .answering import Check, unchecked
from .errors import need
from .inbox import LATE, Inbox, Watch, too_late
from .logs import Command
from .requests import NotUnderstood, request
from .servers import RedisServer
from .store import FIRST_WAIT, LONGEST_WAIT, Store

__all__ = ["Commands"]

logger = logging.getLogger("indiredis")

AT_ONCE: Final = 200
LARGE: Final = 64 << 10
FAULTS_LOGGED: Final = 20
SILENCE: Final = 4.0
"""Seconds of silence after which redis is asked, and after which it counts as gone."""


class Commands:
    """Listens to the channel of commands.

    Args:
        server: The redis server.
        client: Receives the commands.
        store: Shows that commands are in progress.
        check: Called before a command is sent.

    Attributes:
        taken: Requests that were passed on.
        refused: Payloads that were not understood, and commands that could not be sent.
        ready: Whether the channel is being listened to.
    """

    def __init__(self, server: RedisServer, client: Client, store: Store, check: Check = unchecked) -> None:
        self.taken = 0
        self.refused = 0
        self.ready = asyncio.Event()
        self._server = server
        self._client = client
        self._store = store
        self._check = check
        self._inbox: Inbox[bytes] = Inbox()

    async def run(self) -> None:
        """Listen until cancelled."""
        sending = asyncio.create_task(self._carry())
        listening = asyncio.create_task(self._receive())
        try:
            await asyncio.wait([sending, listening], return_when=asyncio.FIRST_COMPLETED)
            for task in (sending, listening):
                if task.done():
                    task.result()
        finally:
            sending.cancel()
            listening.cancel()
            await asyncio.gather(sending, listening, return_exceptions=True)

    async def _receive(self) -> None:
        redis = need("redis.asyncio", "redis")
        failures = (need("redis.exceptions", "redis").RedisError, OSError)
        refusal: type[Exception] = need("redis.exceptions", "redis").ResponseError
        retry = need("redis.asyncio.retry", "redis").Retry(need("redis.backoff", "redis").NoBackoff(), 0)
        wait = FIRST_WAIT
        told = ""
        while True:
            connection = redis.Redis(
                host=self._server.host,
                port=self._server.port,
                db=self._server.db,
                password=self._server.password or None,
                client_name="indiredis-commands",
                retry=retry,
                socket_timeout=5,
                socket_connect_timeout=5,
                socket_keepalive=True,
            )
            try:
                async with connection, connection.pubsub() as pubsub:
                    await pubsub.subscribe(self._server.to_indi_channel)
                    await self._listen(pubsub)
            except failures as error:
                text = f"No commands come from redis: {error}"
                is_lost = self.ready.is_set()
                if is_lost:
                    wait = FIRST_WAIT
                    text = f"Commands published just now may be lost, because the connection to redis was: {error}"
                if is_lost or (isinstance(error, refusal) and text != told):
                    told = text
                    logger.warning("%s", text)
                    self._store.tell(text)
                else:
                    logger.info("%s", text)
                self._store.shake()
            finally:
                self.ready.clear()
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    async def _listen(self, pubsub: Any) -> None:
        loop = asyncio.get_running_loop()
        asked = False
        watch, line, begin = Watch(), _Line(pubsub), math.inf
        while True:
            message = await pubsub.get_message(timeout=SILENCE)
            if gap := watch.look():
                raise ConnectionResetError(f"this program stood still for {gap:.0f} s")
            moves = line.moves()
            if message is None and moves:  # a large BLOB takes its time
                begin = min(begin, loop.time() - SILENCE)
                asked = False
                continue
            if message is None:
                if asked:  # the connection is dead, which nobody else would notice
                    raise ConnectionResetError("it does not answer")
                await pubsub.ping()
                asked = True
                continue
            asked = False
            if message["type"] == "subscribe":
                self.ready.set()
            elif message["type"] == "message" and not self._inbox.put(message["data"], len(message["data"])):
                self.refused += 1
                self._store.tell("A command was lost: too many wait for the INDI server")
            if loop.time() > begin + LATE:  # what has come behind it may be as old
                raise ConnectionResetError("a large one was too long on its way")
            begin = math.inf

    async def _carry(self) -> None:
        while True:
            first = await self._inbox.get()
            await self._take([first, *self._inbox.waiting(AT_ONCE - 1)])

    async def _take(self, payloads: list[tuple[bytes, float]]) -> None:
        """Mark the commands as in progress, in one write, then send everything in order."""
        messages: list[tuple[AnyMessage, float]] = []
        for payload, came in payloads:
            try:
                if len(payload) > LARGE:
                    messages.append((await asyncio.to_thread(request, payload), came))
                else:
                    messages.append((request(payload), came))
            except NotUnderstood as error:
                self.refused += 1
                text = f"A payload on {self._server.to_indi_channel} is ignored: {error}"
                if self.refused <= FAULTS_LOGGED:
                    logger.warning("%s", text)
                self._store.tell(text)
        await self._store.write(lambda: [each for message, _ in messages for each in self._side_effects(message)])
        for message, came in messages:
            late = (too_late(came) or await self._check(came)) if isinstance(message, NewVector) else ""
            if late:
                await self._not_sent(message, late)
            else:
                await self._send(message)

    def _side_effects(self, message: AnyMessage) -> list[Command]:
        planner = self._store.planner
        if isinstance(message, NewVector):
            key, rev = (message.device, message.name), self._client.model.rev
            return planner.mark_busy(key, rev) if self._client.connected else []
        if isinstance(message, EnableBlob) and message.device is not None:
            return planner.mark_blobs(message.device, message.name, message.mode is not BlobMode.NEVER)
        if isinstance(message, GetProperties):
            return planner.asked(message.name or "", message.device or "")
        return []

    async def _send(self, message: AnyMessage) -> None:
        try:
            if isinstance(message, EnableBlob):
                if message.device is not None:
                    never = message.mode is BlobMode.NEVER  # the mode Only would keep everything else out of redis
                    mode = BlobMode.NEVER if never else BlobMode.ALSO
                    await self._client.enable_blobs(message.device, message.name, mode)
            else:
                await self._client.send(message)
        except (NotConnected, LinkLost) as error:
            await self._not_sent(message, str(error))
        except IndiError as error:
            await self._not_sent(message, f"not sent: {error}")
        else:
            self.taken += 1

    async def _not_sent(self, message: AnyMessage, reason: str) -> None:
        self.refused += 1
        device, name = getattr(message, "device", None), getattr(message, "name", None)
        text = f"{type(message).__name__} {device or ''} {name or ''}: {reason}"
        logger.warning("%s", text)
        if isinstance(message, NewVector):
            await self._store.write(lambda: self._told(message, reason))

    def _told(self, message: NewVector, reason: str) -> list[Command]:
        planner = self._store.planner
        text = f"The command for {message.device} {message.name} was not sent: {reason}"
        key = (message.device, message.name)
        return planner.unmark_busy(key) + planner.note(message.device if planner.knows(key) else None, text)


class _Line:
    """Sees whether bytes come from redis, of a message that is not complete yet, too."""

    def __init__(self, pubsub: Any) -> None:
        self._came = self._seen = 0
        reader = getattr(pubsub.connection, "_reader", None)
        if reader is None:  # of another version: then a large BLOB has to come in time
            return
        feed = reader.feed_data

        def counted(data: bytes) -> None:
            self._came += len(data)
            feed(data)

        reader.feed_data = counted

    def moves(self) -> bool:
        """Some have come since the last look."""
        before, self._seen = self._seen, self._came
        return self._came > before
