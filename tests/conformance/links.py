"""Every kind of link with something at its other end, and what the checks share."""

import asyncio
import contextlib
import gc
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from indipydriver.protocol.frame import Batch, Frame, address
from indipydriver.protocol.framer import Framer, Limits
from indipydriver.transport.attached import PassingLink
from indipydriver.transport.descriptor import DescriptorLink
from indipydriver.transport.link import Link
from indipydriver.transport.memory import memory_pair
from indipydriver.transport.sockets import tune_socket
from indipydriver.transport.stdio import ThreadLink, open_stdio
from indipydriver.transport.stream import StreamLink
from tests.support.certificates import certificates, trusting
from tests.support.links import PATIENCE, Recorder, turns

LIMITS = Limits(frame=1 << 17)


@dataclass
class Pair:
    """A link under test, and one at its other end."""

    link: Link
    peer: Link
    kind: str

    def __post_init__(self) -> None:
        self.here, self.there = Recorder(), Recorder()
        self.link_opened = self.peer_opened = False

    def open(self) -> None:
        self.open_link()
        self.open_peer()

    def open_link(self) -> None:
        self.link_opened = True
        self.link.open(self.here)

    def open_peer(self) -> None:
        self.peer_opened = True
        self.peer.open(self.there)

    def batch(self, *frames: Frame) -> Batch:
        return Batch(list(frames), sealed=self.kind != "memory")


def tcp_sockets() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        there = socket.create_connection(listening.getsockname())
        here, _ = listening.accept()
    tune_socket(here)
    tune_socket(there)
    return here, there


def unix_sockets() -> tuple[socket.socket, socket.socket]:
    here, there = socket.socketpair()
    here.setblocking(False)
    there.setblocking(False)
    return here, there


@contextlib.asynccontextmanager
async def memory() -> AsyncIterator[tuple[Link, Link]]:
    yield memory_pair("there", "here")


@contextlib.asynccontextmanager
async def tcp() -> AsyncIterator[tuple[Link, Link]]:
    here, there = tcp_sockets()
    yield DescriptorLink("there", sock=here, limits=LIMITS), DescriptorLink("here", sock=there)


@contextlib.asynccontextmanager
async def unix() -> AsyncIterator[tuple[Link, Link]]:
    here, there = unix_sockets()
    yield DescriptorLink("there", sock=here, limits=LIMITS), DescriptorLink("here", sock=there)


@contextlib.asynccontextmanager
async def passing() -> AsyncIterator[tuple[Link, Link]]:
    here, there = unix_sockets()
    yield PassingLink("there", here, limits=LIMITS), PassingLink("here", there)


@contextlib.asynccontextmanager
async def streams(server: ssl.SSLContext | None, client: ssl.SSLContext | None) -> AsyncIterator[tuple[Link, Link]]:
    loop = asyncio.get_running_loop()
    here, there = tcp_sockets()
    shutdown = {"ssl_shutdown_timeout": 1.0} if server else {}
    accepting = loop.connect_accepted_socket(lambda: StreamLink("there", LIMITS), here, ssl=server, **shutdown)
    connecting = loop.create_connection(
        lambda: StreamLink("here"), sock=there, ssl=client, server_hostname="localhost" if client else None, **shutdown
    )
    (_, link), (_, peer) = await asyncio.gather(accepting, connecting)
    yield link, peer


def stream() -> contextlib.AbstractAsyncContextManager[tuple[Link, Link]]:
    return streams(None, None)


def tls() -> contextlib.AbstractAsyncContextManager[tuple[Link, Link]]:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificates() / "server.pem", certificates() / "server.key")
    return streams(server, trusting())


@contextlib.asynccontextmanager
async def pipes() -> AsyncIterator[tuple[Link, Link]]:
    """As between a server and its child."""
    (read_here, write_there), (read_there, write_here) = os.pipe(), os.pipe()
    for fd in (read_here, write_there, read_there, write_here):
        os.set_blocking(fd, False)
    yield (
        DescriptorLink("there", pipes=(read_here, write_here), limits=LIMITS),
        DescriptorLink("here", pipes=(read_there, write_there)),
    )


@contextlib.asynccontextmanager
async def stdio_socket() -> AsyncIterator[tuple[Link, Link, Callable[[], None]]]:
    """One socket as both standard input and output, its blocking mode shared with whoever gave it."""
    here, there = socket.socketpair()
    there.setblocking(False)
    assert here.getblocking()

    def leave() -> None:
        assert os.get_blocking(here.fileno())
        here.close()

    link = open_stdio(here.fileno(), here.fileno(), linger=0, limits=LIMITS)
    yield link, DescriptorLink("here", sock=there), leave


@contextlib.asynccontextmanager
async def teed() -> AsyncIterator[tuple[Link, Link, Callable[[], None]]]:
    """A socket as standard input, a pipe as standard output: ``driver | tee log``."""
    here, there = socket.socketpair()
    there.setblocking(False)
    read_there, stdout = os.pipe()
    os.set_blocking(read_there, False)
    before = set(threading.enumerate())

    def leave() -> None:
        assert os.get_blocking(here.fileno())
        assert os.get_blocking(stdout)
        here.close()
        os.close(stdout)

    link = open_stdio(here.fileno(), stdout, linger=0, limits=LIMITS)
    yield link, DescriptorLink("here", pipes=(read_there, there.detach())), leave
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
        assert not thread.is_alive()


@contextlib.asynccontextmanager
async def blocking_pipes(
    make: Callable[[int, int], Link],
) -> AsyncIterator[tuple[Link, Link, Callable[[], None]]]:
    (stdin, write_there), (read_there, stdout) = os.pipe(), os.pipe()
    os.set_blocking(write_there, False)
    os.set_blocking(read_there, False)
    peer = DescriptorLink("here", pipes=(read_there, write_there))
    before = set(threading.enumerate())

    def leave() -> None:
        assert os.get_blocking(stdin)
        assert os.get_blocking(stdout)
        os.close(stdout)

    yield make(stdin, stdout), peer, leave
    # Now the peer is gone, so that a thread that reads finds the end, and one that writes nobody who reads.
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    os.close(stdin)


def stdio_pipes() -> contextlib.AbstractAsyncContextManager[tuple[Link, Link, Callable[[], None]]]:
    return blocking_pipes(lambda stdin, stdout: open_stdio(stdin, stdout, linger=0, limits=LIMITS))


def threads() -> contextlib.AbstractAsyncContextManager[tuple[Link, Link, Callable[[], None]]]:
    return blocking_pipes(lambda stdin, stdout: ThreadLink("there", stdin, stdout, lenient=True, limits=LIMITS))


KINDS = {
    kind.__name__: kind
    for kind in (memory, tcp, unix, passing, stream, tls, pipes, stdio_socket, teed, stdio_pipes, threads)
}
OF_BYTES = [name for name in KINDS if name != "memory"]
LENIENT = ["stdio_socket", "teed", "stdio_pipes", "threads"]


def conforming(kind: str, check: Callable[[Pair], Awaitable[None]]) -> None:
    """Run a check on a kind of link, and see that nothing is left behind."""

    async def within_loop() -> None:
        problems: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(str(context)))
        async with KINDS[kind]() as (link, peer, *leave):
            pair = Pair(link, peer, kind)
            for function in leave:  # what the end of a process does: the link was only lent its descriptors
                pair.here.on_closed = function
            try:
                await check(pair)
            finally:
                link.abort()
                if not pair.link_opened:
                    pair.open_link()
                await pair.here.until_closed()
                peer.abort()
                if not pair.peer_opened:
                    pair.open_peer()
                await pair.there.until_closed()
        assert pair.here.wrong == pair.there.wrong == []
        await turns()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        gc.collect()
        assert problems == []

    if kind == "tls":
        certificates()
    before = os.listdir("/proc/self/fd")
    asyncio.run(within_loop(), debug=True)
    assert os.listdir("/proc/self/fd") == before


def number(i: int) -> Frame:
    return Frame(
        address("setNumberVector", "D", "N"),
        b'<setNumberVector device="D" name="N"><oneNumber name="x">%d</oneNumber></setNumberVector>' % i,
    )


def text(i: int, size: int = 1 << 16) -> Frame:
    """A frame of many bytes."""
    begin = b'<setTextVector device="D" name="T%d"><oneText name="t">' % i
    end = b"</oneText></setTextVector>"
    return Frame(address("setTextVector", "D", f"T{i}"), begin + b"x" * (size - len(begin) - len(end)) + end)


def blob(size: int) -> Frame:
    data = b"<setBLOBVector device='D' name='B'><oneBLOB name='b' size='%d' format='.x'>" % size
    (frame,) = Framer().feed(data + os.urandom(size // 2).hex().encode() + b"</oneBLOB></setBLOBVector>")
    return frame
