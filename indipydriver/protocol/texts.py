"""Text that fits everywhere: one printable line, no longer than any program on the way accepts.

Nothing in such text controls a terminal, hides a part of it or changes its direction.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "LONGEST_LABEL",
    "LONGEST_MESSAGE",
    "brief",
    "describe",
    "excerpt",
    "named",
    "own_text",
    "printable",
    "printable_lines",
]

LONGEST_MESSAGE: Final = 250
"""Bytes of a message or a reason, as UTF-8: libindi's clients truncate to 254, and a server drops more than 4 KiB."""
LONGEST_LABEL: Final = 100
"""Bytes of a label: a message that begins with it still has room for its content."""
_MORE: Final = "..."
_NOT_ASCII: Final = re.compile(r"[^ -~]")


def printable(text: str) -> str:
    """The text with everything unprintable escaped: controls, lone surrogates, direction marks."""
    return _NOT_ASCII.sub(_escape, text)


def printable_lines(text: str) -> str:
    """As :func:`printable`, but with its lines and tabs; further lines are indented, so none can be forged."""
    return "\n    ".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    return character if character.isprintable() else ascii(character)[1:-1]


def brief(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """The text as one printable line of at most this many bytes of UTF-8; truncated text ends in ``...``."""
    line = printable(" ".join(text[: longest + 1].split()))
    data = line.encode()
    if len(text) <= longest and len(data) <= longest:
        return line
    return data[: longest - len(_MORE)].decode(errors="ignore") + _MORE


def excerpt(data: bytes, length: int = 80) -> str:
    """The beginning of some bytes, printable, as an excerpt for a log; if truncated, it ends in ``...``."""
    text = data[: length + 1].decode("utf-8", "replace")
    return printable(text[:length]) + (_MORE if len(data) > length else "")


def describe(error: BaseException) -> str:
    """A brief description of an exception, even of one that cannot describe itself."""
    try:
        text = repr(error)
    except Exception:  # a bug in the class of the exception: use its name
        text = type(error).__name__
    return brief(text)


def own_text(error: BaseException) -> str:
    """The text of an exception; "" if it has none, or cannot say it."""
    try:
        return str(error)
    except Exception:  # a bug in the class of the exception
        return ""


def named(error: BaseException) -> str:
    """The class of an exception, and its text if it has any."""
    text = own_text(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
