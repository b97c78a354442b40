"""What a forked child of this process must not keep: its connections, and its handling of signals.

A driver may use ``multiprocessing``, which forks by default. A child that kept a connection
would hold it open when it has been closed here. A signal for the child would be taken for one of this process, or be
lost, so that the child could not be ended.  And no child is left when this process ends in another way than Python
knows.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable
from typing import Any, Final, Protocol, TypeVar
from weakref import WeakSet

__all__ = ["descriptor_ours_only", "end_children", "handled_here_only", "ours_only"]

_CHILD_GRACE: Final = 0.5  # seconds in which children end that have been told to


class _Closable(Protocol):
    def close(self) -> None: ...


_T = TypeVar("_T", bound=_Closable)


class _Inheritance:
    """Something that children do not keep."""

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
    """Returns the socket or file itself; a child closes it."""
    _inheritance.ours.add(connection)
    return connection


class _Descriptor:
    """A descriptor that somebody else has opened, and closes."""

    __slots__ = ("__weakref__", "_fd")

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._fd)


def descriptor_ours_only(fd: int) -> object:
    """The same for a descriptor without an object; whoever closes it drops what this returns first."""
    return ours_only(_Descriptor(fd))


def handled_here_only(numbers: Iterable[int]) -> None:
    """Let children handle these signals by default, and not as they are handled now."""
    for number in numbers:
        _inheritance.handlers[number] = signal.getsignal(number)


def end_children() -> None:
    """End what ``multiprocessing`` has started, before this process ends without the usual end of Python.

    The processes of a pool would wait for work for ever, as each holds both ends of the pipe that it comes by.
    """
    multiprocessing: Any = sys.modules.get("multiprocessing")
    deadline = time.monotonic() + _CHILD_GRACE
    with contextlib.suppress(Exception):  # nothing may keep this process from ending
        children = multiprocessing.active_children() if multiprocessing is not None else []
        for child in children:
            child.terminate()
        for child in children:
            child.join(max(0.0, deadline - time.monotonic()))
            child.kill()
