"""What one peer wants to receive.  Sans-I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from indipydriver.protocol.frame import Address
from indipydriver.protocol.tags import BlobMode, VectorKind, Verb

__all__ = ["MAX_INTERESTS", "Interest"]

MAX_INTERESTS: Final = 10_000
"""Names one peer may ask for: more than the properties of any site, few enough to keep."""


class Interest:
    """The devices and properties a peer has asked for, and its BLOB modes.

    A client that has asked for nothing receives only messages that concern no device.
    Interests are never withdrawn: INDI has no element for that.

    Attributes:
        everything: It has sent a getProperties without device.
        devices: Devices asked for.
        properties: (device, property) pairs asked for.
        exists: If set, it returns False for devices that the peer may not see; these are never of interest.
    """

    __slots__ = (
        "_asked",
        "_blob_default",
        "_blob_devices",
        "_blob_names",
        "_blob_properties",
        "_partly",
        "devices",
        "everything",
        "exists",
        "properties",
    )

    def __init__(self) -> None:
        self.everything = False
        self.exists: Callable[[str], bool] | None = None
        self.devices: set[str] = set()
        self.properties: set[tuple[str, str]] = set()
        self._partly: set[str] = set()  # devices of which single properties were asked for
        self._asked: set[tuple[str, str | None]] = set()  # what getProperties named; other elements do not count
        self._blob_default = BlobMode.NEVER
        self._blob_devices: dict[str, BlobMode] = {}
        self._blob_properties: dict[str, dict[str, BlobMode]] = {}  # by device, then by name
        self._blob_names = 0  # the names in both of these

    def __bool__(self) -> bool:
        return self.everything or bool(self.devices) or bool(self.properties)

    def ask(self, device: str | None, name: str | None = None, *, definitions: bool = True) -> bool:
        """Record what a getProperties, an enableBLOB or a command concerns; True if that is new.

        No more than MAX_INTERESTS names are kept: only a flood asks for so many.

        Args:
            device: The device, or None for all.
            name: The property, or None for all of the device.
            definitions: It is a getProperties, which is answered with definitions.
        """
        if device is None:
            new = not self.everything
            self.everything = True
            return new
        if self.full:
            return False
        if name is None:
            new = device not in self.devices
            self.devices.add(device)
        else:
            new = (device, name) not in self.properties
            self.properties.add((device, name))
            self._partly.add(device)
        if definitions and (device, name) not in self._asked:
            self._asked.add((device, name))
            new = True
        return new

    def asked(self, device: str, name: str | None) -> bool:
        """Has a getProperties asked for this property or, without a name, for this whole device?"""
        return self.everything or (device, None) in self._asked or (device, name) in self._asked

    @property
    def full(self) -> bool:
        """Whether no further names are kept."""
        return len(self.devices) + len(self.properties) + self._blob_names >= MAX_INTERESTS

    def enable_blob(self, device: str | None, name: str | None, mode: BlobMode) -> bool:
        """Set the BLOB mode of one property, of a device, or (without device, seen in the wild) of all.

        A mode for a device replaces those of its properties, and a mode for all replaces every other:
        the newest counts, as in indiserver.  But each device has a mode of its own (INDI 1.7); indiserver
        has one for the whole connection.  When :attr:`full`, modes of further names are not kept.

        Returns:
            Whether it changes what this peer gets besides BLOB data.
        """
        if device is None:
            only = BlobMode.ONLY in (mode, self._blob_default, *self._blob_devices.values())
            changed = only and (mode is not self._blob_default or bool(self._blob_devices))
            self._blob_default = mode
            self._blob_devices.clear()
            self._blob_properties.clear()
            self._blob_names = 0
            return changed
        if name is not None:
            modes = self._blob_properties.get(device, {})
            if name in modes or not self.full:
                self._blob_names += name not in modes
                modes[name] = mode
                self._blob_properties[device] = modes
            return False
        self._blob_names -= len(self._blob_properties.pop(device, ()))
        before = self._device_mode(device)
        if device in self._blob_devices or not self.full:
            self._blob_names += device not in self._blob_devices
            self._blob_devices[device] = mode
        return before is not self._device_mode(device) and BlobMode.ONLY in (before, mode)

    def blob_mode(self, device: str, name: str) -> BlobMode:
        """The mode for the BLOBs of one property."""
        modes = self._blob_properties.get(device)
        mode = modes.get(name) if modes else None
        return mode if mode is not None else self._device_mode(device)

    def _device_mode(self, device: str) -> BlobMode:
        return self._blob_devices.get(device, self._blob_default)

    def covers(self, device: str, name: str | None) -> bool:
        """Has it asked for this property or, without a name, for anything of this device?"""
        if self.exists is not None and not self.exists(device):
            return False
        if self.everything or device in self.devices:
            return True
        return device in self._partly if name is None else (device, name) in self.properties

    def includes(self, device: str, name: str | None) -> bool:
        """Is this property or, without a name, this whole device part of what it has asked for?"""
        if self.everything or device in self.devices:
            return True
        return name is not None and (device, name) in self.properties

    def names(self, device: str, name: str | None) -> bool:
        """Like :meth:`covers`, but only if it has named the device: a request for everything does not count."""
        if device in self.devices:
            return True
        return device in self._partly if name is None else (device, name) in self.properties

    def is_whole(self, device: str) -> bool:
        """Does it want either all definitions of this device, or none?"""
        if self._device_mode(device) is BlobMode.ONLY:
            return False
        return self.everything or device in self.devices or device not in self._partly

    def wants_blob(self, device: str, name: str) -> bool:
        """Is the data of this BLOB property to be sent?"""
        return self.covers(device, name) and self.blob_mode(device, name) is not BlobMode.NEVER

    def wants(self, address: Address, with_data: bool = False) -> bool:
        """Is an element with this address to be sent?

        Args:
            address: It must have a device.
            with_data: The element is a set or new BLOB vector that contains data.
        """
        tag, device, name = address
        assert device is not None
        if not self.covers(device, name):
            return False
        if with_data:
            return self.blob_mode(device, name or "") is not BlobMode.NEVER
        if self._device_mode(device) is BlobMode.ONLY:
            # Only BLOBs, and what is needed to understand them.
            return tag.verb is Verb.DELETE or (tag.kind is VectorKind.BLOB and tag.verb is not Verb.NEW)
        return True
