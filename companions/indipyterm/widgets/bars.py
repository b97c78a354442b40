"""The lines at the edges: the link, servers, groups, keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from textual import events
from textual.message import Message

from indipyclient import Device, LinkState, State

from ..keymap import ACTIONS, keys_shown
from ..session import Session
from ..words import clean, shorten, span, width
from .lines import Bar, Piece

__all__ = ["GroupBar", "KeyBar", "ServerBar", "StatusBar"]


class StatusBar(Bar):
    """The state of the link, problems, and the rate of messages."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.session: Session | None = None
        self.rate = 0.0
        self._counted: tuple[Session | None, int, float] = (None, 0, 0.0)
        self._alerts: tuple[Session | None, int, int] = (None, 0, 0)

    def count(self, now: float) -> None:
        """Count the messages since the last call."""
        session = self.session
        if session is None:
            return
        messages = session.messages()
        before, seen, at = self._counted
        if before is session and now > at:
            self.rate = (messages - seen) / (now - at)
        self._counted = (session, messages, now)

    def pieces(self) -> list[Piece]:
        session = self.session
        clock = f"{datetime.now(UTC):%H:%M} UTC "
        if session is None:
            return [(" indipyterm", "bar-bold"), ("  no server: o opens one", "bar")]
        name = (" indipyterm  ", "bar-dim") if session.live and self.size.width >= 100 else (" ", "bar")
        left: list[Piece] = [name, (f"{clean(session.name)} ", "bar-bold"), *self._link(session)]
        if session.live or len(session.client.model):
            left += self._figures(session)
        room = self.size.width - len(clock) - 1
        found: list[Piece] = []
        for text, style in left:
            text = shorten(text, room)
            room -= width(text)
            found.append((text, style))
        return [*found, (" " * max(room + 1, 0), "bar"), (clock, "bar-dim")]

    def _link(self, session: Session) -> list[Piece]:
        status = session.client.status
        if status.state is LinkState.READY:
            seconds = int(session.since())
            return [("up ", "bar-ok"), (f"{seconds // 3600:02}:{seconds % 3600 // 60:02}", "bar")]
        if status.state is LinkState.LOST or len(session.client.model):
            known = bool(len(session.client.model))
            text = f" LOST {span(session.since()).partition('.')[0].rstrip('s')} s" if known else " NOT CONNECTED"
            if known and session.since() >= 60:
                text = f" LOST {span(session.since())}"
            wait = session.next_try()
            text += f", next try in {wait:.0f} s " if wait is not None else ", trying "
            return [(text, "bar-alert"), (f" {_without(status.reason, session.name)}", "bar")]
        return [("connecting ...", "bar-busy"), (f" {clean(status.reason)}" if status.reason else "", "bar")]

    def _figures(self, session: Session) -> list[Piece]:
        devices = session.client.devices
        model = session.client.model
        if self._alerts[:2] != (session, model.rev):
            self._alerts = session, model.rev, sum(prop.state is State.ALERT for prop in model)
        alerts = self._alerts[2]
        found: list[Piece] = [(f"   {len(devices)} device{'s' * (len(devices) != 1)}", "bar")]
        if alerts:
            found += [("   ", "bar"), (f" {alerts} ALERT ", "bar-alert")]
        lost = sum(session.receiver.losses.values())
        if lost:
            found += [("   ", "bar"), (f" {lost} BLOB{'s' * (lost != 1)} LOST ", "bar-alert")]
        unsent = len(session.edits)
        if unsent:
            found.append((f"   {unsent} unsent", "bar-key"))
        if session.live and self.rate >= 0.5:
            found.append((f"   {self.rate:.0f}/s", "bar-dim"))
        return found


def _without(reason: str, name: str) -> str:
    """Why there is no link, without the address that is shown beside it."""
    return clean(reason.removeprefix(f"{name} ").removeprefix(f"{name}: "))


class ServerBar(Bar):
    """The servers, if there are several."""

    class Chosen(Message):
        """Asks to show another server."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.sessions: Sequence[Session] = ()
        self.current = 0
        self._places: list[tuple[int, int]] = []

    def pieces(self) -> list[Piece]:
        found: list[Piece] = []
        x = 0
        self._places = []
        for index, session in enumerate(self.sessions):
            alerts = any(prop.state is State.ALERT for prop in session.client.model)
            word = "" if session.live else " LOST" if len(session.client.model) else " ..."
            text = f" {clean(session.name)}{word}{' !' if alerts else ''} "
            style = "bar-on" if index == self.current else "bar-alert" if word == " LOST" else "bar"
            found.append((text, style))
            self._places.append((x, x + width(text)))
            x += width(text)
        return found

    def on_click(self, event: events.Click) -> None:
        for index, (begin, end) in enumerate(self._places):
            if begin <= event.x < end:
                self.post_message(self.Chosen(index))


class GroupBar(Bar):
    """The device and its groups; or the filter, while there is one."""

    ground = ""

    class Chosen(Message):
        """Asks to show a group, by its number, 0 for all; or to edit the filter: -1."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.device: Device | None = None
        self.group: str | None = None
        self.filter = ""
        self.matches = 0
        self._places: list[tuple[int, int, int]] = []
        self._groups: tuple[Device | None, tuple[str, ...]] = (None, ())

    def pieces(self) -> list[Piece]:
        self._places = []
        columns = self.size.width
        if self.filter:
            many = f"{self.matches} propert{'y' if self.matches == 1 else 'ies'} of all devices"
            return [
                ("/ ", "title"),
                (shorten(clean(self.filter), columns - 40), "edit"),
                (f"   {many}   Esc ends", "dim"),
            ]
        if self.device is None:
            return []
        if self._groups[0] is not self.device:
            self._groups = self.device, self.device.groups
        name = shorten(clean(self.device.name), max(columns // 3, 8))
        found: list[Piece] = [(name, "title"), ("  ", "")]
        x = width(name) + 2
        room = columns - x - 12
        for number, group in enumerate(["", *self._groups[1]]):
            label = "All" if not number else shorten(clean(group) or "no group", 20)
            text = f"{number} {label}" if number < 10 else label
            chosen = group == self.group if number else self.group is None
            if width(text) + 2 > room:
                found.append(("…", "dim"))
                x += 1
                break
            found += [(text, "cursor-off" if chosen else "label"), ("  ", "")]
            self._places.append((x, x + width(text), number))
            x += width(text) + 2
            room -= width(text) + 2
        found += [(" " * max(columns - x - 10, 0), ""), ("/ filter", "dim")]
        self._places.append((columns - 10, columns, -1))
        return found

    def on_click(self, event: events.Click) -> None:
        for begin, end, number in self._places:
            if begin <= event.x < end:
                self.post_message(self.Chosen(number))


class KeyBar(Bar):
    """The keys of this place; for some seconds, a message."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.keys: Mapping[str, str] = {}
        self.wanted: tuple[str, ...] = ()
        self.said = ""
        self.said_is_bad = False

    def say(self, text: str, *, bad: bool = False) -> None:
        """Show a message in place of the keys."""
        self.said, self.said_is_bad = clean(text), bad
        self.refresh()

    def offer(self, wanted: Sequence[str]) -> None:
        """Name the keys of these actions."""
        if tuple(wanted) != self.wanted:
            self.wanted = tuple(wanted)
            self.refresh()

    def pieces(self) -> list[Piece]:
        columns = self.size.width
        if self.said:
            return [(f" {shorten(self.said, columns - 2)} ", "bar-alert" if self.said_is_bad else "bar-bold")]
        found: list[Piece] = [(" ", "bar")]
        room = columns - 1
        known = {action.id: action for action in ACTIONS}
        for name in self.wanted:
            action = known[name]
            key, text = keys_shown(self.keys.get(name, action.keys), 1), action.short or action.text
            if name == "device.next":
                key = keys_shown("left_square_bracket,right_square_bracket")
            elif name == "group.1":
                key, text = "1-9", "group"
            if width(key) + width(text) + 3 > room:
                break
            found += [(key, "bar-key"), (f" {text}  ", "bar")]
            room -= width(key) + width(text) + 3
        return found
