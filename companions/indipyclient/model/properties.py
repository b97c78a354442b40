"""A property at one moment.  It never changes: an update makes a new one that shares the unchanged parts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from indipydriver.errors import ValueFormatError
from indipydriver.protocol.messages import DefVector
from indipydriver.protocol.tags import Permission, State, SwitchRule, VectorKind
from indipydriver.protocol.values import format_number, getfloat, parse_timestamp

__all__ = ["STATES", "Definition", "Key", "Member", "Pending", "Property", "entering", "number_of"]

STATES: Final = tuple(State)
Key = tuple[str, str]
"""Device and property name."""
_STATE_INDEX: Final = {state: index for index, state in enumerate(STATES)}


def entering(before: tuple[int, int, int, int], state: State, rev: int) -> tuple[int, int, int, int]:
    """For each state the number of the change that last led to it, now that this change has led to this one."""
    idle, ok, busy, alert = before
    index = _STATE_INDEX[state]
    if index == 0:
        return rev, ok, busy, alert
    if index == 1:
        return idle, rev, busy, alert
    if index == 2:
        return idle, ok, rev, alert
    return idle, ok, busy, rev


def number_of(text: str) -> float:
    """The number in a received text; nan if there is none."""
    try:
        return getfloat(text) if text else math.nan
    except ValueFormatError:
        return math.nan


class Member(NamedTuple):
    """One value of a property.

    Attributes:
        name: Unique in the property.
        label: Human-readable.
        value: The text as received: ``On`` or ``Off``, a state, any text, or a number; "" for a BLOB.
        format: Of a number: how it is shown; of a BLOB: suffixes such as ``.fits``.
        min: Of a number, as text.
        max: Of a number; a range is meant only when min < max.
        step: Of a number; 0 for none.
        data: Bytes of a BLOB, or None when none has come.
        size: Of a BLOB: length after inflating, as the device said.
    """

    name: str
    label: str
    value: str = ""
    format: str = ""
    min: str = "0"
    max: str = "0"
    step: str = "0"
    data: bytes | None = None
    size: int | None = None

    @property
    def number(self) -> float:
        """The value as a float, even if its text is sexagesimal; nan if it is not a number."""
        return number_of(self.value)

    @property
    def on(self) -> bool:
        """Whether it is a switch that is On."""
        return self.value == "On"

    @property
    def shown(self) -> str:
        """The value as a display shows it: a number in its format, everything else as it is."""
        if not self.format or self.data is not None:
            return self.value
        number = self.number
        try:
            return format_number(self.format, number) if math.isfinite(number) else self.value
        except ValueFormatError:
            return self.value

    @property
    def range(self) -> tuple[float, float] | None:
        """Smallest and largest number, if the device gives any."""
        low, high = number_of(self.min), number_of(self.max)
        return (low, high) if low < high else None


class Definition(NamedTuple):
    """What a definition says, except values and state."""

    kind: VectorKind
    device: str
    name: str
    label: str
    group: str
    perm: Permission
    rule: SwitchRule | None

    @classmethod
    def of(cls, message: DefVector) -> Definition:
        """From the message; lights are read-only."""
        perm = message.perm or Permission.READ_ONLY
        label = message.label or message.name
        return cls(message.kind, message.device, message.name, label, message.group, perm, message.rule)


class Pending(NamedTuple):
    """A command that has been sent and not been answered.

    Attributes:
        values: The requested values, by member.
        since: When it was sent, by the clock of the model.
        who: Who sent it, for display.
    """

    values: Mapping[str, str]
    since: float
    who: str = ""


@dataclass(slots=True)
class Property:
    """A property vector at one moment.

    ``prop["RA"]`` is the :class:`Member` ``RA``, and ``prop.device``, ``name``, ``kind``, ``label``, ``group``,
    ``perm`` and ``rule`` are those of its definition.

    Attributes:
        definition: Its definition.
        state: Its state.
        members: By name, in the order of the definition.  Not to be changed.
        timeout: Seconds that the device may take for a command, as text; None if it does not say.
        timestamp: Of the last definition or update, as the device wrote it.
        message: Text of the last update that had one.
        message_timestamp: Its timestamp, as the device wrote it.
        rev: Number of the last change.
        defined: Number of the change that defined it.
        at: When it last changed, in the clock of the model.
        session: The connection that it is from, counted from 1.
        entered: For each state the number of the change that last led to it; 0 for never.
        pending: A command that waits for its answer.
    """

    definition: Definition
    state: State
    members: dict[str, Member]
    timeout: str | None
    timestamp: str | None
    message: str
    message_timestamp: str | None
    rev: int
    defined: int
    at: float
    session: int
    entered: tuple[int, int, int, int]
    pending: Pending | None = None

    @property
    def kind(self) -> VectorKind:
        return self.definition.kind

    @property
    def device(self) -> str:
        return self.definition.device

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def label(self) -> str:
        return self.definition.label

    @property
    def group(self) -> str:
        return self.definition.group

    @property
    def perm(self) -> Permission:
        return self.definition.perm

    @property
    def rule(self) -> SwitchRule | None:
        return self.definition.rule

    @property
    def key(self) -> Key:
        """Device and name."""
        return self.definition.device, self.definition.name

    @property
    def shown_state(self) -> State:
        """The state for display: Busy while a command waits for its answer."""
        return State.BUSY if self.pending is not None else self.state

    @property
    def time(self) -> datetime | None:
        """The timestamp as an aware datetime in UTC."""
        return parse_timestamp(self.timestamp)

    @property
    def writable(self) -> bool:
        """Whether a client may send values."""
        return self.definition.perm is not Permission.READ_ONLY and self.definition.kind is not VectorKind.LIGHT

    @property
    def values(self) -> dict[str, str]:
        """The text of all members, by name."""
        return {name: member.value for name, member in self.members.items()}

    def passed(self, since: int) -> frozenset[State]:
        """The states it has been in after the change with this number, including the present one."""
        return frozenset(
            state for state, rev in zip(STATES, self.entered, strict=True) if rev > since or state is self.state
        )

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def __contains__(self, name: object) -> bool:
        return name in self.members

    def __iter__(self) -> Iterator[str]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)
