"""A connection to an MQTT broker that restores itself.  What could not be delivered is not sent again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from ..errors import need
from ..inbox import LATE, Watch
from ..servers import MQTTOptions, MQTTServer
from .incoming import Incoming, Will
from .silence import Silence, give_up_after
from .underway import Window, cut, patient

__all__ = ["Broker", "Incoming", "Will"]

logger = logging.getLogger("indiredis")

WINDOW: Final = 20
"""Publications in transit."""
SIGN: Final = 300.0
"""Seconds after which a bridge repeats that it is online."""
LASTS: Final = 3
"""How many times as long the broker keeps that; otherwise one with a disk might keep it for ever."""
FIRST_WAIT: Final = 0.25
LONGEST_WAIT: Final = 4.0
TO: Final = "to"
"""Name of the user property that says for which bridge a request is."""
UNSUPPORTED: Final = 132
"""The reason code for a version of MQTT that a broker does not know."""
REFUSED: Final = 128
"""Reason codes from here on mean that something failed."""
LARGEST: Final = 256 << 20
"""Bytes of a message that no broker exceeds."""
LARGE: Final = 64 << 10
TOO_LARGE: Final = (149, 130)
"""Reason codes for a message that is too large; the second is that of paho for the answer of mosquitto 2.0.11."""
TAKEN_OVER: Final = 142
"""The reason code when another client has connected with our name."""
AROUND: Final = 512
"""Bytes of a message in addition to its topic and its payload."""
AGAIN: Final = 60.0
"""Seconds after which a refusal of the broker is reported again."""
HEALTHY: Final = 10.0
"""Seconds of connection after which it reconnects quickly; two with one name would end each other for ever."""


class Broker:
    """The connection.

    Args:
        server: The broker.
        identifier: Our name at the broker.
        subscriptions: The topics to listen to.
        will: The message that is published when we vanish.
        options: How the broker is used.
        no_local: Our own messages do not come back, and a message says whether it is retained even if it arrives
            immediately.
        impatient: The connection ends if something could not be delivered to the broker for as long as a command may
            wait.

    Attributes:
        up: Whether we are connected and subscribed.
        on_message: Called for each message.
        on_up: Called when the connection is up.
        on_down: Called when it is lost.
        on_refused: Called when the broker refuses a message or a subscription, with a human-readable text.
        connects: How often it has connected.
        is_5: Whether version 5 of MQTT is used, as far as known.
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
        impatient: bool = False,
    ) -> None:
        self._no_local = no_local
        self._impatient = impatient
        self._silence = Silence()
        self._subscribe = need("paho.mqtt.subscribeoptions", "mqtt").SubscribeOptions
        self._aiomqtt = need("aiomqtt", "mqtt")
        self._paho = need("paho.mqtt.properties", "mqtt")
        self._reasons = need("paho.mqtt.reasoncodes", "mqtt").ReasonCode
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
        self._refusals: dict[str, float] = {}  # until when they are not reported again
        self._most = self._too_large = LARGEST  # what the broker has said, and what it has done
        self._largest = 0  # that has been sent
        self._ended = ""
        self._watch: Watch | None = Watch()
        self._stood_still = False
        self._socket: Callable[[], Any] = lambda: None
        self._will = will
        self._beating: asyncio.Task[None] | None = None
        self.is_5 = True  # until a broker refuses version 5
        self._client: Any = None
        self._room = WINDOW  # or less, if the broker says so
        self._window = Window(WINDOW)
        self._sending: dict[asyncio.Task[None], Callable[[str], None] | None] = {}  # and whom it concerns
        self._numbers: dict[int, asyncio.Task[Any] | None] = {}  # what they have at the broker

    @property
    def where(self) -> str:
        return f"{self.server.host}:{self.server.port}"

    async def run(self) -> None:
        """Connect, listen, and reconnect, until cancelled."""
        wait = FIRST_WAIT
        loop = asyncio.get_running_loop()
        while True:
            reason = "closed"
            since = loop.time()
            try:
                async with self._connected() as client:
                    if self._impatient:
                        give_up_after(self._socket(), LATE)
                    self._watch = Watch()
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
                    except asyncio.CancelledError:  # a broker publishes the will only of clients that vanish
                        self._end_beating()
                        await self._say_goodbye(client)
                        raise
            except (self._aiomqtt.MqttError, OSError, ValueError) as error:
                reason = self._ended or str(error) or type(error).__name__
                if "refused" in reason.lower():  # nobody is there who could stand still
                    self._silence.note_alive()
                if self.is_5 and getattr(getattr(error, "rc", None), "value", 0) == UNSUPPORTED:
                    self.is_5 = False
                    logger.warning("%s: the broker at %s knows only MQTT 3.1.1", self.identifier, self.where)
                    continue
            finally:
                was_up, self.up, self._client = self.up, False, None
                self._end_beating()
                for task in self._sending:  # they will not be confirmed, and others wait for their places
                    task.cancel()
                if was_up:
                    self.on_down()
                if self._stood_still:
                    self._stood_still = False
                    self.on_refused(self._ended)
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

    def _refuse(self, text: str, about: str = "") -> None:
        """Report a refusal, but not again and again: a report that is refused as well would cause the next one."""
        now = asyncio.get_running_loop().time()
        if now >= self._refusals.get(about or text, -math.inf):
            self._refusals[about or text] = now + AGAIN
            logger.warning("%s", text)
            self.on_refused(text)

    async def listen_again(self, topic: str) -> None:
        """Get the retained messages of this topic once more."""
        client = self._client
        if client is not None:
            with contextlib.suppress(self._aiomqtt.MqttError):
                await self._listen_to(client, topic)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Any]:
        """A connection; if nobody waits for it any more when it is up, it is closed."""
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
            password = Path(options.password_file).read_text(encoding="utf-8-sig").strip()
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
        self._watch, self._stood_still = None, False  # to find the broker, or to agree on TLS, may take long
        client.pending_calls_threshold = 1 << 30  # the window is ours
        self._room, self._most, self._largest, self._ended = WINDOW, self._too_large, 0, ""
        self._numbers.clear()
        paho = getattr(client, "_client", None)
        if paho is not None:  # aiomqtt does not report the broker's answer to these
            paho.on_connect = _also(self._connects, paho.on_connect)
            paho.on_publish = _also(self._published, paho.on_publish)
            paho.publish = self._numbered(paho.publish)
            vars(paho)["_handle_pubrec"] = self._received(paho, getattr(paho, "_handle_pubrec", None))
            paho.on_disconnect = _also(self._disconnects, paho.on_disconnect)
            patience = patient(paho, paho.loop_misc, lambda: self._window)
            paho.loop_misc = _also(partial(self._look_after, paho), patience)
            paho.loop_read = self._silence.listening(paho.loop_read)
            self._socket = paho.socket
        return client

    def _connects(self, _: Any, __: Any, ___: Any, ____: Any, properties: Any) -> None:
        """Note the limits that the broker announces."""
        self._room = max(1, min(WINDOW, getattr(properties, "ReceiveMaximum", WINDOW)))
        self._most = min(self._too_large, getattr(properties, "MaximumPacketSize", LARGEST))

    def _disconnects(self, _: Any, __: Any, flags: Any, code: Any, ___: Any) -> None:
        """Note why the broker disconnects; one that accepts less than announced does so each time that it gets more."""
        number = getattr(code, "value", 0)
        if number not in TOO_LARGE:
            self._too_large = LARGEST  # it may have been reconfigured, and be restarting
            if not getattr(flags, "is_disconnect_packet_from_server", False):
                return
        if number >= REFUSED and number != TAKEN_OVER:
            self._ended = str(code)
        if number in TOO_LARGE and self._largest > LARGE:
            self._too_large = self._largest - 1

    def _numbered(self, publish: Callable[..., Any]) -> Callable[..., Any]:
        def numbered(*args: Any, **options: Any) -> Any:
            info = publish(*args, **options)
            if not info.rc and not info.is_published():
                self._numbers[info.mid] = asyncio.current_task()
            return info

        return numbered

    def _received(self, paho: Any, then: Callable[[], Any] | None) -> Callable[[], Any]:
        """The broker's answer to a message of QoS 2, which paho does not report."""

        def received() -> Any:
            packet = bytes(vars(paho).get("_in_packet", {}).get("packet", b""))
            if len(packet) > 2 and packet[2] >= REFUSED:
                with contextlib.suppress(KeyError):  # a code that nobody knows
                    code = self._reasons(self._packets.PUBREC, identifier=packet[2])
                    self._published(None, None, int.from_bytes(packet[:2]), code, None)
            return then() if then is not None else 0

        return received

    def _published(self, _: Any, __: Any, number: int, code: Any, ____: Any) -> None:
        task = self._numbers.pop(number, None)
        if getattr(code, "value", 0) < REFUSED:
            return
        if task is not None and (tell := self._sending.get(task)) is not None:
            tell(f"the broker refuses it: {code}")
        else:
            self._refuse(f"the broker refuses what {self.identifier} publishes: {code}")

    def _look(self) -> None:
        """What has waited in the line while this program stood still is from the past."""
        if self._watch is not None and (gap := self._watch.look()):
            self._stood_still = True
            self._ended = f"{self.identifier} stood still for {gap:.0f} s: what came over MQTT meanwhile is not taken"
            cut(self._socket())

    def _look_after(self, paho: Any) -> None:
        self._look()
        self._silence.ask(paho)

    def _take(self, message: Any) -> None:
        self._look()
        if self._stood_still:
            return
        properties = message.properties
        payload = message.payload if isinstance(message.payload, bytes) else str(message.payload or "").encode()
        incoming = Incoming(
            str(message.topic),
            payload,
            bool(message.retain),
            getattr(properties, "ResponseTopic", ""),
            getattr(properties, "CorrelationData", b""),
            dict(getattr(properties, "UserProperty", ())).get(TO, ""),
            self._silence.reason(),
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
        on_refused: Callable[[str], None] | None = None,
    ) -> bool:
        """Send, in order; returns when there is room for more, not when it has been delivered.

        Args:
            topic: The topic.
            payload: The payload.
            qos: Quality of service; None for the one of raw messages.
            retain: The broker must retain it.
            response: Topic for an answer.
            correlation: The correlation data of the message that this answers.
            content_type: The type of the payload.
            to: Name of the only bridge that it is meant for.
            expiry: Seconds after which the broker no longer delivers it.
            deadline: A time of the loop; if there is no room until then, it is not sent.
            on_refused: Called with the reason if the broker refuses this; None: that of the connection.

        Returns:
            False if nothing was sent: there is no connection, it is too large for the broker, or it is too late.
        """
        if not self.up:
            return False
        self._look()
        if self._stood_still:
            return False
        size = len(payload) + len(topic.encode()) + AROUND
        if size > self._most:
            self._refuse(f"a message of {len(payload)} bytes on {topic} is larger than the broker accepts", topic)
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
        self._sending[task] = on_refused
        task.add_done_callback(lambda task: self._delivered(task, window, size))
        return True

    async def _deliver(self, client: Any, topic: str, payload: bytes, qos: int, retain: bool, properties: Any) -> None:
        with contextlib.suppress(self._aiomqtt.MqttError):  # the connection is lost, which is reported elsewhere
            await client.publish(topic, payload, qos, retain, properties, timeout=math.inf)

    def _delivered(self, task: asyncio.Task[None], window: Window, size: int) -> None:
        self._sending.pop(task, None)
        window.release(size)
        if not task.cancelled() and task.exception() is not None:
            logger.error("a message was not sent: %s", task.exception())

    async def _say_goodbye(self, client: Any) -> None:
        """Send; the caller may stop waiting, but not before it has been handed to the connection."""
        level = 0  # it needs no place among those in transit
        try:
            level = int(await self.drain())
        finally:
            if self._will is not None:
                with contextlib.suppress(self._aiomqtt.MqttError):
                    await client.publish(self._will.topic, self._will.payload, level, True, timeout=2)

    async def announce(self, sign: Callable[[], bytes]) -> bool:
        """Publish that we are online on the topic of the will, and repeat that while we are.

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
        """Wait until everything has been delivered; False if that takes too long."""
        if self._sending:
            await asyncio.wait(list(self._sending), timeout=timeout)
        return not self._sending


def _also(first: Callable[..., None], then: Callable[..., Any] | None) -> Callable[..., Any]:
    def both(*args: Any) -> Any:
        first(*args)
        return then(*args) if then is not None else None

    return both


_unwanted: set[asyncio.Task[None]] = set()  # the loop itself keeps only weak references


async def _end(connection: Any, coming: asyncio.Task[Any]) -> None:
    with contextlib.suppress(Exception):
        await coming
        await connection.__aexit__(None, None, None)
