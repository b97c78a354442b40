"""The news that endpoints miss because of their BLOB mode ``Only``.  Sans-I/O."""

from __future__ import annotations

from typing import Generic

from indipydriver.protocol.frame import Address
from indipydriver.protocol.tags import BlobMode

from .devices import DeviceTable, PropertyRecord
from .endpoint import COMMANDERS, E
from .routes import EVERYBODY

__all__ = ["OnlyBlobs"]


class OnlyBlobs(Generic[E]):
    """Remembers the devices of which an endpoint has missed news, so that it gets definitions when its mode changes.

    Before further news of a property that it has missed, it gets the definition, as if it had never seen one.

    Args:
        devices: All devices.
    """

    def __init__(self, devices: DeviceTable[E]) -> None:
        self._devices = devices
        self._left_out: dict[E, set[str]] = {}  # by endpoint that has set the mode

    def __bool__(self) -> bool:
        """Has anybody set the mode?  Hardly anybody ever does."""
        return bool(self._left_out)

    def passed(
        self,
        address: Address,
        prop: PropertyRecord,
        source: E,
        *,
        among: int = EVERYBODY,
        news: bool = True,
    ) -> None:
        """Note that a definition, or an update whose route was not cached, has been passed on.

        Args:
            address: Its address.
            prop: The property.
            source: Who sent it.
            among: The endpoints it was meant for.
            news: It does not merely repeat the last definition.
        """
        if address.tag.is_blob:
            return
        _, device, name = address
        assert device is not None
        for endpoint, devices in self._left_out.items():
            if not endpoint.bit & among or endpoint is source or not endpoint.interest.asked(device, name):
                continue
            if endpoint.interest.covers(device, name) and not endpoint.interest.wants(address):
                prop.missing |= endpoint.bit
                if news and endpoint.role in COMMANDERS:
                    prop.unseen |= endpoint.bit
                devices.add(device)
                if len(devices) > len(self._devices):
                    devices.intersection_update(self._devices)

    def mode_changed(self, endpoint: E, device: str | None, mode: BlobMode) -> list[str]:
        """Note that an endpoint has set its mode for a device, or for all.

        Returns:
            The devices that have to be defined to it again.
        """
        if mode is BlobMode.ONLY:
            self._left_out.setdefault(endpoint, set())
            return []
        left_out = self._left_out.get(endpoint)
        if left_out is None:
            return []
        again = set(left_out) if device is None else left_out & {device}
        left_out -= again
        if device is None:  # no device has a mode of its own now
            del self._left_out[endpoint]
        return sorted(device for device in again if device in self._devices)

    def forget(self, endpoint: E) -> None:
        """Note that this endpoint is gone."""
        self._left_out.pop(endpoint, None)
