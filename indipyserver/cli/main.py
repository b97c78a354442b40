"""The command ``indipyserver``, with the flags of indiserver and more."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial

from ..signals import stats_request_ignored
from .access import context_to_other_servers
from .arguments import read_arguments
from .console import replace_closed_streams
from .options import STATUS_USAGE, build_parser

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Its arguments, without its name; by default this process's.

    Returns:
        The exit status: 0 after --help and --version, 2 for wrong usage, 1 if it cannot serve, or has nothing
        left to serve, and 128 plus its number after a signal; for --check see :func:`.run_check`.
    """
    replace_closed_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    with stats_request_ignored():
        try:
            if words[:1] == ["ctl"]:
                from .ctl import run_ctl

                return run_ctl(words[1:], _program_name())
            parser = build_parser(_program_name())
            try:
                options = read_arguments(parser, words)
            except SystemExit as end:  # argparse has said why
                return end.code if isinstance(end.code, int) else STATUS_USAGE
            return _do(parser, options)
        except KeyboardInterrupt:  # while it is still importing what it needs
            return 128 + signal.SIGINT


def _do(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Do what the arguments request; returns the exit status."""
    if options.new is not None:
        return _write_driver(*options.new)
    if options.register is not None or options.unregister is not None:
        from .registering import change_lists

        return change_lists(options)
    if options.check is not None:
        from .checking import run_check

        return run_check(
            options.check,
            timeout=options.timeout,
            act=options.act,
            json=options.json,
            verbose=options.verbose,
            to_other_servers=partial(context_to_other_servers, options),
        )
    takes_commands = options.fifo is not None or options.control is not None
    if not (options.drivers or options.configured or takes_commands):
        parser.print_help(sys.stderr)
        return STATUS_USAGE
    from .serving import serve

    return serve(options, _program_name())


def _write_driver(kind: str, file: str) -> int:
    """Write the beginning of a driver, and say what to do with it; returns the exit status."""
    from pathlib import Path

    from .new import write_driver

    path = Path(file)
    try:
        test = write_driver(kind, path)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return STATUS_USAGE
    except OSError as error:
        sys.stderr.write(f"{error.filename} cannot be written: {error.strerror}\n" if error.strerror else f"{error}\n")
        return STATUS_USAGE
    sys.stdout.write(
        f"{path} is a driver that works as it is, and {test} tests it.\n"
        f"to serve it:  indipyserver {path}:make_driver\n"
        f"to check it:  indipyserver --check {path}:make_driver\n"
        f"to test it:   python3 -m pytest {test}\n"
    )
    return 0


def _program_name() -> str:
    name = os.path.basename(sys.argv[0]) if sys.argv else ""
    return name if name and not name.startswith("-") and name != "__main__.py" else "indipyserver"
