import asyncio

from indipydriver.instruments import Guider, InstrumentDriver
from indipyserver import IPyServer


class MyPort(Guider):
    async def guide(self, direction, seconds):
        try:  # here the relay of this direction is closed
            await asyncio.sleep(seconds)
        finally:
            """Here it is opened, also when the pulse is cancelled."""


def make_driver():
    return InstrumentDriver(MyPort())


if __name__ == "__main__":
    asyncio.run(IPyServer(make_driver()).asyncrun())
