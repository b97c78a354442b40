"""Steps with the rotator and the filter wheel."""

from .steps import Context, Failed, NotThere


def angle_between(one: float, other: float) -> float:
    return abs((one - other + 180) % 360 - 180)


def rotator_goto(context: Context) -> str | None:
    rotator = context.device("rotator", "ABS_ROTATOR_ANGLE")
    context.send_number(rotator, "ABS_ROTATOR_ANGLE", ANGLE=25.0)
    context.wait(
        "Ok at 25 degrees",
        lambda: (
            context.went_through(rotator, "ABS_ROTATOR_ANGLE", "Busy", "Ok")
            and context.tap.state(rotator, "ABS_ROTATOR_ANGLE") == "Ok"
            and angle_between(context.tap.number(rotator, "ABS_ROTATOR_ANGLE") or 0.0, 25) < 0.1
        ),
    )
    return None


def rotator_reverse(context: Context) -> str | None:
    rotator = context.device("rotator", "ROTATOR_REVERSE")
    context.need("rotator", "ROTATOR_REVERSE")
    for member in ("INDI_ENABLED", "INDI_DISABLED"):
        context.send_switch(rotator, "ROTATOR_REVERSE", member)
        context.wait(member, lambda member=member: context.tap.on(rotator, "ROTATOR_REVERSE") == [member])
    return None


def rotator_abort(context: Context) -> str | None:
    rotator = context.device("rotator", "ABS_ROTATOR_ANGLE", "ROTATOR_ABORT_MOTION")
    context.need("rotator", "ROTATOR_ABORT_MOTION")
    context.send_number(rotator, "ABS_ROTATOR_ANGLE", ANGLE=170.0)
    context.wait("Busy", lambda: context.tap.state(rotator, "ABS_ROTATOR_ANGLE") == "Busy")
    context.send_switch(rotator, "ROTATOR_ABORT_MOTION", "ABORT")
    context.wait("not Busy", lambda: context.tap.state(rotator, "ABS_ROTATOR_ANGLE") != "Busy")
    return f"{context.tap.number(rotator, 'ABS_ROTATOR_ANGLE'):.1f} degrees"


def filters(context: Context) -> list[str]:
    wheel = context.device("wheel")
    return list(context.tap.values(wheel, "FILTER_NAME").values())


def wheel_names(context: Context) -> str | None:
    wheel = context.device("wheel", "FILTER_NAME", "FILTER_SLOT")
    if "camera" not in context.served.devices:
        raise NotThere("Ekos needs a camera for it")
    names = filters(context)
    context.wait("the wheel in Capture", lambda: context.get("Capture", "filterWheel") == wheel)
    context.wait("the filter in Capture", lambda: context.get("Capture", "filter") in names)
    return ", ".join(names)


def wheel_moved(context: Context) -> str | None:
    wheel = context.device("wheel", "FILTER_SLOT")
    context.need("camera", "CCD_EXPOSURE")
    moves = [passed for passed in context.tap.passed if (passed.device, passed.name) == (wheel, "FILTER_SLOT")]
    asked = [passed for passed in moves if passed.way == ">"]
    if len(asked) < 2:
        raise Failed(f"Ekos has sent {len(asked)} commands")
    if context.tap.state(wheel, "FILTER_SLOT") != "Ok" or context.tap.number(wheel, "FILTER_SLOT") != 3:
        raise Failed(f"it is at {context.tap.number(wheel, 'FILTER_SLOT')}")
    return f"{len(asked)} commands"


def first_filter(context: Context) -> str:
    return filters(context)[0] if "wheel" in context.served.devices else ""
