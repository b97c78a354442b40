"""Whatever BLOB vector comes in: what goes out is read alike by all, and does not depend on how it was cut."""

import base64
import re

from hypothesis import given
from hypothesis import strategies as st

from indipydriver.errors import MalformedFrame
from indipydriver.protocol.decode import decode
from indipydriver.protocol.frame import BlobFrame, parts
from indipydriver.protocol.framer import Framer, Limits

NUMBERS = st.sampled_from(
    [b"x", b"", b"-3", b" 4 ", b"+1", b"0x10", b"007", b"&#51;", b"&amp;", b"99999999999", b"2147483647"]
)
DATA = st.binary(max_size=120) | st.sampled_from([bytes(54), bytes(108), bytes(1500)])


@st.composite
def written(draw: st.DrawFn) -> bytes:
    """One oneBLOB; some are right."""
    data = draw(DATA)
    text = base64.b64encode(data)
    counts = NUMBERS | st.sampled_from([b"%d" % len(data), b"%d" % len(text), b"%d" % (len(data) + 1), b"0"])
    width = draw(st.sampled_from([0, 0, 72, 72, 4, 5, 76]))
    if width:
        end = draw(st.sampled_from([b"\n", b"\n", b"\r\n", b" "]))
        text = end.join(text[i : i + width] for i in range(0, len(text), width))
    text = (
        draw(st.sampled_from([b"", b"", b"\n", b"  "])) + text + draw(st.sampled_from([b"", b"\n", b"\n  ", b" \t\n "]))
    )
    if draw(st.integers(0, 9)) == 0:
        text = draw(st.sampled_from([b"QU", b"=", b"QUJD?", b"Q===", b"====", b"\x00", b"QUJD&amp;"])) + text
    keys = draw(
        st.lists(st.sampled_from([b"size", b"size", b"enclen", b"len", b"attached", b"format", b"name"]), max_size=6)
    )
    attributes = b""
    for key in keys:
        value = {
            b"attached": st.sampled_from([b"true", b"false"]),
            b"format": st.sampled_from([b".fits", b".z", b".fz", b"", b".x" * 40]),
            b"name": st.sampled_from([b"b", b"size='4'", b"\xe9", b"<!--", b"-->", b" enclen="]),
        }.get(key, counts)
        quote = b'"' if b"'" in (found := draw(value)) else draw(st.sampled_from([b"'", b'"']))
        attributes += draw(st.sampled_from([b" ", b"\n  "])) + key + b"=" + quote + found + quote
    if not text and draw(st.booleans()):
        return b"<oneBLOB" + attributes + b"/>"
    return b"<oneBLOB" + attributes + b">" + text + b"</oneBLOB>"


@st.composite
def vectors(draw: st.DrawFn) -> bytes:
    tag = draw(st.sampled_from([b"setBLOBVector", b"setBLOBVector", b"newBLOBVector"]))
    members = draw(st.sampled_from([b"", b"\n"])).join(draw(st.lists(written(), max_size=4)))
    return b"<" + tag + b" device='D' name='B'>" + members + b"</" + tag + b">"


def fed(pieces: list[bytes], limits: Limits) -> tuple[list[BlobFrame], int]:
    framer = Framer(limits)
    frames = [frame for piece in pieces for frame in framer.feed(piece)]
    assert all(isinstance(fault, MalformedFrame) for fault in framer.faults)
    assert all(isinstance(frame, BlobFrame) for frame in frames)
    return frames, framer.dropped  # type: ignore[return-value]


def reason_of(frame: BlobFrame) -> str:
    try:
        decode(frame)
    except MalformedFrame as fault:
        return fault.reason
    return ""


def said(tag: bytes) -> dict[bytes, bytes]:
    pairs = re.findall(rb"""\s([a-z]+)=(?:"([^"]*)"|'([^']*)')""", tag)
    return {key: double or single for key, double, single in pairs}


@given(vectors(), st.lists(st.integers(0, 5000), max_size=6), st.booleans())
def test_what_goes_out_is_true_and_read_by_all(data: bytes, places: list[int], strict: bool) -> None:
    limits = Limits(strict_blobs=strict)
    cuts = sorted({place % (len(data) + 1) for place in places})
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    frames, dropped = fed([data], limits)
    others, also_dropped = fed(pieces, limits)
    assert [(f.raw, f.spans, f.skeleton) for f in frames] == [(f.raw, f.spans, f.skeleton) for f in others]
    assert (len(frames), dropped) == (len(others), also_dropped)
    assert len(frames) + dropped == 1
    for frame in frames:
        again, _ = fed([frame.raw], limits)
        assert [f.raw for f in again] == [frame.raw]
        assert frame.size == len(frame.raw)
        tags = re.findall(rb"""<oneBLOB((?:[^"'>]|"[^"]*"|'[^']*')*)>""", frame.skeleton)
        texts = [b"".join(found) for found in parts(frame.chunks, frame.spans)]
        assert len(tags) == len(texts)
        for tag, text in zip(tags, texts, strict=True):
            true_and_read_by_all(said(tag), text, strict or data.startswith(b"<new"))
        # A reader finds fault only with what costs a byte by byte look, and with what has no name.
        assert re.fullmatch(".*(base64|without a name|is cut|no members).*|", reason_of(frame))


def true_and_read_by_all(attributes: dict[bytes, bytes], text: bytes, one_line: bool) -> None:
    bare = text.translate(None, b" \t\r\n")
    size = len(bare) // 4 * 3 - min(2, len(bare) - len(bare.rstrip(b"=")))
    assert len(bare) % 4 == 0
    assert b"attached" not in attributes
    assert attributes[b"size"].isdigit()
    assert int(attributes[b"size"]) < 1 << 31
    if not attributes.get(b"format", b"").endswith(b"z"):
        assert int(attributes[b"size"]) == size
    assert attributes.get(b"len", b"0").isdigit()
    if one_line and bare:
        assert text.strip() == bare
    assert b"\n" not in text.strip() or all(len(line) == 72 for line in text.strip().split(b"\n")[:-1])
    if b"enclen" in attributes:
        assert attributes[b"enclen"] == b"%d" % len(bare)
        assert len(text) >= len(bare) + len(bare) // 72
        assert len(text) <= len(bare) + len(bare) // 72 + 4
