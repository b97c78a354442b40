"""Any bytes, cut anywhere."""

import re
from collections import Counter
from xml.parsers import expat

from hypothesis import example, given, settings
from hypothesis import strategies as st

from indipydriver.errors import FrameTooLarge, MalformedFrame
from indipydriver.protocol.frame import BlobFrame, Frame
from indipydriver.protocol.framer import Framer, Limits
from indipydriver.protocol.shapes import common, common_definition
from indipydriver.protocol.tags import TAGS, Verb
from indipydriver.protocol.wellformed import check, make_address
from tests.support.cutting import TAIL, outcome_of, spans

SMALL = Limits(frame=400, blob=600, start_tag=200, junk=100, members=4, name=20, attributes=6, attribute_value=40)

# Pieces of which nearly everything interesting can be built.
FRAGMENTS = [
    b"<", b">", b"/>", b"</", b'"', b"'", b"=", b" ", b"\n", b"&", b"&amp;", b"&#65;", b"<!--", b"-->", b"-", b"<?", b"?>", b"<?xml version='1.0'?>",
    b"<![CDATA[", b"]]>", b"<!DOCTYPE x>", b"\x00", b"\xff", "é".encode(), b"QUJD", b"words", b"<b>", b"</b>", b"x" * 90,
    b"<message", b"<message ", b"<message/>", b" device='D'", b' name="N"', b" state='Ok'", b" message='a > b'", b" timeout='6'", b" timestamp='T'",
    b"<setNumberVector", b"<setNumberVector device='D' name='N'>", b"<oneNumber name='x'>", b"<oneNumber name='x' min='0'\n>", b"</oneNumber>",
    b"</setNumberVector>", b"</setNumberVector >", b"<defTextVector device='D' name='T' label='L'>", b"<defText name='t'>", b"</defText>", b"</defTextVector>",
    b"<setBLOBVector device='D' name='B'>", b"<oneBLOB name='b' size='3' format='.x'>", b"<oneBLOB name='b'/>", b"</oneBLOB>", b"</setBLOBVector>",
    b"<setSwitchVector device='D' name='S'><oneSwitch name='s'>On</oneSwitch></setSwitchVector>", b"<newLightVector device='D' name='L'></newLightVector>",
]  # fmt: skip

streams = st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=3), max_size=30).map(b"".join)
# Of the former hardly one in ten has a whole element in it, and none a whole BLOB.
elements_and_others = st.lists(
    st.deferred(lambda: elements() | blobs() | near_common()) | st.sampled_from(FRAGMENTS[:12]),
    min_size=1,
    max_size=6,
).map(b"".join)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    places = sorted({place % (len(data) + 1) for place in places})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def without_sizes(outcome):
    return (
        outcome.raws,
        [f.address for f in outcome.frames],
        [spans(f) for f in outcome.frames],
        outcome.faults,
        outcome.dropped,
    )


@given(streams | elements_and_others, st.lists(st.integers(0, 10_000), max_size=8), st.sampled_from([SMALL, Limits()]))
@example(b"junk<setSwitchVector device='D' name='S'></setSwitchVector>", [4], Limits())
@example(b"<?xml x><setSwitchVector device='D' name='S'></setSwitchVector>", [4], Limits())
def test_any_cut_gives_the_same(data, places, limits):
    data += TAIL  # what is unfinished is not judged before a ">"
    whole = outcome_of([data], limits)
    assert without_sizes(outcome_of(cut(data, places), limits)) == without_sizes(whole)
    assert without_sizes(outcome_of([data[i : i + 1] for i in range(len(data))], limits)) == without_sizes(whole)


# Most of it is beyond some limit.
TINY = Limits(frame=180, blob=200, start_tag=140, junk=40, members=4, name=20, attributes=6, attribute_value=40)
LARGE = [
    b"x" * 90,
    b"a='" + b"y" * 99,
    b"<!--" + b"z" * 40,
    b"<x a='",
    b"<?" + b"d" * 99,
    b"</newBLOBVector",
    b" " * 63,
]
too_large = st.lists(
    st.deferred(lambda: elements() | blobs()) | st.sampled_from(FRAGMENTS + 3 * LARGE) | st.binary(max_size=3),
    max_size=20,
).map(b"".join)


@given(streams | elements_and_others | too_large, st.lists(st.integers(0, 10_000), max_size=8), st.sampled_from([SMALL, TINY]))  # fmt: skip
def test_any_cut_gives_the_same_where_what_is_too_large_is_skipped(data, places, limits):
    data += TAIL
    whole = outcome_of([data], limits, lenient=True)
    assert without_sizes(outcome_of(cut(data, places), limits, lenient=True)) == without_sizes(whole)
    bytewise = outcome_of([data[i : i + 1] for i in range(len(data))], limits, lenient=True)
    assert without_sizes(bytewise) == without_sizes(whole)
    # Nothing else is lost: up to the first that is too large it is as ever, and what follows comes again.
    strict = outcome_of([data], limits)
    assert whole.raws[: len(strict.raws)] == strict.raws
    again = outcome_of([data + TAIL], limits, lenient=True).raws
    assert b"<!--" in data or again[-1] == TAIL.strip()


def named(*names):
    """Names as they count: a blank one is as good as none."""
    return [name if name and name.strip() else None for name in names]


def test_any_bytes_give_frames_or_faults():
    met = Counter()

    @settings(max_examples=300)
    @given(
        st.binary(max_size=200) | streams | elements_and_others | too_large, st.sampled_from([SMALL, TINY, Limits()])
    )
    def frames_or_faults(data, limits):
        framer = Framer(limits)
        frames = framer.feed(data)
        assert all(isinstance(fault, MalformedFrame | FrameTooLarge) for fault in framer.faults)
        assert bool(framer.failed) == any(isinstance(fault, FrameTooLarge) for fault in framer.faults)
        met.update(type(fault) for fault in framer.faults)
        for frame in frames:
            met[type(frame)] += 1
            parser = expat.ParserCreate("utf-8")
            tags = []
            parser.StartElementHandler = lambda _, attributes, tags=tags: tags.append(attributes)
            parser.Parse(frame.skeleton if isinstance(frame, BlobFrame) else frame.raw, True)
            assert TAGS[frame.tag.text] is frame.tag
            device, name = named(tags[0].get("device"), tags[0].get("name"))
            if frame.tag.verb is Verb.GET and device is None:
                name = None  # all are asked for
            assert named(frame.device, frame.name) == [device, name]
            assert frame.raw.strip() == frame.raw
            # What has come out once comes out again as it is.
            again = outcome_of([frame.raw], limits)
            assert (again.raws, again.faults) == ([frame.raw], [])
            assert again.frames[0].address == frame.address

    frames_or_faults()
    for kind in (Frame, BlobFrame, MalformedFrame, FrameTooLarge):
        assert met[kind] >= 5, f"hardly any {kind.__name__} is met: {met}"


words = st.text(st.characters(codec="utf-8", exclude_characters="<>&\"'", exclude_categories=["Cc", "Cs"]), max_size=12)
escaped = st.lists(words | st.sampled_from(["&amp;", "&lt;", "&quot;"]), max_size=3).map("".join)


ALL_TAGS = tuple(sorted(TAGS))


@st.composite
def elements(draw, tags=ALL_TAGS):
    """Well-formed elements that no repair is needed for."""
    tag = TAGS[draw(st.sampled_from(tags))]
    quote = draw(st.sampled_from("\"'"))
    attributes = "".join(
        # A deletion with a name and no device is dropped, so the device has a name.
        f"{draw(st.sampled_from([' ', '  ']))}{key}={quote}{'D' * (key == 'device')}{draw(escaped)}{quote}"
        for key in draw(st.sampled_from([(), ("device",), ("device", "name"), ("device", "name", "state", "message")]))
    )
    if tag.child is None:
        return f"<{tag.text}{attributes}/>".encode()
    value = st.just("QUJD") if tag.is_blob else escaped
    size = f" size={quote}3{quote}" if tag.is_blob else ""
    children = "".join(
        f"<{tag.child} name={quote}{draw(words)}{quote}{size}>{draw(value)}</{tag.child}>"
        for _ in range(draw(st.integers(0, 3)))
    )
    return f"<{tag.text}{attributes}>{children}</{tag.text}>".encode()


def blobs():
    return elements(["setBLOBVector", "newBLOBVector"])


# Junk that cannot swallow what follows: no comment is begun.
junk = st.lists(st.sampled_from([f for f in FRAGMENTS if b"Vector" not in f and f not in (b"<!--", b"<message", b"<message ", b"-", b"<message/>", b"<", b"<?")]),
                max_size=4).map(b"".join)  # fmt: skip


@given(st.lists(st.tuples(junk, elements()), max_size=6), st.lists(st.integers(0, 10_000), max_size=8))
def test_elements_with_junk_between_come_out_whole(stream, places):
    data = b"".join(rubbish + element for rubbish, element in stream)
    outcome = outcome_of(cut(data, places))
    assert outcome.raws == [element for _, element in stream]


attribute = st.builds(
    lambda space, key, quote, value: space + key + b"=" + quote + value + quote,
    st.sampled_from([b" ", b"\n  ", b"", b"\x0b"]),
    st.sampled_from([b"device", b"name", b"label", b"group", b"state", b"perm", b"rule", b"timeout", b"timestamp", b"message", b"min"]),
    st.sampled_from([b'"', b"'"]),
    st.sampled_from([b"", b"D", b"a > b", b"a < b", b"&amp;", b"&", b"\x7f", b"\t", b"\n", b"\xc3\xa9", b"\xff", b"'", b'"', b"]]>", b"\x00", b"x" * 257]),
)  # fmt: skip
texts = st.sampled_from(
    [
        b"",
        b"1",
        b"\n  On\n ",
        b"]]>",
        b"&amp;",
        b"&",
        b">",
        b"<",
        b"\x00",
        b"\x0c",
        b"\x7f",
        b"\xc3\xa9",
        b"\r\n",
        b"-->",
    ]
)


@st.composite
def near_common(draw, *, oddities=True):
    """The common shape, or something that is nearly it; without oddities, nearly always the common shape."""

    def usually(*ordinary, odd):
        return draw(st.sampled_from(ordinary * (12 * len(odd) // len(ordinary)) + odd if oddities else ordinary))

    verb = draw(st.sampled_from([b"set", b"new", b"def"]))
    kind = draw(
        st.sampled_from([b"Number", b"Text", b"Switch", b"Light", b"BLOB"] if oddities else [b"Number", b"Text"])
    )
    child = b"def" if verb == b"def" else b"one"
    values = [b"", b" label='L'", b" min='0' max='1' step='2'"]
    contents = [b"", b"1", b"\n  On\n ", b"&amp;", b"\xc3\xa9"]
    if not oddities:
        values = values[: 2 if child == b"def" else 1]
        contents = contents[:3]
    parts = [b"<", verb, kind, b"Vector", b" device='D'", usually(b"\n  name='N'", odd=(b"",))]
    if usually(False, odd=(True,)):
        parts += draw(st.lists(attribute, min_size=1, max_size=2))
    parts.append(usually(b">", odd=(b" >", b"\n>")))
    for _ in range(draw(st.integers(0, 3))):
        member = usually(kind, odd=(b"Text",))
        parts += [usually(b"", b"\n  ", odd=(b"x",)), b"<", child, member, b" name='x'"]
        parts += [usually(*values, odd=(b" max='0' max='1'", b" name='y'", b"\n"))]
        parts += [
            b">",
            usually(*contents, odd=(draw(texts),)),
            b"</",
            child,
            member,
            b">",
        ]
    return b"".join(
        [*parts, draw(st.sampled_from([b"", b"\n"])), b"</", verb, usually(kind, odd=(b"Text",)), b"Vector>"]
    )


def is_no_laxer_than_expat(raw, met):
    for pattern in (common(), common_definition()):
        match = pattern.fullmatch(raw)
        met[match is not None] += 1
        if match is not None:
            assert make_address(match[2], match[3][1:-1], match[4][1:-1]) == check(raw, Limits())


def test_the_common_shape_is_never_laxer_than_expat():
    met = Counter()

    @settings(max_examples=200)
    @given(near_common())
    def never(raw):
        is_no_laxer_than_expat(raw, met)

    never()
    assert min(met[True], met[False]) >= 5, f"too few are of the common shape, or too many: {met}"


def test_nor_when_a_byte_is_changed():
    met = Counter()

    @settings(max_examples=200)
    @given(
        near_common(oddities=False),
        st.integers(0, 400),
        st.binary(max_size=1) | st.sampled_from([b"xx", b"x", b" "]),
        st.booleans(),
    )
    def never(raw, place, change, in_a_value):
        places = [found.start() for found in re.finditer(rb"(?<=')[^']|(?<=>)[^<]" if in_a_value else rb"", raw)]
        place = places[place % len(places)]
        is_no_laxer_than_expat(raw[:place] + change + raw[place + 1 :], met)

    never()
    assert min(met[True], met[False]) >= 5, f"too few are of the common shape, or too many: {met}"
