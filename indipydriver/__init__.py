"""INDI drivers: subclass IPyDriver, override its coroutines, and run it alone or under an IPyServer."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if sys.version_info < (3, 11):  # noqa: UP036  # said clearly, where pip has not
    raise ImportError("indipydriver needs Python 3.11 or later")

if TYPE_CHECKING:
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


# Where the names are. A server imports parts of this package, and does not need the rest unless it serves a Python
# driver, so each module is imported when a name in it is first asked for.
_MODULES: Final = {
    "device": "Device",
    "events": """
        Message defBLOBVector defLightVector defNumberVector defSwitchVector defTextVector delProperty getProperties
        newBLOBVector newNumberVector newSwitchVector newTextVector
        setBLOBVector setLightVector setNumberVector setSwitchVector setTextVector
    """,
    "ipydriver": "IPyDriver",
    "propertymembers": "BLOBMember LightMember NumberMember SwitchMember TextMember getfloat",
    "propertyvectors": "BLOBVector LightVector NumberVector SwitchVector TextVector",
}
_HOMES: Final = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name in _HOMES:
        value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value
    if name == "IPyServer":  # it is in indipyserver; older scripts import it from here
        from indipyserver import IPyServer

        return IPyServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
