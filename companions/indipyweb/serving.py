"""INDI servers on this machine: one in this process, and those that can be controlled."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

from indipyserver import Control, ControlError, IPyServer

__all__ = ["Controlled", "NotControlled", "serve"]

logger = logging.getLogger("indipyweb")

_PATIENCE: Final = 20.0
_GRACE: Final = 15.0
LOCAL: Final = ("localhost", "127.0.0.1", "::1")
# What may be added from a page: libindi's drivers by name, and other servers.  A path or Python code would let whoever
# has an administrator's password run any program here.
# What begins like a path is one for the INDI server, even with an @ in it.
_REMOTE: Final = r"(?![./])[^@\n]{0,60}@(tls://)?[A-Za-z0-9.:\[\]-]{1,100}"
REMOTE: Final = re.compile(_REMOTE)
ADDABLE: Final = re.compile(rf"indi_[A-Za-z0-9_]{{1,60}}|{_REMOTE}")
DEEDS: Final = ("start", "stop", "restart", "remove")


class NotControlled(Exception):
    """The server cannot be reached, or refuses; the text says why."""


class Controlled:
    """An INDI server with a control socket.

    Args:
        path: The path of the socket; None for the usual one of a server on this machine.
        port: The port of that server.
    """

    def __init__(self, path: str | None, port: int) -> None:
        self._path = path
        self._port = port

    @contextlib.asynccontextmanager
    async def _control(self) -> AsyncIterator[Control]:
        try:
            async with Control(self._path, port=self._port, timeout=_PATIENCE) as control:
                yield control
        except ControlError as error:
            raise NotControlled(str(error)) from None
        except TimeoutError as error:
            raise NotControlled(str(error)) from None
        except OSError as error:
            raise NotControlled(error.strerror or str(error)) from None

    async def look(self) -> dict[str, Any]:
        """What the server does: ``status``, ``drivers``, ``remotes`` and ``clients`` of its control interface.

        Raises:
            NotControlled: It cannot be reached.
        """
        async with self._control() as control:
            return {
                "status": await control.status(),
                "drivers": [*await control.drivers(), *await control.remotes()],
                "clients": await control.clients(),
            }

    async def do(self, deed: str, driver: int) -> None:
        """Start, stop, restart or remove a driver.

        Raises:
            NotControlled: It was not done.
        """
        if deed not in DEEDS:
            raise NotControlled(f"a driver can be told to {', '.join(DEEDS)}")
        async with self._control() as control:
            await control.request(deed, driver=driver)

    async def add(self, spec: str, name: str = "") -> None:
        """Serve something more.

        Raises:
            NotControlled: It was not done.
        """
        if not ADDABLE.fullmatch(spec):
            raise NotControlled("only libindi's drivers (indi_...) and other servers (@host) can be added here")
        async with self._control() as control:
            await control.add(spec, name=name or None)

    async def add_installed(self, binary: str, name: str, skeleton: str = "") -> None:
        """Serve a driver of the lists of this machine.

        Raises:
            NotControlled: It was not done.
        """
        async with self._control() as control:
            await control.add(binary, name=name, skeleton=skeleton or None)


@contextlib.asynccontextmanager
async def serve(words: Sequence[str], port: int) -> AsyncIterator[tuple[IPyServer, Controlled]]:
    """Run an INDI server in this process.

    Args:
        words: What it serves, DRIVER arguments of the command ``indipyserver``.
        port: The port for other INDI clients; 0 picks a free one.

    Raises:
        ValueError: An argument is invalid.
        ImportError: There is no such Python code, or it failed.
        OSError: It cannot listen.
    """
    with tempfile.TemporaryDirectory(prefix="indipyweb-") as folder:  # accessible to its owner only
        path = str(Path(folder) / "control")
        server = IPyServer(port=port, control=path)
        for word in words:
            server.services.start(word)
        running = asyncio.create_task(server.asyncrun(), name="the INDI server")
        starting = asyncio.create_task(_started(server))
        try:
            await asyncio.wait([running, starting], return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                await running
            logger.info("serving %s on localhost port %d", ", ".join(words), server.port)
            yield server, Controlled(path, server.port)
        finally:
            starting.cancel()
            server.shutdown()
            await asyncio.wait([running], timeout=_GRACE)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def _started(server: IPyServer) -> None:
    await server.started.wait()
