"""Keys one after the other: each acts on what all keys before it have led to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from textual import events
from textual.app import App, ScreenStackError
from textual.command import CommandPalette
from textual.message_pump import MessagePump
from textual.worker import Worker, WorkerError

__all__ = ["InOrder"]

ROUNDS: Final = 20
PATIENCE: Final = 1.0
"""Seconds that a key waits at most for those before it."""
PAUSE: Final = 0.5
"""Seconds without a key after which somebody has looked up."""


class InOrder:
    """What is typed ahead waits until the keys before it have done what they do.

    Textual hands a key to the widget that has the focus then; what that key moves, opens or closes by messages comes
    after the next key, when a terminal hands on several at once.

    Args:
        app: For which they are.
    """

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        self._waiting: asyncio.Queue[events.Event] = asyncio.Queue()
        self._passing: events.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self._void = ""
        self._last = 0.0

    def void(self) -> None:
        """What the present key was to open has not come: what is typed on without a pause is for nothing else."""
        self._void = self._passing.key if isinstance(self._passing, events.Key) else ""

    @property
    def idle(self) -> bool:
        """No key waits."""
        return self._passing is None and self._waiting.empty()

    def holds(self, event: events.Event) -> bool:
        """Whether this event has to wait; it comes again when it is its turn."""
        if not isinstance(event, (events.Key, events.Paste, events.MouseDown, events.MouseUp)):
            return False
        if not self._app.screen_stack:
            return True  # the program ends, and nothing is done any more
        if event is self._passing or event.is_forwarded:
            return False
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="keys in order")
        self._waiting.put_nowait(event)
        return True

    async def aclose(self) -> None:
        """No more keys."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            event = await self._waiting.get()
            if self._is_void(event):
                continue
            self._passing = event
            self._app.post_message(event)
            with contextlib.suppress(TimeoutError, ScreenStackError):
                async with asyncio.timeout(PATIENCE):
                    await self._settled()
            self._passing = None

    def _is_void(self, event: events.Event) -> bool:
        before, self._last = self._last, event.time
        typed = isinstance(event, events.Paste) or (
            isinstance(event, events.Key) and event.key not in ("escape", self._void)
        )
        if not typed or event.time - before >= PAUSE:
            self._void = ""
        return bool(self._void)

    async def _settled(self) -> None:
        """Wait until no message is on its way."""
        for _ in range(ROUNDS):
            for pump in self._way():
                await _reached(pump)
            pumps = self._pumps()
            await asyncio.gather(*(_reached(pump) for pump in pumps if pump.message_queue_size))
            searching = self._searching()
            for worker in searching:
                with contextlib.suppress(WorkerError):
                    await worker.wait()
            quiet = not any(pump.message_queue_size for pump in pumps)
            if quiet and not searching and pumps == self._pumps():
                return

    def _searching(self) -> list[Worker[Any]]:
        """Searches of the palette, which until then shows what was found for less than has been typed."""
        screen = self._app.screen
        if not isinstance(screen, CommandPalette):
            return []
        return [worker for worker in self._app.workers if worker.node is screen and not worker.is_finished]

    def _way(self) -> Sequence[MessagePump]:
        """The widgets that a key passes until one of them does something, and messages after it."""
        screen = self._app.screen
        widget = screen.focused or screen
        return widget.ancestors_with_self

    def _pumps(self) -> list[MessagePump]:
        screen = self._app.screen
        return [*screen.walk_children(with_self=True), self._app]


async def _reached(pump: MessagePump) -> None:
    """Wait until a widget has looked at all messages that it has now, or is no more."""
    reached = asyncio.Event()
    callback: Callable[[], object] = reached.set
    if not pump.call_later(callback):
        return
    while pump.is_running and not reached.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                await reached.wait()
