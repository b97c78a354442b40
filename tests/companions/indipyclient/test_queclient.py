"""The client with two queues: each kind of queue, each kind of item, and the calls of a program that uses it."""

import asyncio
import collections
import contextlib
import queue
import sys
import threading
import time

import pytest

from examples import thermostat
from indipyclient import queclient as queueclient
from indipyclient.queclient import EventItem, QueClient, runqueclient
from tests.support import ROOT, asynchronous, eventually, match, running_server, started

from .scripted import BLOB, DEFINE, SWITCHES, numbers, scripted


@contextlib.asynccontextmanager
async def meeting(*greeting, tx=None, rx=None, **options):
    async with scripted() as server:
        tx, rx = queue.Queue() if tx is None else tx, queue.Queue() if rx is None else rx
        client = QueClient(tx, rx, indihost="127.0.0.1", indiport=server.port, **options)
        task = asyncio.create_task(client.asyncrun())
        try:
            yield await server.client(*greeting), tx, rx
        finally:
            (tx.append if isinstance(tx, collections.deque) else tx.put_nowait)(None)
            await asyncio.wait_for(task, 5)


async def item(rx, eventtype, vectorname=None):
    """The next of this kind."""
    found = []

    def look():
        with contextlib.suppress(queue.Empty, IndexError, asyncio.QueueEmpty):
            while True:
                each = rx.popleft() if isinstance(rx, collections.deque) else rx.get_nowait()
                if each.eventtype == eventtype and vectorname in (None, each.vectorname):
                    found.append(each)
                    return True
        return False

    await eventually(look)
    return found[0]


@pytest.mark.parametrize("kind", [queue.Queue, asyncio.Queue, collections.deque])
@asynchronous
async def test_each_kind_of_queue(kind):
    async with meeting(DEFINE, SWITCHES, tx=kind(), rx=kind()) as (server, tx, rx):
        put = tx.append if kind is collections.deque else tx.put_nowait
        defined = await item(rx, "Define", "CONNECTION")
        assert isinstance(defined, EventItem)
        assert defined.snapshot["Mount"]["EQ"]["RA"] == "1"
        put(("Mount", "EQ", {"RA": 3}))
        await server.expect(match("newNumberVector", values={"RA": "3", "DEC": "2"}))
        state = await item(rx, "State", "EQ")
        assert state.snapshot.get_vector_state("Mount", "EQ") == "Busy"
        await server.send(numbers(RA=3))
        assert (await item(rx, "Set", "EQ")).snapshot["Mount"]["EQ"].state == "Ok"
        for asked in ((None, None), ("Mount", None), ("Mount", "EQ"), ("Nobody", None)):
            put((*asked, "snapshot"))
        kinds = [type((await item(rx, "snapshot")).snapshot).__name__ for _ in range(4)]
        assert kinds == ["Snap", "SnapDevice", "SnapNumberVector", "NoneType"]
        put(("Mount", None, "Get"))
        await server.expect(match("getProperties", device="Mount"))
        put(("Mount", None, "Also"))
        await server.expect(match("enableBLOB", device="Mount"))
        put("nonsense")
        put((None, "EQ", {"RA": 1}))
        put(("Mount", "EQ", "nonsense"))
        put(("Mount", None, "Never"))
        await server.expect(match("enableBLOB", device="Mount"))


def test_anything_else_is_no_queue():
    with pytest.raises(TypeError):
        QueClient([], queue.Queue())
    with pytest.raises(TypeError):
        QueClient(queue.Queue(), [])


@asynchronous
async def test_a_full_queue_holds_up_and_loses_nothing():
    async with meeting(DEFINE, rx=queue.Queue(maxsize=2)) as (server, _, rx):
        await server.send(*[numbers(RA=n) for n in range(20)])
        assert [(await item(rx, "Set")).snapshot["Mount"]["EQ"]["RA"] for _ in range(20)] == [str(n) for n in range(20)]


@asynchronous
async def test_a_full_queue_holds_up_no_commands_and_not_the_end():
    tx, rx = queue.Queue(), queue.Queue(maxsize=1)
    async with scripted() as server:
        task = asyncio.create_task(QueClient(tx, rx, "127.0.0.1", server.port).asyncrun())
        connection = await server.client(DEFINE)
        await item(rx, "Define")
        for ra in range(3):  # the program reads no more
            tx.put(("Mount", "EQ", {"RA": ra}))
        tx.put(("Mount", "EQ", "snapshot"))
        for ra in range(3):
            assert (await connection.expect(match("newNumberVector")))[0].text == str(ra)
        tx.put(None)
        async with asyncio.timeout(5):
            await task


@asynchronous
async def test_the_answers_to_the_last_items_are_not_lost():
    tx, rx = queue.Queue(), queue.Queue()
    async with scripted() as server:
        task = asyncio.create_task(QueClient(tx, rx, "127.0.0.1", server.port).asyncrun())
        await server.client(DEFINE)
        await item(rx, "Define")
        for each in (("Mount", "EQ", {"RA": 3}), ("Mount", "EQ", "snapshot"), None):
            tx.put(each)
        await task
        found = [rx.get_nowait() for _ in range(rx.qsize())]
        assert [each.eventtype for each in found][:2] == ["State", "snapshot"]
        assert found[1].snapshot["RA"] == "1"


@asynchronous
async def test_one_event_in_a_large_site_copies_one_vector():
    many = [DEFINE.replace('"EQ"', f'"EQ{n}"') for n in range(50)]
    async with meeting(*many) as (server, _, rx):
        before = (await item(rx, "Define", "EQ49")).snapshot
        await server.send(numbers(RA=5).replace('"EQ"', '"EQ7"'))
        after = (await item(rx, "Set")).snapshot
        changed = [name for name in after["Mount"] if after["Mount"][name] is not before["Mount"][name]]
        assert changed == ["EQ7"]


@asynchronous
async def test_an_item_that_comes_after_the_end_is_for_the_next_client(monkeypatch):
    ended = threading.Event()
    wait = queueclient._wait_for_item

    def waits(tx):
        wait(tx)
        ended.set()

    monkeypatch.setattr(queueclient, "_wait_for_item", waits)
    tx = queue.Queue()
    async with scripted() as server:
        client = QueClient(tx, queue.Queue(), "127.0.0.1", server.port)
        task = asyncio.create_task(client.asyncrun())
        await eventually(lambda: client.connected)
        client.shutdown()
        await task
        ended.clear()
        tx.put(("Mount", "EQ", "Get"))
        await asyncio.to_thread(ended.wait, 1)
        assert tx.qsize() == 1


def test_it_runs_in_a_thread_and_ends():
    tx, rx = queue.Queue(), queue.Queue()
    thread = threading.Thread(target=runqueclient, args=(tx, rx, "127.0.0.1", 1))
    thread.start()
    assert rx.get(timeout=5).eventtype == "Message"
    began = time.monotonic()
    tx.put(None)
    thread.join(5)
    assert not thread.is_alive()
    assert time.monotonic() - began < 3


@asynchronous
async def test_the_calls_of_mountwizzard(tmp_path):
    """What that program does with it: names, access to snapshots, a member that does not exist, a saved picture."""
    tx, rx = queue.Queue(), queue.Queue()
    async with scripted() as server:
        client = QueClient(tx, rx, indihost="127.0.0.1", indiport=server.port, blobfolder=tmp_path)
        client.debug_verbosity(0)
        task = asyncio.create_task(client.asyncrun())
        connection = await server.client(SWITCHES.replace("Mount", "CCD"), DEFINE.replace("Mount", "CCD"), BLOB)
        event = await item(rx, "DefineBLOB")
        assert event.devicename == "CCD"
        device = event.snapshot.get(event.devicename)
        assert event.snapshot.get("Nobody") is None
        assert event.snapshot["CCD"]["CONNECTION"].get("CONNECT") == "Off"
        tx.put(("CCD", "CONNECTION", {"CONNECT": "On", "DISCONNECT": "Off"}))
        await connection.expect(match("newSwitchVector", values={"CONNECT": "On"}))
        found = device.dictdump()
        vector = found["vectors"]["EQ"]
        assert vector["state"] == "Idle"
        assert [vector["members"]["RA"][key] for key in ("floatvalue", "min", "max")] == [1.0, "0", "24"]
        tx.put(("CCD", "CONNECTION", {"CONFIG_PROCESS": True}))
        tx.put(("CCD", "CCD1", "Also"))
        assert (await connection.expect(match("enableBLOB", name="CCD1"))).text == "Also"
        assert not [e for e in connection.received if "CONFIG_PROCESS" in "".join(c.get("name") for c in e)]
        one = '<oneBLOB name="CCD1" size="3" format=".fits">YWJj</oneBLOB>'
        await connection.send(f'<setBLOBVector device="CCD" name="CCD1" state="Ok">{one}</setBLOBVector>')
        event = await item(rx, "SetBLOB")
        member = event.snapshot["CCD"].dictdump()["vectors"]["CCD1"]["members"]["CCD1"]
        assert member["blobformat"] == ".fits"
        (tmp_path / member["filename"]).rename(tmp_path / "taken.fits")
        assert (tmp_path / "taken.fits").read_bytes() == b"abc"
        await connection.send('<message device="CCD" message="cooling"/>')
        event = await item(rx, "Message")
        assert event.snapshot["CCD"].messages[0][1] == "cooling"
        tx.put(None)
        await asyncio.wait_for(task, 5)


# Whole scripts, as the package's users write them

PRINTING = """
import asyncio, sys
import indipyclient as ipc

class MyClient(ipc.IPyClient):

    async def rxevent(self, event):
        match event:
            case ipc.setNumberVector(devicename="Thermostat", vectorname="TEMPERATURE"):
                print("temperature", float(event["ROOM"]) > -300, event.vector.getformattedvalue("ROOM"))
                self.shutdown()

myclient = MyClient(indihost="127.0.0.1", indiport=int(sys.argv[1]))
asyncio.run(myclient.asyncrun())
"""

THREADS = """
import collections, sys, threading, time
from indipyclient.queclient import runqueclient

TXQUE = collections.deque(maxlen=5)
RXQUE = collections.deque(maxlen=5)
thread = threading.Thread(target=runqueclient, args=(TXQUE, RXQUE), kwargs={"indihost": "127.0.0.1", "indiport": int(sys.argv[1])})
thread.start()
TXQUE.append((None, None, "snapshot"))
while True:
    try:
        item = RXQUE.popleft()
    except IndexError:
        time.sleep(0.01)
        continue
    if item.eventtype == "Set" and item.vectorname == "TEMPERATURE":
        print("temperature", item.snapshot[item.devicename][item.vectorname]["ROOM"] != "")
        break
TXQUE.append(None)
thread.join()
"""

HARDWARE = """
import asyncio, sys
import indipyclient as ipc

class Setter(ipc.IPyClient):

    async def hardware(self):
        while not self.stop:
            await asyncio.sleep(0.02)
            if self.get_vector_state("Thermostat", "TARGET"):
                await self.send_newVector("Thermostat", "TARGET", members={"TARGET": 21.5})
                break

    async def rxevent(self, event):
        if event.eventtype == "Set" and event.vectorname == "TARGET":
            print("target", self["Thermostat"]["TARGET"]["TARGET"])
            self.shutdown()

async def main():
    client = Setter("127.0.0.1", int(sys.argv[1]))
    await asyncio.gather(client.asyncrun(), client.stopped.wait())

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("script", "says"), [(PRINTING, "temperature True"), (THREADS, "temperature True"), (HARDWARE, "target 21.5")]
)
@asynchronous
async def test_scripts_of_users(script, says, tmp_path):
    path = tmp_path / "script.py"
    path.write_text(script)
    python = f"{ROOT / 'companions'}:{ROOT}"
    async with running_server(thermostat.make_driver(0.05)) as server:
        with started(sys.executable, str(path), str(server.port), cwd=tmp_path, PYTHONPATH=python) as program:
            assert await program.wait(10) == 0, program.stderr()
            assert says in program.stdout()


@asynchronous
async def test_items_that_cannot_be_carried_out_are_left_out(caplog):
    upload = '<defBLOBVector device="CCD" name="UP" state="Ok" perm="rw"><defBLOB name="a"/></defBLOBVector>'
    async with meeting(DEFINE, upload) as (server, tx, rx):
        await item(rx, "DefineBLOB", "UP")
        bad = (
            ("CCD", "UP", {"a": ("/nowhere/x.fits", 0, "")}),
            ("CCD", "UP", {"a": (object(), 0, "")}),
            ("CCD", ["x"], {"a": 1}),
            (["x"], None, "snapshot"),
            ("\x01", None, "Get"),
            ("CCD", 5, "Also"),
            "nothing",
            5,
        )
        for each in bad:
            tx.put(each)
        tx.put(("Mount", "EQ", {"RA": 3}))
        await server.expect(match("newNumberVector", values={"RA": "3", "DEC": "2"}))
        assert ": failed: " in caplog.text
