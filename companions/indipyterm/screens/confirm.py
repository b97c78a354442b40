"""A question that is answered by yes or no."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from ..words import clean
from .page import Dialog, Label

__all__ = ["Confirm"]


class Confirm(Dialog[bool]):
    """Yes or no; what is not Yes is No."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "yes", "yes", show=False),
        Binding("n,q", "no", "no", show=False),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = clean(question)

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            for line in _wrapped(self._question, 56):
                yield Label(line, "head")
            yield Label("")
            yield Label("y  yes      n  no", "title")

    def action_yes(self) -> None:
        self.dismiss(True)

    def action_no(self) -> None:
        self.dismiss(False)


def _wrapped(text: str, columns: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, columns) or [""]
