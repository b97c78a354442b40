import asyncio

from indipydriver.instruments import Dome, InstrumentDriver
from indipyserver import IPyServer


class MyRoof(Dome):
    async def open_roof(self):
        await asyncio.sleep(10)  # here the motor runs to the switch

    async def close_roof(self):
        await asyncio.sleep(10)

    async def abort(self):
        """Here the motor stops."""


def make_driver():
    return InstrumentDriver(MyRoof())


if __name__ == "__main__":
    IPyServer(make_driver()).run()
