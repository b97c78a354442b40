"""What clients require of a device of a certain kind.  Sans-I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from indipydriver.protocol.tags import Permission, VectorKind
from indipydriver.standard import CLIENTS, EVERY_DEVICE, INTERFACES, Interface, StandardProperty, interfaces_in

from .model import Key, PropertySeen

__all__ = ["judge_interfaces"]

Found = tuple[str, str, str]
"""The code of a rule, what was seen, and the name of the property."""

_ONE_OF: Final = {
    Interface.FOCUSER: (("ABS_FOCUS_POSITION", "REL_FOCUS_POSITION", "FOCUS_TIMER"), "KC"),
    Interface.DOME: (("DOME_SHUTTER", "DOME_PARK"), "C"),
}
"""Groups of properties of which at least one must exist, and the clients that require it."""

_NEED_CONFIG: Final = Interface.CCD | Interface.TELESCOPE | Interface.FOCUSER | Interface.FILTER | Interface.DOME
_OTHERS_KNOW: Final = {"EQUATORIAL_EOD_COORD": ("EQUATORIAL_COORD",)}
"""Properties that may take the place of another."""

_OLD: Final = frozenset({"FITS_HEADER"})
"""Properties that had other members in older versions of libindi, which clients also know."""


def judge_interfaces(device: str, bits: int, properties: Mapping[Key, PropertySeen]) -> Iterator[Found]:
    """What is wrong with a connected device.

    Args:
        device: Its name.
        bits: Its DRIVER_INTERFACE.
        properties: Everything that is defined.
    """
    defined = {name: found for (owner, name), found in properties.items() if owner == device}
    for interface in interfaces_in(bits):
        table = INTERFACES[interface]
        if interface is Interface.GUIDER and bits & Interface.CCD and "CCD1" not in defined:
            continue
        yield from _missing(interface, table, defined)
        for standard in table:
            if (found := defined.get(standard.name)) is not None:
                yield from _wrong(standard, found)
    for standard in EVERY_DEVICE:
        if (
            bits
            and (found := defined.get(standard.name)) is not None
            and standard.name not in ("CONNECTION", "DRIVER_INFO")
        ):
            yield from _wrong(standard, found)
    if bits & _NEED_CONFIG and "CONFIG_PROCESS" not in defined:
        yield "interface-missing", "needed by CCDciel", "CONFIG_PROCESS"
    yield from _special(defined)


def _names(letters: str) -> str:
    return ", ".join(name for letter, name in CLIENTS.items() if letter in letters)


def _missing(
    interface: Interface, table: tuple[StandardProperty, ...], defined: Mapping[str, PropertySeen]
) -> Iterator[Found]:
    for standard in table:
        there = {standard.name, *_OTHERS_KNOW.get(standard.name, ())} & defined.keys()
        if standard.needed_by and not there:
            yield "interface-missing", f"needed by {_names(standard.needed_by)}", standard.name
    names, clients = _ONE_OF.get(interface, ((), ""))
    if names and not defined.keys() & set(names):
        yield "interface-missing", f"none of {', '.join(names)}; needed by {_names(clients)}", names[0]


def _wrong(standard: StandardProperty, found: PropertySeen) -> Iterator[Found]:
    if not standard.users:
        return
    clients = _names(standard.users)
    if found.kind is not standard.kind:
        yield "interface-kind", f"a def{found.kind}Vector; {clients} expect a def{standard.kind}Vector", found.name
        return
    if standard.rule is not None and found.rule is not None and found.rule != standard.rule:
        yield "interface-kind", f"{found.rule}; {clients} expect {standard.rule}", found.name
    if standard.perm == Permission.READ_ONLY and found.perm == Permission.READ_WRITE:
        yield "interface-kind", f"perm rw; {clients} expect ro", found.name
    names = [member.name for member in standard.members]
    if not standard.counted and standard.name not in _OLD and list(found.members) != names:
        yield "interface-members", f"{', '.join(found.members)}; {clients} expect {', '.join(names)}", found.name


def _special(defined: Mapping[str, PropertySeen]) -> Iterator[Found]:
    """Requirements that are in no table."""
    if (mode := defined.get("ON_COORD_SET")) is not None and not mode.members.keys() >= {"SLEW", "TRACK", "SYNC"}:
        seen = f"{', '.join(mode.members)}; PHD2 crashes on a slew unless there are TRACK, SLEW and SYNC"
        yield "interface-members", seen, mode.name
    if (info := defined.get("CCD_INFO")) is not None:
        empty = [member.name for member in info.members.values() if member.value in ("", "0", "0.0")]
        if empty:
            yield "interface-values", f"{', '.join(empty)} are 0; KStars and CCDciel take the size from here", info.name
    if (frame := defined.get("CCD_FRAME")) is not None:
        width = frame.members.get("WIDTH")
        if width is not None and width.range is None:
            yield "interface-values", "WIDTH has no range; CCDciel takes the size of the sensor from it", frame.name
    slot, names = defined.get("FILTER_SLOT"), defined.get("FILTER_NAME")
    if slot is not None and names is not None and slot.kind is VectorKind.NUMBER:
        member = slot.members.get("FILTER_SLOT_VALUE")
        count = len(names.members)
        if member is not None and member.max is not None and count > 1 and member.max != count:
            yield "interface-values", f"slots up to {member.max:g}, but {count} names", slot.name
