"""How servers, properties and members are written: ``obs1:7625``, ``/tmp/indiserver``, ``CCD*.CCD_TEMP*.*``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from fnmatch import translate
from functools import lru_cache
from typing import Final, NamedTuple

from .model.properties import Property

__all__ = [
    "FIELDS",
    "PORT",
    "Endpoint",
    "Pattern",
    "field_of",
    "parse_endpoint",
    "parse_pattern",
    "unescape",
    "usual_port",
]

PORT: Final = 7624
LOCAL: Final = "/tmp/indiserver"
"""Where indiserver and ours listen on a local socket."""

FIELDS: Final = ("_STATE", "_LABEL", "_GROUP", "_PERM", "_TO", "_TS")
"""Fields of a property that stand where a member does, as indi_getprop has them."""


class Endpoint(NamedTuple):
    """Where a server is: a host and a port, or the path of a local socket."""

    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str, port: int = PORT) -> Endpoint:
    """``host``, ``host:port``, ``[::1]:7624``, ``::1``, ``unix:`` or a path that begins with a slash.

    Args:
        text: What a person wrote; "" is localhost.
        port: For one that has none.

    Raises:
        ValueError: It is none of these, or the port is not from 1 to 65535.
    """
    text = text.strip()
    if text.startswith(("unix:", "/")):
        return Endpoint("", 0, text.removeprefix("unix:") or LOCAL)
    match = re.fullmatch(r"\[([^\]]+)\](?::([0-9]+))?|([^:\s]*)(?::([0-9]+))?|(?=.*:.*:)([0-9A-Fa-f:.%a-z]+)", text)
    if match is None:
        raise ValueError(f"not the address of a server: {text!r}; write host:port or [IPv6]:port")
    host = match[1] or match[3] or match[5] or "localhost"
    number = int(match[2] or match[4] or port)
    if not 0 < number < 65536:
        raise ValueError(f"no port {number}: it is from 1 to 65535")
    return Endpoint(host, number)


def usual_port() -> int:
    """The port of servers that a person has not given: $INDI_PORT, else 7624.

    Raises:
        ValueError: The variable is no number.
    """
    text = os.environ.get("INDI_PORT") or str(PORT)
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"INDI_PORT: no port {text}: it is from 1 to 65535") from None


def _split(text: str) -> list[str]:
    """At the dots without a backslash."""
    parts, part = [], ""
    index = 0
    while index < len(text):
        char = text[index]
        if char == "\\" and index + 1 < len(text):
            part += text[index : index + 2]
            index += 2
            continue
        if char == ".":
            parts.append(part)
            part = ""
        else:
            part += char
        index += 1
    return [*parts, part]


def unescape(text: str) -> str:
    """Without the backslashes."""
    return re.sub(r"\\(.)", r"\1", text)


@lru_cache(maxsize=256)
def _compiled(part: str) -> re.Pattern[str]:
    """A glob with ``*`` and ``?``; brackets stand for themselves, as device names have them."""
    text = ""
    for piece in re.split(r"(\\.|[*?])", part):
        if piece in ("*", "?"):
            text += piece
        else:
            text += re.sub(r"([\[\]*?])", r"[\1]", unescape(piece)).replace("[]]", "]")
    return re.compile(translate(text))


class Pattern(NamedTuple):
    """Which members are meant: three globs with ``*`` and ``?``; a backslash before a dot, a star or a question mark
    makes it an ordinary character.

    Attributes:
        device: Of device names.
        name: Of property names.
        member: Of member names, or one of FIELDS.
    """

    device: str = "*"
    name: str = "*"
    member: str = "*"

    @property
    def fixed(self) -> bool:
        """It means one member."""
        return not any(re.search(r"(?<!\\)[*?]", part) for part in self)

    @property
    def only_device(self) -> str | None:
        """The device, if it can be only one."""
        return None if re.search(r"(?<!\\)[*?]", self.device) else unescape(self.device)

    @property
    def only_name(self) -> str | None:
        """The name of the property, if it can be only one."""
        return None if re.search(r"(?<!\\)[*?]", self.name) else unescape(self.name)

    @property
    def only_member(self) -> str | None:
        """The member, if it can be only one."""
        return None if re.search(r"(?<!\\)[*?]", self.member) else unescape(self.member)

    def covers(self, device: str, name: str, member: str) -> bool:
        """The member is meant."""
        parts = zip(self, (device, name, member), strict=True)
        return all(_compiled(part).match(text) for part, text in parts)

    def matches(self, prop: Property) -> bool:
        """The property is meant, or some of its members."""
        return bool(_compiled(self.device).match(prop.device) and _compiled(self.name).match(prop.name))

    def members(self, prop: Property) -> list[str]:
        """The members of a property that matches, and the field."""
        if self.member in FIELDS:
            return [self.member]
        return [name for name in prop.members if _compiled(self.member).match(name)]


def parse_pattern(text: str, known: Iterable[Property] = ()) -> Pattern:
    """``Device.PROPERTY.MEMBER`` with what is missing at the end standing for all.

    A dot in a name is written ``\\.``; where the names are known it may also stand as it is.

    Args:
        text: What a person wrote.
        known: Properties; the longest names that fit are taken first.

    Raises:
        ValueError: It is empty, or has more dots than that.
    """
    if not text.strip():
        raise ValueError("an empty address: write DEVICE.PROPERTY.MEMBER")
    parts = _split(text)
    if len(parts) <= 3:
        return Pattern(*[part or "*" for part in parts])
    for found in _by_names(text, known):
        return found
    raise ValueError(f"more than two dots in {text!r}: write \\. for a dot in a name")


def _by_names(text: str, known: Iterable[Property]) -> Iterator[Pattern]:
    devices: dict[str, list[Property]] = {}
    for prop in known:
        devices.setdefault(prop.device, []).append(prop)
    for device in sorted(devices, key=len, reverse=True):
        if not text.startswith(device + "."):
            continue
        rest = text[len(device) + 1 :]
        for prop in sorted(devices[device], key=lambda prop: len(prop.name), reverse=True):
            if rest == prop.name:
                yield Pattern(_escape(device), _escape(prop.name), "*")
            elif rest.startswith(prop.name + "."):
                yield Pattern(_escape(device), _escape(prop.name), rest[len(prop.name) + 1 :])
        parts = _split(rest)
        if len(parts) <= 2:
            yield Pattern(_escape(device), *[part or "*" for part in parts])


def _escape(name: str) -> str:
    return re.sub(r"([\\.*?])", r"\\\1", name)


def field_of(prop: Property, field: str) -> str:
    """A field of a property, as indi_getprop has them."""
    if field == "_STATE":
        return prop.state.value
    if field == "_LABEL":
        return prop.label
    if field == "_GROUP":
        return prop.group
    if field == "_PERM":
        return prop.perm.value
    if field == "_TO":
        return prop.timeout or ""
    return prop.timestamp or ""
