"""What goes wrong at a site: peers that stand still, are killed, lie, or hear themselves; names and texts that are odd."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import indiredis
from indipyclient import Client
from indipydriver.protocol.messages import NewVector, OneBlob, SetVector
from indipydriver.protocol.tags import VectorKind
from indiredis import blobfolder, commands, connection, inbox, tools
from indiredis.mqtt import broker as broker_module
from indiredis.mqtt import site as site_module
from indiredis.mqtt.broker import Broker, Will
from indiredis.mqtt.owners import Owners
from indiredis.mqtt.topics import check_id
from indiredis.mqtt.tree import Tree, part
from indiredis.run import until
from indiredis.store import Store
from tests.support import ROOT, asynchronous, eventually, free_port, running_server, started

from .parts import PATH, bridge, broker_running, redis_running, script, soon, witness
from .shown import differences, watching
from .test_mqtt import port_to, site
from .test_redis import Counter, to_redis
from .test_tree import publish


def command(number, device="Counter"):
    return f"<newNumberVector device='{device}' name='COUNT'><oneNumber name='N'>{number}</oneNumber></newNumberVector>"


# Peers that stand still


@asynchronous
async def test_a_broker_that_stood_still_and_is_killed_holds_nobody_up():
    port, driver = free_port(), Counter()
    async with running_server(driver) as server, contextlib.AsyncExitStack() as stack:
        async with broker_running(port) as (mqtt, program):
            await stack.enter_async_context(site(server, "site1", mqtt))
            program.signal(signal.SIGSTOP)
            for number in range(100):  # far more than may be under way
                await driver.say(number)
            await asyncio.sleep(0.3)
            program.signal(signal.SIGKILL)
            await program.wait()
        async with broker_running(port) as (mqtt, _):
            with witness(mqtt) as heard:
                await eventually(lambda: "defNumberVector" in heard.stdout(), 20)
            await stack.aclose()


@pytest.fixture
def slow_server(monkeypatch):
    """An INDI server that takes no command until the event is set, and what has waited for 0.3 s is late."""
    gate, held, send = asyncio.Event(), [], Client.send

    async def slow(self, message):
        if isinstance(message, NewVector):
            held.append(message)
            await gate.wait()
        await send(self, message)

    monkeypatch.setattr(Client, "send", slow)
    monkeypatch.setattr(inbox, "LATE", 0.3)
    return gate, held


@asynchronous
async def test_a_command_over_mqtt_that_had_to_wait_is_not_carried_out_late(slow_server):
    gate, held = slow_server
    driver = Counter()
    async with broker_running() as (mqtt, _), running_server(driver) as server, site(server, "site1", mqtt):
        with witness(mqtt) as heard:
            await publish(mqtt, "to_indi/x", "<getProperties version='1.7'/>")
            await eventually(lambda: "defNumberVector" in heard.stdout())
            await publish(mqtt, "to_indi/x", command(1))
            await eventually(lambda: held)
            await publish(mqtt, "to_indi/x", command(2))
            await asyncio.sleep(0.5)
            gate.set()
            await eventually(lambda: "COUNT was not sent: it had to wait" in heard.stdout())
            await publish(mqtt, "to_indi/x", command(3))
            await eventually(lambda: "3" in driver.got)
    assert driver.got == ["1", "3"]


@asynchronous
async def test_a_command_in_redis_that_had_to_wait_is_not_carried_out_late(slow_server, tmp_path):
    gate, held = slow_server
    driver = Counter()
    async with redis_running() as redis, running_server(driver) as server, to_redis(server, redis, tmp_path):
        rconn, rs = redis.rconn, redis.server
        await soon(lambda: "COUNT" in tools.properties(rconn, rs, "Counter"))
        rconn.publish("to_indi", command(1))
        await soon(lambda: held)
        rconn.publish("to_indi", command(2))
        await asyncio.sleep(0.5)
        gate.set()
        await soon(lambda: "COUNT was not sent: it had to wait" in tools.last_message(rconn, rs, "Counter"))
        assert tools.attributes_dict(rconn, rs, "COUNT", "Counter")["state"] == "Ok"
        rconn.publish("to_indi", command(3))
        await soon(lambda: "3" in driver.got)
    assert driver.got == ["1", "3"]


@asynchronous
async def test_commands_that_came_while_a_bridge_stood_still_are_not_carried_out(monkeypatch, tmp_path):
    """They are in the socket when it goes on, how long ago that may have been."""
    monkeypatch.setattr(commands, "SILENCE", 0.5)
    driver, options = Counter(), indiredis.MQTTOptions(tree=True)
    async with redis_running() as redis, broker_running() as (mqtt, _), running_server(driver) as server:
        there, rconn, rs = indiredis.indi_server("127.0.0.1", server.port), redis.rconn, redis.server
        async with (
            bridge(indiredis.run_inditomqtt, there, "site1", mqtt, options=options),
            bridge(indiredis.run_inditoredis, there, rs, blob_folder=tmp_path),
        ):

            def command_all(number):
                for topic, payload in (
                    ("to_indi/x", command(f"1{number}")),
                    ("indi/site1/Counter/COUNT/set", json.dumps({"N": f"2{number}"})),
                ):
                    send = ["mosquitto_pub", "-p", str(mqtt.port), "-q", "1", "-t", topic, "-m", payload]
                    subprocess.run(send, check=True, timeout=10)
                rconn.publish("to_indi", command(f"3{number}"))

            with witness(mqtt) as heard:
                await soon(lambda: "indi/site1/Counter/COUNT/def" in heard.stdout())
                await asyncio.to_thread(command_all, 1)
                await soon(lambda: sorted(driver.got) == ["11", "21", "31"])
                monkeypatch.setattr(inbox, "STILL", 2.0)
                command_all(2)
                time.sleep(2.5)  # noqa: ASYNC251  # everything stands still
                await soon(lambda: "site1 stood still" in heard.stdout())
                await soon(lambda: "stood still" in tools.last_message(rconn, rs))
                monkeypatch.setattr(inbox, "STILL", 10.0)
                begin = asyncio.get_running_loop().time()
                while not {"13", "23", "33"} <= {*driver.got}:
                    assert asyncio.get_running_loop().time() < begin + 30
                    await asyncio.to_thread(command_all, 3)
                    await asyncio.sleep(0.5)
    assert not {"12", "22", "32"} & {*driver.got}


@asynchronous
async def test_what_waits_is_bounded_in_number_and_in_bytes():
    box = inbox.Inbox(3, 100)
    assert [box.put(number, 1) for number in range(4)] == [True, True, True, False]
    assert [item for item, _ in box.waiting(2)] == [0, 1]
    assert not box.put("large", 100)
    assert (await box.get())[0] == 2
    assert box.put("large", 1000)
    assert not box.put("another", 1)
    assert (box.lost, len(box)) == (3, 1)


@asynchronous
async def test_a_connection_to_redis_that_leads_nowhere_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(commands, "SILENCE", 0.3)
    monkeypatch.setattr(connection, "TIMEOUT", 1.0)
    driver, dead = Counter(), asyncio.Event()
    async with redis_running() as redis, running_server(driver) as server:

        async def client(reader, writer):
            of_before = not dead.is_set()
            out_reader, out_writer = await asyncio.open_connection("127.0.0.1", redis.port)

            async def pump(source, target):
                with contextlib.suppress(OSError):
                    while data := await source.read(65536):
                        if not (of_before and dead.is_set()):
                            target.write(data)
                target.close()

            await asyncio.gather(pump(reader, out_writer), pump(out_reader, writer))

        proxy = await asyncio.start_server(client, "127.0.0.1", 0)
        through = redis.server._replace(port=proxy.sockets[0].getsockname()[1])
        there = indiredis.indi_server("127.0.0.1", server.port)
        async with proxy, bridge(indiredis.run_inditoredis, there, through, blob_folder=tmp_path):
            await soon(lambda: "COUNT" in tools.properties(redis.rconn, redis.server, "Counter"))
            dead.set()

            def arrived():
                redis.rconn.publish("to_indi", command(1))
                return driver.got

            await soon(arrived, 20)


# Redis


@asynchronous
async def test_a_command_that_is_planned_while_its_property_is_deleted_leaves_no_key(tmp_path, monkeypatch):
    stores = []
    monkeypatch.setattr(Store, "shake", lambda self: None)
    begin = Store.__init__

    def note(self, *args, **kwargs):
        begin(self, *args, **kwargs)
        stores.append(self)

    monkeypatch.setattr(Store, "__init__", note)
    driver = Counter()
    async with redis_running() as redis, running_server(driver) as server, to_redis(server, redis, tmp_path):
        rconn, rs = redis.rconn, redis.server
        await soon(lambda: "COUNT" in tools.properties(rconn, rs, "Counter"))
        async with stores[0]._lock:  # as it is while a large BLOB is written to its file
            await driver["Counter"]["COUNT"].send_delProperty()
            await soon(lambda: stores[0]._lock._waiters)
            rconn.publish("to_indi", command(1))
            await soon(lambda: len(stores[0]._lock._waiters) == 2)
        await soon(lambda: "COUNT" not in tools.properties(rconn, rs, "Counter"))
        await asyncio.sleep(0.2)
        assert not [key for key in redis.everything() if ":COUNT:" in key]


@asynchronous
async def test_keys_of_somebody_else_that_are_no_text_are_deleted_too(tmp_path):
    async with redis_running() as redis, running_server(Counter()) as server:
        redis.rconn.set(b"indi_attributes:\xff\xfe:x", b"y")
        async with to_redis(server, redis, tmp_path):
            await soon(lambda: "COUNT" in tools.properties(redis.rconn, redis.server, "Counter"))
            assert not redis.rconn.exists(b"indi_attributes:\xff\xfe:x")


def test_blobs_of_one_moment_are_kept_on_a_file_system_without_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    for number in range(3):
        one = OneBlob("B", b"%d" % number, 1, ".fits")
        message = SetVector(VectorKind.BLOB, "D", "P", (one,), None, None, "2026-01-01T00:00:00")
        blobfolder.write_blob(tmp_path, message, one)
    assert sorted(path.read_bytes() for path in tmp_path.iterdir()) == [b"0", b"1", b"2"]


# MQTT: presence


class _Client:
    """What a broker's connection does, as far as a goodbye needs it."""

    def __init__(self):
        self.published = []

    async def publish(self, topic, payload, *_, **__):
        self.published.append((topic, payload))


@asynchronous
async def test_a_bridge_that_is_stopped_while_much_is_under_way_says_that_it_is_offline():
    broker = Broker(indiredis.mqtt_server(), "x", [], will=Will("status/x", b"offline"))
    under_way = asyncio.create_task(asyncio.sleep(100))
    broker._sending[under_way] = None
    client = _Client()
    goodbye = asyncio.create_task(broker._say_goodbye(client))
    await asyncio.sleep(0.05)
    goodbye.cancel()
    await asyncio.wait([goodbye])
    under_way.cancel()
    assert client.published == [("status/x", b"offline")]


@asynchronous
async def test_a_bridge_says_again_and_again_that_it_is_online_as_the_broker_is_to_forget_it(monkeypatch):
    """Else one that stores everything would show for ever a bridge that was killed together with it."""
    monkeypatch.setattr(broker_module, "SIGN", 0.05)
    broker = Broker(indiredis.mqtt_server(), "x", [], will=Will("status/x", b"offline"))
    said = []

    class Keeps:
        async def publish(self, topic, payload, qos, retain, properties, timeout):
            said.append((topic, payload, retain, properties.MessageExpiryInterval))

    assert not await broker.announce(lambda: b"online")
    broker.up, broker._client = True, Keeps()
    assert await broker.announce(lambda: b"online %d" % len(said))
    await eventually(lambda: len(said) == 4)
    broker._end_beating()
    await asyncio.sleep(0.1)
    assert said == [("status/x", b"online %d" % number, True, 1) for number in range(4)]


@asynchronous
async def test_a_bridge_that_is_stopped_while_it_connects_leaves_no_connection():
    async with broker_running() as (mqtt, _):
        for number in range(40):
            stop = asyncio.Event()
            asyncio.get_running_loop().call_later(number / 4000, stop.set)
            await until(stop, Broker(mqtt, f"x{number}", ["a"]).run())

        def left():
            return [task for task in asyncio.all_tasks() if "_misc_loop" in str(task.get_coro())]

        await eventually(lambda: not left())


@asynchronous
async def test_two_bridges_with_one_name_end_each_other_less_and_less_often(monkeypatch, caplog):
    waits, sleep = [], asyncio.sleep

    async def note(seconds):
        waits.append(seconds)
        await sleep(0)

    class Ended(_Client):
        async def __aenter__(self):
            return self

        async def __aexit__(self, *_):
            pass

        async def subscribe(self, *_, **__):
            pass

        @property
        def messages(self):
            return self

        def __aiter__(self):
            return self

        async def __anext__(self):
            raise OSError("taken over")

    broker = Broker(indiredis.mqtt_server(), "x", ["a"])
    monkeypatch.setattr(broker, "_connection", Ended)
    monkeypatch.setattr(broker_module.asyncio, "sleep", note)
    running = asyncio.create_task(broker.run())
    while len(waits) < 8:
        await sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert waits[0] < 0.5
    assert min(waits[5:]) > 3
    assert "another bridge the same name?" in caplog.text


@asynchronous
async def test_a_broker_that_knows_only_version_3_1_1():
    """It stands before a real one, and refuses as old brokers do."""
    levels = []
    driver = Counter()
    async with broker_running() as (mqtt, _), running_server(driver) as server:

        async def client(reader, writer):
            hello = await reader.read(65536)
            levels.append(hello[hello.index(b"MQTT") + 4])
            if levels[-1] > 4:
                writer.write(b"\x20\x02\x00\x01")
                writer.close()
                return
            out_reader, out_writer = await asyncio.open_connection("127.0.0.1", mqtt.port)
            out_writer.write(hello)

            async def pump(source, target):
                with contextlib.suppress(OSError):
                    while data := await source.read(65536):
                        target.write(data)
                target.close()

            await asyncio.gather(pump(reader, out_writer), pump(out_reader, writer))

        async with await asyncio.start_server(client, "127.0.0.1", 0) as old:
            through = mqtt._replace(port=old.sockets[0].getsockname()[1])
            options = indiredis.MQTTOptions(tree=True)
            with witness(mqtt, "indi/#") as heard:
                async with (
                    site(server, "site1", through, options=options),
                    port_to(through) as port,
                    watching(port) as remote,
                ):
                    await remote.wait_device("Counter")
                    await remote.set("Counter", "COUNT", N=7)
                    at = "indi/site1/Counter/COUNT"
                    await publish(mqtt, f"{at}/set", '{"N": 8}')
                    await eventually(lambda: f"{at}/result" in heard.stdout())
            assert driver.got == ["7", "8"]
    assert sorted(levels) == [4, 4, 4, 5, 5, 5]


# MQTT: who has what


def test_a_device_belongs_to_who_defined_it_first():
    owners = Owners()
    assert owners.defined("a", "D", "P")
    assert not owners.defined("a", "D", "Q")
    assert owners.is_of_another("D", "b")
    assert not owners.is_of_another("D", "a")
    assert [owners.contest("D", "b"), owners.contest("D", "b")] == [True, False]
    assert not owners.deleted("D", "P")
    assert owners.of("D") == "a"
    assert owners.deleted("D", "Q")
    assert owners.of("D") == ""
    owners.defined("a", "D", "P")
    owners.defined("a", "E", "P")
    owners.contest("E", "b")
    assert owners.gone("a") == (["D", "E"], ["E"])


def test_what_is_missing_is_noticed_and_what_has_gone_meanwhile_too():
    owners = Owners()
    assert owners.counted("a", 10, 1)  # what was before does not matter
    for name in "PQ":
        owners.note_message("a")
        owners.defined("a", "D", name)
    assert owners.counted("a", 12, 1)
    assert owners.left_over("a", 1) == []
    assert not owners.counted("a", 15, 1)
    owners.note_message("a")
    owners.defined("a", "D", "R")  # by chance; the answer comes later
    assert owners.counted("a", 16, 1)
    assert owners.left_over("a", 1) == []
    for name in "QR":
        owners.note_message("a")
        owners.defined("a", "D", name)
    assert owners.counted("a", 18, 2)
    assert owners.left_over("a", 2) == [("D", "P")]
    assert owners.left_over("a", 3) == []


@asynchronous
async def test_a_bridge_beside_a_port_that_shows_what_it_says_makes_no_loop():
    driver = Counter()
    async with broker_running() as (mqtt, _), running_server(driver) as server:
        with witness(mqtt, "from_indi/#") as heard:
            async with site(server, "real", mqtt), port_to(mqtt) as port, watching(port) as client:
                await client.wait_device("Counter")
                there = indiredis.indi_server("127.0.0.1", port)
                async with bridge(indiredis.run_inditomqtt, there, "mirror", mqtt):
                    await eventually(lambda: "from_indi/mirror <defNumberVector" in heard.stdout())
                    await client.set("Counter", "COUNT", N=5)
                    await asyncio.sleep(1)
                    assert driver.got == ["5"]
                    assert heard.stdout().count("<setNumberVector") <= 4
                    assert len(heard.stdout().splitlines()) < 100


@asynchronous
async def test_two_sites_with_a_device_of_one_name():
    first, second = Counter("Dome"), Counter("Dome")
    async with broker_running() as (mqtt, _), running_server(first) as one, running_server(second) as two:
        async with contextlib.AsyncExitStack() as stack:
            port = await stack.enter_async_context(port_to(mqtt))
            client = await stack.enter_async_context(watching(port))
            async with site(one, "east", mqtt):
                await client.wait_device("Dome")
                await stack.enter_async_context(site(two, "west", mqtt))
                await client.set("Dome", "COUNT", N=1)
                await asyncio.sleep(0.3)
                assert (first.got, second.got) == (["1"], [])
            await client.wait_property("Dome", "COUNT", where=lambda prop: prop["N"].value == "0", timeout=20)
            await client.set("Dome", "COUNT", N=2)
            assert (first.got, second.got) == (["1"], ["2"])


@asynchronous
async def test_what_a_broker_drops_of_a_slow_listener_is_asked_for_again(tmp_path, monkeypatch):
    monkeypatch.setattr(site_module, "COUNT_EVERY", 0.3)
    text = """
import asyncio, indiredis
there = indiredis.mqtt_server("127.0.0.1", {mqtt})
redis = indiredis.redis_server("127.0.0.1", {redis})
asyncio.run(indiredis.run_mqtttoredis("web", there, redis, blob_folder={folder!r}))
"""
    driver = Counter()
    lines = ["allow_anonymous true", "max_queued_messages 30"]
    async with broker_running(None, *lines) as (mqtt, _), redis_running() as redis, running_server(driver) as server:
        rconn, rs = redis.rconn, redis.server
        with script(text.format(mqtt=mqtt.port, redis=redis.port, folder=str(tmp_path))) as listener:
            async with site(server, "site1", mqtt), watching(server.port) as client:
                await soon(lambda: "COUNT" in tools.properties(rconn, rs, "Counter"), 30)
                listener.signal(signal.SIGSTOP)
                for number in range(300):
                    await driver.say(number)
                await driver["Counter"]["GO"].send_delProperty()
                await client.wait_property("Counter", "COUNT", where=lambda prop: prop["N"].value == "299")
                await asyncio.sleep(0.3)
                listener.signal(signal.SIGCONT)
                await soon(lambda: not differences(client.snapshot(), redis.everything()), 30)


@asynchronous
async def test_a_site_that_goes_while_a_listener_sleeps(tmp_path):
    text = """
import asyncio, indiredis
from indiredis.mqtt import listener
listener.AWAKE = 0.2
there = indiredis.mqtt_server("127.0.0.1", {mqtt})
redis = indiredis.redis_server("127.0.0.1", {redis})
asyncio.run(indiredis.run_mqtttoredis("web", there, redis, blob_folder={folder!r}))
"""
    driver = Counter()
    lines = ["allow_anonymous true", "max_queued_messages 30"]
    async with broker_running(None, *lines) as (mqtt, _), redis_running() as redis, running_server(driver) as server:
        with script(text.format(mqtt=mqtt.port, redis=redis.port, folder=str(tmp_path))) as listener:
            async with site(server, "site1", mqtt), watching(server.port) as client, port_to(mqtt) as port:
                await soon(lambda: tools.devices(redis.rconn, redis.server) == ["Counter"], 30)
                listener.signal(signal.SIGSTOP)
                async with watching(port) as other:  # through the broker, so that it has had everything
                    await other.wait_device("Counter")
                    for number in range(300):
                        await driver.say(number)
                    await other.wait_property("Counter", "COUNT", where=lambda prop: prop["N"].value == "299")
                await asyncio.sleep(1)  # long enough to be noticed
                assert client.connected
            listener.signal(signal.SIGCONT)
            await soon(lambda: tools.devices(redis.rconn, redis.server) == [], 30)


@asynchronous
async def test_what_is_retained_of_a_former_life_shows_no_device(tmp_path):
    defines = (
        "<defTextVector device='Ghost' name='P' state='Ok' perm='rw'><defText name='T'>x</defText></defTextVector>"
    )
    async with broker_running() as (mqtt, _), redis_running() as redis, running_server(Counter()) as server:
        await publish(mqtt, "from_indi/gone", defines, "-r")
        async with (
            bridge(indiredis.run_mqtttoredis, "web", mqtt, redis.server, blob_folder=tmp_path),
            site(server, "site1", mqtt),
        ):
            await soon(lambda: tools.devices(redis.rconn, redis.server) == ["Counter"])


# MQTT: names and payloads

NASTY = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("/+#%$\x00\x7f\x85\ufdd0\ufffe")))


@given(NASTY, NASTY, NASTY)
def test_any_name_makes_a_topic_that_brokers_take(device, name, member):
    tree = Tree("x")
    for one in (device, name, member):
        text = part(one)
        assert not set("/+#") & set(text)
        assert not text.startswith("$")
        assert all(ord(char) >= 32 and not 0x7F <= ord(char) <= 0x9F for char in text)
        assert not any(ord(char) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(char) <= 0xFDEF for char in text)
    assert tree.asked(tree.set(device, name, member or "m")) == (device, name, member or "m")
    assert tree.value(device, name) not in (tree.link(device), tree.status)


def test_a_property_named_link_does_not_stand_for_the_link():
    tree = Tree("x")
    assert tree.value("D", "link") != tree.link("D")
    assert tree.asked(tree.set("D", "link")) == ("D", "link", "")


@pytest.mark.parametrize(
    "topics",
    [
        {"to_indi_topic": "obs", "snoop_control_topic": "obs/snoop"},
        {"from_indi_topic": "status"},
        {"from_indi_topic": "blobs/x"},
        {"to_indi_topic": "a/#"},
        {"to_indi_topic": "a+"},
        {"to_indi_topic": "a\0"},
        {"to_indi_topic": "$SYS"},
    ],
)
def test_topics_that_would_hear_each_other_are_refused(topics):
    with pytest.raises(ValueError, match="topic"):
        indiredis.mqtt_server(**topics)
    assert indiredis.mqtt_server(to_indi_topic="obs/to", from_indi_topic="obs/from").to_indi_topic == "obs/to"


@pytest.mark.parametrize("name", ["a\x85", "\ufdd0", "\U0001ffff", "a/b", "$x", ""])
def test_names_of_bridges_that_a_broker_does_not_take_are_refused(name):
    with pytest.raises(ValueError, match="mqtt_id"):
        check_id(name)


# Whatever is killed

SERVER = """
import asyncio, sys
from indipyserver import IPyServer
server = IPyServer(host="127.0.0.1", port={port})
server.add_exdriver(sys.executable, {driver!r})
asyncio.run(server.asyncrun())
"""
DRIVER = """
import asyncio, os
from tests.companions.indiredis.test_redis import Counter
class Here(Counter):
    async def hardware(self):
        while True:
            await asyncio.sleep(0.02)
            await self.say(os.getpid())
asyncio.run(Here().asyncrun())
"""


@asynchronous
async def test_the_driver_and_the_server_are_killed_in_traffic(tmp_path):
    file = tmp_path / "driver.py"
    file.write_text(DRIVER)
    port = free_port()
    paths = os.pathsep.join([PATH, str(ROOT)])

    def server():
        text = SERVER.format(port=port, driver=str(file))
        return started(sys.executable, "-c", text, PYTHONPATH=paths)

    there = indiredis.indi_server("127.0.0.1", port)
    async with broker_running() as (mqtt, _), redis_running() as redis:
        rconn, rs = redis.rconn, redis.server

        def of(redis_server):
            return tools.elements_dict(rconn, redis_server, "N", "COUNT", "Counter")["value"]

        far = rs._replace(keyprefix="far_", to_indi_channel="far_to", from_indi_channel="far_from")
        async with (
            bridge(indiredis.run_inditoredis, there, rs, blob_folder=tmp_path / "near"),
            bridge(indiredis.run_inditomqtt, there, "site1", mqtt, options=indiredis.MQTTOptions(tree=True)),
            bridge(indiredis.run_mqtttoredis, "web", mqtt, far, blob_folder=tmp_path / "far"),
        ):
            with server() as program, witness(mqtt, "indi/site1/Counter/COUNT") as heard:
                await soon(lambda: of(rs) == of(far) != "0", 30)
                driver = int(of(rs))
                assert Path(f"/proc/{driver}/cmdline").read_bytes().split(b"\0")[1] == str(file).encode()
                os.kill(driver, signal.SIGKILL)
                await soon(lambda: of(rs) == of(far) not in ("0", str(driver)), 30)
                now = of(rs)
                await soon(lambda: json.loads(heard.stdout().splitlines()[-1].split(" ", 1)[1])["v"]["N"] == int(now))
                program.signal(signal.SIGKILL)
                await program.wait()
                await soon(lambda: tools.devices(rconn, far) == [], 30)
                await soon(lambda: rconn.hget("indi_link", "state") == b"down")
                rconn.publish("to_indi", command(-1))
            with server():
                await soon(lambda: of(rs) == of(far) not in ("0", now), 30)
                async with Client("127.0.0.1", port) as client:
                    await client.settle()
                    assert client.get("Counter", "COUNT")["N"].value == of(rs)
