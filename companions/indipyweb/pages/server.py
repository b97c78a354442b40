"""The INDI server itself, where it is on this machine and lets itself be controlled."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from ..serving import NotControlled
from ..site import Site
from ..visit import Answer, Problem, Visit

__all__ = ["change", "server"]


async def _page(visit: Visit, site: Site, status: int = 200, problem: str = "") -> Response:
    controlled = visit.web.controlled.get(site.name)
    found: dict[str, Any] | None = None
    why = "it is not on this machine"
    if controlled is not None:
        try:
            found = await controlled.look()
        except NotControlled as error:
            why = str(error)
    return visit.render("server.html", status, site=site, title="Server", found=found, why=why, problem=problem)


async def server(visit: Visit) -> Answer:
    """Its drivers, its clients, and what passes through it."""
    return await _page(visit, visit.site())


async def change(visit: Visit) -> Answer:
    """Start, stop, restart, remove or add a driver."""
    site = visit.site()
    controlled = visit.web.controlled.get(site.name)
    if controlled is None:
        raise Problem(404, "This server cannot be controlled from here.")
    form = await visit.form()
    deed, driver, spec = form.get("do", ""), form.get("driver", ""), form.get("spec", "").strip()
    subject = spec if deed == "add" else form.get("label", driver)
    try:
        if deed == "add":
            await controlled.add(spec, form.get("name", "").strip()[:60])
        elif driver.isdecimal() and len(driver) < 10:
            await controlled.do(deed, int(driver))
        else:
            raise Problem(422, "There is no such driver.")
    except NotControlled as error:
        visit.note(f"driver {deed}"[:40], subject, outcome=str(error))
        return await _page(visit, site, 409, f"Not done: {error}.")
    visit.note(f"driver {deed}", subject, outcome="ok")
    return visit.redirect("/server", s=site.name)
