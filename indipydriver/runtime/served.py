"""What the runtime needs of a driver, by its shape."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from ..device import Device

__all__ = ["Driver"]


class Driver(Protocol):
    """An IPyDriver, as its runtime sees it.

    Attributes:
        data: The devices, by name.
        auto_send_def: Answer requests for definitions.
        debug_enable: Log what is sent and received.
        stopped: Set when a run has ended.
        shutdownrequested: Set when it has been told to end.
    """

    data: dict[str, Device]
    auto_send_def: bool
    debug_enable: bool
    stopped: asyncio.Event
    shutdownrequested: asyncio.Event

    def devices(self) -> list[Device]:
        """The devices."""

    async def hardware(self) -> None:
        """May run for any length of time."""

    async def rxevent(self, event: Any) -> None:
        """A client has sent a command."""

    async def snoopevent(self, event: Any) -> None:
        """There is news of something that is watched."""

    def shutdown(self) -> None:
        """Called whenever a run has to end. The author may have extended it; it calls `RunState.shutdown`."""
