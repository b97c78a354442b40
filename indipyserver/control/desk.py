"""The answers to requests: the one place that knows what can be requested.  No I/O of its own."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary

from ..clients.admission import Admission
from ..relay.peer import Peer
from ..release import RELEASE
from ..services import Services
from ..sources.recent import MOST_KEPT
from ..sources.source import Source
from ..spec import PROGRAM_OPTIONS
from .log import MOST_LOG_LINES, RecentLog
from .watch import Watch, line_record
from .wire import VERSION, Code, ControlError, Request, Value

__all__ = ["CHANGES", "REQUESTS", "Argument", "Asked", "Desk", "Facts"]

logger = logging.getLogger("indipyserver.control")

Record = dict[str, Any]
_USUAL_LINES: Final = 100


class Facts(Protocol):
    """What is needed of a server, besides what it serves."""

    @property
    def listening(self) -> list[str]: ...
    @property
    def port(self) -> int: ...
    @property
    def stop(self) -> bool: ...

    @property
    def connectionpool(self) -> list[Peer]: ...

    maxconnections: int
    admission: Admission


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a request.

    Attributes:
        kinds: The types that it may have.
        required: The request needs it.
    """

    kinds: tuple[type, ...]
    required: bool = False


_ONE_DRIVER: Final = {"driver": Argument((str, int), required=True)}
REQUESTS: Final[Mapping[str, Mapping[str, Argument]]] = {
    "status": {},
    "drivers": {},
    "remotes": {},
    "clients": {},
    "log": {"driver": Argument((str, int)), "lines": Argument((int,))},
    "start": _ONE_DRIVER,
    "stop": _ONE_DRIVER,
    "restart": _ONE_DRIVER,
    "add": {
        "spec": Argument((str,), required=True),
        **{name: Argument((str,)) for name in PROGRAM_OPTIONS},
    },
    "remove": _ONE_DRIVER,
    "follow": {"log": Argument((bool,))},
}
"""All requests, with their arguments."""


CHANGES: Final = ("start", "stop", "restart", "add", "remove")
"""Requests that change something, which may take some time."""


class Asked(Protocol):
    """The connection on which a request arrived."""

    label: str
    """Who has connected, for the log."""

    def follow(self, log: bool) -> None:
        """Send it changes from now on, and with `log` what is logged."""


class Desk:
    """Answers requests.

    Args:
        server: The server.
        watch: Knows what is served, and the clients.
        services: Starts and stops.
        log: Has the last lines.
        turn: Lets what has been started run for a moment.
        clock: Returns the present time, in seconds since the epoch.
    """

    def __init__(
        self,
        server: Facts,
        watch: Watch,
        services: Services,
        log: RecentLog,
        *,
        turn: Callable[[], Awaitable[None]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._server = server
        self._watch = watch
        self._services = services
        self._log = log
        self._turn = turn
        self._stopped: WeakKeyDictionary[Source, set[str]] = WeakKeyDictionary()  # with the devices that each had
        self._since = clock()
        self._clock = clock
        self._handlers: dict[str, Callable[[Asked, Mapping[str, Any]], Awaitable[Record]]] = {
            "status": self._status,
            "drivers": self._drivers,
            "remotes": self._remotes,
            "clients": self._clients,
            "log": self._lines,
            "start": self._start,
            "stop": self._stop,
            "restart": self._restart,
            "add": self._add,
            "remove": self._remove,
            "follow": self._follow,
        }

    async def answer(self, asked: Asked, request: Request) -> Record:
        """Carry out one request.

        Args:
            asked: The connection it came from.
            request: The request.

        Returns:
            The result.

        Raises:
            ControlError: It is not carried out.
        """
        handler = self._handlers.get(request.do)
        if handler is None:
            raise ControlError(Code.REQUEST, f"{request.do!r:.80} cannot be done; there is {', '.join(REQUESTS)}")
        arguments = _checked(request)
        if request.do in CHANGES:
            logger.info("%s asks: %s %s", asked.label, request.do, " ".join(map(str, arguments.values())))
        try:
            return await handler(asked, arguments)
        except (ValueError, ImportError) as error:
            raise ControlError(Code.REFUSED, str(error)) from error

    # Queries

    async def _status(self, asked: Asked, arguments: Mapping[str, Any]) -> Record:
        admission = self._server.admission
        return {
            "protocol": VERSION,
            "version": RELEASE,
            "pid": os.getpid(),
            "since": self._since,
            "uptime": max(0.0, self._clock() - self._since),
            "stopping": self._server.stop,
            "port": self._server.port,
            "listening": self._server.listening,
            "drivers": sum(1 for source in self._watch.sources()),
            "running": sum(1 for source in self._watch.sources() if source.running),
            "clients": len(self._server.connectionpool),
            "most_clients": self._server.maxconnections,
            "clients_served": admission.served,
            "clients_refused": admission.refused,
            **self._watch.traffic(),
        }

    async def _drivers(self, asked: Asked, arguments: Mapping[str, Any]) -> Record:
        return {"drivers": self._watch.drivers(remote=False)}

    async def _remotes(self, asked: Asked, arguments: Mapping[str, Any]) -> Record:
        return {"remotes": self._watch.drivers(remote=True)}

    async def _clients(self, asked: Asked, arguments: Mapping[str, Any]) -> Record:
        return {"clients": self._watch.clients()}

    async def _lines(self, asked: Asked, arguments: Mapping[str, Any]) -> Record:
        count = arguments.get("lines", _USUAL_LINES)
        if count < 1:
            raise ControlError(Code.REQUEST, "lines must be 1 or more")
        if "driver" not in arguments:
            found = self._log.last(min(count, MOST_LOG_LINES))
        else:
            lines = []
            for source in self._find(arguments["driver"]):
                lines += source.recent.last(MOST_KEPT)
                if source.kind == "python":
                    lines += self._log.of_drivers(source.devices)
            found = sorted(lines)[-count:]
        return {"lines": list(map(line_record, found))}

    # Commands

    async def _start(self, asked: Asked, arguments: Mapping[str, Any]) -> Record:
        sources = self._find(arguments["driver"])
        for source in sources:
            self._services.resume(source)
        return await self._result(sources)

    async def _stop(self, asked: Asked, arguments: Mapping[str, Any]) -> Record:
        sources = self._find(arguments["driver"])
        for source in sources:
            if source.devices:
                self._stopped[source] = set(source.devices)
            await self._services.halt(source)
        return await self._result(sources)

    async def _restart(self, asked: Asked, arguments: Mapping[str, Any]) -> Record:
        sources = self._find(arguments["driver"])
        for source in sources:
            await self._services.restart(source)
        return await self._result(sources)

    async def _add(self, asked: Asked, arguments: Mapping[str, Any]) -> Record:
        return await self._result(self._services.start(arguments["spec"], **_without("spec", arguments)))

    async def _remove(self, asked: Asked, arguments: Mapping[str, Any]) -> Record:
        sources = self._find(arguments["driver"])
        removed = []
        for source in sources:
            removed.append({"id": self._watch.id(source), "label": source.label})
            await self._services.remove(source)
        return {"removed": removed}

    async def _follow(self, asked: Asked, arguments: Mapping[str, Any]) -> Record:
        asked.follow(bool(arguments.get("log")))
        return {
            "drivers": self._watch.drivers(remote=False),
            "remotes": self._watch.drivers(remote=True),
            "clients": self._watch.clients(),
        }

    async def _result(self, sources: list[Source]) -> Record:
        for _ in range(10):
            if all(map(self._watch.has_begun, sources)):
                break
            await self._turn()
        return {"drivers": list(map(self._watch.driver, sources))}

    def _find(self, name: str | int) -> list[Source]:
        """The sources that are meant, by number, spec, device name or label; one spec may stand for several drivers.

        Raises:
            ControlError: There is no such source, or there are several.
        """
        sources = self._watch.sources()
        if isinstance(name, str) and name.isascii() and name.isdigit() and len(name) < 10:
            name = int(name)
        if isinstance(name, int):
            found = [source for source in sources if self._watch.id(source) == name]
            if not found:
                raise ControlError(Code.UNKNOWN, f"nothing that is served has the number {name!s:.40}")
            return found
        for matches in (self._has_spec, self._has_device, self._has_label, self._had_device):
            found = [source for source in sources if matches(source, name)]
            if len(found) > 1 and not (matches == self._has_spec and self._services.are_one(found)):
                numbers = ", ".join(str(self._watch.id(source)) for source in found)
                raise ControlError(
                    Code.AMBIGUOUS, f"{name!r} is served {len(found)} times: name one by its number, {numbers}"
                )
            if found:
                return found
        labels = ", ".join(source.label for source in sources) or "nothing"
        raise ControlError(Code.UNKNOWN, f"{name!r:.200} is not served; there is {labels:.500}")

    def _has_spec(self, source: Source, name: str) -> bool:
        spec, _ = self._services.named(source)
        return spec is not None and name in (spec, os.path.basename(spec))

    def _has_device(self, source: Source, name: str) -> bool:
        _, asked_for = self._services.named(source)
        return name == asked_for or name in source.devices

    def _had_device(self, source: Source, name: str) -> bool:
        """Whether it was stopped by the name of a device that it no longer has."""
        return not source.devices and name in self._stopped.get(source, ())

    def _has_label(self, source: Source, name: str) -> bool:
        return name == source.label or source.label == f"remote {name}"


def _checked(request: Request) -> dict[str, Any]:
    """The arguments that were given and are not null.

    Raises:
        ControlError: An argument is missing, unknown or of a wrong type.
    """
    known = REQUESTS[request.do]
    arguments = {name: value for name, value in request.arguments.items() if value is not None}
    for name, value in arguments.items():
        argument = known.get(name)
        if argument is None:
            raise ControlError(Code.REQUEST, f"{request.do} takes no {name!r:.80}")
        if type(value) not in argument.kinds:
            raise ControlError(Code.REQUEST, f"{name} must be {_in_words(argument)}, not {_kind(value)}")
    for name, argument in known.items():
        if argument.required and name not in arguments:
            raise ControlError(Code.REQUEST, f"{request.do} needs {name!r}")
    return arguments


_KIND_WORDS: Final = {str: "a text", int: "a whole number", bool: "true or false"}


def _in_words(argument: Argument) -> str:
    return " or ".join(_KIND_WORDS[kind] for kind in argument.kinds)


def _kind(value: Value) -> str:
    return _KIND_WORDS[type(value)]


def _without(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in arguments.items() if key != name}
