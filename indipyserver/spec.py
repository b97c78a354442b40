"""The meaning of specs, which name drivers: a program, a device of another server, or Python code.  Sans-I/O."""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

__all__ = [
    "PROGRAM_OPTIONS",
    "TLS",
    "ProgramSpec",
    "PythonSpec",
    "RemoteSpec",
    "Spec",
    "checked_server",
    "join_host_and_port",
    "located",
    "parse_spec",
    "split_host_and_port",
]

DEFAULT_PORT: Final = 7624
PROGRAM_OPTIONS: Final = ("name", "config", "skeleton", "prefix")
"""Options of a program besides its spec; all except the name are paths."""
_LAST_PORT: Final = 65535
_PORT_DIGITS: Final = 20  # digits of a port, with leading zeros
_PATH: Final = ("/", "./", "../")
_NAMES: Final = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_PYTHON: Final = re.compile(rf"(?P<source>.+\.py|{_NAMES}):(?P<attribute>{_NAMES})")
TLS: Final = "tls://"
"""What an address begins with that is reached over TLS."""
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
        tls: The link has to use TLS.
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
        attribute: Its name in the source, which may have dots.
    """

    text: str
    source: str
    attribute: str


Spec: TypeAlias = ProgramSpec | RemoteSpec | PythonSpec


def parse_spec(text: str) -> Spec:
    """Determine what a specification names.

    An ``@`` makes it a remote server, as in indiserver, unless it begins like a path: ``/``, ``./`` or ``../``.

    Raises:
        ValueError: It is none of the three; the text says what to write instead.
    """
    if not text or "\0" in text:
        raise ValueError("a driver needs a name")
    if "@" in text and not text.startswith(_PATH):
        return _parse_remote(text)
    match = _PYTHON.fullmatch(text)
    if match is not None:
        return PythonSpec(text, match["source"], match["attribute"])
    source, colon, attribute = text.rpartition(":")
    if colon and (source.endswith(".py") or (not attribute and re.fullmatch(_NAMES, source))):
        raise ValueError(f"{text!r} does not name a function of {source}, as in {source}:make_driver")
    if _HOST_AND_PORT.fullmatch(text):
        raise ValueError(f"{text!r} looks like another server, which is written @{text}")
    return ProgramSpec(text)


def located(spec: Spec, locate: Callable[[str], str]) -> Spec:
    """The same specification with a path that is valid from another folder.

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
    tls = where.startswith(TLS)
    try:
        host, port = split_host_and_port(where.removeprefix(TLS), DEFAULT_PORT)
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
            form = "[ADDRESS]:PORT" if default is None else f"@[{where}] or @[ADDRESS]:PORT"
            raise ValueError(f"an IPv6 address is written in brackets, {form}")
    if default is None and not (_is_host(host) and colon):
        raise ValueError("where to listen is written HOST:PORT; the host * is every address of this machine")
    if not _is_host(host):
        raise ValueError("another server is written DEVICE@HOST:PORT, or @HOST:PORT for all its devices")
    if not colon and default is not None:
        return host, default
    number = _in_digits(port)
    if number is not None and 0 < number <= _LAST_PORT:
        return host, number
    raise ValueError(f"{port[:40]!r} is not a port; a port is a number from 1 to {_LAST_PORT}")


def checked_server(host: str, port: int | str) -> tuple[str, int]:
    """The address of another server; the port may be a string of digits, as a script reads it from its arguments.

    Raises:
        TypeError: The host is not a text, or the port not an integer.
        ValueError: No host can have that name, or there is no such port.
    """
    if not isinstance(host, str):
        raise TypeError(f"host must be str, not {type(host).__name__}")
    if not _is_host(host):
        raise ValueError(f"a remote server needs a host, a name or an address, not {host!r:.80}")
    number = _in_digits(port) if isinstance(port, str) else port
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"port must be an integer, not {type(port).__name__}")
    if not 0 < number <= _LAST_PORT:
        what = f"a host and a port from 1 to {_LAST_PORT}"
        raise ValueError(f"a remote server needs {what}, not {host!r:.80} and {number!r:.40}")
    return host, number


def _is_host(text: str) -> bool:
    """Whether this may be a name or an address."""
    return bool(text) and not any(c.isspace() or not c.isprintable() for c in text)


def _in_digits(text: str) -> int | None:
    """The number that the digits stand for; None if the text is not digits only, or far too long."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _PORT_DIGITS else None


def join_host_and_port(host: object, port: object) -> str:
    """The opposite of :func:`split_host_and_port`: ``HOST:PORT``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
