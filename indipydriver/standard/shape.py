"""The form of the table of standard properties, and its notation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from functools import partial
from typing import Final

from ..protocol.tags import Permission, State, SwitchRule, VectorKind

__all__ = [
    "CLIENTS",
    "ENABLED_DISABLED",
    "Interface",
    "StandardMember",
    "StandardProperty",
    "blobs",
    "lights",
    "members_of",
    "numbers",
    "switches",
    "texts",
]

CLIENTS: Final = {"K": "KStars", "P": "PHD2", "C": "CCDciel", "S": "Stellarium"}
"""The clients that the table names, by their letters."""

ENABLED_DISABLED: Final = "INDI_ENABLED|Enabled; *INDI_DISABLED|Disabled"


class Interface(IntFlag):
    """What a device is: the bits of DRIVER_INFO.DRIVER_INTERFACE."""

    GENERIC = 0
    TELESCOPE = 1
    CCD = 2
    GUIDER = 4
    FOCUSER = 8
    FILTER = 16
    DOME = 32
    GPS = 64
    WEATHER = 128
    ADAPTIVE_OPTICS = 256
    DUST_CAP = 512
    LIGHT_BOX = 1024
    DETECTOR = 2048
    ROTATOR = 4096
    SPECTROGRAPH = 8192
    CORRELATOR = 16384
    AUXILIARY = 32768
    OUTPUT = 65536
    INPUT = 131072
    POWER = 262144
    IMU = 524288
    POLAR_ALIGNMENT = 1048576


@dataclass(frozen=True, slots=True)
class StandardMember:
    """A member of a standard property.

    Attributes:
        name: Its name.
        label: Human-readable text.
        value: The initial value, as text.
        format: Of a number.
        min: Of a number; the device has limits of its own where these are the same.
        max: Of a number.
        step: Of a number.
    """

    name: str
    label: str
    value: str = ""
    format: str = ""
    min: float = 0
    max: float = 0
    step: float = 0


@dataclass(frozen=True, slots=True)
class StandardProperty:
    """A standard property.

    Attributes:
        name: Its name.
        kind: The kind of its vector.
        label: Human-readable text.
        group: Text by which clients group properties.
        members: In the order on which clients rely.
        perm: What clients may do; None for lights.
        rule: The rule, for switches.
        state: The initial state.
        timeout: Seconds; 0 for what is done at once.
        saved: It is saved in the file of settings.
        users: Letters of the clients that use it, see CLIENTS.
        needed_by: Letters of the clients that do not accept a device without it.
        counted: There may be more or fewer members, numbered in the same way.
    """

    name: str
    kind: VectorKind
    label: str
    group: str
    members: tuple[StandardMember, ...]
    perm: Permission | None = Permission.READ_WRITE
    rule: SwitchRule | None = None
    state: State = State.IDLE
    timeout: int = 60
    saved: bool = False
    users: str = ""
    needed_by: str = ""
    counted: bool = False


def members_of(kind: VectorKind, text: str) -> tuple[StandardMember, ...]:
    """Members in the notation of the table: ``NAME|Label``, divided by semicolons.

    A switch that is On begins with ``*``. A number goes on with ``|%format``, and if it has them with
    ``|min..max/step`` and ``|value``; a text with ``|value``.
    """
    found = []
    for part in text.split(";"):
        name, label, *rest = (*part.strip().split("|"), "")[: 2 + part.count("|")]
        label = label or name.removeprefix("*")
        if kind is VectorKind.SWITCH:
            found.append(StandardMember(name.removeprefix("*"), label, "On" if name[0] == "*" else "Off"))
        elif kind is VectorKind.NUMBER:
            format, limits, value = (*[piece for piece in rest if piece], "", "")[:3]
            if limits and ".." not in limits:
                limits, value = "", limits
            low, _, more = limits.partition("..")
            high, _, step = more.partition("/")
            low, high, step = low or "0", high or "0", step or "0"
            found.append(StandardMember(name, label, value or "0", format, float(low), float(high), float(step)))
        else:
            value = rest[0] if rest and rest[0] else ""
            found.append(StandardMember(name, label, "Idle" if kind is VectorKind.LIGHT else value))
    return tuple(found)


_RULE_LETTERS: Final = {"1": SwitchRule.ONE_OF_MANY, "A": SwitchRule.AT_MOST_ONE, "M": SwitchRule.ANY_OF_MANY}


def _property(
    kind: VectorKind,
    name: str,
    label: str,
    group: str,
    members: str,
    *,
    rule: str | None = None,
    perm: str = "rw",
    state: str = "Idle",
    timeout: int = 60,
    saved: bool = False,
    users: str = "",
    needed_by: str = "",
    counted: bool = False,
) -> StandardProperty:
    return StandardProperty(
        name=name,
        kind=kind,
        label=label,
        group=group,
        members=members_of(kind, members),
        perm=None if kind is VectorKind.LIGHT else Permission(perm),
        rule=None if rule is None else _RULE_LETTERS[rule],
        state=State(state),
        timeout=timeout,
        saved=saved,
        users=users + needed_by,
        needed_by=needed_by,
        counted=counted,
    )


numbers: Final = partial(_property, VectorKind.NUMBER)
texts: Final = partial(_property, VectorKind.TEXT)
lights: Final = partial(_property, VectorKind.LIGHT)
blobs: Final = partial(_property, VectorKind.BLOB)
switches: Final = partial(_property, VectorKind.SWITCH)
"""Switches name their rule: 1 for OneOfMany, A for AtMostOne, M for AnyOfMany."""
