"""Writes the log to a stream that nobody may be reading, as with Ctrl-S, a frozen ssh or a stuck pager."""

from __future__ import annotations

import contextlib
import io
import logging
import select
import sys
import threading
import time
from enum import Enum, auto
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Final, TextIO, TypeAlias

__all__ = ["MOST_STREAM_LINES", "MOST_STREAM_TEXT", "READER_FLUSH", "LogStream"]

MOST_STREAM_TEXT: Final = 1 << 20
"""Characters that may wait for a reader."""
MOST_STREAM_LINES: Final = 10_000
"""Lines that may wait for a reader."""
READER_FLUSH: Final = 1.0
"""Seconds that a reader has at the end to take what waits."""
_WRITTEN_AT_ONCE: Final = 1 << 16  # characters
_FLUSH_STEP: Final = 0.1


class _Mark(Enum):
    """What can occur between lines."""

    GAP = auto()
    """Lines were dropped here."""
    END = auto()
    """The thread ends here."""


_Item: TypeAlias = str | _Mark | threading.Event
"""A line, a mark, or an event to set when everything before it has been written."""
_Failure: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None] | None


class LogStream(logging.Handler):
    """A handler of log records that never waits for its stream: a thread writes.

    When too much waits, further lines are dropped until the stream has taken what waits; then their number is written.
    The same is done with lines whose writing has failed, as on a full disk.

    The thread writes past the buffers of the stream: a thread that waits while it holds their lock makes Python abort
    at its exit.  In a forked process, and where no thread can be started, lines are written by whoever logs them.

    Args:
        stream: Where to write.
        formatter: Turns records into lines.
        most: Characters that may wait; a longer line is taken if nothing waits.
        most_lines: Lines that may wait.
    """

    def __init__(
        self,
        stream: TextIO,
        formatter: logging.Formatter,
        *,
        most: int = MOST_STREAM_TEXT,
        most_lines: int = MOST_STREAM_LINES,
    ) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._stream = stream
        self._raw = _raw(stream)
        self._most = most
        self._most_lines = most_lines
        self._queue: SimpleQueue[_Item] = SimpleQueue()  # a signal handler may put to it at any point
        self._guard = threading.RLock()  # guards what follows; reentrant for the same reason
        self._size = 0  # characters that wait or are being written
        self._lines = 0
        self._dropped = 0  # since the last gap; while there are any, no line is accepted
        self._closed = False
        with contextlib.suppress(OSError, ValueError):  # closed
            stream.flush()
        self._thread = threading.Thread(target=self._work, name="log", daemon=True)
        with contextlib.suppress(RuntimeError):  # no more threads can be started
            self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record for writing."""
        try:
            line = self.format(record)
        except RecursionError:
            raise
        except Exception:
            self.handleError(record)
        else:
            self.write_line(line)

    def handleError(self, record: logging.LogRecord) -> None:
        """Report in the log itself that a record cannot be formatted."""
        where = f"{record.pathname}:{record.lineno}"
        self.write_line(self._line(f"what is logged at {where} cannot be written", sys.exc_info()))

    def write_line(self, line: str) -> None:
        """Queue a line for writing, as it is."""
        line += "\n"
        if not self._thread.is_alive():
            with contextlib.suppress(Exception):
                self._write(line)
            return
        with self._guard:
            if self._dropped:
                self._dropped += 1
            elif self._lines and (self._size + len(line) > self._most or self._lines >= self._most_lines):
                self._dropped = 1
                self._queue.put(_Mark.GAP)
            else:
                self._size += len(line)
                self._lines += 1
                self._queue.put(line)

    def flush(self) -> None:
        """Wait until everything is written, at most :data:`READER_FLUSH` seconds; a signal handler may call it too."""
        if self._thread.is_alive() and not self._closed:
            done = threading.Event()
            self._queue.put(done)
            done.wait(READER_FLUSH)

    def close(self) -> None:
        """Write what waits, and end the thread; what is not taken in :data:`READER_FLUSH` seconds is lost."""
        if not self._closed:
            self._closed = True
            self._queue.put(_Mark.END)
            with contextlib.suppress(KeyboardInterrupt, RuntimeError):  # a second signal; or it was never started
                self._thread.join(READER_FLUSH)
        super().close()

    def _line(self, text: str, failure: _Failure = None) -> str:
        """A line of its own for the log."""
        return self.format(logging.LogRecord("indipyserver.cli", logging.WARNING, "", 0, text, None, failure))

    # In the thread

    def _work(self) -> None:
        missing = 0
        while True:
            lines, mark = self._take()
            if lines:
                missing = self._pass_on(lines, missing)
            if mark is _Mark.GAP:
                with self._guard:
                    missing += self._dropped
                    self._dropped = 0
                if missing:
                    missing = self._pass_on([], missing)
            elif mark is _Mark.END:
                return
            elif mark is not None:
                mark.set()

    def _take(self) -> tuple[list[str], _Mark | threading.Event | None]:
        """Lines to write together, and the mark that follows them; waits for the first."""
        lines: list[str] = []
        size = 0
        item = self._queue.get()
        with contextlib.suppress(Empty):
            while isinstance(item, str):
                lines.append(item)
                size += len(item)
                if size >= _WRITTEN_AT_ONCE:
                    return lines, None
                item = self._queue.get_nowait()
            return lines, item
        return lines, None

    def _pass_on(self, lines: list[str], missing: int) -> int:
        """Write lines, preceded by the number of those that are missing; returns how many are missing now."""
        text = "".join(lines)
        size = len(text)
        if missing:
            text = self._line(f"lines of this log that could not be written here in time: {missing}") + "\n" + text
        try:
            self._write(text)
        except Exception:  # the reader is gone, the disk is full, or whatever else a stream may raise
            return missing + len(lines)
        finally:
            with self._guard:
                self._size -= size
                self._lines -= len(lines)
        return 0

    def _write(self, text: str) -> None:
        if self._raw is None:
            self._stream.write(text)
            self._stream.flush()
            return
        text = text.replace("\n", _LINE_END)
        data = memoryview(text.encode(self._stream.encoding or "utf-8", "backslashreplace"))
        while data:
            taken = self._raw.write(data)
            if taken is None:  # it does not block
                _wait_for_room(self._raw)
            else:
                data = data[taken:]


_LINE_END: Final = "\r\n" if sys.platform == "win32" else "\n"


def _raw(stream: TextIO) -> io.RawIOBase | None:
    """The raw stream below the buffers, if it is a file, a pipe or a terminal."""
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    return raw if isinstance(raw, io.RawIOBase) else None


def _wait_for_room(raw: io.RawIOBase) -> None:
    try:
        select.select([], [raw], [])
    except (OSError, ValueError):  # it is closed, has a high number, or cannot be watched
        time.sleep(_FLUSH_STEP)
