"""What a key may act on: the row under the cursor, if the user could have read it there.

A server may delete, define and reorder properties at any moment, also between the look at the screen and the key.  So a
key that changes something is bound to what was *drawn*, not to where the cursor happens to be:

* The row must have been on the screen, with the same meaning, for :data:`SETTLE` seconds.
* The user has put the cursor there.  A cursor that the server has moved acts on nothing until a key was pressed.
* A user who moves the cursor when the lines have just shifted must have had time to read where it is.
* So must one who lets the program look for a row: the next Alert, what a filter matches, another group.
"""

from __future__ import annotations

import math
from collections.abc import Container
from typing import Final, NamedTuple

from indipyclient import Member, Property, VectorKind

from .values import becomes

__all__ = ["SETTLE", "Aim", "Meaning", "Spot", "meaning_of"]

Key = tuple[str, str]
Spot = tuple[Key, str]
"""Device and property, and the member."""
SETTLE: Final = 0.3
"""Seconds that a user needs to read where the cursor is."""


class Meaning(NamedTuple):
    """What a key on a row means.  Two definitions with the same meaning look the same to the user.

    Attributes:
        definition: Kind, label, permission and rule of the property.
        label: Of the member.
        becomes: What pressing the switch makes of it; "" for all other kinds.
    """

    definition: tuple[object, ...]
    label: str
    becomes: str


def meaning_of(prop: Property, member: Member | None) -> Meaning:
    """What a key on this row means now."""
    label = member.label if member is not None else ""
    wanted = becomes(prop, member) if member is not None and prop.kind is VectorKind.SWITCH else ""
    return Meaning((prop.kind, prop.label, prop.perm, prop.rule), label, wanted)


class Aim:
    """Which rows could have been read, and whether the user has chosen the one under the cursor.

    Args:
        settle: Seconds for which a row must have been on the screen.
    """

    def __init__(self, settle: float = SETTLE) -> None:
        self.settle = settle
        self._rows: dict[Spot, tuple[Meaning, float]] = {}
        self._devices: dict[str, float] = {}
        self._shifted = -math.inf
        self._sure = -math.inf
        self._astray: Spot | None = None
        self._device = ""
        self._device_sure = -math.inf

    # What has happened

    def drawn(self, spot: Spot, meaning: Meaning, now: float) -> None:
        """Note that a row is on the screen."""
        before = self._rows.get(spot)
        if before is None or before[0] != meaning:
            self._rows[spot] = meaning, now
        self._devices.setdefault(spot[0][0], now)

    def in_sight(self, spots: Container[Spot]) -> None:
        """Note that only these rows are visible; others have to be read again when they come back."""
        self._rows = {spot: found for spot, found in self._rows.items() if spot in spots}
        devices = {spot[0][0] for spot in self._rows}
        self._devices = {name: since for name, since in self._devices.items() if name in devices}

    def shifted(self, now: float) -> None:
        """Note that the server has added, removed or moved lines, as the screen now shows."""
        self._shifted = now

    def led(self, now: float, device: str = "", *, afar: bool = False) -> None:
        """Note that the user has moved the cursor to a row of this device, or has chosen what is shown.

        Args:
            now: The time.
            device: Where the cursor is now.
            afar: The program has looked for the line, which the user had not seen.
        """
        self._astray = None
        late = afar or now - self._shifted < self.settle
        self._sure = now + self.settle if late else -math.inf
        if device != self._device:
            self._device, self._device_sure = device, self._sure

    def missed(self, now: float) -> None:
        """Note that the user wanted to go elsewhere, but the cursor has stayed: the next quick key is not for here."""
        self._sure = now + self.settle

    def displaced(self, before: Spot, device: str = "") -> None:
        """Note that the row under the cursor is gone, and the cursor is elsewhere, on this device."""
        if self._astray is None:
            self._astray = before
        self._device = device

    def returned(self, spot: Spot, now: float) -> None:
        """Note that the row where the user had put the cursor is back, and so is the cursor."""
        if self._astray == spot:
            self._astray = None
            self._sure = now + self.settle
            if self._device != spot[0][0]:
                self._device, self._device_sure = spot[0][0], self._sure

    # What follows

    def why_not(self, spot: Spot, meaning: Meaning, now: float) -> str:
        """Why a key must not act on this row; "" if it may.

        Once a move of the cursor by the server has been reported, the next key is for the row where it is.
        """
        if self._astray is not None:
            gone, self._astray = self._astray, None
            self._sure = now + self.settle
            return f"{gone[1] or gone[0][1]} has gone, and the cursor is here now: nothing was sent"
        found = self._rows.get(spot)
        if found is None or now - found[1] < self.settle:
            return "that has only just appeared: look, and press again"
        if found[0] != meaning:
            return "that has just changed: look, and press again"
        if now < self._sure:
            return "the lines have just moved: look, and press again"
        return ""

    def is_read(self, spot: Spot, meaning: Meaning, now: float) -> bool:
        """Note that a key may act on this row, with nothing to report first."""
        return self._astray is None and not self.why_not(spot, meaning, now)

    def why_not_device(self, device: str, now: float) -> str:
        """The same for a key that acts on the whole device that is shown."""
        if self._astray is not None and self._astray[0][0] != device:
            gone, self._astray = self._astray, None
            self._sure = self._device_sure = now + self.settle
            return f"{gone[0][0]} has gone, and {device} is shown now: nothing was sent"
        since = self._devices.get(device)
        if since is None or now - since < self.settle or now < self._device_sure:
            return f"{device} has only just appeared: look, and press again"
        return ""
