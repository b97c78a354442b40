"""One driver with several instruments, each in a class of its own.

    python3 examples/observatory.py
    indi_setprop Focuser.CONNECTION.CONNECT=On 'Filter Wheel.CONNECTION.CONNECT=On' 'Flat Panel.CONNECTION.CONNECT=On'
    indi_setprop Focuser.ABS_FOCUS_POSITION.FOCUS_ABSOLUTE_POSITION=20000
    indi_setprop 'Filter Wheel.FILTER_SLOT.FILTER_SLOT_VALUE=3'
    indi_setprop 'Flat Panel.FLAT_LIGHT_CONTROL.FLAT_LIGHT_ON=On'

Each class says what its hardware does; names, limits, states and the connection come with the kind of instrument.
KStars takes them as a focuser, a filter wheel and a light box.
"""

import argparse
import asyncio
import sys
from pathlib import Path

if not __package__:  # started as a file: use the packages of the checkout that it lies in
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from indipydriver.instruments import FilterWheel, Focuser, InstrumentDriver, LightBox
from indipyserver import IPyServer


class ExampleFocuser(Focuser):
    """Moves 500 steps at a time, and can be stopped."""

    maximum = 50_000

    async def connect(self):
        self.position = 10_000  # here the hardware would be asked

    async def move_to(self, position):
        while self.position != position:
            await asyncio.sleep(0.1)
            self.position += max(-500, min(500, position - self.position))

    async def abort(self):
        """Here the motor would be stopped; move_to() has been cancelled already."""


class ExampleWheel(FilterWheel):
    """Turns by one filter at a time."""

    filters = ("Luminance", "Red", "Green", "Blue", "H-alpha")

    async def select(self, slot):
        while self.slot != slot:
            await asyncio.sleep(0.2)
            self.slot = self.slot % len(self.filters) + 1


class ExamplePanel(LightBox):
    """A lamp that can be dimmed. Commands take effect at once."""

    async def set_light(self, on):
        """Here the lamp would be switched."""

    async def set_brightness(self, value):
        """Here the lamp would be dimmed."""


def make_driver():
    """One driver with three devices."""
    return InstrumentDriver(ExampleFocuser("Focuser"), ExampleWheel("Filter Wheel"), ExamplePanel("Flat Panel"))


def main():
    parser = argparse.ArgumentParser(description="Serve an example.")
    parser.add_argument("port", nargs="?", type=int, default=7624, help="default: 7624")
    IPyServer(make_driver(), host="localhost", port=parser.parse_args().port).run()


if __name__ == "__main__":
    main()
