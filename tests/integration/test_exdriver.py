"""Programs as drivers: how they are started, what they are told, what becomes of them when they end, hang or are removed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import indipyserver.sources.exdriver
from indipydriver import IPyDriver
from indipyserver import IPyServer
from indipyserver.sources.backoff import Backoff
from tests.support import ROOT, IndiClient, asynchronous, eventually, gone, match, new_vector, running_server, started
from tests.support.drivers import Echo, echo_device, echo_driver

SCRIPT = str(Path(__file__).parents[1] / "fixtures" / "drivers" / "obedient.py")
WAYS = pytest.mark.parametrize("pipes", [True, False], ids=["pipes", "local socket"])


def soon() -> Backoff:
    return Backoff(0.02, 0.1)


def command(what: str, device: str = "Obedient") -> str:
    return new_vector("Text", device, "do", what=what)


def obedient(server: IPyServer, *args: str, **options: Any) -> Any:
    return server.add_exdriver(sys.executable, SCRIPT, *args, **{"backoff": soon(), **options})


async def about(client: IndiClient, device: str = "Obedient") -> dict[str, str]:
    """What the driver says of itself as soon as it is there."""
    element = await client.expect(match("defTextVector", device=device, name="about"), timeout=15)
    await client.expect(match("defBLOBVector", device=device), timeout=15)
    return {child.get("name", ""): (child.text or "").strip() for child in element}


@contextlib.asynccontextmanager
async def obeying(
    *args: str, hang_time: float = 30.0, **options: Any
) -> AsyncIterator[tuple[IPyServer, IndiClient, int]]:
    """A server with the driver, a client that has all its definitions, and its process."""
    async with running_server(echo_driver("A"), hang_time=hang_time) as server, IndiClient(server.port) as client:
        await client.get_properties()
        obedient(server, *args, **options)
        pid = int((await about(client))["pid"])
        yield server, client, pid


async def answers(client: IndiClient, what: str) -> None:
    await client.send(command(what))
    await client.expect(match("setTextVector", name="do", values={"what": what}))


# Starting


@WAYS
@asynchronous
async def test_commands_blobs_and_pings(pipes: bool) -> None:
    async with obeying(pipes=pipes) as (_, client, _):
        await answers(client, "hello")
        await client.send(command("ping 42"))
        await client.expect(match("setTextVector", values={"what": "reply 42"}))
        await client.enable_blob("Obedient")
        await client.settle()
        await client.send(command("blob 6000000"))
        blob = await client.expect(match("setBLOBVector"), timeout=20)
        assert blob[0].text is not None
        assert len(blob[0].text) == 8_000_000


@WAYS
@asynchronous
async def test_what_is_passed_on(pipes: bool, tmp_path: Path) -> None:
    async with running_server() as server, IndiClient(server.port) as client:
        await client.get_properties()
        obedient(
            server, "one", "two words", env={"EXTRA": "1"}, name="Named", config="c.xml", skeleton="s.xml", pipes=pipes
        )  # fmt: skip
        said = await about(client, "Named")
        assert said["args"] == "one two words"
        assert said["env"] == "INDIDEV=Named INDICONFIG=c.xml INDISKEL=s.xml EXTRA=1"
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "prog").write_text(f'#!/bin/sh\nexec {sys.executable} {SCRIPT} "$@"\n')
        (tmp_path / "bin" / "prog").chmod(0o755)
        server.add_exdriver("prog", "x", prefix=str(tmp_path), pipes=pipes)
        said = await about(client)
        assert said["args"] == "x"
        assert said["env"] == f"INDIPREFIX={tmp_path}"


@asynchronous
async def test_a_program_that_is_missing_is_told_and_others_go_on() -> None:
    async with running_server(echo_driver("A")) as server, IndiClient(server.port) as client:
        await client.get_properties()
        driver = server.add_exdriver("indi_no_such_driver", backoff=soon())
        message = await client.expect(match("message"))
        assert "indi_no_such_driver" in (message.get("message") or "")
        assert "cannot be started" in (message.get("message") or "")
        await client.send(new_vector("Number", "A", "pos", n=1))
        await client.expect(match("setNumberVector", device="A"))
        await server.remove(driver)


@asynchronous
async def test_a_file_that_cannot_be_executed(tmp_path: Path) -> None:
    async with running_server() as server, IndiClient(server.port) as client:
        await client.get_properties()
        (tmp_path / "text").write_text("no program")
        (tmp_path / "text").chmod(0o755)
        for program in (tmp_path / "text", tmp_path):
            server.add_exdriver(str(program), backoff=soon())
            await client.expect(lambda e: "cannot be started" in (e.get("message") or ""))


@pytest.mark.parametrize("program", ["/bin/true", "/bin/false"])
@asynchronous
async def test_a_program_that_exits_at_once_is_given_up(program: str) -> None:
    """With one client connected it ended the server."""
    async with running_server(echo_driver("A")) as server, IndiClient(server.port) as client:
        await client.get_properties()
        driver = server.add_exdriver(program, restarts=3, backoff=soon())
        await client.expect(lambda e: "given up after 3 restarts" in (e.get("message") or ""))
        assert driver.restarted == 3
        await client.send(new_vector("Number", "A", "pos", n=1))
        await client.expect(match("setNumberVector", device="A"))


# Ending and coming back


@asynchronous
async def test_a_crash_loop_is_slowed_and_given_up_with_a_message(caplog: pytest.LogCaptureFixture) -> None:
    """indiserver burns ten restarts in less than a second, and tells nobody."""
    async with running_server() as server, IndiClient(server.port) as client:
        await client.get_properties()
        begin = time.monotonic()
        obedient(server, "dies", restarts=4, backoff=Backoff(0.05, 0.2))
        for wait in ("0.05", "0.1", "0.2", "0.2"):
            message = await client.expect(match("message"))
            assert f"restarting in {wait} s" in (message.get("message") or "")
            assert "status 3" in (message.get("message") or "")
        message = await client.expect(match("message"))
        assert "given up after 4 restarts" in (message.get("message") or "")
        assert time.monotonic() - begin >= 0.55
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert any("given up" in text for text in errors)
    assert sum("cannot find the device" in record.getMessage() for record in caplog.records) == 5


@pytest.mark.parametrize(
    ("what", "reason"), [("exit 7", "status 7"), ("exit 0", "status 0"), ("kill", "signal 9"), ("close-stdout", "")]
)
@WAYS
@asynchronous
async def test_a_driver_that_ends_is_deleted_with_a_reason_and_restarted(
    what: str, reason: str, pipes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its devices stayed on the screen, and it was not restarted."""
    monkeypatch.setattr(indipyserver.sources.exdriver, "STOP_GRACE", 0.2)
    async with obeying(pipes=pipes) as (server, client, pid):
        await client.send(command(what))
        deleted = await client.expect(match("delProperty", device="Obedient", name=None))
        assert reason in (deleted.get("message") or "missing")
        second = int((await about(client))["pid"])
        assert second != pid
        assert gone(pid)
        await answers(client, "again")
        assert server.exdrivers[0].restarted == 1


@WAYS
@asynchronous
async def test_a_driver_killed_in_the_middle_of_a_blob(pipes: bool) -> None:
    """Clients get delProperty, then the new definitions; clients of other devices notice nothing."""
    async with obeying(pipes=pipes) as (server, client, pid), IndiClient(server.port) as other:
        await other.get_properties(device="A")
        await other.expect(match("defBLOBVector", device="A"))
        await client.enable_blob("Obedient")
        await other.enable_blob("A")
        for _ in range(2):
            await client.settle()
            await client.send(command("die-in-blob"))
            await client.expect(match("delProperty", device="Obedient"))
            await about(client)
        await client.send(command("blob 30"))
        blob = await client.expect(match("setBLOBVector"))
        assert blob[0].text == "QUJD" * 10
        assert sum(1 for e in client.received if e.tag == "setBLOBVector") == 1, "half a BLOB was passed on"
        await client.send(new_vector("Number", "A", "pos", n=1))
        await other.expect(match("setNumberVector", device="A", values={"n": "1"}))
        devices = {e.get("device") for e in other.received if e.get("device")}
        assert devices == {"A"}
        assert not any(e.tag == "delProperty" for e in other.received)
        assert gone(pid)


@asynchronous
async def test_snoopers_are_told_and_served_again() -> None:
    class Snooper(Echo):
        news: tuple[str, ...] = ()

        async def snoopevent(self, event: Any) -> None:
            self.news += (type(event).__name__,)

    snooper = Snooper(echo_device("S"))
    async with running_server(snooper) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await snooper.send_getProperties("Obedient", "do")
        obedient(server)
        await about(client)
        await eventually(lambda: snooper.news == ("defTextVector",))
        await client.send(command("kill"))
        await about(client)
        await eventually(lambda: snooper.news == ("defTextVector", "delProperty", "defTextVector"))


@WAYS
@asynchronous
async def test_a_driver_that_stops_reading_is_declared_hung(pipes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waited for it grew without bound, and nobody was told."""
    monkeypatch.setattr(indipyserver.sources.exdriver, "STOP_GRACE", 0.2)
    async with obeying(pipes=pipes, hang_time=0.4) as (server, client, pid), IndiClient(server.port) as flood:
        await client.send(command("hang"))
        await client.expect(match("setTextVector", values={"what": "hanging"}))
        await client.send(new_vector("Number", "A", "pos", n=1))
        await client.expect(match("setNumberVector", device="A"))
        large = command("x" * 500_000).encode()
        filling = asyncio.create_task(flood.send(large * 30))
        message = await client.expect(match("message"), timeout=10)
        assert "hangs" in (message.get("message") or "")
        await client.expect(match("delProperty", device="Obedient"))
        assert int((await about(client))["pid"]) != pid
        assert gone(pid)
        peer = server.exdrivers[0].peer
        assert peer is not None
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)


# What it writes


@asynchronous
async def test_standard_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A line of 1024 bytes closed it in indiserver; one over 64 KiB, or not UTF-8, cut the driver off at PyPI's."""

    with caplog.at_level(logging.DEBUG, "indipyserver.exdriver"):
        async with obeying() as (_, client, _):
            for text in ("[INFO] going on", "[DEBUG] a detail", "an ERROR happened", "just words"):
                await client.send(command(f"stderr {text}"))
                await client.expect(match("setTextVector", values={"what": "written"}))
            await client.send(command("binary"))
            await client.expect(match("setTextVector", values={"what": "written"}))
            await eventually(lambda: any("after the long line" in record.getMessage() for record in caplog.records))
            await answers(client, "still here")
            await client.send(command("exit 0"))
            await about(client)
            await eventually(lambda: any("without an end" in record.getMessage() for record in caplog.records))
    lines = {
        record.getMessage(): record.levelname for record in caplog.records if record.name == "indipyserver.exdriver"
    }
    levels = {
        text: next(level for line, level in lines.items() if text in line)
        for text in ("going on", "a detail", "happened", "just words")
    }
    assert levels == {"going on": "INFO", "a detail": "DEBUG", "happened": "ERROR", "just words": "WARNING"}
    assert all("\x1b" not in line and "\0" not in line and "\xff" not in line for line in lines)
    long = [line for line in lines if "xxxx" in line]
    assert long
    assert all(len(line) < 5000 for line in long)


@WAYS
@asynchronous
async def test_malformed_output_costs_only_itself(pipes: bool) -> None:
    """One odd byte, declaration or ampersand and the driver was cut off for good."""
    async with obeying(pipes=pipes) as (_, client, pid):
        await client.send(command("malformed"))
        await client.expect(match("setTextVector", values={"what": "done"}))
        assert any(map(match("message", device="Obedient", message="caf\xe9"), client.received))
        await answers(client, "still here")
        assert not gone(pid)


@asynchronous
async def test_debug_enable_logs_what_comes_and_goes(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "indipyserver.exdriver"):
        async with obeying(debug_enable=True) as (server, client, _):
            await answers(client, "hello")
            async with IndiClient(server.port) as quiet:
                await quiet.settle()
    lines = [r.getMessage() for r in caplog.records if r.name == "indipyserver.exdriver" and r.levelno == logging.DEBUG]
    assert any(re.match(r"RX:: <getProperties version=.1\.7.", line) for line in lines)
    assert any(line.startswith("RX:: <newTextVector") and "hello" in line for line in lines)
    assert any(line.startswith("TX:: <defTextVector") for line in lines)
    assert any(line.startswith("TX:: <setTextVector") and "hello" in line for line in lines)


@asynchronous
async def test_whatever_a_client_asks_the_driver_gets_version_1_7() -> None:
    """libindi's drivers exit when the version is missing, or higher than theirs."""
    async with obeying() as (_, client, pid):
        for request in (
            "<getProperties/>",
            "<getProperties version='2.0'/>",
            "<getProperties version='' device='Obedient'/>",
        ):
            await client.send(request)
            await about(client)
        assert not gone(pid)


BLOBS = {  # what a driver says of 6 (or 60) bytes; what arrives must be whole, and so must what comes after it
    "a size that is no number": ("size='six'", "aW1hZ2Vz"),
    "a size out of range": ("size='99999999999999999999999'", "aW1hZ2Vz"),
    "a negative size": ("size='-6'", "aW1hZ2Vz"),
    "an enclen that is too small": ("size='6' enclen='1'", "aW1hZ2Vz"),
    "a negative enclen": ("size='6' enclen='-8'", "aW1hZ2Vz"),
    "a true enclen and no breaks": ("size='60' enclen='80'", "aW1hZ2Vz" * 10),
    "broken lines": ("size='60' enclen='80'", "aW1hZ2Vz\\naW1hZ2Vz\\n" * 5),
}


@pytest.mark.parametrize("case", BLOBS)
@WAYS
@asynchronous
async def test_blobs_that_ended_indiserver(case: str, pipes: bool) -> None:
    attributes, text = BLOBS[case]
    script = (
        "import sys, time\n"
        "print(\"<defBLOBVector device='Odd' name='b' state='Ok' perm='ro'><defBLOB name='m'/></defBLOBVector>"
        "<defTextVector device='Odd' name='t' state='Ok' perm='rw'><defText name='a'/></defTextVector>\", flush=True)\n"
        "for line in sys.stdin:\n"
        "    if 'newText' not in line: continue\n"
        f"    text = \"<setBLOBVector device='Odd' name='b' state='Ok'><oneBLOB name='m' {attributes} format='.x'>{text}"
        "</oneBLOB></setBLOBVector><setTextVector device='Odd' name='t' state='Ok'><oneText name='a'>x</oneText>"
        '</setTextVector>"\n'
        "    for at in range(0, len(text), 50):\n"
        "        print(text[at:at + 50], end='', flush=True)\n"
    )
    async with running_server() as server, IndiClient(server.port) as client:
        await client.get_properties()
        driver = server.add_exdriver(sys.executable, "-c", script, pipes=pipes)
        await client.expect(match("defTextVector", device="Odd"))
        await client.enable_blob("Odd")
        await client.settle()
        for _ in range(2):
            await client.send(new_vector("Text", "Odd", "t", a="1") + "\n")
            await client.expect(match("setTextVector", device="Odd", values={"a": "x"}))
        assert driver.restarted == 0
        whole = base64.b64decode(text.replace("\\n", ""))
        data = [base64.b64decode(e[0].text or "") for e in client.received if e.tag == "setBLOBVector"]
        assert data == [whole, whole]


@WAYS
@asynchronous
async def test_what_a_driver_says_costs_no_task_for_each_element(pipes: bool) -> None:
    """It was read 100 bytes at a time, and each element made one task for each client, driver and remote."""
    script = (
        "import sys\n"
        "print(\"<defNumberVector device='Fast' name='n' state='Ok' perm='rw'>"
        "<defNumber name='a' format='%g' min='0' max='0' step='0'>0</defNumber></defNumberVector>\", flush=True)\n"
        "for line in sys.stdin:\n"
        "    if 'newNumber' in line:\n"
        "        for i in range(1, 20001):\n"
        "            print(f\"<setNumberVector device='Fast' name='n' state='Ok'><oneNumber name='a'>{i}</oneNumber>"
        '</setNumberVector>")\n'
        "        sys.stdout.flush()\n"
    )
    async with running_server() as server, IndiClient(server.port) as client:
        await client.get_properties()
        server.add_exdriver(sys.executable, "-c", script, pipes=pipes)
        await client.expect(match("defNumberVector", device="Fast"))
        await client.send(new_vector("Number", "Fast", "n", a=1) + "\n")
        most = 0
        while not any(map(match("setNumberVector", values={"a": "20000"}), client.received[-1:])):
            most = max(most, len(asyncio.all_tasks()))
            await asyncio.sleep(0.001)
        assert most < 20
        numbers = [(e[0].text or "") for e in client.received if e.tag == "setNumberVector"]
        assert numbers == [str(i) for i in range(1, 20001)]


@asynchronous
async def test_a_driver_that_snoops_on_itself_and_a_client_that_sets_it() -> None:
    """The same message was queued twice, and the server hung."""
    script = (
        "import sys\n"
        "print(\"<getProperties version='1.7' device='Own'/><defTextVector device='Own' name='t' state='Ok' perm='rw'>"
        "<defText name='a'>x</defText></defTextVector>\", flush=True)\n"
        "for line in sys.stdin:\n"
        "    if 'newText' in line: print(\"<setTextVector device='Own' name='t' state='Ok'><oneText name='a'>y</oneText>"
        '</setTextVector>", flush=True)\n'
    )
    async with running_server() as server, IndiClient(server.port) as client:
        await client.get_properties()
        server.add_exdriver(sys.executable, "-c", script)
        await client.expect(match("defTextVector", device="Own"))
        forged = "<setTextVector device='Own' name='t' state='Ok'><oneText name='a'>z</oneText></setTextVector>\n"
        await client.send(forged * 50 + new_vector("Text", "Own", "t", a="1") + "\n")
        await client.expect(match("setTextVector", device="Own", values={"a": "y"}))


# Stopping


@pytest.mark.parametrize("args", [(), ("stubborn",)], ids=["willing", "stubborn"])
@WAYS
@asynchronous
async def test_removing_leaves_no_process(args: tuple[str, ...], pipes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indipyserver.sources.exdriver, "STOP_GRACE", 0.2)
    async with obeying(*args, pipes=pipes) as (server, client, pid):
        await client.send(command("child"))
        child = int((await client.expect(match("setTextVector", name="do")))[0].text or "")
        await server.remove(server.exdrivers[0])
        await client.expect(match("delProperty", device="Obedient"))
        assert server.exdrivers == []
        assert gone(pid)
        await eventually(lambda: gone(child))
        await client.send(new_vector("Number", "A", "pos", n=1))
        await client.expect(match("setNumberVector", device="A"))
        obedient(server)  # and again
        assert int((await about(client))["pid"]) != pid


@asynchronous
async def test_shutdown_ends_living_dead_and_waiting_drivers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead one made shutdown raise, so that clients and the listener were left."""
    monkeypatch.setattr(indipyserver.sources.exdriver, "STOP_GRACE", 0.2)
    pids: list[int] = []
    async with obeying() as (server, client, pid):
        pids.append(pid)
        obedient(server, "stubborn", name="Stubborn")
        pids.append(int((await about(client, "Stubborn"))["pid"]))
        server.add_exdriver("/bin/false", restarts=0)
        await client.expect(lambda e: "given up" in (e.get("message") or ""))
        server.add_exdriver("/bin/false", backoff=Backoff(60.0, 60.0))
        await client.expect(lambda e: "restarting in 60 s" in (e.get("message") or ""))
        server.shutdown()
        await client.closed.wait()
    assert all(map(gone, pids))


@asynchronous
async def test_removing_a_driver_that_is_just_being_started() -> None:
    async with running_server() as server:
        for turns in range(4):
            driver = obedient(server)
            for _ in range(turns):
                await asyncio.sleep(0)
            await server.remove(driver)
            assert driver.process is None


SERVER = """
import asyncio, sys
from indipydriver import IPyDriver
from indipyserver import IPyServer

async def main():
    server = IPyServer(host="127.0.0.1", port=0)
    server.add_exdriver(sys.executable, sys.argv[1], pipes=sys.argv[2] == "True")
    server.add_exdriver(sys.executable, sys.argv[1], "stubborn", name="Stubborn", pipes=sys.argv[2] == "True")
    task = asyncio.create_task(server.asyncrun())
    await server.started.wait()
    print(server.port, flush=True)
    await task

asyncio.run(main())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only the kernel of Linux offers this")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
@WAYS
@asynchronous
async def test_no_driver_survives_the_server(number: int, pipes: bool) -> None:
    with started(sys.executable, "-c", SERVER, SCRIPT, str(pipes)) as program:
        await eventually(program.stdout, timeout=20)
        async with IndiClient(int(program.stdout())) as client:
            await client.get_properties()
            await eventually(lambda: {"Obedient", "Stubborn"} <= {e.get("device") for e in client.received}, timeout=15)
            pids = [int(e[0].text or "") for e in client.received if e.get("name") == "about"]
            assert len(set(pids)) == 2
            assert not any(map(gone, pids))
            program.signal(number)
            await program.wait(20)
        await eventually(lambda: all(map(gone, pids)))


@asynchronous
async def test_no_descriptors_are_left() -> None:
    """Neither here, of drivers that have ended, nor in drivers, of clients."""
    async with running_server(echo_driver("A")) as server, IndiClient(server.port) as client:
        await client.get_properties()
        await client.expect(match("defBLOBVector", device="A"))
        before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        for pipes in (True, False, True, False):
            driver = obedient(server, pipes=pipes)
            pid = (await about(client))["pid"]
            if before:
                inside = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
                assert (
                    len([name for name in inside if name.startswith(("socket", "pipe"))]) <= 4
                )  # stdio and the lifeline
            await client.send(command("kill"))
            await about(client)
            await server.remove(driver)
        if before:
            await eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)


@asynchronous
async def test_many_drivers_at_once() -> None:
    count = 12
    async with running_server() as server, IndiClient(server.port) as client:
        await client.get_properties()
        for number in range(count):
            obedient(server, name=f"D{number}")
        names = {f"D{number}" for number in range(count)}
        await eventually(
            lambda: names <= {e.get("device") for e in client.received if e.tag == "defBLOBVector"}, timeout=30
        )
        for name in names:
            await client.send(command("kill" if name in ("D1", "D5") else "ok", name))
        survivors = names - {"D1", "D5"}
        await eventually(
            lambda: survivors <= {e.get("device") for e in client.received if e.tag == "setTextVector"}, timeout=15
        )
        deleted = {e.get("device") for e in client.received if e.tag == "delProperty"}
        await eventually(lambda: {e.get("device") for e in client.received if e.tag == "delProperty"} == {"D1", "D5"})
        assert deleted <= {"D1", "D5"}


SWITCHES_OFF = """
import asyncio, sys
from pathlib import Path
import indipydriver as ipd

class Heater(ipd.IPyDriver):
    shutdown_grace = 0.6

    async def hardware(self):
        try:
            while not self.stop:
                await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.1)
            Path(sys.argv[1]).write_text("off")

Heater(ipd.Device("Heater", [ipd.LightVector("L", "", "", "Ok", [ipd.LightMember("l")])])).run()
"""


@WAYS
@asynchronous
async def test_a_driver_has_the_time_to_cancel_what_does_not_end_and_to_switch_off(
    pipes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its loop measures once a minute, so it does not notice that it has to end; with less time the heater stayed on."""
    exdriver = indipyserver.sources.exdriver
    assert IPyDriver.shutdown_grace + 2 < exdriver.STOP_GRACE + exdriver.KILL_GRACE
    monkeypatch.setattr(exdriver, "STOP_GRACE", 0.2)
    program, state = tmp_path / "heater.py", tmp_path / "state"
    program.write_text(SWITCHES_OFF)
    async with running_server() as server, IndiClient(server.port) as client:
        server.add_exdriver(sys.executable, str(program), str(state), pipes=pipes, env={"PYTHONPATH": str(ROOT)})
        await client.get_properties()
        await client.expect(match("defLightVector", device="Heater"), timeout=15)
    assert state.read_text() == "off"
