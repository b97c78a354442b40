"""What the fuzzer, the soak and the fault proxy have found: each a test, so that it stays mended."""

import asyncio
import socket

import pytest

from indipydriver.errors import ValueFormatError
from indipydriver.protocol.framer import Framer, Limits
from indipydriver.protocol.values import getfloat
from indipyserver import IPyServer
from indipyserver.clients.acceptor import CLIENT_LIMITS
from tests.fuzz.streams import framer as check
from tests.support import asynchronous, eventually, running, running_server
from tests.support.drivers import echo_driver

BLOB = b"<newBLOBVector device='A' name='b'><oneBLOB name='b' size='3' format='.x'>%s</oneBLOB></newBLOBVector>"


@pytest.mark.parametrize("text", [b"QUJD\x00", b"\x01QUJD", b"QU\x7fJD"])
def test_control_characters_in_the_data_of_a_blob_of_a_client(text):
    """No XML parser takes them, so one client could have ended the connections of all the others."""
    framer = Framer(CLIENT_LIMITS)
    assert framer.feed(BLOB % text) == []
    assert "not base64" in str(framer.faults[0])
    assert len(framer.feed(BLOB % b"QU\r\nJD\t")) == 1


@pytest.mark.parametrize("step", [1, 8, 64, 10_000])
@pytest.mark.parametrize("length", range(995, 1030))
def test_a_broken_start_tag_near_the_limit_is_judged_alike_however_it_is_cut(length, step):
    """In pieces it was too large before the next element was seen to begin; whole, it was merely broken."""
    data = b"<newTextVector a='" + b"x" * (length - 18) + b"\n<defTextVector device='A' name='n'/>"
    framers = Framer(Limits(start_tag=1024)), Framer(Limits(start_tag=1024))
    whole = framers[0].feed(data)
    pieces = [frame for i in range(0, len(data), step) for frame in framers[1].feed(data[i : i + step])]
    assert whole == pieces
    assert bool(framers[0].failed) == bool(framers[1].failed)


def test_a_blob_beyond_its_limit_is_let_go_at_once():
    """The exception that is kept held its traceback, and that all of the BLOB, until some later garbage collection."""
    framer = Framer(Limits(blob=1000))
    framer.feed(b"<newBLOBVector device='A' name='b'><oneBLOB name='b'>" + b"A" * 2000)
    assert framer.failed is not None
    assert framer.failed.__traceback__ is None


def test_digits_of_other_scripts_are_no_number():
    """float() takes them; no other INDI program does."""
    for text in ("\u0661", "1\u0661", "\u0661:30"):
        with pytest.raises(ValueFormatError):
            getfloat(text)
    assert getfloat(" 1.5 ") == 1.5


@asynchronous
async def test_a_cancellation_that_comes_as_a_connection_fails_is_not_forgotten(monkeypatch):
    """asyncio.wait_for in Python 3.11 swallows it; a server with a remote whose name is unknown did not stop."""
    server = IPyServer(host="127.0.0.1", port=0)
    remote = server.add_remote("nowhere.invalid", 7624)
    tried = asyncio.Event()

    async def connect():
        tried.set()
        await asyncio.sleep(0)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(remote, "_connect", connect)
    async with running(server):
        task = server._sources._tasks[remote]
        await tried.wait()
        task.cancel()
        await asyncio.wait((task,), timeout=2)
        assert task.done()


@asynchronous
async def test_clients_that_only_wait_for_answers_do_not_let_more_in_than_allowed():
    """Each new client made one of them give way, and the same one again and again: 400 connections, limit 128."""
    async with running_server(echo_driver("A"), maxconnections=10) as server:
        writers = []
        for _ in range(60):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"<getProperties version='1.7'/>")
            writer.write_eof()
            writers.append(writer)
        await eventually(lambda: server.admission.served + server.admission.refused == 60)
        await eventually(lambda: len(server.board.clients) <= 10, timeout=1)
        for writer in writers:
            writer.transport.abort()


def test_the_fuzzers_invariant_holds_for_the_captures():
    from pathlib import Path

    tried = 0
    for path in sorted((Path(__file__).parents[1] / "fixtures/captures").glob("*.*")):
        if path.suffix in (".xml", ".raw"):
            data = path.read_bytes()[:40_000]
            for start in range(0, len(data), 3000):
                check(b"\x07\x00" + data[start : start + 3000])
                tried += 1
    assert tried > 50
