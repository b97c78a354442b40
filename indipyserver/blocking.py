"""A server as a whole program: it runs until a signal ends it, and reports what it is doing."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import sys
from collections.abc import Iterable
from typing import Any

from indipydriver.transport.calling import refuse_within_loop
from indipydriver.transport.leftthreads import Watchdog

from .runevent import RunEvent
from .settings import ServerSettings

__all__ = ["BlockingServer"]

logger = logging.getLogger("indipyserver.ipyserver")


class BlockingServer(ServerSettings):
    """The base of a server: :meth:`run`, for programs that do nothing else."""

    started: RunEvent
    port: Any
    shutdown_grace: Any
    devices: dict[str, Any]

    def run(self) -> None:
        """Serve until :meth:`.IPyServer.shutdown` or a signal. It blocks: a program needs nothing else.

        The signals are Ctrl-C, SIGTERM, and SIGHUP, which comes when the terminal is closed.

        It writes to standard error where clients can connect. In a notebook, and wherever an event loop is already
        running, use ``await server.asyncrun()``.

        Raises:
            SystemExit: After a signal, with status 130 (Ctrl-C), 143 (SIGTERM) or 129 (SIGHUP); or it cannot listen,
                with the reason.
            RuntimeError: An event loop is already running.
        """
        refuse_within_loop("await server.asyncrun()")
        try:
            asyncio.run(self._announced_run())
        except KeyboardInterrupt:
            raise SystemExit(128 + signal.SIGINT) from None

    async def asyncrun(self) -> None:
        """Serve."""
        raise NotImplementedError

    @property
    def listening(self) -> list[str]:
        """A description of where clients can connect."""
        raise NotImplementedError

    async def _announced_run(self) -> None:
        announcing = asyncio.create_task(self._announce(), name="announcement")
        try:
            await self.asyncrun()
        except OSError as error:  # any other failure does not concern this server's port or host
            text = error.strerror or str(error)
            if error.errno == errno.EADDRINUSE and f" port {self.port}:" in text:  # not a local socket
                text += "; to use another port: IPyServer(..., port=PORT)"
            raise SystemExit(text) from None
        finally:
            announcing.cancel()
            Watchdog(logger, float(self.shutdown_grace)).start()

    async def _announce(self) -> None:
        await self.started.wait()
        what = shown(self.devices) or "drivers"
        for place in self.listening:
            _say(f"serving {what} on {place}; Ctrl-C ends it")


def shown(names: Iterable[str], most: int = 8) -> str:
    """Names for one line of text."""
    all_names = list(names)
    more = [f"{len(all_names) - most} more"] if len(all_names) > most else []
    return ", ".join(all_names[:most] + more)


def _say(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
