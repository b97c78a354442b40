"""Names and texts that nobody would take are refused where they are given, not when they are to be sent."""

import enum

import pytest

import indipydriver as ipd
from indipydriver.errors import DefinitionError
from indipydriver.protocol.messages import GetProperties
from indipydriver.testing import DriverHarness, driver_test


def text_vector(name="v", label="", group="", members=()):
    return ipd.TextVector(name, label, group, "rw", "Ok", members)


@pytest.mark.parametrize("name", ["", " ", "   ", "x" * 257])
def test_a_name_is_neither_blank_nor_too_long(name):
    for make in (lambda: ipd.Device(name, []), lambda: text_vector(name), lambda: ipd.TextMember(name)):
        with pytest.raises(DefinitionError):
            make()


@driver_test
async def test_the_longest_name_can_be_sent():
    name = "<" * 64
    driver = ipd.IPyDriver(ipd.Device(name, [text_vector(name, members=[ipd.TextMember(name)])]))
    async with DriverHarness(driver) as h:
        assert h.property(name, name).defined


@pytest.mark.parametrize(
    "vector",
    [
        text_vector(label="&" * 4000),
        text_vector(group="&" * 4000),
        text_vector(members=[ipd.TextMember("m", "&" * 4000)]),
        text_vector(members=[ipd.TextMember(f"m{n}") for n in range(1025)]),
        text_vector(members=[ipd.TextMember("m", membervalue="x" * (1 << 20))]),
    ],
    ids=["label", "group", "label of a member", "members", "value"],
)
def test_a_device_has_no_vector_that_cannot_be_defined(vector):
    with pytest.raises(DefinitionError, match="receivers would refuse it"):
        ipd.Device("D", [vector])


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("label", "x" * 5000),
        ("label", "\u20ac" * 1366),
        ("group", "x" * 5000),
        ("timeout", "0" * 5000 + "5"),
        ("member label", "x" * 5000),
        ("member format", "x" * 5000 + "%g"),
    ],
)
def test_what_is_too_long_for_an_attribute_is_refused_where_it_is_assigned(what, value):
    vector = ipd.NumberVector("v", "", "", "rw", "Ok", [ipd.NumberMember("m")])
    target = vector.data["m"] if what.startswith("member") else vector
    name = what.split()[-1]
    before = getattr(target, name)
    with pytest.raises(ValueError, match=f"the {name} of '[vm]' must have at most 4096 bytes"):
        setattr(target, name, value)
    assert getattr(target, name) == before
    ipd.Device("D", [vector])


def test_the_longest_label_can_be_assigned():
    vector = text_vector(label="x" * 4096, group="\u20ac" * 1365)
    vector.label = "x\ud800"  # what cannot be sent is left out
    ipd.Device("D", [vector])


def test_no_device_has_the_name_that_stands_for_all():
    with pytest.raises(DefinitionError, match="stands for all devices"):
        ipd.Device("*", [])
    text_vector("*", members=[ipd.TextMember("*")])


def test_a_device_is_in_one_driver():
    """The updates of one would go out through the other."""
    device = ipd.Device("D", [text_vector()])
    driver = ipd.IPyDriver(device)
    with pytest.raises(DefinitionError, match="already in a driver"):
        ipd.IPyDriver(ipd.Device("E", []), device)
    with pytest.raises(DefinitionError, match="already in a driver"):
        ipd.IPyDriver(ipd.Device("D", device.properties()))
    assert device.driver is driver


def test_a_vector_is_in_one_device():
    vector = text_vector()
    ipd.Device("A", [vector])
    ipd.Device("A", [vector])  # made again
    with pytest.raises(DefinitionError, match="is already in the device 'A'"):
        ipd.Device("B", [vector])
    assert vector.devicename == "A"


def test_a_device_that_is_refused_keeps_none_of_its_vectors():
    vectors = [text_vector("good"), text_vector("bad", members=[ipd.TextMember("m", membervalue="x" * (1 << 20))])]
    with pytest.raises(DefinitionError, match="'bad' cannot be defined"):
        ipd.Device("A", vectors)
    assert [vector.devicename for vector in vectors] == [None, None]
    assert ipd.Device("B", vectors[:1])["good"].devicename == "B"


class Word(str, enum.Enum):  # noqa: UP042 - as in scripts from before StrEnum
    UP = "On"
    FINE = "Ok"
    NAME = "a name"


@driver_test
async def test_the_words_of_an_enumeration_are_their_values():
    driver = ipd.IPyDriver(
        ipd.Device(
            Word.NAME,
            [
                ipd.SwitchVector("s", "", "", "rw", "AnyOfMany", Word.FINE, [ipd.SwitchMember("m", None, Word.UP)]),
                ipd.LightVector("l", "", "", Word.FINE, [ipd.LightMember("m", None, Word.FINE)]),
                text_vector("t", label=Word.UP, group=Word.UP, members=[ipd.TextMember(Word.NAME, Word.UP, Word.UP)]),
            ],
        )
    )
    async with DriverHarness(driver) as h:
        h.assert_values("a name", "s", m="On")
        h.assert_values("a name", "l", m="Ok")
        h.assert_values("a name", "t", {"a name": "On"})
        definition = h.property("a name", "t").definition
        assert (definition.label, definition.group, definition.members[0].label) == ("On", "On", "On")
        await driver["a name"]["t"].send_setVector(message=Word.UP)
        await h.settle()
        assert h.property("a name", "t").message == "On"


@driver_test
async def test_so_are_those_of_what_is_watched():
    driver = ipd.IPyDriver(ipd.Device("D", [text_vector()]))
    driver.snoop(Word.NAME, Word.FINE)
    async with DriverHarness(driver) as h:
        await driver.send_getProperties(Word.UP)
        await driver.send_getProperties(Word.UP, Word.FINE)
        await h.settle()
        asked = [(message.device, message.name) for message in h.messages if isinstance(message, GetProperties)]
        assert asked == [("a name", "Ok"), ("On", None), ("On", "Ok")]


@driver_test
async def test_so_is_that_of_the_format_of_a_blob():
    blob = ipd.BLOBMember("m", membervalue=b"data")
    driver = ipd.IPyDriver(ipd.Device("D", [ipd.BLOBVector("b", "", "", "ro", "Ok", [blob])]))
    async with DriverHarness(driver) as h:
        blob.blobformat = Word.UP
        await driver["D"]["b"].send_setVectorMembers(members=["m"])
        await h.settle()
        assert h.messages[-1].members[0].format == "On"


@pytest.mark.parametrize(
    "timeout",
    [10**9 + 1, 10**400, 1e300, float("inf"), float("nan"), 4.9, "x", None],
    ids=lambda value: f"{value!r:.20}",
)
def test_a_snoop_that_would_never_be_due_is_refused(timeout):
    driver = ipd.IPyDriver(ipd.Device("D", [text_vector()]))
    with pytest.raises(ValueError, match=r"timeout|int"):
        driver.snoop("Other", "v", timeout)
    assert driver.snoopvectors == {}
