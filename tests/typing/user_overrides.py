"""Ways to write rxevent and snoopevent, each of which has to satisfy strict type checkers."""

from typing import Any, assert_never

import indipydriver as ipd
from indipydriver.events import Event, RxEvent, SnoopedEvent, SnoopEvent, newVector
from indipyserver import IPyServer


class TakesAll(ipd.IPyDriver):
    async def rxevent(self, event: RxEvent) -> None:
        match event:
            case ipd.newSwitchVector() | ipd.newTextVector():
                event.vector.update(event)
            case ipd.newNumberVector():
                event.vector["X"] = event.getfloatvalue("X")
            case ipd.newBLOBVector():
                event.vector["X"] = event.sizeformat["X"][1]
            case ipd.getProperties():
                await event.vector.send_defVector()
            case _:
                assert_never(event)  # so there is nothing else

    async def snoopevent(self, event: SnoopedEvent) -> None:
        if isinstance(event, ipd.setNumberVector):
            await self.send_message(f"{event.getfloatvalue('X')}")
        elif not isinstance(event, ipd.delProperty | ipd.Message):
            await self.send_message(event.state or "")


class TakesOneClass(ipd.IPyDriver):
    async def rxevent(self, event: ipd.newNumberVector) -> None:
        event.vector["X"] = event.getfloatvalue("X")

    async def snoopevent(self, event: ipd.setNumberVector) -> None:
        await self.send_message(f"{event.getfloatvalue('X')}")


class TakesBaseClasses(ipd.IPyDriver):
    async def rxevent(self, event: Event) -> None:
        await self.send_message(f"{event.vectorname}")

    async def snoopevent(self, event: SnoopEvent) -> None:
        await self.send_message(f"{event.vectorname}")


class TakesCommands(ipd.IPyDriver):
    async def rxevent(self, event: newVector) -> None:
        event.vector["X"] = event["X"]


class TakesTwoClasses(ipd.IPyDriver):
    async def rxevent(self, event: ipd.newSwitchVector | ipd.newTextVector) -> None:
        event.vector.update(event)

    async def snoopevent(self, event: ipd.setSwitchVector | ipd.setTextVector) -> None:
        await self.send_message(event["X"])


class TakesAnything(ipd.IPyDriver):
    async def rxevent(self, event: object) -> None:
        if isinstance(event, ipd.newNumberVector):
            event.vector["X"] = event.getfloatvalue("X")

    async def snoopevent(self, event: Any) -> None:
        await self.send_message(event["X"])


server = IPyServer(TakesAll(), TakesOneClass(), TakesBaseClasses(), TakesCommands(), TakesTwoClasses(), TakesAnything())
server.add_driver(TakesAll())
