"""What redis does not get, or does not pass on: files of BLOBs, deletions and commands are not lost in silence."""

import asyncio
import base64
import signal
import sys
import threading

import indiredis
from examples import camera
from indipydriver.protocol.tags import BlobMode
from indiredis import commands, connection, feed, tools
from indiredis import store as store_module
from indiredis.connection import RedisLink
from indiredis.logs import Logs
from indiredis.run import following
from indiredis.sources import server_client
from indiredis.store import WAITING, Store
from tests.companions.indipyclient.scripted import scripted
from tests.support import asynchronous, eventually, free_port, running_server, started

from .parts import PATH, bridge, redis_running, soon
from .shown import watching
from .test_redis import Counter


@asynchronous
async def test_blobs_that_come_while_redis_is_away_are_in_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(feed, "CROWDED_BYTES", 500_000)  # images have 619200
    nowhere = indiredis.redis_server("127.0.0.1", free_port())
    async with running_server(camera.make_driver()) as server, watching(server.port) as client:
        there = indiredis.indi_server("127.0.0.1", server.port)
        async with following(server_client(there, lambda *_: None)) as following_feed:
            store = Store(nowhere, following_feed, tmp_path, Logs())
            running = asyncio.create_task(store.run())
            await client.wait_device("Camera")
            await client.press("Camera", "CONNECTION", "CONNECT")
            await eventually(lambda: following_feed.client.get("Camera", "CCD1"))
            await following_feed.client.enable_blobs("Camera", None, BlobMode.ALSO)
            await asyncio.sleep(0.2)
            for count in range(1, 5):
                await client.set("Camera", "CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0.05)
                await eventually(lambda: len([*tmp_path.glob("*.fits")]) == count, 10)
            running.cancel()
            await asyncio.wait([running])


@asynchronous
async def test_what_comes_with_more_deletions_than_are_kept_is_not_lost(tmp_path):
    define = "<defTextVector device='D' name='P{}' state='Ok' perm='rw'><defText name='x'/></defTextVector>"
    blob = "<setBLOBVector device='D' name='B'><oneBLOB name='x' size='3' format='.x'>YWJj</oneBLOB></setBLOBVector>"
    deletions = [f"<delProperty device='D' name='P{number}'/>" for number in range(1100)]
    async with redis_running() as redis, scripted() as server:
        there = indiredis.indi_server("127.0.0.1", server.port)
        with redis.rconn.pubsub() as heard:
            heard.subscribe("from_indi")
            heard.get_message(timeout=1)
            async with bridge(indiredis.run_inditoredis, there, redis.server, blob_folder=tmp_path):
                connection = await server.client(*map(define.format, range(1100)))
                await connection.send(
                    "<defBLOBVector device='D' name='B' state='Ok' perm='ro'><defBLOB name='x'/></defBLOBVector>"
                )
                await soon(lambda: "B" in tools.properties(redis.rconn, redis.server, "D"))
                await connection.send("".join([blob, *deletions]))
                await soon(lambda: tools.properties(redis.rconn, redis.server, "D") == ["B"])
            said = b""
            while one := heard.get_message(ignore_subscribe_messages=True, timeout=1):
                said += one["data"]
    assert said.count(b"<delProperty") == 1100
    assert len([*tmp_path.glob("*.x")]) == 1


@asynchronous
async def test_commands_that_redis_keeps_from_a_bridge_are_told(tmp_path):
    async with redis_running() as redis, running_server(Counter()) as server:
        there, rconn = indiredis.indi_server("127.0.0.1", server.port), redis.rconn
        async with bridge(indiredis.run_inditoredis, there, redis.server, blob_folder=tmp_path):
            await soon(lambda: tools.properties(rconn, redis.server, "Counter"))
            rconn.client_kill_filter(_type="pubsub")  # as redis does itself for whom too much waits
            await soon(lambda: "may be lost" in tools.last_message(rconn, redis.server))
            rconn.execute_command("ACL", "SETUSER", "default", "resetchannels", "&from_indi")
            rconn.client_kill_filter(_type="pubsub")
            await soon(lambda: "No commands come from redis" in tools.last_message(rconn, redis.server))


DEFINE = "<defTextVector device='D' name='{0}' state='Ok' perm='rw'><defText name='x'>{1}</defText></defTextVector>"
UPDATE = "<setTextVector device='D' name='{}'><oneText name='x'>{}</oneText></setTextVector>"
DEFINE_BLOB = "<defBLOBVector device='D' name='{}' state='Ok' perm='ro'><defBLOB name='x'/></defBLOBVector>"


def image(name, size):
    data = base64.b64encode(bytes(size)).decode()
    one = f"<oneBLOB name='x' size='{size}' format='.{name}'>{data}</oneBLOB>"
    return f"<setBLOBVector device='D' name='{name}'>{one}</setBLOBVector>"


@asynchronous
async def test_a_large_image_pushes_no_small_one_out_while_redis_is_away(tmp_path, monkeypatch):
    """The sizes are those of real cameras, divided by 32."""
    monkeypatch.setattr(feed, "CROWDED_BYTES", 32_000)
    monkeypatch.setattr(feed, "LIMIT_BYTES", 2_000_000)
    nowhere = indiredis.redis_server("127.0.0.1", free_port())
    async with scripted() as server:
        there = indiredis.indi_server("127.0.0.1", server.port)
        async with following(server_client(there, lambda *_: None), WAITING // 32) as news:
            store = Store(nowhere, news, tmp_path, Logs())
            running = asyncio.create_task(store.run())
            connection = await server.client(DEFINE_BLOB.format("guide"), DEFINE_BLOB.format("main"))
            await connection.send(*[image("guide", 10_000)] * 3, image("main", 3_800_000), image("guide", 10_000))
            await eventually(lambda: len([*tmp_path.glob("*.guide")]) == 4, 10)
            await eventually(lambda: len([*tmp_path.glob("*.main")]) == 1, 10)
            running.cancel()
            await asyncio.wait([running])


@asynchronous
async def test_images_are_in_the_folder_if_the_bridge_ends_before_redis_comes_back(tmp_path):
    nowhere = indiredis.redis_server("127.0.0.1", free_port())
    async with scripted() as server:
        there = indiredis.indi_server("127.0.0.1", server.port)
        async with following(server_client(there, lambda *_: None)) as news:
            store = Store(nowhere, news, tmp_path, Logs())
            running = asyncio.create_task(store.run())
            connection = await server.client(DEFINE_BLOB.format("guide"), DEFINE.format("P", 1))
            await connection.send(*[image("guide", 1000)] * 3, UPDATE.format("P", 2))
            await eventually(lambda: (prop := news.client.get("D", "P")) is not None and prop["x"].value == "2")
            running.cancel()
            await asyncio.wait([running])
    assert len([*tmp_path.glob("*.guide")]) == 3


@asynchronous
async def test_a_sign_of_life_that_was_late_is_no_loss(tmp_path, monkeypatch, caplog):
    """As behind a large image on a slow line; everything would be written anew after each of them."""
    monkeypatch.setattr(store_module, "ALIVE", 1)
    monkeypatch.setattr(store_module, "HEARTBEAT", 1.2)
    async with redis_running() as redis, running_server(Counter()) as server:
        there, rconn = indiredis.indi_server("127.0.0.1", server.port), redis.rconn
        async with bridge(indiredis.run_inditoredis, there, redis.server, blob_folder=tmp_path):
            await soon(lambda: tools.properties(rconn, redis.server, "Counter"))
            for _ in range(2):
                await soon(lambda: not rconn.exists("indi_link"))
                await soon(lambda: rconn.exists("indi_link"))
    assert "redis has lost something" not in caplog.text


@asynchronous
async def test_what_redis_refuses_is_told(tmp_path):
    async with redis_running() as redis, scripted() as server:
        there, rconn = indiredis.indi_server("127.0.0.1", server.port), redis.rconn
        async with bridge(indiredis.run_inditoredis, there, redis.server, blob_folder=tmp_path):
            connection = await server.client(DEFINE.format("P", "a"), DEFINE.format("Q", "q"))
            await soon(lambda: "Q" in tools.properties(rconn, redis.server, "D"))
            before = redis_link_id(rconn)
            rconn.config_set("maxmemory", "1")
            await connection.send("<delProperty device='D' name='Q'/>", UPDATE.format("P", "b"))
            await soon(lambda: redis_link_id(rconn) != before)
            rconn.config_set("maxmemory", "0")
            await soon(lambda: "in no log, and were not published" in tools.last_message(rconn, redis.server))
            assert tools.properties(rconn, redis.server, "D") == ["P"]
            assert tools.elements_dict(rconn, redis.server, "x", "P", "D")["value"] == "b"


@asynchronous
async def test_a_large_image_on_a_slow_line_ends_no_connection(monkeypatch):
    monkeypatch.setattr(connection, "TIMEOUT", 0.5)
    lines = []
    async with redis_running() as redis:

        async def client(reader, writer):
            lines.append(asyncio.current_task())
            there, towards = await asyncio.open_connection("127.0.0.1", redis.port)

            async def pump(source, target, rate):
                while data := await source.read(100_000):
                    target.write(data)
                    await target.drain()
                    await asyncio.sleep(len(data) / rate)
                target.close()

            await asyncio.gather(pump(reader, towards, 5_000_000), pump(there, writer, 1e9))

        async with await asyncio.start_server(client, "127.0.0.1", 0) as line:
            server = redis.server._replace(port=line.sockets[0].getsockname()[1])
            async with RedisLink(server, "test") as link:
                assert await link.transaction([("SET", "a", bytes(12_000_000)), ("SET", "b", "1")]) == [b"OK", b"OK"]
            await asyncio.wait(lines, timeout=30)


@asynchronous
async def test_two_bridges_with_one_prefix_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "HEARTBEAT", 0.1)
    async with redis_running() as redis, running_server(Counter()) as server:
        there, rconn, rs = indiredis.indi_server("127.0.0.1", server.port), redis.rconn, redis.server
        for _ in range(2):  # also one that comes after another, whose last sign is still there
            async with bridge(indiredis.run_inditoredis, there, rs, blob_folder=tmp_path):
                await asyncio.sleep(0.3)
        assert "Another bridge" not in tools.last_message(rconn, rs)
        async with bridge(indiredis.run_inditoredis, there, rs, blob_folder=tmp_path):
            async with bridge(indiredis.run_inditoredis, there, rs, blob_folder=tmp_path):
                await soon(lambda: "Another bridge uses the prefix indi_" in tools.last_message(rconn, rs))


@asynchronous
async def test_images_are_in_the_folder_if_the_program_is_told_to_end(tmp_path):
    nowhere, page = str(free_port()), str(free_port())
    async with scripted() as server:
        more = ["--ihost", "127.0.0.1", "--iport", str(server.port), "--rport", nowhere, "-p", page, str(tmp_path)]
        with started(sys.executable, "-m", "indiredis", *more, PYTHONPATH=PATH) as program:
            connection = await server.client(DEFINE_BLOB.format("guide"), image("guide", 1000))
            await connection.send("<pingRequest uid='1'/>")
            await connection.expect(lambda one: one.tag == "pingReply")
            program.signal(signal.SIGTERM)
            assert await program.wait() == 0
    assert len([*tmp_path.glob("*.guide")]) == 1


@asynchronous
async def test_what_waits_for_redis_is_in_the_folder_if_the_terminal_is_closed(tmp_path):
    async with scripted() as server:
        more = ["--ihost", "127.0.0.1", "--iport", str(server.port), "--rport", str(free_port())]
        more += ["--blobfolder", str(tmp_path)]
        with started(sys.executable, "-m", "indiredis.cli.main", "indi-redis", *more, PYTHONPATH=PATH) as program:
            connection = await server.client(DEFINE_BLOB.format("guide"), image("guide", 1000))
            await connection.send("<pingRequest uid='1'/>")
            await connection.expect(lambda one: one.tag == "pingReply")
            program.signal(signal.SIGHUP)
            assert await program.wait() == 0
    assert len([*tmp_path.glob("*.guide")]) == 1


@asynchronous
async def test_a_large_command_on_a_slow_line_comes_and_what_may_be_old_behind_it_does_not(tmp_path, monkeypatch):
    monkeypatch.setattr(commands, "SILENCE", 0.2)
    monkeypatch.setattr(commands, "LATE", 1.0)
    gate = asyncio.Event()

    async def slow_line(reader, writer):
        source, sink = await asyncio.open_connection("127.0.0.1", redis.port)
        listens = False

        async def there():
            nonlocal listens
            while data := await reader.read(1 << 16):
                listens = listens or b"SUBSCRIBE" in data
                sink.write(data)

        async def back():
            while data := await source.read(20_000):
                writer.write(data)
                if listens and not gate.is_set():
                    await asyncio.sleep(0.1)

        ways = [asyncio.create_task(there()), asyncio.create_task(back())]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (sink, writer):
            end.transport.abort()

    define = "<defBLOBVector device='D' name='B' state='Ok' perm='rw'><defBLOB name='x'/></defBLOBVector>"
    async with redis_running() as redis, scripted() as server:
        rconn, rs = redis.rconn, redis.server
        async with await asyncio.start_server(slow_line, "127.0.0.1", 0) as line:
            slow = rs._replace(port=line.sockets[0].getsockname()[1])
            there = indiredis.indi_server("127.0.0.1", server.port)
            async with bridge(indiredis.run_inditoredis, there, slow, blob_folder=tmp_path):
                connection = await server.client(define)
                await soon(lambda: tools.properties(rconn, rs, "D"))
                value = [{"name": "x", "size": 300_000, "format": ".x", "value": bytes(300_000)}]
                assert tools.newblobvector(rconn, rs, "B", "D", value)
                rconn.publish("to_indi", "<newTextVector device='D' name='OLD'><oneText name='x'/></newTextVector>")
                await connection.expect(lambda one: one.tag == "newBLOBVector", 20)
                await soon(lambda: "too long on its way" in tools.last_message(rconn, rs))
                gate.set()
                again = "<newTextVector device='D' name='NEW'><oneText name='x'/></newTextVector>"
                heard = asyncio.create_task(connection.expect(lambda one: one.tag == "newTextVector", 20))
                while not heard.done():
                    rconn.publish("to_indi", again)
                    await asyncio.sleep(0.1)
                assert heard.result().get("name") == "NEW"


@asynchronous
async def test_each_payload_that_is_no_command_is_told(tmp_path, caplog):
    async with redis_running() as redis, scripted() as server:
        there, rconn, rs = indiredis.indi_server("127.0.0.1", server.port), redis.rconn, redis.server
        async with bridge(indiredis.run_inditoredis, there, rs, blob_folder=tmp_path, log_lengths={"messages": 100}):
            for number in range(30):
                rconn.publish("to_indi", f"<newTextVector device='D{number}'>")
                rconn.publish("to_indi", f"<setTextVector device='D' name='P{number}'/>")
            await soon(lambda: len([each for each in tools.logs(rconn, rs, 100, "messages") if "to_indi" in str(each)]))
            rconn.publish("to_indi", "the last")
            await soon(lambda: "A payload on to_indi is ignored" in tools.last_message(rconn, rs))
    assert 0 < len([each for each in caplog.records if "to_indi is ignored" in each.message]) <= 20


def redis_link_id(rconn):
    """Of the connection that writes; None while there is none."""
    return next((one["id"] for one in rconn.client_list() if one["name"] == "indiredis"), None)


@asynchronous
async def test_what_is_said_while_redis_is_away_is_shown_and_logged_when_it_is_back(tmp_path):
    port = free_port()
    place = indiredis.redis_server("127.0.0.1", port)
    async with scripted() as server:
        there = indiredis.indi_server("127.0.0.1", server.port)
        async with following(server_client(there, lambda *_: None)) as news:
            store = Store(place, news, tmp_path, Logs())
            running = asyncio.create_task(store.run())
            connection = await server.client(DEFINE.format("P", "a"))
            async with redis_running(port) as redis:
                await connection.send("<message device='D' message='all is well'/>")
                await soon(lambda: "all is well" in tools.last_message(redis.rconn, place, "D"))
                await asyncio.wait_for(store.ready.wait(), 10)
            await eventually(lambda: not store.ready.is_set() or store.shake(), 10)
            fire = "<message device='D' timestamp='2026-11-23T01:02:03' message='fire'/>"
            await connection.send(*[UPDATE.format("P", n) for n in range(3)], fire)
            await eventually(lambda: any(note.text == "fire" for note in news.client.notes("D")))
            async with redis_running(port) as redis:
                await soon(lambda: "fire" in tools.last_message(redis.rconn, place, "D"), 20)
                log = tools.logs(redis.rconn, place, 9, "elementattributes", "x", "P", "D")
                assert [entry["value"] for _, entry in log] == ["2", "1", "0"]
                said = tools.logs(redis.rconn, place, 9, "devicemessages", "D")
                assert [text for _, (_, text) in said] == ["fire"]
                while not running.done():  # redis-py may lose a cancellation, as a bridge knows
                    running.cancel()
                    await asyncio.wait([running], timeout=0.2)


@asynchronous
async def test_a_command_does_not_wait_until_a_slow_disk_has_an_image(tmp_path, monkeypatch):
    written = threading.Event()
    write = store_module.write_blob

    def slow(*args):
        assert written.wait(30)
        return write(*args)

    monkeypatch.setattr(store_module, "write_blob", slow)
    async with redis_running() as redis, scripted() as server:
        there, rconn = indiredis.indi_server("127.0.0.1", server.port), redis.rconn
        async with bridge(indiredis.run_inditoredis, there, redis.server, blob_folder=tmp_path):
            connection = await server.client(DEFINE_BLOB.format("main"), DEFINE.format("ABORT", "off"))
            await soon(lambda: "ABORT" in tools.properties(rconn, redis.server, "D"))
            try:
                await connection.send(image("main", 1000) + UPDATE.format("ABORT", "on"))
                await asyncio.sleep(0.1)
                tools.newtextvector(rconn, redis.server, "ABORT", "D", {"x": "now"})
                await connection.expect(lambda element: element.tag == "newTextVector", 5)
                await soon(lambda: tools.attributes_dict(rconn, redis.server, "ABORT", "D")["state"] == "Busy")
            finally:
                written.set()
            await soon(lambda: tools.elements_dict(rconn, redis.server, "x", "main", "D")["filepath"])
            assert tools.attributes_dict(rconn, redis.server, "ABORT", "D")["state"] == "Busy"


@asynchronous
async def test_redis_is_emptied_and_something_is_defined_before_that_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "HEARTBEAT", 0.5)
    async with redis_running() as redis, scripted() as server:
        there, rconn, rs = indiredis.indi_server("127.0.0.1", server.port), redis.rconn, redis.server
        async with bridge(indiredis.run_inditoredis, there, rs, blob_folder=tmp_path):
            connection = await server.client(DEFINE.format("P", 1), DEFINE.format("Q", 1))
            await soon(lambda: tools.properties(rconn, rs, "D") == ["P", "Q"])
            before = redis.everything()
            rconn.flushall()
            await connection.send(DEFINE.format("P", 1).replace("'D'", "'E'"))
            await soon(lambda: tools.devices(rconn, rs) == ["D", "E"], 5)
            assert before.keys() <= redis.everything().keys()


@asynchronous
async def test_that_redis_is_away_is_logged_once(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(store_module, "LONGEST_WAIT", 0.05)
    monkeypatch.setattr(store_module, "FIRST_WAIT", 0.01)
    caplog.set_level("INFO", "indiredis")
    nowhere = indiredis.redis_server("127.0.0.1", free_port())
    async with scripted() as server:
        there = indiredis.indi_server("127.0.0.1", server.port)
        async with following(server_client(there, lambda *_: None)) as news:
            running = asyncio.create_task(Store(nowhere, news, tmp_path, Logs()).run())
            await eventually(lambda: len([one for one in caplog.records if "redis at" in one.message]) >= 4)
            running.cancel()
            await asyncio.wait([running])
    assert [one.levelname for one in caplog.records if "redis at" in one.message].count("WARNING") == 1
