"""The static files of pages: style, script and pictures."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from starlette.responses import Response

from ..visit import Answer, Problem, Visit

__all__ = ["favicon", "static"]

_KINDS: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


@cache
def _all() -> dict[str, bytes]:
    folder = files(__package__.rpartition(".")[0]) / "static"
    return {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.is_file()}


async def static(visit: Visit) -> Answer:
    """A static file."""
    name = visit.request.path_params["name"]
    data = _all().get(name)
    kind = _KINDS.get(name[name.rfind(".") :])
    if data is None or kind is None:
        raise Problem(404, "There is no such file.")
    # Their addresses carry the version, so that a browser need not ask again.
    return Response(data, media_type=kind, headers={"cache-control": "public, max-age=86400"})


async def favicon(visit: Visit) -> Answer:
    """The icon of the tab."""
    return Response(_all()["icon.svg"], media_type=_KINDS[".svg"], headers={"cache-control": "public, max-age=86400"})
