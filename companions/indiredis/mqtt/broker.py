"""A connection to an MQTT broker that comes back by itself.  What could not be delivered is not sent again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from ..errors import need
from ..servers import MQTTOptions, MQTTServer

__all__ = ["Broker", "Incoming", "Will"]

logger = logging.getLogger("indiredis")

WINDOW: Final = 20
"""Publications under way."""
PATIENCE: Final = 60.0
"""Seconds for one of them."""
FIRST_WAIT: Final = 0.25
LONGEST_WAIT: Final = 4.0
TO: Final = "to"
"""Name of the user property that says for which bridge a request is."""
UNSUPPORTED: Final = 132
"""The reason code for a version of MQTT that a broker does not know."""
HEALTHY: Final = 10.0
"""Seconds of life after which a lost connection is made again soon; two with one name would end each other for ever."""


class Incoming(NamedTuple):
    """A message from the broker.

    Attributes:
        topic: Its topic.
        payload: What it holds.
        retained: It was published before we subscribed.
        response: Topic for an answer, if the sender named one.
        correlation: What the answer should carry.
        to: Name of the only bridge that it is for, if the sender named one.
    """

    topic: str
    payload: bytes
    retained: bool
    response: str = ""
    correlation: bytes = b""
    to: str = ""


class Will(NamedTuple):
    """What the broker publishes, and keeps, when we are gone."""

    topic: str
    payload: bytes


class Broker:
    """The connection.

    Args:
        server: Where the broker is.
        identifier: Our name there.
        subscriptions: Topics that are listened to.
        will: What is published when we vanish.
        options: How the broker is used.
        no_local: What we publish ourselves does not come back, and a message says whether it is retained also when it
            comes at once.

    Attributes:
        up: We are connected, and subscribed.
        on_message: Called for each message.
        on_up: Called when the connection is there.
        on_down: Called when it is lost.
        connects: How often it was made.
    """

    def __init__(
        self,
        server: MQTTServer,
        identifier: str,
        subscriptions: Sequence[str],
        *,
        will: Will | None = None,
        options: MQTTOptions | None = None,
        no_local: bool = False,
    ) -> None:
        self._no_local = no_local
        self._subscribe = need("paho.mqtt.subscribeoptions", "mqtt").SubscribeOptions
        self._aiomqtt = need("aiomqtt", "mqtt")
        self._paho = need("paho.mqtt.properties", "mqtt")
        self._packets = need("paho.mqtt.packettypes", "mqtt").PacketTypes
        self.server = server
        self.identifier = identifier
        self.subscriptions = list(subscriptions)
        self.options = options or MQTTOptions()
        self.up = False
        self.connects = 0
        self.refused = ""
        self.on_message: Callable[[Incoming], None] = lambda message: None
        self.on_up: Callable[[], None] = lambda: None
        self.on_down: Callable[[], None] = lambda: None
        self._will = will
        self._is_5 = True  # until a broker refuses it
        self._client: Any = None
        self._window = asyncio.Semaphore(WINDOW)
        self._sending: set[asyncio.Task[None]] = set()

    @property
    def where(self) -> str:
        return f"{self.server.host}:{self.server.port}"

    async def run(self) -> None:
        """Connect, listen, and connect again, until cancelled."""
        wait = FIRST_WAIT
        loop = asyncio.get_running_loop()
        while True:
            reason = "closed"
            since = loop.time()
            try:
                async with self._connected() as client:
                    for topic in self.subscriptions:
                        await self._listen_to(client, topic)
                    since = loop.time()
                    self._client = client
                    self.up = True
                    self.connects += 1
                    self.refused = ""
                    logger.info("%s: connected to MQTT at %s", self.identifier, self.where)
                    self.on_up()
                    try:
                        async for message in client.messages:
                            self._take(message)
                    except asyncio.CancelledError:  # a broker publishes the will only of who vanishes
                        await self._say_goodbye(client)
                        raise
            except (self._aiomqtt.MqttError, OSError, ValueError) as error:
                reason = str(error) or type(error).__name__
                if self._is_5 and getattr(getattr(error, "rc", None), "value", 0) == UNSUPPORTED:
                    self._is_5 = False
                    logger.warning("%s: the broker at %s knows only MQTT 3.1.1", self.identifier, self.where)
                    continue
            finally:
                was_up, self.up, self._client = self.up, False, None
                for task in self._sending:  # nobody will confirm them, and others wait for their places
                    task.cancel()
                if was_up:
                    self.on_down()
            if was_up and loop.time() - since >= HEALTHY:
                wait = FIRST_WAIT
            elif was_up:
                reason += "; has another bridge the same name?"
            if reason != self.refused:
                self.refused = reason
                logger.warning("%s: MQTT at %s: %s", self.identifier, self.where, reason)
            await asyncio.sleep(wait * random.uniform(0.8, 1.2))
            wait = min(2 * wait, LONGEST_WAIT)

    async def _listen_to(self, client: Any, topic: str) -> None:
        qos = max(1, self.options.qos)
        if self._is_5:
            how = self._subscribe(qos=qos, noLocal=self._no_local, retainAsPublished=self._no_local)
            await client.subscribe(topic, options=how)
        else:
            await client.subscribe(topic, qos)

    async def listen_again(self, topic: str) -> None:
        """Get what is retained there once more."""
        client = self._client
        if client is not None:
            with contextlib.suppress(self._aiomqtt.MqttError):
                await self._listen_to(client, topic)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Any]:
        """A connection; one that is there when nobody waits for it any more is ended, and not left to itself."""
        connection = self._connection()
        coming = asyncio.ensure_future(connection.__aenter__())
        try:
            client = await asyncio.shield(coming)
        except asyncio.CancelledError:
            ending = asyncio.ensure_future(_end(connection, coming))
            _unwanted.add(ending)
            ending.add_done_callback(_unwanted.discard)
            raise
        finally:
            del coming  # a failure that it holds would hold this frame
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_exit(connection.__aexit__)
            yield client

    def _connection(self) -> Any:
        options, server = self.options, self.server
        version = self._aiomqtt.ProtocolVersion
        session: dict[str, Any] = {"protocol": version.V311, "clean_session": True}
        if self._is_5:
            properties = self._paho.Properties(self._packets.CONNECT)
            properties.SessionExpiryInterval = 0
            session = {"protocol": version.V5, "clean_start": True, "properties": properties}
        password = server.password
        if options.password_file is not None:
            password = Path(options.password_file).read_text(encoding="utf-8").strip()
        context: ssl.SSLContext | None = None
        if options.tls:
            context = ssl.create_default_context() if options.tls is True else options.tls
        will = None
        if self._will is not None:
            will = self._aiomqtt.Will(self._will.topic, self._will.payload, 1, True)
        client = self._aiomqtt.Client(
            server.host,
            server.port,
            username=server.username or None,
            password=password or None,
            identifier=self.identifier,
            will=will,
            keepalive=options.keepalive,
            tls_context=context,
            max_inflight_messages=WINDOW,
            logger=logging.getLogger("indiredis.mqtt"),
            **session,
        )
        client.pending_calls_threshold = 1 << 30  # the window is ours
        return client

    def _take(self, message: Any) -> None:
        properties = message.properties
        payload = message.payload if isinstance(message.payload, bytes) else str(message.payload or "").encode()
        incoming = Incoming(
            str(message.topic),
            payload,
            bool(message.retain),
            getattr(properties, "ResponseTopic", ""),
            getattr(properties, "CorrelationData", b""),
            dict(getattr(properties, "UserProperty", ())).get(TO, ""),
        )
        try:
            self.on_message(incoming)
        except Exception:
            logger.exception("a message on %s is ignored", incoming.topic)

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int | None = None,
        retain: bool = False,
        response: str = "",
        correlation: bytes = b"",
        content_type: str = "",
        to: str = "",
        expiry: int = 0,
    ) -> bool:
        """Send, in order; comes back when there is room for more, and not when it has been delivered.

        Args:
            topic: Where to.
            payload: What.
            qos: Quality of service; None for that of raw messages.
            retain: The broker keeps it.
            response: Topic for an answer.
            correlation: What this is the answer to.
            content_type: What the payload is.
            to: Name of the only bridge that it is for.
            expiry: Seconds after which the broker delivers it no more.

        Returns:
            False if there is no connection; then nothing was sent.
        """
        if not self.up:
            return False
        await self._window.acquire()
        client = self._client
        if client is None:
            self._window.release()
            return False
        properties = None
        if self._is_5 and (response or correlation or content_type or to or expiry):
            properties = self._paho.Properties(self._packets.PUBLISH)
            if response:
                properties.ResponseTopic = response
            if correlation:
                properties.CorrelationData = correlation
            if content_type:
                properties.ContentType = content_type
            if to:
                properties.UserProperty = (TO, to)
            if expiry:
                properties.MessageExpiryInterval = expiry
        level = self.options.qos if qos is None else qos
        task = asyncio.ensure_future(self._deliver(client, topic, payload, level, retain, properties))
        self._sending.add(task)
        task.add_done_callback(self._delivered)
        return True

    async def _deliver(self, client: Any, topic: str, payload: bytes, qos: int, retain: bool, properties: Any) -> None:
        with contextlib.suppress(self._aiomqtt.MqttError):  # the connection is lost, which is told elsewhere
            await client.publish(topic, payload, qos, retain, properties, timeout=PATIENCE)

    def _delivered(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._window.release()
        if not task.cancelled() and task.exception() is not None:
            logger.error("a message was not sent: %s", task.exception())

    async def _say_goodbye(self, client: Any) -> None:
        """Whoever waits for this may lose patience, but not before it has been handed to the connection."""
        level = 0  # which takes no place among those under way
        try:
            level = int(await self.drain())
        finally:
            if self._will is not None:
                with contextlib.suppress(self._aiomqtt.MqttError):
                    await client.publish(self._will.topic, self._will.payload, level, True, timeout=2)

    async def drain(self, timeout: float = 2.0) -> bool:
        """Wait until everything has been delivered; False if it is not in time."""
        if self._sending:
            await asyncio.wait(list(self._sending), timeout=timeout)
        return not self._sending


_unwanted: set[asyncio.Task[None]] = set()  # the loop alone would not keep them


async def _end(connection: Any, coming: asyncio.Task[Any]) -> None:
    with contextlib.suppress(Exception):
        await coming
        await connection.__aexit__(None, None, None)
