"""The interface of INDI Web Manager, as far as Ekos uses it: profiles, and starting and stopping their drivers."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from . import version
from .context import Web
from .launcher import Launcher
from .listening import shown
from .security.origin import host_of, is_own_origin, knows_host
from .serving import NotControlled
from .store.profiles import Profile
from .store.users import Refusal
from .views import loads

__all__ = ["build_manager"]

logger = logging.getLogger("indipyweb")

_BODY: Final = 1 << 20
_TOLD: Final = 20
"""The most unknown names that are reported."""
PATIENCE: Final = 30.0


class _Refused(Exception):
    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(text)


class _Manager:
    def __init__(self, web: Web, launcher: Launcher) -> None:
        self._web = web
        self._launcher = launcher

    async def version(self, request: Request) -> Any:
        return {"version": version}

    async def status(self, request: Request) -> Any:
        running = await self._launcher.running()
        return [{"status": str(bool(running)), "active_profile": self._launcher.active if running else ""}]

    async def running(self, request: Request) -> Any:
        known = {driver.binary: driver for driver in (await self._launcher.installed()).values()}
        found = []
        for driver in await self._launcher.running():
            binary = driver["spec"] or driver["label"]
            listed = known.get(binary)
            label = driver.get("name") or (listed.label if listed else driver["label"])
            family, number = (listed.family, listed.version) if listed else ("", "")
            found.append({"name": label, "label": label, "binary": binary, "family": family, "version": number})
        return found

    async def installed(self, request: Request) -> Any:
        return [
            {"name": d.label, "label": d.label, "binary": d.binary, "version": d.version, "family": d.family}
            for d in (await self._launcher.installed()).values()
        ]

    async def profiles(self, request: Request) -> Any:
        return [_facts(number, profile) for number, profile in enumerate(self._web.profiles.all(), 1)]

    def _profile(self, request: Request) -> Profile:
        name = request.path_params["name"]
        found = self._web.profiles.get(name)
        if found is None:
            raise _Refused(404, f"there is no profile {name}")
        return found

    async def profile(self, request: Request) -> Any:
        return _facts(1, self._profile(request))

    async def add(self, request: Request) -> Any:
        name = request.path_params["name"]
        if self._web.profiles.get(name) is None:
            self._web.profiles.save(Profile(name))
            self._note(request, "save profile", name, "ok")

    async def change(self, request: Request) -> Any:
        given = await _body(request)
        profile = self._profile(request)  # only now: others may have changed it meanwhile
        if not isinstance(given, dict):
            raise _Refused(400, "an object is expected")
        port = given.get("port", profile.port)
        if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
            raise _Refused(400, "a port must be from 1 to 65535")
        autostart = bool(given.get("autostart", profile.autostart))
        self._web.profiles.save(replace(profile, port=port, autostart=autostart))
        if autostart != profile.autostart:
            self._note(request, "at boot", profile.name, "ok")

    async def delete(self, request: Request) -> Any:
        self._web.profiles.delete(request.path_params["name"])
        self._note(request, "delete profile", request.path_params["name"], "ok")

    async def labels(self, request: Request) -> Any:
        return [{"label": label} for label in self._profile(request).labels]

    async def remotes(self, request: Request) -> Any:
        return [{"remote": remote} for remote in self._profile(request).remotes]

    async def set_drivers(self, request: Request) -> Any:
        given = await _body(request)
        profile = self._profile(request)  # only now: others may have changed it meanwhile
        if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
            raise _Refused(400, "a list of drivers is expected")
        labels = tuple(str(one["label"])[:200] for one in given if "label" in one)
        remotes = tuple(str(one["remote"])[:200] for one in given if one.get("remote"))
        self._web.profiles.save(replace(profile, labels=labels, remotes=remotes))
        self._note(request, "save profile", profile.name, "ok", ", ".join(labels + remotes))

    async def start(self, request: Request) -> Any:
        profile = self._profile(request)
        problems = await self._launcher.start(profile)
        self._note(request, "profile started", profile.name, "; ".join(problems) or "ok")
        for problem in problems:
            logger.warning("profile %s: %s", profile.name, problem)

    async def stop(self, request: Request) -> Any:
        await self._launcher.stop()
        self._note(request, "profile stopped", "", "ok")

    async def act(self, request: Request) -> Any:
        deed, label = request.path_params["deed"], request.path_params["label"]
        if deed not in ("start", "stop", "restart"):
            raise _Refused(404, "use start, stop or restart")
        await self._launcher.act(deed, label)
        self._note(request, f"driver {deed}", label, "ok")

    async def custom(self, request: Request) -> Any:
        raise _Refused(403, "drivers that are not installed here are not started")

    def _note(self, request: Request, what: str, subject: str, outcome: str, detail: str = "") -> None:
        address = request.client.host if request.client else ""
        self._web.audit.note("(web manager)", address, what, subject, detail, outcome)


def _facts(number: int, profile: Profile) -> dict[str, Any]:
    auto = int(profile.autostart)
    return {"id": number, "name": profile.name, "port": profile.port, "autostart": auto, "autoconnect": 0}


async def _body(request: Request) -> Any:
    try:
        async with asyncio.timeout(PATIENCE):
            body = await request.body()
    except TimeoutError:
        raise _Refused(408, "the request did not arrive in time") from None
    try:
        return loads(body or b"null")
    except (ValueError, RecursionError):
        raise _Refused(400, "this is not JSON") from None


def _endpoint(handler: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            found = await handler(request)
        except _Refused as refused:
            return JSONResponse({"error": str(refused)}, refused.status)
        except Refusal as refusal:
            return JSONResponse({"error": str(refusal)}, 400)
        except NotControlled as error:
            return JSONResponse({"error": str(error)}, 503)
        except sqlite3.Error as error:  # locked by another program, or the disk is full
            logger.error("%s %s: the database cannot be used: %s", request.method, request.url.path, error)
            return JSONResponse({"error": f"the database cannot be used: {error}"}, 503)
        return JSONResponse({} if found is None else found)

    return endpoint


def build_manager(web: Web, launcher: Launcher) -> ASGIApp:
    """The application for the other port.

    Ekos sends no password, so there is none: whoever can reach the port may start installed drivers.
    """
    manager = _Manager(web, launcher)
    routes = [
        Route(path, _endpoint(handler), methods=[method])
        for method, path, handler in (
            ("GET", "/api/info/version", manager.version),
            ("GET", "/api/server/status", manager.status),
            ("GET", "/api/server/drivers", manager.running),
            ("POST", "/api/server/start/{name}", manager.start),
            ("POST", "/api/server/stop", manager.stop),
            ("GET", "/api/drivers", manager.installed),
            ("POST", "/api/drivers/{deed}/{label:path}", manager.act),
            ("GET", "/api/profiles", manager.profiles),
            ("POST", "/api/profiles/custom", manager.custom),
            ("POST", "/api/profiles/custom/add", manager.custom),
            ("GET", "/api/profiles/{name}", manager.profile),
            ("POST", "/api/profiles/{name}", manager.add),
            ("PUT", "/api/profiles/{name}", manager.change),
            ("DELETE", "/api/profiles/{name}", manager.delete),
            ("GET", "/api/profiles/{name}/labels", manager.labels),
            ("GET", "/api/profiles/{name}/remote", manager.remotes),
            ("POST", "/api/profiles/{name}/drivers", manager.set_drivers),
        )
    ]
    router = Router(routes, redirect_slashes=False)
    told: set[str] = set()

    async def gate(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        length = headers.get("content-length", "0")
        # No web page may use it, not even one of ours: it is for programs.
        name = headers.get("host", "")
        is_known = knows_host(name, web.host_names)
        if not is_known and name not in told and len(told) < _TOLD:
            told.add(name)
            logger.warning("for Ekos: refused, because this machine is not known as %r; see --host-name", name[:100])
        if is_known and scope["path"] == "/" and scope["method"] == "GET":  # a button in Ekos opens it in a browser
            own = f"http://{shown(host_of(name))}:{web.settings.port}"
            pages = web.settings.public_origin or own
            await RedirectResponse(f"{pages}{web.url('/server')}", 303)(scope, receive, send)
            return
        ok = is_known and "sec-fetch-site" not in headers and "transfer-encoding" not in headers
        if not ok or not is_own_origin(scope["method"], headers, (), identified=False):
            await PlainTextResponse("This is for programs.\n", 403)(scope, receive, send)
        elif not length.isdecimal() or len(length) > 18 or int(length) > _BODY:
            await PlainTextResponse("This is too large.\n", 413)(scope, receive, send)
        else:
            await router(scope, receive, send)

    return gate
