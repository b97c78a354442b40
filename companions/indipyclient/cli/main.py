"""``indipyclient``: look at instruments and set them from the shell."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from .outcome import say

__all__ = ["amount", "common", "main", "seconds"]

VERBS: Final = {
    "get": "print values",
    "set": "set values, and wait for the outcome",
    "watch": "print values as they change",
    "wait": "wait until conditions hold",
    "messages": "print what devices say",
    "devices": "list devices and what they have",
    "snapshot": "print everything as JSON",
    "blob": "save BLOBs, such as images, to files; or send one",
    "record": "record what a server sends",
    "replay": "serve a recording again",
}

EPILOG: Final = """\
A server is HOST, HOST:PORT, [IPv6]:PORT or the path of a local socket; without one, $INDI_HOST and
$INDI_PORT are used, else localhost:7624.

An address is DEVICE.PROPERTY.MEMBER; what is left out at the end stands for all. * and ? stand for
other characters. A backslash before . * ? = < > or a backslash makes it part of a name. In the place
of a member _STATE _LABEL _GROUP _PERM _TO and _TS are the state, label, group, permission, time-out
and timestamp of the property; with a backslash before it, it is a member of that name.

exit status:
  0 found, or accepted     3 refused by the device     5 sent, but the connection was lost
  1 not found              4 no answer in time         130 interrupted
  2 usage, or no connection
"""


def parser() -> argparse.ArgumentParser:
    """The top-level parser; the verbs parse the rest."""
    top = argparse.ArgumentParser(
        prog="indipyclient",
        description="Look at INDI instruments and set them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="store_true", help="print the version and exit")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    for name, text in VERBS.items():
        verbs.add_parser(name, help=text, add_help=False)
    return top


def seconds(text: str) -> float:
    """A time from the command line; "inf" means for ever.

    Raises:
        ArgumentTypeError: It is not one.
    """
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not found >= 0:  # nan is not
        raise argparse.ArgumentTypeError(f"{text!r} is not a time in seconds")
    return found


def amount(text: str) -> int:
    """A positive whole number.

    Raises:
        ArgumentTypeError: It is not one.
    """
    found = int(text) if text.isdecimal() else 0
    if found < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return found


def common(verb: str, description: str, examples: str) -> argparse.ArgumentParser:
    """The parser of a verb, with the common options."""
    found = argparse.ArgumentParser(
        prog=f"indipyclient {verb}",
        description=description,
        epilog=f"examples:\n{examples}\n\n{EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument(
        "-s", "--server", "--host", metavar="SERVER", default="", help="which server (default: localhost:7624)"
    )
    found.add_argument("-p", "--port", type=int, default=None, help="port, if SERVER has none (default: 7624)")
    found.add_argument("--tls", action="store_true", help="use TLS, with the certificates this machine trusts")
    found.add_argument("--ca", metavar="FILE", help="use TLS, and trust this certificate")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in VERBS:
        return _run(given[0], given[1:])
    if not given:
        return _terminal()
    found = parser().parse_args(given)
    if found.version:
        from .. import version

        print(version)  # noqa: T201
    return 0


def _run(verb: str, arguments: Sequence[str]) -> int:
    try:
        module = import_module(f".{verb}", __package__)
        status = module.main(arguments)
    except KeyboardInterrupt:
        return 130
    if sys.stdout is not None:  # the shell may have closed it
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
    return int(status)


def _terminal() -> int:
    """Open the terminal client, which is the default without arguments, if it is installed."""
    try:
        terminal = import_module("indipyterm.__main__")
    except ImportError:
        say("the terminal client needs more packages: pip install 'indipydriver[term]'")
        say("for the command line, see indipyclient --help")
        return 2
    sys.argv[0] = os.path.join(os.path.dirname(sys.argv[0]), "indipyterm")
    status = terminal.main()
    return int(status or 0)
