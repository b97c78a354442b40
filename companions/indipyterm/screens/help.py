"""The keys and what they do."""

from __future__ import annotations

from collections.abc import Mapping

from ..keymap import help_of
from ..settings import settings_file
from ..widgets.lines import Piece
from ..words import fit, shorten
from .page import Page

__all__ = ["HelpScreen"]


class HelpScreen(Page):
    """All actions by place, with the user's own keys."""

    foot = " Esc back"

    def __init__(self, keys: Mapping[str, str]) -> None:
        super().__init__()
        self._keys = keys

    def title_text(self) -> str:
        return "Keys"

    def rows(self, columns: int) -> list[list[Piece]]:
        wide = columns >= 110
        half = columns // 2 - 2 if wide else columns
        halves: list[list[list[Piece]]] = [[], []]
        parts = help_of(self._keys)
        total = sum(len(rows) + 2 for _, rows in parts)
        for place, rows in parts:
            side = 1 if wide and len(halves[0]) >= total // 2 else 0
            halves[side].append([(place, "head")])
            for keys, text in rows:
                halves[side].append([(fit("  " + keys, 20) + " ", "title"), (shorten(text, half - 21), "")])
            halves[side].append([])
        left, right = halves
        found: list[list[Piece]] = []
        for number in range(max(len(left), len(right))):
            line = left[number] if number < len(left) else []
            if wide and number < len(right):
                used = sum(len(text) for text, _ in line)
                line = [*line, (" " * max(half + 2 - used, 0), ""), *right[number]]
            found.append(line)
        marks: list[tuple[str, str, str]] = [
            ("=> 12.5", "edit", "typed, not sent"),
            ("-> 12.5", "sent", "sent, but the device does not have it yet"),
            ("(*) ( )", "on", "one of these switches is On"),
            ("[x] [ ]", "on", "each of these switches can be On"),
            ("ALERT", "alert", "states are Idle, Ok, Busy and ALERT"),
            ("grey", "stale", "the connection is lost; this is the last known value"),
        ]
        found.append([("Marks", "head")])
        found += [[(fit("  " + sign, 20) + " ", style), (text, "")] for sign, style, text in marks]
        found += [[], [(f"Own keys, colours and more: {settings_file()}", "dim")]]
        return found
