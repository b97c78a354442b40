"""Mounts that follow the sky."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from ..protocol.tags import State
from .operations import End
from .paddle import Paddle
from .standarddevice import optional

__all__ = ["EOD", "TRACKING", "Tracking"]

EOD: Final = "EQUATORIAL_EOD_COORD"
"""The coordinates of a mount, whose state shows whether it follows the sky."""
TRACKING: Final = "TELESCOPE_TRACK_STATE"
"""Whether it follows the sky."""
_MODE, _RATE = "TELESCOPE_TRACK_MODE", "TELESCOPE_TRACK_RATE"


class Tracking(Paddle):
    """A mount that follows the sky, or stands still."""

    _follows = False
    _is_told_to_follow = False  # or has said that it does, since it was connected: it may have been switched off

    @optional
    async def set_tracking(self, on: bool) -> None:
        """Follow the sky, or stand still."""

    @optional
    async def set_track_mode(self, mode: str) -> None:
        """Follow the stars, the sun, the moon, or at the custom rate: SIDEREAL, SOLAR, LUNAR or CUSTOM."""

    @optional
    async def set_track_rate(self, ra: float, dec: float) -> None:
        """Set the custom rate, in arc seconds per second."""

    @property
    def tracking(self) -> bool:
        """Whether it follows the sky. Assign it when that has changed without a command."""
        return self._follows

    @tracking.setter
    def tracking(self, on: bool) -> None:
        self._follows = self._is_told_to_follow = on
        if self._has(TRACKING):
            state = State.BUSY if on else State.IDLE
            self._put(TRACKING, {"TRACK_ON": on, "TRACK_OFF": not on}, state)
        self._put(EOD, {}, self._mount_status())

    # --- its properties ---

    def _mount_status(self, *, at_end: bool = False) -> State:
        """The state of the coordinates, which shows what the mount does; at the end of what it has been doing."""
        raise NotImplementedError

    def _tracking_rows(self) -> list[tuple[str, Any, bool, dict[str, Any]]]:
        """Its properties: their names, what handles them, whether there are such, and how they are bound."""
        return [
            (_MODE, self._on_track_mode, self._implements("set_track_mode"), {}),
            (TRACKING, self._on_tracking, self._implements("set_tracking"), {}),
            (_RATE, self._on_track_rate, self._implements("set_track_rate"), {}),
        ]

    def _forget(self) -> None:
        self._follows = False
        super()._forget()

    def _before_connecting(self) -> None:
        self._is_told_to_follow = False
        super()._before_connecting()

    async def _prepare(self) -> None:
        self._following = asyncio.Lock()
        await super()._prepare()
        self._follows = self._follows and self._parked_words() is None
        if self._has(TRACKING):
            self._choose(TRACKING, "TRACK_ON" if self._follows else "TRACK_OFF")
            self._bound[TRACKING].state = State.BUSY if self._follows else State.IDLE

    # --- commands ---

    async def _follow(self, on: bool) -> None:
        async with self._following:  # the end of a slew and a client may both request it at the same time
            self._is_told_to_follow = self._is_told_to_follow or on  # even if it is cancelled
            await self.set_tracking(on)

    async def _on_tracking(self, values: dict[str, Any]) -> None:
        member = await self._pick(TRACKING, values)
        if member is None:
            return
        if (why := self._parked_words()) is not None:
            self.warning(why)
            await self._send(TRACKING)
            return
        on = member == "TRACK_ON"
        before = self._follows
        ends = {End.DONE: State.BUSY if on else State.IDLE, End.FAILED: State.ALERT}
        ends[End.CANCELLED] = State.BUSY if before else State.IDLE

        def accept() -> None:
            self.tracking = on

        async def then(end: End) -> None:
            await self._send(EOD, self._mount_status())

        await self._perform(TRACKING, self._follow(on), accept=accept, ends=ends, then=then)

    async def _on_track_mode(self, values: dict[str, Any]) -> None:
        member = await self._pick(_MODE, values)
        if member is None:
            return
        self._check_rate()
        mode = self.set_track_mode(member.removeprefix("TRACK_"))
        await self._perform(_MODE, mode, accept=lambda: self._choose(_MODE, member))

    async def _on_track_rate(self, values: dict[str, Any]) -> None:
        self._check_rate()
        wanted = {name: values.get(name, self._get(_RATE, name)) for name in self._vector(_RATE)}
        rate = self.set_track_rate(wanted["TRACK_RATE_RA"], wanted["TRACK_RATE_DE"])
        await self._perform(_RATE, rate, accept=lambda: self._put(_RATE, wanted))
