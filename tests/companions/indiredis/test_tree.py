"""The tree of JSON topics: what is retained equals the model, commands have results, Home Assistant is told."""

import asyncio
import itertools
import json
import re
import signal

import pytest

import indiredis
from examples import thermostat
from indipyclient import Client
from indipyclient.model.model import Model
from indipydriver import Device, IPyDriver
from indipydriver.propertymembers import SwitchMember, TextMember
from indipydriver.propertyvectors import SwitchVector, TextVector
from indipydriver.protocol.messages import DefMember, DefVector, DelProperty, OneMember, SetVector
from indipydriver.protocol.tags import Permission, State, VectorKind
from indiredis import mqttrun
from indiredis.mqtt import discovery, treebridge
from indiredis.mqtt.broker import Incoming
from indiredis.mqtt.topics import Topics
from indiredis.mqtt.tree import Tree, definition, parse_set, state
from indiredis.mqtt.treebridge import TreeBridge
from tests.companions.indipyclient.scripted import DEFINE, SWITCHES, numbers, scripted
from tests.support import asynchronous, eventually, require, running_server, started

from .parts import bridge, broker_running, script, witness
from .test_redis import Counter

OPTIONS = indiredis.MQTTOptions(tree=True, home_assistant=True)
REFUSED = [
    '{"N": [1]}',
    "x",
    '{"M": 1}',
    '{"N": true}',
    '{"N": NaN}',
    '{"N": 1e400}',
    '{"N": 1, "N": 2}',
    "[" * 50_000,
    '{"v": {"N": 6}, "t": "2020-01-01T00:00:00"}',
    '{"v": {"N": 6}, "t": "2999-01-01T00:00:00"}',
    '{"v": {"N": 6}, "t": "just now"}',
    '{"v": {"N": 6}, "t": 1600000000}',
]
REQUIRED = {  # by platform, what Home Assistant demands, and what it would refuse to do without a command
    "sensor": {"state_topic"},
    "number": {"command_topic", "min", "max", "step"},
    "text": {"command_topic"},
    "switch": {"command_topic", "payload_on", "payload_off"},
    "select": {"command_topic", "options"},
    "button": {"command_topic", "payload_press"},
    "binary_sensor": {"state_topic"},
}


def retained(heard):
    """What is at the broker, by topic, from what a witness of it has written."""
    found = {}
    for line in heard.stdout().splitlines():
        topic, _, payload = line.partition(" ")
        if payload in ("", "(null)"):
            found.pop(topic, None)
        else:
            found[topic] = payload
    return found


async def publish(mqtt, topic, payload, *more):
    command = [require("mosquitto_pub"), "-h", "127.0.0.1", "-p", str(mqtt.port), "-q", "1", "-t", topic, "-m", payload]
    with started(*command, *more) as program:
        assert await program.wait() == 0


def tree_bridge(server, mqtt):
    there = indiredis.indi_server("127.0.0.1", server.port)
    return bridge(indiredis.run_inditomqtt, there, "pier", mqtt, options=OPTIONS)


@asynchronous
async def test_values_commands_and_results():
    driver = Counter("Focus/er")
    async with broker_running() as (mqtt, _), running_server(driver) as server:
        with witness(mqtt, "indi/#") as heard:
            async with tree_bridge(server, mqtt):
                at = "indi/pier/Focus%2Fer/COUNT"
                await eventually(
                    lambda: json.loads(retained(heard)[at])["v"] == {"N": 0.0} if at in retained(heard) else 0
                )
                assert json.loads(retained(heard)[f"{at}/def"])["kind"] == "Number"
                assert retained(heard)["indi/pier/status"] == "online"
                await publish(mqtt, f"{at}/set", '{"v": {"N": 4.5}, "id": 7}')
                await eventually(lambda: f"{at}/result" in retained(heard))
                result = json.loads(retained(heard)[f"{at}/result"])
                assert (result["ok"], result["id"], driver.got) == (True, 7, ["4.5"])
                await publish(mqtt, f"{at}/N/set", "5")
                await eventually(lambda: driver.got == ["4.5", "5"])
                for refused in REFUSED:
                    await publish(mqtt, f"{at}/set", refused)
                await publish(mqtt, f"{at}/set", '{"N": 9}', "-r")
                await eventually(lambda: heard.stdout().count('"ok": false') == len(REFUSED))
                await eventually(lambda: f"{at}/set" not in retained(heard))
                assert driver.got == ["4.5", "5"]
                await driver["Focus/er"].send_delProperty()
                await eventually(lambda: not [topic for topic in retained(heard) if topic.endswith("/COUNT")])
            await eventually(lambda: retained(heard)["indi/pier/status"] == "offline")


@asynchronous
async def test_a_bridge_that_is_killed_leaves_nothing_that_is_not_so():
    text = """
import sys, asyncio, indiredis
options = indiredis.MQTTOptions(tree=True, home_assistant=True)
there = indiredis.indi_server("127.0.0.1", {indi})
asyncio.run(indiredis.run_inditomqtt(there, "pier", indiredis.mqtt_server("127.0.0.1", {mqtt}), options=options))
"""
    async with broker_running() as (mqtt, _):
        async with running_server(Counter("Old")) as server:
            with script(text.format(indi=server.port, mqtt=mqtt.port)) as program, witness(mqtt) as heard:
                await eventually(lambda: "homeassistant/device/pier_Old/config" in retained(heard), 10)
                program.signal(signal.SIGKILL)
                await program.wait()
                await eventually(lambda: retained(heard)["indi/pier/status"] == "offline")
        async with running_server(thermostat.make_driver(5)) as server, tree_bridge(server, mqtt):
            with witness(mqtt) as heard:
                await eventually(lambda: "indi/pier/Thermostat/TARGET" in retained(heard))
                await eventually(lambda: not [topic for topic in retained(heard) if "Old" in topic], 10)
                assert retained(heard)["indi/pier/status"] == "online"


# What its documentation lets a component of each platform say.
OF_ALL = set("p unique_id default_entity_id name avty entity_category value_template".split())
MAY = {
    platform: OF_ALL | REQUIRED[platform] | set(more.split())
    for platform, more in {
        "sensor": "device_class options state_class suggested_display_precision unit_of_measurement",
        "number": "device_class mode state_topic step unit_of_measurement",
        "text": "max state_topic",
        "switch": "state_off state_on state_topic",
        "select": "command_template state_topic",
        "button": "",
        "binary_sensor": "device_class payload_on payload_off",
    }.items()
}


def check_config(payload):
    """The written schema: what Home Assistant's documentation demands of a device configuration."""
    found = json.loads(payload)
    assert found["dev"]["ids"]
    assert found["o"]["name"]
    assert found["avty_mode"] == "all"
    ids = [one["unique_id"] for one in found["cmps"].values()]
    assert len(set(ids)) == len(ids)
    for key, one in found["cmps"].items():
        assert re.fullmatch(r"[A-Za-z0-9_-]+", key), key
        assert REQUIRED[one["p"]] <= set(one) <= MAY[one["p"]], (key, one)
        assert one.get("entity_category", "config") in ("config", "diagnostic")
        assert one.get("entity_category") != "config" or one["p"] not in ("sensor", "binary_sensor"), one
        if one.get("device_class") == "enum":
            assert one["options"]
            assert not {"state_class", "unit_of_measurement"} & set(one)
        if one["p"] == "select":
            assert len(set(one["options"])) == len(one["options"])
            assert all(option and option == option.strip() for option in one["options"]), one
        assert re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", one["default_entity_id"]), one
        assert one["default_entity_id"].startswith(f"{one['p']}.")
        assert one["name"]
        if one["p"] == "number":
            assert one["min"] < one["max"]
            assert one["step"] >= 0.001
        for topic in ("state_topic", "command_topic"):
            assert not set("+#\0") & set(one.get(topic, ""))
    return found


SIMULATORS = (
    "telescope ccd focus dome rotator gps guide wheel lightpanel weather sqm receiver detector spectrograph"
).split()


@pytest.mark.interop
@pytest.mark.parametrize("name", SIMULATORS)
@asynchronous
async def test_configurations_of_the_simulators(name):
    import shutil

    program = f"indi_simulator_{name}"
    require("indi_simulator_telescope")
    if shutil.which(program) is None:
        return  # not in every version of Debian
    from indiredis.sources import driver_hub

    async with driver_hub([program], lambda status, texts: None) as client, client:
        await client.settle(quiet=0.5, timeout=8)
        for device in list(client.devices.values()):
            if "CONNECTION" in device:
                await client.press(device.name, "CONNECTION", "CONNECT", confirm="sent")
        await client.settle(quiet=0.5, timeout=4)
        devices = list(client.devices.values())
        assert devices
        for device in devices:
            payload, components = discovery.config(Tree("pier"), device)
            assert set(check_config(payload)["cmps"]) == set(components)


@asynchronous
async def test_a_component_that_has_gone_is_said_once():
    async with running_server(Counter("C"), IPyDriver(Device("Empty", []))) as server:
        async with Client("127.0.0.1", server.port) as client:
            device = await client.wait_device("C")
            await client.settle()
            payload, _ = discovery.config(Tree("x"), device, {"OLD": "sensor"})
            assert json.loads(payload)["cmps"]["OLD"] == {"p": "sensor"}
            await asyncio.sleep(0)


@asynchronous
async def test_components_with_one_name_are_told_apart_in_the_same_way_whichever_is_defined_first():
    """Otherwise a switch in Home Assistant would command something else after a restart."""
    texts = [
        f"<defTextVector device='D' name='{name}' state='Ok' perm='rw'><defText name='{member}'/></defTextVector>"
        for name, member in (("A", "B_C"), ("A_B", "C"))
    ]
    found = []
    for order in (texts, texts[::-1]):
        async with scripted() as server, Client("127.0.0.1", server.port) as client:
            await server.client(*order)
            for name in ("A", "A_B"):
                await client.wait_property("D", name)
            components = check_config(discovery.config(Tree("x"), client.devices["D"])[0])["cmps"]
            found.append({key: one["command_topic"] for key, one in components.items()})
    assert found[0] == found[1]
    assert found[0]["A_B_C"] == "indi/x/D/A/B_C/set"
    assert len(found[0]) == 2


class _Broker:
    """Keeps what is published."""

    up = is_5 = True

    def __init__(self):
        self.published = []

    async def publish(self, topic, payload, **_):
        self.published.append((topic, payload))
        return len(payload) < 500

    async def announce(self, sign):
        return await self.publish("indi/pier/status", sign())


class _Client:
    """Has a model that the test makes."""

    def __init__(self):
        self.model = Model()

    def define(self, device, *names, text="x", ago=10):
        loop = asyncio.get_running_loop()
        for name in names:
            members = (DefMember("DRIVER_NAME", text),)
            message = DefVector(VectorKind.TEXT, device, name, State.OK, members, perm=Permission.READ_ONLY)
            self.model.apply(message, loop.time() - ago)

    def get(self, *key):
        return self.model.get(*key)

    def need(self, device, name):
        raise ValueError("not now")


def tree_of(client):
    broker = _Broker()
    return TreeBridge(client, broker, Tree("pier"), home_assistant=True), broker


@asynchronous
async def test_each_command_that_is_one_too_many_has_an_answer():
    bridging, broker = tree_of(_Client())
    for number in range(1000):
        payload = json.dumps({"v": {"N": 1}, "id": number}).encode()
        bridging._take(Incoming("indi/pier/D/P/set", payload, False, response="answers"))
    await eventually(lambda: len(broker.published) == 2000)
    answers = [json.loads(payload) for topic, payload in broker.published if topic == "answers"]
    assert {answer["id"] for answer in answers} == set(range(1000))
    assert sum("too many" in answer["error"] for answer in answers) == 936


@asynchronous
async def test_who_commands_again_and_again_what_goes_on_moving_is_not_refused(monkeypatch):
    monkeypatch.setattr(treebridge, "WAITED", 0.0)
    client, sent = _Client(), []

    def move(device, name):
        sent.append(name)
        raise ValueError("not this one")

    async def moving(*_, **__):
        await asyncio.Event().wait()

    client.define("D", "P")
    client.need, client.set = lambda *key: client.get(*key) or move(*key), moving
    bridging, broker = tree_of(client)
    for number in range(200):
        payload = json.dumps({"v": {"N": 1}, "id": number}).encode()
        bridging._take(Incoming("indi/pier/D/P/set", payload, False))
        await asyncio.sleep(0)
    bridging._take(Incoming("indi/pier/D/ABORT/set", b'{"A": true}', False))
    await eventually(lambda: sent == ["ABORT"] and len(broker.published) == 137)
    answers = [json.loads(payload) for _, payload in broker.published]
    assert [one["id"] for one in answers[:-1]] == [*range(136)]
    assert all("64 later commands" in one["error"] for one in answers[:-1])
    for job in list(bridging._jobs):
        job.cancel()
    await eventually(lambda: not bridging._jobs)
    assert not bridging._under_way
    assert not bridging._given_up


@asynchronous
async def test_the_result_of_a_command_that_has_ended_is_not_lost_while_the_broker_is_slow(monkeypatch):
    monkeypatch.setattr(treebridge, "WAITED", 0.0)
    bridging, broker = tree_of(_Client())
    publish, gate = broker.publish, asyncio.Event()

    async def when_there_is_room(*args, **more):
        await gate.wait()
        return await publish(*args, **more)

    broker.publish = when_there_is_room
    for number in range(200):
        payload = json.dumps({"v": {"N": 1}, "id": number}).encode()
        bridging._take(Incoming("indi/pier/D/P/set", payload, False))
        await asyncio.sleep(0)
    gate.set()
    await eventually(lambda: not bridging._jobs)
    assert [json.loads(payload)["id"] for _, payload in broker.published] == [*range(200)]


@asynchronous
async def test_a_command_that_cannot_go_out_at_once_is_not_sent_when_it_is_old(monkeypatch):
    """Behind a large BLOB on a slow line, or before its device is defined again."""
    monkeypatch.setattr(treebridge, "LATE", 0.5)
    async with scripted() as server, Client("127.0.0.1", server.port) as client:
        turn, (_, broker) = asyncio.Lock(), tree_of(client)
        bridging = TreeBridge(client, broker, Tree("pier"), turn=turn)

        def command(number):
            bridging._take(Incoming("indi/pier/Mount/EQ/set", b'{"RA": %d}' % number, False))

        def errors():
            return [payload for _, payload in broker.published if b"had to wait for more than 0.5 s" in payload]

        connection = await server.client(DEFINE)
        await client.wait_property("Mount", "EQ")
        await turn.acquire()
        command(1)
        await eventually(lambda: len(errors()) == 1)
        command(2)
        await asyncio.sleep(0.05)
        turn.release()
        first = await connection.expect(lambda one: one.tag == "newNumberVector")
        assert first[0].text == "2"
        connection.close()
        connection = await server.client()
        await client.wait_link()
        command(3)
        await eventually(lambda: len(errors()) == 2)
        await connection.send(DEFINE)
        await client.wait_property("Mount", "EQ")
        command(4)
        first = await connection.expect(lambda one: one.tag == "newNumberVector")
        assert first[0].text == "4"
        for job in bridging._jobs:
            job.cancel()


@asynchronous
async def test_commands_that_wait_for_a_definition_go_out_in_their_order():
    """Also with one that comes in the moment of the definition, and one for what is defined earlier."""
    async with scripted() as server:
        client = Client("127.0.0.1", server.port)
        bridging, _ = tree_of(client)

        def command(number):
            bridging._take(Incoming("indi/pier/Mount/EQ/set", b'{"RA": %d}' % number, False))

        def defined(message):
            if isinstance(message, DefVector) and message.name == "EQ" and bridging._jobs:
                command(9)

        client.on_message = defined
        await client.start(wait=False)
        connection = await server.client(DEFINE, SWITCHES)
        await client.wait_property("Mount", "CONNECTION")
        connection.close()
        connection = await server.client()
        await client.wait_link()
        for number in range(1, 9):
            command(number)
        bridging._take(Incoming("indi/pier/Mount/CONNECTION/CONNECT/set", b"true", False))
        await connection.send(SWITCHES)
        await client.wait_property("Mount", "CONNECTION")
        await asyncio.sleep(0.05)
        await connection.send(DEFINE)
        for number in range(1, 10):
            one = await connection.expect(lambda one: one.tag == "newNumberVector")
            assert one[0].text == str(number)
            await connection.send(numbers(RA=number))
        tags = [one.tag for one in connection.received]
        assert tags.index("newNumberVector") < tags.index("newSwitchVector")
        for job in bridging._jobs:
            job.cancel()
        await client.aclose()


@asynchronous
async def test_an_empty_text_is_a_command_unless_it_may_be_the_end_of_a_retained_one():
    for is_5 in (True, False):
        bridging, broker = tree_of(_Client())
        broker.is_5 = is_5
        bridging._take(Incoming("indi/pier/D/P/T/set", b"", False))
        await asyncio.sleep(0.05)
        assert len(broker.published) == is_5


@asynchronous
async def test_what_an_earlier_run_has_left_stays_until_the_instruments_had_time_to_come():
    client = _Client()
    bridging, broker = tree_of(client)
    bridging._since = asyncio.get_running_loop().time() - 60  # the broker has been there for long
    left = {"indi/pier/D/P": b"{}", "homeassistant/device/pier_D/config": b'{"avty": [{"t": "indi/pier/status"}]}'}
    for topic, payload in left.items():
        bridging._take(Incoming(topic, payload, True))
    await bridging._publish_all()
    client.model.link_made()
    await bridging._publish_all()
    assert not [topic for topic, payload in broker.published if not payload]
    bridging._linked -= 6
    await bridging._publish_all()
    assert {topic for topic, payload in broker.published if not payload} == set(left)


@asynchronous
async def test_a_configuration_is_made_again_only_when_something_was_defined(monkeypatch):
    made, config = [], discovery.config

    def note(tree, device, known=None):
        made.append(device.name)
        return config(tree, device, known)

    monkeypatch.setattr(discovery, "config", note)
    client = _Client()
    bridging, broker = tree_of(client)
    client.model.link_made()
    client.define("A", "P", "Q", "DRIVER_INFO")
    client.define("B", "P")

    async def published():
        before = len(broker.published)
        await bridging._publish_all()
        return {topic.split("/")[2] for topic, _ in broker.published[before:] if topic.endswith("/config")}

    assert await published() == {"pier_A", "pier_B"}
    assert made == ["A", "B"]
    client.model.apply(SetVector(VectorKind.TEXT, "A", "P", (OneMember("DRIVER_NAME", "y"),), State.OK))
    assert await published() == set()
    assert made == ["A", "B"]
    client.model.apply(SetVector(VectorKind.TEXT, "A", "DRIVER_INFO", (OneMember("DRIVER_NAME", "y"),), State.OK))
    assert await published() == {"pier_A"}
    made.clear()
    client.model.apply(DelProperty("A", "Q"), asyncio.get_running_loop().time() - 5)
    assert await published() == {"pier_A"}  # with what has gone
    assert await published() == {"pier_A"}  # and without it
    assert await published() == set()
    assert made == ["A", "B", "A"]
    client.model.apply(DelProperty("B"), asyncio.get_running_loop().time() - 5)
    assert await published() == {"pier_B"}
    assert bridging._configs.keys() == bridging._components.keys() == {"A"}


@asynchronous
async def test_what_becomes_something_else_in_home_assistant_is_taken_away_first():
    """It would keep both: a sensor that may be set from now on, for example, and the number."""
    client = _Client()
    bridging, broker = tree_of(client)
    client.model.link_made()
    found = []
    for permission in (Permission.READ_ONLY, Permission.READ_WRITE):
        message = DefVector(VectorKind.TEXT, "A", "P", State.OK, (DefMember("M", "x"),), perm=permission)
        client.model.apply(message, asyncio.get_running_loop().time() - 10)
        for _ in range(2):
            await bridging._publish_all()
    for topic, payload in broker.published:
        if topic.endswith("/config"):
            one = json.loads(payload)["cmps"]["P_M"]
            found.append((one["p"], len(one) > 1))
    assert found == [("sensor", True), ("sensor", False), ("text", True)]


@asynchronous
async def test_a_device_that_is_defined_again_all_the_time_keeps_home_assistant_from_nothing_else():
    client = _Client()
    bridging, broker = tree_of(client)
    client.model.link_made()
    client.define("A", "P")
    for _ in range(3):
        client.define("B", "P", ago=0)
        await bridging._publish_all()
    assert not [topic for topic, _ in broker.published if topic.endswith("/config")]
    bridging._unsettled -= 10
    client.define("B", "P", ago=0)
    await bridging._publish_all()
    assert {topic for topic, _ in broker.published if topic.endswith("/config")} == {
        "homeassistant/device/pier_A/config",
        "homeassistant/device/pier_B/config",
    }


@asynchronous
async def test_what_is_larger_than_the_broker_takes_is_tried_once():
    client = _Client()
    bridging, broker = tree_of(client)
    client.model.link_made()
    client.define("A", "P", text="x" * 500)
    await bridging._publish_all()
    count = len(broker.published)
    await bridging._publish_all()
    assert len(broker.published) == count


def test_no_two_devices_or_components_of_any_two_bridges_have_one_name_in_home_assistant():
    names = ["a", "b", "a_b", "b_a", "a b", "a_b_a", "_", "__"]
    pairs = list(itertools.product(names, repeat=2))
    assert len({discovery.topic(*pair) for pair in pairs}) == len(pairs)
    triples = list(itertools.product(names, repeat=3))
    assert len({discovery.ident(*triple) for triple in triples}) == len(triples)
    assert discovery.ident("pier", "Dome", "A_B") == "pier_Dome_A_B"


def test_topics_and_payloads():
    tree = Tree("x")
    assert tree.asked(tree.set("a/b", "+#%", "$m")) == ("a/b", "+#%", "$m")
    assert tree.asked("indi/y/a/b/set") is None
    assert parse_set(b"5", "RA") == ({"RA": "5"}, None, None)
    assert parse_set(b"true", "A") == ({"A": True}, None, None)
    for text in ("1.10", "007", "true", "null", "{}", "[x", "", '"', "é"):
        assert parse_set(text.encode(), "T", literal=True) == ({"T": text}, None, None)
    assert parse_set(b'"1.10"', "T", literal=True) == ({"T": "1.10"}, None, None)
    assert parse_set(b'{"v": {"A": 1}, "t": "x", "id": 3}', "") == ({"A": "1"}, "x", 3)
    for wrong in (b"", b"[]", b"{}", b'{"A": {}}', b"\xff"):
        with pytest.raises(ValueError):  # noqa: PT011
            parse_set(wrong, "")


def test_templates_find_members_whatever_their_names_are():
    jinja2 = pytest.importorskip("jinja2")
    for name in ("A", 'a"b', "a'b", "}}", "{% x %}", "é", "\U0001f600", "\\u0041", "a b"):
        template = jinja2.Environment(autoescape=False).from_string(discovery._value(name))
        assert template.render(value_json=json.loads(json.dumps({"v": {name: 5.5}}))) == "5.5"


@asynchronous
async def test_home_assistant_shows_no_value_of_before_in_place_of_one_that_it_refuses():
    """It ignores numbers out of range; an exposure counts down to 0, which most cameras have below their least one."""
    jinja2 = pytest.importorskip("jinja2")
    numbers = [("POS", 100, 0, 1000), ("CCD_EXPOSURE", 1, 0.01, 3600), ("INFO", 0, 10, 100)]
    async with scripted() as server, Client("127.0.0.1", server.port) as client:
        await server.client(
            *(
                f"<defNumberVector device='Odd' name='{name}' state='Ok' perm='rw'><defNumber name='N' format='%g' "
                f"min='{low}' max='{high}' step='0'>{value}</defNumber></defNumberVector>"
                for name, value, low, high in numbers
            )
        )
        await client.wait_property("Odd", "INFO")
        found = check_config(discovery.config(Tree("pier"), client.devices["Odd"])[0])["cmps"]
    limits = {key: (one["min"], one["max"]) for key, one in found.items()}
    assert limits == {"POS_N": (0, 1000), "CCD_EXPOSURE_N": (0, 3600), "INFO_N": (0, 100)}
    template = jinja2.Environment(autoescape=False).from_string(found["POS_N"]["value_template"])
    for value, shown in ((0, "0"), (1000, "1000"), (1000.5, "None"), (-1, "None"), (None, "None")):
        assert template.render(value_json={"v": {"N": value}}) == shown


@asynchronous
async def test_templates_make_nothing_of_the_empty_message_that_deletes_a_property():
    jinja2 = pytest.importorskip("jinja2")
    environment = jinja2.Environment(autoescape=False, undefined=jinja2.StrictUndefined)
    environment.filters |= {"to_json": json.dumps, "iif": lambda value, yes, no: yes if value else no}
    async with scripted() as server, Client("127.0.0.1", server.port) as client:
        await server.client(*ODD, switches("MOVE", "AtMostOne", "North", "South"), switches("LAMP", "AnyOfMany", "L"))
        await client.wait_property("Odd", "LAMP")
        found = check_config(discovery.config(Tree("pier"), client.devices["Odd"])[0])["cmps"]
    for key, one in found.items():
        expected = "" if one["p"] in ("select", "text") or key.startswith("A_B") else "None"  # A_B is a read-only text
        if "value_template" in one:
            assert environment.from_string(one["value_template"]).render(value="") == expected, key


@asynchronous
async def test_values_follow_a_new_configuration_by_which_home_assistant_reads_them():
    client = _Client()
    bridging, broker = tree_of(client)
    client.model.link_made()
    client.define("A", "P")
    client.define("B", "P")
    await bridging._publish_all()
    await bridging._publish_all()
    assert [topic for topic, _ in broker.published].count("indi/pier/A/P") == 1
    for again in (2, 3):
        bridging._again = dict.fromkeys(bridging._again, 0.0)  # the time has come
        assert set(bridging._again) == ({"A", "B"} if again == 2 else {"A"})
        before = len(broker.published)
        await bridging._publish_all()
        assert ("indi/pier/A/P", state(client.get("A", "P"))) in broker.published[before:]
        assert ("indi/pier/B/P" in dict(broker.published[before:])) is (again == 2)
        assert not bridging._again
        client.define("A", "P", "NEW")
        await bridging._publish_all()
    client.model.apply(DelProperty("A"), asyncio.get_running_loop().time() - 5)
    bridging._again = dict.fromkeys(bridging._again, 0.0)
    await bridging._publish_all()


ODD = [
    *(
        f"<defNumberVector device='Odd' name='N{number}' state='Ok' perm='{perm}'><defNumber name='N' format='{format}' "
        f"min='{low}' max='{high}' step='{step}'>1</defNumber></defNumberVector>"
        for number, (perm, format, low, high, step) in enumerate(
            [
                ("rw", "%g", 0, 0, 0),
                ("rw", "%.0f", "-1e300", "1e300", "1e-9"),
                ("rw", "%10.6m", 0, 24, 100),
                ("ro", "%.20f", 1, "1.0000001", 0),
                ("wo", "%.2f", 5, 1, -1),
                ("rw", "x", "nan", "inf", "x"),
                ("rw", "%g", 0, 1, "x"),
            ]
        )
    ),
    (
        "<defSwitchVector device='Odd' name='S' state='Ok' perm='rw' rule='OneOfMany'>"
        "<defSwitch name='1' label='a'>On</defSwitch><defSwitch name='2' label='a (3)'>Off</defSwitch>"
        "<defSwitch name='3' label='a '>Off</defSwitch><defSwitch name='4' label=' '>Off</defSwitch></defSwitchVector>"
    ),
    (
        "<defSwitchVector device='Odd' name='R' state='Ok' perm='ro' rule='AnyOfMany'>"
        "<defSwitch name='1'>On</defSwitch></defSwitchVector>"
    ),
    "<defTextVector device='Odd' name='A_B' state='Ok' perm='ro'><defText name='C'>x</defText></defTextVector>",
    "<defTextVector device='Odd' name='A' state='Ok' perm='rw'><defText name='B_C'>x</defText></defTextVector>",
    f"<defTextVector device='Odd' name='L' state='Ok' perm='rw'><defText name='T'>{'x' * 300}</defText></defTextVector>",
]


@asynchronous
async def test_configurations_of_odd_properties():
    async with scripted() as server, Client("127.0.0.1", server.port) as client:
        await server.client(*ODD)
        await client.wait_property("Odd", "L")
        device = client.devices["Odd"]
        found = check_config(discovery.config(Tree("pier"), device)[0])["cmps"]
        assert len(found) == sum(len(prop.members) for prop in device.properties.values()) - 3  # a select has four
        for prop in device.properties.values():
            for payload in (definition(prop), state(prop)):
                json.loads(payload, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
        [select] = [one for one in found.values() if one["p"] == "select"]
        assert len(select["options"]) == 4
        jinja2 = pytest.importorskip("jinja2")
        long = jinja2.Environment(autoescape=False).from_string(found["L_T"]["value_template"])
        assert len(long.render(value_json=json.loads(state(client.need("Odd", "L"))))) == 255


def switches(name, rule, *labels, perm="rw"):
    members = "".join(f"<defSwitch name='{label[0]}' label='{label}'>Off</defSwitch>" for label in labels)
    head = f"<defSwitchVector device='Odd' name='{name}' label='{name}' state='Ok' perm='{perm}' rule='{rule}'>"
    return f"{head}{members}</defSwitchVector>"


class Mover(IPyDriver):
    """Switches of each rule, all of them off; takes what it is told."""

    def __init__(self):
        self.got = []
        self.told = {}
        vectors = [
            SwitchVector(name, name, "Main", "rw", rule, "Ok", [SwitchMember(each, each) for each in members])
            for name, rule, members in (
                ("MOVE", "AtMostOne", ("North", "South")),
                ("LAMPS", "AnyOfMany", ("Flat", "Dark")),
                ("LAMP", "AnyOfMany", ("L",)),
                ("ABORT", "AtMostOne", ("A",)),
            )
        ]
        super().__init__(Device("Odd", vectors))

    async def rxevent(self, event):
        self.got.append((event.vectorname, dict(event)))
        for name, value in event.items():
            event.vector[name] = value
        await event.vector.send_setVector(state="Ok")


@asynchronous
async def test_switches_that_may_all_be_off_can_be_turned_off_in_home_assistant_and_are_shown_so():
    jinja2 = pytest.importorskip("jinja2")
    environment = jinja2.Environment(autoescape=False)
    environment.filters |= {"to_json": json.dumps, "iif": lambda value, yes, no: yes if value else no}
    driver = Mover()
    async with broker_running() as (mqtt, _), running_server(driver) as server, tree_bridge(server, mqtt):
        with witness(mqtt) as heard:
            at = "homeassistant/device/pier_Odd/config"
            await eventually(lambda: at in retained(heard), 10)
            found = check_config(retained(heard)[at])["cmps"]

            def shown(key):
                one = found[key]
                values = json.loads(retained(heard)[one["state_topic"]])
                return environment.from_string(one["value_template"]).render(value_json=values)

            def command(key, value):
                one = found[key]
                if one["p"] == "select":
                    return environment.from_string(one["command_template"]).render(value=value)
                return one["payload_on" if value == "ON" else "payload_off"]

            none = "None of the above"
            assert found["MOVE"]["options"] == ["North", "South", none]
            assert set(found) == {"MOVE", "LAMPS_Flat", "LAMPS_Dark", "LAMP_L", "ABORT_A"}
            for key, off, steps in (
                ("MOVE", none, ["South", "North", none]),
                ("LAMPS_Flat", "OFF", ["ON", "OFF"]),
                ("LAMP_L", "OFF", ["ON", "OFF"]),
                ("ABORT_A", "OFF", ["ON", "OFF"]),
            ):
                await eventually(lambda: shown(key) == off)
                for step in steps:
                    await publish(mqtt, found[key]["command_topic"], command(key, step))
                    await eventually(lambda: shown(key) == step)
    assert driver.got[:3] == [
        ("MOVE", {"South": "On"}),
        ("MOVE", {"North": "On", "South": "Off"}),
        ("MOVE", {"North": "Off", "South": "Off"}),
    ]


@asynchronous
async def test_one_of_many_of_which_none_is_on_is_shown_as_unknown_and_not_as_it_was():
    jinja2 = pytest.importorskip("jinja2")
    odd = [switches("FILTER", "OneOfMany", "Red", "none"), switches("SLOT", "AtMostOne", "None of the above", "1")]
    async with scripted() as server, Client("127.0.0.1", server.port) as client:
        await server.client(*odd, switches("GO", "OneOfMany", "Go"))
        await client.wait_property("Odd", "GO")
        found = check_config(discovery.config(Tree("pier"), client.devices["Odd"])[0])["cmps"]
    assert found["FILTER"]["options"] == ["Red", "none (n)"]  # Home Assistant takes "none" for unknown, in any case
    assert found["SLOT"]["options"] == ["None of the above", "1", "None of the above."]
    assert found["GO_G"]["p"] == "button"
    for key, expected in (("FILTER", "None"), ("SLOT", "None of the above.")):
        template = jinja2.Environment(autoescape=False).from_string(found[key]["value_template"])
        assert template.render(value_json={"v": {"R": False, "n": False, "N": False, "1": False}}) == expected


@asynchronous
async def test_what_is_not_so_at_the_broker_goes_although_nothing_changes(monkeypatch):
    """What an earlier run has left comes after everything has been published; and late, that this run had gone."""
    monkeypatch.setattr(treebridge, "EARLIER", 0.1)
    async with running_server(IPyDriver(Device("Quiet", []))) as server, Client("127.0.0.1", server.port) as client:
        bridging, broker = tree_of(client)
        running = asyncio.create_task(bridging.run())
        bridging._publish_anew()
        status = ("indi/pier/status", b"online")
        await eventually(lambda: status in broker.published)
        await asyncio.sleep(0.1)
        bridging._take(Incoming("indi/pier/Old/P", b"{}", True))
        await eventually(lambda: ("indi/pier/Old/P", b"") in broker.published)
        bridging._take(Incoming("indi/pier/status", b"offline", False))
        await eventually(lambda: broker.published.count(status) == 2)
        running.cancel()
        await asyncio.wait([running])


@asynchronous
async def test_what_goes_while_the_broker_is_slow_is_not_left_there(monkeypatch):
    """What an earlier run has left, and comes while other such is deleted; and what goes as Home Assistant starts."""
    monkeypatch.setattr(treebridge, "EARLIER", 0.1)
    driver, gate = IPyDriver(Device("D", [TextVector("P", "P", "G", "ro", "Ok", [TextMember("T")])])), asyncio.Event()
    async with running_server(driver) as server, Client("127.0.0.1", server.port) as client:
        bridging, broker = tree_of(client)
        publish = broker.publish

        async def when_there_is_room(topic, payload, **more):
            if topic == "indi/pier/Old/P":
                bridging._take(Incoming("indi/pier/Old/Q", b"{}", True))
            await gate.wait()
            return await publish(topic, payload, **more)

        broker.publish = when_there_is_room
        running = asyncio.create_task(bridging.run())
        gate.set()
        bridging._publish_anew()
        await eventually(lambda: "indi/pier/D/P/def" in dict(broker.published))
        bridging._take(Incoming("indi/pier/Old/P", b"{}", True))
        await eventually(lambda: ("indi/pier/Old/Q", b"") in broker.published)
        gate.clear()
        bridging._publish_anew()
        await asyncio.sleep(0.01)
        await driver["D"].send_delProperty()
        await eventually(lambda: client.get("D", "P") is None)
        bridging._publish_anew()
        gate.set()
        await eventually(lambda: ("indi/pier/D/P/def", b"") in broker.published)
        running.cancel()
        await asyncio.wait([running])


@asynchronous
async def test_a_device_that_is_still_being_defined_is_not_taken_from_home_assistant():
    client = _Client()
    bridging, broker = tree_of(client)
    bridging._since = asyncio.get_running_loop().time() - 60
    client.model.link_made()
    at, left = "homeassistant/device/pier_D/config", b'{"avty": [{"t": "indi/pier/status"}]}'
    bridging._take(Incoming(at, left, True))
    bridging._take(Incoming(at.replace("D", "Old"), left, True))
    await bridging._publish_all()
    bridging._linked -= 6
    client.define("D", "P")
    client.model.defined_at = asyncio.get_running_loop().time()
    await bridging._publish_all()
    client.model.defined_at -= 2
    await bridging._publish_all()
    configs = [(topic, bool(payload)) for topic, payload in broker.published if topic.endswith("/config")]
    assert sorted(configs) == [(at, True), (at.replace("D", "Old"), False)]


@asynchronous
async def test_a_flood_of_news_of_home_assistant_is_one():
    bridging, _ = tree_of(_Client())
    for _ in range(100):
        bridging._take(Incoming("homeassistant/status", b"online", False))
    [job] = bridging._jobs
    job.cancel()


@asynchronous
async def test_who_wants_a_tree_where_there_is_none_is_told(caplog):
    server = indiredis.mqtt_server()
    mqttrun._listening(server, Topics("x", server), indiredis.MQTTOptions())
    assert not caplog.records
    mqttrun._listening(server, Topics("x", server), indiredis.MQTTOptions(tree=True))
    assert "there is no tree" in caplog.text
