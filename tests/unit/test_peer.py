"""A peer and its link: what waits goes on, whatever the sizes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import weakref
from collections.abc import Callable, Iterator

import pytest

from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch, Frame
from indipydriver.protocol.messages import DelProperty, NewVector, OneMember, SetVector
from indipydriver.protocol.tags import VectorKind
from indipydriver.testing.virtualtime import VirtualTimeLoop
from indipydriver.transport.link import LOW_WATER
from indipyserver.relay.peer import Peer
from indipyserver.relay.switchboard import Switchboard
from indipyserver.routing.endpoint import Role
from indipyserver.routing.outbox import OutboxLimits
from indipyserver.routing.rights import Rights
from tests.support.links import Board, FakeLink
from tests.support.routing import define


def sized(size: int, *, data: bool = True) -> list[Frame]:
    """A frame that makes a batch of this size."""

    def frame(text: str) -> Frame:
        if data:
            return encode(SetVector(VectorKind.TEXT, "D", "p", (OneMember("m", text),)))
        return encode(NewVector(VectorKind.TEXT, "D", "p", (OneMember("m", text),)))

    return [frame("x" * (1 + size - frame("x").size - 1))]


def make(role: Role, *, hang_time: float = 0, **limits: int) -> tuple[Peer, FakeLink, Board]:
    link, board = FakeLink(), Board()
    peer = Peer(board, link, role, limits=OutboxLimits(**limits), hang_time=hang_time)
    link.open(peer)
    return peer, link, board


def put(peer: Peer, frames: list[Frame]) -> None:
    peer.put(Batch(frames, sealed=True), frames)


@pytest.mark.parametrize("role", [Role.CLIENT, Role.DRIVER, Role.REMOTE])
@pytest.mark.parametrize("data", [True, False])
@pytest.mark.parametrize("first", [LOW_WATER - 1, LOW_WATER, LOW_WATER + 1, 2 * LOW_WATER])
@pytest.mark.parametrize("left", [0, 1, LOW_WATER - 1, LOW_WATER])
def test_what_waits_goes_on_however_much_was_left(role: Role, data: bool, first: int, left: int) -> None:
    """A link with exactly LOW_WATER bytes left once reported that it had room, and got nothing, for ever."""
    peer, link, _ = make(role)
    put(peer, sized(first, data=data))
    second, third = sized(LOW_WATER, data=data), sized(300, data=data)
    put(peer, second)
    put(peer, third)
    link.take(link.unsent - left)
    for _ in range(4):
        link.take(link.unsent)
    assert peer.queued == 0
    assert b"".join(b"".join(batch.buffers) for batch in link.written) == b"".join(
        frame.raw + b"\n" for frame in [*sized(first, data=data), *second, *third]
    )


@pytest.mark.parametrize("role", [Role.CLIENT, Role.DRIVER])
def test_what_waits_for_a_peer_that_goes_by_itself_is_let_go(role: Role) -> None:
    """Descriptors of BLOBs and many megabytes once stayed until the next garbage collection."""
    peer, link, _ = make(role)
    put(peer, sized(LOW_WATER + 1))
    put(peer, sized(20_000))
    put(peer, sized(20_000, data=False))
    link.unsent = 0  # as a link does at its end
    assert peer.queued
    peer.link_closed(None)
    assert peer.queued == 0


def test_a_client_that_is_too_far_behind_is_cut() -> None:
    peer, link, _ = make(Role.CLIENT, total=10_000)
    put(peer, sized(LOW_WATER + 1))
    put(peer, sized(300))
    assert link.aborted
    assert peer.closed
    assert "behind" in peer.last_error
    put(peer, sized(300))
    assert len(link.written) == 1


def test_a_driver_that_is_too_far_behind_gets_no_more_news_and_is_refreshed_when_it_has_caught_up() -> None:
    peer, link, board = make(Role.DRIVER, snoop=10_000)
    put(peer, sized(LOW_WATER + 1))
    put(peer, sized(20_000))  # left out, as the limit is passed before it
    put(peer, sized(300))
    put(peer, sized(300, data=False))  # commands are not left out
    assert peer.dropped == 2
    assert not link.aborted
    link.take(link.unsent)
    assert board.refreshed == 1
    put(peer, sized(300))
    assert len(link.written) == 3
    assert peer.dropped == 2


def test_senders_of_commands_wait_while_a_driver_is_congested() -> None:
    driver, link, _ = make(Role.DRIVER, commands=100_000)
    client, sender, _ = make(Role.CLIENT)
    put(driver, sized(LOW_WATER + 1, data=False))
    driver.hold_if_congested(client)
    assert sender.paused, "the link alone holds more than is allowed"
    driver.hold_if_congested(client)
    for each in (sized(200_000, data=False), sized(300, data=False)):
        driver.put(Batch(each, sealed=True), each, client)
    link.take(link.unsent)
    link.take(link.unsent)
    assert not sender.paused
    assert not driver.queued


def test_a_driver_that_goes_lets_its_senders_go_on() -> None:
    driver, _, _ = make(Role.DRIVER, commands=1)
    client, sender, _ = make(Role.CLIENT)
    put(driver, sized(300, data=False))
    driver.hold(client)
    driver.link_closed(None)
    assert not sender.paused


def test_a_sender_that_has_gone_is_forgotten_though_its_commands_wait() -> None:
    peer, link, _ = make(Role.DRIVER)
    link.unsent = LOW_WATER + 1
    sender = make(Role.CLIENT)[0]
    peer.put(Batch(sized(300), sealed=True), sized(300, data=False), sender)
    gone = weakref.ref(sender)
    del sender
    gc.collect()
    assert gone() is None
    assert peer.queued == LOW_WATER + 1 + 300


def test_clients_that_come_command_and_go_do_not_fill_the_memory(caplog: pytest.LogCaptureFixture) -> None:
    board, limits = Switchboard("here"), OutboxLimits(commands=LOW_WATER)

    def join(role: Role) -> tuple[Peer, FakeLink]:
        link = FakeLink()
        peer = Peer(board, link, role, limits=limits, hang_time=0)
        board.add(peer)
        return peer, link

    loop = VirtualTimeLoop()
    with contextlib.closing(loop):

        async def come_and_go() -> Peer:
            driver, link = join(Role.DRIVER)
            driver.frames_received([define("D", "p")])
            link.write(Batch(sized(LOW_WATER + 1), sealed=True))
            for _ in range(100):
                client, _ = join(Role.CLIENT)
                client.frames_received(sized(LOW_WATER, data=False))
                client.link_closed(None)
            return driver

        driver = loop.run_until_complete(come_and_go())
        assert 15 * LOW_WATER < driver.queued_commands < 18 * LOW_WATER
        assert driver.dropped == 100 - driver.queued_commands // LOW_WATER
        assert len([record for record in caplog.records if "clients that have gone" in record.message]) == 1
        driver.link_closed(None)


def deletion(device: str, name: str | None = None) -> list[Frame]:
    return [encode(DelProperty(device, name))]


def test_deletions_are_not_left_out_as_nobody_answers_for_what_is_gone() -> None:
    driver, link, board = make(Role.DRIVER, snoop=10_000)
    put(driver, sized(LOW_WATER + 1))
    put(driver, sized(20_000))  # left out
    for _ in range(3):
        put(driver, [*deletion("Dome"), *sized(300), *deletion("Mount", "PARK")])
    put(driver, sized(300))
    assert driver.dropped == 1 + 3 + 4 + 1  # the repeated deletions too
    written = len(link.written)
    link.take(link.unsent)
    assert [frame for batch in link.written[written:] for frame in batch.buffers] == [
        b"".join(frame.raw + b"\n" for frame in [*deletion("Dome"), *deletion("Mount", "PARK")])
    ]
    assert board.refreshed == 1
    put(driver, deletion("Dome"))  # after that a deletion is news again
    assert len(link.written) == written + 2


def test_the_deletions_kept_for_a_driver_that_is_behind_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indipyserver.routing.queues._MAX_DELETIONS", 10)
    driver, _, _ = make(Role.DRIVER, snoop=10_000)
    put(driver, sized(LOW_WATER + 1))
    for number in range(100):
        put(driver, deletion(f"D{number}"))
    put(driver, sized(20_000))
    queued = driver.queued
    for number in range(100):
        put(driver, deletion(f"E{number}"))
    assert driver.queued - queued <= 20 * (deletion("E99")[0].size + 1)


def test_what_was_left_out_does_not_count_as_sent() -> None:
    driver, _, _ = make(Role.DRIVER, snoop=10_000)
    put(driver, sized(LOW_WATER + 1))
    put(driver, [*sized(20_000), *sized(300)])
    assert (driver.sent, driver.dropped) == (1, 2)
    client, _, _ = make(Role.CLIENT, total=10_000)
    put(client, sized(LOW_WATER + 1))
    put(client, sized(300))
    assert (client.sent, client.dropped) == (1, 1)


@pytest.mark.parametrize("role", [Role.CLIENT, Role.DRIVER])
def test_closing_sends_what_waits_and_then_ends_the_link(role: Role) -> None:
    peer, link, _ = make(role)
    batches = [sized(LOW_WATER + 1), sized(2 * LOW_WATER), sized(300)]
    for frames in batches:
        put(peer, frames)
    peer.close()
    put(peer, sized(300))  # too late
    assert not link.closed
    while link.unsent:
        link.take(link.unsent)
    assert link.closed
    assert b"".join(b"".join(batch.buffers) for batch in link.written) == b"".join(
        frame.raw + b"\n" for frames in batches for frame in frames
    )


def test_closing_ends_the_link_at_once_when_nothing_waits() -> None:
    peer, link, _ = make(Role.CLIENT)
    peer.close()
    assert link.closed


@pytest.fixture
def clock() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop in virtual time."""
    with contextlib.closing(VirtualTimeLoop()) as loop:
        yield loop


HANG_TIME = 30.0


def watched(loop: asyncio.AbstractEventLoop, role: Role, then: Callable[[FakeLink], None], seconds: float) -> Board:
    """A peer that is given more than it takes; what it does every 10 s; what became of it is in the board."""

    async def run() -> Board:
        peer, link, board = make(role, hang_time=HANG_TIME)
        client, _, _ = make(Role.CLIENT)
        put(peer, sized(LOW_WATER + 1, data=False))
        put(peer, sized(2 * LOW_WATER, data=False))
        peer.hold(client)
        peer.flush()
        for _ in range(int(seconds // 10)):
            await asyncio.sleep(10)
            then(link)
        board.cut = link.aborted
        peer.link_closed(None)
        return board

    return loop.run_until_complete(run())


def test_a_driver_that_takes_nothing_is_hung_and_those_who_wait_for_it_are_told_before(
    clock: asyncio.AbstractEventLoop,
) -> None:
    board = watched(clock, Role.DRIVER, lambda link: None, 40)
    assert board.cut
    assert len(board.told) == 1
    assert "hangs" in board.announced[0]


@pytest.mark.parametrize("busy", [False, True])
def test_those_who_wait_are_not_told_of_devices_that_are_hidden_from_them(
    clock: asyncio.AbstractEventLoop, busy: bool
) -> None:
    async def run() -> list[bytes]:
        link, board = FakeLink(), Board()
        link.peer_paused = busy
        limits = OutboxLimits()
        peer = Peer(board, link, Role.DRIVER, limits=limits, hang_time=HANG_TIME, label="Echo (Mount, Secret)")
        link.open(peer)
        for devices in ((), ("Mount*",)):
            waiting, _, _ = make(Role.CLIENT)
            waiting.restrict(Rights(devices=devices))
            waiting.become_server()
            peer.hold(waiting)
        put(peer, sized(3 * LOW_WATER, data=False))
        peer.flush()
        await asyncio.sleep(HANG_TIME + 5)
        peer.link_closed(None)
        return board.texts

    texts = clock.run_until_complete(run())
    assert len(texts) == (4 if busy else 2)
    assert sum(b"Echo (Mount, Secret) " in text for text in texts) == len(texts) / 2
    assert sum(b"Secret" in text for text in texts) == len(texts) / 2


def test_a_driver_that_sends_and_takes_nothing_is_hung(clock: asyncio.AbstractEventLoop) -> None:
    def send(link: FakeLink) -> None:
        link.bytes_received += 100

    assert watched(clock, Role.DRIVER, send, 40).cut


def test_a_driver_that_takes_a_little_is_not_hung(clock: asyncio.AbstractEventLoop) -> None:
    board = watched(clock, Role.DRIVER, lambda link: link.take(10), 200)
    assert not board.cut
    assert not board.announced


def test_a_server_below_that_still_sends_is_not_hung(clock: asyncio.AbstractEventLoop) -> None:
    """One of its drivers takes nothing; the others are well, and must not go with it."""

    def send(link: FakeLink) -> None:
        link.bytes_received += 100

    assert not watched(clock, Role.REMOTE, send, 200).cut
    assert watched(clock, Role.REMOTE, lambda link: None, 40).cut


@pytest.mark.parametrize(("hang_time", "end"), [(0, None), (30, 30), (50, 50), (120, 120), (1e-320, 0)])
def test_a_server_above_hears_often_enough_that_this_one_is_well_however_long_a_driver_may_hang(
    clock: asyncio.AbstractEventLoop, hang_time: float, end: float | None
) -> None:
    """It would cut the link after HANG_TIME, with the devices of all other drivers."""
    heard: list[float] = []

    async def run() -> tuple[Board, float]:
        peer, link, board = make(Role.DRIVER, hang_time=hang_time)
        above, _, _ = make(Role.CLIENT)
        above.become_server()
        board.send = lambda sender, frame: heard.append(clock.time())  # type: ignore[method-assign]
        put(peer, sized(2 * LOW_WATER, data=False))
        peer.hold(above)
        begin = clock.time()
        heard.append(begin)
        peer.flush()
        while not link.aborted and clock.time() < begin + 300:
            await asyncio.sleep(0.25)
        peer.link_closed(None)
        return board, clock.time() - begin

    board, lived = clock.run_until_complete(run())
    assert lived == pytest.approx(300 if end is None else end, abs=0.5)
    assert max((later - before for before, later in itertools.pairwise(heard)), default=0) <= HANG_TIME / 2
    assert len(heard) > 1 or not end
    assert len(board.announced) == 1
    assert ("is busy: it has taken nothing for 30 seconds" in board.announced[0]) == (end is None)


def test_the_log_says_what_was_too_much_for_a_peer(
    clock: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    """It once spoke of a limit in bytes that had not been passed."""
    watched(clock, Role.DRIVER, lambda link: None, 40)
    assert "fake is cut off: it has taken nothing for 30 seconds" in caplog.text
    assert "limit" not in caplog.text
