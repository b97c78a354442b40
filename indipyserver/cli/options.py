"""The options of the command."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Final, TypeAlias

from .. import version
from ..ipyserver import MAX_CONNECTIONS
from ..routing.outbox import MIB, OutboxLimits
from ..sources.exdriver import RESTARTS
from ..spec import DEFAULT_PORT, Spec, parse_spec
from .access import add_options

__all__ = ["STATUS_USAGE", "UNIX_SOCKET", "USUAL_CONTROL", "build_parser"]

STATUS_USAGE: Final = 2
"""Exit status where the command line or a file that it names is wrong; that of argparse."""
USUAL_CONTROL: Final = "\0"
"""Stands for the control socket in its default place; it is not a possible path."""

UNIX_SOCKET: Final = "/tmp/indiserver"
"""The local socket where libindi's clients look."""
_USUAL_LIMITS: Final = OutboxLimits()
_Add: TypeAlias = Callable[..., argparse.Action]

_DESCRIPTION: Final = """\
Serve INDI drivers to INDI clients.

Each DRIVER names what to serve:

  indi_simulator_ccd        a program, on PATH or as a path
  @host:port                all devices of another INDI server; the port may be left out
  'My Camera@host:port'     one device of it
  @tls://host:port          either of them over TLS
  package.module:callable   Python code that returns an IPyDriver, or several, to run in this process
  path/to/file.py:callable  the same, in a file

An IPv6 address is written in brackets: @[fe80::1]:7624"""

_EPILOG: Final = """\
examples:
  %(prog)s indi_simulator_telescope indi_simulator_ccd
      two of indilib's drivers, on port 7624 of this machine
  %(prog)s --host 0.0.0.0 -v mydriver.py:make_driver
      a Python driver, for the whole network, with a log of what happens
  %(prog)s -p 7625 @dome.example.org 'Mount@192.168.1.7:7624'
      the devices of two other servers
  mkfifo /tmp/indififo; %(prog)s -f /tmp/indififo
      nothing yet; then for example: echo 'start indi_simulator_ccd -n "Guider"' > /tmp/indififo

Look at what is served with any INDI client: KStars, PHD2, or indi_getprop."""


def _number(least: int, most: int) -> Callable[[str], int]:
    """Reads a whole number within a range, for argparse."""

    def read(text: str) -> int:
        if not re.fullmatch("-?[0-9]{1,20}", text):  # int() takes 7_624 and the digits of all scripts
            raise argparse.ArgumentTypeError(f"{text!r:.40} is not a whole number")
        number = int(text)
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{number} is not from {least} to {most}")
        return number

    return read


def _spec(text: str) -> Spec:
    try:
        return parse_spec(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _host(text: str) -> str:
    """A name or an address. For scripts, "" stands for all interfaces, but here it is probably an unset variable."""
    if not text:
        raise argparse.ArgumentTypeError("a host is a name or an address; 0.0.0.0 or :: means all interfaces")
    return text


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0, up to 3600")
    return number


def _control(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("a control socket has a path, and not an empty one")
    return text


def build_parser(prog: str = "indipyserver") -> argparse.ArgumentParser:
    """What the command understands.

    Args:
        prog: The name under which it was started.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        usage="%(prog)s [options] DRIVER [DRIVER ...]\n"
        "       %(prog)s ctl COMMAND ... (see %(prog)s ctl --help)\n"
        "       %(prog)s --check DRIVER [--json] [--timeout SECONDS] [--act]\n"
        "       %(prog)s --new KIND FILE\n"
        "       %(prog)s --register DRIVER [--label LABEL ...] [--group GROUP] [--system]\n"
        "       %(prog)s --unregister LABEL [--system]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("drivers", metavar="DRIVER", nargs="*", type=_spec, help="what to serve (see above)")
    add("--demo", nargs="?", const="examples", choices=("examples", "observatory"), metavar="WHAT",
        help="also serve a demonstration: examples (a thermostat, a camera and an LED; the default), "
        "or observatory (a simulator of each instrument)")  # fmt: skip

    add(
        "--config",
        metavar="FILE",
        help="read options and drivers from this TOML file; those of the command line take precedence",
    )

    _add_places(parser.add_argument_group("where").add_argument)
    add_options(parser)
    _add_bounds(parser.add_argument_group("limits").add_argument)
    _add_run_time(parser.add_argument_group("at run time").add_argument)
    _add_writing(parser.add_argument_group("write a driver").add_argument)
    _add_listing(parser.add_argument_group("list a driver where KStars and INDI Web Manager look").add_argument)
    _add_checking(parser.add_argument_group("check a driver").add_argument)
    return parser


def _add_places(add: _Add) -> None:
    add("-p", "--port", type=_number(0, 65535), default=DEFAULT_PORT, metavar="PORT",
        help="TCP port; 0: any free one, which the first line of the log names (default: %(default)s)")  # fmt: skip
    add("--host", action="append", type=_host, metavar="HOST",
        help="listen on this name or address, 0.0.0.0 or :: for all; may be repeated (default: localhost)")  # fmt: skip
    add("-u", "--unix-socket", default=None, metavar="NAME",
        help=f"also listen on this local socket, abstract on Linux (default: {UNIX_SOCKET}, if free)")  # fmt: skip
    add("--no-unix-socket", dest="unix_socket", action="store_const", const="", help="listen on TCP only")
    add("--unix-any-user", action="store_true",
        help="let every user of this machine use the local socket, and not only yourself and root")  # fmt: skip


def _add_bounds(add: _Add) -> None:
    add("--max-clients", type=_number(1, 1_000_000), default=MAX_CONNECTIONS, metavar="N",
        help="clients at the same time (default: %(default)s)")  # fmt: skip
    add("-m", "--max-queue", type=_number(1, 1 << 40), default=_USUAL_LIMITS.total // MIB, metavar="MB",
        help="disconnect a client if more than this waits for it (default: %(default)s)")  # fmt: skip
    add("-d", "--max-stream-queue", type=_number(0, 1 << 40), default=_USUAL_LIMITS.stream // MIB, metavar="MB",
        help="drop older video frames if more than this waits for a client, 0: never "
        "(default: %(default)s)")  # fmt: skip
    add("-r", "--restarts", type=_number(0, 1_000_000_000), default=RESTARTS, metavar="N",
        help="restart a driver that ends this often; a minute without failure resets the count "
        "(default: %(default)s)")  # fmt: skip


def _add_run_time(add: _Add) -> None:
    add("-f", "--fifo", metavar="PATH",
        help="start and stop drivers with lines in this FIFO: start DRIVER [-n NAME] [-c CONFIG] [-s SKELETON] "
        "[-p PREFIX], stop DRIVER [-n NAME]")  # fmt: skip
    add("--control", nargs="?", const=USUAL_CONTROL, metavar="PATH", type=_control,
        help="let yourself and root see and control this server with `%(prog)s ctl`, through a local socket at PATH "
        "(default: indipyserver-PORT.control in $XDG_RUNTIME_DIR, or else in /tmp)")  # fmt: skip
    add("-l", "--log-dir", metavar="DIR", help="append the messages of drivers to DIR/YYYY-MM-DD.islog")
    add("-v", "--verbose", action="count", default=0,
        help="log what happens; -vv: each message too; -vvv: with its XML")  # fmt: skip
    add("--log-level", choices=("debug", "info", "warning", "error"), help="log from this level on, whatever -v says")
    add("--version", action="version", version=f"indipyserver {version}")


def _add_writing(add: _Add) -> None:
    add("--reload", action="store_true", help="restart whenever a Python file beside the drivers has changed")
    add("--new", nargs=2, metavar=("KIND", "FILE"),
        help="serve nothing: write the beginning of a driver and its test; "
        "KIND: camera, cap, dome, focuser, gps, guider, inputs, light, mount, outputs, power, roof, rotator, "
        "weather, wheel")  # fmt: skip


def _add_listing(add: _Add) -> None:
    add("--register", metavar="DRIVER", type=_spec,
        help="serve nothing: register this Python driver, and write the program that starts it")  # fmt: skip
    add("--unregister", metavar="LABEL", help="remove what --register has created")
    add("--label", action="append", metavar="LABEL",
        help="the name in the list, and of the device; repeat it for several instruments of this kind")  # fmt: skip
    add(
        "--group", metavar="GROUP", help="the group in the list, such as Focusers (default: what the device says it is)"
    )
    add("--system", action="store_true", help="for all users, which requires root (default: for yourself)")


def _add_checking(add: _Add) -> None:
    add("--check", metavar="DRIVER", type=_spec, nargs="?", const=True,
        help="serve nothing: start this driver, talk to it as a strict client, and report what is wrong with it; "
        "exit status 0: fine, 1: errors or warnings, 2: it cannot be started")  # fmt: skip
    add("--json", action="store_true", help="report as JSON")
    add("--timeout", type=_seconds, metavar="SECONDS", help="how long the driver may take to answer (default: 5)")
    add("--act", action="store_true", help="also send commands that may move, expose or switch something")
