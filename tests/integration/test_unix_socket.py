"""Clients on a local socket: served as those on TCP, if they are of the right user."""

import asyncio
import contextlib
import os
import re
import socket
import stat
import struct
import sys
import threading
import uuid

import pytest

from examples.led import SimulatedLED, make_driver
from indipyserver.clients import acceptor as listener
from indipyserver.clients.sockets import bind_unix
from tests.support import ROOT, IndiClient, asynchronous, eventually, match, new_vector, running_server, started
from tests.support.client import parse
from tests.support.drivers import echo_driver

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="abstract names and SO_PEERCRED are Linux's")

COMMAND = (sys.executable, "-m", "indipyserver", "-p", "0")


@pytest.fixture
def name():
    return f"/tmp/indiserver-test-{uuid.uuid4()}"


def led():
    return make_driver(SimulatedLED())


async def received(reader, count):
    """The first elements that come."""
    data = b""
    async with asyncio.timeout(5):
        while len(elements := parse(data)) < count:
            piece = await reader.read(65536)
            if not piece:
                break
            data += piece
    return elements


@contextlib.asynccontextmanager
async def connected(address):
    reader, writer = await asyncio.open_unix_connection(address)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@asynchronous
async def test_a_client_on_the_local_socket_is_served_as_one_on_tcp(name):
    async with running_server(led(), unix_socket=name) as server:
        async with connected("\0" + name) as (reader, writer), IndiClient(server.port) as other:
            writer.write(b"<getProperties version='1.7'/>")
            (definition,) = await received(reader, 1)
            assert definition.get("device") == "LED"
            await other.get_properties()
            await other.expect(match("defSwitchVector"))
            writer.write(new_vector("Switch", "LED", "LIGHT", LAMP="On").encode())
            await other.expect(match("setSwitchVector", values={"LAMP": "On"}))
            assert sorted(peer.label.split()[1] for peer in server.connectionpool)[1] == "process"
        assert not os.path.exists(name)


@asynchronous
async def test_off_unless_asked_for(name):
    async with running_server(led()) as server:
        assert {sock.family for sock in server.sockets} <= {socket.AF_INET, socket.AF_INET6}


@asynchronous
async def test_a_taken_name_is_an_error_through_the_api(name):
    with bind_unix(name), pytest.raises(OSError, match=f"local socket {name}"):
        async with running_server(led(), unix_socket=name):
            pass


@asynchronous
async def test_the_name_is_free_again_afterwards(name):
    for _ in range(2):
        async with running_server(led(), unix_socket=name), connected("\0" + name):
            pass


@asynchronous
async def test_other_users_are_refused(name, monkeypatch, caplog):
    monkeypatch.setattr(listener, "at_the_other_end", lambda sock: (4711, os.geteuid() + 1))
    async with running_server(led(), unix_socket=name) as server:
        async with connected("\0" + name) as (reader, writer):
            writer.write(b"<getProperties version='1.7'/>")
            with contextlib.suppress(ConnectionError):
                assert await received(reader, 1) == []
        assert server.connectionpool == []
    assert "process 4711" in caplog.text


@pytest.mark.parametrize("listens", [True, False])
@asynchronous
async def test_a_bound_socket_may_block_and_need_not_listen(name, listens):
    with socket.socket(socket.AF_UNIX) as local:
        local.bind("\0" + name)
        local.settimeout(5)  # accept() of one that blocks would wait for ever
        if listens:
            local.listen()
        async with running_server(led(), unix_socket=local):
            for _ in range(2):
                async with connected("\0" + name) as (reader, writer):
                    writer.write(b"<getProperties version='1.7'/>")
                    async with asyncio.timeout(2):
                        assert len(await received(reader, 1)) == 1


@asynchronous
async def test_unless_they_are_allowed(name, monkeypatch):
    monkeypatch.setattr(listener, "at_the_other_end", lambda sock: (4711, os.geteuid() + 1))
    server = running_server(led(), unix_socket=name, unix_any_user=True)
    async with server, connected("\0" + name) as (reader, writer):
        writer.write(b"<getProperties version='1.7'/>")
        assert len(await received(reader, 1)) == 1


def test_the_kernel_tells_who_connects(name):
    with bind_unix(name) as listening, socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + name)
        served, _ = listening.accept()
        with served:
            assert listener.at_the_other_end(served) == (os.getpid(), os.geteuid())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@asynchronous
async def test_another_user_is_refused_by_a_real_server(name):
    client = (
        "import os, socket, sys\nos.setgid(65534); os.setuid(65534)\ns = socket.socket(socket.AF_UNIX)\n"
        f"s.connect('\\0' + {name!r})\ns.settimeout(5)\n"
        "try: data = s.recv(1)\nexcept ConnectionResetError: data = b''\nprint(len(data))\n"
    )
    async with running_server(led(), unix_socket=name):
        with started(sys.executable, "-c", client) as program:
            assert await program.wait() == 0
            assert program.stdout() == "0\n"


# Where there are no abstract names


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """A platform like macOS; the path of a socket there."""
    monkeypatch.setattr(sys, "platform", "darwin")
    return str(tmp_path / "socket")


@asynchronous
async def test_a_file_that_is_ours_alone_and_goes_with_the_server(elsewhere):
    async with running_server(led(), unix_socket=elsewhere):
        assert stat.S_IMODE(os.stat(elsewhere).st_mode) == 0o600
        async with connected(elsewhere) as (reader, writer):
            writer.write(b"<getProperties version='1.7'/>")
            assert len(await received(reader, 1)) == 1
    assert not os.path.exists(elsewhere)


def test_a_file_nobody_listens_on_is_replaced(elsewhere):
    bind_unix(elsewhere).close()
    assert os.path.exists(elsewhere)
    with bind_unix(elsewhere, any_user=True):
        assert stat.S_IMODE(os.stat(elsewhere).st_mode) == 0o666


def test_a_file_somebody_listens_on_stays(elsewhere):
    with bind_unix(elsewhere), pytest.raises(OSError, match="in use"):
        bind_unix(elsewhere)


def test_a_file_that_is_something_else_stays(elsewhere):
    with open(elsewhere, "w") as file:
        file.write("precious")
    with pytest.raises(OSError, match="in use"):
        bind_unix(elsewhere)
    with open(elsewhere) as file:
        assert file.read() == "precious"


# The command


async def port_of(program):
    await eventually(lambda: "serving" in program.stderr() or program.process.poll() is not None, timeout=15)
    return int(re.search(r"serving .* port (\d+)", program.stderr())[1])


@asynchronous
async def test_two_servers_with_one_name(name):
    words = (*COMMAND, "-u", name, "examples.led:make_driver")
    with (
        started(*words, cwd=ROOT) as first,
        started(*words[:-1], "examples.thermostat:make_driver", cwd=ROOT) as second,
    ):
        ports = [await port_of(first), await port_of(second)]
        for port in ports:
            async with IndiClient(port) as client:
                await client.settle()
        told = ["clients can reach this server by TCP only" in program.stderr() for program in (first, second)]
        assert sorted(told) == [False, True]
        async with connected("\0" + name) as (reader, writer):
            writer.write(b"<getProperties version='1.7'/>")
            assert await received(reader, 1)


@asynchronous
async def test_the_name_is_free_when_the_command_has_ended(name):
    with started(*COMMAND, "-u", name, "examples.led:make_driver", cwd=ROOT) as program:
        await port_of(program)
        program.interrupt()
        assert await program.wait() == 130
    bind_unix(name).close()


@asynchronous
async def test_not_wanted():
    with started(*COMMAND, "--no-unix-socket", "-v", "examples.led:make_driver", cwd=ROOT) as program:
        await port_of(program)
        assert "local socket" not in program.stderr()


def send_lingering_descriptor(listening: socket.socket, name: str, seconds: int) -> None:
    """Connect, leave a descriptor there whose closing takes this long, and go.

    A server in the same event loop closes it last, because it comes to read only afterwards.
    """
    target = socket.create_connection(listening.getsockname())
    target.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:  # until nothing more fits in, and nobody reads
            target.send(bytes(1 << 16))
    target.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, seconds))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + name)
        socket.send_fds(client, [b"x"], [target.fileno()])
        os.close(target.detach())


async def is_served(server):
    async with IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defSwitchVector"))


def closing():
    return [thread for thread in threading.enumerate() if thread.name == "closing"]


@asynchronous
async def test_what_a_refused_user_has_sent_holds_up_nobody(name, monkeypatch):
    monkeypatch.setattr(listener, "at_the_other_end", lambda sock: (4711, os.geteuid() + 1))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with running_server(led(), unix_socket=name) as server:
            send_lingering_descriptor(listening, name, 20)
            await eventually(closing)
            await is_served(server)
            async with connected("\0" + name) as (reader, _):  # another is accepted, and refused as well
                assert await reader.read() == b""
            assert closing()


@asynchronous
async def test_what_another_user_has_sent_holds_up_nobody_although_all_are_served(name, monkeypatch):
    monkeypatch.setattr(listener, "at_the_other_end", lambda sock: (4711, os.geteuid() + 1))
    others = closing()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with running_server(led(), unix_socket=name, unix_any_user=True) as server:
            send_lingering_descriptor(listening, name, 20)
            await eventually(lambda: set(closing()) - set(others))
            await is_served(server)
            async with connected("\0" + name) as (reader, writer):
                writer.write(b"<getProperties version='1.7'/>")
                assert (await received(reader, 1))[0].tag == "defSwitchVector"
            assert set(closing()) - set(others)


@pytest.mark.parametrize("count", [1, 16])
@asynchronous
async def test_another_user_may_attach_blobs_in_memory_files(name, count, monkeypatch):
    monkeypatch.setattr(listener, "at_the_other_end", lambda sock: (4711, os.geteuid() + 1))
    driver = echo_driver("A")

    def send() -> None:
        with socket.socket(socket.AF_UNIX) as client, open(os.memfd_create("blob"), "wb") as file:
            file.write(b"image")
            file.flush()
            client.connect("\0" + name)
            one = b"<oneBLOB name='b' size='5' format='.x' attached='true'/>"
            command = b"<newBLOBVector device='A' name='image'>%s</newBLOBVector>" % (one * count)
            socket.send_fds(client, [b"<getProperties version='1.7' device='B'/>" + command], [file.fileno()] * count)

    async with running_server(driver, unix_socket=name, unix_any_user=True):
        await asyncio.to_thread(send)
        await eventually(lambda: driver.executed)
    assert driver.executed == [("A", "image", {"b": "b'image'"})]


@asynchronous
async def test_refused_users_occupy_few_threads_and_nobody_waits_on_tcp(name, monkeypatch):
    monkeypatch.setattr(listener, "at_the_other_end", lambda sock: (4711, os.geteuid() + 1))
    monkeypatch.setattr(listener, "_MOST_CLOSING", 2)
    others = closing()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with running_server(led(), unix_socket=name) as server:
            for _ in range(4):
                send_lingering_descriptor(listening, name, 1)
                await is_served(server)
                assert len(set(closing()) - set(others)) <= 2
            async with connected("\0" + name) as (reader, _):  # it waits for the others, and is refused then
                assert await reader.read() == b""


def test_users_have_numbers_beyond_two_thousand_million(name):
    class Sock(socket.socket):
        def getsockopt(self, *_):
            return struct.pack("iII", 7, 2**32 - 5, 2**32 - 5)

    with Sock(socket.AF_UNIX) as sock:
        assert listener.at_the_other_end(sock) == (7, 2**32 - 5)
