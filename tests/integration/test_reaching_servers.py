"""How another server is reached: by any of its addresses, whatever its name, and without holding anybody up."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import indipydriver.transport.connecting
import indipyserver.sources.remote
from indipydriver.transport.connecting import MAX_ADDRESSES, AddressInfo, NameService, connect
from indipydriver.transport.stream import StreamLink
from indipyserver import IPyServer
from indipyserver.certificates import server_context
from indipyserver.sources.backoff import Backoff
from indipyserver.sources.remote import RemoteConnection
from tests.support import IndiClient, asynchronous, eventually, match, new_vector, running, running_server, started
from tests.support.certificates import certificates, trusting
from tests.support.drivers import echo_driver
from tests.support.links import sees_what_comes

REAL = socket.getaddrinfo


def info(address: str, port: int) -> AddressInfo:
    if ":" in address:
        return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[int], list[AddressInfo]]]:
    """What the names of a test stand for: a function of the port."""
    known: dict[str, Callable[[int], list[AddressInfo]]] = {}

    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        return known[host](port) if host in known else REAL(host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


@contextlib.contextmanager
def hole() -> Iterator[int]:
    """A port of 127.0.0.2 that never answers, as its queue is full; 127.0.0.1 has the same port free."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.2", 0))
        listening.listen(0)
        for _ in range(4):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


async def answers(client: IndiClient, device: str) -> None:
    await client.send(new_vector("Number", device, "pos", n=1))
    await client.expect(match("setNumberVector", device=device))


# Addresses


@pytest.mark.parametrize("others", [["127.0.0.2"], ["127.0.0.2"] * 5, ["::1", "127.0.0.2"]])
@asynchronous
async def test_an_address_that_does_not_answer_holds_up_no_other(
    others: list[str], names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """IPv6 that leads nowhere took all the time there was, with each try."""
    monkeypatch.setattr(indipyserver.sources.remote, "CONNECT_TIMEOUT", 3.0)
    with hole() as port:
        below = IPyServer(echo_driver("A"), host="127.0.0.1", port=port)
        run = asyncio.create_task(below.asyncrun())
        await eventually(below.started.is_set)
        names["two"] = lambda port: [info(other, port) for other in others] + [info("127.0.0.1", port)]
        async with running_server() as server, IndiClient(server.port) as client:
            await client.get_properties()
            part = server.add_remote("two", port)
            await client.expect(match("defNumberVector", device="A"), timeout=10)
            assert part.connects == 1
            await answers(client, "A")
        below.shutdown()
        await run


@asynchronous
async def test_a_kernel_without_ipv6(names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The error with which no socket of that kind could be made ended the try."""

    class Sockets:
        def __getattr__(self, name: str) -> Any:
            return getattr(socket, name)

        def socket(self, family: int, *args: int) -> socket.socket:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            return socket.socket(family, *args)

    monkeypatch.setattr(indipydriver.transport.connecting, "socket", Sockets())
    async with running_server(echo_driver("A")) as below, running_server() as server, IndiClient(server.port) as client:
        names["dual"] = lambda port: [info("::1", port), info("127.0.0.1", port)]
        await client.get_properties()
        server.add_remote("dual", below.port)
        await client.expect(match("defNumberVector", device="A"))


@asynchronous
async def test_a_try_that_fails_before_anybody_waits_for_it() -> None:
    """As with the eager tasks of Python 3.12: what fails at once has failed when it is created."""
    loop = asyncio.get_running_loop()

    class Failed(asyncio.Future[Any]):
        def set_name(self, name: str | None) -> None:
            """As a task; some versions of Python call it."""

    def eager(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        if coroutine.__name__ == "_connect" and coroutine.cr_frame.f_locals["info"][0] == socket.AF_INET6:
            coroutine.close()
            failed = Failed(loop=loop)
            failed.set_exception(OSError(errno.EAFNOSUPPORT, "no IPv6"))
            return failed
        return asyncio.Task(coroutine, loop=loop, **options)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        loop.set_task_factory(eager)
        (await connect([info("::1", port), info("127.0.0.1", port)])).close()
        with pytest.raises(OSError, match="no IPv6"):
            await connect([info("::1", port), info("::2", port)])
        loop.set_task_factory(None)


@asynchronous
async def test_tls_reaches_the_second_address_too(names: dict[str, Any]) -> None:
    async with (
        running_server(
            echo_driver("A"), ssl=server_context(certificates() / "server.pem", certificates() / "server.key")
        ) as below,
        running_server() as server,
        IndiClient(server.port) as client,
    ):
        names["localhost"] = lambda port: [info("127.0.0.3", port), info("127.0.0.1", port)]
        await client.get_properties()
        server.add_remote("localhost", below.port, ssl=trusting())
        await client.expect(match("defNumberVector", device="A"), timeout=10)
        await answers(client, "A")


@pytest.mark.parametrize("end", ["first", "cancelled", "all fail"])
@asynchronous
async def test_tries_that_are_not_needed_leave_nothing(end: str) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    with listening, hole() as port:
        good = info("127.0.0.1", listening.getsockname()[1])
        dead, refused = info("127.0.0.2", port), info("127.0.0.1", port)
        before = descriptors()
        if end == "first":
            for order in ([good], [dead, good], [refused, good], [refused, dead, refused, good, good]):
                (await connect(order)).close()
        elif end == "cancelled":
            for delay in (0.0, 0.001, 0.01, 0.24, 0.25, 0.26, 0.3, 0.6):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay):
                        (await connect([dead, dead, good])).close()
        else:
            with pytest.raises(ConnectionRefusedError):
                await connect([info("::ffff:0:1", port), refused, refused])
            with pytest.raises(OSError, match="no address"):
                await connect([])
        await asyncio.sleep(0.05)
        assert descriptors() == before
        assert len(asyncio.all_tasks()) == 1


@asynchronous
async def test_a_name_with_thousands_of_addresses_costs_few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    async def failing(address: AddressInfo) -> socket.socket:
        tried.append(address)
        raise OSError(errno.EHOSTUNREACH, "No route to host")

    monkeypatch.setattr(indipydriver.transport.connecting, "_connect", failing)
    many = [info(f"fd00::{n:x}", 1) for n in range(1000)] + [info(f"10.0.{n >> 8}.{n & 255}", 1) for n in range(1000)]
    with pytest.raises(OSError, match="No route"):
        await connect(many)
    assert len(tried) == MAX_ADDRESSES
    assert [address[0] for address in tried[:4]] == [socket.AF_INET6, socket.AF_INET] * 2, "the families take turns"


# Names


SLOW_NAME = """
import asyncio, socket, time
from indipyserver import IPyServer
real = socket.getaddrinfo
def slow(host, *args, **kw):
    if host == "dome.example.org":
        time.sleep(60)
        raise socket.gaierror(-3, "Temporary failure in name resolution")
    return real(host, *args, **kw)
socket.getaddrinfo = slow
async def main():
    server = IPyServer(port=0, host="127.0.0.1")
    server.add_remote("dome.example.org",)
    asyncio.get_running_loop().call_later(0.3, server.shutdown)
    await server.asyncrun()
asyncio.run(main())
print("ended", flush=True)
"""


@asynchronous
async def test_a_name_server_that_does_not_answer_does_not_hold_up_the_end_of_the_process() -> None:
    """On a mountain without Internet it took half a minute from Ctrl-C to the end."""
    with started(sys.executable, "-c", SLOW_NAME) as program:
        await program.wait(20)
        assert program.stdout() == "ended\n", program.stderr()


@asynchronous
async def test_one_look_up_runs_at_a_time_and_its_late_answer_counts(
    names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resolver that needs longer than a try must not get a new thread with each one, nor be asked in vain."""
    monkeypatch.setattr(indipyserver.sources.remote, "CONNECT_TIMEOUT", 0.1)
    answer = threading.Event()
    asked = []

    def slowly(port: int) -> list[AddressInfo]:
        asked.append(threading.current_thread())
        assert answer.wait(20)
        return [info("127.0.0.1", port)]

    names["slow"] = slowly
    async with running_server(echo_driver("A")) as below, running_server() as server, IndiClient(server.port) as client:
        await client.get_properties()
        part = server.add_remote("slow", below.port, backoff=Backoff(0.02, 0.02))
        message = await client.expect(lambda e: "failed" in (e.get("message") or ""))
        assert "looked up" in (message.get("message") or "")
        await asyncio.sleep(0.5)  # some tries
        assert len(asked) == 1
        assert asked[0].daemon
        answer.set()
        await client.expect(match("defNumberVector", device="A"))
        assert len(asked) == 1
        assert part.connects == 1


def test_a_look_up_outlives_the_loop_that_has_asked(names: dict[str, Any]) -> None:
    answer = threading.Event()

    def slowly(port: int) -> list[AddressInfo]:
        answer.wait(20)
        return [info("127.0.0.1", port)]

    names["slow"] = slowly
    service = NameService()

    async def ask(patience: float) -> list[AddressInfo]:
        async with asyncio.timeout(patience):
            return await service.look_up("slow", 7)

    with pytest.raises(TimeoutError):
        asyncio.run(ask(0.05))
    answer.set()
    assert asyncio.run(ask(10)) == [info("127.0.0.1", 7)]


ODD_NAMES = [
    "name.that.does.not.exist.invalid",
    "a..b",
    ".",
    "x" * 64 + ".example",
    "x" * 5000,
    "b\xfccher.invalid",
    "\u2603",
    "[::1]",
    "::zz",
    "fe80::1%nosuchinterface",
    "256.256.256.256",
    "-",
]


@pytest.mark.parametrize("host", ODD_NAMES, ids=ascii)
@asynchronous
async def test_whatever_the_name_of_a_server_the_failure_is_told_once_and_tried_again(host: str) -> None:
    async with running_server(echo_driver("A")) as server, IndiClient(server.port) as client:
        await client.get_properties()
        part = server.add_remote(host, 7624, backoff=Backoff(0.02, 0.02))
        message = await client.expect(lambda e: "Connection failed" in (e.get("message") or ""), timeout=20)
        assert len((message.get("message") or "").encode()) <= 250
        await asyncio.sleep(0.1)
        assert not server._sources._tasks[part].done()
        told = [e for e in client.received if e.tag == "message" and e.get("device") is None]
        assert len(told) <= 3
        await answers(client, "A")


@asynchronous
async def test_a_failure_without_a_text_has_the_name_of_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio raises such a one when the other end leaves within the TLS handshake."""

    async def leave(*_args: object, **_options: object) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(indipyserver.sources.remote, "connect", leave)
    async with running_server(echo_driver("A")) as server, IndiClient(server.port) as client:
        await client.get_properties()
        part = server.add_remote("localhost", 7624)
        await client.expect(match("message", message=f"Connection failed on {part.where}: ConnectionResetError"))


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("", 7624),
        ("a b", 7624),
        ("a\nb", 7624),
        ("a\0b", 7624),
        ("\udcff", 7624),
        ("localhost", 0),
        ("localhost", 65536),
        ("localhost", -1),
    ],
)
def test_what_cannot_be_a_server_is_refused_at_once(host: str, port: int) -> None:
    server = IPyServer()
    with pytest.raises(ValueError, match="host"):
        server.add_remote(host, port)
    assert server.remotes == []


@asynchronous
async def test_an_address_with_a_zone() -> None:
    """A link-local address is one of an interface; its zone is no part of what TLS checks."""
    below = IPyServer(echo_driver("B"), host="::1", port=0)
    run = asyncio.create_task(below.asyncrun())
    await asyncio.wait([run], timeout=0.1)
    if run.done():
        run.exception()
        pytest.skip("there is no IPv6 here")
    async with running_server() as server, IndiClient(server.port) as client:
        await client.get_properties()
        part = server.add_remote("::1%1", below.port)
        assert part.where == f"[::1%1]:{below.port}"
        await client.expect(match("defNumberVector", device="B"))
    below.shutdown()
    await run


# Links that come and go


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\0\2\2F", b"<defText"])
@asynchronous
async def test_a_server_that_closes_at_once_is_told_once_until_it_stays(greeting: bytes) -> None:
    """Each try was a line of the log and a message to all: connected, and lost; also of what speaks something else."""
    closing = True
    tries = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        if greeting:
            writer.write(greeting)
        if not closing:
            await reader.read(-1)
        writer.close()

    other = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with other, running_server(echo_driver("A")) as server, IndiClient(server.port) as client:
        await client.get_properties()
        part = server.add_remote("127.0.0.1", other.sockets[0].getsockname()[1], backoff=Backoff(0.01, 0.02))

        def told() -> list[str]:
            texts = [e.get("message") or "" for e in client.received if e.tag == "message" and not e.get("device")]
            return [text.partition(" on ")[0].partition(" to ")[0] for text in texts]

        await eventually(lambda: tries > 10)
        await client.settle()
        assert told() == ["Attempting", "Connected", "Connection Lost"]
        closing = False
        await eventually(lambda: told()[3:] == ["Connected"], timeout=10)
        await server.remove(part)


@asynchronous
async def test_pauses_grow_though_each_try_takes_its_whole_time(
    names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of a try that came to nothing counted as a healthy life of the link."""
    monkeypatch.setattr(indipyserver.sources.remote, "CONNECT_TIMEOUT", 0.05)
    lived: list[float] = []

    class Recording(Backoff):
        def fresh(self) -> Backoff:
            return self

        def next(self, lived_: float) -> float:
            lived.append(lived_)
            return 0.0

    with hole() as port:
        async with running_server() as server:
            server.add_remote("127.0.0.2", port, backoff=Recording())
            await eventually(lambda: len(lived) >= 3)
    assert set(lived) == {0.0}


@asynchronous
async def test_two_links_do_not_share_their_pauses() -> None:
    backoff = Backoff(0.01, 100.0)
    async with running_server() as server:
        for _ in range(2):
            server.add_remote("127.0.0.1", 1, backoff=backoff)
        await asyncio.sleep(0.3)
    assert backoff.tries == 0


@asynchronous
async def test_a_link_over_tls_that_is_given_up_in_the_moment_in_which_it_is_made_leaves_its_descriptor_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Asyncio went on watching the number of the closed descriptor."""
    numbers: list[int] = []
    server = IPyServer(host="127.0.0.1", port=0)

    class Done(StreamLink):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            numbers.append(transport.get_extra_info("socket").fileno())
            server._sources._tasks[remote].cancel()

    monkeypatch.setattr(indipyserver.sources.remote, "StreamLink", Done)
    directory = certificates()
    context = server_context(directory / "server.pem", directory / "server.key")
    pair = socket.socketpair()
    async with running_server(echo_driver("A"), ssl=context) as below:
        remote = server.add_remote("localhost", below.port, ssl=trusting())
        async with running(server):
            await eventually(lambda: not server._sources.is_active(remote))
            await sees_what_comes(numbers[0], *pair)


# Event loops that watch no descriptors


class _Unwatching(asyncio.SelectorEventLoop):
    """As the loop of Windows: transports and sock_connect work, watching does not."""

    def _no(self, *args: Any) -> Any:
        raise NotImplementedError

    add_reader = remove_reader = add_writer = _no


def test_a_link_where_the_event_loop_watches_no_descriptors(caplog: pytest.LogCaptureFixture) -> None:
    from indipyserver.relay.switchboard import Switchboard
    from indipyserver.routing.outbox import OutboxLimits

    got = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.extend(await reader.readuntil(b">"))
        writer.write(b"<defLightVector device='D' name='x' state='Ok'/>")
        await reader.read(-1)
        writer.close()

    async def run() -> None:
        other = await asyncio.start_server(serve, "127.0.0.1", 0)
        board = Switchboard("x")
        part = RemoteConnection(board, "127.0.0.1", other.sockets[0].getsockname()[1], limits=OutboxLimits())
        task = asyncio.create_task(part.run())
        await eventually(lambda: part.devices == ["D"])
        task.cancel()
        await asyncio.wait([task])
        assert part.devices == []
        await asyncio.sleep(0.05)
        other.close()
        await other.wait_closed()

    loop = _Unwatching()
    try:
        loop.run_until_complete(asyncio.wait_for(run(), 10))
    finally:
        loop.close()
    assert b"<getProperties" in got
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
