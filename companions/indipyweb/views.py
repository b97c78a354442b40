"""What pages and streams show of the model, as plain data.  Pure."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from typing import Any, Final

from indipyclient import Delta, Device, Member, Note, Permission, Property, State, VectorKind
from indipyclient.model.dump import iso

__all__ = [
    "MARKS",
    "asked_text",
    "clock_text",
    "device_facts",
    "groups_of",
    "is_secret",
    "keyboard_of",
    "limits_text",
    "loads",
    "meaning_of",
    "member_texts",
    "message_text",
    "note_facts",
    "piece",
    "shape_of",
    "size_text",
    "worst",
]

_RANK: Final = {State.IDLE: 0, State.OK: 1, State.BUSY: 2, State.ALERT: 3}
MARKS: Final = {"Idle": "○", "Ok": "●", "Busy": "◐", "Alert": "▲"}
"""Each state has a shape of its own, for those who cannot tell the colours apart."""
NO_GROUP: Final = "Main"


def size_text(size: float) -> str:
    """A number of bytes for display."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def clock_text(timestamp: str | None) -> str:
    """The time of day of a timestamp, in UTC; "" if it cannot be read."""
    text = iso(timestamp)
    return text[11:19] if text else ""


def worst(states: Iterable[State]) -> State:
    """The state that a user should see first."""
    return max(states, key=_RANK.__getitem__, default=State.IDLE)


def groups_of(device: Device) -> dict[str, State]:
    """The groups of a device, each with the state that a user should see first."""
    found: dict[str, State] = {}
    for prop in device.properties.values():
        name = prop.group or NO_GROUP
        state = prop.shown_state
        if name not in found or _RANK[state] > _RANK[found[name]]:
            found[name] = state
    return found


def device_facts(device: Device) -> dict[str, Any]:
    """The content of a device's card."""
    groups = groups_of(device)
    note = device.notes[-1] if device.notes else None
    return {
        "s": worst(groups.values()).value,
        "c": device.connected,
        "n": len(device.properties),
        "g": [[name, state.value] for name, state in groups.items()],
        "note": note.text[:300] if note else "",
        "at": clock_text(note.timestamp) if note else "",
    }


def note_facts(note: Note) -> dict[str, Any]:
    """A line among the messages."""
    return {"n": note.rev, "d": note.device or "", "t": clock_text(note.timestamp), "text": note.text[:2000]}


def member_texts(prop: Property, member: Member) -> list[Any]:
    """A value for display on a page."""
    if prop.kind is VectorKind.NUMBER:
        return [member.shown.strip(), member.value]
    if prop.kind is VectorKind.BLOB:
        size = len(member.data) if member.data is not None else None
        return [f"{member.format or 'data'}, {size_text(size)}" if size is not None else "", member.format]
    return [member.value]


def message_text(prop: Property) -> str:
    """What it has said last, with the time: that may be long ago, and all was well."""
    return f"{clock_text(prop.message_timestamp)} {prop.message[:500]}".strip() if prop.message else ""


def asked_text(prop: Property) -> str:
    """The requested values; a write-only one is a secret, such as a password."""
    if prop.pending is None:
        return ""
    if prop.perm is Permission.WRITE_ONLY:
        return "a new value"
    return ", ".join(value for value in list(prop.pending.values.values())[:4] if value)[:80]


def is_secret(prop: Property) -> bool:
    """Whether its values are shown to nobody: they are write-only, such as a password, but some devices repeat them."""
    return prop.perm is Permission.WRITE_ONLY and prop.kind in (VectorKind.TEXT, VectorKind.NUMBER)


def limits_text(prop: Property, member: Member) -> str:
    """The range of a number, as text; "" if there is none."""
    bounds = member.range
    if prop.kind is not VectorKind.NUMBER or bounds is None:
        return ""
    return f"{member.min.strip()} to {member.max.strip()}"


def keyboard_of(member: Member) -> str:
    """The keyboard of a phone for a number: the one for decimals has neither a minus sign nor a colon."""
    bounds = member.range
    is_plain = bounds is not None and bounds[0] >= 0 and not member.format.endswith("m")
    return "decimal" if is_plain else "text"


def shape_of(prop: Property) -> str:
    """A text that changes when the whole property has to be redrawn, and not only its values."""
    parts = [prop.group, prop.perm.value]
    for member in prop.members.values():
        parts += [member.min, member.max, member.step]
        if prop.kind is VectorKind.NUMBER:
            parts.append(member.format)
    return _short(meaning_of(prop), *parts)


def meaning_of(prop: Property) -> str:
    """A text that changes when a command no longer means what the page said, because another property has this name."""
    parts = [prop.kind.value, prop.label, str(prop.rule)]
    for member in prop.members.values():
        parts += [member.name, member.label]
    return _short(*parts)


def _short(*parts: str) -> str:
    return f"{zlib.crc32(chr(0).join(parts).encode('utf-8', 'replace')):08x}"


def piece(prop: Property, delta: Delta, now: float, shape: str, image: int) -> dict[str, Any]:
    """The data of a changed property for a stream."""
    found: dict[str, Any] = {
        "h": shape,
        "s": prop.shown_state.value,
        "age": round(max(0.0, now - prop.at), 1),
        "g": prop.group or NO_GROUP,
        "m": [member_texts(prop, member) for member in prop.members.values()],
    }
    if is_secret(prop):
        found["m"] = [[""] for _ in prop.members]
    if State.ALERT in delta.passed(prop) and prop.state is not State.ALERT:
        found["was"] = State.ALERT.value
    if prop.message:
        found["msg"] = message_text(prop)
    if prop.kind is VectorKind.BLOB:
        found |= {"p": prop.name, "rev": image}
    if delta.is_stale(prop):
        found["stale"] = True
    pending = prop.pending
    if pending is not None:
        found["ask"] = {"who": pending.who, "v": asked_text(prop), "ago": round(max(0.0, now - pending.since), 1)}
    return found


def loads(body: bytes) -> Any:
    """Received JSON, with nothing in it that cannot be passed on.

    Raises:
        ValueError: It is not JSON.
        RecursionError: It is nested too deeply.
    """
    found = json.loads(body)
    json.dumps(found, ensure_ascii=False).encode()  # fails for lone surrogates
    return found


def dumps(value: Any) -> str:
    """JSON on one line, as short as possible."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
