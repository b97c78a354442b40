"""The list of devices, with the state of each."""

from __future__ import annotations

from collections.abc import Container
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from indipyclient import State

from ..browser import worst_of
from ..keymap import actions_of
from ..paint import state_word
from ..session import Session
from ..words import clean, fit
from .lines import Lines, Piece

__all__ = ["DeviceList"]

_MOVES = ("move.up", "move.down", "move.right", "move.top", "move.bottom", "move.page")


class DeviceList(Lines, can_focus=True):
    """Devices; the one that is shown has a mark."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(a.keys, a.call, a.text, id=a.id, show=False) for a in actions_of(*_MOVES)),
        Binding("enter,space", "right", "to its values", show=False),
    ]

    class Chosen(Message):
        """Asks to show another device."""

        def __init__(self, device: str) -> None:
            super().__init__()
            self.device = device

    class Entered(Message):
        """Asks to move on to the values."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.names: list[str] = []
        self._session: Session | None = None
        self._states: dict[str, tuple[str, str]] = {}
        self._shown: str | None = None

    def show(self, session: Session | None, shown: str | None, changed: Container[str] | None = None) -> None:
        """Show these devices.

        Args:
            session: Their server.
            shown: The device with the mark.
            changed: Devices that have changed since; None for all.
        """
        self._session, self._shown = session, shown
        self.names = list(session.client.devices) if session else []
        before = self._states if changed is not None else {}
        self._states = {
            name: self._state(name) if name not in before or name in (changed or ()) else before[name]
            for name in self.names
        }
        self.recount()
        if shown in self.names:
            self.keep_in_sight(self.names.index(shown), margin=0)

    def update_states(self, names: set[str], shown: str | None) -> None:
        """Note that these devices have changed, or another one is shown."""
        self._shown = shown
        for name in names & self._states.keys():
            self._states[name] = self._state(name)
        self.look_again()
        if shown in self.names:
            self.keep_in_sight(self.names.index(shown), margin=0)

    def _state(self, name: str) -> Piece:
        session = self._session
        device = session.client.devices.get(name) if session else None
        if session is None or device is None:
            return "", ""
        worst = worst_of(device, session.client.is_stale)
        if worst is None:
            return "", ""
        word, style = state_word(worst.shown_state)
        if session.client.is_stale(worst):
            return word, "stale"
        if device.connected is False and style != "alert":
            return "off  ", "dim"
        return word, style

    def count(self) -> int:
        return len(self.names)

    def pieces(self, y: int) -> list[Piece]:
        name = self.names[y]
        word, style = self._states[name]
        here = name == self._shown
        room = max(self.columns - 8, 4)
        cursor = "cursor" if here and self.has_focus else "cursor-off" if here else ""
        mark = "!" if style == "alert" or word.startswith(str(State.ALERT).upper()) else " "
        return [
            (">" if here else " ", cursor),
            (fit(clean(name), room), cursor if here else "" if style != "stale" else "stale"),
            (" ", ""),
            (mark, style),
            (word, style),
        ]

    def _turn(self, index: int) -> None:
        if self.names:
            self.post_message(self.Chosen(self.names[min(max(index, 0), len(self.names) - 1)]))

    def _at(self) -> int:
        return self.names.index(self._shown) if self._shown in self.names else 0

    def action_up(self) -> None:
        self._turn(self._at() - 1)

    def action_down(self) -> None:
        self._turn(self._at() + 1)

    def action_page_up(self) -> None:
        self._turn(self._at() - self.size.height)

    def action_page_down(self) -> None:
        self._turn(self._at() + self.size.height)

    def action_top(self) -> None:
        self._turn(0)

    def action_bottom(self) -> None:
        self._turn(len(self.names) - 1)

    def action_right(self) -> None:
        self.post_message(self.Entered())

    def on_click(self, event: events.Click) -> None:
        line = self.line_of_click(event)
        if line is not None:
            self._turn(line)

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_resize(self) -> None:
        self.recount()
