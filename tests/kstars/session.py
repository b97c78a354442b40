"""The steps of a session, from the first window of KStars to its last."""

import time
from collections.abc import Callable, Iterator

from . import cameras, focusers, guiding, houses, mounts, profile, turning
from .steps import EKOS, INDI, Context, Failed

SUCCESS = 2  # of Ekos and of INDI

Action = Callable[[Context], str | None]


def steps() -> Iterator[tuple[str, float, Action]]:
    """Names, time limits in seconds, and what to do."""
    yield "KStars starts", 90, kstars_starts
    yield "Ekos knows the profile", 30, ekos_opens
    yield "Ekos starts: the server has all devices", 40, ekos_starts
    yield "devices connect", 40, devices_connect
    yield "Ekos has its modules", 30, modules
    yield "each device saw its configuration loaded", 15, configuration
    yield "mount: gets place and time", 15, mounts.mount_site
    yield "mount: unpark", 20, mounts.mount_unpark
    yield "mount: slew, then track", 60, mounts.mount_slew
    yield "mount: go to an object by name", 60, mounts.mount_goto
    yield "mount: synchronise on an object", 20, mounts.mount_sync
    yield "mount: abort a slew", 30, mounts.mount_abort
    yield "mount: slew rate", 10, mounts.mount_rate
    yield "mount: move by hand", 15, mounts.mount_motion
    yield "mount: tracking off and on", 20, mounts.mount_tracking
    yield "mount: guide pulses", 15, mounts.mount_guide
    yield "mount: side of the pier", 5, mounts.mount_pier
    yield "rotator: go to an angle", 60, turning.rotator_goto
    yield "rotator: reverse", 10, turning.rotator_reverse
    yield "rotator: abort", 20, turning.rotator_abort
    yield "wheel: Ekos has its filters", 10, turning.wheel_names
    yield "focuser: out and in", 60, focusers.focuser_moves
    yield "camera: five images through three filters", 120, cameras.camera_five
    yield "camera: headers of the images", 10, cameras.camera_headers
    yield "wheel: moved for the images", 5, turning.wheel_moved
    yield "camera: binned part of the sensor", 60, cameras.camera_part
    yield "camera: dark and bias", 60, cameras.camera_darks
    yield "camera: gain", 60, cameras.camera_gain
    yield "camera: cooled", 90, cameras.camera_cooled
    yield "camera: abort an exposure", 40, cameras.camera_abort
    yield "camera and rotator: image at a position angle", 90, cameras.camera_rotated
    yield "focuser: autofocus to the minimum", 300, focusers.autofocus
    yield "focuser: abort an autofocus", 60, focusers.autofocus_abort
    yield "guiding: calibrate and guide", 240, guiding.guide
    yield "dome: unpark", 90, houses.dome_unpark
    yield "dome: go to an azimuth", 90, houses.dome_goto
    yield "dome: abort a motion", 60, houses.dome_abort
    yield "dome: open and close the shutter", 90, houses.dome_shutter
    yield "dome: park", 120, houses.dome_park
    yield "roof: open and close", 60, houses.roof_moves
    yield "power box: a channel off and on", 20, houses.power_switches
    yield "GPS: place and time", 30, houses.gps_fix
    yield "weather: status", 30, houses.weather_status
    yield "cap: open and close", 60, houses.cap_moves
    yield "light: on and off", 20, houses.light_on
    yield "mount: park", 60, mounts.mount_park
    yield "mount: a parked mount does not slew", 15, mounts.mount_stays
    yield "devices disconnect", 30, devices_disconnect
    yield "devices connect again", 60, devices_connect
    yield "Ekos has its modules again", 30, modules
    yield "mount: is still parked", 15, mounts.mount_is_parked
    yield "nothing stays busy", 20, nothing_busy
    yield "every command was answered", 10, all_answered
    yield "no device has reported an error", 5, no_errors
    yield "Ekos stops", 60, ekos_stops


# KStars and Ekos


def kstars_starts(context: Context) -> str | None:
    profile.write_drivers(context.desk, context.served)
    context.desk.start_kstars()  # which makes its database
    context.wait("KStars on the bus", lambda: _is_up(context))
    context.desk.end_kstars()
    profile.write_profile(context.desk, context.served, context.tap.port, context.requests.port)
    context.desk.start_kstars()
    context.wait("KStars on the bus again", lambda: _is_up(context))
    return None


def _is_up(context: Context) -> bool:
    return context.bus.is_there() and "/KStars/INDI" in context.bus.children("/KStars")


def ekos_opens(context: Context) -> str | None:
    context.desk.close("Tip of the Day")
    context.bus.call("/kstars/MainWindow_1/actions/show_ekos", "org.qtproject.Qt.QAction.trigger")
    context.wait("the profile", lambda: profile.NAME in context.bus.call("/KStars/Ekos", f"{EKOS}.getProfiles"))
    if not context.bus.call("/KStars/Ekos", f"{EKOS}.setProfile", profile.NAME):
        raise Failed("the profile was not chosen")
    return None


def ekos_starts(context: Context) -> str | None:
    context.bus.call("/KStars/Ekos", f"{EKOS}.start")
    context.wait("ekosStatus Success", lambda: context.bus.get("/KStars/Ekos", EKOS, "ekosStatus") == SUCCESS)
    known = context.bus.call("/KStars/INDI", f"{INDI}.getDevices")
    absent = sorted(set(context.served.devices.values()) - set(known))
    if absent:
        raise Failed(f"KStars does not know {', '.join(absent)}")
    return ", ".join(known)


def devices_connect(context: Context) -> str | None:
    for kind in context.served.devices:
        context.device(kind, "CONNECTION")
    context.bus.call("/KStars/Ekos", f"{EKOS}.connectDevices")
    context.wait("indiStatus Success", lambda: context.bus.get("/KStars/Ekos", EKOS, "indiStatus") == SUCCESS)
    for device in set(context.served.devices.values()):
        context.wait(f"{device} connected", lambda device=device: context.tap.state(device, "CONNECTION") == "Ok")
    return None


def modules(context: Context) -> str | None:
    wanted = {"Mount": ("mount",), "Capture": ("camera",), "Focus": ("camera", "focuser"), "Align": ("camera", "mount")}
    found = []
    for name, kinds in wanted.items():
        if all(kind in context.served.devices for kind in kinds):
            context.wait(f"module {name}", lambda name=name: context.bus.has(f"/KStars/Ekos/{name}", f"{EKOS}.{name}"))
            found.append(name)
    for kind, interface in (("dome", "Dome"), ("weather", "Weather"), ("cap", "DustCap")):
        if kind in context.served.devices:
            context.wait(f"a {interface}", lambda kind=kind, interface=interface: _has_object(context, kind, interface))
            found.append(interface)
    if "camera" in context.served.devices:
        camera = context.served.devices["camera"]
        context.wait("the camera in Capture", lambda: context.get("Capture", "camera") == camera)
    context.desk.close("Optical Trains")
    return ", ".join(found)


def _has_object(context: Context, kind: str, interface: str) -> bool:
    try:
        context.object(kind, interface)
    except Failed:
        return False
    return True


def configuration(context: Context) -> str | None:
    for device in sorted(set(context.served.devices.values())):
        context.shown.append((device, "CONFIG_PROCESS"))

        def is_loaded(device: str = device) -> bool:
            sent = [
                passed for passed in context.tap.passed if (passed.device, passed.name) == (device, "CONFIG_PROCESS")
            ]
            asked = any(passed.way == ">" and passed.values.get("CONFIG_LOAD") == "On" for passed in sent)
            return asked and sent[-1].way == "<" and sent[-1].state in ("Ok", "Alert")

        context.wait(f"CONFIG_LOAD of {device}", is_loaded)
    return None


def ekos_stops(context: Context) -> str | None:
    context.bus.call("/KStars/Ekos", f"{EKOS}.stop")
    context.wait("ekosStatus Idle", lambda: context.bus.get("/KStars/Ekos", EKOS, "ekosStatus") == 0)
    return None


def devices_disconnect(context: Context) -> str | None:
    for kind in context.served.devices:
        context.device(kind, "CONNECTION")
    context.bus.call("/KStars/Ekos", f"{EKOS}.disconnectDevices")
    for device in set(context.served.devices.values()):
        context.wait(f"{device} disconnected", lambda device=device: context.tap.state(device, "CONNECTION") == "Idle")
    context.wait("indiStatus Idle", lambda: context.bus.get("/KStars/Ekos", EKOS, "indiStatus") == 0)
    time.sleep(2)  # deletions may follow
    left = {name for (device, name) in context.tap.properties if name in _OPERATING}
    if left:
        raise Failed(f"still defined: {', '.join(sorted(left))}")
    return None


_OPERATING = {
    "EQUATORIAL_EOD_COORD",
    "CCD_EXPOSURE",
    "ABS_FOCUS_POSITION",
    "FILTER_SLOT",
    "ABS_ROTATOR_ANGLE",
    "CAP_PARK",
}


def nothing_busy(context: Context) -> str | None:
    devices = set(context.served.devices.values())

    def busy() -> list[str]:
        kept = {"TELESCOPE_TRACK_STATE", "CCD_TEMPERATURE", "CCD_COOLER"}  # whose Busy says that they are on
        kept.add("GUIDER_EXPOSURE")  # libindi's camera leaves it so
        found = dict(context.tap.properties)
        return sorted(
            f"{d}.{n}" for (d, n), seen in found.items() if d in devices and seen.state == "Busy" and n not in kept
        )

    try:
        context.wait("nothing busy", lambda: not busy(), 15)
    except Failed:
        raise Failed(f"busy: {', '.join(busy())}") from None
    return None


def all_answered(context: Context) -> str | None:
    try:
        context.wait("all answered", lambda: not context.tap.unanswered())
    except Failed:
        raise Failed(f"not answered: {', '.join(context.tap.unanswered())}") from None
    return f"{sum(passed.way == '>' and passed.tag.startswith('new') for passed in context.tap.passed)} commands"


def no_errors(context: Context) -> str | None:
    told = [f"{passed.device}: {passed.message}" for passed in context.tap.passed if "[ERROR]" in passed.message]
    if told:
        raise Failed("; ".join(dict.fromkeys(told)))
    return None
