"""What a script passes to a server is checked when it does, and named in the error."""

import asyncio
import ssl

import pytest

from indipyserver import IPyServer
from tests.support import asynchronous

INFINITE, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"port": 99999}, ValueError, "port must be from 0 to 65535"),
        ({"port": -1}, ValueError, "port"),
        ({"port": "7624"}, TypeError, "port must be an integer, not str"),
        ({"port": 7624.0}, TypeError, "port"),
        ({"port": None}, TypeError, "port"),
        ({"port": True}, TypeError, "port"),
        ({"host": None}, TypeError, "host must be a name or an address"),
        ({"host": 127}, TypeError, "host"),
        ({"host": ["localhost", 1]}, TypeError, "host"),
        ({"host": b"localhost"}, TypeError, "host"),
        ({"host": "local\0host"}, ValueError, "host"),
        ({"maxconnections": 0}, ValueError, "maxconnections must be 1 or more"),
        ({"maxconnections": 1.5}, TypeError, "maxconnections"),
        ({"limits": 5}, TypeError, "limits must be OutboxLimits or None"),
        ({"client_limits": None}, TypeError, "client_limits must be Limits"),
        ({"hang_time": -1}, ValueError, "hang_time"),
        ({"hang_time": NAN}, ValueError, "hang_time"),
        ({"shutdown_grace": INFINITE}, ValueError, "shutdown_grace"),
        ({"shutdown_grace": None}, TypeError, "shutdown_grace must be a number of seconds"),
        ({"progress_time": "30"}, TypeError, "progress_time"),
        ({"unfinished_total": 0}, ValueError, "unfinished_total"),
        ({"unix_socket": 5}, TypeError, "unix_socket must be str or socket or None"),
        ({"ssl": True}, TypeError, "ssl must be an ssl.SSLContext"),
    ],
)
def test_a_server_refuses_it_when_it_is_built(arguments, error, says):
    with pytest.raises(error, match=says):
        IPyServer(**arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"host": []}, ValueError, "needs a host"),
        ({"port": 70000}, ValueError, "port must be from 0 to 65535"),
        ({"port": "x"}, TypeError, "port"),
        ({"host": 5}, TypeError, "host"),
        ({"ssl": "cert.pem"}, TypeError, "ssl"),
        ({"devices": []}, ValueError, "devices"),
    ],
)
def test_a_listener_is_refused_when_it_is_added(arguments, error, says):
    server = IPyServer(port=0)
    with pytest.raises(error, match=says):
        server.add_listener(**arguments)
    assert server._listeners == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"host": "", "port": 0},
        {"host": ("127.0.0.1", "::1"), "port": 65535},
        {"host": iter(["localhost"])},
        {"hang_time": 0, "shutdown_grace": 0, "progress_time": 0},
        {"ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)},
        {"unix_socket": "name"},
    ],
)
def test_what_makes_sense_is_taken(arguments):
    IPyServer(**arguments)


@pytest.mark.parametrize("options", [{"restarts": "3"}, {"restarts": None}, {"env": {"A": 1}}, {"name": 5}])
def test_an_option_of_a_program_of_a_wrong_type_is_refused_where_it_is_given(options):
    server = IPyServer()
    with pytest.raises(TypeError, match=next(iter(options)) if "restarts" in options else "environment variable"):
        server.add_exdriver("true", **options)
    assert server.exdrivers == []


@pytest.mark.parametrize("device", ["", " ", "a\0b", "\ud800", "x" * 300])
def test_a_device_of_another_server_has_a_name_that_can_be_sent(device):
    server = IPyServer()
    with pytest.raises(ValueError, match=r"name|device"):
        server.add_remote("localhost", device=device)
    assert server.remotes == []


def test_hosts_that_can_be_gone_through_once_are_kept():
    assert IPyServer(host=iter(["localhost", "::1"])).host == ["localhost", "::1"]


@asynchronous
async def test_a_server_with_nothing_to_listen_on_says_so():
    server = IPyServer(host=[], port=0)
    with pytest.raises(ValueError, match="nothing to listen on"):
        await server.asyncrun()
    entrance = server.add_listener("127.0.0.1")
    task = asyncio.create_task(server.asyncrun())
    await server.started.wait()
    assert entrance.port > 0
    assert server.port == 0
    server.shutdown()
    await task


@asynchronous
async def test_what_is_changed_later_is_checked_when_it_runs():
    server = IPyServer(port=0)
    server.port = 70000
    with pytest.raises(ValueError, match="port"):
        await server.asyncrun()
    server.port = 0
    server.host = 5  # type: ignore[assignment]
    with pytest.raises(TypeError, match="host"):
        await server.asyncrun()
