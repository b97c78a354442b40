"""Figures of a client."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Stats"]


@dataclass(frozen=True, slots=True)
class Stats:
    """What has happened so far.

    Attributes:
        uptime: Seconds since the link came up; 0 when it is down.
        reconnects: How often it came back.
        last_message_age: Seconds since something was last understood; None when the link is down.
        messages: Elements understood.
        bytes_in: Bytes received.
        bytes_out: Bytes sent.
        malformed: Elements that were skipped because they could not be read.
        unknown: Updates of properties or members that were never defined.
        dropped: Items that taps have lost.
        rtt: The last round trip that :meth:`Client.ping` has measured, in seconds; None before the first.
        rtt_best: The shortest round trip, in seconds.
    """

    uptime: float
    reconnects: int
    last_message_age: float | None
    messages: int
    bytes_in: int
    bytes_out: int
    malformed: int
    unknown: int
    dropped: int
    rtt: float | None
    rtt_best: float | None
