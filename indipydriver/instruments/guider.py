"""Pulse guiding: a guide port, or a mount that guides itself."""

from __future__ import annotations

from enum import Enum
from typing import Any, ClassVar, Final

from ..protocol.tags import State
from ..standard import Interface, find
from .instrument import Instrument
from .operations import End, Refused
from .propertydevice import Bound
from .standarddevice import optional

__all__ = ["Direction", "Guider"]

_NS, _WE = "TELESCOPE_TIMED_GUIDE_NS", "TELESCOPE_TIMED_GUIDE_WE"
_ENDS: Final = {End.DONE: State.IDLE, End.CANCELLED: State.IDLE, End.FAILED: State.ALERT}


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
    """An instrument that guides, alone or beside another class: ``class MyMount(Mount, Guider)``.

    Override :meth:`guide`. The two axes are independent; a new pulse on one of them cancels the one before.

    Attributes:
        guide_group: The group in which clients show it.
    """

    interface = Interface.GUIDER
    guide_group: ClassVar[str] = "Motion Control"

    @optional
    async def guide(self, direction: Direction, seconds: float) -> None:
        """Move slowly for a time, and return when it is over. Stop also when you are cancelled."""

    def _standard(self) -> list[Bound]:
        self._require("guide")
        table, group = Interface.GUIDER, self.guide_group
        return [
            self._bind(find(_NS, table), self._on_pulse_north_south, group=group),
            self._bind(find(_WE, table), self._on_pulse_west_east, group=group),
            *super()._standard(),
        ]

    async def _on_pulse_north_south(self, values: dict[str, Any]) -> None:
        await self._pulse(_NS, values)

    async def _on_pulse_west_east(self, values: dict[str, Any]) -> None:
        await self._pulse(_WE, values)

    async def _pulse(self, name: str, values: dict[str, Any]) -> None:
        member = max(values, key=lambda one: float(values[one]))
        milliseconds = values[member]
        nothing = dict.fromkeys(self._vector(name), 0)
        await self._operations.cancel(name, quietly=True)
        if milliseconds <= 0:
            await self._send(name, State.IDLE, nothing)
            return
        try:
            self._check_guiding()
        except Refused:
            self._put(name, nothing)
            raise
        self._vector(name).update({one: str(milliseconds if one == member else 0) for one in nothing})

        def rest() -> None:
            self._vector(name).update(dict.fromkeys(nothing, "0"))

        work = self.guide(_MEMBERS[member], milliseconds / 1000)
        await self._perform(name, work, accept=rest, revoke=rest, waits=False, ends=_ENDS)
