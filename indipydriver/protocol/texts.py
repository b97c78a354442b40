"""Texts that fit everywhere: one printable line, and no longer than any program on the way takes."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["LONGEST", "LONGEST_LABEL", "brief", "describe", "excerpt", "printable"]

LONGEST: Final = 250
"""Bytes of a message or a reason, as UTF-8: libindi's clients cut at 254, and a server drops more than 4 KiB."""
LONGEST_LABEL: Final = 100
"""Bytes of a label: a message that begins with it still has room for its content."""
_MORE: Final = "..."
_NOT_ASCII: Final = re.compile(r"[^ -~]")


def printable(text: str) -> str:
    """The text with everything unprintable escaped: controls, lone surrogates, direction marks."""
    return _NOT_ASCII.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    return character if character.isprintable() else ascii(character)[1:-1]


def brief(text: str, longest: int = LONGEST) -> str:
    """The text as one printable line of at most this many bytes of UTF-8; what is cut ends in ``...``."""
    line = printable(" ".join(text[: longest + 1].split()))
    data = line.encode()
    if len(text) <= longest and len(data) <= longest:
        return line
    return data[: longest - len(_MORE)].decode(errors="ignore") + _MORE


def excerpt(data: bytes, length: int = 80) -> str:
    """The beginning of some bytes, printable, as an excerpt for a log; what is cut ends in ``...``."""
    text = data[: length + 1].decode("utf-8", "replace")
    return printable(text[:length]) + (_MORE if len(data) > length else "")


def describe(error: BaseException) -> str:
    """An exception in brief; also one that cannot describe itself."""
    try:
        text = repr(error)
    except Exception:  # a bug in the class of the exception: use its name
        text = type(error).__name__
    return brief(text)
