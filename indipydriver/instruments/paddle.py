"""Moving a mount by hand, in four directions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from ..protocol.tags import State
from ..standard import Interface, StandardMember, find
from .guider import Direction
from .instrument import Instrument
from .operations import End, Operation, Refused
from .propertydevice import Bound
from .settings import LOADING
from .standarddevice import optional
from .watched import watched

__all__ = ["AXES", "Paddle"]

_NS, _WE, _SPEED = "TELESCOPE_MOTION_NS", "TELESCOPE_MOTION_WE", "TELESCOPE_SLEW_RATE"
_REVERSE: Final = "TELESCOPE_REVERSE_MOTION"
AXES: Final = (_NS, _WE)
"""The commands for motions by hand."""
_MOTIONS: Final = {
    "MOTION_NORTH": Direction.NORTH,
    "MOTION_SOUTH": Direction.SOUTH,
    "MOTION_WEST": Direction.WEST,
    "MOTION_EAST": Direction.EAST,
}
_OPPOSITE: Final = {
    Direction.NORTH: Direction.SOUTH,
    Direction.SOUTH: Direction.NORTH,
    Direction.WEST: Direction.EAST,
    Direction.EAST: Direction.WEST,
}


@dataclass(frozen=True, slots=True, eq=False)
class _Motion:
    """A motion of one axis that has begun."""

    direction: Direction


class Paddle(Instrument):
    """A mount that can be moved by hand. Override :meth:`start_motion` and :meth:`stop_motion`."""

    slew_rates: ClassVar[Sequence[str]] = ("Guide", "Centering", "Find", "Max")
    _motions: dict[str, _Motion]  # the motions of the axes that move

    @optional
    async def start_motion(self, direction: Direction, rate: int) -> None:
        """Move until :meth:`stop_motion`, which must be overridden as well; `rate` is an index of `slew_rates`."""

    @optional
    async def stop_motion(self, direction: Direction) -> None:
        """End what start_motion() has begun in this direction.

        Also called before it is disconnected; and if that was in vain, as when it was lost, when it is connected again.
        """

    def _paddle_bounds(self) -> list[Bound]:
        self._motions = {}
        if not self._implements("start_motion"):
            return []
        self._require("stop_motion")  # otherwise it would go on for ever, and clients would see it at rest
        rates = [
            StandardMember(f"{n}x", rate if len(self.slew_rates) == 4 else f"{n}x", "Off")
            for n, rate in enumerate(self.slew_rates, 1)
        ]
        table = Interface.TELESCOPE
        middle = {rates[len(rates) // 2].name: "On"}
        return [
            self._bind(find(_NS, table), self._on_north_south),
            self._bind(find(_WE, table), self._on_west_east),
            self._bind(find(_REVERSE, table), self._on_reverse),
            self._bind(find(_SPEED, table), self._on_slew_rate, members=rates, values=middle),
        ]

    async def _stop_moving(self) -> None:
        await self._stop_axes()
        await super()._stop_moving()

    async def _prepare(self) -> None:
        self._motions.clear()
        for name in AXES:
            if self._has(name):
                self._choose(name, None)
        await super()._prepare()

    def _parked_words(self) -> str | None:
        """Why it cannot be moved; None if it can."""
        return None

    def _check_movable(self) -> None:
        """Raise Refused if it is parked."""
        if (why := self._parked_words()) is not None:
            raise Refused(why)

    def _check_rate(self) -> None:
        """Raise Refused if the speed must not be set now; a saved speed applies once it is unparked."""
        if not LOADING.get():
            self._check_movable()

    async def _note_stop(self) -> None:
        """Note that a motion by hand is over."""

    async def _on_north_south(self, values: dict[str, Any]) -> None:
        await self._on_motion(_NS, values)

    async def _on_west_east(self, values: dict[str, Any]) -> None:
        await self._on_motion(_WE, values)

    async def _on_motion(self, name: str, values: dict[str, Any]) -> None:
        member = next((member for member, on in values.items() if on), None)
        moving = self._chosen(name)
        why = self._parked_words()
        if member is not None and why is not None:
            self.warning(why)
            await self._button(name, State.IDLE)
            return
        if member is None or (moving is not None and moving != member):
            await self._operations.cancel(name, quietly=True)
            await self._stop_axis(name)
            await self._button(name, State.IDLE)
            return
        rates = list(self._then(_SPEED).values())
        number = rates.index("On") if "On" in rates else 0
        direction = _MOTIONS[member]
        if self._then(_REVERSE)["REVERSE_NS" if name == _NS else "REVERSE_WE"] == "On":
            direction = _OPPOSITE[direction]
        ends = {End.DONE: State.BUSY, End.CANCELLED: State.IDLE, End.FAILED: State.ALERT}
        await self._perform(
            name,
            self._start_axis(name, direction, number),
            accept=lambda: self._choose(name, member),
            revoke=lambda: self._choose(name, None),  # it is stopped nevertheless: it may have begun
            ends=ends,
            after=self._moving_ends(),
        )

    def _moving_ends(self) -> list[Operation]:
        """What must have ended before it is moved by hand."""
        return []

    async def _start_axis(self, name: str, direction: Direction, rate: int) -> None:
        self._motions[name] = _Motion(direction)
        await self.start_motion(direction, rate)

    async def _stop_axis(self, name: str) -> None:
        """End a motion by hand if there is one; commands for it have been cancelled."""
        if not self._has(name):
            return
        motion = self._motions.get(name)
        if motion is None:
            if name not in self._operations and self._vector(name).state == State.BUSY:  # it had not begun
                await self._button(name, State.IDLE)
            return
        try:
            async with asyncio.timeout(self.patience):
                await watched(self.stop_motion(motion.direction), f"{type(self).__name__}.stop_motion")
        except BaseException as error:
            self._put(name, {}, State.ALERT)  # it may still be moving, so it can be stopped again
            if isinstance(error, TimeoutError):
                raise Refused("The motion could not be stopped in time") from None
            raise
        if self._motions.get(name) is not motion:  # a later command has begun another
            return
        del self._motions[name]
        if name not in self._operations:  # because of a later command
            await self._button(name, State.IDLE)
        await self._note_stop()

    async def _stop_axes(self) -> None:
        """End all motion by hand; the first failure is raised when both have been tried."""
        results = await asyncio.gather(*(self._stop_axis(name) for name in AXES), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _stop_by_hand(self) -> None:
        """Like _stop_axes(), and also end what was requested while this waited for its turn."""
        for name in AXES:
            await self._operations.cancel(name, quietly=True)
        await self._stop_axes()

    async def _on_reverse(self, values: dict[str, Any]) -> None:
        self._changes(_REVERSE)
        await self._store(_REVERSE, values)

    async def _on_slew_rate(self, values: dict[str, Any]) -> None:
        self._changes(_SPEED)
        await self._store_choice(_SPEED, values)
