"""INDI over MQTT, on a real broker: topics, presence, snooping, BLOBs for those who ask, and what dies."""

import asyncio
import contextlib
import gc
import re
import signal
from itertools import pairwise

import pytest

import indiredis
from examples import camera, thermostat
from indipyclient import Client
from indipydriver import Device, IPyDriver, delProperty
from indipydriver.propertymembers import NumberMember
from indipydriver.propertyvectors import NumberVector
from indiredis import tools
from indiredis.mqtt import site as site_module
from tests.support import allowed, asynchronous, eventually, free_port, require, running, running_server, started
from tests.support.certificates import certificates, trusting

from .parts import at, bridge, broker_running, redis_running, script, soon, witness
from .shown import differences, watching
from .test_redis import Counter


def site(server, name, mqtt, **more):
    """A bridge beside this server."""
    return bridge(indiredis.run_inditomqtt, indiredis.indi_server("127.0.0.1", server.port), name, mqtt, **more)


@contextlib.asynccontextmanager
async def port_to(mqtt, name="port1", **more):
    """A bridge to a port; yields the port."""
    port = free_port()
    async with bridge(indiredis.run_mqtttoport, name, mqtt, port=port, host="127.0.0.1", **more):
        yield port


@asynchronous
async def test_a_port_does_not_begin_with_a_lost_connection(caplog):
    one = Counter("One")
    async with broker_running() as (mqtt, _), running_server(one) as server, site(server, "site1", mqtt):
        async with port_to(mqtt) as port, watching(port) as client:
            await client.wait_device("One")
            said = [record.getMessage() for record in caplog.records if record.name == "indipyserver.remote"]
    assert [text.partition(" 127")[0] for text in said] == ["Attempting to connect to", "Connected to"]


@asynchronous
async def test_two_sites_one_redis_and_one_port(tmp_path):
    one, two = Counter("One"), Counter("Two")
    async with broker_running() as (mqtt, _), redis_running() as redis:
        rs, rconn = redis.server, redis.rconn
        with witness(mqtt) as heard:
            async with (
                running_server(one) as first,
                running_server(two) as second,
                site(first, "site1", mqtt),
                site(second, "site2", mqtt),
                bridge(indiredis.run_mqtttoredis, "web", mqtt, rs, blob_folder=tmp_path),
                port_to(mqtt) as port,
                watching(port) as client,
            ):
                await client.wait_property("Two", "COUNT")
                await client.wait_property("One", "COUNT")
                await soon(lambda: tools.devices(rconn, rs) == ["One", "Two"])
                await client.set("Two", "COUNT", N=5)
                tools.newnumbervector(rconn, rs, "COUNT", "One", {"N": 6})
                await soon(lambda: tools.elements_dict(rconn, rs, "N", "COUNT", "Two")["value"] == "5")
                await client.wait_property("One", "COUNT", where=lambda prop: prop["N"].value == "6")
                await soon(lambda: not differences(client.snapshot(), redis.everything()))
                assert (one.got, two.got) == (["6"], ["5"])
            await eventually(lambda: 'message="site1 is offline"' in heard.stdout())
            lines = heard.stdout()
        topics = {line.split(" ", 1)[0] for line in lines.splitlines()}
        assert topics == {
            *"from_indi/site1 from_indi/site2 to_indi/web to_indi/port1".split(),
            *"status/site1 status/site2 status/web status/port1 count/site1 count/site2".split(),
        }
        assert re.search(r'^from_indi/site1 <message [^>]*message="Connected to 127', lines, re.M)
        assert re.findall(r"^status/site1 .*", lines, re.M)[-1].endswith('is offline" />')


@asynchronous
async def test_a_list_limits_who_is_heard_and_obeyed(tmp_path):
    one, two = Counter("One"), Counter("Two")
    async with broker_running() as (mqtt, _), running_server(one) as first, running_server(two) as second:
        async with (
            site(first, "site1", mqtt, subscribe_list=["boss"]),
            site(second, "site2", mqtt),
            port_to(mqtt, "boss", subscribe_list=["site1"]) as port,
            port_to(mqtt, "other") as open_port,
            watching(port) as client,
            watching(open_port) as other,
        ):
            await client.wait_device("One")
            await other.wait_device("Two")
            await client.set("One", "COUNT", N=1)
            assert list(client.devices) == ["One"]
            await other.set("Two", "COUNT", N=2)
            await other.set("One", "COUNT", confirm="sent", N=3)
            await asyncio.sleep(0.3)
            assert (one.got, two.got) == (["1"], ["2"])


@asynchronous
async def test_an_old_publisher_on_flat_topics_is_understood():
    publish = [require("mosquitto_pub"), "-h", "127.0.0.1", "-q", "1"]
    async with broker_running() as (mqtt, _), port_to(mqtt) as port, watching(port) as client:
        defines = (
            '<defTextVector device="Old" name="P" state="Ok" perm="rw"><defText name="T">x</defText></defTextVector>'
        )
        with started(*publish, "-p", str(mqtt.port), "-t", "from_indi", "-m", defines) as program:
            assert await program.wait() == 0
        assert (await client.wait_property("Old", "P"))["T"].value == "x"
        async with running_server(driver := Counter("New")) as server, site(server, "site1", mqtt):
            await client.wait_device("New")
            command = "<newNumberVector device='New' name='COUNT'><oneNumber name='N'>4</oneNumber></newNumberVector>"
            with started(*publish, "-p", str(mqtt.port), "-t", "to_indi", "-m", command) as program:
                assert await program.wait() == 0
            await eventually(lambda: driver.got == ["4"])
            # What is retained is from the past.
            with started(*publish, "-p", str(mqtt.port), "-r", "-t", "to_indi/x", "-m", command.replace("4", "5")) as p:
                assert await p.wait() == 0
            await eventually(lambda: driver.got == ["4", "5"])
        async with running_server(driver := Counter("New")) as server, site(server, "site1", mqtt):
            await client.wait_device("New")
            await asyncio.sleep(0.3)
            assert driver.got == []


@asynchronous
async def test_blobs_go_only_to_those_who_ask(tmp_path):
    async with broker_running() as (mqtt, _), running_server(camera.make_driver()) as server:
        with witness(mqtt) as heard:
            async with (
                site(server, "site1", mqtt),
                port_to(mqtt, "asks") as port,
                port_to(mqtt, "quiet") as other_port,
                watching(port) as one,
                watching(port) as two,
                watching(other_port) as three,
            ):
                await one.wait_device("Camera")
                await three.wait_device("Camera")
                await one.wait_property("Camera", "CONNECTION")
                await one.press("Camera", "CONNECTION", "CONNECT")
                await two.wait_property("Camera", "CCD1")
                images = []
                for client in (two, three):
                    client.on_message = None
                async with one.blobs("Camera") as blobs:
                    await asyncio.sleep(0.3)
                    await two.set("Camera", "CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0.05)
                    async with asyncio.timeout(10):
                        images.append(await blobs.next())
                assert images[0].format == ".fits"
                assert two.get("Camera", "CCD1")["CCD1"].data is None
                assert three.get("Camera", "CCD1")["CCD1"].data is None
                await asyncio.sleep(0.3)
                await two.set("Camera", "CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0.05)
                await asyncio.sleep(0.5)
            text = heard.stdout()
        assert len(re.findall(r"^blobs/asks <setBLOBVector", text, re.M)) == 1
        assert not re.search(r"^(from_indi|blobs/quiet)\S* <setBLOBVector", text, re.M)


class Follower(IPyDriver):
    """Follows another device."""

    def __init__(self, device, of, name=None):
        self.seen = []
        self.of, self.what = of, name
        vector = NumberVector("SEEN", "Seen", "Main", "ro", "Ok", [NumberMember("N")])
        super().__init__(Device(device, [vector]))

    async def hardware(self):
        await self.send_getProperties(self.of, self.what)

    async def snoopevent(self, event):
        if isinstance(event, delProperty):
            self.seen.append("gone")
        elif hasattr(event, "get") and event.get("N") is not None:
            self.seen.append(str(event.get("N")))


@pytest.mark.parametrize("name", [None, "COUNT"])
@asynchronous
async def test_a_driver_follows_a_device_at_another_site(name):
    counter, follower, own = Counter("Mount"), Follower("Dome", "Mount", name), Follower("Own", "Dome")
    async with broker_running() as (mqtt, _), running_server(counter) as server:
        with witness(mqtt) as heard:
            async with site(server, "east", mqtt):
                async with bridge(indiredis.run_driverstomqtt, [follower, own], "west", mqtt):
                    await eventually(lambda: follower.seen)
                    await counter.say(12)
                    await eventually(lambda: follower.seen[-1] == "12")
                    text = heard.stdout()
                    assert re.search(r'^snoop_control/west <getProperties [^>]*device="Mount"', text, re.M)
                    assert re.search(r"^snoop_data/west <defNumberVector", text, re.M)
                    assert 'device="Dome"' not in "".join(re.findall(r"^snoop_control/.*", text, re.M))
                    await counter["Mount"]["COUNT"].send_delProperty()
                    await eventually(lambda: re.search(r"^snoop_data/west <delProperty", heard.stdout(), re.M))
                    await asyncio.sleep(0.2)
                    counter["Mount"]["COUNT"].enable = True
                    await counter["Mount"]["COUNT"].send_defVector()
                    await counter.say(13)
                    await eventually(lambda: follower.seen[-1] == "13")
                await eventually(lambda: 'message="west is offline"' in heard.stdout())
                await asyncio.sleep(0.1)
                count = heard.stdout().count("snoop_data/west")
                await counter.say(14)
                await asyncio.sleep(0.2)
                assert heard.stdout().count("snoop_data/west") == count


@asynchronous
async def test_a_driver_is_told_when_what_it_follows_is_out_of_reach(monkeypatch):
    """A roof must not stay open because a rain sensor at another site has said long ago that it is dry."""
    monkeypatch.setattr(site_module, "MISSING", 0.5)
    counter, follower = Counter("Mount"), Follower("Dome", "Mount")
    port = free_port()
    async with running_server(counter) as server:
        async with broker_running(port) as (mqtt, broker):
            async with bridge(indiredis.run_driverstomqtt, follower, "west", mqtt):
                for _ in range(2):
                    async with site(server, "east", mqtt):
                        await eventually(lambda: follower.seen[-1:] == ["0"], timeout=10)
                    await eventually(lambda: follower.seen[-1] == "gone")
                async with site(server, "east", mqtt):
                    await eventually(lambda: follower.seen[-1] == "0")
                    broker.signal(signal.SIGKILL)
                    await eventually(lambda: follower.seen[-1] == "gone")
                    async with broker_running(port):
                        await eventually(lambda: follower.seen[-1] == "0", timeout=20)


@asynchronous
async def test_a_bridge_that_hears_that_it_had_gone_goes_on_counting():
    """Listeners that have counted what it said before would miss something that was never lost."""
    async with broker_running() as (mqtt, _), running_server(Counter("Mount")) as server:
        with witness(mqtt) as heard:
            async with site(server, "east", mqtt):
                await eventually(lambda: "from_indi/east <defNumberVector" in heard.stdout())
            await eventually(lambda: 'message="east is offline"' in heard.stdout())
            before = len(heard.stdout())
            async with site(server, "east", mqtt):
                await eventually(lambda: len(re.findall(r"^count/east ", heard.stdout()[before:], re.M)) > 2, 20)
            text = heard.stdout()[before:]
    counts = re.findall(r"^count/east (\d+)", text, re.M)
    said = [len(re.findall(r"^from_indi/east ", part, re.M)) for part in re.split(r"^count/east ", text, flags=re.M)]
    assert [int(after) - int(count) for count, after in pairwise(counts)] == said[1 : len(counts)]


@asynchronous
async def test_who_comes_later_is_asked_alone_for_what_drivers_elsewhere_follow():
    """Requests for all, by each of many sites whenever another one comes, would be a storm."""
    count = 4
    counter, followers = Counter("Mount"), [Follower(f"Dome {number}", "Mount") for number in range(count)]
    async with broker_running() as (mqtt, _), contextlib.AsyncExitStack() as stack:
        heard = stack.enter_context(witness(mqtt))
        for number, follower in enumerate(followers):
            await stack.enter_async_context(bridge(indiredis.run_driverstomqtt, follower, f"dome{number}", mqtt))
        await eventually(lambda: len(re.findall(r"^snoop_control/dome3 ", heard.stdout(), re.M)) == 1)
        server = await stack.enter_async_context(running_server(counter))
        await stack.enter_async_context(site(server, "east", mqtt))
        await counter.say(5)
        await eventually(lambda: [follower.seen[-1:] for follower in followers] == [["5"]] * count)
        text = heard.stdout()
        assert len(re.findall(r"^snoop_control/", text, re.M)) == count
        assert len(re.findall(r"^snoop_data/east <getProperties", text, re.M)) == count


# Whatever dies


SITE = """
import sys, indiredis
indiredis.inditomqtt(indiredis.indi_server("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else {indi}), "site1",
                     indiredis.mqtt_server("127.0.0.1", {mqtt}))
"""


@asynchronous
async def test_a_bridge_is_killed_and_its_devices_go_and_come_back(tmp_path):
    async with broker_running() as (mqtt, _), redis_running() as redis, running_server(driver := Counter()) as server:
        rs, rconn = redis.server, redis.rconn
        text = SITE.format(indi=server.port, mqtt=mqtt.port)
        async with (
            bridge(indiredis.run_mqtttoredis, "web", mqtt, rs, blob_folder=tmp_path),
            port_to(mqtt) as port,
            watching(port) as client,
        ):
            for turn in ("0", "1"):
                with script(text) as program:
                    await soon(lambda: tools.devices(rconn, rs) == ["Counter"])
                    await client.wait_device("Counter")
                    tools.newnumbervector(rconn, rs, "COUNT", "Counter", {"N": turn})
                    await soon(lambda: driver.got[-1:] == [turn])
                    program.signal(signal.SIGKILL)
                    await program.wait()
                took = await soon(lambda: tools.devices(rconn, rs) == [])
                assert took < 10
                assert "site1 is offline" in tools.last_message(rconn, rs)
                await soon(lambda: not client.devices)
                tools.newnumbervector(rconn, rs, "COUNT", "Counter", {"N": 99})
            assert driver.got == ["0", "1"]


@asynchronous
async def test_the_broker_is_killed_in_traffic(tmp_path):
    broker_port = free_port()
    async with redis_running() as redis, running_server(driver := Counter()) as server, watching(server.port) as direct:
        rs, rconn = redis.server, redis.rconn
        async with contextlib.AsyncExitStack() as stack:
            async with broker_running(broker_port) as (mqtt, program):
                await stack.enter_async_context(site(server, "site1", mqtt))
                await stack.enter_async_context(
                    bridge(indiredis.run_mqtttoredis, "web", mqtt, rs, blob_folder=tmp_path)
                )
                port = await stack.enter_async_context(port_to(mqtt))
                client = await stack.enter_async_context(watching(port))
                await client.wait_device("Counter")
                saying = asyncio.create_task(_keep_saying(driver))
                await soon(lambda: tools.devices(rconn, rs) == ["Counter"])
                program.signal(signal.SIGKILL)
                await program.wait()

            def is_refused():  # as soon as the bridge has seen that the broker is gone
                tools.newnumbervector(rconn, rs, "COUNT", "Counter", {"N": 99})
                return "was not sent" in (tools.last_message(rconn, rs, "Counter") or "")

            await soon(is_refused)
            await soon(lambda: not client.devices)
            async with broker_running(broker_port):
                await client.wait_device("Counter", timeout=10)
                await asyncio.sleep(0.5)
                saying.cancel()
                await soon(lambda: not differences(direct.snapshot(), redis.everything()))
                await soon(lambda: not differences(client.snapshot(), redis.everything()))
                assert "99" not in driver.got
                await stack.aclose()


@pytest.mark.measured
@asynchronous
async def test_a_bridge_and_the_broker_are_killed_together_and_only_the_broker_comes_back(tmp_path):
    broker_port = free_port()
    async with redis_running() as redis, running_server(Counter()) as server, contextlib.AsyncExitStack() as stack:
        async with broker_running(broker_port) as (mqtt, broker):
            await stack.enter_async_context(
                bridge(indiredis.run_mqtttoredis, "web", mqtt, redis.server, blob_folder=tmp_path)
            )
            client = await stack.enter_async_context(watching(await stack.enter_async_context(port_to(mqtt))))
            with script(SITE.format(indi=server.port, mqtt=mqtt.port)) as program:
                await client.wait_device("Counter")
                await soon(lambda: tools.devices(redis.rconn, redis.server) == ["Counter"])
                for each in (program, broker):
                    each.signal(signal.SIGKILL)
                    await each.wait()
        async with broker_running(broker_port) as (mqtt, _):
            with witness(mqtt) as heard:
                await eventually(lambda: "web is online" in heard.stdout(), 30)
                took = await soon(lambda: not tools.devices(redis.rconn, redis.server) and not client.devices, 30)
                assert took < allowed(10)
                assert "site1" not in heard.stdout()
            await stack.aclose()


async def _keep_saying(driver):
    number = 100
    while True:
        number += 1
        await driver.say(number)
        await asyncio.sleep(0.005)


@asynchronous
async def test_the_server_behind_a_bridge_goes_and_comes_back():
    port = free_port()
    async with broker_running() as (mqtt, _), port_to(mqtt) as out, watching(out) as client:
        there = indiredis.indi_server("127.0.0.1", port)
        async with bridge(indiredis.run_inditomqtt, there, "site1", mqtt):
            async with running(at(port, Counter("A"))):
                await client.wait_device("A")
            await eventually(lambda: not client.devices)
            async with running(at(port, thermostat.make_driver(0.1))):
                await client.wait_device("Thermostat")
                assert list(client.devices) == ["Thermostat"]


@pytest.mark.interop
@asynchronous
async def test_simulators_of_debian_over_mqtt():
    drivers = [require("indi_simulator_telescope"), require("indi_simulator_focus")]
    async with broker_running() as (mqtt, _), bridge(indiredis.run_driverstomqtt, drivers, "sims", mqtt):
        async with port_to(mqtt) as port, Client("127.0.0.1", port) as client:
            await client.wait_property("Telescope Simulator", "CONNECTION")
            await client.press("Telescope Simulator", "CONNECTION", "CONNECT")
            await client.wait_property("Telescope Simulator", "EQUATORIAL_EOD_COORD")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho forgets the socket of a refusal
@asynchronous
async def test_tls_and_a_password_from_a_file(tmp_path, caplog):
    keys = certificates()
    users = tmp_path / "users"
    users.touch(mode=0o600)
    (tmp_path / "password").write_text("\ufeffsecret\r\n", "utf-8")
    with started(require("mosquitto_passwd"), "-b", str(users), "ann", "secret") as program:
        assert await program.wait() == 0
    users.chmod(0o644)
    tmp_path.chmod(0o755)
    lines = [f"cafile {keys}/ca.pem", f"certfile {keys}/server.pem", f"keyfile {keys}/server.key"]
    lines += ["allow_anonymous false", f"password_file {users}", "user root"]
    async with broker_running(None, *lines) as (mqtt, _), running_server(driver := Counter()) as server:
        mqtt = mqtt._replace(username="ann")
        options = indiredis.MQTTOptions(tls=trusting(), password_file=tmp_path / "password")
        async with site(server, "site1", mqtt, options=options), port_to(mqtt, options=options) as port:
            async with watching(port) as client:
                await client.wait_device("Counter")
                await client.set("Counter", "COUNT", N=3)
                assert driver.got == ["3"]
        stop = asyncio.Event()
        there = indiredis.indi_server("127.0.0.1", server.port)
        for wrong, reason in (
            # Nobody here knows this authority.
            (indiredis.MQTTOptions(tls=True, password_file=tmp_path / "password"), "CERTIFICATE_VERIFY_FAILED"),
            (indiredis.MQTTOptions(tls=trusting()), "Protocol error"),  # no password
        ):
            caplog.clear()
            task = asyncio.create_task(indiredis.run_inditomqtt(there, "site1", mqtt, stop, options=wrong))
            await eventually(lambda: "MQTT at" in caplog.text)
            assert not task.done()
            stop.set()
            await task
            stop.clear()
            async with redis_running() as redis:
                rs, more = redis.server, {"blob_folder": tmp_path / "blobs", "options": wrong}
                task = asyncio.create_task(indiredis.run_mqtttoredis("web", mqtt, rs, stop, **more))
                await soon(lambda: redis.rconn.exists("indi_link"))
                told = re.compile(rf"127\.0\.0\.1:{mqtt.port}: .*{reason}")
                await soon(lambda: told.search(redis.rconn.hget("indi_link", "reason").decode()), 10)
                stop.set()
                await task
                stop.clear()
    gc.collect()  # here, where the warning is expected
