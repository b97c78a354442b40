"""What an :class:`indipyclient.IPyClient` knows: devices, vectors and members, with the strings of the user."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Any

from indipydriver.protocol.messages import AnyMessage, DefVector, DelProperty, SetVector
from indipydriver.protocol.tags import VectorKind

from .devices import MESSAGES, Device, Snap
from .model.kept import KeptBlobs, KeptTexts, held
from .model.model import MAX_DEVICES, MAX_PROPERTIES
from .propertyvectors import PropertyVector, new_vector, stamp
from .snapshots import Received

__all__ = ["DeviceStore"]


class DeviceStore(Received[Device]):
    """The base of the client: a mapping of device names to devices.

    Args:
        indihost: Name or address of the server.
        indiport: Its port.
    """

    def __init__(self, indihost: str, indiport: int) -> None:
        self.indihost = indihost
        self.indiport = indiport
        self.data: dict[str, Device] = {}
        self.messages: deque[tuple[datetime, str]] = deque(maxlen=MESSAGES)
        self.user_string = ""
        self.user_string_dict: dict[tuple[str, str | None, str | None], str] = {}
        self._indi_itemid = 0
        self._indi_blobs = KeptBlobs()
        self._indi_texts = KeptTexts()
        self._indi_vectors = 0
        self._indi_snap: Snap | None = None
        self.timeout_enable = True
        self.vector_timeout_min: float = 2
        self.vector_timeout_max: float = 10

    def _whose(self) -> str:
        return "the devices of a client"

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    @property
    def connected(self) -> bool:
        """Whether the server has been reached."""
        return False

    def create_itemid(self, devicename: str = "", vectorname: str = "", membername: str = "", **kwargs: Any) -> int:
        """A number for a new item, which no other has."""
        self._indi_itemid += 1
        return self._indi_itemid

    # What vectors need of a running client

    async def send_indi(self, message: AnyMessage) -> bool:
        """Send a message; False, and a line in the log, if that fails."""
        return False

    def refuse_to_send(self, message: str) -> None:
        """Log why something cannot be sent."""

    def look_at_timeout(self, vector: PropertyVector) -> None:
        """Note that the time for the answer to a vector may be over."""

    async def raise_clientevent(self, eventtype: str, vector: PropertyVector, payload: dict[str, Any]) -> None:
        """See :meth:`PropertyVector.create_clientevent`."""

    # Input

    def define_vector(self, item: DefVector) -> PropertyVector | None:
        """Store a definition; None if there are too many already."""
        device = self.data.get(item.device)
        if (device is None or item.name not in device.data) and not self._indi_has_room(device):
            return None
        vector = device.data.get(item.name) if device is not None else None
        before = vector if vector is not None and vector.kind is item.kind else None
        size = held(item, item.members, item.message or (before.message if before is not None else None))
        if not self._indi_texts.take(size - (vector.size if vector is not None else 0)):
            return None
        if device is None:
            device = self.data[item.device] = Device(item.device, self)
        if vector is not None and vector.kind is item.kind:
            vector.define(item)
        else:
            self._indi_vectors += item.name not in device.data
            vector = device.data[item.name] = new_vector(device, self, item)
        vector.size = size
        self.vector_changed(vector)
        return vector

    def take_update(self, item: SetVector, vector: PropertyVector) -> bool:
        """Store an update; False if there is too much already."""
        more = vector.growth(item)
        if more:
            if not self._indi_texts.take(more):
                return False
            vector.grow(item, more)
        vector.update(item)
        return True

    def _indi_has_room(self, device: Device | None) -> bool:
        """Whether there is room for one more vector; deleted ones stay, so names could fill the memory."""
        return self._indi_vectors < MAX_PROPERTIES and (device is not None or len(self.data) < MAX_DEVICES)

    def delete_known(self, item: DelProperty, device: Device | None, vector: PropertyVector | None) -> bool:
        """Apply a deletion; False if nothing known is deleted."""
        if device is None or not ((vector is not None and vector.enable) or device.enable):
            return False
        if item.message and (vector is not None or item.name is None):
            said = (stamp(item.timestamp), item.message)
            self._indi_hear(device, said)
            if item.name is None:
                self.messages.appendleft(said)
        if item.name is None:
            device.disable()
        elif vector is not None:
            vector.enable = False
        return True

    def _indi_hear(self, device: Device, said: tuple[datetime, str]) -> None:
        """Keep a message of a device, and as many earlier ones as there is room for."""
        device.messages.appendleft(said)
        while not self._indi_texts.take((size := sum(len(text) for _, text in device.messages)) - device.heard):
            device.messages.pop()
        device.heard = size

    def _indi_clear(self) -> None:
        self.data.clear()
        self._indi_blobs.clear()
        self._indi_texts = KeptTexts()
        self._indi_vectors = 0
        self._indi_snap = None

    def keep_blob(self, vector: PropertyVector, membername: str, size: int) -> None:
        """Note a received BLOB: the oldest are dropped when there are too many bytes of them."""
        for devicename, vectorname, name in self._indi_blobs.add((vector.devicename, vector.name, membername), size):
            device = self.data.get(devicename)
            old = device.data.get(vectorname) if device is not None else None
            if old is not None and name in old.data and old.kind is VectorKind.BLOB:
                old.data[name].received(None)
                self.vector_changed(old)

    def vector_changed(self, vector: PropertyVector) -> None:
        """Note that a vector has changed: the next snapshot must show it."""
        vector.device.changed(vector.name)
        self._indi_snap = None

    # Known values

    def enabledlen(self) -> int:
        """How many devices are enabled."""
        return sum(device.enable for device in self.data.values())

    def get_vector_state(self, devicename: str, vectorname: str) -> str | None:
        """The state of a vector; None if it does not exist or has been deleted."""
        device = self.data.get(devicename)
        vector = device.data.get(vectorname) if device is not None else None
        return vector.state if vector is not None and vector.enable else None

    def snapshot(self) -> Snap:
        """A copy that does not change, of devices that have vectors; unchanged parts are shared with other copies."""
        devices = {name: device.snapshot() for name, device in self.data.items()}
        snap = self._indi_snap
        if (
            snap is None
            or snap.connected != self.connected
            or snap.user_string != self.user_string
            or snap.messages != list(self.messages)
            or any(snap.data.get(name) is not device for name, device in devices.items())
        ):
            snap = self._indi_snap = Snap(
                self.indihost, self.indiport, self.connected, devices, list(self.messages), self.user_string
            )
        return snap

    def set_user_string(
        self, devicename: str, vectorname: str | None, membername: str | None, user_string: str = ""
    ) -> None:
        """Attach a text to a device, a vector or a member, even before it exists.

        Raises:
            KeyError: There is no device name, or a member name without that of its vector.
        """
        key = self._user_string_key(devicename, vectorname, membername)
        self.user_string_dict[key] = user_string
        device = self.data.get(devicename)
        vector = device.data.get(vectorname or "") if device is not None else None
        if device is not None and not vectorname:
            device.user_string = user_string
        elif vector is not None and not membername:
            vector.user_string = user_string
        elif vector is not None and membername in vector.data:
            vector.data[membername].user_string = user_string
            self.vector_changed(vector)

    def get_user_string(self, devicename: str, vectorname: str | None, membername: str | None) -> str | None:
        """The text that was attached, or None.

        Raises:
            KeyError: There is no device name, or a member name without that of its vector.
        """
        return self.user_string_dict.get(self._user_string_key(devicename, vectorname, membername))

    @staticmethod
    def _user_string_key(
        devicename: str, vectorname: str | None, membername: str | None
    ) -> tuple[str, str | None, str | None]:
        if not devicename:
            raise KeyError("A devicename must be given")
        if membername and not vectorname:
            raise KeyError("If a membername is specified, a vectorname must also be given")
        return devicename, vectorname or None, membername or None

    def stored_user_string(self, devicename: str, vectorname: str | None = None, membername: str | None = None) -> str:
        """The text for a new item; "" if none was attached."""
        return self.user_string_dict.get((devicename, vectorname, membername), "")
