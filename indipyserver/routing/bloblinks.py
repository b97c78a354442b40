"""Which BLOBs of other servers are to cross the link: those that somebody here wants.  Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from indipydriver.protocol.encode import encode
from indipydriver.protocol.messages import EnableBlob
from indipydriver.protocol.tags import BlobMode

from .devices import DeviceTable, PropertyRecord
from .endpoint import SERVERS, Delivery, Endpoint
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

    def __init__(self, devices: DeviceTable[Endpoint]) -> None:
        self._devices = devices
        self.modes: dict[tuple[str | None, str | None], bool] = {}

    def defined(self, device: str, name: str, endpoints: Iterable[Endpoint], out: list[Delivery]) -> None:
        """A BLOB property has been defined for the first time."""
        for _, owner, prop in self._distant(device, name):
            prop.takers = bits_of(endpoint for endpoint in endpoints if _takes(endpoint, owner, device, name))
            self._ask(device, name, owner, prop, out)

    def mode_set(self, endpoint: Endpoint, device: str | None, name: str | None, out: list[Delivery]) -> None:
        """An endpoint has set a mode.  The second time in one read it counts when the read has been routed.

        A mode can concern thousands of properties, and one read hold hundreds of modes that contradict each other.
        """
        key = device, name
        if key in self.modes:
            self.modes[key] = True
        else:
            self.modes[key] = False
            self.wishes_changed(endpoint, device, name, out)

    def read(self, endpoint: Endpoint, out: list[Delivery]) -> None:
        """All that came in one read from this endpoint has been routed."""
        for (device, name), changed in self.modes.items():
            if changed:
                self.wishes_changed(endpoint, device, name, out)
        self.modes.clear()

    def wishes_changed(self, endpoint: Endpoint, device: str | None, name: str | None, out: list[Delivery]) -> None:
        """What this endpoint wants of a property, of a device, or of all of them may have changed."""
        devices = self._devices.with_blobs() if device is None else (device,)
        for each in devices:
            for found, owner, prop in self._distant(each, name):
                if _takes(endpoint, owner, each, found):
                    prop.takers |= endpoint.bit
                else:
                    prop.takers &= ~endpoint.bit
                self._ask(each, found, owner, prop, out)

    def left(self, endpoint: Endpoint, out: list[Delivery]) -> None:
        """This endpoint wants nothing any more."""
        for device in self._devices.with_blobs():
            for name, owner, prop in self._distant(device, None):
                if prop.takers & endpoint.bit:
                    prop.takers &= ~endpoint.bit
                    self._ask(device, name, owner, prop, out)

    def stop(self, device: str, out: list[Delivery]) -> None:
        """The device is taken from its owner, who need not send its BLOBs any more."""
        for name, owner, prop in self._distant(device, None):
            prop.takers = 0
            self._ask(device, name, owner, prop, out)

    def _distant(self, device: str, name: str | None) -> list[tuple[str, Endpoint, PropertyRecord]]:
        """The BLOB properties of this device, if they come over a link that lets BLOBs pass: name, owner, property."""
        record = self._devices.get(device)
        if record is None or record.owner.role not in SERVERS or not record.owner.takes_blobs:
            return []
        return [(found, record.owner, prop) for found, prop in self._devices.blobs(device, name)]

    def _ask(self, device: str, name: str, owner: Endpoint, prop: PropertyRecord, out: list[Delivery]) -> None:
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


def _takes(endpoint: Endpoint, owner: Endpoint, device: str, name: str) -> bool:
    return endpoint is not owner and endpoint.takes_blobs and endpoint.interest.wants_blob(device, name)
