"""Passing requests on to those who may answer them.  Sans-I/O."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Generic

from indipydriver.protocol.encode import encode
from indipydriver.protocol.frame import Frame
from indipydriver.protocol.messages import GetProperties
from indipydriver.protocol.via import hops_of, with_via

from .devices import DeviceTable
from .endpoint import BELOW, SERVERS, Delivery, E, Role
from .interest import Interest

__all__ = ["Asking", "requests_of", "subject"]


class Asking(Generic[E]):
    """Passes requests on.

    Args:
        name: The name of this server in ``via`` attributes.
        devices: All devices.
        endpoints: All endpoints; the router's own list.
        clock: The time in seconds, from any starting point.
    """

    def __init__(self, name: str, devices: DeviceTable[E], endpoints: list[E], clock: Callable[[], float]) -> None:
        self._name = name
        self._devices = devices
        self._endpoints = endpoints
        self._clock = clock

    def ask_around(self, source: E, frame: Frame, out: list[Delivery[E]]) -> None:
        """Pass a getProperties to whoever may answer it and does not already owe that answer."""
        device, name = subject(frame)
        snoops = source.role in BELOW
        if device is not None:
            record = self._devices.get(device)
            if record is not None:
                if record.owner is not source or source.role is Role.DRIVER:
                    self._ask(record.owner, device, name, source, frame, out)
            elif snoops:
                self._send_up(device, name, source, frame, out)
            return
        now = self._clock()
        others = [p for p in self._endpoints if p is not source]
        drivers = [p for p in others if p.role is Role.DRIVER and p.asked.pass_on(None, None, source.serial, now)]
        if drivers:
            out.append(([encode(GetProperties())], tuple(drivers)))
        for server in others:
            if server.role is Role.REMOTE:
                self._ask(server, server.only_device, None, source, frame, out)
            elif server.role is Role.UPSTREAM and not snoops:
                for owned in self._devices.of(server):
                    self._ask(server, owned, None, source, frame, out)
        if snoops:
            self._send_up(None, None, source, frame, out)

    def _ask(
        self, owner: E, device: str | None, name: str | None, source: E, frame: Frame, out: list[Delivery[E]]
    ) -> None:
        """Pass a request to one owner.

        Args:
            owner: Who should answer it.
            device: What the owner is asked for; None for all it has.
            name: The property; None for all of the device.
            source: Who asks.
            frame: The request from the source; it may have passed other servers.
            out: The list to which deliveries are added.
        """
        way = frozenset(hops_of(frame)) if owner.role in SERVERS else frozenset()
        request = owner.asked.pass_on(device, name, source.serial, self._clock(), way)
        if request is not None:
            passed = encode(request)
            out.append(([with_via(passed, self._name, after=frame) if owner.role in SERVERS else passed], (owner,)))

    def _send_up(self, device: str | None, name: str | None, source: E, frame: Frame, out: list[Delivery[E]]) -> None:
        """Pass a snoop request from below to the servers above that may answer it."""
        for server in self._endpoints:
            if server is not source and _may_be_asked(server, device):
                self._ask(server, device, name, source, frame, out)

    def ask_refused(self, device: str, out: list[Delivery[E]]) -> set[E]:
        """Handle the loss of a device's owner: ask those whose definitions of it were refused; returns them.

        This includes those who already owe an answer, which may just have been refused.
        """
        record = self._devices.get(device)
        if record is None:
            return set()
        if record.refused:
            request = encode(GetProperties(device))
            along = with_via(request, self._name)
            endpoints = sorted(record.refused, key=lambda endpoint: endpoint.serial)
            out += [([along if endpoint.role in SERVERS else request], (endpoint,)) for endpoint in endpoints]
        return record.refused

    def tell_standing_requests(self, upstream: E, out: list[Delivery[E]]) -> None:
        """Handle a new server above: ask it for what drivers snoop on and nobody here has."""
        for endpoint in self._endpoints:
            if endpoint.role not in BELOW:
                continue
            for request in requests_of(endpoint.interest):
                record = None if request.device is None else self._devices.get(request.device)
                if record is None and _may_be_asked(upstream, request.device):
                    out.append(([with_via(encode(request), self._name)], (upstream,)))

    def ask_above(self, lost: Mapping[str, Collection[E]], out: list[Delivery[E]]) -> None:
        """Handle the loss of devices: ask the servers above for those that drivers snoop on, as if never here before.

        Args:
            lost: The devices, each with the endpoints that need not be asked.
            out: The list to which deliveries are added.
        """
        above = [endpoint for endpoint in self._endpoints if endpoint.role is Role.UPSTREAM]
        for snooper in self._endpoints if above else ():
            if snooper.role not in BELOW or not any(snooper.interest.names(device, None) for device in lost):
                continue
            for request in requests_of(snooper.interest):
                device, name = request.device, request.name
                if device is not None and device in lost:
                    for server in above:
                        if server not in lost[device] and _may_be_asked(server, device):
                            self._ask(server, device, name, snooper, encode(request), out)


def subject(frame: Frame) -> tuple[str | None, str | None]:
    """What a getProperties asks for: device and name, each None for all.  "*" is how servers ask for everything."""
    _, device, name = frame.address
    if not device or device.startswith("*"):
        return None, None
    return device, name or None


def _may_be_asked(endpoint: E, device: str | None) -> bool:
    """Is it a server above that could define this device here?  Others do not learn what is looked for."""
    return endpoint.role is Role.UPSTREAM and not endpoint.rights.read_only and endpoint.may_see(device)


def requests_of(interest: Interest) -> list[GetProperties]:
    """The requests that make up an interest."""
    if interest.everything:
        return [GetProperties()]
    return [GetProperties(device) for device in sorted(interest.devices)] + [
        GetProperties(device, name) for device, name in sorted(interest.properties) if device not in interest.devices
    ]
