"""The table of standard properties, held against what libindi's simulators define."""

import importlib.util

import pytest

from indipydriver.protocol.decode import decode
from indipydriver.protocol.framer import Framer
from indipydriver.protocol.messages import DefVector
from indipydriver.protocol.tags import SwitchRule, VectorKind
from indipydriver.protocol.values import format_number, getfloat
from indipydriver.standard import CLIENTS, CONNECTING, DEBUGGING, GENERAL, INTERFACES, Interface, find, interfaces_in
from tests.support import ROOT

CAPTURES = ROOT / "tests" / "fixtures" / "captures"
EVERYWHERE = (*GENERAL, *CONNECTING, *DEBUGGING)
TABLE = [*EVERYWHERE, *(found for table in INTERFACES.values() for found in table)]

# What libindi 1.9.9 defines in another way than libindi 2.2, or one driver in its own way.
DIFFERENT = {
    "CCD_COOLER": "write-only",
    "CCD_FRAME_RESET": "the rule, which says that one is always On",
    "CCD_FRAME": "a blank in a label",
    "GUIDER_FRAME": "a blank in a label",
    "GUIDER_INFO": "the formats, which are those of CCD_INFO here",
    "DRIVER_INFO": "the group, in drivers without a connection plug-in",
    "FILTER_SLOT": "the format",
    "FITS_HEADER": "other members",
    "FOCUS_TEMPERATURE": "the simulator's temperature can be set",
    "SCOPE_INFO": "format and limits",
    "TELESCOPE_TIMED_GUIDE_NS": "the group, in cameras",
    "TELESCOPE_TIMED_GUIDE_WE": "the group, in cameras",
}


def definitions(capture):
    found = {}
    for frame in Framer().feed((CAPTURES / f"{capture}.xml").read_bytes()):
        message = decode(frame)
        if isinstance(message, DefVector):
            found.setdefault(message.name, message)
    return found


@pytest.mark.parametrize(
    ("capture", "interfaces", "least"),
    [
        ("sim_telescope", Interface.TELESCOPE | Interface.GUIDER, 25),
        ("sim_ccd", Interface.CCD | Interface.FILTER | Interface.GUIDER, 25),
        ("sim_focus", Interface.FOCUSER, 10),
        ("sim_wheel", Interface.FILTER, 2),
        ("sim_dome", Interface.DOME, 10),
        ("sim_rotator", Interface.ROTATOR, 3),
        ("sim_weather", Interface.WEATHER, 5),
        ("sim_gps", Interface.GPS, 4),
        ("sim_lightpanel", Interface.LIGHT_BOX, 2),
        ("drv_snapcap_sim", Interface.DUST_CAP | Interface.LIGHT_BOX, 3),
    ],
)
def test_the_table_agrees_with_libindi(capture, interfaces, least):
    defined = definitions(capture)
    tables = [found for interface in interfaces_in(interfaces) for found in INTERFACES[interface]]
    common = [(standard, defined[standard.name]) for standard in (*tables, *EVERYWHERE) if standard.name in defined]
    assert len(common) >= least
    for standard, seen in common:
        if standard.name in DIFFERENT:
            continue
        ours = standard.kind, standard.label, standard.group, standard.perm, standard.rule
        assert ours == (seen.kind, seen.label, seen.group, seen.perm, seen.rule), standard.name
        if not standard.counted:
            names = [(member.name, member.label) for member in seen.members]
            assert [(member.name, member.label) for member in standard.members] == names, standard.name
            formats = [member.format for member in seen.members]
            assert [member.format or None for member in standard.members] == [form or None for form in formats]


def test_the_interfaces_of_a_simulator_are_those_of_its_bits():
    bits = int(next(m.value for m in definitions("sim_ccd")["DRIVER_INFO"].members if m.name == "DRIVER_INTERFACE"))
    assert list(interfaces_in(bits)) == [Interface.CCD, Interface.GUIDER, Interface.FILTER]


@pytest.mark.parametrize("standard", TABLE, ids=lambda standard: standard.name)
def test_an_entry_can_be_defined(standard):
    assert set(standard.users) <= set(CLIENTS)
    assert set(standard.needed_by) <= set(standard.users)
    names = [member.name for member in standard.members]
    assert len(set(names)) == len(names) > 0
    for text in (standard.name, standard.label, standard.group, *names):
        assert 0 < len(text.encode()) < 64
    if standard.kind is VectorKind.SWITCH:
        on = [member.value for member in standard.members].count("On")
        # Nothing is known at first of what is parked, and a button never stays On.
        unknown = {"TELESCOPE_PARK", "DOME_PARK", "CAP_PARK", "CCD_FRAME_RESET", "DEVICE_PORT_SCAN"}
        assert on == 1 or standard.rule is not SwitchRule.ONE_OF_MANY or standard.name in unknown
    if standard.kind is VectorKind.NUMBER:
        for member in standard.members:
            assert format_number(member.format, getfloat(member.value))
            assert member.min <= member.max


def test_an_unknown_name_is_a_key_error():
    with pytest.raises(KeyError):
        find("FOCUS_POSITION", Interface.FOCUSER)


def test_the_page_of_the_reference_is_current():
    path = ROOT / "docs" / "_ext" / "standardpage.py"
    spec = importlib.util.spec_from_file_location("standardpage", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = ROOT / "docs" / "reference" / "standard-properties.md"
    assert page.read_text(encoding="utf-8") == module.text(), f"write it anew with: python3 {path.relative_to(ROOT)}"
