"""Coordinates on the sky: JNow, J2000, and horizontal."""

from __future__ import annotations

from datetime import UTC, datetime
from math import asin, atan2, cos, degrees, pi, radians, sin
from typing import Final

__all__ = [
    "airmass",
    "altitude_azimuth",
    "equatorial",
    "is_on_earth",
    "is_on_sky",
    "now_utc",
    "sexagesimal",
    "sidereal_time",
    "to_j2000",
]

_J2000: Final = datetime(2000, 1, 1, 12, tzinfo=UTC)


def is_on_sky(ra: float, dec: float) -> bool:
    """Whether these can be coordinates on the sky: hours, degrees."""
    return -24 <= ra <= 48 and -90 <= dec <= 90


def is_on_earth(latitude: float, longitude: float) -> bool:
    """Whether these can be coordinates of a place: degrees."""
    return -90 <= latitude <= 90 and -360 <= longitude <= 360


def now_utc() -> datetime:
    """The time now."""
    return datetime.now(UTC)


def _centuries(time: datetime) -> float:
    """Julian centuries since the year 2000."""
    return (time - _J2000).total_seconds() / 86400 / 36525


def to_j2000(ra: float, dec: float, time: datetime) -> tuple[float, float]:
    """Coordinates of a time (hours and degrees) as J2000 coordinates, by precession alone.

    The error, from nutation and aberration, is less than half an arc minute.
    """
    t = _centuries(time)
    zeta = radians((2306.2181 + (0.30188 + 0.017998 * t) * t) * t / 3600)
    z = radians((2306.2181 + (1.09468 + 0.018203 * t) * t) * t / 3600)
    theta = radians((2004.3109 - (0.42665 + 0.041833 * t) * t) * t / 3600)
    alpha, delta = radians(ra * 15) - z, radians(dec)
    a = cos(delta) * sin(alpha)
    b = cos(theta) * cos(delta) * cos(alpha) + sin(theta) * sin(delta)
    c = -sin(theta) * cos(delta) * cos(alpha) + cos(theta) * sin(delta)
    return degrees((atan2(a, b) - zeta) % (2 * pi)) / 15, degrees(asin(max(-1.0, min(1.0, c))))


def altitude_azimuth(ra: float, dec: float, latitude: float, longitude: float, time: datetime) -> tuple[float, float]:
    """Horizontal coordinates in degrees: altitude, and azimuth from the north through the east.

    Args:
        ra: Hours, of now.
        dec: Degrees, of now.
        latitude: Degrees north.
        longitude: Degrees east.
        time: Now.
    """
    hour_angle, delta, phi = radians((sidereal_time(longitude, time) - ra) * 15), radians(dec), radians(latitude)
    height = asin(max(-1.0, min(1.0, sin(phi) * sin(delta) + cos(phi) * cos(delta) * cos(hour_angle))))
    azimuth = atan2(-cos(delta) * sin(hour_angle), cos(phi) * sin(delta) - sin(phi) * cos(delta) * cos(hour_angle))
    return degrees(height), degrees(azimuth) % 360


def sidereal_time(longitude: float, time: datetime) -> float:
    """The right ascension on the meridian in the south, in hours."""
    days = (time - _J2000).total_seconds() / 86400
    return (280.46061837 + 360.98564736629 * days + longitude) % 360 / 15


def equatorial(
    altitude: float, azimuth: float, latitude: float, longitude: float, time: datetime
) -> tuple[float, float]:
    """Horizontal coordinates as hours and degrees of a time."""
    height, bearing, phi = radians(altitude), radians(azimuth), radians(latitude)
    sine = sin(phi) * sin(height) + cos(phi) * cos(height) * cos(bearing)
    hour_angle = atan2(-cos(height) * sin(bearing), cos(phi) * sin(height) - sin(phi) * cos(height) * cos(bearing))
    return (sidereal_time(longitude, time) - degrees(hour_angle) / 15) % 24, degrees(asin(max(-1.0, min(1.0, sine))))


def airmass(altitude: float) -> float | None:
    """The air mass (Hardie 1962); None near the horizon and below."""
    if altitude < 3:
        return None
    more = 1 / sin(radians(altitude)) - 1
    return 1 + more - 0.0018167 * more - 0.002875 * more**2 - 0.0008083 * more**3


def sexagesimal(value: float) -> str:
    """Hours or degrees as ``hh mm ss.ss``."""
    hundredths = round(abs(value) * 360_000)
    sign = "-" if value < 0 and hundredths else ""
    return f"{sign}{hundredths // 360_000:02d} {hundredths // 6000 % 60:02d} {hundredths % 6000 / 100:05.2f}"
