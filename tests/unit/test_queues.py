"""What is on its way to one peer."""

from __future__ import annotations

from itertools import groupby

import pytest

from indipydriver.protocol.decode import decode
from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch, Frame, address
from indipydriver.protocol.messages import (
    DelProperty,
    EnableBlob,
    GetProperties,
    Message,
    NewVector,
    OneBlob,
    OneMember,
    SetVector,
)
from indipydriver.protocol.tags import BlobMode, VectorKind
from indipydriver.transport.link import LOW_WATER
from indipyserver.routing.fairqueue import FairQueue
from indipyserver.routing.outbox import OutboxLimits
from indipyserver.routing.queues import Queues

LOW = 1000
SHARE = 10 * LOW


class FakeWay:
    """A link that keeps what it is given until it is told to take some."""

    def __init__(self) -> None:
        self.unsent = 0
        self.full_vectors: set[tuple[str | None, str | None]] = set()
        self.full_news = False
        self.written: list[Frame] = []
        self.sizes: list[int] = []
        self.batches: list[Batch] = []

    def write(self, batch: Batch) -> None:
        self.sizes.append(batch.size)
        self.batches.append(batch)
        self.unsent += batch.size
        self.written += batch.frames

    def names(self) -> list[str]:
        return [frame.device or "" for frame in self.written]


def news(name: str, size: int = 0) -> Frame:
    return encode(Message(name, "x" * size))


def command(name: str, vector: str = "P", size: int = 1) -> Frame:
    return encode(NewVector(VectorKind.TEXT, name, vector, (OneMember("m", "x" * size),)))


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


def test_commands_wait_while_their_vector_is_full_and_news_does_not() -> None:
    way = FakeWay()
    way.full_vectors = {("c", "P")}
    queues = of_driver(way)
    put(queues, command("c"), news("n"))
    assert way.names() == ["n"]
    assert queues.given == 0
    queues.refill()
    assert way.names() == ["n"]
    way.full_vectors = set()
    queues.refill()
    assert way.names() == ["n", "c"]
    assert queues.given == 1


def test_news_waits_while_the_peer_takes_none_and_commands_do_not() -> None:
    way = FakeWay()
    queues = of_driver(way)
    put(queues, news("a"))
    way.full_news = True
    put(queues, news("b"), command("c"), news("d"), command("e"))
    assert way.names() == ["a", "c", "e"]
    queues.refill()
    assert way.names() == ["a", "c", "e"]
    assert queues.queued_news == 2
    way.full_news = False
    queues.refill()
    assert way.names() == ["a", "c", "e", "b", "d"]
    assert not queues


def test_commands_for_other_vectors_pass_those_for_a_full_one() -> None:
    way = FakeWay()
    queues = of_driver(way)
    way.full_vectors = {("D", "move")}
    put(queues, command("D", "move"), command("D", "abort"), encode(GetProperties("D")), command("D", "move"))
    assert [frame.name for frame in way.written] == ["abort", None]
    assert queues


def test_the_order_of_a_vector_is_kept_while_it_is_full_now_and_then() -> None:
    way = FakeWay()
    queues = of_driver(way)
    for n in range(30):
        way.full_vectors = {("D", "move")} if n % 3 else set()
        if n % 5 == 4:
            queues.refill()
        put(queues, command("D", "move", n + 1), command("D", f"other {n}"))
        way.unsent = 0 if n % 2 else LOW + 1
    way.full_vectors = set()
    while queues:
        way.unsent = 0
        queues.refill()
    assert [frame.size for frame in way.written if frame.name == "move"] == [
        command("D", "move", n + 1).size for n in range(30)
    ]
    assert len(way.written) == 60


def test_a_vector_that_is_full_again_in_the_middle_keeps_the_rest_back() -> None:
    way = FakeWay()
    queues = of_driver(way)
    way.full_vectors = {("D", "move")}
    put(queues, *[command("D", "move", n + 1) for n in range(5)])
    way.full_vectors = set()
    way.unsent = LOW - 150  # two of them
    queues.refill()
    assert len(way.written) == 2
    way.full_vectors = {("D", "move")}
    way.unsent = 0
    queues.refill()
    assert len(way.written) == 2
    put(queues, command("D", "abort"))
    assert way.written[-1].name == "abort"
    way.full_vectors = set()
    queues.refill()
    assert [len(frame.raw) for frame in way.written if frame.name == "move"] == [
        len(command("D", "move", n + 1).raw) for n in range(5)
    ]
    assert not queues


@pytest.mark.parametrize("seal", [False, True])
def test_a_flood_of_one_sender_keeps_the_commands_of_others_back_for_one_turn(seal: bool) -> None:
    way = FakeWay()
    way.unsent = LOW + 1
    queues = Queues(way, OutboxLimits(), low_water=LOW, for_client=False, seal=seal)
    flood = [command("D", "move", 10_000) for _ in range(300)]
    queues.put(Batch(flood[:150], sealed=seal), flood[:150], "flooder")
    queues.put(Batch(flood[150:], sealed=seal), flood[150:], "flooder")
    abort = command("D", "abort")
    queues.put(Batch([abort], sealed=seal), [abort], "astronomer")
    assert queues.has_too_many("flooder")
    assert not queues.has_too_many("astronomer")
    way.unsent = 0
    queues.refill()
    assert way.sizes[0] == (flood[0].size + 1) * (150 if seal else 1)
    assert abort.size + 1 not in way.sizes
    way.unsent = 0
    queues.refill()
    assert abort.size + 1 in way.sizes


def test_senders_take_turns_and_each_keeps_its_order() -> None:
    way = FakeWay()
    way.unsent = LOW + 1
    queues = of_driver(way)
    for n in range(6):
        for sender in "ab" if n < 3 else "a":
            frame = command(f"{sender}{n}")
            queues.put(Batch([frame]), [frame], sender)
    way.unsent = 0
    queues.refill()
    assert way.names() == ["a0", "b0", "a1", "b1", "a2", "b2", "a3", "a4", "a5"]
    assert queues.queued == way.unsent


def test_what_waits_of_a_sender_is_counted_until_the_last_has_gone() -> None:
    way = FakeWay()
    commands = FairQueue(way, seal=False)
    move, abort = command("D", "move"), command("D", "abort", 100)
    for frame in (move, abort):
        commands.put("a", Batch([frame]), [frame])
    way.full_vectors = {("D", "move")}
    for left in (move.size + 1, 0):
        assert commands.of("b") == 0
        assert commands.pop() is not None
        assert commands.of("a") == commands.queued == left
        way.full_vectors = set()
        commands.look_again()
    assert not commands
    assert commands.pop() is None
    assert not any((commands._flows, commands._stopped, commands._turns))


def test_a_sender_whose_vector_is_full_again_before_its_turn_is_in_line_once() -> None:
    way = FakeWay()
    queues = of_driver(way)

    def give_one(*full: str) -> None:
        way.full_vectors = {("D", vector) for vector in full}
        way.unsent = LOW
        queues.refill()

    way.unsent = LOW + 1
    for sender, vectors in (("x", "BBB"), ("y", "A"), ("z", "BB")):
        for vector in vectors:
            frame = command("D", vector)
            queues.put(Batch([frame]), [frame], sender)
    give_one("A")
    give_one("A")  # what y has sent must wait
    give_one()  # y is in line
    give_one("A")  # and must wait again when its turn comes
    frame = command("D", "C")
    queues.put(Batch([frame]), [frame], "y")
    for _ in range(3):
        give_one()
    put(queues, command("D", "E"))
    give_one()
    assert [frame.name for frame in way.written] == ["B", "B", "B", "B", "A", "B", "C", "E"]
    assert not queues


@pytest.mark.parametrize("seal", [False, True])
def test_which_blobs_are_wanted_goes_out_in_the_order_of_all_senders(seal: bool) -> None:
    way = FakeWay()
    way.unsent = LOW + 1
    queues = Queues(way, OutboxLimits(), low_water=LOW, for_client=False, seal=seal)
    modes = [
        ("P", BlobMode.ALSO, "a"),
        ("P", BlobMode.NEVER, "b"),
        ("Q", BlobMode.ALSO, None),
        ("P", BlobMode.ALSO, "b"),
    ]
    for name, mode, sender in modes:
        for frame in (command(f"of {sender}"), encode(EnableBlob("D", name, mode))):
            queues.put(Batch([frame], sealed=seal), [frame], sender)
    assert (queues.sent, queues.dropped) == (8, 2), "of each property the newest is enough"
    waiting = queues.queued - way.unsent
    way.unsent = 0
    queues.refill()
    assert queues.queued == way.unsent == waiting
    assert not queues
    wanted = [(frame.name, b"Also" in frame.raw) for frame in way.written if b"enableBLOB" in frame.raw]
    assert seal or wanted == [("Q", True), ("P", True)]


def test_which_blobs_are_wanted_and_commands_take_turns_from_the_first_on() -> None:
    way = FakeWay()
    way.unsent = LOW + 1
    queues = of_driver(way)

    def add(name: str) -> None:
        for frame in (command("D", name), encode(EnableBlob("D", name, BlobMode.ALSO))):
            queues.put(Batch([frame]), [frame], "a")

    def give_one() -> str:
        way.unsent = LOW
        queues.refill()
        return way.written[-1].tag.text

    for name in "ABC":
        add(name)
    said = [give_one(), give_one()]
    add("D")
    assert [*said, give_one(), give_one()] == ["enableBLOB", "newTextVector", "enableBLOB", "newTextVector"]


def test_whoever_changes_what_blobs_are_wanted_again_and_again_fills_no_memory() -> None:
    way = FakeWay()
    way.unsent = LOW + 1
    queues = of_driver(way)
    for n in range(1000):
        frame = encode(EnableBlob("D", f"P{n % 10}", BlobMode.NEVER if n & 16 else BlobMode.ALSO))
        queues.put(Batch([frame]), [frame], n)
    assert queues.queued < way.unsent + LOW


def test_too_many_properties_whose_blobs_are_wanted_are_too_many_for_whoever_asks() -> None:
    way = FakeWay()
    way.unsent = LOW + 1
    queues = of_driver(way, commands=2 * LOW)
    for n in range(100):
        frame = encode(EnableBlob("D", f"P{n}", BlobMode.ALSO))
        queues.put(Batch([frame]), [frame], "a")
    assert queues.has_too_many("a")
    way.unsent = 0
    queues.refill()
    way.unsent = 0
    assert not queues.has_too_many("a")


@pytest.mark.parametrize("more", [0, 1])
def test_too_many_commands_of_a_sender_are_too_many(more: int) -> None:
    way = FakeWay()
    queues = of_driver(way, commands=2 * LOW)
    way.unsent = 2 * LOW + more
    assert queues.has_too_many("a") is bool(more)
    client = of_client(way, commands=LOW)
    assert not client.has_too_many("a"), "there are none for a client"


def test_what_waits_of_others_does_not_count_for_a_sender_until_it_is_very_much() -> None:
    way = FakeWay()
    queues = of_driver(way, commands=100 * LOW)
    way.full_vectors = {("D", "P")}
    small = command("D")
    queues.put(Batch([small]), [small], "small")
    for n in range(17):
        assert not queues.has_too_many("small")
        large = command("D", size=95 * LOW)
        queues.put(Batch([large]), [large], n)
    assert queues.has_too_many("small"), "all together may have 16 times as much"
    assert not queues.has_too_many("nobody"), "who has nothing waiting may send"


def test_the_queues_of_many_senders_count_for_the_memory_that_they_take() -> None:
    way = FakeWay()
    way.full_vectors = {("D", "P")}
    queues = of_driver(way, commands=LOW_WATER)
    small = command("D")
    most = 16 * LOW_WATER // (4096 + small.size + 1)
    for sender in range(most):
        queues.put(Batch([small]), [small], sender)
        assert not queues.has_too_many(sender)
    queues.put(Batch([small]), [small], most)
    assert queues.has_too_many(most), "clients that come, command and go are held, and then there is no room for more"


@pytest.mark.parametrize("seal", [True, False])
def test_what_is_left_of_senders_that_have_gone_is_bounded(seal: bool) -> None:
    """Each connection may send something, and a client may connect again and again while a driver takes nothing."""
    way = FakeWay()
    way.unsent = LOW + 1
    queues = Queues(way, OutboxLimits(commands=SHARE), low_water=LOW, for_client=False, seal=seal)
    most = 16 * SHARE
    abort, upload = command("abort"), command("upload", size=2 * most)
    dropped = 0
    for sender, frame in enumerate((abort, upload, *[command("flood", size=SHARE)] * 100)):
        frames = [frame, frame]
        queues.put(Batch(frames, sealed=seal), frames, sender)
        dropped += queues.sender_gone(sender)
        assert queues.queued_commands < most + 2 * upload.size + 3 * SHARE
    assert dropped == queues.dropped
    while queues:
        way.unsent = 0
        queues.refill()
    sent = b"".join(b"".join(batch.buffers) for batch in way.batches)
    assert [sent.count(device) for device in (b'"abort"', b'"upload"')] == [2, 0]
    assert 10 <= sent.count(b'"flood"') == 2 * 102 - 2 - dropped <= 2 * 8
    assert queues.queued_commands == 0


@pytest.mark.parametrize("seal", [True, False])
def test_one_who_has_gone_may_leave_one_upload(seal: bool) -> None:
    way = FakeWay()
    way.unsent = LOW + 1
    queues = Queues(way, OutboxLimits(commands=SHARE), low_water=LOW, for_client=False, seal=seal)
    for sender, size in enumerate((1, 64 * SHARE, 1)):
        frame = command("D", size=size)
        queues.put(Batch([frame], sealed=seal), [frame], sender)
        assert queues.sender_gone(sender) == 0


def test_what_those_who_stay_have_queued_is_not_dropped() -> None:
    way = FakeWay()
    way.unsent = LOW + 1
    queues = of_driver(way, commands=SHARE)
    for sender in range(100):
        frame = command("D", size=SHARE)
        queues.put(Batch([frame]), [frame], sender)
    assert queues.sender_gone(0) == queues.sender_gone("a stranger") == 0


def test_senders_that_have_gone_are_forgotten_with_the_last_of_their_commands() -> None:
    way = FakeWay()
    queues = of_driver(way, commands=SHARE)
    way.full_vectors = {("D", "P")}
    for sender in range(20):
        frame = command("D", size=SHARE // 10)
        queues.put(Batch([frame]), [frame], sender)
        assert queues.sender_gone(sender) == 0
    way.full_vectors = set()
    while queues:
        way.unsent = 0
        queues.refill()
    way.unsent = LOW + 1
    for sender in range(100):
        frame = command("D", size=SHARE)
        queues.put(Batch([frame]), [frame], sender)
    assert queues.sender_gone("a stranger") == 0


def test_less_than_low_water_is_never_too_much() -> None:
    way = FakeWay()
    way.unsent = LOW
    assert not of_driver(way, commands=1).has_too_many("a")


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


def test_10_000_deletions_are_kept_for_a_driver_that_is_behind_and_then_those_of_whole_devices() -> None:
    """It hears that such a device is gone, and then, as something was left out, of what is left of it."""
    way = FakeWay()
    way.unsent = LOW + 1
    queues = of_driver(way, snoop=LOW)
    put(queues, news("a"))
    for device, count in (("D", 9_999), ("E", 3), ("F", 2), ("D", 1)):
        queues.put(Batch(many := [encode(DelProperty(device, f"p{n}")) for n in range(count)]), many)
    while queues:
        way.unsent = 0
        queues.refill()
    told = [(frame.device, frame.name) for frame in way.written]
    assert told == [*(("D", f"p{n}") for n in range(9_999)), ("E", "p0"), ("E", None), ("F", None)]
    assert queues.catch_up() == 1 + 5, "what is left of E and F is asked for again"


def test_one_deletion_beyond_what_is_kept_makes_it_ask_again() -> None:
    way = FakeWay()
    way.unsent = LOW + 1
    queues = of_driver(way, snoop=LOW)
    put(queues, news("a"))
    way.unsent = 0
    queues.refill()
    assert queues.catch_up() == 1
    way.unsent = LOW + 1
    many = [encode(DelProperty("D", f"p{n}")) for n in range(10_001)]
    put(queues, news("a"))
    queues.left_out = 0
    queues.put(Batch(many), many)
    assert queues.left_out == 1


@pytest.mark.parametrize("count", [19_999, 20_000, 20_001, 30_000])
def test_the_deletions_of_devices_are_bounded(count: int) -> None:
    way = FakeWay()
    way.unsent = LOW + 1
    queues = of_driver(way, snoop=LOW)
    put(queues, news("a"))
    queues.put(Batch(many := [deletion(str(n)) for n in range(count)]), many)
    assert queues.sent == min(count, 20_000)
    assert queues.dropped == 1 + max(0, count - 20_000)


def test_nothing_has_happened_at_first() -> None:
    for queues in (of_client(FakeWay()), of_driver(FakeWay())):
        assert (queues.sent, queues.dropped, queues.given, queues.left_out) == (0, 0, 0, 0)
        assert not queues.too_slow
        assert not queues.has_too_many("a client")
        assert queues.catch_up() == 0


def test_news_is_given_first_when_commands_wait_too() -> None:
    way = FakeWay()
    way.unsent = LOW + 1
    queues = of_driver(way)
    put(queues, command("c"), news("n"))
    way.unsent = LOW
    queues.refill()
    assert (way.names(), queues.given) == (["n"], 0)
    way.unsent = LOW
    queues.refill()
    assert (way.names(), queues.given) == (["n", "c"], 1)


def test_a_replaced_frame_counts_as_dropped_and_the_new_one_as_sent() -> None:
    def frame() -> Batch:
        return Batch([encode(SetVector(VectorKind.BLOB, "D", "v", (OneBlob("m", b"x" * 500, 500, ".stream"),)))])

    way = FakeWay()
    way.unsent = LOW + 1
    queues = of_client(way, stream=LOW + 1000)
    frames = [frame() for _ in range(3)]
    assert all(queues.put(batch, batch.frames) for batch in frames)
    assert (queues.sent, queues.dropped) == (3, 2)
    assert queues.queued == LOW + 1 + frames[-1].size


def test_deletions_that_are_kept_are_small_however_long_they_were() -> None:
    """A driver can write a megabyte of blanks into each, and a driver that is busy is never ended."""
    way = FakeWay()
    queues = of_driver(way, snoop=10)
    put(queues, news("a", LOW + 1), news("a"), news("a"))
    for number in range(200):
        long = Frame(address("delProperty", "D", f"p{number}"), b" " * 100_000)
        put(queues, long)
    assert queues.queued < 50_000
    while queues:
        way.unsent = 0
        queues.refill()
    assert [frame.name for frame in way.written if frame.device == "D"] == [f"p{number}" for number in range(200)]
    assert decode(way.written[-1]) == DelProperty("D", "p199")


@pytest.mark.parametrize(("size", "is_whole"), [(4096, True), (4097, False)])
def test_a_deletion_of_four_kibibytes_is_kept_with_its_message(size: int, is_whole: bool) -> None:
    way = FakeWay()
    way.unsent = LOW + 1
    queues = of_driver(way, snoop=LOW)
    without = encode(DelProperty("D", "p", message="x")).size - 1
    long = encode(DelProperty("D", "p", message="x" * (size - without)))
    assert long.size == size
    put(queues, news("a"), long)
    way.unsent = 0
    queues.refill()
    assert [frame.raw == long.raw for frame in way.written] == [is_whole]


def test_all_is_dropped_when_it_ends() -> None:
    way = FakeWay()
    way.unsent = LOW + 1
    queues = of_driver(way)
    put(queues, command("c"), news("n"))
    assert queues
    queues.clear()
    assert not queues
    assert queues.queued == way.unsent
    way.unsent = 0
    put(queues, command("d"), news("m"))
    assert way.names() == ["d", "m"]
    assert queues.catch_up() == 0


def test_after_all_was_dropped_the_queue_of_commands_is_as_new() -> None:
    commands = FairQueue(FakeWay(), seal=False)
    for _ in range(2):
        frames = [command("D", "move"), command("D", "abort")]
        for sender, frame in zip("ab", frames, strict=True):
            commands.put(sender, Batch([frame]), [frame])
        commands.clear()
        assert commands.queued == 0
        assert commands.pop() is None
    mode = encode(EnableBlob("D", "P", BlobMode.ALSO))
    commands.put("a", Batch([mode]), [mode])
    commands.clear()
    assert commands.pop() is None
