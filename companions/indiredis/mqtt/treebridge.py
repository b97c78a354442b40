"""Publishes the tree of JSON topics, takes commands from it, and informs Home Assistant."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import random
import time
from collections.abc import Coroutine, Mapping
from typing import Any, Final
from weakref import WeakValueDictionary

from indipyclient.client import Client
from indipyclient.errors import ClientError
from indipyclient.model.commands import Value, switched_on
from indipyclient.model.model import Model
from indipyclient.model.properties import Key
from indipyclient.model.site import Device
from indipydriver.protocol.tags import State, VectorKind
from indipydriver.protocol.values import parse_timestamp

from ..answering import Check, unchecked
from ..inbox import LATE, Inbox
from . import discovery, tree
from .broker import Broker, Incoming, Will

__all__ = ["TreeBridge"]

logger = logging.getLogger("indiredis")

INTERVAL: Final = 0.2
"""Seconds between two states of a property; the last one is always published."""
OLD: Final = 10.0
"""Seconds after which a command with a timestamp is refused."""
QUIET: Final = 1.0
LATEST: Final = 10.0
"""Seconds without definitions, or with definitions all the time, before Home Assistant is informed."""
EARLIER: Final = 5.0
"""Seconds after which messages from an earlier run are deleted at the broker, unless they are still valid."""
AT_ONCE: Final = 64
MOST: Final = 1000
"""Commands in progress for one property, and for all; the senders of further ones are told that they are refused."""
WAITED: Final = 1.0
"""Seconds after which a further command for a property ends the wait for the oldest one."""


class TreeBridge:
    """Connects a client with its own broker connection, because each connection has one will.

    Args:
        client: The client of the instruments.
        broker: The broker; its callbacks are set here.
        topics: The topics of the tree.
        home_assistant: Inform Home Assistant.
        turn: Held by others while they send a message to the instruments.
        check: Called before a command is sent to them.
    """

    def __init__(
        self,
        client: Client,
        broker: Broker,
        topics: tree.Tree,
        home_assistant: bool = False,
        turn: asyncio.Lock | None = None,
        check: Check = unchecked,
    ) -> None:
        self._client = client
        self._model: Model = client.model
        self._broker = broker
        self._topics = topics
        self._ha = home_assistant
        self._turn = turn or asyncio.Lock()
        self._check = check
        self._published: dict[str, bytes] = {}
        self._components: dict[str, dict[str, str]] = {}
        self._configs: dict[str, tuple[tuple[float, int], bytes]] = {}  # the revision of the model, and the payload
        self._wake = asyncio.Event()
        self._forget = False  # everything must be published anew
        self._announced = -1.0
        self._unsettled = math.inf  # since when there has been something to tell it
        self._again: dict[str, float] = {}  # devices it has a new configuration of, and when it needs their values
        self._made: dict[Key, tuple[int, bytes, bytes]] = {}  # of each property: its number, and its payloads
        self._left: set[str] = set()  # retained topics of an earlier run
        self._since = 0.0
        self._session = 0  # session of the model, and since when
        self._linked = 0.0
        self._jobs: set[asyncio.Task[None]] = set()
        self._under_way: dict[Key, dict[asyncio.Task[None], float]] = {}  # since when
        self._given_up: set[asyncio.Task[None]] = set()
        self._order: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # of commands, by device
        self._refused: Inbox[tuple[Incoming, str, str, str]] = Inbox()
        self._refusing: asyncio.Task[None] | None = None
        self._telling: asyncio.Task[None] | None = None  # Home Assistant, which has started, of everything
        broker.on_message = self._take
        broker.on_up = self._publish_anew

    @staticmethod
    def subscriptions(topics: tree.Tree, home_assistant: bool) -> list[str]:
        """The subscriptions: commands, and what an earlier run has left."""
        found = [f"{topics.base}/#"]
        if home_assistant:
            found += [f"{discovery.PREFIX}/status", f"{discovery.PREFIX}/device/+/config"]
        return found

    @staticmethod
    def will(topics: tree.Tree) -> Will:
        """The message that is published when the bridge vanishes."""
        return Will(topics.status, b"offline")

    async def run(self) -> None:
        """Publish until cancelled."""
        async with self._client.changes(initial=True, interval=INTERVAL) as cursor:
            following = asyncio.create_task(cursor.next())
            woken = asyncio.create_task(self._wake.wait())
            try:
                while True:
                    soon = self._left or self._again or (self._ha and self._announced != self._model.defined_at)
                    await asyncio.wait(
                        [following, woken], timeout=QUIET if soon else None, return_when=asyncio.FIRST_COMPLETED
                    )
                    if following.done():
                        following.result()
                        following = asyncio.create_task(cursor.next())
                    if woken.done():
                        self._wake.clear()
                        woken = asyncio.create_task(self._wake.wait())
                    if self._forget:
                        self._forget = False
                        self._published = dict.fromkeys(self._published, b"")  # some may have to be deleted
                        self._since = asyncio.get_running_loop().time()
                    if self._broker.up:
                        await self._publish_all()
            except StopAsyncIteration:
                raise ConnectionAbortedError("the client is closed") from None
            finally:
                following.cancel()
                woken.cancel()
                for job in self._jobs:
                    job.cancel()

    def _publish_anew(self) -> None:
        self._forget = True
        self._wake.set()

    async def _publish_all(self) -> None:
        """Make the retained messages equal to the model: only differences are sent."""
        wanted: dict[str, bytes] = {self._topics.status: b"online" if self._model.connected else b"offline"}
        for device in self._model.site().devices.values():
            stale = any(self._model.is_stale(prop) for prop in device.properties.values())
            here = device.connected is not False and not stale
            wanted[self._topics.link(device.name)] = b"online" if here else b"offline"
            for prop in device.properties.values():
                made = self._made.get(prop.key)
                if made is None or made[0] != prop.rev:
                    made = self._made[prop.key] = (prop.rev, tree.definition(prop), tree.state(prop))
                wanted[self._topics.definition(*prop.key)] = made[1]
                wanted[self._topics.value(*prop.key)] = made[2]
        if len(self._made) > 2 * len(self._model):
            self._made.clear()
        settled, configs = True, dict[str, str]()
        if self._ha:
            now, defined = asyncio.get_running_loop().time(), self._model.defined_at
            if self._announced != defined and self._unsettled == math.inf:
                self._unsettled = now
            settled = now - defined >= QUIET or now - self._unsettled >= LATEST
            self._announced = defined if settled else -1.0
            if settled:
                self._unsettled = math.inf
            devices = self._model.site().devices
            self._forget_values(devices, now)
            for gone in self._configs.keys() - devices.keys():
                del self._configs[gone], self._components[gone]
            for device in devices.values():
                at = discovery.topic(self._topics.own, device.name)
                configs[at] = device.name
                if settled:
                    wanted[at] = self._config(device)
                elif at in self._published:
                    wanted[at] = self._published[at]
        if self._left and settled and self._model.connected and self._is_linked_for(EARLIER):
            left, self._left = self._left, set()  # more may come meanwhile
            for topic in left - wanted.keys():
                await self._broker.publish(topic, b"", qos=1, retain=True)
        for topic in self._published.keys() - wanted.keys():
            await self._broker.publish(topic, b"", qos=1, retain=True)
            del self._published[topic]
        for topic, payload in wanted.items():
            if self._published.get(topic) != payload:
                await self._tell(topic, payload)
                if topic in configs:
                    self._again[configs[topic]] = asyncio.get_running_loop().time() + QUIET
                self._published[topic] = payload  # even if it is too large; a new connection gets everything anew

    def _forget_values(self, devices: Mapping[str, Device], now: float) -> None:
        """Have values published again that Home Assistant has read by the configuration before, or refused by it."""
        for name in [name for name, when in self._again.items() if when <= now]:
            del self._again[name]
            for prop in devices[name].properties.values() if name in devices else ():
                self._published.pop(self._topics.value(*prop.key), None)

    async def _tell(self, topic: str, payload: bytes) -> None:
        if topic == self._topics.status:
            await self._broker.announce(lambda: payload)
        else:
            await self._broker.publish(topic, payload, qos=1, retain=True)

    def _config(self, device: Device) -> bytes:
        """The configuration of a device for Home Assistant; made anew only if it may have changed."""
        info = device.get("DRIVER_INFO")
        now = (self._model.defined_at, info.rev if info is not None else 0)
        made = self._configs.get(device.name)
        if made is None or made[0] != now:
            before = self._components.get(device.name, {})
            payload, components = discovery.config(self._topics, device, before)
            self._components[device.name] = components
            has_gone = not before.keys() <= components.keys()  # which is sent once
            made = self._configs[device.name] = ((-1.0, 0) if has_gone else now, payload)
        return made[1]

    def _is_linked_for(self, seconds: float) -> bool:
        """Whether the broker and the link to the instruments have been up for this long."""
        if self._model.session != self._session:
            self._session = self._model.session
            self._linked = asyncio.get_running_loop().time()
        return asyncio.get_running_loop().time() - max(self._since, self._linked) > seconds

    # Commands

    def _take(self, message: Incoming) -> None:
        if message.topic == f"{discovery.PREFIX}/status":
            is_told = self._telling is not None and not self._telling.done()
            if message.payload == b"online" and not message.retained and not is_told:
                self._telling = self._start(self._tell_again())
            return
        asked = self._topics.asked(message.topic)
        if asked is None:
            ours = message.topic.startswith(f"{self._topics.base}/") or discovery.is_of(message.payload, self._topics)
            if message.retained and message.payload and ours:
                if not self._left:
                    self._wake.set()
                self._left.add(message.topic)
            is_gone = message.topic == self._topics.status and message.payload == b"offline"
            if is_gone and self._published.get(message.topic) == b"online":  # from an earlier connection
                del self._published[message.topic]
                self._wake.set()
            return
        if message.retained:  # it would arrive again with each connection
            if message.payload and len(self._jobs) < 2 * AT_ONCE:
                logger.warning("a retained command on %s is ignored and deleted", message.topic)
                self._start(self._delete(message.topic))
            return
        if not message.payload and not self._broker.is_5:
            return  # perhaps a retained command was deleted, by us for example, which 3.1.1 does not tell apart
        if self._make_room(asked[:2]):
            self._note(asked[:2], self._start(self._carry_out(message, *asked)))
            return
        self._refused.put((message, *asked), len(message.payload))
        if self._refusing is None or self._refusing.done():  # of many, one is logged
            logger.warning("a command on %s is refused: too many are under way", message.topic)
            self._refusing = self._start(self._refuse())

    def _make_room(self, key: Key) -> bool:
        """Make room for one more command, perhaps by giving up the oldest of 64; False if there is none."""
        under_way = self._under_way.get(key, {})
        if len(under_way) >= AT_ONCE:
            oldest, since = next(iter(under_way.items()))
            if time.monotonic() < since + WAITED:
                return False
            del under_way[oldest]
            self._given_up.add(oldest)
            oldest.cancel()
        return len(self._jobs) < MOST

    def _note(self, key: Key, task: asyncio.Task[None]) -> None:
        under_way = self._under_way.setdefault(key, {})
        under_way[task] = time.monotonic()

        def over(task: asyncio.Task[None]) -> None:
            under_way.pop(task, None)
            self._given_up.discard(task)
            if not under_way and self._under_way.get(key) is under_way:
                del self._under_way[key]

        task.add_done_callback(over)

    def _note_outcome(self, device: str, name: str) -> None:
        """Note that the outcome of this task is known: nobody may end it before that has been published."""
        task = asyncio.current_task()
        if task is not None:
            self._under_way.get((device, name), {}).pop(task, None)

    def _start(self, job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
        return task

    async def _delete(self, topic: str) -> None:
        await self._broker.publish(topic, b"", qos=1, retain=True)

    async def _tell_again(self) -> None:
        await asyncio.sleep(random.uniform(0, 5))
        self._publish_anew()

    async def _carry_out(self, message: Incoming, device: str, name: str, member: str) -> None:
        begin = time.monotonic()
        answer: dict[str, Any] = {"ok": False}
        try:
            known = self._client.get(device, name)
            literal = known is not None and known.kind is VectorKind.TEXT
            values, stamp, ident = tree.parse_set(message.payload, member, literal)
            if ident is not None:
                answer["id"] = ident
            if message.late:
                raise ValueError(f"it was not sent: {message.late}")
            came = asyncio.get_running_loop().time()
            await self._wait_for_turn(device, name)
            if reason := await self._check(came):
                raise ValueError(f"it was not sent: {reason}")
            if stamp is not None:
                _check_age(stamp)
            prop = self._client.need(device, name)
            if prop.kind is not VectorKind.SWITCH and any(isinstance(value, bool) for value in values.values()):
                raise ValueError("true and false are values of switches")
            wanted: dict[str, Value] = dict(values)
            on = switched_on(prop, wanted) if len(values) == 1 else None
            if on is not None:
                outcome = await self._client.press(device, name, on, who="MQTT")
            else:
                outcome = await self._client.set(device, name, wanted, who="MQTT")
            answer |= {"ok": outcome.prop.state is not State.ALERT, "state": outcome.prop.state.value}
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task not in self._given_up:
                raise
            task.uncancel()
            answer["error"] = f"{AT_ONCE} later commands came before its outcome"
        except (ClientError, ValueError) as error:
            answer["error"] = str(error)
        answer["s"] = round(time.monotonic() - begin, 3)
        self._note_outcome(device, name)
        await self._answer(message, device, name, answer)

    async def _wait_for_turn(self, device: str, name: str) -> None:
        """Wait until a command can go out at once: it would grow old behind a large BLOB, or before its definition.

        Those for one device do so in their order: who waits for a definition is not woken in any.

        Raises:
            ValueError: It is too old now.
        """
        order = self._order.setdefault(device, asyncio.Lock())
        try:
            async with asyncio.timeout(LATE), order:
                while True:
                    async with self._turn:
                        pass
                    prop = self._client.get(device, name)
                    if prop is None or not self._model.connected or not self._model.is_stale(prop):
                        return
                    await self._client.wait_property(device, name, timeout=None)
        except TimeoutError:
            raise ValueError(f"it was not sent: it had to wait for more than {LATE:g} s") from None

    async def _refuse(self) -> None:
        while len(self._refused):
            (message, device, name, member), _ = await self._refused.get()
            answer: dict[str, Any] = {"ok": False, "error": "too many commands are under way", "s": 0.0}
            with contextlib.suppress(ValueError):
                _, _, ident = tree.parse_set(message.payload, member)
                answer |= {} if ident is None else {"id": ident}
            await self._answer(message, device, name, answer)

    async def _answer(self, message: Incoming, device: str, name: str, answer: Mapping[str, Any]) -> None:
        payload = json.dumps(answer).encode()
        if message.response:
            await self._broker.publish(message.response, payload, qos=1, correlation=message.correlation)
        await self._broker.publish(self._topics.result(device, name), payload, qos=1)


def _check_age(stamp: str) -> None:
    """Check that a command is recent.

    Raises:
        ValueError: It is not, or its age is unknown.
    """
    given = parse_timestamp(stamp)
    if given is None:
        raise ValueError(f"{stamp!r} is not a time")
    age = time.time() - given.timestamp()
    if age > OLD:
        raise ValueError(f"the command is more than {OLD:g} s old")
    if age < -OLD:
        raise ValueError(f"the command is from the future: a clock is wrong by {-age:.0f} s")
