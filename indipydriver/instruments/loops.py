"""Methods of devices that run periodically."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from numbers import Real
from typing import Any, Final, TypeAlias, TypeVar

__all__ = ["SHORTEST_PERIOD", "every", "loops_of"]

SHORTEST_PERIOD: Final = 1.0
"""Seconds between two readings of an instrument, however small a number clients send."""

_Work: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
_F = TypeVar("_F", bound=Callable[..., Coroutine[Any, Any, None]])


def every(seconds: float) -> Callable[[_F], _F]:
    """Decorate a coroutine method that runs again and again, with this pause in between.

    An exception is logged and reported to clients, once until it works again. The loop continues.

    Raises:
        TypeError: `seconds` is not a number.
        ValueError: It is negative.
    """
    if not isinstance(seconds, Real):
        raise TypeError(f"every(...) needs a number of seconds, not {type(seconds).__name__}")
    if seconds < 0:
        raise ValueError(f"every({seconds}): seconds cannot be below 0")

    def decorate(method: _F) -> _F:
        vars(method)["_indi_every"] = seconds
        return method

    return decorate


def loops_of(device: object) -> Iterator[tuple[str, _Work, float]]:
    """The decorated methods of a device: the name for the log, the method, and its pause in seconds.

    What a derived class has in place of one runs in the same way, unless it is not callable.
    """
    kind = type(device)
    for attribute in dir(kind):
        marks = (getattr(vars(base).get(attribute), "_indi_every", None) for base in kind.__mro__)
        seconds = next((mark for mark in marks if mark is not None), None)
        if seconds is not None and callable(getattr(kind, attribute)):
            yield f"{kind.__name__}.{attribute}", getattr(device, attribute), seconds
