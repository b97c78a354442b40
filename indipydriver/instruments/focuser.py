"""Focusers."""

from __future__ import annotations

import asyncio
from numbers import Real
from typing import Any, ClassVar

from ..protocol.tags import State
from ..standard import Interface, find
from .backlash import Backlash
from .operations import Operation, Refused
from .propertydevice import Bound
from .standarddevice import optional
from .standardvectors import set_limits, whole

__all__ = ["Focuser"]

_ABS, _ABS_MEMBER = "ABS_FOCUS_POSITION", "FOCUS_ABSOLUTE_POSITION"
_REL, _REL_MEMBER = "REL_FOCUS_POSITION", "FOCUS_RELATIVE_POSITION"
_TIMER, _TIMER_MEMBER = "FOCUS_TIMER", "FOCUS_TIMER_VALUE"
_MAX, _MAX_MEMBER = "FOCUS_MAX", "FOCUS_MAX_VALUE"
_SYNC, _SYNC_MEMBER = "FOCUS_SYNC", "FOCUS_SYNC_VALUE"
_SPEED, _SPEED_MEMBER = "FOCUS_SPEED", "FOCUS_SPEED_VALUE"
_TEMPERATURE = "FOCUS_TEMPERATURE"
_STEPS, _STEPS_MEMBER = "FOCUS_BACKLASH_STEPS", "FOCUS_BACKLASH_VALUE"
_TOGGLE, _REVERSE, _MOTION = "FOCUS_BACKLASH_TOGGLE", "FOCUS_REVERSE_MOTION", "FOCUS_MOTION"
# What clients may set as the largest position; extended for focusers that need it.
_LEAST_MAXIMUM, _MOST_MAXIMUM = 1000, 1_000_000


class Focuser(Backlash):
    """A focuser. Override :meth:`move_to` if it knows where it is, else :meth:`move_by` or :meth:`move_for`.

    Positions are whole steps; more is outward. A motion is cancelled by a new one, or by :meth:`abort`; then
    :attr:`position` is what was last assigned.

    Attributes:
        maximum: The initial largest position; clients may change it.
        speeds: The highest speed, if :meth:`set_speed` is overridden; the lowest is 1.
    """

    interface = Interface.FOCUSER
    maximum: ClassVar[int] = 100_000
    speeds: ClassVar[int] = 255
    _backlash = "FOCUS_BACKLASH"

    # --- what an author overrides ---

    @optional
    async def move_to(self, position: int) -> None:
        """Move to a position; return when the focuser has arrived. Assign :attr:`position` on the way."""

    @optional
    async def move_by(self, steps: int) -> None:
        """Move inward (less than 0) or outward by some steps; by default with :meth:`move_to`."""
        await self.move_to(self.position + steps)

    @optional
    async def move_for(self, seconds: float, outward: bool) -> None:
        """Move for a time. For focusers that do not know where they are."""

    @optional
    async def abort(self) -> None:
        """Stop the motion. What moves it has already been cancelled."""

    @optional
    async def sync(self, position: int) -> None:
        """Take this position as the present one."""

    @optional
    async def set_speed(self, speed: int) -> None:
        """Set the speed for the next motion."""

    @optional
    async def set_reverse(self, reverse: bool) -> None:
        """Exchange inward and outward. It is not called while the focuser moves."""

    @optional
    async def read_temperature(self) -> float:
        """Return the temperature in degrees Celsius; called whenever the device is polled."""
        raise NotImplementedError

    # --- what an author reads and assigns ---

    @property
    def position(self) -> int:
        """The position, in steps. Assign it when the focuser has moved."""
        return round(self._get(_ABS, _ABS_MEMBER))

    @position.setter
    def position(self, steps: int) -> None:
        if self._put(_ABS, {_ABS_MEMBER: whole(steps)}):
            self._operations.progressed(_REL)

    @property
    def reversed(self) -> bool:
        """Whether inward and outward are exchanged."""
        return self._has(_REVERSE) and self._is_on(_REVERSE, "INDI_ENABLED")

    # --- its properties ---

    def _standard(self) -> list[Bound]:
        self._require("move_to", "move_by", "move_for")
        knows_place = self._implements("move_to")
        moves_by_steps = knows_place or self._implements("move_by")
        handlers = {
            _MOTION: (self._on_direction, True),
            _SPEED: (self._on_focuser_speed, self._implements("set_speed")),
            _TIMER: (self._on_timer, self._implements("move_for") and not knows_place),
            _REL: (self._on_relative, moves_by_steps),
            _ABS: (self._on_absolute, knows_place),
            _MAX: (self._on_maximum, knows_place),
            "FOCUS_ABORT_MOTION": (self._on_focuser_abort, self._implements("abort")),
            _SYNC: (self._on_focuser_sync, self._implements("sync")),
            _REVERSE: (self._on_focuser_reverse, self._implements("set_reverse")),
        }
        made = []
        for name, (handler, is_there) in handlers.items():
            if is_there or name == _ABS:  # that file keeps the position in any case
                made.append(self._bind(find(name, Interface.FOCUSER), handler, shown=is_there))
        made += self._backlash_bounds(Interface.FOCUSER)
        if self._implements("read_temperature"):
            made.append(self._bind(find(_TEMPERATURE, Interface.FOCUSER)))
        for bound in made:
            if bound.vector.name == _MAX:
                least = _LEAST_MAXIMUM if self.maximum > _LEAST_MAXIMUM else 1
                set_limits(bound.vector, _MAX_MEMBER, least, max(_MOST_MAXIMUM, self.maximum))
                bound.vector[_MAX_MEMBER] = self.maximum
            elif bound.vector.name == _SPEED:
                set_limits(bound.vector, _SPEED_MEMBER, 1, self.speeds)
                bound.vector[_SPEED_MEMBER] = 1
        return [*made, *super()._standard()]

    async def _prepare(self) -> None:
        self._limit_focuser()
        await super()._prepare()

    def _limit_focuser(self) -> int:
        """Set the limits of all positions from the largest position, which is returned."""
        most = round(self._get(_MAX, _MAX_MEMBER)) if self._has(_MAX) else self.maximum
        for name, member, high, step in (
            (_ABS, _ABS_MEMBER, most, most / 50),
            (_SYNC, _SYNC_MEMBER, most, most / 50),
            (_REL, _REL_MEMBER, most / 2, most / 100),
        ):
            if self._has(name):
                set_limits(self._vector(name), member, 0, round(high), round(step))
        return most

    async def _after_definitions(self) -> None:
        await self._read_focuser_temperature()
        await super()._after_definitions()

    async def _poll_standard(self) -> None:
        await self._read_focuser_temperature()
        await super()._poll_standard()

    async def _read_focuser_temperature(self) -> None:
        if self._has(_TEMPERATURE):
            try:
                celsius = await self.read_temperature()
                if not isinstance(celsius, Real):
                    raise TypeError(f"read_temperature() returned {celsius!r:.80}, which is not a number")
            except Exception:
                self._put(_TEMPERATURE, {}, State.ALERT)
                raise
            self._put(_TEMPERATURE, {"TEMPERATURE": round(celsius, 2)}, State.OK)

    # --- commands ---

    async def _on_direction(self, values: dict[str, Any]) -> None:
        await self._store_choice(_MOTION, values)

    async def _on_absolute(self, values: dict[str, Any]) -> None:
        target = round(values[_ABS_MEMBER])
        if not await self._focuser_may_reach(_ABS, target):
            return
        await self._perform(
            _ABS,
            self.move_to(target),
            accept=lambda: self._focuser_arrives(target),
            others=(_REL,),
            waits=False,
            after=self._focuser_ends(_TIMER),
        )

    async def _on_relative(self, values: dict[str, Any]) -> None:
        steps = round(values[_REL_MEMBER])
        if steps < 0:
            await self._send(_REL, State.ALERT, message="[ERROR] The number of steps must not be negative")
            return
        if steps == 0:  # as a client does that sends all values back
            await self._send(_REL, State.OK)
            return
        steps = steps if self._is_on(_MOTION, "FOCUS_OUTWARD") else -steps
        knows_place = self._has(_ABS)
        if knows_place and not await self._focuser_may_reach(_REL, self.position + steps):
            return
        begin = self.position

        async def move() -> None:
            nonlocal begin
            begin = self.position  # the previous motion has stopped only now
            if knows_place and not 0 <= begin + steps <= self._focuser_most():
                raise Refused(self._focuser_bounds())
            await self.move_by(steps)

        def accept() -> None:
            if knows_place:
                self._focuser_arrives(begin + steps)

        self._vector(_REL)[_REL_MEMBER] = abs(steps)
        name, other = (_ABS, _REL) if knows_place else (_REL, _ABS)
        how: dict[str, Any] = {"accept": accept, "after": self._focuser_ends(_TIMER)}
        await self._perform(name, move(), others=(other,), waits=False, **how)

    def _focuser_most(self) -> int:
        return round(self._get(_MAX, _MAX_MEMBER))

    def _focuser_bounds(self) -> str:
        return f"Requested position out of bound. Focus maximum position is {self._focuser_most()}"

    async def _focuser_may_reach(self, name: str, target: int) -> bool:
        if 0 <= target <= self._focuser_most():
            return True
        await self._send(name, State.ALERT, message=f"[ERROR] {self._focuser_bounds()}")
        return False

    def _focuser_arrives(self, target: int) -> None:
        self.position = target

    async def _on_timer(self, values: dict[str, Any]) -> None:
        seconds = values[_TIMER_MEMBER] / 1000
        outward = self._is_on(_MOTION, "FOCUS_OUTWARD")

        async def move() -> None:
            counting = asyncio.create_task(self._count_down(_TIMER, _TIMER_MEMBER, seconds, 1000))
            try:
                await self.move_for(seconds, outward)
            finally:
                counting.cancel()
                self._put(_TIMER, {_TIMER_MEMBER: 0})

        after = self._focuser_ends(_ABS, _REL)
        self._vector(_TIMER)[_TIMER_MEMBER] = values[_TIMER_MEMBER]
        await self._perform(_TIMER, move(), waits=False, after=after, takes=seconds)

    def _focuser_ends(self, *told: str) -> list[Operation]:
        """Cancel whatever moves it, and report some of the ends. Returns what must have ended before it moves again."""
        quiet = [name for name in (_ABS, _REL, _TIMER) if name not in told]
        dropped = self._operations.drop(*quiet) + self._operations.drop(*told, quietly=False)
        return dropped + self._operations.running("FOCUS_ABORT_MOTION", _REVERSE)

    async def _on_focuser_abort(self, values: dict[str, Any]) -> None:
        name = "FOCUS_ABORT_MOTION"
        if not values.get("ABORT") or self._is_already_stopped(_ABS, _REL, _TIMER):
            await self._button(name)
            return
        after = self._abandon(_ABS, _REL, _TIMER)
        await self._perform(name, self.abort(), accept=lambda: self._choose(name, None), after=after)
        state = State.ALERT if self._vector(name).state == State.ALERT else State.IDLE
        for moved in (_ABS, _REL, _TIMER):
            is_moving = any(one in self._operations for one in (_ABS, _REL, _TIMER))  # because of a later command
            if self._has(moved) and self._vector(moved).state != State.IDLE and not is_moving:
                await self._send(moved, state, {_TIMER_MEMBER: 0} if moved == _TIMER else None)

    async def _on_focuser_sync(self, values: dict[str, Any]) -> None:
        position = round(values[_SYNC_MEMBER])
        if self._operations.running(_ABS, _REL):
            raise Refused("The focuser moves")

        def accept() -> None:
            self._put(_SYNC, {_SYNC_MEMBER: position})
            self._put(_ABS, {_ABS_MEMBER: position})

        after = self._operations.running("FOCUS_ABORT_MOTION")
        await self._perform(_SYNC, self.sync(position), accept=accept, after=after)

    async def _on_focuser_speed(self, values: dict[str, Any]) -> None:
        speed = round(values[_SPEED_MEMBER])
        await self._perform(_SPEED, self.set_speed(speed), accept=lambda: self._put(_SPEED, {_SPEED_MEMBER: speed}))

    async def _on_maximum(self, values: dict[str, Any]) -> None:
        most = round(values[_MAX_MEMBER])
        if self._operations.running(_ABS) and most < self._focuser_most():
            raise Refused("The focuser moves")
        if most < self.position:
            raise Refused(f"The focuser is at {self.position}, which is beyond {most}")
        await self._send(_MAX, State.OK, {_MAX_MEMBER: most})
        self._limit_focuser()
        for name in (_ABS, _SYNC, _REL):
            if self._has(name):
                await self._send_limits(name)
        self._save_one(_MAX)

    async def _on_focuser_reverse(self, values: dict[str, Any]) -> None:
        member = await self._pick(_REVERSE, values)
        if member is None:
            return
        wanted = member == "INDI_ENABLED"
        await self._operations.join(_REVERSE)  # what moves it may wait for that
        if self._operations.running(_ABS, _REL, _TIMER):
            if wanted != self.reversed:
                raise Refused("The focuser moves")
            await self._send(_REVERSE, State.OK)
            return
        after = self._operations.drop(_ABS, _REL, _TIMER) + self._operations.running("FOCUS_ABORT_MOTION")
        reverse = self.set_reverse(wanted)
        await self._perform(_REVERSE, reverse, accept=lambda: self._choose(_REVERSE, member), after=after)
