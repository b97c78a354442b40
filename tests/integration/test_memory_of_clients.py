"""What clients can have the server keep: less if they may only look, and a limited amount together."""

import asyncio
import contextlib
import os
import socket
import sys

import pytest

from indipydriver import BLOBMember, BLOBVector, Device, IPyDriver
from indipyserver.clients.acceptor import READ_ONLY_BLOB
from tests.support import IndiClient, asynchronous, eventually, match, running_server
from tests.support.drivers import echo_driver

BEGINNING = b"<newBLOBVector device='A' name='image'><oneBLOB name='b' size='100000' format='.x'>"
END = b"</oneBLOB></newBLOBVector>"


def held(server) -> int:
    return sum(peer.link.unfinished for peer in server.board.clients)


@asynchronous
async def test_a_client_that_may_only_look_cannot_have_a_large_blob_kept():
    async with running_server(echo_driver("A")) as server:
        window = server.add_listener("127.0.0.1", 0, read_only=True)
        async with IndiClient(window.port) as client:
            with contextlib.suppress(ConnectionError):
                await client.send(BEGINNING + b"A" * (2 * READ_ONLY_BLOB))
            await asyncio.wait_for(client.closed.wait(), 5)
        async with IndiClient(server.port) as client:  # and one that may command can
            await client.send(BEGINNING + b"A" * (2 * READ_ONLY_BLOB))
            await eventually(lambda: held(server) > READ_ONLY_BLOB)
            assert not client.closed.is_set()


@asynchronous
async def test_a_small_blob_of_a_client_that_may_only_look_is_refused_with_a_message():
    async with running_server(echo_driver("A")) as server:
        window = server.add_listener("127.0.0.1", 0, read_only=True)
        async with IndiClient(window.port) as client:
            await client.get_properties()
            await client.expect(match("defBLOBVector"))
            await client.send(BEGINNING.replace(b"100000", b"750") + b"A" * 1000 + END)
            await client.expect(match("message|setBLOBVector"))
            await client.settle()


@pytest.mark.parametrize("progress_time", [0, 30])
@asynchronous
async def test_what_all_clients_have_begun_is_limited_and_the_largest_goes(progress_time):
    mib = 1 << 20
    async with (
        running_server(echo_driver("A"), unfinished_total=4 * mib, progress_time=progress_time) as server,
        IndiClient(server.port) as one,
        IndiClient(server.port) as two,
        IndiClient(server.port) as three,
    ):
        await one.send(BEGINNING + b"A" * mib)
        await two.send(BEGINNING + b"A" * (2 * mib))
        await eventually(lambda: held(server) >= 3 * mib)
        await three.send(BEGINNING + b"A" * (3 * mib // 2))
        await eventually(two.closed.is_set)
        assert not one.closed.is_set()
        assert not three.closed.is_set()
        await eventually(lambda: held(server) >= 5 * mib // 2)
        for client in (one, three):  # these can go on
            await client.send(END)
            await client.settle()
        assert held(server) == 0


@asynchronous
async def test_uploads_that_wait_for_a_driver_count_with_those_that_are_coming_in():
    """Each client may send one upload before it has to wait; all together they are bounded."""
    mib = 1 << 20
    stuck = asyncio.Event()

    class Stuck(IPyDriver):
        async def rxevent(self, event):
            await stuck.wait()

    driver = Stuck(Device("A", [BLOBVector("BLOB", "", "", "rw", "Ok", [BLOBMember("b")])]))
    upload = b"<newBLOBVector device='A' name='BLOB'><oneBLOB name='b' size='%d' format='.x'>" % (3 * mib // 4 * 3)

    def taken(client):
        """Its upload has been received to the end."""
        here = client.writer.get_extra_info("sockname")[1]
        return any(
            str(here) in peer.label and peer.link.bytes_received > 3 * mib and not peer.link.unfinished
            for peer in server.board.clients
        )

    async with running_server(driver, unfinished_total=8 * mib) as server, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(IndiClient(server.port)) for _ in range(6)]
        for client in clients:
            await client.get_properties()
            await client.expect(match("defBLOBVector"))
        for client in clients:
            with contextlib.suppress(ConnectionError):
                await client.send(upload + b"A" * (3 * mib) + b"</oneBLOB></newBLOBVector>")
            await eventually(lambda client=client: client.closed.is_set() or taken(client))
        (queued,) = [peer.queued for peer in server.stats().peers if peer.kind == "driver"]
        assert 3 * mib < queued < 9 * mib
        cut = [client for client in clients if client.closed.is_set()]
        assert cut
        assert set(cut) <= set(clients[2:])
        async with IndiClient(server.port) as other:  # what is small is not given up for them
            await other.get_properties()
            await other.expect(match("defBLOBVector"))
        stuck.set()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="BLOBs are attached on Linux only")
@asynchronous
async def test_attached_uploads_count_with_those_that_wait_for_a_driver(tmp_path):
    """A file of nothing but a hole costs its sender nothing, and the server as much as any other."""
    mib = 1 << 20
    stuck = asyncio.Event()

    class Stuck(IPyDriver):
        async def rxevent(self, event):
            await stuck.wait()

    driver = Stuck(Device("A", [BLOBVector("BLOB", "", "", "rw", "Ok", [BLOBMember("b")])]))
    name = str(tmp_path / "local")
    upload = b"<newBLOBVector device='A' name='BLOB'><oneBLOB name='b' size='%d' format='.x' attached='true'/></newBLOBVector>"
    async with running_server(driver, unix_socket=name, unfinished_total=8 * mib) as server:
        with contextlib.ExitStack() as stack:
            hole = os.memfd_create("hole")
            stack.callback(os.close, hole)
            os.truncate(hole, 2 * mib)
            for number in range(12):
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.connect("\0" + name)
                socket.send_fds(client, [upload % (2 * mib)], [hole])
                await eventually(lambda number=number: server.admission.served > number)
                await eventually(lambda: all(peer.received for peer in server.board.clients))
                if number % 2:  # two of them while the first is being encoded
                    await eventually(lambda: not server.board._backlogs)
            assert 5 * mib < server.board.queued_commands < 8 * mib
            assert 2 < len(server.board.clients) < 6, "those who came first stay"
            small = stack.enter_context(socket.socket(socket.AF_UNIX))
            small.connect("\0" + name)
            socket.send_fds(small, [upload % 1000], [hole])  # what is small is not given up for them
            before = server.board.queued_commands
            await eventually(lambda: server.board.queued_commands > before)
        stuck.set()
