"""The bridge beside instruments: passes their messages to the broker as XML, and messages from there to them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Iterable
from typing import Any, Final

from indipyclient.client import Client
from indipyclient.reconnect import LinkState, Status
from indipydriver.errors import IndiError
from indipydriver.protocol.decode import decode
from indipydriver.protocol.messages import (
    AnyMessage,
    DefVector,
    DelProperty,
    EnableBlob,
    GetProperties,
    Message,
    NewVector,
    SetVector,
)
from indipydriver.protocol.tags import BlobMode, VectorKind
from indipydriver.protocol.values import format_timestamp

from ..answering import Check, unchecked
from ..feed import Feed, News, definition_of
from ..inbox import Inbox, too_late
from ..requests import NotUnderstood, elements, request
from ..store import encoded
from .broker import Broker, Incoming
from .snoop import SnoopTable, Subject, is_over, reduced
from .topics import STATUS, Topics, is_online, presence, presence_text

__all__ = ["Site"]

logger = logging.getLogger("indiredis")

TOLD: Final = 100
"""Texts that may wait while the broker is unreachable."""
MOST: Final = 1000
"""The most known bridges, requests of one of them, and requests of our drivers."""
COUNT_EVERY: Final = 5.0
COUNTS: Final = 6
"""How often listeners are told about the last message, which can also get lost."""
MISSING: Final = 15.0
"""Seconds after which the broker, or a bridge that has not come back together with it, counts as gone."""


class Site:
    """Connects a feed and a broker.

    Args:
        feed: The feed of the instruments.
        broker: The broker; its callbacks are set here.
        topics: The topics of this bridge.
        check: Called before a command is sent to the instruments.

    Attributes:
        turn: Held while a message is being sent to the instruments.
        ready: The broker is connected, and this bridge has announced itself.
    """

    def __init__(self, feed: Feed, broker: Broker, topics: Topics, check: Check = unchecked) -> None:
        self._feed = feed
        self._client: Client = feed.client
        self._model = feed.model
        self._broker = broker
        self._topics = topics
        self._check = check
        self._greet = False
        self._asked: set[Subject] = set()
        self._snooped: list[tuple[str, Subject]] = []
        self._snoops = SnoopTable()
        self._standing: dict[Subject, None] = {}  # requests of drivers here for devices elsewhere
        self._to_repeat: dict[Subject, None] = {}  # of these, those to publish for all
        self._followed: dict[str, str] = {}  # devices that they have been told of, and by which bridge
        self._present: set[str] = set()  # other bridges
        self._missing: set[str] = set()  # known when the broker went away
        self._newcomers: dict[str, None] = {}  # new bridges that do not know these requests yet
        self._texts: deque[str] = deque(maxlen=TOLD)
        self._shown: dict[str, set[str]] = {}  # properties that have been published
        self._blobs: dict[str, dict[Subject, tuple[BlobMode, str]]] = {}  # by requester: mode and topic
        self._inbox: Inbox[tuple[str, Incoming]] = Inbox()
        self._jobs: set[asyncio.Task[None]] = set()
        self._was_up = False
        self._said = 0  # messages for all, since the broker was connected
        self._connects = 0  # connection of the broker at the last greeting
        self._answers = 0  # session in which everything was defined
        self._counted = 0.0
        self._counts_left = 0
        self.turn = asyncio.Lock()
        self.ready = asyncio.Event()
        broker.on_message = self._take
        broker.on_up = self._broker_up
        broker.on_down = self._broker_down
        broker.on_refused = lambda text: self.tell([text])

    # Called by the INDI side

    def status_changed(self, status: Status, texts: Iterable[str]) -> None:
        """Handle a change of the link to the instruments."""
        self._texts.extend(texts)
        if status.state is LinkState.READY:
            self._ask(GetProperties("*"))  # introduce ourselves as a server, to be told what drivers look for
        self._feed.poke()

    def tell(self, texts: Iterable[str]) -> None:
        """Publish human-readable messages."""
        self._texts.extend(texts)
        self._feed.poke()

    def message_heard(self, message: AnyMessage) -> None:
        """Handle a driver's request for a device that is not here."""
        if isinstance(message, GetProperties):
            device = None if (message.device or "").startswith("*") else message.device
            subject = (device, message.name if device else None)
            if subject in self._standing or len(self._standing) < MOST:
                self._standing[subject] = self._to_repeat[subject] = None
                self._feed.poke()

    # Output

    async def pump(self) -> None:
        """Publish what has changed, until cancelled."""
        while True:
            news = await self._feed.next(self._count_due())
            if not self._broker.up:
                self._was_up = self._model.connected
                continue
            if self._greet:
                self._greet = False
                await self._greeting()
            if news is not None:
                await self._publish_news(news)
            await self._link_changed()
            await self._answer()
            if self._count_due() == 0:
                self._counts_left -= 1
                await self._count()

    def _count_due(self) -> float | None:
        """Seconds until listeners are told the number of messages; None if they know it."""
        if not self._counts_left or not self._broker.up:
            return None
        return max(0.0, self._counted + COUNT_EVERY - asyncio.get_running_loop().time())

    async def _count(self) -> None:
        self._counted = asyncio.get_running_loop().time()
        where = self._topics.of_messages.encode()  # listeners of another group receive none of them
        await self._broker.publish(self._topics.count, b"%d %d %s" % (self._said, self._answers, where))

    async def _say(self, payload: bytes) -> None:
        """Publish for all; a listener for which the broker has dropped some notices it by the number."""
        if await self._broker.publish(self._topics.from_indi, payload):
            self._said += 1
            self._counts_left = COUNTS

    async def _greeting(self) -> None:
        await self._broker.announce(lambda: presence(self._topics.own, True))
        if self._connects != self._broker.connects:  # otherwise listeners have received, and counted, the messages
            self._connects = self._broker.connects
            self._said = 0
            self._shown.clear()
            self._was_up = self._model.connected
        self._asked = {(None, None)}
        self._to_repeat |= self._standing
        self.ready.set()

    async def _publish_news(self, news: News) -> None:
        if news.lost:
            text = f"{news.lost} changes are not published: the broker, or the line to it, is too slow"
            logger.warning("%s", text)
            self._texts.append(text)
        if news.lost or news.delta.reset:
            self._asked.add((None, None))
            for device in list(self._shown):
                for name in [n for n in self._shown[device] if self._model.get(device, n) is None]:
                    await self._publish(DelProperty(device, name, format_timestamp()))
        for message in news.messages:
            await self._publish(message)

    async def _publish(self, message: AnyMessage) -> None:
        device, name = getattr(message, "device", None), getattr(message, "name", None)
        if isinstance(message, DelProperty):
            shown = self._shown.get(device or "", set())
            if device is not None and not (name in shown if name else shown):
                return
            shown.discard(name or "")
            if device is not None and (name is None or not shown):
                self._shown.pop(device, None)
        elif isinstance(message, DefVector):
            shown = self._shown.setdefault(message.device, set())
            if message.kind is VectorKind.BLOB and message.name not in shown:
                self._start(self._tell_wishes(message.device, message.name))
            shown.add(message.name)
        elif isinstance(message, SetVector) and name not in self._shown.get(message.device, ()):
            prop = self._model.get(message.device, message.name)
            if prop is not None:
                await self._publish(definition_of(prop))
        elif not isinstance(message, SetVector | Message):
            return
        payload = await encoded(message)
        if not payload:
            return
        if isinstance(message, SetVector) and message.kind is VectorKind.BLOB:
            for topic in self._blob_topics(message.device, message.name):
                if topic == self._topics.from_indi:
                    await self._say(payload)
                else:
                    await self._broker.publish(topic, payload)
            return
        await self._say(payload)
        for who in self._snoops.who_wants(device, name):
            await self._tell_follower(who, payload)
        if isinstance(message, DelProperty) and device is not None:
            self._snoops.deleted(device, name)

    async def _tell_follower(self, who: str, payload: bytes) -> None:
        """Publish for a bridge whose drivers follow a device here, with our name: it has to know when we are gone."""
        await self._broker.publish(self._topics.data_for(who), payload, correlation=self._topics.own.encode())

    async def _link_changed(self) -> None:
        """Publish messages; and if the instruments are out of reach, that they are gone."""
        texts = [*self._texts]
        self._texts.clear()
        for text in texts:
            await self._publish(Message(None, text, format_timestamp()))
        if self._was_up and not self._model.connected:
            for device in list(self._shown):
                await self._publish(DelProperty(device, None, format_timestamp(), f"{device} is out of reach"))
        self._was_up = self._model.connected

    async def _answer(self) -> None:
        """Publish requested definitions, and requests of our drivers."""
        asked, self._asked = self._asked, set()
        if (None, None) in asked:
            await self._count()
        for device, name in reduced(asked):
            for message in self._definitions(device, name):
                await self._publish(message)
        if (None, None) in asked:
            self._answers += 1
        snooped, self._snooped = self._snooped, []
        for who, (device, name) in dict.fromkeys(snooped):
            for message in self._definitions(device, name):
                if payload := await encoded(message):
                    await self._tell_follower(who, payload)
        await self._snoop()

    async def _snoop(self) -> None:
        """Publish the requests of our drivers: for all, or for bridges that have appeared since."""
        newcomers, self._newcomers = [*self._newcomers], {}
        to_repeat, self._to_repeat = self._to_repeat, {}
        if newcomers and not self._broker.is_5:
            newcomers, to_repeat = [], dict(self._standing)
        for subject in list(self._standing):
            topics = [self._topics.snoop_control] if subject in to_repeat else map(self._topics.data_for, newcomers)
            for topic in topics:  # all receive the first, which would be a storm when many bridges appear
                if payload := await encoded(GetProperties(*subject)):
                    await self._broker.publish(topic, payload, response=self._topics.snoop_data)

    def _definitions(self, device: str | None, name: str | None) -> list[DefVector]:
        found = [self._model.get(device, name)] if device is not None and name is not None else list(self._model)
        return [
            definition_of(prop)
            for prop in found
            if prop is not None and (device is None or prop.device == device) and not self._model.is_stale(prop)
        ]

    # Input

    def _broker_up(self) -> None:
        self._missing |= self._present
        self._present.clear()
        asyncio.get_running_loop().call_later(MISSING, self._look_for_missing, self._broker.connects)
        self._greet = True
        self._feed.poke()

    def _broker_down(self) -> None:
        self.ready.clear()
        asyncio.get_running_loop().call_later(MISSING, self._look_for_broker, self._broker.connects)

    def _look_for_broker(self, connects: int) -> None:
        """Tell our drivers that what they follow elsewhere is out of reach."""
        if self._broker.connects == connects and not self._broker.up:
            self._start(self._forget_followed(*self._followed.values()))

    def _look_for_missing(self, connects: int) -> None:
        """Remove bridges that went while the broker was unreachable, which it does not report."""
        if self._broker.up and self._broker.connects == connects:
            for who in self._missing - self._present:
                self._gone(who)
            self._missing.clear()

    def _take(self, message: Incoming) -> None:
        first, who = self._topics.split(message.topic)
        if first == STATUS:
            self._presence(who, message)
            return
        if message.retained:
            logger.warning("a retained message on %s is ignored: it is from the past", message.topic)
            return
        if self._topics.snoop_control.startswith(f"{first}/"):
            if who != self._topics.own:
                self._take_snoop(who, message)
            return
        if asker := self._topics.asker(message.topic, message.response):
            self._take_snoop(asker, message)
            return
        if message.to not in ("", self._topics.own):
            return
        if not self._inbox.put((who, message), len(message.payload)):
            self._texts.append("A command was lost: too many wait for the INDI server")
            self._feed.poke()

    def _presence(self, who: str, message: Incoming) -> None:
        online = is_online(presence_text(message.payload))
        if who == self._topics.own:
            if online is False and self._broker.up:  # from an earlier connection
                self._greet = True
                self._feed.poke()
            return
        if online is False:
            self._gone(who)
        elif online and who not in self._present and len(self._present) < MOST:
            self._present.add(who)
            if self._standing and not message.retained:  # a bridge that was here before has received our greeting
                self._newcomers[who] = None
                self._feed.poke()

    def _gone(self, who: str) -> None:
        self._present.discard(who)
        self._snoops.forget(who)
        gone = Incoming(f"{STATUS}/{who}", b"", False)
        self._inbox.put((who, gone), 0)  # after what it has said

    def _take_snoop(self, who: str, message: Incoming) -> None:
        try:
            asked = request(message.payload)
        except NotUnderstood as error:
            logger.warning("a payload on %s is ignored: %s", message.topic, error)
            return
        if not isinstance(asked, GetProperties):
            logger.warning("only getProperties is expected on %s", message.topic)
            return
        if not self._snoops.add(who, asked.device, asked.name):
            return
        if self._definitions(asked.device, asked.name):
            self._snooped.append((who, (asked.device, asked.name)))
            self._feed.poke()
        elif asked.device is not None:
            self._ask(GetProperties(asked.device, asked.name))

    def _ask(self, message: GetProperties) -> None:
        if len(self._jobs) < MOST:
            self._start(self._send(message))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        job = asyncio.ensure_future(work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def _send(self, message: GetProperties) -> None:
        try:
            await self._client.send(message)
        except IndiError as error:
            logger.info("not asked: %s", error)

    async def carry(self) -> None:
        """Pass on what has arrived, in order, until cancelled."""
        try:
            await self._carry()
        finally:
            for job in self._jobs:
                job.cancel()

    async def _carry(self) -> None:
        while True:
            (who, message), came = await self._inbox.get()
            try:
                if message.topic == self._topics.snoop_data:
                    await self._carry_snoop_data(message)
                elif message.topic.startswith(f"{STATUS}/"):
                    await self._forget_blobs(who)
                    await self._forget_followed(who)
                else:
                    await self._carry_request(who, message, came)
            except NotUnderstood as error:
                logger.warning("a payload on %s is ignored: %s", message.topic, error)
            except IndiError as error:
                logger.warning("from %s: %s", message.topic, error)

    async def _carry_snoop_data(self, message: Incoming) -> None:
        for frame in elements(message.payload):
            one = decode(frame)
            if isinstance(one, DefVector | SetVector | DelProperty | Message):
                await self._pass_on(one)
            if isinstance(one, DefVector) and (one.device in self._followed or len(self._followed) < MOST):
                self._followed[one.device] = message.correlation.decode(errors="replace")
            if isinstance(one, DelProperty):  # our request is gone with it
                if one.name is None:
                    self._followed.pop(one.device or "", None)
                self._to_repeat |= {each: None for each in self._standing if is_over(each, one.device, one.name)}
                self._feed.poke()

    async def _forget_followed(self, *owners: str) -> None:
        """Tell our drivers that the devices of bridges are out of reach; when they come back, they are asked again."""
        for device in [device for device, owner in self._followed.items() if owner in owners]:
            del self._followed[device]
            try:
                await self._pass_on(DelProperty(device, None, format_timestamp(), f"{device} is out of reach"))
            except IndiError as error:
                logger.info("drivers are not told that %s is out of reach: %s", device, error)

    async def _pass_on(self, message: AnyMessage) -> None:
        async with self.turn:
            await self._client.send(message)

    async def _carry_request(self, who: str, message: Incoming, came: float) -> None:
        large = len(message.payload) > 64 << 10
        asked = await asyncio.to_thread(request, message.payload) if large else request(message.payload)
        if isinstance(asked, GetProperties):
            device = None if (asked.device or "").startswith("*") else asked.device
            if self._definitions(device, asked.name if device else None):
                self._asked.add((device, asked.name if device else None))
                self._feed.poke()
            elif self._model.connected and (device is None or not len(self._model)):
                await self._client.send(GetProperties(device, asked.name))
        elif isinstance(asked, EnableBlob):
            if asked.device is not None:
                await self._enable(who, asked, message.response or self._topics.from_indi)
        elif isinstance(asked, NewVector) and (self._model.names(asked.device) or message.to == self._topics.own):
            reason = "" if self._model.names(asked.device) else "there is no such device"
            reason = reason or message.late or too_late(came) or await self._check(came)
            try:
                if not reason:
                    await self._pass_on(asked)
            except IndiError as error:
                reason = str(error)
            if reason:
                self._texts.append(f"The command for {asked.device} {asked.name} was not sent: {reason}")
                self._asked.add((asked.device, asked.name))  # clients that believe that it is Busy get the true state
                self._feed.poke()

    # BLOBs

    async def _enable(self, who: str, asked: EnableBlob, topic: str) -> None:
        if who not in self._blobs and len(self._blobs) >= MOST:
            return
        wishes = self._blobs.setdefault(who, {})
        device, name = asked.device, asked.name
        if name is None:
            for each in [each for each in wishes if each[0] == device]:
                del wishes[each]
        if len(wishes) >= MOST and (device, name) not in wishes:
            return
        wishes[device, name] = asked.mode, topic
        await self._tell_wish(device, name)

    async def _tell_wish(self, device: str | None, name: str | None) -> None:
        wanted = any(
            mode is not BlobMode.NEVER
            for wishes in self._blobs.values()
            for (of_device, of_name), (mode, _) in wishes.items()
            if of_device == device and (name is None or of_name in (None, name))
        )
        if device is not None and self._model.names(device):
            await self._client.enable_blobs(device, name, BlobMode.ALSO if wanted else BlobMode.NEVER)

    async def _tell_wishes(self, device: str, name: str) -> None:
        """Pass on what was requested before this property was there."""
        subjects = [(device, None), (device, name)]
        known = [each for each in subjects if any(each in wishes for wishes in self._blobs.values())]
        try:
            for each in known:
                await self._tell_wish(*each)
        except IndiError as error:
            logger.warning("%s", error)

    async def _forget_blobs(self, who: str) -> None:
        for device, name in self._blobs.pop(who, {}):
            try:
                await self._tell_wish(device, name)
            except IndiError as error:
                logger.warning("%s", error)

    def _blob_topics(self, device: str, name: str) -> list[str]:
        found: dict[str, None] = {}
        for wishes in self._blobs.values():
            mode, topic = wishes.get((device, name)) or wishes.get((device, None)) or (BlobMode.NEVER, "")
            if mode is not BlobMode.NEVER:
                found[topic] = None
        return list(found)
