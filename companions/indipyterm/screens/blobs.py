"""Whether the BLOBs of a property are received, and where they are saved."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input

from indipyclient import Property, VectorKind

from ..received import size_shown
from ..receiving import folder_of
from ..session import Session
from ..widgets.editor import Field
from ..words import age
from .page import Dialog, Label

__all__ = ["BlobScreen"]


class BlobScreen(Dialog[None]):
    """The folder is for all BLOBs of the server; receiving is set for each property, or for all."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "receive", "receive or not", show=False, priority=True),
        Binding("ctrl+a", "everything", "of all devices", show=False, priority=True),
    ]

    def __init__(self, session: Session, prop: Property) -> None:
        super().__init__()
        self._session, self._prop = session, prop
        self._state = Label()
        self._wrong = Label("", "alert")

    def compose(self) -> ComposeResult:
        folder = self._session.receiver.folder
        with Vertical(id="box"):
            yield Label(f"BLOBs of {self._prop.device}: {self._prop.label}", "head")
            yield self._state
            yield Label("")
            yield Label("folder of all BLOBs of the server; empty: none is written", "dim")
            yield Field(str(folder) if folder else "", placeholder="no folder", id="folder")
            yield self._wrong
            for line in self._last():
                yield Label(line, "")
            yield Label("")
            yield Label("Enter keeps the folder and receives   Esc back", "title")
            yield Label("Ctrl-R receive or not   Ctrl-A of all devices", "title")

    def _last(self) -> list[str]:
        now = asyncio.get_running_loop().time()
        lines: list[str] = []
        lost = self._session.receiver.losses.get(self._prop.key, 0)
        if lost:
            lines.append(f"{lost} LOST since the start")
        for name, member in self._prop.members.items():
            found = self._session.receiver.last.get((*self._prop.key, name))
            if found is None:
                lines.append(f"{member.label}: none yet")
                continue
            lines.append(
                f"{member.label}: {size_shown(found.size)} {found.format}, {age(now - found.at)}, no. {found.count}"
            )
            if found.path is not None:
                lines.append(f"  {found.path}")
            if found.problem:
                lines.append(f"  {found.problem}")
            lines += [f"  {key}: {value}" for key, value in found.facts[:4]]
        return lines[:12]

    def on_mount(self) -> None:
        self.look_again()

    def look_again(self) -> None:
        """Show whether they are received."""
        on = self._session.receiver.is_receiving(self._prop.key)
        everything = ", as are those of all devices" if on and self._session.receiver.everything else ""
        self._state.put(f"received{everything}" if on else "not received", "ok" if on else "idle")

    @on(Input.Changed)
    def _typed(self) -> None:
        self._wrong.put("")

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        if self._take_folder(event.value):
            self._session.receiver.receive(self._prop.key, True)
            self.dismiss(None)

    def _take_folder(self, text: str) -> bool:
        try:
            self._session.receiver.folder = folder_of(text) if text.strip() else None
        except ValueError as error:
            self._wrong.put(str(error))
            return False
        return True

    def action_receive(self) -> None:
        on = self._session.receiver.is_receiving(self._prop.key)
        if on or self._take_folder(self.query_one("#folder", Field).value):
            self._session.receiver.receive(self._prop.key, not on)
            self.look_again()

    def action_everything(self) -> None:
        if not self._take_folder(self.query_one("#folder", Field).value):
            return
        receiver = self._session.receiver
        receiver.everything = True
        for prop in self._session.client.model:
            if prop.kind is VectorKind.BLOB:
                receiver.receive(prop.key, True)
        self.look_again()
