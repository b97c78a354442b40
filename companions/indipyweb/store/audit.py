"""The audit: noted at once, and written by a thread, so that a slow disk holds up nobody."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from .database import Database

__all__ = ["Audit", "Deed"]

logger = logging.getLogger("indipyweb")

KEPT: Final = 90 * 86400.0
"""Seconds for which entries are kept."""
MOST: Final = 500_000
"""The most entries that are kept."""
WAITING: Final = 10_000
"""Entries that may wait to be written; further ones are only in the log."""
AGAIN: Final = 1.0
"""Seconds until the next attempt when the database could not be used."""
GRACE: Final = 5.0
"""Seconds for attempts at the end of the program."""
_PATIENCE: Final = 5.0
_SOON: Final = 0.1
_AT_ONCE: Final = 500
_LONGEST: Final = 2000
_INSERT: Final = "INSERT INTO audit VALUES(NULL, ?, ?, ?, ?, ?, ?, ?)"


class Deed(NamedTuple):
    """An entry of the audit.

    Attributes:
        at: The time, in seconds since 1970.
        who: The account.
        address: The address from which it was done.
        what: The kind of action.
        subject: What it was done to.
        detail: The values.
        outcome: The outcome.
    """

    at: float
    who: str
    address: str
    what: str
    subject: str
    detail: str
    outcome: str


class Audit:
    """Keeps entries in the order in which they are noted.

    Args:
        database: The database.
        clock: Seconds since 1970.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._db = database
        self._clock = clock
        self._swept = 0.0
        self._waiting: deque[Deed] = deque()
        self._news = threading.Condition()
        self._noted = 0
        self._over = 0  # how many of the noted ones were written or given up
        self._writer: threading.Thread | None = None
        self._end: float | None = None
        self._is_told = False

    def note(self, who: str, address: str, what: str, subject: str = "", detail: str = "", outcome: str = "") -> None:
        """Note an entry."""
        fields = [_storable(field[:_LONGEST]) for field in (who, address, what, subject, detail, outcome)]
        deed = Deed(self._clock(), *fields)
        with self._news:
            is_kept = self._end is None and len(self._waiting) < WAITING
            if is_kept:
                self._noted += 1
                self._waiting.append(deed)
                if self._writer is None:
                    self._writer = threading.Thread(target=self._write_all, name="audit", daemon=True)
                    self._writer.start()
                self._news.notify_all()
        if not is_kept:
            _lost(deed)

    def last(self, count: int = 200) -> list[Deed]:
        """The entries, newest first, including everything noted so far; blocks."""
        with self._news:
            wanted = self._noted
            self._news.wait_for(lambda: self._over >= wanted, GRACE)
        rows = self._db.read(
            "SELECT at, who, address, what, subject, detail, outcome FROM audit ORDER BY id DESC LIMIT ?", count
        )
        return [Deed(*row) for row in rows]

    def close(self) -> None:
        """Write what waits, and end; blocks."""
        with self._news:
            if self._end is None:
                self._end = time.monotonic() + GRACE
            self._news.notify_all()
        if self._writer is not None:
            self._writer.join(GRACE + _PATIENCE)

    # The thread

    def _write_all(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._end is not None)
                deeds = [self._waiting[n] for n in range(min(len(self._waiting), _AT_ONCE))]
            if not deeds:
                return
            is_kept = self._write(deeds)
            with self._news:
                if not is_kept and not self._gives_up():
                    if self._end is None:  # not at once for each new entry, because others need to write, too
                        self._news.wait_for(lambda: self._end is not None, AGAIN)
                    else:
                        self._news.wait(_SOON)
                    continue
                for _ in deeds:  # removed only now, so that there are never too many
                    self._waiting.popleft()
                self._over += len(deeds)
                self._news.notify_all()
            if not is_kept:
                for deed in deeds:
                    _lost(deed)

    def _gives_up(self) -> bool:
        return self._db.is_closed or (self._end is not None and time.monotonic() > self._end)

    def _write(self, deeds: list[Deed]) -> bool:
        """Write entries; returns whether they are in the database."""
        now = self._clock()
        statements: list[tuple[str, tuple[object, ...]]] = [(_INSERT, deed) for deed in deeds]
        if not 0 <= now - self._swept <= 3600:
            statements.append(("DELETE FROM audit WHERE at < ?", (now - KEPT,)))
            statements.append(("DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?", (MOST,)))
        try:
            self._db.write_apart(*statements)
        except sqlite3.Error as error:
            if not self._is_told:
                self._is_told = True
                logger.error("the audit cannot be written: %s; trying again", error)
            return False
        except Exception:  # the next entries may succeed
            logger.exception("the audit has failed")
            for deed in deeds:
                _lost(deed)
        self._is_told = False
        if len(statements) > len(deeds):
            self._swept = now
        return True


def _lost(deed: Deed) -> None:
    logger.error("not in the audit: %r", " ".join(deed[1:])[:500])


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
