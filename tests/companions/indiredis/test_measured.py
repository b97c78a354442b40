"""How fast the bridges are.  The figures are printed with ``-s``."""

import asyncio
import time

import pytest

from examples import camera  # noqa: F401
from indipyclient import Client
from indipydriver import Device, IPyDriver
from indipydriver.propertymembers import BLOBMember, NumberMember
from indipydriver.propertyvectors import BLOBVector, NumberVector
from indiredis import tools
from tests.support import allowed, asynchronous, running_server

from .parts import broker_running, redis_running, soon
from .sites import measure
from .test_mqtt import port_to, site
from .test_redis import Counter, to_redis

pytestmark = pytest.mark.measured


def p95(times):
    return sorted(times)[int(len(times) * 0.95)]


class Clocked(Counter):
    """Notes when a command came."""

    def __init__(self):
        super().__init__()
        self.at = {}

    async def rxevent(self, event):
        self.at[str(event["N"])] = time.perf_counter()


@asynchronous
async def test_commands_through_redis(tmp_path, capsys):
    driver = Clocked()
    async with redis_running() as redis, running_server(driver) as server, to_redis(server, redis, tmp_path):
        await soon(lambda: tools.devices(redis.rconn, redis.server))
        rounds = []
        for _ in range(3):
            sent = {}
            for number in range(200):
                sent[str(number)] = time.perf_counter()
                redis.rconn.publish("to_indi", command(number))
                await asyncio.sleep(0.005)
            await soon(lambda: len(driver.at) == 200)
            rounds.append([driver.at[number] - sent[number] for number in sent])
            driver.at.clear()
        delays = min(rounds, key=p95)
        begin = time.perf_counter()
        with redis.rconn.pipeline(transaction=False) as pipeline:
            for number in range(1000, 2000):
                pipeline.publish("to_indi", command(number))
            pipeline.execute()
        await soon(lambda: len(driver.at) == 1000)
        took = max(driver.at.values()) - begin
    with capsys.disabled():
        print(f"\nredis: publish to driver p95 {p95(delays) * 1e3:.2f} ms; 1000 commands {took:.3f} s")
    assert p95(delays) < allowed(0.005)
    assert took < allowed(0.5)


def command(number):
    return f"<newNumberVector device='Counter' name='COUNT'><oneNumber name='N'>{number}</oneNumber></newNumberVector>"


@asynchronous
async def test_updates_stored(tmp_path, capsys):
    vectors = [NumberVector(f"P{i}", f"P{i}", "G", "ro", "Ok", [NumberMember("N")]) for i in range(200)]
    driver = IPyDriver(Device("Many", vectors))
    async with redis_running() as redis, running_server(driver) as server, to_redis(server, redis, tmp_path):
        await soon(lambda: len(tools.properties(redis.rconn, redis.server, "Many")) == 200)
        begin, cpu = time.perf_counter(), time.process_time()
        for turn in range(50):
            for vector in vectors:
                vector["N"] = str(turn + 1)
                await vector.send_setVector()
        await soon(lambda: tools.elements_dict(redis.rconn, redis.server, "N", "P199", "Many")["value"] == "50", 30)
        took, used = time.perf_counter() - begin, time.process_time() - cpu
    with capsys.disabled():
        print(f"\nredis: {10000 / took:.0f} updates/s stored, {used / 10000 * 1e6:.0f} us of processor each")
    assert took < allowed(3.0)


@asynchronous
async def test_everything_written_anew(tmp_path, capsys):
    drivers = [
        IPyDriver(
            Device(f"D{d}", [NumberVector(f"P{i}", "P", "G", "ro", "Ok", [NumberMember("N")]) for i in range(50)])
        )
        for d in range(100)
    ]
    async with redis_running() as redis, running_server(*drivers) as server, to_redis(server, redis, tmp_path):
        await soon(lambda: redis.rconn.dbsize() > 30_000, 30)
        await asyncio.sleep(0.5)
        redis.rconn.flushall()
        begin = time.perf_counter()
        while redis.rconn.dbsize() < 15_000:
            await asyncio.sleep(0.02)
        took = time.perf_counter() - begin
    with capsys.disabled():
        print(f"\nredis: 5000 properties written anew {took:.2f} s after a loss, which takes up to 3 s to be noticed")
    assert took < allowed(2.0) + 3.0


@asynchronous
async def test_commands_over_mqtt(capsys):
    driver = Clocked()
    async with broker_running() as (mqtt, _), running_server(driver) as server:
        async with site(server, "site1", mqtt), port_to(mqtt) as port, Client("127.0.0.1", port) as client:
            await client.wait_device("Counter")
            sent = {}
            for number in range(200):
                sent[str(number)] = time.perf_counter()
                await client.set("Counter", "COUNT", N=number, confirm="sent")
                await asyncio.sleep(0.01)
            await soon(lambda: len(driver.at) == 200)
            delays = [driver.at[number] - sent[number] for number in sent]
    with capsys.disabled():
        print(f"\nMQTT, QoS 1: client to driver over two bridges p95 {p95(delays) * 1e3:.2f} ms")
    assert p95(delays) < allowed(0.02)


@asynchronous
async def test_messages_over_mqtt_and_a_large_blob(capsys):
    counter = Counter()
    blob = BLOBVector("BLOB", "Blob", "G", "ro", "Ok", [BLOBMember("B", blobformat=".bin")])
    pictures = IPyDriver(Device("Pictures", [blob]))
    lines = ["allow_anonymous true", "max_queued_messages 0"]  # what it drops by default comes again after 5 s
    async with broker_running(None, *lines) as (mqtt, _), running_server(counter, pictures) as server:
        async with site(server, "site1", mqtt), port_to(mqtt) as port, Client("127.0.0.1", port) as client:
            await client.wait_device("Counter")
            await client.wait_device("Pictures")
            begin, cpu = time.perf_counter(), time.process_time()
            for number in range(1, 4001):
                await counter.say(number)
            await client.wait_property("Counter", "COUNT", where=lambda p: p["N"].value == "4000", timeout=30)
            rate, used = 4000 / (time.perf_counter() - begin), (time.process_time() - cpu) / 4000
            async with client.blobs("Pictures") as blobs:
                await asyncio.sleep(0.5)
                begin = time.perf_counter()
                blob["B"] = bytes(range(256)) * 20480
                await blob.send_setVectorMembers(members=["B"])
                async with asyncio.timeout(10):
                    received = await blobs.next()
                took = time.perf_counter() - begin
            assert len(received.data) == 5 << 20
    with capsys.disabled():
        print(
            f"\nMQTT, QoS 1: {rate:.0f} messages/s through two bridges in one process, {used * 1e6:.0f} us of processor "
            f"each; 5 MiB BLOB {took:.2f} s"
        )
    assert used < allowed(0.001)  # the rate depends on who else is at work on the machine
    assert took < allowed(2.0)  # half of that on a machine that does nothing else


@asynchronous
async def test_sites_that_have_nothing_to_say_cost_nothing(capsys):
    """Figures for a hundred and more: ``python -m tests.companions.indiredis.sites 100``."""
    costs = await measure(8, 1.0)
    with capsys.disabled():
        print(f"\n8 sites: processor when idle {costs.idle}, at one update a second {costs.busy}")
    assert sum(costs.idle.values()) < allowed(0.15)
