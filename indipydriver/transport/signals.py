"""Signals that a program handles in its event loop, unless something else handles them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from .forked import end_children, handled_here_only
from .leftthreads import place_in
from .sockets import has_hung_up

__all__ = ["AGAIN", "ENDING", "HELD_UP", "again_at_once", "leave_terminal", "on_signal"]

ENDING: Final = ("SIGTERM", "SIGHUP")
"""The signals that end a program in order; the second one comes when its terminal is closed, or ssh loses it."""

AGAIN: Final = 0.5
"""Seconds after the first signal in which others count as the same: a terminal that is closed sends two in one moment,
and so does timeout(1)."""

HELD_UP: Final = 5.0
"""Seconds after the first signal in which the event loop has its turn; what holds it up for longer is named."""

logger = logging.getLogger(__name__)


def leave_terminal(*, if_gone: bool = False) -> None:
    """After SIGHUP: what is written to the terminal, which is gone, goes nowhere.

    It would raise an exception, and a driver may print while it switches something off.

    Args:
        if_gone: Somebody else may have handled SIGHUP: ask the system whether the terminal is gone. Only Linux tells.
    """
    with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:
        for fd in (1, 2):
            if stat.S_ISCHR(os.fstat(fd).st_mode) and (not if_gone or has_hung_up(fd)):
                os.dup2(nowhere.fileno(), fd)


def on_signal(name: str, call: Callable[[], None], *, once: bool = False) -> Callable[[], None]:
    """Have something called on a signal, if this platform has it and nothing else handles it.

    Args:
        name: For example ``SIGUSR1``.
        call: What to call, in the event loop.
        once: Only the first time; the signal again, after :data:`AGAIN` and unless it is SIGHUP, ends the process at
            once, also while the event loop is held up, and what holds it up for longer than :data:`HELD_UP` is logged.

    Returns:
        Undoes it.
    """
    number = getattr(signal, name, None)
    if (
        number is None
        or threading.current_thread() is not threading.main_thread()
        or signal.getsignal(number) != signal.SIG_DFL
    ):
        return lambda: None
    loop = asyncio.get_running_loop()
    came = False

    def handle() -> None:
        nonlocal came
        if not (once and came):
            came = True
            call()
            if name == "SIGHUP":
                leave_terminal()

    try:
        loop.add_signal_handler(number, handle)
    except (NotImplementedError, RuntimeError):  # not on this platform
        return lambda: None
    if once:
        again_at_once([number], _end_by)
        handled_here_only([number])
    ours = signal.getsignal(number)

    def undo() -> None:
        if not loop.is_closed():
            present = signal.getsignal(number)
            loop.remove_signal_handler(number)  # which sets the default
            if present is not None and present is not ours:  # another handler has been set meanwhile
                signal.signal(number, present)

    return undo


def again_at_once(
    numbers: Iterable[signal.Signals], call: Callable[[signal.Signals], None], *, waits: bool = True
) -> None:
    """Have something called at once when one of these signals arrives, :data:`AGAIN` or more after an earlier one.

    The event loop, which handles them, calls nothing while a driver holds it up.  What is set here is called in between
    two instructions of that driver, in the main thread, so it may do little more than end the process.  If the driver
    waits for the system, as in a read, it is called within that: the wait is interrupted, and then goes on.

    SIGHUP is only a first signal: whoever closes the terminal while all ends in order may not know of it, and it may
    come again when the shell has ended.

    If the loop has not had its turn :data:`HELD_UP` after the first signal, the log says what holds it up.

    Args:
        numbers: The signals.
        call: Called with the signal that arrived.
        waits: Whether the end then waits for a second signal. Otherwise `call` is called, from a thread, when the loop
            is still held up after as long again: other drivers may have hardware to stop in that time.
    """
    loop = asyncio.get_running_loop()
    first: list[float] = []  # when it arrived
    hang_up = getattr(signal, "SIGHUP", None)

    def count(number: int, frame: object) -> None:
        now = time.monotonic()
        if not first:
            first.append(now)
            with contextlib.suppress(RuntimeError):  # no more threads; it would be raised within the driver
                threading.Thread(target=watch, args=[signal.Signals(number)], daemon=True).start()
        elif number != hang_up and now >= first[0] + AGAIN:
            call(signal.Signals(number))

    def watch(number: signal.Signals) -> None:
        turn = threading.Event()
        try:
            loop.call_soon_threadsafe(turn.set)
        except RuntimeError:  # it has ended
            return
        if turn.wait(HELD_UP) or loop.is_closed():
            return
        what = "" if waits else f"the program ends without it in {HELD_UP:g} s; "
        logger.error(
            "%s: the event loop is held up, so nothing can be stopped: it is at %s; %ssend it again to end it at once",
            number.name,
            place_in(threading.main_thread()),
            what,
        )
        if not waits and not turn.wait(HELD_UP):
            call(number)

    for number in numbers:
        # The event loop is woken by the signal's number in a pipe, whoever handles the signal.
        signal.signal(number, count)
        signal.siginterrupt(number, True)  # otherwise the event loop has handled it: a read or a lock waits on


def _end_by(number: signal.Signals) -> None:
    """What the signal does by default, and no child is left."""
    end_children()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
