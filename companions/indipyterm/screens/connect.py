"""The choice of a server to open."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input

from indipyclient.addresses import parse_endpoint

from ..settings import recent_servers
from ..widgets.editor import Field
from ..widgets.lines import Lines, Piece
from ..words import clean, fit
from .page import Dialog, Label

__all__ = ["ConnectScreen"]


class _Recent(Lines, can_focus=False):
    """Servers that were used before."""

    DEFAULT_CSS = "_Recent { height: auto; max-height: 8; }"

    def __init__(self, names: list[str]) -> None:
        super().__init__(id="recent")
        self.names = names
        self.at = -1
        self.styles.height = min(len(names), 8)

    def count(self) -> int:
        return len(self.names)

    def pieces(self, y: int) -> list[Piece]:
        return [(fit(f" {clean(self.names[y])}", self.columns), "cursor" if y == self.at else "")]

    def on_resize(self) -> None:
        self.recount()

    def on_click(self, event: events.Click) -> None:
        line = self.line_of_click(event)
        if line is not None:
            self.screen.dismiss(self.names[line])


class ConnectScreen(Dialog[str]):
    """An address is typed, or chosen from earlier ones."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "turn(1)", show=False, priority=True),
        Binding("up", "turn(-1)", show=False, priority=True),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._recent = _Recent(recent_servers())
        self._wrong = Label("", "alert")

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Label("Open a server", "head")
            yield Label("HOST, HOST:PORT, [IPv6]:PORT or the path of a local socket", "dim")
            yield Field(placeholder="localhost:7624", id="address")
            yield self._wrong
            if self._recent.names:
                yield Label("used before, with ↑ and ↓:", "dim")
                yield self._recent
                yield Label("")
            yield Label("Enter opens   Esc back", "title")

    def action_turn(self, steps: int) -> None:
        names = self._recent.names
        if names:
            self._recent.at = min(max(self._recent.at + steps, 0), len(names) - 1)
            field = self.query_one("#address", Field)
            field.value = names[self._recent.at]
            field.cursor_position = len(field.value)
            self._recent.recount()
            self._recent.keep_in_sight(self._recent.at, margin=0)

    @on(Input.Changed)
    def _typed(self) -> None:
        self._wrong.put("")

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        try:
            endpoint = parse_endpoint(event.value)
        except ValueError as error:
            self._wrong.put(str(error))
            return
        self.dismiss(str(endpoint))
