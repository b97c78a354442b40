"""How much is kept of what a server sends: the newest BLOBs, and a limited amount of text."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from indipydriver.protocol.messages import DefMember, DefVector
from indipydriver.protocol.tags import VectorKind

from .properties import Definition, Member

__all__ = ["BLOB_BYTES", "EACH", "TEXT_BYTES", "KeptBlobs", "KeptTexts", "MemberKey", "brief", "held"]

BLOB_BYTES: Final = 512 << 20
"""Bytes of BLOB data that are kept, the newest of each member; beyond that, the oldest are dropped."""

TEXT_BYTES: Final = 256 << 20
"""Bytes that definitions, values and notes may take; what needs more is ignored and counted."""
EACH: Final = 256
"""Bytes that a member takes beside its texts."""
_BRIEF: Final = 64
"""Characters of a time, or of the format of a BLOB, that mean something."""

MemberKey = tuple[str, str, str]
"""Device, property and member name."""


class KeptBlobs:
    """Counts the bytes of BLOBs; the data is elsewhere.

    Attributes:
        bytes: So many are kept.
    """

    def __init__(self) -> None:
        self._sizes: OrderedDict[MemberKey, int] = OrderedDict()
        self.bytes = 0

    def add(self, key: MemberKey, size: int) -> list[MemberKey]:
        """Note new data of a member; returns those whose data must be dropped.  The newest stays, however large."""
        self.bytes += size - self._sizes.pop(key, 0)
        self._sizes[key] = size
        gone: list[MemberKey] = []
        while self.bytes > BLOB_BYTES and len(self._sizes) > 1:
            oldest, freed = self._sizes.popitem(last=False)
            self.bytes -= freed
            gone.append(oldest)
        return gone

    def forget(self, key: MemberKey) -> None:
        """A member is gone, or its data."""
        self.bytes -= self._sizes.pop(key, 0)

    def clear(self) -> None:
        """All are gone."""
        self._sizes.clear()
        self.bytes = 0


class KeptTexts:
    """Counts the bytes of texts.

    Attributes:
        bytes: So many are kept.
    """

    def __init__(self) -> None:
        self.bytes = 0

    def take(self, more: int) -> bool:
        """Whether there is room for this many more bytes, which then count; a decrease always fits."""
        fits = more <= 0 or self.has_room(more)
        if fits:
            self.bytes += more
        return fits

    def has_room(self, more: int) -> bool:
        """Whether there is room for this many more bytes."""
        return self.bytes + more <= TEXT_BYTES


def brief(text: str | None) -> str | None:
    """A timestamp, a time-out or the format of a BLOB; None if it is too long to be one."""
    return text if text is None or len(text) <= _BRIEF else None


def held(vector: Definition | DefVector, members: Iterable[Member] | Iterable[DefMember], message: str | None) -> int:
    """Bytes of memory that a definition with its values and its last message takes, about; without what BLOBs are
    given later."""
    size = EACH + len(vector.label) + len(vector.group) + len(message or "")
    is_number = vector.kind is VectorKind.NUMBER
    for one in members:
        size += EACH + len(one.name) + len(one.label) + len(one.value)
        if is_number:
            size += len(one.format) + len(one.min) + len(one.max) + len(one.step)
    return size
