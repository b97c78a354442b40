"""The last lines of the log of this process."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from ..sources.recent import LogLine

__all__ = ["LONGEST_LOG_LINE", "MOST_LOG_LINES", "RecentLog"]

MOST_LOG_LINES: Final = 500
"""Lines that are kept."""
LONGEST_LOG_LINE: Final = 2000
"""Characters that are kept of a line, with its traceback."""
_OF_DRIVERS: Final = "indipydriver"


class RecentLog(logging.Handler):
    """Keeps the last lines of what is logged; any thread may log.

    It is a handler of the root logger.  Where there is no other, warnings and errors appear on standard error as
    without it: Python writes them there only if it finds no handler at all.

    Args:
        came: Called with each line, in the thread that logs it.
    """

    def __init__(self, came: Callable[[LogLine], None]) -> None:
        super().__init__()
        self._came = came
        self._lines: deque[tuple[str, LogLine]] = deque(maxlen=MOST_LOG_LINES)  # with the name of the logger

    def handle(self, record: logging.LogRecord) -> bool:
        """Keep it, and write it if no other handler does; not under the lock, for which logging's own may wait."""
        last = logging.lastResort
        if last is not None and record.levelno >= last.level and self._is_alone(record.name):
            last.handle(record)
        return super().handle(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        try:
            text = self.format(record)[:LONGEST_LOG_LINE]
        except Exception:  # a mistake in the logging call; other handlers report it
            return
        line = LogLine(record.created, record.levelno, text)
        self._lines.append((record.name, line))
        self._came(line)

    def _is_alone(self, name: str) -> bool:
        """Is this the only handler for this logger?  Of several servers, only the first answers yes."""
        ours = [each for each in logging.getLogger().handlers if isinstance(each, RecentLog)]
        if ours[:1] != [self]:
            return False
        logger: logging.Logger | None = logging.getLogger(name)
        while logger is not None:
            if any(not isinstance(each, RecentLog) for each in logger.handlers):
                return False
            logger = logger.parent
        return True

    def last(self, count: int) -> list[LogLine]:
        """The last of them, oldest first."""
        return [line for _, line in self._all()][-count:] if count > 0 else []

    def of_drivers(self, names: Iterable[str]) -> list[LogLine]:
        """What the driver library has logged about devices with these names."""
        words = "|".join(map(re.escape, names))
        if not words:
            return []
        named = re.compile(rf"(?<!\w)(?:{words})(?!\w)")
        return [
            line
            for logger, line in self._all()
            if logger.partition(".")[0] == _OF_DRIVERS and named.search(line.text) is not None
        ]

    def _all(self) -> list[tuple[str, LogLine]]:
        self.acquire()
        try:
            return list(self._lines)
        finally:
            self.release()
