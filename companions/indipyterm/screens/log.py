"""All messages that are kept, of one device or of all, with search."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from ..session import Session
from ..widgets.editor import Field
from ..widgets.lines import Piece
from ..widgets.messages import note_time, sounds_bad
from ..words import clean, fit, width
from .page import Page

__all__ = ["LogScreen"]


class _Search(Field):
    DEFAULT_CSS = "_Search { display: none; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "screen.end_search", show=False)]


class LogScreen(Page):
    """Newest last, as in a file; it stays at the end unless it is scrolled."""

    foot = " Esc back   d this device or all   / search   g G first, last"

    def __init__(self, session: Session, device: str | None) -> None:
        super().__init__()
        self._session = session
        self._device = device
        self._only = False
        self._words: tuple[str, ...] = ()
        self._count = 0
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
        rows: list[list[Piece]] = []
        self._count = 0
        for note in notes:
            text, device = clean(note.text), clean(note.device or "server")
            if not all(word in f"{device} {text}".lower() for word in self._words):
                continue
            self._count += 1
            style = "alert" if sounds_bad(note) else ""
            begin: list[Piece] = [
                (f"{clean(note_time(note, now - note.at))} ", "dim"),
                (fit(device, 16) + " ", "label"),
                ("! " if style else "  ", style),
            ]
            for number, part in enumerate(_cut(text, max(columns - 28, 20))):
                rows.append([*begin, (part, style)] if not number else [(" " * 28, ""), (part, style)])
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


def _cut(text: str, columns: int) -> list[str]:
    """The text in lines, at its blanks where there are any."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        while width(word) > columns:
            if line:
                lines.append(line)
                line = ""
            piece = word[:columns]
            while width(piece) > columns:
                piece = piece[:-1]
            lines.append(piece)
            word = word[len(piece) :]
        if line and width(line) + 1 + width(word) > columns:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line][:60]
