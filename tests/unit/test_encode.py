"""What indipydriver.protocol.encode writes, byte by byte, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, StrEnum
from xml.etree import ElementTree as ET

import pytest

from indipydriver.errors import LocalProtocolError
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import BlobFrame, Frame
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
T = "2026-01-02T03:04:05"

# The wire form is a contract with scripts and clients: each line is compared as a whole.
WIRE: list[tuple[AnyMessage, str]] = [
    (
        DefVector(
            SWITCH,
            "Dev",
            "sw",
            State.OK,
            (DefMember("s1", "On", "S 1"), DefMember("s2", "Off")),
            "Switch L",
            "G1",
            RW,
            SwitchRule.ONE_OF_MANY,
            "0",
            "2026-11-20T23:25:17.740547",
        ),
        (
            '<defSwitchVector device="Dev" name="sw" label="Switch L" group="G1" state="Ok" perm="rw" rule="OneOfMany"'
            ' timestamp="2026-11-20T23:25:17.740547" timeout="0"><defSwitch name="s1" label="S 1">On</defSwitch>'
            '<defSwitch name="s2" label="s2">Off</defSwitch></defSwitchVector>'
        ),
    ),
    (
        DefVector(LIGHT, "Dev", "li", State.IDLE, (DefMember("l1", "Idle", "L 1"),), "Light L", "G1", timestamp="T"),
        (
            '<defLightVector device="Dev" name="li" label="Light L" group="G1" state="Idle" timestamp="T">'
            '<defLight name="l1" label="L 1">Idle</defLight></defLightVector>'
        ),
    ),
    (
        DefVector(
            NUMBER,
            "Dev",
            "nu",
            State.OK,
            (DefMember("n1", "5", "N 1", "%8.3f", "0", "100.5", "1"), DefMember("n2", "1:30:00", "", "%9.6m")),
            "Num L",
            "G2",
            RW,
            timeout="0",
            timestamp="T",
        ),
        (
            '<defNumberVector device="Dev" name="nu" label="Num L" group="G2" state="Ok" perm="rw" timestamp="T"'
            ' timeout="0">'
            '<defNumber name="n1" label="N 1" format="%8.3f" min="0" max="100.5" step="1">5</defNumber>'
            '<defNumber name="n2" label="n2" format="%9.6m" min="0" max="0" step="0">1:30:00</defNumber>'
            "</defNumberVector>"
        ),
    ),
    (
        DefVector(NUMBER, "Dev", "nro", State.OK, (DefMember("n1", "0"),), "NumRO", "G2", RO, timestamp="T"),
        (
            '<defNumberVector device="Dev" name="nro" label="NumRO" group="G2" state="Ok" perm="ro" timestamp="T">'
            '<defNumber name="n1" label="n1" format="" min="0" max="0" step="0">0</defNumber></defNumberVector>'
        ),
    ),
    (
        DefVector(
            TEXT,
            "Dev",
            "txt",
            State.OK,
            (DefMember("t1", "abc", "T 1"), DefMember("t2")),
            "Text L",
            "G3",
            RW,
            timeout="0",
            timestamp="T",
        ),
        (
            '<defTextVector device="Dev" name="txt" label="Text L" group="G3" state="Ok" perm="rw" timestamp="T"'
            ' timeout="0">'
            '<defText name="t1" label="T 1">abc</defText><defText name="t2" label="t2" /></defTextVector>'
        ),
    ),
    (
        DefVector(BLOB, "Dev", "bl", State.OK, (DefMember("b1", label="B 1"),), "Blob L", "G4", RO, timestamp="T"),
        (
            '<defBLOBVector device="Dev" name="bl" label="Blob L" group="G4" state="Ok" perm="ro" timestamp="T">'
            '<defBLOB name="b1" label="B 1" /></defBLOBVector>'
        ),
    ),
    (
        DefVector(TEXT, "Dev", "empty", State.ALERT, (), perm=RW, message="why"),
        '<defTextVector device="Dev" name="empty" label="empty" group="" state="Alert" perm="rw" message="why" />',
    ),
    (
        SetVector(
            SWITCH,
            "Dev",
            "sw",
            (OneMember("s2", "Off"), OneMember("s1", "On")),
            State.BUSY,
            "3.5",
            "2026-01-02T03:04:05.678900",
            "hello & <é>\n\"q'",
        ),
        (
            '<setSwitchVector device="Dev" name="sw" state="Busy" timestamp="2026-01-02T03:04:05.678900" timeout="3.5"'
            ' message="hello &amp; &lt;é&gt; &quot;q\'">'
            '<oneSwitch name="s2">Off</oneSwitch><oneSwitch name="s1">On</oneSwitch></setSwitchVector>'
        ),
    ),
    (
        SetVector(NUMBER, "Dev", "nu", (), State.ALERT, "3.5", "T"),
        '<setNumberVector device="Dev" name="nu" state="Alert" timestamp="T" timeout="3.5" />',
    ),
    (
        SetVector(LIGHT, "Dev", "li", (OneMember("l1", "Ok"),), State.OK, timestamp="T", message="m"),
        (
            '<setLightVector device="Dev" name="li" state="Ok" timestamp="T" message="m">'
            '<oneLight name="l1">Ok</oneLight></setLightVector>'
        ),
    ),
    (
        SetVector(TEXT, "Dev", "txt", (OneMember("t1", "abc"), OneMember("t2", ""))),
        '<setTextVector device="Dev" name="txt"><oneText name="t1">abc</oneText><oneText name="t2" /></setTextVector>',
    ),
    (
        SetVector(NUMBER, "Dev", "nu", (OneMember("n1", "5", max="9"), OneMember("n2", "", "0", "1", "0.1"))),
        (
            '<setNumberVector device="Dev" name="nu"><oneNumber name="n1" max="9">5</oneNumber>'
            '<oneNumber name="n2" min="0" max="1" step="0.1" /></setNumberVector>'
        ),
    ),
    (
        SetVector(BLOB, "Dev", "bl", (OneBlob("b1", b"hello bytes", 11, ".bin"),), State.OK, timestamp="T"),
        (
            '<setBLOBVector device="Dev" name="bl" state="Ok" timestamp="T">'
            '<oneBLOB name="b1" format=".bin" size="11">aGVsbG8gYnl0ZXM=</oneBLOB></setBLOBVector>'
        ),
    ),
    (
        SetVector(BLOB, "Dev", "bl", (OneBlob("a", b"hello bytes"), OneBlob('<"', b"\0", 99, ".z")), State.OK, "60"),
        (
            '<setBLOBVector device="Dev" name="bl" state="Ok" timeout="60">'
            '<oneBLOB name="a" format="" size="11">aGVsbG8gYnl0ZXM=</oneBLOB>'
            '<oneBLOB name="&lt;&quot;" format=".z" size="99">AA==</oneBLOB></setBLOBVector>'
        ),
    ),
    (SetVector(BLOB, "Dev", "bl", (), State.OK), '<setBLOBVector device="Dev" name="bl" state="Ok" />'),
    (
        NewVector(SWITCH, "Dev", "sw", (OneMember("s1", "On"),), T),
        (
            f'<newSwitchVector device="Dev" name="sw" timestamp="{T}">'
            '<oneSwitch name="s1">On</oneSwitch></newSwitchVector>'
        ),
    ),
    (
        NewVector(NUMBER, "Dev", "nu", (OneMember("n1", "5"), OneMember("n2", "-0:30"))),
        (
            '<newNumberVector device="Dev" name="nu"><oneNumber name="n1">5</oneNumber>'
            '<oneNumber name="n2">-0:30</oneNumber></newNumberVector>'
        ),
    ),
    (
        NewVector(TEXT, "Dev", "txt", (OneMember("t1", ""),)),
        '<newTextVector device="Dev" name="txt"><oneText name="t1" /></newTextVector>',
    ),
    (
        NewVector(BLOB, "Dev", "bl", (OneBlob("b1", b"\xff"),), T),
        (
            f'<newBLOBVector device="Dev" name="bl" timestamp="{T}">'
            '<oneBLOB name="b1" format="" size="1">/w==</oneBLOB></newBLOBVector>'
        ),
    ),
    (Message("Dev", timestamp=T), f'<message device="Dev" timestamp="{T}" />'),
    (Message(message="sys", timestamp="T"), '<message timestamp="T" message="sys" />'),
    (Message(message="sys", via="a,b"), '<message message="sys" via="a,b" />'),
    (Message(), "<message />"),
    (
        DelProperty("Dev", "sw", "T", "bye"),
        '<delProperty device="Dev" name="sw" timestamp="T" message="bye" />',
    ),
    (DelProperty("Dev", timestamp="T"), '<delProperty device="Dev" timestamp="T" />'),
    (GetProperties("Other", "vec"), '<getProperties version="1.7" device="Other" name="vec" />'),
    (GetProperties("*"), '<getProperties version="1.7" device="*" />'),
    (GetProperties(version=None), '<getProperties version="1.7" />'),
    (GetProperties(version="2.0"), '<getProperties version="1.7" />'),
    (EnableBlob("Dev", "bl"), '<enableBLOB device="Dev" name="bl">Also</enableBLOB>'),
    (EnableBlob("Dev", mode=BlobMode.NEVER), '<enableBLOB device="Dev">Never</enableBLOB>'),
    (Ping("SetBLOB/1"), '<pingRequest uid="SetBLOB/1" />'),
    (Ping("SetBLOB/1", reply=True), '<pingReply uid="SetBLOB/1" />'),
]


@pytest.mark.parametrize(("message", "wire"), WIRE, ids=[wire[:40] for _, wire in WIRE])
def test_the_wire_form(message: AnyMessage, wire: str) -> None:
    frame = encode(message)
    assert frame.raw.decode() == wire
    element = ET.fromstring(frame.raw)
    assert element.tag == frame.tag.text
    assert element.get("device") == frame.device
    assert element.get("name") == frame.name
    assert isinstance(frame, BlobFrame) is frame.tag.is_blob


def value_of(text: str) -> str:
    """The text as it stands between the tags of a oneText."""
    raw = encode(SetVector(TEXT, "D", "v", (OneMember("t", text),))).raw.decode()
    return raw.partition('<oneText name="t">')[2].removesuffix("</oneText></setTextVector>")


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("a & b < c > d", "a &amp; b &lt; c &gt; d"),
        ("\"double\" 'single'", "\"double\" 'single'"),
        ("<first", "\n&lt;first"),
        ("&", "\n&amp;"),
        (" <", " &lt;"),
        ("one\ntwo\tthree", "one\ntwo\tthree"),
        ("21 °C µ²", "21 °C µ²"),
        ("a\x01b\x00\x1b[0m", "ab[0m"),
        ("\x00<", "\n&lt;"),
        ("\ud800", "?"),
        ("  padded  ", "  padded  "),
        ("&#176;", "\n&amp;#176;"),
        ("]]>", "]]&gt;"),
    ],
)
def test_text_between_tags(text: str, wire: str) -> None:
    assert value_of(text) == wire


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("a & b < c > d", "a &amp; b &lt; c &gt; d"),
        ("\"double\" 'single'", "&quot;double&quot; 'single'"),
        ("<first", "&lt;first"),
        ("a\nb\tc\rd\r\ne", "a b c d e"),
        ("21 °C", "21 °C"),
        ("a\x01b\ud800", "ab?"),
    ],
)
def test_text_in_attributes(text: str, wire: str) -> None:
    assert encode(Message(message=text)).raw.decode() == f'<message message="{wire}" />'
    definition = DefVector(NUMBER, "D", "v", State.OK, (DefMember("n", "1", text, text),), text, text, RO, message=text)
    raw = encode(definition).raw.decode()
    assert raw.count(f'label="{wire}"') == 2
    assert f'group="{wire}"' in raw
    assert f'message="{wire}"' in raw
    assert f'format="{wire}"' in raw


@pytest.mark.parametrize("limit", ["min", "max", "step"])
def test_limits_in_an_update_are_escaped(limit: str) -> None:
    member = OneMember("n", "1", **{limit: '<"&'})
    assert f' {limit}="&lt;&quot;&amp;"' in encode(SetVector(NUMBER, "D", "v", (member,))).raw.decode()


def test_names_are_escaped_on_the_wire_and_not_in_the_address() -> None:
    frame = encode(SetVector(TEXT, 'A & "B"', "<v>", (OneMember("'m' & n", "x"),), State.OK))
    assert frame.raw.decode() == (
        '<setTextVector device="A &amp; &quot;B&quot;" name="&lt;v&gt;" state="Ok">'
        "<oneText name=\"'m' &amp; n\">x</oneText></setTextVector>"
    )
    assert (frame.device, frame.name) == ('A & "B"', "<v>")


def test_the_message_is_left_as_it_was() -> None:
    message = SetVector(TEXT, "D", "v", (OneMember("t", "<"),), State.OK, message="&")
    before = repr(message)
    encode(message)
    assert repr(message) == before


def test_the_parts_of_a_blob_frame() -> None:
    frame = encode(
        SetVector(BLOB, "D", "v", (OneBlob("a", b"x" * 100, 100, ".fits"), OneBlob("b", b"y", 1, ".stream")), State.OK)
    )
    assert isinstance(frame, BlobFrame)
    assert b"".join(frame.chunks) == frame.raw
    assert frame.size == len(frame.raw)
    assert [frame.raw[start - 1 : start] + frame.raw[end : end + 1] for start, end in frame.spans] == [b"><", b"><"]
    rest = frame.raw
    for start, end in reversed(frame.spans):
        rest = rest[:start] + rest[end:]
    assert rest == frame.skeleton
    assert len(ET.fromstring(frame.skeleton)) == len(frame.spans)
    assert frame.is_stream


class Loud(str):
    """A str that shows itself in another way when it is formatted."""

    __slots__ = ()

    def __str__(self) -> str:
        return "<!>"

    def __format__(self, spec: str) -> str:
        return "<!>"


class Word(StrEnum):
    MARKUP = "<a & b>"


def test_subclasses_of_str_are_escaped() -> None:
    assert b"a &lt; b" in encode(SetVector(TEXT, "D", "v", (OneMember("t", Loud("a < b")),))).raw
    assert (
        b'<oneText name="t">\n&lt;a &amp; b&gt;<'
        in encode(SetVector(TEXT, "D", "v", (OneMember("t", Word.MARKUP),))).raw
    )
    assert b'message="&lt;a &amp; b&gt;"' in encode(Message(message=Word.MARKUP)).raw
    assert ET.fromstring(encode(SetVector(TEXT, "D", "v", (OneMember("t", Loud("x")),))).raw)[0].text == "x"


ONE = (OneMember("m", "1"),)
REFUSED: Sequence[tuple[object, str]] = [
    (SetVector(TEXT, "", "v", ()), "without a device"),
    (SetVector(TEXT, "D", "", ()), "without a name"),
    (NewVector(TEXT, "", "v", ONE), "without a device"),
    (NewVector(TEXT, "D", "", ONE), "without a name"),
    (DefVector(TEXT, "", "v", State.OK, (), perm=RW), "without a device"),
    (DefVector(TEXT, "D", "", State.OK, (), perm=RW), "without a name"),
    (DelProperty(None), "without a device"),
    (DelProperty("", "v"), "without a device"),
    (DelProperty("D", ""), "empty name"),
    (GetProperties(None, "v"), "without its device"),
    (EnableBlob(None), "without a device"),
    (EnableBlob("D", mode="Sometimes"), "not a BLOB mode"),  # type: ignore[arg-type]
    (Ping(""), "uid"),
    (SetVector(TEXT, "D", "v", (), "Okay"), "not a state"),  # type: ignore[arg-type]
    (SetVector(LIGHT, "D", "v", (), timeout="5"), "no timeout"),
    (SetVector(SWITCH, "D", "v", (OneMember("m", "on"),)), "not one of Off, On"),
    (SetVector(LIGHT, "D", "v", (OneMember("m", ""),)), "not one of"),
    (SetVector(TEXT, "D", "v", (OneMember("", "x"),)), "without a name"),
    (SetVector(SWITCH, "D", "v", (OneMember("", "On"),)), "without a name"),
    (SetVector(TEXT, "D", "v", (OneMember("m", "x", min="1"),)), "limits"),
    (SetVector(TEXT, "D", "v", (OneBlob("m", b"x"),)), "wrong type"),
    (SetVector(TEXT, "D", "v", (OneMember("m", 5),)), "wrong type"),  # type: ignore[arg-type]
    (SetVector(TEXT, "D\n", "v", ()), "cannot be sent"),
    (SetVector(TEXT, "D", "v", (OneMember("m\0", "x"),)), "cannot be sent"),
    (SetVector(TEXT, "D\x7f", "v", ()), "cannot be sent"),
    (SetVector(BLOB, "D", "v", (OneMember("m", "x"),)), "not OneBlob"),
    (SetVector(BLOB, "D", "v", (OneBlob("m", b""),)), "is empty"),
    (SetVector(BLOB, "D", "v", (OneBlob("", b"x"),)), "without a name"),
    (SetVector(BLOB, "D", "v", (OneBlob("m", b"x", -1),)), "size"),
    (SetVector(BLOB, "D", "v", (OneBlob("m", "text"),)), "wrong type"),  # type: ignore[arg-type]
    (NewVector(LIGHT, "D", "v", ONE), "no command for lights"),
    (NewVector(TEXT, "D", "v", ()), "without members"),
    (NewVector(BLOB, "D", "v", ()), "without members"),
    (NewVector(NUMBER, "D", "v", (OneMember("m", " "),)), "without a value"),
    (NewVector(NUMBER, "D", "v", (OneMember("m", "1", "0"),)), "limits"),
    (NewVector(SWITCH, "D", "v", (OneMember("m", "Maybe"),)), "not one of"),
    (DefVector(TEXT, "D", "v", None, (), perm=RW), "not a state"),  # type: ignore[arg-type]
    (DefVector(TEXT, "D", "v", State.OK, ()), "not a permission"),
    (DefVector(SWITCH, "D", "v", State.OK, (), perm=RW), "not a rule"),
    (DefVector(TEXT, "D", "v", State.OK, (), perm=RW, rule=SwitchRule.ANY_OF_MANY), "only switches"),
    (DefVector(LIGHT, "D", "v", State.OK, (), perm=RO), "neither permission nor timeout"),
    (DefVector(LIGHT, "D", "v", State.OK, (), timeout="1"), "neither permission nor timeout"),
    (DefVector(SWITCH, "D", "v", State.OK, (DefMember("m"),), perm=RW, rule=SwitchRule.ANY_OF_MANY), "not one of"),
    (DefVector(TEXT, "D", "v", State.OK, (DefMember(""),), perm=RW), "without a name"),
    (DefVector(BLOB, "D", "v", State.OK, (DefMember("m", "x"),), perm=RW), "has a value"),
    (DefVector(TEXT, "D", "v", State.OK, (DefMember("m", None),), perm=RW), "wrong type"),  # type: ignore[arg-type]
    ("text", "not a message"),
]


@pytest.mark.parametrize(("message", "reason"), REFUSED, ids=[f"{reason} {n}" for n, (_, reason) in enumerate(REFUSED)])
def test_what_is_illegal_is_refused(message: AnyMessage, reason: str) -> None:
    with pytest.raises(LocalProtocolError, match=reason) as caught:
        encode(message)
    assert isinstance(caught.value, ValueError)


class Old(str, Enum):  # noqa: UP042 - as in scripts from before StrEnum
    DEVICE = "Dev"
    NAME = "a & b"
    TEXT = "On"


@pytest.mark.parametrize(
    "message",
    [
        SetVector(SWITCH, "{DEVICE}", "{TEXT}", (OneMember("{TEXT}", "{TEXT}"),)),
        SetVector(TEXT, "{DEVICE}", "{NAME}", (OneMember("{NAME}", "{NAME}"),)),
        NewVector(TEXT, "{DEVICE}", "{TEXT}", (OneMember("{TEXT}", "{TEXT}"),)),
        NewVector(TEXT, "{DEVICE}", "{NAME}", (OneMember("{NAME}", "{NAME}"),)),
        NewVector(BLOB, "{DEVICE}", "{TEXT}", (OneBlob("{TEXT}", b"data", 4, "{TEXT}"),)),
        DefVector(TEXT, "{DEVICE}", "{TEXT}", State.OK, (DefMember("{TEXT}", "{TEXT}"),), perm=RW),
        DefVector(TEXT, "{DEVICE}", "{NAME}", State.OK, (DefMember("{NAME}", "{NAME}"),), perm=RW),
        GetProperties("{DEVICE}", "{NAME}"),
        EnableBlob("{DEVICE}", "{TEXT}"),
        DelProperty("{DEVICE}", "{TEXT}"),
        Message("{DEVICE}", "{TEXT}"),
    ],
    ids=lambda message: type(message).__name__,
)
def test_the_words_of_an_enumeration_are_their_values(message: AnyMessage) -> None:
    """And not what `str` and formatting make of them: the names of the class and of the word."""

    def written(value: object, how: Callable[[Old], str]) -> object:
        if isinstance(value, str) and value.startswith("{"):
            return how(Old[value.strip("{}")])
        if isinstance(value, tuple):
            parts = [written(part, how) for part in value]
            return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
        return value

    of_words, plain = (written(message, how) for how in (lambda word: word, lambda word: word.value))
    assert encode(of_words).raw == encode(plain).raw  # type: ignore[arg-type]


def test_plain_frames_are_plain() -> None:
    assert type(encode(Message())) is Frame
