"""The properties of a device, one line per member."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from indipyclient import Delta, Member, Property
from indipyclient.model.delta import Grave

from ..aim import Aim, Spot, meaning_of
from ..browser import Browser
from ..keymap import actions_of
from ..layout import Line, Mode, Sheet
from ..paint import View, paint
from ..session import Session
from .lines import Lines, Piece

__all__ = ["PropTable"]

Key = tuple[str, str]


class PropTable(Lines, can_focus=True):
    """The lines of properties, with a cursor on one member."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(a.keys, a.call, a.text, id=a.id, show=False) for a in actions_of("move.")
    ]

    class Moved(Message):
        """Sent when the cursor is on another member, or other lines are shown."""

    class Activated(Message):
        """Asks for what Enter does: the member under the cursor was clicked again, or is edited on a page."""

    class LeftEdge(Message):
        """Sent when there is nothing further to the left."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.session: Session | None = None
        self.browser = Browser()
        self.mode = Mode.LINES
        self.sheet = Sheet()
        self.editing: tuple[Key, str] | None = None
        self.hint: tuple[str, bool] = ("", False)
        self.built_at = 0.0
        self.aim = Aim()
        self._aimed: Spot | None = None
        self._is_shifted = False
        self._told: set[Key] = set()
        self._views: dict[Key, View] = {}

    # What is shown

    def show(self, session: Session | None, browser: Browser) -> None:
        """Show this server."""
        if session is not self.session:
            self.aim = Aim(self.aim.settle)
        self.session, self.browser = session, browser
        self.rebuild()

    def rebuild(self, *, by_server: bool = False) -> None:
        """Other properties, another width, or other lines of the same.

        Args:
            by_server: The change does not come from the user.
        """
        before = self._picture()
        self._rebuild()
        if not by_server:
            self.browser.stay(self.sheet)
            self._lead(afar=True)
            return
        if self._picture()[: len(before)] != before:
            self._is_shifted = True
        spot = self.browser.spot(self.sheet)
        if self._aimed is None:
            self._aimed = spot
        elif spot == self._aimed:
            self.aim.returned(spot, self._now())
        elif spot is not None:
            self.aim.displaced(self._aimed, spot[0][0])

    def _rebuild(self) -> None:
        session = self.session
        columns = self.columns
        if session is None or columns <= 0:
            self.sheet = Sheet()
            self.recount()
            return
        devices = session.client.devices
        self.browser.settle(devices)
        listed = self.browser.listed(devices, session.pinned, self.editing)
        told = session.bad(prop for prop, _ in listed)
        first = listed[: len(session.pinned) + 1]  # pinned properties come first
        several = bool(self.browser.filter) or len({prop.device for prop, _ in first}) > 1
        before, self.sheet = (
            self.sheet,
            Sheet.build(listed, columns, self.mode, told=told, devices=several, before=self.sheet),
        )
        self._told = told
        self.built_at = self._now()
        self._views.clear()
        if self._is_as_before(before):
            self.virtual_size = Size(columns, self.count())
            self._draw_what_differs()
        else:
            self.recount()
        self._follow_cursor()
        self._forget_unseen()
        self.post_message(self.Moved())

    def _draw_what_differs(self) -> None:
        for y in self.in_sight():
            if self._painted[y] == self.pieces(y):
                self._note(y)  # it is already on the screen, whatever its definition says now
            else:
                self.refresh_line(y)

    def _is_as_before(self, before: Sheet) -> bool:
        """Note that the visible lines have been drawn."""
        seen, sheet = self.in_sight(), self.sheet
        return (
            self.screen.is_current
            and not self._is_shifted
            and (before.columns, before.head) == (sheet.columns, sheet.head)
            and min(seen.start + self.size.height, len(before)) == seen.stop
            and before.lines[seen.start : seen.stop] == sheet.lines[seen.start : seen.stop]
            and all(y in self._painted for y in seen)
        )

    def take(self, delta: Delta) -> None:
        """Show changes of the server."""
        session = self.session
        if session is None:
            return
        if self._needs_rebuild(session, delta):
            self.rebuild(by_server=True)
            return
        self._views.clear()
        for prop in delta.properties:
            found = self.sheet.range_of(prop.key)
            if found is not None:
                self.redraw(*found)

    def _needs_rebuild(self, session: Session, delta: Delta) -> bool:
        if delta.reset or any(self._is_here(grave) for grave in delta.deleted):
            return True
        for prop in delta.properties:
            here = self.sheet.range_of(prop.key) is not None
            if delta.is_new(prop) and (here or self._could_be_here(session, prop)):
                return True
            if here and session.is_bad(prop) != (prop.key in self._told):
                return True
        # What matches a filter may depend on values, and is not determined anew for each of them.
        return bool(self.browser.filter and delta.properties) and self._now() - self.built_at > 1.0

    def _is_here(self, grave: Grave) -> bool:
        return grave.name is None or self.sheet.range_of((grave.device, grave.name)) is not None

    def _could_be_here(self, session: Session, prop: Property) -> bool:
        return bool(self.browser.filter) or self.browser.awaits(prop.device) or prop.key in session.pinned

    def told(self, key: Key) -> None:
        """Show news about a property."""
        session = self.session
        prop = session.client.get(*key) if session else None
        if session is None or prop is None:
            return
        self._views.pop(key, None)
        found = self.sheet.range_of(key)
        if found is not None and session.is_bad(prop) != (key in self._told):
            self.rebuild(by_server=True)
        elif found is not None:
            self.redraw(*found)

    def repaint(self) -> None:
        """Draw everything again."""
        self._views.clear()
        self._painted.clear()
        self.refresh()

    def look_again(self) -> None:
        self._views.clear()
        super().look_again()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # Lines

    def count(self) -> int:
        return len(self.sheet)

    def pieces(self, y: int) -> list[Piece]:
        line = self.sheet.lines[y]
        session = self.session
        prop = session.client.get(*line.key) if session else None
        if session is None or prop is None:
            return []
        if any(place.member not in prop.members for place in line.places):
            return []  # defined anew; the next delta brings its lines
        pieces = paint(line, prop, self._view(session, prop))
        if not self.has_focus and self.editing is None:
            return [(text, "cursor-off" if style == "cursor" else style) for text, style in pieces]
        return pieces

    def _view(self, session: Session, prop: Property) -> View:
        key = prop.key
        view = self._views.get(key)
        if view is None:
            spot = self.browser.spot(self.sheet)
            receiver = session.receiver
            received = {name: found for name in prop.members if (found := receiver.last.get((*key, name))) is not None}
            view = self._views[key] = View(
                self._now(),
                self.sheet.columns,
                self.sheet.head,
                session.client.is_stale(prop),
                session.fates.get(key),
                session.acknowledged(prop),
                session.edits.of(key),
                receiver.is_receiving(key),
                received,
                spot[1] if spot is not None and spot[0] == key else None,
                self.editing[1] if self.editing is not None and self.editing[0] == key else None,
                key in session.pinned,
                *self.hint,
            )
        return view

    # What has been seen

    def _picture(self) -> list[Line]:
        seen = self.in_sight()
        return self.sheet.lines[seen.start : seen.stop]

    def render_line(self, y: int) -> Strip:
        self._note(self.scroll_offset.y + y)
        return super().render_line(y)

    def _note(self, y: int) -> None:
        """Note that the user will see this line."""
        if self._is_shifted:
            self._is_shifted = False
            self.aim.shifted(self._now())
        session = self.session
        line = self.sheet.lines[y] if 0 <= y < len(self.sheet.lines) else None
        prop = session.client.get(*line.key) if session is not None and line is not None else None
        if prop is None or line is None:
            return
        now = self._now()
        for name in [place.member for place in line.places] or ([""] if not prop.members else []):
            member = prop.members.get(name)
            if member is not None or not name:
                self.aim.drawn((prop.key, name), meaning_of(prop, member), now)

    def _forget_unseen(self) -> None:
        seen = {
            (line.key, name) for line in self._picture() for name in ([place.member for place in line.places] or [""])
        }
        self.aim.in_sight(seen)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._forget_unseen()

    def _lead(self, *, afar: bool = False) -> None:
        """Note that the user has put the cursor here, perhaps among lines that have shifted and are not drawn yet."""
        if self._is_shifted:
            self.aim.shifted(self._now())
        self._aimed = self.browser.spot(self.sheet)
        self.aim.led(self._now(), self._aimed[0][0] if self._aimed is not None else "", afar=afar)

    def came_to_front(self) -> None:
        """Note that the lines may be elsewhere than the user remembers."""
        self.aim.shifted(self._now())

    def found_nothing(self) -> None:
        """See :meth:`Aim.missed`."""
        self.aim.missed(self._now())

    def why_not(self, lateness: float = 0.0) -> str:
        """Why a key that was pressed so many seconds ago must not act on the row under the cursor; "" if it may."""
        spot, current = self.browser.spot(self.sheet), self.current()
        if spot is None or current is None:
            return "there is nothing here"
        if self.cursor_line() not in self.in_sight():
            self._follow_cursor()
            return "the cursor was out of sight: look, and press again"
        return self._note_told(self.aim.why_not(spot, meaning_of(*current), self._now() - lateness))

    @property
    def can_be_read(self) -> bool:
        """Whether a key would act on the row under the cursor."""
        spot, current = self.browser.spot(self.sheet), self.current()
        return spot is not None and current is not None and self.aim.is_read(spot, meaning_of(*current), self._now())

    def why_not_device(self) -> str:
        """The same for a key for the whole device."""
        current = self.current()
        return (
            self._note_told(self.aim.why_not_device(current[0].device, self._now())) if current else "nothing is here"
        )

    def _note_told(self, why: str) -> str:
        """Note that the user has been told where the cursor is."""
        if why:
            self._aimed = self.browser.stay(self.sheet)
        return why

    # Cursor

    def current(self) -> tuple[Property, Member | None] | None:
        """The property and member under the cursor, as they are now."""
        spot = self.browser.spot(self.sheet) if self.session else None
        if spot is None or self.session is None:
            return None
        prop = self.session.client.get(*spot[0])
        return (prop, prop.members.get(spot[1])) if prop is not None else None

    def cursor_line(self) -> int | None:
        """The line of the cursor."""
        spot = self.browser.spot(self.sheet)
        index = self.sheet.spot_of(*spot) if spot is not None else None
        return self.sheet.place_of(index)[0] if index is not None else None

    def _follow_cursor(self) -> None:
        y = self.cursor_line()
        if y is None:
            return
        first = y
        found = self.sheet.range_of(self.sheet.lines[y].key)
        if found is not None and y - found[0] < max(self.size.height // 2, 1):
            first = found[0]  # with its head, if there is room
        self.keep_in_sight(first)
        self.keep_in_sight(y)

    def moves(self, key: str) -> bool:
        """Whether this key only moves the cursor within these lines."""
        bound = self.screen.active_bindings.get(key)
        return bound is not None and bound.node is self and bound.binding.action in ("up", "down")

    def moved(self) -> None:
        """Note that the user may have moved the cursor."""
        self.browser.stay(self.sheet)
        self._lead()
        self._views.clear()
        self.redraw(0, self.count())
        self._follow_cursor()
        self.post_message(self.Moved())

    def move(self, lines: int) -> None:
        """Go down this many lines."""
        self.browser.move(self.sheet, lines)
        self.moved()

    def action_up(self) -> None:
        if self.cursor_line() == (self.sheet.place_of(0)[0] if self.sheet.spots else None):
            self.scroll_to(y=0, animate=False, immediate=True)
        self.move(-1)

    def action_down(self) -> None:
        self.move(1)

    def action_left(self) -> None:
        if self.browser.sideways(self.sheet, -1):
            self.moved()
        else:
            self.post_message(self.LeftEdge())

    def action_right(self) -> None:
        if self.browser.sideways(self.sheet, 1):
            self.moved()

    def action_page_up(self) -> None:
        self.move(-max(self.size.height - 2, 1))

    def action_page_down(self) -> None:
        self.move(max(self.size.height - 2, 1))

    def action_top(self) -> None:
        if self.sheet.spots:
            self.browser.put(self.sheet, 0)
            self.moved()
            self.scroll_to(y=0, animate=False, immediate=True)

    def action_bottom(self) -> None:
        if self.sheet.spots:
            self.browser.put(self.sheet, self.sheet.spots - 1)
            self.moved()

    def action_next_property(self) -> None:
        self.browser.turn_property(self.sheet, 1)
        self.moved()

    def action_previous_property(self) -> None:
        self.browser.turn_property(self.sheet, -1)
        self.moved()

    # Mouse, focus and size

    def on_click(self, event: events.Click) -> None:
        line = self.line_of_click(event)
        found = self.sheet.find(line, event.x) if line is not None else None
        if line is None or found is None:
            return
        before = self.browser.spot(self.sheet)
        is_on_it = any(place.x <= event.x < place.x + place.width for place in self.sheet.lines[line].places)
        if self.browser.put(self.sheet, found) == before and is_on_it:
            self.post_message(self.Activated())
        self.moved()

    def on_resize(self) -> None:
        self.rebuild(by_server=True)

    def on_focus(self) -> None:
        self.repaint()

    def on_blur(self) -> None:
        self.repaint()
