"""How much a link reads at once: as much as its receiver handles without holding up the others of the event loop."""

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from indipydriver.errors import RemoteProtocolError
from indipydriver.protocol.frame import Batch, Frame
from indipydriver.transport import descriptor, stdio, stream
from indipydriver.transport.descriptor import DescriptorLink
from indipydriver.transport.link import SLICE
from indipydriver.transport.stdio import ThreadLink, open_stdio
from tests.conformance.links import KINDS
from tests.support import asynchronous, eventually
from tests.support.certificates import certificates
from tests.support.links import Recorder

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a pipe of a given size")

TEXT = b"<setTextVector device='D' name='T' state='Ok'><oneText name='t'>x</oneText></setTextVector>\n"


class Receiver:
    """Notes how much comes at once, and takes its time for each frame, by a clock of its own."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds  # for a frame
        self.now = 0.0
        self.turns: list[float] = []
        self.frames = 0
        self.hurries_after = 1 << 30  # frames
        self.closed = False

    def frames_received(self, frames: list[Frame]) -> None:
        self.frames += len(frames)
        self.turns.append(len(frames) * self.seconds)
        self.now += self.turns[-1]
        if self.frames > self.hurries_after:
            self.seconds = 0

    def fault_received(self, fault: RemoteProtocolError) -> None:
        raise AssertionError(fault)

    def link_drained(self) -> None:
        pass

    def link_closed(self, error: Exception | None) -> None:
        self.closed = True


async def read(receiver: Receiver, data: bytes, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let a link read some bytes that have come in; returns how many it has read at once."""
    import fcntl

    monkeypatch.setattr(descriptor, "monotonic", lambda: receiver.now)
    (incoming, far_out), (far_in, outgoing) = os.pipe(), os.pipe()
    for fd in (incoming, far_out, outgoing):
        os.set_blocking(fd, False)
    fcntl.fcntl(far_out, fcntl.F_SETPIPE_SZ, 1 << 20)
    link = DescriptorLink("peer", pipes=(incoming, outgoing))
    counts: list[int] = []
    received = link._received
    monkeypatch.setattr(link, "_received", lambda data: counts.append(len(data)) or received(data))  # type: ignore[func-returns-value]
    for begin in range(0, len(data), 1 << 20):
        piece = data[begin : begin + (1 << 20)]
        assert os.write(far_out, piece) == len(piece)
        if not begin:
            link.open(receiver)
        await eventually(lambda begin=begin, piece=piece: sum(counts) == begin + len(piece))  # type: ignore[misc]
    link.abort()
    await eventually(lambda: receiver.closed)
    os.close(far_out)
    os.close(far_in)
    return counts


@asynchronous
async def test_what_is_handled_quickly_is_read_in_large_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = Receiver(seconds=0)
    counts = await read(receiver, TEXT * 10_000, monkeypatch)
    assert counts[:4] == [SLICE // 8, SLICE // 4, SLICE // 2, SLICE]
    assert receiver.frames == 10_000


@pytest.mark.parametrize("seconds", [0.0002, 0.0005])
@asynchronous
async def test_a_turn_of_what_takes_long_is_short(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = Receiver(seconds)
    await read(receiver, TEXT * 20_000, monkeypatch)
    assert receiver.frames == 20_000
    assert receiver.turns[0] < 0.2
    assert max(receiver.turns[1:]) < 0.07


@asynchronous
async def test_it_is_read_in_large_slices_again_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = Receiver(seconds=0.002)
    receiver.hurries_after = 2000
    counts = await read(receiver, TEXT * 20_000, monkeypatch)
    assert receiver.frames == 20_000
    assert 4096 in counts
    assert SLICE in counts[counts.index(4096) :]


@pytest.mark.parametrize("kind", ["stream", "tls"])
@pytest.mark.parametrize("seconds", [0, 0.0005])
def test_asyncios_transports_hold_up_nobody_either(kind: str, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """They deliver up to 256 KiB at once, and the end of the connection at once too."""
    certificates()
    receiver = Receiver(seconds)
    monkeypatch.setattr(stream, "monotonic", lambda: receiver.now)

    @asynchronous
    async def check() -> None:
        async with KINDS[kind]() as (link, peer):  # type: ignore[misc]
            link.open(receiver)
            peer.open(Recorder())
            for _ in range(10):
                peer.write(Batch.of_bytes(TEXT * 2000))
            peer.close()
            await eventually(lambda: receiver.closed)

    check()
    assert receiver.frames == 20_000
    assert receiver.turns[0] < 0.2
    assert max(receiver.turns[1:]) < 0.07


@pytest.mark.parametrize("seconds", [0, 0.0005])
@asynchronous
async def test_what_a_peer_has_said_before_it_went_is_handled_in_turns_too(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes nothing any more, which shows when something is sent to it."""
    receiver = Receiver(seconds)
    monkeypatch.setattr(descriptor, "monotonic", lambda: receiver.now)
    here, there = socket.socketpair()
    here.setblocking(False)
    there.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
    there.setblocking(False)
    sent = there.send(TEXT * 2000)
    assert sent > 100_000
    there.close()
    link = DescriptorLink("peer", sock=here)
    link.open(receiver)
    link.write(Batch.of_bytes(TEXT))
    link.flush()
    counts = [0]
    while not receiver.closed:
        await asyncio.sleep(0)
        counts.append(receiver.frames)
    assert receiver.frames == sent // len(TEXT)
    assert len(set(counts)) > 3
    assert receiver.turns[0] < 0.2
    assert max(receiver.turns[1:]) < 0.07


@pytest.mark.parametrize("seconds", [0, 0.0005])
@asynchronous
async def test_a_file_as_standard_input_is_read_in_turns_too(
    seconds: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    receiver = Receiver(seconds)
    monkeypatch.setattr(stdio, "monotonic", lambda: receiver.now)
    (tmp_path / "commands").write_bytes(TEXT * 20_000)
    with (tmp_path / "commands").open("rb") as commands, (tmp_path / "answers").open("wb") as answers:
        link = open_stdio(commands.fileno(), answers.fileno(), linger=0)
        assert isinstance(link, ThreadLink)
        link.open(receiver)
        await eventually(lambda: receiver.closed)
    assert receiver.frames == 20_000
    assert len(receiver.turns) > 8
    assert receiver.turns[0] < 0.2
    assert max(receiver.turns[1:]) < 0.07
