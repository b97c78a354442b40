"""Which commands a check may send, and their content.  Sans-I/O."""

from __future__ import annotations

import re
from typing import Final

from indipydriver.protocol.messages import NewVector, OneMember
from indipydriver.protocol.tags import State, SwitchRule, VectorKind

from .model import PropertySeen, number

__all__ = [
    "FOREIGN_DEVICE",
    "UNKNOWN_MEMBER",
    "different",
    "out_of_range",
    "reason_to_spare",
    "same_values",
    "unknown_member",
    "with_value",
]

UNKNOWN_MEMBER: Final = "NO_SUCH_MEMBER"
FOREIGN_DEVICE: Final = "No such device"
STRANGE_TEXT: Final = "written by indipyserver --check"

# Standard properties for which the present value is itself an action: it moves, cools, exposes, or sets a clock.
_ACTIONS: Final = re.compile(
    r"(?:CCD|GUIDER)_EXPOSURE|SENSOR_INTEGRATION|REL_.*|FOCUS_TIMER|TELESCOPE_TIMED_GUIDE_.*"
    r"|(?:EQUATORIAL|EQUATORIAL_EOD|TARGET_EOD|HORIZONTAL)_COORD|SYNC_.*|.*_SYNC|.*_?PARK|.*_HOME|.*GOTO.*"
    r"|PULSE_.*|POWER_CYCLE|.*ABORT.*|.*SHUTTER|PAC_.*|.*RESET.*|.*REBOOT.*|.*FACTORY.*|TIME_UTC|TELESCOPE_MOTION_.*"
    r"|DOME_MOTION|CONNECTION|CCD_TEMPERATURE|CCD_COOLER_POWER",
    re.IGNORECASE,
)


def reason_to_spare(prop: PropertySeen, act: bool) -> str | None:
    """Why the property must not be commanded; None if it may be.

    Args:
        prop: A writable property.
        act: Commands may make the device do something.
    """
    if prop.name == "CONNECTION":
        return "it was tested by connecting"
    if not prop.members:
        return "it has no members"
    if prop.kind is VectorKind.BLOB:
        return "there is no data to send to it"
    if prop.kind is VectorKind.SWITCH and prop.rule == SwitchRule.ONE_OF_MANY and len(prop.on) != 1:
        return "there is no present choice to repeat"
    if "CRASH" in prop.name.upper():
        return "its purpose is to end the driver"
    if act:
        return None
    if prop.perm == "wo":
        return "its present value is not known"
    if _ACTIONS.fullmatch(prop.name):
        return "a command to it may make the device do something"
    if prop.state == State.BUSY:
        return "it is Busy: its present value may not be its target"
    if prop.kind is VectorKind.SWITCH and prop.rule != SwitchRule.ANY_OF_MANY and not prop.on:
        return "it looks like buttons"
    return None


def same_values(prop: PropertySeen) -> NewVector:
    """A command that changes nothing, in the form that KStars uses: of OneOfMany only the switch that is On."""
    if prop.kind is VectorKind.SWITCH and prop.rule == SwitchRule.ONE_OF_MANY:
        members = [OneMember(name, "On") for name in prop.on]
    else:
        members = [OneMember(member.name, member.value or _nothing(prop)) for member in prop.members.values()]
    return NewVector(prop.kind, prop.device, prop.name, tuple(members))


def with_value(prop: PropertySeen, name: str, value: str) -> NewVector:
    """The present values, except for one member."""
    members = [OneMember(m.name, value if m.name == name else m.value or _nothing(prop)) for m in prop.members.values()]
    return NewVector(prop.kind, prop.device, prop.name, tuple(members))


def unknown_member(prop: PropertySeen) -> NewVector:
    """A command to a member that does not exist."""
    value = {VectorKind.SWITCH: "On", VectorKind.NUMBER: "1"}.get(prop.kind, STRANGE_TEXT)
    return NewVector(prop.kind, prop.device, prop.name, (OneMember(UNKNOWN_MEMBER, value),))


def out_of_range(prop: PropertySeen) -> list[tuple[str, float]]:
    """Values just outside the range of the first member that has one: above and below."""
    for member in prop.members.values():
        if member.range is not None:
            least, most = member.range
            margin = max(member.step or 0.0, (most - least) / 100, 1.0)
            return [(member.name, most + margin), (member.name, least - margin)]
    return []


def different(prop: PropertySeen) -> tuple[str, str] | None:
    """A member of a read-only property, and a value that it does not have."""
    name, member = next(iter(prop.members.items()), (None, None))
    if name is None or member is None:
        return None
    if prop.kind is VectorKind.SWITCH:
        return name, "Off" if member.value == "On" else "On"
    if prop.kind is VectorKind.TEXT:
        return name, STRANGE_TEXT
    if prop.kind is not VectorKind.NUMBER:
        return None
    value = number(member.value) or 0.0
    if member.range is None:
        return name, repr(round(value + 1.2345, 4))
    least, most = member.range
    share = 0.37512 if value > (least + most) / 2 else 0.62512
    return name, f"{least + (most - least) * share:.6g}"


def _nothing(prop: PropertySeen) -> str:
    return "0" if prop.kind is VectorKind.NUMBER else ""
