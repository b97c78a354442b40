"""A driver whose devices handle everything themselves."""

from __future__ import annotations

import asyncio
from typing import Any

from ..ipydriver import IPyDriver

__all__ = ["InstrumentDriver"]


class InstrumentDriver(IPyDriver):
    """A driver that hands everything to its devices: instruments, or other devices with devrxevent() and so on.

    ::

        def make_driver():
            return InstrumentDriver(MyFocuser(), MyFilterWheel())
    """

    async def rxevent(self, event: Any) -> None:
        await self[event.devicename].devrxevent(event)

    async def hardware(self) -> None:
        async with asyncio.TaskGroup() as group:
            for device in self.devices():
                group.create_task(device.devhardware(), name=f"hardware of {device.devicename}")

    async def snoopevent(self, event: Any) -> None:
        failed: Exception | None = None
        for device in self.devices():
            try:
                await device.devsnoopevent(event)
            except Exception as error:  # the others must get it nevertheless
                failed = failed or error
        if failed is not None:
            raise failed
