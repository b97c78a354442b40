"""A driver of another maker, as a subprocess and a peer."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from indipydriver.errors import DriverExited
from indipydriver.protocol.encode import encode
from indipydriver.protocol.messages import GetProperties
from indipydriver.transport.attached import PassingLink
from indipydriver.transport.descriptor import DescriptorLink
from indipydriver.transport.link import SLICE, Link

from .backoff import Backoff
from .outbox import OutboxLimits
from .party import Role
from .peer import HANG_TIME, Peer, tracer
from .switchboard import Switchboard

__all__ = ["ExDriver"]

logger = logging.getLogger(__name__)

GRACE: Final = 2.0
"""Seconds between closing a driver's standard input, SIGTERM and SIGKILL."""
_LACKING: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS)
_LACK_TIME: Final = 2.0  # seconds until the next try when the machine lacks something
_PIPE_SIZE: Final = 1 << 20  # the most Linux gives without privilege; fewer wake-ups for BLOBs
_STDERR_LINE: Final = 4096
_STDERR_PER_SECOND: Final = 200
_PR_SET_PDEATHSIG: Final = 1


class ExDriver:
    """Runs one program, restarts it when it ends, and stops it without leaving a process.

    Args:
        board: The server's peers.
        program: Name or path; looked up on PATH, no shell.
        args: Its arguments.
        limits: How much may wait for it.
        debug_enable: Log what goes to it (RX) and comes from it (TX) at DEBUG.
        env: Further environment variables.
        name: For libindi drivers: the name of the device (INDIDEV).
        config: For libindi drivers: the configuration file (INDICONFIG).
        skeleton: For libindi drivers: the skeleton file (INDISKEL).
        prefix: For libindi drivers: INDIPREFIX; the program is then ``<prefix>/bin/<program>``.
        restarts: How often it is restarted, not counting those before 60 s of health.
        pipes: Give it two pipes also where it could have a local socket (Linux); then BLOBs come as base64.
        hang_time: Seconds without taking anything after which it is declared hung.
        backoff: How long to wait before a restart.
    """

    def __init__(
        self,
        board: Switchboard,
        program: str,
        *args: str,
        limits: OutboxLimits,
        debug_enable: bool = False,
        env: Mapping[str, str] | None = None,
        name: str | None = None,
        config: str | None = None,
        skeleton: str | None = None,
        prefix: str | None = None,
        restarts: int = 10,
        pipes: bool = False,
        hang_time: float = HANG_TIME,
        backoff: Backoff | None = None,
    ) -> None:
        self.program = program
        self.args = args
        self.name = name
        self.restarts = restarts
        self.restarted = 0
        self.label = f"driver {program}" + (f" ({name})" if name else "")
        self.peer: Peer | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self._board = board
        self._limits = limits
        self._hang_time = hang_time
        self._debug = debug_enable
        self._prefix = prefix
        self._pipes = pipes
        self._backoff = backoff or Backoff()
        self._stderr = StderrLog(self.label)
        self._env = dict(env or {})
        for key, value in (("INDIDEV", name), ("INDICONFIG", config), ("INDISKEL", skeleton), ("INDIPREFIX", prefix)):
            if value is not None:
                self._env[key] = value

    @property
    def devices(self) -> list[str]:
        """The devices it has announced."""
        return self._board.router.devices.of(self.peer) if self.peer is not None else []

    async def run(self) -> None:
        """Run it until it is cancelled, has failed too often, or cannot be started at all."""
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                error = await self._live()
            except OSError as failure:
                if failure.errno in _LACKING:  # perhaps not for long, and that is not the driver's fault
                    logger.error("%s cannot be started now, but in a moment perhaps: %s", self.label, failure)
                    await asyncio.sleep(_LACK_TIME)
                    continue
                logger.error("%s cannot be started: %s", self.label, failure)
                self._board.announce(f"{self.label} cannot be started: {failure}")
                return
            wait = self._backoff.next(loop.time() - started)
            if self._backoff.tries > self.restarts:
                text = f"{error}; it is given up after {self.restarts} restarts"
                logger.error("%s", text)
                self._board.announce(text)
                return
            logger.warning("%s; restart %d of %d in %g s", error, self._backoff.tries, self.restarts, wait)
            self._board.announce(f"{error}; it is restarted in {wait:g} s")
            await asyncio.sleep(wait)
            self.restarted += 1

    async def _live(self) -> DriverExited:
        """One life of the process: returns how it ended.

        Raises:
            OSError: It cannot be started.
        """
        process, link, stderr = self._start()
        self.process = process
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        peer = self.peer = Peer(
            self._board,
            link,
            Role.DRIVER,
            limits=self._limits,
            stays=True,
            hang_time=self._hang_time,
            on_closed=lambda error: None if ended.done() else ended.set_result(None),
        )
        if self._debug:
            peer.trace = tracer(logger, to="RX", come="TX")
        self._stderr.open(stderr)
        error: Exception | None = None
        try:
            self._board.add(peer)
            self._board.send(peer, encode(GetProperties()))
            logger.info("%s is started, process %d", self.label, process.pid)
            watch = asyncio.ensure_future(_exit_of(process))
            try:
                await asyncio.wait((ended, watch), return_when=asyncio.FIRST_COMPLETED)
                if not ended.done():  # what it said last is still in the pipe
                    await asyncio.wait((ended,), timeout=0.5)
            finally:
                watch.cancel()
        finally:
            link.abort()
            await self._stop(process)
            self._stderr.close()
            error = DriverExited(self.label, process.returncode or 0, self.restarted, self._stderr.tail)
            self._board.remove(peer, error)
            self.process = None
        return error

    def _start(self) -> tuple[subprocess.Popen[bytes], Link, int]:
        """Start the process: returns it, its link, and the descriptor of its standard error."""
        program = self.program
        if self._prefix is not None:
            program = os.path.join(self._prefix, "bin", program)
        found = shutil.which(program)
        if found is None:
            raise FileNotFoundError(f"there is no program {program!r} on the PATH")
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as its:
            # One local socket for both, as indiserver has it: then libindi hands BLOBs over as descriptors.
            if self._pipes or not sys.platform.startswith("linux"):
                read, its_out = _pipe(ours, its)
                its_in, write = _pipe(its, ours)
            else:
                sock, its_sock = socket.socketpair()
                ours.callback(sock.close)
                its.callback(its_sock.close)
                its_in = its_out = its_sock.fileno()
            errors, its_errors = _pipe(ours, its)
            process = subprocess.Popen(
                [program, *self.args],
                executable=found,
                stdin=its_in,
                stdout=its_out,
                stderr=its_errors,
                env={**os.environ, **self._env},
                start_new_session=True,
                preexec_fn=_die_with_parent(),  # noqa: PLW1509 - one system call, nothing that could wait for a thread
            )
            ours.pop_all()
        os.set_blocking(errors, False)
        if its_in == its_out:
            _widen_socket(sock)
            return process, PassingLink(self.label, sock), errors
        os.set_blocking(read, False)
        os.set_blocking(write, False)
        _widen_pipe(read)
        return process, DescriptorLink(self.label, pipes=(read, write)), errors

    async def _stop(self, process: subprocess.Popen[bytes]) -> None:
        """Its standard input is closed; give it time to end, then insist, then end it and all it has started."""
        for insist in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(GRACE):
                        await _exit_of(process)
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, insist)
        await _exit_of(process)
        process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):  # what it has left behind in its group
            os.killpg(process.pid, signal.SIGKILL)


class StderrLog:
    """Logs what a driver writes to its standard error, line by line, at the level it deserves.

    A flood is cut to 200 lines a second and a line to 4096 bytes.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._fd = -1
        self._rest = b""
        self._tail: deque[str] = deque(maxlen=5)
        self._second = 0
        self._lines = 0
        self._dropped = 0

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines."""
        return tuple(self._tail)

    def open(self, fd: int) -> None:
        self._fd = fd
        self._rest = b""
        asyncio.get_running_loop().add_reader(fd, self._readable)

    def close(self) -> None:
        if self._fd >= 0:
            self._readable()
        if self._fd >= 0:
            self._release()

    def _release(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1
        if self._rest:
            self._log(self._rest)
            self._rest = b""
        self._tell_dropped()

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, SLICE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._release()
            return
        *lines, rest = (self._rest + data).split(b"\n")
        if len(rest) > _STDERR_LINE:
            lines.append(rest)
            rest = b""
        self._rest = rest
        for line in lines:
            self._log(line)

    def _log(self, line: bytes) -> None:
        text = line[:_STDERR_LINE].decode("utf-8", "replace").strip()
        if not text:
            return
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
        self._tail.append(text)
        second = int(asyncio.get_running_loop().time())
        if second != self._second:
            self._tell_dropped()
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines > _STDERR_PER_SECOND:
            self._dropped += 1
        else:
            logger.log(_level(text), "%s: %s", self._label, text)

    def _tell_dropped(self) -> None:
        if self._dropped:
            logger.warning("%s: %d further lines on its standard error were not logged", self._label, self._dropped)
            self._dropped = 0


_LEVELS: Final = (
    (re.compile(r"\bdebug\b|\[debug\]", re.IGNORECASE), logging.DEBUG),
    (re.compile(r"error|fatal|fail|exception|traceback|abort|segfault", re.IGNORECASE), logging.ERROR),
    (re.compile(r"\binfo\b|\[info\]", re.IGNORECASE), logging.INFO),
)


def _level(text: str) -> int:
    for pattern, level in _LEVELS:
        if pattern.search(text[:200]):
            return level
    return logging.WARNING


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe whose ends are closed with the one and the other stack."""
    read, write = os.pipe()
    reader.callback(os.close, read)
    writer.callback(os.close, write)
    return read, write


def _widen_pipe(fd: int) -> None:
    """Ask for a larger pipe, for fewer wake-ups with BLOBs; if there is none to be had, the usual size does."""
    if sys.platform.startswith("linux"):
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)


def _widen_socket(sock: socket.socket) -> None:
    """The same for a local socket, whose size is that of the sender's buffer: ours for commands only."""
    sock.setblocking(False)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _PIPE_SIZE)


def _die_with_parent() -> Callable[[], None] | None:
    """On Linux the kernel kills the driver when this process dies, even by SIGKILL."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return before_exec


async def _exit_of(process: subprocess.Popen[bytes]) -> None:
    """Wait until a process has ended, without a thread where the kernel can tell."""
    if process.poll() is not None:
        return
    if hasattr(os, "pidfd_open"):
        loop = asyncio.get_running_loop()
        try:
            fd = os.pidfd_open(process.pid)
        except OSError:
            pass
        else:
            done = loop.create_future()
            loop.add_reader(fd, lambda: None if done.done() else done.set_result(None))
            try:
                await done
            finally:
                loop.remove_reader(fd)
                os.close(fd)
            process.poll()
            return
    await asyncio.to_thread(process.wait)  # a system without pidfd_open
