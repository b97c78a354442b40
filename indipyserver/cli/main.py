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
from functools import partial
from typing import TYPE_CHECKING, Final

from indipydriver.transport.leftthreads import Watchdog

from ..clients.sockets import bind_unix
from ..ipyserver import IPyServer
from ..routing.outbox import OutboxLimits
from ..signals import again_at_once
from ..spec import parse_spec
from .access import Access, context_to_other_servers
from .console import MessageTracer, attach, replace_closed_streams, verbose_level
from .options import MIB, UNIX_SOCKET, USUAL_CONTROL, build_parser

if TYPE_CHECKING:
    from .fifo import Fifo

__all__ = ["main"]

logger = logging.getLogger("indipyserver.cli")

_STATUS_FAILURE: Final = 1
_STATUS_USAGE: Final = 2
_SHOWN_DRIVERS: Final = 8
_THREADS: Final = 2.0
"""Seconds after the end of the server in which calls of drivers in threads have to return."""
_LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "::1")
_ALL_HOSTS: Final = ("*", "0.0.0.0", "::")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Its arguments, without its name; by default this process's.

    Returns:
        The exit status: 0 after --help and --version, 2 for wrong usage, 1 if it cannot serve, or has nothing
        left to serve, and 128 and its number after a signal; for --check see :func:`.run_check`.
    """
    replace_closed_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    with _request_for_stats_ignored():
        try:
            if words[:1] == ["ctl"]:
                from .ctl import run_ctl

                return run_ctl(words[1:], _program_name())
            parser = build_parser(_program_name())
            try:
                options = _read_arguments(parser, words)
            except SystemExit as end:  # argparse has said why
                return end.code if isinstance(end.code, int) else _STATUS_USAGE
            return _do(parser, options)
        except KeyboardInterrupt:  # while it is still importing what it needs
            return 128 + signal.SIGINT


def _do(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """What the arguments ask for; returns the exit status."""
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
        return _STATUS_USAGE
    return _serve(options)


def _read_arguments(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """What the arguments ask for.

    Raises:
        SystemExit: They do not fit together, or help was all that they asked for.
    """
    for place, word in enumerate(words):
        if word == "--demo" and words[place + 1 : place + 2] not in (["examples"], ["observatory"]):
            words[place] = "--demo=examples"  # what follows is a DRIVER
        elif word == "--control" and not _may_be_made(words[place + 1 : place + 2]):
            words[place] = "--control=" + USUAL_CONTROL
    options = parser.parse_intermixed_args(words)
    options.configured = []
    if options.config is not None:
        options = _configured(parser, words, options)
    if options.check is True:  # the driver stands elsewhere, as in: --check --json DRIVER
        if not options.drivers:
            parser.error("--check needs a DRIVER")
        options.check = options.drivers.pop(0)
    if options.check is not None and (
        options.drivers or options.fifo is not None or options.demo or options.control is not None
    ):
        parser.error("--check takes one DRIVER and serves nothing: give it no others, and no FIFO")
    modes = (options.check, options.fifo, options.control)
    if options.new is not None and (options.drivers or any(each is not None for each in modes)):
        parser.error("--new writes files and serves nothing: give it no DRIVER")
    _check_registering(parser, options)
    if options.reload and os.name == "nt":
        parser.error("--reload needs a system on which a process can become another program")
    if options.demo:
        from .demo import demo_words

        try:
            options.drivers += map(parse_spec, demo_words(options.demo))
        except FileNotFoundError as error:
            parser.error(str(error))
    if options.check is None and (options.json or options.act or options.timeout is not None):
        parser.error("--json, --act and --timeout go with --check DRIVER")
    options.timeout = options.timeout or 5.0
    return options


def _configured(parser: argparse.ArgumentParser, words: list[str], given: argparse.Namespace) -> argparse.Namespace:
    """The arguments with those of the configuration file, as ``configured`` its drivers."""
    from .configuration import read_configuration

    if any(each is not None for each in (given.check, given.new, given.register, given.unregister)):
        parser.error("--config is for serving")
    try:
        more, drivers = read_configuration(given.config, parser, given)
    except ValueError as error:
        parser.error(str(error))
    options = parser.parse_intermixed_args([*more, *words])
    options.configured = drivers
    return options


def _may_be_made(words: Sequence[str]) -> bool:
    """Is the word that follows the path of a control socket, and not a DRIVER?"""
    return any(word.startswith(("/", "./", "../")) and ":" not in word and not os.path.isfile(word) for word in words)


def _check_registering(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    changes = [options.register is not None, options.unregister is not None]
    modes = (options.fifo, options.control, options.check, options.new)
    others = options.drivers or any(each is not None for each in modes)
    if sum(changes) > 1 or (any(changes) and (others or options.demo)):
        parser.error("--register and --unregister stand alone: they serve nothing")
    if not any(changes) and options.system:
        parser.error("--system goes with --register and --unregister")
    if options.register is None and (options.label or options.group):
        parser.error("--label and --group go with --register")


def _write_driver(kind: str, file: str) -> int:
    """Write the beginning of a driver, and say what to do with it; returns the exit status."""
    from pathlib import Path

    from .new import write_driver

    path = Path(file)
    try:
        test = write_driver(kind, path)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return _STATUS_USAGE
    sys.stdout.write(
        f"{path} is a driver that works as it is, and {test} tests it.\n"
        f"to serve it:  indipyserver {path}:make_driver\n"
        f"to check it:  indipyserver --check {path}:make_driver\n"
        f"to test it:   python3 -m pytest {test}\n"
    )
    return 0


def _serve(options: argparse.Namespace) -> int:
    """Run a server, with its log on standard error; returns the exit status."""
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
    name = os.path.basename(sys.argv[0]) if sys.argv else ""
    return name if name and not name.startswith("-") and name != "__main__.py" else "indipyserver"


def _signals() -> list[signal.Signals]:
    """Those that end it cleanly; one that is ignored (nohup, a script's background job) stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        return []
    wanted = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    return [number for number in wanted if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)]


@contextlib.contextmanager
def _request_for_stats_ignored() -> Iterator[None]:
    """Ignore SIGUSR1, which would end the process, unless it was ignored or is handled: there is nothing to tell yet.

    It is no SIG_IGN, which the programs that are started would inherit.
    """
    number = getattr(signal, "SIGUSR1", None)
    main_thread = threading.current_thread() is threading.main_thread()
    if number is None or not main_thread or signal.getsignal(number) != signal.SIG_DFL:
        yield
        return
    signal.signal(number, _ignore)
    try:
        yield
    finally:
        signal.signal(number, signal.SIG_DFL)


def _ignore(number: int, frame: object) -> None:
    pass


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
        self._anew = False  # to be run again from the beginning, as files have changed
        self._local = self._listen_locally()
        hosts = ["" if host == "*" else host for host in options.host or ["localhost"]]
        self._server = IPyServer(
            host=hosts,
            port=options.port,
            maxconnections=options.max_clients,
            limits=OutboxLimits(total=options.max_queue * MIB, stream=options.max_stream_queue * MIB),
            unix_socket=self._local,
            unix_any_user=options.unix_any_user,
            ssl=access.context,
            audit=access.audit,
            control=options.control == USUAL_CONTROL or options.control or False,
        )
        access.add_listeners(self._server)
        self._services = self._server.services
        self._services.restarts = options.restarts
        self._services.to_other_servers = partial(context_to_other_servers, options)

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
        folder = os.getcwd() if options.reload else ""
        logging.getLogger("indipyserver").info("started as: %s", shlex.join(sys.argv))
        if options.verbose >= 2:
            server.add_observer(MessageTracer(options.verbose))
        with self._message_log(), self._local or contextlib.nullcontext(), self._handling_signals():
            reloading = self._watch_files() if options.reload else None
            self._start_drivers()
            if not self._services.specs and not self._takes_commands:
                logger.error("there is nothing to serve")
                if not options.reload:
                    return _STATUS_FAILURE
            try:
                self._status = await self._run_server(self._fifo())
            finally:
                Watchdog(logger, _THREADS, self._leave_threads).start()
                if reloading is not None:
                    reloading.cancel()
        if self._anew and not self._ending:
            from .reloading import begin_anew

            self._flush()
            begin_anew(folder)
        return self._status

    def _watch_files(self) -> asyncio.Task[None]:
        """End the server when Python files have changed, so that the command starts again."""
        from .reloading import Changes

        changes = Changes([*(spec for spec, _ in self._options.configured), *self._options.drivers])

        async def watch() -> None:
            files = await changes.wait()
            logger.info("%s changed: starting again", ", ".join(map(os.path.basename, files[:_SHOWN_DRIVERS])))
            self._anew = True
            self._server.shutdown()

        return asyncio.ensure_future(watch())

    def _leave_threads(self) -> None:
        """End the process, though a call in a thread has not returned."""
        try:
            self._flush()
        finally:
            os._exit(self._status)

    def _fifo(self) -> Fifo | None:
        if self._options.fifo is None:
            return None
        from .fifo import Fifo

        return Fifo(self._options.fifo, self._services)

    async def _run_server(self, fifo: Fifo | None) -> int:
        server = self._server
        announcing = asyncio.ensure_future(self._announce())
        try:
            if not self._takes_commands and not self._options.reload:
                server.on_deserted = self._deserted
            if fifo is not None and not _open(fifo):
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

    @contextlib.contextmanager
    def _message_log(self) -> Iterator[None]:
        """Keep the messages of drivers in files, if that is asked for."""
        if self._options.log_dir is None:
            yield
            return
        from ..observers.messagelog import MessageLog

        log = MessageLog(self._options.log_dir)
        log.look()
        self._server.add_observer(log)
        try:
            yield
        finally:
            log.close()

    @property
    def _takes_commands(self) -> bool:
        """It can be told to serve something later."""
        return self._options.fifo is not None or self._options.control is not None

    def _start_drivers(self) -> None:
        if self._takes_commands:
            # A driver that is started later has the name it was given there, or its own.
            for key in ("INDIDEV", "INDICONFIG", "INDISKEL"):
                os.environ.pop(key, None)
        options = self._options
        for spec, more in [*options.configured, *((spec, {}) for spec in options.drivers)]:
            try:
                self._services.start(spec, **more)
            except (ValueError, ImportError) as error:
                logger.error("%s", error)

    def _deserted(self) -> None:
        logger.error("all drivers are gone, and there is no FIFO (-f) to start others: the server is stopping")
        self._status = _STATUS_FAILURE
        self._server.shutdown()

    async def _announce(self) -> None:
        """When clients can connect: what is served, one line for each listener, and how to look at it."""
        server, options = self._server, self._options
        await server.started.wait()
        specs = self._services.specs
        if options.demo:
            specs = [os.path.basename(spec) for spec in specs]
        drivers = [repr(spec) if " " in spec else spec for spec in specs]
        if len(drivers) > _SHOWN_DRIVERS:
            drivers[_SHOWN_DRIVERS:] = [f"{len(drivers) - _SHOWN_DRIVERS} more"]
        how = f"write to {options.fifo}" if options.fifo else f"{_program_name()} ctl add DRIVER"
        what = ", ".join(drivers) or (f"nothing yet ({how})" if self._takes_commands else "nothing")
        hosts = options.host or ["localhost"]
        local = next((f"-s {host} " for host in hosts if host not in (*_ALL_HOSTS, *_LOCAL_HOSTS)), "")
        if options.tls_cert:
            look = f"another indipyserver with @tls://HOST:{server.port}, or any other INDI client that speaks TLS"
        else:
            look = f"indipyclient watch {local}-p {server.port}, or any other INDI client"
        first, *others = server.listening
        hint = " (see --host)" if first.endswith("for this machine only") else ""
        logger.info("serving %s on %s%s; to look at it: %s", what, first, hint, look)
        for place in others:
            logger.info("and on %s", place)
        if options.control is not None:
            where = f"--port {server.port}" if options.control == USUAL_CONTROL else f"--socket {options.control}"
            logger.info("to control it: %s ctl %s drivers", _program_name(), where)

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
        usr1 = getattr(signal, "SIGUSR1", None)
        asked = usr1 is not None and signal.getsignal(usr1) is _ignore
        if usr1 is not None and asked:
            loop.add_signal_handler(usr1, self._server.log_stats)
        try:
            yield
        finally:
            for number in handled:
                loop.remove_signal_handler(number)
            if usr1 is not None and asked:
                loop.remove_signal_handler(usr1)
                signal.signal(usr1, _ignore)

    def _end(self, number: signal.Signals) -> None:
        if self._ending:  # see again_at_once
            return
        self._ending = True
        self._status = 128 + number
        logger.info("%s: the server is stopping; send it again to end it at once", number.name)
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
