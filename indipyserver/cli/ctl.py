"""``indipyserver ctl``: sees and controls a running server through its control socket."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from ..control.client import Control
from ..control.wire import ControlError
from ..spec import DEFAULT_PORT, located, parse_spec
from .console import write_out
from .ctltext import client_lines, driver_lines, event_line, log_lines, status_lines
from .options import STATUS_USAGE

__all__ = ["build_ctl_parser", "run_ctl"]

STATUS_REFUSED: Final = 1
STATUS_UNREACHABLE: Final = 3

_DESCRIPTION: Final = """\
See and control a server that runs on this machine, as yourself or as root.

The server has to be started with --control. DRIVER is the number that `drivers` shows, the argument that the driver
was started with, the name of one of its devices, or its label."""

_EPILOG: Final = """\
examples:
  %(prog)s drivers
      what is served, and its state
  %(prog)s add indi_simulator_ccd -n Guider
      one more driver
  %(prog)s restart Guider
      its process is ended and started again
  %(prog)s add @dome.example.org
      all devices of another server
  %(prog)s log Guider -n 20
      the last lines of its log
  %(prog)s --json clients
      who is connected, for a script

exit status: 0: done, 1: the server refuses it, or what was started has ended at once, 2: wrong usage,
3: there is no server to control, or it does not answer"""

_Printer = Callable[[Any], list[str]]


def build_ctl_parser(prog: str = "indipyserver ctl") -> argparse.ArgumentParser:
    """What the command understands.

    Args:
        prog: What it is called.
    """
    top, common = argparse.ArgumentParser(add_help=False), argparse.ArgumentParser(add_help=False)
    for each, default in ((top, None), (common, argparse.SUPPRESS)):  # before the COMMAND, and after it
        add = each.add_argument
        add("--socket", metavar="PATH", default=default, help="the control socket (default: the one for the port)")
        port, as_json = (DEFAULT_PORT, False) if default is None else (default, default)
        add("--port", metavar="PORT", type=_port, default=port,
            help=f"the server on this port (default: {DEFAULT_PORT})")  # fmt: skip
        add("--json", action="store_true", default=as_json, help="print JSON")
    parser = argparse.ArgumentParser(
        prog=prog,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        usage="%(prog)s [--socket PATH | --port PORT] [--json] COMMAND ...",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        parents=[top],
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, text: str) -> Callable[..., argparse.Action]:
        return commands.add_parser(name, help=text, description=text, parents=[common], allow_abbrev=False).add_argument

    command("status", "version, uptime, where the server listens, and what has passed")
    command("drivers", "the drivers and links to other servers, with their states and devices")
    command("clients", "who is connected, and how much is queued for them")
    add = command("log", "the last lines of the server's log, or about one driver")
    add("driver", nargs="?", metavar="DRIVER", help="only about this driver")
    add("-n", "--lines", type=_count, default=20, metavar="N", help="how many lines (default: %(default)s)")
    for name, text in (
        ("start", "start drivers that were stopped, or have ended"),
        ("stop", "stop drivers; they stay in the list, and `start` starts them again"),
        ("restart", "stop drivers, and start them again"),
        ("remove", "stop drivers or links, and forget them"),
    ):
        command(name, text)("drivers", nargs="+", metavar="DRIVER", help="which")
    add = command("add", "serve something more: a program, Python code, or another server")
    add("spec", metavar="DRIVER", help="what, as on the command line of the server")
    add("-n", "--name", metavar="NAME", help="for programs: the name of the device (INDIDEV)")
    add("-c", "--config", metavar="FILE", help="for programs: the configuration file (INDICONFIG)")
    add("-s", "--skeleton", metavar="FILE", help="for programs: the skeleton file (INDISKEL)")
    add("-p", "--prefix", metavar="DIR", help="for programs: INDIPREFIX")
    add = command("follow", "what changes, line by line, until Ctrl-C")
    add("--log", action="store_true", help="also what is logged")
    return parser


def run_ctl(argv: Sequence[str], prog: str = "indipyserver") -> int:
    """Run the command.

    Args:
        argv: Its arguments, after ``ctl``.
        prog: The name of the program.

    Returns:
        The exit status.
    """
    try:
        options = build_ctl_parser(f"{prog} ctl").parse_args(argv)
    except SystemExit as end:  # argparse has said why
        return end.code if isinstance(end.code, int) else STATUS_USAGE
    try:
        return asyncio.run(_run(options))
    except ControlError as error:
        sys.stderr.write(f"{error.text}\n")
        return STATUS_REFUSED
    except BrokenPipeError:  # nobody is reading the output any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:
        sys.stderr.write(f"{error.strerror or error}\n")
        return STATUS_UNREACHABLE


async def _run(options: argparse.Namespace) -> int:
    async with Control(options.socket, port=options.port) as control:
        return await _COMMANDS[options.command](control, options)


def _print(options: argparse.Namespace, found: Any, lines: _Printer) -> None:
    text = [json.dumps(found, indent=2)] if options.json else lines(found)
    write_out("".join(f"{line}\n" for line in text))


async def _status(control: Control, options: argparse.Namespace) -> int:
    _print(options, await control.status(), status_lines)
    return 0


async def _drivers(control: Control, options: argparse.Namespace) -> int:
    found = {"drivers": await control.drivers(), "remotes": await control.remotes()}
    _print(options, found, lambda found: driver_lines(found["drivers"] + found["remotes"]))
    return 0


async def _clients(control: Control, options: argparse.Namespace) -> int:
    _print(options, await control.clients(), client_lines)
    return 0


async def _log(control: Control, options: argparse.Namespace) -> int:
    _print(options, await control.log(options.driver, options.lines), log_lines)
    return 0


async def _add(control: Control, options: argparse.Namespace) -> int:
    found = await control.add(
        _absolute_spec(options.spec),
        name=options.name,
        config=_absolute(options.config),
        skeleton=_absolute(options.skeleton),
        prefix=_absolute(options.prefix),
    )
    return _tell_started(options, found)


async def _change(control: Control, options: argparse.Namespace) -> int:
    method: Callable[[str], Awaitable[list[dict[str, Any]]]] = getattr(control, options.command)
    found: list[dict[str, Any]] = []
    for driver in options.drivers:
        found += await method(driver)
    if options.command in ("start", "restart"):
        return _tell_started(options, found)
    _print(options, found, lambda found: [f"{each['label']}: {each.get('state', 'removed')}" for each in found])
    return 0


def _tell_started(options: argparse.Namespace, found: list[dict[str, Any]]) -> int:
    """Report the states of what was started; if one has ended at once, show why from its log."""
    _print(options, found, lambda found: [f"{each['id']}  {each['label']}: {each['state']}" for each in found])
    ended = [each for each in found if each["state"] == "ended"]
    for each in ended:
        sys.stderr.write("".join(f"{line}\n" for line in log_lines(each["log"][-1:])))
    return STATUS_REFUSED if ended else 0


async def _follow(control: Control, options: argparse.Namespace) -> int:
    async for event in control.follow(log=options.log):
        write_out(f"{json.dumps(event) if options.json else event_line(event)}\n")
    return 0


_COMMANDS: Final[Mapping[str, Callable[[Control, argparse.Namespace], Awaitable[int]]]] = {
    "status": _status,
    "drivers": _drivers,
    "clients": _clients,
    "log": _log,
    "start": _change,
    "stop": _change,
    "restart": _change,
    "remove": _change,
    "add": _add,
    "follow": _follow,
}


def _absolute(path: str | None) -> str | None:
    """The absolute path: the server may run in another folder."""
    return None if path is None else os.path.abspath(path)


def _absolute_spec(text: str) -> str:
    try:
        return located(parse_spec(text), os.path.abspath).text
    except ValueError:
        return text  # the server says what is wrong with it


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port")
    return int(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of lines")
    return int(text)
