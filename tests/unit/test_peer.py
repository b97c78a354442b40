"""A peer and its link: what waits goes on, whatever the sizes."""

from __future__ import annotations

import pytest

from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Batch, Frame
from indipydriver.protocol.messages import Message, NewVector, OneMember
from indipydriver.protocol.tags import VectorKind
from indipydriver.transport.link import LOW_WATER, Receiver
from indipyserver.outbox import OutboxLimits
from indipyserver.party import Role
from indipyserver.peer import Peer


class FakeLink:
    """Takes what it is told to, when it is told to, as links do: drained is reported once."""

    def __init__(self) -> None:
        self.label = "fake"
        self.unsent = 0
        self.bytes_received = self.bytes_sent = 0
        self.written: list[Batch] = []
        self.paused = self.aborted = False
        self._above = False
        self.receiver: Receiver

    def open(self, receiver: Receiver) -> None:
        self.receiver = receiver

    def write(self, batch: Batch) -> None:
        self.written.append(batch)
        self.unsent += batch.size
        self._above = self._above or self.unsent > LOW_WATER

    def flush(self) -> None:
        pass

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def close(self) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True

    def take(self, count: int) -> None:
        """The other end takes so many bytes."""
        self.unsent -= count
        self.bytes_sent += count
        if self._above and self.unsent <= LOW_WATER:
            self._above = False
            self.receiver.link_drained()


class Board:
    """Notes what a peer tells its switchboard."""

    def __init__(self) -> None:
        self.refreshed = 0
        self.announced: list[str] = []

    def process(self, source: Peer, frames: list[Frame]) -> None:
        pass

    def remove(self, peer: Peer, error: Exception | None) -> None:
        pass

    def refresh(self, peer: Peer) -> None:
        self.refreshed += 1

    def announce(self, text: str) -> None:
        self.announced.append(text)


def sized(size: int, *, data: bool = True) -> list[Frame]:
    """A frame that makes a batch of this size."""

    def frame(text: str) -> Frame:
        if data:
            return encode(Message("D", text))
        return encode(NewVector(VectorKind.TEXT, "D", "p", (OneMember("m", text),)))

    return [frame("x" * (1 + size - frame("x").size - 1))]


def make(role: Role, **limits: int) -> tuple[Peer, FakeLink, Board]:
    link, board = FakeLink(), Board()
    peer = Peer(board, link, role, limits=OutboxLimits(**limits), hang_time=0)
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
    put(driver, sized(200_000, data=False))
    assert driver.congested
    driver.hold(client)
    driver.hold(client)
    assert sender.paused
    link.take(link.unsent)
    link.take(link.unsent)
    assert not sender.paused
    assert not driver.congested


def test_a_driver_that_goes_lets_its_senders_go_on() -> None:
    driver, _, _ = make(Role.DRIVER, commands=1)
    client, sender, _ = make(Role.CLIENT)
    put(driver, sized(300, data=False))
    driver.hold(client)
    driver.link_closed(None)
    assert not sender.paused
