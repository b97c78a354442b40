"""The format of a recording: one JSON object per line.  Messages to objects and back, without any I/O.

The first line is the header; each other has ``t``, seconds since the beginning, and ``op``: ``def``, ``set``, ``del``,
``message``, or ``link`` when the connection came or went.  Everything else is named as in INDI; what INDI leaves out,
or is empty, is left out.  A BLOB has ``file``, its path beside the recording.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from indipydriver.protocol.messages import (
    AnyMessage,
    DefMember,
    DefVector,
    DelProperty,
    Message,
    OneBlob,
    OneMember,
    SetVector,
)
from indipydriver.protocol.tags import Permission, State, SwitchRule, VectorKind

__all__ = ["FORMAT", "VERSION", "LinkChange", "from_dict", "header", "to_dict"]

FORMAT: Final = "INDI recording"
VERSION: Final = 1


class LinkChange(NamedTuple):
    """The connection was established or lost.

    Attributes:
        connected: It is up now.
    """

    connected: bool


def header(server: str, started: str) -> dict[str, Any]:
    """The first line."""
    return {"format": FORMAT, "version": VERSION, "server": server, "started": started}


def to_dict(message: AnyMessage | LinkChange, save: Callable[[OneBlob], str]) -> dict[str, Any] | None:
    """One line, without its time; None for messages that are not recorded.

    Args:
        message: The message.
        save: Writes the data of a BLOB, and returns the path for ``file``.
    """
    if isinstance(message, LinkChange):
        return {"op": "link", "connected": message.connected}
    if isinstance(message, Message):
        return _clean(op="message", device=message.device, message=message.message, timestamp=message.timestamp)
    if isinstance(message, DelProperty):
        return _clean(
            op="del", device=message.device, name=message.name, timestamp=message.timestamp, message=message.message
        )
    if isinstance(message, DefVector):
        members = [
            _clean(name=m.name, value=m.value, label=m.label, **_limits(m, message.kind)) for m in message.members
        ]
        found = _clean(op="def", **_head(message), label=message.label, group=message.group, perm=message.perm)
        return found | _clean(rule=message.rule) | {"members": members}
    if isinstance(message, SetVector):
        return _clean(op="set", **_head(message)) | {"members": [_one(m, save) for m in message.members]}
    return None


def _head(message: DefVector | SetVector) -> dict[str, Any]:
    return {
        "type": message.kind,
        "device": message.device,
        "name": message.name,
        "state": message.state,
        "timeout": message.timeout,
        "timestamp": message.timestamp,
        "message": message.message,
    }


def _clean(**fields: Any) -> dict[str, Any]:
    return {name: str(value) for name, value in fields.items() if value not in (None, "")}


def _limits(member: DefMember, kind: VectorKind) -> dict[str, str]:
    if kind is not VectorKind.NUMBER:
        return {}
    return {"format": member.format, "min": member.min, "max": member.max, "step": member.step}


def _one(member: OneMember | OneBlob, save: Callable[[OneBlob], str]) -> dict[str, Any]:
    if isinstance(member, OneBlob):
        found: dict[str, Any] = {"name": member.name, "file": save(member), "format": member.format}
        if member.size is not None:
            found["size"] = member.size
        return found
    # An empty value is a value.
    return {"name": member.name, "value": member.value} | _clean(min=member.min, max=member.max, step=member.step)


def from_dict(found: dict[str, Any], load: Callable[[str], bytes]) -> AnyMessage | LinkChange:
    """The message of a line.

    Args:
        found: The line.
        load: Returns the bytes of a ``file``; b"" if they are missing.

    Raises:
        ValueError: It does not have this format.
    """
    try:
        return _READERS[found["op"]](found, load)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a line of a recording: {str(found)[:80]} ({error!r})") from None


def _text(found: dict[str, Any], key: str) -> str | None:
    value = found.get(key)
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{key} is a text")
    return value


def _string(found: dict[str, Any], key: str, default: str | None = None) -> str:
    value = _text(found, key)
    if value is None and default is None:
        raise KeyError(key)
    return value if value is not None else default or ""


def _size(found: dict[str, Any]) -> int | None:
    size = found.get("size")
    if size is not None and not isinstance(size, int):
        raise TypeError("size is a whole number")
    return size


def _read_link(found: dict[str, Any], _: Callable[[str], bytes]) -> LinkChange:
    return LinkChange(bool(found["connected"]))


def _read_message(found: dict[str, Any], _: Callable[[str], bytes]) -> Message:
    return Message(_text(found, "device"), _string(found, "message", ""), _text(found, "timestamp"))


def _read_del(found: dict[str, Any], _: Callable[[str], bytes]) -> DelProperty:
    return DelProperty(_text(found, "device"), _text(found, "name"), _text(found, "timestamp"), _text(found, "message"))


def _read_def(found: dict[str, Any], _: Callable[[str], bytes]) -> DefVector:
    kind = VectorKind(found["type"])
    return DefVector(
        kind,
        _string(found, "device"),
        _string(found, "name"),
        State(found["state"]),
        tuple(_def_member(m) for m in found["members"]),
        _string(found, "label", ""),
        _string(found, "group", ""),
        Permission(found["perm"]) if "perm" in found else None,
        SwitchRule(found["rule"]) if "rule" in found else None,
        _text(found, "timeout"),
        _text(found, "timestamp"),
        _text(found, "message"),
    )


def _def_member(found: dict[str, Any]) -> DefMember:
    return DefMember(
        _string(found, "name"),
        _string(found, "value", ""),
        _string(found, "label", _string(found, "name")),
        _string(found, "format", ""),
        _string(found, "min", "0"),
        _string(found, "max", "0"),
        _string(found, "step", "0"),
    )


def _read_set(found: dict[str, Any], load: Callable[[str], bytes]) -> SetVector:
    kind = VectorKind(found["type"])
    members: tuple[OneMember, ...] | tuple[OneBlob, ...]
    if kind is VectorKind.BLOB:
        blobs = [(m, load(_string(m, "file"))) for m in found["members"]]
        members = tuple(
            OneBlob(_string(m, "name"), data, _size(m), _string(m, "format", "")) for m, data in blobs if data
        )
    else:
        members = tuple(
            OneMember(_string(m, "name"), _string(m, "value"), _text(m, "min"), _text(m, "max"), _text(m, "step"))
            for m in found["members"]
        )
    state = State(found["state"]) if "state" in found else None
    name, device = _string(found, "name"), _string(found, "device")
    return SetVector(
        kind, device, name, members, state, _text(found, "timeout"), _text(found, "timestamp"), _text(found, "message")
    )


_READERS: Final[dict[str, Callable[[dict[str, Any], Callable[[str], bytes]], AnyMessage | LinkChange]]] = {
    "link": _read_link,
    "message": _read_message,
    "del": _read_del,
    "def": _read_def,
    "set": _read_set,
}
