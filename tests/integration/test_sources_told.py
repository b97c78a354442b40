"""What becomes of drivers that fail or are refused, and what clients and other servers are told of it."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import indipydriver as ipd
import indipyserver.sources.exdriver
from indipyserver import IPyServer
from indipyserver.sources.backoff import Backoff
from tests.support import (
    ROOT,
    IndiClient,
    allowed,
    asynchronous,
    eventually,
    match,
    new_vector,
    run,
    running,
    running_server,
)
from tests.support.drivers import echo_device, echo_driver

INTRODUCTION = "<getProperties version='1.7' device='*'/>"


class Failing(ipd.IPyDriver):
    """Fails as soon as a client asks it to."""

    failure: BaseException

    async def hardware(self) -> None:
        await self.shall.wait()
        raise self.failure

    async def rxevent(self, event: Any) -> None:
        self.shall.set()


def failing(failure: BaseException) -> Failing:
    driver = Failing(echo_device("F"))
    driver.failure = failure
    driver.shall = asyncio.Event()  # type: ignore[attr-defined]
    return driver


class Huge(Exception):
    def __repr__(self) -> str:
        return "\u20ac" * 1_000_000


class Unspeakable(Exception):
    def __repr__(self) -> str:
        raise RuntimeError("no words")


FAILURES = {
    "long": lambda: RuntimeError("bad answer: " + "x" * 5000),
    "huge": Huge,
    "unspeakable": Unspeakable,
    "of other bytes": lambda: OSError(5, "Input/output error", "/dev/\udcff\0\x1b"),
    "of lines": lambda: RuntimeError("one\n\ttwo\r\n<three/>"),
    "a group": lambda: ExceptionGroup("many", [ValueError("y" * 3000)] * 3),
}


@pytest.mark.parametrize("kind", FAILURES)
@asynchronous
async def test_however_a_driver_fails_its_device_goes_at_the_server_above_too(kind: str) -> None:
    """A deletion with a reason of more than 4 KiB was dropped there, and the device stayed for ever."""
    driver = failing(FAILURES[kind]())
    async with (
        running_server(driver, echo_driver("A")) as below,
        running_server() as above,
        IndiClient(above.port) as client,
    ):
        await client.get_properties()
        above.add_remote("127.0.0.1", below.port)
        await client.expect(match("defBLOBVector", device="F"))
        await client.send(new_vector("Number", "F", "pos", n=1))
        deleted = await client.expect(match("delProperty", device="F"))
        reason = deleted.get("message") or ""
        assert "the driver has failed" in reason
        assert len(reason.encode()) <= 250
        assert reason.isprintable()
        assert "F" not in above.board.router.devices
        await client.send(new_vector("Number", "A", "pos", n=1))
        await client.expect(match("setNumberVector", device="A"))


@asynchronous
async def test_a_program_with_a_name_of_any_length_and_bytes_goes_at_the_server_above_too(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/" + b"long \xff\xe4 " * 20)
    Path(path).write_text(
        f"#!{sys.executable}\nimport os\nos.read(0, 4096)\n"
        "os.write(1, b\"<defLightVector device='D' name='x' state='Ok'/>\")\n"
    )
    Path(path).chmod(0o755)
    async with running_server() as below, running_server() as above, IndiClient(above.port) as client:
        await client.get_properties()
        remote = above.add_remote("127.0.0.1", below.port)
        await eventually(lambda: remote.connected)  # else the program may have gone before anybody hears of it
        below.add_exdriver(path, restarts=1, name="n" * 300, backoff=Backoff(0.3))
        for _ in range(2):
            await client.expect(match("defLightVector", device="D"), timeout=10)
            message = await client.expect(lambda e: e.tag == "message" and "status 0" in (e.get("message") or ""))
            deleted = await client.expect(match("delProperty", device="D"))
            assert "status 0" in (deleted.get("message") or "")
        assert "it is given up after 1 restarts" in (message.get("message") or "")


@asynchronous
async def test_what_cannot_be_announced_ends_neither_driver_nor_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On a host with an odd name each announcement failed, and took the whole server along."""

    def announce(*_: Any) -> None:
        raise UnicodeEncodeError("ascii", "\xfc", 0, 1, "ordinal not in range(128)")

    async with running_server(echo_driver("A")) as server, IndiClient(server.port) as client:
        monkeypatch.setattr(server.board.router, "site_message", announce)
        await client.get_properties()
        part = server.add_exdriver("/bin/false", restarts=2, backoff=Backoff(0.01))
        remote = server.add_remote("127.0.0.1", 1, backoff=Backoff(0.01))
        server.add_exdriver("/no/such/program")
        await eventually(lambda: "given up after 2 restarts" in caplog.text)
        assert part.restarted == 2
        await eventually(lambda: "Connection refused" in caplog.text)
        assert not server._sources._tasks[remote].done()
        await client.send(new_vector("Number", "A", "pos", n=1))
        await client.expect(match("setNumberVector", device="A"))
        await server.remove(remote)


# Drivers that are refused


@asynchronous
async def test_a_driver_that_is_refused_has_stopped_and_keeps_nothing() -> None:
    """What was sent by its other coroutines was kept for a run that never came."""
    program = (
        "import os\nos.read(0, 4096)\nos.write(1, b\"<defLightVector device='E' name='x' state='Ok'/>\")\nos.read(0, 1)"
    )
    async with running_server() as server, IndiClient(server.port) as client:
        await client.get_properties()
        part = server.add_exdriver(sys.executable, "-c", program, restarts=0)
        await client.expect(match("defLightVector", device="E"))
        driver = echo_driver("E")
        refused = server.add_driver(driver)
        async with asyncio.timeout(5):
            await driver.stopped.wait()
        assert driver.stop
        message = await client.expect(match("message"))
        assert "'E' already exists" in (message.get("message") or "")
        await server.remove(refused)
        await server.remove(part)
        await client.expect(match("delProperty", device="E"))
        server.add_driver(driver)  # and now it is served
        await client.expect(match("defNumberVector", device="E"))
        assert not driver.stop


@asynchronous
async def test_what_a_server_above_calls_its_own_keeps_no_driver_out() -> None:
    """Any client could keep a driver from being started, by defining its device before."""
    async with running_server() as server, IndiClient(server.port) as squatter, IndiClient(server.port) as client:
        await client.get_properties()
        await squatter.send(INTRODUCTION + "<defLightVector device='Roof' name='x' state='Ok'/>")
        await squatter.send("<defLightVector device='Dome' name='x' state='Ok'/>")
        await eventually(lambda: {"Roof", "Dome"} <= set(server.board.router.devices))
        driver = echo_driver("Roof")
        part = server.add_driver(driver)
        await client.expect(match("defNumberVector", device="Roof"))
        await client.send(new_vector("Number", "Roof", "pos", n=1))
        await client.expect(match("setNumberVector", device="Roof", values={"n": "1"}))
        assert part.peer is not None
        assert server.board.router.devices.of(part.peer) == ["Roof"]


@asynchronous
async def test_words_are_not_refused_for_what_a_server_above_has(tmp_path: Path) -> None:
    (tmp_path / "dome.py").write_text(
        "from tests.support.drivers import echo_driver\ndef one(): return echo_driver('Dome')\n"
        "def two(): return [echo_driver('Spare'), echo_driver('Dome')]\n"
    )
    async with running_server() as server, IndiClient(server.port) as squatter, IndiClient(server.port) as client:
        await client.get_properties()
        await squatter.send(INTRODUCTION + "<defLightVector device='Dome' name='x' state='Ok'/>")
        await eventually(lambda: "Dome" in server.board.router.devices)
        services = server.services
        services.start(f"{tmp_path}/dome.py:one")
        await client.expect(match("defNumberVector", device="Dome"))
        with pytest.raises(ValueError, match="already a device named 'Dome'"):
            services.start(f"{tmp_path}/dome.py:two")
        assert services.specs == [f"{tmp_path}/dome.py:one"]
        await services.stop(f"{tmp_path}/dome.py:one")


@asynchronous
async def test_a_word_of_which_one_driver_is_run_elsewhere(tmp_path: Path) -> None:
    """Those before it are served: the word stops them."""
    busy = ipd.IPyDriver()
    (tmp_path / "some_drivers.py").write_text(
        "from tests.support.drivers import echo_driver\nbusy = None\ndef both(): return [echo_driver('One'), busy]\n"
    )
    word = f"{tmp_path}/some_drivers.py:both"
    from indipydriver.transport.memory import memory_pair

    elsewhere = asyncio.create_task(busy.serve(memory_pair("a", "b")[0]))
    await asyncio.sleep(0)
    async with running_server() as server:
        services = server.services
        with pytest.raises((ValueError, ImportError)):
            services.start(word)
        sys.modules["some_drivers"].busy = busy  # type: ignore[attr-defined]
        with pytest.raises(ValueError, match="already running"):
            services.start(word)
        assert services.specs == [word]
        await services.stop(word)
        assert "One" not in server.board.router.devices
    busy.shutdown()
    await elsewhere
    del sys.modules["some_drivers"]


# Programs that do wrong


@pytest.mark.parametrize(
    ("said", "words"),
    [("b'<message message=\"' + b'x' * 40000", "bytes"), ("b'junk ' * 100_000", "bytes")],
    ids=["a start tag without end", "junk"],
)
@asynchronous
async def test_a_program_that_is_cut_off_for_what_it_sends_ends_the_command_when_it_was_the_last(
    said: str, words: str, tmp_path: Path
) -> None:
    program = tmp_path / "wrong"
    program.write_text(f"#!{sys.executable}\nimport os, time\nos.read(0, 4096)\nos.write(1, {said})\ntime.sleep(60)\n")
    program.chmod(0o755)
    command = (sys.executable, "-m", "indipyserver", "--no-unix-socket", "-p", "0", "-r", "0", str(program))
    result = await run(*command, cwd=ROOT, timeout=30)
    assert result.returncode == 1
    (given_up,) = [line for line in result.stderr.splitlines() if "given up after 0 restarts" in line]
    assert words in given_up, "it is told why"
    assert result.stderr.splitlines()[-1].endswith("the server is stopping")


@asynchronous
async def test_the_last_lines_of_a_flood_are_logged_though_the_program_has_ended(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(indipyserver.sources.exdriver, "STOP_GRACE", 1.0)
    program = (
        "import os\nfor n in range(50): os.write(2, b'retrying\\n' * 1000)\nos.write(2, b'cannot find the camera\\n')"
    )
    server = IPyServer(host="127.0.0.1", port=0)
    server.add_exdriver(sys.executable, "-c", program, restarts=0)
    async with running(server):
        await eventually(lambda: "given up" in caplog.text, timeout=15)
    lines = [record.getMessage() for record in caplog.records if record.name == "indipyserver.exdriver"]
    assert any("cannot find the camera" in line for line in lines)
    assert sum("retrying" in line for line in lines) < 1500
    assert any("were not logged" in line for line in lines)


@pytest.mark.measured
@asynchronous
async def test_a_line_between_two_floods_is_not_lost_and_a_flood_holds_nobody_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A read of it was 32 768 lines of work, 125 ms, during which nobody else was served."""
    program = (
        "import os, time\n"
        "for n in range(20):\n"
        "    end = time.monotonic() + 0.1\n"
        "    while time.monotonic() < end: os.write(2, b'a\\n' * 32768)\n"
        "    os.write(2, b'said %d between\\n' % n)\n"
        "    time.sleep(0.1)\n"
    )
    async with running_server() as server, IndiClient(server.port) as client:
        await client.settle()
        server.add_exdriver(sys.executable, "-c", program, restarts=0)
        times: list[float] = []
        while not any("given up" in record.getMessage() for record in caplog.records[-2:]):
            begin = time.monotonic()
            await client.settle()
            times.append(time.monotonic() - begin)
            await asyncio.sleep(0.01)
            assert sum(times) < allowed(5)
    assert [n for n in range(20) if f"said {n} between" not in caplog.text] == []
    assert statistics.median(times) < allowed(0.05), "5 ms are usual at most; the machine may be busy"


def _named(elements: list[Any], device: str) -> list[str]:
    """What was said about a device, up to its deletion."""
    return [e.tag for e in elements if e.get("device") == device and e.tag in ("message", "delProperty")]


@asynchronous
async def test_a_client_is_told_of_each_device_before_it_goes(tmp_path: Path) -> None:
    """KStars shows no message without a device, and none of a device that is gone."""
    program = tmp_path / "ends"
    program.write_text(
        f"#!{sys.executable}\nimport os\nos.read(0, 4096)\n"
        "os.write(1, b\"<defLightVector device='D' name='x' state='Ok'/><defLightVector device='E' name='x' state='Ok'/>\")\n"
    )
    program.chmod(0o755)
    driver = failing(OSError("the port is gone"))
    async with running_server(driver) as server, IndiClient(server.port) as client:
        await client.get_properties()
        server.add_exdriver(str(program), restarts=0)
        await client.expect(match("delProperty", device="E"), timeout=10)
        for device in ("D", "E"):
            assert _named(client.received, device) == ["message", "delProperty"]
        (text,) = [e.get("message") for e in client.received if e.tag == "message" and e.get("device") == "D"]
        assert text.endswith("it is given up after 0 restarts")
        await client.send(new_vector("Number", "F", "pos", n=1))
        await client.expect(match("delProperty", device="F"))
        assert _named(client.received, "F") == ["message", "delProperty"]
        assert not [e for e in client.received if e.tag == "message" and e.get("device") is None]
