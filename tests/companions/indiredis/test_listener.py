"""Bridges without a broker: what is late, what is of others, what stands for everything, and who has gone unseen."""

import asyncio
import contextlib
import re
import time
from types import SimpleNamespace

import pytest

import indiredis
from indipyclient import Client
from indipyclient.model.model import Model
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch
from indipydriver.protocol.messages import EnableBlob, NewVector, OneMember
from indipydriver.protocol.tags import BlobMode, VectorKind
from indipydriver.transport.memory import memory_pair
from indiredis import inbox
from indiredis.mqtt import owners as owners_module
from indiredis.mqtt import site as site_module
from indiredis.mqtt.broker import WINDOW, Broker, Incoming
from indiredis.mqtt.listener import Listener
from indiredis.mqtt.owners import Owners
from indiredis.mqtt.site import Site
from indiredis.mqtt.topics import Topics, presence
from indiredis.mqtt.underway import Window
from indiredis.run import following
from tests.companions.indipyclient.scripted import BLOB, DEFINE, scripted
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

    def __init__(self, server=None, options=None):
        self.server = server or indiredis.mqtt_server()
        self.broker = Broker(self.server, "x", [], options=options)
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
    def refused(self):
        return [text for text in self.client.heard if "was not sent" in text]

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
async def test_a_command_that_waited_while_a_bridge_beside_clients_stood_still_is_not_published(monkeypatch):
    bench = Bench()
    pump = asyncio.create_task(bench.listener.pump())
    bench.send("1")
    await eventually(lambda: bench.sent)
    monkeypatch.setattr(inbox, "STILL", 0.5)
    bench.send("2")
    time.sleep(1)  # noqa: ASYNC251  # everything stands still
    await eventually(lambda: bench.refused)
    pump.cancel()
    assert bench.sent == ["newNumberVector", "oneNumber"]


@asynchronous
async def test_counts_of_a_group_with_other_topics_are_not_missed():
    bench = Bench()
    for number in range(3):
        bench.take("count/other", f"{number * 10} 1 another/from_indi")
    assert not bench.listener._waiting
    for number in range(3):
        bench.take("count/ours", f"{number * 10} 1 from_indi")
    assert len(bench.listener._waiting) == 1


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


def new_site(feed):
    """A site whose broker has connected, that broker, and what is published."""
    server, connection = indiredis.mqtt_server(), _Connection()
    broker = Broker(server, "x", [])
    broker.up, broker.connects, broker._client = True, 1, connection
    return Site(feed, broker, Topics("x", server)), broker, connection.published


@contextlib.asynccontextmanager
async def a_bridge(*definitions, hears_of_the_end=False):
    """Instruments with these definitions, and the site that publishes them."""
    async with scripted() as instruments:
        client = Client("127.0.0.1", instruments.port)
        async with following(client) as feed:
            site, broker, published = new_site(feed)
            if hears_of_the_end:
                client.on_status = lambda status: site.status_changed(status, [])
            broker.on_up()
            there = await instruments.client(*definitions)
            pump = asyncio.create_task(site.pump())
            yield SimpleNamespace(
                site=site, broker=broker, published=published, client=client, feed=feed, instruments=there
            )
            pump.cancel()


@asynchronous
async def test_who_went_together_with_the_broker_wants_no_blobs_any_more(monkeypatch):
    monkeypatch.setattr(site_module, "MISSING", 0.05)
    site, broker, _ = new_site(_Feed())
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


@asynchronous
async def test_a_bridge_that_has_something_to_tell_waits_while_the_broker_is_away():
    news, looks, over = _Feed(), [], asyncio.Event()

    async def look(timeout):
        looks.append(timeout)
        if len(looks) > 1:
            over.set()
            await asyncio.Event().wait()

    news.next = look
    site, broker, _ = new_site(news)
    broker.up = False
    site._counts_left = 6
    pump = asyncio.create_task(site.pump())
    await over.wait()
    pump.cancel()
    assert looks == [None, None]


@asynchronous
async def test_a_command_for_a_device_that_is_gone_is_told_to_who_sent_it():
    site, broker, _ = new_site(_Feed())
    carry = asyncio.create_task(site.carry())
    command = b"<newTextVector device='D' name='P'><oneText name='x'>1</oneText></newTextVector>"
    for to in ("", "other", "x"):
        broker.on_message(Incoming("to_indi/who", command, False, to=to))
    await eventually(lambda: site._texts)
    carry.cancel()
    assert [*site._texts] == ["The command for D P was not sent: there is no such device"]


@asynchronous
async def test_a_command_behind_a_large_message_on_a_slow_line_is_not_published_late(monkeypatch):
    monkeypatch.setattr(inbox, "LATE", 0.2)
    bench = Bench()
    over = asyncio.Event()

    async def publish(topic, payload, *_, **__):
        bench.connection.published.append((topic, payload.decode()))
        await over.wait()

    bench.connection.publish = publish
    bench.broker._window = Window(WINDOW, 1000)
    pump = asyncio.create_task(bench.listener.pump())
    bench.send("1" * 5000)
    bench.send("2")
    await eventually(lambda: any("was not sent" in text for text in bench.client.heard))
    over.set()
    await eventually(lambda: "getProperties" in bench.sent)
    pump.cancel()
    assert bench.sent.count("newNumberVector") == 1


@asynchronous
async def test_who_sent_a_command_that_is_larger_than_the_broker_takes_is_told_what_is_so():
    bench = Bench()
    bench.broker._most = 1000
    pump = asyncio.create_task(bench.listener.pump())
    bench.send("1" * 3000)
    await eventually(lambda: bench.sent == ["getProperties"])
    pump.cancel()
    assert any("The command for D P was not sent" in text for text in bench.client.heard)


@asynchronous
async def test_who_says_what_the_broker_keeps_from_us_is_asked_less_and_less_often():
    """Each answer is one for everybody."""
    owners, now, asked = Owners(), 0.0, []
    for second in range(3600):
        now += 1
        owners.counted("forbidden", second * 10, second)
        asked += [now for _ in owners.to_ask(now)]
    assert asked[:4] == [2, 7, 17, 37]
    assert len(asked) < 20
    bench = Bench()
    pump = asyncio.create_task(bench.listener.pump())
    for number in range(10):
        bench.take("count/other", f"{number * 10} {number} from_indi")
        await asyncio.sleep(0.02)
    pump.cancel()
    assert bench.sent == ["getProperties"]


def test_who_says_some_of_it_is_asked_less_and_less_often_until_an_answer_comes_whole():
    """One definition is larger than the broker takes, and everything else arrives."""
    owners, asked, total, answers = Owners(), [], 0, 0
    for second in range(1, 3601):
        most = 100 if second < 3000 else 0  # and then it is smaller
        for _ in range(10):
            total += 1
            owners.note_message("s")
        if owners.to_ask(second) or second == 1:
            asked.append(second)
            owners.counted("s", total, answers)
            for number in range(200):
                total += 1
                if number != most:
                    owners.note_message("s")
            answers += 1
        if second % 5 == 0:
            owners.counted("s", total, answers)
    assert asked[:7] == [1, 6, 11, 21, 41, 81, 161]
    assert 10 < len(asked) < 25
    assert owners._counts["s"].pause == 300
    for _ in range(2):
        answers += 1
        owners.counted("s", total, answers)
    assert owners._counts["s"].pause == 0


@asynchronous
async def test_names_that_somebody_makes_up_fill_no_memory():
    bench, (site, broker, _) = Bench(), new_site(_Feed())
    for number in range(1500):
        for one in (broker, bench.broker):
            one.on_message(Incoming(f"status/{number}", presence(str(number), True), False))
            one.on_message(Incoming(f"snoop_control/{number}", b'<getProperties version="1.7"/>', False))
            one.on_message(Incoming(f"count/{number}", b"1 1 from_indi", False))
            one.on_message(Incoming(f"from_indi/{number}", b'<message message="x"/>', False))
    kept = site._present, site._snoops, bench.listener._present, bench.listener._owners._counts
    assert [len(each) for each in kept] == [1000] * 4


@asynchronous
async def test_where_blobs_come_nobody_else_says_anything_of_devices():
    bench = Bench()
    bench.take("from_indi/east", DEFINES.format("A"))
    bench.take("blobs/x", "<delProperty device='A'/>")
    bench.take("blobs/x", DEFINES.format("B"))
    bench.take("blobs/x", "<setTextVector device='A' name='P'><oneText name='x'>2</oneText></setTextVector>")
    bench.take("from_indi/east", "<delProperty device='A'/>")
    await eventually(lambda: len(bench.client.heard) == 2)
    assert ["defTextVector" in text or "delProperty" in text for text in bench.client.heard] == [True, True]


@asynchronous
async def test_blobs_are_asked_for_again_of_who_may_have_gone_unseen():
    """A broker drops also the message that a site has gone."""
    bench = Bench()
    pump = asyncio.create_task(bench.listener.pump())
    for who in ("east", "west"):
        bench.take(f"status/{who}", presence(who, True))
        bench.take(f"from_indi/{who}", DEFINES.format(f"Camera {who}"))
        bench.take(f"count/{who}", "1 1 from_indi")
        wish = EnableBlob(f"Camera {who}", None, BlobMode.ALSO)
        bench.link.write(Batch([encode(wish)]))
        bench.link.flush()
    await eventually(lambda: bench.sent.count("enableBLOB") == 2)
    bench.take("count/east", "77 1 from_indi")
    await eventually(lambda: bench.sent.count("enableBLOB") == 3)
    pump.cancel()
    assert "Camera east" in bench.connection.published[-1][1]


@asynchronous
async def test_what_happens_while_a_bridge_greets_again_is_published():
    async with a_bridge(*[DEFINES.format("D").replace("'P'", f"'{name}'") for name in "PQ"]) as here:
        broker, text = here.broker, here.published
        await eventually(lambda: sum("'Q'" in one.replace('"', "'") for _, one in text) > 0)
        for _ in range(WINDOW):  # the line is busy
            await broker._window.acquire()
        here.site.tell(["busy"])
        await asyncio.sleep(0.05)
        await here.instruments.send("<delProperty device='D' name='Q'/>", "<message device='D' message='it jams'/>")
        await eventually(lambda: here.client.notes("D"))
        broker.on_message(Incoming("status/x", presence("x", False), True))  # of an earlier life
        for _ in range(WINDOW):
            broker._window.release()
        await eventually(lambda: any("it jams" in one for _, one in text))
    assert any("<delProperty" in one for _, one in text)


@asynchronous
async def test_instruments_that_go_while_a_bridge_greets_again_are_gone():
    async with a_bridge(DEFINES.format("D"), hears_of_the_end=True) as here:
        broker, text = here.broker, here.published
        await eventually(lambda: any("defTextVector" in one for _, one in text))
        for _ in range(WINDOW):  # the line is busy
            await broker._window.acquire()
        here.site._asked.add((None, None))
        here.feed.poke()
        await asyncio.sleep(0.05)
        broker.on_message(Incoming("status/x", presence("x", False), True))  # of an earlier life
        here.instruments.close()
        await eventually(lambda: not here.client.connected)
        for _ in range(WINDOW):
            broker._window.release()
        await eventually(lambda: any("D is out of reach" in one for _, one in text))


@asynchronous
async def test_a_server_that_deletes_everything_at_once_deletes_each_device():
    async with a_bridge(*map(DEFINES.format, "DEF")) as here:
        await eventually(lambda: len(here.site._shown) == 3)
        await here.instruments.send("<delProperty/>")
        await eventually(lambda: sum("<delProperty" in one for _, one in here.published) == 3)
        assert not here.site._shown


@asynchronous
async def test_blobs_are_asked_for_once_more_as_they_are_wanted_then():
    """A bridge comes and goes while the line is busy, and the client changes its mind."""
    bench = Bench()
    pump = asyncio.create_task(bench.listener.pump())

    def wish(device, mode):
        bench.link.write(Batch([encode(EnableBlob(device, None, mode))]))
        bench.link.flush()

    for device in "CDE":
        wish(device, BlobMode.ALSO)
    await eventually(lambda: bench.sent.count("enableBLOB") == 3)
    for _ in range(WINDOW):
        await bench.broker._window.acquire()
    bench.send("1")
    await asyncio.sleep(0.05)
    wish("C", BlobMode.NEVER)
    for online in [True, False] * 100:
        bench.take("status/west", presence("west", online))
    await asyncio.sleep(0.05)
    assert len(bench.listener._waiting) < 10
    for _ in range(WINDOW):
        bench.broker._window.release()
    await eventually(lambda: bench.sent.count("enableBLOB") == 7)
    pump.cancel()
    said = [text for _, text in bench.connection.published if "enableBLOB" in text]
    assert [("Never" in text) for text in said if "'C'" in text.replace('"', "'")] == [False, True, True]


def test_devices_that_somebody_makes_up_fill_no_memory(monkeypatch):
    monkeypatch.setattr(owners_module, "PROPERTIES", 100)
    owners = Owners()
    for device in range(30):
        for name in range(30):
            owners.defined("a", str(device), str(name))
            owners.contest("0", f"b{device * 30 + name}")
    assert sum(len(found.names) for found in owners._devices.values()) == 100
    owners.deleted("0", "0")
    owners.deleted("1", None)
    for name in range(30):
        assert owners.defined("a", "new", str(name)) == (name == 0)
    owners.gone("a")
    assert owners._properties == 0


@asynchronous
async def test_a_command_does_not_wait_until_the_broker_has_said_who_is_there():
    bench = Bench()

    async def subscribe(*_, **__):
        await asyncio.Event().wait()  # a large image comes first

    bench.connection.subscribe = subscribe
    bench.listener._look_at = 0.0
    pump = asyncio.create_task(bench.listener.pump())
    await eventually(lambda: bench.listener._jobs)
    bench.send("1")
    await eventually(lambda: "newNumberVector" in bench.sent)
    pump.cancel()
    await eventually(lambda: not bench.listener._jobs)


@asynchronous
async def test_blobs_that_are_requested_before_their_device_is_there():
    """A program that asks once does not have to know when the camera is switched on."""
    async with a_bridge(DEFINE) as here:
        carrying = asyncio.create_task(here.site.carry())
        await here.client.wait_property("Mount", "EQ")
        for payload in (
            b"<enableBLOB device='CCD'>Also</enableBLOB>",
            b"<enableBLOB device='Mount'>Never</enableBLOB>",
        ):
            here.site._take(Incoming("to_indi/program", payload, False))
        await here.instruments.expect(lambda one: (one.tag, one.get("device")) == ("enableBLOB", "Mount"))
        await here.instruments.send(BLOB)
        told = await here.instruments.expect(lambda one: one.tag == "enableBLOB")
        assert (told.get("device"), told.get("name"), told.text) == ("CCD", None, "Also")
        carrying.cancel()
