"""Runs a driver: its link, its tasks, its end. The driver itself holds only what its author uses."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final

from ..device import check_coroutine, take_all
from ..errors import LocalProtocolError
from ..protocol.messages import GetProperties
from ..transport.calling import call_in_loop
from ..transport.link import Link
from ..transport.outlet import Outlet
from ..transport.ownturn import own_turn
from .dispatch import Dispatcher
from .runstate import RunState
from .served import Driver
from .snooping import Snoops

__all__ = ["Engine", "split_exits"]

_LEAST_TO_CLOSE: Final = 1.0
"""Seconds for sending the last frames, even when the grace time has been used up."""

logger = logging.getLogger("indipydriver.ipydriver")


class Engine:
    """Runs one driver, any number of times, once at a time.

    Args:
        driver: The driver.
        state: Knows whether it runs, and whether it has to end.

    Attributes:
        snoops: What the driver watches.
    """

    def __init__(self, driver: Driver, state: RunState) -> None:
        self.snoops = Snoops()
        self._driver = driver
        self._state = state
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._backgrounds: list[Coroutine[Any, Any, Any]] = []
        self._asked = asyncio.Event()  # there is something new to watch; created anew for each run
        self._runner: asyncio.Task[Any] | None = None  # the task of serve()
        self._cancelled_before = 0  # how often it had been cancelled before
        self._is_over = False  # the run ends, and its grace time has been used up: nothing more is started

    def prepare(self) -> None:
        """Announce a run: from now on sends are kept for its link.

        Raises:
            RuntimeError: The driver is already running.
        """
        if self._state.prepare():
            self._asked = asyncio.Event()
            self.snoops.restart()

    def cancel_preparation(self) -> None:
        """Call off an announced run: drop what was kept for it, and report that it has ended."""
        if self._state.is_prepared:
            self.shut_down()
            self._finished()

    async def serve(self, link: Link, grace: float) -> None:
        """Run the driver on a link, until it is shut down or the link is closed."""
        state = self._state
        if not state.is_prepared:
            self.prepare()
        self._runner = asyncio.current_task()
        self._cancelled_before = self._runner.cancelling() if self._runner is not None else 0
        self._is_over = False
        driver, outlet, clock = self._driver, state.outlet, asyncio.get_running_loop().time
        closed = asyncio.Event()

        def link_closed(error: Exception | None) -> None:
            closed.set()
            if state.receiver is dispatcher and not state.must_end:
                if error is not None:
                    logger.warning("%s: the link is lost: %s", type(driver).__name__, error)
                self.shut_down()

        dispatcher = Dispatcher(driver, link, outlet, self.snoops, clock, self._start, link_closed, self._is_ending)
        state.begin(dispatcher)
        try:
            link.open(dispatcher)
            outlet.connect(link)
            await self._run_tasks(outlet, grace)
        except asyncio.CancelledError:
            await self._finish(link, closed, _LEAST_TO_CLOSE)
            raise
        except BaseException:
            # Do not wait if nothing is unsent: a server in this process then learns the reason first.
            await self._finish(link, closed, _LEAST_TO_CLOSE if link.unsent else 0)
            raise
        await self._finish(link, closed, max(grace, _LEAST_TO_CLOSE))

    async def _run_tasks(self, outlet: Outlet, grace: float) -> None:
        """Run the author's code until it ends."""
        state = self._state
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._start_all()
            asking = group.create_task(self._ask(outlet), name="snooping")
            try:
                await state.ending.wait()
                await self._wind_down(asking, grace)
            except asyncio.CancelledError:
                if state.must_end or any(_has_failed(task) for task in self._tasks):
                    raise
                self.shut_down()
                await self._wind_down(asking, grace)
                raise

    def add_background(
        self, coro: Coroutine[Any, Any, Any], what: str, waiting: list[Coroutine[Any, Any, Any]] | None = None
    ) -> None:
        """Start a coroutine now, or with the next run; any thread may call this."""
        coro = check_coroutine(coro)
        if self._group is not None or self._is_over:  # what a run adds at its very end is not for the next one
            call_in_loop(self._state.loop, partial(self._start_user, coro, what))
        else:
            (self._backgrounds if waiting is None else waiting).append(coro)
            if self._group is not None:  # a run has begun meanwhile, in another thread
                call_in_loop(self._state.loop, self._start_backgrounds)

    def ask(self) -> None:
        """Note that there is something new to watch; any thread may call this."""
        call_in_loop(self._state.loop, self._asked.set)

    # --- tasks ---

    def _start_all(self) -> None:
        """Start the author's code."""
        driver = self._driver
        waiting = self._take_backgrounds()
        if self._state.ending.is_set():
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

    def _take_backgrounds(self) -> list[tuple[Coroutine[Any, Any, Any], str]]:
        """The backgrounds that wait for a run, and their names; a thread may add some meanwhile."""
        waiting = [(coro, "a background of the driver") for coro in take_all(self._backgrounds)]
        for device in self._driver.devices():
            waiting += [(coro, f"a background of {device.devicename}") for coro in device.take_backgrounds()]
        return waiting

    def _start_backgrounds(self) -> None:
        for coro, what in self._take_backgrounds():
            self._start_user(coro, what)

    def _start(self, coro: Coroutine[Any, Any, Any], what: str) -> None:
        """Start a task of the run."""
        self._create(_guarded(coro, what), what, coro)

    def _start_user(self, coro: Coroutine[Any, Any, Any], what: str) -> None:
        """Start user code; if it fails, the driver ends."""
        self._create(self._supervised(coro, what), what, coro)

    def _create(self, coro: Coroutine[Any, Any, Any], what: str, inner: Coroutine[Any, Any, Any]) -> None:
        try:
            if self._group is None or self._is_over:
                raise RuntimeError("the grace time is over")
            task = self._group.create_task(coro, name=what)
        except RuntimeError as error:  # or the group is about to end
            coro.close()
            inner.close()
            logger.warning("%s: %s is no longer started: %s", type(self._driver).__name__, what, error)
            return
        self._tasks.add(task)
        task.add_done_callback(partial(self._task_done, inner))

    async def _supervised(self, coro: Coroutine[Any, Any, Any], what: str) -> None:
        """Run user code; being cancelled before the driver ends is a failure."""
        try:
            await _guarded(coro, what)
        except asyncio.CancelledError as error:
            if self._is_ending():
                raise
            raise RuntimeError(f"{what} was cancelled, or waited for something that was") from error

    def _is_ending(self) -> bool:
        """Whether the driver is about to end, and its tasks may be cancelled."""
        return self._state.must_end or (self._runner is not None and self._runner.cancelling() > self._cancelled_before)

    def _task_done(self, coro: Coroutine[Any, Any, Any], task: asyncio.Task[Any]) -> None:
        coro.close()  # it has ended, or was cancelled before its first step
        if not _has_failed(task):
            self._tasks.discard(task)
            return
        error = task.exception()
        where = f"{task.get_name()} of {type(self._driver).__name__} ({', '.join(self._driver.data)})"
        with contextlib.suppress(Exception):  # some classes of authors do not allow it
            if error is not None:
                error.add_note(f"raised in {where}")
        logger.error("%s failed, so the driver ends: %r", where, error)
        self.shut_down()  # the group is cancelled: it accepts no more tasks

    async def _ask(self, outlet: Outlet) -> None:
        """Request each watched vector whenever that is due."""
        snoops, clock = self.snoops, asyncio.get_running_loop().time
        while True:
            self._asked.clear()
            for device, vector in snoops.due(clock()):
                try:
                    await outlet.send(GetProperties(device, vector))
                except LocalProtocolError:  # anybody can write to snoopvectors
                    logger.exception("%r of %r cannot be requested", vector, device)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(snoops.next_due()):
                    await self._asked.wait()

    # --- the end ---

    def shut_down(self) -> None:
        """Call the driver's shutdown(); the driver ends even if that fails, or does not call that of IPyDriver."""
        name = type(self._driver).__name__
        try:
            self._driver.shutdown()
        except KeyboardInterrupt:
            raise
        except BaseException:  # such as sys.exit(), which would end the whole program with everything it serves
            logger.exception("%s: shutdown() failed; the driver ends nevertheless", name)
        else:
            if self._state.must_end:
                return
            logger.error("%s: shutdown() does not call super().shutdown(); the driver ends nevertheless", name)
        self._state.shutdown()

    async def _wind_down(self, asking: asyncio.Task[None], grace: float) -> None:
        """Wait until all tasks have ended; cancel the remaining ones when the grace time is over."""
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
        # Cancelling again could stop the cleaning up of hardware half-way, so only wait.
        _, deaf = await asyncio.wait(self._tasks, timeout=max(grace, _LEAST_TO_CLOSE))
        for task in deaf:
            logger.error("%s: %s goes on after its cancellation; the driver ends when it does", name, task.get_name())

    async def _finish(self, link: Link, closed: asyncio.Event, seconds: float) -> None:
        """Send the last frames within a time limit, and prepare for the next run."""
        self._group = None
        self._is_over = True
        try:
            link.close()
            try:
                self._shut_down_again()
            except Exception:
                await _let_out(link, closed, seconds)
                raise
            await _let_out(link, closed, seconds)
        except BaseException:  # it is cancelled, or the author's shutdown() has failed
            link.abort()
            raise
        finally:
            self._finished()

    def _shut_down_again(self) -> None:
        """Call the driver's shutdown() at the very end of a run; whatever fails there becomes an Exception."""
        try:
            self._driver.shutdown()
        except (Exception, KeyboardInterrupt):
            raise
        except SystemExit as error:
            raise _exited("shutdown()", error) from error
        except BaseException as error:
            raise RuntimeError(f"shutdown() failed: {error!r}") from error

    def _finished(self) -> None:
        self._tasks.clear()
        self._runner = None
        self._is_over = False
        self._state.finish()


async def _let_out(link: Link, closed: asyncio.Event, seconds: float) -> None:
    """Wait until a link that is being closed has sent everything; abort it when the time is over."""
    if seconds:
        try:
            async with asyncio.timeout(seconds):
                await closed.wait()
        except TimeoutError:
            link.abort()


def _has_failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None


async def _guarded(coro: Coroutine[Any, Any, Any], what: str) -> None:
    """Run a coroutine; turn sys.exit() into a failure, because asyncio would end the whole program."""
    await own_turn()
    try:
        await coro
    except SystemExit as error:
        raise _exited(what, error) from error


def _exited(what: str, error: SystemExit) -> RuntimeError:
    return RuntimeError(f"{what} called sys.exit({'' if error.code is None else repr(error.code)})")


def split_exits(
    failure: BaseException,
) -> tuple[SystemExit | None, BaseExceptionGroup[BaseException] | None]:
    """The sys.exit() among the failures of a run, if there is one, and the other failures."""
    group = failure if isinstance(failure, BaseExceptionGroup) else BaseExceptionGroup("", [failure])
    exits, others = group.split(lambda error: isinstance(error.__cause__, SystemExit))
    leaf: BaseException | None = exits
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    return (leaf.__cause__ if leaf is not None and isinstance(leaf.__cause__, SystemExit) else None), others
