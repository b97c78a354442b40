"""A focuser on a serial port. It answers "P?" with its position, moves by "M1234", and stops by "S"."""

import asyncio

from indipydriver.instruments import Focuser, InstrumentDriver, Network, Serial
from indipyserver import IPyServer


class SerialFocuser(Focuser):
    connections = (Serial(baud=9600), Network(port=4001))
    maximum = 50_000

    async def connect(self):
        await self.poll()  # it fails if nobody answers

    async def poll(self):
        self.position = int(await self.line.ask(b"P?\n", timeout=2))

    async def move_to(self, position):
        await self.line.tell(b"M%d\n" % position)
        while self.position != position:
            await asyncio.sleep(0.2)
            await self.poll()

    async def abort(self):
        await self.line.tell(b"S\n")


def make_driver():
    return InstrumentDriver(SerialFocuser())


if __name__ == "__main__":
    IPyServer(make_driver()).run()
