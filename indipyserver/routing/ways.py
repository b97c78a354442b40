"""Who is shown the way that an element has taken: servers, so that it does not go round.  Sans-I/O."""

from __future__ import annotations

from indipydriver.protocol.frame import Frame
from indipydriver.protocol.via import with_via, without_via

from .endpoint import Delivery, Endpoint
from .routes import Routes

__all__ = ["Ways"]


class Ways:
    """Brings an element into the forms that servers and others get.

    Args:
        name: The name of this server in ``via`` attributes.
        routes: Finds receivers.
    """

    def __init__(self, name: str, routes: Routes) -> None:
        self._name = name
        self._routes = routes

    def to_servers_and_others(
        self, frame: Frame, receivers: tuple[Endpoint, ...], out: list[Delivery]
    ) -> tuple[Endpoint, ...]:
        """Keep an element that no owner keeps from going round: servers get it with our name in it, others without any.

        Returns:
            Those who are still to get the frame as it is.
        """
        servers = self._routes.servers_among(receivers)
        if servers:
            out.append(([with_via(frame, self._name)], servers))
            receivers = self._routes.intern(p for p in receivers if not p.is_server)
        return self.plainly(frame, receivers, out)

    def of_each(self, deliveries: list[Delivery], out: list[Delivery]) -> list[Delivery]:
        """As :meth:`to_servers_and_others` for deliveries of one frame each; returns those that are left."""
        left = [(frames, self.to_servers_and_others(frames[0], endpoints, out)) for frames, endpoints in deliveries]
        return [(frames, endpoints) for frames, endpoints in left if endpoints]

    def plainly(self, frame: Frame, receivers: tuple[Endpoint, ...], out: list[Delivery]) -> tuple[Endpoint, ...]:
        """Who is no server is not shown which way an element came; returns those who are to get it as it is."""
        plain = without_via(frame)
        if plain is frame or not receivers:
            return receivers
        out.append(([plain], receivers))
        return ()
