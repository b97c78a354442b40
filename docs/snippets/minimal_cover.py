import asyncio

from indipydriver.instruments import DustCap, InstrumentDriver, LightBox
from indipyserver import IPyServer


class MyCover(DustCap, LightBox):
    async def connect(self):
        self.closed = True  # here the hardware is asked

    async def close_cap(self):
        await asyncio.sleep(3)

    async def open_cap(self):
        await asyncio.sleep(3)

    async def set_light(self, on):
        """Here the light is switched."""


def make_driver():
    return InstrumentDriver(MyCover())


if __name__ == "__main__":
    IPyServer(make_driver()).run()
