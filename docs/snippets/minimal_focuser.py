import asyncio

from indipydriver.instruments import Focuser, InstrumentDriver
from indipyserver import IPyServer


class MyFocuser(Focuser):
    maximum = 50_000

    async def move_to(self, position):
        while self.position != position:  # here the hardware moves
            await asyncio.sleep(0.1)
            self.position += max(-500, min(500, position - self.position))

    async def abort(self):
        """Here the hardware stops."""


def make_driver():
    return InstrumentDriver(MyFocuser())


if __name__ == "__main__":
    IPyServer(make_driver()).run()
