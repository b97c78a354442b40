"""A step with Ekos's own guider: the camera sees what the pulses do to the mount."""

import time

from .mounts import TRACKING
from .steps import Context, Failed, NotThere

ABORTED, CALIBRATION_ERROR, GUIDING = 1, 10, 12  # the status of guiding in Ekos
_PLACE = (5.5, 50.0)  # it never sets; always the same stars are seen there
_LONG = 15  # seconds of guiding


def guide(context: Context) -> str | None:
    mount = context.device("mount", "TELESCOPE_TIMED_GUIDE_NS", "TELESCOPE_TIMED_GUIDE_WE")
    context.need("mount", "TELESCOPE_TIMED_GUIDE_NS", "TELESCOPE_TIMED_GUIDE_WE")
    context.need("camera", "CCD_EXPOSURE")
    if not context.bus.has("/KStars/Ekos/Guide", "org.kde.kstars.Ekos.Guide"):
        raise NotThere("Ekos has no module for it")
    context.module("Mount", "slew", *_PLACE)
    time.sleep(2)
    context.wait("status tracking", lambda: context.get("Mount", "status") == TRACKING)
    context.module("Guide", "setAutoStarEnabled", True)
    context.module("Guide", "setSubFrameEnabled", False)
    context.module("Guide", "clearCalibration")
    if not context.module("Guide", "guide"):
        raise Failed("guide said no")
    context.wait("it guides", lambda: _status(context) == GUIDING)
    calibrated = time.monotonic() - context.began
    end = time.monotonic() + _LONG
    context.wait(f"{_LONG} seconds of it", lambda: _status(context) == GUIDING and time.monotonic() > end)
    context.module("Guide", "abort")
    pulses = [
        len(context.tap.since(context.began, mount, f"TELESCOPE_TIMED_GUIDE_{axis}", ">")) for axis in ("WE", "NS")
    ]
    context.wait("no pulse goes on", lambda: context.tap.state(mount, "TELESCOPE_TIMED_GUIDE_WE") != "Busy")
    return f"calibrated after {calibrated:.0f} s; {pulses[0]} pulses in right ascension, {pulses[1]} in declination"


def _status(context: Context) -> int:
    status = int(context.get("Guide", "status"))
    if status in (ABORTED, CALIBRATION_ERROR):
        raise Failed(f"status {status}")
    return status
