"""Long texts: read, or edited in more than one line.

They are read on a page, which draws what is seen: an editor takes half a second to show a line of 100 kB.
"""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import TextArea

from ..widgets.lines import Piece
from ..words import clean_part, wrapped
from .page import Label, Page

__all__ = ["LongText", "TextPage"]


class TextPage(Page):
    """A text that is read."""

    foot = " Esc back   g G first, last"

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title, self._text = title, text

    def title_text(self) -> str:
        return _title(self._title, self._text)

    def rows(self, columns: int) -> list[list[Piece]]:
        lines = _visible(self._text).expandtabs().split("\n")
        return [[(part, "")] for line in lines for part in wrapped(line, max(columns, 20))]

    def look_again(self) -> None:
        """It stays as it was when it was opened."""


class LongText(Screen[str | None]):
    """A text that is edited, on the whole screen."""

    DEFAULT_CSS = """
    LongText { background: $background; }
    LongText TextArea { border: none; padding: 0 1; background: $background; }
    LongText TextArea:focus { border: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "back", show=False, priority=True),
        Binding("ctrl+s", "keep", "keep", show=False, priority=True),
    ]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title, self._text = title, text
        self._shown = _visible(text)

    def compose(self) -> ComposeResult:
        yield Label(f" {_title(self._title, self._text)}", "bar-bold")
        yield TextArea(self._shown, soft_wrap=True, id="text")
        yield Label(" Ctrl-S keeps the edit, which is not sent yet   Esc leaves it as it was", "bar")

    @property
    def typed(self) -> bool:
        """Whether something has been typed that is not kept yet."""
        return self.query_one(TextArea).text != self._shown

    def action_leave(self) -> None:
        self.dismiss(None)

    def action_keep(self) -> None:
        text = self.query_one(TextArea).text
        self.dismiss(text if text != self._shown else None)


def _title(title: str, text: str) -> str:
    return f"{len(text)} characters   {title}"


def _visible(text: str) -> str:
    """Replace what would move the cursor or change the direction of writing, except line breaks."""
    return "\n".join(clean_part(line) for line in text.split("\n"))
