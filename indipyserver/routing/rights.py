"""What the clients of one listener may see and do.  Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from ..arguments import checked_flag, checked_type

__all__ = ["EVERYTHING", "DeviceFilter", "Rights"]

_REMEMBERED: Final = 4096  # names a peer asked for; a full cache is cleared


class Rights(NamedTuple):
    """The rights of a listener.

    Attributes:
        read_only: Its clients may look, but neither send commands nor define devices as servers.
        devices: Shell patterns (``Mount*``) of the devices that exist for its clients, case-sensitive; empty: all.
    """

    read_only: bool = False
    devices: tuple[str, ...] = ()

    @classmethod
    def of(cls, read_only: bool = False, devices: str | Iterable[str] | None = None) -> Rights:
        """Rights from the arguments of a script: one pattern, several, or None for all devices.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: An empty list, which would hide everything, or an empty pattern.
        """
        read_only = checked_flag("read_only", read_only)
        if devices is None:
            return cls(read_only)
        patterns = (devices,) if isinstance(devices, str) else tuple(devices)
        for pattern in patterns:
            checked_type("devices", pattern, str)
        if not patterns or not all(patterns):
            raise ValueError("devices must be patterns of device names; None stands for all devices")
        return cls(read_only, patterns)

    @property
    def limited(self) -> bool:
        """Whether anything is not allowed."""
        return self.read_only or bool(self.devices)

    def __str__(self) -> str:
        words = ["read only"] if self.read_only else []
        if self.devices:
            words.append(f"devices {', '.join(self.devices)}")
        return "; ".join(words) or "all rights"


EVERYTHING: Final = Rights()


class DeviceFilter:
    """Tells whether a device exists for a peer; each name is matched once."""

    __slots__ = ("_known", "_patterns")

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._patterns = patterns
        self._known: dict[str, bool] = {}

    def __call__(self, device: str) -> bool:
        known = self._known.get(device)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[device] = any(fnmatchcase(device, pattern) for pattern in self._patterns)
        return known
