"""A camera: connect it, take an image of the stars, watch the countdown, abort an exposure.

    python3 examples/camera.py
    indi_setprop Camera.CONNECTION.CONNECT=On
    indi_setprop Camera.CCD_EXPOSURE.CCD_EXPOSURE_VALUE=2
    indi_getprop -t 5 Camera.CCD1.CCD1        writes the next image to Camera.CCD1.CCD1.fits

The class Camera brings the connection, the countdown, the abort, the FITS file and what else KStars and other clients
expect of a camera. This file says what the hardware does.
"""

import argparse
import asyncio
import sys
from pathlib import Path

if not __package__:  # started as a file: use the packages of the checkout that it lies in
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from examples import pictures
from indipydriver.instruments import Camera, InstrumentDriver
from indipyserver import IPyServer

WIDTH, HEIGHT = 640, 480


class ExampleCamera(Camera):
    width, height, bits = WIDTH, HEIGHT, 16

    async def expose(self, shot):
        """Wait for the light, and return the pixels. An abort cancels this."""
        await asyncio.sleep(shot.seconds)
        # A long computation belongs in a thread, so that nothing else has to wait.
        return await asyncio.to_thread(pictures.star_field, shot.columns, shot.rows, shot.seconds)


def make_driver():
    """One device "Camera", not yet connected."""
    return InstrumentDriver(ExampleCamera("Camera"))


def main():
    parser = argparse.ArgumentParser(description="Serve an example.")
    parser.add_argument("port", nargs="?", type=int, default=7624, help="default: 7624")
    IPyServer(make_driver(), host="localhost", port=parser.parse_args().port).run()


if __name__ == "__main__":
    main()
