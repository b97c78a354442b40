"""Keeps what drivers tell their users, one file for each day, as indiserver does with ``-l``."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Final
from xml.etree import ElementTree as ET

from indipydriver.protocol.frame import BlobFrame, Frame

from .party import Role
from .peer import Peer

__all__ = ["MessageLog"]

logger = logging.getLogger(__name__)

SUFFIX: Final = ".islog"
_DATE: Final = re.compile(r"(?a:\d{4}-\d\d-\d\d)")
_SPEAKERS: Final = (Role.DRIVER, Role.REMOTE)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class MessageLog:
    """Appends the messages of drivers to ``YYYY-MM-DD.islog`` in a directory.

    A line is ``<timestamp>: <device>: <message>``, with the message's own timestamp if it has one that can be
    read, else the time now, in UTC; the file is that of the same day.  Whatever carries a message counts:
    a ``message``, a definition, an update, a deletion.  Control characters become blanks, so that a message
    is one line.

    It is one of the switchboard's watchers.  When the directory cannot be written to, that is logged once
    and the messages are lost, until it can be again.

    Args:
        directory: Where the files go.
        clock: The time now, in UTC.
    """

    def __init__(self, directory: str | os.PathLike[str], clock: Callable[[], datetime] = _utc_now) -> None:
        self.directory = os.fspath(directory)
        self.lost = 0
        self._clock = clock

    def __call__(self, source: Peer, frames: list[Frame]) -> None:
        """Log what is to be logged among these frames."""
        if source.role not in _SPEAKERS:
            return
        days: dict[str, list[str]] = {}
        for frame in frames:
            # A BLOB is not joined for this: all its attributes are in its skeleton.
            raw = frame.skeleton if isinstance(frame, BlobFrame) else frame.raw
            if b"message" in raw:
                entry = self._entry(raw)
                if entry is not None:
                    day, line = entry
                    days.setdefault(day, []).append(line)
        for day, lines in days.items():
            self._append(day, lines)

    def _entry(self, raw: bytes) -> tuple[str, str] | None:
        """The day and the line of an element, if it has a message."""
        try:
            element = ET.fromstring(raw)
        except ET.ParseError:
            return None  # whoever decodes it will complain
        message = element.get("message")
        if not message:
            return None
        timestamp = element.get("timestamp", "").strip()
        day = timestamp[:10]
        if not _is_date(day):
            timestamp = self._clock().strftime("%Y-%m-%dT%H:%M:%S")
            day = timestamp[:10]
        return day, f"{_one_line(timestamp)}: {_one_line(element.get('device', ''))}: {_one_line(message)}\n"

    def _append(self, day: str, lines: list[str]) -> None:
        path = os.path.join(self.directory, day + SUFFIX)
        data = "".join(lines).encode("utf-8", "replace")
        try:
            with open(path, "ab") as file:  # each time anew: it may be moved away at any time
                file.write(data)
        except OSError as error:
            if not self.lost:
                logger.warning("messages of drivers cannot be written to %s: %s; they are lost", path, error.strerror)
            self.lost += len(lines)
            return
        if self.lost:
            logger.warning("messages of drivers can be written to %s again; %d were lost", path, self.lost)
            self.lost = 0


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
