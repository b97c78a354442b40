"""The text of a line, in pieces that each have the name of a style."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from indipyclient import Member, Permission, Property, State, SwitchRule, VectorKind

from .edits import Fate, Told
from .layout import Columns, Kind, Line, Place
from .received import Received, size_shown
from .values import limits
from .words import age, clean, fit, shorten, span, width

__all__ = ["STATE_WORDS", "View", "paint", "state_word"]

Piece = tuple[str, str]
"""Text, and the name of its style; "" is the default one."""

STATE_WORDS: Final = {State.IDLE: "Idle", State.OK: "Ok", State.BUSY: "Busy", State.ALERT: "ALERT"}
STATE_STYLES: Final = {State.IDLE: "idle", State.OK: "ok", State.BUSY: "busy", State.ALERT: "alert"}
NEWS: Final = 8.0
"""Seconds for which an accepted command is shown."""


class Cursor(NamedTuple):
    """Where the cursor is."""

    key: tuple[str, str]
    member: str


@dataclass(slots=True)
class View:
    """What affects the text of a property, apart from the property itself.

    Attributes:
        now: The time, by the clock of the model.
        columns: Where the parts of a line begin.
        head: Width of heads in compact mode.
        stale: It may be out of date.
        fate: The outcome of the last command.
        acknowledged: The device has answered the waiting command with Busy.
        edits: Values that were typed and not sent.
        receiving: BLOBs are requested.
        received: The last BLOBs, by member.
        cursor: The member under the cursor, or None.
        editing: The member in the editor, or None.
        pinned: It stays at the top.
        hint: The hint about the text in the editor.
        hint_wrong: The text cannot be sent as it is.
    """

    now: float
    columns: Columns
    head: int = 20
    stale: bool = False
    fate: Told | None = None
    acknowledged: bool = False
    edits: Mapping[str, str] = field(default_factory=dict)
    receiving: bool = False
    received: Mapping[str, Received] = field(default_factory=dict)
    cursor: str | None = None
    editing: str | None = None
    pinned: bool = False
    hint: str = ""
    hint_wrong: bool = False


def state_word(state: State) -> Piece:
    """A state as a word of five columns, with its style."""
    return STATE_WORDS[state].ljust(5), STATE_STYLES[state]


def paint(line: Line, prop: Property, view: View) -> list[Piece]:
    """The pieces of a line; together they are at most as wide as the line."""
    if line.kind is Kind.HEAD:
        pieces = _head(prop, view)
    elif line.kind is Kind.DEVICE:
        pieces = [(f" {clean(prop.device)} ", "device")]
    elif line.kind is Kind.TOLD:
        pieces = _told(prop, view)
    elif line.kind is Kind.BOTH:
        pieces = _both(prop, line, view)
    elif line.kind is Kind.MEMBERS:
        pieces = _members(prop, line, view)
    else:
        pieces = []
    pieces = _within(pieces, view.columns.total)
    return [(text, "stale" if style in _GREYED else style) for text, style in pieces] if view.stale else pieces


def _within(pieces: list[Piece], columns: int) -> list[Piece]:
    """Cut off what is beyond the end of the line."""
    if sum(width(text) for text, _ in pieces) <= columns:
        return pieces
    found: list[Piece] = []
    for text, style in pieces:
        wide = width(text)
        found.append((text if wide <= columns else shorten(text, columns), style))
        columns -= min(wide, columns)
    return found


_GREYED: Final = frozenset(("", "idle", "ok", "busy", "alert", "label", "head", "dim", "on", "sent"))


def _head(prop: Property, view: View) -> list[Piece]:
    total = view.columns.total
    right = _right(prop, view)
    space = total - 6 - sum(width(text) for text, _ in right)
    label = shorten(clean(prop.label), max(space - 1, 4))
    pieces = [state_word(prop.shown_state), (" ", ""), (label, "head")]
    left = space - width(label)
    if view.pinned and left > 6:
        pieces.append((" pinned", "dim"))
        left -= 7
    name = clean(prop.name)
    if total >= 100 and name.lower() != clean(prop.label).lower() and left > len(name) + 3:
        pieces.append((f" {name}", "dim"))
        left -= width(name) + 1
    return [*pieces, (" " * max(left, 0), ""), *right]


def _right(prop: Property, view: View) -> list[Piece]:
    """The end of a head: the outcome, the permission, the age."""
    pieces: list[Piece] = []
    news = _news(prop, view)
    if news is not None:
        pieces += [news, ("  ", "")]
    perm = {Permission.READ_ONLY: "ro", Permission.WRITE_ONLY: "wo", Permission.READ_WRITE: "rw"}[prop.perm]
    pieces.append((perm, "dim"))
    pieces.append((age(view.now - prop.at).rjust(6) + " ", "stale" if view.stale else "dim"))
    return pieces


def _news(prop: Property, view: View) -> Piece | None:
    if prop.pending is not None:
        waited = span(view.now - prop.pending.since).partition(".")[0].rstrip("s") + "s"
        if view.now - prop.pending.since >= 60:
            waited = span(view.now - prop.pending.since)
        word = "acknowledged" if view.acknowledged else "sent"
        return f"{word} {waited}", "sent"
    fate = view.fate
    if fate is None:
        return (f"{len(view.edits)} unsent", "edit") if view.edits else None
    if fate.fate is Fate.ACCEPTED:
        return (fate.text, "ok") if view.now - fate.at < NEWS else None
    if fate.fate is Fate.SENT:
        return "sent", "sent"
    return fate.fate.value.upper() if fate.fate is Fate.REFUSED else fate.fate.value, "alert"


def _told(prop: Property, view: View) -> list[Piece]:
    room = view.columns.total - 8
    fate = view.fate
    if fate is not None and fate.bad:
        text = f"{fate.fate.value}: {clean(fate.text)}" if fate.fate is not Fate.UNKNOWN else clean(fate.text)
        return [("      ! ", "alert"), (shorten(text, room), "alert")]
    if prop.message:
        return [("      ! ", "alert"), (shorten(clean(prop.message), room), "alert")]
    return []


def _both(prop: Property, line: Line, view: View) -> list[Piece]:
    label = fit(clean(prop.label), view.head - 8)
    style = "head" if prop.writable else "label"
    return [state_word(prop.shown_state), (" ", ""), (label, style), *_cells(prop, line.places, view, view.head - 2)]


def _members(prop: Property, line: Line, view: View) -> list[Piece]:
    alone = (
        len(line.places) == 1
        and line.places[0].x == view.columns.indent
        and line.places[0].width == view.columns.total - view.columns.indent
    )
    if alone and prop.kind not in (VectorKind.SWITCH, VectorKind.LIGHT):
        return _alone(prop, prop.members[line.places[0].member], view)
    return _cells(prop, line.places, view, 0)


def _cells(prop: Property, places: tuple[Place, ...], view: View, x: int) -> list[Piece]:
    pieces: list[Piece] = []
    for place in places:
        pieces.append((" " * (place.x - x), ""))
        member = prop.members[place.member]
        here = _cell(prop, member, place.width, view)
        if view.cursor == member.name:
            here = [("".join(text for text, _ in here), "cursor")]
        pieces += here
        x = place.x + place.width
    return pieces


def _cell(prop: Property, member: Member, columns: int, view: View) -> list[Piece]:
    label = clean(member.label)
    if prop.kind is VectorKind.SWITCH:
        text = fit(f"{_box(prop, member)}{label}", columns)
        asked = prop.pending is not None and prop.pending.values.get(member.name) == "On"
        return [(text, "sent" if asked else "on" if member.on else "" if prop.writable else "dim")]
    if prop.kind is VectorKind.LIGHT:
        word, style = _light(member)
        name = shorten(label, columns - 6)
        return [(name + " ", "label"), (fit(word, columns - width(name) - 1), style)]
    name = shorten(label, max(min(24, columns - 8), 1))
    room = max(columns - width(name) - 1, 0)
    if member.name in view.edits:
        return [(name + " ", "label"), (fit("=> " + clean(view.edits[member.name]), room), "edit")]
    if prop.kind is VectorKind.BLOB:
        return [(name + " ", "label"), (fit(_blob(member, view), room), "")]
    text = clean(member.shown).strip()
    style = "" if prop.pending is None or member.name not in prop.pending.values else "sent"
    return [(name + " ", "label"), (fit(text, room), style)]


def _box(prop: Property, member: Member) -> str:
    mark = "*" if member.on else " "
    if prop.rule is SwitchRule.ANY_OF_MANY:
        return "[x] " if member.on else "[ ] "
    if len(prop.members) == 1:
        return "[*] " if member.on else "[ ] "
    return f"({mark}) "


def _light(member: Member) -> Piece:
    try:
        state = State(member.value)
    except ValueError:
        return clean(member.value)[:5] or "?", "idle"
    return STATE_WORDS[state], STATE_STYLES[state]


def _alone(prop: Property, member: Member, view: View) -> list[Piece]:
    columns = view.columns
    here = view.cursor == member.name
    pieces: list[Piece] = [
        (" " * (columns.indent - 2), ""),
        ("> " if here else "  ", "cursor" if here else ""),
        (fit(clean(member.label), columns.label), "cursor" if here else "label"),
        ("  ", ""),
    ]
    if prop.kind is VectorKind.NUMBER:
        return pieces + _number(prop, member, view)
    if prop.kind is VectorKind.TEXT:
        return pieces + _text(prop, member, view)
    room = columns.total - columns.value
    found = view.received.get(member.name)
    return [*pieces, (shorten(_blob(member, view, full=True), room), "alert" if found and found.problem else "")]


def _asked(prop: Property, member: Member, view: View) -> Piece | None:
    """An edit that was not sent, or a requested value that the device does not have yet."""
    if member.name in view.edits:
        return f"=> {clean(view.edits[member.name])}", "edit"
    pending = prop.pending
    if pending is not None and pending.values.get(member.name, member.value) != member.value:
        return f"-> {clean(pending.values[member.name])}", "sent"
    return None


def _number(prop: Property, member: Member, view: View) -> list[Piece]:
    columns = view.columns
    value = clean(member.shown).strip() if prop.perm is not Permission.WRITE_ONLY or member.value else "write only"
    style = "dim" if prop.perm is Permission.WRITE_ONLY else ""
    pieces = [(fit(value, columns.number, right=True), style), ("  ", "")]
    room = columns.total - columns.edit
    if view.editing == member.name:
        pieces.append((" " * (columns.edit_width + 1), ""))
        room -= columns.edit_width + 1
        if view.hint:
            return [*pieces, (shorten(view.hint, room), "alert" if view.hint_wrong else "dim")]
    else:
        asked = _asked(prop, member, view)
        if asked is not None:
            text = shorten(asked[0], room)
            pieces += [(text, asked[1]), ("  ", "")]
            room -= width(text) + 2
    allowed = limits(member) if prop.writable else ""
    if width(allowed) > room:
        allowed = allowed.partition(" step")[0]
    return [*pieces, (shorten(allowed, room) if room > 3 else "", "dim")]


def _text(prop: Property, member: Member, view: View) -> list[Piece]:
    columns = view.columns
    room = columns.total - columns.value
    if view.editing == member.name:
        return []
    asked = _asked(prop, member, view)
    value = clean(member.value)
    if asked is None:
        return [(shorten(value, room), "")]
    left = min(width(value), max(room // 2 - 2, 1))
    return [(fit(value, left), ""), ("  " if value else "", ""), (shorten(asked[0], room - left - 2), asked[1])]


def _blob(member: Member, view: View, *, full: bool = False) -> str:
    found = view.received.get(member.name)
    if found is None:
        if member.data is not None:
            return f"{size_shown(len(member.data))} {clean(member.format)}"
        return "waiting for the first" if view.receiving else "not received: b"
    text = f"{size_shown(found.size)} {clean(found.format)}  {age(view.now - found.at)}"
    if not full:
        return text
    if found.problem:
        return f"{text}  {clean(found.problem)}"
    if found.path is not None:
        text += f"  {clean(found.path.name)}"
    if found.facts:
        text += "  " + ", ".join(clean(value) for _, value in found.facts[:3])
    return text
