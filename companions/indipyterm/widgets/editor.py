"""The field in which a number or a text is typed, over the line of its member."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.geometry import Offset
from textual.message import Message
from textual.widgets import Input

from ..keymap import actions_of

__all__ = ["Field", "ValueEditor"]


class Field(Input):
    """An input without a frame."""

    DEFAULT_CSS = """
    Field {
        height: 1; border: none; padding: 0; background: $panel; color: $foreground;
        &:focus { border: none; background: $panel; background-tint: $foreground 0%; }
        & > .input--cursor { background: $foreground; color: $background; }
        & > .input--placeholder { color: $secondary; }
    }
    """


class ValueEditor(Field):
    """Where a new value is typed."""

    DEFAULT_CSS = "ValueEditor { position: absolute; layer: above; display: none; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(a.keys, a.call, a.text, id=a.id, show=False, priority=True) for a in actions_of("edit.")
    ]

    class Done(Message):
        """Editing is over.

        Attributes:
            then: ``keep``, ``next``, ``send``, ``leave`` or ``blur``.
        """

        def __init__(self, then: str) -> None:
            super().__init__()
            self.then = then

    class Step(Message):
        """A step more or less is wanted."""

        def __init__(self, steps: int) -> None:
            super().__init__()
            self.steps = steps

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, select_on_focus=False)

    def begin(self, value: str) -> None:
        """Edit this value."""
        self.value = value
        self.display = True
        self.screen.set_focus(self)  # at once: what is typed next is not for the table
        self.action_home()
        self.action_end(True)

    def put(self, x: int, y: int, columns: int) -> None:
        """Stand there."""
        self.styles.offset = Offset(x, y)
        self.styles.width = max(columns, 4)

    def end(self) -> None:
        """Away."""
        self.display = False

    def action_keep(self) -> None:
        self.post_message(self.Done("keep"))

    def action_keep_next(self) -> None:
        self.post_message(self.Done("next"))

    def action_keep_send(self) -> None:
        self.post_message(self.Done("send"))

    def action_leave(self) -> None:
        self.post_message(self.Done("leave"))

    def action_step_edit(self, steps: int) -> None:
        self.post_message(self.Step(steps))

    def on_blur(self) -> None:
        if self.display and not self.has_focus:
            self.post_message(self.Done("blur"))
