"""Focusers, as KStars and CCDciel expect them."""

import asyncio

import pytest

from indipydriver.instruments import Focuser
from indipydriver.instruments.simulators import Fault, FocuserSimulator
from indipydriver.protocol.messages import SetVector
from indipydriver.standard import INTERFACES, Interface
from indipydriver.testing import driver_test
from tests.instruments.sessions import GENERAL, Session

ABS, REL, ABORT = "ABS_FOCUS_POSITION", "REL_FOCUS_POSITION", "FOCUS_ABORT_MOTION"


class Minimal(Focuser):
    """All that a focuser needs."""

    async def move_to(self, position):
        while self.position != position:
            await asyncio.sleep(0.1)
            self.position += max(-500, min(500, position - self.position))


class ByTime(Focuser):
    async def move_for(self, seconds, outward):
        await asyncio.sleep(seconds)


class BySteps(Focuser):
    moved = 0

    async def move_by(self, steps):
        await asyncio.sleep(1)
        self.moved += steps


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (Minimal, {"FOCUS_MOTION", REL, ABS, "FOCUS_MAX"}),
        (ByTime, {"FOCUS_MOTION", "FOCUS_TIMER"}),
        (BySteps, {"FOCUS_MOTION", REL}),
        (
            FocuserSimulator,
            {standard.name for standard in INTERFACES[Interface.FOCUSER]} - {"FOCUS_SPEED", "FOCUS_TIMER"},
        ),
    ],
)
@driver_test
async def test_what_is_implemented_is_defined(kind, names):
    async with Session(kind()) as client:
        await client.connect()
        assert set(client.defined()) - {*GENERAL, "SIMULATED_FAULT"} == names
        table = [standard.name for standard in INTERFACES[Interface.FOCUSER]]
        seen = [name for name in client.defined() if name in names]
        assert seen == sorted(seen, key=table.index)
        assert client.values("DRIVER_INFO")["DRIVER_INTERFACE"] == "8"


@driver_test
async def test_an_absolute_move_is_busy_counts_and_is_ok_on_arrival():
    async with Session(FocuserSimulator()) as client:
        await client.connect()
        client.messages.clear()
        await client.number(ABS, FOCUS_ABSOLUTE_POSITION=52_000)
        await client.until(ABS, "Ok", 2)
        history = client.history(ABS)
        assert history[0] == ("Busy", "50000")
        assert [state for state, _ in history] == ["Busy"] * (len(history) - 1) + ["Ok"]
        steps = [int(value) for _, value in history]
        assert steps == sorted(steps)
        assert len(set(steps)) >= 4
        assert steps[-1] == client.device.position == 52_000
        assert client.state(REL) == "Ok"
        await client.number(ABS, FOCUS_ABSOLUTE_POSITION=52_000)
        client.assert_state("Focuser Simulator", ABS, "Ok")


@driver_test
async def test_a_position_out_of_bounds_is_refused_by_the_limits():
    async with Session(FocuserSimulator()) as client:
        await client.connect()
        await client.number(ABS, FOCUS_ABSOLUTE_POSITION=100_001)
        assert client.state(ABS) == "Alert"
        assert client.value(ABS) == 50_000
        await client.press("FOCUS_MOTION", "FOCUS_INWARD")
        await client.number("FOCUS_SYNC", FOCUS_SYNC_VALUE=100)
        await client.number(REL, FOCUS_RELATIVE_POSITION=200)
        assert client.state(REL) == "Alert"
        assert client.texts[-1] == "[ERROR] Requested position out of bound. Focus maximum position is 100000"
        await client.number(REL, FOCUS_RELATIVE_POSITION=0)
        assert client.state(REL) == "Ok", "whoever sends all values back moves nothing"


@driver_test
async def test_a_relative_move_takes_the_direction_that_came_just_before():
    async with Session(FocuserSimulator()) as client:
        await client.connect()
        await client.press("FOCUS_MOTION", "FOCUS_OUTWARD")
        assert client.state("FOCUS_MOTION") == "Ok"
        await client.number(REL, FOCUS_RELATIVE_POSITION=1000)
        await client.advance(0.1)
        assert (client.state(ABS), client.state(REL)) == ("Busy", "Busy")
        await client.until(REL, "Ok")
        await client.until(ABS, "Ok", FOCUS_ABSOLUTE_POSITION="51000")
        await client.press("FOCUS_MOTION", "FOCUS_INWARD")
        await client.number(REL, FOCUS_RELATIVE_POSITION=3000)
        await client.until(ABS, "Ok", 2, FOCUS_ABSOLUTE_POSITION="48000")


@driver_test
async def test_abort_leaves_the_place_that_was_reached():
    async with Session(FocuserSimulator()) as client:
        await client.connect()
        await client.number(ABS, FOCUS_ABSOLUTE_POSITION=90_000)
        await client.advance(1.05)
        await client.press(ABORT, "ABORT")
        assert client.state(ABORT) == "Ok"
        assert client.on(ABORT) == []
        assert (client.state(ABS), client.state(REL)) == ("Idle", "Idle")
        await client.advance(5)
        assert 54_000 <= client.value(ABS) == client.device.position <= 56_000
        await client.press(ABORT, "ABORT")
        assert client.state(ABORT) == "Ok"


@driver_test
async def test_a_new_target_replaces_the_old():
    async with Session(FocuserSimulator()) as client:
        await client.connect()
        await client.number(ABS, FOCUS_ABSOLUTE_POSITION=90_000)
        await client.advance(1)
        client.messages.clear()
        await client.number(ABS, FOCUS_ABSOLUTE_POSITION=50_000)
        await client.until(ABS, "Ok", 3, FOCUS_ABSOLUTE_POSITION="50000")
        assert "Idle" not in [state for state, _ in client.history(ABS)]


@driver_test
async def test_the_maximum_changes_the_limits_of_the_others():
    async with Session(FocuserSimulator()) as client:
        await client.connect()
        client.messages.clear()
        await client.number("FOCUS_MAX", FOCUS_MAX_VALUE=60_000)
        assert client.state("FOCUS_MAX") == "Ok"
        sent = {m.name: m.members[0] for m in client.messages if isinstance(m, SetVector)}
        assert (sent[ABS].max, sent[ABS].step) == ("60000", "1200")
        assert (sent[REL].max, sent[REL].step) == ("30000", "600")
        assert sent["FOCUS_SYNC"].max == "60000"
        await client.number(ABS, FOCUS_ABSOLUTE_POSITION=70_000)
        assert client.state(ABS) == "Alert"
        await client.number("FOCUS_MAX", FOCUS_MAX_VALUE=40_000)
        assert client.state("FOCUS_MAX") == "Alert"
        assert client.value("FOCUS_MAX") == 60_000


@driver_test
async def test_sync_reverse_and_backlash():
    async with Session(FocuserSimulator()) as client:
        device = await client.connect()
        await client.number("FOCUS_SYNC", FOCUS_SYNC_VALUE=20_000)
        assert client.state("FOCUS_SYNC") == "Ok"
        await client.until(ABS, FOCUS_ABSOLUTE_POSITION="20000")
        await client.press("FOCUS_REVERSE_MOTION", "INDI_ENABLED")
        assert device.reversed
        await client.number("FOCUS_BACKLASH_STEPS", FOCUS_BACKLASH_VALUE=100)
        assert client.state("FOCUS_BACKLASH_STEPS") == "Idle"
        await client.press("FOCUS_BACKLASH_TOGGLE", "INDI_ENABLED")
        await client.number("FOCUS_BACKLASH_STEPS", FOCUS_BACKLASH_VALUE=100)
        assert (client.state("FOCUS_BACKLASH_STEPS"), device.backlash) == ("Ok", 100)
        await client.number(ABS, FOCUS_ABSOLUTE_POSITION=21_000)
        await client.until(ABS, "Ok", FOCUS_ABSOLUTE_POSITION="21000")


@driver_test
async def test_focusers_that_know_no_position():
    async with Session(ByTime()) as client:
        await client.connect()
        await client.number("FOCUS_TIMER", FOCUS_TIMER_VALUE=2000)
        assert (client.state("FOCUS_TIMER"), client.value("FOCUS_TIMER")) == ("Busy", 2000)
        await client.advance(1.1)
        assert client.state("FOCUS_TIMER") == "Busy"
        assert 0 < client.value("FOCUS_TIMER") <= 1000
        await client.until("FOCUS_TIMER", "Ok", 2)
        assert client.value("FOCUS_TIMER") == 0
    async with Session(BySteps()) as client:
        device = await client.connect()
        await client.press("FOCUS_MOTION", "FOCUS_OUTWARD")
        await client.number(REL, FOCUS_RELATIVE_POSITION=30)
        await client.until(REL, "Ok", 2)
        assert device.moved == 30


@pytest.mark.parametrize("fault", [Fault.HANGS, Fault.FAILS, Fault.REFUSES, Fault.LOST])
@driver_test
async def test_a_fault_ends_a_move(fault):
    async with Session(FocuserSimulator()) as client:
        device = await client.connect()
        await client.number(ABS, FOCUS_ABSOLUTE_POSITION=90_000)
        await client.advance(1)
        await client.press("SIMULATED_FAULT", fault.name)
        if fault is Fault.LOST:
            await client.wait_for(client.name, "CONNECTION", state="Alert", timeout=2)
            client.assert_deleted(client.name, ABS)
        else:
            await client.until(ABS, "Alert", 100)
            assert 50_000 < client.value(ABS) == device.position < 90_000
            await client.press("SIMULATED_FAULT", "NONE")
            await client.number(ABS, FOCUS_ABSOLUTE_POSITION=50_000)
            await client.until(ABS, "Ok", 10)


@driver_test
async def test_the_temperature_is_read():
    async with Session(FocuserSimulator()) as client:
        await client.connect()
        await client.until("FOCUS_TEMPERATURE", "Ok", TEMPERATURE="10.5")


@driver_test
async def test_nothing_moves_when_settings_are_loaded(home):
    async with Session(FocuserSimulator()) as client:
        await client.connect()
        await client.press("CONFIG_PROCESS", "CONFIG_SAVE")
        await client.until("CONFIG_PROCESS", "Ok")
        client.messages.clear()
        await client.press("CONFIG_PROCESS", "CONFIG_LOAD")
        await client.until("CONFIG_PROCESS", "Ok")
        await client.advance(2)
        assert [state for state, *_ in client.history(ABS)].count("Busy") == 0
    text = (home / ".indi" / "Focuser Simulator_config.xml").read_text()
    assert "FOCUS_MAX" in text
    assert ABS not in text


class Geared(Focuser):
    def __init__(self):
        self.log = []
        super().__init__()

    async def move_to(self, position):
        pass

    async def set_backlash(self, steps):
        await asyncio.sleep(1)
        self.log.append(steps)


@driver_test
async def test_steps_of_backlash_that_are_set_at_the_same_time_as_it_is_enabled_are_set():
    toggle, steps = "FOCUS_BACKLASH_TOGGLE", "FOCUS_BACKLASH_STEPS"
    async with Session(Geared()) as client:
        device = await client.connect()
        await client.press(toggle, "INDI_ENABLED")
        await client.number(steps, FOCUS_BACKLASH_VALUE=50)
        await client.advance(5)
        assert (device.log, device.backlash, client.state(steps)) == ([0, 50], 50, "Ok")
        await client.number(steps, FOCUS_BACKLASH_VALUE=60)
        await client.press(toggle, "INDI_DISABLED")
        await client.advance(5)
        assert (device.log, device.backlash) == ([0, 50, 60, 0], 0)
        await client.press(toggle, "INDI_ENABLED")
        await client.advance(5)
        assert (device.log[-1], device.backlash) == (60, 60)
