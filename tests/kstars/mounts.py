"""Steps with the mount."""

import time

from .steps import EKOS, Context, Failed, NotThere

SLEWING, TRACKING, PARKED = 2, 3, 5  # the status of a mount in KStars
IS_PARKED, IS_UNPARKED = 1, 4  # of its parking, and of a dome
OBJECT = "M 81"  # it never sets there
OBJECT_AT = (9.963, 68.93)
SITE = (51.468, 0.0)  # of KStars, if nobody has told it another


def _coordinates(context: Context, mount: str) -> tuple[float, float]:
    ra, dec = (context.tap.number(mount, "EQUATORIAL_EOD_COORD", name) for name in ("RA", "DEC"))
    return ra or 0.0, dec or 0.0


def _is_at(here: tuple[float, float], ra: float, dec: float) -> bool:
    return abs((here[0] - ra + 12) % 24 - 12) < 0.02 and abs(here[1] - dec) < 0.2


def mount_site(context: Context) -> str | None:
    mount = context.device("mount", "GEOGRAPHIC_COORD", "TIME_UTC")
    context.wait(
        "the latitude", lambda: abs((context.tap.number(mount, "GEOGRAPHIC_COORD", "LAT") or 0) - SITE[0]) < 0.01
    )
    context.wait("the time", lambda: context.tap.values(mount, "TIME_UTC").get("UTC", ""))
    context.wait("both Ok", lambda: {context.tap.state(mount, n) for n in ("GEOGRAPHIC_COORD", "TIME_UTC")} == {"Ok"})
    return context.tap.values(mount, "TIME_UTC")["UTC"]


def mount_unpark(context: Context) -> str | None:
    context.device("mount", "TELESCOPE_PARK")
    if context.get("Mount", "parkStatus") != IS_UNPARKED:
        context.module("Mount", "unpark")
    context.wait("parkStatus unparked", lambda: context.get("Mount", "parkStatus") == IS_UNPARKED)
    return None


def mount_slew(context: Context) -> str | None:
    mount = context.device("mount", "EQUATORIAL_EOD_COORD", "TELESCOPE_TRACK_STATE", "TARGET_EOD_COORD")
    context.module("Mount", "slew", 5.5, 70.0)
    context.wait("status slewing", lambda: context.get("Mount", "status") == SLEWING)
    context.wait("status tracking", lambda: context.get("Mount", "status") == TRACKING)
    context.wait(
        "TELESCOPE_TRACK_STATE TRACK_ON", lambda: context.tap.on(mount, "TELESCOPE_TRACK_STATE") == ["TRACK_ON"], 5
    )
    ra, dec = context.get("Mount", "equatorialCoords")
    if not (_is_at((ra, dec), 5.5, 70) and _is_at(_coordinates(context, mount), 5.5, 70)):
        raise Failed(f"KStars shows {ra:.4f} h {dec:.3f} degrees")
    if not context.went_through(mount, "EQUATORIAL_EOD_COORD", "Busy", "Ok"):
        raise Failed("EQUATORIAL_EOD_COORD was not Busy and then Ok")
    return f"{ra:.4f} h {dec:.3f}"


def mount_goto(context: Context) -> str | None:
    mount = context.device("mount", "EQUATORIAL_EOD_COORD")
    if not context.module("Mount", "gotoTarget", OBJECT):
        raise Failed("gotoTarget said no")
    context.wait("its coordinates", lambda: _is_at(_coordinates(context, mount), *OBJECT_AT))
    context.wait("status tracking", lambda: context.get("Mount", "status") == TRACKING)
    return "{:.3f} h {:.2f}".format(*_coordinates(context, mount))


def mount_sync(context: Context) -> str | None:
    mount = context.device("mount", "EQUATORIAL_EOD_COORD", "ON_COORD_SET")
    context.need("mount", "ON_COORD_SET")
    if not context.module("Mount", "syncTarget", OBJECT):
        raise Failed("syncTarget said no")
    context.wait(
        "the command",
        lambda: any(p.values.get("SYNC") == "On" for p in context.tap.since(context.begin, mount, "ON_COORD_SET", ">")),
    )
    context.wait("EQUATORIAL_EOD_COORD Ok", lambda: context.went_through(mount, "EQUATORIAL_EOD_COORD", "Ok"))
    context.wait("status tracking", lambda: context.get("Mount", "status") == TRACKING)
    return None


def mount_abort(context: Context) -> str | None:
    mount = context.device("mount", "EQUATORIAL_EOD_COORD", "TELESCOPE_ABORT_MOTION")
    context.module("Mount", "slew", 5.5, 60.0)
    context.wait("status slewing", lambda: context.get("Mount", "status") == SLEWING)
    context.module("Mount", "abort")
    context.wait("no longer slewing", lambda: context.get("Mount", "status") not in (SLEWING, -1), 15)
    context.wait(
        "TELESCOPE_ABORT_MOTION answered", lambda: context.tap.since(context.begin, mount, "TELESCOPE_ABORT_MOTION")
    )
    if _is_at(_coordinates(context, mount), 5.5, 60):
        raise Failed("it went on to the target")
    return f"status {context.get('Mount', 'status')}"


def mount_rate(context: Context) -> str | None:
    mount = context.device("mount", "TELESCOPE_SLEW_RATE")
    names = list(context.tap.values(mount, "TELESCOPE_SLEW_RATE"))
    if not names:
        raise NotThere("no slew rates")
    wanted = 1 if context.tap.on(mount, "TELESCOPE_SLEW_RATE") != names[1:2] else 0
    context.bus.set("/KStars/Ekos/Mount", f"{EKOS}.Mount", "slewRate", wanted)
    context.wait(f"rate {names[wanted]}", lambda: context.tap.on(mount, "TELESCOPE_SLEW_RATE") == [names[wanted]])
    context.wait("slewRate", lambda: context.get("Mount", "slewRate") == wanted)
    return names[wanted]


def mount_motion(context: Context) -> str | None:
    mount = context.device("mount", "TELESCOPE_MOTION_NS", "EQUATORIAL_EOD_COORD")
    context.need("mount", "TELESCOPE_MOTION_NS")
    before = _coordinates(context, mount)
    context.send_switch(mount, "TELESCOPE_MOTION_NS", "MOTION_SOUTH")
    context.wait("TELESCOPE_MOTION_NS Busy", lambda: context.tap.state(mount, "TELESCOPE_MOTION_NS") == "Busy")
    context.wait("motion", lambda: abs(_coordinates(context, mount)[1] - before[1]) > 1e-4)
    context.send_switch(mount, "TELESCOPE_MOTION_NS", "MOTION_SOUTH", "Off")
    context.wait("TELESCOPE_MOTION_NS not Busy", lambda: context.tap.state(mount, "TELESCOPE_MOTION_NS") != "Busy")
    return f"{_coordinates(context, mount)[1] - before[1]:.4f} degrees"


def mount_tracking(context: Context) -> str | None:
    mount = context.device("mount", "TELESCOPE_TRACK_STATE", "EQUATORIAL_EOD_COORD")
    context.need("mount", "TELESCOPE_TRACK_STATE")
    for member, wanted in (("TRACK_OFF", 0), ("TRACK_ON", TRACKING)):
        context.send_switch(mount, "TELESCOPE_TRACK_STATE", member)
        context.wait(f"{member}: status {wanted}", lambda wanted=wanted: context.get("Mount", "status") == wanted, 8)
    return None


def mount_guide(context: Context) -> str | None:
    names = ("TELESCOPE_TIMED_GUIDE_NS", "TELESCOPE_TIMED_GUIDE_WE")
    mount = context.device("mount", *names)
    context.need("mount", *names)
    context.send_number(mount, names[0], TIMED_GUIDE_N=500, TIMED_GUIDE_S=0)
    context.send_number(mount, names[1], TIMED_GUIDE_W=0, TIMED_GUIDE_E=700)
    for name in names:
        context.wait(f"{name} Busy", lambda name=name: context.went_through(mount, name, "Busy"))
        context.wait(f"{name} done", lambda name=name: context.tap.state(mount, name) in ("Idle", "Ok"))
    return None


def mount_pier(context: Context) -> str | None:
    context.device("mount", "TELESCOPE_PIER_SIDE")
    context.need("mount", "TELESCOPE_PIER_SIDE")
    return {0: "west", 1: "east"}.get(context.get("Mount", "pierSide"), "unknown")


def mount_park(context: Context) -> str | None:
    mount = context.device("mount", "TELESCOPE_PARK", "EQUATORIAL_EOD_COORD", "TELESCOPE_TRACK_STATE")
    context.module("Mount", "park")
    context.wait("parkStatus parked", lambda: context.get("Mount", "parkStatus") == IS_PARKED)
    context.wait("status parked", lambda: context.get("Mount", "status") == PARKED)
    if not context.went_through(mount, "TELESCOPE_PARK", "Busy", "Ok"):
        raise Failed("TELESCOPE_PARK was not Busy and then Ok")
    return None


def mount_stays(context: Context) -> str | None:
    mount = context.device("mount", "EQUATORIAL_EOD_COORD", "TELESCOPE_PARK")
    context.module("Mount", "slew", 5.5, 60.0)
    time.sleep(4)
    if context.get("Mount", "status") != PARKED or _is_at(_coordinates(context, mount), 5.5, 60):
        raise Failed(f"status {context.get('Mount', 'status')}")
    return None


def mount_is_parked(context: Context) -> str | None:
    context.device("mount", "TELESCOPE_PARK")
    context.wait("parkStatus parked", lambda: context.get("Mount", "parkStatus") == IS_PARKED)
    return None
