"""What a program writes to its standard error, as lines of the log."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections import deque
from typing import Final, TypeAlias

from indipydriver.protocol.texts import printable

from .recent import RecentLines

__all__ = ["LINES_PER_SECOND", "LONGEST_STDERR_LINE", "StderrLog", "Thinner"]

logger = logging.getLogger("indipyserver.exdriver")

LINES_PER_SECOND: Final = 200
"""Lines of one program that are logged per second on average; as many at once after a quiet second."""
LONGEST_STDERR_LINE: Final = 4096
"""Bytes of one line."""
_KEPT: Final = 5  # lines: the last ones say why a program has ended
_ENOUGH: Final = LINES_PER_SECOND // 4  # a flood is reported four times a second
_FLOOD_END: Final = 0.03  # seconds without a line: 6 lines in that time are not more than the rate
_STDERR_READ: Final = 8192  # bytes at once: a flood gets no longer turns than others
_LAST_READS: Final = 16  # twice what a pipe holds

_Line: TypeAlias = tuple[int, str]
"""Level and text."""


class Thinner:
    """Cuts a stream into lines and chooses those that are logged.  Sans-I/O.

    Each line costs one of LINES_PER_SECOND.  When they are used up, lines are only counted, and the last five kept;
    what comes after a flood is logged again as soon as there is room, behind the number of lines left out and the
    five that were kept.  Whoever uses it calls :meth:`flush` when nothing comes any more.

    Attributes:
        left_out: Lines that have been counted, or kept, but not logged.
        last_came: When something last arrived.
    """

    def __init__(self) -> None:
        self.left_out = 0
        self.last_came = 0.0
        self._kept: deque[bytes] = deque(maxlen=_KEPT)
        self._tail: deque[bytes] = deque(maxlen=_KEPT)
        self._rest = b""
        self._skipping = False  # the rest of a line that is too long
        self._room = float(LINES_PER_SECOND)

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines, whether logged or not."""
        return tuple(filter(None, map(_text, self._tail)))

    def feed(self, data: bytes, now: float) -> list[_Line]:
        """Take received bytes, at this time in seconds; returns what to log."""
        lines = self._cut(data)
        count = lines.count(b"\n")
        if not count:
            return []
        self._room = min(float(LINES_PER_SECOND), self._room + (now - self.last_came) * LINES_PER_SECOND)
        self.last_came = now
        if self.left_out and self._room < min(count + len(self._kept) + 1, _ENOUGH):
            self._leave_out(lines, count)
            return []
        out = self.flush()
        room = max(0, int(self._room))
        *chosen, others = lines.split(b"\n", room)
        self._tail.extend(chosen[-_KEPT:])
        self._room -= len(chosen)
        out += _log_lines(chosen)
        if others:
            self._leave_out(others, count - len(chosen))
        return out

    def flush(self) -> list[_Line]:
        """The number of lines left out, and the last of them, which were kept."""
        if not self.left_out:
            return []
        kept, count = list(self._kept), self.left_out - len(self._kept)
        self._kept.clear()
        self.left_out = 0
        self._room -= len(kept) + 1
        out = [(logging.WARNING, f"{count} further lines on its standard error were not logged")] if count else []
        return out + _log_lines(kept)

    def end(self, now: float) -> list[_Line]:
        """What is still to be logged at the end of the stream."""
        out = self.feed(b"\n", now) if self._rest else []
        return out + self.flush()

    def _cut(self, data: bytes) -> bytes:
        """Whole lines, each with its end; the rest waits for its own."""
        if self._skipping:
            end = data.find(b"\n") + 1
            if not end:
                return b""
            self._skipping = False
            data = data[end:]
        data = self._rest + data
        end = data.rfind(b"\n") + 1
        lines, self._rest = data[:end], data[end:]
        if len(self._rest) > LONGEST_STDERR_LINE:
            lines += self._rest[:LONGEST_STDERR_LINE] + b"\n"
            self._rest = b""
            self._skipping = True
        return lines

    def _leave_out(self, lines: bytes, count: int) -> None:
        last = lines.rsplit(b"\n", _KEPT + 1)[-_KEPT - 1 : -1]
        self._kept.extend(last)
        self._tail.extend(last)
        self.left_out += count


class StderrLog:
    """Logs what a program writes to its standard error, line by line, at appropriate levels.

    Args:
        label: The beginning of the lines.
        recent: Keeps the last of them.
    """

    def __init__(self, label: str, recent: RecentLines | None = None) -> None:
        self._label = label
        self._recent = recent if recent is not None else RecentLines()
        self._fd = -1
        self._thinner = Thinner()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines of the present process, or of the previous one if there is none."""
        return self._thinner.tail

    def open(self, fd: int) -> None:
        """Watch a non-blocking descriptor from now on; it is closed with the log."""
        self._fd = fd
        self._thinner = Thinner()
        asyncio.get_running_loop().add_reader(fd, self._read_once)

    def close(self) -> None:
        """Log what is still in the pipe, and close it: what the program has left behind may hold the other end."""
        for _ in range(_LAST_READS):
            if self._fd < 0 or not self._read_once():
                break
        if self._fd >= 0:
            self._release()

    def _read_once(self) -> bool:
        """Read once; False: there is nothing to be read now."""
        try:
            data = os.read(self._fd, _STDERR_READ)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data = b""
        if not data:
            self._release()
            return False
        loop = asyncio.get_running_loop()
        self._log(self._thinner.feed(data, loop.time()))
        if self._thinner.left_out and self._timer is None:
            self._timer = loop.call_later(_FLOOD_END, self._look)
        return True

    def _look(self) -> None:
        """Is the flood over?"""
        self._timer = None
        loop = asyncio.get_running_loop()
        if loop.time() - self._thinner.last_came >= _FLOOD_END:
            self._log(self._thinner.flush())
        elif self._thinner.left_out:
            self._timer = loop.call_later(_FLOOD_END, self._look)

    def _release(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._log(self._thinner.end(loop.time()))

    def _log(self, lines: list[_Line]) -> None:
        for level, text in lines:
            logger.log(level, "%s: %s", self._label, text)
            self._recent.add(level, text)


_LEVEL_PATTERNS: Final = (
    (re.compile(r"\bdebug\b|\[debug\]", re.IGNORECASE), logging.DEBUG),
    (re.compile(r"error|fatal|fail|exception|traceback|abort|segfault", re.IGNORECASE), logging.ERROR),
    (re.compile(r"\binfo\b|\[info\]", re.IGNORECASE), logging.INFO),
)


def _log_lines(lines: list[bytes]) -> list[_Line]:
    return [(_level(text), text) for text in map(_text, lines) if text]


def _text(line: bytes) -> str:
    return printable(line[:LONGEST_STDERR_LINE].decode("utf-8", "replace").strip())


def _level(text: str) -> int:
    for pattern, level in _LEVEL_PATTERNS:
        if pattern.search(text[:200]):
            return level
    return logging.WARNING
