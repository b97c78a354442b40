"""The shutter of a dome, which parking may close and unparking open."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Final

from ..protocol.tags import State
from .operations import Operation, Refused
from .parking import Parking
from .standarddevice import optional

__all__ = ["MOVED_BY_PARKING", "SHUTTER", "Shutter"]

SHUTTER: Final = "DOME_SHUTTER"
"""The property of the shutter, and its operation."""
MOVED_BY_PARKING: Final = "The dome is being parked, or unparked."
"""Why a command is refused."""
_OPEN, _CLOSE, _POLICY = "SHUTTER_OPEN", "SHUTTER_CLOSE", "DOME_SHUTTER_PARK_POLICY"


class Shutter(Parking):
    """A dome that may have a shutter.

    Attributes:
        shutter_needs_park: It has power only at the park position.
    """

    shutter_needs_park: ClassVar[bool] = False
    _holds_shutter = False  # parking or unparking opens or closes the shutter
    _is_shutter_known = False  # since it was connected: somebody may have moved it by hand
    _has_begun_to_close = False  # whether the shutter has, since the dome was told to park

    @optional
    async def open_shutter(self) -> None:
        """Open the shutter; return when it is open."""

    @optional
    async def close_shutter(self) -> None:
        """Close the shutter; return when it is closed."""

    @property
    def shutter_open(self) -> bool | None:
        """Whether the shutter is open; None: in between, or not known."""
        chosen = self._chosen(SHUTTER)
        known = chosen is not None and self._vector(SHUTTER).state == State.OK
        return chosen == _OPEN if known else None

    @shutter_open.setter
    def shutter_open(self, is_open: bool | None) -> None:
        if is_open is None:
            self._put(SHUTTER, {_OPEN: False, _CLOSE: False}, State.IDLE)
        else:
            self._put(SHUTTER, {_OPEN: is_open, _CLOSE: not is_open}, State.OK)
        self._is_shutter_known = True

    def _shutter_rows(self) -> list[tuple[str, Any, bool, dict[str, Any]]]:
        """Its properties: their names, what handles them, whether there are such, and how they are bound."""
        there = self._implements("open_shutter") and self._implements("close_shutter")
        return [
            (SHUTTER, self._on_shutter, there, {}),
            (_POLICY, partial(self._store, _POLICY), there, {"permanent": True}),
        ]

    def _shutter_waits_for(self) -> list[Operation]:
        """What must have ended before it moves."""
        return []

    def _after_interruption(self) -> None:
        if self._has(SHUTTER) and self._vector(SHUTTER).state != State.OK:  # half-way, or it has failed
            self._choose(SHUTTER, None)
        super()._after_interruption()

    def _before_connecting(self) -> None:
        self._is_shutter_known = False
        super()._before_connecting()

    async def _prepare(self) -> None:
        if self._has(SHUTTER):
            self._bound[SHUTTER].state = State.IDLE if self._chosen(SHUTTER) is None else State.OK
        await super()._prepare()

    async def _after_definitions(self) -> None:
        if self._has(SHUTTER):
            await self._send(SHUTTER)
        await super()._after_definitions()

    def _forget(self) -> None:
        if self._has(SHUTTER):
            self._choose(SHUTTER, None)
        super()._forget()

    # --- with parking ---

    async def _shutter_with_parking(self, wanted: bool) -> None:
        """Close the shutter at the end of parking, if that has not begun on the way, or open it after unparking."""
        if self._has_begun_to_close:
            await self._operations.join(SHUTTER)
            if self._chosen(SHUTTER) is None:
                raise Refused("The shutter has not been closed.")
            self.shutter_open = False  # also if it was refused meanwhile to open it
            return
        self._holds_shutter, before, was_known = True, self.shutter_open, self._is_shutter_known
        self._operations.progressed(self._park)
        try:
            await self._operations.cancel(SHUTTER)  # the policy may have been changed meanwhile
            self._put(SHUTTER, {_OPEN: not wanted, _CLOSE: wanted}, State.BUSY)
            await (self.close_shutter() if wanted else self.open_shutter())
            self._check_going_on(self._park)
            self.shutter_open = not wanted
        except Refused:  # so it has not moved
            self.shutter_open, self._is_shutter_known = before, was_known
            raise
        except BaseException as error:  # it may be half open
            state = State.ALERT if isinstance(error, Exception) else State.IDLE
            self._put(SHUTTER, {_OPEN: False, _CLOSE: False}, state)
            raise
        finally:
            self._holds_shutter = False

    async def _close_on_the_way(self) -> None:
        """Begin to close the shutter wherever the dome is, if parking is to close it and has not begun to."""
        may_close = not (self.shutter_needs_park or self._has_begun_to_close)
        if may_close and self._parking_moves_shutter(True):
            await self._move_shutter(_CLOSE, parks=True)

    def _is_known_to_be_closed(self) -> bool:
        return self._is_shutter_known and self.shutter_open is False

    def _parking_moves_shutter(self, wanted: bool) -> bool:
        policy = "SHUTTER_CLOSE_ON_PARK" if wanted else "SHUTTER_OPEN_ON_UNPARK"
        return self._has(SHUTTER) and self._is_on(_POLICY, policy)

    # --- by a command ---

    async def _on_shutter(self, values: dict[str, Any]) -> None:
        member = await self._pick(SHUTTER, values)
        if member is None:
            return
        may_hold = self._park in self._operations and self._parking_moves_shutter(self._is_to_park)
        if may_hold or self._holds_shutter:
            raise Refused(f"{MOVED_BY_PARKING} Abort that first.")
        if self.shutter_needs_park and self._leaves_place():
            raise Refused("The shutter has power only at the park position, and the dome moves.")
        await self._move_shutter(member)

    async def _move_shutter(self, member: str, *, parks: bool = False) -> None:
        self._has_begun_to_close = parks
        self._choose(SHUTTER, member)

        def accept() -> None:
            self._is_shutter_known = True
            self._choose(SHUTTER, member)

        work = self.open_shutter() if member == _OPEN else self.close_shutter()
        how: dict[str, Any] = {"revoke": lambda: self._choose(SHUTTER, None), "waits": False}
        how |= {"accept": accept, "after": self._shutter_waits_for()}
        await self._perform(SHUTTER, work, **how)

    def _leaves_place(self) -> bool:
        """Whether it turns."""
        return False

    def _keeps_place(self) -> bool:
        """The shutter moves, and would lose its power if the dome turned."""
        return self.shutter_needs_park and SHUTTER in self._operations
