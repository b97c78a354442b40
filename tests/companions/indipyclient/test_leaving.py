"""Who is cancelled, raises or goes away leaves nothing behind, and harms nobody else."""

import asyncio
import base64
import contextlib
import gc
import socket
import sys
import threading

import pytest

from indipyclient import Blob, Client, LinkLost, LinkState, Lost, NotConnected, Retry, TimedOut, session
from indipyclient.recording.recorder import record
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch
from indipydriver.protocol.messages import Message
from indipydriver.testing import driver_test
from indipydriver.transport import stream
from indipydriver.transport.stream import StreamLink
from tests.support import asynchronous, eventually, match

from .scripted import BLOB, DEFINE, numbers, scripted
from .site import define, delete
from .test_silence import Line

UPLOAD = '<defBLOBVector device="CCD" name="UP" state="Ok" perm="rw"><defBLOB name="a"/></defBLOBVector>'


def picture(data, name="CCD1"):
    one = f'<oneBLOB name="{name}" size="{len(data)}" format=".x">{base64.b64encode(data).decode()}</oneBLOB>'
    return f'<setBLOBVector device="CCD" name="CCD1" state="Ok">{one}</setBLOBVector>'


@contextlib.asynccontextmanager
async def meeting(*greeting, **options):
    async with scripted() as server, Client("127.0.0.1", server.port, retry=Retry.every(0.02), **options) as client:
        connection = await server.client(*greeting)
        await connection.expect(match("getProperties", version="1.7"))
        if greeting:
            await eventually(lambda: len(client.model))
        yield server, connection, client


def left(client):
    """What should be gone when nobody uses it."""
    engine = client._engine
    return [*engine._taps, *engine._cursors, *engine._waiters, *engine._watchers, *client._streams, *client._taps] + [
        key for key, count in client._wishes._holders.items() if count
    ]


# The end


@contextlib.asynccontextmanager
async def narrow():
    """A client over a line that holds little, and the other end of that."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 14)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
    reader, writer = await asyncio.open_connection(sock=theirs)

    async def connect():
        link = StreamLink("narrow")
        await link.use(ours, "narrow", None)
        return link

    writer.write(UPLOAD.encode())
    client = Client(connect=connect)
    await client.start()
    await client.wait_property("CCD", "UP")
    await reader.readuntil(b"/>")
    try:
        yield client, reader
    finally:
        writer.close()
        await client.aclose()


@asynchronous
async def test_what_was_sent_goes_out_before_the_end():
    async with narrow() as (client, reader):
        await client.set("CCD", "UP", a=Blob(bytes(500_000), ".x"), confirm="sent", timeout=30)
        ending = asyncio.create_task(client.aclose())
        async with asyncio.timeout(30):
            received = await reader.read(-1)
            await ending
        assert received.rstrip().endswith(b"</newBLOBVector>")


@asynchronous
async def test_a_server_that_takes_nothing_does_not_hold_up_the_end(monkeypatch):
    monkeypatch.setattr(session, "LAST_BYTES", 0.05)
    async with narrow() as (client, _):
        sending = asyncio.create_task(client.set("CCD", "UP", a=Blob(bytes(2_000_000), ".x"), confirm="sent"))
        await eventually(lambda: client._engine.session.unsent > 1_000_000)
        async with asyncio.timeout(30):
            await client.aclose()
        with pytest.raises((NotConnected, LinkLost)):
            await sending


@contextlib.asynccontextmanager
async def slow(size):
    """A client that sends a BLOB of this size over a line that holds little, and the other end of that."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 14)

    async def connect():
        link = StreamLink("slow")
        await link.use(ours, "slow", None)
        return link

    theirs.send(UPLOAD.encode())
    client = Client(connect=connect)
    await client.start()
    await client.wait_property("CCD", "UP")
    theirs.recv(1000)
    sending = asyncio.create_task(client.set("CCD", "UP", a=Blob(bytes(size), ".x"), confirm="sent", timeout=1000))
    await asyncio.sleep(1)
    try:
        yield client, theirs, sending
    finally:
        theirs.close()
        await client.aclose()
        await asyncio.gather(sending, return_exceptions=True)


async def taken(end, rate):
    """All that comes, so many bytes a second."""
    found = bytearray()
    while True:
        with contextlib.suppress(BlockingIOError):
            data = end.recv(5000)
            if not data:
                return found
            found += data
        await asyncio.sleep(5000 / rate)


@driver_test
async def test_what_was_sent_goes_out_over_a_slow_line():
    faults = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    async with slow(400_000) as (client, end, sending):
        assert sending.done()
        taking = asyncio.create_task(taken(end, 40_000))  # in the process more waits than goes in 5 s
        await client.aclose()
        assert (await taking).rstrip().endswith(b"</newBLOBVector>")
    assert not faults


@asynchronous
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells what has arrived")
async def test_what_was_sent_goes_out_to_a_server_that_goes_on_talking():
    """What comes in after a socket is closed makes TCP drop what is still on its way."""
    loop = asyncio.get_running_loop()
    found = bytearray()

    async def talk(end):
        with contextlib.suppress(OSError):
            while True:
                await loop.sock_sendall(end, numbers("Ok", RA=4).encode())
                await asyncio.sleep(0)

    async def serve(listening):
        end, _ = await loop.sock_accept(listening)
        with end:
            await loop.sock_sendall(end, (DEFINE + UPLOAD).encode())
            talking = asyncio.create_task(talk(end))
            await asyncio.sleep(0.2)
            with contextlib.suppress(OSError):
                while data := await loop.sock_recv(end, 20_000):
                    found.extend(data)
                    await asyncio.sleep(0.005)
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        serving = asyncio.create_task(serve(listening))
        client = Client("127.0.0.1", listening.getsockname()[1])
        await client.start()
        await client.wait_property("CCD", "UP")
        await client.set("CCD", "UP", a=Blob(bytes(400_000), ".x"), confirm="sent", timeout=30)
        async with asyncio.timeout(30):
            await client.aclose()
            await serving
    assert found.rstrip().endswith(b"</newBLOBVector>")


@driver_test
@pytest.mark.parametrize(
    ("size", "rate", "most"), [(400_000, 10_000, session.LEAVING), (4_000_000, 200_000, session.LAST_BYTES)]
)
async def test_a_server_that_takes_little_does_not_hold_up_the_end(size, rate, most):
    """Of what is still being sent nobody has been told that it is sent: that is not waited for so long."""
    async with slow(size) as (client, end, sending):
        assert sending.done() is (size == 400_000)
        taking = asyncio.create_task(taken(end, rate))
        began = asyncio.get_running_loop().time()
        await client.aclose()
        assert asyncio.get_running_loop().time() - began < most + 1
        taking.cancel()


# Cancellation


@pytest.mark.parametrize("turns", range(8))
@asynchronous
async def test_a_cancellation_while_a_stream_of_blobs_ends(turns):
    async with meeting(BLOB) as (_, server, client):
        over = asyncio.Event()

        async def use():
            async with client.blobs("CCD"):
                await over.wait()

        task = asyncio.create_task(use())
        await server.expect(match("enableBLOB"))
        over.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await server.expect(match("enableBLOB"))).text == "Never"
        assert not left(client)


CALLS = {
    "blobs": lambda client: client.blobs("CCD").__aenter__(),
    "save": lambda client: client.save_blobs(".", "CCD"),
    "set": lambda client: client.set("CCD", "UP", a=Blob(b"abc", ".x")),
    "wait": lambda client: client.wait_property("CCD", "CCD1", where=lambda prop: False),
    "device": lambda client: client.wait_device("Dome"),
    "settle": lambda client: client.settle(quiet=60.0, timeout=60.0),
    "ping": lambda client: client.ping(timeout=60.0),
    "link": lambda client: client.wait_link(False),
}


@pytest.mark.parametrize("second", [False, True], ids=["one", "two"])
@pytest.mark.parametrize("call", CALLS)
@asynchronous
async def test_a_call_that_is_cancelled_after_any_turn(call, second, monkeypatch):
    monkeypatch.setattr("indipyclient.commanding.HELD", 0.0)  # for which a command without an answer is remembered
    async with meeting(BLOB, UPLOAD, blob_link=second) as (_, _server, client):
        await client.wait_property("CCD", "UP")
        for turns in range(12):
            task = asyncio.create_task(CALLS[call](client))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            results = await asyncio.gather(task, return_exceptions=True)
            if call == "blobs" and not isinstance(results[0], BaseException):
                continue  # it is open, and nobody closes it
            assert not left(client), f"after {turns} turns"
            assert client.need("CCD", "UP").pending is None
        assert not client._engine._pings


@asynchronous
async def test_a_blob_that_is_given_up_before_the_second_connection_knows_of_it():
    async with meeting(UPLOAD, blob_link=True) as (_, server, client):
        await client.wait_property("CCD", "UP")
        with pytest.raises(TimedOut) as caught:  # the other connection never answers
            await client.set("CCD", "UP", a=Blob(b"abc", ".x"), timeout=0.05)
        assert not caught.value.sent
        assert not [each for each in await server.everything() if each.tag.startswith("new")]
        assert client.need("CCD", "UP").pending is None
        assert not left(client)


# What users give


@pytest.mark.parametrize("fault", [BrokenPipeError, asyncio.CancelledError])
@asynchronous
async def test_functions_of_the_user_that_raise_do_no_harm(fault):
    async with scripted() as server:
        client = Client("127.0.0.1", server.port, retry=Retry.every(0.02))
        heard = []

        def told(status):
            heard.append(status.state)
            raise fault("the terminal of the user")

        def said(message):
            raise fault("the log of the user")

        client.on_status, client.on_message = told, said
        await client.start()
        first = await server.client(DEFINE, numbers(RA=3) + numbers(RA=4))
        await client.wait_property("Mount", "EQ", where=lambda prop: prop["RA"].number == 4)
        cursor = client.changes()
        first.close()
        await server.client(DEFINE + numbers(RA=5))
        await client.wait_property("Mount", "EQ", where=lambda prop: prop["RA"].number == 5)
        await client.aclose()
        assert heard[-1] is LinkState.CLOSED
        async for _ in cursor:
            pass


# Readers


@asynchronous
async def test_a_reader_that_leaves_its_loop_leaves_nothing():
    async with meeting(DEFINE) as (_, server, client):
        for n in range(5):
            async with asyncio.timeout(30):
                await server.send(numbers(RA=n), '<message message="x"/>')
                async for _ in client.changes():
                    break
                await server.send(numbers(RA=n))
                async for _ in client.tap():
                    break
                await server.send('<message message="x"/>')
                async for _ in client.messages():
                    break
        await eventually(lambda: not list(client._engine._cursors) and not client._engine._taps)
        assert not list(client._taps)


@asynchronous
async def test_a_tap_that_goes_with_a_cycle_leaves_nothing():
    async with meeting(DEFINE) as (_, _, client):
        for _ in range(3):
            reader = [client.tap()]
            reader.append(reader)
        del reader
        gc.collect()
        assert not left(client)


@asynchronous
async def test_a_tap_that_is_left_full_does_not_hold_up_the_server():
    async with meeting(DEFINE) as (_, server, client):
        await server.send(numbers(RA=2) + numbers(RA=3) + numbers(RA=4))
        async with asyncio.timeout(30):
            async for change in client.tap(limit=1, overflow="wait"):
                assert change.prop["RA"].value == "2"
                await eventually(lambda: client.need("Mount", "EQ")["RA"].value == "4")
                break
        await server.send(numbers(RA=5))
        await client.wait_property("Mount", "EQ", where=lambda prop: prop["RA"].value == "5")


# Streams of BLOBs


@driver_test
async def test_all_that_a_stream_of_blobs_has_lost_is_told():
    line = Line(4 << 20)
    client = Client(connect=line.connect)
    await client.start()
    line.say(BLOB)
    await client.wait_property("CCD", "CCD1")
    async with client.blobs("CCD", limit=10) as stream:
        line.say(*[picture(b"%05d" % number) for number in range(300)])
        line.say('<setBLOBVector device="CCD" name="CCD1" state="Busy"/>')
        await client.wait_property("CCD", "CCD1", state="Busy")
        got = [await stream.next() for _ in range(11)]
    assert isinstance(got[0], Lost)
    assert (got[0].count, [blob.data for blob in got[1:]]) == (290, [b"%05d" % number for number in range(290, 300)])
    assert client.stats.dropped == 290
    await client.aclose()
    line.ends[0].close()


@asynchronous
async def test_changes_that_are_no_blobs_push_none_out():
    async with meeting(BLOB) as (_, server, client), client.blobs("CCD", limit=2) as stream:
        busy = '<setBLOBVector device="CCD" name="CCD1" state="Busy"/>'
        await server.send(picture(b"first"), busy * 100, picture(b"second"))
        assert [(await stream.next()).data for _ in range(2)] == [b"first", b"second"]


# Memory


@asynchronous
async def test_a_blob_for_which_there_is_no_memory_is_skipped(monkeypatch):
    def none(frame):
        raise MemoryError

    monkeypatch.setattr("indipyclient.session._decode_blob", none)
    async with meeting(DEFINE, BLOB) as (_, server, client):
        await server.send(picture(bytes(2 << 20)), numbers(RA=7))
        await client.wait_property("Mount", "EQ", where=lambda prop: prop["RA"].number == 7)
        assert client.stats.malformed == 1
        server.close()
        assert await client.wait_link(False, timeout=5)


@asynchronous
async def test_an_element_for_which_there_is_no_memory_is_skipped(monkeypatch):
    from indipyclient import session

    def read(frame, read=session.read):
        if b"Busy" in frame.raw:
            raise MemoryError
        return read(frame)

    monkeypatch.setattr(session, "read", read)
    async with meeting(DEFINE) as (_, server, client):
        await server.send(numbers("Busy", RA=3) + numbers("Ok", RA=4))
        await client.wait_property("Mount", "EQ", where=lambda prop: prop["RA"].number == 4)
        assert client.stats.malformed == 1


@asynchronous
async def test_a_stream_of_a_whole_device_that_ends_leaves_the_others():
    """Never for the device would end them, too."""
    async with meeting(BLOB) as (_, server, client), contextlib.AsyncExitStack() as stack:
        whole = contextlib.AsyncExitStack()
        await whole.enter_async_context(client.blobs("CCD"))
        await stack.enter_async_context(client.blobs("CCD", "CCD1"))
        await client.enable_blobs("CCD", "CCD2", "Only")
        await whole.aclose()
        asked = [(each.get("name"), each.text) for each in await server.everything() if each.tag == "enableBLOB"]
        assert asked[asked.index((None, "Never")) + 1 :] == [("CCD2", "Only"), ("CCD1", "Also")]


@asynchronous
async def test_a_stream_gets_its_blobs_whatever_is_said_of_the_device():
    async with meeting(BLOB) as (_, server, client), client.blobs("CCD", "CCD1"):
        await client.enable_blobs("CCD", None, "Never")
        await client.enable_blobs("CCD", "CCD1", "Never")
        asked = [(each.get("name"), each.text) for each in await server.everything() if each.tag == "enableBLOB"]
        assert asked == [("CCD1", "Also"), (None, "Never"), ("CCD1", "Also"), ("CCD1", "Also")]


@asynchronous
async def test_a_device_that_was_there_for_a_moment_was_there():
    async with meeting() as (_, _server, client):
        task = asyncio.create_task(client.wait_device("Mount", timeout=None))
        await asyncio.sleep(0)
        engine = client._engine
        for message in (define(), delete()):  # before the waiting task has its turn
            engine.message_received(message)
            engine.batch_received()
        assert (await task).name == "Mount"


@driver_test
async def test_clients_with_the_same_retry_count_their_own_failures():
    async def refuse():
        raise ConnectionRefusedError("nobody is there")

    retry = Retry(first=1.0, factor=2.0, longest=30.0, jitter=0.0)
    clients = [Client(connect=refuse, retry=retry) for _ in range(3)]
    for client in clients:
        await client.start(wait=False)
    await asyncio.sleep(2.5)  # one try at once, one after 1 s, the next 2 s later
    assert [client.status.attempt for client in clients] == [2, 2, 2]
    for client in clients:
        await client.aclose()


@asynchronous
async def test_nobody_waits_for_the_link_of_a_client_that_has_ended():
    async with scripted() as server:
        client = Client("127.0.0.1", server.port, reconnect=False)
        await client.start()
        link = await server.client(DEFINE)
        link.close()
        assert await client.wait_link(False, timeout=5)
        assert not await asyncio.wait_for(client.wait_link(), 5)
        await client.aclose()
        assert not await asyncio.wait_for(client.wait_link(), 5)


@asynchronous
async def test_a_blob_is_not_sent_over_another_connection_than_it_was_meant_for():
    async with meeting(UPLOAD, blob_link=True) as (server, first, client):
        await client.wait_property("CCD", "UP")
        task = asyncio.create_task(client.set("CCD", "UP", a=Blob(b"abc", ".x")))
        await server.client()  # the second connection, which does not say what it knows
        first.close()
        again = await server.client(DEFINE)
        await client.wait_property("Mount", "EQ")
        with pytest.raises(NotConnected):
            await asyncio.wait_for(task, 10)
        assert not [each for each in await again.everything() if each.tag.startswith("new")]


@asynchronous
async def test_what_ends_the_client_is_told_to_who_waits():
    async def broken():
        raise RuntimeError("there is no such bus")

    client = Client(connect=broken)
    with pytest.raises(NotConnected, match="no such bus"):
        await client.start()
    assert client.status.state is LinkState.CLOSED


@asynchronous
async def test_a_connect_that_waits_for_something_cancelled_is_no_silent_end(caplog):
    """Nobody has cancelled the client."""

    async def connect():
        task = asyncio.ensure_future(asyncio.sleep(30))
        task.cancel()
        await task

    client = Client(connect=connect)
    with pytest.raises(NotConnected, match="CancelledError"):
        await client.start()
    assert "has ended" in caplog.text


@asynchronous
async def test_a_condition_that_waits_for_something_cancelled_harms_only_who_waits():
    async with meeting(DEFINE) as (_, server, client):
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        waiting = asyncio.ensure_future(
            client.wait_property("Mount", "EQ", where=lambda prop: prop["RA"].value == "7" and future.result())
        )
        await asyncio.sleep(0)
        await server.send(numbers(RA=7))
        await asyncio.wait([waiting], timeout=30)
        assert waiting.cancelled()
        await server.send(numbers(RA=8))
        await client.wait_property("Mount", "EQ", where=lambda prop: prop["RA"].value == "8")


@pytest.mark.parametrize("second", [False, True], ids=["one", "two"])
@asynchronous
async def test_nothing_is_heard_after_the_end(second, monkeypatch):
    """A large BLOB may be in the hands of a thread."""
    begun, go_on = threading.Event(), threading.Event()
    decode = session._decode_blob

    def slowly(frame):
        begun.set()
        go_on.wait(30)
        return decode(frame)

    monkeypatch.setattr(session, "_decode_blob", slowly)
    async with meeting(BLOB, blob_link=second) as (server, connection, client):
        heard = []
        client._engine.on_message = lambda message, size: heard.append(message)
        await client.enable_blobs("CCD")
        sender = await server.client() if second else connection
        await sender.send(picture(bytes(2 << 20)), DEFINE)
        await asyncio.to_thread(begun.wait, 30)
        decoding = [task for task in asyncio.all_tasks() if task.get_coro().__name__ == "_decode_large"]
        heard.clear()
        await client.aclose()
        go_on.set()
        await asyncio.wait(decoding, timeout=30)
        assert not heard
        assert client.get("Mount", "EQ") is None


@asynchronous
async def test_a_recording_that_cannot_begin_leaves_nothing(tmp_path):
    (tmp_path / "night").touch()
    async with meeting(BLOB) as (_, _, client):
        with pytest.raises(FileExistsError):
            await record(client, tmp_path / "night")
        assert not left(client)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells what has arrived")
@asynchronous
async def test_a_closed_link_does_not_wait_for_ever_for_a_peer_that_takes_nothing(monkeypatch):
    """Whoever closes it need not have a deadline of its own."""
    monkeypatch.setattr(stream, "LONGEST_LINK_END", 0.2)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    class Ears:
        def link_drained(self):
            pass

        def link_closed(self, error):
            ended.set()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link = stream.StreamLink("peer")
        await loop.create_connection(lambda: link, *listening.getsockname())
        link.open(Ears())
        link.write(Batch([encode(Message(None, "x" * 4000))] * 80))
        link.flush()
        link.close()
        async with asyncio.timeout(10):
            await ended.wait()
