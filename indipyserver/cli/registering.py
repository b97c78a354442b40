"""The command's ``--register`` and ``--unregister``: what they do, and what they tell."""

from __future__ import annotations

import argparse
import os
import sys

from ..spec import PythonSpec
from .register import Places, Registered, register, unregister

__all__ = ["change_lists"]

_STATUS_USAGE = 2


def change_lists(options: argparse.Namespace) -> int:
    """Add entries to the lists of drivers, or remove one; returns the exit status."""
    places = Places.of_system() if options.system else Places.of_user()
    try:
        if options.unregister is not None:
            gone = unregister(options.unregister, places)
            sys.stdout.write(f"removed {gone.list} and {gone.program}\n")
            return 0
        if not isinstance(options.register, PythonSpec):
            raise ValueError("only Python code can be registered, as my_focuser.py:make_driver")
        made = register(options.register, places, options.label or (), options.group)
    except (OSError, ValueError, ImportError) as error:
        sys.stderr.write(f"{error}\n")
        return _STATUS_USAGE
    sys.stdout.write(_words(made, places))
    return 0


def _words(made: list[Registered], places: Places) -> str:
    """What has been done, and what remains to be done."""
    lines = [f"{one.label!r} is in {one.list}, and started by {one.program}" for one in made]
    if str(places.programs) not in os.environ.get("PATH", "").split(os.pathsep):
        lines.append(f"{places.programs} is not on PATH: put it there, so that servers find the program")
    if places.system is not None:
        lines += [
            "to have it listed, with the drivers of the system:",
            f"  KStars: Settings, Configure KStars, INDI, INDI drivers XML directory: {places.lists}",
            f"  INDI Web Manager: indi-web --xmldir {places.lists}",
        ]
    for one in made:
        lines.append(f"to remove it:  indipyserver --unregister {one.label!r}{'' if places.system else ' --system'}")
    return "\n".join([*lines, ""])
