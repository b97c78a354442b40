"""Checks of the arguments that scripts pass to a server."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable
from typing import TypeVar

__all__ = [
    "checked_control",
    "checked_driver",
    "checked_flag",
    "checked_host",
    "checked_hosts",
    "checked_integer",
    "checked_port",
    "checked_seconds",
    "checked_type",
    "checked_word",
]

_T = TypeVar("_T")


def checked_driver(driver: object) -> None:
    """An IPyDriver, or an object of that shape.

    Raises:
        TypeError: It is something else; the text says what was probably meant.
    """
    if isinstance(driver, type):
        raise TypeError(f"a driver must be an IPyDriver, not a class: {driver.__name__}(...) makes one")
    if not hasattr(driver, "data") or not hasattr(driver, "serve"):
        hint = ""
        if hasattr(driver, "serve"):
            kind = type(driver).__name__
            raise TypeError(f"a {kind} is not a driver yet: its __init__() does not call super().__init__()")
        if driver is None:
            hint = ": is a `return` missing?"
        elif isinstance(driver, (list, tuple)):
            hint = ": IPyServer(*drivers) takes those of a list"
        raise TypeError(f"a driver must be an IPyDriver, not {type(driver).__name__}{hint}")


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
    """What to listen on, as given; several in a list, so that it can be iterated more than once.

    Raises:
        TypeError: It is neither a text nor several texts.
        ValueError: A text has a NUL in it.
    """
    hosts = checked_hosts(host)
    return host if isinstance(host, str) else hosts


def checked_flag(what: str, value: bool) -> bool:
    """True or False, or a number; a text is refused, because even "no" would count as True.

    Raises:
        TypeError: It is something else.
    """
    if not isinstance(value, int):
        raise TypeError(f"{what} must be True or False, not {type(value).__name__}")
    return bool(value)


def checked_word(what: str, value: str | os.PathLike[str]) -> str:
    """An argument for a program: a text or a path.

    Raises:
        TypeError: It is something else.
        ValueError: It has a NUL in it.
    """
    word = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(word, str):
        raise TypeError(f"{what} must be a text or a path, not {type(value).__name__}")
    if "\0" in word:
        raise ValueError(f"{what} must have no NUL in it: {word!r:.80}")
    return word


def checked_seconds(what: str, seconds: float, *, endless: bool = False) -> float:
    """A time, 0 or more.

    Args:
        what: What it is, for the error message.
        seconds: The time.
        endless: The time may be infinite.

    Raises:
        TypeError: It is not a number.
        ValueError: It is negative or not finite.
    """
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        raise TypeError(f"{what} must be a number of seconds, not {type(seconds).__name__}")
    if endless and seconds == math.inf:
        return seconds
    if not 0 <= seconds <= sys.float_info.max:  # an integer may be larger
        raise ValueError(f"{what} must be a finite number of seconds, 0 or more, not {seconds!r:.40}")
    return seconds


def checked_type(what: str, value: _T, *types: type) -> _T:
    """An argument that is of one of these types.

    Raises:
        TypeError: It is of another type.
    """
    if not isinstance(value, types):
        names = " or ".join("None" if each is type(None) else each.__name__ for each in types)
        raise TypeError(f"{what} must be {names}, not {type(value).__name__}")
    return value


def checked_control(control: bool | str | os.PathLike[str]) -> bool | str:
    """The control socket: a path, True for the usual one, or False for none.

    Raises:
        TypeError: It is something else.
        ValueError: The path is empty, or has a NUL in it.
    """
    if isinstance(control, bool):
        return control
    path = os.fspath(checked_type("control", control, bool, str, os.PathLike))
    if not path or "\0" in path:
        raise ValueError(f"control must be a path, True or False, not {path!r:.80}")
    return path
