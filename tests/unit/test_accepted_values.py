"""What constructors and attributes accept: what could not be sent, or read by a client, raises where it is assigned."""

import math
import traceback
from array import array
from decimal import Decimal
from fractions import Fraction

import pytest

import indipydriver as ipd
from indipydriver.errors import DefinitionError, NameTypeError
from indipydriver.testing import DriverHarness, driver_test


def number(**arguments):
    return ipd.NumberMember("n", **arguments)


def all_vectors():
    return [
        ipd.SwitchVector("sw", "", "", "rw", "AnyOfMany", "Ok", [ipd.SwitchMember("m")]),
        ipd.LightVector("li", "", "", "Ok", [ipd.LightMember("m")]),
        ipd.TextVector("tx", "", "", "rw", "Ok", [ipd.TextMember("m")]),
        ipd.NumberVector("nu", "", "", "rw", "Ok", [ipd.NumberMember("m")]),
        ipd.BLOBVector("bl", "", "", "rw", "Ok", [ipd.BLOBMember("m")]),
    ]


# --- numbers ---------------------------------------------------------------------------

NO_NUMBERS = [None, math.nan, math.inf, -math.inf, "nan", "inf", "1e400", "text", "1,5", "1_000", [1], b"1", 10**400]


@pytest.mark.parametrize("attribute", ["membervalue", "min", "max", "step"])
@pytest.mark.parametrize("value", NO_NUMBERS)
def test_a_number_is_finite(attribute, value):
    with pytest.raises(ValueError, match=r"of 'n' must be a finite number"):
        number(**{attribute: value})
    member = number()
    before = getattr(member, attribute)
    member.changed = False
    with pytest.raises(ValueError, match=r"of 'n' must be a finite number"):
        setattr(member, attribute, value)
    assert getattr(member, attribute) == before
    assert not member.changed


@pytest.mark.parametrize("attribute", ["membervalue", "min", "max", "step"])
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5"),
        (-0.5, "-0.5"),
        (True, "1"),
        ("1:30:00", "1:30:00"),
        (" 1.5 ", " 1.5 "),
        ("", ""),
        (1e300, "1e+300"),
        (10**20, "100000000000000000000"),
        (Decimal("1.5"), "1.5"),
    ],
)
def test_what_can_be_read_as_a_number_is_kept_as_its_text(attribute, value, text):
    assert getattr(number(**{attribute: value}), attribute) == text
    member = number()
    setattr(member, attribute, value)
    assert getattr(member, attribute) == text


def test_a_number_whose_text_is_none_is_refused():
    with pytest.raises(ValueError, match="finite number"):
        number(membervalue=Fraction(1, 3))


@pytest.mark.parametrize("format", ["%s", "2 digits", "%d %d", "%", "%m", "%9m", "%q", "%(x)f", "%*f", 5])
def test_a_format_shows_a_number(format):
    with pytest.raises(ValueError, match="the format of 'n'"):
        number(format=format)
    member = number(format="%.2f")
    with pytest.raises(ValueError, match="the format of 'n'"):
        member.format = format
    assert member.format == "%.2f"


@pytest.mark.parametrize(
    "format", ["", None, "%g", "%5.2lf", "%g%%", "%f m/s", "%d", "%i", "%010.6m", "%-10.3m", "%+e"]
)
def test_usual_formats(format):
    member = number(format=format, membervalue=1.5)
    assert member.format == (format or "")
    assert member.getformattedvalue()


def test_a_value_that_the_format_cannot_show():
    member = number(format="%9.6m")
    with pytest.raises(ValueError, match="the format of 'n'"):
        member.membervalue = 1e308
    member.format = "%g"
    member.membervalue = 1e308
    with pytest.raises(ValueError, match="the format of 'n'"):
        member.format = "%9.6m"
    assert member.getformattedvalue() == "1e+308"
    with pytest.raises(ValueError, match="the format of 'n'"):
        number(format="%9.6m", membervalue="1e308")


def test_a_vector_passes_it_on():
    vector = ipd.NumberVector("v", "", "", "rw", "Ok", [number(membervalue=3)])
    for change in (
        lambda: vector.__setitem__("n", "text"),
        lambda: vector.update({"n": None}),
        lambda: vector.__ior__({"n": math.nan}),
    ):
        with pytest.raises(ValueError, match="finite number"):
            change()
    vector |= {"n": 5}
    assert vector["n"] == "5"
    assert vector.getfloatvalue("n") == 5.0
    with pytest.raises(KeyError):
        vector |= {"no": 5}


def test_texts_that_could_not_be_sent_together_are_refused():
    vector = ipd.TextVector("v", "", "", "rw", "Ok", [ipd.TextMember("a"), ipd.TextMember("b"), ipd.TextMember("c")])
    vector["a"] = "x" * (2 << 20)
    with pytest.raises(ValueError, match="cannot be defined"):
        ipd.Device("D", [vector])
    vector["a"] = ""
    ipd.Device("D", [vector])
    vector["a"] = "x" * 600_000
    for change in (
        lambda: vector.__setitem__("b", "x" * 500_000),
        lambda: vector.update({"c": "new", "b": "<" * 130_000}),
        lambda: vector.__ior__({"c": "new", "b": "é" * 250_000}),
    ):
        with pytest.raises(ValueError, match=r"the texts of 'v' may have 10\d{5} bytes together"):
            change()
        assert (vector["b"], vector["c"]) == ("", "")
    vector.update(b="x" * 600_000, a="x", c=5)
    assert [len(text) for text in vector.values()] == [1, 600_000, 1]
    vector.data["a"].membervalue = "x" * (2 << 20)
    vector["a"] = "x" * (1 << 20)  # which is no longer than before
    with pytest.raises(ValueError, match="bytes together"):
        vector["a"] = "<" * (1 << 20)
    with pytest.raises(KeyError):
        vector["d"] = "x" * 5000


def test_the_exception_shows_the_line_of_the_author():
    member = number()
    with pytest.raises(ValueError, match="text") as caught:
        member.membervalue = "text"
    lines = [frame.line for frame in traceback.extract_tb(caught.tb)]
    assert lines[0] == 'member.membervalue = "text"'
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


# --- timeouts --------------------------------------------------------------------------

NO_TIMEOUTS = [None, -1, -0.1, math.nan, math.inf, "nan", "soon", "", "1:00", "1_0", [1], "٣"]


@pytest.mark.parametrize("vector", all_vectors(), ids=lambda vector: vector.name)
@pytest.mark.parametrize("timeout", NO_TIMEOUTS)
def test_a_timeout_is_a_number_of_seconds(vector, timeout):
    with pytest.raises(ValueError, match="the timeout of"):
        vector.timeout = timeout
    assert vector.timeout == "0"


@pytest.mark.parametrize(
    ("timeout", "text"),
    [(0, "0"), (2.5, "2.5"), ("60", "60"), (" 5 ", "5"), (True, "1"), ("1e3", "1e3"), (Decimal(3), "3")],
)
def test_a_timeout_is_read_back_as_text(timeout, text):
    vector = all_vectors()[2]
    vector.timeout = timeout
    assert vector.timeout == text


@driver_test
async def test_a_send_with_a_timeout_that_is_none_changes_nothing():
    driver = ipd.IPyDriver(ipd.Device("D", all_vectors()))
    async with DriverHarness(driver) as h:
        h.frames.clear()
        for name, vector in driver["D"].items():
            if name == "li":
                continue
            sends = [vector.send_defVector, vector.send_setVectorMembers]
            sends += [vector.send_setVector] if name != "bl" else []
            for send in sends:
                for timeout in NO_TIMEOUTS[1:]:
                    with pytest.raises(ValueError, match="the timeout of"):
                        await send(timeout=timeout, state="Alert", message="not sent")
            assert (vector.state, vector.message, vector.timeout) == ("Ok", "", "0")
        await h.settle()
        assert h.frames == []
        await driver["D"]["li"].send_setVector(timeout="whatever")  # lights have none


# --- sizes, names, labels --------------------------------------------------------------


@pytest.mark.parametrize("size", [-1, "5", 1.5, None])
def test_a_blobsize_is_a_count(size):
    with pytest.raises(ValueError, match="blobsize of 'b'"):
        ipd.BLOBMember("b", blobsize=size)
    vector = ipd.BLOBVector("v", "", "", "rw", "Ok", [ipd.BLOBMember("b", blobsize=7)])
    with pytest.raises(ValueError, match="blobsize of 'b'"):
        vector.set_blobsize("b", size)
    with pytest.raises(ValueError, match="blobsize of 'b'"):
        vector.data["b"].blobsize = size
    assert vector.data["b"].blobsize == 7


@pytest.mark.parametrize("name", [5, None, b"name", ["name"]])
def test_a_name_is_a_str(name):
    for make in (
        ipd.TextMember,
        lambda name: ipd.TextVector(name, "", "", "rw", "Ok", []),
        lambda name: ipd.Device(name, []),
    ):
        with pytest.raises(NameTypeError) as caught:
            make(name)
        assert isinstance(caught.value, (DefinitionError, ValueError))
        assert isinstance(caught.value, AttributeError)


@driver_test
async def test_labels_and_groups_may_be_changed_to_anything():
    vector = all_vectors()[2]
    driver = ipd.IPyDriver(ipd.Device("D", [vector]))
    async with DriverHarness(driver) as h:
        vector.label = vector.group = vector.data["m"].label = None
        await vector.send_defVector()
        await h.settle()
        assert (h.messages[-1].label, h.messages[-1].group, h.messages[-1].members[0].label) == ("tx", "", "m")
        vector.label, vector.group, vector.data["m"].label = 1, 2, 3
        await vector.send_defVector()
        await h.settle()
        assert (h.messages[-1].label, h.messages[-1].group, h.messages[-1].members[0].label) == ("1", "2", "3")


# --- what is in a driver, and in a device ----------------------------------------------


def change_del(mapping, name):
    del mapping[name]


def change_or(mapping, name):
    mapping |= {name: mapping[name]}


CHANGES = {
    "=": lambda mapping, name: mapping.__setitem__(name, mapping[name]),
    "del": change_del,
    "|=": change_or,
    "|= another": lambda mapping, name: mapping.__ior__({"other": 5}),
    "pop": lambda mapping, name: mapping.pop(name),
    "pop with a default": lambda mapping, name: mapping.pop(name, None),
    "popitem": lambda mapping, name: mapping.popitem(),
    "clear": lambda mapping, name: mapping.clear(),
    "update": lambda mapping, name: mapping.update({name: mapping[name]}),
    "update by keyword": lambda mapping, name: mapping.update(other=5),
    "setdefault": lambda mapping, name: mapping.setdefault("other", 5),
}


@pytest.mark.parametrize("change", CHANGES)
def test_devices_and_vectors_are_settled(change):
    device = ipd.Device("D", all_vectors())
    driver = ipd.IPyDriver(device)
    for mapping, name, words in ((driver, "D", "devices of a driver"), (device, "tx", "vectors of 'D'")):
        before = dict(mapping)
        with pytest.raises(KeyError, match=words) as caught:
            CHANGES[change](mapping, name)
        assert dict(mapping) == before
        if change in ("del", "pop", "popitem", "clear"):
            assert "send_delProperty" in str(caught.value)


def test_reading_them_is_as_in_any_mapping():
    device = ipd.Device("D", all_vectors())
    driver = ipd.IPyDriver(device)
    assert driver.setdefault("D") is device
    assert driver.get("no") is None
    assert driver.pop("no", 5) == 5
    assert ("D" in driver, len(device), list(driver)) == (True, 5, ["D"])
    empty = ipd.IPyDriver()
    empty.clear()
    empty.update({})
    empty |= {}
    assert not empty
    del device["tx"]["m"]  # members may go
    assert list(device["tx"]) == []


class ArrayOfNumpy:
    """As far as it matters here."""

    def __bool__(self):
        raise ValueError("The truth value of an array with more than one element is ambiguous")


def test_an_array_is_no_blob():
    with pytest.raises(ValueError, match="'b' must be bytes, a path, a file or None"):
        ipd.BLOBMember("b").membervalue = ArrayOfNumpy()


def test_what_cannot_be_read_is_not_written_out():
    """With the pixels of a camera, each failure would fill megabytes of a log."""
    with pytest.raises(ValueError, match="the BLOB of type array cannot be read") as caught:
        ipd.BLOBMember.getbytes(array("H", range(1000)))
    assert len(str(caught.value)) < 200
