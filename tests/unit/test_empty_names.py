"""A device or name that is empty, or white space alone, is none."""

import pytest

from indipydriver.errors import LocalProtocolError
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import address
from indipydriver.protocol.messages import DelProperty, EnableBlob, GetProperties, Message, OneMember, SetVector
from indipydriver.protocol.tags import VectorKind
from tests.support.cutting import TAIL, alike

EMPTY = ["", " ", "\t \n", "&#32;", "\u00a0"]


def addresses(text: str) -> list[object]:
    return [frame.address for frame in alike(text.encode() + TAIL).frames][:-1]


@pytest.mark.parametrize("empty", EMPTY)
def test_it_is_absent_where_it_may_be(empty):
    assert addresses(f"<getProperties version='1.7' device='{empty}'/>") == [address("getProperties")]
    assert addresses(f"<getProperties version='1.7' device='{empty}' name='X'/>") == [address("getProperties")]
    assert addresses(f"<getProperties device='D' name='{empty}'/>") == [address("getProperties", "D")]
    assert addresses(f"<enableBLOB device='{empty}' name='{empty}'>Also</enableBLOB>") == [address("enableBLOB")]
    assert addresses(f"<enableBLOB device='D' name='{empty}'>Also</enableBLOB>") == [address("enableBLOB", "D")]
    assert addresses(f"<message device='{empty}' message='m'/>") == [address("message")]
    assert addresses(f"<delProperty device='{empty}'/>") == [address("delProperty")]


@pytest.mark.parametrize("empty", EMPTY)
def test_a_deletion_of_an_empty_name_is_not_that_of_the_device(empty):
    assert addresses(f"<delProperty device='D' name='{empty}'/>") == [address("delProperty", "D", "")]


@pytest.mark.parametrize("element", ["<delProperty {}name='P'/>", "<enableBLOB {}name='P'>Never</enableBLOB>"])
@pytest.mark.parametrize("device", ["", *[f"device='{empty}' " for empty in EMPTY]])
def test_a_property_of_no_device_does_not_become_all_devices(element, device):
    assert alike(element.format(device).encode() + TAIL).reasons == ["a name without a device"]


@pytest.mark.parametrize("empty", EMPTY)
@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize("tag", ["setTextVector", "newTextVector", "defTextVector"])
def test_a_vector_without_a_name_belongs_to_nobody(empty, quote, tag):
    for device, name in ((empty, "P"), ("D", empty), (empty, empty)):
        found = addresses(f"<{tag} device={quote}{device}{quote} name={quote}{name}{quote}></{tag}>")
        assert found == [
            address(tag, device.strip() and "" if device == empty else device, "" if name == empty else name)
        ]


@pytest.mark.parametrize(
    "message",
    [
        SetVector(VectorKind.TEXT, " ", "P", (OneMember("t", "x"),)),
        SetVector(VectorKind.TEXT, "D", "\u00a0", (OneMember("t", "x"),)),
        GetProperties(" "),
        GetProperties("D", " "),
        EnableBlob("D", "  "),
        DelProperty("D", " "),
        Message(" ", "m"),
    ],
)
def test_it_is_not_sent(message):
    with pytest.raises(LocalProtocolError):
        encode(message)
