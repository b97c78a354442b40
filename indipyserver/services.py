"""What is served, by the specs that name it: on the command line, in the FIFO and at the control socket."""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from .certificates import client_context
from .loading import load_drivers
from .process import away_from
from .relay.switchboard import Switchboard
from .sources.exdriver import RESTARTS
from .sources.source import Source
from .sources.sources import Sources
from .spec import ProgramSpec, PythonSpec, RemoteSpec, Spec, parse_spec

__all__ = ["Services"]

logger = logging.getLogger("indipyserver.cli")
control_logger = logging.getLogger("indipyserver.control")


@dataclass(eq=False, slots=True)
class _Served:
    """A spec that is being served.

    Attributes:
        spec: The spec as given.
        parts: The server's objects for it.
        name: The requested device name, or None.
    """

    spec: str
    parts: list[Any]
    name: str | None = None

    def has(self, device: str) -> bool:
        """Was this device requested, or has it been announced?"""
        return device == self.name or any(device in part.devices for part in self.parts)


class _ServerShape(Protocol):
    """What is needed of a server."""

    devices: dict[str, Any]
    board: Switchboard
    shutdown_grace: float

    @property
    def stop(self) -> bool: ...
    def add_driver(self, driver: Any) -> Source: ...
    def add_exdriver(
        self,
        program: str,
        *,
        name: str | None,
        config: str | None,
        skeleton: str | None,
        prefix: str | None,
        restarts: int,
    ) -> Source: ...
    def add_remote(
        self, host: str, port: int, blob_enable: object, *, device: str | None, ssl: ssl.SSLContext | None
    ) -> Source: ...
    async def remove(self, part: Any) -> None: ...


class Services:
    """Starts and stops what specs name, the DRIVER arguments of the command ``indipyserver``.

    Args:
        server: Serves it.
        sources: Everything that the server serves.

    Attributes:
        restarts: How often a program is restarted when it ends.
        to_other_servers: Creates the context of a link with TLS.
        folder: The base of relative paths, wherever a driver may have gone; "": the current folder.
    """

    def __init__(self, server: _ServerShape, sources: Sources) -> None:
        self.restarts = RESTARTS
        self.to_other_servers: Callable[[], ssl.SSLContext] = client_context
        self.folder = ""
        self._server = server
        self._sources = sources
        self._entries: list[_Served] = []
        self._busy: set[Source] = set()  # those that are being stopped, restarted or removed

    @property
    def specs(self) -> list[str]:
        """What is served, oldest first."""
        return [entry.spec for entry in self._entries]

    def start(
        self,
        spec: str | Spec,
        *,
        name: str | None = None,
        config: str | None = None,
        skeleton: str | None = None,
        prefix: str | None = None,
    ) -> list[Any]:
        """Serve what a specification names; the same spec twice is served twice.

        Args:
            spec: See :func:`parse_spec`.
            name: For programs: the name of the device (INDIDEV).
            config: For programs: the configuration file (INDICONFIG).
            skeleton: For programs: the skeleton file (INDISKEL).
            prefix: For programs: INDIPREFIX.

        Returns:
            What :meth:`.IPyServer.remove` takes; Python code may return several drivers.

        Raises:
            ValueError: The spec, or an option with it, makes no sense, a device is served already, or the
                server is about to end.
            ImportError: There is no such Python code, or it failed.
        """
        if isinstance(spec, str):
            spec = parse_spec(spec)
        server = self._server
        if server.stop:
            raise ValueError(f"{spec.text!r} is not started: the server is stopping")
        if isinstance(spec, ProgramSpec):
            _warn_of_scripts(os.path.join(away_from(self.folder), spec.text))
            part: Any = server.add_exdriver(
                spec.text, name=name, config=config, skeleton=skeleton, prefix=prefix, restarts=self.restarts
            )
            entry = _Served(spec.text, [part], name)
        elif name or config or skeleton or prefix:
            raise ValueError(f"{spec.text!r} is not a program, so it takes no options")
        elif isinstance(spec, RemoteSpec):
            context = self.to_other_servers() if spec.tls else None
            part = server.add_remote(spec.host, spec.port, blob_enable=True, device=spec.device, ssl=context)
            entry = _Served(spec.text, [part])
        else:
            return self._start_drivers(spec)
        self._entries.append(entry)
        return list(entry.parts)

    def _start_drivers(self, spec: PythonSpec) -> list[Any]:
        """Serve the drivers that this Python code returns: all of them, or none if one is already being run."""
        server = self._server
        drivers = load_drivers(spec, away_from(self.folder))
        names = [name for driver in drivers for name in driver.data]
        for name in names:
            if names.count(name) > 1 or name in server.devices or not server.board.router.may_claim(name):
                raise ValueError(f"{spec.text!r} is not served: there is already a device named {name!r}")
        entry = _Served(spec.text, [])
        try:
            for driver in drivers:
                entry.parts.append(server.add_driver(driver))
        except RuntimeError as error:
            raise ValueError(f"{spec.text!r}: {error}") from error
        finally:
            if entry.parts:
                self._entries.append(entry)
        return list(entry.parts)

    async def stop(self, spec: str, name: str | None = None) -> None:
        """Stop the first that was started with exactly this spec, and wait until it has ended.

        Args:
            spec: The spec as given at its start.
            name: Only one that has this device.

        Raises:
            LookupError: There is none.
        """
        for entry in self._entries:
            if entry.spec == spec and (name is None or entry.has(name)):
                break
        else:
            which = f"{spec!r} with a device {name!r}" if name is not None else repr(spec)
            running = ", ".join(map(repr, self.specs)) or "nothing"
            raise LookupError(f"{which} is not running; what can be stopped is {running}")
        self._entries.remove(entry)
        for part in entry.parts:
            with contextlib.suppress(ValueError):  # a script has removed it
                await self._server.remove(part)

    # Single parts, whoever has added them

    def named(self, source: Source) -> tuple[str | None, str | None]:
        """The spec with which this was started, and the requested device name, if there are any."""
        for entry in self._entries:
            if source in entry.parts:
                return entry.spec, entry.name
        return None, None

    def are_one(self, sources: Collection[Source]) -> bool:
        """Whether one start has brought all of these."""
        return any(all(source in entry.parts for source in sources) for entry in self._entries)

    async def halt(self, source: Source) -> None:
        """Stop something that is served, and wait until it has ended; :meth:`resume` starts it again.

        Raises:
            ValueError: Another request is just stopping, restarting or removing it.
        """
        with self._alone(source):
            await self._halt(source)

    def resume(self, source: Source) -> None:
        """Start something that has been stopped, or has ended; nothing happens to what is running.

        Raises:
            ValueError: It is being stopped, something else is running it, or the server is about to end.
        """
        with self._alone(source):
            self._resume(source)

    async def restart(self, source: Source) -> None:
        """Stop something and start it again: a program as a new process, a remote server with a new link.

        Raises:
            ValueError: For the reasons of :meth:`halt` and :meth:`resume`.
        """
        with self._alone(source), self._sources.restarting(source):
            self._check_that_it_serves(source)
            await self._halt(source)
            self._resume(source)

    async def remove(self, source: Source) -> None:
        """Stop something, wait until it has ended, and forget it.

        Raises:
            ValueError: It is not served here, or another request is just stopping or removing it.
        """
        with self._alone(source):
            self._sources.find(source)
            for entry in list(self._entries):
                if source in entry.parts:
                    entry.parts.remove(source)
                    if not entry.parts:
                        self._entries.remove(entry)
            await self._server.remove(source)

    async def _halt(self, source: Source) -> None:
        await self._sources.halt(source, self._server.shutdown_grace)
        source.recent.log(control_logger, logging.INFO, f"{source.label} has been stopped")

    def _resume(self, source: Source) -> None:
        self._check_that_it_serves(source)
        try:
            self._sources.resume(source)
        except RuntimeError as error:
            raise ValueError(f"{source.label}: {error}") from error

    def _check_that_it_serves(self, source: Source) -> None:
        if self._server.stop:
            raise ValueError(f"{source.label} is not started: the server is stopping")

    @contextlib.contextmanager
    def _alone(self, source: Source) -> Iterator[None]:
        if source in self._busy:
            raise ValueError(f"{source.label} is just being stopped; try again when it has ended")
        self._busy.add(source)
        try:
            yield
        finally:
            self._busy.discard(source)


def _warn_of_scripts(spec: str) -> None:
    """Log a hint: a Python file that is not executable was meant in one of two ways."""
    if spec.endswith(".py") and os.path.isfile(spec) and not os.access(spec, os.X_OK):
        logger.error(
            "%s is not executable; to run it as a program: chmod +x %s; "
            "to serve drivers that a function of it returns: %s:FUNCTION",
            spec,
            spec,
            spec,
        )
