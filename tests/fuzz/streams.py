"""What holds for any bytes: in the framer, and in the decoder behind it."""

from __future__ import annotations

import time
from typing import Final
from xml.parsers import expat

from indipydriver.errors import LocalProtocolError, RemoteProtocolError
from indipydriver.events import snoop_event
from indipydriver.protocol.decode import decode
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Address, BlobFrame, Frame
from indipydriver.protocol.framer import Framer, Limits
from indipydriver.protocol.messages import AnyMessage, DefVector, GetProperties, NewVector, SetVector
from indipydriver.protocol.tags import TAGS, VectorKind, Verb
from indipydriver.protocol.values import getfloat, parse_timestamp
from tests.support.measured import allowed

__all__ = ["cost", "decoder", "framer"]

SMALL: Final = Limits(
    frame=4096, blob=8192, start_tag=1024, junk=2048, attributes=8, attribute_value=256, name=64, members=16,
    strict_blobs=True,
)  # fmt: skip
_TAGS: Final = tuple(TAGS.values())


def framer(data: bytes) -> None:
    """The first two bytes choose how the rest is cut, the limits, and whether they end the stream."""
    if len(data) < 2:
        return
    limits = Limits() if data[1] & 1 else SMALL
    step, text = data[0] % 64 + 1, data[2:]
    lenient = bool(data[1] & 2)
    whole, cut = Framer(limits, lenient=lenient), Framer(limits, lenient=lenient)
    frames = whole.feed(text)
    pieces: list[Frame] = []
    for start in range(0, len(text), step):
        pieces += cut.feed(text[start : start + step])
        assert cut.unfinished <= limits.blob + step + limits.start_tag, "holds more than its limits"
    raws = [frame.raw for frame in frames]
    assert [frame.raw for frame in pieces] == raws, "other frames when cut"
    assert [frame.address for frame in pieces] == [frame.address for frame in frames], "other addresses when cut"
    assert bool(whole.failed) == bool(cut.failed), "fails only when cut, or only whole"
    for each in (whole, cut):
        assert all(isinstance(fault, RemoteProtocolError) for fault in each.faults)
        assert len(each.faults) <= each.MAX_FAULTS + 1
    again = Framer(limits)
    for frame, raw in zip(frames, raws, strict=True):
        _judge(frame, raw, limits)
        assert [each.raw for each in again.feed(raw)] == [raw], "what has come out does not come out again"
    assert not again.faults


def _judge(frame: Frame, raw: bytes, limits: Limits) -> None:
    trusted = isinstance(frame, BlobFrame) and not limits.strict_blobs  # only its tags are looked at
    expat.ParserCreate("utf-8").Parse(frame.skeleton if trusted else raw, True)  # raises if not well-formed
    assert raw.startswith(b"<" + frame.tag.text.encode())
    assert b"<!" not in raw
    assert len(raw) == frame.size
    if isinstance(frame, BlobFrame):
        assert len(raw) <= limits.blob, "a BLOB beyond the limit"
        assert len(frame.skeleton) <= frame.size
        for start, end in frame.spans:
            assert 0 <= start <= end <= frame.size
            assert b"<" not in raw[start:end]
    else:
        assert len(raw) <= limits.frame, "a frame beyond the limit"


# --- cost ----------------------------------------------------------------------------------

_COST_LIMITS: Final = Limits(start_tag=4096)  # what may be one start tag is looked at late, and seems cheap
_BASE: Final = 16 << 10  # bytes: some start tags
_FACTOR: Final = 4
_SLACK: Final = 2.5  # how much more than linear is noise
_LEAST: Final = 0.005  # seconds for _BASE: whatever costs less is cheap enough even if it is quadratic


def cost(data: bytes) -> None:
    """Four times the bytes take about four times as long, however they are cut."""
    if len(data) < 3:
        return
    step, text = (1, 16, 300, 4000)[data[0] % 4], data[2:]
    stream = text * (_BASE * _FACTOR // len(text) + 1)
    for _ in range(4):
        short = _time(stream[:_BASE], step)
        if short < _LEAST:
            return
        long = _time(stream[: _BASE * _FACTOR], step)
        if long <= short * _FACTOR * allowed(_SLACK):
            return
    raise AssertionError(
        f"{_BASE} bytes in pieces of {step} take {short:.3f} s of CPU, {_FACTOR} times as many {long:.3f} s"
    )


def _time(text: bytes, step: int) -> float:
    each = Framer(_COST_LIMITS)
    begin = time.thread_time()
    for start in range(0, len(text), step):
        each.feed(text[start : start + step])
    return time.thread_time() - begin


# --- the decoder -----------------------------------------------------------------------------


def decoder(data: bytes) -> None:
    """Frames that the framer lets through, and what it would not: with any tag over any bytes."""
    if len(data) < 2:
        return
    text = data[2:]
    frames = Framer().feed(text)
    if data[0] % 8 == 0:
        tag = _TAGS[data[1] % len(_TAGS)]
        frames.append(Frame(Address(tag, "A", "p"), b"<" + tag.text.encode() + b" " + text))
    for frame in frames:
        try:
            message = decode(frame)
        except RemoteProtocolError:
            continue
        _check_values(message)
        _comes_back(message)
        if frame.tag.verb in (Verb.DEF, Verb.SET, Verb.DELETE, Verb.MESSAGE):
            try:
                snoop_event(frame, message)
            except RemoteProtocolError:
                pass


def _check_values(message: AnyMessage) -> None:
    parse_timestamp(getattr(message, "timestamp", None) or "")
    if getattr(message, "kind", None) is VectorKind.NUMBER:
        for member in message.members:  # type: ignore[union-attr]
            try:
                getfloat(member.value)  # type: ignore[union-attr]
            except TypeError:
                pass


def _as_said(message: AnyMessage) -> AnyMessage:
    """The message with what is added when it goes out: the version, and the size of a BLOB."""
    if isinstance(message, GetProperties):
        return message._replace(version="1.7")
    if isinstance(message, SetVector) and message.kind is VectorKind.BLOB:
        blobs = [m if m.size is not None else m._replace(size=len(m.data)) for m in message.members]
        return message._replace(members=tuple(blobs))
    if isinstance(message, NewVector | SetVector | DefVector) and message.kind is VectorKind.TEXT:
        # A text that begins with an entity goes out behind a line end, for libindi, and is stripped when it comes in.
        texts = [
            m._replace(value=m.value.strip(" \t\n\r")) if m.value.startswith(("&", "<", ">")) else m
            for m in message.members
        ]
        return message._replace(members=tuple(texts))
    return message


def _comes_back(message: AnyMessage) -> None:
    """What has been understood can be said, is understood alike, and passes our own door."""
    try:
        frame = encode(message)
    except LocalProtocolError:
        return  # such as a getProperties or an enableBLOB that only others may send
    understood = decode(frame)
    assert understood == _as_said(message), f"{message} comes back as {understood}"
    door = Framer()
    passed = door.feed(frame.raw)
    assert not door.faults, f"{frame.raw[:200]!r} is not taken: {door.faults}"
    assert [each.raw for each in passed] == [frame.raw]
    if isinstance(message, SetVector):
        assert passed[0].address == frame.address
