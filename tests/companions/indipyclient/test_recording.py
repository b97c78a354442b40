"""A recording has what was said, and served again it is what it was."""

import asyncio
import errno
import gzip
import json
import signal
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import thermostat
from indipyclient import Client, State, SyncClient
from indipyclient.model.model import Model
from indipyclient.recording import player
from indipyclient.recording.files import Line, Recording, Writer
from indipyclient.recording.form import LinkChange, from_dict, to_dict
from indipyclient.recording.player import answer, definition, endless
from indipyclient.recording.recorder import record
from indipyclient.recording.replay import replayed
from indipydriver.protocol.messages import DefMember, DefVector, NewVector, OneBlob, OneMember, SetVector
from indipydriver.protocol.tags import Permission, SwitchRule, VectorKind
from indipydriver.testing import driver_test
from tests.support import asynchronous, eventually, free_port, running_server, started, wait_for_port

from .scripted import BLOB, DEFINE, SWITCHES, numbers, scripted
from .site import define, delete, say, update
from .test_cli import PATH, command
from .test_client import picture
from .test_silence import Line as Pair

# The form

texts = st.text(min_size=1, max_size=8)
optional = st.none() | texts
kinds = st.sampled_from([VectorKind.NUMBER, VectorKind.TEXT, VectorKind.SWITCH, VectorKind.LIGHT])
members = st.lists(st.builds(OneMember, texts, st.text(max_size=5), optional, optional, optional), max_size=3).map(
    tuple
)
blobs = st.lists(st.builds(OneBlob, texts, st.binary(min_size=1), st.none() | st.integers(0, 9), texts), max_size=3)
states = st.none() | st.sampled_from(list(State))
updates = st.builds(SetVector, kinds, texts, texts, members, states, optional, optional, optional)
blob_updates = st.builds(
    SetVector, st.just(VectorKind.BLOB), texts, texts, blobs.map(tuple), states, optional, optional, optional
)
numbers_defined = st.builds(DefMember, texts, st.text(max_size=5), texts, texts, texts, texts, texts)
definitions = st.builds(
    DefVector, st.just(VectorKind.NUMBER), texts, texts, st.sampled_from(list(State)),
    st.lists(numbers_defined, max_size=3).map(tuple), texts, st.text(max_size=3), st.sampled_from(list(Permission)),
    st.none() | st.sampled_from(list(SwitchRule)), optional, optional, optional,
)  # fmt: skip
said = (
    st.builds(delete, texts, optional, optional)
    | st.builds(say, texts, optional)
    | st.builds(LinkChange, st.booleans())
)


@given(updates | blob_updates | definitions | said)
def test_what_is_written_is_what_is_read(message):
    files = {}

    def save(blob):
        name = f"{len(files)}"
        files[name] = blob.data
        return name

    line = json.loads(json.dumps(to_dict(message, save)))
    assert from_dict(line, files.__getitem__) == message


@pytest.mark.parametrize(
    "line",
    [{}, {"op": "dance"}, {"op": "set"}, {"op": "def", "type": "Number", "members": 3}, {"op": "set", "type": "X"}],
)
def test_what_is_no_line_is_refused(line):
    with pytest.raises(ValueError, match=r"not a line|not a valid"):
        from_dict(line, lambda name: b"")


def test_a_recording_that_was_cut_off_counts_up_to_there(tmp_path):
    path = tmp_path / "night.indi"
    writer = Writer(path, "obs1:7624")
    for n in range(2000):
        writer.add(n / 10, update(RA=n))
    writer.add(201, update(kind=VectorKind.BLOB, PIC=b"abc"))
    writer.close()
    whole = list(Recording(path))
    assert (len(whole), Recording(path).server) == (2001, "obs1:7624")
    assert whole[-1].message.members[0].data == b"abc"
    cut = tmp_path / "cut.indi"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    part = list(Recording(cut))
    assert 0 < len(part) < 2000
    assert part == whole[: len(part)]
    with pytest.raises(FileExistsError):
        Writer(path, "")


@pytest.mark.parametrize("text", [b"", b"{}\n", b'{"format": "INDI recording", "version": 2}\n', b"no json\n"])
def test_what_is_no_recording_is_refused(text, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(text))
    with pytest.raises(ValueError, match=r"not a recording|version 2|not JSON"):
        Recording(path)
    path.write_bytes(text or b"x")
    with pytest.raises((ValueError, OSError)):
        Recording(path)


def test_a_recording_does_not_lead_out_of_its_folder(tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    path = tmp_path / "night.indi"
    head = {"format": "INDI recording", "version": 1}
    line = {
        "t": 0,
        "op": "set",
        "type": "BLOB",
        "device": "D",
        "name": "N",
        "members": [{"name": "M", "file": "../secret"}],
    }
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, (head, line))).encode() + b"\n"))
    [found] = Recording(path)
    assert found.message.members == ()


# Playing


def test_who_asks_is_told_what_is_now_and_commands_are_obeyed():
    model = Model()
    model.apply(define(RA="1", DEC="2", timeout="5"))
    model.apply(update(RA=3, state=State.OK))
    prop = model.get("Mount", "EQ")
    again = Model()
    again.apply(definition(prop))
    assert again.get("Mount", "EQ").values == {"RA": "3", "DEC": "2"}
    assert again.get("Mount", "EQ").state is State.OK
    said = answer(prop, NewVector(VectorKind.NUMBER, "Mount", "EQ", (OneMember("RA", "4"), OneMember("X", "4"))))
    assert (said.members, said.state) == ((OneMember("RA", "4"),), State.OK)
    switches = model.apply(define(kind=VectorKind.SWITCH, A="On", B="Off")).prop
    said = answer(switches, NewVector(VectorKind.SWITCH, "Mount", "EQ", (OneMember("B", "On"),)))
    assert said.members == (OneMember("A", "Off"), OneMember("B", "On"))
    read_only = model.apply(define(perm=Permission.READ_ONLY)).prop
    assert answer(read_only, NewVector(VectorKind.NUMBER, "Mount", "EQ", (OneMember("RA", "4"),))) is None


def test_a_loop_begins_again_behind_the_end():
    lines = endless([Line(0.0, say("a")), Line(2.0, say("b"))])
    found = [next(lines) for _ in range(4)]
    assert [line.t for line in found] == [0.0, 2.0, 3.0, 3.0]
    assert found[2].message == LinkChange(False)


class Listening:
    """The server of a player."""

    def __init__(self):
        self.frames = []
        self.unsent = 0

    def write(self, batch):
        self.frames += batch.frames

    def flush(self):
        pass


@driver_test
async def test_who_asks_a_fast_player_is_answered(monkeypatch):
    """Also one that never has to wait for the time of a line."""
    link = Listening()
    monkeypatch.setattr(player, "open_stdio", lambda: link)
    played = []

    def lines():
        for n in range(1000):
            played.append(n)
            yield Line(0.0, update(RA=n) if n else define())

    playing = asyncio.create_task(player.Player(lines())._play(1e9))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(played) < 10
    await playing
    assert len(link.frames) == 1000


@driver_test
async def test_a_player_waits_for_a_server_that_takes_nothing(monkeypatch):
    link = Listening()
    monkeypatch.setattr(player, "open_stdio", lambda: link)
    playing = player.Player(Line(n, update(RA=n) if n else define()) for n in range(5))
    task = asyncio.create_task(playing._play(1.0))
    await asyncio.sleep(1.5)
    assert len(link.frames) == 2
    link.unsent = player.UNSENT + 1
    await asyncio.sleep(60)
    assert len(link.frames) == 2
    link.unsent = 0
    playing.link_drained()
    await task
    assert len(link.frames) == 5


def test_blobs_of_another_recording_are_not_overwritten(tmp_path):
    first = Writer(tmp_path / "night", "here")
    first.add(0, update("CCD", "CCD1", VectorKind.BLOB, A=b"one"))
    first.close()
    (tmp_path / "night").rename(tmp_path / "old")
    with pytest.raises(FileExistsError, match="of another recording"):
        Writer(tmp_path / "night", "here")
    assert not (tmp_path / "night").exists()


@asynchronous
async def test_a_recording_is_served_again(tmp_path):
    path = tmp_path / "night.indi"
    async with scripted() as server, Client("127.0.0.1", server.port) as client:
        connection = await server.client(DEFINE, BLOB)
        await client.wait_property("CCD", "CCD1")
        recording = asyncio.create_task(record(client, path, blobs=True))
        await eventually(lambda: client.model and path.exists())
        await asyncio.sleep(0.05)
        await connection.send(SWITCHES, numbers("Busy", RA=3), picture(b"image"), numbers("Ok", RA=4, message="there"))
        await client.wait_property("Mount", "EQ", where=lambda p: p["RA"].number == 4)
        await asyncio.sleep(0.05)
        recording.cancel()
        await asyncio.gather(recording, return_exceptions=True)
        seen = {p.key: (p.state, p.label, p.group, p.values) for p in client.model}
    with replayed(path, speed=10) as port:
        async with Client("127.0.0.1", port) as again, again.blobs("CCD") as pictures:
            await again.wait_property("Mount", "EQ", state="Ok", where=lambda p: p["RA"].number == 4)
            assert {p.key: (p.state, p.label, p.group, p.values) for p in again.model} == seen
            outcome = await again.press("Mount", "CONNECTION", "CONNECT")
            assert outcome.confirmed
            del pictures


@asynchronous
async def test_pictures_are_served_again(tmp_path):
    path = tmp_path / "night.indi"
    writer = Writer(path, "")
    writer.add(0, define("CCD", "CCD1", VectorKind.BLOB, perm=Permission.READ_ONLY, PIC=""))
    writer.add(1, update("CCD", "CCD1", VectorKind.BLOB, PIC=b"image"))
    writer.close()
    with replayed(path, loop=True, speed=5) as port:
        async with Client("127.0.0.1", port) as client, client.blobs("CCD") as pictures:
            for _ in range(2):
                blob = await asyncio.wait_for(pictures.next(), 10)
                assert (blob.data, blob.format) == (b"image", ".bin")


def test_a_script_uses_it(tmp_path):
    path = tmp_path / "night.indi"
    writer = Writer(path, "")
    writer.add(0, define(RA="7"))
    writer.close()
    with replayed(path) as port, SyncClient("127.0.0.1", port) as client:
        assert client.wait_property("Mount", "EQ")["RA"].number == 7
    with pytest.raises(FileNotFoundError), replayed(tmp_path / "none"):
        pass
    with pytest.raises(ValueError, match="speed"), replayed(path, speed=0):
        pass


@asynchronous
async def test_the_commands(tmp_path):
    path = tmp_path / "night.indi"
    async with running_server(thermostat.make_driver(0.02)) as server:
        with command("record", str(path), "--for", "0.5", port=server.port) as program:
            assert await program.wait() == 0, program.stderr()
            assert "lines in" in program.stderr()
        with command("record", str(path), port=server.port) as program:
            assert await program.wait() == 2
        with command("record", str(tmp_path / "second.indi"), port=server.port) as program:
            await eventually((tmp_path / "second.indi").exists)
            await asyncio.sleep(0.2)
            program.interrupt()
            assert await program.wait() == 130
        assert len(list(Recording(tmp_path / "second.indi"))) > 3
    port = free_port()
    with started(
        sys.executable, "-m", "indipyclient", "replay", str(path), "--port", str(port), PYTHONPATH=PATH
    ) as program:
        await wait_for_port(port, program)
        async with Client("127.0.0.1", port) as client:
            prop = await client.wait_property("Thermostat", "TARGET")
            assert prop["TARGET"].value == "18"
        program.interrupt()
        assert await program.wait() == 130
        assert "is served on" in program.stderr()
    with started(sys.executable, "-m", "indipyclient", "replay", str(tmp_path / "none"), PYTHONPATH=PATH) as program:
        assert await program.wait() == 2


@pytest.mark.parametrize(
    ("line", "says"),
    [(b'{"t":NaN,"what":"message"}\n', "without a time"), (b"[" * 1000, None), (b"x" * 2000, "more than 1000 bytes")],
)
def test_a_recording_that_nobody_has_recorded_is_refused(tmp_path, monkeypatch, line, says):
    """One gzip file can hold a line that is larger than the memory."""
    monkeypatch.setattr("indipyclient.recording.files.LONGEST_LINE", 1000)
    path = tmp_path / "night.indi"
    Writer(path, "here").close()
    whole = gzip.decompress(path.read_bytes()) + line
    path.write_bytes(gzip.compress(whole))
    with pytest.raises(ValueError, match=says or "more than"):
        list(Recording(path))


@driver_test
async def test_what_quiet_instruments_said_is_in_the_file_after_a_crash(tmp_path):
    path = tmp_path / "night.indi"
    line = Pair()
    client = Client(connect=line.connect)
    await client.start()
    line.say(DEFINE, SWITCHES)
    await client.wait_property("Mount", "CONNECTION")
    recording = asyncio.create_task(record(client, path))
    await asyncio.sleep(1.0)
    line.say(numbers("Ok", RA=4))
    await asyncio.sleep(6.0)  # and nothing more is said
    assert [type(line.message).__name__ for line in Recording(path)] == ["DefVector", "DefVector", "SetVector"]
    recording.cancel()
    await asyncio.gather(recording, return_exceptions=True)
    await client.aclose()
    line.ends[0].close()


@pytest.mark.parametrize("name", ["flush", "add"])
@driver_test
async def test_a_recording_that_cannot_be_written_any_more_ends(tmp_path, monkeypatch, name):
    line = Pair()
    client = Client(connect=line.connect)
    await client.start()
    line.say(DEFINE)
    await client.wait_property("Mount", "EQ")
    recording = asyncio.create_task(record(client, tmp_path / "night.indi", duration=100.0))
    await asyncio.sleep(1.0)

    def full(*args):
        raise OSError(errno.ETIMEDOUT, "the disk is gone")  # which is a TimeoutError

    monkeypatch.setattr(Writer, name, full)
    line.say(numbers(RA=5))
    with pytest.raises(OSError, match="the disk is gone"):
        await asyncio.wait_for(recording, 60.0)
    await client.aclose()
    line.ends[0].close()


@asynchronous
async def test_a_recording_that_is_told_to_end_is_whole(tmp_path):
    path = tmp_path / "night.indi"
    async with running_server(thermostat.make_driver(0.02)) as server:
        with command("record", str(path), port=server.port) as program:
            await eventually(lambda: path.exists() and path.stat().st_size > 100, timeout=30)
            program.signal(signal.SIGTERM)
            assert await program.wait() == 0, program.stderr()
            assert "lines in" in program.stderr()
    assert gzip.decompress(path.read_bytes()).endswith(b"\n")


PROPERTY = {
    "t": 0, "op": "def", "type": "Number", "device": "D", "name": "P", "state": "Ok", "perm": "rw",
    "members": [{"name": "a", "value": "1"}],
}  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 200_000,
        b"[1]",
        b"\xff",
        b'{"t":1' + b"0" * 400 + b',"op":"link","connected":true}',
        b'{"t":1' + b"0" * 5000 + b',"op":"link","connected":true}',
        *[
            json.dumps({**PROPERTY, **change}).encode()
            for change in (
                {"members": [{"name": "a", "value": 5}]},
                {"members": [5]},
                {"members": 5},
                {"device": ["x"]},
                {"device": None},
                {"name": None},
                {"name": {}},
                {"label": 5},
                {"state": 5},
                {"type": []},
                {"op": []},
                {"timeout": 60},
                {"op": "set", "message": []},
                {"op": "set", "timestamp": 1},
                {"op": "message", "message": 5},
                {"op": "del", "device": 5},
                {"op": "set", "type": "BLOB", "members": [{"name": "a", "file": 5}]},
            )
        ],
    ],
    ids=lambda line: line[:60].decode(errors="replace"),
)
def test_a_line_that_is_none_is_refused(tmp_path, line):
    path = tmp_path / "night.indi"
    Writer(path, "here").close()
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + line + b"\n"))
    with pytest.raises(ValueError):  # noqa: PT011  # each has words of its own
        list(Recording(path))


def test_a_blob_whose_file_cannot_be_one_is_not_there(tmp_path):
    path = tmp_path / "night.indi"
    Writer(path, "here").close()
    blob = {**PROPERTY, "op": "set", "type": "BLOB", "members": [{"name": "a", "file": "x\0y"}]}
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + json.dumps(blob).encode() + b"\n"))
    assert [line.message.members for line in Recording(path)] == [()]
