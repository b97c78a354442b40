"""What a driver prints that is a program, and whose standard output is the stream to its server."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

__all__ = ["Printed"]


class Printed:
    """Where what a driver prints goes: to standard error, as the log. Like that it does not fail: the server that reads
    it may be gone, and the driver may be about to switch something off.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)

    def write(self, text: str) -> int:
        """Write text."""
        if sys.stderr is not None:
            with contextlib.suppress(OSError):
                sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what waits."""
        if sys.stderr is not None:
            with contextlib.suppress(OSError):
                sys.stderr.flush()
