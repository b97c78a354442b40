"""What the command writes on its terminal: log lines, and with -vv and -vvv the messages that pass."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from typing import Final, TextIO

from indipydriver.protocol.frame import BlobFrame, Frame
from indipydriver.protocol.texts import printable_lines

from ..relay.observer import Observer
from ..relay.peer import Peer
from .logstream import LogStream

__all__ = [
    "LogFormatter",
    "MessageTracer",
    "attach",
    "is_terminal",
    "replace_closed_streams",
    "verbose_level",
    "write_out",
]

traffic = logging.getLogger("indipyserver.traffic")

_STDOUT: Final = 1
_STDERR: Final = 2
_RESET: Final = "\x1b[0m"
_DIM: Final = "\x1b[2m"
_LEVEL_COLOURS: Final = {logging.DEBUG: _DIM, logging.WARNING: "\x1b[33m", logging.ERROR: "\x1b[31m"}


class LogFormatter(logging.Formatter):
    """``YYYY-MM-DDTHH:MM:SS: text``, in UTC, as indiserver's.

    Unprintable characters in a record are escaped, and further lines are indented: no device can
    forge a line or command the terminal.

    Args:
        colour: Show the level by colour.
    """

    def __init__(self, colour: bool = False) -> None:
        super().__init__("%(message)s")
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        text = printable_lines(super().format(record).rstrip())
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        if not self._colour:
            return f"{when}: {text}"
        colour = _LEVEL_COLOURS.get(record.levelno, "")
        return f"{_DIM}{when}:{_RESET} {colour}{text}{_RESET if colour else ''}"


def replace_closed_streams() -> None:
    """Let standard streams that were closed when this process began lead to the null device.

    Their numbers would be given to the next sockets, and whatever writes to standard error would write to a client.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(fd)
    if sys.stdout is None:
        sys.stdout = open(_STDOUT, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(_STDERR, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


def write_out(text: str) -> None:
    """Write to standard output; characters that its encoding lacks are escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


def is_terminal(stream: TextIO) -> bool:
    """May colours be used?  Not in files and pipes, nor if NO_COLOR is set (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def verbose_level(verbose: int) -> int:
    """The log level for a number of -v."""
    return logging.INFO if verbose else logging.WARNING


@contextlib.contextmanager
def attach(stream: TextIO, level: int) -> Iterator[LogStream]:
    """Write everything that is logged in this process to a stream while the block lasts.

    Nobody waits for the stream, except at the end of the block, for a moment; see :class:`LogStream`.
    """
    top = logging.getLogger()
    before = top.level
    log = LogStream(stream, LogFormatter(is_terminal(stream)))
    top.addHandler(log)
    top.setLevel(level)
    try:
        yield log
    finally:
        top.removeHandler(log)
        top.setLevel(before)
        log.close()


class MessageTracer(Observer):
    """Gives each peer a trace that logs what passes.

    Args:
        verbose: 2 for one line per message, 3 for the XML too; BLOBs are left out.
    """

    def __init__(self, verbose: int) -> None:
        traffic.setLevel(logging.DEBUG)
        self._show = _with_xml if verbose > 2 else _summary

    def peer_added(self, peer: Peer) -> None:
        label, show = peer.label, self._show

        def trace(direction: str, frame: Frame) -> None:
            traffic.debug("%s: %s %s", label, "sent" if direction == "to" else "received", show(frame))

        peer.trace = trace


def _summary(frame: Frame) -> str:
    tag, device, name = frame.address
    what = ".".join(part for part in (device, name) if part is not None)
    return f"<{tag.text}>{' ' if what else ''}{what}, {frame.size} bytes"


def _with_xml(frame: Frame) -> str:
    raw = frame.skeleton if isinstance(frame, BlobFrame) else frame.raw
    return f"{_summary(frame)}\n{raw.decode('utf-8', 'replace')}"
