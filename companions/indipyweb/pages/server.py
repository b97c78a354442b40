"""The INDI server itself, if it is on this machine and can be controlled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.responses import Response

from ..launcher import Launcher
from ..serving import NotControlled
from ..site import Site
from ..store.profiles import Profile
from ..store.users import Refusal
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
    launcher = _launcher(visit, site)
    return visit.render(
        "server.html",
        status,
        site=site,
        title="Server",
        found=found,
        why=why,
        problem=problem,
        profiles=visit.web.profiles.all() if launcher is not None else [],
        active=launcher.active if launcher is not None else "",
        may_save=launcher is not None,
    )


def _launcher(visit: Visit, site: Site) -> Launcher | None:
    """The launcher, if it starts profiles on this server."""
    found = visit.web.launcher
    return found if found is not None and found.controlled is visit.web.controlled.get(site.name) else None


async def server(visit: Visit) -> Answer:
    """Its drivers, its clients, and its traffic."""
    return await _page(visit, visit.site())


async def change(visit: Visit) -> Answer:
    """Start, stop, restart, remove or add a driver."""
    site = visit.site()
    controlled = visit.web.controlled.get(site.name)
    if controlled is None:
        raise Problem(404, "This server cannot be controlled from here.")
    form = await visit.form()
    visit.check_in_time()
    if form.get("profile") is not None:
        return await _profile(visit, site, form)
    deed, driver, spec = form.get("do", ""), form.get("driver", ""), form.get("spec", "").strip()
    subject = spec if deed == "add" else form.get("label", "")
    try:
        if deed == "add":
            await controlled.add(spec, form.get("name", "").strip()[:60])
        elif driver.isdecimal() and len(driver) < 10:
            found = await controlled.look()
            known = {one["id"]: one["label"] for one in found["drivers"]}
            # The numbers start anew with the INDI server, and labels may be shared: it could be another driver.
            if known.get(int(driver)) != subject or form.get("since") != str(found["status"]["since"]):
                raise Problem(409, "Not done: the list of drivers has changed. Reload the page of the server.")
            visit.check_again()
            await controlled.do(deed, int(driver))
        else:
            raise Problem(422, "There is no such driver.")
    except NotControlled as error:
        visit.note(f"driver {deed}"[:40], subject, outcome=str(error))
        return await _page(visit, site, 409, f"Not done: {error}.")
    visit.note(f"driver {deed}", subject, outcome="ok")
    return visit.redirect("/server", s=site.name)


async def _profile(visit: Visit, site: Site, form: dict[str, str]) -> Response:
    """Start, save or delete a profile."""
    web, launcher = visit.web, _launcher(visit, site)
    if launcher is None:
        raise Problem(404, "Profiles are started on another server.")
    name, deed = form["profile"].strip(), form.get("do", "")
    known = web.profiles.get(name)
    problem = ""
    try:
        if deed == "new profile" and known is not None:
            raise Refusal(f"there is a profile {name} already")
        if deed == "new profile" or (deed == "save profile" and known is not None):
            words = [word.strip() for word in form.get("labels", "").splitlines() if word.strip()]
            labels = tuple(word for word in words if "@" not in word)
            remotes = tuple(word for word in words if "@" in word)
            web.profiles.save(replace(known or Profile(name), labels=labels, remotes=remotes))
        elif known is None:
            raise Problem(404, f"There is no profile {name}.")
        elif deed == "delete profile":
            web.profiles.delete(name)
        elif deed in ("at boot", "not at boot"):
            web.profiles.save(replace(known, autostart=deed == "at boot"))
        elif deed == "start profile":
            problem = "; ".join(await launcher.start(known))
        else:
            raise Problem(422, "A profile can be saved, started and deleted.")
    except (NotControlled, Refusal) as error:
        problem = str(error)
    visit.note(deed, name, outcome=problem or "ok")
    if problem:
        return await _page(visit, site, 409, f"Not done: {problem}.")
    return visit.redirect("/server", s=site.name)
