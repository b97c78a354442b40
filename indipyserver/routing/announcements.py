"""Messages and deletions for clients that may see only some devices.  Sans-I/O.

A listener can show only some devices.  To its clients the others do not exist, so they get no text that may name one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, Generic

from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Frame
from indipydriver.protocol.messages import DelProperty, Message
from indipydriver.protocol.via import with_via

from .devices import DeviceTable
from .endpoint import COMMANDERS, Delivery, E, Endpoint, Role

__all__ = ["Announcing", "gone_for_limited"]

_DEVICES_NAMED: Final = 4  # devices that one message names
_DEVICES_TOLD: Final = 16  # devices of one driver that get a message of their own


class Announcing(Generic[E]):
    """Chooses who gets an element without device: those who may see every device that it may mention.

    Args:
        name: The name of this server in ``via`` attributes.
        devices: All devices.
        endpoints: All endpoints; the router's own list.
    """

    def __init__(self, name: str, devices: DeviceTable[E], endpoints: list[E]) -> None:
        self._name = name
        self._devices = devices
        self._endpoints = endpoints

    def message(
        self, text: str, timestamp: str | None = None, about: E | Iterable[str] | None = None
    ) -> list[Delivery[E]]:
        """A message from this server itself, to everybody.

        Clients that know devices which it concerns get it as a message of each of these: KStars shows no other.

        Args:
            text: The text.
            timestamp: Its timestamp; None: it has none.
            about: The endpoint, or the devices, that it concerns.  The text may name others, so endpoints that may see
                only some devices get a neutral one instead.  None: everybody gets it.
        """
        out: list[Delivery[E]] = []
        frame = encode(Message(None, text, timestamp))
        if about is None:
            receivers = self.to_all(frame, None, out)
        else:
            receivers = self.to_all(frame, None, out, devices=())
            concerned = _concerns(about, self._devices)
            out += _for_limited(concerned, self._endpoints, timestamp)
            there = [device for device in concerned if device in self._devices][:_DEVICES_TOLD]
            for device in there:
                knowing = tuple(p for p in receivers if p.role is Role.CLIENT and p.interest.covers(device, None))
                if knowing:
                    out.append(([encode(Message(device, text, timestamp))], knowing))
            receivers = tuple(
                p
                for p in receivers
                if p.role is not Role.CLIENT or not any(p.interest.covers(device, None) for device in there)
            )
        if receivers:
            out.append(([frame], receivers))
        return out

    def to_all(
        self, frame: Frame, source: E | None, out: list[Delivery[E]], devices: Collection[str] | None = None
    ) -> tuple[E, ...]:
        """Choose all clients, drivers that snoop on everything, and (unless it came from above) servers above.

        Args:
            frame: An element without device.
            source: Who sent it; None: this server.
            out: The list to which the delivery to servers above is added.
            devices: Those it may mention: it goes only to endpoints that may see all of them.  None: to everybody.

        Returns:
            The receivers that are not servers above.
        """
        endpoints = [p for p in self._endpoints if p is not source and (devices is None or _knows(p, devices))]
        if source is None or source.role is not Role.UPSTREAM:
            above = tuple(p for p in endpoints if p.is_above)
            if above:
                out.append(([with_via(frame, self._name)], above))
        return tuple(
            p
            for p in endpoints
            if (p.role is Role.CLIENT and not p.passes_on) or (p.role is Role.DRIVER and p.interest.everything)
        )


def _concerns(about: E | Iterable[str], devices: DeviceTable[E]) -> list[str]:
    """The devices that a text concerns: those of an endpoint, or those given."""
    return devices.of(about) if isinstance(about, Endpoint) else list(about)


def _knows(endpoint: E, devices: Collection[str]) -> bool:
    """May this endpoint see all of these devices, at least one?  An endpoint that may see everything always may."""
    return not endpoint.rights.devices or (bool(devices) and all(map(endpoint.may_see, devices)))


def _for_limited(devices: Collection[str], endpoints: Iterable[E], timestamp: str | None) -> list[Delivery[E]]:
    """For endpoints that may see only some devices: a neutral text that names the ones they may see."""
    out: list[Delivery[E]] = []
    for endpoint in endpoints:
        if endpoint.role in COMMANDERS and endpoint.rights.devices:
            seen = [device for device in devices if endpoint.may_see(device)]
            if seen:
                text = f"Something has changed with the driver or server of {', '.join(seen[:_DEVICES_NAMED])}"
                if len(seen) > _DEVICES_NAMED:
                    text += f" and {len(seen) - _DEVICES_NAMED} more"
                out.append(([encode(Message(None, text, timestamp))], (endpoint,)))
    return out


def gone_for_limited(deletion: Frame, receivers: tuple[E, ...]) -> list[Delivery[E]]:
    """The deletion of a device, without the reason for endpoints that may see only some devices."""
    limited = tuple(endpoint for endpoint in receivers if endpoint.rights.devices)
    if not limited:
        return [([deletion], receivers)] if receivers else []
    bare = encode(DelProperty(deletion.device, message="its driver or server has ended"))
    others = tuple(endpoint for endpoint in receivers if not endpoint.rights.devices)
    return [([bare], limited), *([([deletion], others)] if others else [])]
