"""Commands of several senders for one driver: none is lost, each keeps its order, and nobody waits for a flood."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch, Frame
from indipydriver.protocol.messages import GetProperties, NewVector, OneMember
from indipydriver.protocol.tags import VectorKind
from indipyserver.routing.outbox import OutboxLimits
from indipyserver.routing.queues import Queues

LOW = 2000
SENDERS = ("a", "b", "c", None)
VECTORS = ("move", "abort", "filter")

sends = st.tuples(
    st.just("send"),
    st.sampled_from(SENDERS),
    st.lists(st.sampled_from([*VECTORS, ""]), min_size=1, max_size=20),  # "": a request
    st.sampled_from([1, 100, 3000]),
)
fills = st.tuples(st.just("full"), st.sets(st.sampled_from(VECTORS)))
takes = st.tuples(st.just("take"), st.integers(0, 3000))
scripts = st.lists(st.one_of(sends, sends, sends, fills, takes), max_size=40)


class Driver:
    """A link to a driver, which says which vectors are full."""

    def __init__(self) -> None:
        self.unsent = 0
        self.full_vectors: set[tuple[str | None, str | None]] = set()
        self.full_news = False
        self.got: list[bytes] = []

    def write(self, batch: Batch) -> None:
        for frame in batch.frames:
            assert frame.address[1:] not in self.full_vectors or frame.tag.text == "getProperties"
        self.unsent += batch.size
        self.got += [line for line in b"".join(batch.buffers).split(b"\n") if line]


def command(sender: str | None, vector: str, size: int, number: int) -> Frame:
    if not vector:
        return encode(GetProperties(f"{sender} {number}"))
    return encode(NewVector(VectorKind.TEXT, "D", vector, (OneMember(f"{sender} {number}", "x" * size),)))


@given(scripts, st.booleans())
def test_each_sender_keeps_its_order_and_nothing_is_lost(script: list[Any], seal: bool) -> None:
    driver = Driver()
    queues = Queues(driver, OutboxLimits(), low_water=LOW, for_client=False, seal=seal)
    put: dict[tuple[str | None, str | None], list[bytes]] = defaultdict(list)
    count = 0
    for step in script:
        match step:
            case "send", sender, vectors, size:
                frames = []
                for vector in vectors:
                    count += 1
                    frame = command(sender, vector, size, count)
                    put[sender, None if seal else vector].append(frame.raw)
                    frames.append(frame)
                queues.put(Batch(frames, sealed=seal), frames, sender)
            case "full", vectors:
                if not seal:  # what goes as bytes knows nothing of vectors
                    driver.full_vectors = {("D", vector) for vector in vectors}
                    if driver.unsent <= LOW:
                        queues.refill()
            case "take", size:
                driver.unsent = max(0, driver.unsent - size)
                if driver.unsent <= LOW:
                    queues.refill()
    waiting = queues.queued - driver.unsent
    assert waiting == sum(len(raw) + 1 for raws in put.values() for raw in raws) - sum(
        len(raw) + 1 for raw in driver.got
    )
    driver.full_vectors = set()
    for _ in range(2 * count + 1):
        driver.unsent = 0
        queues.refill()
    assert not queues
    assert queues.queued == driver.unsent
    assert sorted(driver.got) == sorted(raw for raws in put.values() for raw in raws)
    for (sender, vector), raws in put.items():
        assert [raw for raw in driver.got if raw in set(raws)] == raws, (sender, vector)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 30), st.sampled_from([1, 5000])), min_size=1),
    st.booleans(),
)
def test_one_command_waits_for_one_turn_of_each_other_sender(floods: list[tuple[str, int, int]], full: bool) -> None:
    driver = Driver()
    driver.unsent = LOW + 1
    if full:
        driver.full_vectors = {("D", "move")}
    queues = Queues(driver, OutboxLimits(), low_water=LOW, for_client=False, seal=False)
    for sender, count, size in floods:
        frames = [command(sender, "move", size, n) for n in range(count)]
        queues.put(Batch(frames), frames, sender)
    abort = command("me", "abort", 1, 0)
    queues.put(Batch([abort]), [abort], "me")
    turns = len({sender for sender, _, _ in floods}) + 1
    for _ in range(turns):
        driver.unsent = LOW  # room for one
        queues.refill()
    assert abort.raw in driver.got
