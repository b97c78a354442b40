"""Methods of devices that are run again and again."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeAlias, TypeVar

__all__ = ["every", "loops_of"]

_Work: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
_F = TypeVar("_F", bound=Callable[..., Coroutine[Any, Any, None]])


def every(seconds: float) -> Callable[[_F], _F]:
    """Decorate a coroutine method that is to be run again and again, with this pause in between.

    What it raises is logged and told to clients, once until it works again. It goes on.
    """

    def decorate(method: _F) -> _F:
        vars(method)["_indi_every"] = seconds
        return method

    return decorate


def loops_of(device: object) -> Iterator[tuple[str, _Work, float]]:
    """The methods of a device that are decorated so: the name for the log, the method, and its pause in seconds."""
    kind = type(device)
    for attribute in dir(kind):
        seconds = getattr(getattr(kind, attribute, None), "_indi_every", None)
        if seconds is not None:
            yield f"{kind.__name__}.{attribute}", getattr(device, attribute), seconds
