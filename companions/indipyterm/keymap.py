"""All actions with their names and keys, and the user's own keys."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

__all__ = ["ACTIONS", "Action", "actions_of", "check_keys", "help_of", "keys_of", "keys_shown"]


class Action(NamedTuple):
    """Something that a key does.

    Attributes:
        id: Its name in the user's key map.
        keys: Default keys, divided by commas, as Textual names them.
        call: The action that is called.
        text: What it does, for the help.
        short: For the line of keys at the bottom; "" if it is not shown there.
        place: The title under which the help lists it.
    """

    id: str
    keys: str
    call: str
    text: str
    short: str = ""
    place: str = "Values"


_EVERYWHERE: Final = "Everywhere"
_MOVE: Final = "Moving"
_FIND: Final = "Finding"
_EDIT: Final = "In the editor"
_LISTS: Final = "In messages, help and values"

ACTIONS: Final = (
    Action("move.up", "up,k", "up", "member above", place=_MOVE),
    Action("move.down", "down,j", "down", "member below", place=_MOVE),
    Action("move.left", "left,h", "left", "member to the left, then the device list", place=_MOVE),
    Action("move.right", "right,l", "right", "member to the right; from the device list to the values", place=_MOVE),
    Action("move.page-up", "pageup,ctrl+b", "page_up", "one page up", place=_MOVE),
    Action("move.page-down", "pagedown,ctrl+f", "page_down", "one page down", place=_MOVE),
    Action("move.top", "home,g", "top", "first member", place=_MOVE),
    Action("move.bottom", "end,G", "bottom", "last member", place=_MOVE),
    Action("move.property", "J,ctrl+down", "next_property", "next property", place=_MOVE),
    Action("move.property-back", "K,ctrl+up", "previous_property", "previous property", place=_MOVE),
    Action("pane.next", "tab", "app.focus_next", "next pane", place=_MOVE),
    Action("pane.previous", "shift+tab", "app.focus_previous", "previous pane", place=_MOVE),
    Action("device.next", "right_square_bracket", "device(1)", "next device", "device", _MOVE),
    Action("device.previous", "left_square_bracket", "device(-1)", "previous device", place=_MOVE),
    *(Action(f"device.{n}", f"alt+{n}", f"device_number({n})", f"device {n}", place=_MOVE) for n in range(1, 10)),
    Action("group.all", "0", "group(0)", "all groups of the device", place=_MOVE),
    *(Action(f"group.{n}", f"{n}", f"group({n})", f"group {n} of the device", place=_MOVE) for n in range(1, 10)),
    Action("group.next", "greater_than_sign", "turn_group(1)", "next group", place=_MOVE),
    Action("group.previous", "less_than_sign", "turn_group(-1)", "previous group", place=_MOVE),
    Action("find.filter", "slash", "filter", "show what matches, of all devices", "filter", _FIND),
    Action("find.next", "n", "match(1)", "next match", place=_FIND),
    Action("find.previous", "N", "match(-1)", "previous match", place=_FIND),
    Action("find.alert", "a", "next_alert", "next property in Alert, of any device", "alert", _FIND),
    Action("find.palette", "ctrl+p,colon", "app.command_palette", "command palette: go to, set, connect", place=_FIND),
    Action("value.edit", "enter", "edit", "edit a number or text; press a switch; send a file as BLOB", "edit"),
    Action("value.press", "space", "press", "press a switch: sent at once", "press"),
    Action("value.send", "s,ctrl+s", "send", "send all edits of the property", "send"),
    Action("value.send-all", "S", "send_all", "send all edits of all properties"),
    Action("value.undo", "u", "undo", "undo the edit of this member; then those of the property", "undo"),
    Action("value.step-up", "plus,equals_sign", "step(1)", "one step more, as an edit"),
    Action("value.step-down", "minus", "step(-1)", "one step less, as an edit"),
    Action("value.view", "v", "view", "the whole value: long text, image, all that is known", "view"),
    Action("value.plot", "p", "plot", "plot of a number", "plot"),
    Action("value.pin", "P", "pin", "keep the property at the top, or no longer"),
    Action("value.blob", "b", "blobs", "BLOBs: receive or not, and into which folder", "receive"),
    Action("value.copy-address", "y", "copy_address", "copy DEVICE.PROPERTY.MEMBER"),
    Action("value.copy", "Y", "copy_value", "copy the value"),
    Action("value.ask", "r", "ask", "ask the device for its definitions again"),
    Action(
        "value.abort",
        "exclamation_mark",
        "abort",
        "twice: press every switch named ABORT of the device",
        place="Values",
    ),
    Action("view.compact", "c", "compact", "one line per member, or compact", "compact", _EVERYWHERE),
    Action("view.theme", "d", "theme", "dark, light, night", place=_EVERYWHERE),
    Action("view.messages", "m", "log", "messages", "log", _EVERYWHERE),
    Action("server.connect", "o,ctrl+o", "connect", "open another server", "open", _EVERYWHERE),
    Action("server.next", "ctrl+pagedown,right_curly_bracket", "server(1)", "next server", place=_EVERYWHERE),
    Action("server.previous", "ctrl+pageup,left_curly_bracket", "server(-1)", "previous server", place=_EVERYWHERE),
    Action("server.close", "ctrl+w", "close_server", "close this server", place=_EVERYWHERE),
    Action("app.help", "question_mark,f1", "help", "the keys and what they do", "help", _EVERYWHERE),
    Action("app.back", "escape", "back", "one step back: filter, message, selection", place=_EVERYWHERE),
    Action(
        "app.quit",
        "q,ctrl+q",
        "quit_app",
        "quit; asks if there are unsent edits, or commands, BLOBs or files in transit",
        "quit",
        _EVERYWHERE,
    ),
    Action("edit.keep", "enter", "keep", "keep the edit; it is not sent yet", place=_EDIT),
    Action("edit.next", "tab", "keep_next", "keep it and edit the next member", place=_EDIT),
    Action("edit.previous", "shift+tab", "keep_previous", "keep it and edit the previous member", place=_EDIT),
    Action("edit.send", "ctrl+s", "keep_send", "keep it and send the property", place=_EDIT),
    Action("edit.leave", "escape", "leave", "leave it as it was", place=_EDIT),
    Action("edit.step-up", "up", "step_edit(1)", "one step more", place=_EDIT),
    Action("edit.step-down", "down", "step_edit(-1)", "one step less", place=_EDIT),
    Action("list.close", "escape,q", "close", "back", place=_LISTS),
    Action("list.device", "d", "only_device", "messages of this device only, or of all", place=_LISTS),
    Action("list.search", "slash", "search", "search", place=_LISTS),
    Action("list.up", "up,k", "list_up", "up", place=_LISTS),
    Action("list.down", "down,j", "list_down", "down", place=_LISTS),
    Action("list.page-up", "pageup,ctrl+b", "list_page_up", "one page up", place=_LISTS),
    Action("list.page-down", "pagedown,ctrl+f,space", "list_page_down", "one page down", place=_LISTS),
    Action("list.top", "home,g", "list_top", "to the beginning", place=_LISTS),
    Action("list.bottom", "end,G", "list_bottom", "to the end", place=_LISTS),
)

_IDS: Final = {action.id: action for action in ACTIONS}

_SIGNS: Final = {
    "slash": "/",
    "colon": ":",
    "question_mark": "?",
    "exclamation_mark": "!",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "right_square_bracket": "]",
    "left_square_bracket": "[",
    "right_curly_bracket": "}",
    "left_curly_bracket": "{",
    "greater_than_sign": ">",
    "less_than_sign": "<",
    "full_stop": ".",
    "comma": ",",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "escape": "Esc",
    "enter": "Enter",
    "space": "Space",
    "tab": "Tab",
    "home": "Home",
    "end": "End",
}
_WORDS: Final = frozenset(("backspace", "delete", "insert", *(f"f{n}" for n in range(1, 25))))
_OTHER_NAMES: Final = {
    **{name.lower(): key for key, name in _SIGNS.items()},
    "\\": "backslash",
    "@": "at",
    "_": "underscore",
}
"""As keys are shown, and characters with other names than in Unicode."""


def actions_of(*prefixes: str) -> list[Action]:
    """The actions whose names begin like this."""
    return [action for action in ACTIONS if action.id.startswith(prefixes)]


def keys_of(name: str, keys: Mapping[str, str]) -> list[str]:
    """The keys of an action, with this key map of the user."""
    return keys.get(name, _IDS[name].keys).split(",")


def keys_shown(keys: str, most: int = 9) -> str:
    """Keys for display: ``Ctrl-S s``."""
    return " ".join(_shown(key) for key in keys.split(",")[:most])


def _shown(key: str) -> str:
    *held, last = key.strip().split("+")
    name = _SIGNS.get(last) or (last.upper() if len(last) > 1 or held else last)
    return "-".join([*(part.capitalize() for part in held), name])


def check_keys(given: Mapping[str, object]) -> tuple[dict[str, str], list[str]]:
    """A user's key map: the usable part, and what is wrong with the rest.

    Two actions of the same place with one key would be ambiguous, so the later one keeps its default.
    """
    found: dict[str, str] = {}
    wrong: list[str] = []
    for name, keys in given.items():
        text = ",".join(map(str, keys)) if isinstance(keys, list) else str(keys)
        parts = [part.strip() for part in text.split(",") if part.strip()]
        if name not in _IDS:
            wrong.append(f"no action is named {name!r}")
        elif not parts:
            wrong.append(f"{name} has no key")
        elif unknown := [part for part in parts if not _named(part)]:
            wrong.append(f"{name}: no key is named {unknown[0]!r}")
        else:
            found[name] = ",".join(_named(part) for part in parts)
    while (clash := next(((name, other) for name in found if (other := _clash(name, found))), None)) is not None:
        name, other = clash  # which is back to its default, and may be in the way of another one
        wrong.append(f"{name}: {keys_shown(found.pop(name))} is already a key of {other}")
    return found, wrong


def _named(key: str) -> str:
    """The key as Textual names it, "" if there is none; a user may write the character itself, and capitals."""
    head, _, last = key.rpartition("+")
    if not last:  # the key is "+"
        head, last = head.removesuffix("+"), "+"
    held = head.lower().split("+") if head else []
    if not {"ctrl", "alt", "shift"}.issuperset(held):
        return ""
    if len(last) == 1 and last.isalnum():
        if held == ["shift"]:
            return last.upper()
        if held == ["alt"] and last.isupper():
            held.append("shift")
        return "+".join([*held, last.lower() if held else last])
    last = _OTHER_NAMES.get(last.lower(), last.lower())
    if len(last) == 1:
        last = unicodedata.name(last, "").lower().replace("-", "_").replace(" ", "_")
    return "+".join([*held, last]) if last in _WORDS or _is_sign(last) else ""


def _is_sign(name: str) -> bool:
    """Whether a character is named so."""
    try:
        return name in _OTHER_NAMES.values() or unicodedata.lookup(name.replace("_", " ")).isprintable()
    except KeyError:
        return False


def _scope(name: str) -> str:
    head = name.partition(".")[0]
    return head if head in ("edit", "list") else ""


def _clash(name: str, found: Mapping[str, str]) -> str | None:
    mine = set(found[name].split(","))
    return next(
        (
            action.id
            for action in ACTIONS
            if action.id != name
            and _scope(action.id) == _scope(name)
            and mine & set(found.get(action.id, action.keys).split(","))
        ),
        None,
    )


def help_of(keys: Mapping[str, str], places: Iterable[str] = ()) -> list[tuple[str, list[tuple[str, str]]]]:
    """The effective keys: for each place its title, and pairs of keys and what they do."""
    wanted = list(places) or list(dict.fromkeys(action.place for action in ACTIONS))
    found: list[tuple[str, list[tuple[str, str]]]] = []
    for place in wanted:
        rows = [
            (keys_shown(keys.get(action.id, action.keys)), action.text)
            for action in ACTIONS
            if action.place == place and not _is_numbered(action.id)
        ]
        if place == _MOVE:
            rows += [("1 … 9", "group of the device"), ("Alt-1 … Alt-9", "device")]
        found.append((place, rows))
    return found


def _is_numbered(name: str) -> bool:
    return name.rpartition(".")[2].isdigit()
