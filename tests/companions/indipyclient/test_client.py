"""The client with a server that says what the test wants: waiting, commands and their outcomes, readers, the link."""

import asyncio
import base64
import contextlib
import socket
import ssl
import threading
import time

import pytest

from indipyclient import (
    BadValue,
    Blob,
    Client,
    LinkLost,
    LinkState,
    Lost,
    NoSuchDevice,
    NoSuchProperty,
    NotConnected,
    Overrun,
    PropertyGone,
    ReceivedBlob,
    Refused,
    Retry,
    State,
    TimedOut,
)
from indipyclient.addresses import parse_endpoint
from indipyclient.connect import connector
from indipydriver.protocol.refusals import READ_ONLY
from indipyserver import IPyServer
from tests.support import asynchronous, eventually, match, running
from tests.support.drivers import echo_driver

from .scripted import BLOB, DEFINE, SWITCHES, numbers, scripted

QUICK = Retry.every(0.02)


@contextlib.asynccontextmanager
async def meeting(*greeting, **options):
    """A client and its server, which has sent this."""
    async with scripted() as server, Client("127.0.0.1", server.port, retry=QUICK, **options) as client:
        connection = await server.client(*greeting)
        await connection.expect(match("getProperties", version="1.7"))
        if greeting:
            await eventually(lambda: len(client.model))
        yield server, connection, client


def background(coroutine):
    return asyncio.ensure_future(coroutine)


async def sent(client, *args, **more):
    """A command that has left: the task that waits for its outcome."""
    task = background(client.set(*args, **more))
    await asyncio.sleep(0)
    return task


if hasattr(asyncio, "eager_task_factory"):  # Python 3.12, whose own way to several addresses fails with it

    @asynchronous
    async def test_it_connects_where_tasks_begin_at_once_as_in_textual():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        try:
            async with meeting(DEFINE) as (_, _, client):
                assert client.status.state is LinkState.READY
        finally:
            asyncio.get_running_loop().set_task_factory(None)


@asynchronous
async def test_a_tls_handshake_that_is_given_up_leaves_no_socket():
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        endpoint = parse_endpoint("127.0.0.1", listening.getsockname()[1])
        connecting = background(connector(endpoint, tls=ssl.create_default_context())())
        other, _ = await loop.sock_accept(listening)
        with other:
            assert await asyncio.wait_for(loop.sock_recv(other, 1 << 16), 10)  # it has begun
            connecting.cancel()
            await asyncio.wait([connecting])
            assert connecting.cancelled()
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(loop.sock_recv(other, 1 << 16), 10) == b""


# Waiting


@asynchronous
async def test_a_device_and_a_property_are_waited_for():
    async with meeting() as (_, server, client):
        device = background(client.wait_device("Mount", connected=True))
        prop = background(client.wait_property("Mount", "EQ", state="Alert"))
        await server.send(DEFINE, SWITCHES)
        await server.send('<setSwitchVector device="Mount" name="CONNECTION" state="Ok"><oneSwitch name="CONNECT">On')
        await server.send("</oneSwitch></setSwitchVector>", numbers("Alert"), numbers("Ok", RA=3))
        assert (await device).connected
        assert (await prop).state is State.ALERT, "it was for a moment only"
        assert client.need("Mount", "EQ").state is State.OK


@asynchronous
async def test_what_does_not_come_is_a_time_out_that_says_what_there_is():
    async with meeting(DEFINE) as (_, _server, client):
        with pytest.raises(TimedOut, match="there is EQ"):
            await client.wait_property("Mount", "OTHER", timeout=0.05)
        with pytest.raises(TimedOut, match="still Idle") as caught:
            await client.wait_property("Mount", "EQ", state="Ok", timeout=0.05)
        assert (caught.value.state, caught.value.sent) == (State.IDLE, False)
        with pytest.raises(TimedOut, match="Mount"):
            await client.wait_device("Dome", timeout=0.05)
        with pytest.raises(NoSuchDevice):
            client.need("Mound", "EQ")
        with pytest.raises(NoSuchProperty, match="did you mean 'EQ'"):
            client.need("Mount", "EQU")


@asynchronous
async def test_settle_waits_until_definitions_have_stopped():
    async with meeting() as (_, server, client):
        assert not await client.settle(quiet=0.05, timeout=0.2)
        task = background(client.settle(quiet=0.15))
        for _ in range(3):
            await server.send(DEFINE)
            await asyncio.sleep(0.05)
            assert not task.done()
        assert await task


# Commands


@asynchronous
async def test_set_sends_all_members_and_waits_until_it_is_done():
    async with meeting(DEFINE) as (_, server, client):
        task = await sent(client, "Mount", "EQ", RA="5:30", who="me")
        command = await server.expect(match("newNumberVector", device="Mount", name="EQ"))
        assert [(m.get("name"), m.text) for m in command] == [("RA", "5:30"), ("DEC", "2")]
        assert client.need("Mount", "EQ").pending.who == "me"
        assert client.need("Mount", "EQ").shown_state is State.BUSY
        await server.send(numbers("Busy", RA=2, DEC=2))
        await server.send(numbers("Ok", RA=5.5, DEC=2, message="arrived"))
        outcome = await task
        assert (outcome.confirmed, outcome.acknowledged, outcome.messages) == (True, True, ("arrived",))
        assert outcome.prop["RA"].number == 5.5
        assert outcome.prop.pending is None


@asynchronous
async def test_a_write_only_text_that_is_not_known_is_not_erased():
    """Devices define a password as empty; whoever sets the name beside it does not mean to erase it."""
    login = (
        '<defTextVector device="Mount" name="LOGIN" perm="wo" state="Ok">'
        '<defText name="USER"/><defText name="PASSWORD"/><defText name="SITE">north</defText></defTextVector>'
    )
    async with meeting(login) as (_, server, client):
        task = await sent(client, "Mount", "LOGIN", USER="ann")
        command = await server.expect(match("newTextVector", device="Mount", name="LOGIN"))
        assert [(m.get("name"), m.text) for m in command] == [("USER", "ann"), ("SITE", "north")]
        task.cancel()
        task = await sent(client, "Mount", "LOGIN", PASSWORD="")
        command = await server.expect(match("newTextVector", device="Mount", name="LOGIN"))
        assert [(m.get("name"), m.text or "") for m in command] == [("PASSWORD", ""), ("SITE", "north")]
        task.cancel()


@asynchronous
async def test_a_refusal_has_the_words_of_the_driver():
    async with meeting(DEFINE) as (_, server, client):
        task = await sent(client, "Mount", "EQ", RA=5)
        await server.expect(match("newNumberVector"))
        await server.send('<message device="Mount" message="below the horizon"/>', numbers("Alert"))
        with pytest.raises(Refused, match="below the horizon") as caught:
            await task
        assert caught.value.sent
        assert client.need("Mount", "EQ").pending is None


@pytest.mark.parametrize("alone", [True, False])
@asynchronous
async def test_a_server_that_takes_no_commands_is_no_time_out(alone):
    """Also if it is behind the server to which this connection leads."""
    server = IPyServer(echo_driver("A"), host="127.0.0.1", port=0)
    window = server.add_listener("127.0.0.1", read_only=True)
    async with running(server):
        above = IPyServer(host="127.0.0.1", port=0)
        above.add_remote("127.0.0.1", window.port, True)
        async with running(above), Client("127.0.0.1", window.port if alone else above.port) as client:
            await client.wait_property("A", "pos")
            for kind, values in (("pos", {"n": 1}), ("image", {"b": Blob(bytes(20_000))})):
                await client.wait_property("A", kind)
                began = time.monotonic()
                with pytest.raises(Refused, match="This connection is read only: the command is refused") as caught:
                    await client.set("A", kind, values, timeout=60)
                assert caught.value.message == READ_ONLY
                assert time.monotonic() - began < 10
                assert client.need("A", kind).pending is None


@asynchronous
async def test_what_is_said_before_a_command_is_sent_or_of_another_device_does_not_refuse_it():
    async with meeting(DEFINE) as (_, server, client):
        await server.send(f'<message device="Mount" message="{READ_ONLY}"/>')
        await eventually(lambda: client.notes("Mount"))
        task = await sent(client, "Mount", "EQ", RA=5)
        await server.expect(match("newNumberVector"))
        await server.send(f'<message device="Dome" message="{READ_ONLY}"/>', f'<message message="{READ_ONLY}"/>')
        await server.send(numbers("Ok", RA=5))
        assert (await task).confirmed


@asynchronous
async def test_no_answer_is_a_time_out():
    async with meeting(DEFINE) as (_, _server, client):
        with pytest.raises(TimedOut, match="has not answered") as caught:
            await client.set("Mount", "EQ", RA=5, timeout=0.1)
        assert caught.value.sent
        assert client.need("Mount", "EQ").pending is None


@asynchronous
async def test_a_loss_in_between_is_told_at_once_and_the_command_is_not_sent_again():
    async with meeting(DEFINE) as (server, connection, client):
        task = await sent(client, "Mount", "EQ", RA=5)
        await connection.expect(match("newNumberVector"))
        connection.close()
        began = time.monotonic()
        with pytest.raises(LinkLost) as caught:
            await task
        assert caught.value.sent
        assert time.monotonic() - began < 1
        again = await server.client(DEFINE)
        assert [e.tag for e in await again.everything()] == ["getProperties"]


@asynchronous
async def test_a_deletion_in_between_is_told_at_once():
    async with meeting(DEFINE) as (_, server, client):
        task = await sent(client, "Mount", "EQ", RA=5)
        await server.expect(match("newNumberVector"))
        await server.send('<delProperty device="Mount"/>')
        with pytest.raises(PropertyGone):
            await task


@asynchronous
async def test_what_cannot_be_sent_is_not_sent():
    async with meeting(DEFINE, SWITCHES) as (_, server, client):
        with pytest.raises(BadValue, match="from 0 to 24"):
            await client.set("Mount", "EQ", RA=25)
        with pytest.raises(NoSuchProperty):
            await client.set("Mount", "NONE", RA=25)
        assert [e.tag for e in await server.everything()] == ["getProperties"]


@asynchronous
async def test_nothing_is_sent_when_the_link_is_down():
    async with meeting(DEFINE) as (server, connection, client):
        del server
        connection.close()
        await eventually(lambda: not client.connected)
        with pytest.raises(NotConnected) as caught:
            await client.set("Mount", "EQ", RA=5)
        assert not caught.value.sent


@asynchronous
async def test_press_turns_the_others_off_first():
    async with meeting(SWITCHES) as (_, server, client):
        task = background(client.press("Mount", "CONNECTION", "CONNECT", confirm="sent"))
        command = await server.expect(match("newSwitchVector"))
        assert [(m.get("name"), m.text) for m in command] == [("DISCONNECT", "Off"), ("CONNECT", "On")]
        assert not (await task).confirmed


# Following


@asynchronous
async def test_a_cursor_sees_the_present_and_a_tap_everything():
    async with meeting(DEFINE) as (_, server, client):
        cursor, tap = client.changes("Mount"), client.tap("Mount")
        await server.send(*[numbers("Busy" if n < 99 else "Ok", RA=n / 10) for n in range(100)])
        delta = await cursor.next()
        while delta.properties[0]["RA"].number < 9.9:
            delta = await cursor.next()
        values = [(await tap.next()).prop["RA"].number for _ in range(100)]
        assert values == [n / 10 for n in range(100)]
        assert tap.lost == 0


@asynchronous
async def test_a_cursor_with_an_interval_gets_one_delta_for_many_changes():
    async with meeting(DEFINE) as (_, server, client):
        deltas = []
        cursor = client.changes("Mount", "EQ", interval=0.1, initial=True)

        async def follow():
            async for delta in cursor:
                deltas.append(delta)  # noqa: PERF401  # they are looked at as they come

        task = background(follow())
        await eventually(lambda: deltas)
        for state in ("Busy", "Alert", "Ok"):
            await server.send(numbers(state, RA=5))
            await asyncio.sleep(0.005)
        await eventually(lambda: client.need("Mount", "EQ").state is State.OK)
        await eventually(lambda: len(deltas) > 1)
        await asyncio.sleep(0.12)
        assert len(deltas) <= 3
        passed = set().union(*(d.passed(p) for d in deltas[1:] for p in d.properties))
        assert passed == {State.BUSY, State.ALERT, State.OK}
        cursor.close()
        await task


@asynchronous
async def test_a_cursor_ignores_other_devices_and_hears_of_the_link():
    async with meeting(DEFINE) as (_, server, client):
        cursor = client.changes("Dome")
        task = background(cursor.next())
        await server.send(numbers(RA=3))
        await eventually(lambda: client.need("Mount", "EQ")["RA"].number == 3)
        await asyncio.sleep(0)
        assert not task.done()
        server.close()
        assert not (await task).connected


@asynchronous
async def test_a_tap_that_is_too_slow_says_what_it_lost_or_ends():
    async with meeting(DEFINE) as (_, server, client):
        dropping = client.tap(limit=10)
        closing = client.tap(limit=10, overflow="close")
        await server.send(*[numbers(RA=n / 10) for n in range(50)])
        await eventually(lambda: client.need("Mount", "EQ")["RA"].number == 4.9)
        assert await dropping.next() == Lost(40)
        assert (await dropping.next()).prop["RA"].number == 4.0
        assert client.stats.dropped >= 40
        with pytest.raises(Overrun):
            async for _ in closing:
                pass


@asynchronous
async def test_a_tap_that_waits_holds_up_the_server_and_loses_nothing():
    async with meeting(DEFINE) as (_, server, client):
        tap = client.tap(limit=10, overflow="wait")
        text = "x" * 500
        many = 20_000
        sending = background(server.send(*[numbers(RA=n % 24, message=text) for n in range(many)]))
        await asyncio.sleep(0.3)
        assert tap.waiting < many / 4, "it goes on reading"
        for n in range(many):
            change = await tap.next()
            assert change.prop["RA"].number == n % 24
        await sending
        assert tap.lost == 0


@asynchronous
async def test_a_tap_says_what_waits():
    async with meeting(DEFINE) as (_, server, client):
        tap = client.tap()
        await server.send(numbers(RA=1, message="x" * 500))
        await eventually(lambda: tap.waiting == 1)
        assert 500 < tap.waiting_bytes < 2000
        await tap.next()
        assert (tap.waiting, tap.waiting_bytes) == (0, 0)


@asynchronous
async def test_what_was_said_before_is_not_said_again_after_many_deletions(monkeypatch):
    monkeypatch.setattr("indipyclient.model.model.GRAVES", 3)
    names = [f"P{number}" for number in range(9)]
    defined = "".join(DEFINE.replace('"EQ"', f'"{name}"') for name in names)
    async with meeting(defined, '<message device="Mount" message="before"/>') as (_, connection, client):
        await eventually(lambda: client.notes("Mount"))
        heard = client.messages("Mount")
        first = background(anext(heard))
        await asyncio.sleep(0)
        await connection.send("".join(f'<delProperty device="Mount" name="{name}"/>' for name in names[1:]))
        await eventually(lambda: len(client.model) == 1)
        await connection.send('<message device="Mount" message="after"/>')
        assert (await asyncio.wait_for(first, 30)).text == "after"
        await heard.aclose()


@asynchronous
async def test_messages_are_followed():
    async with meeting(DEFINE) as (_, server, client):
        heard, later = client.messages("Mount"), client.messages(initial=True)
        await server.send('<message message="of the site"/>', '<message device="Mount" message="hello &amp; so"/>')
        await eventually(lambda: len(client.notes()) == 2)
        assert (await asyncio.wait_for(anext(heard), 30)).text == "hello & so", "said before it was read"
        assert [(await asyncio.wait_for(anext(later), 30)).text for _ in range(2)] == ["of the site", "hello & so"]
        await heard.aclose()
        await later.aclose()
        assert [n.text for n in client.notes()] == ["of the site", "hello & so"]


@asynchronous
async def test_many_messages_at_once_are_all_followed_or_counted(monkeypatch):
    async with meeting(DEFINE) as (_, server, client):
        async with contextlib.aclosing(client.messages("Mount")) as heard:
            first = background(anext(heard))
            await asyncio.sleep(0)
            texts = [f"m{number}" for number in range(3000)]
            await server.send("".join(f'<message device="Mount" message="{text}"/>' for text in ["first", *texts]))
            assert (await first).text == "first"
            await server.send(numbers("Busy", "by the way"))
            await eventually(lambda: client.need("Mount", "EQ").state is State.BUSY)
            assert [(await anext(heard)).text for _ in range(3001)] == [*texts, "by the way"]
        monkeypatch.setattr("indipyclient.listening.MESSAGES", 10)
        async with contextlib.aclosing(client.messages(initial=True)) as heard:
            assert [(await anext(heard)).text for _ in range(1000)] == [*texts[-999:], "by the way"]
            await server.send("".join(f'<message device="Mount" message="{text}"/>' for text in texts), numbers("Ok"))
            await eventually(lambda: client.need("Mount", "EQ").state is State.OK)
            assert (await anext(heard)).text == "2990 messages are lost: they came faster than they were read"
            assert [(await anext(heard)).text for _ in range(10)] == texts[-10:]


# BLOBs


def picture(data=b"abc", member="CCD1", format=".fits"):
    text = base64.b64encode(data).decode()
    return (
        '<setBLOBVector device="CCD" name="CCD1" state="Ok" timestamp="2026-11-22T01:02:03">'
        f'<oneBLOB name="{member}" size="{len(data)}" format="{format}">{text}</oneBLOB></setBLOBVector>'
    )


@asynchronous
async def test_a_stream_asks_for_blobs_and_asks_again_after_a_loss():
    async with meeting(BLOB) as (server, connection, client):
        async with client.blobs("CCD", "CCD1") as blobs:
            asked = await connection.expect(match("enableBLOB", device="CCD", name="CCD1"))
            assert asked.text == "Also"
            await connection.send(picture(b"one"))
            assert (await blobs.next()).data == b"one"
            connection.close()
            again = await server.client(BLOB)
            await again.expect(match("enableBLOB", device="CCD", name="CCD1"))
            await again.send(picture(b"two"))
            assert (await blobs.next()).data == b"two"
        end = await again.expect(match("enableBLOB", device="CCD", name="CCD1"))
        assert end.text == "Never"


@asynchronous
async def test_the_answer_to_a_blob_is_asked_for_as_long_as_it_is_awaited():
    async with meeting(BLOB.replace('perm="ro"', 'perm="rw"')) as (_, server, client):
        task = background(client.set("CCD", "CCD1", CCD1=b"abc"))
        assert (await server.expect(match("enableBLOB", device="CCD", name="CCD1"))).text == "Also"
        await server.expect(match("newBLOBVector"))
        await server.send(picture())
        assert (await task).prop["CCD1"].data == b"abc"
        assert (await server.expect(match("enableBLOB", device="CCD", name="CCD1"))).text == "Never"


@asynchronous
async def test_a_large_blob_keeps_its_place_among_the_others():
    async with meeting(BLOB, DEFINE) as (_, server, client):
        tap = client.tap(limit_bytes=1 << 30)
        data = bytes(range(256)) * 20_000
        await server.send(numbers(RA=1), picture(data), numbers(RA=2), picture(data[:-1]), numbers(RA=3))
        seen = [await tap.next() for _ in range(5)]
        assert [change.prop.name for change in seen] == ["EQ", "CCD1", "EQ", "CCD1", "EQ"]
        assert seen[1].message.members[0].data == data
        assert seen[3].message.members[0].data == data[:-1]
        assert [seen[n].prop["RA"].number for n in (0, 2, 4)] == [1, 2, 3]


@asynchronous
async def test_a_large_blob_that_came_before_the_end_counts():
    async with meeting(BLOB) as (_, server, client):
        tap = client.tap()
        up = []
        client._engine.on_change = lambda change: up.append(client.connected)
        data = bytes(5_000_000)
        await server.send(picture(data), picture(b"last"))
        server.close()
        assert len((await tap.next()).message.members[0].data) == len(data)
        assert (await tap.next()).message.members[0].data == b"last"
        assert all(up), "it counts before the loss does"


@asynchronous
async def test_blobs_that_a_slow_disk_costs_are_told(tmp_path, monkeypatch, caplog):
    writes, may_write, write = threading.Event(), threading.Event(), ReceivedBlob.write_to

    def slowly(self, folder):
        writes.set()
        may_write.wait(30)
        return write(self, folder)

    monkeypatch.setattr(ReceivedBlob, "write_to", slowly)
    async with meeting(BLOB) as (_, connection, client):
        saving = background(client.save_blobs(tmp_path, "CCD", count=65))
        await connection.expect(match("enableBLOB"))
        await connection.send(picture(b"0"))
        await eventually(writes.is_set)
        await connection.send(*(picture(b"%d" % number) for number in range(1, 100)))
        await eventually(lambda: client.stats.messages == 101)
        may_write.set()
        assert await asyncio.wait_for(saving, 30) == 65
    assert "35 BLOBs are lost: they came faster than they could be written" in caplog.text


@asynchronous
async def test_whoever_closes_a_client_waits_until_received_blobs_are_written(tmp_path, monkeypatch):
    """A handler of a signal closes it, which ends the loop of the program, which closes it again."""
    may_write, write = threading.Event(), ReceivedBlob.write_to
    monkeypatch.setattr(ReceivedBlob, "write_to", lambda self, folder: may_write.wait(30) and write(self, folder))
    async with meeting(BLOB) as (_, connection, client):
        saving = background(client.save_blobs(tmp_path, "CCD"))
        await connection.expect(match("enableBLOB"))
        await connection.send(picture(b"0"), picture(b"1"))
        await eventually(lambda: client.stats.messages == 3)
        closing = [background(client.aclose()) for _ in range(3)]
        await asyncio.wait(closing, timeout=0.2)
        assert not any(close.done() for close in closing)
        closing.pop().cancel()  # which is not the others' concern
        may_write.set()
        await asyncio.wait_for(asyncio.gather(*closing), 30)
        assert len([*tmp_path.iterdir()]) == 2
        assert await saving == 2
        await client.aclose()


@asynchronous
async def test_blobs_are_saved_in_the_folder_whatever_their_names(tmp_path):
    folder = tmp_path / "pictures"
    names = ["CCD1", "../escape", "/etc/passwd", "..", "a\x01b", "CCD1", "CCD1"]
    formats = [".fits", "/../../x", "..", "fits", ".fits/..", ".fits", ".fits.z"]
    define = BLOB.replace('<defBLOB name="CCD1" label="Image"/>', "".join(
        f'<defBLOB name="{n}" label="x"/>' for n in dict.fromkeys(names) if "\x01" not in n
    ))  # fmt: skip
    async with meeting(define) as (_, server, client):
        saved = []
        task = background(client.save_blobs(folder, "CCD", saved=lambda blob, path: saved.append(path), count=6))
        await server.expect(match("enableBLOB"))
        for member, format in zip(names, formats, strict=True):
            if "\x01" not in member:
                await server.send(picture(b"data", member, format))
        assert await task == 6
        files = [p for p in tmp_path.rglob("*") if p.is_file()]
        assert all(p.parent == folder for p in files)
        assert not [p for p in files if p.name.startswith((".", "-"))], "none is hidden, or looks like an option"
        assert sorted(files) == sorted(saved), "no parts are left, and nothing was overwritten"
        assert {p.name for p in saved} >= {"CCD1_20261122_01_02_03.fits", "CCD1_20261122_01_02_03_1.fits"}


# The link


@asynchronous
async def test_a_lost_link_is_told_at_once_and_the_client_is_right_again_by_itself():
    async with meeting(DEFINE, SWITCHES) as (server, connection, client):
        before = client.need("Mount", "EQ")
        for end in (connection.close, None):
            if end is None:
                connection.reset()
            else:
                end()
            began = time.monotonic()
            await eventually(lambda: not client.connected, timeout=1)
            assert time.monotonic() - began < 1
            assert client.is_stale(before)
            assert client.status.reason
            connection = await server.client(DEFINE, numbers(RA=7))
            prop = await client.wait_property("Mount", "EQ", where=lambda p: p["RA"].number == 7)
            assert not client.is_stale(prop)
            assert client.is_stale(client.need("Mount", "CONNECTION"))
        assert client.stats.reconnects == 2


@asynchronous
async def test_what_is_not_defined_again_is_gone_after_a_while(monkeypatch):
    monkeypatch.setattr("indipyclient.engine.SETTLED", 0.1)
    async with meeting(DEFINE, SWITCHES) as (server, connection, client):
        await eventually(lambda: len(client.model) == 2)
        connection.close()
        await server.client(SWITCHES)
        await eventually(lambda: client.get("Mount", "EQ") is None)
        assert client.get("Mount", "CONNECTION")


@asynchronous
async def test_what_is_not_defined_again_is_gone_also_if_something_is_defined_all_the_time(monkeypatch):
    monkeypatch.setattr("indipyclient.engine.LATEST", 1.0)
    async with meeting(DEFINE, SWITCHES) as (server, connection, client):
        await eventually(lambda: len(client.model) == 2)
        connection.close()
        again = await server.client(SWITCHES)

        async def define_always():
            while True:
                await again.send(SWITCHES)
                await asyncio.sleep(0.1)

        defining = asyncio.create_task(define_always())
        await eventually(lambda: client.get("Mount", "EQ") is None)
        defining.cancel()
        assert client.get("Mount", "CONNECTION")


@asynchronous
async def test_silence_is_asked_about_and_then_taken_for_a_loss():
    async with meeting(DEFINE) as (server, connection, client):
        engine = client._engine
        engine.idle, engine.unanswered = 0.1, 0.3
        connection.close()
        again = await server.client(DEFINE)
        await again.expect(match("getProperties", device=None))
        await again.expect(match("getProperties", device="Mount", name="EQ"))
        await eventually(lambda: client.stats.reconnects == 2)
        third = await server.client(DEFINE)
        await third.expect(match("getProperties", device="Mount", name="EQ"))
        await third.send(DEFINE)
        await third.expect(match("getProperties", device="Mount", name="EQ"))
        assert client.stats.reconnects == 2, "it has answered"


@asynchronous
async def test_as_long_as_nothing_is_known_it_asks_again(monkeypatch):
    monkeypatch.setattr("indipyclient.engine.ASK_EVERY", 0.05)
    async with meeting() as (_, server, client):
        for _ in range(3):
            await server.expect(match("getProperties", device=None))
        assert client.connected


@asynchronous
async def test_a_server_that_is_not_there_is_named():
    async with scripted() as server:
        port = server.port
    with pytest.raises(NotConnected, match=f"nothing listens on 127.0.0.1:{port}"):
        async with Client("127.0.0.1", port, reconnect=False):
            pass
    client = Client(f"127.0.0.1:{port}", retry=QUICK)
    with pytest.raises(NotConnected):
        await client.start(timeout=0.1)
    assert client.status.state is LinkState.CLOSED
    with pytest.raises(NotConnected, match="not started"):
        await Client().ask()


@asynchronous
async def test_without_reconnect_the_first_loss_is_the_end():
    async with meeting(DEFINE, reconnect=False) as (_, server, client):
        cursor = client.changes()
        waiting = background(client.wait_property("Mount", "NONE"))
        await asyncio.sleep(0)
        server.close()
        with pytest.raises(NotConnected, match="closed the connection"):
            await waiting
        await cursor.next()
        assert client.status.state is LinkState.CLOSED


@asynchronous
async def test_closing_ends_all_readers_and_fails_all_who_wait():
    async with meeting(DEFINE) as (_, _server, client):
        cursor, tap = client.changes(), client.tap()
        waiting = [background(client.wait_property("Mount", "NONE")), background(client.set("Mount", "EQ", RA=1))]
        reading = [background(anext(cursor)), background(anext(tap))]
        await asyncio.sleep(0.05)
        await client.aclose()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(r) for r in results] == [NotConnected, LinkLost]
        await asyncio.gather(*reading, return_exceptions=True)
        assert all(task.done() for task in reading)
        await client.aclose()


@asynchronous
async def test_rubbish_is_counted_and_survived():
    async with meeting(DEFINE) as (_, server, client):
        await server.send(b"<rubbish>\xff</rubbish>", '<setNumberVector device="Mount"/>', numbers(RA=3))
        await client.wait_property("Mount", "EQ", where=lambda p: p["RA"].number == 3)
        assert client.stats.malformed


@asynchronous
async def test_a_ping_is_answered():
    async with meeting(DEFINE) as (_, server, _client):
        await server.send('<pingRequest uid="7"/>')
        await server.expect(match("pingReply", uid="7"))


@asynchronous
async def test_readers_end_with_the_client_and_those_that_come_later_at_once():
    """Also where the first failure is the end."""
    async with scripted() as server:
        client = Client("127.0.0.1", server.port, reconnect=False)
        await client.start()
        connection = await server.client(DEFINE, BLOB)
        await client.wait_property("CCD", "CCD1")

        async def read(reader):
            return [each async for each in reader]

        async def images():
            async with client.blobs("CCD") as blobs:
                return await read(blobs)

        def readers():
            return [asyncio.ensure_future(read(each)) for each in (client.changes(), client.tap(), client.messages())]

        before = [*readers(), asyncio.ensure_future(images())]
        await asyncio.sleep(0)
        connection.close()
        async with asyncio.timeout(5):
            await asyncio.gather(*before)
            assert await asyncio.gather(*readers(), images()) == [[], [], [], []]
            assert not await client.settle(timeout=60)
        await client.aclose()
        async with asyncio.timeout(5):
            assert await asyncio.gather(*readers(), images()) == [[], [], [], []]


@asynchronous
async def test_a_condition_that_raises_is_told_to_who_waits_and_the_link_stays():
    async with meeting(DEFINE) as (_, server, client):
        waiting = background(client.wait_property("Mount", "EQ", where=lambda prop: 1 / (5 - prop["RA"].number) > 99))
        await asyncio.sleep(0)
        await server.send(numbers(RA=5))
        with pytest.raises(ZeroDivisionError):
            await waiting
        await server.send(numbers(RA=6))
        await client.wait_property("Mount", "EQ", where=lambda prop: prop["RA"].number == 6)
        assert (client.connected, client.stats.reconnects) == (True, 0)


@asynchronous
async def test_who_is_cancelled_while_closing_is_cancelled_and_all_is_closed():
    async with meeting(DEFINE) as (_, _server, client):
        closing = background(client.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await eventually(lambda: client.status.state is LinkState.CLOSED)


@asynchronous
async def test_a_cursor_that_lets_time_pass_ends_at_once_when_it_is_closed():
    async with meeting(DEFINE) as (_, server, client):
        cursor = client.changes(interval=60)
        await server.send(numbers(RA=5))
        assert await cursor.next()
        await server.send(numbers(RA=6))
        waiting = background(cursor.next())
        await eventually(lambda: client.need("Mount", "EQ")["RA"].number == 6)
        cursor.close()
        async with asyncio.timeout(5):
            assert (await waiting).rev == client.model.rev
            with pytest.raises(StopAsyncIteration):
                await cursor.next()


@asynchronous
async def test_a_blob_stays_when_it_is_defined_again():
    """indiserver sends the definitions that one client asks for to all of them."""
    async with meeting(DEFINE, BLOB, picture(b"one"), BLOB) as (_, server, client):
        await server.send(numbers(RA=9))
        await client.wait_property("Mount", "EQ", where=lambda prop: prop["RA"].number == 9)
        assert client.need("CCD", "CCD1")["CCD1"].data == b"one"
        await server.send(BLOB.replace('<defBLOB name="CCD1"', '<defBLOB name="CCD2"'), numbers(RA=10))
        await client.wait_property("Mount", "EQ", where=lambda prop: prop["RA"].number == 10)
        assert client.need("CCD", "CCD1")["CCD2"].data is None
        assert client.model._blobs.bytes == 0


@asynchronous
async def test_a_command_after_a_loss_waits_until_the_property_is_known_again():
    """All numbers of a vector go out, and those that were not asked for would be old."""
    async with meeting(DEFINE) as (server, connection, client):
        connection.close()
        again = await server.client()
        await client.wait_link()
        with pytest.raises(TimedOut, match="not defined again") as caught:
            await client.set("Mount", "EQ", RA=3, timeout=0.05)
        assert not caught.value.sent
        setting = background(client.set("Mount", "EQ", RA=3))
        await asyncio.sleep(0)
        await again.send(DEFINE.replace(">2<", ">7<"))
        command = await again.expect(match("newNumberVector"))
        assert [one.text for one in command] == ["3", "7"]
        await again.send(numbers(RA=3, DEC=7))
        assert (await setting).confirmed
        setting = background(client.set("Mount", "EQ", RA=3))
        again.close()
        with pytest.raises((LinkLost, NotConnected)):
            await setting


@asynchronous
async def test_a_switch_that_is_pressed_after_a_loss_turns_off_what_is_on_then():
    three = SWITCHES.replace("</defSwitchVector>", '<defSwitch name="SLEEP">Off</defSwitch></defSwitchVector>')
    async with meeting(three) as (server, connection, client):
        connection.close()
        again = await server.client()
        await client.wait_link()
        pressing = background(client.press("Mount", "CONNECTION", "SLEEP"))
        await asyncio.sleep(0)
        await again.send(three.replace(">On<", ">off<").replace(">Off<", ">On<", 1).replace(">off<", ">Off<"))
        command = await again.expect(match("newSwitchVector"))
        assert {one.get("name"): one.text for one in command} == {"CONNECT": "Off", "SLEEP": "On"}
        pressing.cancel()


@asynchronous
async def test_a_blob_that_the_server_does_not_take_is_given_up_in_time():
    upload = '<defBLOBVector device="CCD" name="UP" state="Idle" perm="wo"><defBLOB name="B"/></defBLOBVector>'
    async with meeting(DEFINE, upload) as (_, _server, client):
        await client.wait_property("CCD", "UP")
        async with asyncio.timeout(10):
            with pytest.raises(TimedOut, match="not sent"):
                await client.set("CCD", "UP", B=Blob(bytes(30_000_000), ".x"), timeout=0.5)
            with pytest.raises(TimedOut):
                await client.ping(timeout=0.05)


@asynchronous
async def test_every_message_and_each_change_of_the_link_can_be_heard():
    heard, states = [], []
    async with scripted() as server:
        client = Client("127.0.0.1", server.port, retry=QUICK, idle=float("inf"))
        client.on_message = heard.append
        client.on_status = lambda status: states.append(status.state)
        async with client:
            connection = await server.client(DEFINE, "<getProperties version='1.7' device='Dome'/>")
            await eventually(lambda: len(heard) == 2)
            assert [type(message).__name__ for message in heard] == ["DefVector", "GetProperties"]
            connection.close()
            await eventually(lambda: LinkState.LOST in states)
    assert states[0] is LinkState.READY
    assert states[-1] is LinkState.CLOSED
