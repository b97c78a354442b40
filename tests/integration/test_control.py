"""The control socket of a running server: drivers that come, crash and go, and those who connect and mean no good."""

import asyncio
import contextlib
import json
import logging
import os
import socket
import stat
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import indipydriver as ipd
from indipyserver import Control, ControlError, IPyServer
from indipyserver.control import door
from indipyserver.control.paths import possible_paths
from indipyserver.control.wire import MAX_REQUEST
from tests.support import (
    ROOT,
    IndiClient,
    asynchronous,
    eventually,
    gone,
    match,
    require,
    run,
    running_server,
    still_served,
)
from tests.support.drivers import echo_device, echo_driver
from tests.support.links import sees_what_comes

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no local sockets here")

LONG = 30  # seconds that a process may take
PROGRAM = """\
    import os, sys
    name = os.environ.get("INDIDEV", "Program")
    sys.stderr.write("the program speaks\\n")
    sys.stderr.flush()
    answer = f'<defLightVector device="{name}" name="L" state="Ok"><defLight name="l">Ok</defLight></defLightVector>'
    for line in sys.stdin:
        if "getProperties" in line:
            os.write(1, answer.encode())
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "control")


@pytest.fixture
def program(tmp_path: Path) -> str:
    file = tmp_path / "indi_test"
    file.write_text(f"#!{sys.executable}\n{textwrap.dedent(PROGRAM)}")
    file.chmod(0o755)
    return str(file)


@contextlib.asynccontextmanager
async def site(path: str, *drivers: Any, **options: Any) -> AsyncIterator[tuple[IPyServer, Control]]:
    async with running_server(*drivers, control=path, **options) as server, Control(path, timeout=LONG) as control:
        yield server, control


async def until(control: Control, driver: int, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The record of a driver or remote when it is so."""
    async with asyncio.timeout(LONG):
        while True:
            for each in await control.drivers() + await control.remotes():
                if each["id"] == driver and condition(each):
                    return each
            await asyncio.sleep(0.02)


# What it is for


@asynchronous
async def test_a_program_is_added_crashes_is_stopped_started_and_removed(path: str, program: str) -> None:
    async with site(path, echo_driver("Dome")) as (server, control), IndiClient(server.port) as client:
        await client.get_properties()
        (added,) = await control.add(program, name="Guider")
        number, pid = added["id"], added["pid"]
        assert (added["state"], added["spec"], added["name"]) == ("running", program, "Guider")
        await client.expect(match("defLightVector", device="Guider"), timeout=LONG)
        record = await until(control, number, lambda each: each["devices"])
        assert record["devices"] == ["Guider"]
        await until(control, number, lambda each: any("speaks" in line["text"] for line in each["log"]))

        os.kill(pid, 9)
        record = await until(control, number, lambda each: each["restarts"] == 1 and each["pid"])
        assert record["pid"] != pid
        await client.expect(match("delProperty", device="Guider"), timeout=LONG)
        assert any("restart 1 of 10" in line["text"] for line in await control.log("Guider"))

        (record,) = await control.stop("Guider")
        assert (record["state"], record["pid"], record["devices"]) == ("stopped", None, [])
        assert (await control.status())["running"] == 1
        (record,) = await control.stop(number)
        assert record["state"] == "stopped", "it is already"

        (record,) = await control.start("Guider")
        assert record["state"] == "running"
        assert record["restarts"] == 0
        pid = record["pid"]
        (record,) = await control.start("Guider")
        assert record["pid"] == pid, "it is already running"
        (record,) = await control.restart("Guider")
        assert record["pid"] not in (pid, None)
        await eventually(lambda: gone(pid))

        assert await control.remove("Guider") == [{"id": number, "label": record["label"]}]
        await eventually(lambda: gone(record["pid"]))
        assert [each["label"] for each in await control.drivers()] == ["Echo (Dome)"]
        with pytest.raises(ControlError, match="is not served") as caught:
            await control.remove("Guider")
        assert caught.value.code == "unknown"


@asynchronous
async def test_a_driver_in_the_server_is_stopped_and_started_again(path: str) -> None:
    async with site(path, echo_driver("Dome"), echo_driver("Mount")) as (server, control):
        async with IndiClient(server.port) as client:
            await client.get_properties()
            await client.expect(match("defNumberVector", device="Dome"))
            (record,) = await control.stop("Dome")
            assert record["state"] == "stopped"
            await client.expect(match("delProperty", device="Dome"))
            await still_served(server.port, "Mount")
            (record,) = await control.start("Dome")
            assert record["state"] == "running"
            await client.expect(match("defNumberVector", device="Dome"), timeout=LONG)
            await control.restart("Dome")
            await still_served(server.port, "Dome")
            assert "Echo (Dome) has been stopped" in [line["text"] for line in await control.log("Dome")]


class Stubborn(ipd.IPyDriver):
    """Goes on though it was cancelled."""

    free = False

    async def rxevent(self, event: Any) -> None: ...

    async def hardware(self) -> None:
        while not self.free:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.05)


class Failing(ipd.IPyDriver):
    """Fails in its first run."""

    runs = 0

    async def rxevent(self, event: Any) -> None: ...

    async def hardware(self) -> None:
        self.runs += 1
        if self.runs == 1:
            raise ValueError("no such port")
        while not self.stop:
            await asyncio.sleep(0.02)


@asynchronous
async def test_a_driver_that_does_not_end_is_not_started_twice(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indipyserver.sources.sources.LAST_GRACE", 0.1)
    driver = Stubborn(echo_device("Roof"))
    async with site(path, driver, shutdown_grace=0.1) as (_, control):
        await until(control, 1, lambda each: each["state"] == "running")
        (record,) = await control.stop("Roof")
        assert record["state"] == "stopped"
        with pytest.raises(ControlError, match="already running") as caught:
            await control.start("Roof")
        assert caught.value.code == "refused"
        driver.free = True
        async with asyncio.timeout(LONG):
            while True:
                with contextlib.suppress(ControlError):
                    (record,) = await control.start("Roof")
                    break
                await asyncio.sleep(0.02)
        assert record["state"] == "running"


@asynchronous
async def test_a_request_that_is_refused_late_holds_up_no_other(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[float] = []

    async def refuse(source: object) -> None:
        await asyncio.sleep(0.5)  # others have their turns
        raise ValueError("it has taken its time")

    async def note(self: object, took: float) -> None:
        taken.append(took)

    async with site(path, echo_driver("A")) as (server, control):
        monkeypatch.setattr(door.ControlDoor, "take_turns", note)
        monkeypatch.setattr(server.services, "restart", refuse)
        with pytest.raises(ControlError, match="taken its time"):
            await control.restart("A")
        await control.drivers()
    assert taken
    assert max(taken) < 0.5


@asynchronous
async def test_a_driver_that_has_failed_says_why_and_is_started_again(path: str) -> None:
    async with site(path, Failing(echo_device("Cam"))) as (_, control):
        record = await until(control, 1, lambda each: each["state"] == "ended")
        assert any("no such port" in line["text"] for line in record["log"])
        (record,) = await control.start("Cam")
        assert record["state"] == "running"


@asynchronous
async def test_links_to_other_servers_come_and_go(path: str) -> None:
    async with running_server(echo_driver("Far")) as far, site(path) as (_, control):
        (record,) = await control.add(f"@127.0.0.1:{far.port}")
        record = await until(control, record["id"], lambda each: each["connected"] and each["devices"])
        assert (record["devices"], record["port"], record["state"]) == (["Far"], far.port, "running")
        (above,) = far.board.clients
        (record,) = await control.stop(record["id"])
        assert (record["connected"], record["state"]) == (False, "stopped")
        await eventually(lambda: above.closed)
        await control.start(record["id"])
        await until(control, record["id"], lambda each: each["connected"] and each["devices"])
        await control.remove(f"127.0.0.1:{far.port}")
        assert await control.remotes() == []
        (record,) = await control.add("@127.0.0.1:1")
        record = await until(control, record["id"], lambda each: each["log"])
        assert (record["state"], record["connected"]) == ("waiting", False)


@asynchronous
async def test_one_of_indilibs_simulators(path: str) -> None:
    simulator = require("indi_simulator_telescope")
    async with site(path) as (_, control):
        (record,) = await control.add(simulator)
        record = await until(control, record["id"], lambda each: each["devices"])
        assert record["devices"] == ["Telescope Simulator"]
        os.kill(record["pid"], 9)
        await until(control, record["id"], lambda each: each["restarts"] == 1 and each["devices"])
        (record,) = await control.restart("Telescope Simulator")
        await until(control, record["id"], lambda each: each["devices"] == ["Telescope Simulator"])
        await control.remove("indi_simulator_telescope")


@asynchronous
async def test_what_cannot_be_started_says_why(path: str, tmp_path: Path) -> None:
    async with site(path) as (_, control):
        (record,) = await control.add("no-such-program")
        assert record["state"] == "ended"
        assert "cannot be started" in record["log"][-1]["text"]
        (tmp_path / "bad.py").write_text("def make(): return 1 / 0\n")
        with pytest.raises(ControlError, match=r"bad\.py:1 in make") as caught:
            await control.add(f"{tmp_path}/bad.py:make")
        assert caught.value.code == "refused"


@asynchronous
async def test_changes_are_followed(path: str, program: str) -> None:
    async with site(path, echo_driver("Dome")) as (server, control), Control(path) as other:
        events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        async def follow() -> None:
            async for event in other.follow(log=True):
                events.put_nowait(event)

        async def comes(kind: str, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
            async with asyncio.timeout(LONG):
                while True:
                    event = await events.get()
                    if event["event"] == kind and condition(event):
                        return event

        following = asyncio.create_task(follow())
        now = await comes("now", lambda event: True)
        assert [each["devices"] for each in now["drivers"]] == [["Dome"]]
        (record,) = await control.add(program)
        await comes("driver", lambda event: event["driver"]["devices"] == ["Program"])
        os.kill(record["pid"], 9)
        await comes("driver", lambda event: event["driver"]["state"] == "waiting")
        await comes("driver", lambda event: event["driver"]["state"] == "running")
        async with IndiClient(server.port):
            client = await comes("client", lambda event: True)

        await comes("left", lambda event: event["client"]["id"] == client["client"]["id"])
        logging.getLogger("tests.control").warning("something is logged")

        line = await comes("log", lambda event: "is logged" in event["line"]["text"])
        assert line["line"]["level"] == "warning"
        await control.remove(record["id"])

        await comes("removed", lambda event: event["driver"]["id"] == record["id"])
        await other.close()
        await following


@asynchronous
async def test_a_client_that_goes_at_once_is_not_there_for_ever(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "_COLLECT_TIME", 0.5)  # it comes and goes between two looks
    async with site(path) as (server, control):
        async with IndiClient(server.port):
            await eventually(lambda: server.board.clients)
            events = control.follow()
            (client,) = (await anext(events))["clients"]
        async with asyncio.timeout(LONG):
            assert await anext(events) == {"event": "left", "client": {"id": client["id"], "label": client["label"]}}


@asynchronous
async def test_one_who_follows_again_after_a_new_connection(path: str) -> None:
    async with site(path) as (_, control):
        has_begun = asyncio.Event()

        async def follow() -> None:
            async for _ in control.follow():
                has_begun.set()

        following = asyncio.create_task(follow())
        await has_begun.wait()
        await control.close()
        await control.connect()
        again = control.follow(log=True)
        assert (await anext(again))["event"] == "now"
        await following
        logging.getLogger("tests.control").warning("something is logged")
        async with asyncio.timeout(LONG):
            assert (await anext(again))["event"] == "log"


@asynchronous
async def test_tasks_that_connect_at_once_share_one_connection(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    admitted: list[object] = []
    admit = door.ControlDoor.admit
    monkeypatch.setattr(door.ControlDoor, "admit", lambda self, new: admitted.append(new) or admit(self, new))
    async with running_server(control=path):
        control = Control(path, timeout=LONG)
        await asyncio.gather(*(control.connect() for _ in range(3)))
        assert (await control.status())["protocol"] == 1
        await control.close()
    assert len(admitted) == 1


@asynchronous
async def test_the_end_of_the_server_is_noticed(path: str) -> None:
    async with running_server(control=path):
        control = Control(path)
        await control.connect()
        await control.status()
        following = asyncio.create_task(anext(aiter(control.follow())))
        assert (await following)["event"] == "now"
    with pytest.raises(ConnectionError):
        await control.status()
    await control.close()
    assert not os.path.exists(path)
    with pytest.raises(OSError, match="no server can be controlled"):
        await control.connect()


@asynchronous
async def test_a_server_that_is_stopping_says_so(path: str) -> None:
    """Its listening sockets are closed already."""
    may_end = asyncio.Event()

    class Slow(ipd.IPyDriver):
        async def hardware(self) -> None:
            await may_end.wait()

    async with site(path, Slow(echo_device("A")), shutdown_grace=LONG) as (server, control):
        listener = server.add_listener("127.0.0.1")
        status = await control.status()
        assert (status["stopping"], len(status["listening"])) == (False, 2)
        server.shutdown()
        await eventually(lambda: not server.listening)
        status = await control.status()
        assert (status["stopping"], status["listening"], status["port"]) == (True, [], server.port)
        assert server.sockets == listener.sockets == []
        assert "127.0.0.1" in str(listener)
        may_end.set()


@asynchronous
async def test_a_second_run_has_its_socket_again(path: str) -> None:
    server = IPyServer(echo_driver("Dome"), host="127.0.0.1", port=0, control=path)
    for _ in range(2):
        serving = asyncio.create_task(server.asyncrun())
        await server.started.wait()
        async with Control(path) as control:
            (record,) = await control.drivers()
            assert (record["id"], record["state"]) == (1, "running")
            await control.stop("Dome")
        server.shutdown()
        await serving
    assert logging.getLogger().handlers == [
        handler for handler in logging.getLogger().handlers if type(handler).__name__ != "RecentLog"
    ]
    assert not server.board._leavers


def test_another_event_loop(path: str) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def session() -> None:
        async with site(path, echo_driver("Dome")) as (server, control), Control(path) as other:
            following = aiter(other.follow())
            assert (await anext(following))["event"] == "now"
            (record,) = await control.restart("Dome")
            assert record["state"] == "running"
            assert (await anext(following))["event"] == "driver"
            await still_served(server.port, "Dome")
            answers = await ask(path, b"x" * 100_000 + b'\n{"do": "status"}')
            assert [each["ok"] for each in answers] == [False, True]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(session())


# Where it is, and who may use it


@asynchronous
async def test_the_socket_is_for_its_owner(path: str) -> None:
    async with running_server(control=path):
        mode = os.stat(path).st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600


@asynchronous
async def test_it_is_removed_wherever_the_process_has_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with running_server(control="control"):
        assert (tmp_path / "control").is_socket()
        monkeypatch.chdir("/")
    assert not (tmp_path / "control").exists()


@asynchronous
async def test_where_it_usually_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    async with running_server(echo_driver("Dome"), control=True) as server:
        assert os.listdir(tmp_path) == [f"indipyserver-{server.port}.control"]
        async with Control(port=server.port) as control:
            assert (await control.status())["port"] == server.port
        monkeypatch.setenv("XDG_RUNTIME_DIR", "relative")
        assert possible_paths(5) == ["/tmp/indipyserver-5.control"]
    assert os.listdir(tmp_path) == []


@asynchronous
async def test_the_program_of_the_guide(path: str, tmp_path: Path) -> None:
    os.symlink(path, tmp_path / "indipyserver-7624.control")
    program = ROOT / "docs" / "snippets" / "control" / "restart.py"
    async with running_server(echo_driver("CCD Simulator"), control=path) as server:
        (peer,) = server.board.peers
        result = await run(sys.executable, str(program), XDG_RUNTIME_DIR=str(tmp_path), PYTHONPATH=str(ROOT))
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout == "Echo (CCD Simulator) running ['CCD Simulator']\n"
        assert peer.closed, "it has been restarted"


@asynchronous
async def test_one_socket_for_each_server(path: str) -> None:
    async with running_server(control=path):
        with pytest.raises(OSError, match="cannot listen on the control socket"):
            async with running_server(control=path):
                pass
        async with Control(path) as control:
            await control.status()


@asynchronous
async def test_what_a_server_has_left_behind_is_replaced_and_nothing_else(path: str, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    async with running_server(control=path), Control(path) as control:
        await control.status()
    file = tmp_path / "file"
    file.write_text("precious")
    for place in (file, tmp_path, tmp_path / "no" / "control", tmp_path / ("x" * 200)):
        with pytest.raises(OSError, match="cannot listen on the control socket"):
            async with running_server(control=str(place)):
                pass
    assert file.read_text() == "precious"


@pytest.mark.parametrize("control", ["", "a\0b", 1, b"x", None])
def test_what_is_no_path_is_refused(control: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        IPyServer(control=control)


@asynchronous
async def test_another_user_is_not_let_in(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "at_the_other_end", lambda sock: (1, os.geteuid() + 1))
    async with running_server(control=path):
        async with Control(path) as control:
            with pytest.raises((ControlError, ConnectionError)) as caught:
                await control.status()
            assert not isinstance(caught.value, ControlError) or caught.value.code == "denied"
        reader, writer = await asyncio.open_unix_connection(path)
        answer = json.loads(await reader.readline())
        assert answer["error"]["code"] == "denied"
        assert await reader.read() == b""
        writer.close()


@asynchronous
async def test_a_socket_of_another_user_is_not_trusted(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In /tmp, anybody may have been first."""
    async with running_server(control=path):
        monkeypatch.setattr("indipyserver.control.client.at_the_other_end", lambda sock: (1, 12345))
        monkeypatch.setattr("indipyserver.control.client.os.geteuid", lambda: 54321)
        with pytest.raises(PermissionError, match="user 12345 listens there"):
            await Control(path).connect()


# Those who mean no good


async def ask(path: str, data: bytes) -> list[dict[str, Any]]:
    """What is answered to these bytes, and then to no more of them."""
    reader, writer = await asyncio.open_unix_connection(path, limit=1 << 26)
    async with asyncio.timeout(LONG):
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            writer.write_eof()
            await writer.drain()
        answers = (await reader.read()).splitlines()
    writer.close()
    return [json.loads(answer) for answer in answers]


@asynchronous
async def test_nonsense_is_answered_line_by_line(path: str) -> None:
    async with site(path, echo_driver("A")) as (server, _):
        garbage = b"\xff\xfe\n{\n\x00\n" + os.urandom(5000).replace(b"\n", b"") + b"\n" + b"[" * 9000 + b"\n"
        answers = await ask(path, garbage + b'\n\n  \n{"do": "status", "id": 5}')
        assert [each["ok"] for each in answers] == [False] * 5 + [True]
        assert all(each["error"]["code"] == "request" for each in answers[:5])
        assert answers[5]["id"] == 5
        await still_served(server.port)


@asynchronous
async def test_a_line_of_10_megabytes_is_one_mistake(path: str) -> None:
    async with site(path, echo_driver("A")) as (server, _):
        answers = await ask(path, b'{"do": "' + b"x" * (10 << 20) + b'"}\n{"do": "status"}\n')
        assert [each["ok"] for each in answers] == [False, True]
        assert f"more than {MAX_REQUEST} bytes" in answers[0]["error"]["text"]
        await still_served(server.port)


@asynchronous
async def test_thousands_of_requests_are_answered_in_order(path: str) -> None:
    async with site(path, echo_driver("A")) as (server, control):
        flooding = asyncio.create_task(ask(path, b"".join(b'{"do":"x","id":%d}\n' % n for n in range(5_000))))
        await still_served(server.port)
        await control.status()
        assert [each["id"] for each in await flooding] == list(range(5_000))


@asynchronous
async def test_a_mistake_of_the_server_is_told_and_harmless(
    path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def clients(self: object) -> None:
        raise ZeroDivisionError("a mistake")

    async with site(path) as (_, control):
        monkeypatch.setattr("indipyserver.control.watch.Watch.clients", clients)
        with pytest.raises(ControlError, match="a mistake") as caught:
            await control.clients()
        assert caught.value.code == "failed"
        await control.status()
        assert "could not be answered" in caplog.text


@asynchronous
async def test_a_request_in_pieces(path: str) -> None:
    async with site(path) as (_, control):
        reader, writer = await asyncio.open_unix_connection(path)
        for byte in b'{"do": "status", "id": 3}\n':
            writer.write(bytes((byte,)))
            await asyncio.sleep(0.001)
        assert json.loads(await reader.readline())["id"] == 3
        writer.write(b'{"do": "sta')
        await writer.drain()
        await control.status()
        writer.close()


@asynchronous
async def test_a_thousand_connections_leave_room_for_one(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "IDLE", 0.5)
    async with running_server(echo_driver("A"), control=path) as server:
        socks = []
        try:
            for _ in range(1000):
                sock = socket.socket(socket.AF_UNIX)
                sock.setblocking(False)
                socks.append(sock)
                with contextlib.suppress(BlockingIOError):
                    sock.connect(path)
                await asyncio.sleep(0)
            await still_served(server.port)

            async def status() -> bool:
                try:
                    async with Control(path) as control:
                        return bool(await control.status())
                except (OSError, ControlError):
                    return False

            async with asyncio.timeout(LONG):
                while not await status():
                    await asyncio.sleep(0.1)
        finally:
            for sock in socks:
                sock.close()


@asynchronous
async def test_those_who_follow_keep_their_places(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "IDLE", 0.0)
    monkeypatch.setattr(door, "MOST_CONNECTIONS", 2)
    async with running_server(control=path):
        async with Control(path) as first, Control(path) as second:
            for control in (first, second):
                assert (await anext(aiter(control.follow())))["event"] == "now"
            async with Control(path) as third:
                with pytest.raises((ControlError, ConnectionError)):
                    await third.status()
            await first.status()
            await second.status()


@asynchronous
async def test_one_who_reads_nothing_costs_little_and_is_closed(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "ANSWER_PATIENCE", 0.5)
    async with site(path, echo_driver("A")) as (server, control):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        sock.setblocking(False)
        request = b'{"do": "drivers"}\n' * 1000
        closed = False
        async with asyncio.timeout(LONG):
            while not closed:
                try:
                    sock.send(request)
                except BlockingIOError:
                    await asyncio.sleep(0.05)
                except OSError:
                    closed = True
        sock.close()
        await still_served(server.port)
        await control.status()


@asynchronous
async def test_one_who_follows_and_does_not_read_misses_events_and_is_told(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "MOST_EVENT_BYTES", 100_000)
    async with site(path) as (_, control):
        reader, writer = await asyncio.open_unix_connection(path, limit=1 << 20)
        writer.write(b'{"do": "follow", "log": true}\n')
        assert json.loads(await reader.readline())["ok"]
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        logger = logging.getLogger("tests.control")
        logger.propagate = False
        recent = next(each for each in logging.getLogger().handlers if type(each).__name__ == "RecentLog")
        logger.addHandler(recent)
        try:
            for number in range(2000):
                logger.warning("%d %s", number, "x" * 1000)
            await asyncio.sleep(0)
        finally:
            logger.removeHandler(recent)
            logger.propagate = True
        await control.status()
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        told = 0
        async with asyncio.timeout(LONG):
            while True:
                event = json.loads(await reader.readline())
                if event["event"] == "missed":
                    break
                told += event["event"] == "log"
        assert told + event["count"] >= 2000
        assert event["count"] > 1000
        writer.close()


@asynchronous
async def test_an_event_that_is_larger_than_all_that_may_wait_silences_no_later_one(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "MOST_EVENT_BYTES", 500)
    async with site(path) as (_, control):
        events = control.follow(log=True)
        await anext(events)
        for text in ("x" * 1000, "and on"):
            logging.getLogger("tests.control").warning(text)
        async with asyncio.timeout(LONG):
            assert (await anext(events))["line"]["text"] == "x" * 1000
            assert (await anext(events))["line"]["text"] == "and on"


@asynchronous
async def test_who_connects_as_the_server_ends_is_not_left_behind(path: str) -> None:
    """The connection has been accepted, and asyncio tells of it in the next turn."""
    server = IPyServer(host="127.0.0.1", port=0)
    server.control = path
    ours, its = socket.socketpair()
    for sock in (ours, its):
        sock.setblocking(False)
    async with door.ControlDoor(server, server._sources) as control:
        pass
    await asyncio.get_running_loop().connect_accepted_socket(control._connection, its)
    with ours:
        async with asyncio.timeout(LONG):
            with contextlib.suppress(ConnectionError):
                ours.send(b'{"do": "status"}\n')
                assert await asyncio.get_running_loop().sock_recv(ours, 100) == b""
    assert control.connections == []


@asynchronous
async def test_a_run_that_is_cancelled_as_it_begins_leaves_its_descriptor_to_others(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers: list[int] = []
    bind = door.bind_control

    def bind_control(path: str) -> socket.socket:
        sock = bind(path)
        numbers.append(sock.fileno())
        return sock

    monkeypatch.setattr(door, "bind_control", bind_control)
    pair = socket.socketpair()
    serving = asyncio.create_task(IPyServer(host="127.0.0.1", port=0, control=path).asyncrun())
    await asyncio.sleep(0)
    serving.cancel()
    await asyncio.wait((serving,))
    assert not os.path.exists(path)
    await sees_what_comes(numbers[0], *pair)


@asynchronous
async def test_an_answer_that_nobody_waits_for_is_no_reason_for_the_end_of_a_connection(path: str) -> None:
    given_up = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = json.loads(await reader.readline())
        await given_up.wait()
        answer = {"id": request["id"], "ok": False, "error": {"code": "refused", "text": "not now"}}
        writer.write(json.dumps(answer).encode() + b"\n")
        await reader.readline()
        writer.close()

    async with await asyncio.start_unix_server(serve, path), Control(path, timeout=LONG) as control:
        stopping = asyncio.create_task(control.stop("A"))
        await asyncio.sleep(0)
        stopping.cancel()
        await asyncio.wait((stopping,))
        given_up.set()
        with pytest.raises(ConnectionError, match="has closed"):
            await control.status()


@asynchronous
async def test_what_is_logged_while_a_driver_holds_up_the_loop_is_bounded(path: str) -> None:
    async with site(path) as (_, control):
        events = control.follow(log=True)
        await anext(events)
        for number in range(door.MOST_LINES_WAITING + 500):
            logging.getLogger("tests.control").warning("line %d", number)
        async with asyncio.timeout(LONG):
            for number in range(door.MOST_LINES_WAITING):
                assert (await anext(events))["line"]["text"] == f"line {number}"
            assert await anext(events) == {"event": "missed", "count": 500}
            logging.getLogger("tests.control").warning("and on")
            assert (await anext(events))["line"]["text"] == "and on"


@asynchronous
async def test_one_who_leaves_before_the_answer_comes(path: str, tmp_path: Path) -> None:
    """What was asked is done nevertheless, or given up; nobody else notices."""
    async with site(path, echo_driver("A"), echo_driver("B")) as (server, control):
        for _ in range(20):
            _, writer = await asyncio.open_unix_connection(path)
            writer.write(b'{"do": "restart", "driver": "B"}\n' * 3)
            await writer.drain()
            writer.transport.abort()
        await still_served(server.port)
        (record,) = [each for each in await control.drivers() if each["devices"] == ["B"]]
        await until(control, record["id"], lambda each: each["state"] == "running")
        await still_served(server.port, "B")


@asynchronous
async def test_the_same_driver_from_many_sides(path: str, program: str) -> None:
    async with site(path) as (_, control):
        (record,) = await control.add(program)
        others = [Control(path) for _ in range(8)]
        for other in others:
            await other.connect()

        async def do(other: Control, what: str) -> str:
            try:
                await getattr(other, what)(record["id"])
            except ControlError as error:
                return error.code
            return "ok"

        done = await asyncio.gather(*(do(other, what) for other in others for what in ("stop", "start", "restart")))
        assert set(done) <= {"ok", "refused"}
        assert "ok" in done
        await control.start(record["id"])
        await until(control, record["id"], lambda each: each["state"] == "running" and each["devices"])
        for other in others:
            await other.close()


@asynchronous
async def test_a_server_ends_while_a_driver_is_being_stopped(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indipyserver.sources.exdriver.STOP_GRACE", 0.4)
    monkeypatch.setattr("indipyserver.sources.exdriver.KILL_GRACE", 0.4)
    stubborn = tmp_path / "stubborn"
    stubborn.write_text(
        f"#!{sys.executable}\nimport signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(1)\n"
    )
    stubborn.chmod(0o755)
    async with running_server(control=path):
        control = Control(path)
        await control.connect()
        (record,) = await control.add(str(stubborn))
        stopping = asyncio.create_task(control.stop(record["id"]))
        async with Control(path) as other:
            await until(other, record["id"], lambda each: each["state"] == "stopping")
    with contextlib.suppress(ConnectionError):
        (record,) = await stopping
        assert record["state"] == "stopped"
    await control.close()
    await eventually(lambda: gone(record["pid"]))
