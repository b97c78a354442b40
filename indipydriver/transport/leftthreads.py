"""Calls in threads, and processes, that do not end: a program waits for them at its end, so it says which they are."""

from __future__ import annotations

import functools
import logging
import os
import sys
import sysconfig
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

__all__ = ["Watchdog", "calls_in_threads", "place_in"]

_LIBRARY: Final = tuple(
    os.path.join(os.path.realpath(path), "")
    for path in {sysconfig.get_path("stdlib"), os.path.dirname(threading.__file__)}
)


def calls_in_threads() -> list[str]:
    """What the threads do for which the interpreter waits at its end: the author's function, with file and line."""
    frames = sys._current_frames()  # noqa: SLF001  # documented, for this purpose
    skipped = (threading.main_thread(), threading.current_thread())
    calls = []
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if frame is not None and not thread.daemon and thread not in skipped and not _is_idle(frame):
            calls.append(_describe(frame))
    return calls


def place_in(thread: threading.Thread) -> str:
    """What a thread does at present: the author's function, with file and line."""
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001  # as above
    return "an unknown place" if frame is None else _describe(frame)


def _is_idle(frame: FrameType) -> bool:
    """A thread of a pool that waits for work, or the one in which asyncio waits for them."""
    code = frame.f_code
    if code.co_name == "_worker" and code.co_filename.endswith(os.path.join("futures", "thread.py")):
        return True
    step: FrameType | None = frame
    while step is not None:
        if step.f_code.co_name == "_do_shutdown":
            return True
        step = step.f_back
    return False


def _describe(frame: FrameType) -> str:
    work: Any = None
    step: FrameType | None = frame
    while step is not None:
        code = step.f_code
        if not os.path.realpath(code.co_filename).startswith(_LIBRARY) or "site-packages" in code.co_filename:
            return f"{os.path.basename(code.co_filename)}:{step.f_lineno} in {code.co_name}"
        own = step.f_locals.get("self")
        if type(own).__name__ == "_ExecutorManagerThread":
            return "the processes of a ProcessPoolExecutor"
        work = work or getattr(own, "fn", None)
        step = step.f_back
    while isinstance(work, functools.partial) and work.args:  # as asyncio.to_thread creates it
        work = work.args[0]
    name = getattr(work, "__qualname__", None)
    return f"{name}()" if name else f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"


def _processes() -> list[str]:
    """What ``multiprocessing`` has started and the interpreter waits for at its end."""
    multiprocessing: Any = sys.modules.get("multiprocessing")
    children = multiprocessing.active_children() if multiprocessing is not None else []
    return [f"{child.name}, process {child.pid}" for child in children if not child.daemon]


class Watchdog:
    """Checks, some time after the end of everything else, whether calls in threads hold up the process.

    Where it is to end in any case, other processes are looked at, too: elsewhere they may be meant to go on.

    Args:
        logger: Where they are named.
        grace: Seconds that they have.
        leave: Called then, to end the process without them; None: they are only named.
    """

    def __init__(self, logger: logging.Logger, grace: float, leave: Callable[[], None] | None = None) -> None:
        self._logger = logger
        self._grace = grace
        self._leave = leave

    def start(self) -> None:
        """Begin to wait, if there are any."""
        if calls_in_threads() or (self._leave is not None and _processes()):
            timer = threading.Timer(self._grace, self._look)
            timer.daemon = True
            timer.start()

    def _look(self) -> None:
        calls = calls_in_threads()
        if self._leave is None:
            if calls:
                text = "a call in a thread has not returned, so the program does not end yet: %s"
                self._logger.warning(text, ", ".join(calls))
        elif calls:
            self._logger.warning("a call in a thread has not returned: %s; ending without it", ", ".join(calls))
            self._leave()
        elif processes := _processes():
            self._logger.warning("what a driver has started has not ended: %s; ending it", "; ".join(processes))
            self._leave()
