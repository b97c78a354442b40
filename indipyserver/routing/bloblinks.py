"""Which BLOBs of other servers are to cross the link: those that somebody here wants.  Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from indipydriver.protocol.encode import encode
from indipydriver.protocol.messages import EnableBlob
from indipydriver.protocol.tags import BlobMode

from .devices import DeviceTable, Property
from .endpoint import SERVERS, Delivery, Party
from .routes import bits_of

__all__ = ["BlobLinks"]

_MAX_TOLD: Final = 10_000  # BLOB properties, many of them gone, that one server is remembered to have been asked for


class BlobLinks:
    """Keeps who wants each BLOB property of another server, and asks that server when the first comes or the last goes.

    Args:
        devices: All devices.

    Attributes:
        modes: What modes were set for in this read, and whether that has still to be looked at: see :meth:`mode_set`.
    """

    def __init__(self, devices: DeviceTable[Party]) -> None:
        self._devices = devices
        self.modes: dict[tuple[str | None, str | None], bool] = {}

    def defined(self, device: str, name: str, parties: Iterable[Party], out: list[Delivery]) -> None:
        """A BLOB property has been defined for the first time."""
        for _, owner, prop in self._distant(device, name):
            prop.takers = bits_of(party for party in parties if _takes(party, owner, device, name))
            self._ask(device, name, owner, prop, out)

    def mode_set(self, party: Party, device: str | None, name: str | None, out: list[Delivery]) -> None:
        """A party has set a mode.  The second time in one read it counts when the read has been routed.

        A mode can concern thousands of properties, and one read hold hundreds of modes that contradict each other.
        """
        key = device, name
        if key in self.modes:
            self.modes[key] = True
        else:
            self.modes[key] = False
            self.wishes_changed(party, device, name, out)

    def read(self, party: Party, out: list[Delivery]) -> None:
        """All that came in one read from this party has been routed."""
        for (device, name), changed in self.modes.items():
            if changed:
                self.wishes_changed(party, device, name, out)
        self.modes.clear()

    def wishes_changed(self, party: Party, device: str | None, name: str | None, out: list[Delivery]) -> None:
        """What this party wants of a property, of a device, or of all of them may have changed."""
        devices = self._devices.with_blobs() if device is None else (device,)
        for each in devices:
            for found, owner, prop in self._distant(each, name):
                if _takes(party, owner, each, found):
                    prop.takers |= party.bit
                else:
                    prop.takers &= ~party.bit
                self._ask(each, found, owner, prop, out)

    def left(self, party: Party, out: list[Delivery]) -> None:
        """This party wants nothing any more."""
        for device in self._devices.with_blobs():
            for name, owner, prop in self._distant(device, None):
                if prop.takers & party.bit:
                    prop.takers &= ~party.bit
                    self._ask(device, name, owner, prop, out)

    def stop(self, device: str, out: list[Delivery]) -> None:
        """The device is taken from its owner, who need not send its BLOBs any more."""
        for name, owner, prop in self._distant(device, None):
            prop.takers = 0
            self._ask(device, name, owner, prop, out)

    def _distant(self, device: str, name: str | None) -> list[tuple[str, Party, Property]]:
        """The BLOB properties of this device, if they come over a link that lets BLOBs pass: name, owner, property."""
        record = self._devices.get(device)
        if record is None or record.owner.role not in SERVERS or not record.owner.takes_blobs:
            return []
        return [(found, record.owner, prop) for found, prop in self._devices.blobs(device, name)]

    def _ask(self, device: str, name: str, owner: Party, prop: Property, out: list[Delivery]) -> None:
        told = owner.told_blobs
        key = device, name
        if bool(prop.takers) == (key in told):
            return
        if prop.takers:
            if len(told) >= max(_MAX_TOLD, 2 * self._devices.count(owner)):  # so that half of them go, at least
                told.intersection_update(
                    [(device, name) for device in self._devices.of(owner) for name, _ in self._devices.blobs(device)]
                )
            told.add(key)
        else:
            told.discard(key)
        mode = BlobMode.ALSO if prop.takers else BlobMode.NEVER
        out.append(([encode(EnableBlob(device, name, mode))], (owner,)))


def _takes(party: Party, owner: Party, device: str, name: str) -> bool:
    return party is not owner and party.takes_blobs and party.interest.wants_blob(device, name)
