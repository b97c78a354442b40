"""Domes that turn, and roofs that roll off."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from ..protocol.tags import State
from ..standard import INTERFACES, Interface, find
from .backlash import Backlash
from .operations import End, Refused
from .parking import Parking
from .propertydevice import Bound
from .slaving import Slaving
from .standarddevice import optional
from .standardvectors import make_vector, set_limits
from .watched import watched

__all__ = ["Dome"]

_ABS, _ABS_MEMBER = "ABS_DOME_POSITION", "DOME_ABSOLUTE_POSITION"
_REL, _REL_MEMBER = "REL_DOME_POSITION", "DOME_RELATIVE_POSITION"
_MOTION, _CW, _CCW = "DOME_MOTION", "DOME_CW", "DOME_CCW"
_SHUTTER, _OPEN, _CLOSE = "DOME_SHUTTER", "SHUTTER_OPEN", "SHUTTER_CLOSE"
_ABORT, _SYNC, _PARK, _POLICY = "DOME_ABORT_MOTION", "DOME_SYNC", "DOME_PARK", "DOME_SHUTTER_PARK_POLICY"
_SPEED, _RPM, _LOCK = "DOME_SPEED", "DOME_SPEED_VALUE", "MOUNT_POLICY"
_PLACE, _OPTION = "DOME_PARK_POSITION", "DOME_PARK_OPTION"
_ENDS: Final = {End.DONE: State.OK, End.CANCELLED: State.IDLE, End.FAILED: State.ALERT}


class Dome(Parking, Slaving, Backlash):
    """A dome that turns: override :meth:`turn_to`. Or a roof: override :meth:`open_roof` and :meth:`close_roof`.

    Azimuths are degrees from the north through the east. A dome that turns can follow the mount in ACTIVE_DEVICES: it
    then turns to where that looks through it, as far as clients have told its size and where the mount stands.

    Attributes:
        park_azimuth: Where a dome is parked at first; clients may change it.
        fastest: The highest speed in turns a minute, if :meth:`set_speed` is overridden.
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
        """Turn to an azimuth; return when it is there. Assign :attr:`azimuth` on the way."""

    @optional
    async def start_turning(self, clockwise: bool) -> None:
        """Turn until abort()."""

    @optional
    async def open_roof(self) -> None:
        """Roll the roof off; return when it is open."""

    @optional
    async def close_roof(self) -> None:
        """Close the roof; return when it is closed."""

    @optional
    async def open_shutter(self) -> None:
        """Open the shutter; return when it is open."""

    @optional
    async def close_shutter(self) -> None:
        """Close the shutter; return when it is closed."""

    @optional
    async def abort(self) -> None:
        """Stop all motion. What moves it has been cancelled before."""

    @optional
    async def sync(self, azimuth: float) -> None:
        """From now on the place where it is has this azimuth."""

    @optional
    async def set_speed(self, rpm: float) -> None:
        """Turn at this speed from now on, in turns a minute."""

    # --- what an author reads and assigns ---

    @property
    def azimuth(self) -> float:
        """Where the opening is, in degrees. Assign it when it has turned."""
        return self._get(_ABS, _ABS_MEMBER)

    @azimuth.setter
    def azimuth(self, degrees: float) -> None:
        self._operations.progressed(_PARK)
        self._operations.progressed(_REL)
        self._put(_ABS, {_ABS_MEMBER: round(degrees % 360, 4)})

    @property
    def shutter_open(self) -> bool | None:
        """The shutter is open, or closed; None: in between, or not known."""
        chosen = self._chosen(_SHUTTER)
        known = chosen is not None and self._vector(_SHUTTER).state == State.OK
        return chosen == _OPEN if known else None

    @shutter_open.setter
    def shutter_open(self, is_open: bool | None) -> None:
        state = State.IDLE if is_open is None else State.OK
        self._put(_SHUTTER, {_OPEN: is_open is True, _CLOSE: is_open is False}, state)

    # --- its properties ---

    def _standard(self) -> list[Bound]:
        self._require("turn_to", "open_roof")
        turns = self._implements("turn_to")
        if not turns:
            self._require("close_roof")
        shutter = self._implements("open_shutter") and self._implements("close_shutter")
        moves = self._on_dome_motion if not turns or self._implements("start_turning") else self._refuse_motion
        table = Interface.DOME
        names: list[tuple[str, Any, bool, dict[str, Any]]] = [
            (_SHUTTER, self._on_shutter, shutter, {}),
            (_POLICY, self._on_policy, shutter, {"permanent": True}),
            (_MOTION, moves, True, {}),
            (_REL, self._on_dome_relative, turns, {}),
            (_ABS, self._on_dome_absolute, True, {"shown": turns}),
            (_ABORT, self._on_dome_abort, True, {}),
            (_SYNC, self._on_dome_sync, self._implements("sync"), {}),
            (_SPEED, self._on_dome_speed, self._implements("set_speed"), {}),
            (_PARK, self._on_dome_park, True, {}),
            (_OPTION, self._on_park_option, turns, {}),
            (_LOCK, self._on_mount_policy, True, {"permanent": True}),
        ]
        found = {name: [self._bind(find(name, table), handle, **how)] for name, handle, there, how in names if there}
        if turns:
            found["DOME_AUTOSYNC"] = self._slaving_bounds()
            found[_PLACE] = self._parking_places(make_vector(find(_PLACE, table)))
        found["DOME_BACKLASH"] = self._backlash_bounds(table)
        order = [standard.name for standard in INTERFACES[table]] + ["DOME_BACKLASH"]
        made = [bound for name in sorted(found, key=order.index) for bound in found[name]]
        if not turns:  # what people see of a roof
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

    def _check_park_option(self) -> None:
        super()._check_park_option()
        if any(name in self._operations for name in (_ABS, _REL)) or self._vector(_MOTION).state == State.BUSY:
            raise Refused("The dome moves")

    async def _prepare(self) -> None:
        self._choose(_MOTION, None)
        if self._has(_SPEED):
            set_limits(self._vector(_SPEED), _RPM, 0, self.fastest)
        await super()._prepare()

    async def _after_definitions(self) -> None:
        await self._send(_PARK, State.OK)
        if self._has(_SHUTTER):
            await self._send(_SHUTTER)
        await super()._after_definitions()

    # --- turning ---

    def _check_dome(self) -> None:
        if self._is_parked:
            raise Refused("Please unpark the dome before issuing any motion commands.")
        if _PARK in self._operations:
            raise Refused("The dome is being parked, or unparked.")
        if self._vector(_MOTION).state == State.BUSY and not any(name in self._operations for name in (_ABS, _REL)):
            raise Refused("The dome moves: stop it first.")

    async def _on_dome_absolute(self, values: dict[str, Any]) -> None:
        self._check_dome()
        await self._turn(_ABS, values[_ABS_MEMBER], (_MOTION,))

    async def _on_dome_relative(self, values: dict[str, Any]) -> None:
        self._check_dome()
        self._vector(_REL)[_REL_MEMBER] = values[_REL_MEMBER]
        await self._turn(_REL, (self.azimuth + values[_REL_MEMBER]) % 360, (_ABS, _MOTION))

    async def _turn(self, name: str, azimuth: float, others: tuple[str, ...]) -> None:
        for other in (_ABS, _REL):
            await self._operations.cancel(other, quietly=True)
        self._choose(_MOTION, _CW if (azimuth - self.azimuth) % 360 < 180 else _CCW)

        def accept() -> None:
            self._choose(_MOTION, None)
            if abs(azimuth - self.azimuth) > 1e-9:
                self.azimuth = azimuth

        await self._perform(
            name,
            self.turn_to(azimuth),
            accept=accept,
            revoke=lambda: self._choose(_MOTION, None),
            others=others,
            waits=False,
            ends=_ENDS,
            then=lambda end: self._rest(),
        )

    async def _rest(self) -> None:
        """It stands still: no direction is on."""
        if self._chosen(_MOTION) is not None:
            await self._button(_MOTION, State.IDLE if self._vector(_ABS).state == State.IDLE else State.OK)

    async def _refuse_motion(self, values: dict[str, Any]) -> None:
        if any(values.values()):
            raise Refused("This dome turns to positions only.")
        await self._stop_dome()
        await self._button(_MOTION, State.IDLE)

    async def _on_dome_motion(self, values: dict[str, Any]) -> None:
        member = next((member for member, on in values.items() if on), None)
        if not self._turns:
            await self._move_roof(member)
            return
        if member is None:
            await self._stop_dome()
            await self._button(_MOTION, State.IDLE)
            return
        self._check_dome()
        for other in (_ABS, _REL):
            await self._operations.cancel(other)
        ends = {End.DONE: State.BUSY, End.CANCELLED: State.IDLE, End.FAILED: State.ALERT}
        await self._perform(
            _MOTION,
            self.start_turning(member == _CW),
            accept=lambda: self._choose(_MOTION, member),
            revoke=lambda: self._choose(_MOTION, None),
            ends=ends,
        )

    async def _stop_dome(self) -> None:
        """Cancel what moves, and stop it."""
        for name in (_ABS, _REL, _MOTION):
            await self._operations.cancel(name)
        if self._implements("abort"):
            async with asyncio.timeout(self.patience):
                await watched(self.abort(), f"{type(self).__name__}.abort")

    async def _on_dome_sync(self, values: dict[str, Any]) -> None:
        azimuth = values["DOME_SYNC_VALUE"]
        if _ABS in self._operations or _REL in self._operations:
            raise Refused("The dome turns.")

        def accept() -> None:
            self._put(_SYNC, {"DOME_SYNC_VALUE": azimuth})
            self.azimuth = azimuth

        await self._perform(_SYNC, self.sync(azimuth), accept=accept)

    async def _on_dome_abort(self, values: dict[str, Any]) -> None:
        if not values.get("ABORT"):
            await self._button(_ABORT)
            return
        before = self._is_parked
        was_parking = await self._operations.cancel(_PARK, quietly=True)
        shutter = await self._operations.cancel(_SHUTTER, quietly=True)
        for name in (_ABS, _REL, _MOTION):
            await self._operations.cancel(name, quietly=True)
        await self._perform(_ABORT, self.abort(), accept=lambda: self._choose(_ABORT, None))
        for name in (_ABS, _REL):
            if self._has(name) and self._vector(name).state == State.BUSY:
                await self._send(name, State.IDLE)
        if self._vector(_MOTION).state == State.BUSY:
            await self._button(_MOTION, State.IDLE)
        if shutter:
            self.shutter_open = None
            await self._send(_SHUTTER, State.IDLE)
        if was_parking:
            self._choose(_PARK, "PARK" if before else "UNPARK")
            await self._send(_PARK, State.ALERT)

    # --- parking ---

    async def _on_dome_park(self, values: dict[str, Any]) -> None:
        member = await self._pick(_PARK, values)
        if member is not None:
            await self._park_or_unpark(member == "PARK")

    async def _move_roof(self, member: str | None) -> None:
        """The buttons of a roof open and close it."""
        if member is None:
            if await self._operations.cancel(_PARK, quietly=True):
                self._choose(_PARK, "PARK" if self._is_parked else "UNPARK")
                await self._send(_PARK, State.ALERT)
            await self._stop_dome()
            await self._button(_MOTION, State.IDLE)
            return
        await self._park_or_unpark(member == _CCW)

    async def _park_or_unpark(self, wanted: bool) -> None:
        member = "PARK" if wanted else "UNPARK"
        if wanted == self._is_parked and _PARK not in self._operations:
            self.info("The dome is already parked." if wanted else "The dome is already unparked.")
            self._choose(_PARK, member)
            await self._send(_PARK, State.OK)
            if self._chosen(_MOTION) is None:
                await self._button(_MOTION)
            return
        if (
            wanted
            and self._is_on(_LOCK, "MOUNT_LOCKS")
            and self._seen("ACTIVE_TELESCOPE", "TELESCOPE_PARK").get("PARK") != "On"
        ):
            self._choose(_PARK, "UNPARK")
            await self._send(_PARK, State.ALERT, message="[ERROR] Cannot park the dome while the mount is not parked.")
            await self._button(_MOTION, State.IDLE)
            return
        for name in (_ABS, _REL, _MOTION, _PARK):
            await self._operations.cancel(name, quietly=True)
        before = "PARK" if self._is_parked else "UNPARK"
        self._choose(_PARK, member)
        if not self._turns:
            self._choose(_MOTION, _CCW if wanted else _CW)

        def accept() -> None:
            self._is_parked = wanted
            self._choose(_PARK, member)
            self._choose(_MOTION, None)

        def revoke() -> None:
            self._choose(_PARK, before)
            self._choose(_MOTION, None)

        async def then(end: End) -> None:
            if self._turns:
                await self._send(_ABS, State.IDLE if wanted and end is End.DONE else State.OK)

        others = (_ABS,) if self._turns else (_MOTION,)
        ends = {End.DONE: State.OK, End.CANCELLED: State.ALERT, End.FAILED: State.ALERT}
        await self._perform(
            _PARK, self._parking(wanted), accept=accept, revoke=revoke, others=others, waits=False, ends=ends, then=then
        )

    async def _parking(self, wanted: bool) -> None:
        await self._go_to_park(wanted)
        await self._save_park(wanted)

    async def _go_to_park(self, wanted: bool) -> None:
        if not self._turns:
            await (self.close_roof() if wanted else self.open_roof())
            return
        if wanted:
            (azimuth,) = self.park_position
            await self.turn_to(azimuth)
            self.azimuth = azimuth
        policy = "SHUTTER_CLOSE_ON_PARK" if wanted else "SHUTTER_OPEN_ON_UNPARK"
        if self._has(_SHUTTER) and self._is_on(_POLICY, policy):
            await (self.close_shutter() if wanted else self.open_shutter())
            self.shutter_open = not wanted

    # --- shutter, policies ---

    async def _on_shutter(self, values: dict[str, Any]) -> None:
        member = await self._pick(_SHUTTER, values)
        if member is None:
            return
        await self._operations.cancel(_SHUTTER, quietly=True)
        self._choose(_SHUTTER, member)
        work = self.open_shutter() if member == _OPEN else self.close_shutter()
        await self._perform(_SHUTTER, work, accept=lambda: self._choose(_SHUTTER, member), waits=False, ends=_ENDS)

    async def _on_policy(self, values: dict[str, Any]) -> None:
        await self._store(_POLICY, values)

    async def _on_mount_policy(self, values: dict[str, Any]) -> None:
        await self._store_choice(_LOCK, values)

    async def _on_dome_speed(self, values: dict[str, Any]) -> None:
        rpm = values[_RPM]
        await self._perform(_SPEED, self.set_speed(rpm), accept=lambda: self._put(_SPEED, {_RPM: rpm}))

    # --- following the mount ---

    def _may_follow(self) -> bool:
        if self._is_parked or self._vector(_MOTION).state == State.BUSY:
            return False
        return not any(name in self._operations for name in (_ABS, _REL, _PARK))

    def _opening(self) -> float:
        return self.azimuth

    async def _turn_opening(self, azimuth: float) -> None:
        await self._turn(_ABS, azimuth, (_MOTION,))
