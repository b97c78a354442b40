"""What one owner of devices has been asked for and has not answered yet, and who has asked already.  Sans-I/O.

One answer serves all who wait for it, so the same request need not be passed on again until the answer begins.
"""

from __future__ import annotations

from typing import Final

from indipydriver.protocol.messages import GetProperties

__all__ = ["ANSWER_TIME", "MAX_NAMED", "Asked", "Requested"]

ANSWER_TIME: Final = 1.0
"""Seconds after which a request that has not been answered is passed on again, if somebody repeats it.

INDI has no element for "there is nothing".  Drivers answer at once; longer would keep a request from one that has
lost the first.
"""
MAX_NAMED: Final = 64
"""Requests that wait; beyond them one for the whole device takes the place of those for its properties."""
_MOST: Final = 512  # requests that wait, of any kind: those beyond are passed on each time
_WAYS: Final = 4  # ways through other servers that the requests of one peer for the same thing may have taken
_REQUESTS: Final = 256  # the last requests of one peer that are remembered, to know them again

_Key = tuple[str | None, str | None]
_NO_WAY: Final[frozenset[str]] = frozenset()


class _Request:
    """A request that waits: since when, who made it, and through which other servers it had come."""

    __slots__ = ("since", "ways")

    def __init__(self, since: float) -> None:
        self.since = since
        self.ways: list[tuple[int, frozenset[str]]] = []

    def serves(self, asker: int, way: frozenset[str]) -> bool:
        """Will its answer do for this one?

        An owner that is a server drops what has come through it.  So a request that went through more servers
        than this one may have been dropped where this one is not.
        """
        count = 0
        for who, passed in self.ways:
            if passed <= way:
                return True
            count += who == asker
        return count >= _WAYS


class Asked:
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
        """Note a request.

        Args:
            device: What is asked for; None for all.
            name: The property; None for all of the device.
            asker: Who asks: a number of its own.
            now: The time, in seconds.
            way: The servers that the request has passed.

        Returns:
            What the owner is to be asked now; None if it still owes an answer that covers it.
        """
        waiting = self.waiting
        for key in dict.fromkeys(((device, name), (device, None), (None, None))):
            request = waiting.get(key)
            if request is not None and now - request.since < ANSWER_TIME and request.serves(asker, way):
                return None
        if len(waiting) >= MAX_NAMED:
            while waiting and now - waiting[key := next(iter(waiting))].since >= ANSWER_TIME:
                del waiting[key]  # the oldest
            if name is not None and len(waiting) >= MAX_NAMED:
                return self.pass_on(device, None, asker, now, way)
            if len(waiting) >= _MOST:
                return GetProperties(device, name)
        request = waiting.get((device, name))
        if request is None or now - request.since >= ANSWER_TIME:
            waiting.pop((device, name), None)
            request = waiting[device, name] = _Request(now)
        request.ways.append((asker, way))
        return GetProperties(device, name)

    def answered(self, device: str, name: str | None) -> bool:
        """The owner has said what this property is, or that it is gone; True if anybody waited for that.

        Who asks from now on may have missed the beginning of the answer.
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
    """What one peer has asked for lately."""

    __slots__ = ("_requests",)

    def __init__(self) -> None:
        self._requests: dict[_Key, tuple[int, float, list[frozenset[str]]]] = {}

    def __len__(self) -> int:
        return len(self._requests)

    def repeats(self, device: str | None, name: str | None, way: frozenset[str], answers: int, now: float) -> bool:
        """Does the peer still wait for the answer to this very request?  If not, it does from now on.

        A request that has passed more servers than this one may have been dropped where this one is not.

        Args:
            device: What is asked for; None for all.
            name: The property; None for all of the device.
            way: The servers that the request has passed.
            answers: A number that changes whenever a request that waited may have been answered.
            now: The time, in seconds.
        """
        requests, key = self._requests, (device, name)
        before = requests.get(key)
        if before is None or before[0] != answers or now - before[1] >= ANSWER_TIME:
            if len(requests) >= _REQUESTS:
                requests.clear()
            requests[key] = answers, now, [way]
            return False
        ways = before[2]
        if len(ways) >= _WAYS or any(passed <= way for passed in ways):
            return True
        ways.append(way)
        return False
