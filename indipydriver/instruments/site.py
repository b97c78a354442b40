"""The location of an instrument, and the time there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from ..protocol.tags import State
from ..protocol.values import getfloat, parse_timestamp
from ..standard import Interface, find
from .instrument import Instrument
from .operations import Refused
from .propertydevice import Bound
from .standarddevice import optional
from .tries import Tries

__all__ = ["LARGEST_OFFSET", "Place", "Site"]

_PLACE, _TIME, _GPS = "GEOGRAPHIC_COORD", "TIME_UTC", "ACTIVE_GPS"
LARGEST_OFFSET: Final = 24.0
"""Hours by which local time and UTC may differ."""

_MOST_APART: Final = 5.0  # seconds by which two clocks may differ
_NEAR: Final = 1e-6  # degrees by which two places must differ


class Place(Instrument):
    """An instrument that is told its location by clients or by the GPS receiver in ACTIVE_DEVICES."""

    partners: ClassVar[Mapping[str, tuple[str, ...]]] = {_GPS: (_PLACE,)}
    _place_label: str | None = None
    _gps_place: tuple[float, ...] | None = None

    @optional
    async def set_location(self, latitude: float, longitude: float, elevation: float) -> None:
        """Take this location: degrees north, degrees east from 0 to 360, metres."""

    @property
    def location(self) -> tuple[float, float, float]:
        """The location: degrees north, degrees east from 0 to 360, metres."""
        return self._get(_PLACE, "LAT"), self._get(_PLACE, "LONG"), self._get(_PLACE, "ELEV")

    def _bind_place(self) -> Bound:
        return self._bind(find(_PLACE, Interface.TELESCOPE), self._on_place, label=self._place_label)

    async def _on_place(self, values: dict[str, Any]) -> None:
        wanted = {name: values.get(name, self._get(_PLACE, name)) for name in self._vector(_PLACE)}
        if not wanted["LAT"] and not wanted["LONG"]:
            await self._send(_PLACE, State.IDLE)
            return
        place = self.set_location(wanted["LAT"], wanted["LONG"], wanted["ELEV"])
        await self._perform(_PLACE, place, accept=lambda: self._put(_PLACE, wanted))

    async def _prepare(self) -> None:
        self._gps_place, self._place_tries = None, Tries()
        await super()._prepare()

    async def _poll_standard(self) -> None:
        await self._take_gps_place()
        await super()._poll_standard()

    async def _take_gps_place(self) -> None:
        """Take over the location of the GPS receiver, once for each location that it has found, unless that fails."""
        if self._seen_state(_GPS, _PLACE) != State.OK or _PLACE not in self._bound:
            return
        found = [self._seen_number(_GPS, _PLACE, name) for name in ("LAT", "LONG", "ELEV")]
        latitude, longitude = found[:2]
        if latitude is None or longitude is None or not -90 <= latitude <= 90 or not (latitude or longitude):
            return
        place = latitude, longitude % 360, max(-200.0, min(10000.0, found[2] or 0.0))
        before, self._gps_place = self._gps_place, place
        is_new = before is None or any(abs(a - b) > _NEAR for a, b in zip(before, place, strict=True))
        if is_new:
            self._place_tries = Tries()
        if is_new or self._place_tries.is_due():
            await self._on_place(dict(zip(("LAT", "LONG", "ELEV"), place, strict=True)))
            if self._vector(_PLACE).state == State.ALERT:
                self._place_tries.failed()
            else:
                self._place_tries = Tries()


class Site(Place):
    """An instrument that is also told the time."""

    partners: ClassVar[Mapping[str, tuple[str, ...]]] = {_GPS: (_TIME,)}
    _gps_time: tuple[str, str] | None = None  # that was taken
    _gps_seen: tuple[str, str] | None = None
    _time_told: tuple[str, str, tuple[float, float]] | None = None  # what it has taken, and when by both clocks

    @optional
    async def set_time(self, utc: datetime, offset: float) -> None:
        """Take this time; the local time is `offset` hours ahead of it."""

    def _bind_time(self) -> Bound:
        return self._bind(find(_TIME, Interface.TELESCOPE), self._on_time)

    async def _prepare(self) -> None:
        now = datetime.now().astimezone()
        offset = now.utcoffset()
        hours = offset.total_seconds() / 3600 if offset is not None else 0.0
        utc = now.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds")
        self._vector(_TIME).update({"UTC": utc, "OFFSET": f"{hours:g}"})
        self._gps_time = self._gps_seen = None
        self._time_tries = Tries()
        await super()._prepare()

    async def _after_definitions(self) -> None:
        await self._send(_TIME, State.OK)
        if self._time_told is not None and self._may_have_forgotten() and _TIME in self._set_by_clients.of_run:
            utc, hours, at = self._time_told
            passed, by_the_wall = (now - before for now, before in zip(_clocks(), at, strict=True))
            if abs(passed - by_the_wall) < _MOST_APART:  # else this machine has slept, or its clock was set
                await self._on_time({"UTC": _later(utc, passed), "OFFSET": hours})
        await super()._after_definitions()

    async def _on_time(self, values: dict[str, Any]) -> None:
        wanted = {name: str(values.get(name, text)).strip() for name, text in self._vector(_TIME).items()}
        utc = parse_timestamp(wanted["UTC"])
        try:
            offset = getfloat(wanted["OFFSET"]) if wanted["OFFSET"] else None
        except TypeError:
            offset = None
        if utc is None or offset is None or not abs(offset) <= LARGEST_OFFSET:
            raise Refused("Write the time as 2026-11-22T07:30:00, and the offset in hours")
        at = _clocks()

        def accept() -> None:
            self._put(_TIME, wanted)
            self._time_told = wanted["UTC"], wanted["OFFSET"], at

        await self._perform(_TIME, self.set_time(utc, offset), accept=accept)

    async def _poll_standard(self) -> None:
        if self._seen_state(_GPS, _TIME) == State.OK:
            seen = self._seen(_GPS, _TIME)
            time = str(seen.get("UTC", "")).strip(), str(seen.get("OFFSET", "")).strip()
            age = self._seen_age(_GPS, _TIME)  # a definition may have the time of the evening before
            before, self._gps_seen = self._gps_seen, time
            if age is None and before not in (None, time) and self._partner_vector(_GPS, _TIME) is not None:
                age = 0.0  # a device in this driver has just assigned it
            if time != self._gps_time:
                self._time_tries = Tries()
            if age is not None and all(time) and (time != self._gps_time or self._time_tries.is_due()):
                self._gps_time = time
                await self._take_gps_time(_later(time[0], age), time[1])
        await super()._poll_standard()

    async def _take_gps_time(self, utc: str, offset: str) -> None:
        before, self._time_tries = self._time_tries, Tries()
        try:
            await self._on_time({"UTC": utc, "OFFSET": offset})
        except Refused as error:
            self.warning(f"The time of {self._partner(_GPS)} is not accepted: {error}")
            return
        if self._vector(_TIME).state == State.ALERT:
            self._time_tries = before
            before.failed()


def _clocks() -> tuple[float, float]:
    """The time by the clock of the event loop, and by the clock of this machine."""
    return asyncio.get_running_loop().time(), time.time()


def _later(text: str, seconds: float) -> str:
    """The text of a time, some whole seconds later; unchanged if it is not a time."""
    time = parse_timestamp(text)
    if time is None or seconds < 1:
        return text
    try:
        return (time + timedelta(seconds=int(seconds))).replace(tzinfo=None).isoformat()
    except OverflowError:
        return text
