"""What is on its way to one peer."""

from __future__ import annotations

from itertools import groupby

import pytest

from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch, Frame
from indipydriver.protocol.messages import DelProperty, Message, NewVector, OneMember
from indipydriver.protocol.tags import VectorKind
from indipyserver.routing.outbox import OutboxLimits
from indipyserver.routing.queues import Queues

LOW = 1000


class FakeWay:
    """A link that keeps what it is given until it is told to take some."""

    def __init__(self) -> None:
        self.unsent = 0
        self.takes_commands = True
        self.written: list[Frame] = []

    def write(self, batch: Batch) -> None:
        self.unsent += batch.size
        self.written += batch.frames

    def names(self) -> list[str]:
        return [frame.device or "" for frame in self.written]


def news(name: str, size: int = 0) -> Frame:
    return encode(Message(name, "x" * size))


def command(name: str) -> Frame:
    return encode(NewVector(VectorKind.TEXT, name, "P", (OneMember("m", "x"),)))


def deletion(name: str) -> Frame:
    return encode(DelProperty(name))


def put(queues: Queues, *frames: Frame) -> list[bool]:
    return [queues.put(Batch([frame]), [frame]) for frame in frames]


def of_driver(way: FakeWay, **limits: int) -> Queues:
    return Queues(way, OutboxLimits(**limits), low_water=LOW, for_client=False, seal=False)


def of_client(way: FakeWay, **limits: int) -> Queues:
    return Queues(way, OutboxLimits(**limits), low_water=LOW, for_client=True, seal=False)


def test_what_the_link_takes_does_not_wait() -> None:
    way = FakeWay()
    queues = of_client(way)
    assert put(queues, news("a"), news("b")) == [True, True]
    assert way.names() == ["a", "b"]
    assert not queues
    assert queues.queued == way.unsent > 0
    assert (queues.sent, queues.dropped) == (2, 0)


@pytest.mark.parametrize("unsent", [LOW, LOW + 1])
def test_the_link_is_given_more_at_low_water_and_not_above(unsent: int) -> None:
    way = FakeWay()
    way.unsent = unsent
    queues = of_client(way)
    put(queues, news("a"))
    assert way.names() == (["a"] if unsent == LOW else [])
    assert bool(queues) is (unsent > LOW)
    way.unsent = unsent
    queues.refill()
    assert bool(queues) is (unsent > LOW), "above low water nothing goes out"


def test_order_is_kept_when_some_of_it_has_waited() -> None:
    way = FakeWay()
    queues = of_client(way)
    way.unsent = LOW + 1
    put(queues, news("a"))
    way.unsent = 0
    put(queues, news("b"))
    assert way.names() == [], "b does not overtake a"
    queues.refill()
    assert way.names() == ["a", "b"]


def test_a_client_for_which_too_much_waits_is_too_slow() -> None:
    way = FakeWay()
    way.unsent = LOW + 1
    queues = of_client(way, total=LOW + 500)
    assert put(queues, news("a", 400)) == [True]
    assert not queues.too_slow
    assert put(queues, news("b", 400), news("c")) == [True, False], "one may pass the limit"
    assert queues.too_slow
    assert (queues.sent, queues.dropped) == (2, 1)


def test_commands_and_news_take_turns() -> None:
    way = FakeWay()
    way.unsent = LOW + 1
    queues = of_driver(way)
    put(queues, *[command(f"c{n}") for n in range(5)], *[news(f"n{n}", 3000) for n in range(5)])
    order = []
    while queues:
        way.unsent = LOW  # it takes one batch at a time
        way.written.clear()
        queues.refill()
        order += way.names()
    assert [name for name in order if name.startswith("c")] == [f"c{n}" for n in range(5)]
    assert [name for name in order if name.startswith("n")] == [f"n{n}" for n in range(5)]
    kinds = "".join(name[0] for name in order)
    assert max(len(list(run)) for _, run in groupby(kinds)) <= 2, kinds


def test_commands_wait_while_the_link_takes_none_and_news_does_not() -> None:
    way = FakeWay()
    way.takes_commands = False
    queues = of_driver(way)
    put(queues, command("c"), news("n"))
    assert way.names() == ["n"]
    assert queues.given == 0
    queues.refill()
    assert way.names() == ["n"]
    way.takes_commands = True
    queues.refill()
    assert way.names() == ["n", "c"]
    assert queues.given == 1


@pytest.mark.parametrize("more", [0, 1])
def test_too_many_commands_congest_it(more: int) -> None:
    way = FakeWay()
    queues = of_driver(way, commands=2 * LOW)
    way.unsent = 2 * LOW + more
    assert queues.congested is bool(more)
    client = of_client(way, commands=LOW)
    assert not client.congested, "there are none for a client"


def test_less_than_low_water_is_never_too_much() -> None:
    way = FakeWay()
    way.unsent = LOW
    assert not of_driver(way, commands=1).congested


def test_a_driver_that_is_behind_gets_deletions_only_until_it_has_caught_up() -> None:
    way = FakeWay()
    way.unsent = LOW + 1
    queues = of_driver(way, snoop=LOW)
    assert put(queues, news("a")) == [False], "the link alone holds more than is allowed"
    assert put(queues, news("b"), deletion("D"), deletion("D"), command("c")) == [False, False, False, True]
    assert not queues.too_slow, "it is not cut off"
    assert queues.left_out == 3
    assert queues.dropped == 3
    assert queues.sent == 2
    assert queues.catch_up() == 0, "something waits still"
    way.unsent = 0
    queues.refill()
    assert sorted(way.names()) == ["D", "c"]
    assert queues.catch_up() == 3
    assert queues.catch_up() == 0
    assert put(queues, news("e")) == [True]
    assert way.names()[-1] == "e"


def test_a_deletion_is_kept_again_when_it_falls_behind_again() -> None:
    way = FakeWay()
    queues = of_driver(way, snoop=LOW)
    for _ in range(2):
        way.unsent = LOW + 1
        way.written.clear()
        put(queues, news("a"), deletion("D"))
        way.unsent = 0
        queues.refill()
        assert way.names() == ["D"]
        assert queues.catch_up() == 1


def test_all_is_dropped_when_it_ends() -> None:
    way = FakeWay()
    way.unsent = LOW + 1
    queues = of_driver(way)
    put(queues, command("c"), news("n"))
    assert queues
    queues.clear()
    assert not queues
    assert queues.queued == way.unsent
