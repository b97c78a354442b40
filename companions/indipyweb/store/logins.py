"""Logins across a restart: written when the web server ends, removed when it starts, never stored while it runs."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

from ..security.sessions import Sessions
from .database import Database

__all__ = ["Boot", "Logins"]

logger = logging.getLogger("indipyweb")

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class Boot(NamedTuple):
    """The boot of this machine, by a clock that is never set: the time of day may be wrong after a boot.

    Attributes:
        id: Identifies this boot; "" if the system has no such id.
        now: Seconds since the boot.
    """

    id: str
    now: float

    @classmethod
    def present(cls) -> Boot:
        """The present boot."""
        if sys.platform == "linux":
            try:
                return cls(_BOOT.read_text().strip(), time.clock_gettime(time.CLOCK_BOOTTIME))
            except OSError:
                pass
        return cls("", 0.0)


class Logins:
    """Keeps valid logins, by the hashes of their tokens, until this machine is rebooted.

    Args:
        database: The database.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    def keep(self, sessions: Sessions, boot: Boot | None = None) -> None:
        """Write them."""
        boot = boot or Boot.present()
        if not boot.id:
            return
        insert = "INSERT OR REPLACE INTO logins VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)"
        try:
            passwords = self._passwords()
            rows = [
                (key, boot.id, s.id, s.user, passwords[s.user], s.address, s.agent, boot.now - since, boot.now - idle)
                for key, s, since, idle in sessions.alive()
                if s.user in passwords
            ]
            self._db.write_many(*[(insert, row) for row in rows])
        except sqlite3.Error as error:
            logger.warning("people have to log in again: %s", error)

    def take(self, sessions: Sessions, boot: Boot | None = None) -> None:
        """Continue the logins whose accounts still have the same passwords."""
        boot = boot or Boot.present()
        passwords = self._passwords()
        rows = self._db.read("SELECT * FROM logins")
        try:
            self._db.write("DELETE FROM logins")
        except sqlite3.Error as error:  # otherwise they could be used again after they have ended
            logger.warning("people have to log in again: %s", error)
            return
        for key, booted, id, user, password, address, agent, created, used in rows:
            if boot.id and booted == boot.id and passwords.get(user) == password and created <= used <= boot.now:
                sessions.resume(key, id, user, address, agent, boot.now - created, boot.now - used)

    def _passwords(self) -> dict[str, str]:
        rows = self._db.read("SELECT username, password FROM users")
        return {name: hashlib.sha256(repr(password).encode("utf-8", "replace")).hexdigest() for name, password in rows}
