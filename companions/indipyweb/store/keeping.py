"""What is stored besides accounts: options and pinned properties."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from .database import Database

__all__ = ["Options", "Parameters", "Pin", "Pins"]

PINS: Final = 60
HOST: Final = "localhost"
PORT: Final = 8000
INDI_PORT: Final = 7624


@dataclass(frozen=True, slots=True)
class Parameters:
    """The settings of PyPI's program, which both programs read.

    Attributes:
        host: The address on which the web server listens.
        port: Its port.
        indihost: Host of the INDI server.
        indiport: Its port.
        blobfolder: The folder for BLOBs; "" if they are not saved.
    """

    host: str = "localhost"
    port: int = 8000
    indihost: str = "localhost"
    indiport: int = 7624
    blobfolder: str = ""

    @classmethod
    def load(cls, database: Database) -> Parameters:
        """The values in the database; invalid ones are replaced by defaults."""
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
        """Save them."""
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
        text = "1" if value else "0"
        self._db.write("INSERT OR REPLACE INTO options VALUES(?, ?)", name, text)
        self._known[name] = text


class Pin(NamedTuple):
    """A property on a user's overview.

    Attributes:
        server: The INDI server.
        device: The device.
        name: The property.
    """

    server: str
    device: str
    name: str


class Pins:
    """The properties on users' overviews."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def of(self, user: str) -> list[Pin]:
        """Those of one account, in its order."""
        rows = self._db.read("SELECT server, device, property FROM pins WHERE username = ? ORDER BY position", user)
        return [Pin(*row) for row in rows]

    def _save(self, user: str, pins: list[Pin]) -> None:
        rows = [("INSERT INTO pins VALUES(?, ?, ?, ?, ?)", (user, place, *pin)) for place, pin in enumerate(pins)]
        self._db.write_many(("DELETE FROM pins WHERE username = ?", (user,)), *rows)

    def toggle(self, user: str, pin: Pin) -> bool:
        """Add it, or remove it; returns whether it is there now.

        Raises:
            ValueError: There are too many.
        """
        pins = self.of(user)
        if pin in pins:
            pins.remove(pin)
        elif len(pins) >= PINS:
            raise ValueError(f"Not done: an overview has up to {PINS} properties; remove one first.")
        else:
            pins.append(pin)
        self._save(user, pins)
        return pin in pins

    def move(self, user: str, pin: Pin, by: int) -> None:
        """Move it up or down."""
        pins = self.of(user)
        if pin in pins:
            place = pins.index(pin)
            pins.insert(min(max(place + by, 0), len(pins) - 1), pins.pop(place))
            self._save(user, pins)
