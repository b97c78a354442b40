"""Who did what, and what the server says of itself."""

import dataclasses
import logging
import signal
import sys

import pytest

from indipyserver import IPyServer
from tests.support import (
    IndiClient,
    Program,
    asynchronous,
    eventually,
    match,
    new_vector,
    running,
    running_server,
    started,
)
from tests.support.drivers import echo_driver


@asynchronous
async def test_the_audit_log_has_a_line_for_each_command_that_was_passed_on(caplog):
    caplog.set_level(logging.INFO, "indipyserver.audit")
    server = IPyServer(echo_driver("A"), host="127.0.0.1", port=0, audit=True)
    window = server.add_listener("127.0.0.1", read_only=True)
    async with running(server), IndiClient(server.port) as client, IndiClient(window.port) as guest:
        await client.get_properties()
        await client.expect(match("defNumberVector", name="pos"))
        await client.send(new_vector("Number", "A", "pos", n=1) + new_vector("Number", "A", "pos", n=2))
        await client.send(new_vector("Text", "A", "name", t="two\nlines" + "x" * 500))
        await client.send(new_vector("Text", "nobody's", "name", t="lost"))
        await client.send(
            "<newBLOBVector device='A' name='image'><oneBLOB name='b' size='3' format='.fits'>AAAA</oneBLOB></newBLOBVector>"
        )
        await guest.send(new_vector("Number", "A", "pos", n=3))
        await guest.settle()
        await client.expect(match("setBLOBVector"))
        name = client.writer.get_extra_info("sockname")[1]
    lines = [r.getMessage() for r in caplog.records if r.name == "indipyserver.audit"]
    assert lines == [
        f"client 127.0.0.1:{name}: A.pos n='1'",
        f"client 127.0.0.1:{name}: A.pos n='2'",
        f"client 127.0.0.1:{name}: A.name t='two\\nlines{'x' * 55}...'",
        f"client 127.0.0.1:{name}: A.image b='3 bytes .fits'",
    ]


@pytest.mark.parametrize(
    ("member", "value", "shown"),
    [
        ("t", "x' PARK='On", r"t='x\' PARK=\'On'"),
        ("t='x' PARK", "On", r"t=\'x\' PARK='On'"),
        ("t", "two\nlines", r"t='two\nlines'"),
        ("t", r"one\nline", r"t='one\\nline'"),
        ("t", "\\", r"t='\\'"),
    ],
)
@asynchronous
async def test_no_value_and_no_name_looks_like_another_member(member, value, shown, caplog):
    caplog.set_level(logging.INFO, "indipyserver.audit")
    async with running_server(echo_driver("A"), audit=True) as server, IndiClient(server.port) as client:
        await client.send(new_vector("Text", "A", "name", **{member: value}))
        await client.settle()
    (line,) = [r.getMessage() for r in caplog.records if r.name == "indipyserver.audit"]
    assert line.endswith(f": A.name {shown}")


@asynchronous
async def test_many_members_are_counted(caplog):
    caplog.set_level(logging.INFO, "indipyserver.audit")
    async with running_server(echo_driver("A"), audit=True) as server, IndiClient(server.port) as client:
        await client.send(new_vector("Text", "A", "name", **{f"m{i}": "y" * 100 for i in range(1000)}))
        await client.settle()
    (line,) = [r.getMessage() for r in caplog.records if r.name == "indipyserver.audit"]
    assert len(line) < 1200
    assert line.endswith(" more")


@asynchronous
async def test_it_is_off_by_default(caplog):
    caplog.set_level(logging.INFO)
    async with running_server(echo_driver("A")) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.send(new_vector("Number", "A", "pos", n=1))
        await client.expect(match("setNumberVector"))
    assert not [r for r in caplog.records if r.name == "indipyserver.audit"]


@asynchronous
async def test_stats_count_what_passes():
    async with running_server(echo_driver("A")) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.send(new_vector("Number", "A", "pos", n=1) + "<foo/>" + "<defTextVector device='Z' name='z'/>")
        await client.expect(match("setNumberVector"))
        await client.settle()
        stats = server.stats()
        driver, peer = stats.peers
        assert (driver.kind, peer.kind) == ("driver", "client")
        assert (driver.frames_out, peer.frames_in) == (2, 4)
        assert driver.frames_in == 5
        assert peer.frames_out == driver.frames_in + 1
        assert peer.bytes_in > 100
        await eventually(lambda: server.stats().peers[1].bytes_out > 500)
        assert peer.refused == 2
        assert "belongs to no element" in peer.last_error
        assert peer.since <= stats.taken
        (entry,) = stats.drivers
        assert (entry.kind, entry.running, entry.restarts, entry.devices) == ("python", True, 0, ("A",))
        with pytest.raises(dataclasses.FrozenInstanceError):
            stats.taken = 0
        text = "\n".join(stats.lines())
        assert "2 refused" in text
        assert "Echo (A) (python): running" in text


@asynchronous
async def test_clients_are_counted_in_each_run_anew():
    server = IPyServer(echo_driver("A"), host="127.0.0.1", port=0)
    for count in (2, 1):
        async with running(server):
            for _ in range(count):
                async with IndiClient(server.port) as client:
                    await client.settle()
        assert server.stats().clients_served == count


@asynchronous
async def test_restarts_of_a_program_are_counted():
    server = IPyServer(host="127.0.0.1", port=0)
    from indipyserver.sources.backoff import Backoff

    server.add_exdriver(sys.executable, "-c", "import sys; sys.exit(3)", restarts=2, backoff=Backoff(0.01))
    async with running(server):
        await eventually(lambda: server.stats().drivers[0].restarts == 2)
        await eventually(lambda: not server.stats().drivers[0].running)


SERVER = """
import asyncio, logging, sys
logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
from indipyserver import IPyServer
asyncio.run(IPyServer(host="127.0.0.1", port=0).asyncrun())
"""


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="a signal of POSIX")
@asynchronous
async def test_sigusr1_logs_the_statistics_and_the_server_goes_on():
    with started(sys.executable, "-c", SERVER + "", cwd=None) as program:
        await until_handled(program)
        program.signal(signal.SIGUSR1)
        await eventually(lambda: "0 links, 0 clients so far, 0 refused" in program.stderr())
        assert program.process.poll() is None
        program.signal(signal.SIGTERM)
        assert await program.wait() == 143


async def until_handled(program: Program) -> None:
    """Wait until a process catches SIGUSR1 (Linux tells in /proc)."""
    from pathlib import Path

    def caught() -> bool:
        (line,) = [x for x in Path(f"/proc/{program.pid}/status").read_text().splitlines() if x.startswith("SigCgt")]
        return bool(int(line.split()[1], 16) >> (signal.SIGUSR1 - 1) & 1)

    await eventually(caught, timeout=10)
