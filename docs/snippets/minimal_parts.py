import asyncio

from indipydriver.instruments import Focuser, InstrumentDriver, Mount
from indipyserver import IPyServer


class OnBoard(Focuser):
    async def move_to(self, position):
        await asyncio.sleep(2)  # self.whole is the mount

    async def abort(self):
        """Here the focuser stops, and the mount goes on."""


class MyPier(Mount):
    parts = (OnBoard,)

    async def slew_to(self, ra, dec):
        await asyncio.sleep(5)

    async def abort(self):
        """Here the mount stops."""


def make_driver():
    return InstrumentDriver(MyPier())


if __name__ == "__main__":
    asyncio.run(IPyServer(make_driver()).asyncrun())
