"""Finding tags in a stream of bytes."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from .tags import TAGS

__all__ = [
    "CUT_SHORT",
    "DECLARATION",
    "HEAD",
    "KNOWN",
    "LONGEST_END_OR_START",
    "LONGEST_TAG_NAME",
    "OTHER_PROTOCOL",
    "SOUND",
    "START",
    "START_TAG",
    "TAG_CUT_SHORT",
    "TAG_END",
    "VIA",
    "WHITE_SPACE",
    "WS",
    "TagWatch",
    "end_or_start",
]

# Python 3.11.2 mishandles possessive groups (gh-106052), but not possessive classes and counts.

WHITE_SPACE: Final = b" \t\r\n"
"""XML's white space, which is not all that ``\\s`` of a regular expression is."""
WS: Final = b"[%s]" % WHITE_SPACE
"""A character of it, for a regular expression."""

KNOWN: Final = "|".join(sorted(TAGS, key=len, reverse=True)).encode()
"""The names of INDI's elements, as alternatives."""

# A quoted value may contain anything but its quote, and the start of an element, which means a missing quote.
_NO_START: Final = rb"(?:<(?!(?:" + KNOWN + rb")[\s/>])%s)*"
_QUOTED: Final = rb'"[^"<]*+' + _NO_START % rb'[^"<]*+' + rb'"' + rb"|'[^'<]*+" + _NO_START % rb"[^'<]*+" + rb"'"
_REST: Final = rb"[^\"'<>]*+(?:(?:" + _QUOTED + rb")[^\"'<>]*+)*"
_TAG: Final = rb"</?([A-Za-z]++)" + _REST

START: Final = re.compile(rb"<(?:" + KNOWN + rb")(?=[\s/>])")
"""The start of an element of INDI; what follows the name must end the name."""

SOUND: Final = re.compile(_TAG)
"""As much of a tag as is well-formed; what follows tells a broken tag from an unfinished one."""

TAG_END: Final = 0x3E
"""What ends a tag, as a number: that is found in bytes much faster than a byte string of one."""

START_TAG: Final = re.compile(_TAG + rb">")
"""A whole start or end tag.  Group 1 is its name."""

_MORE: Final = re.compile(_REST)
_OVERLAP: Final = 32  # no start of an element is longer

HEAD: Final = re.compile(WS + rb"*+(?:<\?[^<>]{0,128}+>" + WS + rb"*+|)<(" + KNOWN + rb")(?=[\s/>])")
"""The start of an element with what usually precedes it.  Group 1 is the name."""

LONGEST_TAG_NAME: Final = max(map(len, TAGS))
"""Letters of the longest name of an element."""

CUT_SHORT: Final = re.compile(rb"<(?:[A-Za-z]{0,%d}+|!-?)\Z" % LONGEST_TAG_NAME)
"""What may become a known start tag, a declaration or a comment with the next bytes."""

TAG_CUT_SHORT: Final = re.compile(rb"</?[A-Za-z]{0,%d}+\s{0,64}+\Z" % LONGEST_TAG_NAME)
"""What may become a known start tag or an end tag with the next bytes."""

DECLARATION: Final = re.compile(rb"<\?[^<>]*+(>|)")
"""A declaration.  Group 1 is empty if another tag begins, or the bytes end, before it has ended."""

OTHER_PROTOCOL: Final = re.compile(rb"[A-Z]{3,7} /|\x16\x03")
"""How a request of HTTP and the first message of TLS begin.  A web page can make any browser send them to this machine,
with content of its own behind."""

LONGEST_END_OR_START: Final = 96
"""The most bytes that :func:`end_or_start` can match."""

# The white space in an end tag is bounded so that searching it again is cheap.
_END_OR_START: Final = rb"</%s\s{0,64}+>|<(?:" + KNOWN + rb")(?=[\s/>])"


@cache  # compiled for the first such element: most servers see few of the twenty
def end_or_start(tag: bytes) -> re.Pattern[bytes]:
    """The end tag of such an element, or the start of another."""
    return re.compile(_END_OR_START % tag)


VIA: Final = re.compile(
    rb"""(<[A-Za-z]+(?:\s+(?!via[\s=])[^\s"'<>=]+\s*=\s*(?:"[^"]*"|'[^']*'))*)(\s+via\s*=\s*("[^"]*"|'[^']*'))"""
)
"""An element up to its ``via`` attribute, attribute by attribute, because text in a value may look like one.

Groups: what precedes it, the attribute, its value."""


class TagWatch:
    """Looks for the end of a tag that arrives in pieces, reading each byte about once.

    Args:
        sound: How many of the received bytes are well-formed; what follows, if anything, is a value whose
            closing quote has not arrived.
        size: How many have been received.
    """

    __slots__ = ("_searched", "_sound")

    def __init__(self, sound: int, size: int) -> None:
        self._sound = sound
        self._searched = size if sound < size else 0  # bytes in which there is no closing quote; 0: no quote is open

    def is_over(self, held: bytearray) -> bool:
        """With all bytes received so far, has the tag ended, or can it no longer be sound?"""
        size = len(held)
        if self._searched:
            begin = max(self._sound + 1, self._searched - _OVERLAP)
            if START.search(held, begin) is not None:
                return True
            quote = held.find(held[self._sound], max(begin, self._searched))
            self._searched = size
            if quote < 0:
                return False
        more = _MORE.match(held, self._sound)
        assert more is not None
        self._sound = more.end()
        self._searched = 0
        if self._sound == size:
            return False
        if held[self._sound] in b"<>":
            return True
        self._searched = size
        return START.search(held, self._sound) is not None
