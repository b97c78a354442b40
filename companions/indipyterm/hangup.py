"""Terminals that stall, go, are taken away for some time, or send nonsense: the program goes on, or ends."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import re
import select
import sys
import threading
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Any, Final, TextIO, TypeVar, cast

__all__ = ["Outlet", "driver_of", "is_hung_up"]

Driver = TypeVar("Driver")

MOST: Final = 1 << 18
"""Characters that may wait for a stalled terminal; anything beyond that is redrawn when it recovers."""
PART: Final = 1024
"""Characters that are printed together; the rest may be dropped when the program ends."""
MENDED: Final = "\x1b\\\x1b[?2026l"
"""Ends a sequence, and a picture, whose rest is missing."""
LAST: Final = 1.0
"""Seconds for the final output."""
OLD_CLICK: Final = re.compile(rb"\x1b\[M[\x20-\xff]{3}")
_HALF_A_CLICK: Final = re.compile(rb"\x1b\[M[\x20-\xff]{0,2}\Z")
ALT_DIGIT: Final = re.compile(rb"\x1b([0-9])")
"""As almost all terminals send it; Textual would take it for what a Mac types then, such as the sign for pounds."""


class Outlet:
    """The output of the screen.

    A stalled terminal, for example over a stuck connection, must not hold up anything: messages of servers are still
    read, and BLOBs saved.  What a departed terminal does not take is dropped.  It can be reused after it was closed.

    Args:
        file: The terminal.
        caught_up: Called by another thread when everything must be redrawn.
    """

    def __init__(self, file: Any, caught_up: Callable[[], object] = lambda: None) -> None:
        self._file = file
        self._caught_up = caught_up
        self._texts: deque[str] = deque()
        self._waiting = 0
        self._has_dropped = False
        self._over = False
        self._is_printing = False
        self._is_cut = False
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None

    def write(self, text: str) -> None:
        """Print it as soon as the terminal takes it."""
        with self._news:
            if self._waiting > MOST:
                self._has_dropped = True
                return
            self._texts.append(text)
            self._waiting += len(text)
            self._over = False
            self._news.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="terminal", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """Do nothing: the writing thread flushes."""

    def drop(self) -> None:
        """Drop what waits, which nobody will see: what is printed next takes its place, even in a slow terminal."""
        with self._news:
            self._texts.clear()
            self._waiting = 0
            self._has_dropped = False
            self._is_cut = self._is_printing
        if self._is_cut:
            _make_room(self._file)

    def close(self) -> None:
        """Print what waits, but only for a limited time."""
        with self._news:
            self._over = True
            self._news.notify()
            thread = self._thread
        if thread is not None:
            thread.join(LAST)

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._texts or self._over)
                if not self._texts:
                    self._thread = None
                    return
                text = "".join(self._texts)
                self._texts.clear()
                self._waiting = 0
                self._is_printing = True
            with contextlib.suppress(OSError, ValueError):
                self._print(text)
            with self._news:
                self._is_printing = self._is_cut = False
                again = self._has_dropped and not self._texts
                self._has_dropped = self._has_dropped and not again
            if again:
                self._caught_up()

    def _print(self, text: str) -> None:
        for begin in range(0, len(text), PART):
            self._file.write(text[begin : begin + PART])
            self._file.flush()
            if self._is_cut:
                self._file.write(MENDED)
                return

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _make_room(file: Any) -> None:
    """Drop what the system still holds for a terminal, so that later output need not wait for it."""
    try:
        import termios
    except ImportError:  # Windows
        return
    with contextlib.suppress(termios.error, OSError, ValueError):
        termios.tcflush(file.fileno(), termios.TCOFLUSH)
        for what in (termios.TCOOFF, termios.TCOON):  # otherwise a thread that waits for room is not woken
            termios.tcflow(file.fileno(), what)


class _Printing(StrEnum):
    """The process group that owns the terminal."""

    OURS = "ours"
    LEAVING = "leaving"
    OTHERS = "others"  # the program is suspended


def driver_of(found: type[Driver]) -> type[Driver]:
    """The same driver, writing to an :class:`Outlet`; it continues after any suspension of the program."""

    base: Any = found
    used = vars(sys.modules[found.__module__])
    if "getincrementaldecoder" in used:  # in the thread for keys, which ends the program at a byte that is not UTF-8
        used["getincrementaldecoder"] = lambda name: _Decoder

    def begin(self: Any, app: Any, *args: Any, **options: Any) -> None:
        if os.environ.get(
            "STY"
        ):  # GNU screen holds Escape back while there is a mouse, which makes Alt of the next key
            options["mouse"] = False
        base.__init__(self, app, *args, **options)
        self.outlet = None
        self.printing = _Printing.OURS
        if getattr(self, "_file", None) is not None:
            loop = asyncio.get_running_loop()
            self.outlet = self._file = Outlet(self._file, partial(_draw, loop, app))

    def write(self: Any, data: str) -> None:
        if self.outlet is not None:  # it never waits, so no other thread is needed in between
            self.outlet.write(data)
        else:
            base.write(self, data)

    def stop(self: Any) -> None:
        if self.outlet is not None:
            self.outlet.drop()
        base.stop_application_mode(self)

    def suspend(self: Any) -> None:
        self.printing = _Printing.LEAVING
        base.suspend_application_mode(self)
        self.printing = _Printing.OTHERS

    def resume(self: Any) -> None:
        if self.printing is _Printing.LEAVING:  # which resumes it
            return
        if self.printing is _Printing.OURS:  # SIGSTOP gives no notice, and a shell may have changed the terminal since
            self.suspend_application_mode()
        base.resume_application_mode(self)
        self.printing = _Printing.OURS

    def close(self: Any) -> None:
        base.close(self)
        if self.outlet is not None:
            self.outlet.close()

    methods = {
        "__init__": begin,
        "__module__": found.__module__,
        "write": write,
        "stop_application_mode": stop,
        "suspend_application_mode": suspend,
        "resume_application_mode": resume,
        "close": close,
    }
    return cast("type[Driver]", type(found.__name__, (found,), methods))


class _Decoder(codecs.getincrementaldecoder("utf-8")):  # type: ignore[misc]
    """Keys, also of old terminals: letters of another encoding are replaced, and mouse clicks, which may be any bytes,
    dropped: Textual has no use for them, and would take them for keys. Alt and a digit are that, and no letter."""

    def __init__(self) -> None:
        super().__init__("replace")
        self._half = b""

    def decode(self, data: bytes, final: bool = False) -> str:
        data = OLD_CLICK.sub(b"", self._half + data)
        half = _HALF_A_CLICK.search(data)
        self._half = half[0] if half is not None else b""
        whole = ALT_DIGIT.sub(lambda found: b"\x1b[%d;3u" % found[1][0], data.removesuffix(self._half))
        return str(super().decode(whole, final))


def _draw(loop: asyncio.AbstractEventLoop, app: Any) -> None:
    with contextlib.suppress(RuntimeError):  # it has ended
        loop.call_soon_threadsafe(partial(app.refresh, layout=True))


def is_hung_up(stream: TextIO | None) -> bool:
    """Whether nobody is at the other end of this terminal any more."""
    if stream is None or not hasattr(select, "poll"):
        return False
    look = select.poll()
    with contextlib.suppress(OSError, ValueError):
        look.register(stream.fileno(), 0)
        return any(event & (select.POLLHUP | select.POLLERR) for _, event in look.poll(0))
    return False
