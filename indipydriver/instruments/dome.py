"""Domes that turn, and roofs that roll off."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Final

from ..protocol.tags import State
from ..standard import INTERFACES, Interface, find
from .backlash import Backlash
from .operations import End, Operation, Refused
from .propertydevice import Bound
from .shutter import MOVED_BY_PARKING, SHUTTER, Shutter
from .slaving import Slaving
from .standarddevice import optional
from .standardvectors import make_vector, on_circle, set_limits

__all__ = ["Dome"]

_ABS, _ABS_MEMBER = "ABS_DOME_POSITION", "DOME_ABSOLUTE_POSITION"
_REL, _REL_MEMBER = "REL_DOME_POSITION", "DOME_RELATIVE_POSITION"
_MOTION, _CW, _CCW = "DOME_MOTION", "DOME_CW", "DOME_CCW"
_ABORT, _SYNC, _PARK = "DOME_ABORT_MOTION", "DOME_SYNC", "DOME_PARK"
_SPEED, _RPM, _LOCK = "DOME_SPEED", "DOME_SPEED_VALUE", "MOUNT_POLICY"
_PLACE, _OPTION = "DOME_PARK_POSITION", "DOME_PARK_OPTION"
_AZIMUTH_DIGITS: Final = 4  # of an azimuth
_MOUNT_PARK: Final = ("ACTIVE_TELESCOPE", "TELESCOPE_PARK")


class Dome(Shutter, Slaving, Backlash):
    """A dome that turns: override :meth:`turn_to`. Or a roof: override :meth:`open_roof` and :meth:`close_roof`.

    Azimuths are degrees from the north through the east. A dome that turns can follow the mount in ACTIVE_DEVICES: the
    opening is then where the telescope looks through the dome, as far as clients have set the size of the dome and the
    position of the mount in it. A dome that is stopped no longer follows the mount.
    One that cannot turn says so, and tries again: a few times, and then when the mount has moved on, or clients have
    sent a command.

    Attributes:
        park_azimuth: Where a dome is parked initially; clients may change it.
        shutter_needs_park: The shutter has power only at the park position, so the dome stays there while it moves. If
            False, parking with *Close On Park* closes it while the dome turns, and even if that jams.
        fastest: The highest speed in turns per minute, if :meth:`set_speed` is overridden.
    """

    interface = Interface.DOME
    park_azimuth: ClassVar[float] = 0.0
    fastest: ClassVar[float] = 10.0
    partners: ClassVar[Mapping[str, tuple[str, ...]]] = {"ACTIVE_TELESCOPE": ("TELESCOPE_PARK",)}
    _park, _park_place, _park_option, _park_what = _PARK, _PLACE, _OPTION, "dome"
    _backlash = "DOME_BACKLASH"

    # --- what an author overrides ---

    @optional
    async def turn_to(self, azimuth: float) -> None:
        """Turn to an azimuth; return when the dome has arrived. Assign :attr:`azimuth` on the way."""

    @optional
    async def start_turning(self, clockwise: bool) -> None:
        """Turn until :meth:`abort`, which must be overridden as well."""

    @optional
    async def open_roof(self) -> None:
        """Roll the roof off; return when it is open."""

    @optional
    async def close_roof(self) -> None:
        """Close the roof; return when it is closed."""

    @optional
    async def abort(self) -> None:
        """Stop all motion. What moves it has already been cancelled."""

    @optional
    async def sync(self, azimuth: float) -> None:
        """Take this azimuth as the present one."""

    @optional
    async def set_speed(self, rpm: float) -> None:
        """Turn at this speed from now on, in turns per minute."""

    # --- what an author reads and assigns ---

    @property
    def azimuth(self) -> float:
        """Where the opening is, in degrees. Assign it when the dome has turned."""
        return self._get(_ABS, _ABS_MEMBER)

    @azimuth.setter
    def azimuth(self, degrees: float) -> None:
        if self._put(_ABS, {_ABS_MEMBER: on_circle(degrees, _AZIMUTH_DIGITS)}):
            self._operations.progressed(_PARK)
            self._operations.progressed(_REL)

    # --- its properties ---

    _is_turning = False  # it turns, by start_turning(), until it is stopped

    def _standard(self) -> list[Bound]:
        self._require("turn_to", "open_roof")
        turns = self._implements("turn_to")
        if not turns:
            self._require("close_roof")
        if self._implements("start_turning"):
            self._require("abort")  # which stops it
        moves = self._on_dome_motion if not turns or self._implements("start_turning") else self._refuse_motion
        table = Interface.DOME
        names: list[tuple[str, Any, bool, dict[str, Any]]] = [
            *self._shutter_rows(),
            (_MOTION, moves, True, {}),
            (_REL, self._on_dome_relative, turns, {}),
            (_ABS, self._on_dome_absolute, True, {"shown": turns}),
            (_ABORT, self._on_dome_abort, True, {}),
            (_SYNC, self._on_dome_sync, self._implements("sync"), {}),
            (_SPEED, self._on_dome_speed, self._implements("set_speed"), {}),
            (_PARK, self._on_dome_park, True, {}),
            (_OPTION, self._on_park_option, turns, {}),
            (_LOCK, partial(self._store_choice, _LOCK), True, {"permanent": True}),
        ]
        found = {name: [self._bind(find(name, table), handle, **how)] for name, handle, there, how in names if there}
        if turns:
            found["DOME_AUTOSYNC"] = self._slaving_bounds()
            found[_PLACE] = self._parking_places(make_vector(find(_PLACE, table)))
        found["DOME_BACKLASH"] = self._backlash_bounds(table)
        order = [standard.name for standard in INTERFACES[table]] + ["DOME_BACKLASH"]
        made = [bound for name in sorted(found, key=order.index) for bound in found[name]]
        if not turns:  # the words for a roof
            motion = next(bound.vector for bound in made if bound.vector.name == _MOTION)
            for member, label in ((_CW, "Open"), (_CCW, "Close")):
                motion.data[member].label = label
        return [*made, *super()._standard()]

    @property
    def _turns(self) -> bool:
        return self._has(_REL)

    def _park_first(self) -> tuple[float, ...]:
        return (self.park_azimuth,)

    def _park_here(self) -> tuple[float, ...]:
        return (self.azimuth,)

    def _shutter_waits_for(self) -> list[Operation]:
        return self._operations.running(_ABORT, _MOTION)

    def _check_park_option(self) -> None:
        super()._check_park_option()
        if self._leaves_place():
            raise Refused("The dome moves")

    def _leaves_place(self) -> bool:
        return self._is_turning or any(name in self._operations for name in (_ABS, _REL, _MOTION, _PARK))

    def _after_interruption(self) -> None:
        if not self._is_turning:
            self._choose(_MOTION, None)
        super()._after_interruption()

    async def _stop_moving(self) -> None:
        if self._is_turning:
            await self.abort()
            self._is_turning = False
        await super()._stop_moving()

    async def _prepare(self) -> None:
        self._choose(_MOTION, None)
        self._is_turning = False
        if self._has(_SPEED):
            set_limits(self._vector(_SPEED), _RPM, 0, self.fastest)
        await super()._prepare()

    async def _after_definitions(self) -> None:
        await self._send(_PARK, self._park_state())
        await super()._after_definitions()

    # --- turning ---

    def _check_dome(self, *, by_hand: bool = False) -> None:
        if self._is_parked:
            raise Refused("Please unpark the dome before issuing any motion commands.")
        if _PARK in self._operations:
            raise Refused(MOVED_BY_PARKING)
        if self._keeps_place():
            raise Refused("The shutter moves, and has power only here.")
        if not by_hand and (self._is_turning or _MOTION in self._operations):
            raise Refused("The dome is moving: stop it first.")

    async def _on_dome_absolute(self, values: dict[str, Any]) -> None:
        self._check_dome()
        others = (_MOTION, _REL) if _REL in self._operations else (_MOTION,)
        await self._turn(_ABS, values[_ABS_MEMBER], others)

    async def _on_dome_relative(self, values: dict[str, Any]) -> None:
        self._check_dome()
        self._vector(_REL)[_REL_MEMBER] = values[_REL_MEMBER]
        await self._turn(_REL, self.azimuth + values[_REL_MEMBER], (_ABS, _MOTION))

    async def _turn(self, name: str, azimuth: float, others: tuple[str, ...], *, follows: bool = False) -> None:
        azimuth = on_circle(azimuth, _AZIMUTH_DIGITS)
        if not follows:
            self._try_again()
        self._is_to_stop = False  # it goes to the new position instead
        after = [*self._operations.drop(_ABS, _REL), *self._operations.running(_ABORT)]
        self._choose(_MOTION, _CW if (azimuth - self.azimuth) % 360 < 180 else _CCW)

        def accept() -> None:
            if abs(azimuth - self.azimuth) > 1e-9:
                self.azimuth = azimuth

        async def then(end: End) -> None:
            await self._rest()
            self._note_turn(end, azimuth if follows else None)

        await self._perform(
            name,
            self._turn_with_mount(azimuth) if follows else self._turn_dome(name, azimuth),
            accept=accept,
            revoke=lambda: self._choose(_MOTION, None),
            others=others,
            waits=False,
            then=then,
            after=after,
        )

    async def _turn_dome(self, name: str, azimuth: float) -> None:
        await self.turn_to(azimuth)
        self._check_going_on(name)
        self._choose(_MOTION, None)

    async def _rest(self) -> None:
        """The dome stands still: no direction is on."""
        if self._chosen(_MOTION) is not None and not self._is_turning:
            await self._button(_MOTION, State.IDLE if self._vector(_ABS).state == State.IDLE else State.OK)

    async def _refuse_motion(self, values: dict[str, Any]) -> None:
        if any(values.values()):
            raise Refused("This dome turns to positions only.")
        await self._halt(_MOTION)

    async def _on_dome_motion(self, values: dict[str, Any]) -> None:
        member = next((member for member, on in values.items() if on), None)
        if member is None:
            await self._halt(_MOTION)
            return
        if not self._turns:
            await self._park_or_unpark(member == _CCW)
            return
        if self._is_turning and self._chosen(_MOTION) is not None:
            message = "" if member == self._chosen(_MOTION) else "[WARNING] The dome is moving: stop it first."
            await self._send(_MOTION, State.BUSY, message=message)
            return
        self._check_dome(by_hand=True)
        after = [*self._operations.drop(_ABS, _REL, quietly=False), *self._operations.running(_ABORT)]
        ends = {End.DONE: State.BUSY, End.CANCELLED: State.IDLE, End.FAILED: State.ALERT}
        await self._perform(
            _MOTION,
            self._start_turning(member == _CW),
            accept=lambda: self._choose(_MOTION, member),
            revoke=lambda: self._choose(_MOTION, None),
            ends=ends,
            after=after,
        )

    async def _start_turning(self, clockwise: bool) -> None:
        self._is_turning = True  # it may move even if that fails
        try:
            await self.start_turning(clockwise)
        except Refused:
            self._is_turning = False
            raise

    async def _halt(self, name: str) -> None:
        """Stop all motion because of a command for a property, and report the outcome."""
        told = [other for other in (_ABS, _REL, _MOTION) if other != name and self._vector_is_busy(other)]
        parking, shutter = _PARK in self._operations, SHUTTER in self._operations
        is_led = parking or _ABS in self._operations or _REL in self._operations
        after = self._abandon(_ABS, _REL, _MOTION, _PARK, SHUTTER)
        if name == _ABORT or is_led:
            self._follow_no_more()

        def accept() -> None:
            self._is_turning = self._is_to_stop = False
            self._choose(name, None)

        ends = {End.DONE: State.OK if name == _ABORT else State.IDLE, End.CANCELLED: State.IDLE}
        ends[End.FAILED] = State.ALERT
        await self._perform(name, self.abort(), accept=accept, ends=ends, after=after)
        state = State.ALERT if self._vector(name).state == State.ALERT else State.IDLE
        for other in told:
            if any(one in self._operations for one in (_ABS, _REL, _PARK, other)):
                continue  # because of a later command
            if other == _MOTION and not self._is_turning:
                self._choose(_MOTION, None)
            await self._send(other, state)
        if shutter and SHUTTER not in self._operations:
            self.shutter_open = None
            await self._send(SHUTTER, State.IDLE)
        if parking and _PARK not in self._operations:
            self._choose(_PARK, "PARK" if self._is_parked else "UNPARK")
            await self._send(_PARK, State.ALERT)

    def _vector_is_busy(self, name: str) -> bool:
        is_on = name == _MOTION and self._chosen(_MOTION) is not None
        return self._has(name) and (is_on or self._vector(name).state == State.BUSY)

    async def _on_dome_sync(self, values: dict[str, Any]) -> None:
        azimuth = values["DOME_SYNC_VALUE"]
        if any(name in self._operations for name in (_ABS, _REL, _PARK)):
            raise Refused("The dome turns.")

        def accept() -> None:
            self._put(_SYNC, {"DOME_SYNC_VALUE": azimuth})
            self.azimuth = azimuth

        await self._perform(_SYNC, self.sync(azimuth), accept=accept, after=self._operations.running(_ABORT, _MOTION))

    async def _on_dome_abort(self, values: dict[str, Any]) -> None:
        turning = [_MOTION] if self._is_turning else []
        is_stopped = self._is_already_stopped(_ABS, _REL, _MOTION, _PARK, SHUTTER, moving=turning)
        if values.get("ABORT") and not is_stopped:
            await self._halt(_ABORT)
        else:
            await self._button(_ABORT)

    # --- parking ---

    async def _on_dome_park(self, values: dict[str, Any]) -> None:
        member = await self._pick(_PARK, values)
        if member is not None:
            await self._park_or_unpark(member == "PARK")

    async def _park_or_unpark(self, wanted: bool) -> None:
        member = "PARK" if wanted else "UNPARK"
        is_open = wanted and self._turns and self._parking_moves_shutter(True) and not self._is_known_to_be_closed()
        if self._rests(wanted) and not is_open:
            self.info("The dome is already parked." if wanted else "The dome is already unparked.")
            self._choose(_PARK, member)
            await self._send(_PARK, State.OK)
            if self._chosen(_MOTION) is None:
                await self._button(_MOTION)
            return
        if wanted and self._is_on(_LOCK, "MOUNT_LOCKS") and self._seen_rest(*_MOUNT_PARK) != "PARK":
            message = "[ERROR] Cannot park the dome while the mount is not parked."
            if _PARK in self._operations:  # it goes on with what it was doing
                await self._send(_PARK, message=message)
                await self._send(_MOTION)  # it may have been written
                return
            self._choose(_PARK, "PARK" if self._is_parked else "UNPARK")
            await self._send(_PARK, State.ALERT, message=message)
            await self._button(_MOTION, State.IDLE)
            return
        self._try_again()
        self._sets_out(wanted, is_to_stop=self._holds_shutter and not self._parking_moves_shutter(wanted))
        self._is_to_stop = self._is_to_stop and self._turns  # a roof reverses, or goes on
        after = self._operations.drop(_ABS, _REL, _MOTION, _PARK)
        if self._is_to_stop or self._parking_moves_shutter(wanted):
            after += self._operations.drop(SHUTTER, quietly=False)
        elif self._keeps_place():
            after += self._operations.running(SHUTTER)
        after += self._operations.running(_ABORT)
        self._has_begun_to_close = False
        self._choose(_PARK, member)
        if not self._turns:
            self._choose(_MOTION, _CCW if wanted else _CW)

        def accept() -> None:
            self._is_parked = wanted
            self._choose(_PARK, member)
            self._choose(_MOTION, None)

        def revoke() -> None:
            self._choose(_PARK, "PARK" if self._is_parked else "UNPARK")
            self._choose(_MOTION, None)

        async def then(end: End) -> None:
            if self._turns:
                await self._send(_ABS, State.IDLE if wanted and end is End.DONE else State.OK)
            if end is End.FAILED and self.connected and wanted and self._turns:
                self._follow_no_more()
                await self._close_on_the_way()  # perhaps it rains

        others: tuple[str, ...] = (_MOTION,)
        if self._turns:
            others = (_ABS, *(name for name in (_REL, _MOTION) if self._vector_is_busy(name)))
        ends = {End.DONE: State.OK, End.CANCELLED: State.ALERT, End.FAILED: State.ALERT}
        how: dict[str, Any] = {"accept": accept, "revoke": revoke, "others": others, "ends": ends, "then": then}
        await self._perform(_PARK, self._parking(wanted), waits=False, after=after, **how)

    async def _parking(self, wanted: bool) -> None:
        if self._is_turning or self._is_to_stop:
            await self.abort()
            self._is_to_stop = False
        if self._is_turning:
            self._is_turning = False
            await self._button(_MOTION, State.IDLE)
        await self._go(wanted, self._go_to_park(wanted), leaves=not wanted or not self._turns)

    async def _go_to_park(self, wanted: bool) -> None:
        if not self._turns:
            await (self.close_roof() if wanted else self.open_roof())
            return
        if wanted:
            await self._close_on_the_way()
        if wanted and not self.parked:  # else only the shutter is to be closed
            azimuth = on_circle(self.park_position[0], _AZIMUTH_DIGITS)
            await self.turn_to(azimuth)
            self._check_going_on(_PARK)
            self.azimuth = azimuth
        if self._parking_moves_shutter(wanted):
            await self._shutter_with_parking(wanted)

    # --- speed ---

    async def _on_dome_speed(self, values: dict[str, Any]) -> None:
        rpm = values[_RPM]
        await self._perform(_SPEED, self.set_speed(rpm), accept=lambda: self._put(_SPEED, {_RPM: rpm}))

    # --- following the mount ---

    def _may_follow(self) -> bool:
        return not (self._is_parked or self._keeps_place() or self._leaves_place() or _ABORT in self._operations)

    def _opening(self) -> float:
        return self.azimuth

    async def _turn_opening(self, azimuth: float) -> None:
        await self._turn(_ABS, azimuth, (_MOTION,), follows=True)

    async def _turn_with_mount(self, azimuth: float) -> None:
        await self._turn_dome(_ABS, azimuth)
