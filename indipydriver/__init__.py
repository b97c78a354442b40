"""INDI drivers: subclass IPyDriver, override its coroutines, and run it alone or under an IPyServer."""

from __future__ import annotations

import sys
from typing import Any

if sys.version_info < (3, 11):  # noqa: UP036  # said clearly, where pip has not
    raise ImportError("indipydriver needs Python 3.11 or later")

from .device import Device
from .events import (
    Message,
    defBLOBVector,
    defLightVector,
    defNumberVector,
    defSwitchVector,
    defTextVector,
    delProperty,
    getProperties,
    newBLOBVector,
    newNumberVector,
    newSwitchVector,
    newTextVector,
    setBLOBVector,
    setLightVector,
    setNumberVector,
    setSwitchVector,
    setTextVector,
)
from .ipydriver import IPyDriver
from .propertymembers import BLOBMember, LightMember, NumberMember, SwitchMember, TextMember, getfloat
from .propertyvectors import BLOBVector, LightVector, NumberVector, SwitchVector, TextVector

__all__ = [
    "BLOBMember",
    "BLOBVector",
    "Device",
    "IPyDriver",
    "LightMember",
    "LightVector",
    "Message",
    "NumberMember",
    "NumberVector",
    "SwitchMember",
    "SwitchVector",
    "TextMember",
    "TextVector",
    "defBLOBVector",
    "defLightVector",
    "defNumberVector",
    "defSwitchVector",
    "defTextVector",
    "delProperty",
    "getProperties",
    "getfloat",
    "newBLOBVector",
    "newNumberVector",
    "newSwitchVector",
    "newTextVector",
    "setBLOBVector",
    "setLightVector",
    "setNumberVector",
    "setSwitchVector",
    "setTextVector",
    "version",
]

version = "4.0.0"


def __getattr__(name: str) -> Any:
    """IPyServer lives in indipyserver; it is found here too, as older scripts look for it here."""
    if name == "IPyServer":
        from indipyserver import IPyServer

        return IPyServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
