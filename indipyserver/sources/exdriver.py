"""An external driver, as a subprocess and a peer."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from indipydriver.errors import DriverExited, IndiError
from indipydriver.protocol.encode import encode
from indipydriver.protocol.messages import GetProperties
from indipydriver.protocol.texts import brief

from ..arguments import checked_flag, checked_integer, checked_type, checked_word
from ..process import Child, Started, start
from ..relay.peer import HANG_TIME, Peer, tracer
from ..relay.switchboard import Switchboard
from ..routing.endpoint import Role
from ..routing.outbox import OutboxLimits
from .backoff import Backoff
from .source import Distant
from .stderrlog import StderrLog

__all__ = ["RESTARTS", "ExDriver", "Program"]

logger = logging.getLogger("indipyserver.exdriver")

RESTARTS: Final = 10
"""Restarts of one program, as in indiserver."""
STOP_GRACE: Final = 2.0
"""Seconds between closing a driver's standard input and SIGTERM, and after SIGKILL until it is abandoned."""
KILL_GRACE: Final = 6.0
"""Seconds between SIGTERM and SIGKILL: 5 s after the end of its input, a Python driver cancels what has not ended, and
that may then have to switch off its hardware."""
_LACKING: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS)
_LACK_TIME: Final = 2.0  # seconds until the next attempt when the machine lacks resources
_LAST_WORDS: Final = 0.5  # seconds to read its last output when something that it has started keeps the link open
_LONGEST_REASON: Final = 200  # bytes of the reason, which is followed by what happens to the program


@dataclass(frozen=True, slots=True)
class Program:
    """What to run and how; :meth:`.IPyServer.add_exdriver` says what each of these means.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: There is no name of a program, no program can be passed an argument or a variable, or restarts
            is negative.
    """

    program: str
    args: tuple[str, ...] = ()
    debug_enable: bool = False
    env: Mapping[str, str] | None = None
    name: str | None = None
    config: str | None = None
    skeleton: str | None = None
    prefix: str | None = None
    restarts: int = RESTARTS
    pipes: bool = False
    backoff: Backoff | None = None

    def __post_init__(self) -> None:
        if not checked_word("program", self.program):
            raise ValueError("program must be the name or the path of a program, not an empty text")
        object.__setattr__(self, "program", checked_word("program", self.program))
        words = (str(each) if isinstance(each, int | float) else each for each in self.args)
        args = tuple(checked_word("an argument of a program", each) for each in words)
        object.__setattr__(self, "args", args)
        checked_flag("debug_enable", self.debug_enable)
        checked_flag("pipes", self.pipes)
        checked_integer("restarts", self.restarts, 0)
        checked_type("env", self.env, Mapping, type(None))
        checked_type("backoff", self.backoff, Backoff, type(None))
        checked_type("prefix", self.prefix, str, os.PathLike, type(None))
        for key, value in self.environment.items():
            checked_type("the name of an environment variable", key, str, bytes)
            checked_type(f"the environment variable {key!r:.80}", value, str, bytes, os.PathLike)
            name, text = os.fsencode(key), os.fsencode(value)
            if not name or b"=" in name or b"\0" in name + text:
                raise ValueError(f"no program can be passed the environment variable {key!r:.80}={value!r:.80}")

    @property
    def path(self) -> str:
        """What is started: a name, to be looked up on PATH, or a path."""
        return self.program if self.prefix is None else os.path.join(self.prefix, "bin", self.program)

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables in addition to those of this process, including those that libindi's drivers read."""
        told = {"INDIDEV": self.name, "INDICONFIG": self.config, "INDISKEL": self.skeleton, "INDIPREFIX": self.prefix}
        return {**(self.env or {}), **{key: value for key, value in told.items() if value is not None}}


class ExDriver(Distant):
    """Runs one program, restarts it when it ends, and stops it without leaving a process.

    Args:
        board: The server's peers.
        program: What to run.
        limits: How much may wait for it.
        hang_time: Seconds without taking anything after which it is declared hung.
        folder: Where it is started, and from where relative paths count; "": where this process is now, even if it goes
            elsewhere later.

    Attributes:
        program: Its name or path, as it was given.
        command: The program and its arguments.
        restarts: How often it is restarted at most.
        restarted: How often it has been restarted in this run.
        label: What it is, for logs and messages.
    """

    kind = "program"

    def __init__(
        self,
        board: Switchboard,
        program: Program,
        *,
        limits: OutboxLimits,
        hang_time: float = HANG_TIME,
        folder: str = "",
    ) -> None:
        super().__init__(board, f"driver {program.program}" + (f" ({program.name})" if program.name else ""))
        self.program = program.program
        self.command = [program.path, *program.args]
        self.restarts = program.restarts
        self.restarted = 0
        self._what = program
        self._folder = folder
        with contextlib.suppress(OSError):  # it has been removed
            self._folder = folder or os.getcwd()
        self._path = program.path
        if self._folder and os.path.dirname(self._path):
            self._path = os.path.normpath(os.path.join(self._folder, self._path))
        self._environment = program.environment
        self._child: Child | None = None
        self._limits = limits
        self._hang_time = hang_time
        self._stderr = StderrLog(self.label, self.recent)

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The process, while there is one."""
        return self._child.process if self._child is not None else None

    @property
    def details(self) -> Mapping[str, object]:
        """Its command line, its process, and how often it may be restarted."""
        process = self.process
        pid = process.pid if process is not None else None
        return {"command": self.command, "pid": pid, "most_restarts": self.restarts}

    def kill(self) -> None:
        """End the process and everything it has started at once, without waiting, because this process is ending.

        A signal handler may call it: it only sends a signal.
        """
        if self._child is not None:
            self._child.signal(signal.SIGKILL)

    async def run(self) -> None:
        """Run it until it is cancelled, has failed too often, or cannot be started at all."""
        backoff = (self._what.backoff or Backoff()).fresh()
        self.restarted = 0
        has_run = False
        lack = ""
        while True:
            lived = 0.0
            remove: Callable[[], None] = _nothing
            try:
                started = self._start()
            except (OSError, ValueError) as failure:
                if getattr(failure, "errno", None) in _LACKING:  # this may be temporary, and is not the driver's fault
                    if str(failure) != lack:
                        lack = str(failure)
                        text = f"{self.label} cannot be started at the moment; the server will try again: {failure}"
                        self.recent.log(logger, logging.ERROR, text)
                    await asyncio.sleep(_LACK_TIME)
                    continue
                text = brief(f"{self.label} cannot be started: {failure}", _LONGEST_REASON)
                if not has_run and getattr(failure, "errno", None) != errno.ETXTBSY:
                    self.recent.log(logger, logging.ERROR, text)
                    self._announce(text)
                    return
                # It may be in the middle of an upgrade.
            else:
                has_run = True
                lack = ""
                try:
                    text, lived, remove = await self._live(started)
                except OSError as failure:  # no memory to watch its descriptors, which may be temporary
                    text = brief(f"{self.label} cannot be served: {failure}", _LONGEST_REASON)
            wait = backoff.next(lived)
            is_given_up = backoff.tries > self.restarts
            if is_given_up:
                text = f"{text}; it is given up after {self.restarts} restarts"
                self.recent.log(logger, logging.ERROR, text)
                self._announce(text)
            else:
                restart = f"{text}; restart {backoff.tries} of {self.restarts} in {wait:g} s"
                self.recent.log(logger, logging.WARNING, restart)
                self._announce(f"{text}; restarting in {wait:g} s")
            remove()  # its devices; only now, because clients show messages of existing devices
            if is_given_up:
                return
            await asyncio.sleep(wait)
            self.restarted += 1

    def _announce(self, text: str) -> None:
        self._board.announce(text, about=self.devices)

    def _start(self) -> Started:
        what = self._what
        return start(self.label, self._path, what.args, self._environment, pipes=what.pipes, folder=self._folder)

    async def _live(self, started: Started) -> tuple[str, float, Callable[[], None]]:
        """One life of the process: returns how it ended, after how many seconds, and what deletes its devices."""
        loop = asyncio.get_running_loop()
        child, link = started.child, started.link
        ended: asyncio.Future[Exception | None] = loop.create_future()
        begin = loop.time()
        peer = self.peer = Peer(
            self._board,
            link,
            Role.DRIVER,
            limits=self._limits,
            stays=True,
            hang_time=self._hang_time,
            on_closed=lambda error: None if ended.done() else ended.set_result(error),
        )
        if self._what.debug_enable:
            peer.trace = tracer(logger, to="RX", come="TX")
        self._child = child
        has_ended = False
        try:
            self._stderr.open(started.errors)
            self._board.add(peer)
            self._board.send(peer, encode(GetProperties()))
            self.recent.log(logger, logging.INFO, f"{self.label} has started, process {child.process.pid}")
            await asyncio.wait((ended, child.exited), return_when=asyncio.FIRST_COMPLETED)
            lived = loop.time() - begin
            if not ended.done():  # its last output is still in the pipe
                await asyncio.wait((ended,), timeout=_LAST_WORDS)
            link.abort()
            await child.stop(STOP_GRACE, KILL_GRACE)
            has_ended = True
        finally:
            link.abort()
            try:
                if not has_ended:
                    await child.stop(STOP_GRACE, KILL_GRACE)
            finally:  # in any case: a second cancellation may arrive while it is being stopped
                self._child = None
                self._stderr.close()
                if child.remains:
                    self.recent.log(logger, logging.ERROR, f"{self.label}: {child.remains}")
                reason = self._reason(child, ended.result() if ended.done() else None)
                if not has_ended:
                    self._board.remove(peer, reason)
        text = brief(str(reason) if isinstance(reason, DriverExited) else f"{self.label}: {reason}", _LONGEST_REASON)
        return text, lived, lambda: self._board.remove(peer, reason)

    def _reason(self, child: Child, error: Exception | None) -> Exception:
        """Why it has ended: what it did wrong, or how it exited."""
        status = child.process.returncode
        if isinstance(error, IndiError):
            return error
        if status is None and child.remains:
            return ChildProcessError(child.remains)
        return DriverExited(
            self.label, -signal.SIGKILL if status is None else status, self.restarted, self._stderr.tail
        )


def _nothing() -> None:
    """It has not run, so there is nothing to remove."""
