"""One run of the server for the command, from the log on standard error to the exit status."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import gc
import logging
import os
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from indipydriver.transport.forked import end_children, handled_here_only, ours_only
from indipydriver.transport.leftthreads import Watchdog
from indipydriver.transport.signals import again_at_once, leave_terminal

from ..clients.sockets import ANYWHERE, bind_unix
from ..ipyserver import IPyServer
from ..routing.outbox import MIB, OutboxLimits
from ..signals import ignore
from .access import Access, context_to_other_servers
from .console import MessageTracer, attach, verbose_level
from .options import STATUS_USAGE, UNIX_SOCKET, USUAL_CONTROL

if TYPE_CHECKING:
    from .fifo import Fifo

__all__ = ["serve"]

logger = logging.getLogger("indipyserver.cli")

_STATUS_FAILURE: Final = 1
_SHOWN_DRIVERS: Final = 8
_THREADS_END_WITHIN: Final = 2.0
"""Seconds after the end of the server in which drivers' calls in threads have to return."""
_LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "::1")


def serve(options: argparse.Namespace, program: str) -> int:
    """Run a server, with its log on standard error.

    Args:
        options: What the arguments request.
        program: The name of the command, for messages.

    Returns:
        The exit status.
    """
    level = verbose_level(options.verbose)
    if options.log_level is not None:
        level = logging.getLevelNamesMapping()[options.log_level.upper()]
    with attach(sys.stderr, level) as log:
        logger.setLevel(logging.INFO)  # what it serves and why it ends is always logged
        try:
            access = Access(options)
        except (OSError, ValueError) as error:
            logger.error("%s", getattr(error, "strerror", None) or error)
            return STATUS_USAGE
        try:
            return asyncio.run(_Run(options, access, program, _signals(), log.flush).run())
        except KeyboardInterrupt:
            return 128 + signal.SIGINT
        except Exception:  # Python would wait for somebody to read its traceback
            logger.exception("the command has failed")
            return _STATUS_FAILURE


def _signals() -> list[signal.Signals]:
    """The signals that end it cleanly; an ignored one (nohup, a script's background job) stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        return []
    wanted = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    return [number for number in wanted if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)]


class _Run:
    """One run of the server.

    Args:
        options: From the parser.
        access: Who may come in.
        program: The name of the command.
        signals: Those to handle.
        flush: Waits a moment until the log is written.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        access: Access,
        program: str,
        signals: list[signal.Signals],
        flush: Callable[[], None],
    ) -> None:
        self._options = options
        self._program = program
        self._signals = signals
        self._flush = flush
        self._status = 0
        self._ending = False  # a signal has come
        self._anew = False  # must be run again from the beginning, because files have changed
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
            control=options.control == USUAL_CONTROL or _lasting(options.control) or False,
        )
        access.add_listeners(self._server)
        self._services = self._server.services
        self._services.restarts = options.restarts
        for name in ("tls_ca", "tls_cert", "tls_key"):
            setattr(options, name, _lasting(getattr(options, name)))
        self._services.to_other_servers = partial(context_to_other_servers, options)
        with contextlib.suppress(OSError):  # it has been removed
            self._services.folder = os.getcwd()

    def _listen_locally(self) -> socket.socket | None:
        name = self._options.unix_socket
        if name == "" or (name is None and not hasattr(socket, "AF_UNIX")):
            return None
        try:
            return ours_only(bind_unix(name or UNIX_SOCKET, self._options.unix_any_user))  # it is there before drivers
        except OSError as error:
            logger.warning("%s; clients can reach this server by TCP only (-u NAME for another name)", error.strerror)
            return None

    async def run(self) -> int:
        """Serve; returns the exit status."""
        options, server = self._options, self._server
        logging.getLogger("indipyserver").info("started as: %s", shlex.join(sys.argv))
        if options.verbose >= 2:
            server.add_observer(MessageTracer(options.verbose))
        with self._message_log(), self._local or contextlib.nullcontext(), self._handling_signals():
            reloading = self._watch_files() if options.reload else None
            fifo = self._fifo()
            self._start_drivers()
            if not self._services.specs and not self._takes_commands:
                logger.error("there is nothing to serve")
                if not options.reload:
                    return _STATUS_FAILURE
            try:
                self._status = await self._run_server(fifo)
            finally:
                Watchdog(logger, _THREADS_END_WITHIN, self._leave_threads).start()
                if reloading is not None:
                    reloading.cancel()
        if self._anew and not self._ending:
            from .reloading import begin_anew

            self._flush()
            begin_anew(self._services.folder)
        return self._status

    def _watch_files(self) -> asyncio.Task[None]:
        """End the server when Python files have changed, so that the command restarts."""
        from .reloading import Changes

        changes = Changes([*(spec for spec, _ in self._options.configured), *self._options.drivers])

        async def watch() -> None:
            files = await changes.wait()
            logger.info("%s changed: restarting", ", ".join(map(os.path.basename, files[:_SHOWN_DRIVERS])))
            self._anew = True
            self._server.shutdown()

        return asyncio.ensure_future(watch())

    def _leave_threads(self) -> None:
        """End the process although a call in a thread has not returned."""
        try:
            end_children()
            self._flush()
        finally:
            os._exit(self._status)

    def _fifo(self) -> Fifo | None:
        if self._options.fifo is None:
            return None
        from .fifo import Fifo

        return Fifo(os.path.abspath(self._options.fifo), self._services)

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
        """Save the messages of drivers in files if requested."""
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
        """Whether it can be told to serve something later."""
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
        """Log, when clients can connect, what is served, a line for each listener, and how to look at it."""
        server, options = self._server, self._options
        await server.started.wait()
        if not server.listening:  # it is stopping already
            return
        # What the start has made stays until the end: to look through it for garbage takes some 8 ms each time.
        gc.freeze()
        specs = self._services.specs
        if options.demo:
            specs = [os.path.basename(spec) for spec in specs]
        drivers = [repr(spec) if " " in spec else spec for spec in specs]
        if len(drivers) > _SHOWN_DRIVERS:
            drivers[_SHOWN_DRIVERS:] = [f"{len(drivers) - _SHOWN_DRIVERS} more"]
        how = f"write to {options.fifo}" if options.fifo else f"{self._program} ctl add DRIVER"
        what = ", ".join(drivers) or (f"nothing yet ({how})" if self._takes_commands else "nothing")
        hosts = options.host or ["localhost"]
        local = next((f"-s {host} " for host in hosts if host not in ("*", *ANYWHERE, *_LOCAL_HOSTS)), "")
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
            logger.info("to control it: %s ctl %s drivers", self._program, where)

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
        again_at_once(handled, self._end_at_once, waits=False)
        handled_here_only(set(handled) - {signal.SIGINT})  # a terminal sends it to all of them
        usr1 = getattr(signal, "SIGUSR1", None)
        asked = usr1 is not None and signal.getsignal(usr1) is ignore
        if usr1 is not None and asked:
            loop.add_signal_handler(usr1, self._server.log_stats)
        try:
            yield
        finally:
            for number in handled:
                loop.remove_signal_handler(number)
            if usr1 is not None and asked:
                loop.remove_signal_handler(usr1)
                signal.signal(usr1, ignore)

    def _end(self, number: signal.Signals) -> None:
        if not self._ending:  # see again_at_once
            self._ending = True
            self._status = 128 + number
            logger.info("%s: the server is stopping; send it again to end it at once", number.name)
            self._server.shutdown()
        if number.name == "SIGHUP":
            leave_terminal()

    def _end_at_once(self, number: signal.Signals) -> None:
        try:
            for driver in self._server.exdrivers:
                driver.kill()
            end_children()
            self._flush()
        finally:
            os._exit(128 + number)


def _lasting(path: str | None) -> str | None:
    """The absolute path, if one is given: a driver may change the folder."""
    return os.path.abspath(path) if path else path


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
