"""The set-up, the audit, and a copy of the database."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from pathlib import Path
from typing import Final

from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response

from indipyclient.addresses import parse_endpoint

from ..listening import plain_host, problem_of
from ..settings import whole_path
from ..store.keeping import Parameters
from ..visit import Answer, Problem, Visit

__all__ = ["audit", "backup", "save_system", "system"]

_COPY: Final = 3600.0
"""Seconds in which a copy of the database is downloaded."""


def _system(visit: Visit, status: int = 200, problem: str = "", done: str = "") -> Response:
    web = visit.web
    return visit.render(
        "system.html",
        status,
        title="Set-up",
        parameters=web.parameters,
        settings=web.settings,
        guests=web.options.flag("guests", True),
        problem=problem,
        done=done,
        figures=[(site, site.client.stats) for site in web.sites.values()],
        up=time.time() - web.started,
    )


async def system(visit: Visit) -> Answer:
    """The set-up."""
    return _system(visit)


def _folder(text: str) -> str:
    """The absolute path, because the next start may be in another folder.

    Raises:
        ValueError: It is not a folder.
    """
    path = whole_path(text)
    if not path.is_dir():
        raise ValueError(f"{text} is not a folder on this machine")
    return str(path)


async def save_system(visit: Visit) -> Answer:
    """Change the set-up."""
    web = visit.web
    form = await visit.form()
    try:
        host = plain_host(form.get("host", "")) or "localhost"
        port, indiport = int(form.get("port", "")), int(form.get("indiport", ""))
        if not 0 < port < 65536:
            raise ValueError("a port must be from 1 to 65535")
        indihost = form.get("indihost", "").strip() or "localhost"
        parse_endpoint(indihost, indiport)
        folder = form.get("blobfolder", "").strip()
        if folder and folder != web.parameters.blobfolder:
            folder = await web.disk.soon(_folder, folder)
        known = ((web.settings.host, web.settings.port), (web.parameters.host, web.parameters.port))
        if (host, port) not in known:  # a saved address may be in use by this server itself
            problem = await asyncio.to_thread(problem_of, host, 0 if port == web.settings.port else port)
            if problem:
                raise ValueError(problem)
    except (ValueError, OSError) as error:
        return _system(visit, 422, f"Not saved: {getattr(error, 'strerror', None) or error}.")
    visit.check_again()
    parameters = Parameters(host, port, indihost, indiport, folder)
    parameters.save(web.db)
    web.parameters = parameters  # only now, because nothing is noted that could not be saved
    web.options.set_flag("guests", form.get("guests") == "1")
    visit.note("set-up", f"{host}:{port}", f"INDI {indihost}:{indiport}, guests {form.get('guests', '0')}")
    return _system(visit, done="Saved. Addresses and folders take effect at the next start, guest access at once.")


def _forget_copies(folder: Path) -> None:
    """Delete copies of interrupted downloads, including those from the end of the web server."""
    for path in folder.glob(".indipyweb-*.backup"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _COPY:
                path.unlink()


async def backup(visit: Visit) -> Answer:
    """A copy of the database."""
    web = visit.web
    folder = web.settings.dbfolder
    path = folder / f".indipyweb-{secrets.token_hex(8)}.backup"
    await asyncio.to_thread(_forget_copies, folder)
    try:
        await asyncio.to_thread(web.db.backup, path)
    except OSError as error:
        raise Problem(500, f"No copy could be made: {error.strerror}.") from error
    visit.note("backup")
    name = time.strftime("indipyweb-%Y%m%d-%H%M%S.db", time.gmtime())
    return FileResponse(
        path,
        media_type="application/octet-stream",
        filename=name,
        headers={"content-security-policy": "sandbox"},
        background=BackgroundTask(path.unlink, missing_ok=True),
    )


async def audit(visit: Visit) -> Answer:
    """The audit."""
    return visit.render("audit.html", title="Audit", deeds=await asyncio.to_thread(visit.web.audit.last))
