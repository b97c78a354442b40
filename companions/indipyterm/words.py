"""Text from outside, made safe for one line of a terminal: its width, truncation, and ages."""

from __future__ import annotations

import math
import re
from typing import Final

from rich.cells import cell_len, chop_cells, set_cell_size

__all__ = ["age", "clean", "clean_part", "fit", "shorten", "span", "width", "wrapped"]

LONGEST: Final = 4000
"""Characters of a text that are examined; a line shows some hundreds."""

# Control characters; marks that change the direction of what follows, or hide it; lone surrogates; line separators.
_UNFIT: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_SHOWN: Final = {"\n": "⏎", "\r": "", "\t": " "}


def clean(text: str) -> str:
    """The text with everything replaced that would move the cursor or change the direction of the line."""
    text = text[:LONGEST]
    if text.isascii() and text.isprintable():
        return text
    return _UNFIT.sub(lambda found: _SHOWN.get(found[0], "\N{MIDDLE DOT}"), text)


def clean_part(text: str) -> str:
    """The same of a line of a text that is shown whole, whatever its length."""
    return "\t".join(_UNFIT.sub("\N{MIDDLE DOT}", part) for part in text.split("\t"))


def width(text: str) -> int:
    """Columns that a text takes."""
    return len(text) if text.isascii() else cell_len(text)


def shorten(text: str, columns: int) -> str:
    """The text in at most this many columns; an ellipsis shows that something is missing."""
    if columns <= 0:
        return ""
    if width(text) <= columns:
        return text
    return set_cell_size(text, columns - 1).rstrip() + "…" if columns > 1 else "…"


def fit(text: str, columns: int, *, right: bool = False) -> str:
    """The text in exactly this many columns, aligned left or right."""
    text = shorten(text, columns)
    space = " " * max(columns - width(text), 0)
    return space + text if right else text + space


def wrapped(text: str, columns: int) -> list[str]:
    """The text wrapped into lines, at blanks if there are any."""
    lines: list[str] = []
    line, used = "", 0
    for word in text.split(" "):
        wide = width(word)
        if line and used + 1 + wide > columns:
            lines.append(line)
            line, used = "", 0
        if wide > columns:
            *whole, word = chop_cells(word, columns)
            lines += whole
            wide = width(word)
        line, used = (f"{line} {word}", used + 1 + wide) if line else (word, wide)
    return [*lines, line]


def span(seconds: float) -> str:
    """A length of time in at most five characters: ``3.2s``, ``41s``, ``12m``, ``3h05``, ``2d``."""
    seconds = max(seconds, 0.0)
    if not math.isfinite(seconds):
        return "?"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    if seconds < 60:
        return f"{int(seconds)}s"
    if seconds < 3600:
        return f"{int(seconds // 60)}m"
    if seconds < 36000:
        return f"{int(seconds // 3600)}h{int(seconds % 3600 // 60):02}"
    if seconds < 2 * 86400:
        return f"{int(seconds // 3600)}h"
    return f"{int(seconds // 86400)}d"


_STEPS: Final = (0, 2, 5, 10, 20, 30, 40, 50)


def age(seconds: float) -> str:
    """The age of a value, in growing steps, so that old values need not be redrawn again and again."""
    if not math.isfinite(seconds) or seconds < 2:
        return "now"
    if seconds < 60:
        return f"{max(step for step in _STEPS if step <= seconds)}s"
    return span(seconds)
