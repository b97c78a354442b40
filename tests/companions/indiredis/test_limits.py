"""Brokers that take little, or forbid something: nothing is lost in silence, and no connection for it."""

import asyncio
import contextlib
import socket

import pytest

import indiredis
from indiredis.mqtt.broker import Broker
from tests.support import asynchronous, eventually

from .parts import broker_running


@contextlib.asynccontextmanager
async def connected(*lines, **options):
    """A connection to such a broker; yields it, what comes, and what people are told."""
    async with broker_running(None, "allow_anonymous true", *lines) as (mqtt, _):
        options = indiredis.MQTTOptions(**options)
        broker = Broker(mqtt._replace(username="u"), "x", ["a/#"], options=options)
        heard, told = [], []
        broker.on_message = lambda message: heard.append(len(message.payload))
        broker.on_refused = told.append
        running = asyncio.create_task(broker.run())
        try:
            await eventually(lambda: broker.up)
            yield broker, heard, told
        finally:
            running.cancel()
            await asyncio.wait([running])


@asynchronous
async def test_what_is_larger_than_the_broker_says_is_not_sent():
    async with connected("max_packet_size 20000") as (broker, heard, told):
        assert not await broker.publish("a/b", bytes(50_000))
        assert await broker.publish("a/b", bytes(10_000))
        await eventually(lambda: heard == [10_000])
        assert told == ["a message of 50000 bytes on a/b is larger than the broker takes"]
        assert broker.connects == 1


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
async def test_what_the_broker_forbids_is_told(tmp_path):
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
        assert told == ["the broker does not take what x publishes: Not authorized"]


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
            heard = []
            broker.on_message = lambda message: heard.append(len(message.payload))
            running = asyncio.create_task(broker.run())
            await eventually(lambda: broker.up)
            await broker.publish("a/b", bytes(size))
            await eventually(lambda: heard == [size] or broker.connects > 1, 30)
            running.cancel()
            await asyncio.wait([running])
            await asyncio.wait(lines, timeout=30)
    assert (heard, broker.connects) == ([size], 1)
