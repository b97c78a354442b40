import asyncio

from indipydriver.instruments import FilterWheel, InstrumentDriver
from indipyserver import IPyServer


class MyWheel(FilterWheel):
    filters = ("Luminance", "Red", "Green", "Blue", "H_Alpha")

    async def select(self, slot):
        await asyncio.sleep(1)  # here the wheel turns


def make_driver():
    return InstrumentDriver(MyWheel())


if __name__ == "__main__":
    IPyServer(make_driver()).run()
