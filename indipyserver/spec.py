"""What the specs mean that name drivers: a program, a device of another server, or Python code.  Sans-I/O."""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

__all__ = [
    "ProgramSpec",
    "PythonSpec",
    "RemoteSpec",
    "Spec",
    "join_host_and_port",
    "located",
    "parse_spec",
    "split_host_and_port",
]

DEFAULT_PORT: Final = 7624
_DIGITS: Final = 20  # of a port, with zeros before it
_PATH: Final = ("/", "./", "../")
_NAMES: Final = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_PYTHON: Final = re.compile(rf"(?P<source>.+\.py|{_NAMES}):(?P<attribute>{_NAMES})")
_TLS: Final = "tls://"
_HOST_AND_PORT: Final = re.compile(r"[\w.-]+:\d+|\[[0-9A-Fa-f:.%\w]+\](?::\d+)?")
_BRACKETS: Final = re.compile(r"\[(?P<host>[^\[\]]+)\](?P<rest>.*)")


class ProgramSpec(NamedTuple):
    """An executable: a name on PATH, or a path."""

    text: str


class RemoteSpec(NamedTuple):
    """A device of another server, or all of them.

    Attributes:
        text: The spec as given.
        device: The device, or None for all.
        host: Name or address, without brackets.
        port: Its port.
        tls: The link is to use TLS.
    """

    text: str
    device: str | None
    host: str
    port: int = DEFAULT_PORT
    tls: bool = False


class PythonSpec(NamedTuple):
    """Something in Python code that returns one or more drivers when called.

    Attributes:
        text: The spec as given.
        source: A module with dots, or the path of a file that ends in ``.py``.
        attribute: Its name in there, perhaps with dots.
    """

    text: str
    source: str
    attribute: str


Spec: TypeAlias = ProgramSpec | RemoteSpec | PythonSpec


def parse_spec(text: str) -> Spec:
    """Tell what a specification names.

    An ``@`` makes it a remote server, as in indiserver, unless it begins like a path: ``/``, ``./`` or ``../``.

    Raises:
        ValueError: It cannot be any of the three; the text says what to write instead.
    """
    if not text or "\0" in text:
        raise ValueError("a driver needs a name")
    if "@" in text and not text.startswith(_PATH):
        return _parse_remote(text)
    match = _PYTHON.fullmatch(text)
    if match is not None:
        return PythonSpec(text, match["source"], match["attribute"])
    if _HOST_AND_PORT.fullmatch(text):
        raise ValueError(f"{text!r} looks like another server, which is written @{text}")
    return ProgramSpec(text)


def located(spec: Spec, locate: Callable[[str], str]) -> Spec:
    """The same specification, where its path is found from another folder.

    Args:
        spec: Names without a path, modules and other servers stay as they are.
        locate: Makes a path from the path in it.
    """
    if isinstance(spec, PythonSpec) and spec.source.endswith(".py"):
        source = locate(spec.source)
        return PythonSpec(f"{source}:{spec.attribute}", source, spec.attribute)
    if isinstance(spec, ProgramSpec) and os.path.dirname(spec.text):
        return ProgramSpec(locate(spec.text))
    return spec


def _parse_remote(text: str) -> RemoteSpec:
    device, _, where = text.rpartition("@")
    tls = where.startswith(_TLS)
    try:
        host, port = split_host_and_port(where.removeprefix(_TLS), DEFAULT_PORT)
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None
    return RemoteSpec(text, None if device in ("", "*") else device, host, port, tls)


def split_host_and_port(where: str, default: int | None) -> tuple[str, int]:
    """The host, without brackets, and the port of ``HOST:PORT``, ``[ADDRESS]:PORT``, or without the port.

    Args:
        where: The text.
        default: The port if there is none; None: there must be one.

    Raises:
        ValueError: It is neither.
    """
    brackets = _BRACKETS.fullmatch(where)
    if brackets is not None:
        host, rest = brackets["host"], brackets["rest"]
        if rest and not rest.startswith(":"):
            raise ValueError("only :PORT may follow the ]")
        colon, port = rest[:1], rest[1:]
    else:
        host, colon, port = where.partition(":")
        if ":" in port:
            raise ValueError(f"an IPv6 address is written in brackets, @[{where}] or @[ADDRESS]:PORT")
    if not host or any(c.isspace() or not c.isprintable() for c in host):
        raise ValueError("another server is written DEVICE@HOST:PORT, or @HOST:PORT for all its devices")
    if not colon and default is not None:
        return host, default
    if port.isascii() and port.isdigit() and len(port) <= _DIGITS and 0 < int(port) < 65536:
        return host, int(port)
    raise ValueError(f"{port[:40]!r} is not a port; a port is a number from 1 to 65535")


def join_host_and_port(host: object, port: object) -> str:
    """The opposite of :func:`split_host_and_port`: ``HOST:PORT``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
