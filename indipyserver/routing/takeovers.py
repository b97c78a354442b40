"""When a device goes from one endpoint to another that defines one of the same name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .devices import DeviceRecord
from .endpoint import E

__all__ = ["MOST_TAKEOVERS", "Takeovers"]

MOST_TAKEOVERS: Final = 16
"""How often in a minute a device that can only be watched is replaced by one that can be commanded."""
_TAKEOVER_SPAN: Final = 60.0  # seconds in which takeovers are counted
_MOST_COUNTED: Final = 1000  # devices


class Takeovers:
    """Decides who gets a device.

    A device that a server above has defined, here or at a server below, cannot be commanded this way, so one that can
    be replaces it: the same one, which is also reached from here downwards, or another one of this name.

    But not more often than :data:`MOST_TAKEOVERS`: where a server above and one below have devices of the same name,
    and a driver snoops on it, each deletion may be answered with a definition, which would go on for ever.

    Args:
        clock: The time in seconds, from any starting point.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._taken: dict[str, tuple[float, int]] = {}  # by device: since when, and how often

    def forget(self) -> None:
        """Forget all devices, because everybody has gone."""
        self._taken.clear()

    def may_take(self, device: str, record: DeviceRecord[E], *, watched: bool) -> bool:
        """Does a device that has another owner go to whoever defines it now?  If so, it is counted.

        Args:
            device: Its name.
            record: What is known of it.
            watched: It could not be commanded this way either.
        """
        if record.vacant:
            return not watched
        return record.watched and not watched and self._count(device)

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
