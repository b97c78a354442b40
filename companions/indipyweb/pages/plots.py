"""Numbers over time, as a drawing and as a table."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time
from typing import Final

from starlette.responses import Response

from indipyclient import Property, VectorKind

from ..histories import NumberKey
from ..site import Site
from ..svgplot import HEIGHT, WIDTH, plot_of, points_since
from ..views import is_secret
from ..visit import Answer, Visit

__all__ = ["plot", "table"]

SPANS: Final = {"10 min": 600, "1 h": 3600, "4 h": 14400, "12 h": 43200}
LINES: Final = 6


def _meant(visit: Visit, site: Site) -> list[NumberKey]:
    found: list[NumberKey] = []
    for text in visit.request.query_params.getlist("n")[:LINES]:
        try:
            names = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(names, list) and len(names) == 3 and all(isinstance(name, str) for name in names):
            key = (names[0], names[1], names[2])
            prop = site.model.get(*key[:2])
            if key not in found and prop is not None and _is_plotted(prop) and key[2] in prop.members:
                found.append(key)
    return found


def _is_plotted(prop: Property) -> bool:
    """Whether it is drawn."""
    return prop.kind is VectorKind.NUMBER and not is_secret(prop)


def _seconds(visit: Visit) -> int:
    text = visit.query("span", "600")
    return int(text) if text in map(str, SPANS.values()) else 600


def _label(site: Site, key: NumberKey) -> str:
    prop = site.model.get(*key[:2])
    member = prop.members.get(key[2]) if prop is not None else None
    if prop is None or member is None:
        return ".".join(key)
    return f"{key[0]}: {prop.label}, {member.label}" if len(prop) > 1 else f"{key[0]}: {prop.label}"


async def plot(visit: Visit) -> Answer:
    """The drawing, and the other numbers that could be in it."""
    site = visit.site()
    keys, seconds = _meant(visit, site), _seconds(visit)
    same = visit.query("same") == "1"
    now = asyncio.get_running_loop().time()
    numbers = [(_label(site, key), site.histories.points(key, seconds), site.gaps(seconds, key)) for key in keys]
    device = visit.query("d") or (keys[0][0] if keys else next(iter(site.model.names()), ""))
    found = site.model.device(device)
    choices = [
        ((device, prop.name, member.name), f"{prop.label}: {member.label}")
        for prop in (found.properties.values() if found is not None else ())
        if _is_plotted(prop)
        for member in prop.members.values()
    ]
    return visit.render(
        "plot.html",
        site=site,
        title="Plot",
        plot=plot_of(numbers, now, seconds, same=same),
        keys=keys,
        texts=[json.dumps(list(key)) for key in keys],
        choices=[(json.dumps(list(key)), label, key in keys) for key, label in choices][:300],
        others=[key for key in keys if key[0] != device],
        device=device,
        devices=site.model.names()[:200],
        spans=SPANS,
        seconds=seconds,
        same=same,
        width=WIDTH,
        height=HEIGHT,
    )


async def table(visit: Visit) -> Answer:
    """The values, for a spreadsheet."""
    site = visit.site()
    keys, seconds = _meant(visit, site), _seconds(visit)
    now, wall = asyncio.get_running_loop().time(), time.time()
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["time", "device", "property", "member", "min", "max", "last"])
    for key in keys:
        for point in points_since(site.histories.points(key, seconds), now - seconds, site.gaps(seconds, key)):
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(wall - (now - point.time)))
            names = [f"'{name}" if name[:1] in "=+-@\t\r" else name for name in key]  # not as formulas
            writer.writerow([stamp, *names, repr(point.min), repr(point.max), repr(point.last)])
    headers = {"content-disposition": 'attachment; filename="indi.csv"', "content-security-policy": "sandbox"}
    return Response(file.getvalue().encode("utf-8", "replace"), media_type="text/csv", headers=headers)
