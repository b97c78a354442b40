"""What runs a driver: its link, its tasks, its end. The driver itself holds only what its author uses."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..device import check_coroutine
from ..errors import LocalProtocolError
from ..protocol.messages import GetProperties
from ..transport.calling import call_in_loop
from ..transport.link import Link
from ..transport.outlet import NotRunning, Outlet
from .dispatch import Dispatcher
from .snooping import Snoops

if TYPE_CHECKING:
    from ..ipydriver import IPyDriver

__all__ = ["Engine", "split_exits"]

_LEAST_TO_CLOSE: Final = 1.0
"""Seconds in which the last frames must leave, even when the grace time has been used up."""

logger = logging.getLogger("indipydriver.ipydriver")


class _Phase(Enum):
    FRESH = auto()
    STARTING = auto()  # sends are kept until there is a link
    RUNNING = auto()
    ENDED = auto()


class Engine:
    """Runs one driver, any number of times, once at a time.

    Attributes:
        snoops: What the driver watches.
    """

    def __init__(self, driver: IPyDriver) -> None:
        self.snoops = Snoops()
        self._driver = driver
        self._phase = _Phase.FRESH
        self._outlet: Outlet | None = None
        self._dispatcher: Dispatcher | None = None
        self._group: asyncio.TaskGroup | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._backgrounds: list[Coroutine[Any, Any, Any]] = []
        # The next are made anew for each run, as they belong to its event loop.
        self._ending = asyncio.Event()
        self._asked = asyncio.Event()  # there is something new to be watched
        self._runner: asyncio.Task[Any] | None = None  # what serve() runs in
        self._cancelled_before = 0  # how often that was cancelled before
        self._is_over = False  # the grace time has been used up: nothing is started any more
        self._must_not_run = False  # shut down between two runs: the next one is to end at once

    @property
    def outlet(self) -> Outlet:
        """Where to send; NotRunning before the first run."""
        if self._outlet is None:
            raise NotRunning("the driver does not run yet: await asyncrun(), or that of its IPyServer, first")
        return self._outlet

    def prepare(self) -> None:
        """A run is about to begin: from now on sends are kept for its link.

        Raises:
            RuntimeError: The driver runs already.
        """
        driver, loop = self._driver, asyncio.get_running_loop()
        if self._phase is _Phase.RUNNING:
            raise RuntimeError("the driver runs already")
        if self._phase is _Phase.STARTING:
            if not driver._stop:
                return
            self._phase = _Phase.ENDED  # the run that was expected was shut down before it began; this is another
        if self._phase is _Phase.ENDED:
            self._set_flags(False)
            if self._must_not_run:  # asked last: a thread or a signal handler may shut it down just now
                self._set_flags(True)
        self._must_not_run = False
        if self._loop not in (None, loop):  # an Event belongs to the loop in which it was waited for
            driver.stopped, driver.shutdownrequested = asyncio.Event(), asyncio.Event()
        driver.stopped.clear()
        if driver._stop:
            driver.shutdownrequested.set()
        else:
            driver.shutdownrequested.clear()
        self._loop = loop
        self._ending, self._asked = asyncio.Event(), asyncio.Event()
        self._outlet = Outlet(lambda: driver.debug_enable and logger.isEnabledFor(logging.DEBUG))
        self.snoops.restart()
        self._phase = _Phase.STARTING
        if driver._stop:  # shutdown() has come first
            self.end()

    def _set_flags(self, stop: bool) -> None:
        self._driver._stop = stop
        for device in self._driver.devices():
            device._stop = stop

    def cancel_preparation(self) -> None:
        """There will be no run after all: drop what was kept for it, and say that it has ended."""
        if self._phase is _Phase.STARTING:
            self._driver.shutdown()
            self._finished()

    async def serve(self, link: Link, grace: float) -> None:
        """Run the driver on a link, until it is shut down or the link is closed."""
        if self._phase is not _Phase.STARTING:
            self.prepare()
        self._phase = _Phase.RUNNING
        self._runner = asyncio.current_task()
        self._cancelled_before = self._runner.cancelling() if self._runner is not None else 0
        self._is_over = False
        driver, outlet, clock = self._driver, self.outlet, asyncio.get_running_loop().time
        closed = asyncio.Event()

        def link_closed(error: Exception | None) -> None:
            closed.set()
            if self._dispatcher is dispatcher and not driver._stop:
                if error is not None:
                    logger.warning("%s: the link is lost: %s", type(driver).__name__, error)
                driver.shutdown()

        dispatcher = Dispatcher(driver, link, outlet, self.snoops, clock, self._start, link_closed, self._is_ending)
        self._dispatcher = dispatcher
        if self._ending.is_set():  # shut down before it began
            dispatcher.close()
        try:
            link.open(dispatcher)
            outlet.connect(link)
            await self._run_tasks(outlet, grace)
        except asyncio.CancelledError:
            await self._finish(link, closed, _LEAST_TO_CLOSE)
            raise
        except BaseException:
            # At once if nothing waits: a server in this process then learns the reason first.
            await self._finish(link, closed, _LEAST_TO_CLOSE if link.unsent else 0)
            raise
        await self._finish(link, closed, max(grace, _LEAST_TO_CLOSE))

    async def _run_tasks(self, outlet: Outlet, grace: float) -> None:
        """Run what the author of the driver has written, to its end."""
        driver = self._driver
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._start_all()
            asking = group.create_task(self._ask(outlet), name="snooping")
            try:
                await self._ending.wait()
                await self._wind_down(asking, grace)
            except asyncio.CancelledError:
                if driver._stop or any(_has_failed(task) for task in self._tasks):
                    raise
                driver.shutdown()
                await self._wind_down(asking, grace)
                raise

    def announce_end(self) -> None:
        """The flags are about to be raised; if there is no run, they are those of the next."""
        self._must_not_run = self._phase in (_Phase.FRESH, _Phase.ENDED)

    def end(self) -> None:
        """Begin the end of the run, if there is one: nothing is sent or taken any more. If not, that of the next.

        The button of a GPIO library or a signal handler may call this.
        """
        call_in_loop(self._loop, self._end)

    def _end(self) -> None:
        if not self._driver._stop:
            return  # meanwhile the run is over, and the next has begun
        if self._phase not in (_Phase.FRESH, _Phase.ENDED):
            self._must_not_run = False  # it was announced while this run was prepared
        self._driver.shutdownrequested.set()
        self._ending.set()
        if self._phase is not _Phase.FRESH and self._outlet is not None:
            self._outlet.close()
        if self._dispatcher is not None:
            self._dispatcher.close()

    def add_background(
        self, coro: Coroutine[Any, Any, Any], what: str, waiting: list[Coroutine[Any, Any, Any]] | None = None
    ) -> None:
        """Start a coroutine now, or with the next run; any thread may call this."""
        coro = check_coroutine(coro)
        if self._group is not None:
            call_in_loop(self._loop, partial(self._start_user, coro, what))
        else:
            (self._backgrounds if waiting is None else waiting).append(coro)

    def ask(self) -> None:
        """There is something new to be watched; any thread may call this."""
        call_in_loop(self._loop, self._asked.set)

    # --- tasks ---

    def _start_all(self) -> None:
        """Start what the author of the driver has written."""
        driver = self._driver
        waiting = [(coro, "a background of the driver") for coro in self._backgrounds]
        self._backgrounds.clear()
        for device in driver.devices():
            waiting += [(coro, f"a background of {device.devicename}") for coro in device._backgrounds]
            device._backgrounds.clear()
        if self._ending.is_set():
            for coro, _ in waiting:
                coro.close()
            return
        logger.info("%s has started with %s", type(driver).__name__, ", ".join(driver.data) or "no devices")
        for coro, what in waiting:
            self._start_user(coro, what)
        try:
            hardware = driver.hardware()
        except SystemExit as error:
            raise _exited("hardware()", error) from error
        if not asyncio.iscoroutine(hardware):
            raise TypeError(
                f"hardware() of {type(driver).__name__} is not a coroutine function: write async def hardware"
            )
        self._start_user(hardware, "hardware()")

    def _start(self, coro: Coroutine[Any, Any, Any], what: str) -> None:
        """Start a task of the run."""
        self._create(_guarded(coro, what), what, coro)

    def _start_user(self, coro: Coroutine[Any, Any, Any], what: str) -> None:
        """Start what ends the driver if it fails."""
        self._create(self._supervised(coro, what), what, coro)

    def _create(self, coro: Coroutine[Any, Any, Any], what: str, inner: Coroutine[Any, Any, Any]) -> None:
        try:
            if self._group is None or self._is_over:
                raise RuntimeError("the grace time is over")
            task = self._group.create_task(coro, name=what)
        except RuntimeError as error:  # or the group is about to be left
            coro.close()
            inner.close()
            logger.warning("%s: %s is not started any more: %s", type(self._driver).__name__, what, error)
            return
        self._tasks.add(task)
        task.add_done_callback(partial(self._task_done, inner))

    async def _supervised(self, coro: Coroutine[Any, Any, Any], what: str) -> None:
        """Run user code that nobody has a reason to cancel before the driver ends."""
        try:
            await _guarded(coro, what)
        except asyncio.CancelledError as error:
            if self._is_ending():
                raise
            raise RuntimeError(f"{what} was cancelled, or waited for something that was") from error

    def _is_ending(self) -> bool:
        """The driver is about to end, and its tasks may be cancelled."""
        return self._driver._stop or (self._runner is not None and self._runner.cancelling() > self._cancelled_before)

    def _task_done(self, coro: Coroutine[Any, Any, Any], task: asyncio.Task[Any]) -> None:
        coro.close()  # it has ended, or was cancelled before its first step
        if not _has_failed(task):
            self._tasks.discard(task)
            return
        error = task.exception()
        where = f"{task.get_name()} of {type(self._driver).__name__} ({', '.join(self._driver.data)})"
        if error is not None:
            error.add_note(f"raised in {where}")
        logger.error("%s failed, so the driver ends: %r", where, error)
        self._driver.shutdown()  # the group is cancelled: it takes no more tasks

    async def _ask(self, outlet: Outlet) -> None:
        """Ask for what is watched, whenever that is due."""
        snoops, clock = self.snoops, asyncio.get_running_loop().time
        while True:
            self._asked.clear()
            for device, vector in snoops.due(clock()):
                try:
                    await outlet.send(GetProperties(device, vector))
                except LocalProtocolError:  # snoopvectors is open to everybody
                    logger.exception("%r of %r cannot be asked for", vector, device)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(snoops.next_due()):
                    await self._asked.wait()

    # --- the end ---

    async def _wind_down(self, asking: asyncio.Task[None], grace: float) -> None:
        """Wait until all has ended; cancel what has not when the grace time is over."""
        asking.cancel()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        while self._tasks and (left := deadline - loop.time()) > 0:
            await asyncio.wait(self._tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        self._is_over = True
        if not self._tasks:
            return
        name = type(self._driver).__name__
        for task in self._tasks:
            logger.warning("%s: %s has not ended in time: cancelled", name, task.get_name())
            task.cancel()
        # To cancel it once more could end the cleaning up of hardware half-way, so it is only waited for.
        _, deaf = await asyncio.wait(self._tasks, timeout=max(grace, _LEAST_TO_CLOSE))
        for task in deaf:
            logger.error("%s: %s goes on though it was cancelled; the driver ends when it does", name, task.get_name())

    async def _finish(self, link: Link, closed: asyncio.Event, seconds: float) -> None:
        """Let the last frames out, but not for ever, and be ready for the next run."""
        self._group = None
        try:
            link.close()
            self._driver.shutdown()
            if seconds:
                async with asyncio.timeout(seconds):
                    await closed.wait()
        except TimeoutError:
            link.abort()
        except BaseException:  # it is cancelled, or a shutdown() of the author's fails
            link.abort()
            raise
        finally:
            self._finished()

    def _finished(self) -> None:
        self._tasks.clear()
        self._runner = None
        self._dispatcher = None
        self._phase = _Phase.ENDED
        self._driver.stopped.set()


def _has_failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None


async def _guarded(coro: Coroutine[Any, Any, Any], what: str) -> None:
    """Run a coroutine; sys.exit() in it is its failure, as asyncio would end the whole program, with all it serves."""
    try:
        await coro
    except SystemExit as error:
        raise _exited(what, error) from error


def _exited(what: str, error: SystemExit) -> RuntimeError:
    return RuntimeError(f"{what} called sys.exit({'' if error.code is None else repr(error.code)})")


def split_exits(
    group: BaseExceptionGroup[BaseException],
) -> tuple[SystemExit | None, BaseExceptionGroup[BaseException] | None]:
    """The sys.exit() among the failures of a run, if there is one, and the other failures."""
    exits, others = group.split(lambda error: isinstance(error.__cause__, SystemExit))
    leaf: BaseException | None = exits
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    return (leaf.__cause__ if leaf is not None and isinstance(leaf.__cause__, SystemExit) else None), others
