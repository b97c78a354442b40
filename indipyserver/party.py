"""What the router knows of one peer.  Sans-I/O."""

from __future__ import annotations

import logging
from enum import Enum
from typing import TypeAlias

from indipydriver.protocol.frame import Address, Frame

from .interest import Interest
from .rights import EVERYTHING, DeviceFilter, Rights

__all__ = ["Delivery", "Party", "Role"]

logger = logging.getLogger("indipyserver.ipyserver")


class Role(Enum):
    """What a party is to this server."""

    CLIENT = "client"
    UPSTREAM = "server above"
    """A client that has introduced itself as a server (``getProperties device="*"``)."""
    DRIVER = "driver"
    REMOTE = "server below"
    """A server that we have connected to."""


class Party:
    """What the router knows of one peer.

    Attributes:
        label: Who it is, for logs and messages.
        role: What it is to this server.
        interest: What it wants to receive.
        only_device: The one device that is wanted of a server below, or None for all.
        takes_blobs: BLOBs may pass between this server and that one.
        rights: What it may see and do; see :meth:`restrict`.
        complaints: What it did wrong, by kind, and how often; each kind is logged once.
        routes: Who receives what it sends, by address; the router fills and clears it.
    """

    def __init__(self, label: str, role: Role, *, only_device: str | None = None, takes_blobs: bool = True) -> None:
        self.label = label
        self.role = role
        self.interest = Interest()
        self.only_device = only_device
        self.takes_blobs = takes_blobs
        self.rights = EVERYTHING
        self.complaints: dict[str, int] = {}
        self.routes: dict[Address, tuple[Party, ...]] = {}
        self.serial = 0  # order of arrival

    def __repr__(self) -> str:
        return f"<{self.label}>"

    def restrict(self, rights: Rights) -> None:
        """Give it these rights and no others; before it is attached."""
        self.rights = rights
        self.interest.exists = DeviceFilter(rights.devices) if rights.devices else None

    def is_a_server(self) -> None:
        """This client has introduced itself as a server."""
        self.role = Role.UPSTREAM

    def may_see(self, device: str | None) -> bool:
        """Does this device exist for it?"""
        exists = self.interest.exists
        return exists is None or device is None or exists(device)

    def complain(self, kind: str, text: str, level: int = logging.WARNING) -> bool:
        """Count something it did wrong; log it, and return True, if it is the first of its kind."""
        count = self.complaints[kind] = self.complaints.get(kind, 0) + 1
        if count == 1:
            logger.log(level, "%s %s (further cases are only counted)", self.label, text)
        return count == 1


Delivery: TypeAlias = "tuple[list[Frame], tuple[Party, ...]]"
"""Frames, and the parties that receive all of them in this order."""
