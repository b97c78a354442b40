"""The regular expressions that find tags in a stream of bytes."""

from __future__ import annotations

import re
from typing import Final

from .tags import TAGS

__all__ = ["KNOWN", "SOUND", "START", "START_TAG", "VIA", "WS"]

# Python 3.11.2 mistakes possessive groups (gh-106052); possessive classes and counts it gets right.

WS: Final = rb"[ \t\r\n]"
"""XML's white space."""

KNOWN: Final = "|".join(sorted(TAGS, key=len, reverse=True)).encode()
"""The names of INDI's elements, as alternatives."""

# A quoted value may hold anything but its quote, and the start of an element: then its quote is missing.
_NO_START: Final = rb"(?:<(?!(?:" + KNOWN + rb")[\s/>])%s)*"
_QUOTED: Final = rb'"[^"<]*+' + _NO_START % rb'[^"<]*+' + rb'"' + rb"|'[^'<]*+" + _NO_START % rb"[^'<]*+" + rb"'"
_TAG: Final = rb"</?([A-Za-z]++)[^\"'<>]*+(?:(?:" + _QUOTED + rb")[^\"'<>]*+)*"

START: Final = re.compile(rb"<(?:" + KNOWN + rb")(?=[\s/>])")
"""The start of an element of INDI; what follows the name must end the name."""

SOUND: Final = re.compile(_TAG)
"""As much of a tag as is sound; what stands behind it tells broken from unfinished."""

START_TAG: Final = re.compile(_TAG + rb">")
"""A whole tag, of either end of an element.  Group 1 is its name."""

VIA: Final = re.compile(
    rb"""(<[A-Za-z]+(?:\s+(?!via[\s=])[^\s"'<>=]+\s*=\s*(?:"[^"]*"|'[^']*'))*)(\s+via\s*=\s*("[^"]*"|'[^']*'))"""
)
"""An element up to its ``via`` attribute, attribute by attribute, as text in a value may look like one.

Groups: what stands before it, the attribute, its value."""
