"""Keeps a peer that reconnects again and again from filling the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

__all__ = ["LogRate", "network_of"]

logger = logging.getLogger("indipyserver.ipyserver")

LINES_A_PERIOD: Final = 10
"""Lines for one address in a PERIOD: enough to see what is wrong with it."""
ALL_LINES: Final = 200
"""Lines for all addresses in a PERIOD: tens of megabytes in a year."""
PERIOD: Final = 60.0
"""Seconds."""


class LogRate:
    """Limits what is logged about each address; the rest is counted, and the count logged.

    Args:
        clock: A time in seconds that only grows.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = 0.0
        self._lines: dict[str, int] = {}  # by address
        self._total = 0
        self._left_out = 0

    def count_line(self, host: str) -> bool:
        """Count one more line about this address; True if it may be logged."""
        now = self._clock()
        if now >= self._until:
            self._until = now + PERIOD
            if self._left_out:
                logger.warning("%d lines about such peers were left out of the log", self._left_out)
            self._lines.clear()
            self._total = self._left_out = 0
        network = network_of(host)
        count = self._lines.get(network, 0)
        if count >= LINES_A_PERIOD or self._total >= ALL_LINES:
            self._left_out += 1
            return False
        self._lines[network] = count + 1
        self._total += 1
        return True


def network_of(host: str) -> str:
    """What counts as one address: of IPv6 the first 64 bits, because whoever has one has all of them."""
    if ":" not in host or "." in host:
        return host
    head, found, _ = host.partition("%")[0].partition("::")
    groups = head.split(":")
    return ":".join(groups[:4]) if len(groups) >= 4 or not found else head + "::"
