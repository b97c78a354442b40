"""Takes commands from redis, in order, and passes them on to the INDI server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Final

from indipyclient.client import Client
from indipyclient.errors import LinkLost, NotConnected
from indipydriver.errors import IndiError
from indipydriver.protocol.messages import AnyMessage, EnableBlob, GetProperties, NewVector
from indipydriver.protocol.tags import BlobMode

from .errors import need
from .logs import Command
from .requests import NotUnderstood, request
from .servers import RedisServer
from .store import FIRST_WAIT, LONGEST_WAIT, Store

__all__ = ["Commands"]

logger = logging.getLogger("indiredis")

AT_ONCE: Final = 200
LARGE: Final = 64 << 10
FAULTS_LOGGED: Final = 20


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

    async def run(self) -> None:
        """Listen until cancelled."""
        redis = need("redis.asyncio", "redis")
        failures = (need("redis.exceptions", "redis").RedisError, OSError)
        retry = need("redis.asyncio.retry", "redis").Retry(need("redis.backoff", "redis").NoBackoff(), 0)
        wait = FIRST_WAIT
        while True:
            connection = redis.Redis(
                host=self._server.host,
                port=self._server.port,
                db=self._server.db,
                password=self._server.password or None,
                client_name="indiredis-commands",
                retry=retry,
                socket_connect_timeout=5,
                socket_keepalive=True,
                health_check_interval=15,
            )
            try:
                async with connection, connection.pubsub() as pubsub:
                    await pubsub.subscribe(self._server.to_indi_channel)
                    wait = FIRST_WAIT
                    await self._listen(pubsub)
            except failures as error:
                logger.info("no commands from redis: %s", error)
                self._store.shake()
            finally:
                self.ready.clear()
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    async def _listen(self, pubsub: Any) -> None:
        while True:
            payloads: list[bytes] = []
            message = await pubsub.get_message(timeout=10)
            while message is not None:
                if message["type"] == "subscribe":
                    self.ready.set()
                elif message["type"] == "message":
                    payloads.append(message["data"])
                if len(payloads) >= AT_ONCE:
                    break
                message = await pubsub.get_message(timeout=0)
            if payloads:
                await self._take(payloads)

    async def _take(self, payloads: list[bytes]) -> None:
        """Show what is on its way, in one write, then send everything in order."""
        messages: list[AnyMessage] = []
        for payload in payloads:
            try:
                if len(payload) > LARGE:
                    messages.append(await asyncio.to_thread(request, payload))
                else:
                    messages.append(request(payload))
            except NotUnderstood as error:
                self.refused += 1
                if self.refused <= FAULTS_LOGGED:
                    logger.warning("a payload on %s is ignored: %s", self._server.to_indi_channel, error)
        shown: list[Command] = []
        for message in messages:
            shown += self._side_effects(message)
        await self._store.write(shown)
        for message in messages:
            await self._send(message)

    def _side_effects(self, message: AnyMessage) -> list[Command]:
        planner = self._store.planner
        if isinstance(message, NewVector):
            return planner.mark_busy((message.device, message.name)) if self._client.connected else []
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
        planner = self._store.planner
        commands: list[Command] = []
        if isinstance(message, NewVector):
            commands += planner.unmark_busy((message.device, message.name))
            known = planner.knows((message.device, message.name))
            text = f"The command for {device} {name} was not sent: {reason}"
            commands += planner.note(device if known else None, text)
        with contextlib.suppress(asyncio.TimeoutError):
            await self._store.write(commands)
