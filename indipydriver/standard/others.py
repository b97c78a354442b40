"""Focusers, filter wheels, rotators, domes, weather, GPS, caps, lights and power."""

from __future__ import annotations

from typing import Final

from .shape import ENABLED_DISABLED, lights, numbers, switches, texts

__all__ = [
    "DOME",
    "DUST_CAP",
    "FILTER_WHEEL",
    "FOCUSER",
    "GPS",
    "INPUT",
    "LIGHT_BOX",
    "OUTPUT",
    "POWER",
    "ROTATOR",
    "WEATHER",
]

_MAIN: Final = "Main Control"
_OPTIONS: Final = "Options"
_SITE: Final = "Site Management"
_SLAVING: Final = "Slaving"
_FILTER: Final = "Filter Wheel"

FOCUSER: Final = (
    switches(
        "FOCUS_MOTION",
        "Direction",
        _MAIN,
        "*FOCUS_INWARD|Focus In; FOCUS_OUTWARD|Focus Out",
        rule="1",
        state="Ok",
        needed_by="KC",
    ),
    numbers("FOCUS_SPEED", "Speed", _MAIN, "FOCUS_SPEED_VALUE|Focus Speed|%3.0f|0..255/1", state="Ok"),
    numbers("FOCUS_TIMER", "Timer", _MAIN, "FOCUS_TIMER_VALUE|Focus Timer (ms)|%4.0f|0..5000/50|1000", state="Ok"),
    numbers(
        "REL_FOCUS_POSITION",
        "Relative Position",
        _MAIN,
        "FOCUS_RELATIVE_POSITION|Steps|%.f|0..100000/1000",
        state="Ok",
        users="KC",
    ),
    numbers(
        "ABS_FOCUS_POSITION",
        "Absolute Position",
        _MAIN,
        "FOCUS_ABSOLUTE_POSITION|Steps|%.f|0..100000/1000",
        state="Ok",
        users="KC",
    ),
    numbers(
        "FOCUS_MAX",
        "Max. Position",
        _MAIN,
        "FOCUS_MAX_VALUE|Steps|%.f|1000..1000000/10000|100000",
        state="Ok",
        saved=True,
        users="K",
    ),
    switches("FOCUS_ABORT_MOTION", "Abort Motion", _MAIN, "ABORT|Abort", rule="A", users="K"),
    numbers("FOCUS_SYNC", "Sync", _MAIN, "FOCUS_SYNC_VALUE|Steps|%.f|0..100000/1000", state="Ok"),
    switches("FOCUS_REVERSE_MOTION", "Reverse Motion", _MAIN, ENABLED_DISABLED, rule="1", saved=True),
    switches("FOCUS_BACKLASH_TOGGLE", "Backlash", _MAIN, ENABLED_DISABLED, rule="1", saved=True, users="K"),
    numbers(
        "FOCUS_BACKLASH_STEPS",
        "Backlash",
        _MAIN,
        "FOCUS_BACKLASH_VALUE|Steps|%.f|0..1000000/100",
        state="Ok",
        saved=True,
        users="K",
    ),
    numbers(
        "FOCUS_TEMPERATURE", "Temperature", _MAIN, "TEMPERATURE|Celsius|%6.2f|-50..70", perm="ro", timeout=0, users="KC"
    ),
)

FILTER_WHEEL: Final = (
    numbers("FILTER_SLOT", "Filter Slot", _FILTER, "FILTER_SLOT_VALUE|Filter|%.f|1..8/1|1", saved=True, needed_by="KC"),
    texts(
        "FILTER_NAME",
        "Filter",
        _FILTER,
        "FILTER_SLOT_NAME_1|Filter#1|Red; FILTER_SLOT_NAME_2|Filter#2|Green; FILTER_SLOT_NAME_3|Filter#3|Blue;"
        "FILTER_SLOT_NAME_4|Filter#4|H_Alpha; FILTER_SLOT_NAME_5|Filter#5|SII; FILTER_SLOT_NAME_6|Filter#6|OIII;"
        "FILTER_SLOT_NAME_7|Filter#7|LPR; FILTER_SLOT_NAME_8|Filter#8|Luminance",
        timeout=0,
        saved=True,
        users="K",
        needed_by="C",
        counted=True,
    ),
)

ROTATOR: Final = (
    numbers("ABS_ROTATOR_ANGLE", "Goto", _MAIN, "ANGLE|Angle|%.2f|0..360/10", timeout=0, users="C", needed_by="KP"),
    switches("ROTATOR_ABORT_MOTION", "Abort Motion", _MAIN, "ABORT|Abort", rule="A", timeout=0),
    numbers("SYNC_ROTATOR_ANGLE", "Sync", _MAIN, "ANGLE|Angle|%.2f|0..360/10", timeout=0),
    switches("ROTATOR_HOME", "Homing", _MAIN, "HOME|Start", rule="A", timeout=0),
    switches("ROTATOR_REVERSE", "Reverse", _MAIN, ENABLED_DISABLED, rule="1", timeout=0, saved=True, users="K"),
    switches("ROTATOR_BACKLASH_TOGGLE", "Backlash", _MAIN, ENABLED_DISABLED, rule="1", timeout=0, saved=True),
    numbers(
        "ROTATOR_BACKLASH_STEPS",
        "Backlash",
        _MAIN,
        "ROTATOR_BACKLASH_VALUE|Steps|%.f|0..1000000/100",
        timeout=0,
        saved=True,
    ),
    numbers(
        "ROTATOR_LIMITS",
        "Limits",
        _MAIN,
        "ROTATOR_LIMITS_VALUE|Safe Range (degrees)|%.f|0..360/30",
        timeout=0,
        saved=True,
    ),
)

DOME: Final = (
    switches(
        "DOME_SHUTTER", "Shutter", _MAIN, "SHUTTER_OPEN|Open; *SHUTTER_CLOSE|Close", rule="A", state="Ok", users="KC"
    ),
    switches(
        "DOME_SHUTTER_PARK_POLICY",
        "Shutter",
        _OPTIONS,
        "SHUTTER_CLOSE_ON_PARK|Close On Park; SHUTTER_OPEN_ON_UNPARK|Open On UnPark",
        rule="M",
        saved=True,
    ),
    switches("DOME_MOTION", "Motion", _MAIN, "DOME_CW|Dome CW; DOME_CCW|Dome CCW", rule="A", state="Ok", needed_by="K"),
    numbers(
        "REL_DOME_POSITION", "Relative Position", _MAIN, "DOME_RELATIVE_POSITION|Degrees|%6.2f|-180..180/10", state="Ok"
    ),
    numbers(
        "ABS_DOME_POSITION",
        "Absolute Position",
        _MAIN,
        "DOME_ABSOLUTE_POSITION|Degrees|%6.2f|0..360/1",
        state="Ok",
        users="K",
    ),
    switches("DOME_ABORT_MOTION", "Abort Motion", _MAIN, "ABORT|Abort", rule="A", users="K"),
    numbers("DOME_SPEED", "Speed", _MAIN, "DOME_SPEED_VALUE|RPM|%6.2f|0..10/0.1|1", state="Ok"),
    numbers("DOME_SYNC", "Sync", _MAIN, "DOME_SYNC_VALUE|Az|%.2f|0..360/10", state="Ok"),
    switches(
        "DOME_AUTOSYNC",
        "Slaving",
        _SLAVING,
        "DOME_AUTOSYNC_ENABLE|Enable; *DOME_AUTOSYNC_DISABLE|Disable",
        rule="1",
        state="Ok",
        users="KC",
    ),
    switches(
        "DM_OTA_SIDE",
        "Meridian side",
        _SLAVING,
        "DM_OTA_SIDE_EAST|East; DM_OTA_SIDE_WEST|West; *DM_OTA_SIDE_MOUNT|Mount; DM_OTA_SIDE_HA|Hour Angle;"
        "DM_OTA_SIDE_IGNORE|Ignore",
        rule="A",
        state="Ok",
        saved=True,
    ),
    numbers(
        "DOME_PARAMS",
        "Params",
        _SLAVING,
        "AUTOSYNC_THRESHOLD|Autosync threshold (deg)|%6.2f|0..360/1|0.5",
        state="Ok",
        saved=True,
    ),
    numbers(
        "DOME_MEASUREMENTS",
        "Measurements",
        _SLAVING,
        "DM_DOME_RADIUS|Radius (m)|%6.2f|0..50/1; DM_SHUTTER_WIDTH|Shutter width (m)|%6.2f|0..10/1;"
        "DM_NORTH_DISPLACEMENT|N displacement (m)|%6.2f|-10..10/1;"
        "DM_EAST_DISPLACEMENT|E displacement (m)|%6.2f|-10..10/1;"
        "DM_UP_DISPLACEMENT|Up displacement (m)|%6.2f|-10..10/1; DM_OTA_OFFSET|OTA offset (m)|%6.2f|-10..10/1",
        state="Ok",
        saved=True,
    ),
    switches("DOME_PARK", "Parking", _MAIN, "PARK|Park(ed); UNPARK|UnPark(ed)", rule="1", state="Ok", users="KC"),
    numbers("DOME_PARK_POSITION", "Park Position", _SITE, "PARK_AZ|AZ D:M:S|%10.6m|0..360/0"),
    switches(
        "DOME_PARK_OPTION",
        "Park Options",
        _SITE,
        "PARK_CURRENT|Current; PARK_DEFAULT|Default; PARK_WRITE_DATA|Write Data",
        rule="A",
    ),
    switches("DOME_BACKLASH_TOGGLE", "Backlash", _MAIN, ENABLED_DISABLED, rule="1", saved=True),
    numbers(
        "DOME_BACKLASH_STEPS",
        "Backlash",
        _MAIN,
        "DOME_BACKLASH_VALUE|Steps|%.f|0..1000000/100",
        state="Ok",
        saved=True,
    ),
    switches(
        "MOUNT_POLICY",
        "Mount Policy",
        _OPTIONS,
        "*MOUNT_IGNORED|Mount ignored; MOUNT_LOCKS|Mount locks",
        rule="1",
        saved=True,
    ),
    texts(
        "ACTIVE_DEVICES", "Snoop devices", _OPTIONS, "ACTIVE_TELESCOPE|Telescope", saved=True, users="K", counted=True
    ),
)

WEATHER: Final = (
    numbers("WEATHER_UPDATE", "Update", _MAIN, "PERIOD|Period (s)|%.f|0..3600/60|60", saved=True),
    switches("WEATHER_REFRESH", "Weather", _MAIN, "REFRESH|Refresh", rule="A", timeout=0),
    switches("WEATHER_OVERRIDE", "Safety", _MAIN, "OVERRIDE|Override Status", rule="M", timeout=0),
    lights("WEATHER_STATUS", "Status", _MAIN, "WEATHER_TEMPERATURE|Temperature (C)", needed_by="KC", counted=True),
    lights("SAFETY_STATUS", "Safety", _MAIN, "SAFETY|Safety", users="K"),
    numbers(
        "WEATHER_PARAMETERS",
        "Parameters",
        "Parameters",
        "WEATHER_TEMPERATURE|Temperature (C)|%.2f",
        perm="ro",
        state="Ok",
        users="K",
        counted=True,
    ),
    texts("ACTIVE_DEVICES", "Snoop devices", _OPTIONS, "ACTIVE_GPS|GPS", saved=True, users="K", counted=True),
)

GPS: Final = (
    numbers(
        "GEOGRAPHIC_COORD",
        "Location",
        _MAIN,
        "LAT|Lat (dd:mm:ss)|%010.6m|-90..90/0; LONG|Lon (dd:mm:ss)|%010.6m|0..360/0;"
        "ELEV|Elevation (m)|%g|-200..10000/0",
        perm="ro",
        needed_by="K",
    ),
    texts("TIME_UTC", "UTC", _MAIN, "UTC|UTC Time; OFFSET|UTC Offset", perm="ro", needed_by="K"),
    switches("GPS_REFRESH", "Refresh", _MAIN, "REFRESH|GPS", rule="A", timeout=0, users="K"),
    numbers("GPS_REFRESH_PERIOD", "Refresh", _MAIN, "PERIOD|Period (s)|%.f|0..3600/60", timeout=0, users="K"),
)

DUST_CAP: Final = (
    switches("CAP_PARK", "Dust Cover", _MAIN, "PARK|Park; UNPARK|Unpark", rule="1", timeout=0, needed_by="KC"),
    switches("CAP_ABORT", "Motion", _MAIN, "ABORT|Abort", rule="A"),
)

LIGHT_BOX: Final = (
    switches(
        "FLAT_LIGHT_CONTROL",
        "Flat Light",
        _MAIN,
        "FLAT_LIGHT_ON|On; *FLAT_LIGHT_OFF|Off",
        rule="1",
        timeout=0,
        users="C",
        needed_by="K",
    ),
    numbers(
        "FLAT_LIGHT_INTENSITY",
        "Brightness",
        _MAIN,
        "FLAT_LIGHT_INTENSITY_VALUE|Value|%.f|0..255/10",
        timeout=0,
        saved=True,
        users="K",
    ),
    numbers(
        "FLAT_LIGHT_FILTER_INTENSITY",
        "Filter Intensity",
        "Preset",
        "FILTER_1|Filter 1|%.f|0..255/10",
        saved=True,
        counted=True,
    ),
    texts(
        "ACTIVE_DEVICES", "Snoop devices", _OPTIONS, "ACTIVE_FILTER|Filter|Filter Simulator", saved=True, counted=True
    ),
)

OUTPUT: Final = (
    switches("DIGITAL_OUTPUT_1", "Digital Output 1", _MAIN, "*OFF|Off; ON|On", rule="A"),
    texts("DIGITAL_OUTPUT_LABELS", "Labels", _OPTIONS, "DIGITAL_OUTPUT_1|Digital output 1", saved=True, counted=True),
    numbers("PULSE_0", "Pulse", "Pulse Mode", "DURATION|Duration (ms)|%.0f|0..60000/100", saved=True),
)

INPUT: Final = (
    switches("DIGITAL_INPUT_1", "Digital Input 1", _MAIN, "*OFF|Off; ON|On", rule="1", perm="ro"),
    texts("DIGITAL_INPUT_LABELS", "Labels", _OPTIONS, "DIGITAL_INPUT_1|Digital input 1", saved=True, counted=True),
    numbers("ANALOG_INPUT_1", "Analog Input 1", _MAIN, "ANALOG_INPUT_1|Analog Input 1|%.4g", perm="ro"),
    texts("ANALOG_INPUT_LABELS", "Labels", _OPTIONS, "ANALOG_INPUT_1|Analog input 1", saved=True, counted=True),
)

POWER: Final = (
    numbers(
        "POWER_SENSORS",
        "Sensors",
        _MAIN,
        "SENSOR_VOLTAGE|Voltage (V)|%.2f|0..999; SENSOR_CURRENT|Current (A)|%.2f|0..999;"
        "SENSOR_POWER|Power (W)|%.2f|0..9999",
        perm="ro",
        users="K",
        counted=True,
    ),
    switches("LED_CONTROL", "LEDs", _MAIN, "*INDI_ENABLED|Enabled; INDI_DISABLED|Disabled", rule="1", users="K"),
    switches("POWER_CHANNELS", "Toggle DC", "Power", "POWER_CHANNEL_1|Channel 1", rule="M", users="K", counted=True),
    numbers("POWER_CURRENTS", "Currents", "Power", "POWER_CHANNEL_1|Channel 1|%.2f|0..999", perm="ro", counted=True),
    texts("POWER_LABELS", "Labels", "Power", "POWER_CHANNEL_1|Channel 1|Channel 1", saved=True, counted=True),
    switches("DEW_CHANNELS", "Toggle Dew", "Dew", "DEW_CHANNEL_1|Dew 1", rule="M", users="K", counted=True),
    numbers("DEW_DUTY_CYCLES", "Duty Cycles", "Dew", "DEW_CHANNEL_1|Dew 1|%.0f|0..100/10", counted=True),
    numbers("DEW_CURRENTS", "Currents", "Dew", "DEW_CHANNEL_1|Dew 1|%.2f|0..999", perm="ro", counted=True),
    texts("DEW_LABELS", "Labels", "Dew", "DEW_CHANNEL_1|Dew 1|Dew 1", saved=True, counted=True),
    switches("AUTO_DEW_CONTROL", "Automatic", "Dew", "DEW_CHANNEL_1|Dew 1", rule="M", counted=True),
    switches("VARIABLE_CHANNELS", "Toggle Variable", "Variable", "VAR_CHANNEL_1|Variable 1", rule="M", counted=True),
    numbers("VARIABLE_VOLTAGES", "Voltages", "Variable", "VAR_CHANNEL_1|Variable 1|%.1f|3..12/0.1|12", counted=True),
    texts("VARIABLE_LABELS", "Labels", "Variable", "VAR_CHANNEL_1|Variable 1|Variable 1", saved=True, counted=True),
    switches("USB_PORTS", "Toggle USB", "USB", "USB_PORT_1|Port 1", rule="M", users="K", counted=True),
    texts("USB_LABELS", "Labels", "USB", "USB_PORT_1|Port 1|Port 1", saved=True, counted=True),
)
