"""``--reload``: the command starts again when the Python files that it serves have changed."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import sys
from collections.abc import Iterable
from typing import Final

from ..spec import PythonSpec, Spec

__all__ = ["Changes", "begin_anew"]

logger = logging.getLogger("indipyserver.cli")

_PAUSE: Final = 0.25
"""Seconds between two looks; a change counts when two looks saw the same, as editors write in several steps."""


class Changes:
    """Changes of Python files since this was made.

    What lies in the folders of the code that is served is looked at, and nothing that it imports from elsewhere.

    Args:
        specs: What is served.
    """

    def __init__(self, specs: Iterable[Spec]) -> None:
        self._folders = _folders(specs)
        self._known = _stamps(self._folders)

    async def wait(self) -> list[str]:
        """Wait until files have changed, and those that have compile; returns their paths."""
        seen = self._known
        while True:
            before, seen = seen, _stamps(self._folders)
            if seen != self._known and seen == before:
                files = sorted({path for path, _ in seen.items() ^ self._known.items()})
                self._known = seen  # what is wrong is told once
                if _compile(files):
                    return files
            await asyncio.sleep(_PAUSE)


def _folders(specs: Iterable[Spec]) -> list[str]:
    found = set()
    for spec in specs:
        if not isinstance(spec, PythonSpec):
            continue
        path: str | None = spec.source
        if not spec.source.endswith(".py"):
            path = None
            with contextlib.suppress(ImportError, ValueError):  # serving it says why
                there = importlib.util.find_spec(spec.source)
                path = there.origin if there is not None else None
        if path is not None:
            found.add(os.path.dirname(os.path.realpath(path)))
    return sorted(found)


def _stamps(where: Iterable[str]) -> dict[str, tuple[int, int]]:
    stamps = {}
    for folder in where:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".py"):
                    with contextlib.suppress(OSError):  # it is gone again
                        told = entry.stat()
                        stamps[entry.path] = (told.st_mtime_ns, told.st_size)
    return stamps


def _compile(files: Iterable[str]) -> bool:
    """Say what is wrong with the first file that does not compile, if there is one."""
    for path in files:
        try:
            with open(path, "rb") as file:
                compile(file.read(), path, "exec")
        except FileNotFoundError:
            continue
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None)
            logger.error(
                "%s%s: %s; what is served stays as it is",
                os.path.basename(path),
                "" if line is None else f":{line}",
                getattr(error, "msg", None) or error,
            )
            return False
    return True


def begin_anew() -> None:
    """Run the same command again, in this process; does not return."""
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
