"""The check at the door, and the repair of what is nearly right."""

import re
from dataclasses import replace

import pytest

from indipydriver.errors import MalformedFrame
from indipydriver.protocol.frame import address
from indipydriver.protocol.limits import Limits
from indipydriver.protocol.repair import repair
from indipydriver.protocol.shapes import common, common_definition, common_shapes
from indipydriver.protocol.texts import excerpt
from indipydriver.protocol.wellformed import check, make_address

SET = b'<setNumberVector device="D" name="N" state="Ok" timeout="0" timestamp="2026"><oneNumber name="x">1</oneNumber></setNumberVector>'
DEFINE = (
    b"<defSwitchVector device='D' name='S' label='L' group='G' state='Ok' perm='rw' rule='AnyOfMany' timeout='0' timestamp='T'>\n"
    b"  <defSwitch name='a' label='A'>\nOn\n  </defSwitch>\n</defSwitchVector>"
)


def matched(pattern: re.Pattern[bytes], raw: bytes):
    match = pattern.fullmatch(raw)
    return match and make_address(match[2], match[3][1:-1], match[4][1:-1])


@pytest.mark.parametrize(
    "raw",
    [
        SET,
        SET.replace(b'"', b"'"),
        SET.replace(b" ", b"\n  "),
        SET.replace(b'timeout="0" timestamp="2026"', b'timestamp="2026" timeout="0"'),
        SET.replace(b' timeout="0" timestamp="2026"', b""),
        SET.replace(b' state="Ok"', b""),
        SET.replace(b'"2026"', b'"2026" message="x > y"'),
        SET.replace(b'"x">', b"'x' min='0' max='1' step='2'\n>"),
        SET.replace(b"Number", b"Light"),
        SET.replace(b"setNumber", b"newSwitch").replace(b"Number", b"Switch"),
    ],
)
def test_the_common_shape(raw):
    assert matched(common(), raw) == check(raw, Limits())
    assert common().match(b"\n<?xml version='1.0'?>\n" + raw)


def test_the_common_definition():
    assert matched(common_definition(), DEFINE) == check(DEFINE, Limits()) == address("defSwitchVector", "D", "S")


@pytest.mark.parametrize(
    "raw",
    [
        SET.replace(b"set", b"new").replace(b"Number", b"Light"),  # there is no newLightVector
        SET.replace(b">1<", b">&amp;<"),
        SET.replace(b">1<", "é".encode().join([b">", b"<"])),
        SET.replace(b">1<", b">\x00<"),
        SET.replace(b'"D"', b'"a&amp;b"'),
        SET.replace(b'"D"', b'"' + b"x" * 257 + b'"'),
        SET.replace(b'"D"', b'"a\nb"'),
        SET.replace(b"state", b"name"),
        SET.replace(b"</setN", b"</setT"),
        SET.replace(b"oneNumber>", b"oneText>"),
        SET.replace(b"><o", b">x<o"),
    ],
)
def test_what_is_left_to_expat(raw):
    assert matched(common(), raw) is None


@pytest.mark.parametrize("members", [30, 1000, 1025])
@pytest.mark.parametrize(("pattern", "raw", "kind"), [(common(), SET, b"one"), (common_definition(), DEFINE, b"def")])
def test_a_failure_does_not_try_all_combinations(pattern, raw, kind, members):
    """It would never end."""
    begin, end = raw.index(b">") + 1, raw.rindex(b"<")
    for tail in (b"", b"<", b"</setNumber>", b"<b/>" + raw[end:]):
        assert pattern.match(raw[:begin] + raw[begin:end] * members + tail) is None


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"<foo/>", "<foo> is not an element of INDI"),
        (b"<newLightVector/>", "<newLightVector> is not an element of INDI"),
        (b"<message/><message/>", "junk after document element"),
        (b"<message>", "no element found"),
        (b"<message a='1' a='2'/>", "duplicate attribute"),
        (b"<message a='<'/>", "not well-formed"),
        (b"<message a='&b;'/>", "undefined entity"),
        (b"<message><a><b/></a></message>", "an element inside a member"),
        (b"<message><![CDATA[x]]></message>", "a CDATA section"),
        (b"<message><?pi x?></message>", "a processing instruction"),
        (b"<!DOCTYPE message><message/>", "a DOCTYPE"),
        (b"<message><!-- which repair() takes out --></message>", "a comment"),
        (b"<message a='\xff'/>", "not well-formed"),
    ],
)
def test_what_is_refused(raw, reason):
    with pytest.raises(MalformedFrame, match=re.escape(reason)):
        check(raw, Limits())


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"<%b/>" % (b"x" * 41), "<" + "x" * 40 + "> is not an element of INDI"),
        (b"<message><oneBLOB/></message>", "a <oneBLOB> in a <message>"),
        (
            b"<%b><setTextVector/></%b>" % (b"x" * 41, b"x" * 41),
            "a <setTextVector> in a <" + "x" * 40 + ">",
        ),
        (
            b"<setBLOBVector><%b/></setBLOBVector>" % (b"x" * 41),
            "a <" + "x" * 40 + "> in a <setBLOBVector>",
        ),
        (b"<message %b='%b'/>" % (b"x" * 33, b"v" * 4097), "the attribute '" + "x" * 32 + "' is longer than 4096"),
    ],
)
def test_a_name_in_a_refusal_is_cut(raw, reason):
    with pytest.raises(MalformedFrame) as caught:
        check(raw, Limits())
    assert caught.value.reason == reason


@pytest.mark.parametrize(("given", "passing"), [(16_376, 14_329), (16_384, 14_336), (16_392, 14_344), (800, 700)])
def test_an_eighth_is_left_for_the_way_and_no_more_than_2048_bytes(given, passing):
    assert Limits(frame=given).passing_frame == passing
    assert Limits(start_tag=given).passing_tag == passing


COMMON_LIMITS = Limits(name=256, attribute_value=256, members=1024, attributes=10)


def test_the_common_shapes_are_used_where_the_limits_are_as_wide_as_they_are():
    assert common_shapes(COMMON_LIMITS) == (common(), common_definition())
    for limit in ("name", "attribute_value", "members", "attributes"):
        for shape in common_shapes(replace(COMMON_LIMITS, **{limit: getattr(COMMON_LIMITS, limit) - 1})):
            assert shape.match(SET) is shape.match(DEFINE) is None


@pytest.mark.parametrize(("less_than", "reason"), [(0, "not well-formed"), (1, "more tags than 1 members have")])
def test_tags_are_counted_before_they_are_looked_at(less_than, reason):
    limits = Limits(members=1, start_tag=80, frame=10_000)
    raw = b"<message>" + b"x" * 100 + b"<" * (6 + less_than) + b"</message>"
    with pytest.raises(MalformedFrame, match=reason):
        check(raw, limits)


def test_a_refusal_says_what_it_was():
    with pytest.raises(MalformedFrame) as caught:
        check(b"<message>\x1b[1m</message>", Limits())
    assert caught.value.tag == "message"
    assert caught.value.excerpt == "<message>\\x1b[1m</message>"


@pytest.mark.parametrize(
    ("raw", "mended"),
    [
        (b"<message message='ok &amp; &lt; &quot;'/>", b"<message message='ok &amp; &lt; &quot;'/>"),
        (b"<message message='A & B &c; &; &#;'/>", b"<message message='A &amp; B &amp;c; &amp;; &amp;#;'/>"),
        (b"<message message='&#233;&#xe9;&#x1F52D;'/>", "<message message='éé🔭'/>".encode()),
        (b"<message message='&#0;&#8;&#127;&#128;&#xD800;&#xFFFE;&#x110000;&#9999999;'/>", b"<message message=''/>"),
        (b"<message message='&#60;&#34;&#39;&#62;&#38;'/>", b"<message message='&lt;&quot;&apos;&gt;&amp;'/>"),
        (b"<message message='\xe9'/>", "<message message='é'/>".encode()),
        (b"<message message='a\x00\x1b\x7fb\t'/>", b"<message message='ab\t'/>"),
        (b"<message message='a<b' x=\"<'\"/>", b"<message message='a&lt;b' x=\"&lt;'\"/>"),
        (
            b"<message message='&#x10FFFF;&#1114112;&#xFFFD;&#32;&#31;'/>",
            "<message message='\U0010ffff\ufffd '/>".encode(),
        ),
        (
            b"<message>" + bytes(range(9)) + b"\x0b\x0c" + bytes(range(14, 32)) + b" \t</message>",
            b"<message> \t</message>",
        ),
        (b"<message>a<!---->b<!-- c -->d</message>", b"<message>abd</message>"),
        (b"<message>a<!---> b -->c</message>", b"<message>ac</message>"),
        (b"<message>a]]>b</message>", b"<message>a]]&gt;b</message>"),
        (b"<message>a<!-- b -->c<!-- > -->d</message>", b"<message>acd</message>"),
        (b"<message>a<!-- b</message>", b"<message>a<!-- b</message>"),
    ],
)
def test_repair(raw, mended):
    assert repair(raw) == mended
    assert repair(mended) == mended


def test_text_that_looks_like_an_attribute_is_left_alone():
    raw = (
        b"<setTextVector device='\xe9'><oneText name='a'>x=\"</oneText><oneText name='b'>y=\"</oneText></setTextVector>"
    )
    assert repair(raw) == raw.replace(b"\xe9", "é".encode())
    check(repair(raw), Limits())


def test_excerpt():
    assert excerpt(b"abc") == "abc"
    assert excerpt(b"a\nb\x1b\x00\xff") == "a\\nb\\x1b\\x00\ufffd"
    assert excerpt(b"x" * 81) == "x" * 80 + "..."
    assert len(excerpt(b"x" * 1_000_000)) == 83


XML = "http://www.w3.org/XML/1998/namespace"


@pytest.mark.parametrize(
    "attribute",
    ["x:y='1'", ":a='1'", "xmlns:xml='q'", "xmlns:x=''", "x:device='E'", "xmlns='a}b'", f"xmlns='{XML}'"],
)
def test_what_the_decoder_could_not_read_is_not_passed_on(attribute):
    """It knows name spaces; a command that only some can read would be in no audit log."""
    raw = f"<newSwitchVector device='D' name='S' {attribute}><oneSwitch name='s'>On</oneSwitch></newSwitchVector>"
    with pytest.raises(MalformedFrame, match="bad XML"):
        check(raw.encode(), Limits())
    declared = raw.replace(attribute, "xmlns:x='q' x:y='1'")
    assert check(declared.encode(), Limits()).device == "D"
