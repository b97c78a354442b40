"""A number over time."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import ClassVar, Final

from textual.binding import Binding, BindingType

from ..plots import plot, scaled
from ..session import Session
from ..widgets.lines import Piece
from ..words import clean, fit
from .page import Page

__all__ = ["PlotScreen"]

SPANS: Final = (60, 120, 300, 600, 1800, 3600)


class PlotScreen(Page):
    """The last minutes of a number, drawn again each second."""

    foot = " Esc back   + - longer, shorter"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("plus,equals_sign", "zoom(1)", show=False),
        Binding("minus", "zoom(-1)", show=False),
    ]

    def __init__(self, session: Session, key: tuple[str, str], member: str) -> None:
        super().__init__()
        self._session, self._key, self._member = session, key, member
        self._span = 2

    def on_mount(self) -> None:
        super().on_mount()
        self.set_interval(1.0, self.look_again)

    def title_text(self) -> str:
        prop = self._session.client.get(*self._key)
        member = prop.members.get(self._member) if prop else None
        if prop is None or member is None:
            return "it is gone"
        stale = self._session.client.is_stale(prop)
        state = "   LOST" if not self._session.live else "   not defined again yet" if stale else ""
        return f"{prop.device}   {prop.label}: {member.label}   now {member.shown.strip()}{state}"

    def rows(self, columns: int) -> list[list[Piece]]:
        samples = self._session.samples(self._key, self._member)
        seconds = float(SPANS[self._span])
        height = max(self.body.size.height - 1, 2)
        now = asyncio.get_running_loop().time()
        found = plot(samples, max(columns - 14, 10), height, now, seconds)
        if found is None:
            return [[("no values yet", "dim")]]
        rows: list[list[Piece]] = []
        for number, row in enumerate(found.rows):
            part = number / max(height - 1, 1)
            value = found.high * (1 - part) + found.low * part
            shown = number % max(height // 6, 1) == 0 or number == height - 1
            label = scaled(value, found.high - found.low) if shown else ""
            rows.append([(fit(label, 12, right=True) + (" ┤" if shown else " │"), "dim"), (clean(row), "title")])
        wall = datetime.now().astimezone()
        begin, end = f"{wall - timedelta(seconds=seconds):%H:%M:%S}", f"{wall:%H:%M:%S}"
        middle = f"{seconds / 60:g} min"
        room = max(columns - 14 - len(begin) - len(end), 0)
        rows.append([(" " * 14 + begin + middle.center(room) + end, "dim")])
        return rows

    def action_zoom(self, steps: int) -> None:
        self._span = min(max(self._span + steps, 0), len(SPANS) - 1)
        self.look_again()
