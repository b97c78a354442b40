"""What the keys of the main screen do to values, servers and the display."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from indipyclient import Member, Property, State, VectorKind
from indipyclient.addresses import escape

from ..aim import meaning_of
from ..keymap import keys_shown
from ..layout import Mode
from ..orders import Order, abort_of, press_of
from ..settings import THEMES
from ..values import hint, needs_page, stepped

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.screen import Screen

    from ..session import Session
    from ..widgets.bars import KeyBar
    from ..widgets.proptable import PropTable
    from ..widgets.tablepane import TablePane
    from ..workspace import Terminal

    _Base = Screen[None]
else:
    _Base = object

__all__ = ["Doing"]

TYPING = "first end what you are typing: Enter keeps it, Esc does not"
HELD = "a key held down, or a double click, presses once: let it go, and press again"
STRAYED = "that was for what was here before: look, and press again"
TWICE = 3.0
"""Seconds in which the abort key must be pressed again."""


class Doing(_Base):
    """Actions that a key, the mouse or the palette calls."""

    if TYPE_CHECKING:
        session: Session | None
        pane: TablePane
        keys: KeyBar
        _aborting: tuple[float, str, Session, Order] | None
        _pressed_with: int

        @property
        def terminal(self) -> Terminal: ...

        @property
        def table(self) -> PropTable: ...

        def say(self, text: str, *, bad: bool = False) -> None: ...
        def show_place(self) -> None: ...

    def _here(self) -> tuple[Session, Property, Member | None] | None:
        current = self.table.current()
        if self.session is None or current is None:
            self.say("there is nothing here")
            return None
        return self.session, *current

    def _aimed(self) -> tuple[Session, Property, Member | None] | None:
        """The same for keys that change something: only what the user could have read, which what is typed covers."""
        if self.pane.editing:
            self.say(TYPING, bad=True)
            return None
        found = self._here()
        why = self.table.why_not(self.terminal.lateness) if found is not None else ""
        if why:
            self.say(why, bad=True)
            return None
        return found

    # Values

    def action_edit(self) -> None:
        found = self._aimed()
        if found is None:
            if self.table.cursor_line() is not None and not self.pane.editing:  # of a property that may just have gone
                self.terminal.void_typing()
            return
        session, prop, member = found
        text = session.edits.of(prop.key).get(member.name, member.value) if member is not None else ""
        why = "read-only" if not prop.writable else session.why_not()
        if prop.kind is VectorKind.BLOB and not prop.writable:
            self.action_view()
        elif prop.kind is VectorKind.SWITCH:
            self._press(session, prop, member)
        elif member is None or why:
            self.say(f"{prop.label}: {why}" if why else "it has no members", bad=bool(why))
            self.terminal.void_typing()
        elif prop.kind is VectorKind.BLOB:
            self._choose_file(session, prop, member)
        elif needs_page(prop, text):
            self._edit_long(session, prop, member)
        else:
            self.pane.begin(prop, member)

    def _edit_long(self, session: Session, prop: Property, member: Member) -> None:
        from .longtext import LongText

        meant = meaning_of(prop, member)

        def done(text: str | None) -> None:
            now = session.client.get(*prop.key)
            found = now.members.get(member.name) if now is not None else None
            if text is None:
                return
            if now is None or found is None or meaning_of(now, found) != meant:
                self.say(f"{prop.label} has changed meanwhile: the text was not kept", bad=True)
                return
            session.edit(now, member.name, text)
            self.table.told(prop.key)
            self.show_place()

        value = session.edits.of(prop.key).get(member.name, member.value)
        self.app.push_screen(LongText(f"{prop.label}: {member.label}", value), done)

    def _choose_file(self, session: Session, prop: Property, member: Member) -> None:
        from .files import FileChooser

        def done(path: Path | None) -> None:
            if path is not None:
                session.send_file(prop, member.name, path, self._tell)

        title = f"Send a file as {prop.label}: {member.label}"
        self.app.push_screen(FileChooser(session.receiver.folder or _here(), title, self.table.aim.settle), done)

    def _tell(self, why: str, done: str = "") -> None:
        if why:
            self.say(why, bad=True)
        elif done:
            self.say(done)

    def action_press(self) -> None:
        found = self._aimed()
        if found is not None:
            self._press(*found)

    def _press(self, session: Session, prop: Property, member: Member | None) -> None:
        if prop.kind is not VectorKind.SWITCH or member is None:
            self.say("not a switch: Enter edits" if prop.writable else f"{prop.label}: read-only")
            return
        if not prop.writable:
            self.say(f"{prop.label}: read-only")
            return
        if self.terminal.strayed:  # Enter in the filter, for example, that was held too long
            self.say(STRAYED, bad=True)
            return
        stroke = self.terminal.strokes
        if self._pressed_with == stroke:  # it would go On and Off until the key is let go, or be a step again and again
            self.say(HELD)
            return
        order = press_of(prop, member.name)

        def press() -> None:
            self._pressed_with = stroke
            self._tell(session.carry_out(order))

        device = session.client.devices.get(prop.device)
        busy = device is not None and any(p.state is State.BUSY for p in device.properties.values())
        off = prop.name == "CONNECTION" and dict(order).get(prop.key, {}).get("CONNECT") == "Off"
        if off and busy and device is not None and device.connected and self.terminal.settings.ask_before_disconnect:
            question = f"{prop.device} is Busy. Disconnect it?"  # which would surprise a user who has not looked
            self._confirm(question, press, lambda: order.why_not(session.client), self.table.aim.settle)
        else:
            press()

    def _confirm(
        self, question: str, work: Callable[[], object], lapsed: Callable[[], str] = str, settle: float = 0.0
    ) -> None:
        """Ask; the question becomes void if its subject changes."""
        from .confirm import Confirm

        def done(yes: bool | None) -> None:
            if yes:
                work()
            elif asked.over:
                self.say(asked.over, bad=True)

        asked = Confirm(question, lapsed, settle)
        self.app.push_screen(asked, done)

    def send(self, key: tuple[str, str], session: Session) -> None:
        """Send the edits of a property."""
        self._tell(session.send(key))
        self.table.told(key)
        self.show_place()

    def action_send(self) -> None:
        if self.pane.editing:
            self.pane.editor.action_keep_send()
            return
        if self.terminal.strayed:  # Ctrl-S on the page of a text, which only keeps it
            self.say(STRAYED, bad=True)
            return
        found = self._aimed()
        if found is not None:
            self.send(found[1].key, found[0])

    def action_send_all(self) -> None:
        if self.pane.editing:
            self.say(TYPING, bad=True)
        elif self.session is not None:
            why = self.table.why_not_device() if self.table.current() is not None else ""
            self._tell(why or self.session.send_all())
            self.table.repaint()
            self.show_place()

    def action_undo(self) -> None:
        found = self._aimed()
        if found is None:
            return
        session, prop, member = found
        if not session.edits.undo(prop.key, member.name if member else ""):
            self.say("nothing to undo: what was sent was sent")
        self.table.told(prop.key)
        self.show_place()

    def action_step(self, steps: int) -> None:
        found = self._aimed()
        if found is None:
            return
        session, prop, member = found
        if prop.kind is not VectorKind.NUMBER or member is None or not prop.writable:
            self.say("only a number that can be set has steps")
            return
        text = session.edits.of(prop.key).get(member.name, member.value)
        value = stepped(member, text, steps)
        if value is None:
            self.say("not a number", bad=True)
            return
        said = hint(prop, member, value)
        if said.wrong:
            self.say(said.text, bad=True)
            return
        if value == text or stepped(member, text, 0) == value:
            self.say(f"it is at its limit: {said.text}")
            return
        session.edit(prop, member.name, value)
        self.table.told(prop.key)
        self.show_place()

    def action_view(self) -> None:
        found = self._here()
        if found is None:
            return
        session, prop, member = found
        if prop.kind is VectorKind.BLOB and member is not None:
            if member.data is None:
                self.say("nothing has been received: b receives")
                return
            from .image import ImageScreen

            self.app.push_screen(ImageScreen(session, prop.key, member.name))
        elif prop.kind is VectorKind.TEXT and member is not None and (len(member.value) > 40 or "\n" in member.value):
            from .longtext import TextPage

            self.app.push_screen(TextPage(f"{prop.label}: {member.label}", member.value))
        else:
            from .facts import FactsScreen

            self.app.push_screen(FactsScreen(session, prop.key, member.name if member else ""))

    def action_plot(self) -> None:
        found = self._here()
        if found is None:
            return
        session, prop, member = found
        if prop.kind is not VectorKind.NUMBER or member is None:
            self.say("only numbers have a plot")
            return
        from .plot import PlotScreen

        self.app.push_screen(PlotScreen(session, prop.key, member.name))

    def action_pin(self) -> None:
        found = self._here()
        if found is None:
            return
        session, prop, _ = found
        if prop.key in session.pinned:
            session.pinned.remove(prop.key)
        else:
            session.pinned.append(prop.key)
        self.table.rebuild()

    def action_blobs(self) -> None:
        found = self._here()
        if found is None:
            return
        session, prop, _ = found
        if prop.kind is not VectorKind.BLOB:
            self.say("not a BLOB; / kind:blob finds them")
            return
        from .blobs import BlobScreen

        self.app.push_screen(BlobScreen(session, prop), lambda _: self._after_blobs(prop.key))

    def _after_blobs(self, key: tuple[str, str]) -> None:
        self.table.told(key)
        self.show_place()

    def action_copy_address(self) -> None:
        found = self._here()
        if found is not None:
            _, prop, member = found
            parts = [prop.device, prop.name, *([member.name] if member else [])]
            address = ".".join(map(escape, parts))
            self.app.copy_to_clipboard(address)
            self.say(f"copied {address}")

    def action_copy_value(self) -> None:
        found = self._here()
        if found is not None and found[2] is not None:
            self.app.copy_to_clipboard(found[2].shown.strip())
            self.say(f"copied {found[2].shown.strip()[:60]}")

    def action_ask(self) -> None:
        if self.session is not None:
            current = self.table.current()
            device = current[0].device if current else None
            self._tell(self.session.ask(device), f"asked {device or 'the server'} for its definitions")

    def action_abort(self) -> None:
        current = self.table.current()
        session = self.session
        if session is None or current is None:
            self.say("there is nothing here", bad=True)
            return
        device = current[0].device
        now = asyncio.get_running_loop().time()
        stroke = self.terminal.strokes
        if self._pressed_with == stroke:  # it would abort for seconds after that, and what is begun then
            self.say(HELD)
            return
        asked, self._aborting = self._aborting, None
        if asked is not None and now - asked[0] <= TWICE and asked[1:3] == (device, session):
            order = asked[3]
            self._pressed_with = stroke
            self._tell(session.carry_out(order), f"pressed {len(order)} ABORT {_switches(order)} of {device}")
            return
        why = self.table.why_not_device() or session.why_not()
        order = abort_of(session.client, device)
        if not why and not len(order):
            why = f"{device} has no switch named ABORT now"
        if why:
            self.say(why, bad=True)
            return
        self._aborting = now, device, session, order
        names = ", ".join(key[1] for key, _ in order)
        self.say(f"once more presses every ABORT switch of {device}: {names}", bad=True)

    # Display

    def action_compact(self) -> None:
        self.table.mode = Mode.LINES if self.table.mode is Mode.COMPACT else Mode.COMPACT
        self.table.rebuild()

    def action_theme(self) -> None:
        at = THEMES.index(self.app.theme) if self.app.theme in THEMES else 0
        self.app.theme = THEMES[(at + 1) % len(THEMES)]
        self.say(f"{self.app.theme} theme")

    def action_log(self) -> None:
        if self.session is not None:
            from .log import LogScreen

            current = self.table.current()
            self.app.push_screen(LogScreen(self.session, current[0].device if current else None))

    def action_help(self) -> None:
        from .help import HelpScreen

        self.app.push_screen(HelpScreen(self.terminal.settings.keys))

    # Servers

    def action_connect(self) -> None:
        from .connect import ConnectScreen

        def done(address: str | None) -> None:
            if address is not None:
                self.terminal.open_server(address)

        self.app.push_screen(ConnectScreen(), done)

    def action_server(self, steps: int) -> None:
        if self.terminal.workspaces:
            self.terminal.choose((self.terminal.chosen + steps) % len(self.terminal.workspaces))

    def action_close_server(self) -> None:
        if self.session is None:
            return
        session = self.session
        unsent = len(session.edits) + self.pane.typed
        if unsent:
            self._confirm(
                f"{session.name}: {unsent} unsent edit{'s' * (unsent != 1)}. Close it?",
                lambda: self.terminal.close_server(session),
            )
        else:
            self.terminal.close_server(session)

    def action_quit_app(self) -> None:
        unsent = sum(len(workspace.session.edits) for workspace in self.terminal.workspaces)
        unsent += self.pane.typed + sum(getattr(screen, "typed", False) for screen in self.app.screen_stack)
        if unsent:
            key = keys_shown("s", 1)
            self._confirm(f"{unsent} unsent edit{'s' * (unsent != 1)} ({key} sends). Quit?", self.terminal.leave)
        else:
            self.terminal.leave()


def _here() -> Path:
    """The current folder; the user's home if that has gone."""
    try:
        return Path.cwd()
    except OSError:
        return Path(os.path.expanduser("~"))


def _switches(order: Order) -> str:
    return "switch" if len(order) == 1 else "switches"
