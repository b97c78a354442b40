"""Instruments as a tree of retained JSON topics, for users and dashboards.  Pure."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final
from urllib.parse import quote, unquote

from indipyclient.model.properties import Member, Property
from indipydriver.protocol.tags import VectorKind

from .topics import NOT_IN_TOPICS

__all__ = ["ROOT", "Tree", "definition", "parse_set", "state"]

ROOT: Final = "indi"
_ENCODED: Final = re.compile(rf"[/+#%{NOT_IN_TOPICS}]|^\$|^link$")
"""What cannot be a part of a topic, or is reserved."""


def part(name: str) -> str:
    """A name as a part of a topic."""
    return _ENCODED.sub(lambda match: quote(match[0], safe="") if match[0] != "link" else "%6Cink", name)


class Tree:
    """The topics of one bridge.

    Args:
        own: Its name.
    """

    def __init__(self, own: str) -> None:
        self.own = own
        self.base = f"{ROOT}/{own}"
        self.status = f"{self.base}/status"

    def link(self, device: str) -> str:
        """The topic for whether the driver is connected to the instrument."""
        return f"{self.base}/{part(device)}/link"

    def value(self, device: str, name: str) -> str:
        """The topic for the values of a property."""
        return f"{self.base}/{part(device)}/{part(name)}"

    def definition(self, device: str, name: str) -> str:
        """The topic for the definition of a property."""
        return f"{self.value(device, name)}/def"

    def result(self, device: str, name: str) -> str:
        """The topic for the outcome of a command."""
        return f"{self.value(device, name)}/result"

    def set(self, device: str, name: str, member: str = "") -> str:
        """The topic for a command."""
        return self.value(device, name) + (f"/{part(member)}" if member else "") + "/set"

    def asked(self, topic: str) -> tuple[str, str, str] | None:
        """Device, property and member ("" for several) of a command topic."""
        parts = topic.split("/")
        if parts[:2] != [ROOT, self.own] or parts[-1] != "set" or len(parts) not in (5, 6):
            return None
        device, name, *member = map(unquote, parts[2:-1])
        return device, name, member[0] if member else ""


def _number(member: Member) -> float | None:
    return member.number if math.isfinite(member.number) else None  # JSON knows no others


def definition(prop: Property) -> bytes:
    """The definition of a property, as JSON."""
    members: dict[str, dict[str, Any]] = {}
    for member in prop.members.values():
        one: dict[str, Any] = {"label": member.label}
        if prop.kind is VectorKind.NUMBER:
            one["format"] = member.format
            if member.range is not None:
                one["min"], one["max"] = member.range
                one["step"] = _number(Member("", "", member.step))
        members[member.name] = one
    found: dict[str, Any] = {"kind": prop.kind.value, "label": prop.label, "group": prop.group, "perm": prop.perm.value}
    if prop.rule is not None:
        found["rule"] = prop.rule.value
    return json.dumps(found | {"members": members}).encode()


def state(prop: Property) -> bytes:
    """Its values, as JSON: ``v`` as they are, ``f`` as a display shows them."""
    values: dict[str, Any] = {}
    shown: dict[str, str] = {}
    for member in prop.members.values():
        if prop.kind is VectorKind.NUMBER:
            values[member.name] = _number(member)
            shown[member.name] = member.shown
        elif prop.kind is VectorKind.SWITCH:
            values[member.name] = member.on
        elif prop.kind is VectorKind.BLOB:
            values[member.name] = {"format": member.format, "size": member.size}
        else:
            values[member.name] = member.value
    found: dict[str, Any] = {"state": prop.state.value, "t": prop.timestamp, "v": values}
    if shown:
        found["f"] = shown
    return json.dumps(found).encode()


def parse_set(payload: bytes, member: str, literal: bool = False) -> tuple[dict[str, Any], str | None, Any]:
    """Values, timestamp and id of a command.

    Args:
        payload: JSON ``{"RA": 5.5}``, or for one member a plain value; ``t`` and ``id`` may stand in an object
            ``{"v": {...}, "t": ..., "id": ...}``.
        member: Of the topic; "" for several.
        literal: The member is a text: a plain value is taken literally.

    Raises:
        ValueError: It is something else.
    """
    text = payload.decode()
    if member:
        value = _plain(text, literal)
        return {member: value if isinstance(value, bool) else str(value)}, None, None
    found = _loads(text)
    if not isinstance(found, dict):
        raise ValueError("an object with members is expected")
    stamp, ident = None, None
    if isinstance(found.get("v"), dict):
        stamp, ident, found = found.get("t"), found.get("id"), found["v"]
    if not found or any(isinstance(value, dict | list) or value is None for value in found.values()):
        raise ValueError("an object with a value for each member is expected")
    if not (stamp is None or isinstance(stamp, str)):
        raise ValueError(f"t must be an ISO 8601 time in quotes, not {stamp!r}")
    values = {str(name): value if isinstance(value, bool) else str(value) for name, value in found.items()}
    return values, stamp, ident


def _loads(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("this is nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a member is named twice")
    return found


def _plain(text: str, literal: bool) -> Any:
    """A number, a switch, or a text, which may be in quotes."""
    try:
        value = _loads(text)
    except ValueError:
        return text
    if literal:
        return value if isinstance(value, str) else text
    if isinstance(value, dict | list) or value is None:
        raise ValueError("a plain value is expected")
    return value
