"""Bridges without a broker: what is late, what is of others, what stands for everything, and who has gone unseen."""

import asyncio
import re

import pytest

import indiredis
from indipyclient.model.model import Model
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch
from indipydriver.protocol.messages import NewVector, OneMember
from indipydriver.protocol.tags import VectorKind
from indipydriver.transport.memory import memory_pair
from indiredis import inbox
from indiredis.mqtt import site as site_module
from indiredis.mqtt.broker import WINDOW, Broker, Incoming
from indiredis.mqtt.listener import Listener
from indiredis.mqtt.site import Site
from indiredis.mqtt.topics import Topics, presence
from tests.support import asynchronous, eventually

pytest.importorskip("aiomqtt")
DEFINES = "<defTextVector device='{}' name='P' state='Ok' perm='rw'><defText name='x'>1</defText></defTextVector>"


class _Connection:
    """Takes what is published."""

    def __init__(self):
        self.published = []

    async def publish(self, topic, payload, *_, **__):
        self.published.append((topic, payload.decode()))


class _Receiver:
    """What the client hears."""

    def __init__(self):
        self.heard = []

    def frames_received(self, frames):
        self.heard += [b"".join(frame.chunks).decode() for frame in frames]

    def fault_received(self, fault):
        raise AssertionError(fault)

    def link_drained(self):
        pass

    def link_closed(self, error):
        pass


class Bench:
    """A listener with a client, and a broker that is connected."""

    def __init__(self, server=None):
        self.server = server or indiredis.mqtt_server()
        self.broker = Broker(self.server, "x", [])
        self.listener = Listener(self.broker, Topics("x", self.server))
        self.connection = _Connection()
        self.broker.up, self.broker._client = True, self.connection
        ours, self.link = memory_pair("the client", "MQTT")
        self.listener._use(ours)
        self.client = _Receiver()
        self.link.open(self.client)

    def take(self, topic, payload):
        self.broker.on_message(Incoming(topic, payload if isinstance(payload, bytes) else payload.encode(), False))

    def send(self, value):
        message = NewVector(VectorKind.NUMBER, "D", "P", (OneMember("N", value),))
        self.link.write(Batch([encode(message)]))
        self.link.flush()

    @property
    def sent(self):
        return re.findall(r"<(\w+)", "".join(text for _, text in self.connection.published))


@asynchronous
async def test_a_command_that_had_to_wait_for_the_broker_is_not_published_late(monkeypatch):
    monkeypatch.setattr(inbox, "LATE", 0.2)
    bench = Bench()
    for _ in range(WINDOW):  # the broker confirms nothing
        await bench.broker._window.acquire()
    pump = asyncio.create_task(bench.listener.pump())
    for number in "123":
        bench.send(number)
    await asyncio.sleep(0.5)
    for _ in range(WINDOW):
        bench.broker._window.release()
    await eventually(lambda: "getProperties" in bench.sent)
    bench.send("4")
    await eventually(lambda: "newNumberVector" in bench.sent)
    pump.cancel()
    assert bench.sent == ["getProperties", "newNumberVector", "oneNumber"]
    assert "4" in bench.connection.published[-1][1]
    assert ["The command for D P was not sent" in text for text in bench.client.heard] == [True] * 3


@asynchronous
async def test_counts_of_a_group_with_other_topics_are_not_missed():
    bench = Bench()
    for number in range(3):
        bench.take("count/other", f"{number * 10} 1 another/from_indi")
    assert not bench.listener._waiting
    for number in range(3):
        bench.take("count/ours", f"{number * 10} 1 from_indi")
    assert len(bench.listener._waiting) == 2


@asynchronous
async def test_what_names_no_device_harms_no_device():
    bench = Bench()
    bench.take("from_indi/one", DEFINES.format("A"))
    bench.take("from_indi/two", DEFINES.format("B"))
    bench.take("from_indi/one", DEFINES.format(" "))
    bench.take("from_indi/one", "<delProperty/>")
    bench.take("status/one", presence("one", False))
    await eventually(lambda: len(bench.client.heard) == 4)
    assert [re.findall(r"""<(\w+).*?(?:device=.(\w+)|\btimestamp)""", text)[0] for text in bench.client.heard] == [
        ("defTextVector", "A"),
        ("defTextVector", "B"),
        ("delProperty", "A"),
        ("message", ""),
    ]


class _Feed:
    """Of no instruments."""

    def __init__(self):
        self.model = Model()
        self.client = self

    def poke(self):
        pass


@asynchronous
async def test_who_went_together_with_the_broker_wants_no_blobs_any_more(monkeypatch):
    monkeypatch.setattr(site_module, "MISSING", 0.05)
    server = indiredis.mqtt_server()
    broker = Broker(server, "x", [])
    site = Site(_Feed(), broker, Topics("x", server))
    broker.up, broker.connects = True, 1
    broker.on_up()
    carry = asyncio.create_task(site.carry())
    for who in ("stays", "goes"):
        broker.on_message(Incoming(f"status/{who}", presence(who, True), False))
        broker.on_message(Incoming(f"snoop_control/{who}", b'<getProperties version="1.7" device="D"/>', False))
        wish = b'<enableBLOB device="D">Also</enableBLOB>'
        broker.on_message(Incoming(f"to_indi/{who}", wish, False, response=f"blobs/{who}"))
    await eventually(lambda: site._blob_topics("D", "P") == ["blobs/stays", "blobs/goes"])
    broker.connects = 2
    broker.on_up()
    broker.on_message(Incoming("status/stays", presence("stays", True), True))
    await eventually(lambda: site._blob_topics("D", "P") == ["blobs/stays"])
    assert site._snoops.who_wants("D", None) == ["stays"]
    carry.cancel()
