"""The last lines of the log about one source."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Final, NamedTuple

__all__ = ["LONGEST_KEPT", "MOST_KEPT", "LogLine", "RecentLines"]

MOST_KEPT: Final = 100
"""Lines that are kept about one source."""
LONGEST_KEPT: Final = 1000
"""Characters of a line that are kept."""


class LogLine(NamedTuple):
    """One line of a log.

    Attributes:
        time: When it was logged, in seconds since the epoch.
        level: As in :mod:`logging`.
        text: What it says.
    """

    time: float
    level: int
    text: str


class RecentLines:
    """Keeps the last lines, whatever the level of the log."""

    def __init__(self) -> None:
        self._lines: deque[LogLine] = deque(maxlen=MOST_KEPT)

    def add(self, level: int, text: str) -> None:
        """Add a line, which is truncated if it is long."""
        self._lines.append(LogLine(time.time(), level, text[:LONGEST_KEPT]))

    def log(self, logger: logging.Logger, level: int, text: str, *, traceback: bool = False) -> None:
        """Add a line, and log it.

        Args:
            logger: Where.
            level: As in :mod:`logging`.
            text: What it says.
            traceback: Log the exception that is being handled with it.
        """
        self.add(level, text)
        logger.log(level, "%s", text, exc_info=traceback)

    def last(self, count: int) -> list[LogLine]:
        """The last of them, oldest first."""
        return list(self._lines)[-count:] if count > 0 else []
