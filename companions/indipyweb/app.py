"""The ASGI application: the gate that every request passes, and the routes behind it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from indipyclient.addresses import parse_endpoint

from .context import Web
from .routes import HANDLERS
from .security.origin import HEADERS, HTTPS_HEADERS, is_own_origin, knows_host
from .security.passwords import PasswordsBusy
from .security.permissions import Actor, Need, Role, allows, rule_of
from .settings import Settings, clean_base, whole_path
from .store.database import Database
from .store.keeping import Parameters
from .visit import BEGAN, Answer, Handler, Problem, Visit

__all__ = ["build_app", "get_dbhost", "get_dbport", "make_app"]

logger = logging.getLogger("indipyweb")

BODY: Final = 1 << 20
UPLOAD: Final = 64 << 20
PATIENCE: Final = 30.0
"""Seconds in which a small request must be complete."""
SLOWEST: Final = 4096
"""Bytes per second of a request that takes longer."""
_BY_ITSELF: Final = ("/events", "/alerts", "/image.png", "/favicon.ico")
"""Requests that pages send without any activity of a user."""
_LOOK: Final = 0.5
_folder: Path | None = None


def make_app(dbfolder: str | os.PathLike[str] | None = None, securecookie: bool = False, basepath: str = "") -> ASGIApp:
    """The web client as an application for an ASGI server of your own.

    Args:
        dbfolder: Folder of the database; by default the working directory.
        securecookie: Cookies go over https only.
        basepath: The path below which everything is served.

    Raises:
        OSError: The database cannot be opened.
        ValueError: A path is invalid.
    """
    global _folder  # noqa: PLW0603 - get_dbhost() and get_dbport() are part of the contract
    folder = _folder = Path(dbfolder or ".").absolute()
    database = Database(folder)
    found = Parameters.load(database)
    database.close()
    settings = Settings(
        dbfolder=folder,
        host=found.host,
        port=found.port,
        servers=(str(parse_endpoint(found.indihost, found.indiport)),),
        blobfolder=whole_path(found.blobfolder) if found.blobfolder else None,
        secure=bool(securecookie),
        basepath=clean_base(basepath),
    )
    web = Web(settings)
    if web.needs_setup:
        logger.warning("to make the first account: %s/setup?token=%s", settings.basepath, web.new_setup_token())
    return build_app(web)


def _parameters() -> Parameters:
    database = Database(_folder or Path())
    try:
        return Parameters.load(database)
    finally:
        database.close()


def get_dbhost() -> str:
    """The listening address of the web server, according to the database."""
    return _parameters().host


def get_dbport() -> int:
    """The listening port of the web server, according to the database."""
    return _parameters().port


def build_app(web: Web) -> Gate:
    """The application over these parts.

    Raises:
        LookupError: A route has no rule.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        await web.start()
        ending = asyncio.create_task(_end_with_uvicorn(web), name="web: the end")
        try:
            yield
        finally:
            ending.cancel()
            await web.aclose()

    routes = [
        Route(path, _endpoint(web, handler, rule_of(method, path)), methods=[method])
        for method, path, handler in HANDLERS
    ]
    return Gate(web, Router(routes, redirect_slashes=False, lifespan=lifespan))


async def _end_with_uvicorn(web: Web) -> None:
    """End streams when uvicorn is told to end: it waits for them, and tells nobody."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    while getattr(server, "should_exit", None) is False:  # noqa: ASYNC110 - it says so nowhere else
        await asyncio.sleep(_LOOK)
    if getattr(server, "should_exit", False):
        web.close_streams()


def _endpoint(web: Web, handler: Handler, need: Need) -> Callable[[Request], Awaitable[Any]]:
    async def endpoint(request: Request) -> Answer:
        visit = _visit(web, request, need)
        try:
            visit.actor = visit.again()
            if not allows(need, visit.actor):
                return _refusal(visit)
            return await handler(visit)
        except PasswordsBusy:
            return _problem(visit, Problem(429, "Too many people are logging in; try again in a moment."))
        except Problem as problem:
            return _problem(visit, problem)
        except sqlite3.OperationalError as error:  # locked by another program, or the disk is full
            logger.error("%s %s: the database cannot be used: %s", request.method, request.url.path, error)
            return _problem(visit, Problem(503, f"Not done: the database cannot be used now ({error})."))
        except ClientDisconnect:  # the client has gone
            return PlainTextResponse("", 400)
        except Exception:
            logger.exception("%s %s has failed", request.method, request.url.path)
            return _problem(visit, Problem(500, "Something went wrong here; the log says more."))

    return endpoint


def _visit(web: Web, request: Request, need: Need) -> Visit:
    def who() -> Actor:
        return _actor(web, request)

    return Visit(web, request, Actor("", Role.NOBODY), need, who)


def _actor(web: Web, request: Request) -> Actor:
    address = request.client.host if request.client else ""
    path = request.scope["path"]
    header = request.headers.get("authorization", "")
    kind, _, token = header.partition(" ")
    if kind.lower() == "bearer" and (_is_for_programs(path) or path == "/metrics"):
        return web.actor_of_token(token.strip(), address) or Actor("", Role.NOBODY, address)
    # Following changes does not count as use of a login: an open tab does not keep it alive.
    is_auto = path in _BY_ITSELF or path.startswith("/static/") or (path == "/image" and "auto" in request.query_params)
    use = not is_auto and "x-refresh" not in request.headers
    return web.actor_of_session(request.cookies.get(web.settings.cookie, ""), address, use=use)


def _is_for_programs(path: str) -> bool:
    return path == "/api" or path.startswith("/api/")


def _refusal(visit: Visit) -> Response:
    path = visit.request.scope["path"]
    if visit.actor.name:
        return _problem(visit, Problem(403, "You may not do this with your account."))
    if _is_for_programs(path) or path in ("/metrics", "/events", "/alerts", "/part") or visit.wants_json:
        response = JSONResponse({"error": "log in first, or send a token"}, 401)
        response.headers["www-authenticate"] = "Bearer"
        return response
    if visit.request.method in ("GET", "HEAD"):
        query = visit.request.url.query
        target = path + (f"?{query}" if query else "")
        return RedirectResponse(visit.web.url("/login", next=target), 303)
    return _problem(visit, Problem(401, "Log in first."))


def _problem(visit: Visit, problem: Problem) -> Response:
    if visit.wants_json or _is_for_programs(visit.request.scope["path"]):
        return JSONResponse({"error": problem.text, **problem.more}, problem.status)
    try:
        return visit.render("error.html", problem.status, title="Not done", text=problem.text)
    except Exception:
        logger.exception("a page for an error could not be created")
        return PlainTextResponse(problem.text, problem.status)


class Gate:
    """The gate for every request, which checks its host, origin and size, and adds the headers of every answer.

    Args:
        web: The state shared by all requests.
        inner: Answers those that pass.
    """

    def __init__(self, web: Web, inner: ASGIApp) -> None:
        self.web = web
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.inner(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1003})
            return
        send = self._with_headers(scope, send)
        problem = self._problem(scope)
        if problem is not None:
            await problem(scope, receive, send)
            return
        scope = {**scope, BEGAN: asyncio.get_running_loop().time()}
        base = self.web.settings.basepath
        whole = scope
        if base:
            path = scope["path"]
            if path == base:
                await RedirectResponse(f"{base}/", 308)(scope, receive, send)
                return
            if not path.startswith(f"{base}/"):
                await PlainTextResponse("not found", 404)(scope, receive, send)
                return
            raw = scope.get("raw_path") or path.encode()
            scope = {**scope, "path": path[len(base) :], "raw_path": raw[len(base) :], "web_base": base}
        is_begun = False

        async def noted(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)

        try:
            await self.inner(scope, self._bounded(whole, receive), noted)
        except asyncio.CancelledError:
            if not self.web.is_ending:
                raise
            if not is_begun:  # it has taken longer than the server waits when it ends
                await PlainTextResponse("The web server is being restarted.\n", 503)(scope, receive, send)

    def _problem(self, scope: Scope) -> Response | None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        settings = self.web.settings
        if not knows_host(headers.get("host", ""), self.web.host_names):
            return PlainTextResponse("This server has another name; see indipyweb --host-name.\n", 421)
        own = {f"{scope.get('scheme', 'http')}://{headers['host'].lower()}", settings.public_origin} - {""}
        cookies = b";".join(value for name, value in scope["headers"] if name == b"cookie")
        identified = settings.cookie.encode() in cookies
        if not is_own_origin(scope["method"], headers, own, identified=identified):
            return PlainTextResponse("This request comes from a page of another site.\n", 403)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 18 or int(length) > self._most(scope):
            if _is_for_programs(scope["path"].removeprefix(settings.basepath)):
                text = f"up to {BODY >> 20} MiB of JSON, or {UPLOAD >> 20} MiB to /api/DEVICE/PROPERTY/MEMBER/blob"
                return JSONResponse({"error": f"this is too large: {text}"}, 413)
            return PlainTextResponse("This is too large.\n", 413)
        return None

    def _most(self, scope: Scope) -> int:
        """The most bytes of a request: only files for devices need many."""
        base = self.web.settings.basepath
        kind = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
        is_form = kind.startswith(b"multipart/form-data") and scope["path"] == f"{base}/set"
        raw = (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0]
        names = raw.removeprefix(f"{base}/api/".encode()).split(b"/")
        is_blob = scope["path"].startswith(f"{base}/api/") and len(names) == 4 and names[3] == b"blob"
        return UPLOAD + BODY if is_form else UPLOAD if is_blob else BODY

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """Read it, unless it is too large, or slower than a bad link, which would occupy a connection."""
        most = self._most(scope)
        taken = 0
        is_whole = False
        began = scope[BEGAN]

        async def bounded() -> Message:
            nonlocal taken, is_whole
            due = None if is_whole else began + PATIENCE + taken / SLOWEST
            try:
                async with asyncio.timeout_at(due):
                    message = await receive()
            except TimeoutError:
                # Not 408: browsers send such a request again by themselves, a command as well.
                raise Problem(400, "The request did not arrive in time.") from None
            taken += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if taken > most:
                raise Problem(413, "This is too large.")
            return message

        return bounded

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        settings = self.web.settings
        standing = dict(HEADERS)
        if settings.is_https or scope.get("scheme") == "https":
            standing |= HTTPS_HEADERS
            if settings.hsts:
                standing["strict-transport-security"] = "max-age=31536000"

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message.get("headers", ())}
                more = [(n.encode(), v.encode()) for n, v in standing.items() if n.encode() not in given]
                message = {**message, "headers": [*message.get("headers", ()), *more]}
            await send(message)

        return with_headers
