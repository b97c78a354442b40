"""A simulated focuser."""

from __future__ import annotations

from typing import Final

from ..focuser import Focuser
from .faults import TICK, Simulator

__all__ = ["FocuserSimulator"]

_STEPS_A_SECOND: Final = 5000


class FocuserSimulator(Simulator, Focuser):
    """A focuser with all abilities; it starts in the middle, and its temperature follows its position."""

    version = "1.0"

    def __init__(self, devicename: str | None = None) -> None:
        super().__init__(devicename)
        self.position = self.maximum // 2

    async def move_to(self, position: int) -> None:
        """Move at a steady speed."""
        sign = -1 if self.reversed else 1  # of the motor, invisible to clients
        motor = sign * self.position
        while motor != sign * position:
            await self.hardware(TICK)
            most = round(_STEPS_A_SECOND * TICK)
            motor += max(-most, min(most, sign * position - motor))
            self.position = sign * motor

    async def abort(self) -> None:
        """The cancelled motion has already stopped."""
        await self.hardware()

    async def sync(self, position: int) -> None:
        await self.hardware()

    async def set_reverse(self, reverse: bool) -> None:
        await self.hardware()

    async def set_backlash(self, steps: int) -> None:
        await self.hardware()

    async def read_temperature(self) -> float:
        return 10 + self.position / self.maximum
