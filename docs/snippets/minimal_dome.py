import asyncio

from indipydriver.instruments import Dome, InstrumentDriver
from indipyserver import IPyServer


class MyDome(Dome):
    async def turn_to(self, azimuth):
        while abs(way := (azimuth - self.azimuth + 180) % 360 - 180) > 0.1:  # here the motor runs
            await asyncio.sleep(0.1)
            self.azimuth += max(-1, min(1, way))

    async def abort(self):
        """Here the motor stops."""


def make_driver():
    return InstrumentDriver(MyDome())


if __name__ == "__main__":
    asyncio.run(IPyServer(make_driver()).asyncrun())
