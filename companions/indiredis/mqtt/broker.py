"""A connection to an MQTT broker that comes back by itself.  What could not be delivered is not sent again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from ..errors import need
from ..servers import MQTTOptions, MQTTServer
from .underway import Window, patient

__all__ = ["Broker", "Incoming", "Will"]

logger = logging.getLogger("indiredis")

WINDOW: Final = 20
"""Publications under way."""
SIGN: Final = 300.0
"""Seconds after which a bridge says again that it is there."""
LASTS: Final = 3
"""So many times as long the broker keeps that: one with a disk would keep it for ever, if both were ended at once."""
FIRST_WAIT: Final = 0.25
LONGEST_WAIT: Final = 4.0
TO: Final = "to"
"""Name of the user property that says for which bridge a request is."""
UNSUPPORTED: Final = 132
"""The reason code for a version of MQTT that a broker does not know."""
REFUSED: Final = 128
"""Reason codes from here on mean that something was not done."""
LARGEST: Final = 256 << 20
"""Bytes of a message that no broker exceeds."""
LARGE: Final = 64 << 10
TOO_LARGE: Final = (149, 130)
"""Reason codes for a message that is too large; the second is that of paho for the answer of mosquitto 2.0.11."""
TAKEN_OVER: Final = 142
"""The reason code when somebody else has connected with our name."""
AROUND: Final = 512
"""Bytes of a message beside its topic and its payload."""
AGAIN: Final = 60.0
"""Seconds after which people are told once more that the broker refuses something."""
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
        on_refused: Called when the broker does not take something, or does not let us listen, with a text for people.
        connects: How often it was made.
        is_5: Version 5 of MQTT is spoken, as far as is known.
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
        self.on_refused: Callable[[str], None] = lambda reason: None
        self._refusals: dict[str, float] = {}  # until when they are not told again
        self._most = self._too_large = LARGEST  # what the broker has said, and what it has done
        self._largest = 0  # that has been sent
        self._ended = ""
        self._will = will
        self._beating: asyncio.Task[None] | None = None
        self.is_5 = True  # until a broker refuses it
        self._client: Any = None
        self._room = WINDOW  # or less, if the broker says so
        self._window = Window(WINDOW)
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
                    self._window = Window(self._room)
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
                        self._end_beating()
                        await self._say_goodbye(client)
                        raise
            except (self._aiomqtt.MqttError, OSError, ValueError) as error:
                reason = self._ended or str(error) or type(error).__name__
                if self.is_5 and getattr(getattr(error, "rc", None), "value", 0) == UNSUPPORTED:
                    self.is_5 = False
                    logger.warning("%s: the broker at %s knows only MQTT 3.1.1", self.identifier, self.where)
                    continue
            finally:
                was_up, self.up, self._client = self.up, False, None
                self._end_beating()
                for task in self._sending:  # nobody will confirm them, and others wait for their places
                    task.cancel()
                if was_up:
                    self.on_down()
            if was_up and loop.time() - since >= HEALTHY:
                wait = FIRST_WAIT
            elif was_up and not self._ended:
                reason += "; has another bridge the same name?"
            if reason != self.refused:
                self.refused = reason
                logger.warning("%s: MQTT at %s: %s", self.identifier, self.where, reason)
            await asyncio.sleep(wait * random.uniform(0.8, 1.2))
            wait = min(2 * wait, LONGEST_WAIT)

    async def _listen_to(self, client: Any, topic: str) -> None:
        qos = max(1, self.options.qos)
        if self.is_5:
            how = self._subscribe(qos=qos, noLocal=self._no_local, retainAsPublished=self._no_local)
            codes = await client.subscribe(topic, options=how)
        else:
            codes = await client.subscribe(topic, qos)
        for code in codes or ():
            if getattr(code, "value", code) >= REFUSED:
                self._refuse(f"the broker does not let {self.identifier} listen to {topic}: {code}")

    def _refuse(self, text: str) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._refusals.get(text, -math.inf):
            self._refusals[text] = now + AGAIN
            logger.warning("%s", text)
            self.on_refused(text)

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
        if self.is_5:
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
        self._room, self._most, self._largest, self._ended = WINDOW, self._too_large, 0, ""
        paho = getattr(client, "_client", None)
        if paho is not None:  # aiomqtt keeps to itself what the broker says of these
            paho.on_connect = _also(self._connects, paho.on_connect)
            paho.on_publish = _also(self._published, paho.on_publish)
            paho.on_disconnect = _also(self._disconnects, paho.on_disconnect)
            paho.loop_misc = patient(paho, paho.loop_misc, lambda: self._window)
        return client

    def _connects(self, _: Any, __: Any, ___: Any, ____: Any, properties: Any) -> None:
        """The broker says what it takes."""
        self._room = max(1, min(WINDOW, getattr(properties, "ReceiveMaximum", WINDOW)))
        self._most = min(self._too_large, getattr(properties, "MaximumPacketSize", LARGEST))

    def _disconnects(self, _: Any, __: Any, flags: Any, code: Any, ___: Any) -> None:
        """The broker says why; one that takes less than it has said ends the connection each time that it gets more."""
        number = getattr(code, "value", 0)
        if number not in TOO_LARGE:
            self._too_large = LARGEST  # perhaps it was told to take more, and starts again
            if not getattr(flags, "is_disconnect_packet_from_server", False):
                return
        if number >= REFUSED and number != TAKEN_OVER:
            self._ended = str(code)
        if number in TOO_LARGE and self._largest > LARGE:
            self._too_large = self._largest - 1

    def _published(self, _: Any, __: Any, ___: Any, code: Any, ____: Any) -> None:
        if getattr(code, "value", 0) >= REFUSED:
            self._refuse(f"the broker does not take what {self.identifier} publishes: {code}")

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
        deadline: float = math.inf,
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
            deadline: In the loop's time; if there is no room before, it is not sent.

        Returns:
            False if there is no connection, the broker does not take as much, or it is too late; nothing was sent then.
        """
        if not self.up:
            return False
        size = len(payload) + len(topic.encode()) + AROUND
        if size > self._most:
            text = f"a message of {len(payload)} bytes on {topic} is larger than the broker takes"
            logger.warning("%s", text)
            self.on_refused(text)
            return False
        window = self._window
        try:
            async with asyncio.timeout_at(deadline if deadline < math.inf else None):
                await window.acquire(size)
        except TimeoutError:
            return False
        client = self._client
        if client is None or window is not self._window or asyncio.get_running_loop().time() > deadline:
            window.release(size)
            return False
        self._largest = max(self._largest, size)
        properties = None
        if self.is_5 and (response or correlation or content_type or to or expiry):
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
        task.add_done_callback(lambda task: self._delivered(task, window, size))
        return True

    async def _deliver(self, client: Any, topic: str, payload: bytes, qos: int, retain: bool, properties: Any) -> None:
        with contextlib.suppress(self._aiomqtt.MqttError):  # the connection is lost, which is told elsewhere
            await client.publish(topic, payload, qos, retain, properties, timeout=math.inf)

    def _delivered(self, task: asyncio.Task[None], window: Window, size: int) -> None:
        self._sending.discard(task)
        window.release(size)
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

    async def announce(self, sign: Callable[[], bytes]) -> bool:
        """Publish that we are there where the will says that we are not, and again and again as long as we are.

        Args:
            sign: Makes the payload.

        Returns:
            False if there is no connection.
        """
        self._end_beating()
        if self._will is None or not self.up:
            return False
        self._beating = asyncio.ensure_future(self._beat(self._will.topic, sign))
        return await self._say_here(self._will.topic, sign)

    async def _say_here(self, topic: str, sign: Callable[[], bytes]) -> bool:
        return await self.publish(topic, sign(), qos=1, retain=True, expiry=math.ceil(LASTS * SIGN))

    async def _beat(self, topic: str, sign: Callable[[], bytes]) -> None:
        while self.is_5:  # no other broker forgets it
            await asyncio.sleep(SIGN * random.uniform(0.8, 1.0))
            await self._say_here(topic, sign)

    def _end_beating(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None

    async def drain(self, timeout: float = 2.0) -> bool:
        """Wait until everything has been delivered; False if it is not in time."""
        if self._sending:
            await asyncio.wait(list(self._sending), timeout=timeout)
        return not self._sending


def _also(first: Callable[..., None], then: Callable[..., None] | None) -> Callable[..., None]:
    def both(*args: Any) -> None:
        first(*args)
        if then is not None:
            then(*args)

    return both


_unwanted: set[asyncio.Task[None]] = set()  # the loop alone would not keep them


async def _end(connection: Any, coming: asyncio.Task[Any]) -> None:
    with contextlib.suppress(Exception):
        await coming
        await connection.__aexit__(None, None, None)
