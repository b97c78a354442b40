"""The framer against what real peers send, and what nobody should."""

import tracemalloc

import pytest

from indipydriver.errors import FrameTooLarge, MalformedFrame
from indipydriver.protocol.blobs import BlobCollector, BlobHook
from indipydriver.protocol.frame import BlobFrame, address
from indipydriver.protocol.framer import Framer, Limits
from indipydriver.protocol.tags import TAGS
from tests.support import allowed
from tests.support.cutting import BLOB_END, BLOB_START, NUMBER, TAIL, alike, outcome_of, text_vector, texts

JUNK = "text that belongs to no element"
# What real peers do: what is sent, what comes out, reasons of the faults.
DEVIATIONS = [
    pytest.param(
        b"<?xml version='1.0'?>\n" + NUMBER + b"\n<?xml version='1.0'?>\n" + NUMBER,
        [NUMBER, NUMBER],
        [],
        id="xml-declarations",
    ),
    pytest.param(
        b"<message device='D' message='mixed \"dq\" > in sq'/>" + b'<message device="it\'s"/>',
        [b"<message device='D' message='mixed \"dq\" > in sq'/>", b'<message device="it\'s"/>'],
        [],
        id="both-quotes",
    ),
    pytest.param(
        NUMBER.replace(b" ", b"\n\t  ").replace(b">", b"\n>"),
        [NUMBER.replace(b" ", b"\n\t  ").replace(b">", b"\n>")],
        [],
        id="odd-space",
    ),
    pytest.param(
        text_vector(b"\n      two words \n   next\n  "),
        [text_vector(b"\n      two words \n   next\n  ")],
        [],
        id="padded",
    ),
    pytest.param(
        b'<setTextVector device="D" name="T"><oneText name="UTC"/></setTextVector>'
        + text_vector(b"")
        + text_vector(b" \n"),
        [
            b'<setTextVector device="D" name="T"><oneText name="UTC"/></setTextVector>',
            text_vector(b""),
            text_vector(b" \n"),
        ],
        [],
        id="empty-values",
    ),
    pytest.param(
        b"<defTextVector device='D' name='T' state='Ok' perm='ro'><defText name='t'/></defTextVector>",
        [b"<defTextVector device='D' name='T' state='Ok' perm='ro'><defText name='t'/></defTextVector>"],
        [],
        id="missing-attributes",
    ),
    pytest.param(
        b"<setSwitchVector device='' name=''>\n</setSwitchVector><defNumberVector device='D' name='N'>"
        b"<defNumber name='' format='' min='9' max='1' step='0'>5</defNumber></defNumberVector>",
        [
            b"<setSwitchVector device='' name=''>\n</setSwitchVector>",
            b"<defNumberVector device='D' name='N'><defNumber name='' format='' min='9' max='1' step='0'>5</defNumber></defNumberVector>",
        ],
        [],
        id="empty-names",
    ),
    pytest.param(
        NUMBER + b"<delProperty device='D'/>" + NUMBER + NUMBER,
        [NUMBER, b"<delProperty device='D'/>", NUMBER, NUMBER],
        [],
        id="no-definition",
    ),
    pytest.param(
        b"<defSwitchVector device='D' name='S' state='Ok' perm='rw' rule='OneOfMany'><defSwitch name='a'>On</defSwitch>"
        b"<defSwitch name='b'>On</defSwitch></defSwitchVector>",
        [
            (
                b"<defSwitchVector device='D' name='S' state='Ok' perm='rw' rule='OneOfMany'><defSwitch name='a'>On</defSwitch>"
                b"<defSwitch name='b'>On</defSwitch></defSwitchVector>"
            )
        ],
        [],
        id="two-of-one-of-many",
    ),
    pytest.param(
        NUMBER.replace(b'"D"', b'"F1"') + NUMBER.replace(b'"D"', b'"F2"'),
        [NUMBER.replace(b'"D"', b'"F1"'), NUMBER.replace(b'"D"', b'"F2"')],
        [],
        id="two-devices",
    ),
    pytest.param(NUMBER.replace(b'"N"', b'"x"'), [NUMBER.replace(b'"N"', b'"x"')], [], id="named-like-a-member"),
    pytest.param(
        b"<!-- tricky > <b> <message device='no'/> -->" + text_vector(b"x<!-- y > z -->z"),
        [text_vector(b"xz")],
        [],
        id="comments",
    ),
    pytest.param(
        b"<!---->" + NUMBER + b"<!---> <message/> -->" + NUMBER + b"<!-- <!---->" + NUMBER,
        [NUMBER] * 3,
        [],
        id="short-comments",
    ),
    pytest.param(
        text_vector(b"\xb0C") + text_vector("°C".encode()),
        [text_vector("°C".encode()), text_vector("°C".encode())],
        [],
        id="latin-1-and-utf-8",
    ),
    pytest.param(
        text_vector(b"a&#176;&#xB5;&#60;&#38;lt;"),
        [text_vector("a°µ&lt;&amp;lt;".encode())],
        [],
        id="numeric-references",
    ),
    pytest.param(
        text_vector(b"A & B &amp; C&nbsp;"), [text_vector(b"A &amp; B &amp; C&amp;nbsp;")], [], id="bare-ampersand"
    ),
    pytest.param(
        b"<message device='D' message='5 < 6 > 4 <b'/>",
        [b"<message device='D' message='5 &lt; 6 > 4 &lt;b'/>"],
        [],
        id="less-than",
    ),
    pytest.param(text_vector(b"a\x00\x1b[1mb\x07\tc"), [text_vector(b"a[1mb\tc")], [], id="control-bytes"),
    pytest.param(b"fs_sexa: 12 \n" + NUMBER + b" < 3 <b>\n" + NUMBER, [NUMBER, NUMBER], [JUNK, JUNK], id="stray-text"),
    pytest.param(NUMBER * 5, [NUMBER] * 5, [], id="many-at-once"),
    pytest.param(
        b"<setBLOBVector device='D' name='B'><oneBLOB name='b' size='60000' format='.x'>"
        + b"QUJD" * 200_00
        + b"</oneBLOB></setBLOBVector>",
        [
            b"<setBLOBVector device='D' name='B'><oneBLOB name='b' size='60000' format='.x'>"
            + b"QUJD" * 200_00
            + b"</oneBLOB></setBLOBVector>"
        ],
        [],
        id="blob",
    ),
    pytest.param(
        b"<foo device='D'><bar/></foo><newLightVector device='D' name='L'><oneLight name='l'>Ok</oneLight></newLightVector>"
        b'<newLightVector device="D" name="L"></newLightVector>' + NUMBER.replace(b"state", b"hints='x' state"),
        [NUMBER.replace(b"state", b"hints='x' state")],
        [JUNK],
        id="unknown",
    ),
    pytest.param(
        NUMBER.replace(b"state", b"device='E' state") + NUMBER,
        [NUMBER],
        ["bad XML: duplicate attribute: line 1, column 37"],
        id="duplicate-attribute",
    ),
    pytest.param(
        text_vector(b"<![CDATA[x]]>") + b"<!DOCTYPE x [<!ENTITY e 'zzz'>]>" + NUMBER,
        [NUMBER],
        ["a CDATA section", JUNK],
        id="cdata-doctype",
    ),
    pytest.param(
        b"<setSwitchVector device='D' name='S' state='OK'><oneSwitch name='s'> On </oneSwitch></setSwitchVector>",
        [b"<setSwitchVector device='D' name='S' state='OK'><oneSwitch name='s'> On </oneSwitch></setSwitchVector>"],
        [],
        id="odd-words",
    ),
    pytest.param(NUMBER.replace(b">1<", b">-nan<"), [NUMBER.replace(b">1<", b">-nan<")], [], id="nan"),
    pytest.param(
        b"<setBLOBVector device='D' name='B'><oneBLOB name='b'>QUJD</oneBLOB></setBLOBVector>",
        [b"<setBLOBVector device='D' name='B'><oneBLOB size=\"3\" name='b'>QUJD</oneBLOB></setBLOBVector>"],
        [],
        id="no-size",
    ),
    pytest.param(
        b"<message timestamp='2026-01-02 03:04:05.6Z'/>",
        [b"<message timestamp='2026-01-02 03:04:05.6Z'/>"],
        [],
        id="timestamps",
    ),
    pytest.param(NUMBER + text_vector(b"x") + NUMBER, [NUMBER, text_vector(b"x"), NUMBER], [], id="any-order"),
]


@pytest.mark.parametrize(("sent", "expected", "reasons"), DEVIATIONS)
@pytest.mark.parametrize("tail", [b"", TAIL], ids=["whole", "with-a-tail"])
def test_deviations(sent, expected, reasons, tail):
    if not tail and reasons and reasons[-1] == JUNK and not sent.rstrip().endswith(b"Vector>"):
        pytest.fail("junk is reported when an element follows")
    outcome = alike(sent + tail)
    assert outcome.raws == expected + [tail.strip()] * bool(tail)
    assert outcome.reasons == reasons


def test_addresses():
    outcome = alike(
        NUMBER
        + b"<getProperties version='1.7'/>"
        + b"<message device='A &amp; B'/>"
        + b"<delProperty device='\xc3\xa9' name=''/>"
        + b'<defLightVector name="n" device="d"/>'
    )
    assert [frame.address for frame in outcome.frames] == [
        address("setNumberVector", "D", "N"),
        address("getProperties"),
        address("message", "A & B"),
        address("delProperty", "é", ""),
        address("defLightVector", "d", "n"),
    ]


@pytest.mark.parametrize("tag", TAGS)
def test_every_tag(tag):
    name = tag.encode()
    for element in (
        b"<%s/>",
        b"<%s />",
        b"<%s\n/>",
        b"<%s></%s>",
        b"<%s  ></%s  >",
        b"<%s device='D' name='N'>\n</%s\n>",
    ):
        element = element.replace(b"%s", name)
        assert alike(element + TAIL).raws == [element, TAIL.strip()]


# Resynchronisation: every one of these costs no element but the broken one.
@pytest.mark.parametrize(
    "broken",
    [
        b"<message device='D' message=noquote/>",
        b"<message device='D' message='no end/>",
        b'<message device="D" message="no end/>',
        b"<message device='D' <b/>",
        b"<message device=",
        b"<message",
        b"<message ",
        b"<setNumberVector device='D' name='N'><oneNumber name='x'>1</oneNumber>",
        b"<setNumberVector device='D' name='N'><oneNumber name='x>1</oneNumber></setNumberVector>",
        b"<setNumberVector device='D' name='N'><oneNumber name='x'>1</oneNumbr></setNumberVector>",
        b"<setNumberVector device='D' name='N'><oneNumber name='x'>1<oneNumber>2</oneNumber></oneNumber></setNumberVector>",
        b"<setNumberVector device='D' name='N'>",
        b"<setNumberVector device='D' name='N'></setTextVector>",
        b"<setNumberVector device='D' name='N'><oneNumber name='x'>5 < 6</oneNumber></setNumberVector>",
        b"<setNumberVector device='D' name='N' name='M'></setNumberVector>",
        b"<setTextVector device='D' name='N'></setTextVector" + b" " * 100 + b">",
        b"</setNumberVector>",
        b"<setNumberVectors/>",
        b"<setNumberVecto",
        b"<",
        b"<<<",
        b"< message/>",
        b"<1/>",
        b"<?",
        b"<? oops",
        b"<?xml <b>",
        b"<!",
        b"<!-",
        b"<!- x -->",
        b"\x00\xff\xfe",
        b"&amp;",
        b"<setBLOBVector device='D' name='B'>",
        b"<setBLOBVector device='D' name='B'><oneBLOB name='b'",
        b"<setBLOBVector device='D' name='B'><oneBLOB name='b>QUJD</oneBLOB></setBLOBVector>",
        b"<setBLOBVector device='D' name='B'><oneBLOB name='b'>QUJD",
        b"<setBLOBVector device='D' name='B'><oneBLOB name='b'>QUJD<",
        b"<setBLOBVector device='D' name='B'><oneBLOB name='b'>QUJD</",
        b"<setBLOBVector device='D' name='B'><oneBLOB name='b'>QUJD</oneBL",
    ],
)
def test_resynchronisation(broken):
    outcome = alike(NUMBER + broken + b"\n" + NUMBER + TAIL)
    assert outcome.raws == [NUMBER, NUMBER, TAIL.strip()]
    # A broken start tag and what is left of it count as two.
    assert outcome.dropped == len(outcome.faults) == (2 if b"<b/>" in broken else 1)


def test_the_start_of_an_element_is_one_even_in_quotes():
    """A quote that is missing must not cost what follows, so a quoted start is taken for one."""
    outcome = alike(b"<message message='say <message device=\"D\"/> now'/>" + TAIL)
    assert outcome.raws == [b'<message device="D"/>', TAIL.strip()]
    assert outcome.reasons == ["broken start tag", JUNK]


@pytest.mark.parametrize("text", [b"<!-&#0;- x -->", b"<!<!-- x -->-- y -->", b"<!-&#1;- \xe9 -->"])
def test_a_comment_that_mending_would_make_does_not_come_out(text):
    outcome = alike(text_vector(text) + NUMBER)
    assert outcome.raws == [NUMBER]


def test_an_end_tag_in_a_comment_ends_the_element():
    """The known limit of framing by the first end tag."""
    outcome = alike(text_vector(b"a<!-- </setTextVector> -->b") + TAIL)
    assert outcome.raws == [TAIL.strip()]


def test_faults_are_bounded_but_counted_and_the_last_one_is_kept():
    framer = Framer(Limits(junk=1000))
    framer.feed((b"x" + NUMBER) * 100)
    assert len(framer.faults) == Framer.MAX_FAULTS
    assert framer.dropped == 100
    framer.feed(b"x" * 1001)
    assert isinstance(framer.failed, FrameTooLarge)
    assert framer.faults[-1] is framer.failed
    assert framer.feed(NUMBER) == []


def test_junk_is_reported_with_the_element_that_ends_it():
    framer = Framer()
    framer.feed(b"some words")
    assert not framer.faults
    assert len(framer.feed(NUMBER)) == 1
    assert [str(fault) for fault in framer.faults] == [f"{JUNK}: some words"]


def test_invented_names_do_not_grow_the_cache():
    framer = Framer()
    kept = []
    for i in range(10_000):
        framer.feed(NUMBER.replace(b'"D"', b'"D%d"' % i))
        kept.append(len(framer._addresses))
    assert max(kept) == 4096


# BLOBs


def blob_of(outcome) -> BlobFrame:
    frame = outcome.frames[0]
    assert isinstance(frame, BlobFrame)
    return frame


def test_a_blob_keeps_its_pieces_and_says_where_the_text_is():
    data = (
        BLOB_START
        + b"QUJD" * 18
        + b"\nREVG"
        + b"</oneBLOB><oneBLOB name='c' size='0'/><oneBLOB name='d' size='0'></oneBLOB>\n</setBLOBVector>"
    )
    outcome = alike(data + TAIL)
    frame = blob_of(outcome)
    assert frame.raw == data
    assert frame.size == len(data)
    assert texts(frame) == [b"QUJD" * 18 + b"\nREVG", b"", b""]
    assert frame.skeleton == (
        BLOB_START + b"</oneBLOB><oneBLOB name='c' size='0'/><oneBLOB name='d' size='0'></oneBLOB> </setBLOBVector>"
    )
    assert frame.address == address("setBLOBVector", "D", "B")
    assert outcome.raws[1:] == [TAIL.strip()]


@pytest.mark.parametrize(
    ("data", "members"),
    [
        (b"<setBLOBVector device='D' name='B' state='Busy'></setBLOBVector>", 0),
        (b"<setBLOBVector device='D' name='B' state='Busy'>\n</setBLOBVector>", 0),
        (
            b"<setBLOBVector device='D' name='B'><oneBLOB name='b' size='0' enclen='0' format=''>\n</oneBLOB></setBLOBVector>",
            1,
        ),
        (b"<setBLOBVector device='D' name='B'><oneBLOB name='b' size='0' format=''/></setBLOBVector>", 1),
        (
            b"<newBLOBVector device='D' name='B'><oneBLOB name='b' size='3' format='.x'>QUJD</oneBLOB></newBLOBVector  >",
            1,
        ),
    ],
)
def test_blobs_without_much_in_them(data, members):
    outcome = alike(data + TAIL)
    assert outcome.raws == [data, TAIL.strip()]
    assert len(blob_of(outcome).spans) == members


def test_a_self_closed_blob_vector_is_an_element_like_others():
    outcome = alike(b"<setBLOBVector device='D' name='B' state='Ok'/>" + TAIL)
    assert outcome.raws == [b"<setBLOBVector device='D' name='B' state='Ok'/>", TAIL.strip()]


def test_tags_of_a_blob_cut_anywhere():
    data = BLOB_START + b"QUJD</oneBLOB>\n<oneBLOB name='x > y' size='3'>REVG" + BLOB_END + TAIL
    whole = outcome_of([data])
    assert len(whole.frames) == 2
    for at in range(len(data)):
        cut = outcome_of([data[:at], data[at:]])
        assert (cut.raws, cut.faults) == (whole.raws, [])
        assert blob_of(cut).spans == blob_of(whole).spans


@pytest.mark.parametrize(
    ("device", "name"),
    [("é".encode(), "Ã©"), (b"\xe9", "é"), (b"A & B", "A & B"), (b"&#233;", "é"), (b"a\x07b", "ab")],
)
def test_names_of_a_blob_are_mended_and_its_text_is_not_touched(device, name):
    data = (
        BLOB_START.replace(b"'D'", b"'" + device + b"'")
        + b"QUJD\n</oneBLOB> <oneBLOB name='\xe9' size='3'>REVG"
        + BLOB_END
    )
    frame = blob_of(alike(data + TAIL))  # one byte that is not UTF-8, and the whole is Latin-1
    assert frame.address == address("setBLOBVector", name, "B")
    assert f"'{name.replace('&', '&amp;')}'".encode() in frame.raw
    assert texts(frame) == [b"QUJD\n", b"REVG"]
    frame.raw.decode("utf-8")
    assert frame.size == len(frame.raw)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (BLOB_START + b"QUJD&amp;" + BLOB_END, "bytes in a BLOB that are not base64"),
        (BLOB_START + b"QUJD\xe9" + BLOB_END, "bytes in a BLOB that are not base64"),
        (BLOB_START + b"QUJD<!-- c -->" + BLOB_END, "a comment, a declaration or a broken tag in a BLOB"),
        (BLOB_START + b"QUJD<?pi?>" + BLOB_END, "a comment, a declaration or a broken tag in a BLOB"),
        (BLOB_START + b"<![CDATA[QUJD]]>" + BLOB_END, "a comment, a declaration or a broken tag in a BLOB"),
        (BLOB_START + b"QUJD< " + BLOB_END, "a comment, a declaration or a broken tag in a BLOB"),
        (BLOB_START + b"QUJD<x <y/>" + BLOB_END, "a comment, a declaration or a broken tag in a BLOB"),
        (BLOB_START + b"QUJD<b/>" + BLOB_END, "an element inside a member"),
        (BLOB_START + b"QUJD</oneBLOB></oneBLOB></setBLOBVector>", "an end tag without its start in a BLOB"),
        (
            b"<setBLOBVector device='D'>words" + BLOB_START[BLOB_START.index(b"<one") :] + BLOB_END,
            "text beside the oneBLOB elements",
        ),
        (
            b"<setBLOBVector device='D'>\x0b" + BLOB_START[BLOB_START.index(b"<one") :] + BLOB_END,
            "text beside the oneBLOB elements",
        ),
    ],
)
def test_what_a_blob_must_not_hold(broken, reason):
    outcome = alike(broken + TAIL)
    assert outcome.raws == [TAIL.strip()]
    assert outcome.reasons == [reason]


@pytest.mark.parametrize(
    "bad", [b"</oneBLOBB>", b"</oneBLOB x='1'>", b"<oneBLOB name='a' name='b'/>", b"<oneBLOB name=b/>"]
)
def test_tags_of_a_blob_are_checked(bad):
    outcome = alike(b"<setBLOBVector device='D' name='B'><oneBLOB name='b'>QUJD" + bad + b"</setBLOBVector>" + TAIL)
    assert outcome.raws == [TAIL.strip()]
    assert outcome.faults[0][0] is MalformedFrame


@pytest.mark.measured
def test_a_large_broken_blob_costs_neither_the_link_nor_memory():
    framer = Framer()
    tracemalloc.start()
    try:
        framer.feed(BLOB_START + b"<!-- made by hand -->")
        for _ in range(200):
            assert framer.feed(b"QUJD" * 4096) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < allowed(1 << 18)
    assert [frame.raw for frame in framer.feed(BLOB_END + TAIL)] == [TAIL.strip()]
    assert framer.failed is None


def test_a_blob_is_not_copied():
    chunk = b"QUJD" * (1 << 14)
    framer = Framer()
    framer.feed(BLOB_START)
    for _ in range(4):
        framer.feed(chunk)
    (frame,) = framer.feed(BLOB_END)
    assert sum(piece is chunk for piece in frame.chunks) == 3  # the first is behind a small one


def test_unfinished():
    framer = Framer()
    assert framer.unfinished == 0
    framer.feed(NUMBER[:40])
    assert framer.unfinished == 40
    framer.feed(NUMBER[40:])
    assert framer.unfinished == 0
    framer.feed(BLOB_START + b"A" * 100)
    assert framer.unfinished == len(BLOB_START) + 100
    framer.feed(BLOB_END)
    assert framer.unfinished == 0


@pytest.mark.parametrize(
    ("begun", "rest"),
    [
        (NUMBER[:40], NUMBER[40:]),
        (BLOB_START, b"QUJD" + BLOB_END),
        (b"junk", NUMBER),
        (b"<!-- a comment", b"-->" + NUMBER),
        (b"<message message='" + b"x" * 2000, b"'></message>"),
    ],
    ids=["element", "BLOB", "junk", "comment", "skipped"],
)
def test_what_has_begun_and_not_ended(begun, rest):
    framer = Framer(Limits(start_tag=1000), lenient=True)
    assert not framer.is_within
    framer.feed(begun)
    assert framer.is_within
    framer.feed(rest)
    assert not framer.is_within


@pytest.mark.parametrize("label", [b"L", "é".encode(), b"\xe9", b"&#65;", b"a & b"])
def test_a_name_does_not_depend_on_what_stands_beside_it(label):
    """A control character is taken out of it everywhere, or the definition and the updates have different names."""
    definition = b"<defTextVector device='D\x7f' name='T' label='" + label + b"' state='Ok' perm='ro'></defTextVector>"
    outcome = alike(definition + b"<setTextVector device='D\x7f' name='T'></setTextVector>" + TAIL)
    assert [frame.device for frame in outcome.frames[:2]] == ["D", "D"]


class Watching(BlobHook):
    """Notes what it is told, and hands on only what is not to be refused."""

    def __init__(self, refused: bool = False, fails: bool = False) -> None:
        self.notes: list[tuple[object, ...]] = []
        self.refused = refused
        self.fails = fails

    def begin(self, tag: bytes, start_tag: bytes, limits: Limits) -> BlobCollector:
        self.notes.append(("begin", tag))
        return super().begin(tag, start_tag, limits)

    def end(
        self, framer: Framer, blob: BlobCollector, frame: BlobFrame | None, data: bytes, pos: int
    ) -> BlobFrame | None:
        self.notes.append(("end", frame is not None, blob.size, data[pos:]))
        if self.fails:
            framer.fail(MalformedFrame("no more"))
        return None if self.refused else frame

    def skipped(self, data: bytes, pos: int) -> None:
        self.notes.append(("skipped", data[pos:]))


WHOLE = BLOB_START + b"QUJD" + BLOB_END


def test_a_link_hears_of_each_blob_and_decides_what_is_handed_on():
    hook = Watching()
    assert [type(frame) for frame in Framer(blobs=hook).feed(WHOLE + TAIL)][:1] == [BlobFrame]
    assert hook.notes == [("begin", b"setBLOBVector"), ("end", True, len(WHOLE), TAIL)]
    hook = Watching(refused=True)
    assert [frame.raw for frame in Framer(blobs=hook).feed(WHOLE + TAIL)] == [TAIL.strip()]
    hook = Watching()
    framer = Framer(blobs=hook)
    framer.feed(WHOLE.replace(b"QUJD", b"Q&JD"))
    assert hook.notes[1][:2] == ("end", False)
    assert len(framer.faults) == 1


def test_a_link_may_fail_at_a_blob_and_nothing_comes_after_it():
    framer = Framer(blobs=Watching(fails=True, refused=True))
    assert framer.feed(WHOLE + TAIL) == []
    assert framer.feed(TAIL) == []
    assert str(framer.failed) == "no more"
    assert framer.faults == [framer.failed]


def test_a_link_hears_how_far_is_skipped():
    hook = Watching()
    framer = Framer(Limits(blob=100), lenient=True, blobs=hook)
    framer.feed(BLOB_START + b"QUJD" * 100)
    framer.feed(BLOB_END + TAIL)
    assert [note[0] for note in hook.notes] == ["begin", "skipped", "skipped"]
    assert hook.notes[1] == ("skipped", b"")
    assert hook.notes[2][1].strip().startswith(TAIL.strip()[:5])
