"""The library keeps the rules of switches in what a driver sends."""

import copy
import itertools
import pickle
import random
import sys
import threading
from xml.etree import ElementTree as ET

import pytest

import indipydriver as ipd
from indipydriver.errors import LocalProtocolError
from indipydriver.testing import DriverHarness, driver_test
from tests.support.together import in_a_thread_unless_locked


def vector(rule="OneOfMany", on="A", perm="rw"):
    members = [ipd.SwitchMember(name, membervalue="On" if name == on else "Off") for name in "ABC"]
    return ipd.SwitchVector("S", "S", "Main", perm, rule, "Idle", members)


class Updating(ipd.IPyDriver):
    async def rxevent(self, event):
        event.vector.update(event)
        await event.vector.send_setVector(state="Ok")


@pytest.mark.parametrize("rule", ["OneOfMany", "AtMostOne"])
def test_assigning_on_turns_the_others_off(rule):
    switches = vector(rule)
    switches["B"] = "On"
    assert dict(switches) == {"A": "Off", "B": "On", "C": "Off"}
    switches.update({"C": "On"})
    assert switches.chosen == "C"


def test_any_of_many_leaves_the_others():
    switches = vector("AnyOfMany")
    switches["B"] = "On"
    assert dict(switches) == {"A": "On", "B": "On", "C": "Off"}
    switches.choose("C")
    assert dict(switches) == {"A": "Off", "B": "Off", "C": "On"}


def test_choosing():
    switches = vector("AtMostOne")
    switches.choose("B")
    assert switches.chosen == "B"
    switches.choose(None)
    assert switches.chosen is None
    with pytest.raises(KeyError, match="has no member 'D'; it has A, B, C"):
        switches.choose("D")
    with pytest.raises(ValueError, match="one switch of 'S' must be On"):
        vector().choose(None)


@pytest.mark.parametrize("rule", ["OneOfMany", "AtMostOne"])
def test_assigning_to_a_member_turns_the_others_off(rule):
    """As drivers do that keep their members."""
    switches = vector(rule)
    switches.data["B"].membervalue = "On"
    assert dict(switches) == {"A": "Off", "B": "On", "C": "Off"}


def both_on(rule="OneOfMany"):
    members = [ipd.SwitchMember(name, membervalue="On") for name in "AB"]
    return ipd.SwitchVector("S", "S", "Main", "rw", rule, "Idle", members)


@driver_test
async def test_what_breaks_the_rule_from_the_beginning_is_defined_and_logged(caplog):
    """Drivers written for the packages on PyPI go on."""
    async with DriverHarness(ipd.IPyDriver(ipd.Device("D", [both_on()]))) as h:
        h.assert_values("D", "S", A="On", B="On")
    assert "A, B of D.S are On, but its rule is OneOfMany" in caplog.text


@pytest.mark.parametrize("fails", ["in rxevent", "by the rule"])
@driver_test
async def test_a_client_is_answered_though_the_rule_is_broken(fails, caplog):
    class Failing(ipd.IPyDriver):
        async def rxevent(self, event):
            if fails == "in rxevent":
                raise RuntimeError("no")
            await event.vector.send_setVector()

    async with DriverHarness(Failing(ipd.Device("D", [both_on()]))) as h:
        await h.set_switch("D", "S", A="On")
        await h.wait_for("D", "S", state="Alert")


@driver_test
async def test_the_obvious_line_answers_a_command_for_one_switch():
    driver = Updating(ipd.Device("D", [vector()]))
    async with DriverHarness(driver) as harness:
        await harness.set_switch("D", "S", B="On")
        await harness.wait_for("D", "S", state="Ok")
        harness.assert_values("D", "S", A="Off", B="On", C="Off")


@driver_test
async def test_a_send_that_breaks_the_rule_raises_and_changes_nothing():
    switches = both_on()
    async with DriverHarness(ipd.IPyDriver(ipd.Device("D", [switches]))) as harness:
        for send in (switches.send_setVector, switches.send_setVectorMembers, switches.send_defVector):
            with pytest.raises(LocalProtocolError, match="A, B of 'S' are On"):
                await send(state="Busy")
        assert switches.state == "Idle"
        assert switches.data["B"].changed
        switches.choose("B")
        await switches.send_setVectorMembers(members=["B"], state="Ok")
        await harness.wait_for("D", "S", state="Ok")
        harness.assert_values("D", "S", A="Off", B="On")


@driver_test
async def test_threads_that_choose_disturb_no_send():
    switches = vector()
    stop = threading.Event()

    def choose():
        for name in itertools.cycle("ABC"):
            switches[name] = "On"
            if stop.is_set():
                break

    async with DriverHarness(ipd.IPyDriver(ipd.Device("D", [switches]))):
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        thread = threading.Thread(target=choose)
        thread.start()
        try:
            for _ in range(300):
                await switches.send_setVector()
        finally:
            stop.set()
            thread.join()
            sys.setswitchinterval(interval)


@driver_test
async def test_whichever_switches_are_sent_one_is_on():
    switches = vector(on="A")
    async with DriverHarness(ipd.IPyDriver(ipd.Device("D", [switches]))) as harness:
        await switches.send_setVector()
        for member in "ABC":
            switches.choose("B" if switches.chosen == "A" else "A")
            await switches.send_setVectorMembers(members=[member])
            await harness.settle()
            values = list(harness.property("D", "S").values.values())
            assert values.count("On") == 1
        switches.choose("C")
        await switches.send_setVectorMembers(state="Busy")
        await harness.settle()
        assert harness.messages[-1].members == ()
        assert switches.data["C"].changed


class _Watched(ipd.SwitchMember):
    """A switch that lets a thread do something whenever it is read."""

    act = None

    @property
    def membervalue(self):
        if self.act is not None:
            self.act()
        return super().membervalue

    @membervalue.setter
    def membervalue(self, value):
        ipd.SwitchMember.membervalue.__set__(self, value)


@pytest.mark.parametrize("rule", ["OneOfMany", "AtMostOne"])
@driver_test
async def test_whatever_a_thread_chooses_during_a_send_one_is_on(rule):
    members = [_Watched(name, None, "On" if name == "A" else "Off") for name in "ABC"]
    switches = ipd.SwitchVector("S", "", "", "rw", rule, "Idle", members)
    draw = random.Random(1)
    shown = {}
    async with DriverHarness(ipd.IPyDriver(ipd.Device("D", [switches]))) as harness:
        harness.frames.clear()
        for member in members:
            member.act = in_a_thread_unless_locked(lambda: switches.choose(draw.choice("ABC")))
        for _ in range(6):
            await switches.send_setVector()
            await switches.send_setVector(allvalues=False)
            await switches.send_setVectorMembers(members=[switches.chosen])
            await switches.send_defVector()
        await harness.settle()
        for frame in harness.frames:
            for one in ET.fromstring(frame.raw):
                shown[one.get("name")] = one.text
            assert list(shown.values()).count("On") == 1, frame.raw


def test_a_thread_sees_all_that_an_update_assigns_or_nothing_of_it():
    class Switches(ipd.SwitchVector):
        def __setitem__(self, name, value):
            super().__setitem__(name, value)
            look()

    members = [ipd.SwitchMember(name, None, "On" if name == "A" else "Off") for name in "ABC"]
    switches = Switches("S", "", "", "rw", "OneOfMany", "Idle", members)
    seen = []
    look = in_a_thread_unless_locked(lambda: seen.append(switches.chosen))
    switches.update({"A": "Off", "B": "On"})
    switches |= {"B": "Off", "C": "On"}
    look()
    assert seen
    assert None not in seen
    assert switches.chosen == "C"


def test_values_that_an_update_has_to_wait_for_hold_up_no_thread():
    """As those that are read from pins, one by one."""
    switches = vector(on="A")
    seen = []
    look = in_a_thread_unless_locked(lambda: seen.append(switches.chosen))

    def pins():
        for name in "AB":
            look()
            yield name, "On" if name == "B" else "Off"

    switches.update(pins())
    assert seen == ["A", "A"]
    assert switches.chosen == "B"


def test_members_that_come_later_are_kept_to_the_rule():
    """As the filters that are found when a wheel is connected."""
    switches = vector(on="A")
    switches.data["D"] = ipd.SwitchMember("D")
    switches["D"] = "On"
    assert switches.chosen == "D"
    switches["B"] = "On"
    assert dict(switches) == {"A": "Off", "B": "On", "C": "Off", "D": "Off"}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda member: pickle.loads(pickle.dumps(member))])
def test_a_copy_of_a_member_is_in_no_vector(copied):
    switches = vector(on="A")
    copied(switches.data["B"]).membervalue = "On"
    assert switches.chosen == "A"


def test_a_copy_of_a_vector_keeps_its_own_rule():
    switches = vector(on="A")
    other = copy.deepcopy(switches)
    other.data["B"].membervalue = "On"
    assert (switches.chosen, other.chosen) == ("A", "B")


def test_two_threads_that_assign_leave_one_on():
    switches = vector(on="A")
    seen = set()

    def assign(names):
        for _ in range(2000):
            for name in names:
                switches[name] = "On"
                seen.add(switches.chosen)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=assign, args=(names,)) for names in ("AB", "BC")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert list(switches.values()).count("On") == 1
    assert seen <= set("ABC"), "one is always On"
