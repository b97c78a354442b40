"""The user's files: settings and keys, which this program only reads, and the servers it was used with."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .keymap import check_keys

__all__ = ["THEMES", "Settings", "load", "recent_servers", "remember_server", "settings_file"]

THEMES: Final = ("dark", "light", "night")
RECENT: Final = 12


def settings_file() -> Path:
    """``indipyterm/settings.toml`` where the system keeps settings; INDIPYTERM_SETTINGS names another file."""
    given = os.environ.get("INDIPYTERM_SETTINGS")
    if given:
        return Path(given)
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return Path(home) / "indipyterm" / "settings.toml"


def _servers_file() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return Path(home) / "indipyterm" / "servers.json"


@dataclass(slots=True)
class Settings:
    """The user's preferences.

    Attributes:
        theme: ``dark``, ``light`` or ``night``.
        compact: Begin in compact mode.
        history: Points kept for each number, one per second; 0 for none.
        ask_before_disconnect: Ask before disconnecting a device that is Busy.
        keys: Own keys, by action.
        wrong: What is wrong with the file.
    """

    theme: str = "dark"
    compact: bool = False
    history: int = 600
    ask_before_disconnect: bool = True
    keys: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def load(path: Path | None = None) -> Settings:
    """Read the settings; errors are listed in `wrong`, and defaults take their place."""
    path = path or settings_file()
    found = Settings()
    try:
        text = path.read_text(encoding="utf-8-sig")
        import tomllib  # few have such a file

        table = tomllib.loads(text)
    except (FileNotFoundError, NotADirectoryError):
        return found
    except (OSError, ValueError) as error:
        found.wrong.append(f"{path}: {getattr(error, 'strerror', None) or error}")
        return found
    _take(found, table)
    found.wrong = [f"{path.name}: {text}" for text in found.wrong]
    return found


def _take(found: Settings, table: Mapping[str, object]) -> None:
    for name, value in table.items():
        if name == "keys" and isinstance(value, dict):
            found.keys, wrong = check_keys(value)
            found.wrong += wrong
        elif name == "theme" and value in THEMES:
            found.theme = str(value)
        elif name == "history" and isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 100_000:
            found.history = value
        elif name in ("compact", "ask_before_disconnect") and isinstance(value, bool):
            setattr(found, name, value)
        elif name in ("keys", "theme", "history", "compact", "ask_before_disconnect"):
            found.wrong.append(f"{name} cannot be {value!r}")
        else:
            found.wrong.append(f"no setting is named {name!r}")


def recent_servers() -> list[str]:
    """Addresses that were used, most recent first."""
    import json

    try:
        found = json.loads(_servers_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [item for item in found if isinstance(item, str)][:RECENT] if isinstance(found, list) else []


def remember_server(address: str) -> None:
    """Put an address in front of the others; a disk that cannot be written to is ignored."""
    import json
    import tempfile

    path = _servers_file()
    if not path.is_absolute():  # the user's home directory is unknown
        return
    servers = [address, *(item for item in recent_servers() if item != address)][:RECENT]
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
            json.dump(servers, file)
        os.replace(file.name, path)
