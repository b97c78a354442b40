"""The locks of the process for values and files. A forked process finds them free: no other thread holds them there."""

from __future__ import annotations

import os
from threading import Lock, RLock
from typing import Final
from weakref import WeakValueDictionary

__all__ = ["TOGETHER", "open_files"]

TOGETHER: Final = RLock()
"""Held while one switch is turned On and others Off, or several values are assigned, and while all are read to be sent:
threads may assign, and so may a signal handler in between.
"""


class _OpenFiles:
    """Locks, so that only one thread at a time reads an open file: two vectors may share a file, and a cancelled send
    leaves a thread that goes on reading.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin without locks."""
        self._guard = Lock()
        self._locks: WeakValueDictionary[int, Lock] = WeakValueDictionary()  # by id() of the file

    def lock(self, file: object) -> Lock:
        """The lock of a file, which lives as long as somebody uses it."""
        with self._guard:
            return self._locks.setdefault(id(file), Lock())


open_files: Final = _OpenFiles()
"""The locks of open files."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=TOGETHER.acquire, after_in_parent=TOGETHER.release, after_in_child=TOGETHER.release)
    os.register_at_fork(after_in_child=open_files.begin)
