"""Names of redis keys.  Pure."""

from __future__ import annotations

from typing import Final

__all__ = ["LINK", "Keys", "encode_part"]

LINK: Final = "link"
_CURRENT: Final = (
    "devices",
    "properties",
    "attributes",
    "elements",
    "elementattributes",
    "messages",
    "devicemessages",
    "getProperties",
    LINK,
)


def encode_part(name: str) -> str:
    """A name as part of a key: ``:`` and ``%`` are encoded, so that two names never make the same key."""
    return name.replace("%", "%25").replace(":", "%3A") if ":" in name or "%" in name else name


class Keys:
    """All keys that begin with one prefix.

    Args:
        prefix: The prefix.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.devices = f"{prefix}devices"
        self.messages = f"{prefix}messages"
        self.link = f"{prefix}{LINK}"

    def key(self, *parts: str) -> str:
        """A key of these parts; the first is one of ours, the others are names."""
        first, *names = parts
        return self.prefix + ":".join([first, *map(encode_part, names)])

    def properties(self, device: str) -> str:
        return f"{self.prefix}properties:{encode_part(device)}"

    def attributes(self, name: str, device: str) -> str:
        return f"{self.prefix}attributes:{encode_part(name)}:{encode_part(device)}"

    def elements(self, name: str, device: str) -> str:
        return f"{self.prefix}elements:{encode_part(name)}:{encode_part(device)}"

    def elementattributes(self, element: str, name: str, device: str) -> str:
        parts = f"{encode_part(element)}:{encode_part(name)}:{encode_part(device)}"
        return f"{self.prefix}elementattributes:{parts}"

    def devicemessages(self, device: str) -> str:
        return f"{self.prefix}devicemessages:{encode_part(device)}"

    def getproperties(self, name: str = "", device: str = "") -> str:
        """The key for when definitions were last requested."""
        if not device:
            return f"{self.prefix}getProperties"
        if not name:
            return f"{self.prefix}getProperties:device:{encode_part(device)}"
        return f"{self.prefix}getProperties:property:{encode_part(name)}:{encode_part(device)}"

    def log(self, key: str) -> str:
        """The history of another key."""
        return f"{self.prefix}logdata:{key[len(self.prefix) :]}"

    def logged(self, log: str) -> str:
        """The key whose history this is."""
        return self.prefix + log[len(self.prefix) + len("logdata:") :]

    def is_current(self, key: str) -> bool:
        """Whether the key shows the present state, and neither a history nor who is logged in."""
        return key.startswith(self.prefix) and key[len(self.prefix) :].partition(":")[0] in _CURRENT

    @property
    def pattern(self) -> str:
        """A glob of redis for all keys."""
        return "".join(f"\\{char}" if char in "*?[]\\^-" else char for char in self.prefix) + "*"
