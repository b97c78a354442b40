"""Profiles: named sets of drivers that are started together."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from .database import Database
from .users import Refusal

__all__ = ["Profile", "Profiles"]

_MOST: Final = 100
_DRIVERS: Final = 50


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile.

    Attributes:
        name: Its name.
        port: The port of the INDI server, as given by KStars.
        autostart: It is started with the web server.
        labels: The drivers, by label.
        remotes: Other servers, as ``device@host:port``.
    """

    name: str
    port: int = 7624
    autostart: bool = False
    labels: tuple[str, ...] = ()
    remotes: tuple[str, ...] = ()


class Profiles:
    """All profiles."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def all(self) -> list[Profile]:
        """By name."""
        rows = self._db.read("SELECT name, port, autostart, drivers FROM profiles ORDER BY name")
        return [_profile(*row) for row in rows]

    def get(self, name: str) -> Profile | None:
        """The profile with this name."""
        rows = self._db.read("SELECT name, port, autostart, drivers FROM profiles WHERE name = ?", name)
        return _profile(*rows[0]) if rows else None

    def at_boot(self) -> Profile | None:
        """The one that is started with the web server."""
        return next((profile for profile in self.all() if profile.autostart), None)

    def save(self, profile: Profile) -> None:
        """Create or change a profile.

        Raises:
            Refusal: It cannot be saved.
        """
        if not 0 < len(profile.name) <= 64 or not profile.name.isprintable():
            raise Refusal("a profile must have a name of up to 64 characters")
        if len(profile.labels) + len(profile.remotes) > _DRIVERS:
            raise Refusal(f"a profile may have up to {_DRIVERS} drivers")
        if self.get(profile.name) is None and len(self.all()) >= _MOST:
            raise Refusal(f"there are {_MOST} profiles already")
        drivers = json.dumps({"labels": profile.labels, "remotes": profile.remotes})
        row = (profile.name, profile.port, int(profile.autostart), drivers)
        # At most one is started at boot.
        others = ("UPDATE profiles SET autostart = 0 WHERE name != ? AND ?", (profile.name, int(profile.autostart)))
        self._db.write_many(others, ("INSERT OR REPLACE INTO profiles VALUES(?, ?, ?, ?)", row))

    def delete(self, name: str) -> None:
        """Delete a profile."""
        self._db.write("DELETE FROM profiles WHERE name = ?", name)


def _profile(name: str, port: int, autostart: int, drivers: str) -> Profile:
    found: dict[str, Any] = json.loads(drivers)
    return Profile(name, port, bool(autostart), tuple(found["labels"]), tuple(found["remotes"]))
