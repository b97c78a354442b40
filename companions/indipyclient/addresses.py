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
    "Field",
    "Pattern",
    "escape",
    "field_of",
    "parse_assignment",
    "parse_endpoint",
    "parse_pattern",
    "unescape",
    "usual_port",
]

PORT: Final = 7624
LOCAL: Final = "/tmp/indiserver"
"""The local socket of indiserver and of this project's server."""


class Field(str):
    """The name of a field of a property, which is not a member of that name."""

    __slots__ = ()


FIELDS: Final = {name: Field(name) for name in ("_STATE", "_LABEL", "_GROUP", "_PERM", "_TO", "_TS")}
"""Fields of a property that may take the place of a member, as with indi_getprop."""


class Endpoint(NamedTuple):
    """The address of a server: a host and a port, or the path of a local socket."""

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
        text: What the user wrote; "" is localhost.
        port: The port if the text has none.

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
        raise ValueError(f"not a port: {number}; use 1 to 65535")
    return Endpoint(host, number)


def usual_port() -> int:
    """The default port of servers: $INDI_PORT, otherwise 7624.

    Raises:
        ValueError: The variable is not a number.
    """
    text = os.environ.get("INDI_PORT") or str(PORT)
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"INDI_PORT: not a port: {text}; use 1 to 65535") from None


def _split(text: str) -> list[str]:
    """Split at the dots without a backslash."""
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
    """Remove the backslashes."""
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def escape(name: str) -> str:
    """A name as it is written in an address, of which it means itself only."""
    return f"\\{name}" if name in FIELDS else re.sub(r"([\\.*?=<>])", r"\\\1", name)


def parse_assignment(text: str) -> tuple[str, str]:
    """An address and the value that follows its equals sign.

    Raises:
        ValueError: There is no equals sign without a backslash.
    """
    match = re.match(r"((?:\\.|[^\\=])*)=", text, re.DOTALL)
    if match is None:
        raise ValueError(f"no '=' in {text!r}: write DEVICE.PROPERTY.MEMBER=VALUE")
    return match[1], text[match.end() :]


def _only(part: str) -> str | None:
    """The name that a glob means, if it can be only one."""
    return None if re.search(r"[*?]", re.sub(r"\\.", "", part, flags=re.DOTALL)) else unescape(part)


@lru_cache(maxsize=256)
def _compiled(part: str) -> re.Pattern[str]:
    """A glob with ``*`` and ``?``; brackets are literal, because device names contain them."""
    text = ""
    for piece in re.split(r"(\\.|[*?])", part, flags=re.DOTALL):
        text += piece if piece in ("*", "?") else re.sub(r"([\[*?])", r"[\1]", unescape(piece))
    return re.compile(translate(text))


class Pattern(NamedTuple):
    """Which members are meant: three globs with ``*`` and ``?``; a backslash makes the next character an ordinary
    one.

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
        """Whether it means exactly one member."""
        return None not in map(_only, self)

    @property
    def only_device(self) -> str | None:
        """The device, if it can be only one."""
        return _only(self.device)

    @property
    def only_name(self) -> str | None:
        """The name of the property, if it can be only one."""
        return _only(self.name)

    @property
    def only_member(self) -> str | None:
        """The member, if it can be only one."""
        return _only(self.member)

    def covers(self, device: str, name: str, member: str) -> bool:
        """Whether this member matches."""
        parts = zip(self, (device, name, member), strict=True)
        return all(_compiled(part).match(text) for part, text in parts)

    def matches(self, prop: Property) -> bool:
        """Whether the property, or some of its members, may match."""
        return bool(_compiled(self.device).match(prop.device) and _compiled(self.name).match(prop.name))

    def members(self, prop: Property) -> list[str]:
        """The members of a property that matches, and the field."""
        if self.member in FIELDS:
            return [FIELDS[self.member]]
        return [name for name in prop.members if _compiled(self.member).match(name)]


def parse_pattern(text: str, known: Iterable[Property] = ()) -> Pattern:
    """``Device.PROPERTY.MEMBER``; parts that are missing at the end stand for all.

    A dot in a name is written ``\\.``, and other characters with a meaning alike; if the names are known, a plain dot
    will do.

    Args:
        text: What the user wrote.
        known: Known properties; the longest matching names are taken first.

    Raises:
        ValueError: It is empty, or has too many dots.
    """
    if not text.strip():
        raise ValueError("an empty address: write DEVICE.PROPERTY.MEMBER")
    parts = _split(text)
    known = list(known)
    plain = Pattern(*[part or "*" for part in parts]) if len(parts) <= 3 else None
    if plain is not None and (len(parts) == 1 or not known or any(map(plain.matches, known))):
        return plain
    wanted = list(_by_names(text, known))
    found = next((each for each in wanted if any(map(each.matches, known))), wanted[0] if wanted else plain)
    if found is None:
        raise ValueError(f"more than two dots in {text!r}: write \\. for a dot in a name")
    return found


def _by_names(text: str, known: Iterable[Property]) -> Iterator[Pattern]:
    devices: dict[str, list[Property]] = {}
    for prop in known:
        devices.setdefault(prop.device, []).append(prop)
    for device in sorted(devices, key=len, reverse=True):
        if text == device:
            yield Pattern(escape(device))
        if not text.startswith(device + "."):
            continue
        rest = text[len(device) + 1 :]
        for prop in sorted(devices[device], key=lambda prop: len(prop.name), reverse=True):
            if rest == prop.name:
                yield Pattern(escape(device), escape(prop.name), "*")
            elif rest.startswith(prop.name + "."):
                yield Pattern(escape(device), escape(prop.name), rest[len(prop.name) + 1 :])
        parts = _split(rest)
        if len(parts) <= 2:
            yield Pattern(escape(device), *[part or "*" for part in parts])


def field_of(prop: Property, field: str) -> str:
    """A field of a property, as with indi_getprop."""
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
