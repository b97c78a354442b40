"""The requests that an owner of devices has not answered yet, and those that a peer has made.  Sans-I/O.

One answer serves all who wait for it, so the same request need not be passed on again until the answer begins.
"""

from __future__ import annotations

from typing import Final

from indipydriver.protocol.messages import GetProperties

__all__ = ["ANSWER_TIME", "MAX_NAMED_REQUESTS", "PendingRequests", "Requested"]

ANSWER_TIME: Final = 1.0
"""Seconds after which an unanswered request is passed on again if somebody repeats it.

INDI has no element for "there is nothing".  Drivers answer at once; a longer time would delay the second request to
one that has lost the first.
"""
MAX_NAMED_REQUESTS: Final = 64
"""Unanswered requests; beyond this number, the whole device is asked for instead of a single property."""
_MOST_REQUESTS: Final = 512  # unanswered requests of any kind; further ones are always passed on
_WAYS: Final = 4  # paths through other servers that are told apart when one peer repeats a request
_REQUESTS_REMEMBERED: Final = 256  # requests of one peer that are remembered, to recognise repetitions

_Key = tuple[str | None, str | None]
_NO_WAY: Final[frozenset[str]] = frozenset()


class _Request:
    """An unanswered request: since when, who made it, and which other servers it has passed."""

    __slots__ = ("since", "ways")

    def __init__(self, since: float) -> None:
        self.since = since
        self.ways: list[tuple[int, frozenset[str]]] = []

    def serves(self, asker: int, way: frozenset[str]) -> bool:
        """Will the answer to it serve a new request, too?

        An owner that is a server drops what has come through it.  So a request that has passed a server which the
        new one has not may have been dropped where the new one is not.
        """
        count = 0
        for who, passed in self.ways:
            if passed <= way:
                return True
            count += who == asker
        return count >= _WAYS


class PendingRequests:
    """The requests that have been passed on to one owner and have not been answered.

    Attributes:
        waiting: These requests.
    """

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: dict[_Key, _Request] = {}

    def pass_on(
        self, device: str | None, name: str | None, asker: int, now: float, way: frozenset[str] = _NO_WAY
    ) -> GetProperties | None:
        """Record a request.

        Args:
            device: What is asked for; None for all.
            name: The property; None for all of the device.
            asker: Who asks, as a unique number.
            now: The time, in seconds.
            way: The servers that the request has passed.

        Returns:
            What to ask the owner now; None if it already owes an answer that covers this request.
        """
        waiting = self.waiting
        for key in dict.fromkeys(((device, name), (device, None), (None, None))):
            request = waiting.get(key)
            if request is not None and now - request.since < ANSWER_TIME and request.serves(asker, way):
                return None
        if len(waiting) >= MAX_NAMED_REQUESTS:
            while waiting and now - waiting[key := next(iter(waiting))].since >= ANSWER_TIME:
                del waiting[key]  # the oldest
            if name is not None and len(waiting) >= MAX_NAMED_REQUESTS:
                return self.pass_on(device, None, asker, now, way)
            if len(waiting) >= _MOST_REQUESTS:
                return GetProperties(device, name)
        request = waiting.get((device, name))
        if request is None or now - request.since >= ANSWER_TIME:
            waiting.pop((device, name), None)
            request = waiting[device, name] = _Request(now)
        request.ways.append((asker, way))
        return GetProperties(device, name)

    def note_answer(self, device: str, name: str | None) -> bool:
        """The owner has defined or deleted this property; True if anybody waited for that.

        Whoever asks from now on may have missed the beginning of the answer.
        """
        waiting = self.waiting
        before = len(waiting)
        waiting.pop((None, None), None)
        waiting.pop((device, None), None)
        if name is not None:
            waiting.pop((device, name), None)
        else:
            for key in [key for key in waiting if key[0] == device]:
                del waiting[key]
        return len(waiting) != before


class Requested:
    """What one peer has recently asked for."""

    __slots__ = ("_requests",)

    def __init__(self) -> None:
        self._requests: dict[_Key, tuple[int, float, list[frozenset[str]]]] = {}

    def __len__(self) -> int:
        return len(self._requests)

    def note(self, device: str | None, name: str | None, way: frozenset[str], answers: int, now: float) -> bool:
        """Note that the peer waits for an answer; True if it already waits for the answer to this very request.

        The servers that it has passed matter as in :meth:`_Request.serves`.

        Args:
            device: What is asked for; None for all.
            name: The property; None for all of the device.
            way: The servers that the request has passed.
            answers: A number that changes whenever a waiting request may have been answered.
            now: The time, in seconds.
        """
        requests, key = self._requests, (device, name)
        before = requests.get(key)
        if before is None or before[0] != answers or now - before[1] >= ANSWER_TIME:
            if len(requests) >= _REQUESTS_REMEMBERED:
                requests.clear()
            requests[key] = answers, now, [way]
            return False
        ways = before[2]
        if len(ways) >= _WAYS or any(passed <= way for passed in ways):
            return True
        ways.append(way)
        return False
