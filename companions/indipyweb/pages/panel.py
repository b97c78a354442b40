"""The live pages: all devices, one device, changes, and commands."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

from starlette.datastructures import UploadFile
from starlette.responses import HTMLResponse, JSONResponse, Response

from indipyclient import Blob, Device, Property, VectorKind
from indipyclient.model.commands import Value, file_format

from ..commands import Command, Denied, values_of_form
from ..events import EventStream, TooManyStreams
from ..security.permissions import Need
from ..site import Filter, Site
from ..store.keeping import Pin
from ..views import device_facts, groups_of, meaning_of, note_facts
from ..visit import Answer, Problem, Visit

__all__ = ["alerts", "device", "events", "home", "messages", "overview", "part", "pin", "send"]

CARDS: Final = 100
SIDE: Final = 40
PARTS: Final = 60
SHOWN: Final = 200
ROWS: Final = 2000
"""The most members on a page, because drawing them holds up everybody."""
_AT_ONCE: Final = 1.0
"""Seconds for which the answer to a command waits for its outcome; later outcomes are sent over the stream."""
EVENTS: Final = "text/event-stream"
_WITHOUT_SCRIPT: Final = 4.0
UPLOAD: Final = 64 << 20


def _device(visit: Visit, site: Site) -> Device:
    name = visit.query("d")
    found = site.model.device(name)
    if found is None:
        raise Problem(404, f"There is no device {name} now.")
    return found


def _side(site: Site) -> tuple[list[tuple[str, dict[str, Any]]], int]:
    names = site.model.names()
    shown = [(name, device) for name in names[:SIDE] if (device := site.model.device(name)) is not None]
    return [(name, device_facts(device)) for name, device in shown], len(names)


def _page(visit: Visit, template: str, site: Site, **values: Any) -> HTMLResponse:
    side, total = _side(site)
    return visit.render(
        template,
        site=site,
        side=side,
        total=total,
        link=site.link(),
        alerts=site.alert_facts(),
        epoch=site.model.epoch,
        rev=site.rev,
        **values,
    )


async def home(visit: Visit) -> Answer:
    """All devices."""
    site = visit.site()
    wanted = visit.query("q").strip().lower()
    names = [name for name in site.model.names() if wanted in name.lower()]
    page = visit.number("page", 1)
    page = min(max(page, 1), max(1, -(-len(names) // CARDS)))
    here = names[(page - 1) * CARDS : page * CARDS]
    cards = [(name, device_facts(device)) for name in here if (device := site.model.device(name)) is not None]
    notes = [note_facts(note) for note in site.notes()[-5:]]
    return _page(
        visit,
        "home.html",
        site,
        title="Devices",
        cards=cards,
        notes=notes[::-1],
        q=visit.query("q"),
        page=page,
        pages=-(-len(names) // CARDS),
        found=len(names),
    )


def _told(visit: Visit, site: Site) -> dict[int, Command]:
    """The note beside a property on a page that was requested after a command."""
    id = visit.query("c")
    if not id.isdecimal() or len(id) > 12:
        return {}
    whose = visit.actor.session or f"{visit.actor.name} {visit.actor.address}"
    found = visit.web.commands.get(int(id), site.name, whose)
    return {found.prop: found} if found is not None else {}


async def device(visit: Visit) -> Answer:
    """One device, one of its groups."""
    site = visit.site()
    found = _device(visit, site)
    groups = groups_of(found)
    group = visit.query("g")
    if group not in groups:
        group = next(iter(groups), "")
    props = [prop for prop in found.properties.values() if (prop.group or "Main") == group]
    shown = _at_once(props[:SHOWN])
    return _page(
        visit,
        "device.html",
        site,
        title=found.name,
        device=found,
        facts=device_facts(found),
        groups=groups,
        group=group,
        props=shown,
        more=len(props) - len(shown),
        told=_told(visit, site),
        notes=[note_facts(note) for note in site.notes(found.name)[-5:]][::-1],
        pinned=_pinned(visit, site),
        now=asyncio.get_running_loop().time(),
    )


def _at_once(props: list[Property]) -> list[Property]:
    """The first properties, as many as are drawn together."""
    rows = 0
    for count, prop in enumerate(props):
        rows += len(prop)
        if count and rows > ROWS:
            return props[:count]
    return props


def _pinned(visit: Visit, site: Site) -> set[tuple[str, str]]:
    if not visit.actor.name:
        return set()
    return {(pin.device, pin.name) for pin in visit.web.pins.of(visit.actor.name) if pin.server == site.name}


async def part(visit: Visit) -> Answer:
    """Properties, drawn anew, for an existing page."""
    site = visit.site()
    if visit.query("epoch", site.model.epoch) != site.model.epoch:
        raise Problem(409, "The web server was restarted: these numbers stand for other properties now.")
    ids = [int(text) for text in visit.query("ids").split(",")[:PARTS] if text.isdecimal() and len(text) < 12]
    group = visit.query("g")  # some may have moved to another one meanwhile
    props = [p for p in map(site.property_of, ids) if p is not None and group in ("", p.group or "Main")]
    shown = _at_once(props)
    return visit.render(
        "part.html",
        site=site,
        props=shown,
        left=[site.id_of(prop.key) for prop in props[len(shown) :]],
        told={},
        pinned=_pinned(visit, site),
        board=visit.query("board") == "1",
        now=asyncio.get_running_loop().time(),
    )


async def messages(visit: Visit) -> Answer:
    """Recent messages."""
    site = visit.site()
    name = visit.query("d") or None
    notes = [note_facts(note) for note in site.notes(name)[-500:]]
    return _page(visit, "messages.html", site, title="Messages", notes=notes[::-1], device_name=name)


async def alerts(visit: Visit) -> Answer:
    """The alerts, for a hidden tab, which has no stream."""
    site = visit.site()
    return JSONResponse({"alerts": site.alert_facts(), "link": site.link()})


async def events(visit: Visit) -> Answer:
    """The stream."""
    site = visit.site()
    device, name = visit.query("d") or None, visit.query("p")
    keys = {(pin.device, pin.name) for pin in _pins(visit) if pin.server == site.name and visit.query("board") == "1"}
    if device and name:  # one property, in whichever group it is
        keys.add((device, name))
        device = None
    wanted = Filter(device, visit.query("g") or None, frozenset(keys))
    seen = visit.request.headers.get("last-event-id") or visit.query("since")
    epoch, _, rev = seen.rpartition(".")
    since = int(rev) if epoch == site.model.epoch and rev.isdecimal() and len(rev) < 18 else None
    web, actor = visit.web, visit.actor
    if visit.request.method == "HEAD":
        return Response(media_type=EVENTS)
    try:
        return EventStream(
            site,
            wanted,
            since,
            web.commands,
            web.streams,
            actor,
            lambda: web.still_may(actor, Need.READ),
            visit.query("tab")[:32],
        )
    except TooManyStreams:  # a page is told of it only in a stream
        text = 'retry: 5000\nevent: full\ndata: {"error": "too many tabs are open"}\n\n'
        return Response(text, headers={"cache-control": "no-store"}, media_type=EVENTS)


def _pins(visit: Visit) -> list[Pin]:
    return visit.web.pins.of(visit.actor.name) if visit.actor.name else []


async def overview(visit: Visit) -> Answer:
    """The pinned properties of a user."""
    site = visit.site()
    pins = [(pin, site.model.get(pin.device, pin.name)) for pin in _pins(visit) if pin.server == site.name]
    return _page(
        visit,
        "overview.html",
        site,
        title="Overview",
        props=[prop for _, prop in pins if prop is not None],
        absent=[(pin, prop is None) for pin, prop in pins],
        told=_told(visit, site),
        pinned=_pinned(visit, site),
        board=True,
        now=asyncio.get_running_loop().time(),
    )


async def pin(visit: Visit) -> Answer:
    """Put a property on the overview, take it away, or move it."""
    site = visit.site()
    form = await visit.form()
    what = Pin(site.name, form.get("d", "")[:1000], form.get("p", "")[:1000])
    if form.get("move") in ("-1", "1"):
        visit.web.pins.move(visit.actor.name, what, int(form["move"]))
        return visit.redirect("/overview", s=site.name)
    try:
        is_there = visit.web.pins.toggle(visit.actor.name, what)
    except ValueError as error:
        raise Problem(409, str(error)) from None
    if visit.wants_json:
        return JSONResponse({"pinned": is_there})
    return visit.back("/overview")


async def send(visit: Visit) -> Answer:
    """Handle a command."""
    site = visit.site()
    form = await visit.raw_form()
    # The page says what a switch must become: another user may have changed it meanwhile.
    fields = {"to": visit.query("to"), **{name: text for name, text in form.multi_items() if isinstance(text, str)}}
    prop = site.model.get(fields.get("d", ""), fields.get("p", ""))
    if prop is None:
        raise Problem(404, "There is no such property now.")
    try:
        if fields.get("means", meaning_of(prop)) != meaning_of(prop):
            raise Denied(409, "Not sent: the device has defined it differently since this was shown.")
        if prop.kind is VectorKind.BLOB:
            values = await _files(visit.uploads(form), prop)
        else:
            visit.check_in_time(fields.get("at", ""))  # a file may take its time
            page, number = fields.get("tab", "")[:32], fields.get("n", "")
            visit.web.commands.check_order(site, prop, visit.actor.session, page, number)
            values = values_of_form(prop, fields)
        command = visit.web.commands.start(site, prop, values, visit.actor)
    except Denied as denied:
        if visit.wants_json:
            return JSONResponse({"p": site.id_of(prop.key), "state": "bad", "text": denied.text}, denied.status)
        raise Problem(denied.status, denied.text) from None
    finally:
        await form.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_AT_ONCE if visit.wants_json else _WITHOUT_SCRIPT):
            await command.done.wait()
    if visit.wants_json:
        return JSONResponse(command.facts())
    return _to_device(visit, site, prop, c=command.id)


def _to_device(visit: Visit, site: Site, prop: Property, **more: Any) -> Response:
    response = visit.redirect("/device", s=site.name, d=prop.device, g=prop.group or "Main", **more)
    if "location" in response.headers:
        response.headers["location"] += f"#p{site.id_of(prop.key)}"
    return response


async def _files(uploads: dict[str, UploadFile], prop: Property) -> dict[str, Value]:
    found: dict[str, Value] = {}
    members = list(prop.members)
    for field, upload in uploads.items():
        kind, _, name = field.partition(".")
        if (
            kind == "f" and name.isdecimal() and len(name) < 6 and int(name) < len(members)
        ):  # browsers change some letters of names
            name = members[int(name)]
        if kind not in ("f", "m") or name not in prop.members:
            continue
        if (upload.size or 0) > UPLOAD:
            raise Denied(413, f"Not sent: a file may have up to {UPLOAD >> 20} MiB.")
        data = await upload.read()
        if data:
            format = file_format(upload.filename or "")[-32:]
            found[name] = Blob(data, format if format.isprintable() else "")
    if not found:
        raise Denied(422, "Not sent: no file was chosen.")
    return found
