"""One exposure of a camera: what is requested, and the FITS header that describes it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Final

from .fits import Card
from .settings import write_atomically
from .sky import airmass, altitude_azimuth, sexagesimal, to_j2000

__all__ = ["FrameType", "Shot", "file_for", "header", "keep", "keyword_cards", "sky_cards", "wcs_cards"]

_LONGEST_FILE_NUMBER: Final = 15
_MOST_TRIES: Final = 100


class FrameType(Enum):
    """The purpose of an image."""

    LIGHT = "Light"
    BIAS = "Bias"
    DARK = "Dark"
    FLAT = "Flat"


@dataclass(frozen=True, slots=True)
class Shot:
    """One exposure.

    Attributes:
        seconds: The length of the exposure.
        x: First column, in pixels of the sensor.
        y: First row from the top.
        width: Columns of the sensor.
        height: Rows of the sensor.
        binning: Pixels of the sensor for one pixel of the image: in a row, and in a column.
        frame_type: The purpose of the image.
        gain: Of the camera; None if it has none.
        offset: Of the camera; None if it has none.
        bits: Of a pixel.
        began: When it began, in UTC.
    """

    seconds: float
    x: int
    y: int
    width: int
    height: int
    binning: tuple[int, int]
    frame_type: FrameType
    gain: int | None
    offset: int | None
    bits: int
    began: datetime

    @property
    def columns(self) -> int:
        """Pixels in a row of the image."""
        return self.width // self.binning[0]

    @property
    def rows(self) -> int:
        """Rows of the image."""
        return self.height // self.binning[1]


def header(shot: Shot, about: Mapping[str, Any]) -> Iterator[Card]:
    """The header of an image.

    Args:
        shot: The exposure.
        about: Further facts: instrument, telescope, temperature, pixel (width and height in micrometres),
            filter, bayer, focal_length, aperture, brightness, rotation, focus, focus_temperature.
    """
    known = {name: value for name, value in about.items() if value not in (None, "")}
    pixel = known["pixel"]
    binning = shot.binning
    yield Card("ROWORDER", "TOP-DOWN", "order of the rows")
    yield Card("INSTRUME", known["instrument"], "camera")
    if "telescope" in known:
        yield Card("TELESCOP", known["telescope"], "telescope")
    yield Card("EXPTIME", round(float(shot.seconds), 6), "exposure, s")
    if shot.frame_type is FrameType.DARK:
        yield Card("DARKTIME", round(float(shot.seconds), 6), "dark current time, s")
    if "temperature" in known:
        yield Card("CCD-TEMP", float(known["temperature"]), "temperature of the sensor, C")
    yield Card("PIXSIZE1", float(pixel[0]), "width of a pixel of the sensor, um")
    yield Card("PIXSIZE2", float(pixel[1]), "height of a pixel of the sensor, um")
    yield Card("XBINNING", binning[0], "binning in a row")
    yield Card("YBINNING", binning[1], "binning in a column")
    yield Card("XPIXSZ", float(pixel[0] * binning[0]), "width of a pixel of the image, um")
    yield Card("YPIXSZ", float(pixel[1] * binning[1]), "height of a pixel of the image, um")
    yield Card("FRAME", shot.frame_type.value, "type of the frame")
    yield Card("IMAGETYP", f"{shot.frame_type.value} Frame", "type of the frame")
    if "filter" in known:
        yield Card("FILTER", known["filter"], "filter")
    if "bayer" in known:
        yield Card("XBAYROFF", shot.x % 2, "column of the Bayer matrix in which the image begins")
        yield Card("YBAYROFF", shot.y % 2, "row of the Bayer matrix in which the image begins")
        yield Card("BAYERPAT", known["bayer"], "Bayer matrix")
    if shot.gain is not None:
        yield Card("GAIN", shot.gain, "gain of the camera")
    if shot.offset is not None:
        yield Card("OFFSET", shot.offset, "offset of the camera")
    focal_length = known.get("focal_length") or 0.0
    if focal_length:
        yield Card("FOCALLEN", float(focal_length), "focal length, mm")
    if known.get("aperture"):
        yield Card("APTDIA", float(known["aperture"]), "aperture, mm")
    if "brightness" in known:
        yield Card("MPSAS", float(known["brightness"]), "brightness of the sky, mag/arcsec^2")
    if "rotation" in known:
        yield Card("ROTATANG", float(known["rotation"]), "angle of the rotator, degrees")
    if "focus" in known:
        yield Card("FOCUSPOS", int(known["focus"]), "position of the focuser, steps")
    if "focus_temperature" in known:
        yield Card("FOCUSTEM", float(known["focus_temperature"]), "temperature of the focuser, C")
    if focal_length:
        yield Card("SCALE", round(206.264806 * pixel[0] * binning[0] / focal_length, 6), "arcsec of a pixel")


def sky_cards(
    ra: float, dec: float, place: tuple[float, float] | None, pier: str | None, time: datetime
) -> Iterator[Card]:
    """The cards that say where the telescope points.

    Args:
        ra: Hours, of now.
        dec: Degrees, of now.
        place: The location of the observatory: degrees north and east; None if that is not known.
        pier: EAST or WEST; None if that is not known.
        time: Now.
    """
    if place is not None:
        latitude, longitude = place
        yield Card("SITELAT", latitude, "latitude of the site, degrees")
        yield Card("SITELONG", (longitude + 180) % 360 - 180, "longitude of the site, degrees")
        altitude, azimuth = altitude_azimuth(ra, dec, latitude, longitude, time)
        if (air := airmass(altitude)) is not None:
            yield Card("AIRMASS", round(air, 6), "air mass")
        yield Card("OBJCTAZ", round(azimuth, 4), "azimuth, degrees")
        yield Card("OBJCTALT", round(altitude, 4), "altitude, degrees")
    ra, dec = to_j2000(ra, dec, time)
    yield Card("OBJCTRA", sexagesimal(ra), "right ascension J2000, h m s")
    yield Card("OBJCTDEC", sexagesimal(dec), "declination J2000, d m s")
    yield Card("RA", round(ra * 15, 7), "right ascension J2000, degrees")
    yield Card("DEC", round(dec, 7), "declination J2000, degrees")
    if pier is not None:
        yield Card("PIERSIDE", pier, "side of the pier on which the telescope is")
    yield Card("EQUINOX", 2000, "equinox")


def wcs_cards(ra: float, dec: float, shot: Shot, size: tuple[float, float, float], angle: float) -> Iterator[Card]:
    """The cards that turn pixels into coordinates.

    Args:
        ra: Of the centre, in hours of now.
        dec: Of the centre, in degrees of now.
        shot: The exposure.
        size: Width and height of a pixel of the sensor in micrometres, and the focal length in millimetres.
        angle: Of the camera, in degrees from the north through the east.
    """
    ra, dec = to_j2000(ra, dec, shot.began)
    scales = [206.264806 * pixel * binning / size[2] for pixel, binning in zip(size, shot.binning, strict=False)]
    yield Card("CRVAL1", round(ra * 15, 7), "right ascension of the centre, degrees")
    yield Card("CRVAL2", round(dec, 7), "declination of the centre, degrees")
    yield Card("RADECSYS", "FK5")
    yield Card("CTYPE1", "RA---TAN")
    yield Card("CTYPE2", "DEC--TAN")
    yield Card("CRPIX1", shot.columns / 2, "column of the centre")
    yield Card("CRPIX2", shot.rows / 2, "row of the centre")
    yield Card("SECPIX1", round(scales[0], 6), "arcsec of a pixel")
    yield Card("SECPIX2", round(scales[1], 6), "arcsec of a pixel")
    yield Card("CDELT1", round(scales[0] / 3600, 10), "degrees of a pixel")
    yield Card("CDELT2", round(scales[1] / 3600, 10), "degrees of a pixel")
    rotation = (360 - angle) % 360
    yield Card("CROTA1", round(rotation, 4), "degrees")
    yield Card("CROTA2", round(rotation, 4), "degrees")


def keyword_cards(keywords: Mapping[str, tuple[str, str]], shot: Shot) -> Iterator[Card]:
    """The end of a header: the time, and the keywords that clients have requested."""
    began = shot.began.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
    yield Card("DATE-OBS", began, "beginning of the exposure, UTC")
    for keyword, (text, comment) in keywords.items():
        value: int | float | str = text
        if len(text) <= _LONGEST_FILE_NUMBER:
            if re.fullmatch(r"[+-]?\d+", text):
                value = int(text)
            elif re.fullmatch(r"[+-]?\d*\.\d*", text) and re.search(r"\d", text):
                value = float(text)
        yield Card(keyword, value.replace("/", "\\") if isinstance(value, str) else value, comment)
    yield Card("COMMENT", None, "Generated by INDI")


def keep(data: bytes, folder: str, prefix: str, suffix: str, now: Callable[[], datetime]) -> Path:
    """Keep an image in a file; returns its path. Blocks.

    If the name contains a number or a time, the file is a new one, whatever other cameras write meanwhile. The other
    arguments are those of :func:`file_for`.

    Raises:
        OSError: The file cannot be written.
    """
    for _ in range(_MOST_TRIES if "XXX" in prefix or "ISO8601" in prefix else 0):
        path = file_for(folder, prefix, suffix, now)
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            continue
        try:
            write_atomically(path, data)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path
    path = file_for(folder, prefix, suffix, now)
    write_atomically(path, data)
    return path


def file_for(folder: str, prefix: str, suffix: str, now: Callable[[], datetime]) -> Path:
    """The path for an image; the folder is created. Blocks.

    Args:
        folder: The folder that clients have named; ``_HOME_`` stands for the home directory.
        prefix: How the file name begins: XXX becomes a number, ISO8601 the time.
        suffix: How the file name ends.
        now: The local time.

    Raises:
        OSError: The folder cannot be created.
    """
    place = Path(folder.replace("_HOME_", str(Path.home())) or Path.home()).expanduser()
    place.mkdir(parents=True, exist_ok=True)
    time = now().replace(tzinfo=None).isoformat(timespec="milliseconds").replace(":", "-")
    name = prefix.replace("/", "_").replace("ISO8601", time)
    if "XXX" in name:
        pattern = re.compile(re.escape(name).replace("XXX", r"(\d+)", 1) + re.escape(suffix))
        numbers = [int(found[1]) for path in place.iterdir() if (found := pattern.fullmatch(path.name))]
        name = name.replace("XXX", f"{max(numbers, default=0) + 1:03d}", 1)
    return place / f"{name}{suffix}"
