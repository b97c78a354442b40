"""Which members are on which line, for a width.  It depends on definitions, not on values."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Container, Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from indipyclient import Property, VectorKind
from indipyclient.model.properties import Definition

from .words import clean, width

__all__ = ["Columns", "Kind", "Line", "Mode", "Place", "Sheet", "block", "columns_of"]

Key = tuple[str, str]


class Mode(StrEnum):
    """How much goes on a line."""

    LINES = "lines"  # one line for each number, text and BLOB
    COMPACT = "compact"  # one line for each property, where it fits


class Kind(StrEnum):
    """What a line is."""

    DEVICE = "device"  # name of a device, if several are listed
    HEAD = "head"  # label, state and age of a property
    TOLD = "told"  # outcome of a command, or the device's message about its Alert
    MEMBERS = "members"
    BOTH = "both"  # compact: head and members
    BLANK = "blank"


class Place(NamedTuple):
    """Where a member is on its line."""

    member: str
    x: int
    width: int


class Line(NamedTuple):
    """One line; `key` is that of its property."""

    kind: Kind
    key: Key
    places: tuple[Place, ...] = ()


class Columns(NamedTuple):
    """Where the parts of a line with one member begin.

    Attributes:
        indent: Where labels begin.
        label: Width of labels.
        value: Where values begin.
        number: Width of numbers.
        edit: Where edits and requested values begin.
        edit_width: Their width.
        limits: Where limits begin; the rest of the line is theirs.
        total: Width of the line.
    """

    indent: int
    label: int
    value: int
    number: int
    edit: int
    edit_width: int
    limits: int
    total: int


ROOMY: Final = 70
"""Columns from which on members are below the label of their property."""
_FLOWING: Final = (VectorKind.SWITCH, VectorKind.LIGHT)


def indent_of(total: int) -> int:
    """Where members begin on lines of this width."""
    return 6 if total >= ROOMY else 2


def columns_of(labels: Iterable[int], total: int) -> Columns:
    """The columns for these widths of labels."""
    label = min(max(labels, default=8), max(total * 3 // 10, 8))
    indent = indent_of(total)
    value = indent + label + 2
    number = 14 if total < 90 else 16
    edit = value + number + 2
    edit_width = max(min(22 if total >= 80 else 15, total - edit - 1), 8)
    return Columns(indent, label, value, number, edit, edit_width, edit + edit_width + 1, total)


def cell_width(prop: Property, member: str) -> int:
    """Columns that a member takes if several are on a line."""
    found = prop.members[member]
    label = min(width(clean(found.label)), 40)
    if prop.kind is VectorKind.SWITCH:
        return label + 4  # "(*) On"
    if prop.kind is VectorKind.LIGHT:
        return label + 7  # "Door Alert"
    if prop.kind is VectorKind.NUMBER:
        return min(label, 24) + 13
    return min(label, 24) + 27


def block(
    prop: Property,
    total: int,
    mode: Mode = Mode.LINES,
    *,
    told: bool = False,
    members: Sequence[str] | None = None,
    head: int = 0,
) -> list[Line]:
    """The lines of a property.

    Args:
        prop: The property.
        total: Width of a line.
        mode: One line for each member, or compact.
        told: There is something to show below its head.
        members: Only these; None for all.
        head: Compact: width of the heads.
    """
    key = prop.key
    names = list(prop.members) if members is None else [name for name in members if name in prop.members]
    says = [Line(Kind.TOLD, key)] if told else []
    if mode is Mode.COMPACT:
        rows = _flow(prop, names, head, total)
        first = Line(Kind.BOTH, key, rows[0] if rows else ())
        return [first, *says, *(Line(Kind.MEMBERS, key, row) for row in rows[1:])]
    lines = [Line(Kind.HEAD, key), *says]
    indent = indent_of(total)
    if prop.kind in _FLOWING:
        lines += [Line(Kind.MEMBERS, key, row) for row in _flow(prop, names, indent, total)]
    else:
        lines += [Line(Kind.MEMBERS, key, (Place(name, indent, total - indent),)) for name in names]
    return lines


def _flow(prop: Property, names: Sequence[str], begin: int, total: int) -> list[tuple[Place, ...]]:
    """Lines with as many members as fit; switches and lights that take several lines are aligned in columns."""
    widths = [min(cell_width(prop, name), max(total - begin, 1)) for name in names]
    if begin + sum(widths) + 2 * (len(widths) - 1) > total and len(widths) > 2:
        common = max(widths)
        if common <= (total - begin) // 2:
            widths = [common] * len(widths)
    rows: list[tuple[Place, ...]] = []
    row: list[Place] = []
    x = begin
    for name, wide in zip(names, widths, strict=True):
        if row and x + wide > total:
            rows.append(tuple(row))
            row, x = [], begin
        row.append(Place(name, x, wide))
        x += wide + 2
    if row:
        rows.append(tuple(row))
    return rows


class _Widths(NamedTuple):
    """The widths that a definition needs.

    Attributes:
        label: Width of the longest label of a member with a line of its own; -1 for none.
        head: Width of its own label.
    """

    label: int
    head: int

    @classmethod
    def of(cls, prop: Property) -> _Widths:
        labels = () if prop.kind in _FLOWING else [width(clean(m.label[:60])) for m in prop.members.values()]
        return cls(max(labels, default=-1), width(clean(prop.label[:60])))


class _Style(NamedTuple):
    """The common style: width of a line, mode, and width of the heads in compact mode."""

    total: int
    mode: Mode
    head: int


class _Part(NamedTuple):
    """The lines of a property, which stay the same while its definition and the style do.

    Attributes:
        definition: Its definition; a new one is another object, and may bring other members.
        key: Of the property.
        widths: Of its definition.
        style: How it is shown,
        told: whether there is something to be told about it,
        shown: and which of its members are shown; None for all.
        lines: From the first of them.
        spots: Where the cursor can be: line and position in it, counted from the first line.
        members: Which member is at which of these.
    """

    definition: Definition
    key: Key
    widths: _Widths
    style: _Style
    told: bool
    shown: Sequence[str] | None
    lines: tuple[Line, ...]
    spots: tuple[tuple[int, int], ...]
    members: dict[str, int]

    @classmethod
    def of(cls, prop: Property, widths: _Widths, style: _Style, told: bool, shown: Sequence[str] | None) -> _Part:
        lines = block(prop, style.total, style.mode, told=told, members=shown, head=style.head)
        found = [((y, n), place.member) for y, line in enumerate(lines) for n, place in enumerate(line.places)]
        found = found or [((0, -1), "")]  # it has no members: the cursor is on its head
        members = {member: number for number, (_, member) in enumerate(found)}
        spots = tuple(spot for spot, _ in found)
        return cls(prop.definition, prop.key, widths, style, told, shown, tuple(lines), spots, members)


class Sheet:
    """All lines that can be scrolled to, with the place of each property.

    Attributes:
        lines: From the top.
        columns: The columns of lines with one member.
        head: Width of heads in compact mode.
        spots: How many places the cursor can have.
        style: How all properties are shown.
    """

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.columns = columns_of((), 80)
        self.head = 0
        self.spots = 0
        self.style: _Style | None = None
        self._parts: list[_Part] = []
        self._begins: list[int] = []  # the first line of each part
        self._firsts: list[int] = []  # and its first spot
        self._at: dict[Key, int] = {}

    @classmethod
    def build(
        cls,
        props: Sequence[tuple[Property, Sequence[str] | None]],
        total: int,
        mode: Mode = Mode.LINES,
        *,
        told: Container[Key] = (),
        devices: bool = False,
        before: Sheet | None = None,
    ) -> Sheet:
        """The lines of these properties.

        Args:
            props: The properties, and which of their members; None for all.
            total: Width of a line.
            mode: One line for each member, or compact.
            told: Properties about which there is something to show.
            devices: Show the name of the device where it changes.
            before: Lines from which all that has not changed is taken: a device may have thousands of properties, of
                which some come and go several times a second.
        """
        sheet = cls()
        old = before.by_definition() if before is not None else {}
        known = [old.get(id(prop.definition)) for prop, _ in props]
        widths = [
            part.widths if part is not None else _Widths.of(prop) for part, (prop, _) in zip(known, props, strict=True)
        ]
        label = max((each.label for each in widths), default=-1)
        sheet.columns = columns_of((label,) if label >= 0 else (), total)
        widest = max((each.head for each in widths), default=8)
        sheet.head = 6 + min(widest, max(total * 3 // 10, 8)) + 2
        style = _Style(total, mode, sheet.head if mode is Mode.COMPACT else 0)
        if before is not None and before.style == style:
            style = before.style
        sheet.style = style
        lines, parts, begins, firsts, spots = sheet.lines, sheet._parts, sheet._begins, sheet._firsts, 0
        device = None
        for (prop, members), part, wide in zip(props, known, widths, strict=True):
            if devices and prop.device != device:
                device = prop.device
                lines += [Line(Kind.BLANK, prop.key)] if lines else []
                lines.append(Line(Kind.DEVICE, prop.key))
            says = bool(told) and prop.key in told
            if part is None or part.told is not says or part.shown != members or part.style is not style:
                part = _Part.of(prop, wide, style, says, members)
            parts.append(part)
            begins.append(len(lines))
            firsts.append(spots)
            lines += part.lines
            spots += len(part.spots)
        sheet.spots = spots
        sheet._at = {part.key: number for number, part in enumerate(parts)}
        return sheet

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def properties(self) -> int:
        """How many lines there are."""
        return len(self._parts)

    def by_definition(self) -> dict[int, _Part]:
        """The lines of the properties, by the identity of their definitions."""
        return {id(part.definition): part for part in self._parts}

    def range_of(self, key: Key) -> tuple[int, int] | None:
        """First line of a property, and the one after its last."""
        at = self._at.get(key)
        return None if at is None else (self._begins[at], self._begins[at] + len(self._parts[at].lines))

    def spot_of(self, key: Key, member: str) -> int | None:
        """Number of a member among the spots, from the top."""
        at = self._at.get(key)
        number = None if at is None else self._parts[at].members.get(member)
        return None if at is None or number is None else self._firsts[at] + number

    def _part_of(self, spot: int) -> int:
        if not 0 <= spot < self.spots:
            raise IndexError(spot)
        return bisect_right(self._firsts, spot) - 1

    def place_of(self, spot: int) -> tuple[int, int]:
        """Line and position in it of the spot with this number; -1 for the head of a property without members."""
        at = self._part_of(spot)
        y, index = self._parts[at].spots[spot - self._firsts[at]]
        return self._begins[at] + y, index

    def member_at(self, spot: int) -> tuple[Key, str]:
        """Which member is at this spot; "" for a property without members."""
        at = self._part_of(spot)
        part = self._parts[at]
        y, index = part.spots[spot - self._firsts[at]]
        return part.key, part.lines[y].places[index].member if index >= 0 else ""

    def line_from(self, spot: int, lines: int) -> int:
        """The line this many lines further, counting lines with a spot; or the last one on the way."""
        step = 1 if lines > 0 else -1
        y = self.place_of(spot)[0]
        while lines and 0 <= spot + step < self.spots:
            spot += step
            there = self.place_of(spot)[0]
            if there != y:
                y, lines = there, lines - step
        return y

    def property_from(self, spot: int, steps: int) -> int:
        """The first spot of the property this many properties further; the first follows the last."""
        return self._firsts[(self._part_of(spot) + steps) % len(self._parts)]

    def find(self, y: int, x: int) -> int | None:
        """The spot at this line and column, or the nearest one in that line."""
        if not 0 <= y < len(self.lines):
            return None
        line = self.lines[y]
        if line.kind in (Kind.BLANK, Kind.DEVICE):
            return None
        if not line.places:
            return self._firsts[self._at[line.key]]
        nearest = min(
            line.places, key=lambda p: 0 if p.x <= x < p.x + p.width else min(abs(p.x - x), abs(p.x + p.width - x))
        )
        return self.spot_of(line.key, nearest.member)
