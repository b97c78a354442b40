import asyncio

from indipydriver.instruments import Inputs, InstrumentDriver, Outputs
from indipyserver import IPyServer


class MyBoard(Outputs, Inputs):
    outputs = ("Heater", "Fan")
    inputs = ("Door",)

    async def poll(self):
        self.show_input(1, False)  # here the board is asked

    async def set_output(self, number, on):
        """Here an output is switched."""


def make_driver():
    return InstrumentDriver(MyBoard())


if __name__ == "__main__":
    asyncio.run(IPyServer(make_driver()).asyncrun())
