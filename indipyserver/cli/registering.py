"""The command's ``--register`` and ``--unregister``: their actions and their output."""

from __future__ import annotations

import argparse
import os
import shlex
import sys

from ..spec import PythonSpec
from .options import STATUS_USAGE
from .register import Places, Registered, register, unregister

__all__ = ["change_lists"]


def change_lists(options: argparse.Namespace) -> int:
    """Add entries to the lists of drivers, or remove one; returns the exit status."""
    places = Places.of_system() if options.system else Places.of_user()
    try:
        if options.unregister is not None:
            gone = unregister(options.unregister, places)
            sys.stdout.write(f"removed {gone.list} and {gone.program}\n")
            return 0
        if not isinstance(options.register, PythonSpec):
            raise ValueError("only Python code can be registered, such as my_focuser.py:make_driver")
        made = register(options.register, places, options.label or (), options.group)
    except (OSError, ValueError, ImportError) as error:
        sys.stderr.write(f"{error}\n")
        return STATUS_USAGE
    sys.stdout.write(_words(made, places))
    return 0


def _words(made: list[Registered], places: Places) -> str:
    """A report of what has been done, and what remains to be done."""
    lines = [f"{one.label!r} is in {one.list}, and started by {one.program}" for one in made]
    if str(places.programs) not in os.environ.get("PATH", "").split(os.pathsep):
        lines.append(f"{places.programs} is not on PATH: put it there, so that servers find the program")
    if places.system is not None:
        lines += [
            "to see it beside the drivers of the system, set this folder:",
            f"  KStars: Settings, Configure KStars, INDI, INDI drivers XML directory: {places.lists}",
            f"  INDI Web Manager: indi-web --xmldir {places.lists}",
        ]
    for one in made:
        where = "" if places.system else " --system"
        lines.append(f"to remove it:  indipyserver --unregister {shlex.quote(one.label)}{where}")
    return "\n".join([*lines, ""])
