"""Cuts input into lines of limited length.  Sans-I/O."""

from __future__ import annotations

from typing import Final

__all__ = ["MAX_LINE", "CommandError", "Lines"]

MAX_LINE: Final = 8192
"""Bytes of one line: a command with three long paths in it is shorter."""


class CommandError(ValueError):
    """A line that is not a command; the text says why, and what would be one."""


class Lines:
    """Cuts input, whatever its pieces, into lines.

    Args:
        limit: Bytes of the longest line; of a longer one nothing is kept.
    """

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._rest = b""
        self._skipping = False

    @property
    def unfinished(self) -> bool:
        """Whether a line has begun and not ended, even one that is too long."""
        return bool(self._rest) or self._skipping

    def feed(self, data: bytes) -> list[str | CommandError]:
        """The lines that end in these bytes, and errors for those that cannot be read."""
        *lines, rest = (self._rest + data).split(b"\n")
        found: list[str | CommandError] = []
        for line in lines:
            if self._skipping:
                self._skipping = False
            else:
                found.append(self._decode(line))
        self._rest = b"" if self._skipping else rest
        if len(self._rest) > self._limit:
            self._rest = b""
            self._skipping = True
            found.append(self._too_long())
        return found

    def finish(self) -> list[str | CommandError]:
        """End the last line because nothing more follows for now: what comes next is another line."""
        rest, self._rest = self._rest, b""
        self._skipping = False
        return [self._decode(rest)] if rest else []

    def _decode(self, line: bytes) -> str | CommandError:
        if len(line) > self._limit:
            return self._too_long()
        try:
            return line.decode()
        except UnicodeDecodeError:
            return CommandError("it is not UTF-8")

    def _too_long(self) -> CommandError:
        return CommandError(f"a line of more than {self._limit} bytes")
