"""Calls in threads that do not return: a program waits for them at its end, so it says which they are."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Collection
from typing import Final

__all__ = ["GRACE", "watch_calls_in_threads"]

GRACE: Final = 5.0
"""Seconds after the end of a run in which calls in threads return; then they are named."""

logger = logging.getLogger("indipydriver.ipydriver")

_POOL: Final = os.path.join("futures", "thread.py")


def watch_calls_in_threads(grace: float = GRACE) -> None:
    """A run has ended: if there are calls in threads that do not return in time, name them in the log."""
    left = _calls().keys()
    if left:
        timer = threading.Timer(grace, _look, (left,))
        timer.daemon = True
        timer.start()


def _look(before: Collection[threading.Thread]) -> None:
    left = [what for thread, what in _calls().items() if thread in before]
    if left:
        logger.warning(
            "the run is over, but a call in a thread has not returned, and the program cannot end before: %s",
            ", ".join(left),
        )


def _calls() -> dict[threading.Thread, str]:
    """The threads for which the interpreter waits at its end, and where each of them is."""
    frames = sys._current_frames()  # noqa: SLF001  # documented, for this purpose
    calls = {}
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if thread.daemon or frame is None or thread in (threading.main_thread(), threading.current_thread()):
            continue
        file, function = frame.f_code.co_filename, frame.f_code.co_name
        if not (function == "_worker" and file.endswith(_POOL)):  # which waits for work
            calls[thread] = f"{thread.name} in {function} ({os.path.basename(file)}:{frame.f_lineno})"
    return calls
