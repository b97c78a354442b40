"""Cameras."""

from __future__ import annotations

from typing import Final

from .shape import ENABLED_DISABLED, blobs, numbers, switches, texts

__all__ = ["CAMERA"]

_MAIN: Final = "Main Control"
_SETTINGS: Final = "Image Settings"
_INFO: Final = "Image Info"
_OPTIONS: Final = "Options"

_STREAMING: Final = "Streaming"
_HEAD: Final = "Guider Head"
_FRAME_TYPES: Final = "*FRAME_LIGHT|Light; FRAME_BIAS|Bias; FRAME_DARK|Dark; FRAME_FLAT|Flat"
_CHIP_INFO: Final = (
    "CCD_MAX_X|Max. Width|%.f|1..16000; CCD_MAX_Y|Max. Height|%.f|1..16000;"
    "CCD_PIXEL_SIZE|Pixel size (um)|%.2f|1..40;"
    "CCD_PIXEL_SIZE_X|Pixel size X|%.2f|1..40; CCD_PIXEL_SIZE_Y|Pixel size Y|%.2f|1..40;"
    "CCD_BITSPERPIXEL|Bits per pixel|%.f|8..64"
)

CAMERA: Final = (
    numbers("CCD_EXPOSURE", "Expose", _MAIN, "CCD_EXPOSURE_VALUE|Duration (s)|%5.2f|0.01..3600/1|1", needed_by="KPC"),
    switches("CCD_ABORT_EXPOSURE", "Abort", _MAIN, "ABORT|Abort", rule="A", users="KC"),
    numbers(
        "CCD_FRAME",
        "Frame",
        _SETTINGS,
        "X|Left|%4.0f; Y|Top|%4.0f; WIDTH|Width|%4.0f; HEIGHT|Height|%4.0f",
        saved=True,
        users="KP",
        needed_by="C",
    ),
    switches("CCD_FRAME_RESET", "Frame Values", _SETTINGS, "RESET|Reset", rule="A", perm="wo", timeout=0),
    numbers(
        "CCD_BINNING",
        "Binning",
        _SETTINGS,
        "HOR_BIN|X|%2.0f|1..4/1|1; VER_BIN|Y|%2.0f|1..4/1|1",
        saved=True,
        users="KPC",
    ),
    texts(
        "FITS_HEADER",
        "FITS Header",
        "General Info",
        "FITS_OBSERVER|Observer; FITS_OBJECT|Object; KEYWORD_NAME|Name; KEYWORD_VALUE|Value; KEYWORD_COMMENT|Comment",
        perm="wo",
        users="K",
    ),
    numbers(
        "CCD_TEMPERATURE", "Temperature", _MAIN, "CCD_TEMPERATURE_VALUE|Temperature (C)|%5.2f|-50..50/0", users="KC"
    ),
    numbers(
        "CCD_TEMP_RAMP",
        "Temp. Ramp",
        _MAIN,
        "RAMP_SLOPE|Max. dT (C/min)|%.f|0..30/1; RAMP_THRESHOLD|Threshold (C)|%.1f|0.1..2/0.1|0.2",
        saved=True,
        users="K",
    ),
    switches("CCD_COOLER", "Cooler", _MAIN, "COOLER_ON|ON; *COOLER_OFF|OFF", rule="1", timeout=0, users="KC"),
    numbers("CCD_COOLER_POWER", "Cooler Power", _MAIN, "CCD_COOLER_VALUE|Cooling Power (%)|%.f|0..100", perm="ro"),
    numbers("CCD_GAIN", "Gain", _MAIN, "GAIN|value|%.f", users="K", counted=True),
    numbers("CCD_OFFSET", "Offset", _MAIN, "OFFSET|value|%.f", users="K", counted=True),
    switches(
        "CCD_CAPTURE_FORMAT", "Format", _SETTINGS, "*INDI_MONO|Mono", rule="1", saved=True, users="K", counted=True
    ),
    switches(
        "CCD_TRANSFER_FORMAT", "Encode", _SETTINGS, "*FORMAT_FITS|FITS", rule="1", saved=True, users="K", counted=True
    ),
    numbers(
        "CCD_INFO",
        "CCD Information",
        _INFO,
        _CHIP_INFO,
        perm="ro",
        users="C",
        needed_by="KP",
    ),
    switches("CCD_COMPRESSION", "Compression", _SETTINGS, ENABLED_DISABLED, rule="1", saved=True),
    blobs("CCD1", "Image Data", _INFO, "CCD1|Image", perm="ro", needed_by="KPC"),
    switches(
        "CCD_FRAME_TYPE",
        "Type",
        _SETTINGS,
        "*FRAME_LIGHT|Light; FRAME_BIAS|Bias; FRAME_DARK|Dark; FRAME_FLAT|Flat",
        rule="1",
        users="KC",
    ),
    texts(
        "CCD_CFA",
        "Bayer Info",
        _INFO,
        "CFA_OFFSET_X|X Offset|0; CFA_OFFSET_Y|Y Offset|0; CFA_TYPE|Filter|RGGB",
        saved=True,
        users="KP",
    ),
    numbers(
        "SCOPE_INFO",
        "Scope",
        _OPTIONS,
        "FOCAL_LENGTH|Focal Length (mm)|%g|0..10000/1; APERTURE|Aperture (mm)|%g|0..3000/1",
        saved=True,
        users="K",
    ),
    switches("WCS_CONTROL", "WCS", "WCS", "WCS_ENABLE|Enable; *WCS_DISABLE|Disable", rule="1", timeout=0, users="K"),
    switches(
        "UPLOAD_MODE",
        "Upload",
        _OPTIONS,
        "*UPLOAD_CLIENT|Client; UPLOAD_LOCAL|Local; UPLOAD_BOTH|Both",
        rule="1",
        timeout=0,
        saved=True,
        users="KC",
    ),
    texts(
        "UPLOAD_SETTINGS",
        "Upload Settings",
        _OPTIONS,
        "UPLOAD_DIR|Dir; UPLOAD_PREFIX|Prefix|IMAGE_XXX",
        saved=True,
        users="KC",
    ),
    texts("CCD_FILE_PATH", "Filename", _INFO, "FILE_PATH|Path", perm="ro"),
    switches("CCD_FAST_TOGGLE", "Fast Exposure", _OPTIONS, ENABLED_DISABLED, rule="1", timeout=0, saved=True),
    numbers("CCD_FAST_COUNT", "Fast Count", _OPTIONS, "FRAMES|Frames|%.f|0..100000/1|1", timeout=0),
    numbers("CCD_ROTATION", "Orientation", "WCS", "CCD_ROTATION_VALUE|Angle|%.2f|-360..360/1", users="K"),
    switches(
        "CCD_VIDEO_STREAM",
        "Video Stream",
        _STREAMING,
        "STREAM_ON|Stream On; *STREAM_OFF|Stream Off",
        rule="1",
        timeout=0,
        users="K",
    ),
    numbers(
        "STREAMING_EXPOSURE",
        "Expose",
        _STREAMING,
        "STREAMING_EXPOSURE_VALUE|Duration (s)|%.6f|0.000001..60/0.1|0.1;STREAMING_DIVISOR_VALUE|Divisor|%.f|1..15/1|1",
        users="K",
    ),
    numbers(
        "FPS",
        "FPS",
        _STREAMING,
        "EST_FPS|Instant.|%.2f|0..999; AVG_FPS|Average (1 sec.)|%.2f|0..999",
        perm="ro",
        users="K",
    ),
    numbers(
        "CCD_STREAM_FRAME",
        "Frame",
        _STREAMING,
        "X|Left|%.f; Y|Top|%.f; WIDTH|Width|%.f; HEIGHT|Height|%.f",
        users="K",
    ),
    numbers(
        "LIMITS",
        "Limits",
        _STREAMING,
        "LIMITS_BUFFER_MAX|Maximum Buffer Size (MB)|%.0f|1..65536/1|512;"
        "LIMITS_PREVIEW_FPS|Maximum Preview FPS|%.0f|1..120/1|10",
        timeout=0,
        saved=True,
        users="K",
    ),
    numbers(
        "GUIDER_EXPOSURE", "Guide Head", _MAIN, "GUIDER_EXPOSURE_VALUE|Duration (s)|%5.2f|0.01..3600/1|1", users="KPC"
    ),
    switches("GUIDER_ABORT_EXPOSURE", "Abort", _MAIN, "ABORT|Abort", rule="A", users="KC"),
    numbers(
        "GUIDER_FRAME",
        "Frame",
        _HEAD,
        "X|Left|%4.0f; Y|Top|%4.0f; WIDTH|Width|%4.0f; HEIGHT|Height|%4.0f",
        saved=True,
        users="KPC",
    ),
    numbers(
        "GUIDER_BINNING",
        "Binning",
        _HEAD,
        "HOR_BIN|X|%2.0f|1..4/1|1; VER_BIN|Y|%2.0f|1..4/1|1",
        saved=True,
        users="KPC",
    ),
    numbers("GUIDER_INFO", "Info", _INFO, _CHIP_INFO, perm="ro", users="KPC"),
    switches("GUIDER_COMPRESSION", "Compression", _HEAD, ENABLED_DISABLED, rule="1", saved=True),
    blobs("CCD2", "Image Data", _INFO, "CCD2|Guider Image", perm="ro", users="KPC"),
    switches("GUIDER_FRAME_TYPE", "Type", _HEAD, _FRAME_TYPES, rule="1", users="K"),
    texts(
        "ACTIVE_DEVICES",
        "Snoop devices",
        _OPTIONS,
        "ACTIVE_TELESCOPE|Telescope; ACTIVE_ROTATOR|Rotator; ACTIVE_FOCUSER|Focuser; ACTIVE_FILTER|Filter;"
        "ACTIVE_SKYQUALITY|Sky Quality",
        saved=True,
        users="K",
        counted=True,
    ),
)
