"""Mounts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ClassVar, Final, Literal

from ..protocol.tags import State
from ..standard import Interface, find
from .guider import PULSES
from .operations import End, Operation, Refused
from .paddle import AXES
from .parking import PLACES, Parking, coordinates_of, place_of
from .propertydevice import Bound
from .site import Site
from .standarddevice import optional
from .standardvectors import make_vector
from .tracking import EOD, TRACKING, Tracking
from .watched import watched

__all__ = ["Mount"]

_TARGET, _ON_SET = "TARGET_EOD_COORD", "ON_COORD_SET"
_ABORT, _PARK, _HOME = "TELESCOPE_ABORT_MOTION", "TELESCOPE_PARK", "TELESCOPE_HOME"
_PIER, _TYPE, _PEC = "TELESCOPE_PIER_SIDE", "TELESCOPE_MOUNT_TYPE", "PEC"
_PARK_PLACE, _PARK_OPTION, _POLICY = "TELESCOPE_PARK_POSITION", "TELESCOPE_PARK_OPTION", "DOME_POLICY"
_PARK_ENDS: Final = {End.DONE: State.OK, End.CANCELLED: State.ALERT, End.FAILED: State.ALERT}
_ARCSECOND: Final = 1 / 3600
_PARKED: Final = "Please unpark the mount before issuing any motion commands."
_PARKING: Final = "The mount is being parked: abort that first."


class Mount(Parking, Site, Tracking):
    """A mount. Override :meth:`slew_to` and whatever else it can do; assign :attr:`coordinates` in poll().

    Coordinates are apparent, of the present epoch (JNow), in hours and degrees. A mount that only reports where it
    points overrides nothing.

    Attributes:
        has_pier_side: The mount knows on which side of the pier it is; assign :attr:`pier_side`.
        slew_rates: Names of the speeds for start_motion(), slowest first.
        mount_type: "ALTAZ", "EQ_FORK" or "EQ_GEM"; None: clients are not told.
        park_axes: The coordinates in which clients see and set the park position: "HA_DEC" (hours, degrees), "RA_DEC"
            or "AZ_ALT" (degrees); None: they cannot. park() then goes to `self.park_position`, or to
            `self.park_coordinates`, the same position as JNow coordinates.
        park_default: The park position until clients set another.
    """

    interface = Interface.TELESCOPE
    has_pier_side: ClassVar[bool] = False
    mount_type: ClassVar[Literal["ALTAZ", "EQ_FORK", "EQ_GEM"] | None] = None
    park_axes: ClassVar[Literal["HA_DEC", "RA_DEC", "AZ_ALT"] | None] = None
    park_default: ClassVar[tuple[float, float]] = (0.0, 90.0)
    partners: ClassVar[Mapping[str, tuple[str, ...]]] = {"ACTIVE_DOME": ("DOME_PARK", "DOME_SHUTTER")}
    _park, _park_place, _park_option, _park_what = _PARK, _PARK_PLACE, _PARK_OPTION, "mount"

    # --- what an author overrides ---

    @optional
    async def slew_to(self, ra: float, dec: float) -> None:
        """Slew to coordinates; return when the mount has arrived. Assign :attr:`coordinates` on the way."""

    @optional
    async def sync(self, ra: float, dec: float) -> None:
        """Take these coordinates as the present ones."""

    @optional
    async def flip(self, ra: float, dec: float) -> None:
        """Slew to coordinates, ending on the other side of the pier."""

    @optional
    async def abort(self) -> None:
        """Stop all motion except tracking. What moves it has already been cancelled."""

    @optional
    async def park(self) -> None:
        """Go to the park position, see `park_axes`; return when the mount has arrived.

        If it tracks then, :meth:`set_tracking` stops that. Assign :attr:`tracking` if the hardware has done so itself.
        """

    @optional
    async def unpark(self) -> None:
        """Leave the parked state, ready to move."""

    @optional
    async def find_home(self) -> None:
        """Search for the home position, where the hardware finds its coordinates."""

    @optional
    async def set_home(self) -> None:
        """Take the present position as the home position."""

    @optional
    async def go_home(self) -> None:
        """Go to the home position; return when the mount has arrived."""

    @optional
    async def set_pec(self, on: bool) -> None:
        """Turn the correction of the periodic error on or off."""

    # --- what an author reads and assigns ---

    @property
    def coordinates(self) -> tuple[float, float]:
        """Where it points: JNow, in hours and degrees. Assign it when the mount has moved."""
        return self._get(EOD, "RA"), self._get(EOD, "DEC")

    @coordinates.setter
    def coordinates(self, place: tuple[float, float]) -> None:
        ra, dec = place[0] % 24, place[1]
        before = self.coordinates
        stays = abs(ra - before[0]) * 15 <= 0.1 * _ARCSECOND and abs(dec - before[1]) <= 0.1 * _ARCSECOND
        values = {} if stays else {"RA": round(ra, 7), "DEC": round(dec, 6)}  # also if they are not finite
        if self._put(EOD, values, self._mount_status()):
            self._operations.progressed(_PARK)
            self._operations.progressed(_HOME)

    @property
    def slewing(self) -> bool:
        """Whether it is on its way to coordinates or to its park position."""
        return EOD in self._operations or _PARK in self._operations or _HOME in self._operations

    @property
    def pier_side(self) -> str | None:
        """The side of the pier on which it is: "EAST", "WEST", or None if that is not known."""
        chosen = self._chosen(_PIER) if self._has(_PIER) else None
        return chosen.removeprefix("PIER_") if chosen else None

    @pier_side.setter
    def pier_side(self, side: str | None) -> None:
        if side not in ("EAST", "WEST", None):
            raise ValueError(f'pier_side is "EAST", "WEST" or None, not {side!r:.80}')
        self._put(_PIER, {"PIER_WEST": side == "WEST", "PIER_EAST": side == "EAST"}, State.OK)

    @property
    def park_coordinates(self) -> tuple[float, float]:
        """The park position as JNow coordinates; "AZ_ALT" and "HA_DEC" are converted for the mount's location.

        Raises:
            Refused: That is not known, because the location of the mount has not been set.
        """
        return coordinates_of(self.park_position, self.park_axes, self.location)

    # --- its properties ---

    def _standard(self) -> list[Bound]:
        moves = self._implements("slew_to")
        sets = ["TRACK", "SLEW", "SYNC", *(["FLIP"] if self._implements("flip") else [])]
        ways = {"FIND": "find_home", "SET": "set_home", "GO": "go_home"}
        homes = [member for member, method in ways.items() if self._implements(method)]
        kinds = {kind: "On" if kind == self.mount_type else "Off" for kind in ("ALTAZ", "EQ_FORK", "EQ_GEM")}
        names: list[tuple[str, Any, bool, dict[str, Any]]] = [
            (_ON_SET, self._on_coord_set, moves, {"only": sets}),
            (EOD, self._on_coordinates if moves else None, True, {}),
            (_ABORT, self._on_mount_abort, self._implements("abort"), {}),
            *self._tracking_rows(),
            (_HOME, self._on_mount_home, bool(homes), {"only": homes}),
        ]
        later: list[tuple[str, Any, bool, dict[str, Any]]] = [
            (_TARGET, None, moves, {}),
            (_TYPE, None, self.mount_type is not None, {"values": kinds}),
        ]
        parks = self._implements("park")
        last: list[tuple[str, Any, bool, dict[str, Any]]] = [
            (_PARK_OPTION, self._on_park_option, parks and self.park_axes is not None, {}),
            (_PIER, None, self.has_pier_side, {}),
            (_PEC, self._on_pec, self._implements("set_pec"), {}),
            (_POLICY, self._on_dome_policy, parks, {"permanent": True}),
        ]
        table = Interface.TELESCOPE

        def bind(rows: list[tuple[str, Any, bool, dict[str, Any]]]) -> list[Bound]:
            return [self._bind(find(name, table), handle, **how) for name, handle, there, how in rows if there]

        made = [*bind(names), *self._paddle_bounds(), *bind(later), self._bind_time(), self._bind_place()]
        if parks:
            made.append(self._bind(find(_PARK, table), self._on_mount_park))
            if self.park_axes is not None:
                place = make_vector(find(_PARK_PLACE, table), members=PLACES[self.park_axes])
                made += self._parking_places(place)
        return [*made, *bind(last), *super()._standard()]

    def _park_first(self) -> tuple[float, ...]:
        return self.park_default

    def _park_here(self) -> tuple[float, ...]:
        return place_of(self.coordinates, self.park_axes, self.location)

    def _check_park_option(self) -> None:
        super()._check_park_option()
        if self.slewing:
            raise Refused("The mount slews")

    def _check_guiding(self) -> None:
        self._check_movable()
        if self.slewing:
            raise Refused("The mount slews")

    def _parked_words(self) -> str | None:
        if self._is_parked:
            return _PARKED
        return _PARKING if _PARK in self._operations and self._is_to_park else None

    def _moving_ends(self) -> list[Operation]:
        return self._operations.running(_ABORT)

    _guiding_waits_for = _moving_ends

    def _mount_status(self, *, at_end: bool = False) -> State:
        """The state of the coordinates, which shows what the mount does."""
        if self.slewing and not at_end:
            return State.BUSY
        return State.OK if self._follows else State.IDLE

    def _after_interruption(self) -> None:
        if self._has(_HOME):
            self._choose(_HOME, None)
        super()._after_interruption()

    def _forget(self) -> None:
        if self._has(_PIER):
            self._choose(_PIER, None)
        super()._forget()

    async def _prepare(self) -> None:
        await super()._prepare()
        self._bound[EOD].state = self._mount_status()

    async def _after_definitions(self) -> None:
        if self._has(_PARK):
            await self._send(_PARK, self._park_state())
        await self._send(EOD, self._mount_status())
        await super()._after_definitions()

    async def _poll_standard(self) -> None:
        self._put(EOD, {}, self._mount_status())
        await super()._poll_standard()

    def _poll_failed(self) -> None:
        if not self.slewing:
            self._put(EOD, {}, State.ALERT)

    async def _note_stop(self) -> None:
        if self._has(_TARGET) and not self.slewing:
            self._put(_TARGET, dict(zip(("RA", "DEC"), self.coordinates, strict=True)))

    # --- going somewhere ---

    async def _on_coord_set(self, values: dict[str, Any]) -> None:
        self._changes(_ON_SET)
        await self._store_choice(_ON_SET, values)

    async def _on_coordinates(self, values: dict[str, Any]) -> None:
        mode = next((mode for mode, on in self._then(_ON_SET).items() if on == "On"), None)
        ra, dec = values.get("RA", self.coordinates[0]) % 24, values.get("DEC", self.coordinates[1])
        if mode == "SYNC":
            await self._sync_to(ra, dec)
            return
        if self._is_parked:
            self.warning(_PARKED)
            await self._send(EOD, State.IDLE)
            return
        after = self._operations.drop(_PARK, _HOME, *PULSES, quietly=False) + self._operations.drop(*AXES)
        after += self._operations.running(_ABORT)
        self._vector(_TARGET).state = State.OK
        self._vector(_TARGET).update({"RA": ra, "DEC": dec})
        ends = {
            End.DONE: State.OK if mode in ("TRACK", "FLIP") or self._follows else State.IDLE,
            End.CANCELLED: State.IDLE,
            End.FAILED: State.ALERT,
        }
        work = self._slew(ra, dec, mode in ("TRACK", "FLIP"), self.flip if mode == "FLIP" else self.slew_to)
        how: dict[str, Any] = {"accept": lambda: self._mount_arrives(ra, dec), "ends": ends, "after": after}
        await self._perform(EOD, work, waits=False, announce=[_TARGET], **how)

    async def _slew(
        self, ra: float, dec: float, track: bool, go: Callable[[float, float], Coroutine[Any, Any, None]]
    ) -> None:
        if self._is_parked:  # it was too late to cancel it
            raise Refused(_PARKED)
        await self._stop_by_hand()
        self._is_to_stop = False  # it goes to the new target instead
        await go(ra, dec)
        self._check_going_on(EOD)
        if track and not (self._follows and self._is_told_to_follow):
            if self._implements("set_tracking"):
                await self._follow(True)
            self.tracking = True
            if self._has(TRACKING):
                await self._send(TRACKING)

    def _mount_arrives(self, ra: float, dec: float) -> None:
        self._put(EOD, {"RA": round(ra, 7), "DEC": round(dec, 6)})

    def _target_here(self) -> list[str]:
        """Set the target to the present position, so that no dome turns to the old one; returns its name if any."""
        if not self._has(_TARGET):
            return []
        self._vector(_TARGET).update(zip(("RA", "DEC"), self.coordinates, strict=True))
        return [_TARGET]

    async def _sync_to(self, ra: float, dec: float) -> None:
        if not self._implements("sync"):
            raise Refused("This mount cannot be synchronised")
        self._check_movable()
        if self.slewing:
            raise Refused("The mount slews")
        ends = {End.DONE: State.OK, End.CANCELLED: self._mount_status(), End.FAILED: State.ALERT}
        how: dict[str, Any] = {"ends": ends, "after": self._moving_ends(), "announce": self._target_here()}
        await self._perform(EOD, self.sync(ra, dec), accept=lambda: self._mount_arrives(ra, dec), **how)

    async def _on_mount_abort(self, values: dict[str, Any]) -> None:
        is_stopped = self._is_already_stopped(EOD, _PARK, _HOME, *AXES, *PULSES, moving=self._motions)
        if is_stopped or not values.get("ABORT"):
            await self._button(_ABORT)
            return
        was_slewing, parking = self.slewing, _PARK in self._operations
        if _HOME in self._operations:
            self._put(_HOME, dict.fromkeys(self._vector(_HOME), False), State.IDLE)
        after = self._abandon(EOD, _PARK, _HOME, *AXES, told=PULSES)
        await self._stop_mount(after)
        if parking and _PARK not in self._operations:
            has_parked = self._is_to_park and self.parked  # it was too late
            self._choose(_PARK, "PARK" if has_parked else None)
            await self._send(_PARK, State.OK if has_parked else State.ALERT)
        if was_slewing and not self.slewing:
            await self._send(EOD, State.ALERT if self._vector(_ABORT).state == State.ALERT else State.IDLE)

    async def _stop_mount(self, after: list[Operation]) -> None:
        """Stop all motion, once for all who request that now: what comes later has not begun."""
        if _ABORT in self._operations:
            await self._operations.join(_ABORT)
        elif self._has(_ABORT):
            await self._perform(_ABORT, self._stop_all(), accept=lambda: self._choose(_ABORT, None), after=after)
        else:
            await self._stop_axes()

    async def _stop_all(self) -> None:
        """Stop everything that moves, concurrently: a failure must not hold up the others."""

        async def abort() -> None:
            await watched(self.abort(), f"{type(self).__name__}.abort")

        for result in await asyncio.gather(abort(), self._stop_axes(), return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
        self._is_to_stop = False

    async def _on_mount_home(self, values: dict[str, Any]) -> None:
        member = next((member for member, on in values.items() if on), None)

        def rest() -> None:
            self._choose(_HOME, None)

        async def then(end: End) -> None:
            await self._send(EOD, self._mount_status(at_end=end is not End.CANCELLED))

        if member is None:
            if _HOME in self._operations:
                await self._stop_mount(self._operations.drop(_HOME, *AXES))
                await then(End.CANCELLED)
            await self._button(_HOME)
            return
        self._check_movable()
        if member == "SET" and self.slewing:
            raise Refused("The mount slews")
        after = self._operations.drop(EOD, _HOME, *AXES) + self._operations.drop(*PULSES, quietly=False)
        after += self._operations.running(_ABORT)
        self._choose(_HOME, member)
        announce = [] if member == "SET" else [*self._target_here(), EOD]
        if announce:
            self._vector(EOD).state = State.BUSY
        work = {"FIND": self.find_home, "SET": self.set_home, "GO": self.go_home}[member]
        how: dict[str, Any] = {"accept": rest, "revoke": rest, "then": then, "after": after}
        await self._perform(_HOME, self._mount_homes(work), waits=False, announce=announce, **how)

    async def _mount_homes(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await self._stop_by_hand()
        await work()

    async def _on_pec(self, values: dict[str, Any]) -> None:
        await self._set_up(_PEC, values, self.set_pec, "PEC ON")

    # --- parking ---

    async def _on_mount_park(self, values: dict[str, Any]) -> None:
        member = await self._pick(_PARK, values)
        if member is None:
            return
        wants_park = member == "PARK"
        if self._rests(wants_park):
            self.info("The mount is already parked." if wants_park else "The mount is not parked.")
            self._choose(_PARK, member)
            await self._send(_PARK, State.IDLE)
            return
        why = "" if wants_park else self._locked_words()
        if why:
            goes_on = _PARK in self._operations
            if not goes_on:
                self._choose(_PARK, "PARK")
            await self._send(_PARK, None if goes_on else State.ALERT, message=f"[ERROR] {why}")
            return
        self._sets_out(wants_park)
        after = self._operations.drop(EOD, _PARK, *AXES) + self._operations.running(_ABORT)
        after += self._operations.drop(_HOME, TRACKING, *PULSES, quietly=False)
        self._choose(_PARK, member)

        def accept() -> None:
            self._is_parked = wants_park
            self._choose(_PARK, member)
            if wants_park:
                self.tracking = False

        async def then(end: End) -> None:
            await self._send(EOD, State.IDLE if end is End.FAILED else self._mount_status(at_end=end is End.DONE))

        if wants_park:
            self._vector(EOD).state = State.BUSY
        announce = [*self._target_here(), EOD]
        how: dict[str, Any] = {"accept": accept, "ends": _PARK_ENDS, "then": then, "after": after, "announce": announce}
        how["revoke"] = lambda: self._choose(_PARK, "PARK" if self.parked else None)
        await self._perform(_PARK, self._park_or_unpark(wants_park), waits=False, **how)

    def _locked_words(self) -> str:
        """Why the dome does not allow unparking; empty if it does."""
        where = self._seen_rest("ACTIVE_DOME", "DOME_PARK")
        if where == "UNPARK" or not self._is_on(_POLICY, "DOME_LOCKS") or not self._partner("ACTIVE_DOME"):
            return ""
        if where == "PARK":
            return "Cannot unpark the mount while the dome is parked."
        return "Cannot unpark the mount until it is known that the dome is unparked."

    async def _park_or_unpark(self, wants_park: bool) -> None:
        if self._is_to_stop:
            await self._stop_all()
        await self._stop_by_hand()
        await self._go(wants_park, self._park_at_rest() if wants_park else self.unpark(), leaves=not wants_park)

    async def _park_at_rest(self) -> None:
        await self.park()
        self._check_going_on(_PARK)
        may_follow = self._follows or self._is_told_to_follow
        if may_follow and self._implements("set_tracking"):  # nobody could stop that while it is parked
            await self._follow(False)

    async def _on_dome_policy(self, values: dict[str, Any]) -> None:
        await self._store_choice(_POLICY, values)
