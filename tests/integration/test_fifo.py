"""Drivers started and stopped while the server runs, through its FIFO."""

import asyncio
import os
import re
import sys
import textwrap

import pytest

from indipyserver.cli.fifo import Fifo
from tests.support import ROOT, IndiClient, allowed, asynchronous, eventually, gone, match, run, started

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")

COMMAND = (sys.executable, "-m", "indipyserver", "--no-unix-socket", "-v", "-p", "0")
DRIVER = """\
    import os, signal, sys
    stubborn = "stubborn" in sys.argv[0]
    if stubborn:
        signal.signal(signal.SIGTERM, lambda *_: (os.write(2, b"terminated\\n"), os._exit(0)))
    name = os.environ.get("INDIDEV", "Echo")
    values = {"PID": str(os.getpid()), **{k: os.environ.get("INDI" + k, "") for k in ("CONFIG", "SKEL", "PREFIX")}}
    members = "".join(f'<defText name="{k}">{v}</defText>' for k, v in values.items())
    answer = f'<defTextVector device="{name}" name="T" state="Ok" perm="ro">{members}</defTextVector>'
    try:
        for line in sys.stdin:
            if "getProperties" in line:
                os.write(1, answer.encode())
    except BrokenPipeError:
        pass
    while stubborn:
        signal.pause()
"""


@pytest.fixture
def fifo(tmp_path):
    path = str(tmp_path / "fifo")
    os.mkfifo(path)
    return path


@pytest.fixture
def driver(tmp_path):
    return make_driver(tmp_path / "echo")


def make_driver(path):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{textwrap.dedent(DRIVER)}")
    path.chmod(0o755)
    return str(path)


def write(fifo, text):
    with open(fifo, "wb", buffering=0) as file:
        file.write(text.encode() if isinstance(text, str) else text)


def server(fifo, *words):
    return started(*COMMAND, "-f", fifo, *words, cwd=ROOT)


async def port_of(program):
    await eventually(lambda: "serving" in program.stderr() or program.process.poll() is not None, timeout=15)
    found = re.search(r"serving .* port (\d+)", program.stderr())
    assert found, program.stderr()
    return int(found[1])


async def definition(client, device="Echo"):
    element = await client.expect(match("defTextVector", device=device), timeout=10)
    return {child.get("name"): (child.text or "").strip() for child in element}


@asynchronous
async def test_start_and_stop(fifo, driver):
    with server(fifo) as program:
        port = await port_of(program)
        assert f"serving nothing yet (write to {fifo})" in program.stderr()
        async with IndiClient(port) as client:
            await client.get_properties()
            write(fifo, f"start {driver}\n")
            first = await definition(client)
            write(fifo, f"stop {driver}\n")
            await client.expect(match("delProperty", device="Echo"))
            await eventually(lambda: gone(int(first["PID"])))
            write(fifo, f"start {driver}\nstop {driver}\nstart {driver}\n")
            while (last := await definition(client))["PID"] == first["PID"]:
                pass
            await client.settle()
            write(fifo, f"stop {driver}\n")
            await eventually(lambda: gone(int(last["PID"])) and program.children() == [])
        assert program.process.poll() is None


@asynchronous
async def test_the_options_reach_the_driver(fifo, tmp_path):
    make_driver(tmp_path / "bin" / "echo2")
    with server(fifo) as program:
        async with IndiClient(await port_of(program)) as client:
            await client.get_properties()
            write(fifo, f'start echo2 -s "s k.xml" -n "My Echo" -p "{tmp_path}" -c "c.xml"\n')
            values = await definition(client, "My Echo")
            assert (values["CONFIG"], values["SKEL"], values["PREFIX"]) == ("c.xml", "s k.xml", str(tmp_path))


@asynchronous
async def test_stop_by_name(fifo, driver):
    with server(fifo) as program:
        async with IndiClient(await port_of(program)) as client:
            await client.get_properties()
            write(fifo, f'start {driver} -n "A"\nstart {driver} -n "B"\n')
            pids = {}
            for _ in range(2):
                element = await client.expect(match("defTextVector"), timeout=10)
                pids[element.get("device")] = int(element[0].text)
            assert set(pids) == {"A", "B"}
            write(fifo, f'stop {driver} -n "B"\n')
            await client.expect(match("delProperty", device="B"))
            await eventually(lambda: gone(pids["B"]))
            assert not gone(pids["A"])
            write(fifo, f'stop {driver} -n "B"\n')
            await eventually(lambda: "with a device 'B' is not running; what can be stopped is" in program.stderr())
            assert not gone(pids["A"])


@asynchronous
async def test_what_the_command_line_has_started_can_be_stopped(fifo, driver):
    with server(fifo, driver, "examples.led:make_driver") as program:
        async with IndiClient(await port_of(program)) as client:
            await client.get_properties()
            await eventually(lambda: {"LED", "Echo"} <= {e.get("device") for e in client.received})
            write(fifo, f"stop {driver}\nstop examples.led:make_driver\n")
            await eventually(
                lambda: {"LED", "Echo"} <= {e.get("device") for e in client.received if e.tag == "delProperty"}
            )
            write(fifo, "start examples.led:make_driver\n")
            await client.expect(match("defSwitchVector", device="LED"))


@asynchronous
async def test_other_servers_come_and_go(fifo, driver, tmp_path):
    os.mkfifo(tmp_path / "fifo2")
    with server(str(tmp_path / "fifo2"), driver) as below:
        port = await port_of(below)
        with server(fifo) as program:
            async with IndiClient(await port_of(program)) as client:
                await client.get_properties()
                write(fifo, f'start "Echo"@127.0.0.1:{port}\n')
                await definition(client)
                write(fifo, f"stop Echo@127.0.0.1:{port}\n")
                await client.expect(match("delProperty", device="Echo"))
                write(fifo, "start @no.such.host.invalid\n")
                await eventually(lambda: "failed on no.such.host.invalid" in program.stderr(), timeout=15)
                await client.settle()


@asynchronous
async def test_what_makes_no_sense_is_logged_and_does_nothing(fifo, driver):
    lines = [f"bogus {driver}", f'start {driver} -x "y"', "start", "stop nothing", f"stop {driver} extra", "x" * 9000]
    with server(fifo, driver) as program:
        async with IndiClient(await port_of(program)) as client:
            await client.get_properties()
            pid = int((await definition(client))["PID"])
            for line in lines:
                write(fifo, line + "\n")
            write(fifo, b"start \xff\n")
            await eventually(lambda: program.stderr().count(f"FIFO {fifo}: ") >= len(lines) + 1)
            await client.settle()
            assert not gone(pid)
            assert len([e for e in client.received if e.tag == "delProperty"]) == 0
        assert program.process.poll() is None


@asynchronous
async def test_the_last_line_needs_no_line_end(fifo, driver):
    with server(fifo, driver) as program:
        async with IndiClient(await port_of(program)) as client:
            await client.get_properties()
            await definition(client)
            write(fifo, f"stop {driver}")
            await client.expect(match("delProperty", device="Echo"))


@asynchronous
async def test_one_line_in_pieces(fifo, driver):
    with server(fifo) as program:
        async with IndiClient(await port_of(program)) as client:
            await client.get_properties()
            text = f"start {driver}\n"
            with open(fifo, "wb", buffering=0) as file:
                for char in text:
                    file.write(char.encode())
            await definition(client)


@asynchronous
async def test_a_driver_that_stays_is_asked_before_it_is_killed(fifo, tmp_path):
    stubborn = make_driver(tmp_path / "stubborn")
    with server(fifo, stubborn) as program:
        async with IndiClient(await port_of(program)) as client:
            await client.get_properties()
            pid = int((await definition(client))["PID"])
            write(fifo, f"stop {stubborn}\n")
            await client.expect(match("delProperty", device="Echo"), timeout=10)
            await eventually(lambda: gone(pid))
            await eventually(lambda: "terminated" in program.stderr())


@asynchronous
async def test_all_that_is_not_done_yet_is_given_up_with_the_fifo(fifo):
    """Not only the latest command for each word, but also those that it has waited for."""
    begun, ended = [], []

    class Slow:
        words = ()

        async def stop(self, word, name):
            begun.append(word)
            try:
                await asyncio.sleep(3600)
            finally:
                ended.append(word)

    reading = Fifo(fifo, Slow())
    reading.open()
    before = asyncio.all_tasks()
    write(fifo, "stop a\n" * 100 + "stop b\nstop a\n")
    await eventually(lambda: begun == ["a", "b"])
    await reading.close()
    assert begun == ["a", "b"]
    assert sorted(ended) == ["a", "b"]
    assert asyncio.all_tasks() == before


@pytest.mark.measured
@asynchronous
async def test_writers_that_come_and_go_cost_nothing_while_none_writes(fifo, driver):
    with server(fifo, driver) as program:
        await port_of(program)
        for _ in range(50):
            write(fifo, "")
        await eventually(lambda: busy(program.pid) >= 0)
        before = busy(program.pid)
        async with IndiClient(await port_of(program)) as client:
            for _ in range(5):
                await client.settle()
        assert busy(program.pid) - before < allowed(50)  # hundredths of a second; a busy loop would take all there are


def busy(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.parametrize(("kind", "says"), [("missing", "mkfifo"), ("file", "not a FIFO"), ("directory", "not a FIFO")])
@asynchronous
async def test_what_is_no_fifo_is_refused(kind, says, tmp_path):
    path = tmp_path / "fifo"
    if kind == "file":
        path.write_text("start indi_simulator_ccd\n")
    elif kind == "directory":
        path.mkdir()
    result = await run(*COMMAND, "-f", str(path), "examples.led:make_driver", cwd=ROOT)
    assert result.returncode == 1
    assert says in result.stderr
    assert "Traceback" not in result.stderr
