import asyncio

from indipydriver.instruments import InstrumentDriver, Mount
from indipyserver import IPyServer


class MyMount(Mount):
    async def poll(self):
        """Here the hardware is asked: self.coordinates = hours, degrees."""

    async def slew_to(self, ra, dec):
        await asyncio.sleep(5)

    async def abort(self):
        """Here the hardware stops."""

    async def set_tracking(self, on):
        """Here the hardware begins or ends to follow the sky."""


def make_driver():
    return InstrumentDriver(MyMount())


if __name__ == "__main__":
    IPyServer(make_driver()).run()
