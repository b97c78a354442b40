"""The output of a driver: onto its link, no faster than the peer takes it, in turn with other tasks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from threading import RLock, get_ident
from typing import Final

from ..protocol.encode import encode
from ..protocol.frame import Batch, BlobFrame, Frame
from ..protocol.messages import AnyMessage
from .link import Link

__all__ = [
    "HIGH_WATER",
    "Outlet",
    "Turns",
    "text_of",
]

HIGH_WATER: Final = 4 * 1024 * 1024
"""Bytes queued in the link beyond which a send waits: a frame of a video, or thousands of updates."""

_LONGEST_BURST: Final = 0.005
"""Seconds of work without a turn for other tasks of the event loop."""

_TASKS_A_TURN: Final = 8
"""Waiting tasks that go on in one turn of the event loop, each with at least one piece of work."""

_MOST_HANDED_OVER: Final = 64
"""Frames from other threads that the event loop has not yet taken; with more, a send there waits."""

_LONGEST_WAIT: Final = 1.0
"""Seconds for which a send in another thread waits at most: the event loop may be waiting for that thread."""

_LONGEST_LOGGED: Final = 64 * 1024

logger = logging.getLogger("indipydriver.ipydriver")


def text_of(frame: Frame) -> str:
    """The element for the log; of large BLOBs only the tags."""
    if isinstance(frame, BlobFrame) and frame.size > _LONGEST_LOGGED:
        return f"{frame.skeleton.decode(errors='replace')} ({frame.size} bytes)"
    return frame.raw.decode(errors="replace")


class Turns:
    """Spreads the work of many tasks over turns of the event loop: after a burst they wait, and a few go on per turn.

    Attributes:
        began: When the first piece of work of this turn began, in seconds; None: there has been none yet.
    """

    def __init__(self) -> None:
        self.began: float | None = None
        self._line: deque[asyncio.Future[None]] = deque()  # each until its task has gone on

    def may_begin(self) -> bool:
        """Whether a task may do its first piece of work now without overtaking one that waits."""
        return not self._line and self.may_go_on()

    def may_go_on(self) -> bool:
        """Whether there is time for another piece of work in this turn; if not, :meth:`wait`."""
        now = time.monotonic()
        if self.began is None:
            self.began = now
            asyncio.get_running_loop().call_soon(self._turn_over)
        return now - self.began <= _LONGEST_BURST

    async def wait(self) -> None:
        """Wait until it is this task's turn."""
        place = asyncio.get_running_loop().create_future()
        self._line.append(place)
        await place

    def _turn_over(self) -> None:
        line = self._line
        while line and line[0].done():  # its task has gone on, or was cancelled
            line.popleft()
        if not line:
            self.began = None
            return
        self.began = time.monotonic()
        waiting = (place for place in line if not place.done())
        for place in islice(waiting, _TASKS_A_TURN):
            place.set_result(None)
        asyncio.get_running_loop().call_soon(self._turn_over)


class Outlet:
    """Where the devices and vectors of one driver send, during one run of it.

    Until there is a link, frames are kept for it; after the end they are dropped. It belongs to the thread of
    the running event loop; what other threads send is handed over, and goes out before what the loop sends later.

    Args:
        is_logged: Asked for each frame whether its XML is to be logged.

    Attributes:
        in_order: Held from before values are read until their frame is emitted, so that no older values follow newer
            ones, and nothing of what is disabled follows its deletion.
    """

    def __init__(self, is_logged: Callable[[], bool]) -> None:
        self._is_logged = is_logged
        self._loop = asyncio.get_running_loop()
        self._thread = get_ident()
        self._link: Link | None = None
        self._held: list[Frame] = []
        self._held_size = 0
        self._open = True
        self._room = asyncio.Event()
        self._burst = Turns()
        self._handed_over: deque[Frame] = deque()  # from other threads, waiting for the loop
        self.in_order = RLock()
        self._turns: dict[int, asyncio.Lock] = {}

    def connect(self, link: Link) -> None:
        """Send to this link, first what has been kept for it."""
        self._link = link
        held, self._held, self._held_size = self._held, [], 0
        for frame in held:
            link.write(Batch([frame]))
        link.flush()
        self._room.set()

    def close(self) -> None:
        """Drop everything from now on."""
        self._open = False
        self._held.clear()
        self._room.set()

    def drained(self) -> None:
        """Note that the link has room again."""
        self._room.set()

    def emit(self, frame: Frame) -> None:
        """Send a frame now, however much is queued already."""
        if not self._open:
            return
        if get_ident() != self._thread:
            self._handed_over.append(frame)
            with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
                self._loop.call_soon_threadsafe(self._take_over)
            return
        self._take_over()
        self._put(frame)

    def _take_over(self) -> None:
        """Send what other threads have handed over, also if the end has come since: it was sent before that."""
        while self._handed_over:
            self._put(self._handed_over.popleft())

    def _put(self, frame: Frame) -> None:
        if self._is_logged():
            logger.debug("TX:: %s", text_of(frame))
        link = self._link
        if link is None:
            self._held.append(frame)
            self._held_size += frame.size
        else:
            link.write(Batch([frame]))
            link.flush()

    async def pace(self) -> None:
        """Wait while too much is queued in the link, and give other tasks their turn when it is time."""
        if get_ident() != self._thread:
            await self._pace_in_thread()
        elif self._open and self._waiting > HIGH_WATER:
            while True:
                self._room.clear()
                if not self._open or self._waiting <= HIGH_WATER:  # a signal handler may have just closed it
                    break
                await self._room.wait()
        elif not self._burst.may_go_on():
            await asyncio.sleep(0)

    async def _pace_in_thread(self) -> None:
        deadline = time.monotonic() + _LONGEST_WAIT
        await asyncio.sleep(0)
        while self._open and (len(self._handed_over) > _MOST_HANDED_OVER or self._waiting > HIGH_WATER):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(_LONGEST_BURST)  # nobody can wake another loop

    async def send(self, message: AnyMessage) -> None:
        """Encode a message and send it."""
        self.emit(encode(message))
        await self.pace()

    def turn(self, sender: object) -> asyncio.Lock:
        """The lock that keeps the frames of one sender in order while a thread encodes some of them.

        Raises:
            RuntimeError: This is another thread, which could not wait for it.
        """
        if self._open and get_ident() != self._thread:
            raise RuntimeError(
                "a BLOB can be sent only in the driver's event loop: use asyncio.run_coroutine_threadsafe(..., loop)"
            )
        return self._turns.setdefault(id(sender), asyncio.Lock())

    @property
    def _waiting(self) -> int:
        return self._held_size if self._link is None else self._link.unsent
