"""One request, and what is needed to answer it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp

from .context import Web
from .security.permissions import Actor, Need, allows
from .site import Site

__all__ = ["Answer", "Handler", "Problem", "Visit"]

FIELDS: Final = 200
THEMES: Final = ("light", "dark", "night")


class Problem(Exception):
    """Ends a request with this.

    Attributes:
        status: Of HTTP.
        text: What a person is told.
        more: Facts for programs.
    """

    def __init__(self, status: int, text: str, more: Mapping[str, Any] | None = None) -> None:
        self.status = status
        self.text = text
        self.more = dict(more or {})
        super().__init__(text)


@dataclass(slots=True)
class Visit:
    """One request.

    Attributes:
        web: What all requests share.
        request: As it came.
        actor: Who sent it.
        need: What the route asks of them.
        again: Finds out anew who sent it.
    """

    web: Web
    request: Request
    actor: Actor
    need: Need
    again: Callable[[], Actor]

    def query(self, name: str, default: str = "") -> str:
        """A part of the query."""
        return self.request.query_params.get(name, default)

    def number(self, name: str, default: int) -> int:
        """A number in the query."""
        text = self.query(name)
        return int(text) if text.isdecimal() and len(text) < 10 else default

    def check_again(self) -> None:
        """They still may: what came slowly, or was waited for, does not outlast an account or a login.

        Raises:
            Problem: They may not any more.
        """
        if self.need is Need.OPEN:
            return
        now = self.again()
        if now.name != self.actor.name or not allows(self.need, now):
            raise Problem(403, "You may not do this any more.")
        self.actor = now

    @property
    def wants_json(self) -> bool:
        """The script of the page asks, or a program."""
        return "application/json" in self.request.headers.get("accept", "")

    @property
    def theme(self) -> str:
        """The theme that the person chose; "" for that of the browser."""
        theme = self.request.cookies.get("indipyweb_theme", "")
        return theme if theme in THEMES else ""

    def may(self, need: Need) -> bool:
        """They are let in there."""
        return allows(need, self.actor)

    def site(self) -> Site:
        """The INDI server that is meant.

        Raises:
            Problem: There is none of this name.
        """
        name = self.query("s")
        found = self.web.sites.get(name) if name else self.web.first
        if found is None:
            raise Problem(404, f"There is no INDI server {name}.")
        return found

    def render(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A page."""
        web = self.web
        site = values.pop("site", None) or web.first
        shown = web.templates.get_template(template).render(
            visit=self, web=web, actor=self.actor, may=self.may, theme=self.theme, site=site, **values
        )
        return HTMLResponse(shown, status)

    def redirect(self, path: str, **query: Any) -> Response:
        """To a page of ours; when the script of the page asked, it goes there itself."""
        url = self.web.url(path, **query)
        if self.wants_json:
            return JSONResponse({"go": url})
        return RedirectResponse(url, 303)

    def back(self, default: str = "/") -> Response:
        """To the page that the request came from, if that is one of ours."""
        try:
            parts = urlsplit(self.request.headers.get("referer", ""))
        except ValueError:
            return self.redirect(default)
        base = self.web.settings.basepath
        ours = parts.netloc == self.request.headers.get("host") or f"{parts.scheme}://{parts.netloc}" in self.origins
        if ours and parts.path.startswith(f"{base}/") and not parts.path.startswith("//"):
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            return RedirectResponse(target, 303)
        return self.redirect(default)

    @property
    def origins(self) -> frozenset[str]:
        """What browsers say of our own pages."""
        url = self.request.url
        own = {f"{url.scheme}://{self.request.headers.get('host', '').lower()}"}
        return frozenset(own | {self.web.settings.public_origin} - {""})

    async def form(self) -> dict[str, str]:
        """The fields of a form; files are left out.

        Raises:
            Problem: It cannot be read.
        """
        found = await self.raw_form()
        return {name: value for name, value in found.multi_items() if isinstance(value, str)}

    async def raw_form(self) -> FormData:
        """The form with its files.

        Raises:
            Problem: It cannot be read.
        """
        try:
            found = await self.request.form(max_files=20, max_fields=FIELDS, max_part_size=1 << 20)
        except Problem:
            raise
        except Exception as error:  # MultiPartException, and what broken forms make of parsers
            raise Problem(400, "This form cannot be read.") from error
        if len(found.multi_items()) > FIELDS:
            raise Problem(400, "This form has too many fields.")
        try:
            "".join(f"{name}{value}" for name, value in found.multi_items() if isinstance(value, str)).encode()
        except UnicodeEncodeError:
            raise Problem(400, "This form is not in UTF-8.") from None
        self.check_again()
        return found

    async def body(self) -> bytes:
        """What came with the request.

        Raises:
            Problem: It is too large or too slow, or they may not do this any more.
        """
        found = await self.request.body()
        self.check_again()
        return found

    @staticmethod
    def uploads(form: FormData) -> dict[str, UploadFile]:
        """The files of a form that have something in them."""
        return {
            name: value
            for name, value in form.multi_items()
            if isinstance(value, UploadFile) and (value.filename or value.size)
        }

    def note(self, what: str, subject: str = "", detail: str = "", outcome: str = "") -> None:
        """Keep who did this."""
        self.web.audit.note(self.actor.name, self.actor.address, what, subject, detail, outcome)


Answer = Response | ASGIApp
Handler = Callable[[Visit], Awaitable[Answer]]
