"""Pulse guiding: a guide port, or a mount that guides by itself."""

from __future__ import annotations

from enum import Enum
from typing import Any, ClassVar, Final

from ..protocol.tags import State
from ..standard import Interface, find
from .instrument import Instrument
from .operations import End, Refused
from .propertydevice import Bound
from .standarddevice import optional

__all__ = ["PULSES", "Direction", "Guider"]

_NS, _WE, _RATE = "TELESCOPE_TIMED_GUIDE_NS", "TELESCOPE_TIMED_GUIDE_WE", "GUIDE_RATE"
PULSES: Final = (_NS, _WE)
"""The commands for pulses."""
_PULSE_ENDS: Final = {End.DONE: State.IDLE, End.CANCELLED: State.IDLE, End.FAILED: State.ALERT}


class Direction(Enum):
    """Directions on the sky."""

    NORTH = "North"
    SOUTH = "South"
    WEST = "West"
    EAST = "East"


_MEMBERS: Final = {
    "TIMED_GUIDE_N": Direction.NORTH,
    "TIMED_GUIDE_S": Direction.SOUTH,
    "TIMED_GUIDE_W": Direction.WEST,
    "TIMED_GUIDE_E": Direction.EAST,
}


class Guider(Instrument):
    """An instrument that guides, on its own or combined with another class: ``class MyMount(Mount, Guider)``.

    Override :meth:`guide`. The two axes are independent; a new pulse on one of them cancels the previous one.

    Attributes:
        guide_group: The group in which clients show it.
    """

    interface = Interface.GUIDER
    guide_group: ClassVar[str] = "Motion Control"

    @optional
    async def guide(self, direction: Direction, seconds: float) -> None:
        """Move slowly for a time, and return when it is over. Stop also when you are cancelled."""

    @optional
    async def set_guide_rate(self, west_east: float, north_south: float) -> None:
        """How fast guide() moves, in multiples of the sidereal rate."""

    @property
    def guide_rate(self) -> tuple[float, float]:
        """How fast guide() moves, in multiples of the sidereal rate: west and east, north and south."""
        if not self._has(_RATE):
            return 0.5, 0.5
        return self._get(_RATE, "GUIDE_RATE_WE"), self._get(_RATE, "GUIDE_RATE_NS")

    def _standard(self) -> list[Bound]:
        self._require("guide")
        table, group = Interface.GUIDER, self.guide_group
        made = []
        if self._implements("set_guide_rate"):
            made.append(self._bind(find(_RATE, Interface.TELESCOPE), self._on_guide_rate, group=group))
        made += [
            self._bind(find(_NS, table), self._on_pulse_north_south, group=group),
            self._bind(find(_WE, table), self._on_pulse_west_east, group=group),
        ]
        return [*made, *super()._standard()]

    def _after_interruption(self) -> None:
        for name in PULSES:
            self._vector(name).update(dict.fromkeys(self._vector(name), "0"))
        super()._after_interruption()

    async def _on_guide_rate(self, values: dict[str, Any]) -> None:
        wanted = {name: values.get(name, self._get(_RATE, name)) for name in self._vector(_RATE)}
        work = self.set_guide_rate(wanted["GUIDE_RATE_WE"], wanted["GUIDE_RATE_NS"])
        await self._perform(_RATE, work, accept=lambda: self._put(_RATE, wanted))

    async def _on_pulse_north_south(self, values: dict[str, Any]) -> None:
        await self._pulse(_NS, values)

    async def _on_pulse_west_east(self, values: dict[str, Any]) -> None:
        await self._pulse(_WE, values)

    async def _pulse(self, name: str, values: dict[str, Any]) -> None:
        member = max(values, key=lambda one: float(values[one]))
        milliseconds = values[member]
        nothing = dict.fromkeys(self._vector(name), 0)
        if milliseconds <= 0:
            await self._operations.cancel(name, quietly=True)
            await self._send(name, State.IDLE, nothing)
            return
        try:
            after = self._check_all_guiding()
        except Refused:
            self._operations.drop(name)
            self._put(name, nothing)
            raise
        self._vector(name).update({one: str(milliseconds if one == member else 0) for one in nothing})

        def rest() -> None:
            self._vector(name).update(dict.fromkeys(nothing, "0"))

        work = self.guide(_MEMBERS[member], milliseconds / 1000)
        how: dict[str, Any] = {"ends": _PULSE_ENDS, "after": after, "takes": milliseconds / 1000}
        await self._perform(name, work, accept=rest, revoke=rest, waits=False, **how)
