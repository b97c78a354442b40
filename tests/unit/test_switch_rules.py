"""The library keeps the rules of switches in what a driver sends."""

import pytest

import indipydriver as ipd
from indipydriver.errors import DefinitionError, LocalProtocolError
from indipydriver.testing import DriverHarness, driver_test


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
def test_a_definition_that_breaks_the_rule_is_refused(rule):
    switches = vector(rule)
    switches.data["B"].membervalue = "On"
    with pytest.raises(DefinitionError, match=r"A, B of 'S' are On, but its rule is .*choose"):
        ipd.Device("D", [switches])


@driver_test
async def test_the_obvious_line_answers_a_command_for_one_switch():
    driver = Updating(ipd.Device("D", [vector()]))
    async with DriverHarness(driver) as harness:
        await harness.set_switch("D", "S", B="On")
        await harness.wait_for("D", "S", state="Ok")
        harness.assert_values("D", "S", A="Off", B="On", C="Off")


@driver_test
async def test_a_send_that_breaks_the_rule_raises_and_changes_nothing():
    driver = Updating(ipd.Device("D", [vector()]))
    async with DriverHarness(driver) as harness:
        switches = driver["D"]["S"]
        switches.data["B"].membervalue = "On"
        with pytest.raises(LocalProtocolError, match="A, B of 'S' are On"):
            await switches.send_setVector(state="Busy")
        with pytest.raises(LocalProtocolError):
            await switches.send_setVectorMembers(members=["C"])
        assert switches.state == "Idle"
        assert switches.data["B"].changed
        switches.choose("C")
        await switches.send_setVectorMembers(members=["C"], state="Ok")
        await harness.wait_for("D", "S", state="Ok")
        harness.assert_values("D", "S", A="Off", B="Off", C="On")
