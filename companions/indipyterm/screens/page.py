"""Pages of lines with a title, and dialogs in the middle of the screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.screen import ModalScreen, Screen

from ..keymap import actions_of
from ..widgets.lines import Bar, Lines, Piece
from ..words import clean, shorten

__all__ = ["LOW", "Body", "Dialog", "Label", "Page"]

Result = TypeVar("Result")
LOW: Final = 18
"""Rows below which a dialog has no margin."""


class Label(Bar):
    """A line of text that can be changed."""

    def __init__(self, text: str = "", style: str = "", *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.text, self.style = text, style
        self.ground = style if style.startswith("bar") else ""

    def put(self, text: str, style: str | None = None) -> None:
        """Show another text."""
        self.text = text
        self.style = self.style if style is None else style
        self.refresh()

    def pieces(self) -> list[Piece]:
        return [(shorten(clean(self.text), self.size.width), self.style)]


class Body(Lines, can_focus=True):
    """The lines of a page."""

    def __init__(self, rows: Callable[[int], list[list[Piece]]], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._make = rows
        self._rows: list[list[Piece]] = []

    def reload(self) -> None:
        """Make the lines again."""
        self._rows = self._make(self.columns) if self.columns > 0 else []
        self.recount()

    def count(self) -> int:
        return len(self._rows)

    def pieces(self, y: int) -> list[Piece]:
        return self._rows[y]

    def on_resize(self) -> None:
        self.reload()


class Page(Screen[None]):
    """A title, lines that can be scrolled, and keys."""

    DEFAULT_CSS = """
    Page { background: $background; }
    Page Body { height: 1fr; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(a.keys, a.call, a.text, id=a.id, show=False) for a in actions_of("list.")
    ]
    AUTO_FOCUS = "#body"
    foot = " Esc back"

    def __init__(self) -> None:
        super().__init__()
        self.top = Label("", "bar-bold", id="title")
        self.body = Body(self.rows, id="body")
        self.bottom = Label(self.foot, "bar", id="foot")

    def title_text(self) -> str:
        """What the page is."""
        raise NotImplementedError

    def rows(self, columns: int) -> list[list[Piece]]:
        """Its lines, for a width."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        yield self.top
        yield self.body
        yield self.bottom

    def on_mount(self) -> None:
        self.call_after_refresh(lambda: self.top.put(f" {self.title_text()}"))

    def look_again(self) -> None:
        """Called when something may have changed."""
        self.body.reload()
        self.top.put(f" {self.title_text()}")

    def action_close(self) -> None:
        self.dismiss(None)

    def action_only_device(self) -> None:
        """Of use on the page of messages."""

    def action_search(self) -> None:
        """Likewise."""

    def _scroll(self, y: float) -> None:
        self.body.scroll_to(y=y, animate=False, immediate=True)

    def action_list_up(self) -> None:
        self._scroll(self.body.scroll_offset.y - 1)

    def action_list_down(self) -> None:
        self._scroll(self.body.scroll_offset.y + 1)

    def action_list_page_up(self) -> None:
        self._scroll(self.body.scroll_offset.y - max(self.body.size.height - 1, 1))

    def action_list_page_down(self) -> None:
        self._scroll(self.body.scroll_offset.y + max(self.body.size.height - 1, 1))

    def action_list_top(self) -> None:
        self._scroll(0)

    def action_list_bottom(self) -> None:
        self._scroll(self.body.count())


class Dialog(ModalScreen[Result]):
    """A question in the middle of the screen."""

    DEFAULT_CSS = """
    Dialog { align: center middle; background: $background 60%; }
    Dialog #box { width: 64; max-width: 96%; height: auto; max-height: 90%; padding: 1 2;
           background: $background; border: round $primary; }
    Dialog.-low #box { padding: 0 1; max-height: 100%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "back", show=False)]

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.height < LOW, "-low")

    def action_cancel(self) -> None:
        self.dismiss(None)
