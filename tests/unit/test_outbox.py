"""What waits for one peer."""

from __future__ import annotations

import tracemalloc

import pytest

from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch, Frame
from indipydriver.protocol.messages import Message, OneBlob, SetVector
from indipydriver.protocol.tags import State, VectorKind
from indipyserver.routing.outbox import Outbox, Verdict


def text(size: int = 100, sealed: bool = True) -> Batch:
    frame = encode(Message("D", "x"))
    padding = b" " * (size - frame.size - 1)  # more than an attribute may hold
    return Batch([Frame(frame.address, frame.raw.replace(b"/>", padding + b"/>"))], sealed=sealed)


def image(name: str = "video", format: str = ".stream", size: int = 1000, fill: bytes = b"\0") -> Batch:
    return Batch(
        [encode(SetVector(VectorKind.BLOB, "D", name, (OneBlob("m", fill * size, size, format),), State.OK))],
        sealed=True,
    )


def everything(outbox: Outbox) -> bytes:
    out = b""
    while (batch := outbox.pop()) is not None:
        out += b"".join(batch.buffers)
    return out


def test_first_in_first_out_and_counted_exactly() -> None:
    outbox = Outbox(10_000)
    batches = [text(), image(), text(5000), text(), text(), image(format=".fits")]
    for batch in batches:
        assert outbox.put(batch) is Verdict.QUEUED
    assert outbox.queued == sum(batch.size for batch in batches)
    assert everything(outbox) == b"".join(b"".join(batch.buffers) for batch in batches)
    assert outbox.queued == 0
    assert not outbox


@pytest.mark.parametrize("in_link", [0, 400])
def test_the_limit_is_passed_by_one_batch_and_the_next_is_refused(in_link: int) -> None:
    outbox = Outbox(1000)
    taken = 0
    while outbox.put(text(100), in_link) is Verdict.QUEUED:
        taken += 1
    assert 1000 - in_link < outbox.queued <= 1000 - in_link + 101
    assert outbox.put(text(100), in_link) is Verdict.OVERFLOW
    big = Outbox(1000)
    assert big.put(image(size=100_000)) is Verdict.QUEUED  # larger than the limit, when nothing waits


@pytest.mark.parametrize("more", [0, 1])
def test_the_limit_is_passed_by_the_first_byte_beyond_it(more: int) -> None:
    outbox = Outbox(1000)
    first = text(900)
    outbox.put(first)
    assert outbox.put(text(100), 1000 - first.size + more) is (Verdict.OVERFLOW if more else Verdict.QUEUED)


@pytest.mark.parametrize("less", [0, 1])
def test_a_frame_is_replaced_where_the_next_one_would_pass_the_limit_of_streams(less: int) -> None:
    older, newer = image(), image(size=2000)
    outbox = Outbox(1 << 20, stream_limit=100 + older.weight + newer.weight - less)
    assert outbox.put(older) is Verdict.QUEUED
    assert outbox.put(newer, 100) is (Verdict.REPLACED if less else Verdict.QUEUED)
    assert outbox.queued == newer.weight + (not less) * older.weight


def test_what_is_replaced_makes_room_below_the_limit() -> None:
    older = image()
    outbox = Outbox(older.weight, stream_limit=1)
    outbox.put(older)
    assert outbox.put(text(10_000), always=True) is Verdict.QUEUED
    assert outbox.put(image(), -10_000) is Verdict.REPLACED
    outbox = Outbox(older.weight - 1, stream_limit=1)
    outbox.put(older)
    assert outbox.put(image(), older.weight - 1) is Verdict.REPLACED
    assert outbox.put(image(), older.weight) is Verdict.OVERFLOW


def test_the_newest_frame_of_a_stream_replaces_the_one_that_waits() -> None:
    outbox = Outbox(1 << 20, stream_limit=2000)
    data, newest = image(format=".fits"), image(fill=b"\3")
    assert outbox.put(image(fill=b"\1")) is Verdict.QUEUED
    assert outbox.put(data) is Verdict.QUEUED
    assert outbox.put(image(fill=b"\2")) is Verdict.REPLACED
    assert outbox.put(newest) is Verdict.REPLACED
    assert outbox.put(image("other")) is Verdict.QUEUED  # of another property
    assert outbox.queued == data.size + newest.size + image("other").size
    assert everything(outbox) == b"".join(b"".join(b.buffers) for b in (data, newest, image("other")))


def test_frames_that_were_replaced_leave_nothing_behind() -> None:
    """Whoever watches a video and sleeps is never cut off: newer frames take the place of older ones, all night."""
    outbox = Outbox(1 << 20, stream_limit=2000)
    outbox.put(image(format=".fits", size=3000))
    frames = [image(name) for name in ("video", "other")]
    for frame in frames:
        outbox.put(frame)
    tracemalloc.start()
    try:
        for _ in range(20_000):
            for frame in frames:
                assert outbox.put(frame) is Verdict.REPLACED
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 100_000


def test_streams_whose_frames_have_been_taken_leave_nothing_behind() -> None:
    """A client may lag behind a little for hours, and each video be of another property."""
    outbox = Outbox(1 << 20, stream_limit=2000)
    outbox.put(image("video"))
    tracemalloc.start()
    try:
        for n in range(2000):
            outbox.put(image(f"video {n}"))
            assert outbox.pop() is not None
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 50_000


def test_what_waits_keeps_its_order_however_many_frames_are_replaced() -> None:
    outbox = Outbox(1 << 30, stream_limit=1)
    expected: list[Batch] = []
    newest: dict[str, Batch] = {}
    for n in range(2000):
        name = f"video {n % 7}"
        batch = image(name, fill=bytes([n % 256])) if n % 5 else image(format=".fits", fill=bytes([n % 256]))
        if n % 5 and name in newest and newest[name] in expected:
            expected.remove(newest[name])
        if n % 5:
            newest[name] = batch
        expected.append(batch)
        outbox.put(batch)
        if not n % 9:
            assert outbox.pop() is expected.pop(0)
        assert outbox.queued == sum(each.weight for each in expected)
    while expected:
        assert outbox.pop() is expected.pop(0)
    assert outbox.pop() is None
    assert outbox.queued == 0


def test_below_the_stream_limit_nothing_is_replaced_and_zero_turns_it_off() -> None:
    for outbox in (Outbox(1 << 20, stream_limit=1 << 20), Outbox(1 << 20, stream_limit=0), Outbox(1 << 20)):
        for _ in range(10):
            assert outbox.put(image()) is Verdict.QUEUED


def test_data_is_never_replaced() -> None:
    outbox = Outbox(1 << 30, stream_limit=1)
    for _ in range(10):
        assert outbox.put(image(format=".fits")) is Verdict.QUEUED


def test_frames_for_a_driver_in_this_process_stay_frames() -> None:
    outbox = Outbox(1 << 20)
    batches = [text(sealed=False) for _ in range(3)]
    for batch in batches:
        outbox.put(batch)
    assert [outbox.pop() for _ in range(4)] == [*batches, None]


def test_a_stream_frame_that_is_refused_leaves_no_trace() -> None:
    """It was remembered as the one that waits: the next one took its size off what waited."""
    outbox = Outbox(1000, stream_limit=500)
    first = image(size=1200)
    assert outbox.put(first) is Verdict.QUEUED
    other = image("other", size=600)
    for _ in range(3):
        assert outbox.put(other) is Verdict.OVERFLOW
        assert outbox.queued == first.size
    assert everything(outbox) == b"".join(first.buffers)
    assert outbox.queued == 0
    assert outbox.put(other) is Verdict.QUEUED
    assert outbox.queued == other.size


def test_a_frame_of_a_stream_that_does_not_fit_leaves_the_one_that_waits() -> None:
    outbox = Outbox(1000, stream_limit=500)
    older, data = image(fill=b"\1", size=100), image(format=".fits", size=2000)
    assert outbox.put(older) is Verdict.QUEUED
    assert outbox.put(data) is Verdict.QUEUED
    assert outbox.put(image(fill=b"\2", size=100)) is Verdict.OVERFLOW
    assert outbox.queued == older.size + data.size
    assert everything(outbox) == b"".join(b"".join(batch.buffers) for batch in (older, data))


def test_what_must_not_be_lost_is_queued_beyond_the_limit() -> None:
    outbox = Outbox(1000)
    while outbox.put(text(500)) is Verdict.QUEUED:
        pass
    before, last = outbox.queued, text(300)
    assert outbox.put(last, always=True) is Verdict.QUEUED
    assert outbox.queued == before + last.size
    assert everything(outbox).endswith(b"".join(last.buffers))


def test_the_limits_count_what_a_batch_holds_and_not_only_its_bytes() -> None:
    """The element of an attached BLOB is short, its file is not."""
    outbox = Outbox(10_000, stream_limit=5000)
    for expected in (Verdict.QUEUED, Verdict.REPLACED, Verdict.REPLACED):
        frame = image(size=10)
        frame.weight = 4000
        assert outbox.put(frame) is expected
        assert outbox.queued == 4000
    while outbox.queued <= 10_000:
        data = image(format=".fits", size=10)
        data.weight = 4000
        assert outbox.put(data) is Verdict.QUEUED
    assert outbox.put(text()) is Verdict.OVERFLOW
    everything(outbox)
    assert outbox.queued == 0


def test_what_was_put_together_is_bounded_and_comes_out_in_order() -> None:
    """Many small batches wait as a few larger ones."""
    outbox = Outbox(1 << 20)
    batches = [text(1000) for _ in range(200)]
    for batch in batches:
        assert outbox.put(batch) is Verdict.QUEUED
    sizes = []
    while (got := outbox.pop()) is not None:
        sizes.append(got.size)
    assert sum(sizes) == sum(batch.size for batch in batches)
    assert 2 <= len(sizes) <= 8
    assert max(sizes) < 70_000
