"""What a peer may send, and how much of it may be passed on to others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ..errors import MalformedFrame
from .scan import VIA
from .texts import excerpt

__all__ = ["LIBINDI_NAME", "VIA_ROOM", "Limits", "check_size", "check_tags"]

LIBINDI_NAME: Final = 63
"""Bytes of a name that libindi's clients keep."""
VIA_ROOM: Final = 2048
"""Bytes by which an element may still grow between servers, by its ``via`` attribute."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on what one peer may send, with the largest values seen in 150 real drivers.

    What is beyond `frame`, `blob`, `start_tag` or `junk` cuts the peer off or, if it passes on what others send, is
    skipped; beyond the others the element is dropped.
    The next server has the same limits, and an element may grow on its way: when it is repaired, and by ``via``.
    So an element must, once repaired, leave room below `frame` and `start_tag`, or it is dropped, too.

    Attributes:
        frame: Bytes of an element without BLOB data (seen: 2.8 KB).  One with data is dropped if its tags are longer.
        blob: Bytes of a setBLOBVector or newBLOBVector, as base64.
        start_tag: Bytes of one start tag.
        junk: Bytes between elements that belong to none, in a row.
        attributes: Attributes of one start tag, ``via`` aside (seen: 10).
        attribute_value: Bytes of one attribute value.
        name: Bytes of a device, property or member name (libindi truncates to 63).
        members: Children of one element (seen: 18).
        strict_blobs: Check each byte of BLOB data in updates, as is done in commands. It costs 0.7 ms per MiB, as
            much as everything else, so drivers and servers are trusted with that.
        only_indi: A request of HTTP, or the first message of TLS, cuts the peer off, whatever follows: it comes from a
            browser that a web page uses.
    """

    frame: int = 1 << 20
    blob: int = 512 << 20
    start_tag: int = 16 << 10
    junk: int = 64 << 10
    attributes: int = 32
    attribute_value: int = 4 << 10
    name: int = 256
    members: int = 1024
    strict_blobs: bool = False
    only_indi: bool = False

    @property
    def passing_frame(self) -> int:
        """Bytes of an element, without BLOB data, that may be passed on."""
        return self.frame - min(VIA_ROOM, self.frame >> 3)

    @property
    def passing_tag(self) -> int:
        """Bytes of a start tag that may be passed on, its ``via`` aside."""
        return self.start_tag - min(VIA_ROOM, self.start_tag >> 3)


_ANY_TAG: Final = re.compile(rb"""<(?:[^"'<>]*+(?:"[^"]*+"|'[^']*+'))*[^"'<>]*+""")


def check_size(raw: bytes, limits: Limits) -> None:
    """Raises MalformedFrame when an element without BLOB data is too large to be passed on."""
    size = len(raw)
    if size > limits.frame or (size > limits.passing_frame and size - _via_size(raw) > limits.passing_frame):
        raise MalformedFrame(f"an element of more than {limits.passing_frame} bytes", excerpt=excerpt(raw))


def check_tags(raw: bytes, limits: Limits) -> None:
    """Raises MalformedFrame when an element has too many tags, or one that is too large to be passed on."""
    if raw.count(b"<") > 4 * (limits.members + 1):  # far too many; smaller excesses are found by the parser
        raise MalformedFrame(f"more tags than {limits.members} members have", excerpt=excerpt(raw))
    for match in _ANY_TAG.finditer(raw):
        size = len(match[0]) + 1  # with its ">"
        if size > limits.start_tag or (size > limits.passing_tag and size - _via_size(match[0]) > limits.passing_tag):
            raise MalformedFrame(f"a tag of more than {limits.passing_tag} bytes", excerpt=excerpt(raw))


def _via_size(raw: bytes) -> int:
    """Bytes of the element's ``via`` attribute."""
    match = VIA.match(raw)
    return len(match[2]) if match else 0
