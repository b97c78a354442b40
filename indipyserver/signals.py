"""Signals that a server handles, unless something else handles them."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial

from indipydriver.transport.signals import ENDING, on_signal

__all__ = ["ignore", "server_signals", "stats_request_ignored"]

logger = logging.getLogger("indipyserver.ipyserver")


@contextlib.contextmanager
def server_signals(shutdown: Callable[[], None], log_stats: Callable[[], None]) -> Iterator[None]:
    """Handle the signals of a server while it runs, unless something else does.

    Args:
        shutdown: Called on SIGTERM, and on SIGHUP; a second SIGTERM ends the process at once.
        log_stats: Called on SIGUSR1.

    Raises:
        SystemExit: With status 143 after SIGTERM, 129 after SIGHUP, when everything has ended.
    """
    told: list[str] = []

    def end(name: str) -> None:
        logger.warning("%s: the server is stopping", name)
        told.append(name)
        shutdown()

    undo = [on_signal(name, partial(end, name), once=True) for name in ENDING]
    undo.append(on_signal("SIGUSR1", log_stats))
    try:
        yield
    finally:
        for each in undo:
            each()
    if told:
        raise SystemExit(128 + getattr(signal, told[0]))


@contextlib.contextmanager
def stats_request_ignored() -> Iterator[None]:
    """Ignore SIGUSR1, which would end the process, unless it was ignored or is handled: there is nothing to log yet.

    It does not use SIG_IGN, which the programs that are started would inherit.
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
