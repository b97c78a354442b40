"""The outbox against an obvious model: a list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch
from indipydriver.protocol.messages import OneBlob, OneMember, SetVector
from indipydriver.protocol.tags import State, VectorKind
from indipyserver.outbox import Outbox, Verdict

LIMIT, STREAM = 20_000, 5_000


def batch(kind: str, size: int, number: int) -> Batch:
    if kind == "text":
        text = (OneMember("m", f"{number:06d}" + "x" * size),)
        return Batch([encode(SetVector(VectorKind.TEXT, "D", "t", text, State.OK))], sealed=True)
    data = f"{number:06d}".encode() + bytes(size)
    return Batch(
        [encode(SetVector(VectorKind.BLOB, "D", "p", (OneBlob("m", data, size, kind),), State.OK))], sealed=True
    )


steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["text", ".stream", ".fits"]), st.integers(0, 8000)),
        st.tuples(st.just("pop"), st.just(0)),
    ),
    max_size=60,
)


@given(steps, st.sampled_from([3_000, LIMIT]))
def test_like_a_list(script: list[tuple[str, int]], limit: int) -> None:
    outbox = Outbox(limit, STREAM)
    model: list[tuple[str, bytes]] = []
    for number, (kind, size) in enumerate(script):
        if kind == "pop":
            got = outbox.pop()
            data = b"" if got is None else b"".join(got.buffers)
            while data:  # small ones may come together
                _, first = model.pop(0)
                assert data.startswith(first)
                data = data[len(first) :]
            if got is None:
                assert not model
        else:
            new = batch(kind, size, number)
            waiting = sum(len(raw) for _, raw in model)
            expected = Verdict.QUEUED
            older = [entry for entry in model if entry[0] == kind] if kind == ".stream" else []
            if older and waiting + new.size > STREAM:
                waiting -= len(older[-1][1])
                expected = Verdict.REPLACED
            if waiting > limit:
                expected = Verdict.OVERFLOW
            if expected is Verdict.REPLACED:
                model.remove(older[-1])
            if expected is not Verdict.OVERFLOW:
                model.append((kind, b"".join(new.buffers)))
            assert outbox.put(new) is expected
        assert outbox.queued == sum(len(raw) for _, raw in model)
