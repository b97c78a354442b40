"""Domes that follow the mount: where the opening has to be, and when to turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import atan2, cos, degrees, radians, sin, sqrt
from typing import Any, ClassVar, Final

from ..protocol.tags import State
from ..standard import Interface, find
from .instrument import Instrument
from .operations import End, words_of
from .propertydevice import Bound
from .sky import is_on_earth, is_on_sky, now_utc, sidereal_time
from .tries import Tries

__all__ = ["DomeShape", "Slaving", "opening_azimuth"]

_SLAVING, _ENABLE, _DISABLE = "DOME_AUTOSYNC", "DOME_AUTOSYNC_ENABLE", "DOME_AUTOSYNC_DISABLE"
_PARAMS, _SIDE, _SHAPE = "DOME_PARAMS", "DM_OTA_SIDE", "DOME_MEASUREMENTS"
_MOUNT: Final = "ACTIVE_TELESCOPE"
_LEAST_NEWS: Final = 0.5  # degrees by which the mount must have moved on, if the dome could not follow, to try again
_NOWHERE: Final = "The dome cannot follow the mount: the location of the mount has not been set."
_SIDES: Final = {"PIER_EAST": -1, "PIER_WEST": 1}


@dataclass(frozen=True, slots=True)
class DomeShape:
    """A dome and the mount in it, in metres.

    Attributes:
        radius: The radius of the dome; 0 if it is not known.
        north: How far north of the centre of the dome the axes of the mount cross.
        east: How far east of it.
        up: How far above it.
        offset: The distance from where the axes cross to the axis of the telescope.
    """

    radius: float = 0.0
    north: float = 0.0
    east: float = 0.0
    up: float = 0.0
    offset: float = 0.0


def opening_azimuth(hour_angle: float, dec: float, latitude: float, shape: DomeShape, side: int) -> float:
    """Where the telescope looks through the dome, in degrees from the north through the east.

    Args:
        hour_angle: The hour angle of the target, in hours.
        dec: The declination of the target, in degrees.
        latitude: Degrees north.
        shape: The dome, and the mount in it.
        side: The side of the pier on which the telescope is: 1 west, -1 east, 0 in the middle of the mount.
    """
    view = _north_east_up(hour_angle, dec, latitude)
    if shape.radius <= 0:
        return degrees(atan2(view[1], view[0])) % 360
    aside = _north_east_up(hour_angle + 6 * side, 0.0, latitude)
    offset = shape.offset * abs(side)
    begin = [at + offset * way for at, way in zip((shape.north, shape.east, shape.up), aside, strict=True)]
    along = sum(at * way for at, way in zip(begin, view, strict=True))
    beside = along * along - sum(at * at for at in begin) + shape.radius**2
    if beside < 0:  # the telescope would be outside
        return degrees(atan2(view[1], view[0])) % 360
    far = sqrt(beside) - along
    north, east, _ = (at + far * way for at, way in zip(begin, view, strict=True))
    return degrees(atan2(east, north)) % 360


def _north_east_up(hour_angle: float, dec: float, latitude: float) -> tuple[float, float, float]:
    """A direction, from hours and degrees."""
    h, d, phi = radians(hour_angle * 15), radians(dec), radians(latitude)
    south, west, pole = cos(d) * cos(h), cos(d) * sin(h), sin(d)
    return cos(phi) * pole - sin(phi) * south, -west, cos(phi) * south + sin(phi) * pole


def _between(azimuth: float, other: float) -> float:
    """The angle between two azimuths."""
    return abs((azimuth - other + 180) % 360 - 180)


class Slaving(Instrument):
    """A dome that follows the mount in ACTIVE_DEVICES when clients tell it to."""

    partners: ClassVar[Mapping[str, tuple[str, ...]]] = {
        _MOUNT: (
            "EQUATORIAL_EOD_COORD",
            "TARGET_EOD_COORD",
            "GEOGRAPHIC_COORD",
            "TELESCOPE_PARK",
            "TELESCOPE_PIER_SIDE",
        )
    }

    _stuck_for: float | None = None  # the azimuth to which it could not turn with the mount
    _trouble: str | None = None  # why it could not follow, as clients have been told
    _is_behind = False  # it could not follow, and has not followed since

    def _slaving_bounds(self) -> list[Bound]:
        table = Interface.DOME
        return [
            self._bind(find(_SLAVING, table), self._on_slaving),
            self._bind(find(_SIDE, table), self._on_side),
            self._bind(find(_PARAMS, table), self._on_params),
            self._bind(find(_SHAPE, table), self._on_shape),
        ]

    # --- what the dome says ---

    def _may_follow(self) -> bool:
        """Whether it may turn now, if the mount has moved on."""
        return False

    def _opening(self) -> float:
        """Where the opening is, in degrees."""
        return 0.0

    async def _turn_opening(self, azimuth: float) -> None:
        """Begin to turn, by _turn_with_mount()."""

    async def _turn_with_mount(self, azimuth: float) -> None:
        """Turn, as the mount has moved on."""

    # --- commands ---

    async def _on_slaving(self, values: dict[str, Any]) -> None:
        self._try_again()  # perhaps it can now
        await self._store_choice(_SLAVING, values)

    async def _on_side(self, values: dict[str, Any]) -> None:
        await self._store_choice(_SIDE, values)

    async def _on_params(self, values: dict[str, Any]) -> None:
        await self._store(_PARAMS, values)

    async def _on_shape(self, values: dict[str, Any]) -> None:
        await self._store(_SHAPE, values)

    # --- following ---

    def _follow_no_more(self) -> None:
        """The dome was stopped, or had to park, and must not turn again by itself, not even while that is sent."""
        if self._has(_SLAVING) and self._is_on(_SLAVING, _ENABLE):
            self.warning("The dome has stopped: it no longer follows the mount.")
            self._put(_SLAVING, {_ENABLE: False, _DISABLE: True}, State.OK)

    def _try_again(self) -> None:
        """Note that clients have done something: perhaps it can follow now, and if not, they are told."""
        self._stuck_for = self._trouble = None
        self._follow_tries = Tries()

    def _note_turn(self, end: End, azimuth: float | None = None) -> None:
        """Note that it has turned, or has failed to; with the mount, if there is an azimuth."""
        if azimuth is not None and end is End.FAILED:
            self._stuck_for, self._is_behind = azimuth, True
            self._follow_tries.failed()
        elif end is End.DONE:
            self._try_again()
            if azimuth is not None and self._is_behind:
                self._is_behind = False
                self.info("The dome follows the mount again.")

    def _failed(self, what: str, error: BaseException) -> str:
        if what.endswith("._turn_with_mount") and not isinstance(error, ConnectionError):
            before, self._trouble = self._trouble, words_of(error)
            if before == self._trouble:  # that is known
                return ""
        return super()._failed(what, error)

    async def _prepare(self) -> None:
        self._try_again()
        self._is_behind = False
        await super()._prepare()

    async def _poll_standard(self) -> None:
        await super()._poll_standard()
        if not self._has(_SLAVING) or not self._is_on(_SLAVING, _ENABLE) or not self._may_follow():
            return
        azimuth = self._wanted_azimuth()
        if azimuth is None:
            return
        threshold = self._get(_PARAMS, "AUTOSYNC_THRESHOLD")
        if self._may_try(azimuth, threshold) and _between(azimuth, self._opening()) > threshold:
            await self._turn_opening(azimuth)

    def _may_try(self, azimuth: float, threshold: float) -> bool:
        """Whether it could follow until now, or there is a reason to try again."""
        if self._stuck_for is None or self._follow_tries.is_due():
            return True
        return _between(azimuth, self._stuck_for) > max(threshold, _LEAST_NEWS)

    def _wanted_azimuth(self) -> float | None:
        """Where the opening has to be for the mount; None if that is not known or not necessary."""
        if self._seen(_MOUNT, "TELESCOPE_PARK").get("PARK") == "On":
            return None
        match self._seen_state(_MOUNT, "EQUATORIAL_EOD_COORD"):
            case State.BUSY:
                where = "TARGET_EOD_COORD"  # the dome and the mount move at the same time
            case State.ALERT:
                return None
            case _:
                where = "EQUATORIAL_EOD_COORD"
        ra, dec = self._seen_number(_MOUNT, where, "RA"), self._seen_number(_MOUNT, where, "DEC")
        latitude = self._seen_number(_MOUNT, "GEOGRAPHIC_COORD", "LAT")
        longitude = self._seen_number(_MOUNT, "GEOGRAPHIC_COORD", "LONG")
        if ra is None or dec is None or latitude is None or longitude is None:
            return None
        if not (is_on_sky(ra, dec) and is_on_earth(latitude, longitude)):
            return None
        if not latitude and not longitude:  # nobody has set it
            if self._trouble != _NOWHERE:
                self._trouble = _NOWHERE
                self.warning(_NOWHERE)
            return None
        hour_angle = (sidereal_time(longitude, now_utc()) - ra + 12) % 24 - 12
        return opening_azimuth(hour_angle, dec, latitude, self._shape(), self._pier_side(hour_angle))

    def _shape(self) -> DomeShape:
        names = ("DM_DOME_RADIUS", "DM_NORTH_DISPLACEMENT", "DM_EAST_DISPLACEMENT", "DM_UP_DISPLACEMENT")
        return DomeShape(*(self._get(_SHAPE, name) for name in (*names, "DM_OTA_OFFSET")))

    def _pier_side(self, hour_angle: float) -> int:
        match self._chosen(_SIDE):
            case "DM_OTA_SIDE_EAST":
                return -1
            case "DM_OTA_SIDE_WEST":
                return 1
            case "DM_OTA_SIDE_HA":
                return -1 if hour_angle > 0 else 1
            case "DM_OTA_SIDE_MOUNT":
                seen = self._seen(_MOUNT, "TELESCOPE_PIER_SIDE")
                return next((side for name, side in _SIDES.items() if seen.get(name) == "On"), 0)
        return 0
