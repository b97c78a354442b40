"""Who gets the ``via`` attribute, the path of an element: only servers, so that nothing loops.  Sans-I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Generic

from indipydriver.protocol.frame import Frame
from indipydriver.protocol.via import with_via, without_via

from .devices import DeviceRecord
from .endpoint import Delivery, E, Role
from .routes import Routes

__all__ = ["Takeovers", "Ways", "gives_way"]

_MOST_TAKEOVERS: Final = 16
_TAKEOVERS_TIME: Final = 60.0  # seconds
_TAKEOVERS_REMEMBERED: Final = 1000  # devices


class Ways(Generic[E]):
    """Gives an element the forms that servers and others get.

    Args:
        name: The name of this server in ``via`` attributes.
        routes: Finds receivers.
    """

    def __init__(self, name: str, routes: Routes[E]) -> None:
        self._name = name
        self._routes = routes

    def to_servers_and_others(self, frame: Frame, receivers: tuple[E, ...], out: list[Delivery[E]]) -> tuple[E, ...]:
        """Deliver an element that ownership does not keep from looping: servers get our name added, others no path.

        Returns:
            Those who still have to get the frame as it is.
        """
        servers = self._routes.servers_among(receivers)
        if servers:
            out.append(([with_via(frame, self._name)], servers))
            receivers = self._routes.intern(p for p in receivers if not p.is_server)
        return self.plainly(frame, receivers, out)

    def of_each(self, deliveries: list[Delivery[E]], out: list[Delivery[E]]) -> list[Delivery[E]]:
        """Like :meth:`to_servers_and_others` for deliveries of one frame each; returns those that remain."""
        left = [(frames, self.to_servers_and_others(frames[0], endpoints, out)) for frames, endpoints in deliveries]
        return [(frames, endpoints) for frames, endpoints in left if endpoints]

    def plainly(self, frame: Frame, receivers: tuple[E, ...], out: list[Delivery[E]]) -> tuple[E, ...]:
        """Remove the path for receivers that are not servers; returns those who still have to get it as it is."""
        plain = without_via(frame)
        if plain is frame or not receivers:
            return receivers
        out.append(([plain], receivers))
        return ()


def gives_way(record: DeviceRecord[E], source: E, way: Sequence[str]) -> bool:
    """Does a device that another endpoint serves go to this one, which defines a device of the same name?

    A device of a server above cannot be commanded from here, so one from below replaces it; but not if it is the same
    one, which has come a longer way round: two servers that are connected to each other, below a third one, would take
    it from each other for ever.
    """
    if source.role is Role.UPSTREAM:
        return False
    comes_round = way[:1] == record.way[:1] and len(way) > len(record.way) > 0
    return record.vacant or (record.owner.role is Role.UPSTREAM and not comes_round)


class Takeovers:
    """Limits how often devices are taken from servers above for those below.

    Where a server above and one below have devices of the same name, and a driver snoops on it, each deletion may be
    answered with a definition: it would go on for ever.

    Args:
        clock: The time in seconds, from any starting point.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._taken: dict[str, tuple[float, int]] = {}  # by device: since when, and how often

    def forget(self) -> None:
        """Forget all devices, because everybody has gone."""
        self._taken.clear()

    def allow(self, device: str) -> bool:
        """Count one; False if this device has been taken too often in the last minute."""
        now = self._clock()
        since, count = self._taken.get(device, (now, 0))
        if now - since >= _TAKEOVERS_TIME:
            since, count = now, 0
        if count >= _MOST_TAKEOVERS:
            return False
        if len(self._taken) >= _TAKEOVERS_REMEMBERED:
            self._taken.clear()
        self._taken[device] = since, count + 1
        return True
