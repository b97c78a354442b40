"""What all simulated instruments have in common: faults that can be switched on."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Final

from ..declared import Choice
from ..instrument import Instrument
from ..operations import Refused
from ..propertydevice import Bound

__all__ = ["TICK", "Fault", "Simulator"]

TICK: Final = 0.1
"""Seconds between two steps of a simulated movement."""


class Fault(Enum):
    """The fault of simulated hardware."""

    NONE = "None"
    SLOW = "Answers slowly"
    HANGS = "Does not answer"
    FAILS = "Fails"
    REFUSES = "Refuses commands"
    LOST = "Connection lost"


class Simulator(Instrument):
    """An instrument without hardware, for trying out clients and for tests.

    Clients choose with SIMULATED_FAULT what is wrong with it.
    """

    fault = Choice(Fault.NONE, "Fault", name="SIMULATED_FAULT", group="Simulation", writable=True)

    def _make(self) -> list[Bound]:
        made = super()._make()
        for bound in made:
            bound.is_permanent = bound.is_permanent or bound.vector.name == "SIMULATED_FAULT"
        return made

    async def hardware(self, seconds: float = 0.0) -> None:
        """Take some time, and perhaps fail."""
        match self.fault:
            case Fault.SLOW:
                seconds = seconds * 3 + 1
            case Fault.HANGS:
                await asyncio.Event().wait()
            case Fault.FAILS:
                raise OSError("simulated failure")
            case Fault.REFUSES:
                raise Refused("The simulator refuses this")
            case Fault.LOST:
                raise ConnectionResetError("simulated loss of the connection")
            case Fault.NONE:
                pass
        await asyncio.sleep(seconds)

    async def connect(self) -> None:
        await self.hardware()

    async def poll(self) -> None:
        if self.fault is not Fault.REFUSES:
            await self.hardware()
