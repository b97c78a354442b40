"""Whatever is sent arrives: decode(encode(m)) == m, and numbers, times and base64 come back.

What XML, libindi's reader or this encoder's cleaning of text take away is stated as the limits of each strategy.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from indipydriver.protocol.decode import decode, root
from indipydriver.protocol.encode import encode
from indipydriver.protocol.forms import Form
from indipydriver.protocol.frame import BlobFrame
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
from indipydriver.protocol.tags import BlobMode, Permission, State, SwitchRule, SwitchState, VectorKind
from indipydriver.protocol.values import (
    clean_text,
    decode_base64,
    encode_base64,
    format_number,
    format_timestamp,
    getfloat,
    inflate,
    parse_timestamp,
)

# Markup must be likely, or no example has any.  A framer that mends an element takes DEL away.
_CHARACTERS = st.one_of(
    st.sampled_from("&<>\"'; #x\t\n=/"),
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\ufffe\uffff\x7f", min_codepoint=32),
)
_LINE = st.text(_CHARACTERS, max_size=20).map(lambda text: text.replace("\n", " ").replace("\t", " "))
_NAME = _LINE.filter(str.strip)
_OPTIONAL = st.none() | _NAME


def _arrives(text: str) -> bool:
    """A reader strips a text that begins with a line end, and an entity at the start gets one."""
    if text.startswith("\n"):
        return False
    return not text.startswith(("&", "<", ">")) or text == text.strip(" \t\n\r")


_TEXT = st.text(_CHARACTERS, max_size=30).filter(_arrives)
_NUMBER = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-1000, 1000).map(str),
    st.tuples(st.integers(-90, 90), st.integers(0, 59), st.floats(0, 59.99)).map(lambda t: f"{t[0]}:{t[1]}:{t[2]}"),
)
_VALUES = {
    VectorKind.TEXT: _TEXT,
    VectorKind.NUMBER: _NUMBER,
    VectorKind.SWITCH: st.sampled_from([word.value for word in SwitchState]),
    VectorKind.LIGHT: st.sampled_from([word.value for word in State]),
    VectorKind.BLOB: st.just(""),
}
_DATA = st.binary(min_size=1, max_size=200)
_BLOB = st.builds(
    lambda name, data, format: OneBlob(name, data, len(data), format),
    name=_NAME,
    data=_DATA,
    format=st.sampled_from(["", ".fits", ".stream", ".<&>"]),
) | st.builds(
    OneBlob, name=_NAME, data=_DATA, size=st.integers(1, (1 << 31) - 1), format=st.sampled_from([".fits.z", ".FZ"])
)


def _members(kind: VectorKind, least: int) -> st.SearchStrategy[tuple[object, ...]]:
    if kind is VectorKind.BLOB:
        member: st.SearchStrategy[object] = _BLOB
    elif kind is VectorKind.NUMBER and least == 0:
        limit = st.none() | _NUMBER
        member = st.builds(OneMember, name=_NAME, value=_NUMBER | st.just(""), min=limit, max=limit, step=limit)
    else:
        member = st.tuples(_NAME, _VALUES[kind]).map(lambda values: OneMember(*values))
    return st.lists(member, min_size=least, max_size=4).map(tuple)


@st.composite
def _updates(draw: st.DrawFn) -> SetVector:
    kind = draw(st.sampled_from(VectorKind))
    return draw(
        st.builds(
            SetVector,
            kind=st.just(kind),
            device=_NAME,
            name=_NAME,
            members=_members(kind, 0),
            state=st.none() | st.sampled_from(State),
            timeout=st.none() if kind is VectorKind.LIGHT else st.none() | _NUMBER,
            timestamp=_OPTIONAL,
            message=_OPTIONAL,
        )
    )


@st.composite
def _commands(draw: st.DrawFn) -> NewVector:
    kind = draw(st.sampled_from([kind for kind in VectorKind if kind is not VectorKind.LIGHT]))
    return draw(
        st.builds(
            NewVector, kind=st.just(kind), device=_NAME, name=_NAME, members=_members(kind, 1), timestamp=_OPTIONAL
        )
    )


@st.composite
def _definitions(draw: st.DrawFn) -> DefVector:
    kind = draw(st.sampled_from(VectorKind))
    if kind is VectorKind.NUMBER:
        limit = _NUMBER | st.just("")
        member = st.builds(
            DefMember, name=_NAME, value=_NUMBER, label=_NAME, format=_LINE, min=limit, max=limit, step=limit
        )
    else:
        member = st.tuples(_NAME, _VALUES[kind], _NAME).map(lambda values: DefMember(*values))
    is_light = kind is VectorKind.LIGHT
    return draw(
        st.builds(
            DefVector,
            kind=st.just(kind),
            device=_NAME,
            name=_NAME,
            state=st.sampled_from(State),
            members=st.lists(member, max_size=4).map(tuple),
            label=_NAME,
            group=_LINE,
            perm=st.none() if is_light else st.sampled_from(Permission),
            rule=st.sampled_from(SwitchRule) if kind is VectorKind.SWITCH else st.none(),
            timeout=st.none() if is_light else st.none() | _NUMBER,
            timestamp=_OPTIONAL,
            message=_OPTIONAL,
        )
    )


_OTHERS = st.one_of(
    st.tuples(_NAME, _OPTIONAL).map(lambda values: GetProperties(*values)),
    st.just(GetProperties()),
    st.builds(EnableBlob, device=_NAME, name=_OPTIONAL, mode=st.sampled_from(BlobMode)),
    st.builds(DelProperty, device=_NAME, name=_OPTIONAL, timestamp=_OPTIONAL, message=_OPTIONAL),
    st.builds(Message, device=_OPTIONAL, message=_LINE, timestamp=_OPTIONAL, via=_OPTIONAL),
    st.builds(Ping, uid=_NAME, reply=st.booleans()),
)
_MESSAGES = st.one_of(_updates(), _commands(), _definitions(), _OTHERS)


def test_a_form_that_is_filled_in_is_what_would_have_been_encoded() -> None:
    met: Counter[bool] = Counter()

    @given(st.one_of(_updates(), _definitions()), st.data())
    def never_otherwise(message: SetVector | DefVector, data: st.DataObject) -> None:
        if isinstance(message, SetVector) and message.kind is VectorKind.BLOB:
            return
        form = Form(message)
        members = tuple([member._replace(value=data.draw(_VALUES[message.kind])) for member in message.members])
        other = message._replace(
            members=members, state=data.draw(st.sampled_from(State)), timestamp=format_timestamp(), message=""
        )
        frame = form.fill(other.state, other.timestamp, [member.value for member in members])
        met[frame is not None] += 1
        assert frame is None or frame == encode(other)

    never_otherwise()
    assert min(met[True], met[False]) >= 5, f"hardly ever or nearly always filled in: {met}"


@given(_MESSAGES)
def test_what_is_encoded_is_decoded(message: AnyMessage) -> None:
    frame = encode(message)
    assert decode(frame) == message
    element = root(frame)
    assert (element.tag, element.get("device"), element.get("name")) == (frame.tag.text, frame.device, frame.name)


@given(_MESSAGES)
def test_what_is_encoded_is_whole_and_on_one_line(message: AnyMessage) -> None:
    raw = encode(message).raw
    assert raw.startswith(b"<")
    assert raw.endswith(b">")
    assert b"&#" not in raw
    assert b"\n" not in raw.partition(b">")[0]


@given(st.lists(_MESSAGES, max_size=3))
def test_our_own_framer_takes_it_as_it_is(messages: list[AnyMessage]) -> None:
    sent = [encode(message) for message in messages]
    framer = Framer()
    received = framer.feed(b"".join(frame.raw + b"\n" for frame in sent))
    assert framer.faults == []
    assert received == sent
    assert [decode(frame) for frame in received] == messages
    for ours, theirs in zip(sent, received, strict=True):
        if isinstance(ours, BlobFrame) and isinstance(theirs, BlobFrame):
            assert (ours.skeleton, ours.spans, ours.size) == (theirs.skeleton, theirs.spans, theirs.size)


@given(_updates(), st.lists(st.integers(1, 60), max_size=8))
def test_blobs_in_any_pieces(message: SetVector, sizes: list[int]) -> None:
    frame = encode(message)
    if not isinstance(frame, BlobFrame):
        return
    rest, chunks = frame.raw, []
    for size in sizes:
        chunks.append(rest[:size])
        rest = rest[size:]
    chunks.append(rest)
    assert decode(BlobFrame(frame.address, chunks, frame.skeleton, frame.spans)) == message


@given(st.text())
def test_any_text_can_be_sent(text: str) -> None:
    message = decode(encode(Message("D", text)))
    assert isinstance(message, Message)
    flat = text.replace("\r\n", " ").replace("\n", " ").replace("\r", " ").replace("\t", " ")
    assert message.message == clean_text(flat)

    update = SetVector(VectorKind.TEXT, "D", "v", (OneMember("t", text),))
    arrived = decode(encode(update))
    unix = clean_text(text).replace("\r\n", "\n").replace("\r", "\n")
    if not _arrives(unix):
        unix = unix.strip(" \t\n\r")
    assert arrived == update._replace(members=(OneMember("t", unix),))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back(number: float) -> None:
    assert getfloat(repr(number)) == number
    assert getfloat(format_number("%.20g", number)) == number
    assert getfloat(f" {number!r}\n") == number


@given(
    st.floats(-1e6, 1e6), st.sampled_from([(9, 360000), (8, 36000), (6, 3600), (5, 600), (3, 60)]), st.integers(3, 20)
)
def test_sexagesimal_numbers_come_back(number: float, unit: tuple[int, int], width: int) -> None:
    fraction, base = unit
    text = format_number(f"%{width + fraction}.{fraction}m", number)
    assert abs(getfloat(text) - number) <= 0.5 / base + 1e-9
    assert format_number(f"%{width + fraction}.{fraction}m", getfloat(text)) == text or getfloat(text) == 0
    assert all(float(part) < 60 for part in text.split(":")[1:])


@given(st.text())
def test_any_text_is_a_number_or_refused(text: str) -> None:
    try:
        assert math.isfinite(getfloat(text))
    except TypeError:
        pass


@given(st.text(st.sampled_from("%0123456789.-+ #lmgfedsx*"), max_size=12), st.floats())
def test_any_format_shows_a_number_or_is_refused(format: str, number: float) -> None:
    try:
        assert len(format_number(format, number)) < 500
    except TypeError:
        pass


@given(
    st.datetimes(
        timezones=st.timezones() | st.just(UTC), min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)
    )
)
def test_times_come_back(time: datetime) -> None:
    text = format_timestamp(time)
    assert parse_timestamp(text) == time.astimezone(UTC)
    assert parse_timestamp(text + "Z") == parse_timestamp(text.replace("T", " "))


@given(st.text(st.sampled_from("0123456789-:T. Z+"), max_size=40))
def test_any_text_is_a_time_or_none(text: str) -> None:
    time = parse_timestamp(text)
    assert time is None or time.tzinfo is UTC


@given(
    st.binary(max_size=400), st.lists(st.integers(0, 90), max_size=10), st.sampled_from([b"", b"\n", b"\r\n ", b"\t"])
)
def test_base64_in_any_pieces(data: bytes, sizes: list[int], between: bytes) -> None:
    text = encode_base64(data)
    assert decode_base64(text) == data
    pieces = []
    for size in sizes:
        pieces += [text[:size], between]
        text = text[size:]
    pieces.append(text)
    assert decode_base64(pieces) == data
    assert decode_base64(b"".join(pieces)) == data


@given(st.binary(max_size=400), st.integers(0, 500))
def test_inflating_is_bounded(data: bytes, limit: int) -> None:
    try:
        assert inflate(zlib.compress(data), limit) == data
        assert len(data) <= limit
    except ValueError:
        assert len(data) > limit
