"""How values are printed: ``Device.PROPERTY.MEMBER=value``, or one JSON object per line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from indipydriver.protocol.texts import printable

from ..addresses import Field, Pattern, escape, field_of
from ..model.dump import line
from ..model.properties import Property

__all__ = ["json_text", "lines_of", "print_json", "print_line", "print_members", "write"]

CLOSED_PIPE: Final = 141
"""The exit status that shells report for a program ended by the signal for a closed pipe."""


def print_line(text: str) -> None:
    """Print one line at once, whatever a server has put into it."""
    write(printable(text))


def write(text: str) -> None:
    """Print a trusted text at once.

    Raises:
        OSError: It cannot be written.
    """
    if sys.stdout is None:  # closed by the shell
        raise OSError("standard output is closed")
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` is not an error, and nobody reads the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(CLOSED_PIPE) from None


def json_text(found: object, indent: int | None = None) -> str:
    """JSON that cannot move the cursor or change the writing direction."""
    import json

    lines = json.dumps(found, indent=indent, ensure_ascii=False).split("\n")
    return "\n".join(line if line.isprintable() else _escaped(line) for line in lines)


def _escaped(line: str) -> str:
    import json

    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in line)


def print_json(found: object) -> None:
    """Print one object on a line, at once."""
    write(json_text(found))


def print_members(prop: Property, members: Iterable[str], as_json: bool, *, values_only: bool = False) -> None:
    """Print these members, or fields, of a property."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    for name in members:
        if isinstance(name, Field):
            value = field_of(prop, name)
            found = {"t": now, "device": prop.device, "property": prop.name, "member": name, "value": value}
        else:
            member = prop[name]
            found = line(prop, member, now)
            value = f"<{len(member.data)} bytes {member.format}>" if member.data is not None else member.value
        if as_json:
            print_json(found)
        elif values_only:
            print_line(value)
        else:
            where = f"{escape(prop.device)}.{escape(prop.name)}.{name if isinstance(name, Field) else escape(name)}"
            print_line(f"{where}={value}")


def lines_of(patterns: Iterable[Pattern], prop: Property) -> list[str]:
    """The members of a property that match the patterns, each once."""
    found: dict[tuple[type, str], str] = {}
    for pattern in patterns:
        if pattern.matches(prop):
            found.update({(type(name), name): name for name in pattern.members(prop)})
    return list(found.values())
