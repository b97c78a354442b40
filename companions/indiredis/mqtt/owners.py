"""Which bridge owns which device, and whether everything that it sent has arrived.  Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Owners"]

FIRST_PAUSE: Final = 5.0
LONGEST_PAUSE: Final = 300.0
"""Seconds between two requests for everything of one bridge while messages are missing."""
MOST: Final = 1000
"""Bridges whose messages are counted."""
PROPERTIES: Final = 100_000
"""Devices that are known; a client keeps no more."""


@dataclass(slots=True)
class _Device:
    who: str
    names: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)  # other bridges that claim it


@dataclass(slots=True)
class _Count:
    total: int | None = None  # as announced by the bridge
    since: int = 0  # received after the announcement
    answers: int = 0  # given by the bridge when something was missed
    renewed: set[tuple[str, str]] | None = None  # defined again since then
    pause: float = 0.0  # between the last request for everything and the next
    not_before: float = -math.inf  # the next


class Owners:
    """A device belongs to the bridge that defined it first, until that bridge deletes it or is gone."""

    def __init__(self) -> None:
        self._devices: dict[str, _Device] = {}
        self._counts: dict[str, _Count] = {}
        self._properties = 0
        self._missed: set[str] = set()  # bridges that have not been asked yet for what is missing

    def clear(self) -> None:
        """Forget everything."""
        self._devices.clear()
        self._properties = 0
        self._counts.clear()
        self._missed.clear()

    def of(self, device: str | None) -> str:
        """The bridge that owns a device; "" if none is known."""
        found = self._devices.get(device or "")
        return found.who if found is not None else ""

    def is_of_another(self, device: str, who: str) -> bool:
        """Whether it belongs to a bridge other than this."""
        found = self._devices.get(device)
        return found is not None and found.who != who

    def contest(self, device: str, who: str) -> bool:
        """Note that another bridge claims the device; False if it has done so before."""
        others = self._devices[device].others
        if who in others or len(others) >= MOST:
            return False
        others.add(who)
        return True

    def defined(self, who: str, device: str, name: str | None) -> bool:
        """Note that a property has been defined; True if the device is new."""
        found = self._devices.get(device)
        is_new = found is None
        if found is None or (name or "") not in found.names:
            if self._properties >= PROPERTIES:
                return False
            self._properties += 1
        if found is None:
            found = self._devices[device] = _Device(who)
        found.names.add(name or "")
        renewed = self._counts[who].renewed if who in self._counts else None
        if renewed is not None:
            renewed.add((device, name or ""))
        return is_new

    def deleted(self, device: str, name: str | None) -> bool:
        """Note that a property, or a whole device, has been deleted; True if another bridge may have the device."""
        found = self._devices.get(device)
        if found is None:
            return False
        if name is not None and name in found.names:
            found.names.discard(name)
            self._properties -= 1
        if name is not None and found.names:
            return False
        self._properties -= len(found.names)
        del self._devices[device]
        return bool(found.others)

    def gone(self, who: str) -> tuple[list[str], list[str]]:
        """Note that a bridge has gone; returns its devices, and those of them that another bridge may have."""
        self._counts.pop(who, None)
        self._missed.discard(who)
        mine = [device for device, found in self._devices.items() if found.who == who]
        return mine, [device for device in mine if self.deleted(device, None)]

    # Counts

    def note_message(self, who: str) -> None:
        """Note a message of this bridge."""
        count = self._count(who)
        if count is not None:
            count.since += 1

    def _count(self, who: str) -> _Count | None:
        if who not in self._counts and len(self._counts) >= MOST:
            return None
        return self._counts.setdefault(who, _Count())

    def counted(self, who: str, total: int, answers: int) -> bool:
        """Compare with the bridge's own count.

        Args:
            who: The bridge.
            total: Messages that it has published so far.
            answers: How often it has defined everything, if all of that is included.

        Returns:
            False if something is missing, so that the bridge has to be asked for everything.
        """
        count = self._count(who)
        if count is None:
            return True
        fits = count.total is None or total - count.total == count.since
        if not fits:
            count.answers, count.renewed = answers, set()
            self._missed.add(who)
        elif answers > count.answers:  # a complete answer has arrived
            count.pause = 0.0
        count.total, count.since = total, 0
        return fits

    def to_ask(self, now: float) -> list[str]:
        """Bridges to ask for everything now, because some of their messages are missing.

        The intervals grow: the broker may withhold their messages, and each answer goes to everybody.
        """
        if not self._missed:
            return []
        found = [who for who in self._missed if now >= self._counts[who].not_before]
        for who in found:
            self._missed.discard(who)
            count = self._counts[who]
            count.pause = min(max(FIRST_PAUSE, 2 * count.pause), LONGEST_PAUSE)
            count.not_before = now + count.pause
        return found

    def left_over(self, who: str, answers: int) -> list[tuple[str, str]]:
        """What the bridge has not defined again after something was missed, and so no longer exists."""
        count = self._counts.get(who)
        renewed = count.renewed if count is not None else None
        if count is None or renewed is None or answers <= count.answers:
            return []
        count.renewed = None
        found = [(device, name) for device, one in self._devices.items() if one.who == who for name in one.names]
        return [key for key in found if key not in renewed]
