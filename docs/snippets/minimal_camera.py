import asyncio
import random

from indipydriver.instruments import Camera, InstrumentDriver
from indipyserver import IPyServer


class MyCamera(Camera):
    width, height, bits = 640, 480, 16
    pixel_size = (5.2, 5.2)

    async def expose(self, shot):
        await asyncio.sleep(shot.seconds)  # here the hardware exposes, and is read out
        return random.randbytes(shot.columns * shot.rows * 2)


def make_driver():
    return InstrumentDriver(MyCamera())


if __name__ == "__main__":
    IPyServer(make_driver()).run()
