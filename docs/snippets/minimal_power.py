import asyncio

from indipydriver.instruments import InstrumentDriver, PowerBox
from indipyserver import IPyServer


class MyBox(PowerBox):
    channels = ("Mount", "Camera", "Focuser")
    sensors = ("VOLTAGE",)

    async def poll(self):
        self.voltage = 12.6  # here the box is asked

    async def set_channel(self, number, on):
        """Here an output is switched."""


def make_driver():
    return InstrumentDriver(MyBox())


if __name__ == "__main__":
    asyncio.run(IPyServer(make_driver()).asyncrun())
