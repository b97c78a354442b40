"""One request, and what is needed to answer it."""

from __future__ import annotations

import asyncio
import contextlib
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

__all__ = ["BEGAN", "Answer", "Handler", "Problem", "Visit"]

FIELDS: Final = 200
BEGAN: Final = "web_began"
"""In the scope of a request: when its header had arrived, by the clock of the loop."""
TOO_LATE: Final = 10.0
"""Seconds after which a command that was on its way is not sent."""
THEMES: Final = ("light", "dark", "night")


class Problem(Exception):
    """Ends a request with an error.

    Attributes:
        status: Of HTTP.
        text: The text for the user.
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
        web: The state shared by all requests.
        request: The request as received.
        actor: Its sender.
        need: What the route requires of the sender.
        again: Determines the sender anew.
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
        """Check that the sender still may: a slow or waiting request must not outlast an account or a login.

        Raises:
            Problem: The sender no longer may.
        """
        if self.need is Need.OPEN:
            return
        now = self.again()
        if now.name != self.actor.name or not allows(self.need, now):
            raise Problem(403, "You may no longer do this.")
        self.actor = now

    def check_in_time(self, sent: str = "") -> None:
        """Check that a command was not on its way for long: meanwhile its sender has seen other values, or gone.

        Args:
            sent: When it was sent, by the clock of the loop here, if the page knows.

        Raises:
            Problem: It is too late.
        """
        now = asyncio.get_running_loop().time()
        age = now - self.request.scope[BEGAN]
        with contextlib.suppress(ValueError):
            age = max(age, now - float(sent))
        if age > TOO_LATE:
            seconds = f"{age:.0f} s" if age < 3600 else "very long"
            raise Problem(
                412, f"Not sent: it was on its way for {seconds}. Look at the present values, and send it again."
            )

    @property
    def wants_json(self) -> bool:
        """Whether the script of the page, or a program, sent it."""
        return "application/json" in self.request.headers.get("accept", "")

    @property
    def theme(self) -> str:
        """The theme that the user chose; "" for that of the browser."""
        theme = self.request.cookies.get("indipyweb_theme", "")
        return theme if theme in THEMES else ""

    def may(self, need: Need) -> bool:
        """Whether the user may go there."""
        return allows(need, self.actor)

    def site(self) -> Site:
        """The INDI server of the request.

        Raises:
            Problem: There is no INDI server with this name.
        """
        name = self.query("s")
        found = self.web.sites.get(name) if name else self.web.first
        if found is None:
            raise Problem(404, f"There is no INDI server {name}.")
        return found

    def render(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Answer with a page."""
        web = self.web
        site = values.pop("site", None) or web.first
        shown = web.templates.get_template(template).render(
            visit=self, web=web, actor=self.actor, may=self.may, theme=self.theme, site=site, **values
        )
        return HTMLResponse(shown.encode("utf-8", "replace"), status)  # names of files are not always UTF-8

    def redirect(self, path: str, **query: Any) -> Response:
        """Redirect to a page of ours; if the script of the page sent the request, it goes there itself."""
        url = self.web.url(path, **query)
        if self.wants_json:
            return JSONResponse({"go": url})
        return RedirectResponse(url, 303)

    def back(self, default: str = "/") -> Response:
        """Redirect to the page from which the request came, if that is one of ours."""
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
        """The origins of our own pages."""
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
        except OSError as error:  # large files wait on the disk
            raise Problem(503, f"The file cannot be taken now: {error.strerror or error}.") from error
        except Exception as error:  # MultiPartException, and other errors of parsers for broken forms
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
        """The body of the request.

        Raises:
            Problem: It is too large or too slow, or the sender may no longer do this.
        """
        found = await self.request.body()
        self.check_again()
        return found

    @staticmethod
    def uploads(form: FormData) -> dict[str, UploadFile]:
        """The files of a form that are not empty."""
        return {
            name: value
            for name, value in form.multi_items()
            if isinstance(value, UploadFile) and (value.filename or value.size)
        }

    def note(self, what: str, subject: str = "", detail: str = "", outcome: str = "") -> None:
        """Note this in the audit."""
        self.web.audit.note(self.actor.name, self.actor.address, what, subject, detail, outcome)


Answer = Response | ASGIApp
Handler = Callable[[Visit], Awaitable[Answer]]
