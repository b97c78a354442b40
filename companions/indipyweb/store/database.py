"""The database: one file that only its owner may read, with the tables of PyPI's program and more."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

__all__ = ["NAME", "Database"]

NAME: Final = "indipyweb.db"
_VERSION: Final = 1
BUSY: Final = 0.25
"""Seconds to wait for another program that uses the database; everything in the web server waits as long."""
_UPSTREAM: Final = """
CREATE TABLE IF NOT EXISTS users(username PRIMARY KEY, password NOT NULL, auth NOT NULL, salt NOT NULL, fullname)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parameters(host, port, indihost, indiport, blobfolder);
"""
_OURS: Final = """
CREATE TABLE IF NOT EXISTS options(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tokens(hash TEXT PRIMARY KEY, username TEXT NOT NULL, label TEXT NOT NULL,
    writes INTEGER NOT NULL, created REAL NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS audit(id INTEGER PRIMARY KEY, at REAL NOT NULL, who TEXT NOT NULL, address TEXT NOT NULL,
    what TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT NOT NULL, outcome TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS audit_at ON audit(at);
CREATE TABLE IF NOT EXISTS pins(username TEXT NOT NULL, position INTEGER NOT NULL, server TEXT NOT NULL,
    device TEXT NOT NULL, property TEXT NOT NULL, PRIMARY KEY(username, server, device, property)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS profiles(name TEXT PRIMARY KEY, port INTEGER NOT NULL, autostart INTEGER NOT NULL,
    drivers TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS logins(hash TEXT PRIMARY KEY, boot TEXT NOT NULL, id TEXT NOT NULL, username TEXT NOT NULL,
    password TEXT NOT NULL, address TEXT NOT NULL, agent TEXT NOT NULL, created REAL NOT NULL, used REAL NOT NULL)
    WITHOUT ROWID;
"""


_TURN: Final = 2.0
"""Seconds to wait while our other connection writes."""


class Database:
    """A connection for the server, used by one thread at a time, and another one for a thread that writes.

    Args:
        folder: The folder of the file, which is created if it does not exist.

    Attributes:
        path: The file.
        is_new: It did not exist before.
        is_closed: It has been closed.

    Raises:
        OSError: The file cannot be created.
        sqlite3.Error: It is not a database, or of a later version.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = Path(folder) / NAME
        self.is_new = not self.path.exists()
        if self.is_new:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        os.chmod(self.path, 0o600)
        self.is_closed = False
        self._lock = threading.Lock()
        self._writing = threading.Lock()  # one at a time, so that others do not get "busy"
        self._connection = sqlite3.connect(self.path, check_same_thread=False, timeout=BUSY)
        self._apart: sqlite3.Connection | None = None
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        connection = self._connection
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise sqlite3.DatabaseError(f"{self.path} was written by a later version of indipyweb")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        with connection:
            connection.executescript(_UPSTREAM + _OURS)
            if connection.execute("SELECT count(*) FROM parameters").fetchone() == (0,):
                connection.execute("INSERT INTO parameters VALUES('localhost', 8000, 'localhost', 7624, NULL)")
            connection.execute(f"PRAGMA user_version = {_VERSION}")

    def read(self, sql: str, *values: Any) -> list[Any]:
        """The rows of a query."""
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._writing.acquire(timeout=_TURN):
            raise sqlite3.OperationalError("the disk is slow")
        try:
            yield
        finally:
            self._writing.release()

    def write(self, sql: str, *values: Any) -> int:
        """Execute one statement; returns how many rows it has changed."""
        return self.write_many((sql, values))[0]

    def write_many(self, *statements: tuple[str, tuple[Any, ...]]) -> list[int]:
        """Execute several statements, all or none; returns how many rows each has changed."""
        with self._turn(), self._lock, self._connection:
            return [self._connection.execute(sql, values).rowcount for sql, values in statements]

    def write_apart(self, *statements: tuple[str, tuple[Any, ...]]) -> None:
        """The same from another thread: readers do not wait for it."""
        with self._turn():
            if self.is_closed:
                raise sqlite3.ProgrammingError("the database is closed")
            if self._apart is None:
                self._apart = sqlite3.connect(self.path, check_same_thread=False, timeout=BUSY)
                self._apart.execute("PRAGMA synchronous = NORMAL")
            with self._apart:
                for sql, values in statements:
                    self._apart.execute(sql, values)

    def backup(self, path: Path) -> None:
        """Write a copy to a new file that only its owner may read; nobody waits for it.

        Raises:
            OSError: The file exists already, or cannot be created.
        """
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        try:
            with (
                contextlib.closing(sqlite3.connect(self.path)) as source,
                contextlib.closing(sqlite3.connect(path)) as copy,
            ):
                source.backup(copy)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def close(self) -> None:
        """Close it."""
        self.is_closed = True
        with self._lock:
            self._connection.close()
        with self._writing:
            if self._apart is not None:
                self._apart.close()
