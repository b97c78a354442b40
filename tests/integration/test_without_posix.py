"""As on Windows: clients, other servers and Python drivers where nothing watches descriptors.

Tests from elsewhere that use no more than these run here a second time.
"""

import asyncio
import inspect
import socket
import ssl
import time

import pytest

from indipydriver.transport.stream import StreamLink
from indipydriver.transport.watching import can_watch_descriptors
from indipyserver import IPyServer
from indipyserver.cli.fifo import Fifo
from indipyserver.clients.acceptor import Acceptor
from indipyserver.clients.sockets import bind_unix
from tests.support import IndiClient, allowed, asynchronous, eventually, match, new_vector, running, running_server
from tests.support.drivers import echo_driver
from tests.support.proactor import windows_like

from . import test_accepting, test_faults, test_rights, test_silent_clients, test_tls

pytestmark = pytest.mark.usefixtures("windows")


@pytest.fixture
def windows(monkeypatch):
    with windows_like(monkeypatch):
        yield


AGAIN = [
    *(value for name, value in vars(test_tls).items() if name.startswith("test_") and "of_another" not in name),
    test_rights.test_a_listener_can_be_added_while_the_server_runs,
    test_silent_clients.test_silent_connections_do_not_delay_an_honest_handshake,
    test_silent_clients.test_many_honest_clients_that_come_at_once_are_all_served,
    test_silent_clients.test_the_server_ends_while_handshakes_are_under_way_and_others_wait,
    test_silent_clients.test_clients_that_have_not_said_a_word_give_way_when_places_are_short,
    test_silent_clients.test_clients_that_have_spoken_once_keep_their_places,
    test_silent_clients.test_who_has_no_answers_to_come_is_closed_at_once,
    test_silent_clients.test_who_has_asked_gets_the_answers_and_the_reply_to_a_ping,
    test_silent_clients.test_only_so_many_linger_and_the_oldest_gives_way,
    test_silent_clients.test_a_half_closed_client_that_reads_slowly_gets_all_and_one_that_takes_nothing_is_cut_off,
    test_accepting.test_a_listener_that_is_added_while_the_server_runs_ends_with_it,
    test_faults.test_keepalive,
]
for test in AGAIN:
    if not {"with_files", "tmp_path"} & set(inspect.signature(test).parameters):
        globals()[test.__name__] = test


@asynchronous
async def test_the_loop_is_as_it_should_be_for_these_tests():
    assert not can_watch_descriptors(asyncio.get_running_loop())
    with pytest.raises(NotImplementedError):
        asyncio.get_running_loop().add_reader(0, print)


@asynchronous
async def test_clients_command_a_driver_and_see_what_it_does():
    driver = echo_driver("A")
    async with running_server(driver) as server, IndiClient(server.port) as one, IndiClient(server.port) as two:
        for client in (one, two):
            await client.get_properties()
            await client.expect(match("defNumberVector", device="A", name="pos"))
        await one.send(new_vector("Number", "A", "pos", n=7))
        for client in (one, two):
            await client.expect(match("setNumberVector", name="pos", values={"n": "7"}))
        assert all(isinstance(peer.link, StreamLink) for peer in server.board.clients)


@asynchronous
async def test_a_client_that_goes_is_forgotten_and_its_place_is_free():
    async with running_server(echo_driver("A"), maxconnections=1) as server:
        for _ in range(5):
            async with IndiClient(server.port) as client:
                await client.get_properties()
                await client.expect(match("defTextVector"))
            await eventually(lambda: not server.connectionpool)


@asynchronous
async def test_the_devices_of_another_server_with_their_blobs():
    driver = echo_driver("A")
    async with running_server(driver) as below:
        above = IPyServer(host="127.0.0.1", port=0)
        remote = above.add_remote("127.0.0.1", below.port, blob_enable=True)
        async with running(above), IndiClient(above.port) as client:
            await eventually(lambda: remote.devices == ["A"])
            await client.get_properties()
            await client.expect(match("defBLOBVector", device="A", name="image"))
            await client.enable_blob("A")
            await client.settle()
            await eventually(lambda: any(p.interest.wants_blob("A", "image") for p in below.board.clients))
            vector = driver["A"]["image"]
            vector["b"] = bytes(range(256)) * 4096
            await vector.send_setVectorMembers(members=["b"])
            await client.expect(match("setBLOBVector", name="image"), timeout=10)
            await client.send(new_vector("Number", "A", "pos", n=3))
            await client.expect(match("setNumberVector", values={"n": "3"}))


@asynchronous
async def test_a_slow_client_gets_all_that_waits_for_it_at_the_end():
    driver = echo_driver("A")
    server = IPyServer(driver, host="127.0.0.1", port=0)
    task = asyncio.create_task(server.asyncrun())
    await server.started.wait()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sock.connect(("127.0.0.1", server.port))
    sock.setblocking(False)
    sock.send(b"<getProperties version='1.7'/><enableBLOB device='A'>Also</enableBLOB>")
    await eventually(lambda: server.board.clients and server.board.clients[0].received == 2)
    vector = driver["A"]["image"]
    vector["b"] = bytes(6 << 20)
    await vector.send_setVectorMembers(members=["b"])
    await asyncio.sleep(0.1)
    server.shutdown()
    data = b""
    with sock:
        async with asyncio.timeout(10):
            while piece := await asyncio.get_running_loop().sock_recv(sock, 1 << 20):
                data += piece
    await task
    assert b"</setBLOBVector>" in data
    assert data.rstrip().endswith(b"/>")
    assert b"<delProperty" in data


@pytest.mark.measured
@asynchronous
async def test_shutdown_is_prompt_and_frees_the_port():
    server = IPyServer(echo_driver("A"), host="127.0.0.1", port=0)
    for _ in range(2):
        task = asyncio.create_task(server.asyncrun())
        await server.started.wait()
        port = server.port
        async with IndiClient(port) as client:
            await client.get_properties()
            await client.expect(match("defTextVector"))
            begin = time.monotonic()
            server.shutdown()
            await asyncio.wait_for(task, 5)
            assert time.monotonic() - begin < allowed(2)
            await asyncio.wait_for(client.closed.wait(), 5)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    assert len(asyncio.all_tasks()) == 1


@asynchronous
async def test_cancelled_it_ends_as_well():
    server = IPyServer(echo_driver("A"), host="127.0.0.1", port=0)
    task = asyncio.create_task(server.asyncrun())
    await server.started.wait()
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()
    assert len(asyncio.all_tasks()) == 1


@asynchronous
async def test_what_needs_posix_is_refused_with_a_sentence(tmp_path, monkeypatch):
    with pytest.raises(OSError, match="no local sockets"):
        bind_unix("name")
    with pytest.raises(OSError, match="no FIFOs"):
        Fifo(str(tmp_path / "fifo"), None).open()
    server = IPyServer(host="127.0.0.1", port=0, unix_socket="name")
    bound = []
    real = Acceptor.close
    monkeypatch.setattr(Acceptor, "close", lambda self: (bound.extend(self.sockets), real(self)))
    with pytest.raises(OSError, match="no local sockets"):
        await server.asyncrun()
    assert [sock.fileno() for sock in bound] == [-1]  # what was bound before it failed is closed


def test_tls_is_there():
    assert ssl.HAS_TLSv1_2
