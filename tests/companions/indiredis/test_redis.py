"""INDI to redis, on a real redis server: keys, logs, commands, and what happens when something dies."""

import asyncio
import datetime as dt
import json
import os
import signal
import time

import pytest

import indiredis
from examples import camera, thermostat
from indipydriver import Device, IPyDriver
from indipydriver.propertymembers import NumberMember, SwitchMember, TextMember
from indipydriver.propertyvectors import NumberVector, SwitchVector, TextVector
from indiredis import tools
from tests.companions.indipyclient.scripted import scripted
from tests.support import allowed, asynchronous, eventually, free_port, running, running_server, serving

from .parts import at, bridge, broker_running, monitor, redis_running, soon
from .shown import differences, watching


class Counter(IPyDriver):
    """Takes numbers, and tells each of them."""

    def __init__(self, device="Counter"):
        self.got = []
        number = NumberMember("N", membervalue="0")
        vector = NumberVector("COUNT", "Count", "Main", "rw", "Ok", [number])
        hidden = SwitchVector("GO", "Go", "Main", "wo", "AnyOfMany", "Ok", [SwitchMember("A"), SwitchMember("B")])
        text = TextVector("NOTE:1", "Note", "Main", "rw", "Ok", [TextMember("50%:A", membervalue="x")])
        super().__init__(Device(device, [vector, hidden, text]))
        self.name = device

    async def rxevent(self, event):
        value = event.get("N") if hasattr(event, "get") else None
        if value is not None:
            self.got.append(str(value))
            event.vector["N"] = value
            event.vector.state = "Ok"
            await event.vector.send_setVector()

    async def say(self, number, **more):
        vector = self[self.name]["COUNT"]
        vector["N"] = str(number)
        await vector.send_setVector(**more)


def to_redis(server, redis, folder, **more):
    return bridge(
        indiredis.run_inditoredis,
        indiredis.indi_server("127.0.0.1", server.port),
        redis.server,
        blob_folder=folder,
        **more,
    )


@asynchronous
async def test_redis_shows_everything_in_one_transaction_each_with_the_notice_after_the_keys(tmp_path):
    async with redis_running() as redis, running_server(Counter(), thermostat.make_driver(0.05)) as server:
        with monitor(redis) as seen:
            async with to_redis(server, redis, tmp_path), watching(server.port) as client:
                await client.settle()
                await soon(lambda: not differences(client.snapshot(), redis.everything()))
                await asyncio.sleep(0.3)
            lines = [line.partition("] ")[2] for line in seen.stdout().splitlines()]
        inside, written = False, 0
        for line in lines:
            word = line.partition(" ")[0].strip('"')
            if word == "MULTI":
                inside, published = True, False
            elif word == "EXEC":
                inside = False
            elif word in ("HSET", "SADD", "SREM", "DEL", "XADD", "SET"):
                assert inside, line
                assert not published or '"indi_link"' in line, "a listener would see older keys"
                written += 1
            elif word == "PUBLISH":
                assert inside, line
                published = True
        assert written > 20


@asynchronous
async def test_names_with_colons_make_their_own_keys_and_write_only_switches_stay_so(tmp_path):
    async with redis_running() as redis, running_server(Counter()) as server, to_redis(server, redis, tmp_path):
        rs = redis.server
        await soon(lambda: tools.properties(redis.rconn, rs, "Counter") == ["COUNT", "GO", "NOTE:1"])
        assert tools.elements(redis.rconn, rs, "NOTE:1", "Counter") == ["50%:A"]
        assert redis.rconn.exists("indi_elementattributes:50%25%3AA:NOTE%3A1:Counter")
        assert tools.attributes_dict(redis.rconn, rs, "GO", "Counter")["perm"] == "wo"


@asynchronous
async def test_logs_have_exact_lengths_and_unchanged_data_adds_nothing(tmp_path):
    for form in ("stream", "list"):
        driver = Counter()
        lengths = {"numbervector": 50, "attributes": 1, "messages": 5}
        async with redis_running() as redis, running_server(driver) as server:
            async with to_redis(server, redis, tmp_path, log_lengths=lengths, log_store=form):
                rs = redis.server
                await soon(lambda: tools.devices(redis.rconn, rs))
                for number in range(1, 201):
                    await driver.say(number)
                value = ("elementattributes", "N", "COUNT", "Counter")
                await soon(lambda: tools.elements_dict(redis.rconn, rs, "N", "COUNT", "Counter")["value"] == "200")
                entries = tools.logs(redis.rconn, rs, 1000, *value)
                assert len(entries) == 50
                assert [entry[1]["value"] for entry in entries] == [str(n) for n in range(200, 150, -1)]
                assert len(tools.logs(redis.rconn, rs, 1000, "attributes", "COUNT", "Counter")) == 1
                same = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
                await driver.say(200, timestamp=same)
                await soon(lambda: tools.logs(redis.rconn, rs, 1, *value)[0][1]["timestamp"].startswith("2026-01-01"))
                newest = tools.logs(redis.rconn, rs, 1000, *value)
                await driver.say(200, timestamp=same)
                await driver.say(200, timestamp=same)
                await asyncio.sleep(0.2)
                assert tools.logs(redis.rconn, rs, 1000, *value) == newest
            async with to_redis(server, redis, tmp_path, log_lengths=lengths, log_store=form):  # and so does a restart
                await soon(lambda: tools.devices(redis.rconn, redis.server))
                assert len(tools.logs(redis.rconn, rs, 1000, *value)) == 50


@asynchronous
async def test_a_list_of_old_versions_is_replaced_by_a_stream(tmp_path):
    async with redis_running() as redis, running_server(Counter()) as server:
        redis.rconn.lpush("indi_logdata:devices", '2020-01-01 ["old"]')
        async with to_redis(server, redis, tmp_path):
            await soon(lambda: tools.logs(redis.rconn, redis.server, 5, "devices")[0][1] == ["Counter"])


async def settled(redis):
    """What redis shows, but for signs of life, when all that was asked for has come."""
    shown = {}
    while True:
        before, shown = shown, redis.everything()
        shown.pop("indi_link")
        if shown == before:
            return shown
        await asyncio.sleep(0.3)


@asynchronous
async def test_what_goes_in_shows_that_it_is_on_its_way(tmp_path):
    driver = camera.make_driver()
    async with redis_running() as redis, running_server(driver, Counter()) as server:
        async with to_redis(server, redis, tmp_path):
            rs, rconn = redis.server, redis.rconn
            await soon(lambda: "GO" in tools.properties(rconn, rs, "Counter"))
            with monitor(redis) as seen:
                await eventually(lambda: "OK" in seen.stdout())
                assert tools.newswitchvector(rconn, rs, "GO", "Counter", {"A": "On"}) is not None
                await soon(lambda: tools.attributes_dict(rconn, rs, "GO", "Counter")["state"] == "Busy")
                tools.getProperties(rconn, rs)
                tools.getProperties(rconn, rs, "GO", "Counter")
                await soon(lambda: tools.getproperties_timestamp(rconn, rs, "GO", "Counter"))
                assert tools.getproperties_timestamp(rconn, rs)
                assert tools.getproperties_timestamp(rconn, rs, device="Counter") is None
            before = await settled(redis)
            for nonsense in (
                b"",
                b"no XML",
                b"<newNumberVector",
                b"\xff\xfe",
                b"<setLightVector device='x' name='y'/>",
            ):
                rconn.publish("to_indi", nonsense)
            rconn.publish(
                "to_indi",
                b"<newSwitchVector device='Counter' name='GO'><oneSwitch name='A'>Perhaps</oneSwitch>"
                b"</newSwitchVector>",
            )
            await asyncio.sleep(0.2)
            after = redis.everything()
            for shown in before, after:
                shown.pop("indi_link", None)
                told = shown.pop("indi_messages")
            assert after == before
            assert "a switch value must be one of Off, On, not 'Perhaps'" in told
            tools.newswitchvector(rconn, rs, "CONNECTION", "Camera", {"CONNECT": "On"})
            await soon(lambda: "CCD1" in tools.properties(rconn, rs, "Camera"))
            assert tools.attributes_dict(rconn, rs, "CCD1", "Camera")["blobs"] == "Disabled"
            tools.enableblob(rconn, rs, "", "Camera", "also")
            await soon(lambda: tools.attributes_dict(rconn, rs, "CCD1", "Camera")["blobs"] == "Enabled")
            await asyncio.sleep(0.1)
            tools.newnumbervector(rconn, rs, "CCD_EXPOSURE", "Camera", {"CCD_EXPOSURE_VALUE": 0.05})
            await soon(lambda: tools.property_elements(rconn, rs, "CCD1", "Camera")[0]["filepath"])
            [fields] = tools.property_elements(rconn, rs, "CCD1", "Camera")
            assert fields["format"] == ".fits"
            assert os.path.getsize(fields["filepath"]) == int(fields["size"])
            assert os.path.dirname(fields["filepath"]) == str(tmp_path)
            tools.enableblob(rconn, rs, "CCD1", "Camera", "Never")
            await soon(lambda: tools.attributes_dict(rconn, rs, "CCD1", "Camera")["blobs"] == "Disabled")


@asynchronous
async def test_a_thousand_commands_arrive_in_order(tmp_path):
    driver = Counter()
    async with redis_running() as redis, running_server(driver) as server, to_redis(server, redis, tmp_path):
        await soon(lambda: tools.devices(redis.rconn, redis.server))
        with redis.rconn.pipeline(transaction=False) as pipeline:
            for number in range(1000):
                pipeline.publish(
                    "to_indi",
                    f"<newNumberVector device='Counter' name='COUNT'><oneNumber name='N'>{number}</oneNumber>"
                    "</newNumberVector>",
                )
            pipeline.execute()
        await soon(lambda: len(driver.got) >= 1000)
        assert driver.got == [str(number) for number in range(1000)]


@asynchronous
async def test_what_is_deleted_leaves_no_key_and_a_message(tmp_path):
    driver = Counter()
    async with redis_running() as redis, running_server(driver, thermostat.make_driver(0.5)) as server:
        async with to_redis(server, redis, tmp_path):
            rs, rconn = redis.server, redis.rconn
            await soon(lambda: len(tools.devices(rconn, rs)) == 2)
            for name in ("GO", "COUNT", ""):
                tools.getProperties(rconn, rs, name, "Counter")
            await soon(lambda: tools.getproperties_timestamp(rconn, rs, device="Counter"))
            await driver["Counter"]["GO"].send_delProperty("no longer")
            await soon(lambda: "GO" not in tools.properties(rconn, rs, "Counter"))
            assert not [key for key in redis.everything() if ":GO:" in key]
            assert tools.last_message(rconn, rs, "Counter").endswith(" no longer")
            await driver["Counter"].send_delProperty()
            await soon(lambda: tools.devices(rconn, rs) == ["Thermostat"])
            assert not [key for key in redis.everything() if "Counter" in key]
            assert tools.last_message(rconn, rs).endswith(" Counter deleted")
            assert tools.logs(rconn, rs, 1, "properties", "Counter")[0][1] == ["--None--"]


@asynchronous
async def test_a_listener_never_sees_older_keys(tmp_path):
    driver = Counter()
    async with redis_running() as redis, running_server(driver) as server, to_redis(server, redis, tmp_path):
        rs = redis.server
        await soon(lambda: tools.devices(redis.rconn, rs))
        pubsub = redis.rconn.pubsub()
        pubsub.subscribe("from_indi")
        seen = 0

        def look():
            nonlocal seen
            end = time.monotonic() + 5
            while seen < 100 and time.monotonic() < end:
                message = pubsub.get_message(timeout=0.5)
                if message and message["type"] == "message" and b"setNumberVector" in message["data"]:
                    said = int(message["data"].partition(b'name="N">')[2].partition(b"<")[0])
                    assert int(tools.elements_dict(redis.rconn, rs, "N", "COUNT", "Counter")["value"]) >= said
                    seen += 1

        looking = asyncio.create_task(asyncio.to_thread(look))
        for number in range(1, 201):
            await driver.say(number)
            await asyncio.sleep(0.005)
        await looking
        pubsub.close()
        assert seen == 100


# Whatever dies


@pytest.mark.measured
@asynchronous
async def test_redis_is_killed_in_traffic_and_comes_back_empty(tmp_path):
    driver, port = Counter(), free_port()
    async with running_server(driver) as server, watching(server.port) as client:
        async with redis_running(port) as redis:
            stack = to_redis(server, redis, tmp_path)
            await stack.__aenter__()
            saying = asyncio.create_task(_keep_saying(driver))
            await soon(lambda: tools.devices(redis.rconn, redis.server))
            redis.program.signal(signal.SIGKILL)
            await redis.program.wait()
        used = time.process_time()
        await asyncio.sleep(1)
        assert time.process_time() - used < allowed(0.8)
        async with redis_running(port) as redis:
            await soon(lambda: tools.devices(redis.rconn, redis.server))
            saying.cancel()
            await soon(lambda: not differences(client.snapshot(), redis.everything()))
            redis.rconn.flushall()  # and when it forgets without going away
            await soon(lambda: not differences(client.snapshot(), redis.everything()))
            tools.newnumbervector(redis.rconn, redis.server, "COUNT", "Counter", {"N": 77})
            await soon(lambda: "77" in driver.got)
            assert driver.got.count("77") == 1
            await stack.__aexit__(None, None, None)


async def _keep_saying(driver):
    number = 0
    while True:
        number += 1
        await driver.say(number)
        await asyncio.sleep(0.002)


@asynchronous
async def test_the_server_goes_and_comes_back_with_other_devices(tmp_path):
    port = free_port()
    async with redis_running() as redis:
        there = indiredis.indi_server("127.0.0.1", port)
        rs, rconn = redis.server, redis.rconn
        async with bridge(indiredis.run_inditoredis, there, rs, blob_folder=tmp_path):
            await soon(lambda: "refused" in tools.last_message(rconn, rs))
            assert rconn.hget("indi_link", "state") == b"down"
            assert f"nothing listens on 127.0.0.1:{port}" in rconn.hget("indi_link", "reason").decode()
            async with running(at(port, Counter("A"), Counter("B"))):
                await soon(lambda: tools.devices(rconn, rs) == ["A", "B"])
                assert rconn.hget("indi_link", "state") == b"up"
                assert "Connected to" in tools.last_message(rconn, rs)
            await soon(lambda: rconn.hget("indi_link", "state") == b"down")
            rconn.publish(
                "to_indi",
                "<newNumberVector device='A' name='COUNT'><oneNumber name='N'>5</oneNumber></newNumberVector>",
            )
            await soon(lambda: "COUNT was not sent" in tools.last_message(rconn, rs))
            other = Counter("C")
            async with running(at(port, other)), watching(port) as client:
                await client.wait_device("C")
                await soon(lambda: tools.devices(rconn, rs) == ["C"], 15)
                await soon(lambda: not differences(client.snapshot(), redis.everything()))
                assert other.got == []


@asynchronous
async def test_a_reader_never_sees_half_of_anything(tmp_path):
    driver = Counter()
    async with redis_running() as redis, running_server(driver) as server, to_redis(server, redis, tmp_path):
        rs = redis.server
        await soon(lambda: tools.devices(redis.rconn, rs))
        stopped = False

        def poll():
            reader = tools.open_redis(rs)
            looks = 0
            while not stopped:
                with reader.pipeline(transaction=True) as pipeline:
                    pipeline.smembers("indi_devices").smembers("indi_properties:Counter")
                    pipeline.hgetall("indi_attributes:COUNT:Counter")
                    pipeline.hgetall("indi_elementattributes:N:COUNT:Counter")
                    devices, names, attributes, element = pipeline.execute()
                assert (b"Counter" in devices) == bool(names)
                assert bool(attributes) == bool(element) == (b"COUNT" in names)
                assert attributes.get(b"timestamp") == element.get(b"timestamp")
                looks += 1
            reader.close()
            return looks

        polling = asyncio.create_task(asyncio.to_thread(poll))
        for number in range(300):
            await driver.say(number)
            if number % 50 == 25:
                await driver["Counter"]["COUNT"].send_delProperty()
            if number % 50 == 35:
                driver["Counter"]["COUNT"].enable = True
                await driver["Counter"]["COUNT"].send_defVector()
            await asyncio.sleep(0.003)
        stopped = True
        assert await polling > 20


# Driver programs


@pytest.mark.interop
@asynchronous
async def test_simulators_of_debian_as_driver_programs(tmp_path):
    from tests.support import require

    drivers = [require("indi_simulator_telescope"), require("indi_simulator_ccd")]
    async with redis_running() as redis:
        rs, rconn = redis.server, redis.rconn
        async with bridge(indiredis.run_driverstoredis, drivers, rs, blob_folder=tmp_path):
            await soon(lambda: len(tools.devices(rconn, rs)) >= 2)
            tools.newswitchvector(rconn, rs, "CONNECTION", "Telescope Simulator", {"CONNECT": "On"})
            name = "EQUATORIAL_EOD_COORD"
            await soon(lambda: name in tools.properties(rconn, rs, "Telescope Simulator"))
            fields = tools.elements_dict(rconn, rs, "RA", name, "Telescope Simulator")
            assert abs(tools.number_to_float(fields["formatted_number"]) - fields["float_number"]) < 0.001


@pytest.mark.interop
@asynchronous
async def test_indiserver_with_simulators(tmp_path):
    from tests.support import require

    port = free_port()
    command = [require("indiserver"), "-p", str(port), "indi_simulator_telescope", "indi_simulator_dome"]
    async with redis_running() as redis, serving(*command, port=port):
        there = indiredis.indi_server("127.0.0.1", port)
        async with bridge(indiredis.run_inditoredis, there, redis.server, blob_folder=tmp_path):
            async with watching(port) as client:
                await client.wait_device("Dome Simulator")
                await client.settle()
                await soon(lambda: not differences(client.snapshot(), redis.everything()))


@pytest.mark.measured
@asynchronous
async def test_a_driver_that_ends_is_told_and_costs_nothing(tmp_path):
    async with redis_running() as redis:
        rs = redis.server
        async with bridge(indiredis.run_driverstoredis, "/bin/true", rs, blob_folder=tmp_path):
            texts = lambda: [data[1] for _, data in tools.logs(redis.rconn, rs, 5, "messages")]  # noqa: E731
            await soon(lambda: any("true" in text for text in texts()))
            used = time.process_time()
            await asyncio.sleep(1)
            assert time.process_time() - used < allowed(0.5)
        with pytest.raises(FileNotFoundError):
            await indiredis.run_driverstoredis(["no_such_driver"], rs, blob_folder=tmp_path)


@asynchronous
async def test_two_bridges_in_one_process(tmp_path):
    async with redis_running() as redis, running_server(Counter("A")) as one, running_server(Counter("B")) as two:
        other = redis.server._replace(keyprefix="other_", to_indi_channel="to2", from_indi_channel="from2")
        there = indiredis.indi_server("127.0.0.1", two.port)
        async with to_redis(one, redis, tmp_path):
            async with bridge(indiredis.run_inditoredis, there, other, blob_folder=tmp_path):
                await soon(lambda: tools.devices(redis.rconn, other) == ["B"])
                assert tools.devices(redis.rconn, redis.server) == ["A"]
            tools.clearredis(redis.rconn, other)
            assert tools.devices(redis.rconn, other) == []
            assert tools.logs(redis.rconn, other, 1, "devices")[0][1] == ["B"]
            assert json.dumps(tools.devices(redis.rconn, redis.server)) == '["A"]'


@asynchronous
async def test_what_nobody_may_send_ends_no_bridge(tmp_path):
    odd = [
        "<defNumberVector device='Odd' name='P' state='What' perm='rw'><defNumber name='N'>x</defNumber></defNumberVector>",
        "<defSwitchVector device='Odd' name='S' state='Ok' perm='rw'><defSwitch name='A'>On</defSwitch></defSwitchVector>",
        "<defTextVector device='Odd' name='E' state='Ok' perm='rw'></defTextVector>",
        "<message device='Odd'/>",
        "<message/>",
        "<setNumberVector device='Odd' name='P'></setNumberVector>",
        "<delProperty device='Odd' name='nothing'/>",
        "<defTextVector device='Odd' name='T' state='Ok' perm='rw'><defText name='X'>\x01\x7f</defText></defTextVector>",
        "<defLightVector device='Odd' name='L' state='Ok'><defLight name='X'>Ok</defLight></defLightVector>",
    ]
    async with redis_running() as redis, scripted() as server:
        there = indiredis.indi_server("127.0.0.1", server.port)
        task = bridge(indiredis.run_inditoredis, there, redis.server, blob_folder=tmp_path)
        async with broker_running() as (mqtt, _), task as running_bridge:
            options = indiredis.MQTTOptions(tree=True, home_assistant=True)
            async with bridge(indiredis.run_inditomqtt, there, "odd", mqtt, options=options) as other:
                connections = [await server.client(*odd), await server.client(*odd)]
                await soon(lambda: "L" in tools.properties(redis.rconn, redis.server, "Odd"))
                await asyncio.sleep(1.5)
                assert not running_bridge.done()
                assert not other.done()
                assert connections


@asynchronous
async def test_connections_are_cut_again_and_again(tmp_path):
    driver = Counter()
    async with redis_running() as redis, running_server(driver) as server, watching(server.port) as client:
        async with to_redis(server, redis, tmp_path):
            await soon(lambda: tools.devices(redis.rconn, redis.server))
            saying = asyncio.create_task(_keep_saying(driver))
            for number in range(8):
                tools.newnumbervector(redis.rconn, redis.server, "COUNT", "Counter", {"N": number})
                redis.rconn.client_kill_filter(_type="normal", skipme=True)
                await asyncio.sleep(0.2)
            saying.cancel()
            tools.newswitchvector(redis.rconn, redis.server, "GO", "Counter", {"A": "On"})
            redis.rconn.client_kill_filter(_type="normal", skipme=True)
            await asyncio.sleep(0.3)
            await driver["Counter"]["GO"].send_setVector(state="Ok", allvalues=True)
            await soon(lambda: not differences(client.snapshot(), redis.everything()))
            assert all(driver.got.count(str(number)) <= 1 for number in range(8))
