"""The way an element has taken through a tree of servers.

A getProperties or a message without device belongs to nobody, and a definition may come round when the device has
just gone, so ownership cannot keep them from going round in a ring of servers. Each of our servers adds its name to
the attribute ``via`` when it passes such an element to another server, and drops one that has its own name in it.
The attribute is ours; INDI 1.7 lets a receiver ignore attributes it does not know, and indiserver passes them on.
"""

from __future__ import annotations

import re
from typing import Final

from .frame import Frame

__all__ = ["MAX_HOPS", "came_through", "with_via"]

MAX_HOPS: Final = 32
"""Servers one element may pass: far beyond any tree, so what comes further is going round."""

# Attribute by attribute, as text in a value may look like one.  Groups: up to `via`, the attribute, its value.
_VIA: Final = re.compile(
    rb"""(<[A-Za-z]+(?:\s+(?!via[\s=])[^\s"'<>=]+\s*=\s*(?:"[^"]*"|'[^']*'))*)(\s+via\s*=\s*("[^"]*"|'[^']*'))"""
)
_NAME: Final = re.compile(rb"<[A-Za-z]+")
_HOP: Final = re.compile(rb"[A-Za-z0-9_.-]+")


def _hops(frame: Frame) -> list[str]:
    match = _VIA.match(frame.raw)
    return [hop.decode("ascii") for hop in _HOP.findall(match[3])] if match else []


def came_through(frame: Frame, server: str) -> bool:
    """Has this element passed this server before, or too many others?"""
    hops = _hops(frame)
    return server in hops or len(hops) >= MAX_HOPS


def with_via(frame: Frame, server: str, after: Frame | None = None) -> Frame:
    """The element with the name of one more server in its ``via`` attribute.

    Args:
        frame: A getProperties, a message or a definition.
        server: Letters, digits, ``_ . -``.
        after: The element whose way it continues, if that is another one.
    """
    hops = " ".join([*_hops(after or frame), server]).encode("ascii")
    raw = _VIA.sub(rb"\1", frame.raw, count=1)
    start = _NAME.match(raw)
    assert start is not None, "a frame begins with its tag"
    return Frame(frame.address, start[0] + b' via="' + hops + b'"' + raw[start.end() :])
