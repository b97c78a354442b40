"""The field in which a number or a text is typed, over the line of its member."""

from __future__ import annotations

from typing import ClassVar

from textual import events
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

    def on_blur(self) -> None:
        # `has_focus` is still true here.  Without `app_focus`, the user has switched windows.
        if self.display and self.screen.focused is not self and self.app.app_focus:
            self.left()

    def left(self) -> None:
        """Called when the user turns to something else."""


class ValueEditor(Field):
    """The field for a new value.

    When the edited member has gone, the field stays and takes all keys, so that none of them acts on anything else.
    """

    DEFAULT_CSS = """
    ValueEditor { position: absolute; layer: above; display: none; }
    ValueEditor.-dead { color: $error; text-style: strike; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(a.keys, a.call, a.text, id=a.id, show=False, priority=True) for a in actions_of("edit.")
    ]

    class Done(Message):
        """Editing is over.

        Attributes:
            then: ``keep``, ``next``, ``previous``, ``send``, ``leave``, ``blur``; or ``dead`` for a key without effect.
        """

        def __init__(self, then: str) -> None:
            super().__init__()
            self.then = then

    class Step(Message):
        """Asks for one step more or less."""

        def __init__(self, steps: int) -> None:
            super().__init__()
            self.steps = steps

    class Cut(Message):
        """Only the first line of what was pasted has been taken."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, select_on_focus=False)

    @property
    def dead(self) -> bool:
        """Whether the edited member has gone."""
        return self.has_class("-dead")

    def die(self) -> None:
        """Note that the edited member has gone: ignore all keys except the one that ends editing."""
        self.add_class("-dead")

    def begin(self, value: str) -> None:
        """Edit this value."""
        self.remove_class("-dead")
        self.value = value
        self.display = True
        self.screen.set_focus(self)  # at once: the next keys are not for the table
        self.action_home()
        self.action_end(True)

    def put(self, x: int, y: int, columns: int) -> None:
        """Place the field."""
        self.styles.offset = Offset(x, y)
        self.styles.width = max(columns, 4)

    def end(self) -> None:
        """Hide the field."""
        self.display = False

    def on_key(self, event: events.Key) -> None:
        self._swallow(event)

    def on_paste(self, event: events.Paste) -> None:
        self._swallow(event)
        first, *more = event.text.splitlines() or [""]
        if more and not self.dead:
            event.stop()
            event.prevent_default()
            self.replace(first, *self.selection)
            self.post_message(self.Cut())

    def _swallow(self, event: events.Event) -> None:
        if self.dead:
            event.stop()
            event.prevent_default()
            self._done("dead")

    def _done(self, then: str) -> None:
        self.post_message(self.Done("dead" if self.dead else then))

    def action_keep(self) -> None:
        self._done("keep")

    def action_keep_next(self) -> None:
        self._done("next")

    def action_keep_previous(self) -> None:
        self._done("previous")

    def action_keep_send(self) -> None:
        self._done("send")

    def action_leave(self) -> None:
        self.post_message(self.Done("leave"))

    def action_step_edit(self, steps: int) -> None:
        if self.dead:
            self._done("")
        else:
            self.post_message(self.Step(steps))

    def left(self) -> None:
        self.post_message(self.Done("blur"))
