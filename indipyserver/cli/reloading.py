"""``--reload``: the command restarts when the Python files that it serves have changed."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import stat
import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec, PathFinder
from typing import Final

from indipydriver.transport.forked import end_children

from ..process import away_from
from ..spec import ProgramSpec, PythonSpec, Spec

__all__ = ["Changes", "begin_anew"]

logger = logging.getLogger("indipyserver.cli")

_CHECK_PAUSE: Final = 0.25
"""Seconds between two checks; a change counts when two checks agree, because editors write in several steps."""


class Changes:
    """Watches for changes of Python files since its creation.

    It watches the folders of the code that is served, but not what that imports from elsewhere.

    Args:
        specs: What is served.
    """

    def __init__(self, specs: Iterable[Spec]) -> None:
        self._folders = _folders(specs)
        self._known = _stamps(self._folders)

    async def wait(self) -> list[str]:
        """Wait until files have changed, and all changed ones compile; returns their paths."""
        seen = told = self._known
        while True:
            before, seen = seen, _stamps(self._folders)
            if seen == before and seen not in (self._known, told):
                files = sorted({path for path, _ in seen.items() ^ self._known.items()})
                if _compile(files):
                    return files
                told = seen  # each error is reported once
            await asyncio.sleep(_CHECK_PAUSE)


def _folders(specs: Iterable[Spec]) -> list[str]:
    found = set()
    for spec in specs:
        if isinstance(spec, PythonSpec):
            is_file = spec.source.endswith(".py")
            found.add(os.path.dirname(os.path.realpath(spec.source)) if is_file else _folder_of(spec.source))
        elif isinstance(spec, ProgramSpec) and os.path.dirname(spec.text) and spec.text.endswith(".py"):
            found.add(os.path.dirname(os.path.realpath(spec.text)))
    return sorted(found)


def _folder_of(module: str) -> str:
    """Where a module is, or would be; nothing is imported, because its package may have a mistake."""
    *packages, _ = parts = module.split(".")
    where = [os.getcwd(), *sys.path]  # in the same way as when it is served
    spec: ModuleSpec | None = None
    for count in range(1, len(parts) + 1):
        name = ".".join(parts[:count])
        spec = PathFinder.find_spec(name, where)
        if spec is None and count == 1:
            with contextlib.suppress(ImportError, ValueError):  # installed in another way
                spec = importlib.util.find_spec(name)
        if spec is None:
            return os.path.join(os.getcwd(), *packages)
        where = list(spec.submodule_search_locations or ())
    assert spec is not None
    if spec.has_location and spec.origin is not None:
        return os.path.dirname(os.path.realpath(spec.origin))
    return os.path.realpath(where[0]) if where else os.getcwd()


def _stamps(where: Iterable[str]) -> dict[str, tuple[int, int]]:
    stamps = {}
    for folder in where:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".py"):
                    with contextlib.suppress(OSError):  # it has gone again
                        told = entry.stat()
                        if stat.S_ISREG(told.st_mode):
                            stamps[entry.path] = (told.st_mtime_ns, told.st_size)
    return stamps


def _compile(files: Iterable[str]) -> bool:
    """Report what is wrong with the first file that does not compile, if there is one."""
    for path in files:
        try:
            with open(path, "rb") as file:
                compile(file.read(), path, "exec")
        except FileNotFoundError:
            continue
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:  # nested too deeply
            line = getattr(error, "lineno", None)
            why = getattr(error, "msg", None) or getattr(error, "strerror", None) or str(error) or type(error).__name__
            logger.error(
                "%s%s: %s; the server goes on unchanged",
                os.path.basename(path),
                "" if line is None else f":{line}",
                why,
            )
            return False
    return True


def begin_anew(folder: str) -> None:
    """Run the same command anew in this process; does not return.

    Args:
        folder: Where it was started, if that exists: a driver may have changed the folder.
    """
    end_children()
    if away := away_from(folder):
        os.chdir(away)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
