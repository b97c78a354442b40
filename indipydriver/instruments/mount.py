"""Mounts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from ..protocol.tags import State
from ..protocol.values import getfloat, parse_timestamp
from ..standard import Interface, StandardMember, find
from .guider import Direction
from .instrument import Instrument
from .operations import End, Refused, words_of
from .parkdata import ParkData, read_park_data, write_park_data
from .propertydevice import Bound
from .standarddevice import optional

__all__ = ["Mount"]

_EOD, _TARGET, _ON_SET = "EQUATORIAL_EOD_COORD", "TARGET_EOD_COORD", "ON_COORD_SET"
_ABORT, _PARK, _HOME = "TELESCOPE_ABORT_MOTION", "TELESCOPE_PARK", "TELESCOPE_HOME"
_TRACKING, _MODE, _RATE = "TELESCOPE_TRACK_STATE", "TELESCOPE_TRACK_MODE", "TELESCOPE_TRACK_RATE"
_NS, _WE, _SPEED = "TELESCOPE_MOTION_NS", "TELESCOPE_MOTION_WE", "TELESCOPE_SLEW_RATE"
_TIME, _PLACE, _PIER = "TIME_UTC", "GEOGRAPHIC_COORD", "TELESCOPE_PIER_SIDE"
_MOTIONS: Final = {
    "MOTION_NORTH": Direction.NORTH,
    "MOTION_SOUTH": Direction.SOUTH,
    "MOTION_WEST": Direction.WEST,
    "MOTION_EAST": Direction.EAST,
}
_ARCSECOND: Final = 1 / 3600
_PARKED: Final = "Please unpark the mount before issuing any motion commands."


class Mount(Instrument):
    """A mount. Override :meth:`slew_to` and what else it is able to; assign :attr:`coordinates` in poll().

    Coordinates are apparent ones of now (JNow): hours and degrees. A mount that only tells where it points overrides
    nothing.

    Attributes:
        slew_rates: Names of the speeds for :meth:`start_motion`, from the slowest.
        has_pier_side: It knows on which side of the pier it is; assign :attr:`pier_side`.
    """

    interface = Interface.TELESCOPE
    slew_rates: ClassVar[Sequence[str]] = ("Guide", "Centering", "Find", "Max")
    has_pier_side: ClassVar[bool] = False

    # --- what an author overrides ---

    @optional
    async def slew_to(self, ra: float, dec: float) -> None:
        """Slew to coordinates; return when it is there. Assign :attr:`coordinates` on the way."""

    @optional
    async def sync(self, ra: float, dec: float) -> None:
        """It points to these coordinates now."""

    @optional
    async def abort(self) -> None:
        """Stop all motion but the tracking. What moves it has been cancelled before."""

    @optional
    async def set_tracking(self, on: bool) -> None:
        """Follow the sky, or stand still."""

    @optional
    async def set_track_mode(self, mode: str) -> None:
        """Follow the stars, the sun, the moon, or at the custom rate: SIDEREAL, SOLAR, LUNAR or CUSTOM."""

    @optional
    async def set_track_rate(self, ra: float, dec: float) -> None:
        """The custom rate in arc seconds a second."""

    @optional
    async def park(self) -> None:
        """Go to the place where it is parked; return when it is there."""

    @optional
    async def unpark(self) -> None:
        """Be ready to move."""

    @optional
    async def find_home(self) -> None:
        """Search for the home position, where the hardware finds its coordinates."""

    @optional
    async def start_motion(self, direction: Direction, rate: int) -> None:
        """Move until :meth:`stop_motion`; `rate` is a number of `slew_rates` from 0."""

    @optional
    async def stop_motion(self, direction: Direction) -> None:
        """End what start_motion() has begun in this direction."""

    @optional
    async def set_location(self, latitude: float, longitude: float, elevation: float) -> None:
        """It stands here: degrees north, degrees east from 0 to 360, metres."""

    @optional
    async def set_time(self, utc: datetime, offset: float) -> None:
        """It is this time; the local time is `offset` hours ahead."""

    # --- what an author reads and assigns ---

    @property
    def coordinates(self) -> tuple[float, float]:
        """Where it points: hours and degrees, of now. Assign it when it has moved."""
        return self._get(_EOD, "RA"), self._get(_EOD, "DEC")

    @coordinates.setter
    def coordinates(self, place: tuple[float, float]) -> None:
        ra, dec = place[0] % 24, place[1]
        before = self.coordinates
        moved = abs(ra - before[0]) * 15 > 0.1 * _ARCSECOND or abs(dec - before[1]) > 0.1 * _ARCSECOND
        values = {"RA": round(ra, 7), "DEC": round(dec, 6)} if moved else {}
        self._operations.progressed(_EOD)
        self._operations.progressed(_PARK)
        self._put(_EOD, values, self._mount_status())

    @property
    def tracking(self) -> bool:
        """It follows the sky. Assign it when that has changed by itself."""
        return self._follows

    @tracking.setter
    def tracking(self, on: bool) -> None:
        self._follows = on
        if self._has(_TRACKING):
            state = State.BUSY if on else State.IDLE
            self._put(_TRACKING, {"TRACK_ON": on, "TRACK_OFF": not on}, state)
        self._put(_EOD, {}, self._mount_status())

    @property
    def parked(self) -> bool:
        """It is parked, and does not move. Assign it in connect() if the hardware knows."""
        return self._mount_is_parked

    @parked.setter
    def parked(self, parked: bool) -> None:
        self._mount_is_parked = parked
        if self._has(_PARK) and _PARK not in self._operations:
            self._put(_PARK, {"PARK": parked, "UNPARK": not parked}, State.OK)

    @property
    def slewing(self) -> bool:
        """It is on its way to coordinates, or to where it is parked."""
        return _EOD in self._operations or _PARK in self._operations or _HOME in self._operations

    @property
    def pier_side(self) -> str | None:
        """On which side of the pier it is: "EAST", "WEST", or None if that is not known."""
        chosen = self._chosen(_PIER) if self._has(_PIER) else None
        return chosen.removeprefix("PIER_") if chosen else None

    @pier_side.setter
    def pier_side(self, side: str | None) -> None:
        self._put(_PIER, {"PIER_WEST": side == "WEST", "PIER_EAST": side == "EAST"}, State.OK)

    @property
    def location(self) -> tuple[float, float, float]:
        """Where it stands: degrees north, degrees east from 0 to 360, metres."""
        return self._get(_PLACE, "LAT"), self._get(_PLACE, "LONG"), self._get(_PLACE, "ELEV")

    # --- its properties ---

    _follows = False
    _mount_is_parked = False

    def _standard(self) -> list[Bound]:
        moves = self._implements("slew_to")
        rates = [
            StandardMember(f"{n}x", rate if len(self.slew_rates) == 4 else f"{n}x", "Off")
            for n, rate in enumerate(self.slew_rates, 1)
        ]
        middle = {rates[len(rates) // 2].name: "On"}
        names: list[tuple[str, Any, bool, dict[str, Any]]] = [
            (_ON_SET, self._on_coord_set, moves, {}),
            (_EOD, self._on_coordinates if moves else None, True, {}),
            (_ABORT, self._on_mount_abort, self._implements("abort"), {}),
            (_MODE, self._on_track_mode, self._implements("set_track_mode"), {}),
            (_TRACKING, self._on_tracking, self._implements("set_tracking"), {}),
            (_RATE, self._on_track_rate, self._implements("set_track_rate"), {}),
            (_HOME, self._on_mount_home, self._implements("find_home"), {"only": ["FIND"]}),
            (_NS, self._on_north_south, self._implements("start_motion"), {}),
            (_WE, self._on_west_east, self._implements("start_motion"), {}),
            (_SPEED, self._on_slew_rate, self._implements("start_motion"), {"members": rates, "values": middle}),
            (_TARGET, None, moves, {}),
            (_TIME, self._on_time, True, {}),
            (_PLACE, self._on_place, True, {}),
            (_PARK, self._on_mount_park, self._implements("park"), {}),
            (_PIER, None, self.has_pier_side, {}),
        ]
        table = Interface.TELESCOPE
        made = [self._bind(find(name, table), handle, **how) for name, handle, there, how in names if there]
        return [*made, *super()._standard()]

    def _check_guiding(self) -> None:
        self._check_movable()
        if self.slewing:
            raise Refused("The mount slews")

    def _check_movable(self) -> None:
        if self._mount_is_parked:
            raise Refused(_PARKED)

    def _mount_status(self, *, at_end: bool = False) -> State:
        """What the state of the coordinates says of the mount."""
        if self.slewing and not at_end:
            return State.BUSY
        return State.OK if self._follows else State.IDLE

    async def _prepare(self) -> None:
        now = datetime.now().astimezone()
        offset = now.utcoffset()
        hours = offset.total_seconds() / 3600 if offset is not None else 0.0
        utc = now.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds")
        self._vector(_TIME).update({"UTC": utc, "OFFSET": f"{hours:g}"})
        for name in (_NS, _WE, _HOME):
            if self._has(name):
                self._choose(name, None)
        if self._has(_PARK):
            try:
                data = await asyncio.to_thread(read_park_data, self.devicename)
            except OSError as error:
                self.warning(words_of(error))
                data = None
            if data is None:
                self.info("No parking data found: the mount is taken to be unparked.")
            self.parked = self._mount_is_parked or (data is not None and data.parked)
        await super()._prepare()

    async def _after_definitions(self) -> None:
        await self._send(_TIME, State.OK)
        if self._has(_PARK):
            await self._send(_PARK, State.OK)
        self.tracking = self._follows and not self._mount_is_parked
        await self._send(_EOD, self._mount_status())
        await super()._after_definitions()

    async def _poll_standard(self) -> None:
        self._put(_EOD, {}, self._mount_status())
        await super()._poll_standard()

    async def _save_mount_parked(self) -> None:
        try:
            await asyncio.to_thread(write_park_data, self.devicename, ParkData(self._mount_is_parked))
        except OSError as error:
            self.error(f"The parking data could not be saved: {words_of(error)}")

    # --- going somewhere ---

    async def _on_coord_set(self, values: dict[str, Any]) -> None:
        member = await self._pick(_ON_SET, values)
        if member is not None:
            self._choose(_ON_SET, member)
            await self._send(_ON_SET, State.OK)

    async def _on_coordinates(self, values: dict[str, Any]) -> None:
        ra, dec = values.get("RA", self.coordinates[0]) % 24, values.get("DEC", self.coordinates[1])
        mode = self._chosen(_ON_SET)
        if mode == "SYNC":
            await self._sync_to(ra, dec)
            return
        if self._mount_is_parked:
            self.warning(_PARKED)
            await self._send(_EOD, State.IDLE)
            return
        for name in (_PARK, _HOME):
            await self._operations.cancel(name)
        await self._send(_TARGET, State.OK, {"RA": ra, "DEC": dec})
        ends = {
            End.DONE: State.OK if mode == "TRACK" or self._follows else State.IDLE,
            End.CANCELLED: State.IDLE,
            End.FAILED: State.ALERT,
        }
        work = self._slew(ra, dec, mode == "TRACK")
        await self._perform(_EOD, work, accept=lambda: self._mount_arrives(ra, dec), waits=False, ends=ends)

    async def _slew(self, ra: float, dec: float, track: bool) -> None:
        await self.slew_to(ra, dec)
        if track and not self._follows:
            if self._implements("set_tracking"):
                await self.set_tracking(True)
            self.tracking = True
            if self._has(_TRACKING):
                await self._send(_TRACKING)

    def _mount_arrives(self, ra: float, dec: float) -> None:
        self._put(_EOD, {"RA": round(ra, 7), "DEC": round(dec, 6)})

    async def _sync_to(self, ra: float, dec: float) -> None:
        if not self._implements("sync"):
            raise Refused("This mount cannot be synchronised")
        self._check_movable()
        if self.slewing:
            raise Refused("The mount slews")
        ends = {End.DONE: self._mount_status(), End.CANCELLED: self._mount_status(), End.FAILED: State.ALERT}
        ends[End.DONE] = State.OK
        await self._perform(_EOD, self.sync(ra, dec), accept=lambda: self._mount_arrives(ra, dec), ends=ends)

    async def _on_mount_abort(self, values: dict[str, Any]) -> None:
        if not values.get("ABORT"):
            await self._button(_ABORT)
            return
        was_slewing = self.slewing
        await self._operations.cancel(_EOD, quietly=True)
        parking = await self._operations.cancel(_PARK, quietly=True)
        if await self._operations.cancel(_HOME, quietly=True):
            await self._button(_HOME, State.IDLE)
        for name in (_NS, _WE):
            await self._stop_axis(name)
        await self._perform(_ABORT, self.abort(), accept=lambda: self._choose(_ABORT, None))
        if parking:
            self._choose(_PARK, None)
            await self._send(_PARK, State.ALERT)
        if was_slewing and not self.slewing:
            await self._send(_EOD, State.IDLE)

    async def _on_mount_home(self, values: dict[str, Any]) -> None:
        if not values.get("FIND"):
            await self._operations.cancel(_HOME, quietly=True)
            await self._button(_HOME)
            return
        self._check_movable()
        await self._operations.cancel(_EOD)
        self._choose(_HOME, "FIND")

        def rest() -> None:
            self._choose(_HOME, None)

        async def then(end: End) -> None:
            await self._send(_EOD, self._mount_status(at_end=True))

        await self._perform(_HOME, self.find_home(), accept=rest, revoke=rest, waits=False, then=then)

    # --- tracking ---

    async def _on_tracking(self, values: dict[str, Any]) -> None:
        member = await self._pick(_TRACKING, values)
        if member is None:
            return
        if self._mount_is_parked:
            self.warning(_PARKED)
            await self._send(_TRACKING)
            return
        on = member == "TRACK_ON"
        before = self._follows
        ends = {End.DONE: State.BUSY if on else State.IDLE, End.FAILED: State.ALERT}
        ends[End.CANCELLED] = State.BUSY if before else State.IDLE

        def accept() -> None:
            self.tracking = on

        async def then(end: End) -> None:
            await self._send(_EOD, self._mount_status())

        await self._perform(_TRACKING, self.set_tracking(on), accept=accept, ends=ends, then=then)

    async def _on_track_mode(self, values: dict[str, Any]) -> None:
        member = await self._pick(_MODE, values)
        if member is None:
            return
        self._check_movable()
        mode = self.set_track_mode(member.removeprefix("TRACK_"))
        await self._perform(_MODE, mode, accept=lambda: self._choose(_MODE, member))

    async def _on_track_rate(self, values: dict[str, Any]) -> None:
        self._check_movable()
        wanted = {name: values.get(name, self._get(_RATE, name)) for name in self._vector(_RATE)}
        rate = self.set_track_rate(wanted["TRACK_RATE_RA"], wanted["TRACK_RATE_DE"])
        await self._perform(_RATE, rate, accept=lambda: self._put(_RATE, wanted))

    # --- moving by hand ---

    async def _on_north_south(self, values: dict[str, Any]) -> None:
        await self._on_motion(_NS, values)

    async def _on_west_east(self, values: dict[str, Any]) -> None:
        await self._on_motion(_WE, values)

    async def _on_motion(self, name: str, values: dict[str, Any]) -> None:
        member = next((member for member, on in values.items() if on), None)
        moving = self._chosen(name)
        if member is not None and self._mount_is_parked:
            self.warning(_PARKED)
            await self._button(name, State.IDLE)
            return
        if member is None or (moving is not None and moving != member):
            await self._stop_axis(name)
            await self._button(name, State.IDLE)
            return
        rate = self._chosen(_SPEED)
        number = list(self._vector(_SPEED)).index(rate) if rate is not None else 0
        ends = {End.DONE: State.BUSY, End.CANCELLED: State.IDLE, End.FAILED: State.ALERT}
        await self._perform(
            name,
            self.start_motion(_MOTIONS[member], number),
            accept=lambda: self._choose(name, member),
            revoke=lambda: self._choose(name, None),
            ends=ends,
        )

    async def _stop_axis(self, name: str) -> None:
        """End a motion by hand, if there is one."""
        if not self._has(name):
            return
        member = self._chosen(name)
        await self._operations.cancel(name, quietly=True)
        if member is None:
            return
        try:
            async with asyncio.timeout(self.patience):
                await self.stop_motion(_MOTIONS[member])
        except TimeoutError:
            raise Refused("The motion could not be stopped in time") from None
        finally:
            await self._button(name, State.IDLE)

    async def _on_slew_rate(self, values: dict[str, Any]) -> None:
        member = await self._pick(_SPEED, values)
        if member is not None:
            self._choose(_SPEED, member)
            await self._send(_SPEED, State.OK)
            await self._save_one(_SPEED)

    # --- parking ---

    async def _on_mount_park(self, values: dict[str, Any]) -> None:
        member = await self._pick(_PARK, values)
        if member is None:
            return
        wants_park = member == "PARK"
        if wants_park == self._mount_is_parked and _PARK not in self._operations:
            self.info("The mount is already parked." if wants_park else "The mount is not parked.")
            self._choose(_PARK, member)
            await self._send(_PARK, State.IDLE)
            return
        await self._operations.cancel(_EOD, quietly=True)
        await self._operations.cancel(_PARK, quietly=True)
        for name in (_NS, _WE):
            await self._stop_axis(name)
        self._choose(_PARK, member)

        def accept() -> None:
            self._mount_is_parked = wants_park
            self._choose(_PARK, member)
            if wants_park:
                self.tracking = False

        async def then(end: End) -> None:
            await self._send(_EOD, self._mount_status(at_end=True) if end is End.DONE else State.IDLE)
            if end is End.DONE:
                await self._save_mount_parked()

        work = self.park() if wants_park else self.unpark()
        ends = {End.DONE: State.OK, End.CANCELLED: State.ALERT, End.FAILED: State.ALERT}
        if wants_park:
            await self._send(_EOD, State.BUSY)
        await self._perform(
            _PARK, work, accept=accept, revoke=lambda: self._choose(_PARK, None), waits=False, ends=ends, then=then
        )

    # --- time and place ---

    async def _on_time(self, values: dict[str, Any]) -> None:
        wanted = {name: str(values.get(name, text)).strip() for name, text in self._vector(_TIME).items()}
        utc = parse_timestamp(wanted["UTC"])
        try:
            offset = getfloat(wanted["OFFSET"]) if wanted["OFFSET"] else None
        except TypeError:
            offset = None
        if utc is None or offset is None:
            raise Refused("The time is written as 2026-11-22T07:30:00, the offset in hours")
        await self._perform(_TIME, self.set_time(utc, offset), accept=lambda: self._put(_TIME, wanted))

    async def _on_place(self, values: dict[str, Any]) -> None:
        wanted = {name: values.get(name, self._get(_PLACE, name)) for name in self._vector(_PLACE)}
        if not wanted["LAT"] and not wanted["LONG"]:
            await self._send(_PLACE, State.IDLE)
            return
        place = self.set_location(wanted["LAT"], wanted["LONG"], wanted["ELEV"])
        await self._perform(_PLACE, place, accept=lambda: self._put(_PLACE, wanted))
