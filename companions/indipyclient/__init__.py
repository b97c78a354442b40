"""INDI clients: see what a server has, wait for it, set it, and learn the outcome.

:class:`Client` is for programs with an event loop, :class:`SyncClient` for scripts and notebooks, and
:class:`IPyClient` with its events is the API of the PyPI package of this name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .lazy import lazily

if TYPE_CHECKING:
    from indipydriver.protocol.tags import BlobMode, Permission, State, SwitchRule, VectorKind

    from .blobs import ReceivedBlob
    from .client import Client
    from .commanding import Outcome
    from .errors import (
        BadValue,
        ClientError,
        LinkLost,
        NoSuchDevice,
        NoSuchMember,
        NoSuchProperty,
        NotConnected,
        NotWritable,
        Overrun,
        PropertyGone,
        Refused,
        TimedOut,
        Unknown,
        WrongKind,
    )
    from .events import (
        ClientEvent,
        ConnectionLost,
        ConnectionMade,
        Message,
        VectorTimeOut,
        defBLOBVector,
        defLightVector,
        defNumberVector,
        defSwitchVector,
        defTextVector,
        delProperty,
        setBLOBVector,
        setLightVector,
        setNumberVector,
        setSwitchVector,
        setTextVector,
    )
    from .ipyclient import IPyClient
    from .model.commands import Blob
    from .model.delta import Delta, Note
    from .model.expect import Confirm
    from .model.model import Change, Model, What
    from .model.properties import Member, Property
    from .model.site import Device, Site
    from .model.tap import Overflow
    from .propertymembers import getfloat
    from .reconnect import LinkState, Retry, Status
    from .stats import Stats
    from .streams import Cursor, Lost, Tap
    from .sync import SyncClient

__all__ = [
    "BadValue",
    "Blob",
    "BlobMode",
    "Change",
    "Client",
    "ClientError",
    "ClientEvent",
    "Confirm",
    "ConnectionLost",
    "ConnectionMade",
    "Cursor",
    "Delta",
    "Device",
    "IPyClient",
    "LinkLost",
    "LinkState",
    "Lost",
    "Member",
    "Message",
    "Model",
    "NoSuchDevice",
    "NoSuchMember",
    "NoSuchProperty",
    "NotConnected",
    "NotWritable",
    "Note",
    "Outcome",
    "Overflow",
    "Overrun",
    "Permission",
    "Property",
    "PropertyGone",
    "ReceivedBlob",
    "Refused",
    "Retry",
    "Site",
    "State",
    "Stats",
    "Status",
    "SwitchRule",
    "SyncClient",
    "Tap",
    "TimedOut",
    "Unknown",
    "VectorKind",
    "VectorTimeOut",
    "What",
    "WrongKind",
    "defBLOBVector",
    "defLightVector",
    "defNumberVector",
    "defSwitchVector",
    "defTextVector",
    "delProperty",
    "getfloat",
    "setBLOBVector",
    "setLightVector",
    "setNumberVector",
    "setSwitchVector",
    "setTextVector",
    "version",
]

version = "4.0.0"

_MODULES = {
    "indipydriver.protocol.tags": "BlobMode Permission SwitchRule State VectorKind",
    ".blobs": "ReceivedBlob",
    ".client": "Client",
    ".commanding": "Outcome",
    ".errors": "BadValue ClientError LinkLost NoSuchDevice NoSuchMember NoSuchProperty NotConnected NotWritable "
    "Overrun PropertyGone Refused TimedOut Unknown WrongKind",
    ".events": "ClientEvent ConnectionLost ConnectionMade Message VectorTimeOut defBLOBVector defLightVector "
    "defNumberVector defSwitchVector defTextVector delProperty setBLOBVector setLightVector setNumberVector "
    "setSwitchVector setTextVector",
    ".ipyclient": "IPyClient",
    ".model.commands": "Blob",
    ".model.delta": "Delta Note",
    ".model.expect": "Confirm",
    ".model.model": "Change Model What",
    ".model.properties": "Member Property",
    ".model.site": "Device Site",
    ".model.tap": "Overflow",
    ".propertymembers": "getfloat",
    ".reconnect": "LinkState Retry Status",
    ".stats": "Stats",
    ".streams": "Cursor Lost Tap",
    ".sync": "SyncClient",
}

__getattr__, __dir__ = lazily(globals(), _MODULES, "events ipyclient propertymembers propertyvectors queclient")
