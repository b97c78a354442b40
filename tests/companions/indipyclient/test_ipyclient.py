"""The API of PyPI's package: names, defaults, events, values, and what was wrong with it."""

import asyncio
import base64
import contextlib
import inspect
import json
import logging
import time
from datetime import UTC, datetime

import pytest

import indipyclient as ipc
from indipyclient.events import getProperties
from indipyclient.propertymembers import BLOBMember, NumberMember, SwitchMember
from indipyclient.queclient import QueClient
from indipydriver.protocol.messages import Message, OneBlob, OneMember, SetVector
from indipydriver.protocol.tags import VectorKind
from tests.support import asynchronous, eventually, match, pypi

from .scripted import BLOB, DEFINE, SWITCHES, numbers, scripted
from .site import define, update

LIGHTS = (
    '<defLightVector device="Mount" name="LIGHTS" label="" group="Main" state="Ok">'
    '<defLight name="L">Busy</defLight></defLightVector>'
)
TEXTS = (
    '<defTextVector device="Mount" name="TEXTS" label="" group="A/B" state="Ok" perm="rw" message="hello">'
    '<defText name="A">one</defText><defText name="B">two</defText></defTextVector>'
)


class Client(ipc.IPyClient):
    """Keeps its events."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.events = asyncio.Queue()

    async def rxevent(self, event):
        await self.events.put(event)

    async def event(self, eventtype, vectorname=None, timeout=5):
        async with asyncio.timeout(timeout):
            while True:
                event = await self.events.get()
                if event.eventtype == eventtype and vectorname in (None, event.vectorname):
                    return event


@contextlib.asynccontextmanager
async def meeting(*greeting, kind=Client, **settings):
    """A running client and its server, which has sent this."""
    async with scripted() as server:
        client = kind("127.0.0.1", server.port)
        for name, value in settings.items():
            setattr(client, name, value)
        task = asyncio.create_task(client.asyncrun())
        try:
            yield await server.client(*greeting), client, server
        finally:
            client.shutdown()
            await asyncio.wait_for(task, 5)
            assert client.stopped.is_set()


# The contract


def test_every_public_name_is_there():
    theirs = pypi.indipyclient()
    assert set(theirs.__all__) <= set(ipc.__all__)
    for name in theirs.__all__:
        assert hasattr(ipc, name)
    for module in ("events", "ipyclient", "propertymembers", "propertyvectors", "queclient"):
        assert hasattr(ipc, module)


def test_public_methods_take_the_same_arguments():
    theirs = pypi.indipyclient()
    from pypi_indipyclient import ipyclient as their_ipyclient
    from pypi_indipyclient import propertyvectors as their_vectors
    from pypi_indipyclient import queclient as their_queclient

    pairs = [(theirs.IPyClient, ipc.IPyClient), (their_queclient.QueClient, QueClient)]
    pairs += [(getattr(their_ipyclient, n), getattr(ipc.ipyclient, n)) for n in ("Device", "Snap", "SnapDevice")]
    for name in ("SwitchVector", "TextVector", "NumberVector", "BLOBVector", "LightVector", "SnapVector"):
        pairs.append((getattr(their_vectors, name), getattr(ipc.propertyvectors, name)))
    for their, our in pairs:
        for name, member in inspect.getmembers(their):
            if name.startswith("_") or name in dir(dict) or name == "copy" or "PropertyVector.check" in repr(member):
                continue
            if name in ("fromkeys", "data", "checkvalue", "rxvector") or (their.__name__, name) == (
                "SnapDevice",
                "disable",
            ):
                continue
            if inspect.isfunction(member):
                assert hasattr(our, name), f"{our.__name__}.{name}"
                wanted, found = inspect.signature(member), inspect.signature(getattr(our, name))
                assert list(wanted.parameters) == list(found.parameters), f"{our.__name__}.{name}"
                assert inspect.iscoroutinefunction(member) == inspect.iscoroutinefunction(getattr(our, name))


def test_defaults():
    client = ipc.IPyClient(app="mine")
    assert (client.indihost, client.indiport, client.clientdata) == ("localhost", 7624, {"app": "mine"})
    assert (client.enableBLOBdefault, client.BLOBfolder, client.messages.maxlen) == ("Never", None, 8)
    assert (client.timeout_enable, client.vector_timeout_min, client.vector_timeout_max) == (True, 2, 10)
    assert (client.idle_timeout, client.respond_timeout) == (20, 40)
    client.set_vector_timeouts(timeout_max=15)
    assert (client.idle_timeout, client.respond_timeout) == (30, 60)
    assert not client.connected
    assert not client.stop
    for verbose in range(4):
        client.debug_verbosity(verbose)
    with pytest.raises(ValueError, match="verbose"):
        client.debug_verbosity(4)
    with pytest.raises(KeyError):
        client["x"] = 1


@pytest.mark.parametrize(("text", "value"), [("", 0.0), ("-5:30", -5.5), (3, 3.0), ("12:30:36", 12.51)])
def test_getfloat(text, value):
    assert ipc.getfloat(text) == pytest.approx(value)
    assert ipc.getfloat("nan") != ipc.getfloat("nan")
    assert ipc.getfloat("inf") == float("inf")
    with pytest.raises(TypeError):
        ipc.getfloat("north")


# Events


@asynchronous
async def test_every_event_has_its_attributes():
    async with meeting(DEFINE, SWITCHES, LIGHTS, TEXTS, BLOB) as (server, client, _):
        first = [(await client.events.get()) for _ in range(4)]
        assert [e.eventtype for e in first] == ["Message", "Message", "ConnectionMade", "Message"]
        assert [m.message for m in first if m.eventtype == "Message"] == [
            f"Attempting to connect to 127.0.0.1:{client.indiport}",
            f"Connected to 127.0.0.1:{client.indiport}",
            "getProperties sent",
        ]
        event = await client.event("Define", "EQ")
        assert isinstance(event, ipc.defNumberVector)
        assert dict(event) == {"RA": "1", "DEC": "2"}
        assert event.memberlabels["RA"] == ("RA", "%10.6m", "0", "24", "0.1")
        assert (event.label, event.group, event.state, event.perm, event.timeout) == (
            "Position", "Main", "Idle", "rw", 60.0,
        )  # fmt: skip
        assert (event.devicename, event.vectorname, event.device, event.vector) == (
            "Mount", "EQ", client["Mount"], client["Mount"]["EQ"],
        )  # fmt: skip
        assert event.root.tag == "defNumberVector"
        assert event.root[0].get("name") == "RA"
        assert event.timestamp.utcoffset().total_seconds() == 0
        assert (await client.event("Define", "CONNECTION")).rule == "OneOfMany"
        assert dict(await client.event("Define", "LIGHTS")) == {"L": "Busy"}
        assert (await client.event("Define", "TEXTS")).memberlabels == {"A": "A", "B": "B"}
        blob = await client.event("DefineBLOB", "CCD1")
        assert (dict(blob), blob.memberlabels) == ({}, {"CCD1": "Image"})

        await server.send(numbers("Busy", RA=3, message="so"))
        event = await client.event("Set", "EQ")
        match event:
            case ipc.setNumberVector(devicename="Mount", vectorname="EQ", state="Busy"):
                pass
            case _:
                raise AssertionError(event)
        assert (dict(event), event.timeout, event.message) == ({"RA": "3"}, None, "so")
        vector = client["Mount"]["EQ"]
        assert (vector.getfloatvalue("RA"), vector.state, vector.message, vector.timeout) == (3.0, "Busy", "so", 60.0)

        data = base64.b64encode(b"picture").decode()
        one = f'<oneBLOB name="CCD1" size="7" format=".fits">{data}</oneBLOB>'
        await server.send(f'<setBLOBVector device="CCD" name="CCD1" state="Ok">{one}</setBLOBVector>')
        event = await client.event("SetBLOB", "CCD1")
        assert (dict(event), event.sizeformat) == ({"CCD1": b"picture"}, {"CCD1": (7, ".fits")})
        member = client["CCD"]["CCD1"].member("CCD1")
        assert (member.membervalue, member.blobsize, member.blobformat) == (b"picture", 7, ".fits")

        await server.send('<message device="Mount" message="words"/>', '<message message="of all"/>')
        assert (await client.event("Message")).message == "words"
        assert client["Mount"].messages[0][1] == "words"
        await client.event("Message")
        assert client.messages[0][1] == "of all"

        await server.send('<getProperties version="1.7" device="Other"/>')
        event = await client.event("getProperties")
        assert isinstance(event, getProperties)
        assert (event.devicename, event.device) == ("Other", None)

        await server.send('<delProperty device="Mount" name="EQ" message="gone"/>')
        event = await client.event("Delete")
        assert (event.vectorname, event.message, event.vector.enable) == ("EQ", "gone", False)
        assert client.get_vector_state("Mount", "EQ") is None
        assert client["Mount"].enable
        await server.send('<delProperty device="Mount"/>')
        event = await client.event("Delete")
        assert (event.vectorname, client["Mount"].enable, client.enabledlen()) == (None, False, 1)

        await client["CCD"]["CCD1"].create_clientevent("mine", answer=42)
        event = await client.event("mine")
        assert isinstance(event, ipc.ClientEvent)
        assert (event.payload, event.root) == ({"answer": 42}, None)


@asynchronous
async def test_a_lost_connection_is_told_within_a_second_and_the_devices_are_cleared():
    async with meeting(DEFINE) as (server, client, _):
        await client.event("Define", "EQ")
        server.close()
        began = time.monotonic()
        await client.event("ConnectionLost")
        assert time.monotonic() - began < 1
        assert not client.connected
        assert len(client) == 0


@asynchronous
async def test_it_connects_again_after_a_while(monkeypatch):
    monkeypatch.setattr("indipyclient.ipyclient.RETRY", 0.05)
    async with meeting(DEFINE) as (connection, client, server):
        await client.event("Define", "EQ")
        connection.close()
        await server.client(DEFINE)
        await client.event("ConnectionMade")
        assert (await client.event("Define", "EQ")).device is client["Mount"]


@asynchronous
async def test_an_exception_in_rxevent_is_logged_and_the_client_lives(caplog):
    class Failing(Client):
        async def rxevent(self, event):
            if event.eventtype == "Define":
                raise RuntimeError("mine")
            await super().rxevent(event)

    async with meeting(DEFINE, numbers(RA=3), kind=Failing) as (_, client, _server):
        await client.event("Set", "EQ")
    assert "Mount EQ" in caplog.text


@asynchronous
async def test_something_cancelled_that_rxevent_waits_for_is_logged_and_the_client_lives(caplog):
    class Failing(Client):
        async def rxevent(self, event):
            if event.eventtype == "Define":
                task = asyncio.ensure_future(asyncio.sleep(30))
                task.cancel()
                await task
            await super().rxevent(event)

    async with meeting(DEFINE, numbers(RA=3), kind=Failing) as (_, client, _server):
        await client.event("Set", "EQ")
    assert "Mount EQ" in caplog.text


@pytest.mark.parametrize("what", ["rxevent", "hardware"])
@asynchronous
async def test_who_cancels_itself_ends_it_and_that_is_logged(what, caplog):
    async def cancel(*_):
        await eventually(lambda: client.connected)
        asyncio.current_task().cancel()
        await asyncio.sleep(30)

    async with scripted() as server:
        client = Client("127.0.0.1", server.port)
        setattr(client, what, cancel)
        with pytest.raises(asyncio.CancelledError):
            await client.asyncrun()
    assert f"{what} was cancelled" in caplog.text
    assert client.stopped.is_set()


@asynchronous
async def test_an_rxevent_that_swallows_its_end_does_not_hold_up_the_end(monkeypatch):
    monkeypatch.setattr("indipyclient.eventline.LAST_EVENTS", 0.1)

    class Stubborn(Client):
        async def rxevent(self, event):
            await super().rxevent(event)
            if self.connected:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(60)

    async with meeting(DEFINE, kind=Stubborn) as (_, client, _server):
        await eventually(lambda: client.connected)


@asynchronous
async def test_who_is_cancelled_twice_leaves_nothing():
    class Stubborn(Client):
        async def rxevent(self, event):
            await super().rxevent(event)
            if event.eventtype == "ConnectionMade":
                await asyncio.sleep(60)

    async with scripted() as server:
        client = Stubborn("127.0.0.1", server.port)
        task = asyncio.ensure_future(client.asyncrun())
        await client.event("ConnectionMade")
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0.02)
        assert task.done()
        assert client.stopped.is_set()
        await eventually(lambda: len(asyncio.all_tasks()) == 1)


def test_it_can_be_run_again_and_ended_from_another_thread():
    async def run():
        async with scripted() as server:
            client.indiport = server.port
            running = asyncio.ensure_future(client.asyncrun())
            await server.client(DEFINE)
            await client.event("Define", "EQ")
            await asyncio.to_thread(client.shutdown)
            await asyncio.wait_for(running, 10)
            assert client.stop
            assert client.stopped.is_set()

    client = Client("127.0.0.1", 7624)
    for _ in range(2):
        client.events = asyncio.Queue()
        asyncio.run(run())


@asynchronous
async def test_an_exception_in_hardware_ends_it():
    class Failing(Client):
        async def hardware(self):
            raise RuntimeError("mine")

    async with scripted() as server:
        with pytest.raises(RuntimeError, match="mine"):
            await Failing("127.0.0.1", server.port).asyncrun()


# Sending


@asynchronous
async def test_every_kind_is_sent():
    async with meeting(DEFINE, SWITCHES, TEXTS, BLOB.replace('perm="ro"', 'perm="rw"')) as (server, client, _):
        await client.event("DefineBLOB", "CCD1")
        await client.send_newVector("Mount", "EQ", members={"RA": 5.5, "UNKNOWN": 1})
        sent = await server.expect(match("newNumberVector"))
        assert [(m.get("name"), m.text) for m in sent] == [("RA", "5.5"), ("DEC", "2")]
        assert client["Mount"]["EQ"].state == "Busy"
        await client.send_newVector("Mount", "CONNECTION", members={"CONNECT": "On", "DISCONNECT": "Off"})
        sent = await server.expect(match("newSwitchVector"))
        assert [(m.get("name"), m.text) for m in sent] == [("DISCONNECT", "Off"), ("CONNECT", "On")]
        when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        await client["Mount"]["TEXTS"].send_newTextVector(timestamp=when, members={"B": "a <x>"})
        sent = await server.expect(match("newTextVector", timestamp="2026-01-02T03:04:05"))
        assert [m.text for m in sent] == ["one", "a <x>"]
        await client.send_newVector("CCD", "CCD1", members={"CCD1": (b"abc", 0, ".txt")})
        sent = await server.expect(match("newBLOBVector"))
        assert (sent[0].get("size"), sent[0].get("format"), sent[0].text) == ("3", ".txt", "YWJj")
        await client.send_getProperties("Mount", "EQ")
        await server.expect(match("getProperties", device="Mount", name="EQ"))
        await client.send_enableBLOB("Also", "CCD")
        assert (await server.expect(match("enableBLOB", device="CCD"))).text == "Also"
        await client.resend_enableBLOB("CCD")
        assert (await server.expect(match("enableBLOB", device="CCD"))).text == "Also"


@asynchronous
async def test_a_file_is_sent_with_its_suffixes(tmp_path):
    path = tmp_path / "frame.fits.gz"
    path.write_bytes(b"12345")
    async with meeting(BLOB.replace('perm="ro"', 'perm="rw"')) as (server, client, _):
        await client.event("DefineBLOB", "CCD1")
        with open(path, "rb") as file:
            for value in (path, str(path), file):
                await client.send_newVector("CCD", "CCD1", members={"CCD1": (value, 0, "" if value is path else ".x")})
                [one] = await server.expect(match("newBLOBVector"))
                assert (one.text, one.get("size")) == ("MTIzNDU=", "5")
                assert one.get("format") == (".fits.gz" if value is path else ".x")


@asynchronous
async def test_what_cannot_be_sent_is_left_out_and_logged(caplog):
    async with meeting(DEFINE, SWITCHES) as (server, client, _):
        await client.event("Define", "CONNECTION")
        await client.send_newVector("Nobody", "EQ", members={"RA": 1})
        await client.send_newVector("Mount", "NONE", members={"RA": 1})
        await client.send_newVector("Mount", "EQ", members={"CONFIG_PROCESS": True})
        await client.send_newVector("Mount", "EQ", members={"RA": "north"})
        await client.send_newVector("Mount", "CONNECTION", members={"CONNECT": "maybe"})
        await client.send_newVector("Mount", "CONNECTION", timestamp="now", members={"CONNECT": "On"})
        await client.send_enableBLOB("Sometimes", "CCD")
        assert [e.tag for e in await server.everything()] == ["getProperties"]
        assert caplog.text.count("not sent") == 3


@asynchronous
async def test_a_vector_that_is_not_answered_times_out_once_and_the_connection_stays():
    async with meeting(DEFINE.replace('timeout="60"', ""), vector_timeout_min=0.1) as (server, client, _):
        await client.event("Define", "EQ")
        await server.send(numbers(RA=3))
        await client.event("Set", "EQ")
        await client.send_newVector("Mount", "EQ", members={"RA": 5})
        event = await client.event("TimeOut")
        assert isinstance(event, ipc.VectorTimeOut)
        assert event.vector is client["Mount"]["EQ"]
        await client.send_newVector("Mount", "EQ", members={"RA": 6})
        await server.send(numbers("Busy", RA=4))
        await client.event("Set", "EQ")
        await asyncio.sleep(0.15)
        assert client.events.empty(), "it has been answered"
        assert client.connected


@asynchronous
async def test_the_timeout_of_a_blob_vector_is_that_of_its_definition():
    async with meeting(BLOB.replace('perm="ro"', 'perm="rw" timeout="7"')) as (_, client, _server):
        assert (await client.event("DefineBLOB")).vector.timeout == 7.0


class Author(Client):
    """A class with names of its own, as scripts for PyPI's package have them."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._log = logging.getLogger("author")
        self._loop = self._default = self._verbose = None
        self._events = self._blobs = self._vectors = self._texts = self._silence = self._wishes = ()

    async def _anything(self, *args):
        raise AssertionError("nobody but the author calls this")

    _begin = _clear = _handle = _hold = _received = _say = _save = _tell = _update = _anything
    changed = define = delete = refuse = send_message = _anything


@asynchronous
async def test_names_of_the_authors_own_replace_nothing(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    async with meeting(SWITCHES, BLOB, kind=Author, BLOBfolder=str(tmp_path)) as (server, client, _):
        await client.event("DefineBLOB")
        await client.send_newVector("Mount", "CONNECTION", members={"CONNECT": "On"})
        await server.expect(match("newSwitchVector", device="Mount"))
        one = '<oneBLOB name="CCD1" size="3" format=".fits">YWJj</oneBLOB>'
        await server.send(f'<setBLOBVector device="CCD" name="CCD1">{one}</setBLOBVector>')
        await client.event("SetBLOB")
        assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"abc"]


# BLOBs


@asynchronous
async def test_blobs_go_to_the_folder_and_nowhere_else(tmp_path):
    folder = tmp_path / "blobs"
    folder.mkdir()
    definition = BLOB.replace('<defBLOB name="CCD1"', '<defBLOB name="../esc" label="x"/><defBLOB name="CCD1"')
    with pytest.raises(KeyError):
        ipc.IPyClient().BLOBfolder = tmp_path / "none"
    async with meeting(definition, BLOBfolder=str(folder)) as (server, client, _):
        assert (await server.expect(match("enableBLOB", device="CCD"))).text == "Also"
        for member in ("CCD1", "../esc", "CCD1"):
            one = f'<oneBLOB name="{member}" size="3" format=".fits">YWJj</oneBLOB>'
            stamp = 'timestamp="2026-11-22T01:02:03"'
            await server.send(f'<setBLOBVector device="CCD" name="CCD1" {stamp}>{one}</setBLOBVector>')
            event = await client.event("SetBLOB")
            name = client["CCD"]["CCD1"].member(member).filename
            assert (folder / name).read_bytes() == event[member] == b"abc"
        assert name == "CCD1_20261122_01_02_03_1.fits"
        assert {p.parent for p in tmp_path.rglob("*") if p.is_file()} == {folder}
        client.BLOBfolder = None
        assert (await server.expect(match("enableBLOB", device="CCD"))).text == "Never"


# Snapshots


@asynchronous
async def test_snapshots_do_not_change_and_are_json():
    async with meeting(DEFINE, SWITCHES, BLOB) as (server, client, _):
        await client.event("DefineBLOB")
        before = client.snapshot()
        assert client.snapshot() is before
        await server.send(numbers("Busy", RA="3:30"))
        await client.event("Set")
        after = client.snapshot()
        assert (before["Mount"]["EQ"]["RA"], after["Mount"]["EQ"]["RA"]) == ("1", "3:30")
        assert before["CCD"] is after["CCD"], "what has not changed is shared"
        assert after["Mount"]["CONNECTION"] is before["Mount"]["CONNECTION"]
        found = json.loads(after.dumps(indent=2, inc_user_string=True, inc_itemid=True, inc_blob=True))
        assert list(found) == ["indihost", "indiport", "connected", "messages", "devices", "user_string"]
        vector = found["devices"]["Mount"]["vectors"]["EQ"]
        assert vector["members"]["RA"] == {
            "label": "RA", "format": "%10.6m", "min": "0", "max": "24", "step": "0.1", "value": "3:30",
            "floatvalue": 3.5, "formattedvalue": "   3:30:00", "user_string": "", "itemid": 3,
        }  # fmt: skip
        assert (vector["vectortype"], vector["state"], vector["timeout"]) == ("NumberVector", "Busy", 60.0)
        assert found["devices"]["Mount"]["vectors"]["CONNECTION"]["rule"] == "OneOfMany"
        assert after.get_vector_state("Mount", "EQ") == "Busy"
        assert after.enabledlen() == 2
        one = '<oneBLOB name="CCD1" size="3" format=".x">YWJj</oneBLOB>'
        await server.send(f'<setBLOBVector device="CCD" name="CCD1">{one}</setBLOBVector>')
        await client.event("SetBLOB")
        vector = client.snapshot()["CCD"]["CCD1"]
        assert vector.dictdump(inc_blob=True)["members"]["CCD1"]["value"] == "YWJj"
        assert vector.dictdump()["members"]["CCD1"]["value"] is None


@asynchronous
async def test_snapshots_are_those_of_pypis_package():
    """The same server, both clients: the same JSON, but for item ids that were never given."""
    theirs = pypi.indipyclient()

    class Theirs(theirs.IPyClient):
        pass

    stamped = [t.replace('label=""', 'label="A label"').replace(' state="', ' timestamp="2026-11-22T01:02:03" state="', 1) for t in
               (DEFINE, SWITCHES, LIGHTS, TEXTS, BLOB)]  # fmt: skip
    dumps = []
    for kind in (ipc.IPyClient, Theirs):
        async with meeting(*stamped, kind=kind) as (_, client, _server):
            await eventually(lambda client=client: "CCD" in client)
            found = client.snapshot().dictdump(inc_user_string=True)
            for device in client.snapshot().values():
                found[device.devicename] = device.dictdump(inc_user_string=True, inc_itemid=True)
            found.pop("messages")
            found.pop("indiport")
            dumps.append(found)
    assert dumps[0] == dumps[1]
    assert json.dumps(dumps[0]) == json.dumps(dumps[1]), "in the same order, too"


@asynchronous
async def test_user_strings_may_be_set_before_the_item_exists():
    async with scripted() as server:
        client = Client("127.0.0.1", server.port)
        client.set_user_string("Mount", "EQ", "RA", "mine")
        client.set_user_string("Mount", None, None, "device")
        for arguments in (("", None, None), ("Mount", None, "RA")):
            with pytest.raises(KeyError):
                client.set_user_string(*arguments)
        task = asyncio.create_task(client.asyncrun())
        await server.client(DEFINE)
        await client.event("Define")
        assert client["Mount"]["EQ"].member("RA").user_string == client.get_user_string("Mount", "EQ", "RA") == "mine"
        assert client["Mount"].user_string == "device"
        client.set_user_string("Mount", "EQ", None, "vector")
        assert client.snapshot()["Mount"]["EQ"].user_string == "vector"
        client["Mount"]["EQ"].user_string = "another"
        assert client.snapshot()["Mount"]["EQ"].user_string == "another"
        client.shutdown()
        await task


@asynchronous
async def test_a_member_that_a_new_definition_adds_has_an_item_id():
    async with meeting(DEFINE) as (server, client, _):
        await client.event("Define")
        vector = client["Mount"]["EQ"]
        before = {name: member.itemid for name, member in vector.members().items()}
        new = DEFINE.replace("</defNumberVector>", '<defNumber name="NEW" format="%g" min="0" max="0" step="0">3'
                             "</defNumber></defNumberVector>")  # fmt: skip
        await server.send(new)
        await client.event("Define")
        assert client["Mount"]["EQ"] is vector
        after = {name: member.itemid for name, member in vector.members().items()}
        assert {name: after[name] for name in before} == before
        assert after["NEW"] > max(before.values())


# What is said


@asynchronous
async def test_reports_come_as_messages_whatever_is_in_them(caplog):
    caplog.set_level(logging.INFO, "indipyclient")
    async with meeting() as (_, client, _server):
        await client.event("ConnectionMade")
        await client.event("Message")
        await client.report('say "hi" <x> & so')
        assert client.messages[0][1] == 'say "hi" <x> & so'
        assert (await client.event("Message")).message == 'say "hi" <x> & so'
        client.enable_reports = False
        await client.report("quiet")
        await client.warning("loud")
        assert (await client.event("Message")).message == "loud"
    assert "quiet" in caplog.text


@asynchronous
async def test_a_broken_element_costs_itself_and_nothing_behind_it():
    async with meeting(DEFINE) as (server, client, _):
        await server.send(b'<setNumberVector device="Mount" name="EQ"><oneNumber name="RA">\xff&</oneNumber>')
        await server.send(numbers(RA=7))
        event = await client.event("Set", "EQ")
        while event.get("RA") != "7":
            event = await client.event("Set", "EQ")


def test_members_check_and_show_their_values():
    number = NumberMember("RA", format="%10.9m", membervalue="12:34:56.78")
    assert number.getformattedvalue().strip() == "12:34:56.78"
    assert number.getformattedstring("1.5").strip() == "1:30:00.00"
    assert number.onenumber(3).text == "3"
    with pytest.raises(ValueError, match="On or Off"):
        SwitchMember("S").membervalue = "maybe"
    assert SwitchMember("S").oneswitch("On").get("name") == "S"
    assert BLOBMember("B").oneblob(b"abc", 0, ".x").attrib == {"name": "B", "size": "3", "format": ".x"}
    with pytest.raises(TypeError):
        BLOBMember.getbytes(3)
    with pytest.raises(ValueError, match="null is not a file"):
        BLOBMember.getbytes("/dev/null")


@asynchronous
async def test_a_slow_rxevent_holds_up_the_server_and_loses_nothing():
    go = asyncio.Event()

    class Slow(Client):
        async def rxevent(self, event):
            if event.eventtype == "Set":
                await go.wait()
            await super().rxevent(event)

    many = 15_000
    async with meeting(DEFINE, kind=Slow) as (server, client, _):
        sending = asyncio.create_task(
            server.send(*[numbers(RA=n % 24, message=f"{n}" + " " * 500) for n in range(many)])
        )
        await asyncio.sleep(1.0)
        assert len(client._indi_events) < 2500, "it goes on reading"
        go.set()
        for n in range(many):
            assert (await client.event("Set", timeout=20)).message.strip() == str(n)
        await sending


@asynchronous
async def test_long_texts_hold_up_the_server(monkeypatch):
    monkeypatch.setattr("indipyclient.eventline.BYTES_WAITING", 1 << 20)
    go = asyncio.Event()

    class Slow(Client):
        async def rxevent(self, event):
            await go.wait()
            await super().rxevent(event)

    long = numbers(RA=1).replace("<oneNumber", " " * (200 << 10) + "<oneNumber")
    async with meeting(DEFINE, kind=Slow) as (server, client, _):
        sending = asyncio.create_task(server.send(*[long] * 200))
        await eventually(lambda: len(client._indi_events) > 4)
        await asyncio.sleep(0.2)
        assert len(client._indi_events) < 20, "it goes on reading"
        go.set()
        for _ in range(200):
            await client.event("Set", timeout=20)
        await sending


@asynchronous
async def test_a_server_cannot_fill_the_memory_with_names(monkeypatch):
    monkeypatch.setattr("indipyclient.devicestore.MAX_PROPERTIES", 5)
    monkeypatch.setattr("indipyclient.devicestore.MAX_DEVICES", 2)
    many = [
        TEXTS.replace("Mount", f"Mount {device}").replace("TEXTS", f"TEXTS {name}")
        for device in range(3)
        for name in range(4)
    ]
    async with meeting(*many, '<message message="end"/>') as (_, client, _):
        await client.event("Message")
        while (await client.event("Message")).message != "end":
            pass
        assert {name: len(device) for name, device in client.items()} == {"Mount 0": 4, "Mount 1": 1}


@asynchronous
async def test_a_server_cannot_fill_the_memory_with_texts(monkeypatch, caplog):
    monkeypatch.setattr("indipyclient.model.kept.TEXT_BYTES", 10_000)
    client = Client()
    for name in ("A", "B"):
        await client._indi_handle(define("D", name, VectorKind.TEXT, T="x" * 6000))
    assert list(client["D"]) == ["A"]
    await client._indi_handle(update("D", "A", VectorKind.TEXT, T="y" * 9500))
    assert client["D"]["A"]["T"] == "x" * 6000
    assert "no room for D A" in caplog.text
    for text in ("y" * 9000, "z", "y" * 9000, "z"):
        await client._indi_handle(update("D", "A", VectorKind.TEXT, T=text))
        assert client["D"]["A"]["T"] == text
    await client._indi_handle(define("D", "N", N=("1", "0", "9", "0")))
    for high in ("9" * 5000, "8"):
        more = SetVector(VectorKind.NUMBER, "D", "N", (OneMember("N", "1", None, high, None),))
        await client._indi_handle(more)
    assert client["D"]["N"].member("N").max == "8"
    await client._indi_handle(define("D", "I", VectorKind.BLOB, PIC=""))
    for size in (5000, 9900):
        await client._indi_handle(update("D", "I", VectorKind.BLOB, PIC=b"x")._replace(message="m" * size))
    assert client["D"]["I"].message == "m" * 5000
    await client._indi_handle(define("D", "N", N=("1", "0", "9", "0")))
    await client._indi_handle(update("D", "N", N="2")._replace(message="m" * 9000))
    assert client["D"]["N"]["N"] == "1"
    await client._indi_handle(update("D", "I", VectorKind.BLOB, PIC=b"x")._replace(message="short"))
    await client._indi_handle(update("D", "N", N="2")._replace(message="m" * 8000))
    await client._indi_handle(define("D", "N", N=("3", "0", "9", "0")))
    assert len(client["D"]["N"].message) == 8000
    assert client._indi_texts.bytes == sum(vector.size for vector in client["D"].values())


@asynchronous
async def test_a_server_cannot_fill_the_memory_beside_the_texts(monkeypatch):
    """By members that are named twice, by formats of BLOBs, by what devices say."""
    monkeypatch.setattr("indipyclient.model.kept.TEXT_BYTES", 10_000)
    client = Client()
    await client._indi_handle(define("D", "A", VectorKind.TEXT, T="x"))
    counted = client._indi_texts.bytes
    for _ in range(2):
        await client._indi_handle(update("D", "A", VectorKind.TEXT, T="y" * 5000))
        twice = tuple(OneMember("T", "z" * length, None, None, None) for length in (200, 129))
        await client._indi_handle(SetVector(VectorKind.TEXT, "D", "A", twice))
        assert client._indi_texts.bytes - counted < 200
    await client._indi_handle(define("D", "I", VectorKind.BLOB, PIC=""))
    await client._indi_handle(SetVector(VectorKind.BLOB, "D", "I", (OneBlob("PIC", b"x", 1, ".x" * 2000),)))
    assert client["D"]["I"].member("PIC").blobformat == ""
    for number in range(20):
        await client._indi_handle(Message("D", f"{number}" * 2000, None))
    said = [text for _, text in client["D"].messages]
    assert said[0] == "19" * 2000
    assert 1 < len(said) < 4
    assert client._indi_texts.bytes == sum(map(len, said)) + sum(vector.size for vector in client["D"].values())
    client["D"].messages.clear()
    await client._indi_handle(Message("D", "short", None))
    assert client._indi_texts.bytes == 5 + sum(vector.size for vector in client["D"].values())


def test_the_newest_blobs_are_kept_up_to_a_bound(monkeypatch):
    monkeypatch.setattr("indipyclient.model.kept.BLOB_BYTES", 250)
    client = ipc.IPyClient()
    for name in ("A", "B", "C"):
        client.define_vector(define("CCD", name, VectorKind.BLOB, PIC=""))
        client.data["CCD"][name].update(update("CCD", name, VectorKind.BLOB, PIC=bytes(100)))
        if name == "B":
            before = client.snapshot()["CCD"]["A"]
    assert [vector["PIC"] for vector in client["CCD"].values()] == [None, bytes(100), bytes(100)]
    assert before["PIC"] == bytes(100)
    assert client.snapshot()["CCD"]["A"]["PIC"] is None
    client.define_vector(define("CCD", "B", VectorKind.NUMBER, N="1"))
    client["CCD"]["C"].update(update("CCD", "C", VectorKind.BLOB, PIC=bytes(300)))
    assert (client["CCD"]["B"]["N"], client["CCD"]["C"]["PIC"]) == ("1", bytes(300)), "it is no BLOB any more"


@asynchronous
async def test_times_of_silence_hold_also_when_they_are_changed_later():
    async with meeting(DEFINE, idle_timeout=7) as (_, client, _):
        await client.event("Define")
        assert (client._indi_engine.idle, client._indi_engine.unanswered) == (7, 40)
        client.idle_timeout, client.respond_timeout = 0.01, 0.02
        assert (client._indi_engine.idle, client._indi_engine.unanswered) == (0.01, 0.02)
        client.set_vector_timeouts(timeout_max=5)
        assert (client.idle_timeout, client.respond_timeout) == (10, 20)
        assert (client._indi_engine.idle, client._indi_engine.unanswered) == (10, 20)


@asynchronous
async def test_a_vector_of_a_connection_that_was_lost_does_not_time_out(monkeypatch):
    monkeypatch.setattr("indipyclient.ipyclient.RETRY", 0.02)
    async with meeting(DEFINE) as (connection, client, server):
        old = (await client.event("Define")).vector
        await old.send_newNumberVector(members={"RA": 3})
        assert old._due
        connection.close()
        await server.client(DEFINE)
        await client.event("Define")
        old._due = 0.001  # long ago
        client.look_at_timeout(old)
        await client.report("later")
        while not client.events.empty():
            assert client.events.get_nowait().eventtype != "TimeOut"


@asynchronous
async def test_what_a_second_definition_does_not_say_stays():
    """indiserver sends the definitions that one client asks for to all of them."""
    one = '<setBLOBVector device="CCD" name="CCD1" state="Ok" message="done"><oneBLOB name="CCD1" size="3" format=".x">'
    async with meeting(BLOB.replace(' group="Main"', ""), one + "QUJD</oneBLOB></setBLOBVector>") as (link, client, _):
        event = await client.event("DefineBLOB")
        assert (event.group, event.vector.group) == ("DEFAULT GROUP", "DEFAULT GROUP")
        await client.event("SetBLOB")
        await link.send(BLOB)
        event = await client.event("DefineBLOB")
        member = event.vector.member("CCD1")
        assert (member.membervalue, member.blobsize, member.blobformat) == (b"ABC", 3, ".x")
        assert (event.vector.group, event.vector.message, event.message) == ("Main", "done", "")


@asynchronous
async def test_deletions_are_told_as_long_as_there_is_something_of_the_device():
    gone = '<delProperty device="Mount" name="{}" message="gone"/>'
    whole = '<delProperty device="Mount" message="all gone"/>'
    async with meeting(DEFINE, gone.format("OTHER"), whole, gone.format("EQ"), '<message message="end"/>') as (
        _,
        client,
        _,
    ):
        event = await client.event("Delete")
        assert (event.vectorname, event.vector, event.message) == ("OTHER", None, "gone")
        event = await client.event("Delete")
        assert (event.vectorname, event.message, client["Mount"].enable) == (None, "all gone", False)
        while True:
            event = await client.events.get()
            assert event.eventtype != "Delete"
            if event.eventtype == "Message" and event.message == "end":
                break
        assert [text for _, text in client["Mount"].messages] == ["all gone"]
        assert "all gone" in [text for _, text in client.messages]


@asynchronous
async def test_rxevent_may_wait_for_tasks_that_report():
    class Busy(Client):
        async def rxevent(self, event):
            if event.eventtype == "Define":
                await asyncio.gather(self.warning("one"), event.vector.create_clientevent("two"))
                await self.report("three")
                await asyncio.gather(self.report("four"))
            await super().rxevent(event)

    async with meeting(DEFINE, numbers(RA=5), kind=Busy) as (_, client, _):
        await client.event("Set", "EQ")
        await client.event("two", "EQ")
        said = [text for _, text in client.messages]
        assert said[:3] == ["four", "one", "three"]


@asynchronous
async def test_rxevent_may_wait_for_hardware_that_reports():
    """They have a queue between them with room for one."""

    class Handing(Client):
        def __init__(self, *args):
            super().__init__(*args)
            self.handed = asyncio.Queue(1)
            self.taken = []

        async def rxevent(self, event):
            if event.eventtype == "Set":
                await self.handed.put(event["RA"])
            await super().rxevent(event)

        async def hardware(self):
            while True:
                self.taken.append(await self.handed.get())
                await self.report(f"took {self.taken[-1]}")

    async with meeting(DEFINE, *(numbers(RA=n) for n in range(8)), kind=Handing) as (_, client, _):
        await eventually(lambda: len(client.taken) == 8)
        said = [f"took {n}" for n in range(8)]
        await eventually(lambda: [text for _, text in client.messages][::-1] == said)


@asynchronous
async def test_a_task_that_was_begun_in_rxevent_waits_for_it_later():
    class Beginning(Client):
        async def rxevent(self, event):
            if event.eventtype == "Define":
                self.task = asyncio.create_task(self.later())
            elif event.eventtype == "Message":
                await asyncio.sleep(0)
            await super().rxevent(event)

        async def later(self):
            await go_on.wait()
            await self.warning("later")
            return self.events.qsize()

    go_on = asyncio.Event()
    async with meeting(DEFINE, kind=Beginning) as (_, client, _):
        await client.event("Define")
        go_on.set()
        assert await asyncio.wait_for(client.task, 5) == 1
