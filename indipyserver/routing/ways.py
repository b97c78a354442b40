"""Who gets the ``via`` attribute, the path of an element: only servers, so that nothing loops.  Sans-I/O."""

from __future__ import annotations

from typing import Generic

from indipydriver.protocol.frame import Frame
from indipydriver.protocol.via import with_via, without_via

from .endpoint import Delivery, E
from .routes import Routes

__all__ = ["Ways"]


class Ways(Generic[E]):
    """Gives an element the forms that servers and others get.

    Args:
        name: The name of this server in ``via`` attributes.
        routes: Finds receivers.
    """

    def __init__(self, name: str, routes: Routes[E]) -> None:
        self._name = name
        self._routes = routes

    def to_servers_and_others(
        self, frame: Frame, receivers: tuple[E, ...], out: list[Delivery[E]], *, watched: bool = False
    ) -> tuple[E, ...]:
        """Deliver an element that ownership does not keep from looping: servers get our name added, others no path.

        Args:
            frame: The element.
            receivers: Those who are to get it.
            out: The list to which deliveries are added.
            watched: It defines a device of a server above.

        Returns:
            Those who still have to get the frame as it is.
        """
        servers = self._routes.servers_among(receivers)
        if servers:
            out.append(([with_via(frame, self._name, watched=watched)], servers))
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
