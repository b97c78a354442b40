"""An imaginary observatory in the words of the protocol: every kind of vector, and names that nobody should choose."""

from html import escape


def attributes(**values):
    return "".join(f' {name}="{escape(str(value))}"' for name, value in values.items() if value is not None)


def define(kind, device, name, members, label="", group="Main", state="Idle", perm="rw", timeout=None, **more):
    """A definition; `members` are tuples of a name, a label, a value and attributes."""
    if kind == "Light":
        perm = None
    text = f"<def{kind}Vector" + attributes(
        device=device, name=name, label=label, group=group, state=state, perm=perm, timeout=timeout, **more
    )
    text += ">"
    for member, title, value, *rest in members:
        extra = dict(rest[0]) if rest else {}
        if kind == "Number":
            extra = {"format": "%g", "min": 0, "max": 0, "step": 0, **extra}
        text += f"<def{kind}{attributes(name=member, label=title, **extra)}>{escape(str(value))}</def{kind}>"
    return f"{text}</def{kind}Vector>"


def update(kind, device, name, members=None, state="Ok", message=None, timestamp=None):
    """An update of these members."""
    one = "".join(
        f"<one{kind}{attributes(name=member)}>{escape(str(value))}</one{kind}>"
        for member, value in (members or {}).items()
    )
    head = attributes(device=device, name=name, state=state, message=message, timestamp=timestamp)
    return f"<set{kind}Vector{head}>{one}</set{kind}Vector>"


def blob(device, name, member, data, format=".fits", state="Ok", size=None):
    """A BLOB."""
    from base64 import b64encode

    text = b64encode(data).decode()
    head = attributes(name=member, size=len(data) if size is None else size, enclen=len(text), format=format)
    return f"<setBLOBVector{attributes(device=device, name=name, state=state)}><oneBLOB{head}>{text}</oneBLOB></setBLOBVector>"


def delete(device, name=None, message=None):
    return f"<delProperty{attributes(device=device, name=name, message=message)}/>"


def say(text, device=None, timestamp=None):
    return f"<message{attributes(device=device, message=text, timestamp=timestamp)}/>"


def degrees(low, high, format="%10.6m"):
    return {"format": format, "min": low, "max": high, "step": 0}


def switch(device, name, members, label="", rule="OneOfMany", **more):
    return define("Switch", device, name, members, label, rule=rule, **more)


def connection(device, on=True):
    members = [("CONNECT", "Connect", "On" if on else "Off"), ("DISCONNECT", "Disconnect", "Off" if on else "On")]
    return switch(device, "CONNECTION", members, "Connection", state="Ok" if on else "Idle", group="Main")


TELESCOPE = (
    connection("Telescope")
    + define(
        "Number",
        "Telescope",
        "EQUATORIAL_EOD_COORD",
        [("RA", "RA", 5.5881388, degrees(0, 24)), ("DEC", "DEC", -5.3911111, degrees(-90, 90))],
        "Equatorial JNow",
        state="Busy",
        timeout=60,
    )
    + switch(
        "Telescope",
        "TELESCOPE_TRACK_STATE",
        [("TRACK_ON", "On", "On"), ("TRACK_OFF", "Off", "Off")],
        "Tracking",
        state="Ok",
    )
    + switch(
        "Telescope",
        "TELESCOPE_SLEW_RATE",
        [(name, name.title(), "On" if name == "CENTER" else "Off") for name in ("GUIDE", "CENTER", "FIND", "MAX")],
        "Slew rate",
        group="Motion",
    )
    + define(
        "Number",
        "Telescope",
        "GEOGRAPHIC_COORD",
        [
            ("LAT", "Latitude", 51.4779, {"format": "%.4f", "min": -90, "max": 90}),
            ("LONG", "Longitude", 0, {"format": "%.4f", "min": 0, "max": 360}),
            ("ELEV", "Elevation", 46, {"format": "%.1f", "min": -200, "max": 10000, "step": 1}),
        ],
        "Location",
        state="Ok",
        group="Site",
    )
    + switch("Telescope", "TELESCOPE_ABORT_MOTION", [("ABORT", "Abort", "Off")], "Abort", rule="AtMostOne", state="Ok")
    + define(
        "Light",
        "Telescope",
        "SCOPE_STATUS",
        [("LIMITS", "Limits", "Ok"), ("MOTOR", "Motor", "Busy"), ("LINK", "Link", "Ok")],
        "Scope status",
    )
    + define(
        "Text",
        "Telescope",
        "DRIVER_INFO",
        [("DRIVER_NAME", "Name", "Telescope Simulator"), ("DRIVER_VERSION", "Version", "1.0")],
        "Driver info",
        group="Options",
        perm="ro",
    )
)

CAMERA = (
    connection("CCD 1")
    + define(
        "Number",
        "CCD 1",
        "CCD_EXPOSURE",
        [("CCD_EXPOSURE_VALUE", "Duration (s)", 1, {"format": "%5.2f", "min": 0.01, "max": 3600, "step": 0.01})],
        "Expose",
        state="Ok",
    )
    + switch("CCD 1", "CCD_ABORT_EXPOSURE", [("ABORT", "Abort", "Off")], "Abort", rule="AtMostOne")
    + define(
        "Number",
        "CCD 1",
        "CCD_TEMPERATURE",
        [("CCD_TEMPERATURE_VALUE", "Temperature (C)", -10.02, {"format": "%5.2f", "min": -50, "max": 50, "step": 0.1})],
        "Temperature",
        state="Ok",
    )
    + define("BLOB", "CCD 1", "CCD1", [("CCD1", "Image", "")], "Image data", group="Image", perm="ro", state="Ok")
    + define("BLOB", "CCD 1", "UPLOAD", [("TABLE", "Bad pixels", "")], "Bad pixel map", group="Image", perm="rw")
    + define(
        "Text",
        "CCD 1",
        "FITS_HEADER",
        [("OBSERVER", "Observer", "A. Cannon"), ("OBJECT", "Object", "M 42")],
        "FITS header",
    )
)

DOME = (
    connection("Dome")
    + switch(
        "Dome",
        "DOME_SHUTTER",
        [("SHUTTER_OPEN", "Open", "Off"), ("SHUTTER_CLOSE", "Close", "On")],
        "Shutter",
        state="Alert",
        message="Shutter does not answer, check power",
    )
    + switch(
        "Dome",
        "OPTIONS",
        [("LIGHT", "Light", "On"), ("FAN", "Fan", "Off"), ("HEATER", "Heater", "Off")],
        "Power",
        rule="AnyOfMany",
    )
)

WEATHER = define(
    "Number",
    "Weather",
    "WEATHER_PARAMETERS",
    [
        ("TEMPERATURE", "Temperature (C)", 8.4, {"format": "%.1f"}),
        ("HUMIDITY", "Humidity (%)", 71, {"format": "%.0f"}),
        ("WIND", "Wind (km/h)", 12.3, {"format": "%.1f"}),
    ],
    "Parameters",
    state="Ok",
    perm="ro",
)

OBSERVATORY = TELESCOPE + CAMERA + DOME + WEATHER

SAID = (
    say("Exposure done, 8.2 MB in 1.9 s", "CCD 1", "2026-11-22T03:11:58")
    + say("Slewing to 05:40:00 -05:30:00", "Telescope", "2026-11-22T03:12:12")
    + say("[ERROR] Shutter does not answer, check power", "Dome", "2026-11-22T03:12:40")
)

AWKWARD_DEVICE = 'Odd & <b>[red]Device[/red]</b> "x"'
AWKWARD = (
    define(
        "Text",
        AWKWARD_DEVICE,
        "[bold]NAME[/]",
        [
            ("A'\"<&>", "[link=x]mark[/link] up", "[on red]value[/]"),
            ("RTL", "עברית label", "\u202eevil\u202c עברית"),
            ("LONG", "Long " + "x" * 200, "0123456789" * 1000),
            ("LINES", "Lines", "one\ntwo\tthree"),
            ("CJK", "望遠鏡の名前", "赤道儀"),
            ("EMPTY", "", ""),
        ],
        "A/B [x] \u2028 label",
        group="A/B group [1]",
    )
    + define("Number", AWKWARD_DEVICE, "N.dots", [("a.b", "dots.and.dots", "1e300", {"format": "%99.50f"})], "Dotted")
    + switch(AWKWARD_DEVICE, "S", [(str(n), f"switch number {n}", "Off") for n in range(40)], "Many", rule="AnyOfMany")
    + define("Light", AWKWARD_DEVICE, "L", [("x", "\x7f\u200b", "Ok")], "", group="")
)
