"""The events queued for the coroutines of a driver: one queue per vector, processed in order by its own task."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from ..transport.outlet import Turns

__all__ = [
    "JOB_WEIGHT",
    "MAX_COMMAND_BYTES",
    "MAX_EVENTS",
    "MAX_HELD_BYTES",
    "MAX_NEWS_BYTES",
    "MAX_STREAM_BYTES",
    "NEWS_PATIENCE",
    "EventQueues",
    "Job",
    "Key",
    "Kind",
]

MAX_EVENTS: Final = 256
"""Events in one queue; at this number, no more commands for this vector are accepted or, for news, no news at all."""

MAX_COMMAND_BYTES: Final = 1 << 20
"""Bytes of commands queued for one vector behind the first; with more, no commands for it are accepted."""

MAX_NEWS_BYTES: Final = 8 << 20
"""Bytes of snooped news queued behind the first of each vector; with more, no news is accepted."""

MAX_HELD_BYTES: Final = 64 << 20
"""Bytes of all snooped news that is queued or being handled; with more, no news is accepted. One event counts for
MAX_NEWS_BYTES at most, so that news is accepted while an image of any size is handled."""

JOB_WEIGHT: Final = 4096
"""Bytes that an event counts for in addition to its own: a queue and a task."""

MAX_STREAM_BYTES: Final = 5 << 20
"""Bytes of news of one vector beyond which a newer frame of a video replaces the queued one."""

NEWS_PATIENCE: Final = 1.0
"""Seconds that news waits for a driver that is behind; then old values are dropped, so that other news gets through."""

logger = logging.getLogger("indipydriver.ipydriver")


class Kind(Enum):
    """The kind of an event, as far as it matters for the events queued with it."""

    COMMAND = auto()
    DEFINITION = auto()
    UPDATE = auto()
    FRAME = auto()  # a video frame, of which only the newest matters
    EXPOSURE = auto()
    DELETION = auto()
    MESSAGE = auto()


_MAY_MISS: Final = frozenset({Kind.DEFINITION, Kind.UPDATE, Kind.FRAME, Kind.MESSAGE})
"""What may be dropped: present values can be requested again, but neither exposures nor deletions."""

_TELLS_VALUES: Final = frozenset({Kind.DEFINITION, Kind.UPDATE})


class Key(NamedTuple):
    """What a queue is for: the commands or the news of one vector, or what concerns a whole device.

    Attributes:
        is_command: Commands of clients; otherwise news of another device.
        device: None for the whole site.
        name: None for the whole device.
    """

    is_command: bool
    device: str | None
    name: str | None


@dataclass(slots=True, eq=False)
class Job:
    """One event.

    Attributes:
        run: Handles it.
        size: Bytes that it keeps in memory.
        kind: Its kind.
        after: Jobs that have to be done before it.
        instead: If it was dropped: the job to wait for in its place.
        is_begun: It is being handled, or has been.
        is_done: It has been handled, or dropped.
        number: Jobs are numbered in the order in which they came.
        waiters: The futures of the jobs that wait for it, by number.
    """

    run: Callable[[], Awaitable[None]]
    size: int = 0
    kind: Kind = Kind.COMMAND
    after: tuple[Job, ...] = ()
    instead: Job | None = None
    is_begun: bool = False
    is_done: bool = False
    number: int = 0
    waiters: dict[int, asyncio.Future[None]] = field(default_factory=dict)

    @property
    def resolved(self) -> Job:
        """The job to wait for: itself, or the one before it if it was dropped."""
        job = self
        while job.instead is not None:
            job = job.instead
        return job

    async def wait_for(self, other: Job) -> None:
        """Wait until another job is done; jobs that wait for the same one go on in order of arrival."""
        other = other.resolved
        if not other.is_done:
            waiter = other.waiters[self.number] = asyncio.get_running_loop().create_future()
            await waiter

    def finish(self) -> None:
        """Mark it as done and drop its references: a waiting job must keep no chain of finished ones alive."""
        self.is_done = True
        self.run = _nothing
        self.after = ()
        for _, waiter in sorted(self.waiters.items()):
            if not waiter.done():
                waiter.set_result(None)
        self.waiters.clear()

    def leave_out(self, before: Job | None) -> None:
        """Drop it; the jobs that wait for it wait for the one before it instead."""
        if before is not None:
            self.instead = before
            before.waiters |= self.waiters
            self.waiters.clear()
        self.finish()


class _Queue:
    """The jobs of one key.

    Attributes:
        behind: Bytes of all queued jobs but the first, which may be of any size.
        current: The job that is being handled, or waits for others.
        is_slow: Something has been dropped since it was last empty.
        asked: When the present values were last requested, in the loop's time; -inf: they have come.
    """

    __slots__ = ("asked", "behind", "current", "is_slow", "jobs", "key")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.jobs: deque[Job] = deque()
        self.behind = 0
        self.current: Job | None = None
        self.is_slow = False
        self.asked = -math.inf

    def append(self, job: Job) -> None:
        if self.jobs:
            self.behind += job.size
        self.jobs.append(job)

    def pop(self) -> Job:
        job = self.jobs.popleft()
        if self.jobs:
            self.behind -= self.jobs[0].size
        return job

    def remove(self, job: Job) -> None:
        if job is self.jobs[0]:
            self.pop()
        else:
            self.jobs.remove(job)
            self.behind -= job.size

    def clear(self) -> None:
        self.jobs.clear()
        self.behind = 0


class EventQueues:
    """The queues of one driver, during one run.

    Args:
        start: Starts a task with a name.
        pause_commands: Called with the key of a queue of commands when it is full (True), and when it has room again
            (False).
        pause_news: The same for all news, without a key.
        left_out: Called with the device, the vector or None, the number of events that were dropped, and whether
            the present values have to be requested.
        is_ending: Says whether the driver is about to end, so that its tasks may be cancelled.
    """

    def __init__(
        self,
        start: Callable[[Coroutine[Any, Any, None], str], object],
        pause_commands: Callable[[Key, bool], None],
        pause_news: Callable[[bool], None],
        left_out: Callable[[str | None, str | None, int, bool], None],
        is_ending: Callable[[], bool],
    ) -> None:
        self._start = start
        self._pause_commands = pause_commands
        self._pause_news = pause_news
        self._left_out = left_out
        self._is_ending = is_ending
        self._queues: dict[Key, _Queue] = {}
        self._full_commands: set[Key] = set()
        self._full_news: set[Key | None] = set()  # None: news as a whole
        self._timers: dict[Key | None, asyncio.TimerHandle] = {}  # those that have been full and are not yet half empty
        self._news = 0  # bytes that count against MAX_NEWS_BYTES
        self._held = 0  # bytes that count against MAX_HELD_BYTES
        self._deletions: dict[str, Job] = {}  # of whole devices, not yet handled
        # By device and vector: the last news since the device's last message or deletion, which waits for all before
        # it; and the queues with news since the device's last deletion, which has emptied them.
        self._last: dict[str | None, dict[str, Job]] = {}
        self._filled: dict[str | None, dict[str, _Queue]] = {}
        self._turns = Turns(), Turns()  # of news, of commands: neither waits for the other
        self._loop = asyncio.get_running_loop()
        self._count = 0  # of all jobs
        self._open = True

    def add(self, key: Key, job: Job) -> None:
        """Add to the end of a queue."""
        if not self._open:
            return
        self._count += 1
        job.number = self._count
        queue = self._queues.get(key)
        is_new = queue is None
        if queue is None:
            queue = self._queues[key] = _Queue(key)
        before = queue.behind
        if job.kind is Kind.FRAME and queue.behind + job.size > MAX_STREAM_BYTES:
            self._drop_older_frame(queue)
        queue.append(job)
        if not key.is_command:
            self._held += _weight(job)
            if job.kind is Kind.DEFINITION:
                queue.asked = -math.inf
        self._account(queue, before)
        if queue.is_slow and (key in self._full_news or None in self._full_news):
            self._leave_out(queue)
        if is_new:
            self._start(self._work(queue), _named(key))
        if not key.is_command and key.name is not None:
            self._last.setdefault(key.device, {})[key.name] = job
            self._filled.setdefault(key.device, {})[key.name] = queue

    def add_news(self, device: str | None, name: str | None, job: Job) -> None:
        """Add news of a vector, or a message."""
        deletion = self._deletions.get(device or "")
        if name is None:
            job.after = self._take_last(device)  # old values must not follow a message about them
        elif deletion is not None:
            job.after = (deletion,)
        self.add(Key(False, device, name), job)

    def add_deletion(self, device: str, job: Job) -> None:
        """A whole device is gone: drop its queued news, finish what is being handled, and let later news wait."""
        if not self._open:
            return
        for queue in self._filled.pop(device, {}).values():
            self._void(queue)
        job.after = self._take_last(device)
        self._deletions[device] = job
        self.add(Key(False, device, None), job)

    def close(self) -> None:
        """Handle nothing more; what is being handled goes on.

        A signal handler may call this in the middle of any other method, so it changes nothing else.
        """
        if self._open:
            self._open = False
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._forget)

    def _forget(self) -> None:
        """Forget everything that is queued."""
        for queue in self._queues.values():
            self._drop_all(queue)
        self._deletions.clear()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        full, self._full_commands = self._full_commands, set()
        for key in full:
            self._pause_commands(key, False)
        if self._full_news:
            self._full_news.clear()
            self._pause_news(False)

    # --- what waits ---

    def _take_last(self, device: str | None) -> tuple[Job, ...]:
        """What a message or deletion of a device has to wait for."""
        return tuple(self._last.pop(device, {}).values())

    def _drop_all(self, queue: _Queue) -> None:
        for job in queue.jobs:
            self._finish(queue, job)
        queue.clear()

    def _void(self, queue: _Queue) -> None:
        """Drop the news of a vector that has not reached the driver."""
        before, current = queue.behind, queue.current
        for job in queue.jobs:
            self._omit(job, current)
        queue.clear()
        if current is not None and not current.is_begun:
            self._finish(queue, current)
        self._account(queue, before)

    def _relieve(self, key: Key | None) -> None:
        """News has waited for long enough: drop what is old in this queue, or in all."""
        del self._timers[key]
        for queue in [self._queues[key]] if key is not None else list(self._queues.values()):
            if not queue.key.is_command:
                self._leave_out(queue)

    def _leave_out(self, queue: _Queue) -> None:
        """Drop what may be missed, except for the newest event, and report that.

        A definition contains all values. An update may contain only some, so the others have to be requested.
        """
        old = [job for job in queue.jobs if job.kind in _MAY_MISS]
        if len(old) < 2:
            return
        before, newest, previous = queue.behind, old.pop(), queue.current
        kept: list[Job] = []
        inherited: tuple[Job, ...] = ()  # what the dropped jobs would have waited for
        for job in queue.jobs:
            if job is newest or job.kind not in _MAY_MISS:
                job.after = _unfinished(inherited + job.after) if inherited else job.after
                inherited = ()
                kept.append(job)
                previous = job
            else:
                inherited += job.after
                self._omit(job, previous)
        queue.clear()
        for job in kept:
            queue.append(job)
        queue.is_slow = True
        self._account(queue, before)
        is_told = newest.kind is Kind.DEFINITION or kept[-1].kind is Kind.DELETION
        now = asyncio.get_running_loop().time()
        ask = not is_told and any(job.kind in _TELLS_VALUES for job in old) and now - queue.asked >= NEWS_PATIENCE
        if ask:
            queue.asked = now
        self._left_out(queue.key.device, queue.key.name, len(old), ask)

    def _drop_older_frame(self, queue: _Queue) -> None:
        frame, before, previous = None, None, queue.current
        for job in queue.jobs:
            if job.kind is Kind.FRAME:
                frame, before = job, previous
            previous = job
        if frame is not None:
            queue.remove(frame)
            self._omit(frame, before)

    def _omit(self, job: Job, before: Job | None) -> None:
        """Drop news."""
        self._held -= _weight(job)
        job.leave_out(before)

    def _finish(self, queue: _Queue, job: Job) -> None:
        """Note that a job has been handled or dropped: it no longer holds memory."""
        if not (job.is_done or queue.key.is_command):
            self._held -= _weight(job)
        job.finish()

    def _account(self, queue: _Queue, before: int) -> None:
        """After a change of a queue, note whether it is full or has room again."""
        key = queue.key
        if key.is_command:
            is_full = len(queue.jobs) >= MAX_EVENTS or queue.behind > MAX_COMMAND_BYTES
            if is_full is not (key in self._full_commands):
                (self._full_commands.add if is_full else self._full_commands.discard)(key)
                self._pause_commands(key, is_full)
        else:
            self._news += queue.behind - before
            waiting = len(queue.jobs)
            self._mark_news(key, waiting >= MAX_EVENTS, waiting < MAX_EVENTS // 2)
            news, held = self._news, self._held
            has_room = news < MAX_NEWS_BYTES // 2 and held < MAX_HELD_BYTES // 2
            self._mark_news(None, news > MAX_NEWS_BYTES or held > MAX_HELD_BYTES, has_room)

    def _mark_news(self, key: Key | None, is_full: bool, has_room: bool) -> None:
        """Note whether a queue, or news as a whole, is full; if so, wait for room, but only for a while."""
        if not self._open or not (is_full or key in self._timers or key in self._full_news):
            return
        were_full = bool(self._full_news)
        (self._full_news.add if is_full else self._full_news.discard)(key)
        if bool(self._full_news) is not were_full:
            self._pause_news(is_full)
        if is_full and key not in self._timers:
            self._timers[key] = asyncio.get_running_loop().call_later(NEWS_PATIENCE, self._relieve, key)
        elif has_room and key in self._timers:
            self._timers.pop(key).cancel()

    # --- the tasks ---

    async def _work(self, queue: _Queue) -> None:
        """Do the jobs of one queue in turn, until there are none."""
        task = asyncio.current_task()
        assert task is not None
        turns = self._turns[queue.key.is_command]
        try:
            if not turns.may_begin():
                await turns.wait()
            while queue.jobs and not task.cancelling():
                before = queue.behind
                job = queue.current = queue.pop()
                self._account(queue, before)
                await self._do(queue, job)
                queue.current = None
                self._account(queue, queue.behind)  # it no longer holds memory
                if queue.jobs and not turns.may_go_on():  # the author's code may never yield
                    await turns.wait()
        finally:
            del task  # an exception that passes through here keeps this frame, and what its task keeps
            queue.current = None
            if queue.jobs and self._open:  # user code has cancelled this task: another one takes over
                self._start(self._work(queue), _named(queue.key))
            else:
                self._end(queue)

    def _end(self, queue: _Queue) -> None:
        """Remove a queue whose task has ended."""
        key = queue.key
        self._drop_all(queue)
        del self._queues[key]
        if key in self._timers:
            self._timers.pop(key).cancel()
        if not key.is_command and key.name is not None:
            for of_device in (self._last, self._filled):
                names = of_device.get(key.device)
                if names is not None:
                    names.pop(key.name, None)
                    if not names:
                        del of_device[key.device]

    async def _do(self, queue: _Queue, job: Job) -> None:
        key = queue.key
        try:
            for other in job.after:
                await job.wait_for(other)
            if self._open and not job.is_done:
                job.is_begun = True
                run, job.run = job.run(), _nothing  # its frame keeps the event; an exception keeps this one
                await run
        except asyncio.CancelledError:
            if self._is_ending():
                raise
            logger.error("an event of %s %s was cancelled", key.device, key.name)
        except Exception:  # a bug in this package: the driver has to continue
            logger.exception("an event of %s %s could not be handled", key.device, key.name)
        finally:
            self._finish(queue, job)
            if key.device is not None and self._deletions.get(key.device) is job:
                del self._deletions[key.device]


def _unfinished(jobs: Iterable[Job]) -> tuple[Job, ...]:
    """The jobs to wait for, each of them once."""
    return tuple(dict.fromkeys(job.resolved for job in jobs if not job.resolved.is_done))


async def _nothing() -> None:
    pass


def _weight(job: Job) -> int:
    """How much news counts towards MAX_HELD_BYTES."""
    return min(job.size, MAX_NEWS_BYTES) + JOB_WEIGHT


def _named(key: Key) -> str:
    return f"events of {key.device} {key.name}"
