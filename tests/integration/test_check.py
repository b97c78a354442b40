"""``indipyserver --check``: drivers with one planted fault, the examples, a server, and the command itself."""

import asyncio
import json
import os
import signal
import sys
import textwrap

import pytest

from examples import observatory
from indipyserver.check import CannotRun, Severity, check
from tests.support import ROOT, asynchronous, eventually, gone, run, running_server, started

BROKEN = ROOT / "tests" / "fixtures" / "broken"
TIMEOUT = 5.0
COMMAND = (sys.executable, "-m", "indipyserver", "--check")

# The fault of each: the driver, the rule that finds it, and where.
FAULTS = {
    "answers_once": ("get-unanswered", "Instrument.TARGET"),
    "bad_format": ("number-format", "Instrument.TARGET.VALUE"),
    "bare_ampersand": ("bare-ampersand", ""),
    "defines_nothing": ("no-definitions", ""),
    "dies": ("ended-early", ""),
    "deaf_at_the_end": ("ignores-end", ""),
    "half_connected": ("connection-state", "Instrument.CONNECTION"),
    "ignores_name": ("get-too-much", "Instrument"),
    "keeps_properties": ("connection-kept", "Instrument.TARGET"),
    "long_name": ("name-too-long", f"Instrument.HEALTH.{'LAMP_' * 13}"),
    "no_perm": ("attribute-missing", "Instrument.NOTE"),
    "no_range": ("range-not-enforced", "Instrument.TARGET.VALUE"),
    "prints": ("stray-output", ""),
    "read_only_written": ("read-only-changed", "Instrument.SERIAL.NUMBER"),
    "silent": ("unanswered", "Instrument.NOTE"),
    "stateless": ("update-stateless", "Instrument.TARGET"),
    "takes_garbage": ("garbage-accepted", "Instrument.TARGET.VALUE"),
    "twins": ("member-duplicate", "Instrument.NOTE.TEXT"),
    "two_on": ("rule-broken", "Instrument.MODE"),
    "unknown_member": ("member-unknown", "Instrument.TARGET.SPEED"),
    "wrong_size": ("blob-size", "Instrument.IMAGE.PIXELS"),
    "wrong_state": ("word-unknown", "Instrument.NOTE"),
}

EXAMPLES = {
    "led": "led.py:make_driver",
    "thermostat": "thermostat.py:make_driver",
    "camera": "camera.py:make_driver",
    "observatory": "observatory.py:make_driver",
    "snooping": "snooping.py:make_drivers",
    "stdio_driver": "stdio_driver.py:make_driver",
    "stdio_driver as a program": "stdio_driver.py",
}


@pytest.fixture(scope="module")
def reports():
    """The reports on all broken drivers and the good one, by name; some are made side by side, as they mostly wait."""

    async def all_of_them():
        few = asyncio.Semaphore(6)

        async def one(name):
            async with few:
                return name, await check(str(BROKEN / f"{name}.py"), timeout=TIMEOUT)

        return dict(await asyncio.gather(*(one(name) for name in ["good", *FAULTS])))

    return asyncio.run(all_of_them())


def test_each_broken_driver_has_its_test():
    assert {path.stem for path in BROKEN.glob("*.py")} == {"good", *FAULTS}


@pytest.mark.timeout(120)  # the first one makes all reports
def test_the_good_driver_is_fine(reports):
    report = reports["good"]
    assert report.findings == []
    assert report.status == 0
    assert report.connected == ["Instrument"]
    assert report.devices == {"Instrument": 8}
    assert report.blobs
    assert {size for _, size in report.blobs} == {6000}
    assert report.commands == report.answered


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_found(name, reports):
    code, where = FAULTS[name]
    report = reports[name]
    assert (code, where) in [(finding.code, finding.where) for finding in report.findings]
    # Nothing else is wrong; what is only a note may follow from the fault.
    assert {finding.code for finding in report.findings if finding.severity is not Severity.NOTE} == {code}
    assert report.status == 1


@pytest.mark.parametrize("act", [False, True], ids=["safe", "act"])
@pytest.mark.parametrize("name", EXAMPLES)
@asynchronous
async def test_the_examples_are_fine(name, act, monkeypatch):
    monkeypatch.setenv("PATH", os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]))
    report = await check(f"{ROOT}/examples/{EXAMPLES[name]}", timeout=TIMEOUT, act=act)
    assert [finding for finding in report.findings if finding.severity is not Severity.NOTE] == []
    assert report.answered == report.commands > 0
    if act and name == "camera":
        assert report.blobs == [(("Camera", "CCD1"), 619200)]


@asynchronous
async def test_a_server_is_checked_through_its_socket():
    async with running_server(observatory.make_driver()) as server:
        report = await check(f"Focuser@127.0.0.1:{server.port}", timeout=TIMEOUT)
        assert list(report.devices) == ["Focuser"]
        assert report.status == 0
        report = await check(f"@127.0.0.1:{server.port}", timeout=TIMEOUT)
        assert list(report.devices) == ["Focuser", "Filter Wheel", "Flat Panel"]
        assert report.status == 0


def python_driver(tmp_path, body):
    path = tmp_path / "some_driver.py"
    path.write_text(f"import indipydriver as ipd\n{textwrap.dedent(body)}", encoding="utf-8")
    return f"{path}:make_driver"


@asynchronous
async def test_a_python_driver_that_prints_and_fails(tmp_path):
    word = python_driver(
        tmp_path,
        """
        class Driver(ipd.IPyDriver):
            async def rxevent(self, event):
                print("got it")
                self.add_background(self.fail())
            async def fail(self):
                raise RuntimeError("the cable is loose")
        def make_driver():
            members = [ipd.TextMember("NOTE", membervalue="x")]
            return Driver(ipd.Device("D", [ipd.TextVector("NOTE", "Note", "Main", "rw", "Ok", members)]))
        """,
    )
    report = await check(word, timeout=1.0)
    found = {finding.code: finding.seen for finding in report.findings}
    assert found["prints"] == repr("got it\n")
    assert "NewVector D NOTE" in found["ended-early"]
    assert "RuntimeError: the cable is loose" in found["ended-early"]


@asynchronous
async def test_what_moves_and_what_cools_goes_on_to_where_it_was_told_to_go(tmp_path):
    word = python_driver(
        tmp_path,
        """
        def number(name, state):
            member = ipd.NumberMember("VALUE", format="%g", min=-50, max=50, step=1, membervalue=5)
            return ipd.NumberVector(name, name, "Main", "rw", state, [member])
        class Driver(ipd.IPyDriver):
            async def rxevent(self, event):
                if not isinstance(event, ipd.getProperties):
                    with open(__file__ + ".told", "a") as file:
                        file.write(event.vectorname + "\\n")
                    await event.vector.send_setVector(allvalues=True)
        def make_driver():
            numbers = number("POSITION", "Busy"), number("SPEED", "Ok"), number("CCD_TEMPERATURE", "Ok")
            return Driver(ipd.Device("D", list(numbers)))
        """,
    )
    report = await check(word, timeout=1.0)
    told = (tmp_path / "some_driver.py.told").read_text(encoding="utf-8").split()
    assert set(told) == {"SPEED"}
    assert {name for (_, name), _ in report.spared} == {"POSITION", "CCD_TEMPERATURE"}


def stubborn_driver(tmp_path):
    """A Python driver that swallows its cancellation, and notes that it runs."""
    return python_driver(
        tmp_path,
        f"""
        import asyncio, pathlib
        class Driver(ipd.IPyDriver):
            shutdown_grace = 0.1
            async def hardware(self):
                pathlib.Path({str(tmp_path / "runs")!r}).touch()
                while True:
                    try:
                        await asyncio.Event().wait()
                    except asyncio.CancelledError:
                        pass
        def make_driver():
            members = [ipd.TextMember("NOTE", membervalue="x")]
            return Driver(ipd.Device("D", [ipd.TextVector("NOTE", "Note", "Main", "ro", "Ok", members)]))
        """,
    )


@asynchronous
async def test_a_python_driver_that_swallows_its_cancellation_is_reported(tmp_path):
    word = stubborn_driver(tmp_path)
    result = await run(*COMMAND, word, "--json", "--timeout", "0.5", cwd=ROOT)
    assert result.returncode == 1
    assert "ignores-end" in {finding["code"] for finding in json.loads(result.stdout)["findings"]}


@pytest.mark.parametrize("forgotten", ["time.sleep(0.1)", "asyncio.sleep(0.1)"])
@asynchronous
async def test_a_driver_that_blocks_for_ever_is_reported(tmp_path, forgotten):
    word = python_driver(
        tmp_path,
        f"""
        import asyncio, time, warnings
        class Driver(ipd.IPyDriver):
            async def hardware(self):
                warnings.simplefilter("ignore")
                while not self.stop:
                    {forgotten}
        def make_driver():
            return Driver(ipd.Device("D", []))
        """,
    )
    result = await run(*COMMAND, word, "--json", "--timeout", "0.5", cwd=ROOT, timeout=40)
    assert result.returncode == 1, result.stderr
    found = {finding["code"]: finding["seen"] for finding in json.loads(result.stdout)["findings"]}
    assert " in hardware: " in found["blocks-loop"]
    assert found["blocks-loop"].endswith(", where it still is: the check ends here")


@pytest.mark.parametrize(
    ("start", "told"),
    [
        ("asyncio.create_task(asyncio.to_thread(time.sleep, 60))", "sleep(); ending without it"),
        ("fork.Process(target=time.sleep, args=(60,))", "; ending it"),
    ],
    ids=["thread", "process"],
)
@asynchronous
async def test_it_ends_though_the_driver_has_left_something_that_does_not(tmp_path, start, told):
    word = python_driver(
        tmp_path,
        f"""
        import asyncio, multiprocessing, time
        fork = multiprocessing.get_context("fork")
        class Driver(ipd.IPyDriver):
            async def hardware(self):
                self.left = {start}
                if hasattr(self.left, "start"):
                    self.left.start()
        def make_driver():
            members = [ipd.TextMember("NOTE", membervalue="x")]
            return Driver(ipd.Device("D", [ipd.TextVector("NOTE", "Note", "Main", "ro", "Ok", members)]))
        """,
    )
    result = await run(*COMMAND, word, "--json", "--timeout", "0.5", cwd=ROOT, timeout=40)
    assert result.returncode == 0
    assert json.loads(result.stdout)["devices"] == {"D": 1}
    assert told in result.stderr


@pytest.mark.parametrize(
    "word", ["no_such_program", "examples.led:no_such_function", "no/such/file.py:make_driver", "@127.0.0.1:1"]
)
@asynchronous
async def test_what_cannot_be_started(word):
    with pytest.raises(CannotRun):
        await check(word, timeout=1.0)


# --- the command ---------------------------------------------------------------------------------


@asynchronous
async def test_the_command_reports_in_text():
    done = await run(*COMMAND, str(BROKEN / "bad_format.py"))
    assert done.returncode == 1
    assert "error: number-format\n  seen      Instrument.TARGET.VALUE: format='%s'" in done.stdout
    assert done.stdout.splitlines()[-1] == "not right: 1 error, 0 warnings, 0 notes"
    assert done.stderr == ""


@asynchronous
async def test_the_command_reports_in_json():
    done = await run(*COMMAND, "examples/led.py:make_driver", "--json", "--timeout", "2", cwd=ROOT)
    assert done.returncode == 0
    assert json.loads(done.stdout)["counts"] == {"errors": 0, "warnings": 0, "notes": 2}
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--check", "no_such_program"), "there is no program 'no_such_program'"),
        (("--check", "examples/led.py:make_driver", "another"), "takes one DRIVER"),
        (("--json",), "are for --check"),
        (("--check", "x", "--timeout", "0"), "not a number of seconds"),
    ],
)
@asynchronous
async def test_the_command_cannot_run(arguments, says):
    done = await run(sys.executable, "-m", "indipyserver", *arguments, cwd=ROOT)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("mode", [0o644, 0o755])
@pytest.mark.parametrize("form", ["{}", "./{}"])
@asynchronous
async def test_a_python_file_is_said_to_need_a_function(tmp_path, monkeypatch, mode, form):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("def make_driver(): ...\n", encoding="utf-8")
    (tmp_path / "mine.py").chmod(mode)
    word = form.format("mine.py")
    with pytest.raises(CannotRun, match=f"; to check drivers that a function of it returns: {word}:FUNCTION$"):
        await check(word)


@pytest.fixture
def hangup_ends():
    """SIGHUP as usual for what is started: under nohup the tests inherit that it is ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=lambda x: str(int(x))
)
@pytest.mark.parametrize("deaf", [False, True])
@pytest.mark.usefixtures("hangup_ends")
@asynchronous
async def test_a_signal_ends_the_check_and_the_driver(number, status, deaf, tmp_path):
    with started(*COMMAND, deaf_program(tmp_path) if deaf else str(BROKEN / "defines_nothing.py"), cwd=ROOT) as program:
        await eventually(program.children, timeout=15)
        (driver,) = program.children()
        program.signal(number)
        assert await program.wait() == status
        assert gone(driver)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=lambda x: str(int(x)))
@asynchronous
async def test_one_signal_ends_the_check_of_a_driver_that_swallows_its_cancellation(number, status, tmp_path):
    with started(*COMMAND, stubborn_driver(tmp_path), cwd=ROOT) as program:
        await eventually((tmp_path / "runs").exists, timeout=30)
        program.signal(number)
        assert await program.wait() == status


def deaf_program(tmp_path):
    """One that does not mind the end of its input, behind a script."""
    path = tmp_path / "deaf"
    path.write_text(
        f"#!/bin/sh\necho $$ > {tmp_path}/script\n(echo $(exec sh -c 'echo $PPID') > {tmp_path}/pid; exec sleep 60)\ntrue\n"
    )
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere no kernel ends a program with its parent")
@asynchronous
async def test_a_driver_does_not_survive_a_check_that_is_killed(tmp_path):
    pid = tmp_path / "pid"
    with started(*COMMAND, deaf_program(tmp_path), cwd=ROOT) as program:
        await eventually(lambda: pid.exists() and pid.read_text().strip(), timeout=15)
        driver, script = int(pid.read_text()), int((tmp_path / "script").read_text())
        assert not gone(driver)
        program.signal(signal.SIGKILL)
        await program.wait()
        await eventually(lambda: gone(driver) and gone(script))
