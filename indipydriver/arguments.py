"""What authors say of a vector, and how a send is called, checked."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from .protocol.tags import Permission, State, SwitchRule
from .protocol.values import format_timestamp

__all__ = ["Before", "Call", "seconds", "timestamp_string", "word"]

_WordT = TypeVar("_WordT", State, Permission, SwitchRule)


def timestamp_string(timestamp: datetime | None = None) -> str:
    """A time as it goes on the wire; ValueError if it is not a datetime.

    Args:
        timestamp: Naive means UTC; any other zone is converted. None: now.
    """
    return format_timestamp(timestamp)


def word(words: type[_WordT], text: Any, what: str, vector: str) -> _WordT:
    """One of a list of words; ValueError if it is not one of them."""
    try:
        return words(text)
    except ValueError:
        raise ValueError(f"the {what} of {vector!r} must be one of {', '.join(words)}, not {text!r}") from None


def seconds(value: Any, vector: str) -> str:
    """A timeout as it goes on the wire; ValueError if it is not a finite number of seconds, 0 or more."""
    text = str(int(value)) if isinstance(value, bool) else str(value).strip()
    try:
        if 0 <= float(text) < math.inf and text.isascii() and "_" not in text:
            return text
    except ValueError:
        pass
    raise ValueError(f"the timeout of {vector!r} must be a finite number of seconds, 0 or more, not {value!r:.60}")


class Call(NamedTuple):
    """The arguments of a send, checked."""

    message: str
    timestamp: str
    timeout: str | None
    state: State | None


class Before(NamedTuple):
    """A vector as it was when a send began."""

    changed: bool
    state: State
    timeout: str
    message: str
