"""Who receives an element, and the cache of that.  Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Final, Generic

from indipydriver.protocol.frame import Address, BlobFrame, Frame
from indipydriver.protocol.tags import Verb

from .devices import DeviceTable
from .endpoint import COMMANDERS, E, Role

__all__ = ["EVERYBODY", "MAX_ROUTES", "Routes", "bits_of", "has_data"]

MAX_ROUTES: Final = 8192
"""Addresses cached for one endpoint, and combinations of receivers; a full cache is cleared."""

EVERYBODY: Final = -1
"""The set of all endpoints, as an integer."""

_FEW: Final = 8
_SERIAL = attrgetter("serial")


class Routes(Generic[E]):
    """Finds the receivers of an element by its address.

    Args:
        devices: All devices.
        endpoints: All endpoints; the router's own list.
    """

    def __init__(self, devices: DeviceTable[E], endpoints: list[E]) -> None:
        self._devices = devices
        self._endpoints = endpoints
        self._receivers: dict[tuple[E, ...], tuple[E, ...]] = {}
        self._commanded: dict[tuple[E, ...], tuple[E, ...]] = {}
        self._sources: set[E] = set()  # those whose routes are cached
        self._defined: dict[tuple[str, int], tuple[E, ...]] = {}  # who gets all definitions of a device
        self._servers: dict[tuple[E, ...], tuple[E, ...]] = {}  # the servers among some receivers
        self._seats: dict[int, E] = {}

    def seat(self, endpoint: E) -> None:
        """Give a new endpoint the lowest free bit."""
        taken = bits_of(self._seats.values())
        endpoint.bit = ~taken & (taken + 1)
        self._seats[endpoint.bit] = endpoint

    def unseat(self, endpoint: E) -> None:
        """Free the bit of an endpoint that is gone and in no set."""
        del self._seats[endpoint.bit]
        endpoint.bit = 0

    def wanting(
        self,
        address: Address,
        source: E | None,
        *,
        among: Iterable[E] | None = None,
        with_data: bool = False,
    ) -> tuple[E, ...]:
        """The endpoints, or those in `among`, that are interested in this address.

        A driver may snoop on its own devices if it names them; no other endpoint gets what it has sent.
        """
        device, name = address.device, address.name
        assert device is not None
        endpoints = self._endpoints if among is None else among
        record = self._devices.get(device)
        if record is not None and record.circles and address.tag.verb is not Verb.DELETE:
            endpoints = [endpoint for endpoint in endpoints if not endpoint.is_above]
        return self.intern(
            [
                endpoint
                for endpoint in endpoints
                if endpoint.interest.wants(address, with_data)
                and (endpoint is not source or (endpoint.role is Role.DRIVER and endpoint.interest.names(device, name)))
                and (endpoint.takes_blobs or not with_data)
            ]
        )

    def wanting_definition(self, address: Address, source: E, among: int = EVERYBODY) -> tuple[E, ...]:
        """The endpoints, or those in `among`, that are interested in a definition by the owner of a device.

        Definitions come in runs, and nearly always the same endpoints want all definitions of one device.
        """
        device = address.device
        assert device is not None
        receivers = self._defined.get((device, among))
        if receivers is None:
            receivers = self.wanting(address, source, among=None if among == EVERYBODY else self.among(among))
            if all(p.interest.is_whole(device) and (p is not source or not p.interest) for p in self._endpoints):
                if len(self._defined) >= MAX_ROUTES:
                    self._defined.clear()
                self._defined[device, among] = receivers
        return receivers

    def servers_among(self, receivers: tuple[E, ...]) -> tuple[E, ...]:
        """The servers among some receivers: they may send back what they get."""
        servers = self._servers.get(receivers)
        if servers is None:
            servers = self._servers[receivers] = self.intern(endpoint for endpoint in receivers if endpoint.is_server)
        return servers

    def among(self, bits: int) -> list[E]:
        """The endpoints of a set kept as an integer, in order of arrival."""
        if bits.bit_count() > _FEW:
            return [endpoint for endpoint in self._endpoints if endpoint.bit & bits]
        found = []
        while bits:
            lowest = bits & -bits
            found.append(self._seats[lowest])
            bits ^= lowest
        return sorted(found, key=_SERIAL)

    def but(self, bits: int) -> list[E]:
        """All endpoints that are not in such a set."""
        return [endpoint for endpoint in self._endpoints if not endpoint.bit & bits]

    def commanders(self) -> list[E]:
        """Endpoints that may send commands and that get those of others."""
        return [endpoint for endpoint in self._endpoints if endpoint.role in COMMANDERS]

    def intern(self, endpoints: Iterable[E]) -> tuple[E, ...]:
        """One object for each combination, so that runs of frames with the same receivers are found by identity."""
        receivers = tuple(endpoints)
        if len(self._receivers) >= MAX_ROUTES:
            self._receivers.clear()
            self._servers.clear()
        return self._receivers.setdefault(receivers, receivers) if receivers else ()

    def intern_for_command(self, receivers: tuple[E, ...]) -> tuple[E, ...]:
        """Like :meth:`intern`, but with separate objects, so that news and commands never share a run."""
        if len(self._commanded) >= MAX_ROUTES:
            self._commanded.clear()
        return self._commanded.setdefault(receivers, receivers)

    def remember(self, source: E, frame: Frame, receivers: tuple[E, ...]) -> tuple[E, ...]:
        """Use the same receivers for this address until something changes.

        Not for BLOB vectors: their address does not tell whether they contain data, which not everybody wants.
        """
        if not frame.tag.is_blob:
            if len(source.routes) >= MAX_ROUTES:
                source.routes.clear()
            elif not source.routes:
                self._sources.add(source)
            source.routes[frame.address] = receivers
        return receivers

    def forget(self) -> None:
        """Clear the caches because something has changed."""
        self._receivers.clear()
        self._commanded.clear()
        self._defined.clear()
        self._servers.clear()
        for endpoint in self._sources:
            endpoint.routes.clear()
        self._sources.clear()


def bits_of(endpoints: Iterable[E]) -> int:
    """A set of endpoints as an integer."""
    bits = 0
    for endpoint in endpoints:
        bits |= endpoint.bit
    return bits


def has_data(frame: Frame) -> bool:
    """Is it a BLOB vector that contains data, and so goes only to those who have enabled it?"""
    return isinstance(frame, BlobFrame) and bool(frame.spans)
