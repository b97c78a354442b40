"""Signals that a server handles, where nobody else wants them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from indipydriver.transport.forked import handled_here_only

__all__ = ["AGAIN", "again_at_once", "ignore", "on_signal", "server_signals", "stats_request_ignored"]

logger = logging.getLogger("indipyserver.ipyserver")

AGAIN: Final = 0.5
"""Seconds after the first signal in which others count as the same: a terminal that is closed sends two in one moment,
and so does timeout(1)."""


@contextlib.contextmanager
def server_signals(shutdown: Callable[[], None], log_stats: Callable[[], None]) -> Iterator[None]:
    """Handle the signals of a server while it runs, where nobody else does.

    Args:
        shutdown: Called on SIGTERM; a second one ends the process at once.
        log_stats: Called on SIGUSR1.

    Raises:
        SystemExit: SIGTERM has come, and what it was to shut down has ended: with status 143.
    """
    terminated = False

    def terminate() -> None:
        nonlocal terminated
        logger.warning("SIGTERM: the server is stopping")
        terminated = True
        shutdown()

    undo = [on_signal("SIGTERM", terminate, once=True), on_signal("SIGUSR1", log_stats)]
    try:
        yield
    finally:
        for each in undo:
            each()
    if terminated:
        raise SystemExit(128 + signal.SIGTERM)


@contextlib.contextmanager
def stats_request_ignored() -> Iterator[None]:
    """Ignore SIGUSR1, which would end the process, unless it was ignored or is handled: there is nothing to tell yet.

    It is no SIG_IGN, which the programs that are started would inherit.
    """
    number = getattr(signal, "SIGUSR1", None)
    main_thread = threading.current_thread() is threading.main_thread()
    if number is None or not main_thread or signal.getsignal(number) != signal.SIG_DFL:
        yield
        return
    signal.signal(number, ignore)
    try:
        yield
    finally:
        signal.signal(number, signal.SIG_DFL)


def ignore(number: int, frame: object) -> None:
    """Handle a signal by doing nothing."""


def on_signal(name: str, call: Callable[[], None], *, once: bool = False) -> Callable[[], None]:
    """Have something called on a signal, if this platform has it and nobody else wants it.

    Args:
        name: For example ``SIGUSR1``.
        call: What to call, in the event loop.
        once: Only the first time; the signal again, after :data:`AGAIN`, ends the process at once, also while the
            event loop is held up.

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
            if present is not None and present is not ours:  # somebody has set another one meanwhile
                signal.signal(number, present)

    return undo


def again_at_once(numbers: Iterable[signal.Signals], call: Callable[[signal.Signals], None]) -> None:
    """Have something called at once when one of these signals comes, and one of them came :data:`AGAIN` before.

    The event loop, which handles them, calls nothing while a driver holds it up.  What is set here is called in between
    two instructions of that driver, in the main thread, so it may do little more than end the process.

    Args:
        numbers: The signals.
        call: Called with the one that came.
    """
    first: list[float] = []  # when it came

    def count(number: int, frame: object) -> None:
        now = time.monotonic()
        if not first:
            first.append(now)
        elif now >= first[0] + AGAIN:
            call(signal.Signals(number))

    for number in numbers:
        # The event loop is woken by the signal's number in a pipe, whoever handles the signal.
        signal.signal(number, count)
        signal.siginterrupt(number, False)  # as the event loop has it


def _end_by(number: signal.Signals) -> None:
    """What the signal does by default."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
