"""Takes commands from redis, in order, and passes them on to the INDI server."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from indipyclient.client import Client
from indipyclient.errors import LinkLost, NotConnected
from indipydriver.errors import IndiError
from indipydriver.protocol.messages import AnyMessage, EnableBlob, GetProperties, NewVector
from indipydriver.protocol.tags import BlobMode

from .errors import need
from .inbox import Inbox, too_late
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
"""Seconds without a word from redis after which it is asked, and after which it counts as gone."""


class Commands:
    """Listens to the channel of commands.

    Args:
        server: Where redis is.
        client: Where commands go.
        store: What shows that they are on their way.

    Attributes:
        taken: Requests that were passed on.
        refused: Payloads that were not understood, and commands that could not be sent.
        ready: The channel is listened to.
    """

    def __init__(self, server: RedisServer, client: Client, store: Store) -> None:
        self.taken = 0
        self.refused = 0
        self.ready = asyncio.Event()
        self._server = server
        self._client = client
        self._store = store
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
                    text = f"Commands that were published just now may be lost, as the connection to redis was: {error}"
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
        asked = False
        while True:
            message = await pubsub.get_message(timeout=SILENCE)
            if message is None:
                if asked:  # the connection leads nowhere, which nobody else would notice
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

    async def _carry(self) -> None:
        while True:
            first = await self._inbox.get()
            await self._take([first, *self._inbox.waiting(AT_ONCE - 1)])

    async def _take(self, payloads: list[tuple[bytes, float]]) -> None:
        """Show what is on its way, in one write, then send everything in order."""
        messages: list[tuple[AnyMessage, float]] = []
        for payload, came in payloads:
            try:
                if len(payload) > LARGE:
                    messages.append((await asyncio.to_thread(request, payload), came))
                else:
                    messages.append((request(payload), came))
            except NotUnderstood as error:
                self.refused += 1
                if self.refused <= FAULTS_LOGGED:
                    logger.warning("a payload on %s is ignored: %s", self._server.to_indi_channel, error)
        await self._store.write(lambda: [each for message, _ in messages for each in self._side_effects(message)])
        for message, came in messages:
            late = too_late(came)
            if late and isinstance(message, NewVector):
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
                    never = message.mode is BlobMode.NEVER  # Only would keep everything else from redis
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
