"""Whoever reads an element after this server must see the one that this server has seen."""

from __future__ import annotations

import pytest

from indipydriver.errors import MalformedFrame
from indipydriver.protocol.framer import Framer
from indipydriver.protocol.limits import Limits
from indipydriver.protocol.tags import TAGS
from indipydriver.protocol.wellformed import check
from tests.support.cutting import alike

TAIL = b"\n<message message='the end'/>"
VECTOR = b"<newTextVector device='A' name='b'>%s</newTextVector>"

# What mending takes out of a name, so that the name of an element of INDI is left.
IN_THE_MIDDLE = [b"\x01", b"\x00\x1f", b"\x7f", b"<!-- -->", b"<!---->\x02"]


@pytest.mark.parametrize("between", IN_THE_MIDDLE)
@pytest.mark.parametrize(
    "hidden",
    [
        b"<new%sSwitchVector device='Roof' name='OPEN'></new%sSwitchVector>",
        b"<new%sSwitchVector device='Roof' name='OPEN'/>",
        b"<del%sProperty device='Roof'/>",
        b"<mess%sage\nmessage='x'/>",
    ],
)
@pytest.mark.parametrize("outer", [VECTOR, b"<message device='A'>%s</message>", b"<message device='\xe9'>%s</message>"])
def test_mending_puts_no_element_of_indi_together_inside_another(outer: bytes, hidden: bytes, between: bytes) -> None:
    inner = hidden.replace(b"%s", between)
    outcome = alike(outer % inner + TAIL)
    assert outcome.raws == [TAIL.strip()]
    assert outcome.reasons[0].startswith("a <")


@pytest.mark.parametrize("name", TAGS)
def test_an_element_of_indi_is_never_a_member(name: str) -> None:
    inner = f"<{name} device='R' name='n'/>".encode()
    with pytest.raises(MalformedFrame, match="a <"):
        check(VECTOR % inner, Limits())


@pytest.mark.parametrize(
    "raw",
    [
        VECTOR % b"<oneText name='x'>a\x01b & c]]></oneText><x\x01y/>",
        b"<message device='\xe9' message='<new\x01TextVector device=&#34;Q'/>",
        b"<message message=\"<del\x7fProperty device='Q'/>\"/>",
        VECTOR % b"<oneText name='x'>&#60;message /><!-- <x> --></oneText>",
        b"<newBLOBVector device='\xe9' name='b'><one\x01BLOB name='x' size='3' format='.t'>QUJD</one\x01BLOB></newBLOBVector>",
    ],
)
def test_what_has_been_mended_is_the_same_to_the_next_reader(raw: bytes) -> None:
    (frame, _) = Framer().feed(raw + TAIL)
    (again, _) = Framer().feed(frame.raw + TAIL)
    assert (again.address, again.raw) == (frame.address, frame.raw)
