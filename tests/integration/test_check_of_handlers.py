"""`--check` of drivers in Python sees what no client sees: handlers that raise, and what blocks the event loop."""

import re
import sys
import textwrap

import pytest

from indipyserver.check import CannotRun, Severity, check
from indipyserver.cli.main import main
from tests.support import asynchronous

DRIVER = """
import time
import indipydriver as ipd

class Instrument(ipd.IPyDriver):
{body}

def make_driver():
    number = ipd.NumberVector("N", "N", "Main", "rw", "Ok", [ipd.NumberMember("X", "X", "%.1f", 0, 10, 1, 5)])
    return Instrument(ipd.Device("D", [number]))
"""


async def findings(tmp_path, name, body):
    path = tmp_path / f"{name}.py"
    path.write_text(DRIVER.format(body=textwrap.indent(textwrap.dedent(body).strip("\n"), "    ")), encoding="utf-8")
    report = await check(f"{path}:make_driver")
    return {finding.code: finding for finding in report.findings}


@asynchronous
async def test_a_handler_that_raises_is_an_error_with_its_line(tmp_path):
    found = await findings(
        tmp_path,
        "raising_driver",
        """
        async def rxevent(self, event):
            raise OSError("the port is gone")
        """,
    )
    assert found["handler-failed"].severity is Severity.ERROR
    assert re.search(
        r"OSError: the port is gone \(raising_driver\.py:7 in rxevent: raise", found["handler-failed"].seen
    )
    assert "the driver failed: OSError: the port is gone" in found["same-value-refused"].seen


@asynchronous
async def test_a_loop_that_raises_is_an_error_with_its_line(tmp_path):
    found = await findings(
        tmp_path,
        "loop_driver",
        """
        async def hardware(self):
            raise OSError("the port is gone")
        """,
    )
    assert "OSError: the port is gone (loop_driver.py:7 in hardware: raise" in found["ended-early"].seen


@asynchronous
async def test_two_drivers_with_one_name_cannot_be_checked_as_they_cannot_be_served(tmp_path):
    path = tmp_path / "twin_drivers.py"
    path.write_text(
        "import indipydriver as ipd\n\n"
        "def make_drivers():\n    return [ipd.IPyDriver(ipd.Device('D', [])) for _ in range(2)]\n",
        encoding="utf-8",
    )
    with pytest.raises(CannotRun, match="returned two drivers that have a device named 'D'"):
        await check(f"{path}:make_drivers")


@asynchronous
async def test_slips_in_a_class_are_warnings(tmp_path):
    found = await findings(
        tmp_path,
        "slipping_driver",
        """
        async def rxEvent(self, event):
            pass

        def expect_run(self):
            pass
        """,
    )
    assert found["slip"].severity is Severity.WARNING
    assert "the name of the handler is rxevent" in found["slip"].seen
    assert "expect_run replaces" in found["slip"].seen


def test_slips_are_told_without_v(tmp_path, capfd):
    path = tmp_path / "silent_driver.py"
    path.write_text(DRIVER.format(body="    async def rxEvent(self, event):\n        pass"), encoding="utf-8")
    assert main(["--check", f"{path}:make_driver", "--timeout", "1"]) == 1
    out, err = capfd.readouterr()
    assert "rxEvent" in out
    assert err == ""


@pytest.mark.filterwarnings("default:.*was never awaited:RuntimeWarning")
@asynchronous
async def test_a_forgotten_await_is_an_error_with_its_line(tmp_path):
    """Clients see nothing of it: the driver answers them, and only this value is never sent."""
    with pytest.warns(RuntimeWarning, match="never awaited"):
        found = await findings(
            tmp_path,
            "forgetful_driver",
            """
            async def rxevent(self, event):
                event.vector.update(event)
                await event.vector.send_setVector(state="Ok")

            async def hardware(self):
                self["D"]["N"].send_setVector()
            """,
        )
    assert found["not-awaited"].severity is Severity.ERROR
    assert re.search(r"send_setVector' was never awaited \(forgetful_driver\.py:11\)", found["not-awaited"].seen)


@asynchronous
async def test_a_blocked_event_loop_is_an_error_with_its_line(tmp_path):
    found = await findings(
        tmp_path,
        "blocking_driver",
        """
        async def hardware(self):
            time.sleep(1.5)
            await self["D"]["N"].send_setVector()

        async def rxevent(self, event):
            event.vector.update(event)
            await event.vector.send_setVector(state="Ok")
        """,
    )
    assert re.search(r"^1\.\d s in blocking_driver\.py:7 in hardware: time\.sleep\(1\.5\)", found["blocks-loop"].seen)
    assert "update-undefined" not in found
    assert "slow-answer" not in found


@asynchronous
async def test_an_alert_in_answer_to_the_present_value_is_a_warning_with_its_message(tmp_path):
    found = await findings(
        tmp_path,
        "refusing_driver",
        """
        async def rxevent(self, event):
            await event.vector.send_setVector(state="Alert", message="The door is open")
        """,
    )
    assert found["same-value-refused"].severity is Severity.WARNING
    assert found["same-value-refused"].seen == "state Alert, The door is open"
    assert "handler-failed" not in found


UNANSWERED = """
import indipydriver as ipd

class Lamps(ipd.IPyDriver):
{body}

def make_driver():
    lamps = ipd.SwitchVector("LAMPS", "Lamps", "Main", "rw", "{rule}", "Ok", [ipd.SwitchMember("A")])
    return Lamps(ipd.Device("D", [lamps]))
"""


@pytest.mark.parametrize("body", ["pass", "async def rxEvent(self, event): ...", "async def rxevent(self, event): ..."])
@asynchronous
async def test_check_boxes_of_which_none_is_on_are_to_be_answered(tmp_path, body):
    path = tmp_path / "deaf_driver.py"
    path.write_text(UNANSWERED.format(body=f"    {body}", rule="AnyOfMany"), encoding="utf-8")
    report = await check(f"{path}:make_driver", timeout=0.5)
    assert [(finding.code, finding.where) for finding in report.of(Severity.ERROR)] == [("unanswered", "D.LAMPS")]


@asynchronous
async def test_buttons_of_which_none_is_pressed_need_no_answer(tmp_path):
    path = tmp_path / "deaf_buttons.py"
    path.write_text(UNANSWERED.format(body="    pass", rule="AtMostOne"), encoding="utf-8")
    report = await check(f"{path}:make_driver", timeout=0.5, act=True)
    assert report.of(Severity.ERROR) == []


INSTRUMENT = """
from indipydriver.instruments import Focuser, InstrumentDriver

class Mine(Focuser):
    async def move_to(self, position):
        self.position = position
{body}

def make_driver():
    return InstrumentDriver(Mine("D"))
"""


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        ("def poll(self): ...", r"^Mine\.poll of D failed: TypeError: Mine\.poll: a coroutine is needed, not NoneType"),
        ("async def poll(self): self.position = int('')", r"ValueError: .* \(faulty_focuser\.py:7 in poll: async def"),
        (
            "async def read_temperature(self): ...",
            r"reading the hardware, of D failed: TypeError: read_temperature\(\) returned None",
        ),
        ("async def connect(self): raise OSError('no port')", None),
        ("async def poll(self): raise TimeoutError('no answer')", None),
        ("async def poll(self): import json; json.loads('no answer')", None),
    ],
)
@asynchronous
async def test_a_mistake_in_an_instrument_is_an_error_and_silent_hardware_is_none(tmp_path, body, seen):
    path = tmp_path / "faulty_focuser.py"
    path.write_text(INSTRUMENT.format(body=f"    {body}"), encoding="utf-8")
    report = await check(f"{path}:make_driver")
    found = {finding.code: finding for finding in report.of(Severity.ERROR)}
    assert list(found) == (["handler-failed"] if seen else [])
    assert seen is None or re.search(seen, found["handler-failed"].seen)


BOTH_ON = """
import sys
SWITCHES = '<{0} device="D" name="S" state="Ok" {2}><{1} name="A">{3}</{1}><{1} name="B">{4}</{1}></{0}>'
on = {"A": "On", "B": "Off"}
for line in sys.stdin:
    if "getProperties" in line:
        text = SWITCHES.format("defSwitchVector", "defSwitch", 'perm="rw" rule="OneOfMany"', on["A"], on["B"])
        print(text, flush=True)
    elif "newSwitchVector" in line:
        for name in on:
            if f'name="{name}"' in line and "NO_SUCH" not in line:
                on[name] = "On"  # and the other stays as it is
        print(SWITCHES.format("setSwitchVector", "oneSwitch", "", on["A"], on["B"]), flush=True)
"""


@asynchronous
async def test_with_act_another_switch_of_a_choice_is_pressed(tmp_path):
    program = tmp_path / "both_on"
    program.write_text(f"#!{sys.executable}\n{BOTH_ON}", encoding="utf-8")
    program.chmod(0o755)
    quiet, acting = [await check(str(program), act=act) for act in (False, True)]
    assert "rule-broken" not in [finding.code for finding in quiet.findings]
    assert "rule-broken" in [finding.code for finding in acting.findings]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--check"], "--check needs a DRIVER"),
        (["--check", "--json"], "--check needs a DRIVER"),
        (["--check", "--json", "one", "two"], "--check takes one DRIVER"),
        (["--check", "one", "--demo"], "--check takes one DRIVER"),
        (["--timeout", "3", "one"], "--json, --act and --timeout are for --check"),
    ],
)
def test_its_arguments(argv, says, capsys):
    assert main(argv) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--check", "--json", "none-such"], ["none-such", "--check"]])
def test_the_driver_may_stand_anywhere(argv, capfd):
    assert main(argv) == 2
    assert "there is no program 'none-such' on PATH" in capfd.readouterr().err
