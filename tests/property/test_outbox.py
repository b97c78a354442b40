"""The outbox against an obvious model: a list."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch
from indipydriver.protocol.messages import OneBlob, OneMember, SetVector
from indipydriver.protocol.tags import State, VectorKind
from indipyserver.routing.outbox import Outbox, Verdict

STREAM = 5_000


def batch(kind: str, size: int, number: int) -> Batch:
    """A text, or a BLOB of this format; a stream of its own for each vector."""
    if kind == "text":
        text = (OneMember("m", f"{number:06d}" + "x" * size),)
        return Batch([encode(SetVector(VectorKind.TEXT, "D", "t", text, State.OK))], sealed=True)
    blob = OneBlob("m", f"{number:06d}".encode() + bytes(size), size, kind)
    return Batch([encode(SetVector(VectorKind.BLOB, "D", f"p{number % 2}", (blob,), State.OK))], sealed=True)


class Model:
    """What waits, as a list of its vector, if that is a stream, and its bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.waits: list[tuple[str | None, bytes]] = []

    @property
    def size(self) -> int:
        return sum(len(raw) for _, raw in self.waits)

    def put(self, stream: str | None, raw: bytes, in_link: int, always: bool) -> Verdict:
        waiting, verdict = self.size + in_link, Verdict.QUEUED
        older = [entry for entry in self.waits if stream is not None and entry[0] == stream]
        if older and waiting + len(raw) > STREAM:
            waiting -= len(older[-1][1])
            verdict = Verdict.REPLACED
        if waiting > self.limit and not always:
            return Verdict.OVERFLOW
        if verdict is Verdict.REPLACED:
            self.waits.remove(older[-1])
        self.waits.append((stream, raw))
        return verdict

    def pop(self, data: bytes) -> None:
        """The first, or several small ones that come together."""
        while data:
            _, first = self.waits.pop(0)
            assert data.startswith(first)
            data = data[len(first) :]


KINDS = ["text", ".stream", ".stream", ".fits"] * 4 + ["pop"] * 4 + ["clear"]
steps = st.tuples(
    st.sampled_from(KINDS),
    st.sampled_from([0, 0, 100, 1_000, 2_900, 4_000, 8_000]),
    st.sampled_from([0, 0, 0, 2_500]),  # in the link
    st.sampled_from([False, False, False, True]),  # always
)
scripts = st.lists(steps, min_size=20, max_size=60)


def test_it_is_a_list_with_limits_in_which_frames_of_a_stream_are_replaced() -> None:
    met: Counter[Any] = Counter()

    @given(scripts, st.sampled_from([3_000, 12_000]))
    def like_a_list(script: list[tuple[str, int, int, bool]], limit: int) -> None:
        outbox, model = Outbox(limit, STREAM), Model(limit)
        for number, (kind, size, in_link, always) in enumerate(script):
            if kind == "pop":
                got = outbox.pop()
                assert (got is None) == (not model.waits)
                model.pop(b"".join(got.buffers) if got is not None else b"")
            elif kind == "clear":
                outbox.clear()
                model.waits.clear()
            else:
                new = batch(kind, size, number)
                full = model.size + in_link > limit
                raw = b"".join(new.buffers)
                verdict = model.put(f"p{number % 2}" if kind == ".stream" else None, raw, in_link, always)
                assert outbox.put(new, in_link, always=always) is verdict
                met[verdict, limit] += 1
                met["always", limit] += full and always
            assert outbox.queued == model.size
            assert bool(outbox) == bool(model.waits)
        while (got := outbox.pop()) is not None:
            model.pop(b"".join(got.buffers))
        assert model.waits == []
        assert outbox.queued == 0

    like_a_list()
    for what in (*Verdict, "always"):
        for limit in (3_000, 12_000):
            assert met[what, limit] >= 5, f"{what} is hardly met with the limit of {limit}: {met}"
