"""How a command ends: its exit status, and a line for what went wrong."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from enum import IntEnum

from indipydriver.protocol.texts import printable

from ..errors import BadValue, LinkLost, NotConnected, NotWritable, PropertyGone, Refused, TimedOut, Unknown, WrongKind

__all__ = ["Status", "say", "told"]


class Status(IntEnum):
    """How the command ends."""

    DONE = 0
    NOT_FOUND = 1
    TROUBLE = 2
    REFUSED = 3
    TIMED_OUT = 4
    LOST = 5


def say(text: str) -> None:
    """Print a line on standard error; it does not matter if nobody can read it."""
    if sys.stderr is None:  # closed by the shell
        return
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"indipyclient: {printable(text)}\n")
        sys.stderr.flush()


def told(work: Callable[[], int]) -> int:
    """Run it, and turn errors into a line and a status."""
    try:
        return work()
    except (LinkLost, PropertyGone) as error:
        say(str(error))
        return Status.LOST
    except Refused as error:
        say(str(error))
        return Status.REFUSED
    except NotConnected as error:
        say(str(error))
        return Status.TROUBLE
    except TimedOut as error:
        say(str(error))
        return Status.TIMED_OUT
    except Unknown as error:
        say(str(error))
        return Status.NOT_FOUND
    except (BadValue, NotWritable, WrongKind, ValueError, OSError) as error:
        named = isinstance(error, OSError) and error.filename is not None and error.strerror
        say(f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and named else str(error))
        return Status.TROUBLE
