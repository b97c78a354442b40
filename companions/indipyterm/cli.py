"""The command ``indipyterm``: its options, and the verbs that need no screen."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Final, TextIO

from indipyclient.addresses import usual_port
from indipyclient.cli.main import VERBS
from indipyclient.cli.main import main as run_verb

from . import version

__all__ = ["build_parser", "main"]

NEEDED: Final = ("textual", "rich")
INSTALL: Final = "indipyterm needs more packages: pip install 'indipydriver[term]'"


NO_TERMINAL: Final = "indipyterm: this is not a terminal; for scripts there are indipyterm get, set and watch"


def build_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="indipyterm",
        usage="indipyterm [options]",
        description="Terminal client to communicate to an INDI service.",
        epilog=f"Without a screen, indipyterm VERB ... does what indipyclient does: {', '.join(VERBS)}.",
    )
    parser.add_argument("--port", type=int, default=None, help="Port of the INDI server (default 7624).")
    parser.add_argument("--host", default=None, help="Hostname/IP of the INDI server (default localhost).")
    parser.add_argument("--blobfolder", help="Optional folder where BLOB's will be saved.")
    parser.add_argument("--version", action="version", version=version)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in VERBS:
        return run_verb(given)
    options = build_parser().parse_args(given)
    if options.blobfolder is not None and not os.path.isdir(os.path.expanduser(options.blobfolder)):
        sys.stderr.write(f"indipyterm: --blobfolder: {options.blobfolder} is not a folder\n")
        return 1
    if options.port is not None and not 0 < options.port < 65536:
        sys.stderr.write(f"indipyterm: --port: not a port: {options.port}; use 1 to 65535\n")
        return 2
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        sys.stderr.write(f"{INSTALL}\n")
        return 2
    app = import_module(".app", __package__)
    try:
        port = options.port if options.port is not None else usual_port()
        terminal = app.IPyTerm(options.host or os.environ.get("INDI_HOST") or "localhost", port, options.blobfolder)
    except ValueError as error:
        sys.stderr.write(f"indipyterm: {error}\n")
        return 2
    if not all(
        _is_terminal(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)
    ):  # the screen is written to stderr
        print(NO_TERMINAL, file=sys.stdout if _is_terminal(sys.stdout) else sys.stderr)
        return 2
    terminal.run()
    return int(terminal.return_code or 0)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()
