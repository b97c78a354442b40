"""The newest image of each camera: stretched, with its histogram, its header, and the file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from indipyclient import Member, Property, VectorKind
from indipyclient.blobs import safe_name, safe_suffix
from indipyclient.images.png import kind_of
from indipyclient.images.previews import Preview, PreviewsBusy

from ..site import Site
from ..visit import Answer, Problem, Visit

__all__ = ["attachment", "download", "image", "preview"]

SIDE: Final = 900
CROP: Final = 512
_SLICE: Final = 256 << 10
SHOWN_AS_IT_IS: Final = 16 << 20


def attachment(data: bytes, name: str) -> Response:
    """A file that a browser saves and never shows."""
    return StreamingResponse(
        _slices(data),
        media_type="application/octet-stream",
        headers={
            "content-length": str(len(data)),
            "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
            "content-security-policy": "sandbox; default-src 'none'",
        },
    )


async def _slices(data: bytes) -> AsyncIterator[bytes]:
    """Send it as fast as it is taken: a large file would otherwise be copied for each slow browser."""
    view = memoryview(data)
    for begin in range(0, len(data), _SLICE):
        yield bytes(view[begin : begin + _SLICE])


def _cameras(site: Site) -> list[tuple[Property, Member]]:
    """All BLOBs of devices, received ones first."""
    found = [
        (prop, member)
        for prop in site.model
        if prop.kind is VectorKind.BLOB
        for member in prop.members.values()
        if member.data is not None or prop.perm.value != "wo"
    ]
    return sorted(found, key=lambda item: (item[1].data is None, -item[0].at))[:50]


def _meant(visit: Visit, site: Site) -> tuple[Property, Member]:
    prop = site.model.get(visit.query("d"), visit.query("p"))
    member = prop.members.get(visit.query("m")) if prop is not None else None
    if prop is None or member is None or prop.kind is not VectorKind.BLOB:
        raise Problem(404, "There is no such image.")
    return prop, member


async def _preview(visit: Visit, site: Site, prop: Property, member: Member, most: int, crop: Any = None) -> Preview:
    if member.data is None:
        raise Problem(404, "No image has come yet.")
    key = (site.name, *prop.key, member.name, prop.rev)
    try:
        return await visit.web.previews.get(key, member.data, member.format, most, crop)
    except PreviewsBusy:
        raise Problem(503, "Too many images wait to be drawn; try again in a moment.") from None


async def image(visit: Visit) -> Answer:
    """The newest image of a camera; without a camera, the list of them."""
    site = visit.site()
    cameras = _cameras(site)
    if not visit.query("d"):
        return visit.render("images.html", site=site, title="Images", cameras=cameras)
    rev = site.rev  # the stream tells what comes while the picture is being drawn
    prop, member = _meant(visit, site)
    number, time = site.last_blob(prop.key)
    facts: dict[str, Any] = {"cards": []}
    if member.data is not None:
        facts |= (await _preview(visit, site, prop, member, SIDE)).facts
    return visit.render(
        "image.html",
        site=site,
        title=f"{prop.device}: {member.label}",
        prop=prop,
        member=member,
        number=number,
        time=time,
        facts=facts,
        bars=_bars(facts.get("bins") or []),
        link=site.link(),
        alerts=site.alert_facts(),
        epoch=site.model.epoch,
        rev=rev,
        others=[(p, m) for p, m in cameras if (p.key, m.name) != (prop.key, member.name)],
    )


def _bars(bins: list[int]) -> str:
    """The histogram as a path in a box of 96 x 40, by the logarithm of the counts."""
    top = max((count.bit_length() for count in bins), default=0)
    if not top:
        return ""
    points = "".join(f"V{40 - 40 * _height(count) / _height(max(bins)):.1f}h1" for count in bins)
    return f"M0 40{points}V40z"


def _height(count: int) -> float:
    from math import log1p

    return log1p(count)


async def preview(visit: Visit) -> Answer:
    """The picture: of the whole, small, or a part one to one."""
    site = visit.site()
    prop, member = _meant(visit, site)
    small = visit.query("small") == "1"
    crop = None
    x, y = visit.query("x"), visit.query("y")
    if x.isdecimal() and y.isdecimal() and len(x) < 9 and len(y) < 9:
        crop = (int(x), int(y), CROP)
    made = await _preview(visit, site, prop, member, 240 if small else CROP if crop else SIDE, crop)
    # A browser may cache it only with its number, which identifies the image across restarts.
    is_meant = visit.query("rev") == f"{site.model.epoch}.{prop.rev}"
    headers = {"cache-control": "private, max-age=3600"} if is_meant else {}
    if made.png:
        return Response(made.png, media_type="image/png", headers=headers)
    data = member.data or b""
    kind = kind_of(data)
    if kind and len(data) <= SHOWN_AS_IT_IS:
        return Response(data, media_type=kind, headers=headers)
    raise Problem(404, str(made.facts.get("problem", "There is no picture of it.")))


async def download(visit: Visit) -> Answer:
    """The file as received."""
    site = visit.site()
    prop, member = _meant(visit, site)
    if member.data is None:
        raise Problem(404, "No image has come yet.")
    _, time = site.last_blob(prop.key)
    stamp = safe_name(time) if time else "latest"
    return attachment(member.data, f"{safe_name(member.name)}_{stamp}{safe_suffix(member.format)}")
