"""What the checker demands of a device that says what it is."""

import pytest

from indipydriver.protocol.tags import VectorKind
from indipydriver.standard import EVERY_DEVICE, INTERFACES, Interface
from indipyserver.check.interfaces import judge_interfaces
from indipyserver.check.model import Member, PropertySeen


def defined(standards):
    """A device as the table has it, with real values."""
    found = {}
    for standard in standards:
        members = {}
        for member in standard.members:
            high = 8 if standard.name == "FILTER_SLOT" else max(member.max, 1)
            members[member.name] = Member(
                member.name, member.value if member.value not in ("", "0") else "1", 0, high, 0
            )
        found["D", standard.name] = PropertySeen(
            standard.kind, "D", standard.name, "Ok", standard.label, standard.perm, standard.rule, members
        )
    return found


def judged(interface, change=lambda found: None):
    found = defined((*EVERY_DEVICE, *INTERFACES[interface]))
    change(found)
    return [(code, name, seen) for code, seen, name in judge_interfaces("D", int(interface), found)]


@pytest.mark.parametrize("interface", list(INTERFACES), ids=lambda interface: interface.name)
def test_what_is_as_the_table_has_it_is_right(interface):
    assert judged(interface) == []


@pytest.mark.parametrize(
    ("interface", "name", "clients"),
    [
        (interface, standard.name, standard.needed_by)
        for interface, table in INTERFACES.items()
        for standard in table
        if standard.needed_by
    ],
)
def test_what_a_client_needs_is_missed(interface, name, clients):
    ((code, where, seen),) = judged(interface, lambda found: found.pop(("D", name)))
    assert (code, where) == ("interface-missing", name)
    assert ("KStars" in seen) == ("K" in clients)
    assert ("CCDciel" in seen) == ("C" in clients)


def rename(name, **changes):
    def change(found):
        for attribute, value in changes.items():
            setattr(found["D", name], attribute, value)

    return change


def reverse(name):
    def change(found):
        members = found["D", name].members
        found["D", name].members = dict(reversed(members.items()))

    return change


def drop(*names):
    def change(found):
        for name in names:
            del found["D", name]

    return change


def without(name, member):
    def change(found):
        del found["D", name].members[member]

    return change


def value(name, member, value):
    def change(found):
        found["D", name].members[member].value = value

    return change


@pytest.mark.parametrize(
    ("interface", "change", "code", "name", "says"),
    [
        (
            Interface.CCD,
            rename("CCD_EXPOSURE", kind=VectorKind.TEXT),
            "interface-kind",
            "CCD_EXPOSURE",
            "defNumberVector",
        ),
        (Interface.FOCUSER, rename("FOCUS_MOTION", rule="AnyOfMany"), "interface-kind", "FOCUS_MOTION", "OneOfMany"),
        (Interface.CCD, rename("CCD_INFO", perm="rw"), "interface-kind", "CCD_INFO", "expect ro"),
        (Interface.TELESCOPE, reverse("EQUATORIAL_EOD_COORD"), "interface-members", "EQUATORIAL_EOD_COORD", "RA, DEC"),
        (Interface.TELESCOPE, without("ON_COORD_SET", "SYNC"), "interface-members", "ON_COORD_SET", "PHD2 crashes"),
        (Interface.CCD, without("CCD_INFO", "CCD_BITSPERPIXEL"), "interface-members", "CCD_INFO", "PHD2"),
        (Interface.CCD, value("CCD_INFO", "CCD_MAX_X", "0"), "interface-values", "CCD_INFO", "CCD_MAX_X"),
        (Interface.FILTER, without("FILTER_NAME", "FILTER_SLOT_NAME_8"), "interface-values", "FILTER_SLOT", "7 names"),
        (
            Interface.FOCUSER,
            drop("ABS_FOCUS_POSITION", "REL_FOCUS_POSITION", "FOCUS_TIMER"),
            "interface-missing",
            "ABS_FOCUS_POSITION",
            "none of",
        ),
        (Interface.FOCUSER, drop("CONFIG_PROCESS"), "interface-missing", "CONFIG_PROCESS", "CCDciel"),
    ],
)
def test_what_is_wrong_is_found(interface, change, code, name, says):
    found = [one for one in judged(interface, change) if one[:2] == (code, name)]
    assert len(found) == 1, judged(interface, change)
    assert says in found[0][2]


def test_a_mount_may_have_coordinates_of_the_year_2000():
    def change(found):
        found["D", "EQUATORIAL_COORD"] = found.pop(("D", "EQUATORIAL_EOD_COORD"))

    assert judged(Interface.TELESCOPE, change) == []


def test_other_devices_and_interfaces_that_nobody_knows_are_left_alone():
    assert list(judge_interfaces("Other", 32768, defined(EVERY_DEVICE))) == []
    assert list(judge_interfaces("D", 0, {})) == []
