"""What the command serves, by the specs it was told: from its arguments, and through its FIFO later."""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..certificates import client_context
from ..loading import load_drivers
from ..sources.exdriver import RESTARTS
from ..spec import ProgramSpec, PythonSpec, RemoteSpec, Spec, parse_spec

if TYPE_CHECKING:
    from ..ipyserver import IPyServer

__all__ = ["Services"]

logger = logging.getLogger("indipyserver.cli")


@dataclass(eq=False, slots=True)
class _Entry:
    """One spec that is served.

    Attributes:
        spec: As it was given.
        parts: What the server made of it.
        name: The name of the device that was asked for, or None.
    """

    spec: str
    parts: list[Any]
    name: str | None = None

    def has(self, device: str) -> bool:
        """Was this device asked for, or has it been announced?"""
        return device == self.name or any(device in part.devices for part in self.parts)


class Services:
    """Starts and stops what specs name.

    Args:
        server: Serves it.
        restarts: How often a program is restarted when it ends.
        to_other_servers: Makes the context of a link with TLS.
    """

    def __init__(
        self,
        server: IPyServer,
        restarts: int = RESTARTS,
        to_other_servers: Callable[[], ssl.SSLContext] = client_context,
    ) -> None:
        self._to_other_servers = to_other_servers
        self._server = server
        self._restarts = restarts
        self._entries: list[_Entry] = []

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
    ) -> None:
        """Serve what a specification names; the same spec twice is served twice.

        Args:
            spec: See :func:`parse_spec`.
            name: For programs: the name of the device (INDIDEV).
            config: For programs: the configuration file (INDICONFIG).
            skeleton: For programs: the skeleton file (INDISKEL).
            prefix: For programs: INDIPREFIX.

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
            _warn_of_scripts(spec.text)
            part: Any = server.add_exdriver(
                spec.text, name=name, config=config, skeleton=skeleton, prefix=prefix, restarts=self._restarts
            )
            self._entries.append(_Entry(spec.text, [part], name))
        elif name or config or skeleton or prefix:
            raise ValueError(f"{spec.text!r} is not a program, so it takes no options")
        elif isinstance(spec, RemoteSpec):
            context = self._to_other_servers() if spec.tls else None
            part = server.add_remote(spec.host, spec.port, blob_enable=True, device=spec.device, ssl=context)
            self._entries.append(_Entry(spec.text, [part]))
        else:
            self._start_drivers(spec)

    def _start_drivers(self, spec: PythonSpec) -> None:
        """Serve the drivers that this Python code returns: all of them, unless one is run by somebody else."""
        server = self._server
        drivers = load_drivers(spec)
        names = [name for driver in drivers for name in driver.data]
        for name in names:
            if names.count(name) > 1 or name in server.devices or not server.board.router.may_claim(name):
                raise ValueError(f"{spec.text!r} is not served: there is already a device named {name!r}")
        entry = _Entry(spec.text, [])
        try:
            for driver in drivers:
                entry.parts.append(server.add_driver(driver))
        except RuntimeError as error:
            raise ValueError(f"{spec.text!r}: {error}") from error
        finally:
            if entry.parts:
                self._entries.append(entry)

    async def stop(self, spec: str, name: str | None = None) -> None:
        """Stop the first that was started with this very spec, and wait until it has ended.

        Args:
            spec: The spec as it was given at its start.
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
            raise LookupError(f"{which} is not running; there is {running}")
        self._entries.remove(entry)
        for part in entry.parts:
            with contextlib.suppress(ValueError):  # a script has removed it
                await self._server.remove(part)


def _warn_of_scripts(spec: str) -> None:
    """A Python file that is not executable was meant in one of two ways."""
    if spec.endswith(".py") and os.path.isfile(spec) and not os.access(spec, os.X_OK):
        logger.error(
            "%s is not executable; to run it as a program: chmod +x %s; "
            "to serve drivers that a function of it returns: %s:FUNCTION",
            spec,
            spec,
            spec,
        )
