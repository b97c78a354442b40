"""Faults of drivers in this process that no client sees: handlers that raise, calls that block the event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any, Final

from ..loading import function_of, place_of

__all__ = ["DriverWatch"]

_BEAT: Final = 0.05  # seconds between two signs of life of the loop
_LATE: Final = 0.3  # seconds without one after which it is examined
_BLOCKED: Final = 0.5  # seconds that are worth a finding
_SAMPLES: Final = 3  # a busy machine gives fewer samples of one place
_MISTAKES: Final = (TypeError, AttributeError, NameError, LookupError, ValueError, ArithmeticError, AssertionError)


class DriverWatch(logging.Handler):
    """Listens to what the driver library logs, and watches the event loop from a thread.

    Attributes:
        failures: Descriptions of handlers that raised.
        slips: What the library has warned of in the classes of the drivers.
        unawaited: What Python has warned of: coroutines that were called, and not awaited.
        limit: After how many seconds a call counts as one that blocks for ever, and what is called then, once, in a
            thread.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.limit: tuple[float, Callable[[], None]] | None = None
        self.failures: list[str] = []
        self.slips: list[str] = []
        self.unawaited: dict[str, None] = {}
        self._blocked: dict[str, tuple[float, int, str]] = {}  # by function: longest time, how often seen, place
        self._beat = 0.0
        self._ended = threading.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loggers = [logging.getLogger(f"indipydriver.{name}") for name in ("ipydriver", "instruments")]
        self._before = [(logger.level, logger.propagate) for logger in self._loggers]

    @property
    def blocked(self) -> list[str]:
        """Descriptions of what has held up the event loop, longest first."""
        found = sorted((each for each in self._blocked.values() if each[1] >= _SAMPLES), reverse=True)
        return [f"{seconds:.1f} s in {place}" for seconds, _, place in found if seconds >= _BLOCKED]

    def listen(self) -> None:
        """Begin to listen, before the drivers are made."""
        for logger in self._loggers:
            if not logger.isEnabledFor(logging.WARNING):  # log records are to be seen here, but not shown
                logger.setLevel(logging.WARNING)
                logger.propagate = False
            logger.addHandler(self)
        self._show, warnings.showwarning = warnings.showwarning, self._warned

    def start(self) -> None:
        """Begin to watch the event loop, which is that of the drivers."""
        self._loop = asyncio.get_running_loop()
        self._signal_life()
        threading.Thread(target=self._watch, args=(threading.get_ident(),), name="watch", daemon=True).start()

    def stop(self) -> None:
        """End, in the same loop."""
        self._ended.set()
        if self._timer is not None:
            self._timer.cancel()
        warnings.showwarning = self._show
        for logger, (level, propagates) in zip(self._loggers, self._before, strict=True):
            logger.removeHandler(self)
            logger.setLevel(level)
            logger.propagate = propagates

    def emit(self, record: logging.LogRecord) -> None:
        """Record a failure. What an instrument's method raises may be the hardware's fault, which is not a mistake.

        Nor is an exception that a library has defined for this purpose, such as the ValueErrors of JSON and of USB.
        """
        text = record.getMessage()
        if getattr(record, "slip", False):
            self.slips.append(text)
        error = record.exc_info[1] if record.exc_info else None
        if error is None or record.levelno < logging.ERROR:
            return
        mistake = isinstance(error, _MISTAKES) and type(error).__module__ == "builtins"
        if "event failed" in text or (record.name != "indipydriver.ipydriver" and mistake):
            place = place_of(traceback.extract_tb(error.__traceback__))
            what = f"{type(error).__name__}: {error}"
            self.failures.append(f"{text}: {what}{f' ({place})' if place else ''}")

    def _warned(
        self, message: Warning | str, category: type[Warning], filename: str, lineno: int, *more: Any, **given: Any
    ) -> None:
        """Record a warning of Python, which is shown all the same."""
        if str(message).endswith("was never awaited"):
            self.unawaited[f"{message} ({os.path.basename(filename)}:{lineno})"] = None
        self._show(message, category, filename, lineno, *more, **given)

    def _signal_life(self) -> None:
        assert self._loop is not None
        self._beat = time.monotonic()
        self._timer = self._loop.call_later(_BEAT, self._signal_life)

    def _watch(self, thread: int) -> None:
        while not self._ended.wait(_BEAT):
            late = time.monotonic() - self._beat
            frame = sys._current_frames().get(thread) if late > _LATE else None  # noqa: SLF001  # documented
            if frame is not None:
                stack = traceback.extract_stack(frame)
                function, place = function_of(stack), place_of(stack)
                if function is not None and place is not None:
                    longest, count, where = self._blocked.get(function, (0.0, 0, place))
                    self._blocked[function] = max(late, longest), count + 1, where
                    if self.limit is not None and late > self.limit[0]:
                        self.limit[1]()
                        return
