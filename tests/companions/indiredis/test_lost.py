"""What redis does not get, or does not pass on: files of BLOBs, deletions and commands are not lost in silence."""

import asyncio

import indiredis
from examples import camera
from indipydriver.protocol.tags import BlobMode
from indiredis import feed, tools
from indiredis.logs import Logs
from indiredis.run import following
from indiredis.sources import server_client
from indiredis.store import Store
from tests.companions.indipyclient.scripted import scripted
from tests.support import asynchronous, eventually, free_port, running_server

from .parts import bridge, redis_running, soon
from .shown import watching
from .test_redis import Counter


@asynchronous
async def test_blobs_that_come_while_redis_is_away_are_in_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(feed, "LIMIT_BYTES", 1_000_000)  # images have 619200
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
