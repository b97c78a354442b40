"""All that is known of the member under the cursor."""

from __future__ import annotations

import math

from indipyclient import Member, Property, VectorKind

from ..plots import sparkline
from ..receiving import size_shown
from ..session import Session
from ..values import limits, shown_number
from ..words import age, clean, shorten, span
from .lines import Lines, Piece

__all__ = ["Detail", "known"]

MINUTES = 10


def known(session: Session, prop: Property, member: Member | None, columns: int, now: float) -> list[list[Piece]]:
    """Lines that say it."""
    rows: list[list[Piece]] = []

    def row(name: str, value: str, style: str = "") -> None:
        if value:
            rows.append([(name.ljust(9), "dim"), (shorten(clean(value), columns - 10), style)])

    rows.append([(shorten(clean(prop.label), columns), "head")])
    rows.append([(shorten(clean(prop.name), columns), "title")])
    row("device", prop.device)
    row("group", prop.group)
    kind = {VectorKind.BLOB: "BLOB"}.get(prop.kind, prop.kind.value.lower())
    row("kind", f"{kind}, {prop.perm}" + (f", {prop.rule}" if prop.rule else ""))
    row("state", f"{prop.state}, {age(now - prop.at)}")
    row("time", (prop.timestamp or "").replace("T", " "))
    row("time-out", f"{prop.timeout} s" if prop.timeout and prop.timeout != "0" else "")
    fate = session.fates.get(prop.key)
    if prop.pending is not None:
        word = "acknowledged" if session.acknowledged(prop) else "sent"
        row("asked", f"{word}, {span(now - prop.pending.since)} ago", "sent")
    elif fate is not None:
        row("asked", f"{fate.text}, {age(now - fate.at)}", "alert" if fate.bad else "ok")
    row("message", prop.message, "alert" if prop.state.value == "Alert" else "")
    if member is not None:
        rows.append([])
        rows.append([(shorten(clean(member.label), columns), "head")])
        rows.append([(shorten(clean(member.name), columns), "title")])
        _member(session, prop, member, columns, now, rows, row)
    return rows


def _member(session, prop, member, columns, now, rows, row) -> None:  # type: ignore[no-untyped-def]
    if prop.kind is VectorKind.NUMBER:
        row("now", member.shown.strip())
        row("as sent", member.value if member.value.strip() != member.shown.strip() else "")
        row("range", limits(member))
        row("format", member.format)
        _history(session, prop, member, columns, now, rows)
    elif prop.kind is VectorKind.BLOB:
        found = session.receiver.last.get((*prop.key, member.name))
        row("receive", "yes" if session.receiver.is_receiving(prop.key) else "no: b")
        row("folder", str(session.receiver.folder or ""))
        if found is not None:
            row("last", f"{size_shown(found.size)} {found.format}, {age(now - found.at)}")
            row("number", f"{found.count}")
            row("file", found.path.name if found.path else "")
            row("problem", found.problem, "alert")
            for name, value in found.facts:
                row(name[:8], value)
    else:
        row("now", member.value)
    edit = session.edits.of(prop.key).get(member.name)
    if edit is not None:
        row("unsent", edit, "edit")


def _history(
    session: Session, prop: Property, member: Member, columns: int, now: float, rows: list[list[Piece]]
) -> None:
    samples = session.samples(prop.key, member.name)
    line = sparkline(samples, columns - 1, now, MINUTES * 60.0)
    if not line:
        return
    recent = [s for s in samples if s.time + 1 >= now - MINUTES * 60] or samples[-1:]
    low, high = min(s.low for s in recent), max(s.high for s in recent)
    rows.append([])
    rows.append([(line, "title")])
    text = f"{shown_number(f'{low:.8g}')} .. {shown_number(f'{high:.8g}')}" if math.isfinite(low + high) else ""
    rows.append([(shorten(f"{text} in {MINUTES} min; p plots", columns), "dim")])


class Detail(Lines):
    """The pane at the right of wide terminals."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: list[list[Piece]] = []

    def show(self, session: Session | None, current: tuple[Property, Member | None] | None) -> None:
        """Show this member."""
        import asyncio

        rows: list[list[Piece]] = []
        if session is not None and current is not None and self.columns > 0:
            rows = known(session, *current, self.columns, asyncio.get_running_loop().time())
            if session.client.is_stale(current[0]):
                rows = [[(text, "stale") for text, _ in row] for row in rows]
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
