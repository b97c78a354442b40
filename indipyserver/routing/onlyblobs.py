"""News that the BLOB mode ``Only`` keeps from those who have asked for them.  Sans-I/O."""

from __future__ import annotations

from indipydriver.protocol.frame import Address
from indipydriver.protocol.tags import BlobMode

from .devices import DeviceTable, Property
from .endpoint import COMMANDERS, Party
from .routes import EVERYBODY

__all__ = ["OnlyBlobs"]


class OnlyBlobs:
    """Remembers of which devices news did not reach a party, so that it can have definitions when its mode changes.

    What it has missed it is given a definition of first, as if it had never seen any.

    Args:
        devices: All devices.
    """

    def __init__(self, devices: DeviceTable[Party]) -> None:
        self._devices = devices
        self._left_out: dict[Party, set[str]] = {}  # who has set the mode, and the devices

    def __bool__(self) -> bool:
        """Has anybody set the mode?  Nearly always nobody has."""
        return bool(self._left_out)

    def passed(
        self,
        address: Address,
        prop: Property,
        source: Party,
        *,
        among: int = EVERYBODY,
        news: bool = True,
    ) -> None:
        """A definition, or an update that is not remembered to have come before, has been passed on.

        Args:
            address: Its address.
            prop: The property.
            source: Who has sent it.
            among: Those whom it was meant for.
            news: It is no mere repetition of the last definition.
        """
        if address.tag.is_blob:
            return
        _, device, name = address
        assert device is not None
        for party, devices in self._left_out.items():
            if not party.bit & among or party is source or not party.interest.asked(device, name):
                continue
            if party.interest.covers(device, name) and not party.interest.wants(address):
                prop.missing |= party.bit
                if news and party.role in COMMANDERS:
                    prop.unseen |= party.bit
                devices.add(device)
                if len(devices) > len(self._devices):
                    devices.intersection_update(self._devices)

    def mode_changed(self, party: Party, device: str | None, mode: BlobMode) -> list[str]:
        """A party has set its mode for a device, or for all.

        Returns:
            The devices that it has to be told about again.
        """
        if mode is BlobMode.ONLY:
            self._left_out.setdefault(party, set())
            return []
        left_out = self._left_out.get(party)
        if left_out is None:
            return []
        again = set(left_out) if device is None else left_out & {device}
        left_out -= again
        if device is None:  # no device has a mode of its own now
            del self._left_out[party]
        return sorted(device for device in again if device in self._devices)

    def forget(self, party: Party) -> None:
        """This party is gone."""
        self._left_out.pop(party, None)
