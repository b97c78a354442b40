"""Who receives an element, and the memory of that.  Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Final

from indipydriver.protocol.frame import Address, BlobFrame, Frame
from indipydriver.protocol.tags import Verb

from .devices import DeviceTable
from .endpoint import COMMANDERS, Party, Role

__all__ = ["EVERYBODY", "MAX_ROUTES", "Routes", "bits_of", "has_data"]

MAX_ROUTES: Final = 8192
"""Addresses remembered for one party, and combinations of receivers; beyond them all are found out anew."""

EVERYBODY: Final = -1
"""All parties, as a set that is kept as a number."""

_FEW: Final = 8
_SERIAL = attrgetter("serial")


class Routes:
    """Finds the receivers of an element by its address.

    Args:
        devices: All devices.
        parties: All parties; the router's own list.
    """

    def __init__(self, devices: DeviceTable[Party], parties: list[Party]) -> None:
        self._devices = devices
        self._parties = parties
        self._receivers: dict[tuple[Party, ...], tuple[Party, ...]] = {}
        self._commanded: dict[tuple[Party, ...], tuple[Party, ...]] = {}
        self._sources: set[Party] = set()  # those whose routes are remembered
        self._defined: dict[tuple[str, int], tuple[Party, ...]] = {}  # who gets all that is defined of a device
        self._servers: dict[tuple[Party, ...], tuple[Party, ...]] = {}  # those among some receivers
        self._seats: dict[int, Party] = {}

    def seat(self, party: Party) -> None:
        """Give a new party a bit: the lowest that is free."""
        taken = bits_of(self._seats.values())
        party.bit = ~taken & (taken + 1)
        self._seats[party.bit] = party

    def unseat(self, party: Party) -> None:
        """The party is gone, and nothing is kept of it."""
        del self._seats[party.bit]
        party.bit = 0

    def wanting(
        self,
        address: Address,
        source: Party | None,
        *,
        among: Iterable[Party] | None = None,
        with_data: bool = False,
    ) -> tuple[Party, ...]:
        """The parties (or those among some) that are interested in this address.

        A driver may snoop on its own devices, if it says so; nobody else hears himself.
        """
        device, name = address.device, address.name
        assert device is not None
        parties = self._parties if among is None else among
        record = self._devices.get(device)
        if record is not None and record.circles and address.tag.verb is not Verb.DELETE:
            parties = [party for party in parties if not party.is_above]
        return self.intern(
            [
                party
                for party in parties
                if party.interest.wants(address, with_data)
                and (party is not source or (party.role is Role.DRIVER and party.interest.names(device, name)))
                and (party.takes_blobs or not with_data)
            ]
        )

    def wanting_definition(self, address: Address, source: Party, among: int = EVERYBODY) -> tuple[Party, ...]:
        """The parties (or those among some) that are interested in what the owner of a device defines.

        Definitions come in runs, and nearly always the same parties want all of those of one device.
        """
        device = address.device
        assert device is not None
        receivers = self._defined.get((device, among))
        if receivers is None:
            receivers = self.wanting(address, source, among=None if among == EVERYBODY else self.among(among))
            if all(p.interest.is_whole(device) and (p is not source or not p.interest) for p in self._parties):
                if len(self._defined) >= MAX_ROUTES:
                    self._defined.clear()
                self._defined[device, among] = receivers
        return receivers

    def servers_among(self, receivers: tuple[Party, ...]) -> tuple[Party, ...]:
        """Those of them who may bring back what they get."""
        servers = self._servers.get(receivers)
        if servers is None:
            servers = self._servers[receivers] = self.intern(party for party in receivers if party.is_server)
        return servers

    def among(self, bits: int) -> list[Party]:
        """The parties of a set that is kept as a number, in the order in which they came."""
        if bits.bit_count() > _FEW:
            return [party for party in self._parties if party.bit & bits]
        found = []
        while bits:
            lowest = bits & -bits
            found.append(self._seats[lowest])
            bits ^= lowest
        return sorted(found, key=_SERIAL)

    def but(self, bits: int) -> list[Party]:
        """All parties that are not in such a set."""
        return [party for party in self._parties if not party.bit & bits]

    def commanders(self) -> list[Party]:
        """Those who may send commands, and hear those of others."""
        return [party for party in self._parties if party.role in COMMANDERS]

    def intern(self, parties: Iterable[Party]) -> tuple[Party, ...]:
        """One object for each combination, so that runs of frames with the same receivers are found by identity."""
        receivers = tuple(parties)
        if len(self._receivers) >= MAX_ROUTES:
            self._receivers.clear()
            self._servers.clear()
        return self._receivers.setdefault(receivers, receivers) if receivers else ()

    def intern_for_command(self, receivers: tuple[Party, ...]) -> tuple[Party, ...]:
        """As :meth:`intern`, but other objects than those for news: news and commands never share a run."""
        if len(self._commanded) >= MAX_ROUTES:
            self._commanded.clear()
        return self._commanded.setdefault(receivers, receivers)

    def remember(self, source: Party, frame: Frame, receivers: tuple[Party, ...]) -> tuple[Party, ...]:
        """Use the same receivers for this address until something changes.

        A BLOB vector is looked at each time: whether it has data in it, which not everybody wants, is not in its
        address.
        """
        if not frame.tag.is_blob:
            if len(source.routes) >= MAX_ROUTES:
                source.routes.clear()
            elif not source.routes:
                self._sources.add(source)
            source.routes[frame.address] = receivers
        return receivers

    def forget(self) -> None:
        """Something has changed: who gets what is found out anew."""
        self._receivers.clear()
        self._commanded.clear()
        self._defined.clear()
        self._servers.clear()
        for party in self._sources:
            party.routes.clear()
        self._sources.clear()


def bits_of(parties: Iterable[Party]) -> int:
    """A set of parties as a number."""
    bits = 0
    for party in parties:
        bits |= party.bit
    return bits


def has_data(frame: Frame) -> bool:
    """It is a BLOB vector with data in it, which only those get who have enabled it."""
    return isinstance(frame, BlobFrame) and bool(frame.spans)
