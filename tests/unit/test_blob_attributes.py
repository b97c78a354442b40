"""What a BLOB's tag says of its data is true when it goes on, in a form that every reader takes."""

import base64
import re
import time

import pytest

from indipydriver.errors import MalformedFrame
from indipydriver.protocol.blobs import BlobCollector
from indipydriver.protocol.blobtags import is_attached, mend_attached
from indipydriver.protocol.decode import decode
from indipydriver.protocol.frame import BlobFrame
from indipydriver.protocol.framer import Framer, Limits
from indipydriver.protocol.messages import NewVector, OneBlob
from tests.support import allowed
from tests.support.cutting import TAIL, alike, outcome_of, texts

DATA = bytes(range(250)) * 4
LINE = base64.b64encode(DATA)
LINES = b"\n".join(LINE[i : i + 72] for i in range(0, len(LINE), 72))
SIZE, ENCLEN = b"%d" % len(DATA), b"%d" % len(LINE)
CLIENT = Limits(strict_blobs=True)


def vector(attributes: bytes, text: bytes = LINE, verb: bytes = b"set", format: bytes = b".fits") -> bytes:
    member = b"<oneBLOB name='b' " + attributes + b" format='" + format + b"'>" + text + b"</oneBLOB>"
    return b"<%bBLOBVector device='D' name='B'>%b</%bBLOBVector>" % (verb, member, verb)


def passed(data: bytes, limits: Limits | None = None) -> BlobFrame:
    outcome = alike(data + TAIL, limits)
    assert outcome.reasons == []
    frame = outcome.frames[0]
    assert isinstance(frame, BlobFrame)
    assert frame.size == len(frame.raw)
    assert frame.skeleton.count(b"<oneBLOB") == len(frame.spans)
    return frame


def attributes_of(frame: BlobFrame) -> dict[bytes, bytes]:
    (tag,) = re.findall(rb"<oneBLOB([^>]*)>", frame.skeleton)
    return dict(re.findall(rb"""([a-z]+)=["']([^"']*)["']""", tag))


NO_COUNTS = [
    b"x",
    b"",
    b" ",
    b"-3",
    b"+3",
    b"0x10",
    b"1e3",
    b"1.5",
    b"9" * 30,
    b"0" * 15 + b"1000",
    b"2147483648",
    "\uff13".encode(),
    b"1 2",
    b"&quot;",
    b"&#45;3",
]


@pytest.mark.parametrize("limits", [None, CLIENT])
@pytest.mark.parametrize("size", NO_COUNTS)
def test_a_command_whose_size_is_no_count_is_dropped(size, limits):
    outcome = alike(vector(b"size='%b'" % size, verb=b"new") + TAIL, limits)
    assert outcome.reasons == ["a BLOB whose size is not a number of bytes"]
    assert outcome.raws == [TAIL.strip()]


@pytest.mark.parametrize(
    ("attributes", "text", "reason"),
    [
        (b"", LINE, "without its size"),
        (b"size='1000' len='x'", LINE, "len is not a number"),
        (b"size='1000' len='-1'", LINE, "len is not a number"),
        (b"size='1000' len='1001'", LINE, "a BLOB of 1000 bytes whose len is 1001"),
        (b"size='1000' len='999'", LINE, "a BLOB of 1000 bytes whose len is 999"),
        (b"size='0'", b"", "empty BLOB"),
        (b"size='1000'", b"", "empty BLOB"),
        (b"size='1000' attached='true'", b"", "empty BLOB"),
        (b"size='2'", b"QUI", "groups of four|group of four"),
        (b"size='3'", b"Q(JD", "not base64"),
    ],
)
def test_a_command_whose_data_is_not_whole_or_not_counted_is_dropped(attributes, text, reason):
    (found,) = alike(vector(attributes, text, b"new") + TAIL).reasons
    assert re.search(reason, found)


@pytest.mark.parametrize("text", [b"====", b"QUI=QUI=", b"Q===", b"=QUI", b"QQ==\n==QQ", b"QUJD====", b"QUI=\nQUJD"])
def test_padding_stands_at_the_end_of_a_command_only(text):
    outcome = alike(vector(b"size='3'", text, b"new") + TAIL)
    assert outcome.reasons == ["base64 that goes on after its padding"]
    assert outcome.raws == [TAIL.strip()]


@pytest.mark.parametrize("text", [b"QUI=", b"QQ==", b"Q\nQ=\n=\n", b"QUJD"])
def test_each_member_of_a_command_has_its_padding(text):
    member = b"<oneBLOB name='b' size='1' format='.x'>" + text + b"</oneBLOB>"
    frame = passed(b"<newBLOBVector device='D' name='B'>" + 3 * member + b"</newBLOBVector>")
    assert texts(frame) == 3 * [text.replace(b"\n", b"")]


@pytest.mark.parametrize("limits", [None, CLIENT])
@pytest.mark.parametrize("size", [b"0", b"3", b"999", b"1001", b"2147483647", b"&#49;"])
def test_the_size_of_a_command_is_made_that_of_its_data(size, limits):
    frame = passed(vector(b"size='%b'" % size, verb=b"new"), limits)
    assert attributes_of(frame)[b"size"] == SIZE
    message = decode(frame)
    assert isinstance(message, NewVector)
    assert message.members == (OneBlob("b", DATA, len(DATA), ".fits"),)


@pytest.mark.parametrize("size", [b"0", b"3"])
def test_a_compressed_size_that_cannot_be_is_made_that_of_the_data(size):
    large = base64.b64encode(bytes(3 << 20))
    for verb in (b"new", b"set"):
        (frame,) = outcome_of([vector(b"size='%b'" % size, large, verb, b".z")], CLIENT).frames
        assert isinstance(frame, BlobFrame)
        assert attributes_of(frame)[b"size"] == b"%d" % (3 << 20)


@pytest.mark.parametrize(
    ("attributes", "format", "size"),
    [
        (b"size='0' len='1000'", b".fits", b"1000"),
        (b"size='999' len='1000'", b".fits", b"1000"),
        (b"size='5000' len='1000'", b".fits", b"1000"),
        (b"size='5000' len='1000'", b".fits.z", b"5000"),
        (b"size='0' len='1000'", b".fits.z", b"1000"),
        (b"size='1' len='1048576'", b".fits.z", b"1"),
        (b"size='1' len='1048577'", b".fits.z", b"1048577"),
        (b"size='1000'", b".fits", b"1000"),
    ],
)
@pytest.mark.parametrize("is_command", [False, True])
def test_the_size_of_an_attached_blob_is_made_to_fit_its_length(is_command, attributes, format, size):
    tag = b"<oneBLOB name='b' " + attributes + b" format='" + format + b"' attached='true'/>"
    mended = mend_attached(tag, is_command)
    assert re.findall(rb"""\ssize=["']([0-9]+)["']""", mended) == [size]
    assert b"attached='true'" in mended


@pytest.mark.parametrize("format", [b".fits", b".fits.z"])
def test_the_length_of_an_attached_blob_stands_for_its_size_in_an_update_only(format):
    tag = b"<oneBLOB name='b' len='1000' format='" + format + b"' attached='true'/>"
    assert b'size="1000"' in mend_attached(tag, False)
    with pytest.raises(MalformedFrame, match="a BLOB without its size"):
        mend_attached(tag, True)


@pytest.mark.parametrize("attributes", [b"", b"size='x'", b"size='-1' len='x'"])
def test_an_attached_blob_of_which_nothing_tells_the_length_is_refused(attributes):
    with pytest.raises(MalformedFrame, match="an attached BLOB without its size"):
        mend_attached(b"<oneBLOB name='b' " + attributes + b" attached='true'/>", False)


class _WithDescriptors(BlobCollector):
    takes_descriptors = True


@pytest.mark.parametrize(("text", "is_passed"), [(b"", True), (b" \n ", True), (b"QUJD", False)])
def test_an_attached_blob_has_no_data_of_its_own(text, is_passed):
    collector = _WithDescriptors(b"setBLOBVector", b"<setBLOBVector device='D' name='B'>", Limits())
    tag = b"<oneBLOB name='b' size='1000' len='1000' format='.fits' attached='true'>"
    assert collector.feed(tag + text + b"</oneBLOB></setBLOBVector>", 0) is not None
    if is_passed:
        assert b"attached='true'" in collector.frame().skeleton
    else:
        with pytest.raises(MalformedFrame, match="an attached BLOB with data"):
            collector.frame()


@pytest.mark.parametrize("size", [*NO_COUNTS, b"0", b"999", b"1001"])
def test_the_size_of_an_update_is_made_that_of_its_data(size):
    assert attributes_of(passed(vector(b"size='%b'" % size)))[b"size"] == SIZE


def test_an_update_without_a_size_gets_one():
    assert attributes_of(passed(vector(b"")))[b"size"] == SIZE
    assert attributes_of(passed(vector(b"", b"")))[b"size"] == b"0"


@pytest.mark.parametrize("size", [b" 1000\t", b"001000", b"0" * 14 + b"1000", b"&#49;000"])
def test_a_count_is_written_plainly(size):
    assert attributes_of(passed(vector(b"size='%b'" % size)))[b"size"] == SIZE
    assert attributes_of(passed(vector(b"size='%b'" % size, verb=b"new")))[b"size"] == SIZE


@pytest.mark.parametrize("verb", [b"set", b"new"])
@pytest.mark.parametrize("format", [b".z", b".fits.z", b".fits.fz", b".FITS.Z "])
def test_the_size_of_compressed_data_is_another(verb, format):
    data = vector(b"size='5000'", verb=verb, format=format)
    assert passed(data).raw == data


def test_a_compressed_size_holds_what_is_decoded_into_it():
    large = base64.b64encode(bytes(3 << 20))
    (frame,) = outcome_of([vector(b"size='3'", large, format=b".z")]).frames
    assert isinstance(frame, BlobFrame)
    assert attributes_of(frame)[b"size"] == b"%d" % (3 << 20)


@pytest.mark.parametrize("format", [b".x" * 32, b".z" * 40])
@pytest.mark.parametrize("verb", [b"set", b"new"])
def test_a_format_that_libindi_cannot_hold_is_dropped(format, verb):
    outcome = alike(vector(b"size='1000'", verb=verb, format=format) + TAIL)
    assert outcome.reasons == ["the format of a BLOB is longer than 63"]


@pytest.mark.parametrize("verb", [b"set", b"new"])
def test_a_format_of_63_bytes_is_not_too_long(verb):
    data = vector(b"size='1000'", verb=verb, format=b"." + b"x" * 62)
    assert passed(data).raw == data


@pytest.mark.parametrize("verb", [b"set", b"new"])
@pytest.mark.parametrize("enclen", [b"4", b"-8", b"x", b"", b"999999", ENCLEN])
def test_a_line_goes_without_enclen(verb, enclen):
    frame = passed(vector(b"size='1000' enclen='%b'" % enclen, verb=verb))
    assert b"enclen" not in frame.skeleton
    assert texts(frame) == [LINE]


@pytest.mark.parametrize("lead", [b"", b"\n"])
@pytest.mark.parametrize("tail", [b"", b"\n", b"\n  "])
def test_lines_as_libindi_drivers_write_them_keep_a_true_enclen(lead, tail):
    data = vector(b"size='1000' enclen='%b'" % ENCLEN, lead + LINES + tail)
    assert passed(data).raw == data


@pytest.mark.parametrize("enclen", [b"4", b"1333", b"1337", b"01336", b"-1336", b"x"])
def test_an_enclen_that_is_not_true_is_removed(enclen):
    frame = passed(vector(b"size='1000' enclen='%b'" % enclen, LINES + b"\n"))
    assert b"enclen" not in frame.skeleton
    assert texts(frame) == [LINES + b"\n"]


@pytest.mark.parametrize("width", [4, 64, 71, 73, 76])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n    "])
def test_other_lines_become_one(width, end):
    text = end.join(LINE[i : i + width] for i in range(0, len(LINE), width)) + end
    frame = passed(vector(b"size='1000' enclen='%b'" % ENCLEN, text))
    assert texts(frame) == [LINE]
    assert b"enclen" not in frame.skeleton


@pytest.mark.parametrize("line", [0, 1, 5, 16, 17])
def test_lines_of_which_one_is_too_short_or_too_long_become_one(line):
    end = 72 + line * 73
    short = LINES[: end - 1] + b"\n" + LINES[end - 1 : end] + LINES[end + 1 :]
    long = LINES[:end] + LINES[end + 1 : end + 2] + b"\n" + LINES[end + 2 :]
    for text in (short, long):
        frame = passed(vector(b"size='1000' enclen='%b'" % ENCLEN, text))
        assert texts(frame) == [text.replace(b"\n", b"")]
        assert b"enclen" not in frame.skeleton


@pytest.mark.parametrize(
    ("characters", "lead", "tail", "stays"),
    [
        (68, b"", b"", True),
        (72, b"", b"", False),
        (72, b"", b"\n", True),
        (72, b"\n", b"", True),
        (76, b"", b"\n", False),
        (68, b"", b"\n  ", True),
        (68, b"", b"\n   ", False),
        (68, b"", b" ", False),
        (68, b"\n", b"", True),
        (68, b"\n\n", b"", False),
        (68, b" ", b"", False),
    ],
)
def test_one_line_keeps_a_true_enclen_where_libindi_finds_its_end(characters, lead, tail, stays):
    line = (b"QUJD" * 20)[:characters]
    frame = passed(vector(b"size='%d' enclen='%d'" % (characters // 4 * 3, characters), lead + line + tail))
    assert (b"enclen" in frame.skeleton) is stays
    assert texts(frame) == [lead + line + tail]


@pytest.mark.parametrize("characters", [68, 72])
def test_a_line_put_together_keeps_a_true_enclen_up_to_68_characters(characters):
    line = (b"QUJD" * 20)[:characters]
    attributes = b"size='%d' enclen='%d'" % (characters // 4 * 3, characters)
    frame = passed(vector(attributes, line[:4] + b" " + line[4:]))
    assert (b"enclen" in frame.skeleton) is (characters == 68)
    assert texts(frame) == [line]


@pytest.mark.parametrize(
    ("text", "size"), [(b"QUJD", b"3"), (b"QUI=", b"2"), (b"QQ==", b"1"), (b"QUJDQUI=", b"5"), (b"Q\tQ==", b"1")]
)
@pytest.mark.parametrize("verb", [b"set", b"new"])
def test_padding_does_not_count_as_data(verb, text, size):
    assert attributes_of(passed(vector(b"size='9'", text, verb)))[b"size"] == size


@pytest.mark.parametrize("text", [b"Q===", b"Q ===", b"Q=\t==\n", b"===="])
def test_no_more_than_two_characters_are_padding(text):
    """Nobody can decode it, but a reader that counts reserves enough."""
    assert attributes_of(passed(vector(b"size='9'", text)))[b"size"] == b"1"


@pytest.mark.parametrize(("blanks", "stays"), [(15, True), (16, True), (17, False)])
def test_white_space_without_data_is_kept_up_to_what_libindi_writes(blanks, stays):
    text = b"\n" + b" " * (blanks - 1)
    assert texts(passed(vector(b"size='0'", text))) == [text if stays else b""]


def test_a_command_is_always_one_line():
    assert texts(passed(vector(b"size='1000'", b"\n" + LINES + b"\n", b"new"))) == [LINE]


def test_from_a_link_that_is_not_trusted_every_text_is_one_line():
    assert texts(passed(vector(b"size='1000'", b"\n" + LINES + b"\n"), CLIENT)) == [LINE]


def test_the_last_of_full_lines_needs_its_line_end():
    """A libindi reader reserves a byte for it, and would take the end tag in its place."""
    full, size = b"QUJD" * 36, b"size='108' enclen='144'"
    lines = full[:72] + b"\n" + full[72:]
    assert b"enclen" not in passed(vector(size, lines)).skeleton
    assert b"enclen" in passed(vector(size, lines + b"\n")).skeleton


def test_len_stays_when_it_is_a_count_as_it_tells_what_was_cut():
    assert attributes_of(passed(vector(b"size='1000' len='2000'")))[b"len"] == b"2000"
    assert b"len" not in attributes_of(passed(vector(b"size='1000' len='-1'")))


@pytest.mark.parametrize(
    ("attributes", "attached"),
    [
        (b"attached='true'", True),
        (b'size="3" attached = "true"', True),
        (b"attached='false'", False),
        (b"attached='TRUE'", False),
        (b"attached=''", False),
        (b"name='attached'", False),
        (b"is-attached='true'", False),
        (b"size='3'", False),
    ],
)
def test_data_is_attached_where_the_tag_says_so(attributes, attached):
    assert is_attached(b"<oneBLOB " + attributes + b"/>") is attached


@pytest.mark.parametrize("attached", [b"true", b"false", b"TRUE", b""])
def test_nothing_says_attached_where_there_are_no_descriptors(attached):
    frame = passed(vector(b"size='1000' len='1000' attached='%b'" % attached))
    assert b"attached" not in frame.skeleton
    empty = passed(vector(b"size='1000' len='1000' attached='%b'" % attached, b""))
    assert attributes_of(empty)[b"size"] == b"0"
    assert decode(empty).members == ()


def test_an_update_that_only_tells_the_state_stays_as_libindi_writes_it():
    data = b"<setBLOBVector device='D' name='B' state='Busy'><oneBLOB\n    name='b'\n    size='0'\n    enclen='0'\n    format=''>\n  </oneBLOB></setBLOBVector>"
    assert passed(data).raw == data


def test_each_member_is_looked_at():
    good, bad = (
        b"<oneBLOB name='a' size='3' format='.x'>QUJD</oneBLOB>",
        b"<oneBLOB name='b' size='x' format='.x' enclen='1'>QUJDREVG</oneBLOB>",
    )
    data = (
        b"<setBLOBVector device='D' name='B'>\n"
        + good
        + b" "
        + bad
        + b"<oneBLOB name='c' size='7'/>"
        + good
        + b"</setBLOBVector>"
    )
    frame = passed(data)
    assert frame.raw == (
        b"<setBLOBVector device='D' name='B'>\n" + good + b" <oneBLOB name='b' size=\"6\" format='.x'>QUJDREVG</oneBLOB>"
        b"<oneBLOB name='c' size=\"0\"/>" + good + b"</setBLOBVector>"
    )  # fmt: skip
    assert texts(frame) == [b"QUJD", b"QUJDREVG", b"", b"QUJD"]
    assert alike(data.replace(b"set", b"new") + TAIL).raws == [TAIL.strip()]


def test_what_looks_like_an_attribute_within_a_value_is_none():
    data = b"""<setBLOBVector device='D' name='B'><oneBLOB name=" size='9' enclen='4'" size='3' format='.x'>QUJD</oneBLOB></setBLOBVector>"""
    assert passed(data).raw == data


@pytest.mark.parametrize(
    "parent", [b"setTextVector", b"newTextVector", b"newNumberVector", b"defBLOBVector", b"message", b"delProperty"]
)
def test_a_blob_stands_in_a_blob_vector_only(parent):
    """libindi reads the enclen of a oneBLOB wherever it stands."""
    data = b"<%b device='D' name='B'><oneBLOB name='b' size='x' enclen='-8'>QUJD</oneBLOB></%b>" % (parent, parent)
    assert alike(data + TAIL).reasons == [f"a <oneBLOB> in a <{parent.decode()}>"]


def test_nothing_else_stands_in_a_blob_vector():
    outcome = alike(b"<setBLOBVector device='D' name='B'><oneText name='b'>QUJD</oneText></setBLOBVector>" + TAIL)
    assert outcome.reasons == ["a <oneText> in a <setBLOBVector>"]


def test_tags_are_what_was_checked_also_when_a_value_looks_like_a_comment():
    data = b"<setBLOBVector device='D&#33;' name='B'><oneBLOB name='<!--' size='3'>QUJD</oneBLOB><oneBLOB name='-->' size='3'>REVG</oneBLOB></setBLOBVector>"
    outcome = alike(data + TAIL)
    for frame in outcome.frames[:-1]:
        assert alike(frame.raw + TAIL).raws == [frame.raw, TAIL.strip()]


def test_a_blob_that_grows_beyond_the_limit_is_dropped_and_its_sender_is_not():
    data = vector(b"")
    limits = Limits(blob=len(data))
    outcome = alike(data + TAIL, limits)
    assert outcome.reasons == [f"a BLOB of more than {len(data)} bytes"]
    assert outcome.raws == [TAIL.strip()]


@pytest.mark.parametrize("room", [0, 1])
def test_a_blob_whose_tags_grow_beyond_the_limit_is_dropped_and_its_sender_is_not(room):
    data = vector(b"")
    tags = data.replace(LINE, b"").replace(b"<oneBLOB", b'<oneBLOB size="1000"')
    limit = next(frame for frame in range(100, 1000) if Limits(frame=frame).passing_frame == len(tags) - room)
    outcome = alike(data + TAIL, Limits(frame=limit))
    assert outcome.reasons == [f"an element of more than {len(tags) - 1} bytes"] * room
    assert len(outcome.frames) == 2 - room


def test_who_judges_a_peer_sees_it_as_it_was_sent():
    data = vector(b"size='x' enclen='4' attached='true'", verb=b"new")
    framer = Framer(as_sent=True)
    assert [frame.raw for frame in framer.feed(data)] == [data]


def test_what_goes_out_comes_in_again_unchanged():
    for attributes in (b"", b"size='x' enclen='4'", b"size='1000' enclen='%b'" % ENCLEN):
        for text in (LINE, LINES, b"\n" + LINES + b"\n  ", LINE[:400] + b" \r\n" + LINE[400:], b"", b"\n\t" * 900):
            frame = passed(vector(attributes, text))
            assert outcome_of([frame.raw]).raws == [frame.raw]


@pytest.mark.measured
def test_the_time_for_a_tag_grows_with_its_length_only():
    blanks = b" " * 14_000
    tag = b"<oneBLOB" + blanks + b"name='b'" + blanks[:200] + b"size='x' attached='no'/>"
    started = time.perf_counter()
    outcome_of([b"<setBLOBVector device='D' name='B'>" + tag * 20 + b"</setBLOBVector>"])
    assert time.perf_counter() - started < allowed(10)  # a second for each, if it grew with the square
