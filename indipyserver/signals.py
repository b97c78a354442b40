"""Signals that a server handles, where nobody else wants them."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable

__all__ = ["again_at_once", "on_signal"]


def on_signal(name: str, call: Callable[[], None], *, once: bool = False) -> Callable[[], None]:
    """Have something called on a signal, if this platform has it and nobody else wants it.

    Args:
        name: For example ``SIGUSR1``.
        call: What to call, in the event loop.
        once: Only the first time; the next signal ends the process at once, also while the event loop is held up.

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
    try:
        loop.add_signal_handler(number, call)
    except (NotImplementedError, RuntimeError):  # not on this platform
        return lambda: None
    if once:
        _set(number, lambda: _set(number, None))

    def undo() -> None:
        if not loop.is_closed():
            loop.remove_signal_handler(number)

    return undo


def again_at_once(number: signal.Signals, call: Callable[[], None]) -> None:
    """Have something called at once when a signal comes that the event loop handles, and has come before.

    The event loop calls nothing while a driver holds it up.  What is set here is called in between two instructions of
    that driver, in the main thread, so it may do little more than end the process.
    """
    came = False

    def count() -> None:
        nonlocal came
        if came:
            call()
        came = True

    _set(number, count)


def _set(number: signal.Signals, call: Callable[[], None] | None) -> None:
    """Have something called between two instructions, None: what the signal does by default, beside the event loop.

    That is woken by the signal's number in a pipe, whoever handles the signal.
    """
    signal.signal(number, signal.SIG_DFL if call is None else lambda *_: call())
    if call is not None:
        signal.siginterrupt(number, False)  # as the event loop has it
