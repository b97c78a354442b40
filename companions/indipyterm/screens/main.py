"""The main screen: devices, their properties, messages."""

from __future__ import annotations

import asyncio
from typing import ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Resize
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Input

from indipyclient import Delta, Permission, Property, State, VectorKind

from ..browser import Browser
from ..keymap import actions_of
from ..layout import Mode
from ..orders import Order
from ..search import parse_filter
from ..session import Session
from ..widgets.bars import GroupBar, KeyBar, ServerBar, StatusBar
from ..widgets.detail import Detail
from ..widgets.devices import DeviceList
from ..widgets.editor import Field
from ..widgets.messages import MessagePane
from ..widgets.proptable import PropTable
from ..widgets.tablepane import TablePane
from ..workspace import Terminal
from .doing import Doing

__all__ = ["MainScreen"]

Key = tuple[str, str]
SAID_FOR = 6.0
WIDE, NARROW, LOW = 116, 64, 18


class FilterField(Field):
    """The field for words to look for."""

    DEFAULT_CSS = "FilterField { display: none; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "screen.end_filter", "no filter", show=False),
        Binding("down,tab", "screen.keep_filter", "to the matches", show=False),
    ]

    def left(self) -> None:
        if isinstance(self.screen, MainScreen):
            self.screen.close_filter()


class MainScreen(Doing, Screen[None]):
    """One server at a time."""

    DEFAULT_CSS = """
    MainScreen { background: $background; }
    MainScreen #body { height: 1fr; }
    MainScreen #devices { width: 20; }
    MainScreen #left-rule, MainScreen #right-rule { width: 1; color: $border; border-left: solid $border; }
    MainScreen #middle { width: 1fr; }
    MainScreen #pane { height: 1fr; }
    MainScreen #detail { width: 36; padding-left: 1; }
    MainScreen #rule { height: 1; border-top: solid $border; }
    MainScreen #messages { height: 3; }
    MainScreen #servers { display: none; }
    MainScreen.-several #servers { display: block; }
    MainScreen.-tall #messages { height: 6; }
    MainScreen.-wide #devices { width: 22; }
    MainScreen.-narrow #devices, MainScreen.-narrow #left-rule { display: none; }
    MainScreen.-low #messages { height: 1; }
    MainScreen.-low #rule { display: none; }
    MainScreen #detail, MainScreen #right-rule { display: none; }
    MainScreen.-wide #detail, MainScreen.-wide #right-rule { display: block; }
    #editor.-wrong { color: $error; text-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(a.keys, a.call, a.text, id=a.id, show=False)
        for a in actions_of("pane.", "device.", "group.", "find.", "value.", "view.", "server.", "app.")
        if a.id != "find.palette"
    ]
    AUTO_FOCUS = "#table"

    def __init__(self) -> None:
        super().__init__()
        self.status = StatusBar(id="status")
        self.servers = ServerBar(id="servers")
        self.devices = DeviceList(id="devices")
        self.groups = GroupBar(id="groups")
        self.filter_field = FilterField(
            id="filter", placeholder="words, or state:alert device: kind: group: perm: name:"
        )
        self.pane = TablePane(id="pane")
        self.detail = Detail(id="detail")
        self.messages = MessagePane(id="messages")
        self.keys = KeyBar(id="keys")
        self.session: Session | None = None
        self.browser = Browser()
        self.is_ready = False
        self._link: tuple[Session, bool, int] | None = None
        self._quiet: Timer | None = None
        self._aborting: tuple[float, str, Session, Order] | None = None
        self._pressed_with = -1

    @property
    def terminal(self) -> Terminal:
        """The application."""
        return cast(Terminal, self.app)

    @property
    def table(self) -> PropTable:
        """The property table."""
        return self.pane.table

    def compose(self) -> ComposeResult:
        yield self.status
        yield self.servers
        with Horizontal(id="body"):
            yield self.devices
            yield Vertical(id="left-rule")
            with Vertical(id="middle"):
                yield self.groups
                yield self.filter_field
                yield self.pane
            yield Vertical(id="right-rule")
            yield self.detail
        yield Vertical(id="rule")
        yield self.messages
        yield self.keys

    def on_mount(self) -> None:
        self.table.mode = Mode.COMPACT if self.terminal.settings.compact else Mode.LINES
        self.keys.keys = self.terminal.settings.keys
        self.set_interval(1.0, self.tick)
        self.is_ready = True
        self.show_session()

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.width >= WIDE, "-wide")
        self.set_class(event.size.width < NARROW, "-narrow")
        self.set_class(event.size.height >= 32, "-tall")
        self.set_class(event.size.height < LOW, "-low")
        self.call_after_refresh(self.pane.place)

    # What is shown

    def show_session(self) -> None:
        """Show the server that the app has chosen, or none."""
        if not self.is_ready:
            return
        self.pane.put_down()
        workspace = self.terminal.workspace
        self.session, self.browser = (workspace.session, workspace.browser) if workspace else (None, Browser())
        self._close_other_filter()
        self.status.session = self.session
        self.table.show(self.session, self.browser)
        self.devices.show(self.session, self.browser.device)
        self.messages.show(self.session)
        self.show_servers()
        self.show_place()
        self.status.refresh()

    def show_servers(self) -> None:
        """The line of servers, where there are several."""
        self.servers.sessions = [workspace.session for workspace in self.terminal.workspaces]
        self.servers.current = self.terminal.chosen
        self.set_class(len(self.servers.sessions) > 1, "-several")
        self.servers.look_again()

    def show_place(self) -> None:
        """Show what depends on the device, the group, the filter and the cursor."""
        session, groups = self.session, self.groups
        devices = session.client.devices if session else {}
        device = devices.get(self.browser.device or "")
        groups.device = device
        groups.group = self.browser.group(device) if device else None
        groups.filter = self.browser.filter.text if self.browser.filter else ""
        if groups.filter:
            groups.matches = self.table.sheet.properties
        groups.look_again()
        current = self.table.current()
        if self.detail.display:
            self.detail.show(session, current)
        self.keys.offer(self._offered(current))

    def _offered(self, current: tuple[Property, object] | None) -> list[str]:
        """The keys that are useful here."""
        here: list[str] = []
        if self.session is None:
            here = ["server.connect"]
        elif current is not None:
            prop = current[0]
            if prop.kind is VectorKind.SWITCH and prop.writable:
                here = ["value.press"]
            elif prop.kind is VectorKind.BLOB:
                here = (["value.edit"] if prop.perm is not Permission.READ_ONLY else []) + ["value.blob", "value.view"]
            elif prop.writable:
                here = ["value.edit"]
                if self.session.edits.of(prop.key):
                    here += ["value.send", "value.undo"]
            if prop.kind is VectorKind.NUMBER:
                here.append("value.plot")
            elif prop.kind is VectorKind.TEXT:
                here.append("value.view")
        return [*here, "find.filter", "device.next", "group.1", "view.compact", "view.messages", "app.help", "app.quit"]

    def changed(self, session: Session, delta: Delta) -> None:
        """Show changes of a server."""
        if session is not self.session:
            self.servers.look_again()
            return
        names = list(session.client.devices)
        before = self.browser.device
        changed = {prop.device for prop in delta.properties} | {grave.device for grave in delta.deleted}
        self.table.take(delta)
        link = session, delta.connected, delta.session
        if link != self._link or delta.reset:
            self._link = link
            self.table.repaint()
            self.devices.show(session, self.browser.device)
        elif names != self.devices.names or before != self.browser.device:
            self.devices.show(session, self.browser.device, changed)
        else:
            self.devices.update_states(changed, self.browser.device)
        if delta.notes:
            self.messages.show(session)
        self.pane.place()
        self.show_place()
        self.status.look_again()
        self.servers.look_again()

    def told(self, session: Session, key: Key) -> None:
        """Show the outcome of a command."""
        if session is self.session:
            self.table.told(key)
            self.show_place()
            self.status.look_again()

    def lost(self, session: Session, key: Key, why: str) -> None:
        """Report the loss of a BLOB."""
        where = f"{session.name}: " if session is not self.session else ""
        self.say(f"BLOB LOST: {where}{key[0]} {key[1]}: {why}", bad=True)
        self.status.look_again()

    def tick(self) -> None:
        """Called each second."""
        if self.session is None:
            return
        self.status.count(asyncio.get_running_loop().time())
        self.status.look_again()
        self.servers.look_again()
        self.table.look_again()
        if self.detail.display:
            self.detail.show(self.session, self.table.current())

    def say(self, text: str, *, bad: bool = False) -> None:
        """Show a message for some seconds."""
        if not self.is_ready:
            return
        self.keys.say(text, bad=bad)
        if self._quiet is not None:
            self._quiet.stop()
        self._quiet = self.set_timer(SAID_FOR, lambda: self.keys.say("")) if text else None

    # Panes

    @on(PropTable.Moved)
    def _moved(self) -> None:
        self.pane.place()
        self.show_place()

    @on(PropTable.Activated)
    def _activated(self) -> None:
        self.action_edit()

    @on(PropTable.LeftEdge)
    def _left_edge(self) -> None:
        if self.devices.display:
            self.devices.focus()

    @on(DeviceList.Entered)
    def _entered(self) -> None:
        self.table.focus()

    @on(DeviceList.Chosen)
    def _device_chosen(self, event: DeviceList.Chosen) -> None:
        self.go_device(event.device)

    @on(GroupBar.Chosen)
    def _group_chosen(self, event: GroupBar.Chosen) -> None:
        if event.number < 0:
            self.action_filter()
        else:
            self.action_group(event.number)

    @on(ServerBar.Chosen)
    def _server_chosen(self, event: ServerBar.Chosen) -> None:
        self.terminal.choose(event.index)

    @on(MessagePane.Opened)
    def _messages_opened(self) -> None:
        self.action_log()

    @on(TablePane.Say)
    def _say(self, event: TablePane.Say) -> None:
        self.say(event.text, bad=event.bad)

    @on(TablePane.SendWanted)
    def _send_wanted(self, event: TablePane.SendWanted) -> None:
        self.send(event.key, event.session)

    def on_mouse_scroll_down(self) -> None:
        self.call_after_refresh(self.pane.place)

    def on_mouse_scroll_up(self) -> None:
        self.call_after_refresh(self.pane.place)

    # Moving

    def go_device(self, name: str) -> None:
        """Show this device."""
        self.browser.device = name
        self.browser.filter = parse_filter("")
        self._show_other()

    def go_to(self, prop: Property, member: str | None = None) -> None:
        """Put the cursor on this property."""
        self.browser.go_to(prop, member)
        self._show_other()
        self.table.focus()

    def _show_other(self) -> None:
        self.pane.put_down()
        self._close_other_filter()
        self.table.scroll_to(y=0, animate=False, immediate=True)
        self.table.rebuild()
        self.devices.update_states(set(), self.browser.device)
        self.show_place()

    def action_device(self, steps: int) -> None:
        self.browser.turn_device(self.devices.names, steps)
        if self.browser.device is not None:
            self.go_device(self.browser.device)

    def action_device_number(self, number: int) -> None:
        if number <= len(self.devices.names):
            self.go_device(self.devices.names[number - 1])
        else:
            self.table.found_nothing()

    def action_group(self, number: int) -> None:
        device = self.groups.device
        if device is not None and self.browser.choose_group(device, number):
            self.browser.filter = parse_filter("")
            self._show_other()
        else:
            self.table.found_nothing()

    def action_turn_group(self, steps: int) -> None:
        if self.groups.device is not None:
            self.browser.turn_group(self.groups.device, steps)
            self._show_other()

    def action_next_alert(self) -> None:
        if self.session is None:
            return
        devices = self.session.client.devices.values()
        found = [prop for device in devices for prop in device.properties.values() if prop.state is State.ALERT]
        if not found:
            self.say("nothing is in Alert")
            self.table.found_nothing()
            return
        current = self.table.current()
        keys = [prop.key for prop in found]
        at = keys.index(current[0].key) + 1 if current is not None and current[0].key in keys else 0
        self.go_to(found[at % len(found)])

    # The filter

    def action_filter(self) -> None:
        self.groups.display = False
        self.filter_field.display = True
        self.filter_field.value = self.browser.filter.text
        self.set_focus(self.filter_field)  # at once: the next keys are not for the table

    @on(Input.Changed, "#filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        if self.filter_field.display:
            self.browser.look_for(parse_filter(event.value))
            self._show_other()

    @on(Input.Submitted, "#filter")
    def _filter_kept(self) -> None:
        self.action_keep_filter()

    def close_filter(self) -> None:
        """Show the groups again, where the field of the filter was."""
        self.filter_field.display = False
        self.groups.display = True

    def _close_other_filter(self) -> None:
        if self.focused is self.filter_field and self.filter_field.value != self.browser.filter.text:
            self.action_keep_filter()

    def action_keep_filter(self) -> None:
        self.close_filter()
        self.table.focus()
        self.show_place()

    def action_end_filter(self) -> None:
        spot = self.table.current()
        self.browser.filter = parse_filter("")
        self.action_keep_filter()
        if spot is not None:  # keep what was found
            self.go_to(spot[0], spot[1].name if spot[1] else None)
        else:
            self._show_other()

    def action_match(self, steps: int) -> None:
        if not self.browser.filter:
            self.say("no filter: / searches")
            self.table.found_nothing()
            return
        self.browser.turn_property(self.table.sheet, steps)
        self.table.moved()

    def action_back(self) -> None:
        current = self.table.current()
        if self.keys.said:
            self.say("")
        elif self.browser.filter:
            self.action_end_filter()
        elif self.session is not None and current is not None and self.session.dismiss(current[0].key):
            self.table.told(current[0].key)
            self.show_place()
