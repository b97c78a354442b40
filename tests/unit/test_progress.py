"""What peers may hold open: how fast an unfinished element must grow, and how much all of them may have together."""

import asyncio

import pytest

from indipydriver.errors import MalformedFrame
from indipydriver.transport.framed import FramedLink
from indipydriver.transport.progress import GROWTH, LARGE_ELEMENT, MIN_PROGRESS, ProgressWatch, UnfinishedTotal
from tests.conformance.links import Recorder
from tests.support import asynchronous

MIB = 1 << 20


@pytest.fixture
def loop(monkeypatch) -> "Loop":
    clock = Loop()
    monkeypatch.setattr("indipydriver.transport.progress.asyncio.get_running_loop", lambda: clock)
    return clock


class Loop:
    """Keeps one timer, which runs out when it is told to."""

    def __init__(self) -> None:
        self.timers: list[object] = []

    def call_later(self, delay, function):
        handle = Handle(self, delay, function)
        self.timers.append(handle)
        return handle

    def let_time_pass(self) -> None:
        timers, self.timers = self.timers, []
        for timer in timers:
            timer.function()


class Handle:
    def __init__(self, loop, delay, function) -> None:
        self.loop, self.delay, self.function = loop, delay, function

    def cancel(self) -> None:
        if self in self.loop.timers:
            self.loop.timers.remove(self)


@pytest.mark.parametrize(
    ("size", "more", "goes_on"),
    [
        (100, MIN_PROGRESS, True),
        (100, MIN_PROGRESS - 1, False),
        (32 * MIB, MIB, False),  # of 33 MiB then
        (31 * MIB, MIB, True),
        (64 * MIB, MIB, False),
        (64 * MIB, 3 * MIB, True),
    ],
)
def test_the_larger_an_element_is_the_faster_it_must_grow(loop, size, more, goes_on):
    said: list[str] = []
    watch = ProgressWatch(30, said.append)
    watch.received(size, size, False)
    assert [timer.delay for timer in loop.timers] == [30]
    watch.received(size + more, size + more, False)
    loop.let_time_pass()
    assert (not said) == goes_on
    assert len(loop.timers) == goes_on


def test_an_element_cannot_be_held_open_for_ever_below_its_limit(loop):
    """At the least rate it reaches 64 MiB within hours, and not within years."""
    said: list[str] = []
    watch = ProgressWatch(30, said.append)
    size, looks = 1, 0
    watch.received(size, size, False)
    while size < 64 * MIB:
        size += max(MIN_PROGRESS, size // (GROWTH - 1) + 1)
        watch.received(size, size, False)
        loop.let_time_pass()
        assert not said
        looks += 1
    assert looks * 30 < 4 * 3600


def test_other_elements_that_end_count_as_progress(loop):
    said: list[str] = []
    watch = ProgressWatch(30, said.append)
    watch.received(10, 10, False)
    watch.received(20, 10, True)
    loop.let_time_pass()
    assert not said
    loop.let_time_pass()
    assert said


def test_no_patience_means_any_time(loop):
    watch = ProgressWatch(0, pytest.fail)
    watch.received(10, 10, False)
    assert loop.timers == []


def test_when_all_together_hold_too_much_the_largest_gives_way(loop):
    total = UnfinishedTotal(1000)
    gone: list[str] = []
    watches = {
        name: ProgressWatch(30, pytest.fail, total, lambda text, name=name: gone.append(name))
        for name in ("small", "large", "middle")
    }
    for name, size in (("small", 100), ("large", 500), ("middle", 400)):
        watches[name].received(size, size, False)
    assert total.used == 1000
    assert not gone
    watches["small"].received(101, 101, False)
    assert gone == ["large"]
    assert total.used == 501
    watches["small"].received(700, 700, False)  # it may be the one that has just grown
    assert gone == ["large", "small"]
    assert total.used == 400
    watches["middle"].received(450, 0, True)
    assert total.used == 0
    assert loop.timers == []


def test_what_a_link_held_open_is_free_when_it_has_ended(loop):
    total = UnfinishedTotal(1000)
    watch = ProgressWatch(30, pytest.fail, total)
    watch.received(900, 900, False)
    watch.stop()
    watch.stop()
    assert total.used == 0
    assert loop.timers == []


class Bytes(FramedLink):
    """A link whose bytes come by hand."""

    def __init__(self, total: UnfinishedTotal, patience: float = 0.0) -> None:
        super().__init__("peer")
        self.demand_progress(patience, total)
        self._receiver = self.recorder = Recorder()

    def feed(self, data: bytes) -> None:
        self._received(data)

    def _release(self) -> None: ...


@asynchronous
async def test_links_share_a_total_and_the_one_that_gives_way_is_told_why():
    total = UnfinishedTotal(5000)
    one, two = Bytes(total), Bytes(total)
    half = b"<newTextVector device='A' name='x'><oneText name='t'>"
    one.feed(b"<getProperties version='1.7'/>" + half + b"x" * 3000)
    assert total.used == one.unfinished > 3000
    two.feed(half + b"y" * 1000)
    two.feed(b"</oneText></newTextVector>" + half + b"y" * 3000)
    (error,) = two.recorder.closed if two.recorder.closed else one.recorder.closed
    assert isinstance(error, MalformedFrame)
    assert "more than 5000" in str(error)
    assert len(one.recorder.closed) + len(two.recorder.closed) == 1
    assert len(two.recorder.frames) == 1  # what ended in the same read has been delivered
    assert total.used == one.unfinished + two.unfinished
    await asyncio.sleep(0)


def test_what_is_finished_and_waits_counts_against_large_elements_only(loop):
    given_up: list[str] = []
    waiting = 0
    total = UnfinishedTotal(4 * MIB, lambda: waiting)
    watches = {
        name: ProgressWatch(0, lambda _: None, total, lambda _, name=name: given_up.append(name)) for name in "ab"
    }
    watches["a"].received(LARGE_ELEMENT - 1, LARGE_ELEMENT - 1, False)
    watches["b"].received(LARGE_ELEMENT, LARGE_ELEMENT, False)
    assert not given_up
    waiting = 4 * MIB
    watches["a"].received(LARGE_ELEMENT - 1, LARGE_ELEMENT - 2, False)
    assert not given_up, "it is small"
    watches["b"].received(LARGE_ELEMENT + 1, LARGE_ELEMENT + 1, False)
    assert given_up == ["b"]


def test_what_arrives_whole_is_refused_if_there_is_no_room_for_it(loop):
    waiting = 3 * MIB
    total = UnfinishedTotal(4 * MIB, lambda: waiting)
    watch = ProgressWatch(0, lambda _: None, total)
    assert not watch.refuses(MIB)
    assert str(4 * MIB) in watch.refuses(MIB + 1)
    assert not watch.refuses(LARGE_ELEMENT - 1)
    waiting = 100 * MIB
    assert not watch.refuses(LARGE_ELEMENT - 1), "it is small"
    waiting = 0
    watch.received(1, 4 * MIB, False)
    assert watch.refuses(1)
    assert not ProgressWatch(1, lambda _: None).refuses(1 << 40)
