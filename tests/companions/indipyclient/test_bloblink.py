"""A second connection for BLOBs, and round trips."""

import asyncio
import base64

import pytest

from examples import camera, thermostat
from indipyclient import Client, LinkLost, Retry, TimedOut
from indipyclient.addresses import parse_endpoint
from indipyclient.connect import connector
from tests.support import asynchronous, eventually, match, running_server

from .scripted import BLOB, DEFINE, numbers, scripted

QUICK = Retry.every(0.02)


def picture(data, state="Ok"):
    one = f'<oneBLOB name="CCD1" size="{len(data)}" format=".x">{base64.b64encode(data).decode()}</oneBLOB>'
    return f'<setBLOBVector device="CCD" name="CCD1" state="{state}">{one}</setBLOBVector>'


def client_of(server, **options):
    return Client("127.0.0.1", server.port, blob_link=True, retry=QUICK, **options)


async def enabled(link):
    """The mode that the client asks for, and nothing before that."""
    asked = await link.expect(match("getProperties"))
    element = await link.expect(match("enableBLOB"))
    assert (asked.get("device"), asked.get("name")) == (element.get("device"), element.get("name"))
    return element.text


async def agreed(link):
    uid = (await link.expect(match("pingRequest"))).get("uid")
    await link.send(f'<pingReply uid="{uid}"/>')


@asynchronous
async def test_values_do_not_wait_behind_an_image():
    async with scripted() as server, client_of(server) as client:
        main = await server.client(DEFINE, BLOB)
        await client.wait_property("CCD", "CCD1")

        async def use():
            async with client.blobs("CCD", "CCD1") as blobs:
                return (await blobs.next()).data

        task = asyncio.create_task(use())
        images = await server.client(BLOB)
        assert await enabled(images) == "Only"
        await agreed(images)
        whole = picture(bytes(100_000))
        await images.send(whole[:50_000])  # and it does not end yet
        await main.send(numbers(RA=7))
        await client.wait_property("Mount", "EQ", where=lambda prop: prop["RA"].number == 7)
        await images.send(whole[50_000:])
        assert await task == bytes(100_000)
        assert (await images.expect(match("enableBLOB"))).text == "Never"
        assert not [each for each in main.received if each.tag == "enableBLOB"]
        assert client.stats.bytes_in > 133_000


@asynchronous
async def test_there_is_no_second_connection_while_no_blobs_are_wanted():
    async with scripted() as server, client_of(server) as client:
        await server.client(DEFINE, BLOB)
        await client.wait_property("CCD", "CCD1")
        with pytest.raises(TimeoutError):
            await server.client(timeout=0.1)


@asynchronous
async def test_a_lost_second_connection_comes_back_with_its_wishes():
    async with scripted() as server, client_of(server) as client:
        await server.client(DEFINE, BLOB)
        await client.wait_property("CCD", "CCD1")
        enabling = asyncio.create_task(client.enable_blobs("CCD"))
        for number in range(3):
            images = await server.client()
            assert await enabled(images) == "Only"
            if not number:
                await agreed(images)
                await enabling
            assert client.connected
            images.reset()


@asynchronous
async def test_both_connections_come_back():
    async with scripted() as server, client_of(server) as client:
        main = await server.client(DEFINE, BLOB)
        await client.wait_property("CCD", "CCD1")
        async with asyncio.TaskGroup() as group:
            group.create_task(client.enable_blobs("CCD"))
            images = await server.client()
            await agreed(images)
        main.close()
        assert await images.reader.read() is not None  # it ends, too
        main = await server.client(DEFINE, BLOB)
        images = await server.client()
        assert await enabled(images) == "Only"
        tap = client.tap("CCD")
        await images.send(picture(b"again"))
        assert (await tap.next()).prop["CCD1"].data == b"again"


@asynchronous
async def test_a_server_that_does_not_answer_pings_is_waited_for_a_moment(monkeypatch):
    monkeypatch.setattr("indipyclient.bloblink.AGREED", 0.05)
    async with scripted() as server, client_of(server) as client:
        await server.client(DEFINE, BLOB)
        await client.wait_property("CCD", "CCD1")
        await client.enable_blobs("CCD")
        assert await enabled(await server.client()) == "Only"


@asynchronous
async def test_a_second_connection_that_fails_oddly_is_tried_again(monkeypatch, caplog):
    """A `connect` of somebody else may raise anything."""
    monkeypatch.setattr("indipyclient.bloblink.AGREED", 0.05)
    monkeypatch.setattr("indipyclient.engine.Retry", lambda: Retry.every(0.02))
    odd = [RuntimeError("only one"), asyncio.CancelledError()]

    async def second():
        if made and odd:
            raise odd.pop()
        made.append(1)
        return await connector(parse_endpoint("127.0.0.1", server.port))()

    made = []
    async with scripted() as server, Client(connect=second, blob_link=True) as client:
        await server.client(DEFINE, BLOB)
        await client.wait_property("CCD", "CCD1")
        await client.enable_blobs("CCD")
        assert await enabled(await server.client()) == "Only"
    assert "only one" in caplog.text


@asynchronous
async def test_images_of_a_camera():
    async with running_server(camera.make_driver()) as server, client_of(server) as client:
        await client.wait_device("Camera")
        await client.set("Camera", "CONNECTION", CONNECT=True)
        await client.wait_property("Camera", "CCD1")
        for _ in range(2):
            async with client.blobs("Camera", "CCD1") as blobs:
                await client.set("Camera", "CCD_EXPOSURE", CCD_EXPOSURE_VALUE=0.01)
                assert (await blobs.next()).data.startswith(b"SIMPLE")


@asynchronous
async def test_round_trips():
    async with running_server(thermostat.make_driver()) as server, Client("127.0.0.1", server.port) as client:
        assert client.stats.rtt is None
        trips = [await client.ping() for _ in range(3)]
        assert client.stats.rtt == trips[-1]
        assert client.stats.rtt_best == min(trips)


@asynchronous
async def test_pings_without_an_answer():
    async with scripted() as server, client_of(server) as client:
        link = await server.client(DEFINE)
        with pytest.raises(TimedOut):
            await client.ping(timeout=0.01)
        waiting = [asyncio.create_task(client.ping()) for _ in range(2)]
        cancelled = asyncio.create_task(client.ping())
        await eventually(lambda: len(client._engine._pings) == 3)
        cancelled.cancel()
        await link.send('<pingReply uid="of somebody else"/>')
        link.close()
        for each in waiting:
            with pytest.raises(LinkLost):
                await each
        assert not client._engine._pings
