"""One look at a server, without an event loop."""

import asyncio
import socket
import subprocess
import sys

import pytest

from examples import thermostat
from indipyclient.addresses import Endpoint, parse_endpoint
from indipyclient.cli.server import matching
from indipyclient.errors import NotConnected
from indipyclient.look import Look
from indipyclient.reaching import tls_context
from indipyserver.certificates import server_context
from tests.bench.indiclients import OURS, VALUE, definition, run_time
from tests.support import allowed, asynchronous, free_port, match, running_server
from tests.support.certificates import certificates, trusting

from .scripted import DEFINE, SWITCHES, scripted


async def look(server, work, *greeting, **expect):
    """What `work` makes of a look at a server that says this."""

    def run():
        with Look(Endpoint("127.0.0.1", server.port)) as made:
            return work(made)

    task = asyncio.create_task(asyncio.to_thread(run))
    connection = await server.client(*greeting)
    return task, connection


def test_a_command_that_only_reads_loads_no_event_loop():
    """It would take longer than everything else."""
    check = "import sys, indipyclient.cli.get; print({'asyncio', 'ssl', 'logging', 'json'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, env={"PYTHONPATH": OURS}, timeout=30, check=True
    )
    assert done.stdout == "set()\n"


@asynchronous
async def test_it_knows_what_comes_in_any_pieces():
    async with scripted() as server:
        task, connection = await look(server, lambda made: (made.settle(0.1, 5), made.model.names(), len(made.model)))
        for byte in (DEFINE + "<defNumberVector><broken>" + SWITCHES).encode():
            await connection.send(bytes([byte]))
        assert await task == (True, ["Mount"], 2)


@asynchronous
async def test_it_answers_pings():
    async with scripted() as server:
        task, connection = await look(server, lambda made: made.settle(0.2, 5), '<pingRequest uid="7"/>', DEFINE)
        assert (await connection.expect(match("pingReply"))).get("uid") == "7"
        assert await task


@asynchronous
async def test_a_server_that_goes_away_is_told():
    async with scripted() as server:
        for leave in ("close", "reset"):
            task, connection = await look(server, lambda made: made.until(lambda: False, 5), DEFINE)
            getattr(connection, leave)()
            with pytest.raises(NotConnected):
                await task


@asynchronous
async def test_a_silent_server_is_not_waited_for_longer():
    async with scripted() as server:
        task, _ = await look(server, lambda made: (made.until(lambda: False, 0.05), made.settle(0.02, 0.05)))
        assert await task == (False, False)


@asynchronous
async def test_only_what_is_named_is_asked_for_at_first():
    async with scripted() as server:
        task, connection = await look(server, lambda made: matching(made, ["Mount.EQ.RA"], 5))
        asked = await connection.expect(match("getProperties"))
        assert (asked.get("device"), asked.get("name")) == ("Mount", "EQ")
        everything = await connection.expect(match("getProperties"))  # it did not answer to that
        assert everything.get("device") is None
        await connection.send(SWITCHES, DEFINE)
        assert [prop.name for prop in await task] == ["EQ"]


def test_no_server():
    with pytest.raises(NotConnected, match="nothing listens"):
        Look(Endpoint("127.0.0.1", free_port()))
    with pytest.raises(NotConnected, match="nothing listens"):
        Look(parse_endpoint("/nowhere/at/all"))


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no local sockets")
def test_a_local_socket(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        with Look(parse_endpoint(str(tmp_path / "socket"))) as made:
            sock, _ = listener.accept()
            with sock:
                sock.sendall(definition("Device", "PROPERTY"))
                assert made.until(lambda: len(made.model) == 1, 5)


@asynchronous
async def test_tls():
    directory = certificates()
    context = server_context(directory / "server.pem", directory / "server.key")
    async with running_server(thermostat.make_driver(), ssl=context) as server:

        def work(tls):
            with Look(Endpoint("localhost", server.port), tls) as made:
                return matching(made, ["Thermostat.TARGET"], 5)[0]["TARGET"].number

        assert await asyncio.to_thread(work, trusting()) == 18
        with pytest.raises(NotConnected, match="not trusted"):
            await asyncio.to_thread(work, tls_context(True))


@pytest.mark.measured
def test_one_value_takes_little_longer_than_an_interpreter_with_an_event_loop():
    get = [sys.executable, "-m", "indipyclient", "get", "-s", "HOST", "-p", "PORT", VALUE]
    bare = [sys.executable, "-c", "import asyncio"]
    assert run_time(get)[1] < allowed(2 * run_time(bare)[1])


def test_the_zone_of_an_address_is_no_part_of_what_a_certificate_names(monkeypatch):
    asked = []

    class Tls:
        def wrap_socket(self, sock, server_hostname):
            asked.append(server_hostname)
            return sock

    monkeypatch.setattr("socket.create_connection", lambda *_: socket.socket())
    with Look(parse_endpoint("[fe80::1%eth0]:7624"), Tls()):
        pass
    assert asked == ["fe80::1"]
