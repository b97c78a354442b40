"""What is kept besides accounts: options, what was done, and what people have pinned."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from .database import Database

__all__ = ["Audit", "Deed", "Options", "Parameters", "Pin", "Pins"]

logger = logging.getLogger("indipyweb")

KEPT: Final = 90 * 86400.0
"""Seconds for which it is kept who did what."""
PINS: Final = 60
HOST: Final = "localhost"
PORT: Final = 8000
INDI_PORT: Final = 7624
_LONGEST: Final = 2000


@dataclass(frozen=True, slots=True)
class Parameters:
    """What PyPI's program keeps of its set-up, and what both read.

    Attributes:
        host: On which address the web server listens.
        port: On which port.
        indihost: Host of the INDI server.
        indiport: Its port.
        blobfolder: Where BLOBs are saved; "" for nowhere.
    """

    host: str = "localhost"
    port: int = 8000
    indihost: str = "localhost"
    indiport: int = 7624
    blobfolder: str = ""

    @classmethod
    def load(cls, database: Database) -> Parameters:
        """As they are in the database; what cannot be is as it would be in a new one."""
        rows = database.read("SELECT host, port, indihost, indiport, blobfolder FROM parameters")
        host, port, indihost, indiport, folder = rows[0]
        return cls(
            _text(host, HOST),
            _port(port, PORT),
            _text(indihost, HOST),
            _port(indiport, INDI_PORT),
            _text(folder, ""),
        )

    def save(self, database: Database) -> None:
        """Keep them."""
        database.write(
            "UPDATE parameters SET host = ?, port = ?, indihost = ?, indiport = ?, blobfolder = ?",
            *(self.host, self.port, self.indihost, self.indiport, self.blobfolder or None),
        )


def _text(value: object, default: str) -> str:
    return value if isinstance(value, str) and value else default


def _port(value: object, default: int) -> int:
    return int(str(value)) if str(value).isdecimal() and 0 < int(str(value)) < 65536 else default


class Options:
    """Switches of the set-up, by name."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._known: dict[str, str] = dict(database.read("SELECT name, value FROM options"))

    def flag(self, name: str, default: bool) -> bool:
        """Whether it is on."""
        return self._known.get(name, "1" if default else "0") == "1"

    def set_flag(self, name: str, value: bool) -> None:
        """Turn it on or off."""
        self._known[name] = "1" if value else "0"
        self._db.write("INSERT OR REPLACE INTO options VALUES(?, ?)", name, self._known[name])


class Deed(NamedTuple):
    """Something that was done.

    Attributes:
        at: When, in seconds since 1970.
        who: The account.
        address: From where.
        what: A word for it.
        subject: To what.
        detail: With which values.
        outcome: What came of it.
    """

    at: float
    who: str
    address: str
    what: str
    subject: str
    detail: str
    outcome: str


class Audit:
    """Who did what.

    Args:
        database: Where it is kept.
        clock: Seconds since 1970.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._db = database
        self._clock = clock
        self._swept = 0.0

    def note(self, who: str, address: str, what: str, subject: str = "", detail: str = "", outcome: str = "") -> None:
        """Keep this."""
        now = self._clock()
        fields = [field[:_LONGEST] for field in (who, address, what, subject, detail, outcome)]
        try:
            self._db.write("INSERT INTO audit VALUES(NULL, ?, ?, ?, ?, ?, ?, ?)", now, *map(_storable, fields))
            if now - self._swept > 3600:
                self._swept = now
                self._db.write("DELETE FROM audit WHERE at < ?", now - KEPT)
        except sqlite3.Error as error:  # a full disk stops no telescope
            logger.error("the audit cannot be written: %s: %s", error, " ".join(fields)[:500])

    def last(self, count: int = 200) -> list[Deed]:
        """The newest first."""
        rows = self._db.read(
            "SELECT at, who, address, what, subject, detail, outcome FROM audit ORDER BY id DESC LIMIT ?", count
        )
        return [Deed(*row) for row in rows]


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


class Pin(NamedTuple):
    """A property on somebody's overview.

    Attributes:
        server: The INDI server.
        device: The device.
        name: The property.
    """

    server: str
    device: str
    name: str


class Pins:
    """What people have put on their overviews."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def of(self, user: str) -> list[Pin]:
        """Those of one account, in its order."""
        rows = self._db.read("SELECT server, device, property FROM pins WHERE username = ? ORDER BY position", user)
        return [Pin(*row) for row in rows]

    def _save(self, user: str, pins: list[Pin]) -> None:
        rows = [
            ("INSERT INTO pins VALUES(?, ?, ?, ?, ?)", (user, place, *pin)) for place, pin in enumerate(pins[:PINS])
        ]
        self._db.write_many(("DELETE FROM pins WHERE username = ?", (user,)), *rows)

    def toggle(self, user: str, pin: Pin) -> bool:
        """Put it there, or take it away; returns whether it is there now."""
        pins = self.of(user)
        if pin in pins:
            pins.remove(pin)
        else:
            pins.append(pin)
        self._save(user, pins)
        return pin in pins[:PINS]

    def move(self, user: str, pin: Pin, by: int) -> None:
        """Move it up or down."""
        pins = self.of(user)
        if pin in pins:
            place = pins.index(pin)
            pins.insert(min(max(place + by, 0), len(pins) - 1), pins.pop(place))
            self._save(user, pins)
