"""The standard properties of INDI devices, as data: names, members, labels, formats, rules, and who needs them.

Instruments, the checker and a page of the reference are made from this table. It follows libindi 2.2, and what KStars,
PHD2, CCDciel and Stellarium require.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .camera import CAMERA
from .general import CONNECTING, DEBUGGING, GENERAL
from .mount import GUIDER, MOUNT
from .others import DOME, DUST_CAP, FILTER_WHEEL, FOCUSER, GPS, INPUT, LIGHT_BOX, OUTPUT, POWER, ROTATOR, WEATHER
from .shape import CLIENTS, Interface, StandardMember, StandardProperty

__all__ = [
    "CLIENTS",
    "CONNECTING",
    "DEBUGGING",
    "EVERY_DEVICE",
    "INTERFACES",
    "Interface",
    "StandardMember",
    "StandardProperty",
    "find",
    "interfaces_in",
]

EVERY_DEVICE: Final = GENERAL

INTERFACES: Final[dict[Interface, tuple[StandardProperty, ...]]] = {
    Interface.TELESCOPE: MOUNT,
    Interface.CCD: CAMERA,
    Interface.GUIDER: GUIDER,
    Interface.FOCUSER: FOCUSER,
    Interface.FILTER: FILTER_WHEEL,
    Interface.DOME: DOME,
    Interface.GPS: GPS,
    Interface.WEATHER: WEATHER,
    Interface.DUST_CAP: DUST_CAP,
    Interface.LIGHT_BOX: LIGHT_BOX,
    Interface.ROTATOR: ROTATOR,
    Interface.POWER: POWER,
    Interface.OUTPUT: OUTPUT,
    Interface.INPUT: INPUT,
}
"""The properties of each interface, in the order in which they are defined."""


def interfaces_in(bits: int) -> Iterator[Interface]:
    """The interfaces that a device announces, as far as the table knows them."""
    return (interface for interface in INTERFACES if bits & interface)


def find(name: str, interface: Interface | None = None) -> StandardProperty:
    """A standard property.

    Args:
        name: Its name.
        interface: None: one that every device may have.

    Raises:
        KeyError: There is no standard property with that name.
    """
    table = (*GENERAL, *DEBUGGING, *CONNECTING) if interface is None else INTERFACES[interface]
    for found in table:
        if found.name == name:
            return found
    raise KeyError(name)
