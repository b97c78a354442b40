"""A link and an event loop for tests of the whole server: nothing moves but when the test says so."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from indipydriver.protocol.frame import Batch
from indipydriver.protocol.framer import Framer, Limits
from indipydriver.testing.virtualtime import VirtualTimeLoop
from indipydriver.transport.link import LOW_WATER, Receiver

from .siterules import Said


class PatientLoop(VirtualTimeLoop):
    """Virtual time, and work for threads is done where the test says so: so all runs of a test are alike."""

    def __init__(self) -> None:
        super().__init__()
        self._work: list[tuple[asyncio.Future[Any], Callable[[], Any]]] = []
        self._quick = True

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future = self.create_future()
        self._work.append((future, lambda: func(*args)))
        if self._quick:
            self.call_soon(self._do_work)
        return future

    def be_quick(self, quick: bool) -> None:
        """Work for threads is done in the next turn of the loop; or not until this is called again."""
        self._quick = quick
        if quick:
            self.call_soon(self._do_work)

    def _do_work(self) -> None:
        """Do what threads would do."""
        while self._work:
            future, job = self._work.pop(0)
            try:
                result = job()
            except Exception as error:
                if not future.cancelled():
                    future.set_exception(error)
            else:
                if not future.cancelled():
                    future.set_result(result)


class SiteLink:
    """The server's end of a link whose other end takes as much as it is told to.

    Args:
        label: Who is at the other end.
        hear: Called with each element that comes in, before the server gets it.
        tell: Called with the bytes that the other end takes.
        gone: Called when the link has ended, before the server is told.

    Attributes:
        rate: Bytes the other end takes with each :meth:`tick`; None: all, at once.
    """

    def __init__(
        self,
        label: str,
        hear: Callable[[Said], None],
        tell: Callable[[bytes], None],
        gone: Callable[[], None],
    ) -> None:
        self.label = label
        self.full_vectors: set[tuple[str | None, str | None]] = set()
        self.full_news = False
        self.rate: int | None = None
        self.unsent = 0
        self.bytes_received = self.bytes_sent = 0
        self.peer_paused = False  # known only of links within a process
        self.paused = False
        self.ended = False
        self._hear, self._tell, self._gone = hear, tell, gone
        self._framer = Framer(Limits())
        self._out: deque[memoryview] = deque()
        self._budget = 0
        self._above = False
        self._closing = False
        self._taking = False
        self._inbox: deque[list[Said]] = deque()
        self._scheduled = False
        self._eof = False
        self._receiver: Receiver | None = None

    # What the server calls

    def open(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._schedule()

    def write(self, batch: Batch) -> None:
        if self._closing or self.ended:
            return
        for buffer in batch.buffers:
            self._out.append(memoryview(buffer))
            self.unsent += len(buffer)
        self._above = self._above or self.unsent > LOW_WATER

    def flush(self) -> None:
        self._take()

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False
        self._schedule()

    def close(self) -> None:
        if not self._closing and not self.ended:
            self._closing = True
            self._inbox.clear()
            self._take()

    def abort(self) -> None:
        if not self.ended:
            self._closing = True
            self._inbox.clear()
            self._out.clear()
            self.unsent = 0
            asyncio.get_running_loop().call_soon(self._end, None)

    # What the test calls

    @property
    def idle(self) -> bool:
        """Nothing waits on its way in."""
        return not self._inbox

    def feed(self, read: list[Said]) -> None:
        """The other end sends this, all in one read."""
        if not self._eof and not self.ended:
            self._inbox.append(read)
            self._schedule()

    def finish(self) -> None:
        """The other end closes, after what it has sent."""
        self._eof = True
        self._schedule()

    def break_off(self) -> None:
        """The line is cut."""
        self._inbox.clear()
        self._eof = True
        self._end(ConnectionResetError("cut"))

    def tick(self) -> bool:
        """The other end takes what it takes in one step; True if there may be more at once."""
        self._budget = self.rate or 0
        self._take()
        return False

    # Its own

    def _take(self) -> None:
        if self._taking or self._receiver is None:
            return
        self._taking = True
        try:
            while self.unsent and not self.ended:
                count = self.unsent if self.rate is None else min(self._budget, self.unsent)
                if not count:
                    break
                self._budget -= min(count, self._budget)
                self.unsent -= count
                self.bytes_sent += count
                self._tell(self._cut(count))
                if self._above and self.unsent <= LOW_WATER:
                    self._above = False
                    self._receiver.link_drained()
        finally:
            self._taking = False
        if self._closing and not self.unsent and not self.ended:
            asyncio.get_running_loop().call_soon(self._end, None)

    def _cut(self, count: int) -> bytes:
        pieces = []
        while count:
            piece = self._out.popleft()
            if len(piece) > count:
                self._out.appendleft(piece[count:])
                piece = piece[:count]
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)

    def _schedule(self) -> None:
        if (self._inbox or self._eof) and not self._scheduled and self._receiver is not None and not self.ended:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False
        receiver = self._receiver
        assert receiver is not None
        while self._inbox and not self.paused and not self.ended and not self._closing:
            read = self._inbox.popleft()
            for said in read:
                self._hear(said)
            data = b"\n".join([said.raw for said in read]) + b"\n"
            self.bytes_received += len(data)
            frames = self._framer.feed(data)
            if frames:
                receiver.frames_received(frames)
            faults, self._framer.faults = self._framer.faults, []
            for fault in faults:
                receiver.fault_received(fault)
            assert not self._framer.failed
        if self._eof and not self._inbox and not self.ended:
            self._end(None)

    def _end(self, error: Exception | None) -> None:
        if not self.ended:
            self.ended = True
            self._out.clear()
            self.unsent = 0
            self._gone()
            if self._receiver is not None:
                self._receiver.link_closed(error)


def played(play: Coroutine[Any, Any, None]) -> None:
    """Run it in virtual time."""
    loop = PatientLoop()
    try:
        loop.run_until_complete(play)
    finally:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks))
        loop.close()
