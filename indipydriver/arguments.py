"""Checks of the arguments with which authors create vectors and send them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar

from .protocol.limits import Limits
from .protocol.tags import Permission, State, SwitchRule
from .protocol.values import format_timestamp

__all__ = ["Call", "attribute", "named", "seconds", "shown", "timestamp_string", "word"]

_LONGEST_ATTRIBUTE: Final = Limits().attribute_value
_WordT = TypeVar("_WordT", State, Permission, SwitchRule)


def timestamp_string(timestamp: datetime | None = None) -> str:
    """A time as it is sent; ValueError if it is not a datetime.

    Args:
        timestamp: Naive means UTC; any other zone is converted. None: now.
    """
    return format_timestamp(timestamp)


def shown(value: object) -> str:
    """The value for an error message, never long."""
    return f"{value!r:.60}"


def word(words: type[_WordT], text: Any, what: str, vector: str) -> _WordT:
    """One of a list of words; ValueError if it is not one of them."""
    try:
        return words(text)
    except ValueError:
        raise ValueError(f"the {what} of {vector!r} must be one of {', '.join(words)}, not {text!r}") from None


def attribute(text: str, what: str, name: str) -> str:
    """Text for an attribute; ValueError if it is longer than receivers accept."""
    if 4 * len(text) > _LONGEST_ATTRIBUTE and len(text.encode(errors="ignore")) > _LONGEST_ATTRIBUTE:
        raise ValueError(f"the {what} of {name!r} must have at most {_LONGEST_ATTRIBUTE} bytes, not {text!r:.60}...")
    return text


def seconds(value: Any, vector: str) -> str:
    """A timeout as it is sent; ValueError if it is not a finite number of seconds, 0 or more."""
    text = str(int(value)) if isinstance(value, bool) else str(value).strip()
    try:
        is_time = 0 <= float(text) < math.inf and text.isascii() and "_" not in text
    except ValueError:
        is_time = False
    if is_time:
        return attribute(text, "timeout", vector)
    raise ValueError(f"the timeout of {vector!r} must be a finite number of seconds, 0 or more, not {shown(value)}")


class Call(NamedTuple):
    """The arguments of a send, checked."""

    message: str
    timestamp: str
    timeout: str | None
    state: State | None
    assigned: tuple[int, ...]  # how often state, timeout and message had been assigned at the time of the call


def named(data: dict[str, Any], names: Sequence[str]) -> list[Any]:
    """The members with these names, in the order of their definition."""
    wanted = {names} if isinstance(names, str) else set(names)
    return [member for name, member in data.items() if name in wanted]
