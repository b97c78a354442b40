"""What is around a link or a peer, played by a test: a link that leads nowhere, and receivers that write down what they hear."""

import asyncio
import os
import socket
from collections.abc import Callable

from indipydriver.errors import RemoteProtocolError
from indipydriver.protocol.frame import Batch, Frame
from indipydriver.transport.link import LOW_WATER, Receiver
from indipyserver.relay.peer import Peer
from indipyserver.routing.endpoint import Endpoint

__all__ = ["PATIENCE", "Board", "FakeLink", "Recorder", "sees_what_comes", "turns"]

PATIENCE = 5  # seconds that a test waits for what takes milliseconds


class FakeLink:
    """A link to nobody, which keeps what is written; as links do, it reports once that it has room again.

    Args:
        label: Who is at the other end.
        takes_all: The other end takes all that is written, at once; else it takes what :meth:`take` says.

    Attributes:
        written: Each batch that was written.
        peer_paused: Set it to play a receiver in this process that reads no more.
    """

    def __init__(self, label: str = "fake", *, takes_all: bool = False) -> None:
        self.label = label
        self.takes_all = takes_all
        self.full_vectors: set[tuple[str | None, str | None]] = set()
        self.peer_paused = False
        self.full_news = False
        self.unsent = 0
        self.bytes_received = self.bytes_sent = 0
        self.written: list[Batch] = []
        self.paused = self.closed = self.aborted = False
        self.receiver: Receiver
        self._above = False

    def open(self, receiver: Receiver) -> None:
        self.receiver = receiver

    def write(self, batch: Batch) -> None:
        self.written.append(batch)
        if not self.takes_all:
            self.unsent += batch.size
            self._above = self._above or self.unsent > LOW_WATER

    def flush(self) -> None:
        pass

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def close(self) -> None:
        self.closed = True

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
    """What a peer tells its switchboard is written down here.

    Attributes:
        refreshed: How often somebody was to be sent again what was left out.
        announced: The texts for everybody.
        told: Who was sent something of its own, and `texts`: what.
        cut: For the test's own use.
    """

    def __init__(self) -> None:
        self.refreshed = 0
        self.announced: list[str] = []
        self.told: list[Peer] = []
        self.texts: list[bytes] = []
        self.cut = False

    def relay(self, source: Peer, frames: list[Frame]) -> None:
        pass

    def remove(self, peer: Peer, error: Exception | None) -> None:
        pass

    def refresh(self, peer: Peer) -> None:
        self.refreshed += 1

    def announce(self, text: str, *, about: Endpoint) -> None:
        self.announced.append(text)

    def send(self, peer: Peer, frame: Frame) -> None:
        self.told.append(peer)
        self.texts.append(frame.raw)


class Recorder:
    """A receiver that writes down what it is told, and what it should not have been told."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.faults: list[RemoteProtocolError] = []
        self.drained = 0
        self.closed: list[Exception | None] = []
        self.wrong: list[str] = []
        self.may_read = True
        self.on_frames: Callable[[list[Frame]], None] = lambda frames: None
        self.on_drained: Callable[[], None] = lambda: None
        self.on_closed: Callable[[], None] = lambda: None
        self._news = asyncio.Event()

    def frames_received(self, frames: list[Frame]) -> None:
        self._called("frames_received")
        if not self.may_read:
            self.wrong.append("frames while reading was paused")
        self.frames += frames
        self.on_frames(frames)

    def fault_received(self, fault: RemoteProtocolError) -> None:
        self._called("fault_received")
        self.faults.append(fault)

    def link_drained(self) -> None:
        self._called("link_drained")
        self.drained += 1
        self.on_drained()

    def link_closed(self, error: Exception | None) -> None:
        self._called("link_closed")
        self.closed.append(error)
        self.on_closed()

    def _called(self, what: str) -> None:
        if self.closed:
            self.wrong.append(f"{what} after link_closed")
        self._news.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for news that make the condition true."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def until_closed(self) -> Exception | None:
        await self.until(lambda: self.closed)
        await turns()
        assert len(self.closed) == 1
        return self.closed[0]


async def turns(count: int = 5) -> None:
    """Let the loop go round: what should not happen would have happened."""
    for _ in range(count):
        await asyncio.sleep(0)


async def sees_what_comes(number: int, ours: socket.socket, theirs: socket.socket) -> None:
    """Give the number of a closed descriptor to one end of a pair, and wait until the event loop hears the other end.

    The pair is closed.  It is to be made before the number is closed, which would be given to it otherwise.
    """
    with ours, theirs:
        os.dup2(ours.fileno(), number)
        try:
            came = asyncio.Event()
            asyncio.get_running_loop().add_reader(number, came.set)
            theirs.send(b"x")
            async with asyncio.timeout(30):
                await came.wait()
            asyncio.get_running_loop().remove_reader(number)
        finally:
            os.close(number)
