"""IPyServer.run() and IPyDriver.run(): a whole program in one line."""

import asyncio
import os
import re
import signal
import socket
import sys
import textwrap

import pytest

import indipydriver as ipd
from indipyserver import IPyServer
from tests.support import ROOT, asynchronous, eventually

DRIVER = """
import asyncio, signal, sys, threading
import indipydriver as ipd
from indipyserver import IPyServer

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # whatever this was started under
    signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
member = ipd.NumberMember("N")
driver = ipd.IPyDriver(ipd.Device("LED", [ipd.NumberVector("N", "N", "Main", "ro", "Ok", [member])]))
"""


async def ended(tmp_path, code, *, send=None, stdin=None):
    """Run a program; send it a signal when it serves. Its status and what it wrote to standard error."""
    path = tmp_path / "program.py"
    path.write_text(DRIVER + textwrap.dedent(code), encoding="utf-8")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(path), stdin=stdin or asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe,
        env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        async with asyncio.timeout(20):
            lines = []
            while line := (await process.stderr.readline()).decode():
                lines.append(line)
                if send is not None and line.startswith("serving"):
                    process.send_signal(send)
            return await process.wait(), "".join(lines), (await process.stdout.read()).decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynchronous
async def test_it_says_where_it_serves_and_ctrl_c_ends_it_quietly(tmp_path):
    status, said, _ = await ended(tmp_path, "IPyServer(driver, port=0).run()", send=signal.SIGINT)
    assert status == 130
    assert re.fullmatch(r"serving LED on localhost port \d+, for this machine only; Ctrl-C ends it\n", said)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@asynchronous
async def test_a_signal_ends_it_without_a_traceback(tmp_path, number):
    status, said, _ = await ended(tmp_path, "IPyServer(driver, port=0).run()", send=number)
    assert status == 128 + number
    assert f"{number.name}: the server is stopping" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("run", ["driver.run()", "asyncio.run(IPyServer(driver, port=0).asyncrun())"])
@asynchronous
async def test_a_signal_lets_the_driver_switch_off_what_it_has_switched_on(tmp_path, number, run):
    """SIGHUP comes to all that runs in a terminal when that is closed, or a connection over ssh breaks."""
    code = f"""
        class Heater(ipd.IPyDriver):
            async def hardware(self):
                print("serving", file=sys.stderr, flush=True)
                try:
                    while not self.stop:
                        await asyncio.sleep(0.01)
                finally:
                    print("off", file=sys.stderr)
        driver = Heater(ipd.Device("Heater", []))
        {run}
    """
    reader, writer = os.pipe()
    try:
        status, said, _ = await ended(tmp_path, code, send=number, stdin=reader)
    finally:
        os.close(reader)
        os.close(writer)
    assert status == (128 + number if "IPyServer" in run else 0)
    assert "\noff\n" in said
    assert "Traceback" not in said


PRINTING = """
    import asyncio, pathlib, sys
    import indipydriver as ipd
    from indipyserver import IPyServer

    class Heater(ipd.IPyDriver):
        async def hardware(self):
            state = pathlib.Path(__file__).with_name("state")
            state.write_text("heats")
            try:
                while not self.stop:
                    await asyncio.sleep(0.01)
            finally:
                state.write_text("ends")
                while sys.stdin.isatty():  # until it is closed
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.01)
                print("switching off", flush=True)
                state.write_text("off")
    def make_driver():
        return Heater(ipd.Device("Heater", []))
    if __name__ == "__main__":
        RUN
"""


@pytest.mark.parametrize(
    ("by", "first", "pause"),
    [("driver", None, 0)]
    + [(by, first, pause) for by in ("script", "command") for first, pause in ((None, 0), ("SIGTERM", 0),
                                                                               ("SIGTERM", 0.6), ("SIGHUP", 0.6))],
)  # fmt: skip
@asynchronous
async def test_a_driver_may_print_at_its_end_though_nobody_reads_it(tmp_path, by, first, pause):
    """The terminal has been closed, perhaps soon after a signal, or the server that reads its log is gone."""
    path, state = tmp_path / "program.py", tmp_path / "state"
    code = PRINTING.replace(
        "RUN", "make_driver().run()" if by == "driver" else "IPyServer(make_driver(), port=0).run()"
    )
    # What handles signals for a command is set before it imports a driver.
    path.write_text((DRIVER if by != "command" else "") + textwrap.dedent(code), encoding="utf-8")
    words = [sys.executable, str(path)]
    if by == "command":
        words = [sys.executable, "-m", "indipyserver", "-p", "0", "--no-unix-socket", f"{path}:make_driver"]
    if by == "driver":
        ours, theirs = (end.detach() for end in socket.socketpair())
    else:
        ours, theirs = os.openpty()
        terminal = os.ttyname(theirs)  # of which a new session that opens it gets SIGHUP
        words = ["sh", "-c", f'exec "$@" <{terminal} >{terminal} 2>&1', "sh", *words]
    process = await asyncio.create_subprocess_exec(
        *words, stdin=theirs, stdout=theirs, stderr=theirs, env={"PYTHONPATH": str(ROOT)}, start_new_session=True
    )
    os.close(theirs)
    try:
        await eventually(lambda: state.exists() and state.read_text() == "heats", timeout=20)
        if first is not None:
            process.send_signal(getattr(signal, first))
            await eventually(lambda: state.read_text() == "ends")
            await asyncio.sleep(pause)  # more than AGAIN
        os.close(ours)
        async with asyncio.timeout(20):
            await process.wait()
        assert state.read_text() == "off"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynchronous
async def test_shutdown_makes_it_return(tmp_path):
    code = """
        server = IPyServer(driver, port=0)
        threading.Timer(0.3, server.shutdown).start()
        server.run()
        print("after")
    """
    status, _, output = await ended(tmp_path, code)
    assert (status, output) == (0, "after\n")


@asynchronous
async def test_a_port_that_is_taken_is_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, said, _ = await ended(tmp_path, f"IPyServer(driver, host='127.0.0.1', port={port}).run()")
    assert status == 1
    taken = f"cannot listen on 127.0.0.1 port {port}: Address already in use"
    assert said == f"{taken}; to use another port: IPyServer(..., port=PORT)\n"


@asynchronous
async def test_a_call_that_does_not_return_is_named(tmp_path):
    code = """
        released = threading.Event()

        def read_the_port():
            released.wait()

        class Slow(ipd.IPyDriver):
            async def hardware(self):
                await asyncio.to_thread(read_the_port)

        def release():
            while not any("has not returned" in each for each in said):
                threading.Event().wait(0.01)
            released.set()

        import logging
        said = []
        class Handler(logging.Handler):
            def emit(self, record):
                said.append(record.getMessage())
        logging.getLogger().addHandler(Handler())
        threading.Thread(target=release, daemon=True).start()
        try:
            IPyServer(Slow(ipd.Device("Slow", [])), port=0, shutdown_grace=0.1).run()
        finally:
            print(*said, sep="\\n")
    """
    status, _, output = await ended(tmp_path, code, send=signal.SIGTERM)
    assert status == 143
    assert re.search(r"so the program does not end yet: program\.py:\d+ in read_the_port\n", output)


@asynchronous
async def test_in_a_notebook_it_says_what_to_do():
    with pytest.raises(RuntimeError, match=r"await server\.asyncrun\(\)"):
        IPyServer(ipd.IPyDriver(ipd.Device("LED", [])), port=0).run()
    with pytest.raises(RuntimeError, match=r"await IPyServer\(driver\)\.asyncrun\(\)"):
        ipd.IPyDriver(ipd.Device("LED", [])).run()


@asynchronous
async def test_a_driver_runs_over_standard_input_and_output(tmp_path):
    asked = tmp_path / "asked.xml"
    asked.write_text("<getProperties version='1.7'/>", encoding="utf-8")
    with asked.open("rb") as stdin:
        status, said, output = await ended(tmp_path, "driver.run()", stdin=stdin)
    assert (status, said) == (0, "")
    assert "<defNumberVector" in output


@asynchronous
async def test_what_a_driver_prints_is_not_in_its_stream(tmp_path):
    """It may come in the middle of an image, whose base64 it would become a part of."""
    asked = tmp_path / "asked.xml"
    asked.write_text("<getProperties version='1.7'/>", encoding="utf-8")
    code = """
        class Talkative(ipd.IPyDriver):
            async def hardware(self):
                print(object(), flush=True)
                print("found", end="")
        Talkative(ipd.Device("D", [ipd.NumberVector("N", "N", "Main", "ro", "Ok", [ipd.NumberMember("N")])])).run()
        print("it has ended")
    """
    with asked.open("rb") as stdin:
        status, said, output = await ended(tmp_path, code, stdin=stdin)
    assert status == 0
    assert re.fullmatch(r"<object object at .*>\nfound", said)
    assert re.fullmatch(r"<defNumberVector.*</defNumberVector>\nit has ended\n", output, re.S)


def test_a_driver_needs_no_standard_input_of_python(monkeypatch):
    """It uses the descriptor, whatever a program has put in its place, or closed."""

    async def nothing(driver):
        pass

    monkeypatch.setattr(sys, "stdin", object())
    monkeypatch.setattr(ipd.IPyDriver, "asyncrun", nothing)
    ipd.IPyDriver().run()
