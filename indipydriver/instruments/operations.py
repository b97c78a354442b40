"""Commands that take time: one at a time under each name, each with an end that is reported, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from enum import Enum, auto
from threading import get_ident
from typing import Any, Final

from ..protocol.texts import named, own_text
from ..transport.ownturn import own_turn
from .watched import watched

__all__ = ["CANCEL_GRACE", "End", "Operation", "Operations", "Refused", "words_of"]

CANCEL_GRACE: Final = 5.0
"""Seconds that a cancelled coroutine has to end; then it is abandoned."""

logger = logging.getLogger("indipydriver.instruments")


class Refused(Exception):
    """Raise it to refuse a command: the client gets its text, the state is Alert, and nothing is logged."""


class End(Enum):
    """How an operation has ended."""

    DONE = auto()
    CANCELLED = auto()
    FAILED = auto()


_Ended = Callable[[End, str], Awaitable[None]]


class Operation:
    """An operation that runs, or waits for others to end.

    Attributes:
        task: The task in which it runs; None until it is started.
        is_told: Its end has been reported, or is not to be reported.
        is_dropped: It has been cancelled.
        is_left: It did not end when it was cancelled, so nothing waits for it any more.
        after: What must have ended before it begins.
        about: The names of the properties for which it works.
        thread: The thread in which it runs.
    """

    def __init__(
        self, ended: _Ended, patience: float | None, after: Sequence[Operation] = (), about: Sequence[str] = ()
    ) -> None:
        self.task: asyncio.Task[None] | None = None
        self.is_told = False
        self.is_dropped = False
        self.is_left = False
        self.after = after
        self.about = about
        self._ended = ended
        self._patience = patience
        self._timeout: asyncio.Timeout | None = None
        self._loop = asyncio.get_running_loop()
        self.thread = get_ident()

    def progressed(self) -> None:
        """Note that it is not stuck. Any thread may call this."""
        if self._timeout is None or self._patience is None:
            return
        with contextlib.suppress(RuntimeError):  # it, or the loop, is just ending
            if get_ident() == self.thread:
                self._timeout.reschedule(self._loop.time() + self._patience)
            else:
                self._loop.call_soon_threadsafe(self.progressed)

    def is_out_of_time(self) -> bool:
        """Whether it has made no progress for too long."""
        return self._timeout is not None and self._timeout.expired()

    async def tell(self, end: End, text: str = "") -> None:
        """Report the end, once."""
        if not self.is_told:
            self.is_told = True
            await self._ended(end, text)

    async def run(
        self,
        coro: Coroutine[Any, Any, None],
        what: str,
        failed: Callable[[str, BaseException], str],
        begin: Callable[[], None],
    ) -> None:
        """Run a coroutine when its turn has come, and report its end."""
        try:
            await _settled(self.after)
            self.after = ()
            begin()
            async with asyncio.timeout(self._patience) as self._timeout:
                await watched(coro, what)
            if self.is_out_of_time():  # it may return nevertheless
                raise TimeoutError
        except asyncio.CancelledError:
            await self.tell(End.CANCELLED)
            raise
        except (Exception, SystemExit) as error:
            if self.is_left:  # the device may have been reconnected since
                logger.error("%s failed, long after it was cancelled", what, exc_info=error)
                return
            if isinstance(error, TimeoutError) and self.is_out_of_time():
                error = TimeoutError(f"no progress for {self._patience:g} s")
            await self.tell(End.FAILED, failed(what, error))
        else:  # it may return although it was cancelled
            await self.tell(End.CANCELLED if self.is_dropped else End.DONE)


class Operations:
    """The operations of one device.

    Args:
        failed: Told what has failed and why; returns the text for clients.
    """

    def __init__(self, failed: Callable[[str, BaseException], str]) -> None:
        self._failed = failed
        self._running: dict[str, Operation] = {}
        self._ending: dict[Operation, str] = {}  # cancelled, but not over yet
        self._tasks: set[asyncio.Task[None]] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._running

    def start(
        self,
        name: str,
        what: str,
        coro: Coroutine[Any, Any, None],
        ended: _Ended,
        patience: float | None = None,
        after: Sequence[Operation] = (),
        begin: Callable[[], None] = lambda: None,
        about: Sequence[str] = (),
    ) -> None:
        """Start an operation; one of the same name must have been cancelled.

        From now on it counts as running: it can be cancelled even before its turn has come.

        Args:
            name: Its name.
            what: What it runs, for the log.
            coro: What it does.
            ended: Told once how it has ended, with a text if it has failed.
            patience: Seconds without progress after which it fails; None: never.
            after: What must have ended before it begins: the operations that were dropped for it.
            begin: Called when it begins.
            about: The names of the properties for which it works.
        """
        assert name not in self._running, name
        operation = Operation(ended, patience, after, about)
        self._running[name] = operation
        operation.task = self.spawn(operation.run(coro, what, self._failed, begin), inner=coro)

        def over(task: asyncio.Task[None]) -> None:
            if self._running.get(name) is operation:
                del self._running[name]
            self._ending.pop(operation, None)

        operation.task.add_done_callback(over)

    def progressed(self, name: str) -> None:
        """Note that an operation is not stuck."""
        if (operation := self._running.get(name)) is not None:
            operation.progressed()

    def goes_on(self, name: str) -> bool:
        """Whether the caller is an operation of this name that has not been cancelled."""
        operation = self._running.get(name)
        if operation is None or get_ident() != operation.thread or operation.is_out_of_time():
            return False
        return operation.task is asyncio.current_task()

    async def join(self, name: str) -> None:
        """Wait until an operation has ended, if it runs."""
        operation = self._running.get(name)
        if operation is not None and operation.task is not None:
            await asyncio.wait([operation.task])

    def running(self, *names: str) -> list[Operation]:
        """Those of these operations that are running."""
        return [self._running[name] for name in names if name in self._running]

    def about(self) -> set[str]:
        """The properties for which an operation is running."""
        return {name for operation in self._running.values() for name in operation.about}

    def drop(self, *names: str, quietly: bool = True) -> list[Operation]:
        """Cancel operations at once, without waiting for their ends; returns those that have to be awaited.

        Args:
            names: Their names.
            quietly: Nobody is told of their ends.
        """
        found = [operation for operation, name in self._ending.items() if name in names and not operation.is_left]
        for name in names:
            operation = self._running.get(name)
            if operation is None or operation.task is None or operation.task is asyncio.current_task():
                continue
            del self._running[name]
            self._ending[operation] = name
            operation.is_dropped = True
            operation.is_told = operation.is_told or quietly
            operation.task.cancel()
            found += [operation, *operation.after]
        return list(dict.fromkeys(found))

    async def cancel(self, name: str, *, quietly: bool = False) -> bool:
        """Cancel an operation, and wait until it has ended; False if there is none.

        Args:
            name: Its name.
            quietly: Nobody is told of its end.
        """
        operation = self._running.get(name)
        await _settled(self.drop(name, quietly=quietly))
        return operation is not None and operation.is_dropped

    async def cancel_all(self, *spared: str) -> None:
        """Cancel all except some, quietly."""
        names = {*self._running, *self._ending.values()}.difference(spared)
        await _settled(self.drop(*names))

    def spawn(
        self, coro: Coroutine[Any, Any, None], inner: Coroutine[Any, Any, Any] | None = None
    ) -> asyncio.Task[None]:
        """Run a coroutine that reports its own failures; `inner` is closed if it never starts."""

        async def begin() -> None:
            await own_turn()
            await coro

        task = asyncio.create_task(begin())
        self._tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            coro.close()
            if inner is not None:
                inner.close()
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.error("%s failed", task.get_name(), exc_info=error)

        task.add_done_callback(done)
        return task

    async def end(self) -> None:
        """Cancel whatever runs, at the end of a run."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for operation in self._running.values():
            operation.is_told = True
        self._running.clear()
        self._ending.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CANCEL_GRACE)


async def _settled(operations: Iterable[Operation]) -> None:
    """Wait until operations have ended and their ends are reported; cancelled ones have limited time for it."""
    tasks = {one.task: one for one in operations if one.task is not None and one.task is not asyncio.current_task()}
    dropped = [task for task, operation in tasks.items() if operation.is_dropped]
    if dropped:
        _, deaf = await asyncio.wait(dropped, timeout=CANCEL_GRACE)
        for task in deaf:
            tasks[task].is_left = True
            logger.error("%s goes on although it was cancelled: it is abandoned", task.get_name())
        for task in dropped:
            await tasks[task].tell(End.CANCELLED)  # it was cancelled before its first step, or ignores its cancellation
    if others := [task for task in tasks if task not in dropped]:
        await asyncio.wait(others)


def words_of(error: BaseException) -> str:
    """What clients are told about an exception: its text, with its class unless that says nothing."""
    text = own_text(error)
    return text if text and isinstance(error, (Refused, OSError)) else named(error)
