"""Signals that a server handles, where nobody else wants them."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable

__all__ = ["on_signal"]


def on_signal(name: str, call: Callable[[], None]) -> Callable[[], None]:
    """Have something called on a signal, if this platform has it and nobody else wants it.

    Args:
        name: For example ``SIGUSR1``.
        call: What to call, in the event loop.

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

    def undo() -> None:
        if not loop.is_closed():
            loop.remove_signal_handler(number)

    return undo
