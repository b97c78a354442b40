"""Choosing a file to send."""

from __future__ import annotations

import asyncio
import math
import os
from pathlib import Path
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input

from ..received import size_shown
from ..widgets.editor import Field
from ..widgets.lines import Lines, Piece
from ..words import clean, fit, width
from .page import LOW, Dialog, Label

__all__ = ["FileChooser"]

MOST = 5000


class _Files(Lines, can_focus=False):
    """A folder: its folders first, then its files.  Keys are for the field above, even after a click."""

    DEFAULT_CSS = "_Files { height: 12; }"

    def __init__(self) -> None:
        super().__init__(id="files")
        self.entries: list[tuple[str, bool, int]] = []
        self.at = 0
        self.clicked = False  # since they are shown

    def count(self) -> int:
        return len(self.entries)

    def pieces(self, y: int) -> list[Piece]:
        name, is_folder, size = self.entries[y]
        text = clean(name) + ("/" if is_folder else "")
        right = "" if is_folder else size_shown(size)
        columns = self.columns
        style = "cursor" if y == self.at else "title" if is_folder else ""
        return [
            (fit(f" {text}", columns - width(right) - 1), style),
            (right + " ", "cursor" if y == self.at else "dim"),
        ]

    def on_resize(self) -> None:
        self.recount()

    def on_click(self, event: events.Click) -> None:
        line = self.line_of_click(event)
        if line is None:
            return
        if line != self.at or not self.clicked:  # a double click on a folder must not act on what is in it
            self.at, self.clicked = line, True
            self.recount()
        elif isinstance(self.screen, FileChooser):
            self.screen.take()


class FileChooser(Dialog[Path]):
    """Arrows and Enter walk through folders; typed text filters.

    Args:
        folder: Where it begins.
        title: What the file is for.
        settle: Seconds in which a folder is read; a key before was typed for something else.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "turn(1)", show=False, priority=True),
        Binding("up", "turn(-1)", show=False, priority=True),
        Binding("pagedown", "turn(10)", show=False, priority=True),
        Binding("pageup", "turn(-10)", show=False, priority=True),
        Binding("ctrl+h,alt+h", "hidden", show=False, priority=True),
        Binding("alt+up,ctrl+up", "parent", show=False, priority=True),
    ]

    def __init__(self, folder: Path, title: str, settle: float = 0.0) -> None:
        super().__init__()
        self.folder = folder
        self._settle, self._opened = settle, math.inf
        self._title = title
        self._files = _Files()
        self._hidden = False
        self._typing = Field(placeholder="part of a name, or a path", id="name")
        self._where = Label("", "title")
        self._wrong = Label("", "alert")

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Label(self._title, "head")
            yield self._where
            yield self._typing
            yield self._files
            yield self._wrong
            yield Label("Enter opens or sends   Alt-↑ folder above   Alt-H hidden", "title")

    def on_mount(self) -> None:
        self._load("")
        self.call_after_refresh(self._note_shown)

    def _note_shown(self) -> None:
        self._opened = asyncio.get_running_loop().time()

    def on_resize(self, event: events.Resize) -> None:
        rows = event.size.height  # with the lines around the files; the chosen one must be visible
        room = rows - 7 if rows < LOW else rows * 9 // 10 - 9
        self._files.styles.height = max(min(room, 12), 1)
        self.call_after_refresh(lambda: self._files.keep_in_sight(self._files.at))

    def _load(self, part: str) -> None:
        entries: list[tuple[str, bool, int]] = []
        problem = ""
        try:
            with os.scandir(self.folder) as found:
                for entry in found:
                    if (self._hidden or not entry.name.startswith(".")) and part.lower() in entry.name.lower():
                        try:
                            is_folder = entry.is_dir()
                            entries.append((entry.name, is_folder, 0 if is_folder else entry.stat().st_size))
                        except OSError:
                            continue
                    if len(entries) >= MOST:
                        problem = f"only {MOST} files are shown"
                        break
        except OSError as error:
            problem = error.strerror or str(error)
        entries.sort(key=lambda entry: (not entry[1], entry[0].lower()))
        above: list[tuple[str, bool, int]] = [("..", True, 0)] if not part else []
        self._files.entries = above + entries
        names = [entry[0] for entry in entries]  # a whole name means that one, whatever else has it in its name
        self._files.at = names.index(part) if part in names else 1 if above and entries else 0
        self._files.clicked = False
        self._files.recount()
        self._files.scroll_to(y=0, animate=False, immediate=True)
        self._files.keep_in_sight(self._files.at)
        self._where.put(str(self.folder))
        self._wrong.put(problem)

    def action_turn(self, steps: int) -> None:
        files = self._files
        if files.entries:
            files.at = min(max(files.at + steps, 0), len(files.entries) - 1)
            files.recount()
            files.keep_in_sight(files.at)

    def action_parent(self) -> None:
        self._enter(self.folder.parent)

    def action_hidden(self) -> None:
        self._hidden = not self._hidden
        self._load(self._typing.value)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        if "/" not in event.value and not event.value.startswith("~"):
            self._load(event.value)
            self._note_shown()

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        if "/" in event.value or event.value.startswith("~"):
            path = self.folder / os.path.expanduser(event.value)
            if os.path.isdir(path):  # returns False, where Path raises, for a name that is too long or out of reach
                self._enter(path)
            else:
                self._choose(path)
            return
        self.take()

    def take(self) -> None:
        """Open the folder, or choose the file, under the cursor."""
        files = self._files
        if not files.entries:
            return
        name, is_folder, _ = files.entries[files.at]
        path = self.folder.parent if name == ".." else self.folder / name
        if is_folder:
            self._enter(path)
        elif asyncio.get_running_loop().time() - self._opened < self._settle and name != self._typing.value:
            self._wrong.put("read this first, and press again")
        else:
            self._choose(path)

    def _enter(self, path: Path) -> None:
        self.folder = path.resolve()
        self._note_shown()
        self._typing.value = ""
        self._load("")

    def _choose(self, path: Path) -> None:
        if not os.path.isfile(path):
            self._wrong.put(f"{path.name} is not a file" if os.path.exists(path) else f"there is no file {path.name}")
        else:
            self.dismiss(path)
