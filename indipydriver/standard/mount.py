"""Mounts, and pulse guiding."""

from __future__ import annotations

from typing import Final

from .shape import numbers, switches, texts

__all__ = ["GUIDER", "MOUNT"]

_MAIN: Final = "Main Control"
_MOTION: Final = "Motion Control"
_SITE: Final = "Site Management"
_OPTIONS: Final = "Options"
_RA_DEC: Final = "RA|RA (hh:mm:ss)|%010.6m|0..24/0; DEC|DEC (dd:mm:ss)|%010.6m|-90..90/0"

MOUNT: Final = (
    switches(
        "ON_COORD_SET",
        "On Set",
        _MAIN,
        "*TRACK|Track; SLEW|Slew; SYNC|Sync; FLIP|Flip",
        rule="1",
        users="KP",
        counted=True,
    ),
    numbers("EQUATORIAL_EOD_COORD", "Eq. Coordinates", _MAIN, _RA_DEC, needed_by="KPCS"),
    switches("TELESCOPE_ABORT_MOTION", "Abort Motion", _MAIN, "ABORT|Abort", rule="A", users="KPC"),
    switches(
        "TELESCOPE_TRACK_MODE",
        "Track Mode",
        _MAIN,
        "*TRACK_SIDEREAL|Sidereal; TRACK_SOLAR|Solar; TRACK_LUNAR|Lunar; TRACK_CUSTOM|Custom",
        rule="1",
        timeout=0,
        saved=True,
        users="KC",
        counted=True,
    ),
    switches(
        "TELESCOPE_TRACK_STATE", "Tracking", _MAIN, "TRACK_ON|On; *TRACK_OFF|Off", rule="1", timeout=0, users="KC"
    ),
    numbers(
        "TELESCOPE_TRACK_RATE",
        "Track Rates",
        _MAIN,
        "TRACK_RATE_RA|RA (arcsecs/s)|%.6f|-16384..16384/0.000001|15.041067;"
        "TRACK_RATE_DE|DE (arcsecs/s)|%.6f|-16384..16384/0.000001",
        saved=True,
    ),
    switches("TELESCOPE_HOME", "Home", _MAIN, "FIND|Find; SET|Set; GO|Go", rule="A", counted=True),
    switches(
        "TELESCOPE_MOTION_NS", "Motion N/S", _MOTION, "MOTION_NORTH|North; MOTION_SOUTH|South", rule="A", users="KCS"
    ),
    switches("TELESCOPE_MOTION_WE", "Motion W/E", _MOTION, "MOTION_WEST|West; MOTION_EAST|East", rule="A", users="KCS"),
    switches(
        "TELESCOPE_REVERSE_MOTION",
        "Reverse",
        _MOTION,
        "REVERSE_NS|North/South; REVERSE_WE|West/East",
        rule="M",
        saved=True,
        users="K",
    ),
    switches(
        "TELESCOPE_SLEW_RATE",
        "Slew Rate",
        _MOTION,
        "1x|Guide; 2x|Centering; *3x|Find; 4x|Max",
        rule="1",
        timeout=0,
        saved=True,
        users="KS",
        counted=True,
    ),
    numbers("TARGET_EOD_COORD", "Slew Target", _MOTION, _RA_DEC, perm="ro"),
    switches(
        "TELESCOPE_MOUNT_TYPE", "Mount Type", _MOTION, "ALTAZ; EQ_FORK|Fork (Eq); *EQ_GEM|GEM", rule="1", perm="ro"
    ),
    texts("TIME_UTC", "UTC", _SITE, "UTC|UTC Time; OFFSET|UTC Offset", users="KC"),
    numbers(
        "GEOGRAPHIC_COORD",
        "Scope Location",
        _SITE,
        "LAT|Lat (dd:mm:ss.s)|%012.8m|-90..90/0; LONG|Lon (dd:mm:ss.s)|%012.8m|0..360/0;"
        "ELEV|Elevation (m)|%g|-200..10000/0",
        saved=True,
        users="KPC",
    ),
    switches("TELESCOPE_PARK", "Parking", _MAIN, "PARK|Park(ed); UNPARK|UnPark(ed)", rule="1", users="KCS"),
    numbers(
        "TELESCOPE_PARK_POSITION",
        "Park Position",
        _SITE,
        "PARK_RA|RA (hh:mm:ss)|%010.6m|0..24/0; PARK_DEC|DEC (dd:mm:ss)|%010.6m|-90..90/0",
        counted=True,
    ),
    switches(
        "TELESCOPE_PARK_OPTION",
        "Park Options",
        _SITE,
        "PARK_CURRENT|Current; PARK_DEFAULT|Default; PARK_WRITE_DATA|Write Data; PARK_PURGE_DATA|Purge Data",
        rule="A",
        users="K",
    ),
    switches(
        "TELESCOPE_PIER_SIDE",
        "Pier Side",
        _MAIN,
        "PIER_WEST|West (pointing east); PIER_EAST|East (pointing west)",
        rule="A",
        perm="ro",
        users="KCP",
    ),
    switches("PEC", "PEC Playback", _MOTION, "*PEC OFF; PEC ON", rule="1", timeout=0, saved=True),
    numbers(
        "GUIDE_RATE",
        "Guiding Rate",
        _MOTION,
        "GUIDE_RATE_WE|W/E Rate|%g|0..1/0.1|0.5; GUIDE_RATE_NS|N/S Rate|%g|0..1/0.1|0.5",
        timeout=0,
        users="PC",
    ),
    switches(
        "DOME_POLICY",
        "Dome Policy",
        _OPTIONS,
        "*DOME_IGNORED|Dome ignored; DOME_LOCKS|Dome locks",
        rule="1",
        saved=True,
    ),
    texts(
        "ACTIVE_DEVICES",
        "Snoop devices",
        _OPTIONS,
        "ACTIVE_GPS|GPS|GPS Simulator; ACTIVE_DOME|DOME|Dome Simulator",
        saved=True,
        users="K",
        counted=True,
    ),
)

GUIDER: Final = (
    numbers(
        "TELESCOPE_TIMED_GUIDE_NS",
        "Guide N/S",
        _MOTION,
        "TIMED_GUIDE_N|North (ms)|%.f|0..60000/100; TIMED_GUIDE_S|South (ms)|%.f|0..60000/100",
        users="C",
        needed_by="KP",
    ),
    numbers(
        "TELESCOPE_TIMED_GUIDE_WE",
        "Guide E/W",
        _MOTION,
        "TIMED_GUIDE_W|West (ms)|%.f|0..60000/100; TIMED_GUIDE_E|East (ms)|%.f|0..60000/100",
        users="C",
        needed_by="KP",
    ),
)
