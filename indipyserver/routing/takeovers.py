"""When a device goes from one endpoint to another that defines one of the same name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from .devices import DeviceRecord
from .endpoint import E, Role

__all__ = ["MOST_TAKEOVERS", "Takeovers"]

MOST_TAKEOVERS: Final = 16
"""How often in a minute a device is taken from a server above for one below."""
_TAKEOVER_SPAN: Final = 60.0  # seconds in which takeovers are counted
_MOST_COUNTED: Final = 1000  # devices


class Takeovers:
    """Decides who gets a device.

    A device of a server above cannot be commanded from here, so one from below replaces it. There are two limits:

    * Not if it is the same one, which has come a longer way round: two servers that are connected to each other, below
      a third one, would take it from each other for ever.
    * Not more often than :data:`MOST_TAKEOVERS`: where a server above and one below have devices of the same name, and
      a driver snoops on it, each deletion may be answered with a definition, which would go on for ever.

    Args:
        clock: The time in seconds, from any starting point.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._taken: dict[str, tuple[float, int]] = {}  # by device: since when, and how often

    def forget(self) -> None:
        """Forget all devices, because everybody has gone."""
        self._taken.clear()

    def may_take(self, device: str, record: DeviceRecord[E], source: E, way: Sequence[str]) -> bool:
        """Does a device that has another owner go to this endpoint, which defines it?  If so, it is counted.

        Args:
            device: Its name.
            record: What is known of it.
            source: Who defines it.
            way: The servers by which the definition has come.
        """
        if source.role is Role.UPSTREAM:
            return False
        if record.vacant:
            return True
        comes_round = way[:1] == record.way[:1] and len(way) > len(record.way) > 0
        return record.owner.role is Role.UPSTREAM and not comes_round and self._count(device)

    def _count(self, device: str) -> bool:
        """Count one; False if this device has been taken too often in the last minute."""
        now = self._clock()
        since, count = self._taken.get(device, (now, 0))
        if now - since >= _TAKEOVER_SPAN:
            since, count = now, 0
        if count >= MOST_TAKEOVERS:
            return False
        if len(self._taken) >= _MOST_COUNTED:
            self._taken.clear()
        self._taken[device] = since, count + 1
        return True
