"""Starts and stops drivers while the server runs, as lines in a FIFO say: indiserver's grammar, without its traps.

::

    start DRIVER [-n "NAME"] [-c "CONFIG"] [-s "SKELETON"] [-p "PREFIX"]
    stop  DRIVER [-n "NAME"]

Words with blanks must be in double quotes; others may be.  There are no escapes: a name cannot contain a
double quote.  A line that cannot be understood is logged, and ignored.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import stat
from dataclasses import dataclass
from io import FileIO
from typing import Final, TypeAlias

from indipydriver.transport.forked import ours_only
from indipydriver.transport.watching import can_watch_descriptors

from ..lines import MAX_LINE, CommandError, Lines
from ..services import Services
from ..spec import PROGRAM_OPTIONS, RemoteSpec, Spec, parse_spec

__all__ = ["MAX_LINE", "Command", "CommandError", "Fifo", "Lines", "Start", "Stop", "parse_command"]

logger = logging.getLogger("indipyserver.fifo")

LAST_LINE: Final = 1.0
"""Seconds without further input after which a line counts as complete although its line end is missing
(``printf 'stop driver' > fifo``)."""
_FIFO_READ: Final = 65536
_TOKEN: Final = re.compile(r'((?:[^\s"]|"[^"]*")+)(?:\s+|$)')
_OPTIONS: Final = {f"-{name[0]}": name for name in PROGRAM_OPTIONS}


@dataclass(frozen=True, slots=True)
class Start:
    """Serve what a specification names.

    Attributes:
        spec: What to serve.
        name: For programs: the name of the device (INDIDEV).
        config: For programs: the configuration file (INDICONFIG).
        skeleton: For programs: the skeleton file (INDISKEL).
        prefix: For programs: INDIPREFIX; the program is ``<prefix>/bin/<spec>``.
    """

    spec: Spec
    name: str | None = None
    config: str | None = None
    skeleton: str | None = None
    prefix: str | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop what was started with this spec.

    Attributes:
        spec: The spec as it was given then.
        name: Only the one that has this device.
    """

    spec: str
    name: str | None = None


Command: TypeAlias = Start | Stop


def parse_command(line: str) -> Command | None:
    """Read one line.

    Returns:
        What it says, or None for a blank line.

    Raises:
        CommandError: It makes no sense.
    """
    if not line.isprintable() and not line.replace("\t", " ").rstrip("\r\n").isprintable():
        raise CommandError("it contains control characters")
    tokens = _split(line.strip())
    if not tokens:
        return None
    verb, *rest = tokens
    if verb not in ("start", "stop"):
        raise CommandError(f"{verb!r} is neither start nor stop")
    if not rest or rest[0].startswith("-"):
        raise CommandError(f'{verb} needs a DRIVER: {verb} DRIVER [-n "NAME"]')
    text, options = _read_options(rest)
    if verb == "stop":
        for option, value in options.items():
            if option != "name":
                raise CommandError(f"stop takes -n only, not the {option} {value!r}")
        if not text:
            raise CommandError("stop needs a DRIVER, and it is empty")
        return Stop(text, options.get("name"))
    try:
        spec = parse_spec(text)
    except ValueError as error:
        raise CommandError(str(error)) from None
    if options and isinstance(spec, RemoteSpec):
        raise CommandError(f"{text!r} is on another server, so it takes no options")
    return Start(spec, **options)


def _split(line: str) -> list[str]:
    tokens = []
    at = 0
    while at < len(line):
        match = _TOKEN.match(line, at)
        if match is None:
            raise CommandError("a double quote is missing")
        tokens.append(match[1].replace('"', "") if match[1] != '""' else "")
        at = match.end()
    return tokens


def _read_options(tokens: list[str]) -> tuple[str, dict[str, str]]:
    """The spec and the options behind it, by their long names."""
    count = next((n for n, token in enumerate(tokens) if token.startswith("-")), len(tokens))
    text = " ".join(tokens[:count])
    if count > 1 and "@" not in tokens[count - 1]:  # indiserver takes `start My Camera@host` without quotes
        raise CommandError(f"unexpected {tokens[1]!r}; put double quotes around words with blanks")
    options: dict[str, str] = {}
    rest = iter(tokens[count:])
    for token in rest:
        key = _OPTIONS.get(token)
        if key is None:
            raise CommandError(f"{token!r} is not an option; the options are -n -c -s -p")
        if key in options:
            raise CommandError(f"{token} is given twice")
        value = next(rest, "")
        if not value:
            raise CommandError(f"{token} needs a value")
        options[key] = value
    return text, options


class Fifo:
    """Carries out the commands that are written to a FIFO.

    Commands for the same spec are carried out in turn; a driver that is slow to end does not hold up others.

    Args:
        path: The FIFO, which must exist.
        services: What is served.
    """

    def __init__(self, path: str, services: Services) -> None:
        self.path = path
        self._services = services
        self._lines = Lines()
        self._fd = -1
        self._file: FileIO
        self._timer: asyncio.TimerHandle | None = None
        self._latest: dict[str, asyncio.Task[None]] = {}  # by spec
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Begin to read; needs a running event loop.

        Raises:
            OSError: It does not exist, is not a FIFO, may not be read, another process reads it, or this
            platform has no FIFOs that an event loop can watch.
        """
        loop = asyncio.get_running_loop()
        if not hasattr(os, "mkfifo") or not can_watch_descriptors(loop):
            raise OSError(errno.ENOTSUP, "this platform has no FIFOs that can be watched")
        if not stat.S_ISFIFO(os.stat(self.path).st_mode):
            raise OSError(errno.EINVAL, "it is not a FIFO")
        # Opened for writing too, so that there is no end of file when a writer closes it.
        fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISFIFO(os.fstat(fd).st_mode):  # replaced meanwhile
                raise OSError(errno.EINVAL, "it is not a FIFO")
            _lock(fd)
            loop.add_reader(fd, self._readable)
            self._file = ours_only(FileIO(fd))  # a child would keep the lock
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    async def close(self) -> None:
        """Stop reading, and give up commands that are not finished."""
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            self._file.close()
            self._fd = -1
        self._cancel_timer()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, _FIFO_READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            logger.error("FIFO %s can no longer be read: %s", self.path, error.strerror)
            asyncio.get_running_loop().remove_reader(self._fd)
            return
        self._handle(self._lines.feed(data))
        self._cancel_timer()
        if self._lines.unfinished:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(LAST_LINE, lambda: self._handle(self._lines.finish()))

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _handle(self, lines: list[str | CommandError]) -> None:
        for line in lines:
            try:
                if isinstance(line, CommandError):
                    raise line
                command = parse_command(line)
            except CommandError as error:
                shown = f"{line[:200]!r}: " if isinstance(line, str) else ""
                logger.error("FIFO %s: %s%s; the line is ignored", self.path, shown, error)
                continue
            if command is not None:
                logger.info("FIFO %s: %s", self.path, line)
                self._enqueue(command)

    def _enqueue(self, command: Command) -> None:
        spec = command.spec if isinstance(command, Stop) else command.spec.text
        task = asyncio.get_running_loop().create_task(self._carry_out(command, self._latest.get(spec)), name="FIFO")
        self._latest[spec] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._latest.pop(spec) if self._latest.get(spec) is task else None)

    async def _carry_out(self, command: Command, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait((before,))
        try:
            if isinstance(command, Stop):
                await self._services.stop(command.spec, command.name)
                logger.info("FIFO %s: %s has stopped", self.path, command.spec)
            else:
                self._services.start(
                    command.spec,
                    name=command.name,
                    config=command.config,
                    skeleton=command.skeleton,
                    prefix=command.prefix,
                )
        except (ValueError, ImportError, LookupError) as error:
            logger.error("FIFO %s: %s", self.path, error.args[0] if isinstance(error, LookupError) else error)


def _lock(fd: int) -> None:
    """Lock the FIFO, because two readers would each get some pieces of the commands."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OSError(errno.EBUSY, "another process reads it") from None
    except OSError as error:  # not every system can lock a FIFO
        logger.debug("a FIFO cannot be locked: %s", error)
