"""Keys in order: each acts on the result of all earlier keys."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Container, Sequence
from typing import Any, Final

from textual import events
from textual.app import App, ScreenStackError
from textual.command import CommandPalette
from textual.message import Message
from textual.message_pump import MessagePump
from textual.widget import Widget
from textual.worker import Worker, WorkerError

__all__ = ["InOrder"]

ROUNDS: Final = 20
PATIENCE: Final = 1.0
"""The most seconds that a key waits for earlier ones."""
LOOKS: Final = 20
AT_ONCE: Final = 20
"""Keys that move the cursor and need not wait for each other."""
URGED: Final = 2
"""How often an abort key may be part of a text; once more, and it is meant."""
HELD: Final = 0.12
"""Seconds within which no finger presses a key again, but one that is held down comes again."""
PAUSE: Final = 0.5
"""Seconds without a key after which the user has looked at the screen; clicks within them are one double click."""
_LOGGER = logging.getLogger(__name__)


class InOrder:
    """Makes keys that are typed ahead wait until earlier ones have taken effect.

    Textual hands a key to the widget that has the focus then; what that key moves, opens or closes by messages comes
    after the next key, when a terminal hands on several at once.

    Args:
        app: The application that gets the keys.
        urgent: Abort keys, which are dropped only if they are part of a text.

    Attributes:
        strokes: How often a finger has pressed a key or a button; a key that is held down is one stroke, and so is a
            double click.
        strayed: The present key or click has come again, and what it was for at first has given way to something else.
    """

    def __init__(self, app: App[Any], urgent: Container[str] = ()) -> None:
        self._app = app
        self._waiting: asyncio.Queue[events.Event] = asyncio.Queue()
        self._next: events.Event | None = None
        self._passing: list[events.Event] = []
        self._task: asyncio.Task[None] | None = None
        self._urgent = urgent
        self._void = ""
        self._dropped: list[str] = []
        self._latest: events.Event | None = None
        self._meant: Widget | None = None  # what the present stroke was for when it began
        self._is_held = False
        self.strokes = 0
        self.strayed = False

    def void(self) -> None:
        """Drop keys that follow without a pause, because what the present key should have opened did not appear."""
        first = self._passing[0] if self._passing else None
        self._void = first.key if isinstance(first, events.Key) else "click" if first is not None else ""

    @property
    def lateness(self) -> float:
        """Seconds since the present key was pressed, which has waited for earlier ones."""
        return max(Message().time - self._passing[0].time, 0.0) if self._passing else 0.0

    @property
    def idle(self) -> bool:
        """Whether no key waits."""
        return not self._passing and self._next is None and self._waiting.empty()

    def hold_back(self, event: events.Event) -> bool:
        """Keep this event until it is its turn, when it is sent again; False if it need not wait."""
        if not isinstance(event, (events.Key, events.Paste, events.MouseDown, events.MouseUp)):
            return False
        if not self._app.screen_stack:
            return True  # the program is ending
        if event.is_forwarded or any(event is passing for passing in self._passing):
            return False
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="keys in order")
        self._waiting.put_nowait(event)
        return True

    async def aclose(self) -> None:
        """Accept no more keys."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            event = self._next or await self._waiting.get()
            self._next = None
            before, self._latest = self._latest, event
            pause = event.time - before.time if before is not None else math.inf
            here = self._where(event)
            held = HELD if here is self._meant and not self._is_held else PAUSE  # a slow line delivers it with gaps
            self._is_held = _is_again(event, before, pause, held)
            if not self._is_held:
                self.strokes += 1
                self._meant = here
            self.strayed = here is not self._meant
            if self._drop_if_void(event, pause):
                continue
            try:
                await self._pass(event)
            except Exception:  # whatever it was, it does not affect the next key
                _LOGGER.exception("the effect of a key could not be awaited")
            self._passing = []

    def _where(self, event: events.Event) -> Widget | None:
        """What an event is for: a click gives the focus to what it is on, so that is only the screen."""
        if not self._app.screen_stack:
            return None
        return self._app.screen if isinstance(event, events.MouseEvent) else self._app.focused

    async def _pass(self, event: events.Event) -> None:
        self._passing = [event, *self._repeats(event)]
        for each in self._passing:
            self._app.post_message(each)
        settled = asyncio.create_task(self._settled())
        try:
            for _ in range(LOOKS):  # while the program stands still, it does not get nearer to the end of its patience
                await asyncio.wait([settled], timeout=PATIENCE / LOOKS)
                if settled.done():
                    break
        finally:
            settled.cancel()
        await asyncio.wait([settled])
        if not settled.cancelled() and not isinstance(settled.exception(), ScreenStackError):
            settled.result()

    def _repeats(self, event: events.Event) -> list[events.Event]:
        """Take the same key again, which only moves the cursor and need not wait.

        Otherwise a held arrow key would delay all other keys until the last repetition.
        """
        found: list[events.Event] = []
        if self._waiting.empty() or not self._moves(event):
            return found
        while not self._waiting.empty() and len(found) < AT_ONCE:
            following = self._waiting.get_nowait()
            if not isinstance(following, events.Key) or following.key != getattr(event, "key", None):
                self._next = following
                break
            self._latest = following
            found.append(following)
        return found

    def _moves(self, event: events.Event) -> bool:
        moves: Callable[[str], bool] | None = getattr(self._app.focused, "moves", None)
        return isinstance(event, events.Key) and moves is not None and moves(event.key)

    def _drop_if_void(self, event: events.Event, pause: float) -> bool:
        again = "" if self._dropped else self._void  # after something else it ends what was typed
        typed = isinstance(event, events.Paste) or (
            isinstance(event, events.Key) and event.key not in ("escape", again)
        )
        if not typed or pause >= PAUSE:
            self._void = ""
        if not self._void:
            self._dropped.clear()
            return False
        key = event.key if isinstance(event, events.Key) else ""
        if key in self._urgent and all(each == key for each in self._dropped[-URGED:]):
            return False
        self._dropped = [*self._dropped[1 - URGED :], key]
        return True

    async def _settled(self) -> None:
        """Wait until no message is pending."""
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
        """Searches of the palette; until they end, it shows the results for earlier text."""
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


def _is_again(event: events.Event, before: events.Event | None, pause: float, held: float) -> bool:
    """Whether an event belongs to the same stroke as the one before."""
    if isinstance(event, events.Key) and isinstance(before, events.Key):
        return event.key == before.key and pause < held
    if isinstance(event, events.MouseEvent) and isinstance(before, events.MouseEvent):
        moved = event.screen_offset - before.screen_offset
        return isinstance(event, events.MouseUp) or (pause < PAUSE and not moved.y and abs(moved.x) <= 1)
    return False


async def _reached(pump: MessagePump) -> None:
    """Wait until a widget has handled all messages that it has now, or no longer exists."""
    reached = asyncio.Event()
    callback: Callable[[], object] = reached.set
    if not pump.call_later(callback):
        return
    while pump.is_running and not reached.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                await reached.wait()
