"""What waits for the coroutines of a driver: one queue for each vector, worked off in turn by a task of its own."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

__all__ = [
    "JOB_WEIGHT",
    "MAX_COMMAND_BYTES",
    "MAX_HELD_BYTES",
    "MAX_NEWS_BYTES",
    "MAX_STREAM_BYTES",
    "MAX_WAITING",
    "EventQueues",
    "Job",
    "Key",
]

MAX_WAITING: Final = 256
"""Events of one vector that wait for their turn; with more, no more of their sort are taken."""

MAX_COMMAND_BYTES: Final = 1 << 20
"""Bytes of commands that wait for one vector behind the first; with more, no more commands are taken."""

MAX_NEWS_BYTES: Final = 8 << 20
"""Bytes of snooped news that wait, behind the first of each vector; with more, the link is not read."""

MAX_HELD_BYTES: Final = 64 << 20
"""Bytes of all snooped news that wait or are being handled; with more, the link is not read.

One event counts for MAX_NEWS_BYTES at most, so that others are heard while a picture of any size is handled."""

JOB_WEIGHT: Final = 4096
"""Bytes that an event counts for beside its own: a queue and a task."""

MAX_STREAM_BYTES: Final = 5 << 20
"""Bytes of news of one vector beyond which a newer frame of a video replaces the one that waits."""

logger = logging.getLogger("indipydriver.ipydriver")


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
        is_value: It tells of a vector, so it is void once the device has been deleted.
        is_stream: A frame of a video, of which only the newest matters.
        after: Jobs that have to be done before.
        is_begun: It is being handled, or has been.
        is_done: It has been handled, or dropped.
        number: Jobs are numbered in the order in which they came.
    """

    run: Callable[[], Awaitable[None]]
    size: int = 0
    is_value: bool = False
    is_stream: bool = False
    after: tuple[Job, ...] = ()
    is_begun: bool = False
    is_done: bool = False
    number: int = 0
    _waiters: dict[int, asyncio.Future[None]] = field(default_factory=dict)

    async def wait_for(self, other: Job) -> None:
        """Wait until another one is done; those that wait for the same one go on in the order in which they came."""
        if not other.is_done:
            waiter = other._waiters[self.number] = asyncio.get_running_loop().create_future()
            await waiter

    def finish(self) -> None:
        """It is done; a chain of jobs is not kept alive by the last."""
        self.is_done = True
        self.after = ()
        for _, waiter in sorted(self._waiters.items()):
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()


class _Queue:
    """The jobs of one key; `behind` is the bytes of all that wait but the first, which may be of any size."""

    __slots__ = ("behind", "current", "jobs", "key")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.jobs: deque[Job] = deque()
        self.behind = 0
        self.current: Job | None = None

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

    @property
    def last(self) -> Job | None:
        """The job that came last and is not done."""
        return self.jobs[-1] if self.jobs else self.current


class EventQueues:
    """The queues of one driver, during one run.

    Args:
        start: Starts a task with a name.
        hold: Called when too many commands wait (True), and when there is room again (False).
        pause: The same for news.
        is_ending: The driver is about to end, so that tasks may be cancelled.
    """

    def __init__(
        self,
        start: Callable[[Coroutine[Any, Any, None], str], object],
        hold: Callable[[bool], None],
        pause: Callable[[bool], None],
        is_ending: Callable[[], bool],
    ) -> None:
        self._start = start
        self._hold = hold
        self._pause = pause
        self._is_ending = is_ending
        self._queues: dict[Key, _Queue] = {}
        self._full_commands: set[Key] = set()
        self._full_news: set[Key | None] = set()  # None: news as a whole
        self._news = 0  # bytes that count against MAX_NEWS_BYTES
        self._held = 0  # bytes that count against MAX_HELD_BYTES
        self._deletions: dict[str, Job] = {}  # of whole devices, not yet handled
        self._count = 0  # of all jobs
        self._open = True

    def put(self, key: Key, job: Job) -> None:
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
        if job.is_stream and queue.behind + job.size > MAX_STREAM_BYTES:
            self._drop_older_frame(queue)
        queue.append(job)
        if not key.is_command:
            self._held += _weight(job)
        self._account(queue, before)
        if is_new:
            self._start(self._work(queue), _named(key))

    def put_news(self, device: str | None, name: str | None, job: Job) -> None:
        """Add news of a vector, or a message."""
        deletion = self._deletions.get(device or "")
        if name is None:
            job.after = self._unfinished(device)  # old values are not to come behind a message about them
        elif deletion is not None:
            job.after = (deletion,)
        self.put(Key(False, device, name), job)

    def put_deletion(self, device: str, job: Job) -> None:
        """A whole device is gone: what waits of it is void, what is being handled comes first, the rest after."""
        if not self._open:
            return
        for queue in self._news_queues(device):
            self._void(queue)
        job.after = self._unfinished(device)
        self._deletions[device] = job
        self.put(Key(False, device, None), job)

    def close(self) -> None:
        """Forget all that waits; what is being handled goes on."""
        self._open = False
        for queue in self._queues.values():
            for job in queue.jobs:
                self._finish(queue, job)
            queue.clear()
        self._deletions.clear()
        if self._full_commands:
            self._full_commands.clear()
            self._hold(False)
        if self._full_news:
            self._full_news.clear()
            self._pause(False)

    # --- what waits ---

    def _news_queues(self, device: str | None) -> Iterator[_Queue]:
        return (queue for key, queue in self._queues.items() if not key.is_command and key.device == device)

    def _unfinished(self, device: str | None) -> tuple[Job, ...]:
        """The last news of each vector of a device, if they are not done."""
        lasts = [queue.last for queue in self._news_queues(device) if queue.key.name is not None]
        return tuple([job for job in lasts if job is not None])

    def _void(self, queue: _Queue) -> None:
        """Drop the values that have not reached the driver."""
        before = queue.behind
        kept = [job for job in queue.jobs if not job.is_value]
        current = queue.current
        for job in (*queue.jobs, *([current] if current is not None and not current.is_begun else [])):
            if job.is_value:
                self._finish(queue, job)
        queue.clear()
        for job in kept:
            queue.append(job)
        self._account(queue, before)

    def _drop_older_frame(self, queue: _Queue) -> None:
        for job in reversed(queue.jobs):
            if job.is_stream:
                queue.remove(job)
                self._finish(queue, job)
                return

    def _finish(self, queue: _Queue, job: Job) -> None:
        """It has been handled, or is dropped: it keeps no memory any more."""
        if not (job.is_done or queue.key.is_command):
            self._held -= _weight(job)
        job.finish()

    def _account(self, queue: _Queue, before: int) -> None:
        """After a change of a queue: is it full, or has it room again?"""
        key = queue.key
        if key.is_command:
            is_full = len(queue.jobs) >= MAX_WAITING or queue.behind > MAX_COMMAND_BYTES
            _mark(self._full_commands, key, is_full, self._hold)
        else:
            self._news += queue.behind - before
            _mark(self._full_news, key, len(queue.jobs) >= MAX_WAITING, self._pause)
            is_full = self._news > MAX_NEWS_BYTES or self._held > MAX_HELD_BYTES
            _mark(self._full_news, None, is_full, self._pause)

    # --- the tasks ---

    async def _work(self, queue: _Queue) -> None:
        """Do the jobs of one queue in turn, until there are none."""
        task = asyncio.current_task()
        assert task is not None
        try:
            while queue.jobs and not task.cancelling():
                before = queue.behind
                job = queue.current = queue.pop()
                self._account(queue, before)
                await self._do(queue, job)
                queue.current = None
                self._account(queue, queue.behind)  # it keeps no memory any more
        finally:
            queue.current = None
            if queue.jobs and self._open:  # user code has cancelled this task: another one goes on
                self._start(self._work(queue), _named(queue.key))
            else:
                del self._queues[queue.key]

    async def _do(self, queue: _Queue, job: Job) -> None:
        key = queue.key
        try:
            for other in job.after:
                await job.wait_for(other)
            if self._open and not job.is_done:
                job.is_begun = True
                await job.run()
        except asyncio.CancelledError:
            if self._is_ending():
                raise
            logger.error("an event of %s %s was cancelled", key.device, key.name)
        except Exception:  # a mistake of this package: the driver is to go on
            logger.exception("an event of %s %s could not be handled", key.device, key.name)
        finally:
            self._finish(queue, job)
            if key.device is not None and self._deletions.get(key.device) is job:
                del self._deletions[key.device]


def _mark(full: set[Any], key: Key | None, is_full: bool, tell: Callable[[bool], None]) -> None:
    """Note whether this is full, and tell when it is the first or the last that is."""
    if is_full:
        full.add(key)
        if len(full) == 1:
            tell(True)
    elif key in full:
        full.discard(key)
        if not full:
            tell(False)


def _weight(job: Job) -> int:
    """What news counts for against MAX_HELD_BYTES."""
    return min(job.size, MAX_NEWS_BYTES) + JOB_WEIGHT


def _named(key: Key) -> str:
    return f"events of {key.device} {key.name}"
