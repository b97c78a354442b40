"""What a driver watches on other devices, and when it asks again.

It does no I/O and has no clock: the time is passed in, in seconds of a monotonic clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from ..protocol.frame import Address
from ..protocol.tags import NEWS, VectorKind, Verb

__all__ = ["MAX_ENABLED", "MAX_TIMEOUT", "MIN_TIMEOUT", "Snoops"]

MIN_TIMEOUT: Final = 5
"""Seconds of silence before a driver may ask again: each time costs the other driver a definition."""

MAX_TIMEOUT: Final = 10**9
"""Seconds, some 30 years; to mean never, watch without a timeout."""

MAX_ENABLED: Final = 10_000
"""Most vectors remembered as having BLOBs enabled; beyond it, all are forgotten, and enabled when next defined."""

# A timer may fire a moment before it is due by the clock that is read afterwards.
_EARLY: Final = 0.001


class Snoops:
    """What one driver watches.

    Attributes:
        all: It watches everything.
        devices: Devices of which it watches everything.
        vectors: Single vectors, by device and name: None, or the timer of :meth:`watch` as a
            list of two, the timeout and the time when it was last heard of (or asked for).
    """

    def __init__(self) -> None:
        self.all = False
        self.devices: set[str] = set()
        self.vectors: dict[tuple[str, str], list[float] | None] = {}
        self._blobs: set[tuple[str, str]] = set()  # enabled at the server

    def add(self, device: str | None, name: str | None) -> None:
        """Watch everything, a device, or one vector, without asking again."""
        if not device:
            self.all = True
        elif not name:
            self.devices.add(device)
        else:
            self.vectors.setdefault((device, name), None)

    def watch(self, device: str, name: str, timeout: float) -> None:
        """Watch one vector; ask for it now, and whenever nothing has been heard of it for some time.

        Args:
            timeout: That time, in seconds, at least MIN_TIMEOUT.
        """
        self.vectors[device, name] = [timeout, -math.inf]

    def restart(self) -> None:
        """Prepare for a new link, on which nothing has been requested yet."""
        self._blobs.clear()
        for timer in tuple(self.vectors.values()):
            if timer:
                timer[1] = -math.inf

    def watches(self, address: Address) -> bool:
        """Is this news of something that is watched?

        Watching one vector includes what concerns its whole device: messages, and its deletion.
        """
        tag, device, name = address
        if tag.verb not in NEWS:
            return False
        if self.all:
            return True
        if device is None:
            return False
        if device in self.devices:
            return True
        if name is not None and tag.verb is not Verb.MESSAGE:
            return (device, name) in self.vectors
        return any(device == watched for watched, _ in tuple(self.vectors))

    def note_news(self, address: Address, now: float) -> bool:
        """Note that news has arrived.  True if BLOBs of this vector must now be enabled, once."""
        tag, device, name = address
        if device is None:
            return False
        if name is None:
            if tag.verb is Verb.DELETE:
                self._blobs = {key for key in self._blobs if key[0] != device}
            return False
        key = device, name
        timer = self.vectors.get(key)
        if timer and tag.verb is not Verb.MESSAGE:
            timer[1] = now
        if tag.verb is Verb.DELETE:
            self._blobs.discard(key)
        elif tag.verb is Verb.DEF and tag.kind is VectorKind.BLOB and key not in self._blobs:
            if len(self._blobs) >= MAX_ENABLED:  # a device may define vectors without end
                self._blobs.clear()
            self._blobs.add(key)
            return True
        return False

    def due(self, now: float) -> list[tuple[str, str]]:
        """The vectors to ask for at this time; their timers start again."""
        found: list[tuple[str, str]] = []
        for key, timer in tuple(self.vectors.items()):  # a thread may add to them meanwhile
            if timer and sum(timer) <= now + _EARLY:
                timer[1] = now
                found.append(key)
        return found

    def next_due(self) -> float | None:
        """When to ask next if nothing arrives until then; None for never."""
        return min(self._times(), default=None)

    def _times(self) -> Iterator[float]:
        return (sum(timer) for timer in tuple(self.vectors.values()) if timer)
