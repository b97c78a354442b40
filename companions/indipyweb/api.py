"""The interface for programs: JSON, long polling, commands with their outcomes, health and figures."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from starlette.responses import JSONResponse, Response

from indipyclient import Blob, Delta, Property, State, VectorKind
from indipyclient.model.commands import Value
from indipyclient.model.dump import dump_device, dump_property, dump_site, iso

from . import version
from .commands import Denied
from .pages.images import attachment
from .security.limits import network_of
from .security.permissions import Need
from .site import Site
from .views import is_secret, loads
from .visit import Answer, Problem, Visit

__all__ = ["get", "health", "metrics", "post"]

LONGEST_WAIT: Final = 60.0
LONGEST_COMMAND: Final = 600.0
SERIES: Final = 5000
UPLOADS: Final = 4
"""Files that may be received at once: each is held in memory."""


def _names(visit: Visit) -> list[str]:
    """The parts of the path after ``/api``, which may contain slashes themselves."""
    raw = visit.request.scope.get("raw_path") or visit.request.scope["path"].encode()
    path = raw.partition(b"?")[0].removeprefix(b"/api").strip(b"/")
    if not path:
        return []
    return [unquote_to_bytes(part).decode("utf-8", "replace") for part in path.split(b"/")]


def _begin(visit: Visit) -> Site:
    actor = visit.actor
    whose = f"{actor.name} {network_of(actor.address)} {actor.session}"
    if not visit.web.api_rate.take(whose, time.monotonic()):
        raise Problem(429, "too many requests")
    name = visit.query("server") or visit.query("s")
    found = visit.web.sites.get(name) if name else visit.web.first
    if found is None:
        raise Problem(404, "no such server", {"known": list(visit.web.sites)})
    return found


def _unknown(what: str, name: str, known: list[str]) -> Problem:
    near = get_close_matches(name[:64], known[:200], 3, 0.4)  # everybody may ask, and everybody waits for it
    return Problem(404, f"no such {what}", {"name": name, "nearest": near})


def _property(site: Site, device: str, name: str) -> Property:
    if site.model.device(device) is None:
        raise _unknown("device", device, site.model.names())
    prop = site.model.get(device, name)
    if prop is None:
        raise _unknown("property", name, site.model.names(device))
    return prop


async def get(visit: Visit) -> Answer:
    """Answer with everything, a device, a property, or the bytes of a BLOB."""
    site = _begin(visit)
    names = _names(visit)
    if not names and visit.query("since"):
        return await _changes(visit, site)
    if len(names) == 4 and names[3] == "blob":
        return _blob(visit, site, *names[:3])
    if len(names) > 2:
        raise Problem(404, "there is nothing with this name")
    found: Any
    if len(names) == 2:
        prop = _property(site, *names)
        rev, found = prop.rev, lambda: _property_facts(prop)
    elif len(names) == 1:
        device = site.model.device(names[0])
        if device is None:
            raise _unknown("device", names[0], site.model.names())
        rev = site.model.rev
        found = lambda: _device_facts(dump_device(device))  # noqa: E731
    else:
        snapshot, rev, endpoint = site.model.site(), site.model.rev, site.client.endpoint
        head = {"indihost": endpoint.host or endpoint.path, "indiport": endpoint.port}
        found = lambda: {**head, "rev": f"{snapshot.epoch}.{rev}", **_site_facts(dump_site(snapshot))}  # noqa: E731
    tag = f'"{site.model.epoch}.{rev}.{int(site.model.connected)}"'
    if visit.request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"etag": tag})
    # In a thread, because thousands of devices take some time.
    text = await asyncio.to_thread(lambda: json.dumps(found(), ensure_ascii=False).encode("utf-8", "replace"))
    return Response(text, media_type="application/json", headers={"etag": tag, "cache-control": "no-cache"})


def _property_facts(prop: Property) -> dict[str, Any]:
    return _veiled(dump_property(prop))


def _device_facts(found: dict[str, Any]) -> dict[str, Any]:
    for vector in found["vectors"].values():
        _veiled(vector)
    return found


def _site_facts(found: dict[str, Any]) -> dict[str, Any]:
    for device in found["devices"].values():
        _device_facts(device)
    return found


def _veiled(found: dict[str, Any]) -> dict[str, Any]:
    """Remove write-only values, such as passwords; see :func:`is_secret`."""
    if found["perm"] == "wo" and found["vectortype"] in ("TextVector", "NumberVector"):
        for member in found["members"].values():
            member["value"] = ""
            if "floatvalue" in member:
                member |= {"floatvalue": None, "formattedvalue": ""}
    return found


async def _changes(visit: Visit, site: Site) -> Response:
    """Answer with what has changed, waiting for changes if requested."""
    epoch, _, rev = visit.query("since").rpartition(".")
    since = int(rev) if rev.isdecimal() and len(rev) < 18 else 0
    try:
        wait = float(visit.query("wait", "0"))
    except ValueError:
        raise Problem(400, "wait must be a number of seconds") from None
    wait = min(max(wait if math.isfinite(wait) else 0.0, 0.0), LONGEST_WAIT)
    if wait and visit.web.streams.total >= 64:
        raise Problem(503, "too many requests are waiting already")
    whose = visit.actor.name or network_of(visit.actor.address)
    if site.model.epoch == epoch and site.rev <= since and wait:
        try:
            visit.web.streams.add(f"poll {whose}", is_guest=not visit.actor.name)
        except Exception:
            raise Problem(429, "too many requests are waiting already") from None
        try:
            with site.news() as news, contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    while site.rev <= since and not site.closing:
                        news.clear()
                        await news.wait()
        finally:
            visit.web.streams.remove(f"poll {whose}")
        visit.check_again()
    delta = site.model.since(since, epoch)
    text = await asyncio.to_thread(lambda: json.dumps(_delta(delta), ensure_ascii=False).encode("utf-8", "replace"))
    return Response(text, media_type="application/json")


def _delta(delta: Delta) -> dict[str, Any]:
    devices: dict[str, dict[str, Any]] = {}
    for prop in delta.properties:
        devices.setdefault(prop.device, {})[prop.name] = _property_facts(prop)
    return {
        "rev": f"{delta.epoch}.{delta.rev}",
        "reset": delta.reset,
        "connected": delta.connected,
        "deleted": [[grave.device, grave.name] for grave in delta.deleted],
        "properties": devices,
        "messages": [[iso(note.timestamp), note.device, note.text] for note in delta.notes],
    }


def _blob(visit: Visit, site: Site, device: str, name: str, member: str) -> Response:
    if not visit.may(Need.ACCOUNT):
        raise Problem(401, "log in first, or send a token")
    prop = _property(site, device, name)
    found = prop.members.get(member)
    if found is None:
        raise _unknown("member", member, list(prop.members))
    if prop.kind is not VectorKind.BLOB or found.data is None:
        raise Problem(404, "there is no BLOB")
    tag = f'"{site.model.epoch}.{site.last_blob(prop.key)[0]}"'
    if visit.request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"etag": tag})
    response = attachment(found.data, f"blob{found.format if found.format.isascii() else ''}")
    response.headers["etag"] = tag
    return response


async def post(visit: Visit) -> Answer:
    """Set a property, and answer with the outcome."""
    site = _begin(visit)
    names = _names(visit)
    if len(names) == 4 and names[3] == "blob":
        return await _upload(visit, site, *names[:3])
    if len(names) != 2:
        raise Problem(404, "post to /api/DEVICE/PROPERTY, or bytes to /api/DEVICE/PROPERTY/MEMBER/blob")
    if visit.request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "post JSON, with Content-Type: application/json")
    try:
        body = loads(await visit.body())
    except (ValueError, RecursionError):
        raise Problem(400, "this is not JSON") from None
    members = body.get("members") if isinstance(body, dict) else None
    if not isinstance(members, dict) or not members or len(members) > 1000:
        raise Problem(400, 'post {"members": {NAME: VALUE, ...}, "wait": SECONDS}')
    wait = _wait(body.get("wait", 10))
    prop = _property(site, *names)
    if prop.kind is not VectorKind.BLOB:
        visit.check_in_time()
    return await _send(visit, site, prop, {name: _value(prop, name, value) for name, value in members.items()}, wait)


def _wait(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given <= LONGEST_COMMAND:
        raise Problem(400, f"wait must be a number of seconds up to {LONGEST_COMMAND:.0f}")
    return given


async def _upload(visit: Visit, site: Site, device: str, name: str, member: str) -> Response:
    """Send the body unchanged as a BLOB."""
    prop = _property(site, device, name)
    if member not in prop.members:
        raise _unknown("member", member, list(prop.members))
    if prop.kind is not VectorKind.BLOB:
        raise Problem(422, "this is not a BLOB")
    if not prop.writable:
        raise Problem(403, "this property is read-only")
    format = visit.query("format")
    try:
        wait = _wait(float(visit.query("wait", "10")))
    except ValueError:
        raise Problem(400, "wait must be a number") from None
    if visit.web.uploads >= UPLOADS:
        raise Problem(429, "too many files are being received; try again in a moment")
    visit.web.uploads += 1
    try:
        data = await visit.body()
    finally:
        visit.web.uploads -= 1
    if not data:
        raise Problem(422, "the body is empty")
    return await _send(visit, site, prop, {member: Blob(data, _format(format))}, wait)


def _format(given: str) -> str:
    if len(given) > 32 or not given.isprintable():
        raise Problem(422, "a format looks like .fits, with up to 32 characters")
    return given


async def _send(visit: Visit, site: Site, prop: Property, values: dict[str, Value], wait: float) -> Response:
    try:
        command = visit.web.commands.start(site, prop, values, visit.actor)
    except Denied as denied:
        raise Problem(denied.status, denied.text, _limits(prop, values)) from None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait):
            await command.done.wait()
    return JSONResponse({"result": command.state, "text": command.text, **command.outcome}, command.status)


def _value(prop: Property, name: str, value: Any) -> Value:
    if prop.kind is VectorKind.BLOB:
        import base64

        try:
            data = base64.b64decode(value["data"], validate=True)
            return Blob(data, _format(str(value.get("format", ""))))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise Problem(422, f'{name}: a BLOB is {{"data": BASE64, "format": ".fits"}}') from None
    if isinstance(value, (str, int, float, bool)):
        if prop.kind is VectorKind.NUMBER and isinstance(value, bool):
            raise Problem(422, f"{name}: a number is expected")
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**300:
            raise Problem(422, f"{name}: this number is too large")
        return value
    raise Problem(422, f"{name}: a text or a number is expected")


def _limits(prop: Property, values: dict[str, Value]) -> dict[str, Any]:
    found = {
        name: {"min": member.min, "max": member.max, "step": member.step}
        for name in values
        if (member := prop.members.get(name)) is not None and member.range is not None
    }
    return {"limits": found} if found else {}


async def health(visit: Visit) -> Answer:
    """Whether everything is well, for monitoring."""
    web = visit.web
    knows = visit.may(Need.READ)
    servers = []
    for site in web.sites.values():
        stats = site.client.stats
        facts: dict[str, Any] = {"up": site.model.connected, "last_message_age": _rounded(stats.last_message_age)}
        if knows:
            facts |= {"name": site.name, "devices": len(site.model.names()), "dropped": stats.dropped}
        servers.append(facts)
    up = all(site.model.connected for site in web.sites.values())
    found = {
        "status": "ok" if up else "degraded",
        "version": version,
        "uptime": round(time.time() - web.started),
        "streams": web.streams.total,
        "servers": servers,
    }
    return JSONResponse(found)


def _rounded(seconds: float | None) -> float | None:
    return round(seconds, 1) if seconds is not None else None


async def metrics(visit: Visit) -> Answer:
    """Figures for Prometheus."""
    web = visit.web
    now = asyncio.get_running_loop().time()
    snapshots = [(site, list(site.model)) for site in web.sites.values()]
    text = await asyncio.to_thread(_exposition, snapshots, now)
    text += f"indipyweb_streams {web.streams.total}\nindipyweb_streams_cut_total {web.streams.cut}\n"
    return Response(text.encode("utf-8", "replace"), media_type="text/plain; version=0.0.4; charset=utf-8")


def _exposition(snapshots: list[tuple[Site, list[Property]]], now: float) -> str:
    groups: dict[str, list[str]] = {
        "indi_link_up": [],
        "indi_number": [],
        "indi_state": [],
        "indi_last_update_seconds": [],
    }
    left = SERIES
    for site, props in snapshots:
        server = f'server="{_quoted(site.name)}"'
        groups["indi_link_up"].append(f"indi_link_up{{{server}}} {int(site.model.connected)}")
        for prop in props:
            where = f'{server},device="{_quoted(prop.device)}",property="{_quoted(prop.name)}"'
            is_shown = prop.kind is VectorKind.NUMBER and not is_secret(prop)
            left -= 2 + (len(prop) if is_shown else 0)
            if left < 0:
                break
            state = list(State).index(prop.state)
            groups["indi_state"].append(f"indi_state{{{where}}} {state}")
            groups["indi_last_update_seconds"].append(
                f"indi_last_update_seconds{{{where}}} {max(0.0, now - prop.at):.1f}"
            )
            if is_shown:
                groups["indi_number"] += [
                    f'indi_number{{{where},member="{_quoted(member.name)}"}} {member.number!r}'
                    for member in prop.members.values()
                    if math.isfinite(member.number)
                ]
    return "".join(f"# TYPE {name} gauge\n" + "".join(f"{line}\n" for line in lines) for name, lines in groups.items())


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
