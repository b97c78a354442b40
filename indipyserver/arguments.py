"""What scripts pass to a server, checked when they do."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterable
from typing import TypeVar

__all__ = [
    "checked_context",
    "checked_host",
    "checked_hosts",
    "checked_integer",
    "checked_port",
    "checked_seconds",
    "checked_type",
]

_T = TypeVar("_T")


def checked_integer(what: str, value: int, least: int) -> int:
    """A whole number from `least` on.

    Raises:
        TypeError: It is not an integer.
        ValueError: It is less.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{what} must be an integer, not {type(value).__name__}")
    if value < least:
        raise ValueError(f"{what} must be {least} or more")
    return value


def checked_port(port: int) -> int:
    """A port to listen on, 0 for any.

    Raises:
        TypeError: It is not an integer.
        ValueError: There is no such port.
    """
    if checked_integer("port", port, 0) > 65535:
        raise ValueError(f"port must be from 0 to 65535, not {port}")
    return port


def checked_hosts(host: str | Iterable[str]) -> list[str]:
    """The names and addresses to listen on.

    Raises:
        TypeError: It is neither a text nor several texts.
        ValueError: A text has a NUL in it.
    """
    try:
        hosts = [host] if isinstance(host, str) else list(host)
    except TypeError:
        hosts = [host]  # type: ignore[list-item]  # which is refused below
    for each in hosts:
        if not isinstance(each, str):
            raise TypeError(f"host must be a name or an address, or several of these, not {type(each).__name__}")
        if "\0" in each:
            raise ValueError(f"host must be a name or an address, not {each!r}")
    return hosts


def checked_host(host: str | Iterable[str]) -> str | list[str]:
    """What to listen on, as it was given; several in a list, so that it can be gone through more than once.

    Raises:
        TypeError: It is neither a text nor several texts.
        ValueError: A text has a NUL in it.
    """
    hosts = checked_hosts(host)
    return host if isinstance(host, str) else hosts


def checked_context(context: ssl.SSLContext | None) -> ssl.SSLContext | None:
    """What TLS takes, or None.

    Raises:
        TypeError: It is something else.
    """
    if context is not None and not isinstance(context, ssl.SSLContext):
        raise TypeError(f"ssl must be an ssl.SSLContext, not {type(context).__name__}")
    return context


def checked_seconds(what: str, seconds: float) -> float:
    """A time, 0 or more.

    Raises:
        TypeError: It is not a number.
        ValueError: It is negative or not finite.
    """
    if not isinstance(seconds, int | float):
        raise TypeError(f"{what} must be a number of seconds, not {type(seconds).__name__}")
    if not 0 <= seconds <= sys.float_info.max:  # an integer may be larger
        raise ValueError(f"{what} must be a finite number of seconds, 0 or more, not {seconds!r:.40}")
    return seconds


def checked_type(what: str, value: _T, *types: type) -> _T:
    """An argument that is of one of these types.

    Raises:
        TypeError: It is not.
    """
    if not isinstance(value, types):
        names = " or ".join("None" if each is type(None) else each.__name__ for each in types)
        raise TypeError(f"{what} must be {names}, not {type(value).__name__}")
    return value
