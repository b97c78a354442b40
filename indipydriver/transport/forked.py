"""What a forked child of this process does not keep: its connections, and the signals that it handles.

A driver may use ``multiprocessing``, which forks where nobody asks for anything else. A child that kept a connection
would hold it open when it has been closed here. A signal for the child would be taken for one of this process, or be
lost, so that the child could not be ended.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from typing import Any, Final, Protocol, TypeVar
from weakref import WeakSet

__all__ = ["handled_here_only", "ours_only"]


class _Closable(Protocol):
    def close(self) -> None: ...


_T = TypeVar("_T", bound=_Closable)


class _Inheritance:
    """What is not left to children."""

    def __init__(self) -> None:
        self.ours: WeakSet[_Closable] = WeakSet()
        self.handlers: dict[int, Any] = {}  # by signal
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._disclaim)

    def _disclaim(self) -> None:
        """Give it up; called in a child before anything else."""
        for each in list(self.ours):
            each.close()
        if self.handlers:
            signal.set_wakeup_fd(-1)  # which leads to the event loop of the parent
        for number, handler in self.handlers.items():
            if signal.getsignal(number) is handler:
                signal.signal(number, signal.SIG_DFL)


_inheritance: Final = _Inheritance()


def ours_only(connection: _T) -> _T:
    """The same socket or file; a child closes it."""
    _inheritance.ours.add(connection)
    return connection


def handled_here_only(numbers: Iterable[int]) -> None:
    """Children do not handle these signals as they are handled now, but by default."""
    for number in numbers:
        _inheritance.handlers[number] = signal.getsignal(number)
