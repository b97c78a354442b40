"""Steps with the focuser."""

import time

from .steps import Context, Failed

FOCUSED, NOT_FOCUSED, FOCUS_ABORTED = 1, 2, 3


def focuser_moves(context: Context) -> str | None:
    focuser = context.device("focuser", "ABS_FOCUS_POSITION", "REL_FOCUS_POSITION")
    context.need("focuser", "ABS_FOCUS_POSITION")
    if "camera" not in context.served.devices:
        return _focuser_without_ekos(context, focuser)
    context.wait("canAutoFocus", lambda: context.module("Focus", "canAutoFocus"))
    before = context.tap.number(focuser, "ABS_FOCUS_POSITION") or 0.0
    for method, sign in (("focusOut", 1), ("focusIn", -1)):
        begin = context.tap.number(focuser, "ABS_FOCUS_POSITION") or 0.0
        context.begin = time.monotonic()
        context.module("Focus", method, 2500)
        context.wait(
            f"{method} by 2500 steps",
            lambda begin=begin, sign=sign: (
                context.tap.state(focuser, "ABS_FOCUS_POSITION") == "Ok"
                and context.tap.number(focuser, "ABS_FOCUS_POSITION") == begin + sign * 2500
            ),
        )
    return f"from {before:g} and back"


def _focuser_without_ekos(context: Context, focuser: str) -> str:
    context.send_number(focuser, "ABS_FOCUS_POSITION", FOCUS_ABSOLUTE_POSITION=42_000)
    context.wait(
        "Ok at 42000",
        lambda: (
            context.went_through(focuser, "ABS_FOCUS_POSITION", "Busy", "Ok")
            and context.tap.number(focuser, "ABS_FOCUS_POSITION") == 42_000
        ),
    )
    return "by the control panel: Ekos has no module without a camera"


_AWAY, _NEAR = 6000, 2000  # steps: where autofocus begins, and how near to the minimum it has to come
_STEP = 2500  # the size that Ekos suggests


def autofocus(context: Context) -> str | None:
    focuser = context.device("focuser", "ABS_FOCUS_POSITION", "FOCUS_MOTION")
    context.need("camera", "CCD_EXPOSURE")
    begin = (context.tap.number(focuser, "ABS_FOCUS_POSITION") or 0.0) - _AWAY
    context.module("Focus", "focusIn", _AWAY)
    context.wait("a worse focus", lambda: context.tap.number(focuser, "ABS_FOCUS_POSITION") == begin, 20)
    context.module("Focus", "setAutoStarEnabled", True)
    context.module("Focus", "setAutoSubFrameEnabled", False)
    context.module("Focus", "setAutoFocusParameters", 64, _STEP, 60_000, 1.0)
    context.module("Focus", "start")
    context.wait("it begins", lambda: context.get("Focus", "status") not in (0, FOCUSED, NOT_FOCUSED), 20)
    status = context.wait("its end", lambda: _end_of_focus(context))
    end = context.tap.number(focuser, "ABS_FOCUS_POSITION") or 0.0
    measured = context.get("Focus", "HFR")
    if status != FOCUSED:
        raise Failed(f"status {status}, from {begin:g} to {end:g}, HFR {measured:.2f}")
    if abs(end - context.served.best_focus) > _NEAR:
        raise Failed(
            f"from {begin:g} to {end:g}, HFR {measured:.2f}, but the minimum is at {context.served.best_focus}"
        )
    return f"from {begin:g} to {end:g}, HFR {measured:.2f}"


def _end_of_focus(context: Context) -> int:
    status = context.get("Focus", "status")
    return int(status) if status in (FOCUSED, NOT_FOCUSED, FOCUS_ABORTED) else 0


def autofocus_abort(context: Context) -> str | None:
    focuser = context.device("focuser", "ABS_FOCUS_POSITION", "FOCUS_ABORT_MOTION")
    camera = context.device("camera", "CCD_EXPOSURE")
    context.need("camera", "CCD_EXPOSURE")
    context.module("Focus", "start")
    context.wait("an image", lambda: context.tap.since(context.begin, camera, "CCD1"))
    context.module("Focus", "abort")
    context.wait("status aborted", lambda: context.get("Focus", "status") in (0, FOCUS_ABORTED))
    context.wait("the camera rests", lambda: context.tap.state(camera, "CCD_EXPOSURE") != "Busy")
    context.wait("the focuser rests", lambda: context.tap.state(focuser, "ABS_FOCUS_POSITION") != "Busy")
    return None
