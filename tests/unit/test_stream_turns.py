"""Links over asyncio's transports: what came all at once is handed on in turns, and the end of it after all of it."""

import asyncio
import socket
from typing import Any

import pytest

from indipydriver.errors import RemoteProtocolError
from indipydriver.protocol.frame import Batch, Frame
from indipydriver.protocol.framer import Framer, Limits
from indipydriver.transport import stream
from indipydriver.transport.link import SLICE
from indipydriver.transport.stream import StreamLink
from tests.support import asynchronous, eventually

pytestmark = pytest.mark.filterwarnings("error")

LOST = ConnectionResetError("lost")


def text(number: int) -> bytes:
    return b"<setTextVector device='D' name='T%06d' state='Ok'><oneText name='t'>x</oneText></setTextVector>\n" % number


FLOOD = b"".join(map(text, range(2500)))
assert 200_000 < len(FLOOD) < SLICE


class Transport(asyncio.Transport):
    """What the loop knows of a connection, with or without TLS, without one."""

    def __init__(self, link: StreamLink, tls: bool) -> None:
        super().__init__({"sslcontext": True} if tls else {})
        self.link = link
        self.reading = True
        self.closed = False
        self.written = b""
        self.held = 0
        link.connection_made(self)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.held

    def close(self) -> None:
        self.lose(None)

    def abort(self) -> None:
        self.lose(None)

    def lose(self, error: Exception | None) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.link.connection_lost, error)

    def end_input(self) -> None:
        """The peer ends its sending side, as asyncio tells it."""
        if not self.link.eof_received():
            self.close()


class Receiver:
    """Notes what it is told, and the turns of the loop in which it was."""

    def __init__(self) -> None:
        self.names: list[str | None] = []
        self.turns: list[int] = []  # frames in each
        self.said: list[str] = []
        self.error: Exception | None = None
        self.on_frames = lambda: None
        self.drained = 0

    def frames_received(self, frames: list[Frame]) -> None:
        assert "closed" not in self.said
        self.names += [frame.address.name for frame in frames]
        self.turns.append(len(frames))
        self.on_frames()

    def fault_received(self, fault: RemoteProtocolError) -> None:
        self.said.append(type(fault).__name__)

    def link_drained(self) -> None:
        self.drained += 1

    def link_closed(self, error: Exception | None) -> None:
        self.said.append("closed")
        self.error = error

    @property
    def in_order(self) -> bool:
        return self.names == [f"T{number:06}" for number in range(len(self.names))]


class Setting:
    def __init__(self, tls: bool = True, limits: Limits | None = None, *, opened: bool = True, linger: float = 0.0):
        self.link = StreamLink("peer", limits, linger=linger)
        self.transport = Transport(self.link, tls)
        self.receiver = Receiver()
        if opened:
            self.link.open(self.receiver)

    async def until_closed(self) -> None:
        await eventually(lambda: "closed" in self.receiver.said)
        await a_few_turns()
        assert self.receiver.said.count("closed") == 1


async def a_few_turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


either = pytest.mark.parametrize("tls", [False, True])


@either
@asynchronous
async def test_others_have_their_turns_while_a_flood_is_handed_on(tls: bool) -> None:
    its = Setting(tls)
    its.link.data_received(FLOOD)
    seen = [len(its.receiver.names)]
    while seen[-1] < 2500:
        await asyncio.sleep(0)
        seen.append(len(its.receiver.names))
    assert its.receiver.in_order
    assert len(seen) > 2
    assert seen == sorted(set(seen))  # in each turn some
    its.link.data_received(text(2500))
    assert its.receiver.names[-1] == "T002500"


@either
@pytest.mark.parametrize("error", [None, LOST])
@asynchronous
async def test_all_that_came_is_handed_on_before_the_end(tls: bool, error: Exception | None) -> None:
    its = Setting(tls)
    its.link.data_received(FLOOD)
    its.link.data_received(text(2500))
    its.transport.lose(error)
    await its.until_closed()
    assert its.receiver.in_order
    assert len(its.receiver.names) == 2501
    assert len(its.receiver.turns) > 2
    assert its.receiver.said == ["closed"]
    assert its.receiver.error is error


@either
@asynchronous
async def test_all_that_came_is_handed_on_before_the_end_of_the_input(tls: bool) -> None:
    its = Setting(tls)
    its.link.data_received(FLOOD)
    its.transport.end_input()
    assert not its.link.lingering
    await its.until_closed()
    assert its.receiver.in_order
    assert len(its.receiver.names) == 2500
    assert its.receiver.error is None


@asynchronous
async def test_whether_the_end_of_the_input_came_between_two_elements_is_seen_after_all_of_it() -> None:
    """`printf ... | nc` sends a lot, and wants its answers."""
    for data, told in (FLOOD, [2500]), (FLOOD + b"<setTextVec", []):
        its = Setting(tls=False, linger=1000)
        asked: list[int] = []
        its.link.input_ended = lambda asked=asked, its=its: asked.append(len(its.receiver.names))  # type: ignore[misc]
        its.link.data_received(data)
        its.transport.end_input()
        await eventually(lambda its=its: len(its.receiver.names) == 2500)  # type: ignore[misc]
        await a_few_turns()
        assert asked == told
        assert its.link.lingering
        assert ("closed" in its.receiver.said) is not told
        if told:
            assert its.receiver.said == []
            its.link.write(Batch.of_bytes(b"<message/>\n"))
            its.link.close()
        await its.until_closed()
        assert its.transport.written == (b"<message/>\n" if told else b"")


@either
@pytest.mark.parametrize("error", [None, LOST])
@asynchronous
async def test_who_pauses_gets_nothing_more_and_the_end_behind_the_rest(tls: bool, error: Exception | None) -> None:
    its = Setting(tls)
    its.link.data_received(FLOOD)
    its.link.pause_reading()
    before = len(its.receiver.names)
    assert before < 2500
    its.transport.lose(error)
    await a_few_turns()
    assert len(its.receiver.names) == before
    assert its.receiver.said == []
    its.receiver.on_frames = lambda: (its.link.pause_reading(), its.link.resume_reading())[0]
    its.link.resume_reading()
    its.link.resume_reading()
    await its.until_closed()
    assert its.receiver.in_order
    assert len(its.receiver.names) == 2500
    assert its.receiver.error is error


@either
@asynchronous
async def test_who_pauses_within_a_turn_gets_the_rest_when_it_goes_on(tls: bool) -> None:
    its = Setting(tls)
    its.receiver.on_frames = its.link.pause_reading
    its.link.data_received(FLOOD)
    while len(its.receiver.names) < 2500:
        before = len(its.receiver.turns)
        await a_few_turns()
        assert len(its.receiver.turns) == before
        assert not its.transport.reading
        its.link.resume_reading()
        await a_few_turns()
        assert len(its.receiver.turns) == before + 1
    assert its.receiver.in_order
    its.link.resume_reading()
    assert its.transport.reading


@either
@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("how", ["close", "abort"])
@asynchronous
async def test_who_closes_gets_nothing_but_the_end(tls: bool, lost: bool, paused: bool, how: str) -> None:
    its = Setting(tls)
    its.link.data_received(FLOOD)
    before = len(its.receiver.names)
    if paused:
        its.link.pause_reading()
    if lost:
        its.transport.closed = True
        its.link.connection_lost(LOST)
        assert its.receiver.said == []
    getattr(its.link, how)()
    assert its.receiver.said == []  # not from within a call
    if not lost:
        assert its.transport.reading is (how == "close" or not paused)
        its.link.data_received(FLOOD)
    await its.until_closed()
    assert len(its.receiver.names) == before
    assert its.receiver.error is None


@either
@pytest.mark.parametrize("how", ["close", "abort"])
@asynchronous
async def test_who_closes_within_a_turn_gets_nothing_but_the_end(tls: bool, how: str) -> None:
    its = Setting(tls)
    its.receiver.on_frames = getattr(its.link, how)
    its.link.data_received(FLOOD)
    await its.until_closed()
    assert len(its.receiver.turns) == 1


@asynchronous
async def test_nothing_is_on_the_way_of_a_connection_that_is_lost_and_whose_input_is_still_handed_on() -> None:
    its = Setting()
    with socket.socket() as sock:
        its.transport._extra["socket"] = sock  # type: ignore[attr-defined]
        its.link.data_received(FLOOD)
        its.link.pause_reading()
        its.transport.closed = True
        its.link.connection_lost(LOST)
    assert its.link.on_the_way == 0
    its.link.drop_when_ended()
    its.link.abort()
    await its.until_closed()


@asynchronous
async def test_who_waits_for_room_is_told_that_nothing_more_goes_out() -> None:
    """It may read no more until what it has sent is taken."""
    its = Setting()
    its.link.data_received(FLOOD)
    its.link.pause_reading()
    its.link.pause_writing()
    its.link.write(Batch.of_bytes(b"x" * (2 * SLICE)))
    its.link.flush()
    its.transport.closed = True
    its.link.connection_lost(LOST)
    assert its.receiver.drained == 1
    assert its.link.unsent == 0
    its.link.write(Batch.of_bytes(b"x"))
    its.link.flush()
    assert its.link.unsent == 0
    its.link.resume_reading()
    await its.until_closed()
    assert len(its.receiver.names) == 2500
    assert its.transport.written == b""


@either
@asynchronous
async def test_no_more_than_a_little_is_kept(tls: bool) -> None:
    its = Setting(tls)
    its.link.pause_reading()
    assert not its.transport.reading
    its.link.resume_reading()
    sent, most = 0, 0
    for _ in range(200):
        if its.transport.reading:
            its.link.data_received(FLOOD)
            sent += len(FLOOD)
        most = max(most, sent - its.link.bytes_received)
        await asyncio.sleep(0)
    assert most < 2 * SLICE
    await eventually(lambda: its.link.bytes_received == sent)
    assert its.transport.reading
    assert len(its.receiver.names) == sent // len(text(0))


@either
@pytest.mark.parametrize("error", [None, LOST])
@asynchronous
async def test_what_came_before_the_link_was_opened_is_handed_on_though_it_has_ended(
    tls: bool, error: Exception | None
) -> None:
    its = Setting(tls, opened=False)
    its.link.data_received(FLOOD)
    assert not its.transport.reading
    its.transport.lose(error)
    await a_few_turns()
    its.link.open(its.receiver)
    assert its.receiver.names == []
    await its.until_closed()
    assert its.receiver.in_order
    assert len(its.receiver.names) == 2500
    assert its.receiver.error is error


@pytest.mark.parametrize("how", ["close", "abort"])
@asynchronous
async def test_nothing_but_the_end_comes_of_a_link_that_is_closed_before_it_is_opened(how: str) -> None:
    its = Setting(opened=False)
    its.link.data_received(FLOOD)
    its.transport.lose(None)
    await a_few_turns()
    getattr(its.link, how)()
    its.link.open(its.receiver)
    await its.until_closed()
    assert its.receiver.names == []


@either
@asynchronous
async def test_nothing_comes_after_what_is_too_large(tls: bool) -> None:
    its = Setting(tls, Limits(junk=1000))
    its.link.data_received(text(0) + b"x" * 100_000 + FLOOD)
    its.transport.lose(None)
    await its.until_closed()
    assert its.receiver.names == ["T000000"]
    assert its.receiver.said == ["FrameTooLarge", "closed"]


@either
@asynchronous
async def test_what_the_transport_holds_has_not_been_sent(tls: bool) -> None:
    """Who waits for a slow peer sees that it goes on taking."""
    setting = Setting(tls)
    link, transport = setting.link, setting.transport
    link.write(Batch(Framer().feed(text(1))))
    transport.held = 50
    link.flush()
    size = len(transport.written)
    assert (link.bytes_sent, link.unsent) == (size - 50, 0)
    transport.held = 20
    assert link.bytes_sent == size - 20
    transport.held = 0
    link.abort()
    await setting.until_closed()
    assert link.bytes_sent == size


@asynchronous
async def test_a_peer_that_goes_as_the_link_is_closed_leaves_no_traceback() -> None:
    """The system knows it before asyncio has read it."""
    setting = Setting(False)
    link, transport = setting.link, setting.transport
    tries = []

    def write_eof() -> None:
        tries.append(1)
        raise OSError(107, "not connected")

    transport.write_eof = write_eof  # type: ignore[method-assign]
    link.write(Batch(Framer().feed(text(1))))
    transport.held = 50
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: failures.append(what))
    link.close()
    await eventually(lambda: bool(tries))
    transport.lose(LOST)
    await setting.until_closed()
    assert setting.receiver.error is LOST
    assert failures == []


@asynchronous
async def test_a_peer_that_has_ended_tls_is_written_nothing() -> None:
    """asyncio would log each write, and a peer that takes nothing more would never be gone."""
    its = Setting()
    its.transport.end_input()
    for _ in range(10):
        its.link.write(Batch.of_bytes(b"<message/>\n"))
        its.link.flush()
    assert its.link.unsent == 0
    await its.until_closed()
    assert its.transport.written == b""


@pytest.mark.parametrize("flood", [False, True])
@asynchronous
async def test_a_peer_that_has_ended_tls_and_takes_nothing_more_is_cut_off(
    flood: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LONGEST_LINK_END", 0.02)
    its = Setting()
    its.transport.close = lambda: None  # type: ignore[method-assign]  # something is still to be sent
    if flood:
        its.link.pause_reading()
        its.link.data_received(FLOOD)
    its.transport.end_input()
    if flood:
        await eventually(lambda: its.transport.closed)
        assert its.receiver.said == []
        its.link.resume_reading()
    await its.until_closed()
    assert its.receiver.in_order
    assert len(its.receiver.names) == (2500 if flood else 0)


@asynchronous
async def test_a_tls_link_that_ended_by_what_came_with_its_end_is_let_go() -> None:
    """asyncio tells of the end nevertheless: a timer would keep the link, and its buffers, for half a minute."""
    its = Setting(limits=Limits(start_tag=100))
    its.link.data_received(b"<getProperties " + b" " * 200)
    await its.until_closed()
    its.transport.end_input()
    loop: Any = asyncio.get_running_loop()
    assert not [timer for timer in loop._scheduled if not timer.cancelled() and "StreamLink" in repr(timer)]
