"""Vectors of standard properties, created from the table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

from ..propertymembers import BLOBMember, LightMember, NumberMember, SwitchMember, TextMember
from ..propertyvectors import BLOBVector, LightVector, NumberVector, PropertyVector, SwitchVector, TextVector
from ..protocol.tags import Permission, VectorKind
from ..standard import StandardMember, StandardProperty

__all__ = ["make_vector", "on_circle", "rounded", "set_limits", "whole"]


def make_vector(
    standard: StandardProperty,
    *,
    perm: str | None = None,
    label: str | None = None,
    group: str | None = None,
    members: Iterable[StandardMember] | None = None,
    only: Iterable[str] | None = None,
    values: Mapping[str, Any] | None = None,
) -> PropertyVector:
    """A new vector of a standard property.

    Args:
        standard: The property.
        perm: What clients may do, if not what the table says.
        label: Human-readable text, if not that of the table.
        group: The group, if not that of the table.
        members: All members, if not those of the table.
        only: The names of the existing members; the others are left out.
        values: Initial values of some members.
    """
    chosen = list(standard.members if members is None else members)
    if only is not None:
        wanted = set(only)
        chosen = [member for member in chosen if member.name in wanted]
    first = {name: str(value) for name, value in (values or {}).items()}
    chosen = [replace(member, value=first.get(member.name, member.value)) for member in chosen]
    about = standard.name, label or standard.label, group or standard.group
    may = perm or standard.perm or Permission.READ_ONLY
    state = standard.state
    vector: PropertyVector
    match standard.kind:
        case VectorKind.SWITCH:
            switches = [SwitchMember(m.name, m.label, m.value) for m in chosen]
            assert standard.rule is not None
            vector = SwitchVector(*about, may, standard.rule, state, switches)
        case VectorKind.NUMBER:
            numbers = [NumberMember(m.name, m.label, m.format, m.min, m.max, m.step, m.value) for m in chosen]
            vector = NumberVector(*about, may, state, numbers)
        case VectorKind.TEXT:
            vector = TextVector(*about, may, state, [TextMember(m.name, m.label, m.value) for m in chosen])
        case VectorKind.LIGHT:
            return LightVector(*about, state, [LightMember(m.name, m.label, m.value) for m in chosen])
        case VectorKind.BLOB:
            vector = BLOBVector(*about, may, state, [BLOBMember(m.name, m.label) for m in chosen])
    vector.timeout = standard.timeout
    return vector


def set_limits(vector: PropertyVector, member: str, low: float, high: float, step: float | None = None) -> None:
    """Limits of a number, for its next definition."""
    number: NumberMember = vector.data[member]
    number.min, number.max = low, high
    if step is not None:
        number.step = step


# What is no number, such as the None of a library, stays as it is, to be refused where it is assigned.


def whole(number: float) -> float:
    """A number without its fraction."""
    try:
        return int(number) if isfinite(number) else number
    except TypeError:
        return number


def rounded(number: float, digits: int) -> float:
    """A number with so many digits behind the point."""
    try:
        return round(number, digits)
    except TypeError:
        return number


def on_circle(degrees: float, digits: int) -> float:
    """An angle from 0 to less than 360, rounded, so that a target and the value shown can be equal."""
    try:
        return round(degrees % 360, digits) % 360
    except TypeError:
        return degrees
