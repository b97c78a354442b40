"""Saves the messages of drivers, one file for each day, as indiserver does with ``-l``."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import re
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Final, TypeAlias
from xml.etree import ElementTree as ET

from indipydriver.protocol.frame import BlobFrame, Frame

from ..relay.observer import Observer
from ..relay.peer import Peer
from ..routing.endpoint import BELOW

__all__ = ["MessageLog"]

logger = logging.getLogger("indipyserver.messagelog")

SUFFIX: Final = ".islog"
MOST_UNWRITTEN: Final = 4 << 20
"""Bytes of messages that may wait for the disk: tens of thousands of them."""
DISK_FLUSH: Final = 2.0
"""Seconds that a disk has at the end to take what waits."""
_DATE: Final = re.compile(r"(?a:\d{4}-\d\d-\d\d)")
_LogEntry: TypeAlias = tuple[str, bytes]
"""A day, and a line for its file."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class MessageLog(Observer):
    """Appends the messages of drivers to ``YYYY-MM-DD.islog`` in a directory.

    A line is ``<timestamp>: <device>: <message>``, with the message's own timestamp if it has one that can be
    read, otherwise the present time, in UTC; the file is that of the same day.  Everything with a message counts:
    a ``message``, a definition, an update, a deletion.  Control characters become blanks, so that a message
    is one line.

    A thread writes, so that a slow disk holds up nobody.  If the directory cannot be written to, or the disk is so
    slow that too much waits, that is logged once, and messages are lost until writing works again.

    Args:
        directory: Where the files go.
        clock: Returns the present time, in UTC.
        most: Bytes of messages that may wait for the disk.

    Attributes:
        lost: Messages that were lost since something was last written.
    """

    def __init__(
        self, directory: str | os.PathLike[str], clock: Callable[[], datetime] = _utc_now, *, most: int = MOST_UNWRITTEN
    ) -> None:
        self.directory = os.path.abspath(os.fspath(directory))  # a driver may change the directory
        self.lost = 0
        self._clock = clock
        self._most = most
        self._changed = threading.Condition()  # guards what follows
        self._waiting: list[_LogEntry] = []
        self._size = 0  # bytes that wait or are being written
        self._thread: threading.Thread | None = None

    def received(self, peer: Peer, frames: list[Frame]) -> None:
        """Log the messages among these frames."""
        if peer.role not in BELOW:
            return
        for frame in frames:
            # A BLOB is not joined for this: all its attributes are in its skeleton.
            raw = frame.skeleton if isinstance(frame, BlobFrame) else frame.raw
            if b"message" in raw:
                entry = self._entry(raw)
                if entry is not None:
                    self._put(entry)

    def look(self) -> None:
        """Log it, without waiting for the disk, if nothing can be written there now."""
        with contextlib.suppress(RuntimeError):  # no more threads
            threading.Thread(target=self._look, name="message log?", daemon=True).start()

    def flush(self, timeout: float = DISK_FLUSH) -> bool:
        """Wait until everything is written or lost; False if that takes more than this many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._size, timeout)

    def close(self, timeout: float = DISK_FLUSH) -> None:
        """Write what waits, and end the thread; what the disk does not take in this many seconds is lost.

        A later message starts another thread.
        """
        atexit.unregister(self.close)
        if not self.flush(timeout):
            with self._changed:
                self._size -= _size(self._waiting)
                self._waiting.clear()
            logger.warning(
                "messages of drivers cannot be written to %s in time: the last ones are lost", self.directory
            )
        with self._changed:
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        if thread is not None:
            thread.join(timeout)

    def _put(self, entry: _LogEntry) -> None:
        size = len(entry[1])
        with self._changed:
            if self._size + size > self._most:
                self._lose(1, f"{self.directory} takes them too slowly")
                return
            if self._thread is None:
                try:
                    self._start()
                except RuntimeError as error:
                    self._lose(1, f"no thread can be started: {error}")
                    return
            self._waiting.append(entry)
            self._size += size
            self._changed.notify_all()

    def _start(self) -> None:
        # A disk that never responds must not keep the process alive.
        thread = threading.Thread(target=self._work, name="message log", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:
            self._thread = None
            raise
        atexit.register(self.close)

    def _entry(self, raw: bytes) -> _LogEntry | None:
        """The day and the line of an element, if it has a message."""
        try:
            element = ET.fromstring(raw)
        except ET.ParseError:
            return None  # the error will show when it is decoded
        message = element.get("message")
        if not message:
            return None
        timestamp = element.get("timestamp", "").strip()
        day = timestamp[:10]
        if not _is_date(day):
            timestamp = self._clock().strftime("%Y-%m-%dT%H:%M:%S")
            day = timestamp[:10]
        line = f"{_one_line(timestamp)}: {_one_line(element.get('device', ''))}: {_one_line(message)}\n"
        return day, line.encode("utf-8", "replace")

    # In a thread

    def _look(self) -> None:
        if not os.path.exists(self.directory):
            why = "there is no such directory"
        elif not os.path.isdir(self.directory):
            why = "it is not a directory"
        elif not os.access(self.directory, os.W_OK | os.X_OK):
            why = "this user may not write there"
        else:
            return
        logger.warning("messages of drivers cannot be written to %s: %s", self.directory, why)

    def _work(self) -> None:
        thread = threading.current_thread()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._thread is not thread)
                if not self._waiting:
                    return
                entries, self._waiting = self._waiting, []
            try:
                self._write(entries)
            finally:
                with self._changed:
                    self._size -= _size(entries)
                    self._changed.notify_all()

    def _write(self, entries: list[_LogEntry]) -> None:
        days: dict[str, list[bytes]] = {}
        for day, line in entries:
            days.setdefault(day, []).append(line)
        for day, lines in days.items():
            path = os.path.join(self.directory, day + SUFFIX)
            try:
                with open(path, "ab") as file:  # opened each time: it may be moved away at any time
                    file.write(b"".join(lines))
            except OSError as error:
                with self._changed:
                    self._lose(len(lines), f"{path} cannot be written to: {error.strerror}")
                continue
            with self._changed:
                lost, self.lost = self.lost, 0
            if lost:
                logger.warning("messages of drivers can be written to %s again; %d were lost", path, lost)

    def _lose(self, count: int, why: str) -> None:
        if not self.lost:
            logger.warning("messages of drivers are lost: %s", why)
        self.lost += count


def _size(entries: list[_LogEntry]) -> int:
    return sum(len(line) for _, line in entries)


def _is_date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _one_line(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
