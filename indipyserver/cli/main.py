"""The command ``indipyserver``: serves what its arguments name, with the flags of indiserver and more."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import logging
import os
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from .. import version
from ..clients.sockets import bind_unix
from ..ipyserver import MAX_CONNECTIONS, IPyServer
from ..observers.messagelog import MessageLog
from ..routing.outbox import OutboxLimits
from ..signals import again_at_once
from ..spec import DEFAULT_PORT, Spec, parse_spec
from .access import Access, add_options, context_to_other_servers
from .checking import run_check
from .console import MessageTracer, attach, replace_closed_streams, verbose_level
from .demo import demo_words
from .fifo import Fifo
from .services import RESTARTS, Services

__all__ = ["build_parser", "main"]

logger = logging.getLogger("indipyserver.cli")

UNIX_SOCKET: Final = "/tmp/indiserver"
"""Where libindi's clients look."""
_MIB: Final = 1 << 20
_LIMITS: Final = OutboxLimits()
_STATUS_FAILURE: Final = 1
_STATUS_USAGE: Final = 2
_SHOWN_DRIVERS: Final = 8
_LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "::1")
_ALL_HOSTS: Final = ("*", "0.0.0.0", "::")

_DESCRIPTION: Final = """\
Serve INDI drivers to INDI clients.

Each DRIVER names what to serve:

  indi_simulator_ccd        a program, on PATH or as a path
  @host:port                all devices of another INDI server; the port may be left out, and an IPv6
  'My Camera@host:port'     one device of it               address stands in brackets: @[fe80::1]:7624
  @tls://host:port          either of them over TLS
  package.module:callable   Python code that returns an IPyDriver, or several, to run in this process
  path/to/file.py:callable  the same, in a file"""

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


@dataclass(frozen=True, slots=True)
class _Number:
    """A whole number within a range, for argparse."""

    least: int
    most: int

    def __call__(self, text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not self.least <= number <= self.most:
            raise argparse.ArgumentTypeError(f"{number} is not from {self.least} to {self.most}")
        return number


def _spec(text: str) -> Spec:
    try:
        return parse_spec(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _host(text: str) -> str:
    """A name or an address; for scripts, "" stands for all interfaces, but here it is a variable that was not set."""
    if not text:
        raise argparse.ArgumentTypeError("a host has a name or an address; 0.0.0.0 or :: stands for all")
    return text


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0, up to 3600")
    return number


def build_parser(prog: str = "indipyserver") -> argparse.ArgumentParser:
    """What the command understands.

    Args:
        prog: The name it was started by.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        usage="%(prog)s [options] DRIVER [DRIVER ...]\n"
        "       %(prog)s --check DRIVER [--json] [--timeout SECONDS] [--act]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("drivers", metavar="DRIVER", nargs="*", type=_spec, help="what to serve, see above")
    add("--demo", action="store_true", help="serve an example too: a thermostat, a camera and an LED")

    add = parser.add_argument_group("where").add_argument
    add("-p", "--port", type=_Number(0, 65535), default=DEFAULT_PORT, metavar="PORT",
        help="TCP port; 0: any free one, which the first line of the log names (default: %(default)s)")  # fmt: skip
    add("--host", action="append", type=_host, metavar="HOST",
        help="listen on this name or address, 0.0.0.0 or :: for all; may be repeated (default: localhost)")  # fmt: skip
    add("-u", "--unix-socket", default=None, metavar="NAME",
        help=f"listen on this local socket too, abstract on Linux (default: {UNIX_SOCKET}, if it is free)")  # fmt: skip
    add("--no-unix-socket", dest="unix_socket", action="store_const", const="", help="listen on TCP only")
    add("--unix-any-user", action="store_true",
        help="let every user of this machine use the local socket, and not only yourself and root")  # fmt: skip

    add_options(parser)

    add = parser.add_argument_group("what is allowed").add_argument
    add("--max-clients", type=_Number(1, 1_000_000), default=MAX_CONNECTIONS, metavar="N",
        help="clients at the same time (default: %(default)s)")  # fmt: skip
    add("-m", "--max-queue", type=_Number(1, 1 << 40), default=_LIMITS.total // _MIB, metavar="MB",
        help="disconnect a client for which more than this waits (default: %(default)s)")  # fmt: skip
    add("-d", "--max-stream-queue", type=_Number(0, 1 << 40), default=_LIMITS.stream // _MIB, metavar="MB",
        help="leave out older video frames for a client for which more than this waits, 0: never "
        "(default: %(default)s)")  # fmt: skip
    add("-r", "--restarts", type=_Number(0, 1_000_000_000), default=RESTARTS, metavar="N",
        help="restart a driver that ends this often; a minute of health starts the count again "
        "(default: %(default)s)")  # fmt: skip

    add = parser.add_argument_group("at run time").add_argument
    add("-f", "--fifo", metavar="PATH",
        help="start and stop drivers as lines in this FIFO say: start DRIVER [-n NAME] [-c CONFIG] [-s SKELETON] "
        "[-p PREFIX], stop DRIVER [-n NAME]")  # fmt: skip
    add("-l", "--log-dir", metavar="DIR", help="append the messages of drivers to DIR/YYYY-MM-DD.islog")
    add("-v", "--verbose", action="count", default=0,
        help="log what happens; -vv: each message too; -vvv: with its XML")  # fmt: skip
    add("--log-level", choices=("debug", "info", "warning", "error"), help="log from this level on, whatever -v says")
    add("--version", action="version", version=f"indipyserver {version}")

    add = parser.add_argument_group("check a driver").add_argument
    add("--check", metavar="DRIVER", type=_spec,
        help="serve nothing: start this driver, talk to it as a strict client, and report what is wrong with it; "
        "exit status 0: fine, 1: errors or warnings, 2: it cannot be started")  # fmt: skip
    add("--json", action="store_true", help="report as JSON")
    add("--timeout", type=_seconds, default=5.0, metavar="SECONDS",
        help="how long it may take to answer (default: %(default)g)")  # fmt: skip
    add("--act", action="store_true", help="also send commands that may move, expose or switch something")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Its arguments, without its name; by default this process's.

    Returns:
        The exit status: 0 after --help and --version, 2 for wrong usage, 1 if it cannot serve, or has nothing
        left to serve, and 128 and its number after a signal; for --check see :func:`run_check`.
    """
    replace_closed_streams()
    parser = build_parser(_program_name())
    try:
        options = parser.parse_intermixed_args(argv)
        if options.check is not None and (options.drivers or options.fifo is not None):
            parser.error("--check serves nothing: it takes its one DRIVER and no others")
        if options.demo:
            try:
                options.drivers += map(parse_spec, demo_words())
            except FileNotFoundError as error:
                parser.error(str(error))
        if options.check is None and (options.json or options.act):
            parser.error("--json and --act go with --check DRIVER")
        if options.check is None and not options.drivers and options.fifo is None:
            parser.print_help(sys.stderr)
            return _STATUS_USAGE
    except SystemExit as end:  # argparse has said why
        return end.code if isinstance(end.code, int) else _STATUS_USAGE
    if options.check is not None:
        return run_check(
            options.check,
            timeout=options.timeout,
            act=options.act,
            json=options.json,
            verbose=options.verbose,
            to_other_servers=partial(context_to_other_servers, options),
        )
    level = verbose_level(options.verbose)
    if options.log_level is not None:
        level = logging.getLevelNamesMapping()[options.log_level.upper()]
    with attach(sys.stderr, level) as log:
        logger.setLevel(logging.INFO)  # what it serves and why it ends is always told
        try:
            access = Access(options)
        except (OSError, ValueError) as error:
            logger.error("%s", getattr(error, "strerror", None) or error)
            return _STATUS_USAGE
        try:
            return asyncio.run(_Command(options, access, _signals(), log.flush).run())
        except KeyboardInterrupt:
            return 128 + signal.SIGINT
        except Exception:  # Python would wait for somebody to read its traceback
            logger.exception("the command has failed")
            return _STATUS_FAILURE


def _program_name() -> str:
    name = Path(sys.argv[0]).name if sys.argv else ""
    return name if name and not name.startswith("-") and name != "__main__.py" else "indipyserver"


def _signals() -> list[signal.Signals]:
    """Those that end it cleanly; one that is ignored (nohup, a script's background job) stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        return []
    wanted = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    return [number for number in wanted if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)]


class _Command:
    """One run of the server.

    Args:
        options: From the parser.
        access: Who may come in.
        signals: Those to handle.
        flush: Waits a moment until the log is written.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        access: Access,
        signals: list[signal.Signals],
        flush: Callable[[], None],
    ) -> None:
        self._options = options
        self._signals = signals
        self._flush = flush
        self._status = 0
        self._ending = False  # a signal has come
        self._local = self._listen_locally()
        hosts = ["" if host == "*" else host for host in options.host or ["localhost"]]
        self._server = IPyServer(
            host=hosts,
            port=options.port,
            maxconnections=options.max_clients,
            limits=OutboxLimits(total=options.max_queue * _MIB, stream=options.max_stream_queue * _MIB),
            unix_socket=self._local,
            unix_any_user=options.unix_any_user,
            ssl=access.context,
            audit=access.audit,
        )
        access.add_listeners(self._server)
        self._services = Services(self._server, options.restarts, partial(context_to_other_servers, options))

    def _listen_locally(self) -> socket.socket | None:
        name = self._options.unix_socket
        if name == "" or (name is None and not hasattr(socket, "AF_UNIX")):
            return None
        try:
            return bind_unix(name or UNIX_SOCKET, self._options.unix_any_user)
        except OSError as error:
            logger.warning("%s; clients can reach this server by TCP only (-u NAME for another name)", error.strerror)
            return None

    async def run(self) -> int:
        """Serve; returns the exit status."""
        options, server = self._options, self._server
        logging.getLogger("indipyserver").info("started as: %s", shlex.join(sys.argv))
        if options.verbose >= 2:
            server.add_observer(MessageTracer(options.verbose))
        kept = contextlib.ExitStack()
        if options.log_dir is not None:
            log = MessageLog(options.log_dir)
            log.look()
            server.add_observer(log)
            kept.callback(log.close)
        with kept, self._local or contextlib.nullcontext(), self._handling_signals():
            self._start_drivers()
            if not self._services.specs and options.fifo is None:
                logger.error("there is nothing to serve")
                return _STATUS_FAILURE
            fifo = Fifo(options.fifo, self._services) if options.fifo is not None else None
            announcing = asyncio.ensure_future(self._announce())
            try:
                if fifo is None:
                    server.on_deserted = self._deserted
                elif not _open(fifo):
                    return _STATUS_FAILURE
                await server.asyncrun()
            except OSError as error:
                hint = " (-p PORT for another port)" if error.errno == errno.EADDRINUSE else ""
                logger.error("%s%s", error.strerror or error, hint)
                return _STATUS_FAILURE
            except Exception:
                logger.exception("the server has failed")
                return _STATUS_FAILURE
            finally:
                announcing.cancel()
                if fifo is not None:
                    await fifo.close()
        return self._status

    def _start_drivers(self) -> None:
        if self._options.fifo is not None:
            # A driver that the FIFO starts has the name it was given there, or its own.
            for key in ("INDIDEV", "INDICONFIG", "INDISKEL"):
                os.environ.pop(key, None)
        for spec in self._options.drivers:
            try:
                self._services.start(spec)
            except (ValueError, ImportError) as error:
                logger.error("%s", error)

    def _deserted(self) -> None:
        logger.error("all drivers are gone, and there is no FIFO (-f) to start others: the server stops")
        self._status = _STATUS_FAILURE
        self._server.shutdown()

    async def _announce(self) -> None:
        """One line, when clients can connect: what is served, where, and how to look at it."""
        server, options = self._server, self._options
        await server.started.wait()
        drivers = [repr(spec) if " " in spec else spec for spec in self._services.specs]
        if len(drivers) > _SHOWN_DRIVERS:
            drivers[_SHOWN_DRIVERS:] = [f"{len(drivers) - _SHOWN_DRIVERS} more"]
        what = ", ".join(drivers) or f"nothing yet (write to {options.fifo})"
        hosts = options.host or ["localhost"]
        where = " and ".join("all interfaces" if host in _ALL_HOSTS else host for host in hosts)
        only = ", for this machine only (see --host)" if set(hosts) <= set(_LOCAL_HOSTS) else ""
        local = next((f"-h {host} " for host in hosts if host not in (*_ALL_HOSTS, *_LOCAL_HOSTS)), "")
        if options.tls_cert:
            look = f"another indipyserver with @tls://HOST:{server.port}, or any other INDI client that speaks TLS"
        else:
            look = f"indi_getprop {local}-p {server.port}, or any other INDI client"
        logger.info("serving %s on %s port %d%s; to look at it: %s", what, where, server.port, only, look)

    @contextlib.contextmanager
    def _handling_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        handled = []
        for number in self._signals:
            try:
                loop.add_signal_handler(number, self._end, number)
            except (NotImplementedError, RuntimeError):  # not on this platform; Ctrl-C works nevertheless
                break
            handled.append(number)
        again_at_once(handled, self._end_at_once)
        try:
            yield
        finally:
            for number in handled:
                loop.remove_signal_handler(number)

    def _end(self, number: signal.Signals) -> None:
        if self._ending:  # see again_at_once
            return
        self._ending = True
        self._status = 128 + number
        logger.info("%s: the server stops; once more to end it at once", number.name)
        self._server.shutdown()

    def _end_at_once(self, number: signal.Signals) -> None:
        try:
            for driver in self._server.exdrivers:
                driver.kill()
            self._flush()
        finally:
            os._exit(128 + number)


def _open(fifo: Fifo) -> bool:
    try:
        fifo.open()
    except FileNotFoundError:
        logger.error("there is no FIFO %s; to make it: mkfifo %s", fifo.path, fifo.path)
    except OSError as error:
        logger.error("FIFO %s cannot be used: %s", fifo.path, error.strerror)
    else:
        return True
    return False
