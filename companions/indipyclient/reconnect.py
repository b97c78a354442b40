"""When to reconnect, and the status of the link for users.  Clock and random numbers are the caller's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["LinkState", "Retry", "Status"]


class LinkState(StrEnum):
    """The state of a link."""

    CONNECTING = "connecting"
    READY = "ready"
    LOST = "lost"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Status:
    """The link at one moment.

    Attributes:
        state: How it is.
        since: When that state began, in the loop's time.
        attempt: The number of this attempt since the link was last up, counted from 1.
        next_try: When the next attempt is, in the loop's time; None if none is planned.
        reason: Why it is not up.
    """

    state: LinkState
    since: float = 0.0
    attempt: int = 0
    next_try: float | None = None
    reason: str = ""


class Retry:
    """Waits that grow with each failure, up to a limit.

    Args:
        first: Seconds before the second attempt.
        factor: By which each wait grows.
        longest: The longest wait, in seconds.
        jitter: The fraction by which a wait may be longer or shorter, so that many clients do not reconnect at once.
        healthy: Seconds of connection after which a failure counts as the first again.
    """

    def __init__(
        self,
        first: float = 1.0,
        factor: float = 1.8,
        longest: float = 30.0,
        jitter: float = 0.2,
        healthy: float = 10.0,
    ) -> None:
        self.first = first
        self.factor = factor
        self.longest = longest
        self.jitter = jitter
        self.healthy = healthy
        self.failures = 0

    @classmethod
    def every(cls, seconds: float) -> Retry:
        """The same wait each time."""
        return cls(seconds, 1.0, seconds, 0.0)

    def next(self, lived: float, dice: float) -> float:
        """Seconds to wait.

        Args:
            lived: How long the link was up, in seconds; 0 if it never was.
            dice: A random number from 0 to 1.
        """
        if lived >= self.healthy:
            self.failures = 0
        wait = min(self.longest, self.first * self.factor ** min(self.failures, 32))
        self.failures += 1
        return min(self.longest, wait * (1 + self.jitter * (2 * dice - 1)))
