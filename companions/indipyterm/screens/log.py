"""All messages that are kept, of one device or of all, with search."""

from __future__ import annotations

import asyncio
from typing import ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from indipyclient import Note

from ..session import Session
from ..widgets.editor import Field
from ..widgets.lines import Piece
from ..widgets.messages import note_time, sounds_bad
from ..words import clean, fit, wrapped
from .page import Page

__all__ = ["LogScreen"]


class _Search(Field):
    DEFAULT_CSS = "_Search { display: none; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "screen.end_search", show=False)]


class _Shown(NamedTuple):
    """A message for display; composed once, however often the screen is drawn."""

    words: str
    rows: list[list[Piece]]


def _shown(note: Note, columns: int, now: float) -> _Shown:
    text, device = clean(note.text), clean(note.device or "server")
    style = "alert" if sounds_bad(note) else ""
    begin: list[Piece] = [
        (f"{clean(note_time(note, now - note.at))} ", "dim"),
        (fit(device, 16) + " ", "label"),
        ("! " if style else "  ", style),
    ]
    rows = [
        [*begin, (part, style)] if not number else [(" " * 28, ""), (part, style)]
        for number, part in enumerate(wrapped(text, max(columns - 28, 20)))
    ]
    return _Shown(f"{device} {text}".lower(), rows)


class LogScreen(Page):
    """Messages, newest last, as in a file; it stays at the end unless it is scrolled."""

    foot = " Esc back   d this device or all   / search   g G first, last"

    def __init__(self, session: Session, device: str | None) -> None:
        super().__init__()
        self._session = session
        self._device = device
        self._only = False
        self._words: tuple[str, ...] = ()
        self._count = 0
        self._columns = 0
        self._kept: dict[int, _Shown] = {}
        self._search = _Search(placeholder="words to search for", id="search")

    def compose(self) -> ComposeResult:
        yield self.top
        yield self._search
        yield self.body
        yield self.bottom

    def on_mount(self) -> None:
        super().on_mount()
        self.call_after_refresh(self.action_list_bottom)

    def title_text(self) -> str:
        whose = clean(self._device or "") if self._only else "all devices"
        found = f"   with {' '.join(self._words)!r}" if self._words else ""
        return f"Messages of {whose}{found}   {self._count}"

    def rows(self, columns: int) -> list[list[Piece]]:
        notes = self._session.client.notes(self._device if self._only else None)
        now = asyncio.get_running_loop().time()
        before = self._kept if columns == self._columns else {}
        self._columns = columns
        self._kept = {note.rev: before.get(note.rev) or _shown(note, columns, now) for note in notes}
        found = [shown for shown in self._kept.values() if all(word in shown.words for word in self._words)]
        self._count = len(found)
        rows = [row for shown in found for row in shown.rows]
        return rows or [[("nothing was said", "dim")]]

    def look_again(self) -> None:
        at_end = self.body.scroll_offset.y + self.body.size.height >= self.body.count()
        before = self._count
        self.body.reload()
        self.top.put(f" {self.title_text()}")
        if at_end and self._count != before:
            self.call_after_refresh(self.action_list_bottom)

    def action_only_device(self) -> None:
        if self._device is not None:
            self._only = not self._only
            self.look_again()
            self.action_list_bottom()

    def action_search(self) -> None:
        self._search.display = True
        self._search.focus()

    @on(Input.Changed, "#search")
    def _typed(self, event: Input.Changed) -> None:
        self._words = tuple(event.value.lower().split())
        self.look_again()

    @on(Input.Submitted, "#search")
    def _entered(self) -> None:
        self._search.display = False
        self.body.focus()

    def action_end_search(self) -> None:
        self._search.value = ""
        self._words = ()
        self._entered()
        self.look_again()
