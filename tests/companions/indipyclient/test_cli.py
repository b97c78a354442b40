"""The command: what it prints and how it ends, against servers that answer, refuse, say nothing and go away."""

import argparse
import asyncio
import base64
import contextlib
import errno
import importlib
import json
import os
import re
import shlex
import signal
import sys
import threading
import tracemalloc

import pytest

from examples import camera, stdio_driver, thermostat
from indipyclient import BadValue, Client, blobs
from indipyclient.addresses import Endpoint, Field, escape, parse_assignment, parse_endpoint, parse_pattern
from indipyclient.cli import watch
from indipyclient.cli.main import VERBS, main
from indipyclient.cli.output import lines_of, print_members
from indipyclient.cli.set import _Words
from indipyclient.cli.wait import Condition, _until
from indipyclient.model.commands import LARGEST
from indipyclient.model.model import Model
from indipyclient.waiting import within
from indipydriver.protocol.encode import encode
from indipydriver.protocol.limits import Limits
from indipydriver.protocol.messages import NewVector, OneBlob
from indipydriver.protocol.tags import VectorKind
from indipydriver.protocol.values import format_timestamp
from tests.support import ROOT, asynchronous, eventually, free_port, match, running_server, started

from .scripted import DEFINE, SWITCHES, numbers, scripted
from .site import define, say

PATH = f"{ROOT / 'companions'}{os.pathsep}{ROOT}"


@contextlib.contextmanager
def command(*arguments, port=None, **env):
    port = {"INDI_PORT": str(port)} if port else {}
    with started(
        sys.executable, "-m", "indipyclient", *arguments, PYTHONPATH=PATH, INDI_HOST="127.0.0.1", **port, **env
    ) as program:
        yield program


async def run(*arguments, port=None, timeout=20, **env):
    """Exit status, standard output and standard error."""
    with command(*arguments, port=port, **env) as program:
        status = await program.wait(timeout)
        return status, program.stdout(), program.stderr()


async def answering(server, *arguments, greeting=(DEFINE, SWITCHES), answers=()):
    """The command with a scripted server that sends these after the first command it gets."""
    with command(*arguments, port=server.port) as program:
        connection = await server.client(*greeting, timeout=15)
        if answers:
            await connection.expect(match("new.*Vector"))
            for answer in answers:
                if answer == "cut":
                    connection.close()
                else:
                    await connection.send(answer)
        status = await program.wait(20)
        return status, program.stdout(), program.stderr()


@asynchronous
async def test_get():
    async with running_server(thermostat.make_driver()) as server:
        status, out, _ = await run("get", "Thermostat.TARGET", port=server.port)
        assert (status, out) == (0, "Thermostat.TARGET.TARGET=18\n")
        status, out, _ = await run("get", "-1", "Thermostat.TARGET.TARGET", port=server.port)
        assert (status, out) == (0, "18\n")
        status, out, _ = await run("get", "*.T*._STATE", "T?ermostat.TARGET._PERM", port=server.port)
        assert sorted(out.split()) == [
            "Thermostat.TARGET._PERM=rw", "Thermostat.TARGET._STATE=Ok",
            "Thermostat.TEMPERATURE._STATE=Ok",
        ]  # fmt: skip
        status, out, _ = await run("get", "--json", "Thermostat.TARGET.TARGET", port=server.port)
        found = json.loads(out)
        assert (found["value"], found["float"], found["state"]) == ("18", 18.0, "Ok")
        status, out, err = await run("get", "-t", "0.3", "Thermostat.TARGETS.X", port=server.port)
        assert (status, out) == (1, "")
        assert "nothing is named Thermostat.TARGETS.X" in err
    async with running_server() as server:
        status, out, err = await run("get", "-t", "0.1", port=server.port)
        assert (status, out, err) == (1, "", "indipyclient: nothing is defined\n")


@asynchronous
async def test_names_with_dots_and_values_with_line_ends():
    define = DEFINE.replace('"Mount"', '"Mount v1.2"').replace('"RA"', '"R.A"').replace(">1<", ">1<")
    text = (
        '<defTextVector device="Mount v1.2" name="T" state="Ok" perm="ro">'
        '<defText name="A">a\nb\x1b</defText></defTextVector>'
    ).replace("\x1b", "\u202e")
    async with scripted() as server:
        for address in ("Mount v1.2.EQ.R.A", r"Mount v1\.2.EQ.R\.A"):
            _, out, _ = await answering(server, "get", address, greeting=(define, text))
            assert out == "Mount v1\\.2.EQ.R\\.A=1\n"
        _, out, _ = await answering(server, "get", r"Mount v1\.2.T", greeting=(define, text))
        assert out == "Mount v1\\.2.T.A=a\\nb\\u202e\n"


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("Mount v1.2", ["RA", "D.EC"]),
        ("Mount v1.2.EQ", ["RA", "D.EC"]),
        ("Mount v1.2.EQ.RA", ["RA"]),
        ("Mount v1.2.EQ.D.EC", ["D.EC"]),
        (r"Mount v1\.2.E*", ["RA", "D.EC"]),
        ("Mount.E.Q", ["A"]),
        ("Mount.E.Q.A", ["A"]),
        ("Mount.NONE.A", []),
        ("Mount v1", []),
    ],
)
def test_a_dot_that_is_clear_needs_no_backslash(text, members):
    model = Model()
    model.apply(define("Mount v1.2", "EQ", **{"RA": 1, "D.EC": 2}))
    model.apply(define("Mount", "E.Q", A=1))
    model.apply(define("Mount.E", "OTHER", B=1))
    pattern = parse_pattern(text, model)
    assert [name for prop in model if pattern.matches(prop) for name in pattern.members(prop)] == members


ODD = (
    "a=b",
    "a*",
    "a?",
    "a.b",
    "a b ",
    "a\\b",
    "a\\",
    "a<b",
    "a>=b",
    "a!=b",
    "[a]",
    "]",
    "_STATE",
    "*",
    "ab",
    "a",
    " b",
)


@pytest.mark.parametrize("name", ODD)
def test_each_name_can_be_written_so_that_nothing_else_is_meant(name):
    model = Model()
    for device in ODD:
        for prop in (name, "ab"):
            model.apply(define(device, prop, **dict.fromkeys(ODD, 1)))
    for member in ODD:
        address = ".".join(map(escape, (name, name, member)))
        pattern = parse_pattern(address)
        assert (pattern.only_device, pattern.only_name, pattern.only_member) == (name, name, member)
        assert pattern.fixed
        assert parse_pattern(address, model) == pattern
        found = [(prop.key, each) for prop in model if pattern.matches(prop) for each in pattern.members(prop)]
        assert found == [((name, name), member)]
        assert not isinstance(found[0][1], Field)
        assert parse_assignment(f"{address}=x=1") == (address, "x=1")
        spaced = address[:-1] + "\\ " if address.endswith(" ") else address
        assert Condition(f"{spaced} >= a=1").pattern.only_member == member


def test_a_field_and_a_member_of_its_name_are_told_apart(capsys):
    model = Model()
    model.apply(define("Mount", "EQ", _STATE=5))
    [prop] = model
    for address, line in (("Mount.EQ._STATE", "Mount.EQ._STATE=Idle"), (r"Mount.EQ.\_STATE", r"Mount.EQ.\_STATE=5")):
        print_members(prop, lines_of([parse_pattern(address)], prop), False)
        assert capsys.readouterr().out == f"{line}\n"
    print_members(prop, lines_of([parse_pattern("Mount.EQ")], prop), False)
    assert capsys.readouterr().out == "Mount.EQ.\\_STATE=5\n"


@asynchronous
async def test_odd_names_are_set():
    defined = DEFINE.replace('"RA"', '"R=A*"').replace('"DEC"', '"D.E"')
    async with scripted() as server:
        with command("set", r"Mount.EQ.R\=A\*=5", r"D\.E=6", "--wait", "sent", port=server.port) as program:
            link = await server.client(defined, timeout=15)
            sent = await link.expect(match("newNumberVector"), timeout=15)
            assert {one.get("name"): one.text for one in sent} == {"R=A*": "5", "D.E": "6"}
            assert await program.wait(20) == 0, program.stderr()
            assert program.stdout() == "Mount.EQ.R\\=A\\*=1\nMount.EQ.D\\.E=2\n"


def test_all_that_a_device_says_while_a_command_waits_is_told(capsys):
    """Also after more than is kept of what it says."""
    client = Client()
    client.model.apply(define())
    words = _Words(client, "Mount")
    for number in range(150):
        client.model.apply(say(f"no. {number}", "Mount"))
        if number in (70, 149):
            words.tell_now()
    assert capsys.readouterr().err.splitlines() == [f"indipyclient: Mount: no. {number}" for number in range(150)]


def test_a_file_that_no_server_takes_is_not_read(tmp_path, capsys):
    with open(tmp_path / "video.ser", "wb") as file:
        file.truncate(LARGEST + 1)
    assert main(["blob", "Echo.BLOB.DATA", "--send", str(tmp_path / "video.ser")]) == 2
    assert "too large: no server takes more than 383 MiB" in capsys.readouterr().err


def test_a_file_that_grows_while_it_is_read_is_read_only_as_far_as_it_can_be_sent(tmp_path, monkeypatch):
    path = tmp_path / "log.txt"
    path.write_bytes(b"x")
    before = os.stat(path)
    path.write_bytes(bytes(10 << 20))
    monkeypatch.setattr(blobs.os, "fstat", lambda descriptor: before)
    assert len(blobs.bytes_of(path)) == 10 << 20
    monkeypatch.setattr(blobs, "LARGEST", 3 << 20)
    tracemalloc.start()
    with pytest.raises(BadValue, match=r"log\.txt is too large"):
        blobs.bytes_of(path)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("path", ["/dev/zero", os.devnull, os.path.dirname(__file__)])
def test_only_files_and_pipes_are_sent(path, capsys):
    assert main(["blob", "Echo.BLOB.DATA", "--send", path]) == 2
    assert capsys.readouterr().err


def test_a_pipe_is_read_only_as_far_and_as_long_as_it_may_be(tmp_path, capsys, monkeypatch):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert main(["blob", "Echo.BLOB.DATA", "--send", str(path), "-t", "0.1"]) == 4
    assert "pipe has not come to its end in 0.1 s" in capsys.readouterr().err

    def write():
        with contextlib.suppress(BrokenPipeError), open(path, "wb", buffering=0) as pipe:
            while True:
                pipe.write(bytes(1 << 16))

    monkeypatch.setattr(blobs, "LARGEST", 3 << 20)
    writing = threading.Thread(target=write)
    writing.start()
    assert main(["blob", "Echo.BLOB.DATA", "--send", str(path), "-t", "20"]) == 2
    writing.join(10)
    assert "pipe is too large" in capsys.readouterr().err


@asynchronous
async def test_what_comes_through_a_pipe_is_sent(tmp_path):
    path = tmp_path / "pipe.fits"
    os.mkfifo(path)
    async with scripted() as server:
        with command("blob", "CCD.P1.c", "--send", str(path), port=server.port) as it:
            await asyncio.to_thread(path.write_bytes, bytes(1_000_000))
            link = await server.client(UPLOAD.format("P1"), timeout=15)
            element = await link.expect(match("newBLOBVector"), timeout=15)
            assert (element[0].get("size"), element[0].get("format")) == ("1000000", ".fits")
            await link.send('<setBLOBVector device="CCD" name="P1" state="Ok"/>')
            assert await it.wait(20) == 0, it.stderr()


def test_the_largest_file_fits_with_what_stands_around_it():
    around = NewVector(VectorKind.BLOB, "D" * 60, "P" * 60, (OneBlob("M" * 60, b"x", 0, ".fits"),), format_timestamp())
    assert LARGEST * 4 / 3 + len(encode(around).raw) < Limits().blob


@asynchronous
async def test_a_disk_that_times_out_is_no_time_that_is_over():
    async with within(0.01):
        await asyncio.sleep(30)
    with pytest.raises(TimeoutError, match="disk"):
        async with within(30):
            raise OSError(errno.ETIMEDOUT, "disk")


@asynchronous
async def test_watch_forgets_what_is_gone(capsys, monkeypatch):
    """Apart from the last values of some."""
    kept = []
    see = watch._Seen

    def made(patterns):
        kept.append(see(patterns))
        return kept[0]

    monkeypatch.setattr(watch, "_Seen", made)
    monkeypatch.setattr(watch, "GONE", 3)
    async with scripted() as server:
        options = watch_options(f"127.0.0.1:{server.port}")
        watching = asyncio.ensure_future(watch._watch(options))
        connection = await server.client(DEFINE)
        await eventually(lambda: kept and len(kept[0].known) == 1)
        await connection.send('<delProperty device="Mount" name="EQ"/>', SWITCHES)
        await eventually(lambda: list(kept[0].known) == [("Mount", "CONNECTION")])
        assert list(kept[0].gone) == [("Mount", "EQ")]
        await connection.send('<delProperty device="Mount"/>')
        await eventually(lambda: not kept[0].known)
        assert list(kept[0].gone) == [("Mount", "CONNECTION")], "more than three are too many"
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert "Mount.CONNECTION.CONNECT=Off" in capsys.readouterr().out


def watch_options(server):
    return argparse.Namespace(
        addresses=[], every=0.0, count=None, duration=None, changes=False, json=False, server=server, port=None,
        tls=False, ca=None,
    )  # fmt: skip


@asynchronous
async def test_set_waits_for_the_outcome_and_says_it():
    async with running_server(thermostat.make_driver(0.02)) as server:
        status, out, err = await run("set", "Thermostat.TARGET.TARGET=19", "--wait", "answered", port=server.port)
        assert (status, out) == (0, "Thermostat.TARGET.TARGET=19.0\n"), err
        status, _, err = await run("set", "Thermostat.TARGET.TARGET=99", port=server.port)
        assert status == 2
        assert "from 5 to 30" in err
        status, _, err = await run("set", "Thermostat.TARGE.TARGET=20", "--names", "0.2", port=server.port)
        assert status == 1
        assert "did you mean 'TARGET'" in err
        assert (await run("set", "Thermostat.TEMPERATURE.ROOM=1", port=server.port))[0] == 2


ENDS = {
    "accepted": ([numbers("Busy"), numbers("Ok", RA=3)], 0, "Mount.EQ.RA=3"),
    "refused": ([numbers("Alert", message="below the horizon")], 3, "below the horizon"),
    "still busy": ([numbers("Busy")], 4, "still Busy"),
    "no answer": ([], 4, "has not answered"),
    "words and no answer": (['<message device="Mount" message="read only"/>'], 4, "last message: read only"),
    "lost": (["cut"], 5, "lost"),
    "deleted": (['<delProperty device="Mount"/>'], 5, "deleted"),
}


@asynchronous
async def test_a_folder_where_nothing_can_be_written_is_told_at_once(tmp_path):
    """And not with the first image of the night, which would be lost."""
    (tmp_path / "file").touch()
    async with scripted() as server:
        status, _, err = await run("blob", "Camera", "-o", str(tmp_path / "file" / "x"), port=server.port)
    assert status == 2
    assert "file/x: Not a directory" in err


@pytest.mark.parametrize("name", ENDS)
@asynchronous
async def test_how_set_ends(name):
    answers, wanted, words = ENDS[name]
    async with scripted() as server:
        status, out, err = await answering(server, "set", "Mount.EQ.RA=3", "--timeout", "0.7", answers=answers)
    assert status == wanted, err
    assert words in out + err


@asynchronous
async def test_set_does_not_call_busy_what_has_stopped_elsewhere():
    async with scripted() as server:
        answers = [numbers("Busy"), numbers("Ok", RA=2)]
        words = "set", "Mount.EQ.RA=3", "--wait", "values", "--timeout", "0.7"
        status, _, err = await answering(server, *words, answers=answers)
    assert status == 4
    assert "Mount.EQ is Ok, without the requested values, after 0.7 s" in err


@asynchronous
async def test_set_says_when_it_is_not_what_was_asked():
    async with scripted() as server:
        status, _, err = await answering(server, "set", "Mount.EQ.RA=3", answers=[numbers("Ok", RA=2)])
    assert status == 0
    assert "without the requested values" in err


@asynchronous
async def test_set_tells_what_the_device_says_while_it_waits():
    async with scripted() as server:
        with command("set", "Mount.EQ.RA=3", "--timeout", "60", port=server.port) as program:
            connection = await server.client(DEFINE, timeout=15)
            await connection.expect(match("newNumberVector"))
            await connection.send('<message device="Mount" message="the command is refused"/>')
            await eventually(lambda: "the command is refused" in program.stderr(), 30)
            await connection.send('<message device="Mount" message="or not"/>', numbers("Ok", RA=3))
            assert await program.wait(20) == 0
            said = program.stderr().splitlines()
    assert said == ["indipyclient: Mount: the command is refused", "indipyclient: Mount: or not"]


@asynchronous
async def test_set_tells_also_what_the_device_says_right_before_it_refuses():
    async with scripted() as server:
        with command("set", "Mount.EQ.RA=3", port=server.port) as program:
            connection = await server.client(DEFINE, timeout=15)
            await connection.expect(match("newNumberVector"))
            why = '<message device="Mount" message="the dome is closed"/>'
            await connection.send(why, numbers("Alert", message="no slew"))
            assert await program.wait(20) == 3
            said = program.stderr().splitlines()
    assert said == ["indipyclient: Mount: the dome is closed", "indipyclient: Mount.EQ was refused: no slew"]


@asynchronous
async def test_set_takes_several_members_and_properties_in_order():
    async with scripted() as server:
        with command(
            "set", "Mount.EQ.RA=3", "DEC=4", "Mount.CONNECTION.CONNECT=On", "--json", port=server.port
        ) as program:
            connection = await server.client(DEFINE, SWITCHES, timeout=15)
            await connection.expect(match("newNumberVector", values={"RA": "3", "DEC": "4"}))
            await connection.send(numbers(RA=3, DEC=4))
            await connection.expect(match("newSwitchVector", values={"CONNECT": "On"}))
            on = '<oneSwitch name="CONNECT">On</oneSwitch>'
            await connection.send(
                f'<setSwitchVector device="Mount" name="CONNECTION" state="Ok">{on}</setSwitchVector>'
            )
            assert await program.wait() == 0
            first, second = map(json.loads, program.stdout().splitlines())
            assert (first["confirmed"], second["values"]["CONNECT"]) == (True, "On")


@pytest.mark.parametrize(
    "arguments",
    [["set", "A.B.C"], ["set", "C=1"], ["set", "A.*.C=1"], ["wait", "A.B.C"], ["get", "-s", "[::1"], ["get", "-s", "h:99999"],
     ["get", "--ca", "/none"], ["blob", "*"]],
)  # fmt: skip
@asynchronous
async def test_wrong_use_is_status_2(arguments):
    async with scripted() as server:
        with command(*arguments, port=server.port) as program:
            assert await program.wait() == 2
            assert program.stderr().startswith("indipyclient: ")
            assert "Traceback" not in program.stderr()


@pytest.mark.parametrize(
    "arguments",
    [["get", "-t", "nan"], ["get", "-t=-1"], ["set", "A.B.C=1", "--names", "nan"], ["set", "A.B.C=1", "-t", "nan"],
     ["wait", "A.B.C == 1", "--timeout", "nan"], ["watch", "--every", "nan"], ["watch", "--for", "nan"], ["watch", "--count", "0"],
     ["messages", "--for", "NaN"], ["messages", "--count", "0"], ["blob", "A", "--count", "-1"], ["blob", "A.B", "-t", "soon"],
     ["devices", "-t", "nan"], ["snapshot", "-t", "nan"], ["record", "night", "--for", "nan"]],
)  # fmt: skip
def test_a_time_or_a_number_that_is_none_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "is no" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(("port", "arguments"), [("abc", []), ("0", []), ("7624", ["-p", "0"])])
def test_a_port_that_is_none_is_status_2(port, arguments, capsys, monkeypatch):
    monkeypatch.setenv("INDI_PORT", port)
    assert main(["get", *arguments]) == 2
    assert re.fullmatch(r"indipyclient: .*not a port.* use 1 to 65535\n", capsys.readouterr().err)


def test_a_recording_that_is_not_there_is_named(tmp_path, capsys):
    assert main(["replay", str(tmp_path / "no.indi")]) == 2
    assert capsys.readouterr().err == f"indipyclient: {tmp_path / 'no.indi'}: No such file or directory\n"


@pytest.mark.parametrize("option", ["-s", "--server", "--host"])
def test_a_server_that_is_none_is_status_2(option, capsys):
    assert main(["get", option, "localhost:abc"]) == 2
    assert capsys.readouterr().err == (
        "indipyclient: not the address of a server: 'localhost:abc'; write host:port or [IPv6]:port\n"
    )


@pytest.mark.parametrize("text", ["::1", "fe80::1%eth0", "2001:db8::7"])
def test_an_address_of_ipv6_needs_no_brackets(text):
    assert parse_endpoint(text, 7625) == Endpoint(text, 7625)


@asynchronous
async def test_no_server_is_status_2():
    status, _, err = await run("get", port=free_port())
    assert status == 2
    assert "is the server running?" in err


@asynchronous
async def test_watch_prints_what_changes_and_survives_a_restart():
    async with scripted() as server:
        with command("watch", "Mount.EQ.RA", "Mount.EQ._STATE", "--count", "6", port=server.port) as program:
            connection = await server.client(DEFINE, timeout=15)
            await eventually(lambda: program.stdout().count("\n") == 2)
            await connection.send(numbers("Idle", RA=3))
            await eventually(lambda: program.stdout().count("\n") == 3)
            await connection.send(numbers("Idle", RA=3))
            connection.close()
            again = await server.client(DEFINE, numbers("Busy", RA=4))
            await eventually(lambda: "RA=4" in program.stdout())
            await again.send(numbers("Ok", RA=4))
            assert await program.wait() == 0
            lines = program.stdout().splitlines()
            assert lines[:3] == ["Mount.EQ.RA=1", "Mount.EQ._STATE=Idle", "Mount.EQ.RA=3"]
            assert "closed the connection" in program.stderr()


@asynchronous
async def test_watch_shows_changes_that_come_with_another_definition():
    """Of a property, of a driver that has started again, and after the connection was lost."""
    define = [DEFINE.replace(">1<", f">{value}<") for value in range(6)]
    async with scripted() as server:
        with command("watch", "Mount.EQ.*", "--changes", "--count", "6", port=server.port) as program:

            async def shown(lines):
                await eventually(lambda: program.stdout().count("\n") == lines)

            connection = await server.client(define[1], timeout=15)
            await connection.send('<pingRequest uid="seen"/>')
            await connection.expect(match("pingReply"))
            await connection.send(numbers("Idle", DEC=-1))
            await shown(1)
            await connection.send(define[2])
            await shown(3)
            await connection.send('<delProperty device="Mount"/>', SWITCHES, define[3])
            await shown(4)
            connection.close()
            again = await server.client(define[3], define[4])
            await shown(5)
            await again.send('<delProperty device="Mount" name="EQ"/>', define[4])
            await again.send(numbers("Idle", RA=5))
            assert await program.wait() == 0
            assert [line.removeprefix("Mount.EQ.") for line in program.stdout().splitlines()] == [
                "DEC=-1", "RA=2", "DEC=2", "RA=3", "RA=4", "RA=5",
            ]  # fmt: skip


@asynchronous
async def test_wait_sees_a_state_that_lasts_for_a_moment():
    async with scripted() as server:
        with command("wait", "Mount.EQ._STATE == Alert", "Mount.EQ.RA > 2.5", "-t", "10", port=server.port) as program:
            connection = await server.client(DEFINE, timeout=15)
            async with asyncio.timeout(10):
                with contextlib.suppress(ConnectionError):  # it has seen enough
                    while program.process.poll() is None:  # nothing tells when it begins to look
                        said = (numbers("Alert", RA=2), numbers("Ok", RA=3), numbers("Alert"), numbers("Ok"))
                        await connection.send(*said)
                        await asyncio.sleep(0.05)
            assert await program.wait() == 0
        status, _, err = await answering(server, "wait", "Mount.EQ.RA == 99", "-t", "0.2")
        assert status == 4
        assert "not true within 0.2 s" in err


@asynchronous
async def test_wait_looks_at_each_change_and_not_at_what_is_left_of_several():
    conditions = [Condition("Mount.EQ._STATE == Alert"), Condition("Mount.EQ.RA > 2.5")]
    async with scripted() as server, Client("127.0.0.1", server.port) as client:
        connection = await server.client(DEFINE)
        await client.wait_property("Mount", "EQ")
        waiting = asyncio.create_task(_until(client, conditions))
        await asyncio.sleep(0)
        await connection.send(numbers("Ok", RA=3) + numbers("Alert") + numbers("Ok"))
        await asyncio.wait_for(waiting, 5)


@asynchronous
async def test_what_a_server_says_does_not_turn_the_direction_of_writing():
    odd = "one\u202etwo\u2028three"
    async with scripted() as server:
        with command("messages", "--count", "1", port=server.port) as program:
            await server.client(DEFINE, f'<message device="Mount" message="{odd}"/>', timeout=15)
            assert await program.wait(20) == 0
            assert program.stdout() == "Mount: one\\u202etwo\\u2028three\n"
        status, _, err = await answering(server, "set", "Mount.EQ.RA=3", answers=[numbers("Alert", message=odd)])
        assert status == 3
        assert err.endswith("was refused: one\\u202etwo\\u2028three\n")


@asynchronous
async def test_messages_devices_and_snapshots():
    async with scripted() as server:
        with command("messages", "Mount", "--count", "1", port=server.port) as program:
            said = (
                '<message message="of all"/>',
                '<message device="Mount" timestamp="2026-01-02T03:04:05" message="hello"/>',
            )
            await server.client(DEFINE, *said, timeout=15)
            assert await program.wait() == 0
            assert program.stdout() == "2026-01-02T03:04:05+00:00 Mount: hello\n"
        _, out, _ = await answering(server, "devices", "--properties")
        assert out.splitlines()[0] == "Mount  (not connected)"
        assert "    EQ (Number, rw, Idle): RA, DEC" in out
        _, out, _ = await answering(server, "devices", "--json")
        assert json.loads(out)["properties"]["EQ"] == ["RA", "DEC"]
        _, out, _ = await answering(server, "snapshot", "Mount", "EQ")
        assert json.loads(out)["members"]["RA"]["floatvalue"] == 1.0
        assert (await answering(server, "snapshot", "Dome"))[0] == 1
        status, _, err = await answering(server, "devices", "-t", "0.2", greeting=())
        assert (status, "no devices" in err) == (1, True)


@asynchronous
async def test_blobs_are_saved_and_sent(tmp_path):
    async with running_server(camera.make_driver(), stdio_driver.make_driver()) as server:
        await run("set", "Camera.CONNECTION.CONNECT=On", port=server.port)
        with command("blob", "Camera.CCD1", "-o", str(tmp_path), "--count", "1", "--json", port=server.port) as program:
            await asyncio.sleep(0.7)
            status, _, err = await run("set", "Camera.CCD_EXPOSURE.CCD_EXPOSURE_VALUE=0.1", port=server.port)
            assert status == 0, err
            assert await program.wait() == 0, program.stderr()
            found = json.loads(program.stdout())
            with open(found["path"], "rb") as file:
                assert file.read(6) == b"SIMPLE"
        path = tmp_path / "data.raw"
        path.write_bytes(b"12345")
        with command("blob", "Echo", "-o", str(tmp_path / "back"), "--count", "1", port=server.port) as program:
            await asyncio.sleep(0.7)
            status, _, err = await run("blob", "Echo.BLOB", "--send", str(path), port=server.port)
            assert status == 0, err
            assert await program.wait() == 0
            [back] = (tmp_path / "back").iterdir()
            assert (back.read_bytes(), back.suffix) == (b"12345", ".raw")


@pytest.mark.parametrize("send", [[], ["--send", __file__]])
@asynchronous
async def test_a_property_without_blobs_has_none(send, tmp_path):
    async with scripted() as server:
        with command("blob", "Mount.CONNECTION.CONNECT", *send, port=server.port) as program:
            await server.client(SWITCHES, timeout=15)
            assert await program.wait(20) == 2
            words = {0: "Mount.CONNECTION has no BLOBs: it is Switch", 2: "CONNECT is a switch, not bytes"}
            assert words[len(send)] in program.stderr()


@pytest.mark.parametrize(
    ("address", "what"), [("Mont.EQ", "device 'Mont'"), ("Mont", "device 'Mont'"), ("Mount.E", "property 'E'")]
)
@asynchronous
async def test_it_says_for_what_it_waits(address, what):
    async with scripted() as server:
        with command("blob", address, "--for", "60", port=server.port) as program:
            await server.client(DEFINE, timeout=15)
            await eventually(lambda: f"waiting: no {what}" in program.stderr(), 30)


@asynchronous
async def test_an_interrupt_is_status_130_and_a_closed_pipe_is_silent():
    async with scripted() as server:
        with command("watch", port=server.port) as program:
            await server.client(DEFINE, timeout=15)
            await eventually(program.stdout)
            program.interrupt()
            assert await program.wait() == 130
            assert program.stderr() == ""
    async with running_server(thermostat.make_driver(0.02)) as server:
        line = f"{shlex.quote(sys.executable)} -m indipyclient watch | head -n 1"
        with started("sh", "-c", line, PYTHONPATH=PATH, INDI_HOST="127.0.0.1", INDI_PORT=str(server.port)) as program:
            assert await program.wait() == 0
            assert program.stderr() == ""


@asynchronous
async def test_without_arguments_the_terminal_client_is_named(tmp_path):
    status, _, err = await run()
    assert status == 2
    assert "pip install 'indipydriver[term]'" in err or "this is not a terminal" in err
    package = tmp_path / "indipyterm"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text("def main():\n    print('the terminal')\n")
    with started(sys.executable, "-m", "indipyclient", PYTHONPATH=f"{tmp_path}{os.pathsep}{PATH}") as program:
        assert await program.wait() == 0
        assert program.stdout() == "the terminal\n"


# Help


def examples():
    for verb in VERBS:
        text = importlib.import_module(f"indipyclient.cli.{verb}").EXAMPLES
        for line in text.splitlines():
            words = shlex.split(re.split(r"\s{2,}", line.strip())[0])
            assert words[:2] == ["indipyclient", verb]
            yield pytest.param(words[1:], id=" ".join(words[1:]))


@pytest.mark.parametrize("arguments", list(examples()))
def test_the_examples_of_the_help_are_read(arguments, monkeypatch):
    """Each is taken by its parser; those that are in the tutorials run there."""
    module = importlib.import_module(f"indipyclient.cli.{arguments[0]}")
    taken = []
    monkeypatch.setattr(module, "run" if hasattr(module, "run") else "told", lambda work: taken.append(work) or 0)
    assert module.main(arguments[1:]) == 0
    assert taken


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help_with_three_examples(verb, capsys):
    module = importlib.import_module(f"indipyclient.cli.{verb}")
    with pytest.raises(SystemExit) as caught:
        module.main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert out.count(f"  indipyclient {verb}") >= 3
    assert "exit status" in out


@asynchronous
async def test_version_and_help():
    status, out, _ = await run("--version")
    assert (status, out.strip()) == (0, "4.0.0")
    status, out, _ = await run("--help")
    assert status == 0
    assert all(verb in out for verb in VERBS)


UPLOAD = '<defBLOBVector device="CCD" name="{}" state="Ok" perm="rw"><defBLOB name="a.b"/><defBLOB name="c"/></defBLOBVector>'


def image(name, member):
    one = f'<oneBLOB name="{member}" size="3" format=".x">YWJj</oneBLOB>'
    return f'<setBLOBVector device="CCD" name="{name}" state="Ok">{one}</setBLOBVector>'


@pytest.mark.parametrize(
    ("address", "found"),
    [
        (r"CCD.P1.a\.b", ["P1 a.b"]),
        ("CCD.P1.a*", ["P1 a.b"]),
        ("CCD.P?.c", ["P1 c", "P2 c"]),
        ("CCD.*1", ["P1 a.b", "P1 c"]),
        ("CCD", ["P1 a.b", "P1 c", "P2 c", "Q c"]),
    ],
)
@asynchronous
async def test_blobs_of_an_address(address, found, tmp_path):
    async with scripted() as server:
        with command(
            "blob", address, "-o", str(tmp_path), "--json", "--count", str(len(found)), port=server.port
        ) as it:
            link = await server.client(*[UPLOAD.format(name) for name in ("P1", "P2", "Q")], timeout=15)
            await link.expect(match("enableBLOB"), timeout=15)
            await link.send(image("P1", "a.b"), image("P1", "c"), image("P2", "c"), image("Q", "c"))
            assert await it.wait(20) == 0, it.stderr()
            lines = [json.loads(line) for line in it.stdout().splitlines()]
        assert [f"{line['property']} {line['member']}" for line in lines] == found


SLOW = """
import sys, time
from indipyclient.blobs import ReceivedBlob
from indipyclient.cli.main import main
write = ReceivedBlob.write_to
def slowly(self, folder):
    time.sleep({pause})
    if self.data == b"bad":
        raise OSError(28, "No space left on device")
    return write(self, folder)
ReceivedBlob.write_to = slowly
sys.exit(main(sys.argv[1:]))
"""


@contextlib.contextmanager
def slow_disk(pause, *arguments, port):
    """The command on a disk that takes this many seconds for a BLOB, and has no room for one of them."""
    with started(
        sys.executable, "-c", SLOW.format(pause=pause), *arguments, PYTHONPATH=PATH, INDI_HOST="127.0.0.1",
        INDI_PORT=str(port),
    ) as program:  # fmt: skip
        yield program


def shot(data):
    one = f'<oneBLOB name="c" size="{len(data)}" format=".x">{base64.b64encode(data).decode()}</oneBLOB>'
    return f'<setBLOBVector device="CCD" name="P1" state="Ok">{one}</setBLOBVector>'


@asynchronous
async def test_a_slow_disk_costs_no_blobs(tmp_path):
    pictures = [b"%d" % number for number in range(300)]
    async with scripted() as server:
        with slow_disk(0.003, "blob", "CCD", "-o", str(tmp_path), "--count", "300", port=server.port) as program:
            link = await server.client(UPLOAD.format("P1"), timeout=15)
            await link.expect(match("enableBLOB"), timeout=15)
            await link.send("".join(map(shot, pictures)))
            assert await program.wait(30) == 0, program.stderr()
        assert sorted(path.read_bytes() for path in tmp_path.iterdir()) == sorted(pictures)


@pytest.mark.parametrize(
    ("end", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0), (None, 0)], ids=["Ctrl-C", "SIGTERM", "time"]
)
@asynchronous
async def test_what_has_been_received_is_saved_at_the_end(end, status, tmp_path):
    pictures = [b"%d" % number for number in range(20)]
    duration = ["--for", "1"] if end is None else []
    async with scripted() as server:
        with slow_disk(0.1, "blob", "CCD", "-o", str(tmp_path), *duration, port=server.port) as program:
            link = await server.client(UPLOAD.format("P1"), timeout=15)
            await link.expect(match("enableBLOB"), timeout=15)
            await link.send(*map(shot, pictures))
            if end is not None:
                await eventually(program.stdout, 30)
                program.signal(end)
            assert await program.wait(30) == status, program.stderr()
            assert len(program.stdout().splitlines()) == 20
        assert sorted(path.read_bytes() for path in tmp_path.iterdir()) == sorted(pictures)


@asynchronous
async def test_a_blob_that_cannot_be_written_is_told_and_costs_no_other(tmp_path):
    async with scripted() as server:
        with slow_disk(0.05, "blob", "CCD", "-o", str(tmp_path), port=server.port) as program:
            link = await server.client(UPLOAD.format("P1"), timeout=15)
            await link.expect(match("enableBLOB"), timeout=15)
            await link.send("".join(map(shot, (b"a", b"bad", b"b", b"c"))))
            assert await program.wait(30) == 2
            assert f"{tmp_path}: No space left on device" in program.stderr()
        assert sorted(path.read_bytes() for path in tmp_path.iterdir()) == [b"a", b"b", b"c"]


@pytest.mark.parametrize("member", [r"a\.b", "a*"])
@asynchronous
async def test_a_blob_is_sent_to_a_member_whose_name_has_a_dot(member, tmp_path):
    (tmp_path / "x.fits").write_bytes(b"abc")
    async with scripted() as server:
        with command("blob", f"CCD.P1.{member}", "--send", str(tmp_path / "x.fits"), port=server.port) as it:
            link = await server.client(UPLOAD.format("P1"), timeout=15)
            element = await link.expect(match("newBLOBVector"), timeout=15)
            assert [each.get("name") for each in element] == ["a.b"]
            await link.send('<setBLOBVector device="CCD" name="P1" state="Ok"/>')
            assert await it.wait(20) == 0, it.stderr()


@pytest.mark.parametrize(
    ("redirection", "status"),
    [("2>&-", 0), (">&- 2>&-", 2), (">&-", 2)] + [("2>/dev/full", 0), (">/dev/full", 2)] * os.path.exists("/dev/full"),
)
@asynchronous
async def test_a_status_holds_also_when_nobody_can_be_told(redirection, status):
    line = f"exec {shlex.quote(sys.executable)} -m indipyclient set Mount.EQ.RA=3 {redirection}"
    async with scripted() as server:
        with started("sh", "-c", line, PYTHONPATH=PATH, INDI_HOST="127.0.0.1", INDI_PORT=str(server.port)) as program:
            link = await server.client(DEFINE, timeout=15)
            await link.expect(match("newNumberVector"))
            await link.send(numbers("Ok", "done", RA=3, DEC=2))
            assert await program.wait(20) == status, program.stderr()
            assert "Traceback" not in program.stderr()
    with started("sh", "-c", line, PYTHONPATH=PATH, INDI_HOST="127.0.0.1", INDI_PORT=str(free_port())) as program:
        assert await program.wait(20) == 2


@asynchronous
async def test_no_control_characters_of_a_server_reach_the_terminal():
    bad = "x\x9b2Jy\u202e\u2028z"
    text = f'<defTextVector device="D" name="P" state="Ok" perm="ro"><defText name="a">{bad}</defText></defTextVector>'
    for arguments in (["get"], ["get", "--json"], ["snapshot"], ["snapshot", "--compact"], ["devices", "--json"]):
        async with scripted() as server:
            with command(*arguments, port=server.port) as program:
                await server.client(text.replace('name="P"', f'name="P{bad}"'), timeout=15)
                assert await program.wait(20) == 0, program.stderr()
                out = program.stdout()
        assert all(char.isprintable() or char == "\n" for char in out), arguments
        if "--json" in arguments or "snapshot" in arguments:
            assert bad in json.dumps(json.loads(out), ensure_ascii=False)


@asynchronous
async def test_a_time_without_end_is_one():
    async with scripted() as server:
        with command("get", "-t", "inf", "Mount.EQ.RA", port=server.port) as program:
            await server.client(DEFINE, timeout=15)
            assert await program.wait(20) == 0, program.stderr()
