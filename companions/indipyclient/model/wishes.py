"""Which BLOBs are wanted: requests that outlive a connection."""

from __future__ import annotations

from collections import Counter

from indipydriver.protocol.messages import EnableBlob
from indipydriver.protocol.tags import BlobMode, VectorKind

from .properties import Property

__all__ = ["BlobWishes"]


class BlobWishes:
    """Determines what to send, and when, but sends nothing itself.

    Args:
        default: The mode for devices without a request.

    Attributes:
        repeat: Requests are sent again when a property is defined.
    """

    def __init__(self, default: BlobMode = BlobMode.NEVER) -> None:
        self.default = default
        self.repeat = True
        self._wishes: dict[tuple[str, str | None], BlobMode] = {}
        self._holders: Counter[tuple[str, str | None]] = Counter()

    def wish(self, device: str, name: str | None, mode: BlobMode) -> EnableBlob:
        """Set a mode; with a name of None for the whole device, which overrides the modes of its properties.

        Open streams keep their requests.
        """
        if name is None:
            for key in [key for key in self._wishes if key[0] == device]:
                del self._wishes[key]
        self._wishes[device, name] = mode
        return EnableBlob(device, name, self.wanted(device, name))

    def others(self, device: str) -> list[EnableBlob]:
        """What to send again for its properties after a mode for the whole device, which overrides theirs."""
        names = {name: None for of, name in (*self._wishes, *self._holders) if of == device and name is not None}
        return [EnableBlob(device, name, self.wanted(device, name)) for name in names]

    def hold(self, device: str, name: str | None) -> EnableBlob | None:
        """Note that a stream needs them; returns what to send, unless they are already enabled."""
        self._holders[device, name] += 1
        if self.mode(device, name) is not BlobMode.NEVER and not self._forbidden(device, name):
            return None
        return EnableBlob(device, name, self.wanted(device, name))

    def release(self, device: str, name: str | None) -> EnableBlob | None:
        """Note that a stream has ended; returns what to send if it was the last one."""
        key = (device, name)
        self._holders[key] -= 1
        if self._holders[key] > 0:
            return None
        del self._holders[key]
        wanted = self.wanted(device, name)
        if wanted is not BlobMode.NEVER and not self._forbidden(device, name):
            return None
        return EnableBlob(device, name, wanted)

    def _forbidden(self, device: str, name: str | None) -> bool:
        """Whether some properties of a device are wanted only for streams, so that a mode must be sent."""
        return name is None and any(of == device and mode is BlobMode.NEVER for (of, _), mode in self._wishes.items())

    def mode(self, device: str, name: str | None) -> BlobMode:
        """The mode that was set for it."""
        return self._wishes.get((device, name)) or self._wishes.get((device, None)) or self.default

    def wanted(self, device: str, name: str | None) -> BlobMode:
        """The effective mode, including open streams."""
        mode = self.mode(device, name)
        if mode is BlobMode.NEVER and (self._holders[device, name] > 0 or self._holders[device, None] > 0):
            return BlobMode.ALSO
        return mode

    def defined(self, prop: Property) -> EnableBlob | None:
        """What to send when a property has been defined: the server, or the driver, may be a new one."""
        if prop.kind is not VectorKind.BLOB or not self.repeat:
            return None
        mode = self.wanted(prop.device, prop.name)
        said = (prop.device, prop.name) in self._wishes or (prop.device, None) in self._wishes
        if mode is BlobMode.NEVER and not said:
            return None
        return EnableBlob(prop.device, prop.name, mode)
