"""What a script passes to a server is checked when it does, and named in the error."""

import asyncio
import ssl
from pathlib import Path

import pytest

from indipydriver import IPyDriver
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
        ({"limits": 5}, TypeError, "limits must be OutboxLimits"),
        ({"client_limits": None}, TypeError, "client_limits must be Limits"),
        ({"hang_time": -1}, ValueError, "hang_time"),
        ({"hang_time": NAN}, ValueError, "hang_time"),
        ({"hang_time": 10**400}, ValueError, "hang_time"),
        ({"shutdown_grace": INFINITE}, ValueError, "shutdown_grace"),
        ({"shutdown_grace": None}, TypeError, "shutdown_grace must be a number of seconds"),
        ({"progress_time": "30"}, TypeError, "progress_time"),
        ({"unfinished_total": 0}, ValueError, "unfinished_total"),
        ({"unix_socket": 5}, TypeError, "unix_socket must be str or socket or None"),
        ({"ssl": True}, TypeError, "ssl must be an ssl.SSLContext"),
        ({"hang_time": True}, TypeError, "hang_time"),
        ({"unix_any_user": "no"}, TypeError, "unix_any_user must be True or False, not str"),
        ({"audit": "no"}, TypeError, "audit"),
    ],
)
def test_a_server_refuses_it_when_it_is_built(arguments, error, says):
    with pytest.raises(error, match=says):
        IPyServer(**arguments)


@pytest.mark.parametrize(
    ("driver", "says"),
    [
        (IPyDriver, r"not a class: IPyDriver\(\.\.\.\) makes one"),
        (None, "not NoneType: is a `return` missing"),
        ([IPyDriver()], r"not list: IPyServer\(\*drivers\) takes those of a list"),
        ("led.py", "not str$"),
    ],
)
def test_what_is_no_driver_is_told_with_what_was_meant(driver, says):
    with pytest.raises(TypeError, match=f"a driver must be an IPyDriver, {says}"):
        IPyServer(driver)


class Unfinished(IPyDriver):
    def __init__(self):
        self.port = None


def test_a_driver_without_its_init_is_told_what_is_missing():
    with pytest.raises(TypeError, match=r"a Unfinished is not a driver yet: its __init__\(\) does not call super"):
        IPyServer(Unfinished())


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"host": []}, ValueError, "needs a host"),
        ({"port": 70000}, ValueError, "port must be from 0 to 65535"),
        ({"port": "x"}, TypeError, "port"),
        ({"host": 5}, TypeError, "host"),
        ({"ssl": "cert.pem"}, TypeError, "ssl"),
        ({"devices": []}, ValueError, "devices"),
        ({"devices": [5]}, TypeError, "devices"),
        ({"read_only": "no"}, TypeError, "read_only must be True or False"),
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


@pytest.mark.parametrize(
    "options",
    [
        {"restarts": "3"},
        {"restarts": None},
        {"restarts": True},
        {"debug_enable": "x"},
        {"pipes": "no"},
        {"env": [("A", "B")]},
        {"backoff": 5},
        {"prefix": b"/usr"},
        {"env": {"A": 1}},
        {"env": {5: "A"}},
        {"name": 5},
    ],
)
def test_an_option_of_a_program_of_a_wrong_type_is_refused_where_it_is_given(options):
    server = IPyServer()
    name = next(iter(options))
    with pytest.raises(TypeError, match="env" if name == "env" else "environment variable" if name == "name" else name):
        server.add_exdriver("true", **options)
    assert server.exdrivers == []


@pytest.mark.parametrize(
    ("words", "options", "error", "says"),
    [
        ((5,), {}, TypeError, "program must be a text or a path, not int"),
        ((None,), {}, TypeError, "program"),
        ((b"cat",), {}, TypeError, "program"),
        (("",), {}, ValueError, "program must be the name or the path of a program"),
        (("a\0b",), {}, ValueError, "program must have no NUL"),
        (("cat", "a\0b"), {}, ValueError, "an argument of a program must have no NUL"),
        (("cat", None), {}, TypeError, "an argument of a program must be a text or a path, not NoneType"),
        (("cat",), {"restarts": -1}, ValueError, "restarts must be 0 or more"),
        (("cat",), {"env": {"A": "\0"}}, ValueError, "environment variable 'A'"),
        (("cat",), {"env": {"A=B": "C"}}, ValueError, "environment variable 'A=B'"),
        (("cat",), {"env": {"": "C"}}, ValueError, "environment variable ''"),
        (("cat",), {"name": "a\0b"}, ValueError, "environment variable 'INDIDEV'"),
    ],
)
def test_what_no_program_can_be_passed_is_refused_where_it_is_given(words, options, error, says):
    server = IPyServer()
    with pytest.raises(error, match=says):
        server.add_exdriver(*words, **options)
    assert server.exdrivers == []


def test_a_program_and_its_arguments_may_be_paths_and_numbers():
    part = IPyServer().add_exdriver(Path("/bin/cat"), Path("/dev/null"), 5, 1.5, debug_enable=1, env={b"A": b"B"})
    assert part.program == "/bin/cat"
    assert part._what.args == ("/dev/null", "5", "1.5")


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"host": 5}, TypeError, "host must be str, not int"),
        ({"host": None}, TypeError, "host"),
        ({"host": "a b"}, ValueError, "needs a host, a name or an address, not 'a b'"),
        ({"host": "a\0b"}, ValueError, "host"),
        ({"port": "x"}, TypeError, "port must be an integer, not str"),
        ({"port": "\u0667"}, TypeError, "port"),
        ({"port": "0"}, ValueError, "a port from 1 to 65535"),
        ({"port": "9" * 5000}, TypeError, "port"),
        ({"port": True}, TypeError, "port"),
        ({"port": 1.5}, TypeError, "port must be an integer, not float"),
        ({"port": None}, TypeError, "port"),
        ({"debug_enable": "x"}, TypeError, "debug_enable must be True or False"),
        ({"device": 5}, TypeError, "device"),
        ({"ssl": True}, TypeError, "ssl must be an ssl.SSLContext"),
        ({"ssl": "x"}, TypeError, "ssl"),
        ({"server_hostname": 5}, TypeError, "server_hostname"),
        ({"backoff": "x"}, TypeError, "backoff must be Backoff or None"),
        ({"backoff": 0}, TypeError, "backoff"),
    ],
)
def test_a_link_to_another_server_is_refused_when_it_is_added(arguments, error, says):
    server = IPyServer()
    with pytest.raises(error, match=says):
        server.add_remote(**{"host": "localhost", **arguments})
    assert server.remotes == []


@pytest.mark.parametrize("name", ["", ".example.org", "a\0b", "a" * 64 + ".org"])
def test_a_name_that_no_certificate_holds_is_refused_when_the_link_is_added(name):
    server = IPyServer()
    with pytest.raises(ValueError, match="server_hostname: no certificate is for"):
        server.add_remote("localhost", ssl=ssl.create_default_context(), server_hostname=name)
    assert server.remotes == []


def test_what_scripts_pass_for_a_link_to_another_server_is_taken():
    server = IPyServer()
    part = server.add_remote("localhost", "7625", "Also", 1)
    assert (part.host, part.port, part.blob_enable) == ("localhost", 7625, True)
    assert server.add_remote("localhost").port == 7624


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


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("port", 70000, ValueError),
        ("host", 5, TypeError),
        ("host", "local\0host", ValueError),
        ("maxconnections", 0, ValueError),
        ("limits", None, TypeError),
        ("client_limits", None, TypeError),
        ("hang_time", NAN, ValueError),
        ("unix_socket", 5, TypeError),
        ("ssl", "cert.pem", TypeError),
        ("progress_time", -1, ValueError),
        ("unfinished_total", 0, ValueError),
    ],
)
def test_what_is_changed_later_is_checked_at_once(name, value, error):
    server = IPyServer()
    before = getattr(server, name)
    with pytest.raises(error, match=name):
        setattr(server, name, value)
    assert getattr(server, name) == before


def test_what_is_changed_between_runs_is_what_the_next_run_has():
    server = IPyServer(host="localhost", port=0)
    server.host = iter(["127.0.0.1"])
    server.maxconnections = 3
    assert server.host == ["127.0.0.1"]
    assert server.maxconnections == 3


FIXED = (
    "host port maxconnections limits client_limits hang_time unix_socket unix_any_user ssl progress_time "
    "unfinished_total control drivers exdrivers remotes devices services board started stopped"
).split()


@asynchronous
async def test_while_a_server_runs_a_few_things_only_can_be_changed():
    server = IPyServer(host="127.0.0.1", port=0)
    assert not server.running
    task = asyncio.create_task(server.asyncrun())
    await server.started.wait()
    assert server.running
    port = server.port
    for name in FIXED:
        with pytest.raises(RuntimeError, match=f"^{name} cannot be changed while the server runs"):
            setattr(server, name, getattr(server, name))
    server.shutdown_grace = 0.1
    server.keepalive = 5
    server.on_deserted = None
    assert server.port == port > 0
    server.shutdown()
    await task
    assert not server.running
    assert server.port == 0
    for name in FIXED:
        setattr(server, name, getattr(server, name))


@pytest.mark.parametrize(("value", "error"), [("5", TypeError), (None, TypeError), (-1, ValueError), (NAN, ValueError)])
@asynchronous
async def test_the_grace_time_is_checked_whenever_it_is_set(value, error):
    server = IPyServer(host="127.0.0.1", port=0)
    task = asyncio.create_task(server.asyncrun())
    await server.started.wait()
    with pytest.raises(error, match="shutdown_grace"):
        server.shutdown_grace = value
    server.shutdown_grace = 2
    server.shutdown()
    await task
    assert server.shutdown_grace == 2
