"""Updates of the usual form are read as the decoder of the core reads them, and all others by that."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indipyclient.quick import read, read_update
from indipydriver.errors import MalformedFrame
from indipydriver.protocol.decode import decode
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Address, Frame
from indipydriver.protocol.framer import Framer
from indipydriver.protocol.messages import OneMember, SetVector
from indipydriver.protocol.tags import TAGS, State, VectorKind

words = st.text(st.sampled_from("ab .:é\u2028<&>\"'\n\t"), min_size=1, max_size=6).filter(lambda t: t.strip())
names = st.text(st.sampled_from("ab .é&\"'"), min_size=1, max_size=6).filter(lambda t: t.strip())
optional = st.none() | words


@st.composite
def updates(draw):
    kind = draw(st.sampled_from([k for k in VectorKind if k is not VectorKind.BLOB]))
    values = {
        VectorKind.SWITCH: st.sampled_from(["On", "Off"]),
        VectorKind.LIGHT: st.sampled_from([s.value for s in State]),
        VectorKind.NUMBER: st.sampled_from(["1", "-5:30", " 3 ", "", "nan"]),
    }.get(kind, st.text(st.sampled_from("ab <&\n\t\"'"), max_size=5))
    members = draw(st.lists(st.tuples(names, values).map(lambda pair: OneMember(*pair)), max_size=4))
    timeout = None if kind is VectorKind.LIGHT else draw(st.none() | st.just("5"))
    state = draw(st.none() | st.sampled_from(list(State)))
    return SetVector(kind, draw(names), draw(names), tuple(members), state, timeout, draw(optional), draw(optional))


@given(updates())
def test_what_we_write_is_read_the_same(message):
    frame = encode(message)
    assert read(frame) == decode(frame)


pieces = st.sampled_from(
    ["<setTextVector", "<setSwitchVector", "<setNumberVector", "<setLightVector", ' device="D"', ' name="N"', ' name=""',
     ' state="Ok"', ' state="ok"', ' state="None"', ' state=""', " timeout='5'", ' timeout=" 5 "', ' message="a&lt;b"',
     ' message="a\tb"', ' message=""', ">", " >", "/>", '<oneText name="A">', '<oneText name="">', '<oneNumber name="A">',
     '<oneNumber name="A" min="1">', '<oneSwitch name="A">', '<oneLight name="A">', "On", " On\n", "\n x \n", "x\ty", "Busy",
     "&amp;", "a\r\nb", "</oneText>", "</oneNumber>", "</oneSwitch>", "</oneLight>", "</setTextVector>", "</setNumberVector>",
     "</setSwitchVector>", "</setLightVector>", "<!-- c -->", "\n", " "]
)  # fmt: skip


def outcome(reader, frame):
    try:
        return reader(frame)
    except MalformedFrame as fault:
        return fault.reason


@given(st.lists(pieces, max_size=14).map("".join))
def test_whatever_comes_is_read_the_same(text):
    for frame in Framer().feed(text.encode() + b"<pingReply uid='end'/>"):
        assert outcome(read, frame) == outcome(decode, frame)


HEAD = '<setNumberVector device="D" name="N" state="Ok" timestamp="2026-11-22T01:02:03" timeout="5" message="é">'


@pytest.mark.parametrize(
    ("raw", "usual"),
    [
        (HEAD + '<oneNumber name="A">1</oneNumber></setNumberVector>', True),
        (HEAD + '\n  <oneNumber name="A">\n1\n</oneNumber>\n</setNumberVector>', True),
        (HEAD + '<oneNumber name="A" min="0">1</oneNumber></setNumberVector>', False),
        (HEAD + "<oneNumber name='A'>1</oneNumber></setNumberVector>", False),
        (HEAD + '<oneNumber name="A">&#49;</oneNumber></setNumberVector>', False),
        (HEAD + "</setNumberVector>", False),
    ],
)
def test_what_is_usual(raw, usual):
    frame = Frame(Address(TAGS["setNumberVector"], "D", "N"), raw.encode())
    found = read_update(frame)
    assert (found is not None) is usual
    assert outcome(read, frame) == outcome(decode, frame)
