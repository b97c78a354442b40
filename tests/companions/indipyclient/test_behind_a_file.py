"""Commands over a slow line, between large files that are on their way."""

import asyncio
import contextlib
import socket

import pytest

from indipyclient import Blob, Client, IPyClient, Refused, ipyclient, session
from indipydriver.transport.stream import StreamLink
from tests.support import asynchronous, eventually, match

from .scripted import DEFINE, Connection, numbers

UPLOAD = '<defBLOBVector device="CCD" name="UP" state="Ok" perm="rw"><defBLOB name="a"/></defBLOBVector>'
FILE = bytes(1_500_000)


@contextlib.asynccontextmanager
async def line():
    """What connects to a server over a line that holds little, and the other end of that."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 14)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
    other = Connection(*await asyncio.open_connection(sock=theirs))
    await other.send(DEFINE + UPLOAD)

    async def connect():
        link = StreamLink("slow")
        await link.use(ours, "slow", None)
        return link

    try:
        yield connect, other
    finally:
        other.close()


@contextlib.asynccontextmanager
async def busy():
    """A client that sends a large file, the other end, and what makes it send another one."""
    sending = []
    async with line() as (connect, other):
        client = Client(connect=connect)
        await client.start()
        await client.wait_property("CCD", "UP")

        async def send_file():
            unsent = client._engine.session.unsent
            sending.append(asyncio.create_task(client.set("CCD", "UP", a=Blob(FILE), confirm="sent", timeout=60)))
            await eventually(lambda: client._engine.session.unsent > unsent + 1_000_000, 30)

        await send_file()
        try:
            yield client, other, send_file
        finally:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)
            other.close()
            await client.aclose()


async def commanded(client, **options):
    """A command that has been written to the link."""
    task = asyncio.create_task(client.set("Mount", "EQ", RA=5, timeout=30, **options))
    await eventually(lambda: client.get("Mount", "EQ").pending)
    return task


@asynchronous
async def test_a_command_is_over_when_it_is_answered_whatever_waits_behind_it():
    async with busy() as (client, other, send_file):
        command = await commanded(client)
        await send_file()
        await other.expect(match("newNumberVector"), timeout=30)
        await other.send(numbers("Ok", RA=5))
        outcome = await command
        assert outcome.confirmed
        assert client._engine.session.unsent > 500_000


@asynchronous
async def test_what_a_device_says_before_a_command_goes_out_is_no_answer():
    async with busy() as (client, other, _):
        command = await commanded(client)
        for at in ("2.5", "3.5"):
            await other.send(numbers("Ok", RA=at))
            await eventually(lambda at=at: client.get("Mount", "EQ")["RA"].value == at)
        await other.expect(match("newNumberVector"), timeout=30)
        await other.send(numbers("Alert", "below the horizon", RA="3.5"))
        with pytest.raises(Refused, match="below the horizon"):
            await command


@asynchronous
async def test_a_command_of_which_was_told_that_it_is_sent_goes_out_before_the_end(monkeypatch):
    async with busy() as (client, other, send_file):
        command = await commanded(client, confirm="sent")
        await send_file()
        found = bytearray()
        while not command.done():
            found += await other.reader.read(20_000)
            await asyncio.sleep(0.001)
        monkeypatch.setattr(session, "LAST_BYTES", 0.2)
        ending = asyncio.create_task(client.aclose())
        async with asyncio.timeout(30):
            while b"</newNumberVector>" not in found[-200_000:] and (data := await other.reader.read(20_000)):
                found += data
                await asyncio.sleep(0.02)
        assert b"</newNumberVector>" in found
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)


@asynchronous
async def test_a_vector_whose_answer_comes_before_a_file_has_gone_is_not_busy(monkeypatch):
    async with line() as (connect, other):
        monkeypatch.setattr(ipyclient, "connector", lambda endpoint: connect)
        client = IPyClient()
        running = asyncio.create_task(client.asyncrun())
        await eventually(lambda: "Mount" in client and "UP" in client.get("CCD", {}))
        vector = client["Mount"]["EQ"]

        async def send_file():
            unsent = client._indi_engine.session.unsent
            task = asyncio.create_task(client.send_newVector("CCD", "UP", members={"a": (FILE, 0, ".x")}))
            await eventually(lambda: client._indi_engine.session.unsent > unsent + 1_000_000, 30)
            return task

        files = [await send_file()]
        command = asyncio.create_task(client.send_newVector("Mount", "EQ", members={"RA": "5"}))
        await asyncio.sleep(0)
        files.append(await send_file())
        await other.expect(match("newNumberVector"), timeout=30)
        await other.send(numbers("Ok", RA=5))
        await eventually(lambda: vector["RA"] == "5")
        while not command.done():
            await other.reader.read(1 << 16)
        assert vector.state == "Ok"
        for task in files:
            task.cancel()
        await asyncio.gather(*files, return_exceptions=True)
        client.shutdown()
        other.close()
        await running
