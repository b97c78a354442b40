import asyncio

from indipydriver.instruments import GPS, Fix, InstrumentDriver
from indipyserver import IPyServer


class MyReceiver(GPS):
    async def read_fix(self):
        """Here the receiver is asked; None as long as it does not know where it is."""
        return Fix(latitude=50.9, longitude=11.7, elevation=360)


def make_driver():
    return InstrumentDriver(MyReceiver())


if __name__ == "__main__":
    asyncio.run(IPyServer(make_driver()).asyncrun())
