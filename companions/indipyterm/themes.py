"""Colours.  A state is a word first and a colour second; the night theme reddens everything but states."""

from __future__ import annotations

from typing import Final

from rich.style import Style
from textual.theme import Theme

__all__ = ["THEMES", "styles"]

# Each row: dark, light, night.  A colour, perhaps with words of Rich's before it and "on" and a background behind it.
_GROUND: Final = ("#14181f", "#fbfaf6", "#100606")
_BAR: Final = ("#232b38", "#dfe4ea", "#2a0f0d")
_TABLE: Final = {
    "": ("#d5dbe3", "#1d2430", "#dd8a7e"),
    "label": ("#aeb9c7", "#3d4755", "#bd7468"),
    "head": ("bold #ffffff", "bold #000000", "bold #ff9d8f"),
    "dim": ("#818c9b", "#5f6b7a", "#96594f"),
    "stale": ("italic #7d848e", "italic #767c86", "italic #86605a"),
    "idle": ("#98a3b3", "#596575", "#a58a86"),
    "ok": ("#6fd08c", "#14702f", "#5fae77"),
    "busy": ("#f2c14e", "#8a5a00", "#c9a040"),
    "alert": ("bold #ff8a80", "bold #b3261e", "bold #ff6b60"),
    "on": ("bold #6fd08c", "bold #14702f", "bold #ffab9e"),
    "sent": ("bold #f2c14e", "bold #8a5a00", "bold #c9a040"),
    "edit": ("bold #7cc7ff", "bold #005a9e", "bold #e8b0a8"),
    "cursor": ("bold #0c1016 on #7cc7ff", "bold #ffffff on #005a9e", "bold #160404 on #d4786a"),
    "cursor-off": ("#ffffff on #2f3b4d", "#000000 on #d3dae3", "#ffab9e on #42191a"),
    "device": ("bold #ffffff on #35507a", "bold #ffffff on #42618f", "bold #ffd0c8 on #5a1f1a"),
    "title": ("bold #7cc7ff", "bold #005a9e", "bold #e8b0a8"),
    "line": ("#3a4454", "#b9c1cb", "#4a1f1b"),
    "bar": (f"#d5dbe3 on {_BAR[0]}", f"#1d2430 on {_BAR[1]}", f"#dd8a7e on {_BAR[2]}"),
    "bar-dim": (f"#95a1b1 on {_BAR[0]}", f"#4c5868 on {_BAR[1]}", f"#a8645a on {_BAR[2]}"),
    "bar-bold": (f"bold #ffffff on {_BAR[0]}", f"bold #000000 on {_BAR[1]}", f"bold #ff9d8f on {_BAR[2]}"),
    "bar-ok": (f"#6fd08c on {_BAR[0]}", f"#0e5c26 on {_BAR[1]}", f"#5fae77 on {_BAR[2]}"),
    "bar-busy": (f"#f2c14e on {_BAR[0]}", f"#704900 on {_BAR[1]}", f"#c9a040 on {_BAR[2]}"),
    "bar-alert": ("bold #ffffff on #b3261e", "bold #ffffff on #b3261e", "bold #ffffff on #a3221b"),
    "bar-key": (f"bold #7cc7ff on {_BAR[0]}", f"bold #004a85 on {_BAR[1]}", f"bold #e8b0a8 on {_BAR[2]}"),
    "bar-on": ("bold #0c1016 on #7cc7ff", "bold #ffffff on #005a9e", "bold #160404 on #d4786a"),
}
_NAMES: Final = ("dark", "light", "night")


def _theme(number: int, name: str) -> Theme:
    def colour(style: str) -> str:
        return _TABLE[style][number].split(" on ")[0].split()[-1]

    return Theme(
        name=name,
        primary=colour("edit"),
        secondary=colour("label"),
        accent=colour("edit"),
        warning=colour("busy"),
        error=colour("alert"),
        success=colour("ok"),
        foreground=colour(""),
        background=_GROUND[number],
        surface=_GROUND[number],
        panel=_BAR[number],
        boost=_BAR[number],
        dark=name != "light",
        variables={
            "block-cursor-foreground": _TABLE["cursor"][number].split(" on ")[0].split()[-1],
            "block-cursor-background": _TABLE["cursor"][number].split(" on ")[1],
            "border": colour("line"),
            "scrollbar": _BAR[number],
            "scrollbar-background": _GROUND[number],
            "scrollbar-hover": colour("dim"),
            "scrollbar-active": colour("label"),
        },
    )


THEMES: Final = {name: _theme(number, name) for number, name in enumerate(_NAMES)}


def _rich(number: int) -> dict[str, Style]:
    ground = _GROUND[number]
    return {
        name: Style.parse(row[number] if " on " in row[number] else f"{row[number]} on {ground}")
        for name, row in _TABLE.items()
    }


_STYLES: Final[dict[str, dict[str, Style]]] = {}


def styles(theme: str) -> dict[str, Style]:
    """The styles of a theme, by the names that pieces of lines have."""
    if theme not in _STYLES:
        _STYLES[theme] = _rich(_NAMES.index(theme) if theme in _NAMES else 0)
    return _STYLES[theme]
