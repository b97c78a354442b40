"""The names that scripts import."""

import re
from pathlib import Path

import pytest

import indipydriver
import indipyserver
from indipydriver import device, events, ipydriver, propertymembers, propertyvectors, shapes

NAMES = """
    version IPyDriver Device getfloat SwitchVector LightVector TextVector BLOBVector NumberVector SwitchMember
    LightMember TextMember BLOBMember NumberMember getProperties newSwitchVector newTextVector newNumberVector
    newBLOBVector Message delProperty defSwitchVector defTextVector defNumberVector defLightVector defBLOBVector
    setSwitchVector setTextVector setNumberVector setLightVector setBLOBVector
""".split()


def test_the_package_offers_exactly_these():
    assert sorted(indipydriver.__all__) == sorted(NAMES)
    assert all(hasattr(indipydriver, name) for name in NAMES)
    assert indipydriver.version == "4.0.0"


def test_the_submodules_offer_theirs():
    assert ipydriver.Device is device.Device is indipydriver.Device
    assert propertymembers.getfloat is indipydriver.getfloat
    for module, names in {
        propertymembers: "PropertyMember SwitchMember BLOBMember getfloat",
        propertyvectors: "PropertyVector SwitchVector BLOBVector timestamp_string",
        events: "Event EventException SnoopEvent newVector defVector setVector getProperties Message",
    }.items():
        assert set(names.split()) <= set(module.__all__)


@pytest.mark.parametrize("module", [device, events, ipydriver, propertymembers, propertyvectors])
def test_all_that_is_announced_is_there(module):
    assert all(hasattr(module, name) for name in module.__all__)


def test_the_server_offers_what_its_reference_documents():
    assert all(hasattr(indipyserver, name) for name in indipyserver.__all__)
    reference = (Path(__file__).parents[2] / "docs" / "reference" / "server-api.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"auto(?:class|function|data):: indipyserver\.(\w+)", reference))
    assert documented == set(indipyserver.__all__) - {"version"}


def test_the_server_has_the_modules_of_the_package_on_pypi():
    from indipyserver import exdriver, ipyserver, remote

    assert ipyserver.IPyServer is indipyserver.IPyServer
    assert exdriver.ExDriver is indipyserver.ExDriver
    assert remote.RemoteConnection is indipyserver.RemoteConnection


def test_the_server_is_found_here_too():
    """Older scripts look for it here."""
    from indipydriver import IPyServer

    assert IPyServer is indipyserver.IPyServer


def test_other_names_are_missing_as_ever():
    with pytest.raises(AttributeError, match="nonsense"):
        indipydriver.nonsense  # noqa: B018


def test_events_are_classes_that_patterns_can_match():
    for name in NAMES:
        thing = getattr(indipydriver, name)
        if name not in ("version", "getfloat"):
            assert isinstance(thing, type), name
            assert not hasattr(thing, "__match_args__"), name


# What an author does not call: of the runtime, and of servers.
INTERNAL = {"expect_run", "expect_no_run", "serve", "join_driver", "set_stop_flag", "take_backgrounds"}


@pytest.mark.parametrize(
    ("made", "shape"),
    [
        (indipydriver.Device("D", []), shapes.DeviceLike),
        (indipydriver.IPyDriver(), shapes.DriverLike),
    ],
)
def test_a_vector_sees_all_of_its_device_and_of_its_driver(made, shape):
    """The shapes, in which a type checker knows them, lack nothing that an author may use."""
    own = {name for kind in type(made).__mro__ if kind.__module__.startswith("indipydriver") for name in vars(kind)}
    offered = {name for name in own | set(vars(made)) if not name.startswith("_")} - INTERNAL
    told = {name for kind in shape.__mro__ for name in (*vars(kind), *getattr(kind, "__annotations__", ()))}
    assert offered - told == {"clear"}  # which raises


PAGE = (Path(__file__).parents[2] / "docs" / "explanation" / "from-pypi.md").read_text(encoding="utf-8")
NOT_KEPT = PAGE.partition("\n## What is not kept\n")[2].partition("\n## ")[0]


def test_what_is_not_kept_of_the_packages_on_pypi_is_really_gone():
    members = indipydriver.SwitchMember("m"), indipydriver.NumberMember("m"), indipydriver.BLOBMember("m")
    vector = indipydriver.SwitchVector("v", "", "", "rw", "OneOfMany", "Ok", [members[0]])
    driver = indipydriver.IPyDriver(indipydriver.Device("D", [vector]))
    server = indipyserver.IPyServer(driver)
    lists = re.findall(r"^((?:Of|In) [^:]*: .*\n(?:.+\n)?): ", NOT_KEPT, re.M)
    names = {name for entry in lists for name in re.findall(r"`(\w+)`", entry)}
    assert len(lists) == 5
    assert {"_commsobj", "oneswitch", "ExVector", "_stop"} <= names
    holders = (
        driver,
        driver["D"],
        vector,
        *members,
        server,
        ipydriver,
        events,
        indipyserver.ipyserver,
        indipyserver.exdriver,
    )
    kept = {name for name in names for holder in holders if hasattr(holder, name)}
    assert kept == {"_stop"}, "it is kept in drivers and devices, not in servers"
    assert not hasattr(server, "_stop")
    assert {"_stop", "send", "indi_number_to_float"} <= set(dir(driver))
    assert {"connectionpool", "remotes", "stop", "stats"} <= set(dir(server))
