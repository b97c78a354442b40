"""Steps with the camera, and with what it depends on."""

import time
from pathlib import Path

from . import profile
from .mounts import SITE
from .profile import Job, headers
from .steps import Context, Failed
from .turning import angle_between, filters, first_filter

OBSERVER = "Somebody"


def _take(context: Context, name: str, *jobs: Job) -> list[Path]:
    """Run a sequence to its end; the new files, in order."""
    context.device("camera", "CCD_EXPOSURE", "CCD1")
    folder = context.desk.pictures / name
    file = context.desk.folder / f"{name}.esq"
    file.write_text(profile.sequence(folder, OBSERVER, jobs))
    context.module("Capture", "clearSequenceQueue")
    if not context.module("Capture", "loadSequenceQueue", file):
        raise Failed("Ekos has not loaded the sequence")
    context.wait("the jobs", lambda: context.module("Capture", "getJobCount") == len(jobs), 10)
    context.module("Capture", "start")
    count = sum(job.count for job in jobs)
    context.wait(f"{count} files", lambda: len(list(folder.rglob("*.fits"))) >= count)
    context.wait("no job left", lambda: context.module("Capture", "getPendingJobCount") == 0)
    context.wait("sequence complete", lambda: context.module("Capture", "getSequenceQueueStatus") == "Complete")
    return sorted(folder.rglob("*.fits"), key=lambda path: path.stat().st_mtime_ns)


def _full(context: Context) -> tuple[int, int, int, int]:
    camera = context.device("camera")
    width, height = (context.tap.number(camera, "CCD_INFO", name) for name in ("CCD_MAX_X", "CCD_MAX_Y"))
    return (0, 0, int(width or 0), int(height or 0))


def camera_five(context: Context) -> str | None:
    context.need("camera", "CCD_EXPOSURE")
    full = _full(context)
    names = filters(context)[:3] if "wheel" in context.served.devices else [""]
    counts = [2, 2, 1] if len(names) == 3 else [5]
    jobs = [Job(count, 1.0, name, frame=full) for count, name in zip(counts, names, strict=True)]
    files = _take(context, "five", *jobs)
    return f"{len(files)} files"


def camera_headers(context: Context) -> str | None:
    context.need("camera", "CCD_EXPOSURE")
    files = sorted((context.desk.pictures / "five").rglob("*.fits"))
    if len(files) < 5:
        raise Failed(f"{len(files)} files")
    problems: list[str] = []
    full = _full(context)
    devices = context.served.devices
    for file in files:
        found = headers(file)
        wanted = {
            "NAXIS1": str(full[2]),
            "NAXIS2": str(full[3]),
            "INSTRUME": devices["camera"],
            "OBSERVER": OBSERVER,
            "XBINNING": "1",
            "FRAME": "Light",
        }
        if "mount" in devices:
            wanted["TELESCOP"] = devices["mount"]
        if "wheel" in devices:
            wanted["FILTER"] = file.parent.name
        problems += [f"{key} is {found.get(key)}" for key, value in wanted.items() if found.get(key) != value]
        numbers = {"EXPTIME": 1.0, "PIXSIZE1": None, "FOCALLEN": 700.0, "APTDIA": 120.0}
        if "mount" in devices:
            numbers |= {"RA": None, "DEC": None, "SITELAT": SITE[0], "AIRMASS": None}
        if "focuser" in devices:
            numbers["FOCUSPOS"] = context.tap.number(devices["focuser"], "ABS_FOCUS_POSITION")
        if "rotator" in devices:
            numbers["ROTATANG"] = context.tap.number(devices["rotator"], "ABS_ROTATOR_ANGLE")
        for key, number in numbers.items():
            if key not in found:
                problems.append(f"no {key}")
            elif number is not None and abs(float(found[key]) - number) > 0.02 * max(1.0, abs(number)):
                problems.append(f"{key} is {found[key]}, not {number:g}")
        problems += [f"no {key}" for key in ("DATE-OBS", "OBJCTRA", "OBJCTDEC") if key not in found]
    if problems:
        raise Failed("; ".join(dict.fromkeys(problems)))
    return f"{len(found)} keywords"


def camera_part(context: Context) -> str | None:
    context.need("camera", "CCD_EXPOSURE", "CCD_BINNING", "CCD_FRAME")
    full = _full(context)
    part = (64, 32, full[2] // 2, full[3] // 2)
    file = _take(context, "part", Job(binning=2, frame=part, filter=first_filter(context)))[0]
    found = headers(file)
    size = int(found["NAXIS1"]), int(found["NAXIS2"])
    if size != (full[2] // 4, full[3] // 4) or found.get("XBINNING") != "2":
        raise Failed(f"the image has {size[0]} columns and {size[1]} rows, binning {found.get('XBINNING')}")
    return f"{size[0]} x {size[1]}"


def camera_darks(context: Context) -> str | None:
    context.need("camera", "CCD_EXPOSURE", "CCD_FRAME_TYPE")
    jobs = [Job(frame_type=kind, seconds=0.5, frame=_full(context)) for kind in ("Dark", "Bias")]
    found = [headers(file).get("FRAME") for file in _take(context, "darks", *jobs)]
    if sorted(map(str, found)) != ["Bias", "Dark"]:
        raise Failed(f"FRAME is {found}")
    return None


def camera_gain(context: Context) -> str | None:
    camera = context.device("camera", "CCD_GAIN")
    context.need("camera", "CCD_GAIN")
    file = _take(context, "gain", Job(gain=50, frame=_full(context), filter=first_filter(context)))[0]
    found = context.tap.number(camera, "CCD_GAIN"), float(headers(file)["GAIN"])
    if found != (50.0, 50.0):
        raise Failed(f"CCD_GAIN is {found[0]}, GAIN of the image {found[1]}")
    return None


def camera_cooled(context: Context) -> str | None:
    camera = context.device("camera", "CCD_TEMPERATURE")
    context.need("camera", "CCD_TEMPERATURE")
    wanted = round((context.tap.number(camera, "CCD_TEMPERATURE") or 0.0) - 5)
    file = _take(context, "cooled", Job(temperature=wanted, frame=_full(context), filter=first_filter(context)))[0]
    found = float(headers(file)["CCD-TEMP"])
    if abs(found - wanted) > 1:
        raise Failed(f"CCD-TEMP is {found}, not {wanted}")
    return f"{found:.1f} C"


def camera_abort(context: Context) -> str | None:
    camera = context.device("camera", "CCD_EXPOSURE", "CCD_ABORT_EXPOSURE")
    context.need("camera", "CCD_EXPOSURE", "CCD_ABORT_EXPOSURE")
    file = context.desk.folder / "long.esq"
    job = Job(seconds=60, frame=_full(context), filter=first_filter(context))
    file.write_text(profile.sequence(context.desk.pictures / "long", OBSERVER, [job]))
    context.module("Capture", "clearSequenceQueue")
    context.module("Capture", "loadSequenceQueue", file)
    context.module("Capture", "start")
    context.wait("CCD_EXPOSURE Busy", lambda: context.tap.state(camera, "CCD_EXPOSURE") == "Busy", 20)
    time.sleep(2)
    context.module("Capture", "abort")
    context.wait("CCD_EXPOSURE not Busy", lambda: context.tap.state(camera, "CCD_EXPOSURE") != "Busy", 10)
    context.wait("sequence aborted", lambda: context.module("Capture", "getSequenceQueueStatus") in ("Aborted", "Idle"))
    context.module("Capture", "clearSequenceQueue")
    return None


def camera_rotated(context: Context) -> str | None:
    rotator = context.device("rotator", "ABS_ROTATOR_ANGLE")
    context.need("camera", "CCD_EXPOSURE")
    before = context.tap.number(rotator, "ABS_ROTATOR_ANGLE")
    job = Job(rotation=40, frame=_full(context), filter=first_filter(context))
    file = _take(context, "rotated", job)[0]
    sent = context.tap.since(context.begin, rotator, "ABS_ROTATOR_ANGLE", ">")
    if not sent:
        raise Failed(f"Ekos has sent nothing; the angle is {before}")
    angle = context.tap.number(rotator, "ABS_ROTATOR_ANGLE") or 0.0
    if angle_between(float(headers(file).get("ROTATANG", "nan")), angle) > 0.5:
        raise Failed(f"ROTATANG is {headers(file).get('ROTATANG')}, the angle {angle:.2f}")
    return f"{angle:.2f} degrees"
