"""Rotators."""

from __future__ import annotations

from typing import Any, Final

from ..protocol.tags import State
from ..standard import Interface, find
from .backlash import Backlash
from .operations import End, Operation, Refused
from .propertydevice import Bound
from .standarddevice import optional
from .standardvectors import on_circle

__all__ = ["Rotator"]

_ANGLE, _SYNC, _HOME = "ABS_ROTATOR_ANGLE", "SYNC_ROTATOR_ANGLE", "ROTATOR_HOME"
_ABORT, _REVERSE = "ROTATOR_ABORT_MOTION", "ROTATOR_REVERSE"
_LIMITS, _RANGE = "ROTATOR_LIMITS", "ROTATOR_LIMITS_VALUE"
_ANGLE_DIGITS: Final = 6  # decimal places of an angle
_ROTATOR_ENDS: Final = {End.DONE: State.OK, End.CANCELLED: State.OK, End.FAILED: State.ALERT}


class Rotator(Backlash):
    """A rotator. Override :meth:`turn_to`. Angles are degrees of the hardware from 0 to 360, not position angles.

    Clients may set a safe range, so that no cables are torn. It is centred on the angle that the rotator had when it
    was connected, or last synchronised. If the shorter way would leave the range, the rotator turns to the middle of
    the range first.
    """

    interface = Interface.ROTATOR
    _backlash = "ROTATOR_BACKLASH"
    _middle = 0.0  # the middle of the safe range
    _is_middle_known = False  # since it was connected
    _away = 0.0  # degrees from the middle of the range, once that is known
    _rotator_is_there = False  # it is known to be at the angle that is shown

    @optional
    async def turn_to(self, angle: float) -> None:
        """Turn to an angle; return when the rotator has arrived. Assign :attr:`angle` on the way."""

    @optional
    async def abort(self) -> None:
        """Stop the motion. What turns it has already been cancelled."""

    @optional
    async def sync(self, angle: float) -> None:
        """Take this angle as the present one."""

    @optional
    async def home(self) -> None:
        """Turn to the home position, where the hardware finds its angle; assign :attr:`angle`."""

    @optional
    async def set_reverse(self, reverse: bool) -> None:
        """Reverse the direction of growing angles. It is not called while the rotator turns."""

    @property
    def angle(self) -> float:
        """The angle, in degrees. Assign it when the rotator has turned."""
        return self._get(_ANGLE, "ANGLE")

    @angle.setter
    def angle(self, degrees: float) -> None:
        if self._put(_ANGLE, {"ANGLE": on_circle(degrees, _ANGLE_DIGITS)}):
            self._operations.progressed(_HOME)
        if not self._operations.running(_ANGLE, _HOME):  # the hardware says where it is
            self._rotator_is_there = True
        self._find_middle()

    @property
    def reversed(self) -> bool:
        """Whether the direction of growing angles is reversed."""
        return self._has(_REVERSE) and self._is_on(_REVERSE, "INDI_ENABLED")

    def _standard(self) -> list[Bound]:
        self._require("turn_to")
        handlers = {
            _ANGLE: (self._on_angle, "turn_to"),
            _ABORT: (self._on_rotator_abort, "abort"),
            _SYNC: (self._on_rotator_sync, "sync"),
            _HOME: (self._on_rotator_home, "home"),
            _REVERSE: (self._on_rotator_reverse, "set_reverse"),
        }
        return [
            *(
                self._bind(find(name, Interface.ROTATOR), handler)
                for name, (handler, method) in handlers.items()
                if self._implements(method)
            ),
            *self._backlash_bounds(Interface.ROTATOR),
            self._bind(find(_LIMITS, Interface.ROTATOR), self._on_rotator_limits),
            *super()._standard(),
        ]

    def _after_interruption(self) -> None:
        if self._has(_HOME):
            self._choose(_HOME, None)
        super()._after_interruption()

    def _before_connecting(self) -> None:
        self._is_middle_known = self._rotator_is_there = False
        self._away = 0.0
        super()._before_connecting()

    async def _poll_standard(self) -> None:
        self._find_middle()  # perhaps nothing reads it
        await super()._poll_standard()

    def _find_middle(self) -> None:
        if not self._is_middle_known:  # the angle has been read for the first time, or in the new direction
            self._middle, self._is_middle_known = on_circle(self.angle + self._away, _ANGLE_DIGITS), True

    def _from_middle(self, angle: float) -> float:
        """How far an angle is from the middle of the safe range, from -180 to 180."""
        return (angle - self._middle + 180) % 360 - 180

    def _check_rotator_range(self, angle: float) -> None:
        """Raise Refused if a target is outside the safe range."""
        safe = self._get(_LIMITS, _RANGE)
        away = abs(self._from_middle(angle))
        if 0 < safe < 360 and not self._is_middle_known:
            raise Refused("The angle of the rotator is not known yet")
        if 0 < safe < 360 and away > safe / 2:
            raise Refused(f"{angle:g} degrees are outside the safe range of {safe:g} around {self._middle:g}")

    async def _on_rotator_limits(self, values: dict[str, Any]) -> None:
        await self._store(_LIMITS, values)

    async def _on_angle(self, values: dict[str, Any]) -> None:
        target = on_circle(values["ANGLE"], _ANGLE_DIGITS)
        self._check_rotator_range(target)
        if target == self.angle and self._rotator_is_there and not self._operations.running(_ANGLE, _HOME):
            await self._send(_ANGLE, State.OK)
            return
        after = self._operations.drop(_HOME, quietly=False) + self._operations.running(_ABORT, _REVERSE)
        self._rotator_is_there = False
        how: dict[str, Any] = {"accept": lambda: self._rotator_arrives(target), "ends": _ROTATOR_ENDS, "after": after}
        await self._perform(_ANGLE, self._turn_rotator(target), waits=False, then=self._rotator_ends, **how)

    async def _turn_rotator(self, target: float) -> None:
        """Turn; by the middle of the safe range if the shorter way leads out of it."""
        self._check_rotator_range(target)  # the direction may have been reversed meanwhile
        if (
            0 < self._get(_LIMITS, _RANGE) < 360
            and abs(self._from_middle(target) - self._from_middle(self.angle)) >= 180
        ):
            await self.turn_to(self._middle)
            self._check_going_on(_ANGLE)
        await self.turn_to(target)

    async def _rotator_ends(self, end: End) -> None:
        self._rotator_is_there = end is End.DONE

    def _rotator_arrives(self, angle: float) -> None:
        self.angle = angle

    async def _on_rotator_abort(self, values: dict[str, Any]) -> None:
        if not values.get("ABORT") or self._is_already_stopped(_ANGLE, _HOME):
            await self._button(_ABORT)
            return
        after = self._abandon(told=(_ANGLE, _HOME))
        await self._stop_rotator(after)
        if not self._operations.running(_ANGLE, _HOME):
            await self._send(_ANGLE, State.ALERT if self._vector(_ABORT).state == State.ALERT else State.OK)

    async def _stop_rotator(self, after: list[Operation]) -> None:
        """Stop the motion, once for all who request that now: what comes later has not begun."""
        if _ABORT in self._operations:
            await self._operations.join(_ABORT)
        elif self._has(_ABORT):
            await self._perform(_ABORT, self.abort(), accept=lambda: self._choose(_ABORT, None), after=after)

    async def _on_rotator_sync(self, values: dict[str, Any]) -> None:
        angle = values["ANGLE"]
        if _ANGLE in self._operations or _HOME in self._operations:
            raise Refused("The rotator turns")

        def accept() -> None:
            self._put(_SYNC, {"ANGLE": angle})
            self.angle = self._middle = angle
            self._is_middle_known = True
            self._rotator_is_there = True

        after = self._operations.running(_ABORT, _REVERSE)
        await self._perform(_SYNC, self.sync(angle), accept=accept, after=after)

    async def _on_rotator_home(self, values: dict[str, Any]) -> None:
        def rest() -> None:
            self._choose(_HOME, None)

        if not values.get("HOME"):
            if _HOME in self._operations:
                await self._stop_rotator(self._operations.drop(_HOME))
            await self._button(_HOME)
            return
        after = self._operations.drop(_ANGLE, quietly=False) + self._operations.running(_ABORT, _REVERSE)
        self._choose(_HOME, "HOME")
        self._rotator_is_there = False
        how: dict[str, Any] = {"accept": rest, "revoke": rest, "then": self._rotator_ends, "after": after}
        await self._perform(_HOME, self.home(), waits=False, **how)

    async def _on_rotator_reverse(self, values: dict[str, Any]) -> None:
        member = await self._pick(_REVERSE, values)
        if member is None:
            return
        wanted, away = member == "INDI_ENABLED", 0.0
        await self._operations.join(_REVERSE)  # what turns it may wait for that
        is_forgotten = self._may_have_forgotten()
        if self._operations.running(_ANGLE, _HOME):
            if wanted != self.reversed:  # the target would be another place, and the way to it unsafe
                raise Refused("The rotator turns")
            await self._send(_REVERSE, State.OK)
            return

        async def reverse() -> None:
            nonlocal away
            away = self.angle - self._middle
            await self.set_reverse(wanted)

        def accept() -> None:
            if self.reversed != wanted or is_forgotten:  # the middle, and this place, have other angles now
                self._away = away if self._is_middle_known else -self._away  # once more if it was not known yet
                self._is_middle_known = self._rotator_is_there = False
            self._choose(_REVERSE, member)

        after = self._operations.drop(_ANGLE, _HOME) + self._operations.running(_ABORT, _SYNC)
        await self._perform(_REVERSE, reverse(), accept=accept, after=after)
