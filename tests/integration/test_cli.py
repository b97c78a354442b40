"""The command as a process: what it serves, what it says, and how it ends."""

import asyncio
import os
import re
import shlex
import signal
import socket
import sys
import textwrap
from pathlib import Path

import pytest

from indipydriver.transport.signals import AGAIN
from indipyserver.cli.demo import demo_words
from tests.support import (
    ROOT,
    IndiClient,
    allowed,
    asynchronous,
    eventually,
    free_port,
    gone,
    match,
    new_vector,
    run,
    started,
    wait_for_port,
)

COMMAND = (sys.executable, "-m", "indipyserver")
LED = "examples.led:make_driver"
COUNTS_FROZEN = """
    import asyncio, gc
    from indipydriver import Device, IPyDriver
    class Driver(IPyDriver):
        async def hardware(self):
            while not gc.get_freeze_count():
                await asyncio.sleep(0.01)
            print("frozen:", gc.get_freeze_count(), flush=True)
    def make_driver():
        return Driver(Device("D", []))
"""
SERVING = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d: serving (.*) on (.*) port (\d+)(.*)$", re.MULTILINE)


def server(*words, port="0", local="--no-unix-socket", **options):
    return started(*COMMAND, "-p", port, *([local] if local else []), *words, cwd=options.pop("cwd", ROOT), **options)


async def start_line(program):
    """The line that says what it serves: (what, where, port, the rest)."""
    await eventually(lambda: SERVING.search(program.stderr()) or program.process.poll() is not None, timeout=15)
    found = SERVING.search(program.stderr())
    assert found, program.stderr()
    return found[1], found[2], int(found[3]), found[4]


async def port_of(program):
    return (await start_line(program))[2]


def script(path, text):
    """A Python program that can be executed."""
    path.write_text(f"#!{sys.executable}\n{textwrap.dedent(text)}")
    path.chmod(0o755)
    return str(path)


@asynchronous
async def test_no_garbage_is_looked_for_among_what_the_start_has_made(tmp_path):
    (tmp_path / "counts.py").write_text(textwrap.dedent(COUNTS_FROZEN))
    with server(f"{tmp_path}/counts.py:make_driver") as program:
        await eventually(lambda: "frozen:" in program.stdout() + program.stderr(), timeout=15)
        assert int(re.search(r"frozen: (\d+)", program.stdout() + program.stderr())[1]) > 1000


@pytest.fixture
def echo(tmp_path):
    """A driver as a program: one device "Echo", that notes its process and lives until its input ends."""
    return script(
        tmp_path / "echo driver",
        """
        import os, sys
        name = os.environ.get("INDIDEV", "Echo")
        vector = f'device="{name}" name="T"'
        for line in sys.stdin:
            if "getProperties" in line:
                print(f'<defTextVector {vector} state="Ok" perm="rw"><defText name="PID">{os.getpid()}</defText>'
                      "</defTextVector>", flush=True)
            elif "oneText" in line:
                print(f'<setTextVector {vector} message="has it"><oneText name="PID">x</oneText></setTextVector>',
                      flush=True)
        """,
    )


# What it serves


@asynchronous
async def test_one_line_says_what_is_served_where_and_how_to_look_at_it():
    with server(LED) as program:
        what, where, port, rest = await start_line(program)
        assert (what, where) == (LED, "localhost")
        assert f"indipyclient watch -p {port}" in rest
        assert "this machine only" in rest
        async with IndiClient(port) as client:
            await client.get_properties()
            await client.expect(match("defSwitchVector", device="LED"))
        assert len(program.stderr().splitlines()) == 1
        assert program.stdout() == ""


@asynchronous
async def test_words_of_all_kinds_on_one_port(echo, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from helper import make_driver\ndef both():\n    return [make_driver(), *()]\n", encoding="utf-8"
    )
    (tmp_path / "helper.py").write_text(
        f"import sys\nsys.path.append({str(ROOT)!r})\nfrom {LED.replace(':', ' import ')}"
    )
    with server(echo) as below:
        port = await port_of(below)
        with server(f"{tmp_path}/mine.py:both", f"@127.0.0.1:{port}", "examples.thermostat:make_driver") as program:
            async with IndiClient(await port_of(program)) as client:
                await client.get_properties()
                await eventually(lambda: {"LED", "Echo", "Thermostat"} <= {e.get("device") for e in client.received})
                await client.send(new_vector("Text", "Echo", "T", PID="?") + "\n")
                await client.expect(match("setTextVector", device="Echo", message="has it"))


@asynchronous
async def test_one_device_of_another_server(echo):
    with server(echo, LED) as below:
        port = await port_of(below)
        with server(f"Echo@127.0.0.1:{port}") as program:
            async with IndiClient(await port_of(program)) as client:
                await client.get_properties()
                await client.expect(match("defTextVector", device="Echo"))
                await client.settle()
                assert not any(e.get("device") == "LED" for e in client.received)


@asynchronous
async def test_under_the_name_of_indiserver(tmp_path, echo):
    link = tmp_path / "indiserver"
    program_file = script(
        tmp_path / "indipyserver", f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
        "from indipyserver.cli.main import main; sys.exit(main())"
    )  # fmt: skip
    link.symlink_to(program_file)
    with started(str(link), "-vp", "0", "--no-unix-socket", echo) as program:
        await start_line(program)
        if sys.platform == "linux":
            assert Path(f"/proc/{program.pid}/comm").read_text() == "indiserver\n"
    result = await run(str(link))
    assert result.returncode == 2
    assert result.stderr.startswith("usage: indiserver ")


@asynchronous
async def test_several_hosts_share_a_port():
    with server("--host", "127.0.0.1", "--host", "127.0.0.2", LED) as program:
        _, where, port, _ = await start_line(program)
        assert where == "127.0.0.1 and 127.0.0.2"
        for host in ("127.0.0.1", "127.0.0.2"):
            async with IndiClient(port, host) as client:
                await client.get_properties()
                await client.expect(match("defSwitchVector", device="LED"))


@asynchronous
async def test_a_star_stands_for_all_interfaces_and_is_no_name_to_connect_to():
    with server("--host", "*", LED) as program:
        _, where, port, more = await start_line(program)
    assert where == "all interfaces"
    assert more.startswith(f"; to look at it: indipyclient watch -p {port}")


@asynchronous
async def test_max_clients():
    with server("--max-clients", "1", LED) as program:
        port = await port_of(program)
        async with IndiClient(port) as client:
            await client.settle()
            async with IndiClient(port) as refused:
                await eventually(refused.closed.is_set)
            await client.settle()


@asynchronous
async def test_messages_of_drivers_are_kept(tmp_path, echo):
    directory = tmp_path / "log"
    directory.mkdir()
    with server("-l", str(directory), echo) as program:
        async with IndiClient(await port_of(program)) as client:
            await client.get_properties()
            await client.expect(match("defTextVector", device="Echo"))
            await client.send(new_vector("Text", "Echo", "T", PID="?") + "\n")
            await client.expect(match("setTextVector", message="has it"))
        await eventually(lambda: list(directory.iterdir()) and next(directory.iterdir()).read_text())
        (file,) = directory.iterdir()
        assert re.fullmatch(r"\d{4}-\d\d-\d\d\.islog", file.name)
        assert re.fullmatch(r"[-\dT:]{19}: Echo: has it\n", file.read_text())


@pytest.mark.parametrize(
    ("name", "says"), [("missing", "there is no such directory"), ("a file", "it is not a directory"), ("log", "")]
)
@asynchronous
async def test_a_directory_for_messages_that_cannot_be_used_is_named_at_the_start(tmp_path, name, says):
    (tmp_path / "a file").touch()
    (tmp_path / "log").mkdir()
    with server("-l", str(tmp_path / name), LED) as program:
        await start_line(program)  # it serves nevertheless
        if says:
            await eventually(lambda: f"cannot be written to {tmp_path / name}: {says}" in program.stderr())
        program.signal(signal.SIGTERM)
        await program.wait()
        assert ("cannot be written" in program.stderr()) == bool(says)


# What it logs


@asynchronous
async def test_verbose(echo):
    with server("-vvv", echo) as program:
        async with IndiClient(await port_of(program)) as client:
            await client.get_properties()
            await client.expect(match("defTextVector", device="Echo"))
        log = program.stderr()
    assert re.search(r"^[-\dT:]{19}: connection received from client 127\.0\.0\.1:\d+$", log, re.MULTILINE)
    assert re.search(r"^[-\dT:]{19}: client 127\.0\.0\.1:\d+: received <getProperties>, \d+ bytes$", log, re.MULTILINE)
    assert re.search(r"client 127\.0\.0\.1:\d+: sent <defTextVector> Echo.T, \d+ bytes\n    <defTextVector dev", log)
    assert "\x1b" not in log


@asynchronous
async def test_log_level_overrules_verbose(echo):
    with server("-v", "--log-level", "error", echo) as program:
        port = await port_of(program)
        async with IndiClient(port) as client:
            await client.settle()
        assert len(program.stderr().splitlines()) == 1


# How it ends


@pytest.fixture
def hangup_ends():
    """SIGHUP as usual for what is started: under nohup the tests inherit that it is ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)], ids=lambda x: str(int(x))
)
@pytest.mark.usefixtures("hangup_ends")
@asynchronous
async def test_a_signal_ends_it_cleanly(number, status, echo):
    with server(echo, LED) as program:
        async with IndiClient(await port_of(program)) as client:
            await client.get_properties()
            element = await client.expect(match("defTextVector", device="Echo"))
            driver = int(element[0].text)
            program.signal(number)
            assert await program.wait() == status
            await eventually(client.closed.is_set)
            assert gone(driver)
            own = [line for line in program.stderr().splitlines() if ": driver " not in line]
            assert not any("Traceback" in line for line in own)


@pytest.mark.measured
@asynchronous
async def test_a_second_signal_ends_it_at_once(tmp_path):
    stubborn = script(
        tmp_path / "stubborn",
        """
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(f'<defTextVector device="S" name="T" state="Ok" perm="ro"><defText name="P">{os.getpid()}</defText>'
              "</defTextVector>", flush=True)
        while True:
            time.sleep(60)
        """,
    )
    with server(stubborn) as program:
        async with IndiClient(await port_of(program)) as client:
            await client.get_properties()
            driver = int((await client.expect(match("defTextVector", device="S")))[0].text)
        program.signal(signal.SIGTERM)
        await eventually(lambda: "send it again" in program.stderr())
        await asyncio.sleep(1.1 * AGAIN)
        program.signal(signal.SIGTERM)
        assert await program.wait(allowed(1.5)) == 143  # the driver would have been given four seconds
        await eventually(lambda: gone(driver))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize("redirection", ["2>&-", "<&- 2>&-", "<&- >&- 2>&-", ">&-"])
@asynchronous
async def test_it_serves_without_standard_streams_as_a_daemon_does(redirection, echo):
    """And what is written to standard error goes to nobody."""
    port = free_port()
    command = f"exec {shlex.join(COMMAND)} -p {port} --no-unix-socket {shlex.quote(echo)} {redirection}"
    with started("sh", "-c", command, cwd=ROOT) as program:
        await wait_for_port(port, program)
        async with IndiClient(port) as client:
            await client.get_properties()
            await client.expect(match("def.*Vector"))
        program.signal(signal.SIGTERM)
        assert await program.wait() == 143


@asynchronous
async def test_a_port_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = await run(*COMMAND, "--no-unix-socket", "--host", "127.0.0.1", "-p", port, LED, cwd=ROOT)
    assert result.returncode == 1
    assert re.fullmatch(r"\S+ cannot listen on 127.0.0.1 port \d+: .*in use \(-p PORT .*\)\n", result.stderr)


@asynchronous
async def test_a_host_that_does_not_exist():
    result = await run(*COMMAND, "--no-unix-socket", "--host", "no.such.host.invalid", "-p", "0", LED, cwd=ROOT)
    assert result.returncode == 1
    assert "no.such.host.invalid" in result.stderr
    assert "Traceback" not in result.stderr


@asynchronous
async def test_when_all_drivers_are_gone_it_says_so(tmp_path):
    crash = script(tmp_path / "crash", "raise SystemExit(3)")
    result = await run(*COMMAND, "--no-unix-socket", "-p", "0", "-r", "1", crash, "no-such-program", cwd=ROOT)
    assert result.returncode == 1
    assert "given up after 1 restarts" in result.stderr
    assert "no-such-program" in result.stderr
    assert result.stderr.splitlines()[-1].endswith("the server is stopping")


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("no-such-program", "no-such-program"),
        ("no.such.module:make", "No module named"),
        ("no/such/file.py:make", "there is no file no/such/file.py"),
        ("examples.led:no_such_function", "no_such_function"),
        ("examples.led:main.__name__", "str"),
        ("os:getcwd", "not an IPyDriver"),
        ("sys:exit", "SystemExit"),
        ("examples/led.py", "examples/led.py:FUNCTION"),
    ],
)
@asynchronous
async def test_what_is_missing_does_not_keep_the_others_from_being_served(word, says):
    with server(word, LED) as program:
        async with IndiClient(await port_of(program)) as client:
            await client.get_properties()
            await client.expect(match("defSwitchVector", device="LED"))
        await eventually(lambda: says in program.stderr())
        assert program.process.poll() is None


@asynchronous
async def test_the_same_driver_twice_is_served_once():
    with server(*["examples.thermostat:make_driver"] * 2) as program:
        async with IndiClient(await port_of(program)) as client:
            await client.get_properties()
            await client.expect(match("defNumberVector", device="Thermostat"))
        assert "already a device named 'Thermostat'" in program.stderr()


@asynchronous
async def test_nothing_that_can_be_served():
    result = await run(*COMMAND, "--no-unix-socket", "-p", "0", "no.such.module:make", cwd=ROOT)
    assert result.returncode == 1
    assert "nothing to serve" in result.stderr


@asynchronous
async def test_a_lost_or_missing_server_ends_nothing(echo):
    with server(echo) as below:
        port = await port_of(below)
        with server(f"@127.0.0.1:{port}", "@no.such.host.invalid") as program:
            async with IndiClient(await port_of(program)) as client:
                await client.get_properties()
                await client.expect(match("defTextVector", device="Echo"))
                below.signal(signal.SIGKILL)
                await client.expect(match("delProperty", device="Echo"))
                await client.settle()
            assert program.process.poll() is None


@asynchronous
async def test_ignored_signals_stay_ignored():
    """As nohup does it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with server(LED) as program:
            port = await port_of(program)
            program.signal(signal.SIGHUP)
            async with IndiClient(port) as client:
                await client.settle()
            program.signal(signal.SIGTERM)
            assert await program.wait() == 143
    finally:
        signal.signal(signal.SIGHUP, before)


GOES_ELSEWHERE = """
import os
from indipydriver import Device, IPyDriver, TextMember, TextVector

os.chdir(os.path.dirname(os.path.abspath(__file__)))  # as scripts do

class Tells(IPyDriver):
    async def hardware(self):
        await self.send_message("hello")

def make_driver():
    return Tells(Device({!r}, [TextVector("T", "T", "T", "ro", "Ok", [TextMember("t")])]))
"""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
@asynchronous
async def test_paths_count_from_where_it_was_begun_wherever_a_driver_goes(tmp_path, echo):
    """All that was served after a driver that had gone to its own folder was not found there."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "logs").mkdir()
    (tmp_path / "own").mkdir()
    Path(echo).rename(tmp_path / "echo")
    for path, name in (("own/first.py", "First"), ("own/second.py", "Second"), ("third.py", "Third")):
        goes = GOES_ELSEWHERE if path.startswith("own") else GOES_ELSEWHERE.replace("os.chdir", "print")
        (tmp_path / path).write_text(goes.format(name))
    words = ["own/first.py:make_driver", "./echo", "third:make_driver"]
    options = ["-v", "-f", "fifo", "-l", "logs", "--control", "./control"]
    with server(*options, *words, cwd=tmp_path, PYTHONPATH=str(ROOT)) as program:
        async with IndiClient(await port_of(program)) as client:
            await client.get_properties()
            devices = {"First", "Echo", "Third"}
            await eventually(lambda: devices <= {each.get("device") for each in client.received}, timeout=30)
            (tmp_path / "fifo").write_text("start own/second.py:make_driver\n")
            await client.expect(match("defTextVector", device="Second"))
        assert (tmp_path / "control").exists()
        program.signal(signal.SIGTERM)
        assert await program.wait() == 143
    assert "hello" in "".join(path.read_text() for path in (tmp_path / "logs").iterdir())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
@asynchronous
async def test_a_fifo_keeps_it_alive_without_drivers(tmp_path):
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    with server("-f", fifo, "no-such-program") as program:
        port = await port_of(program)
        await eventually(lambda: "cannot be started" in program.stderr())
        async with IndiClient(port) as client:
            await client.settle()


@pytest.mark.parametrize("also", [[], ["examples.snooping:make_drivers"]])
@asynchronous
async def test_the_demo_serves_the_example_instrument(also: list[str]) -> None:
    """What follows may be a driver as well as what to demonstrate."""
    words = ["-p", "0", "--no-unix-socket", "--demo", *also]
    with started(sys.executable, "-m", "indipyserver", *words, cwd=ROOT) as program:
        await eventually(lambda: re.search(r"on localhost port (\d+)", program.stderr()), timeout=20)
        port = int(re.search(r"on localhost port (\d+)", program.stderr())[1])
        async with IndiClient(port) as client:
            await client.get_properties()
            for device in ("Thermostat", "Camera", "LED"):
                await client.expect(match("def.*Vector", device=device))
                client._taken = 0
        program.process.terminate()
        await program.wait(20)


def test_the_demo_of_a_copy_without_examples_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="not installed"):
        demo_words("examples", tmp_path / "indipyserver")


STARTING = """
import os, signal, sys
import indipyserver.cli.main as command
import indipyserver.cli.serving as serving

build, attach = command.build_parser, serving.attach

def build_parser(prog):
    os.kill(os.getpid(), signal.SIGUSR1)
    return build(prog)

def attach_log(*arguments):
    os.kill(os.getpid(), signal.SIGUSR1)
    return attach(*arguments)

command.build_parser, serving.attach = build_parser, attach_log
sys.exit(command.main(sys.argv[1:]))
"""


@asynchronous
async def test_ctrl_c_while_it_starts_ends_it_without_a_traceback():
    start = STARTING.replace("SIGUSR1", "SIGINT")
    start = start.replace("command.build_parser, serving.attach = build_parser, ", "serving.attach = ")
    with started(sys.executable, "-c", start, "-p", "0", "--no-unix-socket", "cat", cwd=ROOT) as program:
        assert await program.wait() == 130
        assert program.stderr() == ""


@asynchronous
async def test_a_request_for_statistics_while_it_starts_does_not_end_it(tmp_path):
    led = tmp_path / "led.py"
    led.write_text(
        "import os, signal\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
        "import indipydriver as ipd\n"
        "def make():\n"
        "    return ipd.IPyDriver(ipd.Device('LED', []))\n"
    )
    with started(sys.executable, "-c", STARTING, "-p", "0", "--no-unix-socket", f"{led}:make", cwd=ROOT) as program:
        await port_of(program)
        lines = len(program.stderr().splitlines())
        program.signal(signal.SIGUSR1)
        await eventually(lambda: len(program.stderr().splitlines()) > lines)
        program.signal(signal.SIGTERM)
        assert await program.wait() == 143


@asynchronous
async def test_the_demo_of_an_observatory_has_an_instrument_of_each_kind() -> None:
    command = [sys.executable, "-m", "indipyserver", "--demo", "observatory", "-p", "0", "--no-unix-socket"]
    with started(*command, cwd=ROOT) as program:
        await eventually(lambda: re.search(r"on localhost port (\d+)", program.stderr()), timeout=20)
        port = int(re.search(r"on localhost port (\d+)", program.stderr())[1])
        async with IndiClient(port) as client:
            await client.get_properties()
            for device in ("Telescope Simulator", "CCD Simulator", "Dome Simulator", "GPS Simulator"):
                await client.expect(match("def.*Vector", device=device))
                client._taken = 0
        program.process.terminate()
        await program.wait(20)
