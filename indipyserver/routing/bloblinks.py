"""Which BLOBs of other servers cross the link: those that somebody here wants.  Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Generic

from indipydriver.protocol.encode import encode
from indipydriver.protocol.messages import EnableBlob
from indipydriver.protocol.tags import BlobMode

from .devices import DeviceTable, PropertyRecord
from .endpoint import SERVERS, Delivery, E
from .routes import bits_of

__all__ = ["BlobLinks"]

_BLOBS_TOLD: Final = 10_000  # BLOB properties remembered as requested from one server; many of them may be gone


class BlobLinks(Generic[E]):
    """Tracks who wants each BLOB property of another server: enables it for the first, disables it after the last.

    Args:
        devices: All devices.

    Attributes:
        modes: What BLOB modes were set for in this read, and whether to evaluate them again; see :meth:`mode_set`.
    """

    def __init__(self, devices: DeviceTable[E]) -> None:
        self._devices = devices
        self.modes: dict[tuple[str | None, str | None], bool] = {}

    def defined(self, device: str, name: str, endpoints: Iterable[E], out: list[Delivery[E]]) -> None:
        """A BLOB property has been defined."""
        for _, owner, prop in self._distant(device, name):
            prop.takers = bits_of(endpoint for endpoint in endpoints if _takes(endpoint, owner, device, name))
            self._ask(device, name, owner, prop, out)

    def mode_set(self, endpoint: E, device: str | None, name: str | None, out: list[Delivery[E]]) -> None:
        """An endpoint has set a mode.  If it does so again in one read, that counts once the read has been routed.

        A mode can concern thousands of properties, and one read can hold hundreds of contradictory modes.
        """
        key = device, name
        if key in self.modes:
            self.modes[key] = True
        else:
            self.modes[key] = False
            self.wishes_changed(endpoint, device, name, out)

    def read(self, endpoint: E, out: list[Delivery[E]]) -> None:
        """Everything in one read from this endpoint has been routed."""
        for (device, name), changed in self.modes.items():
            if changed:
                self.wishes_changed(endpoint, device, name, out)
        self.modes.clear()

    def wishes_changed(self, endpoint: E, device: str | None, name: str | None, out: list[Delivery[E]]) -> None:
        """The BLOBs that this endpoint wants of a property, a device or all devices may have changed."""
        devices = self._devices.with_blobs() if device is None else (device,)
        for each in devices:
            for found, owner, prop in self._distant(each, name):
                if _takes(endpoint, owner, each, found):
                    prop.takers |= endpoint.bit
                else:
                    prop.takers &= ~endpoint.bit
                self._ask(each, found, owner, prop, out)

    def left(self, endpoint: E, out: list[Delivery[E]]) -> None:
        """This endpoint no longer wants anything."""
        for device in self._devices.with_blobs():
            for name, owner, prop in self._distant(device, None):
                if prop.takers & endpoint.bit:
                    prop.takers &= ~endpoint.bit
                    self._ask(device, name, owner, prop, out)

    def stop(self, device: str, out: list[Delivery[E]]) -> None:
        """The device is taken from its owner, which need no longer send its BLOBs."""
        for name, owner, prop in self._distant(device, None):
            prop.takers = 0
            self._ask(device, name, owner, prop, out)

    def _distant(self, device: str, name: str | None) -> list[tuple[str, E, PropertyRecord]]:
        """Name, owner and record of each BLOB property of this device, if a server owns it whose link carries BLOBs."""
        record = self._devices.get(device)
        if record is None or record.owner.role not in SERVERS or not record.owner.takes_blobs:
            return []
        return [(found, record.owner, prop) for found, prop in self._devices.blobs(device, name)]

    def _ask(self, device: str, name: str, owner: E, prop: PropertyRecord, out: list[Delivery[E]]) -> None:
        told = owner.told_blobs
        key = device, name
        if bool(prop.takers) == (key in told):
            return
        if prop.takers:
            if len(told) >= max(_BLOBS_TOLD, 2 * self._devices.count(owner)):  # so that at least half of them go
                told.intersection_update(
                    [(device, name) for device in self._devices.of(owner) for name, _ in self._devices.blobs(device)]
                )
            told.add(key)
        else:
            told.discard(key)
        mode = BlobMode.ALSO if prop.takers else BlobMode.NEVER
        out.append(([encode(EnableBlob(device, name, mode))], (owner,)))


def _takes(endpoint: E, owner: E, device: str, name: str) -> bool:
    return endpoint is not owner and endpoint.takes_blobs and endpoint.interest.wants_blob(device, name)
