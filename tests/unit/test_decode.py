"""What indipydriver.protocol.decode makes of elements: of ours, of real drivers, of odd ones."""

from __future__ import annotations

import base64
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from indipydriver.errors import MalformedFrame
from indipydriver.protocol.decode import decode, root
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import BlobFrame, Frame, address
from indipydriver.protocol.framer import Framer
from indipydriver.protocol.messages import (
    AnyMessage,
    DefMember,
    DefVector,
    DelProperty,
    EnableBlob,
    GetProperties,
    Message,
    NewVector,
    OneBlob,
    OneMember,
    Ping,
    SetVector,
)
from indipydriver.protocol.tags import BlobMode, Permission, State, SwitchRule, VectorKind

SWITCH, TEXT, NUMBER, LIGHT, BLOB = (
    VectorKind.SWITCH,
    VectorKind.TEXT,
    VectorKind.NUMBER,
    VectorKind.LIGHT,
    VectorKind.BLOB,
)
RW, RO = Permission.READ_WRITE, Permission.READ_ONLY
CAPTURES = Path(__file__).parents[1] / "fixtures" / "captures"


def frame_of(wire: str) -> Frame:
    """The frame of an element; its BLOBs stay in one piece."""
    raw = wire.encode()
    element = ET.fromstring(raw)
    return Frame(address(element.tag, element.get("device"), element.get("name")), raw)


V = "device='D' name='v'"

READ: list[tuple[str, AnyMessage]] = [
    # the forms of libindi: single quotes, padded values, attributes on lines of their own
    (
        (
            "<setSwitchVector\n  device='D'\n  name='v'\n  state='Ok'\n  timeout='60'\n"
            "  timestamp='2026-11-20T23:24:58'\n>\n  <oneSwitch name='a'>\n      On\n  </oneSwitch>\n"
            "  <oneSwitch name='b'>Off\n  </oneSwitch>\n</setSwitchVector>"
        ),
        SetVector(
            SWITCH, "D", "v", (OneMember("a", "On"), OneMember("b", "Off")), State.OK, "60", "2026-11-20T23:24:58"
        ),
    ),
    (
        (
            f"<setNumberVector {V} state='Busy'><oneNumber name='n'>\n      0.010000000000000000208\n  </oneNumber>"
            "</setNumberVector>"
        ),
        SetVector(NUMBER, "D", "v", (OneMember("n", "0.010000000000000000208"),), State.BUSY),
    ),
    (
        f"<setNumberVector {V}><oneNumber name='n' min='0' max=' 9 ' step=''>5</oneNumber></setNumberVector>",
        SetVector(NUMBER, "D", "v", (OneMember("n", "5", "0", "9"),)),
    ),
    (
        f"<setNumberVector {V}><oneNumber name='n'/></setNumberVector>",
        SetVector(NUMBER, "D", "v", (OneMember("n", ""),)),
    ),
    (
        f"<setNumberVector {V}><oneNumber name='n'>-nan</oneNumber></setNumberVector>",
        SetVector(NUMBER, "D", "v", (OneMember("n", "-nan"),)),
    ),
    # texts: stripped only when they begin with a line end
    (
        f"<setTextVector {V}><oneText name='t'>\n      two words   \n   next line\n  </oneText></setTextVector>",
        SetVector(TEXT, "D", "v", (OneMember("t", "two words   \n   next line"),)),
    ),
    (
        f"<setTextVector {V}><oneText name='t'>  kept  \n</oneText></setTextVector>",
        SetVector(TEXT, "D", "v", (OneMember("t", "  kept  \n"),)),
    ),
    (
        (
            f"<setTextVector {V}><oneText name='t'>\n&lt;x &amp; &quot;&apos;</oneText>"
            "<oneText name='u'> </oneText></setTextVector>"
        ),
        SetVector(TEXT, "D", "v", (OneMember("t", "<x & \"'"), OneMember("u", " "))),
    ),
    (
        "<setTextVector device='A &amp; B' name='v'><oneText name='\"'>a<!-- -->b &#176; °</oneText></setTextVector>",
        SetVector(TEXT, "A & B", "v", (OneMember('"', "ab ° °"),)),
    ),
    (f"<setTextVector {V} state='' timeout=' ' timestamp='' message=''/>", SetVector(TEXT, "D", "v", ())),
    # states: without one, or with none that is known, the state is unchanged
    (f"<setLightVector {V} state='Unknown' timeout='5'/>", SetVector(LIGHT, "D", "v", ())),
    (
        f"<setLightVector {V} state='OK'><oneLight name='l'> alert </oneLight></setLightVector>",
        SetVector(LIGHT, "D", "v", (OneMember("l", "Alert"),), State.OK),
    ),
    # members without a name in what drivers send
    (
        f"<setTextVector {V}><oneText name=''>x</oneText><oneText name='t'>y</oneText></setTextVector>",
        SetVector(TEXT, "D", "v", (OneMember("t", "y"),)),
    ),
    # definitions
    (
        (
            f"<defSwitchVector {V} label='L' group='G' state='Idle' perm='w' rule='AtMostOne' timeout='0'>\n"
            "<defSwitch name='s'>off</defSwitch></defSwitchVector>"
        ),
        DefVector(
            SWITCH,
            "D",
            "v",
            State.IDLE,
            (DefMember("s", "Off", "s"),),
            "L",
            "G",
            Permission.WRITE_ONLY,
            SwitchRule.AT_MOST_ONE,
            "0",
        ),
    ),
    (
        (
            f"<defNumberVector {V} state='Ok' perm='rw'><defNumber name='n' label='' format='' min='' max='' step=''/>"
            "<defNumber name='o'>\n 5 \n</defNumber><defNumber name=''>5</defNumber></defNumberVector>"
        ),
        DefVector(
            NUMBER,
            "D",
            "v",
            State.OK,
            (DefMember("n", "", "n", "", "", "", ""), DefMember("o", "5", "o")),
            "v",
            perm=RW,
        ),
    ),
    (
        (
            f"<defLightVector {V} state='Ok' perm='ro' timeout='3' message='m'>"
            "<defLight name='l'>Busy</defLight></defLightVector>"
        ),
        DefVector(LIGHT, "D", "v", State.OK, (DefMember("l", "Busy", "l"),), "v", message="m"),
    ),
    (
        (
            f"<defBLOBVector {V} state='Ok' perm='ro' timestamp='T'>"
            "<defBLOB name='b' label='B' format='.fits'/></defBLOBVector>"
        ),
        DefVector(BLOB, "D", "v", State.OK, (DefMember("b", label="B"),), "v", perm=RO, timestamp="T"),
    ),
    (f"<defTextVector {V} state='Ok' perm='ro'/>", DefVector(TEXT, "D", "v", State.OK, (), "v", perm=RO)),
    # BLOBs
    (
        (
            f"<setBLOBVector {V} state='Ok'>\n  <oneBLOB name='b' size='5' enclen='8' format='.bin'>\naGVs\nbG8=\n"
            "  </oneBLOB>\n</setBLOBVector>"
        ),
        SetVector(BLOB, "D", "v", (OneBlob("b", b"hello", 5, ".bin"),), State.OK),
    ),
    (
        (
            f"<setBLOBVector {V}><oneBLOB name='b' size='0' enclen='0' format=''></oneBLOB>"
            "<oneBLOB name='c' size='9' format='.fits' attached='true'/><oneBLOB name='d' size='1'>AA==</oneBLOB>"
            "</setBLOBVector>"
        ),
        SetVector(BLOB, "D", "v", (OneBlob("d", b"\0", 1),)),
    ),
    (f"<setBLOBVector {V} state='Ok'/>", SetVector(BLOB, "D", "v", (), State.OK)),
    (
        f"<setBLOBVector {V}><oneBLOB name='b' size='3' len='3' format='.z'>aGVsbG8=</oneBLOB></setBLOBVector>",
        SetVector(BLOB, "D", "v", (OneBlob("b", b"hel", 3, ".z"),)),
    ),
    (
        f"<setBLOBVector {V}><oneBLOB name='b' size='many' len='x'>aGVsbG8=</oneBLOB></setBLOBVector>",
        SetVector(BLOB, "D", "v", (OneBlob("b", b"hello"),)),
    ),
    # commands
    (
        f"<newSwitchVector {V}><oneSwitch name='s'> On </oneSwitch></newSwitchVector>",
        NewVector(SWITCH, "D", "v", (OneMember("s", "On"),)),
    ),
    (
        f"<newTextVector {V} timestamp='T' state='Ok'><oneText name='t'/></newTextVector>",
        NewVector(TEXT, "D", "v", (OneMember("t", ""),), "T"),
    ),
    (
        f"<newNumberVector {V}><oneNumber name='n' min='1'> 12:30 </oneNumber></newNumberVector>",
        NewVector(NUMBER, "D", "v", (OneMember("n", "12:30"),)),
    ),
    (
        f"<newNumberVector {V}><oneNumber name='n'>twelve</oneNumber></newNumberVector>",
        NewVector(NUMBER, "D", "v", (OneMember("n", "twelve"),)),
    ),
    (
        f"<newBLOBVector {V}><oneBLOB name='b' size='2' format='.z'>aGVsbG8=</oneBLOB></newBLOBVector>",
        NewVector(BLOB, "D", "v", (OneBlob("b", b"hello", 2, ".z"),)),
    ),
    (
        f"<newBLOBVector {V}><oneBLOB name='b' size='000000000000000005'>aGVsbG8=</oneBLOB></newBLOBVector>",
        NewVector(BLOB, "D", "v", (OneBlob("b", b"hello", 5),)),
    ),
    # the others
    ("<getProperties version='1.7'/>", GetProperties()),
    ("<getProperties/>", GetProperties(version=None)),
    ("<getProperties version='2.0' device='*' client='x' switch='2.0'/>", GetProperties("*", version="2.0")),
    ("<getProperties version='1.7' device='D' name='v'/>", GetProperties("D", "v")),
    ("<getProperties version='1.7' device='' name='v'/>", GetProperties()),
    ("<enableBLOB device='D'> Only\n</enableBLOB>", EnableBlob("D", None, BlobMode.ONLY)),
    ("<enableBLOB>also</enableBLOB>", EnableBlob(None, None, BlobMode.ALSO)),
    ("<enableBLOB device='D' name='v'>Never</enableBLOB>", EnableBlob("D", "v", BlobMode.NEVER)),
    ("<delProperty device='D' message='[INFO] x'/>", DelProperty("D", None, None, "[INFO] x")),
    ("<delProperty device='D' name='v' timestamp='T'/>", DelProperty("D", "v", "T")),
    ("<delProperty/>", DelProperty(None)),
    ("<message device='' timestamp='T' message='a &#10;b'/>", Message(None, "a \nb", "T")),
    ("<message via='one,two'></message>", Message(via="one,two")),
    ("<pingRequest uid='SetBLOB/1' />", Ping("SetBLOB/1")),
    ("<pingReply uid='SetBLOB/1'/>", Ping("SetBLOB/1", reply=True)),
]


@pytest.mark.parametrize(("wire", "message"), READ, ids=[f"{wire[1:20]} {n}" for n, (wire, _) in enumerate(READ)])
def test_what_is_read(wire: str, message: AnyMessage) -> None:
    assert decode(frame_of(wire)) == message


@pytest.mark.parametrize("wire", [wire for wire, _ in READ if "BLOBVector" in wire])
def test_a_blob_frame_says_the_same(wire: str) -> None:
    whole = Framer(as_sent=True).feed(wire.encode())
    framer = Framer(as_sent=True)
    pieces = [frame for at in range(0, len(wire), 7) for frame in framer.feed(wire.encode()[at : at + 7])]
    assert [decode(frame) for frame in whole] == [decode(frame) for frame in pieces] == [decode(frame_of(wire))]


REFUSED = [
    ("<setTextVector name='v'/>", "no device"),
    ("<setTextVector device='D'/>", "no name"),
    ("<setTextVector device='' name='v'/>", "no device"),
    ("<defTextVector device='D' name='' state='Ok' perm='rw'/>", "no name"),
    ("<newTextVector name='v'><oneText name='t'>x</oneText></newTextVector>", "no device"),
    ("<newTextVector device='D'><oneText name='t'>x</oneText></newTextVector>", "no name"),
    # definitions
    (f"<defTextVector {V} perm='rw'/>", "no state"),
    (f"<defTextVector {V} state='Good' perm='rw'/>", "a state must be one of"),
    (f"<defTextVector {V} state='Ok'/>", "no perm"),
    (f"<defTextVector {V} state='Ok' perm='x'/>", "a permission must be one of"),
    (f"<defSwitchVector {V} state='Ok' perm='rw'/>", "no rule"),
    (f"<defSwitchVector {V} state='Ok' perm='rw' rule='x'/>", "a switch rule must be one of"),
    (f"<defTextVector {V} state='Ok' perm='rw'><oneText name='t'/></defTextVector>", "a child <oneText>"),
    (f"<defTextVector {V} state='Ok' perm='rw'><defText>x</defText></defTextVector>", "a member without a name"),
    (f"<defLightVector {V} state='Ok'><defLight name='l'>On</defLight></defLightVector>", "a state must be one of"),
    (
        f"<defSwitchVector {V} state='Ok' perm='rw' rule='AnyOfMany'><defSwitch name='s'/></defSwitchVector>",
        "a switch value must be one of",
    ),
    # updates
    (f"<setTextVector {V}><oneNumber name='t'>x</oneNumber></setTextVector>", "a child <oneNumber>, not <oneText>"),
    (f"<setTextVector {V}><oneText>x</oneText></setTextVector>", "a member without a name"),
    (f"<setTextVector {V}><oneText name='t'>x<b/></oneText></setTextVector>", "an element inside"),
    (f"<setSwitchVector {V}><oneSwitch name='s'>Maybe</oneSwitch></setSwitchVector>", "a switch value must be one of"),
    (f"<setLightVector {V}><oneLight name='l'/></setLightVector>", "a state must be one of"),
    (f"<setBLOBVector {V}><oneBLOB name='b' size='1'>A*==</oneBLOB></setBLOBVector>", "not base64"),
    (f"<setBLOBVector {V}><oneBLOB name='b' size='1'>é</oneBLOB></setBLOBVector>", "base64"),
    (
        f"<setBLOBVector {V}><oneBLOB name='b' size='9' len='9'>AA==</oneBLOB></setBLOBVector>",
        "truncated: 1 of 9 bytes",
    ),
    # commands
    (f"<newTextVector {V}/>", "no members"),
    (f"<newBLOBVector {V}/>", "no members"),
    (f"<newTextVector {V}><oneSwitch name='t'>x</oneSwitch></newTextVector>", "a child <oneSwitch>"),
    (f"<newTextVector {V}><oneText name=''>x</oneText></newTextVector>", "a member without a name"),
    (
        f"<newTextVector {V}><oneText name='t'>x</oneText><oneText name=''>x</oneText></newTextVector>",
        "without a name",
    ),
    (f"<newSwitchVector {V}><oneSwitch name='s'/></newSwitchVector>", "a switch value must be one of"),
    (f"<newSwitchVector {V}><oneSwitch name='s'>1</oneSwitch></newSwitchVector>", "a switch value must be one of"),
    (f"<newNumberVector {V}><oneNumber name='n'> </oneNumber></newNumberVector>", "a number without a value"),
    (f"<newBLOBVector {V}><oneBLOB name='b' size='0' format=''/></newBLOBVector>", "is empty"),
    (f"<newBLOBVector {V}><oneBLOB name='b' format='.z'>AA==</oneBLOB></newBLOBVector>", "no size"),
    (f"<newBLOBVector {V}><oneBLOB name='b' size='-1'>AA==</oneBLOB></newBLOBVector>", "no size"),
    (f"<newBLOBVector {V}><oneBLOB name='b' size='0000000000000000001'>AA==</oneBLOB></newBLOBVector>", "no size"),
    (f"<newBLOBVector {V}><oneBLOB name='b' size='1' len='0'>AA==</oneBLOB></newBLOBVector>", "is empty"),
    (f"<newTextVector {V}><{'x' * 41} name='t'/></newTextVector>", f"a child <{'x' * 40}>, not <oneText>"),
    (f"<newBLOBVector {V}><oneBLOB name='' size='1'>AA==</oneBLOB></newBLOBVector>", "a member without a name"),
    # the others
    ("<enableBLOB device='D'/>", "a BLOB mode must be one of"),
    ("<enableBLOB device='D'>URL</enableBLOB>", "a BLOB mode must be one of"),
    ("<delProperty device='D' name=''/>", "an empty name"),
    ("<pingRequest/>", "no uid"),
]


@pytest.mark.parametrize(("wire", "reason"), REFUSED, ids=[f"{reason} {n}" for n, (_, reason) in enumerate(REFUSED)])
def test_what_is_refused(wire: str, reason: str) -> None:
    frame = frame_of(wire)
    with pytest.raises(MalformedFrame, match=reason) as caught:
        decode(frame)
    fault = caught.value
    assert (fault.tag, fault.device, fault.name) == (frame.tag.text, frame.device, frame.name)
    assert fault.excerpt.startswith(f"<{frame.tag.text}")


def test_a_nameless_blob_takes_its_data_with_it() -> None:
    nameless, named = "<oneBLOB name='' size='1'>AA==</oneBLOB>", "<oneBLOB name='b' size='1'>/w==</oneBLOB>"
    wire = f"<setBLOBVector {V}>{nameless}{named}</setBLOBVector>"
    [frame] = Framer().feed(wire.encode())
    assert isinstance(frame, BlobFrame)
    assert decode(frame) == SetVector(BLOB, "D", "v", (OneBlob("b", b"\xff", 1),))


def test_spans_that_do_not_fit() -> None:
    skeleton = f"<setBLOBVector {V}><oneBLOB name='b' size='1'></oneBLOB></setBLOBVector>".encode()
    frame = BlobFrame(address("setBLOBVector", "D", "v"), [skeleton], skeleton, ())
    with pytest.raises(MalformedFrame, match="spans"):
        decode(frame)


def test_a_frame_that_is_not_what_it_says() -> None:
    with pytest.raises(MalformedFrame, match="the element is <message>"):
        decode(Frame(address("delProperty", "D"), b"<message/>"))
    with pytest.raises(MalformedFrame, match=f"the element is <{'x' * 40}>"):
        decode(Frame(address("delProperty", "D"), b"<%b/>" % (b"x" * 41)))
    with pytest.raises(MalformedFrame, match="not well-formed"):
        decode(Frame(address("message"), b"<message"))
    with pytest.raises(MalformedFrame, match="not well-formed"):
        root(Frame(address("message"), b"<message"))


def test_root() -> None:
    element = root(encode(SetVector(BLOB, "D", "v", (OneBlob("b", b"hello", 5, ".bin"),), State.OK)))
    assert element.tag == "setBLOBVector"
    assert element.get("state") == "Ok"
    assert base64.b64decode(element[0].text or "") == b"hello"
    assert root(frame_of("<message message='x'/>")).attrib == {"message": "x"}


def capture_files() -> list[Path]:
    return sorted(CAPTURES.rglob("*.xml"))


def test_there_are_captures() -> None:
    assert len(capture_files()) > 20


@pytest.mark.parametrize("path", capture_files(), ids=lambda path: path.stem)
def test_real_traffic_is_read_and_survives_our_own_form(path: Path) -> None:
    for frame in Framer().feed(path.read_bytes()):
        try:
            message = decode(frame)
        except MalformedFrame as fault:
            # vectors without a name, and a BLOB that indiserver has cut
            assert not frame.device or not frame.name or "is truncated: 8640 of 11520 bytes" in fault.reason  # noqa: PT017
            continue
        again = encode(message)
        assert again.address == frame.address
        assert decode(again) == message
