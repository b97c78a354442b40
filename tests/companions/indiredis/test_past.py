"""No command from the past: what stood still carries out nothing that was given long before."""

import asyncio
import contextlib
import json
import signal
import socket
from types import SimpleNamespace

import paho.mqtt.client as paho
import pytest
import redis.exceptions as redis_exceptions

import indiredis
from indiredis import answering, inbox, tools
from indiredis.mqtt import broker as broker_module
from indiredis.mqtt import silence
from indiredis.requests import request
from tests.companions.indipyclient.scripted import DEFINE, scripted
from tests.support import asynchronous, eventually, free_port, running_server

from .parts import bridge, broker_running, redis_running, soon, witness
from .shown import watching
from .test_faults import command
from .test_mqtt import port_to
from .test_redis import Counter
from .test_tree import publish


@contextlib.asynccontextmanager
async def line_to(port):
    """A tunnel that takes everything, and passes nothing on while the event is not set; yields its port, and that."""
    goes = asyncio.Event()
    goes.set()

    async def client(reader, writer):
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)

        async def pump(source, target):
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    await goes.wait()
                    target.write(data)
            target.close()

        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    async with await asyncio.start_server(client, "127.0.0.1", 0) as server:
        try:
            yield server.sockets[0].getsockname()[1], goes
        finally:
            goes.set()


@asynchronous
async def test_what_was_given_while_the_line_to_the_instruments_stood_still_is_not_carried_out(tmp_path, monkeypatch):
    monkeypatch.setattr(answering, "FRESH", 0.1)
    monkeypatch.setattr(inbox, "LATE", 1.0)
    driver, options = Counter(), indiredis.MQTTOptions(tree=True)
    async with redis_running() as redis, broker_running() as (mqtt, _), running_server(driver) as server:
        rconn, rs = redis.rconn, redis.server
        async with line_to(server.port) as (port, goes):
            there = indiredis.indi_server("127.0.0.1", port)
            async with (
                bridge(indiredis.run_inditomqtt, there, "site1", mqtt, options=options),
                bridge(indiredis.run_inditoredis, there, rs, blob_folder=tmp_path),
            ):
                with witness(mqtt) as heard:

                    async def give(number):
                        rconn.publish("to_indi", command(f"1{number}"))
                        await publish(mqtt, "to_indi/x", command(f"2{number}"))
                        await publish(mqtt, "indi/site1/Counter/COUNT/set", json.dumps({"N": f"3{number}"}))

                    await soon(lambda: "indi/site1/Counter/COUNT/def" in heard.stdout())
                    await asyncio.sleep(0.5)
                    await give(1)
                    await soon(lambda: {*driver.got} == {"11", "21", "31"})
                    await asyncio.sleep(0.3)
                    goes.clear()
                    await give(2)
                    told = "the INDI server, or the line to it, does not answer"
                    await soon(lambda: told in tools.last_message(rconn, rs, "Counter"))
                    await eventually(lambda: heard.stdout().count(told) == 2)
                    goes.set()
                    await give(3)
                    await soon(lambda: {"13", "23", "33"} <= {*driver.got})
    assert not {"12", "22", "32"} & {*driver.got}


@contextlib.contextmanager
def publisher(mqtt):
    """A publisher that stays connected, as a dashboard does; yields its function."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.connect("127.0.0.1", mqtt.port)
    client.loop_start()
    try:
        yield lambda topic, payload: client.publish(topic, payload, 1)
    finally:
        client.disconnect()
        client.loop_stop()


@asynchronous
async def test_what_was_given_while_the_broker_stood_still_is_not_carried_out(monkeypatch):
    monkeypatch.setattr(silence, "LATE", 2.5)
    monkeypatch.setattr(silence, "ASK", 0.2)
    monkeypatch.setattr(silence, "AFTER", 1.0)
    driver, options = Counter(), indiredis.MQTTOptions(tree=True)
    async with broker_running() as (mqtt, program), running_server(driver) as server:
        there = indiredis.indi_server("127.0.0.1", server.port)
        async with (
            bridge(indiredis.run_inditomqtt, there, "site1", mqtt, options=options),
            port_to(mqtt) as port,
            watching(port) as client,
        ):
            with witness(mqtt) as heard, publisher(mqtt) as give:

                async def give_all(number):
                    give("to_indi/x", command(f"1{number}"))
                    give("indi/site1/Counter/COUNT/set", json.dumps({"N": f"2{number}"}))
                    await client.send(request(command(f"3{number}").encode()))

                await client.wait_device("Counter")
                await soon(lambda: "indi/site1/Counter/COUNT/def" in heard.stdout())
                await asyncio.sleep(4)  # a broker that is silent because there is nothing to say stands not still
                await give_all(1)
                await soon(lambda: {*driver.got} == {"11", "21", "31"})
                program.signal(signal.SIGSTOP)
                await give_all(2)
                await asyncio.sleep(4)
                program.signal(signal.SIGCONT)
                told = "was not sent: the broker, or the line to it, stood still for 4 s"
                await eventually(lambda: heard.stdout().count(told) == 3)
                await asyncio.sleep(1)
                await give_all(3)
                await soon(lambda: {"13", "23", "33"} <= {*driver.got})
    assert not {"12", "22", "32"} & {*driver.got}


class Paho:
    """What is asked of a connection."""

    def __init__(self, sock=None):
        self._ping_t = 0.0
        self.asked = 0
        self.socket = lambda: sock

    def _send_pingreq(self):
        self.asked += 1
        self._ping_t = 1.0


def test_a_silence_is_known_from_a_busy_line_and_from_a_broker_that_is_away(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(silence.time, "monotonic", lambda: now[0])
    connection, quiet = Paho(), silence.Silence()
    for _ in range(20):  # no answer comes
        now[0] += 1
        quiet.ask(connection)
    assert connection.asked == 18
    assert connection._ping_t == 0.0
    assert quiet.reason() == ""
    quiet.listening(lambda packets: None)(1)
    assert quiet.reason() == "the broker, or the line to it, stood still for 20 s"
    now[0] += 2.5
    assert quiet.reason() == ""
    now[0] += 60
    quiet.note_alive()  # the connection was refused meanwhile
    now[0] += 1
    quiet.note_bytes()
    assert quiet.reason() == ""


def test_a_large_message_that_moves_is_no_silence(monkeypatch):
    now, left = [1000.0], [5_000_000]
    monkeypatch.setattr(silence.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(silence, "_unsent", lambda sock: left[0])
    connection, quiet = Paho(), silence.Silence()
    for _ in range(40):
        now[0] += 1
        left[0] -= 100_000
        quiet.ask(connection)
    quiet.note_bytes()
    assert quiet.reason() == ""
    for _ in range(12):  # and does not any more
        now[0] += 1
        quiet.ask(connection)
    quiet.note_bytes()
    assert "stood still for 12 s" in quiet.reason()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux ends such connections by itself")
@asynchronous
async def test_what_the_line_to_the_broker_does_not_take_in_time_is_dropped_with_the_connection(monkeypatch):
    made = []

    def note(sock, seconds):
        silence.give_up_after(sock, seconds)
        made.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))

    monkeypatch.setattr(broker_module, "give_up_after", note)
    async with broker_running() as (mqtt, _), port_to(mqtt):
        assert made == [10_000]


@asynchronous
async def test_a_server_that_answers_no_pings_gets_commands_at_once_and_one_that_sends_an_image_too(tmp_path):
    async with redis_running() as redis, scripted() as server:
        there = indiredis.indi_server("127.0.0.1", server.port)
        async with bridge(indiredis.run_inditoredis, there, redis.server, blob_folder=tmp_path):
            connection = await server.client(DEFINE)

            async def give(number):
                redis.rconn.publish("to_indi", command(number, "Mount"))

            ping = await connection.expect(lambda one: one.tag == "pingRequest")
            await give(1)
            await connection.expect(lambda one: one.tag == "newNumberVector")
            await connection.send(f"<pingReply uid='{ping.get('uid')}'/>")
            await give(2)
            await connection.expect(lambda one: one.tag == "pingRequest")
            await connection.send("<setBLOBVector device='CCD' name='CCD1'><oneBLOB")  # the answer comes behind it
            await connection.expect(lambda one: one.tag == "newNumberVector")


@asynchronous
async def test_no_command_overtakes_those_that_wait_for_an_answer():
    class Slow:
        stats, answered, asked = SimpleNamespace(bytes_in=0), asyncio.Event(), 0

        async def ping(self, timeout):
            self.asked += 1
            await self.answered.wait()

    async def give(*numbers):
        for number in numbers:
            assert await check.check(loop.time()) == ""
            sent.append(number)

    client, loop, sent = Slow(), asyncio.get_running_loop(), []
    client.answered.set()
    check = answering.Answering(client)
    await check._learn()
    client.answered.clear()
    giving = [asyncio.create_task(give(*numbers)) for numbers in ((1, 3), (2,))]  # the third comes with the answer
    await eventually(lambda: client.asked == 2)
    client.answered.set()
    await asyncio.gather(*giving)
    assert sent == [1, 2, 3]


@asynchronous
async def test_a_command_whose_answer_from_redis_is_late_is_not_published_again():
    """A program would give it twice, the second time when redis goes on."""
    cuts = []

    async def cut_after_it(reader, writer):
        from_redis, to_redis = await asyncio.open_connection("127.0.0.1", redis.port)
        answers = asyncio.create_task(_pass_on(from_redis, writer))
        while data := await reader.read(65536):
            is_over = b"PUBLISH" in data
            if is_over:
                cuts.append(data)
                answers.cancel()
            to_redis.write(data)
            await to_redis.drain()
            if is_over:
                break
        writer.close()
        to_redis.close()

    async with redis_running() as redis:
        with redis.rconn.pubsub() as heard:
            heard.subscribe("to_indi")
            heard.get_message(timeout=1)
            server = await asyncio.start_server(cut_after_it, "127.0.0.1", 0)
            async with server:
                there = redis.server._replace(port=server.sockets[0].getsockname()[1])
                rconn = await asyncio.to_thread(tools.open_redis, there)
                with pytest.raises(redis_exceptions.ConnectionError):
                    await asyncio.to_thread(tools.newswitchvector, rconn, there, "P", "D", {"A": "On"})
                rconn.close()
            assert heard.get_message(timeout=5)["data"].startswith(b"<newSwitchVector")
            assert heard.get_message(timeout=0.5) is None
    assert len(cuts) == 1


async def _pass_on(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)


@asynchronous
async def test_a_connection_of_a_program_goes_on_when_redis_has_been_started_again():
    port = free_port()
    async with redis_running(port) as redis:
        rconn, there = tools.open_redis(redis.server), redis.server
        redis.program.signal(signal.SIGKILL)
        await redis.program.wait()
    async with redis_running(port):
        assert tools.devices(rconn, there) == []
        rconn.close()
