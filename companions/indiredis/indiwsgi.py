"""A web page over redis, as a WSGI application: it reads keys, and publishes commands."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, quote, unquote, urlencode

from . import tools
from .blobfolder import open_folder
from .errors import need
from .inbox import LATE
from .keys import Keys
from .servers import RedisServer
from .web import security
from .web.forms import BadForm, Form, TooLarge, read_form
from .web.sending import meaning_of, send_form

__all__ = ["make_wsgi_app"]

logger = logging.getLogger("indiredis")

SESSION: Final = 12 * 3600
"""Seconds for which a login is valid."""
SESSIONS: Final = 10
LOGINS: Final = 3
"""Logins that may wait for the check of a password at one time."""
WRONG: Final = "This is not the password"
ASK_AGAIN: Final = 5.0
TRY_AGAIN: Final = 2.0
"""Seconds after a failure in which redis counts as gone, so that a command does not wait for many requests in turn."""
LISTED: Final = 500
StartResponse = Callable[..., Any]
Environ = Mapping[str, Any]


class _Answer(Exception):
    """The response, raised where it is known."""

    def __init__(self, status: str, body: str | bytes = "", headers: Iterable[tuple[str, str]] = ()) -> None:
        self.status = status
        self.body = body.encode() if isinstance(body, str) else body
        self.headers = list(headers)
        super().__init__(status)


def make_wsgi_app(
    redisserver: RedisServer,
    blob_folder: str | os.PathLike[str] = "",
    url: str = "/",
    hashedpassword: str = "",
    *,
    hosts: Iterable[str] = (),
) -> Callable[[Environ, StartResponse], Iterable[bytes]]:
    """A WSGI application that shows what is in redis, and sends commands through it.

    Args:
        redisserver: From :func:`indiredis.redis_server`.
        blob_folder: The folder of BLOBs; without it, none are listed.
        url: The path below which it is served.
        hashedpassword: From :func:`indiredis.web.security.hash_password`; without it everybody who can reach the page
            may use it, so it should be served on this machine only.
        hosts: Names under which the page is reached, besides addresses and the name of this machine; they matter
            without a password.

    Raises:
        MissingPackage: A package is not installed.
    """
    return _Page(redisserver, blob_folder, url, hashedpassword, hosts)


@dataclass(slots=True)
class _Seen:
    """What a page is built from."""

    devices: list[str]
    message: str | None
    groups: list[str] = field(default_factory=list)
    group: str = ""
    device_message: str | None = None
    properties: list[tuple[dict[str, str], list[dict[str, Any]]]] = field(default_factory=list)

    def digest(self) -> str:
        """Of everything but values and states: if it changes, the page has to be rebuilt."""
        shape: list[Any] = [self.devices, self.message, self.groups, self.device_message]
        for fields, elements in self.properties:
            shape.append({name: text for name, text in fields.items() if name not in ("state", "timestamp")})
            shape += [[each["name"], each["label"], each.get("filepath")] for each in elements]
        return hashlib.sha256(json.dumps(shape).encode()).hexdigest()[:16]


class _Page:
    """The application."""

    def __init__(
        self,
        server: RedisServer,
        blob_folder: str | os.PathLike[str],
        url: str,
        hashedpassword: str,
        hosts: Iterable[str],
    ) -> None:
        jinja2 = need("jinja2", "redis")
        need("redis", "redis")
        self._server = server
        self._keys = Keys(server.keyprefix)
        self._folder = open_folder(blob_folder) if blob_folder else None
        self._base = f"/{url.strip('/')}/" if url.strip("/") else "/"
        self._hashed = hashedpassword
        self._names = security.own_names(hosts)
        web = Path(__file__).parent / "web"
        self._static = {file.name: file.read_bytes() for file in (web / "static").iterdir() if file.is_file()}
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(web / "templates"), autoescape=True, trim_blocks=True
        )
        self._connection: Any = None
        self._failed = -math.inf
        self._lock = threading.Lock()
        self._login = threading.Lock()
        self._sending = threading.Lock()
        self._logins = threading.Semaphore(LOGINS)
        self._asked = 0.0

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            raise self._route(environ)
        except _Answer as answer:
            found = answer
        except TooLarge as error:
            found = _Answer("413 Content Too Large", str(error))
        except BadForm as error:
            found = _Answer("400 Bad Request", f"This form cannot be read: {error}")
        except Exception:
            logger.exception("a page failed")
            found = _Answer("500 Internal Server Error", "This page failed; the log says why")
        names = {name.lower() for name, _ in found.headers}
        headers = list(found.headers)
        if "content-type" not in names:
            headers.append(("Content-Type", "text/plain; charset=utf-8"))
        headers.append(("Content-Length", str(len(found.body))))
        headers += [(name, value) for name, value in security.HEADERS if name.lower() not in names]
        if found.status.startswith("304"):
            headers = [(n, v) for n, v in headers if n not in ("Content-Type", "Content-Length")]
        start_response(found.status, headers)
        return [b"" if environ.get("REQUEST_METHOD") == "HEAD" else found.body]

    # Redis

    def _redis(self) -> Any:
        """A connection that threads share."""
        with self._lock:
            if self._connection is None and time.monotonic() > self._failed + TRY_AGAIN:
                self._connection = tools.open_redis(self._server)
                if self._connection is None:
                    self._failed = time.monotonic()
            if self._connection is None:
                raise _Answer("503 Service Unavailable", "redis does not answer; this page asks again", [_REFRESH])
            return self._connection

    def _lose(self) -> None:
        with self._lock:
            self._connection = None

    # Requests

    def _route(self, environ: Environ) -> _Answer:
        if not self._hashed and not security.is_own_host(environ, self._names):
            return _Answer("403 Forbidden", "This page is not known under that name")
        raw = str(environ.get("PATH_INFO") or "/").encode("latin-1", "replace").decode("utf-8", "replace")
        full = str(environ.get("SCRIPT_NAME") or "") + raw
        path = full if full.startswith(self._base) else raw
        if path.startswith(self._base):
            path = path[len(self._base) :]
        path = path.lstrip("/")
        method = environ.get("REQUEST_METHOD", "GET")
        query = {key: values[0] for key, values in parse_qs(str(environ.get("QUERY_STRING", ""))).items()}
        if path.startswith("static/"):
            return self._serve_static(path.removeprefix("static/"))
        redis_errors = (need("redis.exceptions", "redis").RedisError, OSError)
        try:
            session = self._session(environ)
            if method == "POST":
                return self._post(environ, path, query, session)
            if method not in ("GET", "HEAD"):
                return _Answer("405 Method Not Allowed", "", [("Allow", "GET, HEAD, POST")])
            if self._hashed and not self._logged_in(session):
                if path not in ("", "login", "properties", "blobfolder"):
                    return _Answer("403 Forbidden", "log in first")
                told = WRONG if query.get("told") == WRONG else ""  # but no text that somebody made up
                return self._page("login.html", session, told=told)
            return self._get(environ, path, query, session)
        except redis_errors as error:
            self._lose()
            return _Answer("503 Service Unavailable", f"redis does not answer: {error}", [_REFRESH])

    def _get(self, environ: Environ, path: str, query: Mapping[str, str], session: str) -> _Answer:
        told = query.get("told", "")[:300] if security.is_own_link(environ) else ""
        if path == "":
            return self._devices(session, told)
        if path == "properties" and query.get("d"):
            return self._properties(query["d"], query.get("g", ""), session, told)
        if path in ("submit", "refresh", "login", "logout"):  # by Refresh, after redis did not answer
            where = {name: query[name] for name in ("d", "g") if name in query}
            return self._see("properties" if "d" in where else "", where)
        if path == "changes":
            return self._changes(environ, query.get("d", ""), query.get("g", ""))
        if path == "blobfolder":
            return self._page("blobs.html", session, files=self._files())
        if path.startswith("blobs/"):
            return self._file(path.removeprefix("blobs/"))
        return _Answer("404 Not Found", "There is no such page")

    def _post(self, environ: Environ, path: str, query: Mapping[str, str], session: str) -> _Answer:
        if not security.is_own_origin(environ):
            return _Answer("403 Forbidden", "This form comes from another site")
        if self._hashed and path != "login" and not self._logged_in(session):
            return _Answer("403 Forbidden", "log in first")
        began = time.monotonic()
        form = read_form(environ, path == "submit")  # a large body is read only for those who may send it
        if not security.is_token(form.fields.get("token", ""), self._form_token(session)):
            return _Answer("403 Forbidden", "This form is too old: go back, reload the page, and try again")
        rconn = self._redis()
        if path == "login":
            return self._log_in(form.fields.get("password", ""))
        if path == "logout":
            rconn.zrem(self._keys.key("cookies"), session)
            return self._see("", {})
        device = query.get("d", "")
        if path == "refresh":
            tools.getProperties(rconn, self._server, device=device)
            return self._see("properties" if device else "", {"d": device} if device else {})
        if path == "submit" and device and query.get("p"):
            told = self._submit(rconn, session, device, query["p"], form, began)
            return self._see("properties", {"d": device, "g": query.get("g", ""), "told": told})
        return _Answer("404 Not Found", "There is no such form")

    def _submit(self, rconn: Any, session: str, device: str, name: str, form: Form, began: float) -> str:
        """Send a form; returns the message for the user."""
        count, _, tab = form.fields.get("n", "").partition(" ")
        if not (count.isascii() and count.isdigit() and len(count) <= 15 and tab):  # a file, which may take its time
            return send_form(rconn, self._server, device, name, form)
        with self._sending:  # one after the other, or the next one might be sent before this
            if time.monotonic() > began + LATE:
                return f"Change to property {name} was not sent: redis did not answer for more than {LATE:g} s"
            if reason := self._overtaken(rconn, session, device, int(count), tab):
                return f"Change to property {name} was not sent{reason}"
            return send_form(rconn, self._server, device, name, form)

    def _overtaken(self, rconn: Any, session: str, device: str, count: int, tab: str) -> str:
        """Why a command of a page is not sent, if it is not: what stops a device may overtake what moves it."""
        key = self._keys.key("sent")
        member = hashlib.sha256(f"{session} {tab} {device}".encode()).hexdigest()[:24]
        try:
            with rconn.pipeline(transaction=True) as pipeline:
                pipeline.zadd(key, {member: count}, gt=True, ch=True)
                pipeline.zscore(key, member)
                pipeline.zremrangebyrank(key, 0, -LISTED - 1)
                pipeline.expire(key, SESSION)
                is_newest, newest, *_ = pipeline.execute()
        except need("redis.exceptions", "redis").ResponseError:  # redis before 6.2 cannot tell
            return ""
        if is_newest:
            return ""
        if newest == count:  # the browser has lost its connection before the answer, and sends it again by itself
            return " again: it has come already"
        return ": a later command has come before it"

    def _see(self, path: str, query: Mapping[str, str]) -> _Answer:
        where = self._base + path + (f"?{urlencode(query)}" if query else "")
        return _Answer("303 See Other", "", [("Location", where)])

    # Sessions

    def _cookie(self) -> str:
        return "indiredis_" + hashlib.sha256(f"{self._server[:3]}{self._server.keyprefix}".encode()).hexdigest()[:8]

    def _session(self, environ: Environ) -> str:
        given = security.cookie_of(environ, self._cookie())
        return given if len(given) == 43 else security.new_token()

    def _form_token(self, session: str) -> str:
        return hashlib.sha256(f"form {session}".encode()).hexdigest()

    def _logged_in(self, session: str) -> bool:
        found = self._redis().zscore(self._keys.key("cookies"), session)
        return found is not None and float(found) > time.time() - SESSION

    def _log_in(self, password: str) -> _Answer:
        if not self._logins.acquire(blocking=False):  # other threads are reserved for those who are logged in
            return _Answer("429 Too Many Requests", "too many people log in at once: try again")
        try:
            with self._login:
                return self._check_login(password)
        finally:
            self._logins.release()

    def _check_login(self, password: str) -> _Answer:
        good = bool(self._hashed) and security.check_password(password, self._hashed)
        if not good:
            time.sleep(1)
            return self._see("", {"told": WRONG})
        session = security.new_token()  # a new one, so that nobody can plant it
        rconn = self._redis()
        key = self._keys.key("cookies")
        with rconn.pipeline(transaction=True) as pipeline:
            pipeline.zadd(key, {session: time.time()})
            pipeline.zremrangebyscore(key, "-inf", time.time() - SESSION)
            pipeline.zremrangebyrank(key, 0, -SESSIONS - 1)
            pipeline.execute()
        answer = self._see("", {})
        answer.headers.append(self._set_cookie(session))
        return answer

    def _set_cookie(self, session: str) -> tuple[str, str]:
        return ("Set-Cookie", f"{self._cookie()}={session}; Path={self._base}; HttpOnly; SameSite=Lax")

    # Pages

    def _page(self, template: str, session: str, **values: Any) -> _Answer:
        values = {"told": "", "changes": "", "shape": ""} | values
        body = self._templates.get_template(template).render(
            base=self._base, token=self._form_token(session), link=self._link(), password=bool(self._hashed), **values
        )
        return _Answer("200 OK", body, [("Content-Type", "text/html; charset=utf-8"), self._set_cookie(session)])

    def _link(self) -> dict[str, str]:
        """The state of the link to the instruments, and what the page says of it."""
        state, reason = (_text(each) for each in self._redis().hmget(self._keys.link, "state", "reason"))
        texts = {"up": "INDI is connected", "down": f"No connection to INDI: {reason}"}
        return {"state": state or "gone", "text": texts.get(state, "The bridge to INDI is not running")}

    def _devices(self, session: str, told: str) -> _Answer:
        rconn, server = self._redis(), self._server
        seen = self._read_all("", "")
        if not seen.devices and time.monotonic() > self._asked + ASK_AGAIN:
            self._asked = time.monotonic()
            tools.getProperties(rconn, server)
        found = [(name, tools.last_message(rconn, server, name)) for name in seen.devices]
        return self._page(
            "devices.html",
            session,
            devices=found,
            message=seen.message,
            told=told,
            changes=f"{self._base}changes",
            shape=seen.digest(),
        )

    def _properties(self, device: str, group: str, session: str, told: str) -> _Answer:
        seen = self._read_all(device, group)
        if not seen.groups:
            answer = self._devices(session, f"There is no device {device}")  # a page that asks for it again
            answer.status = "404 Not Found"
            return answer
        for _, elements in seen.properties:
            for element in elements:
                path = element.get("filepath")
                element["file"] = Path(path).name if path else ""
        return self._page(
            "properties.html",
            session,
            device=device,
            group=seen.group,
            groups=seen.groups,
            properties=seen.properties,
            message=seen.message,
            devicemessage=seen.device_message,
            meaning_of=meaning_of,
            told=told,
            changes=f"{self._base}changes?{urlencode({'d': device, 'g': seen.group})}",
            shape=seen.digest(),
        )

    def _read_all(self, device: str, group: str) -> _Seen:
        """What redis shows now for a page: of a device, or of all if there is none."""
        rconn, server = self._redis(), self._server
        seen = _Seen(tools.devices(rconn, server), tools.last_message(rconn, server))
        if not device:
            return seen
        every = [tools.attributes_dict(rconn, server, name, device) for name in tools.properties(rconn, server, device)]
        every = [fields for fields in every if "label" in fields]  # others are gone, or redis has lost them
        every.sort(key=lambda fields: fields["label"])
        seen.groups = sorted({fields["group"] for fields in every})
        seen.group = group if group in seen.groups else next(iter(seen.groups), "")
        seen.device_message = tools.last_message(rconn, server, device)
        seen.properties = [
            (fields, tools.property_elements(rconn, server, fields["name"], device))
            for fields in every
            if fields["group"] == seen.group
        ]
        return seen

    def _changes(self, environ: Environ, device: str, group: str) -> _Answer:
        seen = self._read_all(device, group)
        states = {fields["name"]: fields["state"] for fields, _ in seen.properties}
        values: dict[str, dict[str, str]] = {}
        for fields, elements in seen.properties:
            for element in elements:
                text = element.get("formatted_number", element.get("value"))
                if text is not None:
                    values.setdefault(fields["name"], {})[element["name"]] = text
        body = json.dumps({"shape": seen.digest(), "values": values, "states": states, "link": self._link()})
        tag = f'"{hashlib.sha256(body.encode()).hexdigest()[:16]}"'
        if environ.get("HTTP_IF_NONE_MATCH") == tag:
            return _Answer("304 Not Modified", "", [("ETag", tag)])
        return _Answer("200 OK", body, [("Content-Type", "application/json"), ("ETag", tag)])

    # Files

    def _files(self) -> list[tuple[str, int]]:
        if self._folder is None:
            return []
        found = []
        try:
            entries = [*os.scandir(self._folder)]
        except OSError as error:
            raise _Answer("503 Service Unavailable", f"the folder of BLOBs cannot be read: {error.strerror}") from None
        for entry in entries:
            if entry.is_file(follow_symlinks=False) and not entry.name.startswith("."):
                with contextlib.suppress(FileNotFoundError):  # it may have been removed meanwhile
                    found.append((entry.stat().st_mtime_ns, entry.name, entry.stat().st_size))
        return [(name, size) for _, name, size in sorted(found, reverse=True)[:LISTED]]

    def _file(self, name: str) -> _Answer:
        name = unquote(name) if "%" in name else name
        if self._folder is None or "/" in name or "\0" in name or name.startswith(".") or not name:
            return _Answer("404 Not Found", "There is no such file")
        path = self._folder / name
        try:
            if path.is_symlink() or not path.is_file():
                raise FileNotFoundError(name)
            data = path.read_bytes()
        except OSError:
            return _Answer("404 Not Found", "There is no such file")
        headers = [
            ("Content-Type", "application/octet-stream"),
            ("Content-Disposition", f"attachment; filename*=UTF-8''{quote(name)}"),
            ("Content-Security-Policy", "sandbox"),
        ]
        return _Answer("200 OK", data, headers)

    def _serve_static(self, name: str) -> _Answer:
        kinds = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
        if name not in self._static:
            return _Answer("404 Not Found", "There is no such file")
        kind = f"{kinds[Path(name).suffix]}; charset=utf-8"
        return _Answer("200 OK", self._static[name], [("Content-Type", kind), ("Cache-Control", "max-age=3600")])


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")


_REFRESH: Final = ("Refresh", "5")
