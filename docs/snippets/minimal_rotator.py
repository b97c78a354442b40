import asyncio

from indipydriver.instruments import InstrumentDriver, Rotator
from indipyserver import IPyServer


class MyRotator(Rotator):
    async def turn_to(self, angle):
        while self.angle != angle:  # here the hardware turns
            await asyncio.sleep(0.1)
            self.angle += max(-1, min(1, angle - self.angle))

    async def abort(self):
        """Here the hardware stops."""


def make_driver():
    return InstrumentDriver(MyRotator())


if __name__ == "__main__":
    IPyServer(make_driver()).run()
