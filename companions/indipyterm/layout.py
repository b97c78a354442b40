"""Which members are on which line, for a width.  It depends on definitions, not on values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from indipyclient import Property, VectorKind

from .words import clean, width

__all__ = ["Columns", "Kind", "Line", "Mode", "Place", "Sheet", "block", "columns_of"]

Key = tuple[str, str]


class Mode(StrEnum):
    """How much goes on a line."""

    LINES = "lines"  # one line for each number, text and BLOB
    COMPACT = "compact"  # one line for each property, where it fits


class Kind(StrEnum):
    """What a line is."""

    DEVICE = "device"  # name of a device, where several are listed
    HEAD = "head"  # label, state and age of a property
    TOLD = "told"  # what came of a command, or what the device says about its Alert
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
        edit: Where edits, and what was asked for, begin.
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
"""Columns from which on members stand below the label of their property."""
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
    """Columns that a member takes where several are on a line."""
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
        told: There is something to be told below its head.
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
    """As many members on a line as fit; switches and lights that take several lines stand in columns."""
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


class Sheet:
    """All lines that can be scrolled to, and where each property is among them.

    Attributes:
        lines: From the top.
        columns: Of lines with one member.
        head: Width of heads in compact mode.
        spots: Where the cursor can be: line and position in it, from the top.
    """

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.columns = columns_of((), 80)
        self.head = 0
        self.spots: list[tuple[int, int]] = []
        self._where: dict[Key, tuple[int, int]] = {}
        self._spot_of: dict[tuple[Key, str], int] = {}

    @classmethod
    def build(
        cls,
        props: Sequence[tuple[Property, Sequence[str] | None]],
        total: int,
        mode: Mode = Mode.LINES,
        *,
        told: Callable[[Property], bool] = lambda prop: False,
        devices: bool = False,
    ) -> Sheet:
        """The lines of these properties.

        Args:
            props: The properties, and which of their members; None for all.
            total: Width of a line.
            mode: One line for each member, or compact.
            told: There is something to be told about a property.
            devices: Name the device where it changes.
        """
        sheet = cls()
        labels = (
            width(clean(member.label[:60]))
            for prop, _ in props
            if prop.kind not in _FLOWING
            for member in prop.members.values()
        )
        sheet.columns = columns_of(labels, total)
        heads = (width(clean(prop.label[:60])) for prop, _ in props)
        sheet.head = 6 + min(max(heads, default=8), max(total * 3 // 10, 8)) + 2
        lines = sheet.lines
        device = None
        for prop, members in props:
            if devices and prop.device != device:
                device = prop.device
                if lines:
                    lines.append(Line(Kind.BLANK, prop.key))
                lines.append(Line(Kind.DEVICE, prop.key))
            begin = len(lines)
            lines += block(prop, total, mode, told=told(prop), members=members, head=sheet.head)
            sheet._where[prop.key] = (begin, len(lines))
        for y, line in enumerate(lines):
            for index, place in enumerate(line.places):
                sheet._spot_of[line.key, place.member] = len(sheet.spots)
                sheet.spots.append((y, index))
            if line.kind in (Kind.HEAD, Kind.BOTH) and not line.places and sheet._is_bare(line.key):
                sheet._spot_of[line.key, ""] = len(sheet.spots)
                sheet.spots.append((y, -1))
        return sheet

    def _is_bare(self, key: Key) -> bool:
        begin, end = self._where[key]
        return not any(line.places for line in self.lines[begin:end])

    def __len__(self) -> int:
        return len(self.lines)

    def range_of(self, key: Key) -> tuple[int, int] | None:
        """First line of a property, and the one after its last."""
        return self._where.get(key)

    def spot_of(self, key: Key, member: str) -> int | None:
        """Position of a member among the spots."""
        return self._spot_of.get((key, member))

    def member_at(self, spot: int) -> tuple[Key, str]:
        """Which member is at this position; "" for a property without members."""
        y, index = self.spots[spot]
        line = self.lines[y]
        return line.key, line.places[index].member if index >= 0 else ""

    def has_room_for_told(self, key: Key) -> bool:
        """The property has a line for what is to be told."""
        found = self._where.get(key)
        return found is not None and any(line.kind is Kind.TOLD for line in self.lines[found[0] : found[1]])

    def find(self, y: int, x: int) -> int | None:
        """The spot that is at this line and column, or next to it in that line."""
        if not 0 <= y < len(self.lines):
            return None
        line = self.lines[y]
        if line.kind in (Kind.BLANK, Kind.DEVICE):
            return None
        if line.places:
            nearest = min(
                line.places, key=lambda p: 0 if p.x <= x < p.x + p.width else min(abs(p.x - x), abs(p.x + p.width - x))
            )
            return self._spot_of[line.key, nearest.member]
        begin, end = self._where[line.key]
        for below in self.lines[begin:end]:
            if below.places:
                return self._spot_of[below.key, below.places[0].member]
        return self._spot_of.get((line.key, ""))
