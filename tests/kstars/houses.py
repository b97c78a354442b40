"""Steps with the dome, the weather station, the dust cap and the light box."""

from .mounts import IS_PARKED, IS_UNPARKED
from .steps import INDI, Context
from .turning import angle_between

CAP_PARKED, CAP_UNPARKED = 1, 4
SHUTTER_OPEN, SHUTTER_CLOSED = 1, 2


def _dome(context: Context, name: str) -> object:
    return context.bus.get(context.object("dome", "Dome"), f"{INDI}.Dome", name)


def _order_dome(context: Context, method: str, *arguments: object) -> object:
    return context.bus.call(context.object("dome", "Dome"), f"{INDI}.Dome.{method}", *arguments)


def dome_unpark(context: Context) -> str | None:
    context.device("dome", "DOME_PARK")
    if _dome(context, "parkStatus") != IS_UNPARKED:
        _order_dome(context, "unpark")
    context.wait("parkStatus unparked", lambda: _dome(context, "parkStatus") == IS_UNPARKED)
    return None


def dome_goto(context: Context) -> str | None:
    dome = context.device("dome", "ABS_DOME_POSITION", "DOME_MOTION")
    context.need("dome", "ABS_DOME_POSITION")
    wanted = ((context.tap.number(dome, "ABS_DOME_POSITION") or 0.0) + 40) % 360
    path = context.object("dome", "Dome")
    context.bus.set(path, f"{INDI}.Dome", "position", wanted)
    context.wait("Busy", lambda: context.went_through(dome, "ABS_DOME_POSITION", "Busy"))
    context.wait("at rest", lambda: context.tap.state(dome, "ABS_DOME_POSITION") in ("Ok", "Idle"))
    context.wait("its azimuth", lambda: angle_between(float(str(_dome(context, "position"))), wanted) < 1.5, 10)
    context.wait("isMoving false", lambda: not _dome(context, "isMoving"), 10)
    return f"{wanted:.0f} degrees"


def dome_abort(context: Context) -> str | None:
    dome = context.device("dome", "ABS_DOME_POSITION", "DOME_ABORT_MOTION")
    context.need("dome", "ABS_DOME_POSITION")
    wanted = ((context.tap.number(dome, "ABS_DOME_POSITION") or 0.0) + 170) % 360
    context.bus.set(context.object("dome", "Dome"), f"{INDI}.Dome", "position", wanted)
    context.wait("Busy", lambda: context.tap.state(dome, "ABS_DOME_POSITION") == "Busy")
    _order_dome(context, "abort")
    context.wait("not Busy", lambda: context.tap.state(dome, "ABS_DOME_POSITION") != "Busy", 15)
    context.wait("isMoving false", lambda: not _dome(context, "isMoving"), 10)
    return None


def dome_shutter(context: Context) -> str | None:
    context.device("dome", "DOME_SHUTTER")
    context.need("dome", "DOME_SHUTTER")
    for is_open, wanted in ((True, SHUTTER_OPEN), (False, SHUTTER_CLOSED)):
        _order_dome(context, "controlShutter", is_open)
        context.wait(f"shutterStatus {wanted}", lambda wanted=wanted: _dome(context, "shutterStatus") == wanted, 40)
    return None


def dome_park(context: Context) -> str | None:
    context.device("dome", "DOME_PARK", "ABS_DOME_POSITION")
    _order_dome(context, "park")
    context.wait("parkStatus parked", lambda: _dome(context, "parkStatus") == IS_PARKED)
    return None


def weather_status(context: Context) -> str | None:
    station = context.device("weather", "WEATHER_STATUS", "WEATHER_PARAMETERS")
    path = context.object("weather", "Weather")
    states = {"Idle": 0, "Ok": 1, "Busy": 2, "Alert": 3}
    context.wait("a reading", lambda: context.tap.state(station, "WEATHER_PARAMETERS") == "Ok")
    context.wait(
        "the same status",
        lambda: (
            context.bus.get(path, f"{INDI}.Weather", "status") == states[context.tap.state(station, "WEATHER_STATUS")]
        ),
    )
    context.wait("the readings", lambda: "TEMPERATURE" in str(context.bus.get(path, f"{INDI}.Weather", "data")).upper())
    return f"status {context.bus.get(path, f'{INDI}.Weather', 'status')}"


def cap_moves(context: Context) -> str | None:
    context.device("cap", "CAP_PARK")
    path = context.object("cap", "DustCap")
    for method, wanted in (("unpark", CAP_UNPARKED), ("park", CAP_PARKED)):
        context.bus.call(path, f"{INDI}.DustCap.{method}")
        context.wait(
            f"{method}: parkStatus {wanted}",
            lambda wanted=wanted: context.bus.get(path, f"{INDI}.DustCap", "parkStatus") == wanted,
        )
    return None


def light_on(context: Context) -> str | None:
    light = context.device("light", "FLAT_LIGHT_CONTROL", "FLAT_LIGHT_INTENSITY")
    context.need("light", "FLAT_LIGHT_CONTROL")
    for member in ("FLAT_LIGHT_ON", "FLAT_LIGHT_OFF"):
        context.send_switch(light, "FLAT_LIGHT_CONTROL", member)
        context.wait(
            f"{member} and Ok",
            lambda member=member: (
                context.tap.on(light, "FLAT_LIGHT_CONTROL") == [member]
                and context.tap.state(light, "FLAT_LIGHT_CONTROL") == "Ok"
            ),
        )
    return None


def roof_moves(context: Context) -> str | None:
    roof = context.device("roof", "DOME_PARK", "DOME_MOTION")
    path = context.object("roof", "Dome")
    for method, wanted in (("unpark", IS_UNPARKED), ("park", IS_PARKED)):
        context.bus.call(path, f"{INDI}.Dome.{method}")
        context.wait(
            f"{method}: parkStatus {wanted}",
            lambda wanted=wanted: context.bus.get(path, f"{INDI}.Dome", "parkStatus") == wanted,
        )
    context.wait("DOME_MOTION not Busy", lambda: context.tap.state(roof, "DOME_MOTION") != "Busy")
    return None


def power_switches(context: Context) -> str | None:
    box = context.device("power", "POWER_CHANNELS")
    context.need("power", "POWER_CHANNELS")
    channel = next(iter(context.tap.values(box, "POWER_CHANNELS")))
    for value in ("Off", "On") if channel in context.tap.on(box, "POWER_CHANNELS") else ("On", "Off"):
        context.send_switch(box, "POWER_CHANNELS", channel, value)
        context.wait(
            f"{channel} {value} and Ok",
            lambda value=value: (
                context.tap.values(box, "POWER_CHANNELS")[channel] == value
                and context.tap.state(box, "POWER_CHANNELS") == "Ok"
            ),
        )
    return channel


def gps_fix(context: Context) -> str | None:
    receiver = context.device("gps", "GEOGRAPHIC_COORD", "TIME_UTC", "GPS_REFRESH")
    context.need("gps", "GEOGRAPHIC_COORD", "TIME_UTC", "GPS_REFRESH")
    context.send_switch(receiver, "GPS_REFRESH", "REFRESH")
    for name in ("GEOGRAPHIC_COORD", "TIME_UTC", "GPS_REFRESH"):
        context.wait(f"{name} Ok", lambda name=name: context.tap.state(receiver, name) == "Ok")
    return f"{context.tap.number(receiver, 'GEOGRAPHIC_COORD', 'LAT'):.2f} degrees north"
