"""What a server serves, while it runs: each part is started, ends and is stopped without touching the others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from ..relay.switchboard import Switchboard
from ..texts import describe
from .exdriver import ExDriver
from .localdriver import LocalDriver
from .remote import RemoteConnection

__all__ = ["Part", "Parts"]

logger = logging.getLogger("indipyserver.ipyserver")

Part: TypeAlias = LocalDriver | ExDriver | RemoteConnection
LAST_GRACE: Final = 2.0
"""Seconds in which a driver in this process that has been cancelled ends; then nobody waits for it any more, and if it
still cleans up, it may do so."""


class Parts:
    """The drivers, programs and links to other servers that a server serves.

    Args:
        board: The server's peers.
        deserted: Called when the last part has ended by itself.
    """

    def __init__(self, board: Switchboard, deserted: Callable[[], None]) -> None:
        self._board = board
        self._deserted = deserted
        self._parts: list[Part] = []
        self._tasks: dict[Part, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    def __iter__(self) -> Iterator[Part]:
        return iter(self._parts)

    def add(self, part: Part) -> None:
        """Serve one more; at once if the server runs.

        Raises:
            RuntimeError: It is a driver that is run by somebody else.
        """
        if self._group is not None:
            self._start(part)
        self._parts.append(part)

    def start(self, group: asyncio.TaskGroup) -> None:
        """The server runs from now on."""
        self._group = group
        for part in self._parts:
            try:
                self._start(part)
            except RuntimeError as error:
                logger.error("%s is not served: %s", part.label, error)

    def find(self, thing: Any) -> Part:
        """The part that this is, or whose driver it is.

        Raises:
            ValueError: It is not served here.
        """
        for part in self._parts:
            if part is thing or (isinstance(part, LocalDriver) and part.driver is thing):
                return part
        raise ValueError(f"{thing!r} is not served here")

    async def remove(self, part: Part, grace: float) -> None:
        """Serve it no more, and wait until it has ended.

        Args:
            part: One of these.
            grace: Seconds that a driver in this process gets to end.
        """
        self._parts.remove(part)
        task = self._tasks.pop(part, None)
        if task is None:
            return
        if isinstance(part, LocalDriver):  # one that does not run would be ended in its next run
            part.driver.shutdown()
        try:
            if isinstance(part, LocalDriver):
                await asyncio.wait((task,), timeout=grace)
        finally:  # also if whoever removes it is cancelled
            task.cancel()
            over = _end(part, task)
        await over

    async def stop(self, deadline: float) -> None:
        """End all, and start no more; drivers in this process get until this time of the loop."""
        self._group = None
        await asyncio.sleep(0)  # a driver that was started in this turn of the loop has to run before it can end
        tasks = dict(self._tasks)
        local = []
        for part, task in tasks.items():
            if isinstance(part, LocalDriver):
                part.driver.shutdown()
                local.append(task)
            else:
                task.cancel()
        if local:
            await asyncio.wait(local, timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
        for task in local:
            task.cancel()
        await asyncio.gather(*(_end(part, task) for part, task in tasks.items()))

    def forget(self) -> None:
        """The run is over, however it has ended."""
        self._group = None
        self._tasks.clear()

    def _start(self, part: Part) -> None:
        assert self._group is not None
        if isinstance(part, LocalDriver):
            part.driver.expect_run()  # what other coroutines send before its task begins is kept
        task = self._tasks[part] = self._group.create_task(self._run(part), name=part.label)
        task.add_done_callback(lambda _: self._ended(part))

    async def _run(self, part: Part) -> None:
        """One part may fail, even in a way that nobody has foreseen; the others go on."""
        try:
            await part.run()
        except Exception as error:
            logger.exception("%s has failed; the others go on", part.label)
            self._board.announce(f"{part.label} has failed: {describe(error)}", about=part.devices)

    def _ended(self, part: Part) -> None:
        if self._tasks.pop(part, None) is None or self._tasks or self._group is None:
            return  # it was removed, others are left, or all end
        try:
            self._deserted()
        except Exception:
            logger.exception("on_deserted has failed")


def _end(part: Part, task: asyncio.Task[None]) -> asyncio.Future[None]:
    """Done when something that has been cancelled has ended; a driver that goes on nevertheless is let go.

    That happens also if nobody waits for it.
    """
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    timer: asyncio.TimerHandle | None = None

    def ended(_: object) -> None:
        if timer is not None:
            timer.cancel()
        if not over.done():
            over.set_result(None)

    def let_go(driver: LocalDriver) -> None:
        logger.warning("%s has not ended %g s after it was cancelled: it is let go", driver.label, LAST_GRACE)
        driver.let_go()
        ended(None)

    task.add_done_callback(ended)
    if isinstance(part, LocalDriver):
        timer = loop.call_later(LAST_GRACE, let_go, part)
    return over
