"""Brokers that take little, or forbid something: nothing is lost in silence, and no connection for it."""

import asyncio
import contextlib
import socket
import time
import types
from collections import deque

import pytest

import indiredis
from indiredis import inbox
from indiredis.mqtt import broker as broker_module
from indiredis.mqtt import underway
from indiredis.mqtt.broker import Broker
from indiredis.mqtt.underway import Window, patient
from tests.support import asynchronous, eventually, free_port

from .parts import broker_running
from .test_listener import Bench


@contextlib.asynccontextmanager
async def runs(broker):
    """A connection that is kept up; returns what comes, and what people are told."""
    heard, told = [], []
    broker.on_message = lambda message: heard.append(len(message.payload))
    broker.on_refused = told.append
    running = asyncio.create_task(broker.run())
    try:
        await eventually(lambda: broker.up)
        yield heard, told
    finally:
        running.cancel()
        await asyncio.wait([running])


@contextlib.asynccontextmanager
async def connected(*lines, **options):
    """A connection to such a broker; yields it, what comes, and what people are told."""
    async with broker_running(None, "allow_anonymous true", *lines) as (mqtt, _):
        options = indiredis.MQTTOptions(**options)
        broker = Broker(mqtt._replace(username="u"), "x", ["a/#"], options=options)
        async with runs(broker) as (heard, told):
            yield broker, heard, told


@asynchronous
async def test_what_is_larger_than_the_broker_says_is_not_sent():
    async with connected("max_packet_size 20000") as (broker, heard, told):
        assert not await broker.publish("a/b", bytes(50_000))
        assert await broker.publish("a/b", bytes(10_000))
        await eventually(lambda: heard == [10_000])
        assert told == ["a message of 50000 bytes on a/b is larger than the broker accepts"]
        assert broker.connects == 1


@asynchronous
async def test_what_says_that_something_is_too_large_may_be_too_large_itself():
    async with connected("max_packet_size 500") as (broker, _, told):
        for size in (200, 201, 202):
            assert not await broker.publish("a/b", bytes(size))
        for text in told[:10]:
            assert not await broker.publish("a/said", text.encode())
        assert not await broker.publish("a/said", told[-1].encode())
        assert [text.split()[6] for text in told] == ["a/b", "a/said"]


@asynchronous
async def test_what_is_larger_than_the_broker_does_not_say_ends_one_connection_and_not_many():
    async with connected("message_size_limit 20000") as (broker, heard, told):
        assert await broker.publish("a/b", bytes(100_000))
        await eventually(lambda: broker.up and broker.connects == 2)
        assert not await broker.publish("a/b", bytes(100_000))
        assert await broker.publish("a/b", bytes(10_000))
        await eventually(lambda: heard == [10_000])
        assert len(told) == 1


@pytest.mark.parametrize("qos", [1, 2])
@asynchronous
async def test_no_more_is_under_way_than_the_broker_says(qos):
    async with connected("max_inflight_messages 2", qos=qos) as (broker, heard, _):
        for size in range(100):
            assert await broker.publish("a/b", bytes(size))
            assert len(broker._sending) <= 2
        await eventually(lambda: heard == list(range(100)))
        assert broker.connects == 1


@asynchronous
async def test_what_the_broker_forbids_is_told(tmp_path, monkeypatch):
    rights = tmp_path / "acl"
    rights.write_text("user u\ntopic read a/#\ntopic write a/ok\n")
    rights.chmod(0o644)
    tmp_path.chmod(0o755)
    async with connected(f"acl_file {rights}", "user root") as (broker, heard, told):
        for number in range(3):
            await broker.publish("a/b", bytes(number))
        await broker.publish("a/ok", bytes(7))
        await eventually(lambda: heard == [7])
        await eventually(lambda: told)
        assert told == ["the broker refuses what x publishes: Not authorized"]
        monkeypatch.setattr(broker_module, "AGAIN", 0.0)
        broker._refusals.clear()  # a minute later
        for number in range(3):
            await broker.publish("a/b", bytes(number))
        await eventually(lambda: len(told) == 4)


@pytest.mark.parametrize("qos", [1, 2])
@asynchronous
async def test_each_command_that_the_broker_forbids_is_told_to_who_sent_it(qos, tmp_path):
    rights = tmp_path / "acl"
    rights.write_text("user u\ntopic read #\n")
    rights.chmod(0o644)
    tmp_path.chmod(0o755)
    async with broker_running(None, "allow_anonymous true", f"acl_file {rights}", "user root") as (mqtt, _):
        bench = Bench(mqtt._replace(username="u"), indiredis.MQTTOptions(qos=qos))
        running = asyncio.create_task(bench.broker.run())
        pump = asyncio.create_task(bench.listener.pump())
        await eventually(lambda: bench.broker.connects)
        for number in range(1, 4):
            bench.send(str(number))
            await eventually(lambda: len(bench.refused) == number)
        assert ["D P was not sent: the broker refuses it: Not authorized" in text for text in bench.refused]
        for task in (pump, running):
            task.cancel()
        await asyncio.wait([pump, running])


def test_what_is_published_as_the_connection_is_lost_is_no_error():
    def is_published():
        raise RuntimeError("as paho does")

    info = types.SimpleNamespace(rc=4, mid=1, is_published=is_published)
    broker = Broker(indiredis.mqtt_server(), "x", [])
    assert broker._numbered(lambda: info)() is info
    assert not broker._numbers


@asynchronous
async def test_a_large_message_on_a_slow_line_ends_no_connection():
    """It takes several times as long, there and back, as a broker and a listener wait for each other's signs of life."""
    size, rate = 250_000, 100_000
    async with broker_running() as (mqtt, _):
        lines = []

        async def client(reader, writer):
            lines.append(asyncio.current_task())
            out_reader, out_writer = await asyncio.open_connection("127.0.0.1", mqtt.port, limit=rate // 20)

            async def pump(source, target):
                with contextlib.suppress(OSError):
                    while data := await source.read(rate // 20):
                        target.write(data)
                        await target.drain()
                        await asyncio.sleep(len(data) / rate)
                target.close()

            await asyncio.gather(pump(reader, out_writer), pump(out_reader, writer))

        def short(sock):
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, 16384)
            return sock

        listening = short(socket.create_server(("127.0.0.1", 0)))
        async with await asyncio.start_server(client, sock=listening, limit=rate // 20) as line:
            through = mqtt._replace(port=line.sockets[0].getsockname()[1])
            broker = Broker(through, "x", ["a/#"], options=indiredis.MQTTOptions(keepalive=1))
            async with runs(broker) as (heard, _):
                await broker.publish("a/b", bytes(size))
                await eventually(lambda: heard == [size] or broker.connects > 1, 30)
            await asyncio.wait(lines, timeout=30)
    assert (heard, broker.connects) == ([size], 1)


@asynchronous
async def test_a_broker_that_is_told_to_take_more_gets_more():
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        async with broker_running(port, "allow_anonymous true", "message_size_limit 20000") as (mqtt, _):
            broker = Broker(mqtt, "x", ["a/#"])
            _, told = await stack.enter_async_context(runs(broker))
            await broker.publish("a/b", bytes(100_000))
            await eventually(lambda: broker.up and broker.connects == 2)
            assert not await broker.publish("a/b", bytes(100_000))
        await eventually(lambda: not broker.up)
        await stack.enter_async_context(broker_running(port))
        await eventually(lambda: broker.up, 30)
        assert await broker.publish("a/b", bytes(100_000))
    assert len(told) == 1


@asynchronous
async def test_what_is_on_its_way_is_bounded_in_number_and_in_bytes():
    """On a slow line everything else would be late, and a camera would fill the memory."""
    window, inside = Window(3, 1000), []

    async def enter(size):
        await window.acquire(size)
        inside.append(size)

    jobs = [asyncio.create_task(enter(size)) for size in (5000, 400, 400, 400, 0, 0)]
    for leaves, then in ((5000, [400, 400]), (400, [400, 0]), (400, [0])):
        await asyncio.sleep(0.01)
        before = len(inside)
        window.release(leaves)
        await asyncio.sleep(0.01)
        assert inside[before:] == then
    await asyncio.gather(*jobs)
    assert not window.is_empty


class _Paho:
    """What is looked at of a connection, on which a large packet waits for the line."""

    def __init__(self, sock=None):
        self._out_packet = deque([{"pos": 500_000}])
        self._in_packet = {"to_process": 0}
        self._last_bytes_received = self._ping_t = 1000.0
        self.socket = lambda: sock


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(underway.time, "monotonic", lambda: now[0])
    return now


@asynchronous
async def test_what_waits_behind_a_packet_that_does_not_move_is_no_sign_of_life(clock):
    paho = _Paho()
    look = patient(paho, lambda: None, lambda: Window(1))
    for second in range(40):
        clock[0] += 1
        if second < 20:
            paho._out_packet[0]["pos"] += 1000
        elif second % 5 == 0:
            paho._out_packet.append({"pos": 0})
        look()
    assert paho._ping_t == 1020


@asynchronous
async def test_a_broker_that_confirms_nothing_is_left(clock):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        paho, window = _Paho(ours), Window(1)
        paho._out_packet.clear()
        look = patient(paho, lambda: None, lambda: window)
        await window.acquire()
        for _ in range(50):
            clock[0] += 1
            look()
        window.release()
        await window.acquire()
        for _ in range(50):
            clock[0] += 1
            look()
        with pytest.raises(BlockingIOError):
            theirs.recv(1)
        clock[0] += 20
        look()
        assert theirs.recv(1) == b""


@asynchronous
async def test_a_broker_whose_answer_comes_behind_a_large_message_is_not_left(clock):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        paho, window = _Paho(ours), Window(1)
        paho._out_packet.clear()
        look = patient(paho, lambda: None, lambda: window)
        await window.acquire()
        for second in range(100, 0, -1):
            clock[0] += 1
            paho._in_packet["to_process"] = 1000 * second
            look()
        for _ in range(50):
            clock[0] += 1
            look()
        with pytest.raises(BlockingIOError):
            theirs.recv(1)
        clock[0] += 20
        look()
        assert theirs.recv(1) == b""


@asynchronous
async def test_who_has_to_look_for_the_broker_for_long_has_not_stood_still(monkeypatch):
    """As with a name server that does not answer."""
    look = socket.getaddrinfo

    def slow(host, *more, **named):
        time.sleep(1.5)
        return look(host, *more, **named)

    async with broker_running() as (mqtt, _):
        monkeypatch.setattr(inbox, "STILL", 1.0)
        monkeypatch.setattr(socket, "getaddrinfo", slow)
        async with runs(Broker(mqtt, "x", ["a/#"])) as (_, told):
            assert told == []
