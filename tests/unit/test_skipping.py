"""What is beyond a limit, and comes from a peer that passes on what others send, is skipped."""

import random
import time
import tracemalloc

import pytest

from indipydriver.errors import FrameTooLarge
from indipydriver.protocol.framer import Framer, Limits
from tests.support import allowed
from tests.support.cutting import BLOB_END, BLOB_START, NUMBER, TAIL, alike, in_pieces, outcome_of, text_vector
from tests.unit.test_framer_bounds import ENDLESS

LIMITS = Limits(frame=2000, blob=3000, start_tag=1000, junk=500, attribute_value=800)
LARGE = b"x" * 5000
BLOB = BLOB_START + b"QQ==" + BLOB_END

TOO_LARGE = {
    "an element": text_vector(LARGE),
    "an element of many members": b"<setTextVector device='D' name='T'>" + b"<oneText name='t'/>" * 200 + b"</setTextVector>",
    "an element with comments": text_vector(b"<!-- </oneText> -->" + LARGE),
    "an element without an end": b"<setTextVector device='D' name='T'><oneText name='t'>" + LARGE,
    "an element with white space in its end tag": text_vector(LARGE)[:-1] + b"  \n >",
    "an element without members": b"<enableBLOB device='D'>" + LARGE + b"</enableBLOB>",
    "a start tag": text_vector(b"1", b" label='" + LARGE + b"'"),
    "a start tag with its end tag in a value": b"<message message='" + LARGE + b"</message>'/>",
    "a start tag without its closing quote": b"<setTextVector device='" + LARGE + b"><oneText name='t'>1</oneText></setTextVector>",
    "a start tag that does not end": b"<message " + b"a='b' " * 1000,
    "an empty element": b"<message message='" + LARGE + b"'/>",
    "a BLOB": BLOB_START + b"QUJD" * 2000 + BLOB_END,
    "a BLOB without an end": BLOB_START + b"QUJD" * 2000,
    "a BLOB in which something was wrong before": BLOB_START + b"<x/>" + b"QUJD" * 2000 + BLOB_END,
    "a BLOB that ends just beyond the limit": (BLOB_START + b"QUJD" * 2000)[:2990] + BLOB_END,
    "a BLOB of many members": b"<setBLOBVector device='D' name='B'>" + b"<oneBLOB name='b'/>" * 200 + b"</setBLOBVector>",
    "a tag in a BLOB": BLOB[: -len(b"</setBLOBVector>")] + b"<x a='" + LARGE + b"'/></setBLOBVector>",
    "a tag in a BLOB that does not end": BLOB[: -len(b"</setBLOBVector>")] + b"<x a='" + LARGE + b"</setBLOBVector>",
    "the start tag of a BLOB": BLOB_START.replace(b" name", b" label='" + LARGE + b"' name", 1) + BLOB_END,
    "elements that are none of INDI": b"<foo device='D'>words</foo>\n" * 100,
    "text": b"words " * 500,
    "a large element that is none of INDI": b"<foo device='D'>" + LARGE + b"</foo>",
    "a declaration": b"<?" + LARGE + b"?>",
    "a comment": b"<!--" + LARGE + b"-->",
    "comments": b"<!-- words -->" * 100,
    "text and a comment": b"words" * 50 + b"<!--" + LARGE[:400] + b"-->",
}  # fmt: skip


@pytest.mark.parametrize("what", TOO_LARGE)
def test_only_what_is_too_large_is_lost_and_reported_once(what):
    data = NUMBER + TOO_LARGE[what] + BLOB + TOO_LARGE[what] + b"\n" + NUMBER + TAIL
    outcome = alike(data, LIMITS, lenient=True)
    assert [frame.name for frame in outcome.frames] == ["N", "B", "N", None]
    assert outcome.raws[0] == outcome.raws[2] == NUMBER
    rest = 1 if what == "a start tag with its end tag in a value" else 0  # what follows that end tag belongs to nothing
    assert [kind for kind, _, _ in outcome.faults].count(FrameTooLarge) == 2
    assert len(outcome.faults) == outcome.dropped == 2 + 2 * rest
    assert not outcome.unfinished


@pytest.mark.parametrize("what", TOO_LARGE)
def test_of_any_other_peer_it_ends_the_stream(what):
    outcome = alike(NUMBER + TOO_LARGE[what] + BLOB + NUMBER + TAIL, LIMITS)
    assert outcome.raws == [NUMBER]
    assert outcome.reasons == ["too large"]


def test_of_two_things_that_are_too_large_in_a_blob_the_first_counts():
    hidden = b"</oneBLOB><oneBLOB name='</setBLOBVector>'>"
    data = BLOB_START + b"QUJD" * 750 + hidden + b"<x a='" + LARGE + b"'/>" + BLOB_END
    outcome = alike(data + NUMBER + TAIL, LIMITS, lenient=True)
    assert [frame.name for frame in outcome.frames] == ["N", None]
    assert [kind for kind, _, _ in outcome.faults] == [FrameTooLarge, FrameTooLarge]  # what follows is text


def test_one_after_another_in_any_pieces():
    chosen = random.Random(7624)
    for _ in range(60):
        parts = [*chosen.choices(list(TOO_LARGE.values()), k=4), NUMBER, BLOB, text_vector(b"1"), b"junk", b"\n", b"<"]
        chosen.shuffle(parts)
        data = b"".join(parts) + TAIL
        places = sorted(chosen.sample(range(len(data)), 20))
        pieces = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
        whole, cut = (outcome_of(each, LIMITS, lenient=True) for each in ([data], pieces))
        assert (cut.raws, cut.faults, cut.dropped) == (whole.raws, whole.faults, whole.dropped)
        assert whole.raws[-1] == TAIL.strip()


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_nothing_is_held_where_it_may_be_over(size):
    """So that a peer that ends its input now still gets its answers."""
    for what in (
        "an element",
        "an empty element",
        "a BLOB",
        "a tag in a BLOB",
        "elements that are none of INDI",
        "text",
    ):
        framer = Framer(LIMITS, lenient=True)
        for piece in in_pieces(TOO_LARGE[what] + b"\n", size):
            framer.feed(piece)
        assert not framer.unfinished, what
        assert framer.failed is None


@pytest.mark.parametrize("element", [NUMBER, b"<message/>", b"<pingRequest uid='1'/>", BLOB])
def test_what_follows_may_begin_anywhere(element):
    for size in range(1, 40):
        data = b"junk" * 200 + b"<" * 3 + element + NUMBER
        framer = Framer(LIMITS, lenient=True)
        frames = [frame for piece in in_pieces(data, size) for frame in framer.feed(piece)]
        assert len(frames) == 2, size
        assert len(framer.faults) == 1, size


def test_a_flood_is_counted_and_not_kept():
    framer = Framer(LIMITS, lenient=True)
    framer.feed(TOO_LARGE["an element"] * 100 + NUMBER)
    assert framer.dropped == 100
    assert len(framer.faults) == Framer.MAX_FAULTS
    assert framer.failed is None


def test_a_blob_that_is_skipped_is_let_go_at_once():
    framer = Framer(LIMITS, lenient=True)
    framer.feed(TOO_LARGE["a BLOB without an end"])
    assert framer.faults[0].__traceback__ is None


LIKE_AN_END = [
    pytest.param(b"<setTextVector device='D' name='T'>", end, id=end.decode())
    for end in (b"</setTextVector", b"</", b"< ", b"<setTextVecto ", b"</setTextVector  ")
]


@pytest.mark.measured
@pytest.mark.parametrize(("before", "endless"), ENDLESS + LIKE_AN_END)
def test_memory_is_bounded(before, endless):
    limits = Limits(frame=1 << 15, blob=1 << 16, start_tag=1 << 13, junk=1 << 14)
    piece = endless * (4096 // len(endless))
    framer = Framer(limits, lenient=True)
    tracemalloc.start()
    try:
        framer.feed(before)
        for _ in range(80):  # 320 KB
            framer.feed(piece)
            framer.faults.clear()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < allowed(1 << 20)


@pytest.mark.measured
@pytest.mark.parametrize(("before", "endless"), ENDLESS + LIKE_AN_END)
@pytest.mark.parametrize("size", [8, 1 << 18])
def test_time_is_linear(before, endless, size):
    limits = Limits(frame=1 << 15, blob=1 << 15, start_tag=1 << 13, junk=1 << 14)

    def cost(count: int) -> float:
        pieces = in_pieces(before + endless * (count // len(endless)), size)
        best = 1e9
        for _ in range(2):
            framer = Framer(limits, lenient=True)
            begin = time.process_time()
            for piece in pieces:
                framer.feed(piece)
                framer.faults.clear()
            best = min(best, time.process_time() - begin)
        return best

    assert cost(1 << 18) < allowed(12) * max(cost(1 << 16), 0.001)
