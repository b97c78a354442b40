"""Connections that say nothing: they give way to those who do, and cost nobody a place or time."""

import asyncio
import contextlib
import logging
import socket
import ssl
import struct
import sys
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from indipydriver import Device, IPyDriver, TextMember, TextVector
from indipydriver.transport.stream import StreamLink
from indipyserver.certificates import server_context
from indipyserver.clients import admission as admission
from indipyserver.clients import handshakes, lingering
from indipyserver.clients.lograte import LogRate
from tests.support import IndiClient, allowed, asynchronous, eventually, match, running_server
from tests.support.certificates import certificates, trusting
from tests.support.drivers import echo_driver
from tests.support.links import sees_what_comes


def of_server() -> ssl.SSLContext:
    return server_context(certificates() / "server.pem", certificates() / "server.key")


@contextlib.contextmanager
def silent(port: int, count: int) -> Iterator[list[socket.socket]]:
    """So many connections that say nothing."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(count)]


async def connect(port: int) -> float:
    """The time an honest TLS handshake takes, in seconds; the client is served."""
    begin = time.monotonic()
    async with IndiClient(port, "localhost", ssl=trusting()) as client:
        took = time.monotonic() - begin
        await client.get_properties()
        await client.expect(match("defTextVector"))
    return took


def closed(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


# TLS


@pytest.mark.measured
@pytest.mark.parametrize("count", [handshakes.HANDSHAKE_SHARE, 64, 100])
@asynchronous
async def test_silent_connections_do_not_delay_an_honest_handshake(count):
    async with running_server(echo_driver("A"), ssl=of_server()) as server:
        await connect(server.port)
        with silent(server.port, count):
            await asyncio.sleep(0.3)
            assert min([await connect(server.port) for _ in range(3)]) < allowed(0.1)


@pytest.mark.measured
@asynchronous
async def test_connections_that_have_begun_a_handshake_and_go_no_further_do_not_delay_it_for_long(monkeypatch):
    monkeypatch.setattr(handshakes, "SLOW_TIME", 0.1)
    async with running_server(echo_driver("A"), ssl=of_server()) as server:
        with silent(server.port, handshakes.HANDSHAKE_SHARE) as stuck:
            for sock in stuck:
                sock.send(b"\x16\x03\x01\x02\x00\x01")
            await asyncio.sleep(0.2)
            assert await connect(server.port) < allowed(1.0)
            await eventually(lambda: any(map(closed, stuck)))


@asynchronous
async def test_many_honest_clients_that_come_at_once_are_all_served():
    """KStars opens a connection for each BLOB property, after a restart of the server all at once."""
    async with running_server(echo_driver("A"), ssl=of_server()) as server:
        await asyncio.gather(*(connect(server.port) for _ in range(3 * handshakes.HANDSHAKE_SHARE)))
        assert server.stats().clients_served == 3 * handshakes.HANDSHAKE_SHARE


@asynchronous
async def test_an_address_with_too_many_connections_loses_some_and_costs_the_others_nothing(caplog):
    count = handshakes.HANDSHAKE_SHARE + handshakes.WAITING_SHARE + 30
    async with running_server(echo_driver("A"), ssl=of_server()) as server:
        with contextlib.ExitStack() as stack:
            stuck: list[socket.socket] = []
            for _ in range(count):
                stuck += stack.enter_context(silent(server.port, 1))
                stuck[-1].send(b"\x16\x03\x01\x02\x00\x01")
                await asyncio.sleep(0.001)
            await eventually(lambda: sum(map(closed, stuck)) >= 30)
            assert sum(map(closed, stuck)) < count / 2
    assert "too many clients" in caplog.text


@asynchronous
async def test_a_handshake_that_never_ends_is_given_up(monkeypatch, caplog):
    monkeypatch.setattr(handshakes, "TIME", 0.2)
    async with running_server(echo_driver("A"), ssl=of_server()) as server:
        with silent(server.port, 2) as (one, two):
            two.send(b"\x16\x03\x01\x02\x00\x01")
            await eventually(lambda: closed(one) and closed(two))
            await eventually(lambda: caplog.text.count("no handshake in 0.2 s") == 2)


@asynchronous
async def test_one_address_that_fails_again_and_again_does_not_fill_the_log(caplog):
    async with running_server(echo_driver("A"), ssl=of_server()) as server:
        for _ in range(60):
            with silent(server.port, 1) as (sock,):
                sock.send(b"GET / HTTP/1.1\r\n\r\n")
                await eventually(lambda sock=sock: closed(sock))
        await connect(server.port)
    assert 1 <= caplog.text.count("the TLS handshake failed") <= 10


@asynchronous
async def test_who_looks_whether_the_port_is_open_is_no_warning(caplog):
    async with running_server(echo_driver("A"), ssl=of_server()) as server:
        with silent(server.port, 3):
            await asyncio.sleep(0.05)
        await connect(server.port)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@asynchronous
async def test_the_server_ends_while_handshakes_are_under_way_and_others_wait():
    async with running_server(echo_driver("A"), ssl=of_server()) as server:
        stack = contextlib.ExitStack()
        stack.enter_context(silent(server.port, 2 * handshakes.MOST_HANDSHAKES))
        await asyncio.sleep(0.02)
    with stack:
        pass
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("then", ["another comes", "all end"])
@asynchronous
async def test_who_has_just_ended_his_handshake_keeps_his_socket(then, monkeypatch, caplog):
    """In the same turn of the loop: its number would be given to the next connection."""
    monkeypatch.setattr(handshakes, "HANDSHAKE_SHARE", 1)
    monkeypatch.setattr(handshakes, "SLOW_TIME", -1)
    loop = asyncio.get_running_loop()

    def connected(link: StreamLink, host: str) -> bool:
        loop.call_soon(next_one)  # after which the loop hears that the handshake has ended
        return True

    def next_one() -> None:
        if then == "another comes":
            under_way.begin(door, socks[1], StreamLink("another"), "127.0.0.1")
        else:
            under_way.close(door)

    door = handshakes.Door(of_server(), connected)
    under_way = handshakes.Handshakes(LogRate())
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = listening.getsockname()[1]
        first = asyncio.create_task(asyncio.open_connection("localhost", port, ssl=trusting()))
        listening.setblocking(False)
        socks = [(await loop.sock_accept(listening))[0]]
        other = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        other.send(b"\x16\x03\x01\x02\x00\x01")
        socks.append((await loop.sock_accept(listening))[0])
        for sock in socks:
            sock.setblocking(False)
        under_way.begin(door, socks[0], StreamLink("first"), "127.0.0.1")
        _, writer = await first
        await asyncio.sleep(0.05)
        assert socks[0].fileno() >= 0
        assert "to make room" not in caplog.text
        under_way.close(door)
        writer.transport.abort()
        await eventually(lambda: all(sock.fileno() < 0 for sock in socks) or then == "all end")
        socks[1].close()
        await eventually(lambda: socks[0].fileno() < 0)


@pytest.mark.parametrize("ended", ["gives way", "with its listener"])
@asynchronous
async def test_a_handshake_that_is_ended_in_the_moment_in_which_it_is_done_leaves_its_descriptor_to_others(
    ended, monkeypatch
):
    """Asyncio went on watching the number of the closed descriptor, and whoever got it next was refused or not read."""
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(handshakes, "HANDSHAKE_SHARE", 1)
    monkeypatch.setattr(handshakes, "SLOW_TIME", -1)
    door = handshakes.Door(of_server(), lambda link, host: True)
    under_way = handshakes.Handshakes(LogRate())

    class Done(StreamLink):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            if ended == "gives way":
                under_way.begin(door, another, StreamLink("another"), "127.0.0.1")
                under_way._start_waiting()
            else:
                under_way.close(door)

    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listening.setblocking(False)
        pair = socket.socketpair()
        port = listening.getsockname()[1]
        its = asyncio.create_task(asyncio.open_connection("localhost", port, ssl=trusting()))
        sock, _ = await loop.sock_accept(listening)
        sock.setblocking(False)
        other = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        other.send(b"\x16\x03\x01\x02\x00\x01")
        another, _ = await loop.sock_accept(listening)
        stack.callback(another.close)
        another.setblocking(False)
        number = sock.fileno()
        under_way.begin(door, sock, Done("the first"), "127.0.0.1")
        _, writer = await its
        await eventually(lambda: sock.fileno() < 0)
        await sees_what_comes(number, *pair)
        under_way.close(door)
        writer.transport.abort()


class Counted(socket.socket):
    """Counts how often somebody looks whether something has come."""

    looks = 0

    def recv(self, *args: int) -> bytes:
        Counted.looks += 1
        return super().recv(*args)


@asynchronous
async def test_a_connection_that_comes_costs_the_same_however_many_wait_for_a_handshake(monkeypatch):
    """A flood of them would hold up the clients that are there."""
    monkeypatch.setattr(handshakes, "MOST_HANDSHAKES", 2)
    monkeypatch.setattr(Counted, "looks", 0)
    count = 100
    door = handshakes.Door(of_server(), lambda link, host: True)
    under_way = handshakes.Handshakes(LogRate())
    with contextlib.ExitStack() as stack:
        for number in range(count):
            ours, its = socket.socketpair()
            stack.enter_context(its)
            sock = stack.enter_context(Counted(fileno=ours.detach()))
            sock.setblocking(False)
            under_way.begin(door, sock, StreamLink("it"), f"192.0.2.{number}")
        assert Counted.looks <= count
        await asyncio.sleep(0)
        under_way.close(door)
    await eventually(lambda: len(asyncio.all_tasks()) == 1)


@asynchronous
async def test_all_listeners_together_take_in_no_more_silent_connections_than_one(caplog):
    """And who wants a handshake at any of them gets it."""
    async with running_server(echo_driver("A"), ssl=of_server()) as server:
        doors = [server.add_listener("127.0.0.1", ssl=of_server()) for _ in range(3)]
        with contextlib.ExitStack() as stack:
            socks = [sock for door in doors for sock in stack.enter_context(silent(door.port, 100))]
            room = handshakes.HANDSHAKE_SHARE + handshakes.WAITING_SHARE
            await eventually(lambda: sum(map(closed, socks)) >= len(socks) - room, timeout=5)
            await asyncio.gather(*(connect(port) for port in (server.port, doors[0].port, doors[2].port)))
    assert len(asyncio.all_tasks()) == 1


# Places


@asynchronous
async def test_clients_that_have_not_said_a_word_give_way_when_places_are_short(monkeypatch, caplog):
    monkeypatch.setattr(admission, "SILENCE", 1.0)
    async with running_server(echo_driver("A"), maxconnections=3) as server:
        with silent(server.port, 3) as sockets:
            await eventually(lambda: len(server.board.clients) == 3)
            async with IndiClient(server.port) as early:  # they are new, and may be about to speak
                await asyncio.wait_for(early.closed.wait(), 5)
            await asyncio.sleep(1.1)
            for count in (1, 2, 3):
                async with IndiClient(server.port) as client:
                    await client.get_properties()
                    await client.expect(match("defTextVector"))
                    assert sum(map(closed, sockets)) >= 1
                assert count == 1 or len(server.board.clients) <= 3
    assert "has not sent anything" in caplog.text


@pytest.mark.parametrize("end", ["reset", "closed"])
@asynchronous
async def test_clients_that_have_gone_while_a_driver_is_busy_give_way(end, caplog):
    """Their last commands are not read until it takes more, so their end is not seen either."""

    class Busy(IPyDriver):
        async def rxevent(self, event):
            await asyncio.Event().wait()

    driver = Busy(Device("Dome", [TextVector("T", "", "", "rw", "Ok", [TextMember("t")])]))
    command = b"<newTextVector device='Dome' name='T'><oneText name='t'>%s</oneText></newTextVector>" % (b"x" * 5000)
    async with running_server(driver, maxconnections=3) as server:
        for _ in range(3):
            sock = socket.create_connection(("127.0.0.1", server.port))
            sock.setblocking(False)
            sock.send(b"<getProperties version='1.7'/>")
            await eventually(lambda: any(peer.link.unsent == 0 and peer.received for peer in server.board.clients))
            with contextlib.suppress(BlockingIOError):
                for _ in range(2000):
                    sock.send(command)
                    await asyncio.sleep(0)
            if end == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()  # with unread bytes, this is a reset, too
        await asyncio.sleep(0.05)
        assert len(server.board.clients) == 3
        async with IndiClient(server.port) as client:
            await client.get_properties()
            await client.expect(match("defTextVector"))
    assert "it has gone" in caplog.text


@pytest.mark.parametrize("end", ["reset", "closed"])
@pytest.mark.parametrize("said", [b"", b"<getProperties version='1.7'/><new", b"<getProperties version='1.7'/>"])
@asynchronous
async def test_who_comes_in_the_same_turn_of_the_loop_as_the_end_of_others_gets_a_place(said, end):
    """Connections that come and go by the dozen would otherwise keep out an honest client of the same address."""
    async with running_server(echo_driver("A"), maxconnections=4) as server:
        for _ in range(12):  # no await: the server learns of all of them at once
            with socket.create_connection(("127.0.0.1", server.port)) as sock:
                sock.send(said)
                if end == "reset":
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.send(b"<pingRequest uid='1'/>")
            sock.setblocking(False)
            async with asyncio.timeout(30):
                data = b""
                while not data.endswith(b"/>\n"):
                    piece = await asyncio.get_running_loop().sock_recv(sock, 1000)
                    assert piece
                    data += piece
        assert server.stats().clients_served == 13


@asynchronous
async def test_the_commands_of_who_has_gone_count_though_a_place_is_needed():
    driver = echo_driver("A")
    async with running_server(driver, maxconnections=2) as server:
        for number in range(8):  # no await
            with socket.create_connection(("127.0.0.1", server.port)) as sock:
                command = f"<newTextVector device='A' name='name'><oneText name='t'>{number}</oneText></newTextVector>"
                sock.send(command.encode())
        await eventually(lambda: len(driver.executed) == 8, timeout=30)
    assert [values["t"] for _, _, values in driver.executed] == [str(number) for number in range(8)]


@asynchronous
async def test_clients_that_have_spoken_once_keep_their_places(monkeypatch):
    monkeypatch.setattr(admission, "SILENCE", 0.05)
    async with (
        running_server(echo_driver("A"), maxconnections=2) as server,
        IndiClient(server.port) as one,
        IndiClient(server.port) as two,
    ):
        for client in (one, two):
            await client.get_properties()
            await client.settle()
        await asyncio.sleep(0.2)
        async with IndiClient(server.port) as third:
            await asyncio.wait_for(third.closed.wait(), 5)
        await one.settle()
        await two.settle()


@asynchronous
async def test_without_need_a_silent_client_stays(monkeypatch):
    monkeypatch.setattr(admission, "SILENCE", 0.01)
    async with running_server(echo_driver("A"), maxconnections=2) as server:
        with silent(server.port, 1) as (sock,):
            await asyncio.sleep(0.1)
            async with IndiClient(server.port) as client:
                await client.settle()
            assert not closed(sock)


@contextlib.contextmanager
def speaking(port: int, count: int) -> Iterator[list[socket.socket]]:
    """So many connections that have said a word, and so do not give way as silent ones do."""
    with silent(port, count) as sockets:
        for sock in sockets:
            sock.send(b"<pingRequest uid='1'/>")
        yield sockets


@contextlib.asynccontextmanager
async def from_address(address: str, port: int) -> AsyncIterator[bool]:
    """A connection from there; is it served?"""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    try:
        writer.write(b"<pingRequest uid='1'/>")
        served = False
        with contextlib.suppress(ConnectionError):
            served = bool(await asyncio.wait_for(reader.read(1), 5))
        yield served
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


from_another_address = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="this machine has one loopback address only"
)


@from_another_address
@pytest.mark.parametrize("connect", [speaking, silent])
@asynchronous
async def test_one_address_cannot_take_all_places(connect, monkeypatch, caplog):
    """Whatever its connections say, or do not say, and however young they are."""
    monkeypatch.setattr(admission, "SILENCE", 60)
    share = admission.CLIENT_SHARE
    async with running_server(echo_driver("A"), maxconnections=2 * share) as server:
        with connect(server.port, 2 * share) as sockets:
            await eventually(lambda: server.stats().clients_served == 2 * share)
            async with contextlib.AsyncExitStack() as stack:
                for _ in range(share):
                    assert await stack.enter_async_context(from_address("127.0.0.2", server.port))
                await eventually(lambda: sum(map(closed, sockets)) == share)
                assert not any(map(closed, sockets[:share]))  # those that were here first stay
                for address in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):  # and nobody has more than a share now
                    async with from_address(address, server.port) as served:
                        assert not served
    assert "is disconnected to make room for a client from another address" in caplog.text


@from_another_address
@asynchronous
async def test_a_few_places_are_whose_they_are():
    async with running_server(echo_driver("A"), maxconnections=3) as server:
        with speaking(server.port, 3) as sockets:
            await eventually(lambda: all(peer.received for peer in server.board.clients))
            async with from_address("127.0.0.2", server.port) as served:
                assert not served
            assert not any(map(closed, sockets))


@asynchronous
async def test_guests_keep_out_nobody_who_may_command(caplog):
    async with running_server(echo_driver("A"), maxconnections=3) as server:
        guests = server.add_listener("127.0.0.1", read_only=True)
        async with IndiClient(server.port) as first:
            await first.settle()
            with speaking(guests.port, 2) as sockets:
                await eventually(lambda: server.stats().clients_served == 3)
                async with IndiClient(guests.port) as guest:
                    await asyncio.wait_for(guest.closed.wait(), 5)
                assert not any(map(closed, sockets))
                async with IndiClient(server.port) as second, IndiClient(server.port) as third:
                    await second.settle()
                    await third.settle()
                    await eventually(lambda: all(map(closed, sockets)))
                    async with IndiClient(server.port) as fourth:
                        await asyncio.wait_for(fourth.closed.wait(), 5)
                    await first.settle()
    assert "is disconnected to make room for a client with all rights" in caplog.text


@asynchronous
async def test_a_client_that_is_refused_again_and_again_does_not_fill_the_log(caplog):
    async with running_server(echo_driver("A"), maxconnections=1) as server, IndiClient(server.port) as only:
        await only.settle()
        for _ in range(50):
            async with IndiClient(server.port) as refused:
                await asyncio.wait_for(refused.closed.wait(), 5)
        assert server.stats().clients_refused == 50
    assert len(caplog.records) < 5


@asynchronous
async def test_a_client_that_comes_back_with_the_same_mistake_does_not_fill_the_log(caplog):
    async with running_server(echo_driver("A")) as server:
        for _ in range(50):
            async with IndiClient(server.port) as client:
                await client.send("<nonsense this is/><getProperties version='1.7'/>")
                await client.expect(match("defTextVector"))
        assert server.stats().clients_served == 50
    assert 1 <= caplog.text.count("was skipped") <= 10


# Clients that send no more


async def half_closed(port: int, said: bytes) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.send(said)
    sock.shutdown(socket.SHUT_WR)
    sock.setblocking(False)
    return sock


async def read_all(sock: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    with sock:
        async with asyncio.timeout(10):
            while piece := await loop.sock_recv(sock, 1 << 20):
                data += piece
    return data


@pytest.mark.measured
@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"<getProperties version='1.7'/><newTextVector device='A' na",
        b"<newBLOBVector device='A' name='x'><oneBLOB name='b' size='9' format='.x'>AAAA",
        b"<message message='hello'/>\n",
    ],
)
@asynchronous
async def test_who_has_no_answers_to_come_is_closed_at_once(said):
    async with running_server(echo_driver("A")) as server:
        begin = time.monotonic()
        await read_all(await half_closed(server.port, said))
        assert time.monotonic() - begin < allowed(lingering.CLIENT_LINGER / 5)
        await eventually(lambda: not server.board.clients)


@asynchronous
async def test_who_has_asked_gets_the_answers_and_the_reply_to_a_ping():
    async with running_server(echo_driver("A")) as server:
        sock = await half_closed(server.port, b"<getProperties version='1.7'/>")
        reply = await read_all(await half_closed(server.port, b"<pingRequest uid='7'/>"))
        assert b"pingReply" in reply
        await eventually(lambda: any(map(admission.is_lingering, server.board.clients)))
        assert server.connectionpool == []
        assert b"defTextVector" in await read_all(sock)


@asynchronous
async def test_only_so_many_linger_and_the_oldest_gives_way():
    async with running_server(echo_driver("A")) as server:
        sockets = []
        for _ in range(lingering.MOST_LINGERING + 5):
            sockets.append(await half_closed(server.port, b"<getProperties version='1.7' device='Nothing'/>"))
            await eventually(lambda: all(map(admission.is_lingering, server.board.clients)))
        await eventually(lambda: sum(map(closed, sockets)) == 5)
        assert [closed(sock) for sock in sockets[:6]] == [True] * 5 + [False]
        assert len(server.board.clients) == lingering.MOST_LINGERING
        for sock in sockets:
            sock.close()


@asynchronous
async def test_a_half_closed_client_that_reads_slowly_gets_all_and_one_that_takes_nothing_is_cut_off(monkeypatch):
    monkeypatch.setattr(lingering, "CLIENT_LINGER", 2.0)
    monkeypatch.setattr(admission, "CLIENT_LINGER", 2.0)
    driver = echo_driver("A")
    async with running_server(driver) as server:

        async def client() -> socket.socket:
            said = b"<getProperties version='1.7'/><enableBLOB device='A'>Also</enableBLOB>"
            return await half_closed(server.port, said)

        deaf, slow = await client(), await client()
        await eventually(lambda: len(server.board.clients) == 2 and server.board.clients[1].received == 2)
        vector = driver["A"]["image"]
        vector["b"] = bytes(12 << 20)
        await vector.send_setVectorMembers(members=["b"])
        data = b""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(15):
            while piece := await loop.sock_recv(slow, 1 << 18):
                data += piece
                await asyncio.sleep(0.01)
        assert data.rstrip().endswith(b"</setBLOBVector>")
        await eventually(lambda: not server.board.clients)
        deaf.close()
        slow.close()
