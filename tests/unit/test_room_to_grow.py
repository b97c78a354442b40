"""An element that passes one server passes the next: mended, and with its way written in."""

import pytest

from indipydriver.errors import FrameTooLarge, MalformedFrame
from indipydriver.protocol.frame import Frame
from indipydriver.protocol.framer import Framer, Limits
from indipydriver.protocol.via import MAX_HOPS, came_through, with_via
from tests.support.cutting import TAIL, alike

LIMITS = Limits()
HEAD = b"<defTextVector device='D' name='p' state='Ok' perm='ro'"
BODY = b"<defText name='t'>%b</defText></defTextVector>"


def fed(data: bytes) -> Framer:
    """The framer after this data and the tail, which must come out if the link has not been cut."""
    framer = Framer()
    frames = framer.feed(data + TAIL)
    assert framer.failed or frames[-1].raw == TAIL.strip()
    return framer


@pytest.mark.parametrize("filling", [b"& ", b"&", "é".encode("latin-1") * 3 + b" ", b"]]>"])
@pytest.mark.parametrize(
    "shape", [b"<newTextVector device='D' name='t'><oneText name='v'>%b</oneText></newTextVector>", HEAD + b">" + BODY]
)
def test_an_element_that_is_too_large_when_mended_is_dropped_and_its_sender_is_not(filling, shape):
    framer = fed(shape % (filling * (900_000 // len(filling))))
    assert framer.failed is None
    assert [type(fault) for fault in framer.faults] == [MalformedFrame]


def test_bytes_that_shrink_when_mended_count_as_they_go_on():
    data = HEAD + b">" + BODY % (b"&#65;" * 200_000)
    assert [len(frame.raw) < 250_000 for frame in Framer().feed(data)] == [True]


def tag_of(size: int) -> bytes:
    head = HEAD + b"".join(b" a%d='%b'" % (n, b"x" * 4000) for n in range(3))
    return head + b" b='%b'>" % (b"x" * (size - len(head) - 6)) + BODY % b"x"


def element_of(size: int, head: bytes = HEAD) -> bytes:
    return head + b">" + BODY % (b"x" * (size - len(head) - 1 - len(BODY) + 2))


@pytest.mark.parametrize("make", [tag_of, element_of])
def test_what_passes_leaves_room_for_its_way(make):
    limit, most = (LIMITS.start_tag, LIMITS.passing_tag) if make is tag_of else (LIMITS.frame, LIMITS.passing_frame)
    assert [type(f) for f in fed(make(limit + 1)).faults] == [FrameTooLarge]
    for size in (limit, most + 1):
        framer = fed(make(size))
        assert framer.failed is None
        assert [type(fault) for fault in framer.faults] == [MalformedFrame]
    (frame,) = Framer().feed(make(most))
    for hop in range(MAX_HOPS):
        frame = with_via(frame, f"a-host-whose-name-has-forty-characters-{hop:02d}-12345678")
        assert [taken.raw for taken in Framer().feed(frame.raw)] == [frame.raw]
    assert came_through(frame, "another")


@pytest.mark.parametrize("head", [b'<defTextVector device="D" name="p" state="Ok" perm="ro"', HEAD])
def test_the_common_shape_leaves_room_too(head):
    assert not fed(element_of(LIMITS.passing_frame, head)).faults
    assert [type(fault) for fault in fed(element_of(LIMITS.passing_frame + 1, head)).faults] == [MalformedFrame]
    assert fed(element_of(LIMITS.frame + 1, head)).failed


def test_a_way_in_a_value_is_no_way():
    """Text that looks like the attribute is not left out when the tag is measured."""
    value = b"""message=' via="%b"'""" % (b"a" * 3000)
    data = tag_of(LIMITS.passing_tag - len(value) + 200).replace(b" state", b" " + value + b" state", 1)
    assert [type(fault) for fault in fed(data).faults] == [MalformedFrame]


def test_as_many_attributes_as_are_allowed_and_a_way():
    message = b"<message " + b" ".join(b"a%d=''" % i for i in range(LIMITS.attributes)) + b"/>"
    (frame,) = Framer().feed(message)
    assert len(Framer().feed(with_via(frame, "one").raw)) == 1


@pytest.mark.parametrize("server", ["", "Büro-PC", "my host", 'a"b', "a&b", "\udcff", "x" * 5000, "a\nb"])
@pytest.mark.parametrize(
    "raw", [b"<message/>", b"<message via='" + b"a " * 2000 + b"'/>", b"", b"words", b"<message via='\xe9'"]
)
def test_any_name_and_any_bytes_make_a_way(server, raw):
    (message,) = Framer().feed(b"<message/>")
    passed = with_via(Frame(message.address, raw), server)
    if raw.endswith(b"/>"):
        assert came_through(passed, server)
        assert [taken.raw for taken in Framer().feed(passed.raw)] == [passed.raw]


def test_hops_that_have_no_room_count_as_too_many():
    way = " ".join("x" * 200 for _ in range(11))
    (message,) = alike(f"<message via='{way}'/>".encode()).frames
    assert came_through(message, "one")
