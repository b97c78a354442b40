"""How long to wait before the next attempt."""

from __future__ import annotations

from ..arguments import checked_seconds

__all__ = ["Backoff"]


class Backoff:
    """A wait that grows with each failure, and is reset after a healthy run.

    Args:
        first: Seconds before the first retry; doubled with each one.
        longest: The longest wait in seconds.
        healthy: Seconds of running after which a failure counts as the first again.

    Raises:
        TypeError: One of them is not a number.
        ValueError: One of them is negative, or the first wait is infinite.
    """

    def __init__(self, first: float = 0.5, longest: float = 30.0, healthy: float = 60.0) -> None:
        self.tries = 0
        self._first = checked_seconds("first", first)
        self._longest = checked_seconds("longest", longest, endless=True)
        self._healthy = checked_seconds("healthy", healthy, endless=True)

    def fresh(self) -> Backoff:
        """A new one with the same times."""
        return Backoff(self._first, self._longest, self._healthy)

    def next(self, lived: float) -> float:
        """Seconds to wait after the failure of something that lived this long (in seconds)."""
        if lived >= self._healthy:
            self.tries = 0
        self.tries += 1
        return min(self._longest, self._first * 2.0 ** min(self.tries - 1, 16))
