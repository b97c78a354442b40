"""The application: servers, settings, screens."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Final

from textual.app import App
from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.events import Event

from indipyclient import Delta

from .inorder import InOrder
from .keymap import actions_of, keys_of
from .receiving import folder_of
from .screens.main import MainScreen
from .session import Session
from .settings import Settings, load, remember_server
from .themes import THEMES
from .workspace import Workspace

__all__ = ["IPyTerm"]

PORT: Final = 7624
SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
BELL_EVERY: Final = 10.0
"""Seconds between two sounds of the terminal's bell at least."""


def _commands() -> type[Provider]:
    from .commands import Commands

    return Commands


class IPyTerm(App[None]):
    """The terminal client; :meth:`run` comes back when the person quits.

    Args:
        host: Name or address of the server, ``host:port``, ``[IPv6]:port`` or the path of a local socket.
        port: Of the server, if the host has none.
        blobfolder: Folder in which the BLOBs of all devices are saved; it must exist.
        settings: Preferences; None to read the user's file.

    Raises:
        ValueError: There is no such folder, or the address is none.
    """

    TITLE = "indipyterm"
    CSS = "CommandPalette SearchIcon { display: none; } CommandPalette > Vertical { max-height: 90%; }"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {_commands}
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(a.keys, a.call, a.text, id=a.id, show=False) for a in actions_of("find.palette")),
        Binding("ctrl+c", "help_quit", show=False, system=True),
    ]

    def __init__(
        self,
        host: str = "localhost",
        port: int = PORT,
        blobfolder: str | PathLike[str] | None = None,
        *,
        settings: Settings | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings if settings is not None else load()
        self.folder: Path | None = folder_of(str(blobfolder)) if blobfolder is not None else None
        self.workspaces: list[Workspace] = []
        self.chosen = 0
        self.main = MainScreen()
        self.in_order = InOrder(self, keys_of("value.abort", self.settings.keys))
        self._heeded: list[int] = []
        self._rang = -math.inf
        self._reached: set[str] = set()
        self._ending: set[asyncio.Task[None]] = set()
        for theme in THEMES.values():
            self.register_theme(theme)
        self.theme = self.settings.theme
        self.animation_level = "none"
        self._first = self._session(host, port)

    def _session(self, address: str, port: int = PORT) -> Session:
        return Session.to(address, port, self, folder=self.folder, history=self.settings.history)

    @property
    def workspace(self) -> Workspace | None:
        """The server that is shown, or None."""
        return self.workspaces[self.chosen] if self.chosen < len(self.workspaces) else None

    def on_mount(self) -> None:
        self._heed_signals()
        self.set_keymap(self.settings.keys)
        self.workspaces.append(Workspace(self._first))
        self.push_screen(self.main)
        self.call_later(self._first.start)
        if self.settings.wrong:
            self.call_after_refresh(self.main.say, self.settings.wrong[0], bad=True)

    def _heed_signals(self) -> None:
        """End in an orderly way, with the terminal as it was, when the process is told to end."""
        if self.is_headless:
            return
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # Windows, or another thread
            for number in SIGNALS:
                if signal.getsignal(number) == signal.SIG_DFL:  # else somebody else sees to it
                    loop.add_signal_handler(number, self._told_to_end, number)
                    self._heeded.append(number)

    def _heed_no_signals(self) -> None:
        loop = asyncio.get_running_loop()
        while self._heeded:
            loop.remove_signal_handler(self._heeded.pop())

    def _told_to_end(self, number: int) -> None:
        self._heed_no_signals()  # the next one ends it at once
        self.exit(return_code=128 + number)

    async def on_event(self, event: Event) -> None:
        if not self.in_order.holds(event):
            await super().on_event(event)

    async def on_unmount(self) -> None:
        self._heed_no_signals()
        await self.in_order.aclose()
        sessions = [workspace.session for workspace in self.workspaces]
        self.workspaces = []
        await asyncio.gather(*(session.aclose() for session in sessions), *self._ending, return_exceptions=True)

    # Told by sessions

    def changed(self, session: Session, delta: Delta) -> None:
        """Something has changed on a server."""
        if delta.connected and session.name not in self._reached:
            self._reached.add(session.name)
            remember_server(session.name)
        if not self.main.is_ready:
            return
        self.main.changed(session, delta)
        self._wake()

    def told(self, session: Session, key: tuple[str, str]) -> None:
        """Something has come of a command."""
        if self.main.is_ready:
            self.main.told(session, key)
            self._wake()

    def lost(self, session: Session, key: tuple[str, str], why: str) -> None:
        """A BLOB has been lost."""
        now = asyncio.get_running_loop().time()
        if now - self._rang > BELL_EVERY:
            self._rang = now
            self.bell()
        if self.main.is_ready:
            self.main.lost(session, key, why)
            self._wake()

    def _wake(self) -> None:
        """The screen above shows the same session, perhaps."""
        if self.screen is not self.main:
            look: Callable[[], Any] | None = getattr(self.screen, "look_again", None)
            if look is not None:
                look()

    # Servers

    def open_server(self, address: str) -> None:
        """Show this server; in a tab of its own if it is not there yet."""
        try:
            session = self._session(address)
        except ValueError as error:
            self.main.say(str(error), bad=True)
            return
        for index, workspace in enumerate(self.workspaces):
            if workspace.session.name == session.name:
                self.choose(index)
                return
        # A server that was never there is no longer wanted when another one is named.
        for workspace in list(self.workspaces):
            if not workspace.session.live and not len(workspace.session.client.model):
                self._drop(workspace)
        self.workspaces.append(Workspace(session))
        self.call_later(session.start)
        self.choose(len(self.workspaces) - 1)

    def choose(self, index: int) -> None:
        """Show the server with this number."""
        self.chosen = min(max(index, 0), max(len(self.workspaces) - 1, 0))
        self.main.show_session()

    def close_server(self, session: Session) -> None:
        """End a connection; the program goes on."""
        for workspace in [each for each in self.workspaces if each.session is session]:
            self._drop(workspace)
        self.choose(self.chosen)

    def _drop(self, workspace: Workspace) -> None:
        self.workspaces.remove(workspace)
        task = asyncio.create_task(self._end(workspace.session))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _end(self, session: Session) -> None:
        with contextlib.suppress(Exception):
            await session.aclose()

    def void_typing(self) -> None:
        """What is typed on without a pause was for an editor that was not opened."""
        self.in_order.void()

    def action_help_quit(self) -> None:
        self.main.say("q quits")
