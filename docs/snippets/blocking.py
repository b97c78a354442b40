"""A focuser whose library blocks."""

import asyncio
import time

import indipydriver as ipd
from indipyserver import IPyServer


class Library:
    """As its vendor ships it: each call blocks."""

    position = 1000

    def move_to(self, position):
        time.sleep(abs(position - self.position) / 10_000)
        self.position = position

    def read_position(self):
        time.sleep(0.01)
        return self.position


class FocuserDriver(ipd.IPyDriver):
    def __init__(self, *devices, **driverdata):
        super().__init__(*devices, **driverdata)
        self.lock = asyncio.Lock()

    async def call(self, function, *args):
        """Call the library in a thread, one call at a time."""
        async with self.lock:
            return await asyncio.to_thread(function, *args)

    async def rxevent(self, event):
        match event:
            case ipd.newNumberVector(vectorname="ABS_FOCUS_POSITION"):
                await event.vector.send_setVector(state="Busy")
                library = self.driverdata["library"]
                await self.call(library.move_to, int(event.getfloatvalue("FOCUS_ABSOLUTE_POSITION")))
                event.vector["FOCUS_ABSOLUTE_POSITION"] = await self.call(library.read_position)
                await event.vector.send_setVector(state="Ok")


def make_driver(library=None):
    position = ipd.NumberMember("FOCUS_ABSOLUTE_POSITION", "Steps", "%.0f", 0, 5000, 100, 1000)
    vector = ipd.NumberVector("ABS_FOCUS_POSITION", "Position", "Main Control", "rw", "Ok", [position])
    return FocuserDriver(ipd.Device("Focuser", [vector]), library=library or Library())


if __name__ == "__main__":
    IPyServer(make_driver()).run()
