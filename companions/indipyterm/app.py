"""The application: servers, settings, screens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import signal
import sys
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Final

from textual.app import App
from textual.binding import Binding, BindingType
from textual.command import CommandPalette, Provider
from textual.driver import Driver
from textual.events import Event, Resize
from textual.geometry import Size

from indipyclient import Delta

from .hangup import driver_of, is_hung_up
from .inorder import InOrder
from .keymap import actions_of, keys_of
from .receiving import folder_of
from .screens.confirm import Confirm, Leaving
from .screens.main import MainScreen
from .session import Session
from .settings import Settings, load, remember_server
from .themes import THEMES
from .workspace import Workspace

__all__ = ["IPyTerm"]

PORT: Final = 7624
SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
HANGUP: Final = 1
PATIENCE: Final = 5.0
"""Seconds for commands, BLOBs and files in transit when the program is told to end."""
LONG_PATIENCE: Final = 300.0
"""The same for a server that is closed while the program goes on."""
BELL_EVERY: Final = 10.0
"""Minimum seconds between two sounds of the terminal's bell."""
LEAST: Final = Size(8, 6)
"""The smallest terminal for the palette."""
_LOGGER = logging.getLogger(__name__)


def _has_room(size: Size) -> bool:
    """An entry of the palette."""
    return size.width >= LEAST.width and size.height >= LEAST.height


def _commands() -> type[Provider]:
    from .commands import Commands

    return Commands


class IPyTerm(App[None]):
    """The terminal client; :meth:`run` returns when the user quits.

    Args:
        host: Name or address of the server, ``host:port``, ``[IPv6]:port`` or the path of a local socket.
        port: The port of the server, if the host has none.
        blobfolder: Folder in which the BLOBs of all devices are saved; it must exist.
        settings: Preferences; None to read the user's file.

    Attributes:
        patience: Seconds for unfinished work when the program ends.
        unfinished: Descriptions of what was unfinished when it ended.

    Raises:
        ValueError: There is no such folder, or the address is invalid.
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
        self._ending: dict[asyncio.Task[None], Session] = {}
        self.patience = PATIENCE
        self.unfinished: list[str] = []
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

    def get_driver_class(self) -> type[Driver]:
        """The driver of this platform, which does not wait for a terminal that has gone."""
        return driver_of(super().get_driver_class())

    def _heed_signals(self) -> None:
        """End in an orderly way, restoring the terminal, when the process is told to end."""
        if self.is_headless:
            return
        self.set_interval(1.0, self._look_for_the_terminal)
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # Windows, or another thread
            for number in SIGNALS:
                if signal.getsignal(number) == signal.SIG_DFL:  # otherwise it is handled elsewhere
                    loop.add_signal_handler(number, self._told_to_end, number)
                    self._heeded.append(number)

    def _look_for_the_terminal(self) -> None:
        """End when the terminal has gone without a signal; Textual would poll for keys without a pause."""
        if is_hung_up(sys.__stdin__):
            self._told_to_end(HANGUP)

    def _heed_no_signals(self) -> None:
        loop = asyncio.get_running_loop()
        while self._heeded:
            loop.remove_signal_handler(self._heeded.pop())

    def _told_to_end(self, number: int) -> None:
        self._heed_no_signals()  # the next one ends it at once
        self.exit(return_code=128 + number)

    def on_app_focus(self) -> None:
        """The click that brings a window to the front is for nothing in it."""
        self.main.table.came_to_front()

    async def on_event(self, event: Event) -> None:
        if not self.in_order.hold_back(event):
            await super().on_event(event)

    async def on_unmount(self) -> None:
        self._heed_no_signals()
        self.main.is_ready = False
        await self.in_order.aclose()
        ending, sessions = list(self._ending), self.sessions()
        self.workspaces = []
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        await asyncio.gather(*(session.finish(self.patience) for session in sessions), return_exceptions=True)
        for found in await asyncio.gather(*(session.aclose() for session in sessions), return_exceptions=True):
            self.unfinished += found if isinstance(found, list) else []
        self._tell("".join(f"indipyterm: {text}\n" for text in self.unfinished))

    def _tell(self, text: str) -> None:
        """Print it below everything else, at once: a disk that takes nothing may hold up the rest."""
        if self.is_headless or self._driver is None:
            sys.stderr.write(text)
        elif text:
            self._driver.write(text)

    # Ending

    def sessions(self) -> list[Session]:
        """All servers, including closed ones that have something to finish."""
        return [*(workspace.session for workspace in self.workspaces), *self._ending.values()]

    def leave(self) -> None:
        """End; if something is unfinished, ask the user, and end when it is finished."""

        def done(yes: bool | None) -> None:
            if not yes:
                self._watch(False)
                return
            if self._unfinished():
                self.patience = 0.0
            self.exit()

        self._watch(True)
        if self._unfinished():
            self.push_screen(Leaving(self._unfinished, self.main.table.aim.settle), done)
        else:
            self.exit()

    def _watch(self, on: bool) -> None:
        for session in self.sessions():
            session.watch(on or session in self._ending.values())

    def _unfinished(self) -> list[str]:
        return [text for session in self.sessions() for text in session.unfinished()]

    async def action_quit(self) -> None:
        """Let Textual's own key for quitting ask, too."""
        if not any(isinstance(screen, Confirm) for screen in self.screen_stack):
            self.main.action_quit_app()

    def action_command_palette(self) -> None:
        if _has_room(self.size):
            super().action_command_palette()
        else:
            self.main.say("no room for the palette", bad=True)

    def on_resize(self, event: Resize) -> None:
        """Open the palette, which fails in terminals that have no line left for it."""
        if self.screen_stack and isinstance(self.screen, CommandPalette) and not _has_room(event.size):
            self.screen.dismiss()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "quit" and "ctrl+q" not in keys_of("app.quit", self.settings.keys):
            return False
        return super().check_action(action, parameters)

    # Told by sessions

    def changed(self, session: Session, delta: Delta) -> None:
        """Something has changed on a server."""
        if delta.connected and session.name not in self._reached:
            self._reached.add(session.name)
            remember_server(session.name)
        if not self.main.is_ready:
            return
        try:
            self.main.changed(session, delta)
            self._wake()
        except Exception as error:  # following goes on: a screen that stands still would look up to date
            _LOGGER.exception("a change of %s cannot be shown", session.name)
            self.main.say(f"something cannot be shown: {type(error).__name__}: {error}", bad=True)

    def told(self, session: Session, key: tuple[str, str]) -> None:
        """Show the outcome of a command."""
        if self.main.is_ready:
            self.main.told(session, key)
            self._wake()

    def lost(self, session: Session, key: tuple[str, str], why: str) -> None:
        """Report the loss of a BLOB."""
        if not self.main.is_ready:
            return
        now = asyncio.get_running_loop().time()
        if now - self._rang > BELL_EVERY:
            self._rang = now
            self.bell()
        self.main.lost(session, key, why)
        self._wake()

    def _wake(self) -> None:
        """Whether the screen above shows the same session."""
        if self.screen is not self.main:
            look: Callable[[], Any] | None = getattr(self.screen, "look_again", None)
            if look is not None:
                look()

    # Servers

    def open_server(self, address: str) -> None:
        """Show this server, in a new tab if it is not open yet."""
        try:
            session = self._session(address)
        except ValueError as error:
            self.main.say(str(error), bad=True)
            return
        for index, workspace in enumerate(self.workspaces):
            if workspace.session.name == session.name:
                self.choose(index)
                return
        # A server that was never reached is dropped when another one is named.
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
        self._ending[task] = workspace.session
        task.add_done_callback(self._ended)

    async def _end(self, session: Session) -> None:
        await session.finish(LONG_PATIENCE)
        left = await session.aclose()
        if left:
            self.main.say(f"{session.name} is closed: {', '.join(left)}", bad=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOGGER.error("a server was not closed properly", exc_info=error)

    @property
    def strokes(self) -> int:
        """How often a finger has pressed a key or a button, held down or not; a double click counts once."""
        return self.in_order.strokes

    @property
    def strayed(self) -> bool:
        """The present key or click has come again, and what it was for at first has given way to something else."""
        return self.in_order.strayed

    @property
    def lateness(self) -> float:
        """Seconds since the present key was pressed, which has waited for earlier ones."""
        return self.in_order.lateness

    def void_typing(self) -> None:
        """Drop keys that are typed without a pause, because they were for an editor that was not opened."""
        self.in_order.void()

    def action_help_quit(self) -> None:
        self.main.say("q quits")
