"""Accepting connections: what may go wrong with one concerns no other, and nothing is left behind."""

import asyncio
import contextlib
import errno
import os
import socket
import stat

import pytest

from indipydriver.transport.descriptor import DescriptorLink
from indipydriver.transport.link import Link
from indipyserver import IPyServer
from indipyserver.clients import acceptor as listener
from indipyserver.clients import sockets
from indipyserver.clients.acceptor import Acceptor
from indipyserver.sources.backoff import Backoff
from tests.support import IndiClient, asynchronous, eventually, free_port, match, running, running_server
from tests.support.drivers import echo_driver


class Failing(socket.socket):
    """A listening socket that has some errors to tell before it accepts anything."""

    errors: "list[OSError]" = []  # noqa: RUF012
    calls = 0

    def accept(self):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return super().accept()


def failing(*errors: int) -> Failing:
    sock = Failing(socket.AF_INET, socket.SOCK_STREAM)
    sock.bind(("127.0.0.1", 0))
    sock.listen(16)
    sock.setblocking(False)
    sock.errors = [OSError(number, os.strerror(number)) for number in errors]
    return sock


@contextlib.asynccontextmanager
async def listening(sock: socket.socket):
    """A listener that only collects links; the loop's handler must not be called."""
    problems: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    links: list[Link] = []

    def accepted(link: Link, host: str) -> bool:
        assert host == "127.0.0.1"
        links.append(link)
        return len(links) < 3

    subject = Acceptor([sock], accepted)
    subject.start()
    try:
        yield sock.getsockname(), links
    finally:
        subject.close()
        subject.close()
        for link in links:
            link.abort()
        assert sock.fileno() == -1
        assert problems == []


NAMES = "EPROTO ENETDOWN ENETUNREACH EHOSTUNREACH EPERM EOPNOTSUPP ECONNABORTED ECONNRESET ENONET".split()


@pytest.mark.parametrize("name", [name for name in NAMES if hasattr(errno, name)])
@asynchronous
async def test_what_is_wrong_with_one_connection_does_not_hold_up_the_next(name):
    async with listening(failing(getattr(errno, name))) as (address, links):
        with socket.create_connection(address):
            await eventually(lambda: links, timeout=0.5)


@pytest.mark.parametrize("name", ["EMFILE", "ENFILE", "ENOMEM", "EIO", "EINVAL"])
@asynchronous
async def test_what_would_go_wrong_again_is_tried_again_later_and_costs_no_time_meanwhile(name, monkeypatch, caplog):
    monkeypatch.setattr(listener, "_ACCEPT_PAUSE", 0.2)
    sock = failing(getattr(errno, name), getattr(errno, name))
    async with listening(sock) as (address, links):
        with socket.create_connection(address):
            await asyncio.sleep(0.1)
            assert sock.calls == 1
            await eventually(lambda: links)
            assert sock.calls <= 4
    assert os.strerror(getattr(errno, name)) in caplog.text


@asynchronous
async def test_a_connection_that_cannot_be_tuned_is_closed_and_the_next_is_served(monkeypatch):
    """macOS: setsockopt() of a connection that has been reset is EINVAL."""
    tuned = []

    def tune(sock):
        tuned.append(sock)
        if len(tuned) == 1:
            raise OSError(errno.EINVAL, "Invalid argument")
        sock.setblocking(False)

    monkeypatch.setattr(listener, "tune_socket", tune)
    async with listening(failing()) as (address, links):
        with socket.create_connection(address) as unlucky, socket.create_connection(address):
            await eventually(lambda: links)
            assert unlucky.recv(1) == b""
        assert tuned[0].fileno() == -1


@asynchronous
async def test_a_listener_may_be_closed_while_it_accepts():
    sock = failing()
    links = []

    def accepted(link: Link, host: str) -> bool:
        links.append(link)
        subject.close()
        return False

    subject = Acceptor([sock], accepted)
    problems: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    with socket.create_connection(sock.getsockname()), socket.create_connection(sock.getsockname()):
        subject.start()
        await asyncio.sleep(0.05)
    assert len(links) == 1
    assert problems == []


@asynchronous
async def test_one_host_that_cannot_be_bound_leaves_nothing_open():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        before = os.listdir("/proc/self/fd")
        for _ in range(3):
            server = IPyServer(host=["::1", "127.0.0.1"], port=taken.getsockname()[1], unix_socket=f"t{os.getpid()}")
            with pytest.raises(OSError, match="in use"):
                await server.asyncrun()
        assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_port_that_is_free_on_one_address_only_is_not_the_one_that_is_picked(monkeypatch):
    """Any port will do, so another is tried."""
    taken, real = [], sockets.bind

    def bind(host: str, port: int, others: list[socket.socket]) -> list[socket.socket]:
        if port and len(taken) < 3:
            taken.append(port)
            raise OSError(errno.EADDRINUSE, "cannot listen")
        return real(host, port, others)

    monkeypatch.setattr(sockets, "bind", bind)
    found = sockets.bind_any_port(["127.0.0.1", "::1"], 0)
    assert len({sock.getsockname()[1] for sock in found}) == 1
    assert len(taken) == 3
    for sock in found:
        sock.close()


def test_a_port_that_was_asked_for_is_the_only_one_that_is_tried(monkeypatch):
    tried = []

    def bind(host: str, port: int, others: list[socket.socket]) -> list[socket.socket]:
        tried.append(port)
        raise OSError(errno.EADDRINUSE, "cannot listen")

    monkeypatch.setattr(sockets, "bind", bind)
    with pytest.raises(OSError, match="cannot listen"):
        sockets.bind_any_port(["127.0.0.1"], 7624)
    assert tried == [7624]
    with pytest.raises(OSError, match="cannot listen"):
        sockets.bind_any_port(["127.0.0.1"], 0)
    assert 1 < len(tried) < 100


@pytest.mark.parametrize("port", [0, 1])
@pytest.mark.parametrize(
    ("hosts", "count"),
    [
        (["127.0.0.1", "127.0.0.1"], 1),
        (["localhost", "127.0.0.1", "::1", "localhost"], 2),
        (["127.0.0.1", "0.0.0.0", "127.0.0.2"], 1),
        (["127.0.0.1", "::1", ""], 2),
        (["127.0.0.1", "127.0.0.2"], 2),
    ],
)
def test_an_address_that_several_hosts_have_is_listened_on_once(hosts: list[str], count: int, port: int):
    found = sockets.bind_any_port(hosts, port and free_port())
    assert len(found) == count
    assert len({sock.getsockname()[1] for sock in found}) == 1
    for sock in found:
        sock.close()


def test_a_host_that_is_not_here_is_told_of_also_behind_another():
    with pytest.raises(OSError, match="assign requested address"):
        sockets.bind_any_port(["127.0.0.1", "192.0.2.1"], 0)


@pytest.mark.parametrize("host", ["a..b", ".", "x" * 64])
def test_what_cannot_be_the_name_of_a_host_is_refused(host: str):
    with pytest.raises(OSError, match="not a valid host name"):
        sockets.bind_any_port([host], 0)


def test_on_windows_nobody_else_can_listen_on_the_same_port(monkeypatch):
    """There SO_REUSEADDR lets them; another option of this platform shows here that the right one is set."""
    monkeypatch.setattr(sockets, "_ONLY_US", socket.SO_KEEPALIVE)
    (sock,) = sockets.bind("127.0.0.1", 0)
    assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    sock.close()


# Files of local sockets


@pytest.fixture
def with_files(monkeypatch):
    """As on systems without an abstract space of names."""
    monkeypatch.setattr(sockets.sys, "platform", "darwin")


@pytest.mark.parametrize(("any_user", "mode"), [(False, 0o600), (True, 0o666)])
def test_the_file_of_a_local_socket_is_for_whom_it_should_be(with_files, tmp_path, any_user, mode):
    before = os.umask(0o022)
    try:
        with sockets.bind_unix(str(tmp_path / "s"), any_user):
            assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == mode
    finally:
        os.umask(before)


@asynchronous
async def test_the_file_of_another_server_stays_when_ours_ends(with_files, tmp_path):
    path = tmp_path / "s"
    async with running_server(echo_driver("A"), unix_socket=str(path)):
        path.unlink()
        with sockets.bind_unix(str(path)):
            pass
        assert path.exists()
        other = path.stat()
    assert os.path.samestat(other, path.stat())


@asynchronous
async def test_a_client_that_the_system_cannot_watch_keeps_no_place(monkeypatch, caplog):
    loop = asyncio.get_running_loop()
    watch, refused = loop.add_reader, []

    def add_reader(fd, callback, *args):
        if isinstance(getattr(callback, "__self__", None), DescriptorLink) and not refused:
            refused.append(fd)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return watch(fd, callback, *args)

    async with running_server(echo_driver("A"), maxconnections=1) as server:
        monkeypatch.setattr(loop, "add_reader", add_reader)
        async with IndiClient(server.port) as client:
            await asyncio.wait_for(client.closed.wait(), 30)
        assert refused
        assert server.board.clients == []
        async with IndiClient(server.port) as client:
            await client.get_properties()
            await client.expect(match("defTextVector"))
    assert "cannot be served: No space left" in caplog.text


@pytest.mark.parametrize("kind", ["program", "remote"])
@asynchronous
async def test_what_the_system_cannot_watch_for_a_moment_is_tried_again(kind, monkeypatch, caplog):
    """It was given up for good."""
    loop = asyncio.get_running_loop()
    watch, refused = loop.add_reader, []

    def add_reader(fd, callback, *args):
        link = getattr(callback, "__self__", None)
        if isinstance(link, DescriptorLink) and link.label.startswith(("driver", "remote")) and len(refused) < 2:
            refused.append(fd)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return watch(fd, callback, *args)

    monkeypatch.setattr(loop, "add_reader", add_reader)
    async with running_server(echo_driver("A")) as other, running_server() as server:
        if kind == "program":
            part = server.add_exdriver("cat", backoff=Backoff(0.01, 0.01))
        else:
            part = server.add_remote("127.0.0.1", other.port, backoff=Backoff(0.01, 0.01))
        await eventually(lambda: part.running, timeout=30)
        assert len(refused) == 2
        assert part.restarted == 2
        assert len(server.board.peers) == 1
    assert "No space left" in caplog.text
    assert "has failed" not in caplog.text


@asynchronous
async def test_our_own_file_goes_with_the_server(with_files, tmp_path):
    async with running_server(echo_driver("A"), unix_socket=str(tmp_path / "s")):
        assert (tmp_path / "s").exists()
    assert not (tmp_path / "s").exists()


@asynchronous
async def test_a_server_for_a_local_socket_only_keeps_its_port():
    server = IPyServer(echo_driver("A"), host=[], port=0, unix_socket=f"indi-test-{os.getpid()}")
    async with running(server):
        assert server.port == 0
        assert server.server is not None
        reader, writer = await asyncio.open_unix_connection(f"\0indi-test-{os.getpid()}")
        writer.write(b"<getProperties version='1.7'/>")
        assert await asyncio.wait_for(reader.read(10), 5)
        writer.close()


@asynchronous
async def test_a_listener_that_is_added_while_the_server_runs_ends_with_it():
    async with running_server(echo_driver("A")) as server:
        listener = server.add_listener("127.0.0.1", 0)
        (sock,) = listener.sockets
        async with IndiClient(listener.port) as client:
            await client.get_properties()
            await client.expect(match("defTextVector"))
    assert sock.fileno() == -1
    assert listener.sockets == []
