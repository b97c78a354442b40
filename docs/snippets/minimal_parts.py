import asyncio

from indipydriver.instruments import Focuser, InstrumentDriver, Mount
from indipyserver import IPyServer


class MyFocuser(Focuser):
    async def move_to(self, position):
        await asyncio.sleep(2)  # self.whole is the mount

    async def abort(self):
        """Here the focuser stops, and the mount goes on."""


class MyMount(Mount):
    parts = (MyFocuser,)

    async def slew_to(self, ra, dec):
        await asyncio.sleep(5)

    async def abort(self):
        """Here the mount stops."""


def make_driver():
    return InstrumentDriver(MyMount())


if __name__ == "__main__":
    asyncio.run(IPyServer(make_driver()).asyncrun())
