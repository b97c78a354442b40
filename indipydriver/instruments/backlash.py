"""Compensation for the backlash of gears: focusers, rotators and domes."""

from __future__ import annotations

from typing import Any, ClassVar

from ..protocol.tags import State
from ..standard import Interface, find
from .instrument import Instrument
from .propertydevice import Bound
from .settings import LOADING
from .standarddevice import optional

__all__ = ["Backlash"]


class Backlash(Instrument):
    """An instrument with gears. Its class says how the names of the properties begin."""

    _backlash: ClassVar[str]

    @optional
    async def set_backlash(self, steps: int) -> None:
        """Compensate for a backlash of this many steps; 0 for none."""

    @property
    def backlash(self) -> int:
        """Steps of backlash that are compensated for; 0 for none."""
        toggle, steps, member = self._backlash_names()
        if not self._has(steps) or not self._is_on(toggle, "INDI_ENABLED"):
            return 0
        return round(self._get(steps, member))

    def _backlash_names(self) -> tuple[str, str, str]:
        return f"{self._backlash}_TOGGLE", f"{self._backlash}_STEPS", f"{self._backlash}_VALUE"

    def _backlash_bounds(self, table: Interface) -> list[Bound]:
        if not self._implements("set_backlash"):
            return []
        toggle, steps, _ = self._backlash_names()
        return [
            self._bind(find(toggle, table), self._on_backlash_toggle),
            self._bind(find(steps, table), self._on_backlash_steps),
        ]

    async def _on_backlash_toggle(self, values: dict[str, Any]) -> None:
        toggle, name, member = self._backlash_names()

        async def enable(on: bool) -> None:
            await self._operations.join(name)  # the steps may just be set
            await self.set_backlash(round(self._get(name, member)) if on else 0)

        await self._set_up(toggle, values, enable, "INDI_ENABLED")

    async def _on_backlash_steps(self, values: dict[str, Any]) -> None:
        toggle, name, member = self._backlash_names()
        steps = round(values[member])
        await self._operations.join(toggle)  # it may be about to be enabled
        if not self._is_on(toggle, "INDI_ENABLED"):
            message = "[WARNING] The compensation for backlash is disabled"
            if LOADING.get():  # saved steps take effect once it is enabled
                self._put(name, {member: steps})
                message = ""
            await self._send(name, State.IDLE, message=message)
            return
        await self._perform(name, self.set_backlash(steps), accept=lambda: self._put(name, {member: steps}))
