"""Questions that are answered by yes or no."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.geometry import Size
from textual.strip import Strip

from ..themes import styles
from ..widgets.lines import strip_of
from ..words import clean, wrapped
from .page import Dialog, Label

__all__ = ["Confirm", "Leaving"]

SHOWN = 4
"""Lines for what is unfinished."""


class _Question(Label):
    """As many lines as the question needs, so that nobody answers what cannot be read."""

    DEFAULT_CSS = "_Question { height: auto; }"

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._lines(width))

    def _lines(self, columns: int) -> list[str]:
        return wrapped(self.text, max(columns, 2))

    def render_line(self, y: int) -> Strip:
        text = "".join(self._lines(self.size.width)[y : y + 1])
        return strip_of([(text, self.style)], self.size.width, styles(self.app.theme))


class Confirm(Dialog[bool]):
    """Yes or no; anything but Yes is No.

    Args:
        question: The question.
        lapsed: Returns why the question is void; "" while it is not.
        settle: Seconds in which it is read; a Yes before was typed for something else.

    Attributes:
        over: Why the question is void, once it has become so.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "yes", "yes", show=False),
        Binding("n,q", "no", "no", show=False),
    ]

    def __init__(self, question: str, lapsed: Callable[[], str] = str, settle: float = 0.0) -> None:
        super().__init__()
        self._question = clean(question)
        self.over = ""
        self._lapsed = lapsed
        self._settle, self._asked = settle, math.inf
        self._said = Label("", "alert")
        self._keys = Label("y  yes      n  no", "title")

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield _Question(self._question, "head")
            yield self._said
            yield self._keys

    def on_mount(self) -> None:
        self.call_after_refresh(self._note_shown)

    def _note_shown(self) -> None:
        self._asked = asyncio.get_running_loop().time()

    def look_again(self) -> None:
        """Is the question still valid?  If not, that is shown until the user has read it."""
        self.over = self.over or self._lapsed()
        if self.over:
            self._said.put(self.over)
            self._keys.put("Esc  back")

    def action_yes(self) -> None:
        self.look_again()
        if not self.over and asyncio.get_running_loop().time() - self._asked < self._settle:
            self._said.put("read this first, and press again")
            return
        self.dismiss(not self.over)

    def action_no(self) -> None:
        self.dismiss(False)


class Leaving(Confirm):
    """The program ends when nothing is unfinished any more, or when the user does not wait for that.

    Args:
        unfinished: Returns descriptions of what is unfinished.
        settle: Seconds in which it is read; a Yes before was typed for something else.
    """

    def __init__(self, unfinished: Callable[[], list[str]], settle: float = 0.0) -> None:
        super().__init__("", settle=settle)
        self._unfinished = unfinished
        self._lines = [Label("") for _ in range(SHOWN)]

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Label("The program ends when this is finished:", "head")
            yield from self._lines
            yield self._said
            yield Label("y  quit now, and lose it      n  stay", "title")

    def on_mount(self) -> None:
        super().on_mount()
        self.look_again()
        self.set_interval(0.1, self._watch)

    def look_again(self) -> None:
        """Show what is left."""
        found = self._unfinished()
        if len(found) > SHOWN:
            found = [*found[: SHOWN - 1], f"and {len(found) - SHOWN + 1} more"]
        for number, line in enumerate(self._lines):
            line.put(found[number] if number < len(found) else "")
            line.display = number < len(found)

    def _watch(self) -> None:
        self.look_again()
        if self.is_current and not self._unfinished():
            self.dismiss(True)
