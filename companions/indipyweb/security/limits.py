"""Limits on attempts and rates.  Pure: the clock is the caller's."""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict, deque
from typing import Any, Final

__all__ = ["Buckets", "LoginThrottle", "network_of"]

_SPAN: Final = 900.0
_FREE: Final = 5
_PER_MINUTE: Final = 20
_LONGEST: Final = 60.0
_SAID: Final = 60.0
_REMEMBERED: Final = 10_000


def network_of(address: str) -> str:
    """The network that stands for an address: IPv6 gives each customer a whole network."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


class LoginThrottle:
    """Waits that grow with each failure, and never lock for good."""

    def __init__(self) -> None:
        self._failures: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()
        self._tries: OrderedDict[str, deque[float]] = OrderedDict()
        self._told: OrderedDict[str, float] = OrderedDict()

    def wait(self, name: str, address: str, now: float) -> float:
        """Seconds to wait before an attempt is examined; with 0, it counts as one."""
        network = network_of(address)
        tries = self._tries.setdefault(network, deque())
        while tries and tries[0] <= now - 60:
            tries.popleft()
        if len(tries) >= _PER_MINUTE:
            return 60 - (now - tries[0])
        failures = self._failures.get((name.lower()[:64], network))
        if failures:
            while failures and failures[0] <= now - _SPAN:
                failures.popleft()
            if len(failures) >= _FREE:
                wait = failures[-1] + min(2.0 ** (len(failures) - _FREE), _LONGEST) - now
                if wait > 0:
                    return wait
        tries.append(now)
        self._tries.move_to_end(network)
        _shorten(self._tries)
        return 0.0

    def note_wait(self, address: str, now: float) -> bool:
        """Note that a wait is logged; False if one was for this network in the last minute, so it should not be."""
        network = network_of(address)
        if now - self._told.get(network, -math.inf) < _SAID:
            return False
        self._told[network] = now
        self._told.move_to_end(network)
        _shorten(self._told)
        return True

    def failed(self, name: str, address: str, now: float) -> None:
        """Note a wrong password."""
        key = (name.lower()[:64], network_of(address))
        self._failures.setdefault(key, deque(maxlen=16)).append(now)
        self._failures.move_to_end(key)
        _shorten(self._failures)

    def succeeded(self, name: str, address: str) -> None:
        """Note a right password."""
        self._failures.pop((name.lower()[:64], network_of(address)), None)


class Buckets:
    """A rate limit.

    Args:
        rate: How many per second.
        burst: How many at once.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._filled: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now: float) -> bool:
        """Whether one more is allowed."""
        level, then = self._filled.get(key, (0.0, now))
        level = max(0.0, level - (now - then) * self._rate)
        is_free = level + 1 <= self._burst
        self._filled[key] = (level + 1 if is_free else level, now)
        self._filled.move_to_end(key)
        _shorten(self._filled)
        return is_free


def _shorten(known: OrderedDict[Any, Any]) -> None:
    while len(known) > _REMEMBERED:
        known.popitem(last=False)
