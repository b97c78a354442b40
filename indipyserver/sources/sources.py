"""What a server serves while it runs: each source starts, ends and is stopped without affecting the others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from indipydriver.protocol.texts import describe
from indipydriver.transport.signals import leave_terminal

from ..relay.switchboard import Switchboard
from .source import Source

__all__ = ["Sources"]

logger = logging.getLogger("indipyserver.ipyserver")

LAST_GRACE: Final = 2.0
"""Seconds in which a cancelled driver in this process must end; then nobody waits for it any more, although it may
still clean up."""


class Sources:
    """The drivers, programs and links to other servers that a server serves.

    Args:
        board: The server's peers.
        deserted: Called when the last source has ended by itself.

    Attributes:
        changed: If set, called when one has been added, started, stopped or removed, or has ended.
    """

    def __init__(self, board: Switchboard, deserted: Callable[[], None]) -> None:
        self._board = board
        self._deserted = deserted
        self._sources: list[Source] = []
        self._tasks: dict[Source, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._halted: set[Source] = set()
        self._ending: dict[Source, asyncio.Future[None]] = {}  # those that are being stopped or removed
        self._restarting: set[Source] = set()
        self._rest_has_ended = False  # while one was restarting
        self.changed: Callable[[], None] | None = None

    def __iter__(self) -> Iterator[Source]:
        return iter(self._sources)

    def add(self, source: Source) -> None:
        """Serve one more source; at once if the server runs.

        Raises:
            RuntimeError: It is a driver that something else is running.
        """
        if self._group is not None:
            self._start(source)
        self._sources.append(source)
        self._tell()

    def start(self, group: asyncio.TaskGroup) -> None:
        """Start everything, because the server runs now."""
        self._group = group
        for source in self._sources:
            try:
                self._start(source)
            except RuntimeError as error:
                logger.error("%s is not served: %s", source.label, error)
            except Exception:  # the author's mistake
                logger.exception("%s is not served", source.label)

    def find(self, thing: Any) -> Source:
        """The source that this is, or whose driver it is.

        Raises:
            ValueError: It is not served here.
        """
        for source in self._sources:
            if source is thing or source.serves(thing):
                return source
        raise ValueError(f"{thing!r} is not served here")

    async def remove(self, source: Source, grace: float) -> None:
        """Stop serving it, and wait until it has ended.

        Args:
            source: One of these.
            grace: Seconds that one that ends by itself gets.
        """
        self._sources.remove(source)
        self._halted.discard(source)
        await self._finish(source, grace)

    async def halt(self, source: Source, grace: float) -> None:
        """Stop it, and wait until it has ended; it stays, and :meth:`resume` or the next run starts it again.

        Args:
            source: One of these.
            grace: Seconds that one that ends by itself gets.

        Raises:
            ValueError: It is not served here any more.
        """
        self._halted.add(self.find(source))
        await self._finish(source, grace)

    def resume(self, source: Source) -> None:
        """Start one that does not run, if the server does.

        Raises:
            RuntimeError: It is being stopped and has not ended yet, or is a driver that something else is running.
            ValueError: It is not served here any more.
        """
        self.find(source)
        if source in self._ending:
            raise RuntimeError("it is just being stopped; try again when it has ended")
        if self._group is not None and not self.is_active(source):
            self._start(source)
        self._halted.discard(source)
        self._tell()

    @contextlib.contextmanager
    def restarting(self, source: Source) -> Iterator[None]:
        """While the block stops it and starts it again, it counts as left, although all others may end meanwhile."""
        self._restarting.add(source)
        try:
            yield
        finally:
            self._restarting.discard(source)
            if self._rest_has_ended:
                self._rest_has_ended = False
                self._note_if_deserted()

    def is_halted(self, source: Source) -> bool:
        """Whether it has been told to stop, and not to start since."""
        return source in self._halted

    def is_ending(self, source: Source) -> bool:
        """Whether it is being stopped, and has not ended yet."""
        return source in self._ending

    def is_active(self, source: Source) -> bool:
        """Whether it runs, or tries to."""
        task = self._tasks.get(source)
        return task is not None and not task.done()

    def _tell(self) -> None:
        if self.changed is not None:
            self.changed()

    async def _finish(self, source: Source, grace: float) -> None:
        self._tell()
        task = self._tasks.pop(source, None)
        if task is not None and not task.done():  # to stop what has just ended would be to end its next run
            over = self._ending[source] = asyncio.get_running_loop().create_future()
            try:
                if _stop(source):
                    await asyncio.wait((task,), timeout=grace)
            finally:  # even if the caller is cancelled, and nobody waits for its end
                task.cancel()
                _end(source, task).add_done_callback(partial(self._note_end, source, over))
        if source in self._ending:  # another call may be stopping it
            await asyncio.wait((self._ending[source],))

    def _note_end(self, source: Source, over: asyncio.Future[None], _: object) -> None:
        if self._ending.get(source) is over:  # in this run
            del self._ending[source]
        over.set_result(None)
        self._tell()

    async def stop(self, deadline: float) -> None:
        """End everything, and start no more; sources that end by themselves have until this time of the loop."""
        self._group = None
        leave_terminal(if_gone=True)  # drivers may print while they switch something off
        await asyncio.sleep(0)  # a driver that was started in this turn of the loop has to run before it can end
        tasks = {source: task for source, task in self._tasks.items() if not task.done()}
        ending = []
        for source, task in tasks.items():
            if _stop(source):
                ending.append(task)
            else:
                task.cancel()
        if ending:
            await asyncio.wait(ending, timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
        for task in ending:
            task.cancel()
        await asyncio.gather(*(_end(source, task) for source, task in tasks.items()))

    def forget(self) -> None:
        """Clean up after the run, however it has ended."""
        self._group = None
        self._tasks.clear()
        self._halted.clear()
        self._ending.clear()
        self._rest_has_ended = False

    def _start(self, source: Source) -> None:
        assert self._group is not None
        source.expect_run()
        task = self._tasks[source] = self._group.create_task(self._run(source), name=source.label)
        task.add_done_callback(partial(self._ended, source))

    async def _run(self, source: Source) -> None:
        """Run one source, which may fail, even in an unforeseen way, without affecting the others."""
        try:
            await source.run()
        except Exception as error:
            logger.exception("%s has failed; everything else continues", source.label)
            self._board.announce(f"{source.label} has failed: {describe(error)}", about=source.devices)

    def _ended(self, source: Source, task: asyncio.Task[None]) -> None:
        if self._tasks.get(source) is not task:
            return  # it was stopped or removed, and may have been started again since
        del self._tasks[source]
        self._tell()
        self._note_if_deserted()

    def _note_if_deserted(self) -> None:
        if self._tasks or self._group is None:
            return  # others are left, or everything ends
        if self._restarting:
            self._rest_has_ended = True
            return
        try:
            self._deserted()
        except Exception:
            logger.exception("on_deserted failed")


def _stop(source: Source) -> bool:
    """Tell it to end; True if it needs time for that. If stopping it fails, it has to be cancelled."""
    try:
        return source.stop()
    except Exception:
        logger.exception("%s could not be told to stop, so it is cancelled", source.label)
        return False


def _end(source: Source, task: asyncio.Task[None]) -> asyncio.Future[None]:
    """Wait for the end of something that has been cancelled; a driver that goes on nevertheless is let go.

    That happens even if nobody waits for it.
    """
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def ended(_: object) -> None:
        timer.cancel()
        if not over.done():
            over.set_result(None)

    def let_go() -> None:
        if source.let_go():
            logger.warning(
                "%s has not ended %g s after it was cancelled: the server no longer waits for it",
                source.label,
                LAST_GRACE,
            )
            ended(None)

    timer = loop.call_later(LAST_GRACE, let_go)
    task.add_done_callback(ended)
    return over
