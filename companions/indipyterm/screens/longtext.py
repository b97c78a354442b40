"""Long texts: read, or edited in more than one line."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import TextArea

from ..words import clean_part
from .page import Label

__all__ = ["LongText"]


class LongText(Screen[str | None]):
    """A text that fills the screen."""

    DEFAULT_CSS = """
    LongText { background: $background; }
    LongText TextArea { border: none; padding: 0 1; background: $background; }
    LongText TextArea:focus { border: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "back", show=False, priority=True),
        Binding("ctrl+s", "keep", "keep", show=False, priority=True),
    ]

    def __init__(self, title: str, text: str, *, editable: bool) -> None:
        super().__init__()
        self._title, self._text, self._editable = title, text, editable
        self._shown = _visible(text)

    def compose(self) -> ComposeResult:
        yield Label(f" {len(self._text)} characters   {self._title}", "bar-bold")
        yield TextArea(self._shown, read_only=not self._editable, soft_wrap=True, id="text")
        keys = (
            " Ctrl-S keeps the edit, which is not sent yet   Esc leaves it as it was" if self._editable else " Esc back"
        )
        yield Label(keys, "bar")

    @property
    def typed(self) -> bool:
        """Something has been typed that is not kept yet."""
        return self._editable and self.query_one(TextArea).text != self._shown

    def action_leave(self) -> None:
        self.dismiss(None)

    def action_keep(self) -> None:
        if self._editable:
            text = self.query_one(TextArea).text
            self.dismiss(text if text != self._shown else None)


def _visible(text: str) -> str:
    """Lines stay; what else would move the cursor or turn the direction does not."""
    return "\n".join(clean_part(line) for line in text.split("\n"))
