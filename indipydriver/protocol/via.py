"""The path an element has taken through a tree of servers.

A getProperties or a message without device has no owner, and a definition may come back when the device has just gone,
so ownership cannot keep these from circulating in a ring of servers; nor the deletion of a device that comes back over
the link of its owner. Each of our servers adds its name to the attribute ``via`` when it passes such an element to
another server, and drops one that contains its own name.
The attribute is ours; INDI 1.7 lets a receiver ignore attributes it does not know, and indiserver passes them on.

A device that a server has from above can be watched there, but not commanded. Whoever gets its definition from that
server learns this from a mark in ``via``, and prefers a way without the mark.

What a server accepts leaves room for the attribute (see :class:`Limits`), so the attribute never makes an element
larger than the next server accepts.
"""

from __future__ import annotations

import re
from typing import Final

from .frame import Frame
from .limits import VIA_ROOM
from .scan import VIA

__all__ = ["MAX_HOPS", "came_through", "hops_of", "is_only_watched", "server_name", "with_via", "without_via"]

MAX_HOPS: Final = 32
"""Servers one element may pass: far more than any tree has, so an element with more is in a loop."""

_LONGEST_HOST: Final = 40  # of a host; with a dash and eight hexadecimal digits, 32 of them fit into VIA_ROOM
_LONGEST_HOP: Final = 63
_WATCHED: Final = "^"
_ROOM: Final = VIA_ROOM - len(' via="" ') - len(_WATCHED)

_NAME: Final = re.compile(rb"<[A-Za-z]+")
_HOP: Final = re.compile(rb"[A-Za-z0-9_.-]+")
_NO_HOP: Final = re.compile(r"[^A-Za-z0-9_.-]")


def server_name(host: str) -> str:
    """A host's name as ``via`` can carry it: letters, digits and ``_ . -``, 1 to 40 of them."""
    return _NO_HOP.sub("-", host[:_LONGEST_HOST]) or "-"


def _hop(server: str) -> str:
    return _NO_HOP.sub("-", server[:_LONGEST_HOP]) or "-"


def _find(raw: bytes) -> re.Match[bytes] | None:
    """The attribute, if any; as it is rare, a plain search up to the next ``<``, beyond any start tag, comes first."""
    return VIA.match(raw) if raw.find(b"via", 0, raw.find(b"<", 1)) >= 0 else None


def hops_of(frame: Frame) -> list[str]:
    """The servers that this element has passed, in order."""
    match = _find(frame.raw)
    return [hop.decode("ascii") for hop in _HOP.findall(match[3])] if match else []


def is_only_watched(frame: Frame) -> bool:
    """Has one of the servers that this definition has passed got the device from above?"""
    match = _find(frame.raw)
    return match is not None and _WATCHED.encode() in match[3]


def came_through(frame: Frame, server: str) -> bool:
    """Has this element passed this server before, or more others than ``via`` can hold?"""
    hops = hops_of(frame)
    if not hops:
        return False
    hop = _hop(server)
    return hop in hops or len(hops) >= MAX_HOPS or sum(map(len, hops)) + len(hops) + len(hop) > _ROOM


def with_via(frame: Frame, server: str, after: Frame | None = None, *, watched: bool = False) -> Frame:
    """The element with the name of one more server in its ``via`` attribute.

    Args:
        frame: A getProperties, a message or a definition.
        server: Its name; what ``via`` cannot carry is replaced as by :func:`server_name`.
        after: The element whose path it continues, if that is another one.
        watched: It defines a device that this server has from above, as :func:`is_only_watched` tells from then on.
    """
    hops = [*hops_of(after or frame), _hop(server)]
    written = " ".join(hops)
    while len(written) > _ROOM:  # of an element that came_through() would have dropped
        written = written.partition(" ")[2]
    if watched or is_only_watched(frame):
        written += f" {_WATCHED}"
    raw = without_via(frame).raw
    start = _NAME.match(raw)
    if start is None:  # not an element
        return frame
    return Frame(frame.address, start[0] + b' via="' + written.encode("ascii") + b'"' + raw[start.end() :])


def without_via(frame: Frame) -> Frame:
    """The element without its ``via`` attribute; the same object when it has none."""
    raw = frame.raw
    match = _find(raw)
    return Frame(frame.address, match[1] + raw[match.end() :], frame.reply) if match else frame
