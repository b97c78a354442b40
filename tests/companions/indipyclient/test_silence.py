"""When a server counts as gone, and when it is only busy with what takes its time.  The time is virtual."""

import asyncio
import base64
import contextlib
import re
import socket

import pytest

from indipyclient import Blob, Client, LinkState, Retry
from indipyclient.model.tap import Overflow
from indipydriver.testing import driver_test
from indipydriver.transport.descriptor import DescriptorLink

from .scripted import BLOB, DEFINE, numbers

UPLOAD = '<defBLOBVector device="CCD" name="UP" state="Ok" perm="rw"><defBLOB name="a"/></defBLOBVector>'


class Line:
    """The server's end of a pair of sockets, which takes and gives as the test says."""

    def __init__(self, room=0):
        self.ends = []
        self.room = room

    async def connect(self):
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
            if self.room:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.room)
        self.ends.append(ours)
        self.link = DescriptorLink("test", sock=theirs)
        return self.link

    def say(self, *texts):
        for text in texts:
            data = text if isinstance(text, bytes) else text.encode()
            assert self.ends[-1].send(data) == len(data)

    def take(self, size=1 << 20):
        with contextlib.suppress(BlockingIOError):
            return self.ends[-1].recv(size)
        return b""

    async def slowly(self, data, size, seconds):
        for start in range(0, len(data), size):
            self.say(data[start : start + size])
            await asyncio.sleep(seconds)


@contextlib.asynccontextmanager
async def meeting(*greeting, room=0):
    line = Line(room)
    client = Client(connect=line.connect, retry=Retry.every(1.0))
    await client.start()
    try:
        line.say(*greeting)
        while not len(client.model):
            await asyncio.sleep(0.01)
        yield line, client
    finally:
        await client.aclose()
        for end in line.ends:
            end.close()


@driver_test
async def test_a_blob_that_comes_for_minutes_is_no_silence():
    data = bytes(range(256)) * 100
    text = base64.b64encode(data).decode()
    element = f'<setBLOBVector device="CCD" name="CCD1" state="Ok"><oneBLOB name="CCD1" size="25600" format=".x">{text}'
    async with meeting(BLOB) as (line, client), client.blobs("CCD", "CCD1") as blobs:
        line.take()
        await line.slowly(element.encode(), 1000, 9.0)
        assert line.take() == b"", "nobody is asked while bytes come"
        line.say("</oneBLOB></setBLOBVector>")
        assert (await blobs.next()).data == data
        assert client.stats.reconnects == 0


@driver_test
async def test_a_blob_that_stops_halfway_is_silence():
    async with meeting(BLOB) as (line, client):
        line.say('<setBLOBVector device="CCD" name="CCD1" state="Ok"><oneBLOB name="CCD1" size="9" format=".x">YWJj')
        began = asyncio.get_running_loop().time()
        await client.wait_link(False)
        assert 39 <= asyncio.get_running_loop().time() - began <= 61
        assert "has not answered for 40 s" in client.status.reason


@driver_test
async def test_a_command_on_its_way_to_a_silent_server_does_not_come_later():
    """Who has sent it has been told that the link is lost."""
    async with meeting(DEFINE) as (line, client):
        dropped = []
        line.link.drop_when_ended = lambda: dropped.append(client.status.state)
        await client.wait_link(False)
        assert dropped == [LinkState.READY]


@driver_test
async def test_what_was_sent_last_to_a_server_that_answers_is_not_dropped():
    async with meeting(DEFINE) as (line, client):
        line.link.drop_when_ended = lambda: pytest.fail("it may still arrive")
        await client.aclose()


@driver_test
async def test_silence_is_noticed_in_time_although_something_was_sent():
    async with meeting(DEFINE) as (line, client):
        await asyncio.sleep(10)
        line.say(numbers("Ok", RA=4))
        began = asyncio.get_running_loop().time()
        await client.wait_link(False)
        assert 39 <= asyncio.get_running_loop().time() - began <= 42


@driver_test
async def test_who_was_suspended_asks_before_it_gives_up():
    async with meeting(DEFINE) as (line, client):
        loop = asyncio.get_running_loop()
        await asyncio.sleep(1)
        line.take()
        loop._virtual_time += 600.0
        await asyncio.sleep(1)
        assert b"<getProperties" in line.take()
        line.say(numbers("Ok", RA=4))
        await asyncio.sleep(10)
        loop._virtual_time += 600.0
        began = loop.time()
        await client.wait_link(False)  # there is no answer this time
        assert 19 <= loop.time() - began <= 22
        assert client.stats.reconnects == 0


@driver_test
async def test_a_server_whose_driver_is_busy_for_minutes_is_still_there():
    """As it is for a driver that waits for its instrument, and answers nothing meanwhile; the server answers pings."""
    async with meeting(DEFINE) as (line, client):
        line.take()
        task = asyncio.create_task(client.set("Mount", "EQ", RA=4, timeout=600))
        for _ in range(50):
            await asyncio.sleep(5.0)
            for uid in re.findall(rb'<pingRequest uid="([^"]+)"', line.take()):
                line.say(b'<pingReply uid="%s"/>' % uid)
        line.say(numbers("Ok", RA=4))
        assert (await task).confirmed
        assert client.stats.reconnects == 0


@driver_test
async def test_a_blob_that_is_sent_for_minutes_is_no_silence():
    async with meeting(UPLOAD, room=1 << 16) as (line, client):
        task = asyncio.create_task(client.set("CCD", "UP", a=Blob(bytes(1_000_000), ".x"), timeout=3600))
        took = b""
        while b"</newBLOBVector>" not in took[-100:]:
            took += line.take(20_000)
            await asyncio.sleep(4.0)  # with its base64 it takes about four minutes
        line.say('<setBLOBVector device="CCD" name="UP" state="Ok"></setBLOBVector>')
        await task
        assert client.stats.reconnects == 0


@driver_test
async def test_what_waits_in_the_system_takes_its_time_too():
    """All of it has left the client at once, and the line is slow."""
    async with meeting(UPLOAD, room=4 << 20) as (line, client):
        took = b""
        task = asyncio.create_task(client.set("CCD", "UP", a=Blob(bytes(500_000), ".x"), timeout=3600))
        await asyncio.sleep(60.0)
        while b"</newBLOBVector>" not in took[-100:]:
            took += line.take()
        line.say('<setBLOBVector device="CCD" name="UP" state="Ok"></setBLOBVector>')
        await task
        assert client.stats.reconnects == 0


@driver_test
async def test_a_server_that_takes_nothing_more_is_given_up():
    async with meeting(UPLOAD, room=1 << 16) as (_, client):
        task = asyncio.create_task(client.set("CCD", "UP", a=Blob(bytes(5_000_000), ".x"), timeout=3600))
        await client.wait_link(False, timeout=600)
        assert client.status.state is LinkState.LOST
        await asyncio.gather(task, return_exceptions=True)


@driver_test
async def test_a_server_that_is_not_read_is_not_to_blame():
    """A reader with a tap that loses nothing goes away for an hour."""
    async with meeting(DEFINE) as (line, client):
        tap = client.tap(limit=3, overflow=Overflow.WAIT)
        line.say(*[numbers("Ok", RA=n) for n in range(9)])
        await asyncio.sleep(3600.0)
        assert client.connected
        for _ in range(9):
            await tap.next()
        await asyncio.sleep(15.0)
        assert client.stats.reconnects == 0
        await client.wait_link(False, timeout=60)  # now it is
        assert not client.connected


@driver_test
async def test_pings_of_a_server_that_takes_no_answers_do_not_pile_up():
    async with meeting(DEFINE, room=1 << 16) as (line, client):
        ping = b'<pingRequest uid="%s"/>' % (b"u" * 200)
        said = 0
        with contextlib.suppress(BlockingIOError):
            while said < 20 << 20:
                said += line.ends[-1].send(ping * 100)
                await asyncio.sleep(0)
        assert said < 8 << 20, "it is not read any more"
        assert client._engine.session._link.unsent < 4 << 20
        for _ in range(1000):  # it takes them after all
            line.take()
            await asyncio.sleep(0)
        assert not client._engine.session._holds
        assert client.connected


@driver_test
async def test_definitions_of_blobs_that_are_wanted_do_not_either():
    async with meeting(DEFINE, room=1 << 16) as (line, client):
        await client.enable_blobs("CCD")
        said = 0
        with contextlib.suppress(BlockingIOError):
            while said < 40 << 20:
                said += line.ends[-1].send(BLOB.encode() * 100)
                await asyncio.sleep(0)
        assert said < 30 << 20, "it is not read any more"


@driver_test
async def test_a_second_connection_that_takes_nothing_is_made_anew(monkeypatch):
    monkeypatch.setattr("indipyclient.bloblink.UNTAKEN", 1 << 20)
    line = Line(1 << 16)
    client = Client(connect=line.connect, blob_link=True)
    await client.start()
    line.say(BLOB)
    await client.wait_property("CCD", "CCD1")
    main = line.ends[0]
    async with client.blobs("CCD"):
        while len(line.ends) < 2:
            await asyncio.sleep(0.01)
        first = client._engine._blob_link.session
        while client._engine._blob_link.session is first:
            main.send(BLOB.encode() * 10)
            await asyncio.sleep(0)
            assert first.unsent < 2 << 20
    assert client.connected
    await client.aclose()
    for end in line.ends:
        end.close()
