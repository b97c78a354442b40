"""The steps of a session in which Ekos starts and stops the drivers itself, through the interface of INDI Web Manager."""

import contextlib
import json
import sqlite3
import urllib.request
from collections.abc import Iterator
from typing import Any

from . import cameras, profile, session
from .session import Action
from .steps import Context, Failed
from .subjects import KINDS


def steps() -> Iterator[tuple[str, float, Action]]:
    """Names, time limits in seconds, and what to do."""
    yield "KStars starts", 90, session.kstars_starts
    yield "Ekos knows the profile", 30, session.ekos_opens
    yield "nothing runs yet", 10, nothing_runs
    yield "Ekos starts: the drivers are started", 60, ekos_starts
    yield "devices connect", 40, session.devices_connect
    yield "Ekos has its modules", 30, session.modules
    yield "the profile is kept with its drivers", 10, profile_is_kept
    yield "camera: dark and bias", 60, cameras.camera_darks
    yield "devices disconnect", 30, session.devices_disconnect
    yield "Ekos stops: the drivers are stopped", 60, ekos_stops
    yield "Ekos starts again: the drivers are started", 60, ekos_starts
    yield "devices connect again", 60, session.devices_connect
    yield "Ekos stops again: the drivers are stopped", 60, ekos_stops
    yield "drivers run that somebody else has started", 30, started_elsewhere
    yield "Ekos starts with drivers that run", 60, ekos_finds
    yield "Ekos stops: drivers of somebody else run on", 60, ekos_leaves
    yield "every request of Ekos was understood", 5, all_understood


def _ask(context: Context, path: str, method: str = "GET") -> Any:
    request = urllib.request.Request(f"http://127.0.0.1:{context.served.manager}{path}", method=method)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return json.load(answer)


def _running(context: Context) -> list[str]:
    return sorted(driver["binary"] for driver in _ask(context, "/api/server/drivers"))


def _wanted(context: Context) -> list[str]:
    return sorted(KINDS[kind].program for kind in context.served.devices if KINDS[kind].role)


def nothing_runs(context: Context) -> str | None:
    found = [_running(context), _ask(context, "/api/profiles"), _ask(context, "/api/server/status")]
    if found != [[], [], [{"status": "False", "active_profile": ""}]]:
        raise Failed(f"there is something: {found}")
    return f"version {_ask(context, '/api/info/version')['version']}"


def ekos_starts(context: Context) -> str | None:
    session.ekos_starts(context)
    if _running(context) != _wanted(context):
        raise Failed(f"{', '.join(_running(context))} run, and not {', '.join(_wanted(context))}")
    (status,) = _ask(context, "/api/server/status")
    if status != {"status": "True", "active_profile": profile.NAME}:
        raise Failed(f"the web manager says {status}")
    return ", ".join(_running(context))


def profile_is_kept(context: Context) -> str | None:
    kept = {one["label"] for one in _ask(context, f"/api/profiles/{profile.NAME}/labels")}
    wanted = {device for kind, device in context.served.devices.items() if KINDS[kind].role}
    if kept != wanted:
        raise Failed(f"kept: {', '.join(sorted(kept))}")
    return f"{len(kept)} drivers"


def ekos_stops(context: Context) -> str | None:
    session.ekos_stops(context)
    context.wait("no drivers", lambda: not _running(context))
    return None


def started_elsewhere(context: Context) -> str | None:
    _ask(context, f"/api/server/start/{profile.NAME}", "POST")
    context.wait("the drivers", lambda: _running(context) == _wanted(context))
    return None


def ekos_finds(context: Context) -> str | None:
    began = _starts(context)
    ekos_starts(context)
    if _starts(context) != began:
        raise Failed("the drivers were started anew")
    return None


def ekos_leaves(context: Context) -> str | None:
    session.ekos_stops(context)
    if _running(context) != _wanted(context):
        raise Failed(f"only {', '.join(_running(context))} run")
    return None


def _starts(context: Context) -> int:
    """How many profiles were started so far."""
    with contextlib.closing(sqlite3.connect(context.desk.folder / "web" / "indipyweb.db", timeout=10)) as database:
        count: int = database.execute("SELECT count(*) FROM audit WHERE what = 'profile started'").fetchone()[0]
        return count


def all_understood(context: Context) -> str | None:
    seen = context.requests.seen
    found = [f"{each.method} {each.path}: {each.status}" for each in seen if each.status != 200]
    log = (context.desk.folder / "web.log").read_text()
    found += [line for line in log.splitlines() if "ERROR" in line or "Traceback" in line]
    if found or not seen:
        raise Failed("; ".join(found[:5]) or "there were no requests")
    return f"{len(seen)} requests, {len({(each.method, each.path) for each in seen})} of them different"
