"""Everything that is known about the member under the cursor."""

from __future__ import annotations

import asyncio

from indipyclient import Member, Property, State, VectorKind

from ..plots import scaled, sparkline
from ..received import size_shown
from ..session import Session
from ..values import limits
from ..words import age, clean, shorten, span
from .lines import Lines, Piece

__all__ = ["Detail", "greyed", "known"]


MINUTES = (1, 2, 5, 10)
"""Lengths of the sparkline: the first that has room for all known values is used."""


class Rows:
    """Lines that are being composed."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.lines: list[list[Piece]] = []

    def title(self, label: str, name: str) -> None:
        """Add a heading."""
        self.lines.append([(shorten(clean(label), self.columns), "head")])
        self.lines.append([(shorten(clean(name), self.columns), "title")])

    def add(self, name: str, value: str, style: str = "") -> None:
        """Add a fact, unless it is empty."""
        if value:
            self.lines.append([(name.ljust(9), "dim"), (shorten(clean(value), self.columns - 10), style)])


def known(session: Session, prop: Property, member: Member | None, columns: int, now: float) -> list[list[Piece]]:
    """Lines with everything that is known about a property and a member."""
    rows = Rows(columns)
    rows.title(prop.label, prop.name)
    rows.add("device", prop.device)
    rows.add("group", prop.group)
    kind = "BLOB" if prop.kind is VectorKind.BLOB else prop.kind.value.lower()
    rows.add("kind", f"{kind}, {prop.perm}" + (f", {prop.rule}" if prop.rule else ""))
    old = ", may be out of date" if session.client.is_stale(prop) else ""
    rows.add("state", f"{prop.state}, {age(now - prop.at)}{old}")
    rows.add("time", (prop.timestamp or "").replace("T", " "))
    rows.add("time-out", f"{prop.timeout} s" if prop.timeout and prop.timeout != "0" else "")
    fate = session.fates.get(prop.key)
    if prop.pending is not None:
        word = "acknowledged" if session.acknowledged(prop) else "sent"
        rows.add("asked", f"{word}, {span(now - prop.pending.since)} ago", "sent")
    elif fate is not None:
        rows.add("asked", f"{fate.text}, {age(now - fate.at)}", "alert" if fate.bad else "ok")
    rows.add("message", prop.message, "alert" if prop.state is State.ALERT else "")
    if member is not None:
        rows.lines.append([])
        rows.title(member.label, member.name)
        _add_member(rows, session, prop, member, now)
    return rows.lines


def _add_member(rows: Rows, session: Session, prop: Property, member: Member, now: float) -> None:
    if prop.kind is VectorKind.NUMBER:
        rows.add("now", member.shown.strip())
        rows.add("as sent", member.value if member.value.strip() != member.shown.strip() else "")
        rows.add("range", limits(member))
        rows.add("format", member.format)
        _add_history(rows, session, prop, member, now)
    elif prop.kind is VectorKind.BLOB:
        _add_blob(rows, session, prop, member, now)
    else:
        rows.add("now", member.value)
    rows.add("unsent", session.edits.of(prop.key).get(member.name, ""), "edit")


def _add_blob(rows: Rows, session: Session, prop: Property, member: Member, now: float) -> None:
    receiver = session.receiver
    found = receiver.last.get((*prop.key, member.name))
    rows.add("receive", "yes" if receiver.is_receiving(prop.key) else "no: b")
    rows.add("folder", str(receiver.folder or ""))
    lost = receiver.losses.get(prop.key, 0)
    rows.add("LOST", f"{lost} since the start" if lost else "", "alert")
    if found is not None:
        rows.add("last", f"{size_shown(found.size)} {found.format}, {age(now - found.at)}")
        rows.add("number", f"{found.count}")
        rows.add("file", found.path.name if found.path else "")
        rows.add("problem", found.problem, "alert")
        for name, value in found.facts:
            rows.add(name[:8], value)


def _add_history(rows: Rows, session: Session, prop: Property, member: Member, now: float) -> None:
    samples = session.samples(prop.key, member.name)
    if not samples:
        return
    known_for = now - samples[0].time
    minutes = next((each for each in MINUTES if known_for <= each * 60), MINUTES[-1])
    recent = [sample for sample in samples if sample.time + 1 >= now - minutes * 60] or samples[-1:]
    low, high = min(sample.low for sample in recent), max(sample.high for sample in recent)
    said = f"{scaled(low, high - low)} .. {scaled(high, high - low)}, {minutes} min"
    rows.lines += [[], [(sparkline(samples, rows.columns - 1, now, minutes * 60.0), "title")]]
    rows.lines.append([(shorten(said, rows.columns), "dim")])


def greyed(rows: list[list[Piece]]) -> list[list[Piece]]:
    """The lines of facts that may be out of date."""
    return [[(text, "stale") for text, _ in row] for row in rows]


class Detail(Lines):
    """The pane at the right of wide terminals."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: list[list[Piece]] = []

    def show(self, session: Session | None, current: tuple[Property, Member | None] | None) -> None:
        """Show this member."""
        rows: list[list[Piece]] = []
        if session is not None and current is not None and self.columns > 0:
            rows = known(session, *current, self.columns, asyncio.get_running_loop().time())
            if session.client.is_stale(current[0]):
                rows = greyed(rows)
        if len(rows) != len(self._rows):
            self._rows = rows
            self.recount()
        else:
            self._rows = rows
            self.look_again()

    def count(self) -> int:
        return len(self._rows)

    def pieces(self, y: int) -> list[Piece]:
        return self._rows[y]
