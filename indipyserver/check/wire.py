"""What the bytes of a stream show before a framer repairs them.  Sans-I/O."""

from __future__ import annotations

import re
from typing import Final

from indipydriver.protocol.texts import excerpt

from .rules import Findings

__all__ = ["ByteWatch"]

_LOOK_AHEAD: Final = 16  # the longest entity, and some more
_PATTERN: Final = re.compile(
    rb"(?P<leading>>&(?:amp|lt|gt|quot|apos);)"
    rb"|(?P<reference>&#(?:[0-9]{1,7}|x[0-9A-Fa-f]{1,6});)"
    rb"|(?P<ampersand>&(?!(?:amp|lt|gt|quot|apos);))"
    rb"|(?P<declaration><\?xml)"
    rb"|(?P<comment><!--)"
    rb"|(?P<control>[\x00-\x08\x0b\x0c\x0e-\x1f])"
    rb"|(?P<high>(?:[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}){1,1024}"
    rb"|[\x80-\xff]{1,4096})"  # the first of these, so that no character is cut
)
_RULE_CODES: Final = {
    "leading": "leading-entity",
    "reference": "numeric-reference",
    "ampersand": "bare-ampersand",
    "declaration": "xml-declaration",
    "comment": "comment",
    "control": "control-character",
    "high": "not-utf8",
}


class ByteWatch:
    """Looks through the bytes of one stream, cut anywhere."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        data = self._rest + data
        self._rest = data[self._look(data, max(0, len(data) - _LOOK_AHEAD)) :]

    def end(self) -> None:
        """Handle the end of the stream."""
        self._look(self._rest, len(self._rest))
        self._rest = b""

    def _look(self, data: bytes, limit: int) -> int:
        """Judge what begins before the limit; returns where to continue."""
        for match in _PATTERN.finditer(data):
            start = match.start()
            if start >= limit:
                break
            kind = match.lastgroup or ""
            if kind == "high" and match.end() == len(data) and limit < len(data):
                return start  # the rest of a character may still come
            limit = max(limit, match.end())
            if kind != "high" or not _is_utf8(match[0]):
                self._findings.add(_RULE_CODES[kind], f"in: {excerpt(data[max(0, start - 30) : start + 50])}")
        return limit


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
