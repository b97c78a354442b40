"""BLOBs that wait to be saved.  Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

from indipyclient import ReceivedBlob
from indipyclient.model.properties import Key

__all__ = ["Unsaved"]

OF_ONE: Final = 64
"""BLOBs of one property."""
BYTES: Final = 256 << 20
"""Bytes of those of one INDI server, whose disk may be slow, or not respond."""
_EACH: Final = 1 << 10
"""Bytes that each takes beside its data."""


class Unsaved:
    """Those of one INDI server: its properties take turns, and the one that has most gives way when there are too many.

    Attributes:
        bytes: Bytes that they take, about.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._of: dict[Key, deque[ReceivedBlob]] = {}
        self._bytes_of: dict[Key, int] = {}

    def put(self, blob: ReceivedBlob) -> list[ReceivedBlob]:
        """Add one; returns those that are given up for it."""
        key = (blob.device, blob.name)
        self._of.setdefault(key, deque()).append(blob)
        self._count(key, _size(blob))
        gone = []
        while len(self._of[key]) > OF_ONE:
            gone.append(self._pop(key))
        while self.bytes > BYTES:
            spare = [one for one in self._of if one != key or len(self._of[one]) > 1]  # the newest stays, however large
            if not spare:
                break
            gone.append(self._pop(max(spare, key=self._bytes_of.__getitem__)))
        return gone

    def take(self) -> ReceivedBlob | None:
        """The oldest one of the property whose turn it is."""
        key = next(iter(self._of), None)
        if key is None:
            return None
        blob = self._pop(key)
        if key in self._of:
            self._of[key] = self._of.pop(key)
        return blob

    def _pop(self, key: Key) -> ReceivedBlob:
        blob = self._of[key].popleft()
        self._count(key, -_size(blob))
        if not self._of[key]:
            del self._of[key], self._bytes_of[key]
        return blob

    def _count(self, key: Key, size: int) -> None:
        self.bytes += size
        self._bytes_of[key] = self._bytes_of.get(key, 0) + size


def _size(blob: ReceivedBlob) -> int:
    return len(blob.data) + _EACH
