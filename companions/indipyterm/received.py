"""What is known about a received BLOB."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Received", "size_shown"]


@dataclass(frozen=True, slots=True)
class Received:
    """The last BLOB of a member.

    Attributes:
        size: Bytes, as received.
        format: Suffixes.
        path: The file that it was written to, or None.
        count: How many were received.
        at: When it was received, by the loop's clock.
        facts: Facts of its FITS header.
        problem: Why it was not written, or "".
    """

    size: int
    format: str
    path: Path | None
    count: int
    at: float
    facts: list[tuple[str, str]] = field(default_factory=list)
    problem: str = ""


def size_shown(size: float) -> str:
    """A number of bytes for display."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
