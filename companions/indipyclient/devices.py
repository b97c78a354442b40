"""Devices, and snapshots of devices and whole clients."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from .propertyvectors import PropertyVector
from .snapshots import Copied, Dumps, Received, SnapVector

if TYPE_CHECKING:
    from .devicestore import DeviceStore

__all__ = ["MESSAGES", "Device", "Snap", "SnapDevice"]

MESSAGES: Final = 8
"""Messages that are kept for each device, and for the site."""

Said = tuple[datetime, str]


def _dump_messages(messages: list[Said]) -> list[list[str]]:
    return [[time.isoformat(sep="T"), text] for time, text in messages]


class SnapDevice(Copied[SnapVector], Dumps):
    """A snapshot of a device: a mapping of vector names to vectors."""

    def __init__(
        self, devicename: str, vectors: dict[str, SnapVector], messages: list[Said], user_string: str, itemid: int
    ) -> None:
        self.devicename = devicename
        self.data = vectors
        self.messages = messages
        self.user_string = user_string
        self.itemid = itemid

    @property
    def enable(self) -> bool:
        """Whether it has a vector that has not been deleted."""
        return any(vector.enable for vector in self.data.values())

    def _whose(self) -> str:
        return "the vectors of a snapshot"

    def dictdump(
        self, inc_blob: bool = False, inc_user_string: bool = False, inc_itemid: bool = False
    ) -> dict[str, Any]:
        found: dict[str, Any] = {
            "devicename": self.devicename,
            "enable": self.enable,
            "messages": _dump_messages(self.messages),
        }
        found["vectors"] = {
            name: vector.dictdump(inc_blob, inc_user_string, inc_itemid) for name, vector in self.data.items()
        }
        if inc_user_string:
            found["user_string"] = self.user_string
        if inc_itemid:
            found["itemid"] = self.itemid
        return found


class Snap(Copied[SnapDevice], Dumps):
    """A snapshot of a client: a mapping of device names to devices."""

    def __init__(
        self,
        indihost: str,
        indiport: int,
        connected: bool,
        devices: dict[str, SnapDevice],
        messages: list[Said],
        user_string: str,
    ) -> None:
        self.indihost = indihost
        self.indiport = indiport
        self.connected = connected
        self.data = devices
        self.messages = messages
        self.user_string = user_string

    def _whose(self) -> str:
        return "the devices of a snapshot"

    def enabledlen(self) -> int:
        """How many devices are enabled."""
        return sum(device.enable for device in self.data.values())

    def get_vector_state(self, devicename: str, vectorname: str) -> str | None:
        """The state of a vector; None if it does not exist or has been deleted."""
        device = self.data.get(devicename)
        vector = device.get(vectorname) if device is not None else None
        return vector.state if vector is not None and vector.enable else None

    def dictdump(
        self, inc_blob: bool = False, inc_user_string: bool = False, inc_itemid: bool = False
    ) -> dict[str, Any]:
        found: dict[str, Any] = {
            "indihost": self.indihost,
            "indiport": self.indiport,
            "connected": self.connected,
            "messages": _dump_messages(self.messages),
        }
        found["devices"] = {
            name: device.dictdump(inc_blob, inc_user_string, inc_itemid) for name, device in self.data.items()
        }
        if inc_user_string:
            found["user_string"] = self.user_string
        return found


class Device(Received[PropertyVector]):
    """A device: a mapping of vector names to vectors, including deleted ones.

    Attributes:
        devicename: Its name.
        messages: Its last messages, newest first, as ``(time, text)``.
        user_string: For your own use.
        itemid: A number that no other item of this client has.
    """

    def __init__(self, devicename: str, client: DeviceStore) -> None:
        self.devicename = devicename
        self.data: dict[str, PropertyVector] = {}
        self.messages: deque[Said] = deque(maxlen=MESSAGES)
        self.heard = 0  # bytes of these, when the last one came
        self.itemid = client.create_itemid(devicename)
        self.user_string = client.stored_user_string(devicename)
        self._snaps: dict[str, SnapVector] = {}  # of the vectors that have not changed since
        self._last: SnapDevice | None = None
        self._enabled: bool | None = None  # kept until a vector changes: with many vectors it takes some time

    def _whose(self) -> str:
        return "the vectors of a device"

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    @property
    def enable(self) -> bool:
        """Whether it has a vector that has not been deleted."""
        if self._enabled is None:
            self._enabled = any(vector.enable for vector in self.data.values())
        return self._enabled

    def disable(self) -> None:
        """Mark all its vectors as deleted."""
        for vector in self.data.values():
            vector.enable = False

    def changed(self, vectorname: str) -> None:
        """Note that a vector has changed: the next snapshot must be new."""
        self._snaps.pop(vectorname, None)
        self._last = None
        self._enabled = None

    def snapshot(self) -> SnapDevice:
        """A copy that does not change; unchanged parts are shared with earlier copies."""
        last = self._last
        messages = list(self.messages)
        if last is not None and last.messages == messages and last.user_string == self.user_string:
            return last
        for name, vector in self.data.items():
            if name not in self._snaps:
                self._snaps[name] = vector.snapshot()
        vectors = {name: self._snaps[name] for name in self.data}
        self._last = SnapDevice(self.devicename, vectors, messages, self.user_string, self.itemid)
        return self._last
