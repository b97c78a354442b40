"""What the router knows about one peer.  Sans-I/O."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, TypeAlias, TypeVar

from indipydriver.protocol.frame import Address, Frame

from .interest import Interest
from .pending import PendingRequests, Requested
from .rights import EVERYTHING, DeviceFilter, Rights

__all__ = ["BELOW", "COMMANDERS", "SERVERS", "Delivery", "E", "Endpoint", "Role"]

logger = logging.getLogger("indipyserver.ipyserver")


class Role(Enum):
    """What an endpoint is to this server."""

    CLIENT = "client"
    UPSTREAM = "server above"
    """A client that has introduced itself as a server (``getProperties device="*"``)."""
    DRIVER = "driver"
    REMOTE = "server below"
    """A server that we have connected to."""


COMMANDERS: Final = (Role.CLIENT, Role.UPSTREAM)
SERVERS: Final = (Role.UPSTREAM, Role.REMOTE)
BELOW: Final = (Role.DRIVER, Role.REMOTE)
"""The roles whose devices this server serves."""
_REFUSALS_LOGGED: Final = 16  # devices per peer for which a refusal is logged


def _always() -> bool:
    return True


class Endpoint:
    """What the router knows about one peer.

    Attributes:
        label: Who it is, for logs and messages.
        role: What it is to this server.
        interest: What it wants to receive.
        only_device: The one device that is wanted from a server below, or None for all.
        takes_blobs: BLOBs may pass between it and this server.
        rights: What it may see and do; see :meth:`restrict`.
        complaints: How often it did something wrong, by kind; each kind is logged once.
        may_log: Asked before its faults are logged: a client that reconnects again and again would fill the log.
        routes: Who receives what it sends, by address; filled and cleared by the router.
        asked: Requests to it that it has not answered yet.
        requested: What it has recently asked for.
        answers: How often something that it said may have answered a request.
        told_blobs: The BLOB properties that it has been asked to send, if it is a server.
        passes_on: It is a server, although it has asked for only one device, as a client does.
        token: Represents it as a sender in the queues of others, so that these do not keep it when it has gone.
        bit: Represents it in sets of endpoints kept as integers; unique among attached endpoints.
    """

    def __init__(self, label: str, role: Role, *, only_device: str | None = None, takes_blobs: bool = True) -> None:
        self.label = label
        self.role = role
        self.interest = Interest()
        self.only_device = only_device
        self.takes_blobs = takes_blobs
        self.rights = EVERYTHING
        self.complaints: dict[str, int] = {}
        self.may_log: Callable[[], bool] = _always
        self.routes: dict[Address, tuple[Any, ...]] = {}  # endpoints of the router's kind
        self.asked = PendingRequests()
        self.requested = Requested()
        self.answers = 0
        self.told_blobs: set[tuple[str, str]] = set()
        self.passes_on = False
        self.serial = 0  # order of arrival
        self.token = object()
        self.bit = 0
        self._refused: set[str] = set()

    def __repr__(self) -> str:
        return f"<{self.label}>"

    def restrict(self, rights: Rights) -> None:
        """Limit it to these rights; only before it is attached."""
        self.rights = rights
        self.interest.exists = DeviceFilter(rights.devices) if rights.devices else None

    def become_server(self) -> None:
        """Note that this client has introduced itself as a server."""
        self.role = Role.UPSTREAM

    @property
    def is_server(self) -> bool:
        """Whether what it receives may come back through other servers."""
        return self.passes_on or self.role in SERVERS

    @property
    def is_above(self) -> bool:
        """Whether it is a server that has connected to us."""
        return self.passes_on or self.role is Role.UPSTREAM

    @property
    def public_label(self) -> str:
        """Who it is, for messages, which never contain the addresses of clients."""
        if self.role in COMMANDERS:
            return "a client" if self.role is Role.CLIENT else "a server above"
        return self.label

    def may_see(self, device: str | None) -> bool:
        """Does this device exist for it?"""
        exists = self.interest.exists
        return exists is None or device is None or exists(device)

    def may_speak(self, frame: Frame) -> bool:
        """May it send this, which only devices say?  If not, that is a complaint."""
        if self.role is not Role.CLIENT and not self.rights.read_only and self.may_see(frame.device):
            return True
        self.complain(frame.tag.text, f"sent {frame.tag.text}, which it may not send: dropped")
        return False

    def complain(self, kind: str, text: str, level: int = logging.WARNING) -> bool:
        """Count something it did wrong; True if it is the first of its kind, which is logged if `may_log` agrees."""
        count = self.complaints[kind] = self.complaints.get(kind, 0) + 1
        if count == 1 and self.may_log():
            logger.log(level, "%s %s (further cases are only counted)", self.label, text)
        return count == 1

    def complain_of(self, device: str, kind: str, text: str) -> bool:
        """Like :meth:`complain`, but at ERROR and once per device, for the first few devices."""
        first = device not in self._refused and len(self._refused) < _REFUSALS_LOGGED
        self.complaints[kind] = self.complaints.get(kind, 0) + 1
        if first:
            self._refused.add(device)
            if self.may_log():
                logger.error("%s %s (further cases are only counted)", self.label, text)
        return first


E = TypeVar("E", bound=Endpoint)
"""The kind of endpoint of one router, such as peers with their links."""

Delivery: TypeAlias = "tuple[list[Frame], tuple[E, ...]]"
"""Frames, and the endpoints that receive all of them in this order."""
