"""A thermostat: numbers to read, a number to set, and a control loop.

    python3 examples/thermostat.py
    indi_setprop Thermostat.TARGET.TARGET=22
    indi_getprop -m Thermostat.TEMPERATURE.ROOM

The room is simulated. It warms up quickly, so that you can watch.
"""

import argparse
import asyncio
import sys
from pathlib import Path

if not __package__:  # started as a file: use the packages of the checkout that it lies in
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from indipydriver.instruments import InstrumentDriver, Light, Number, Numbers, PropertyDevice, every
from indipyserver import IPyServer


class Room:
    """The hardware: a room with a heater and a thermometer."""

    def __init__(self, temperature=15.0, outside=8.0):
        self.temperature = temperature
        self.outside = outside
        self.heating = False

    def step(self, seconds):
        """Simulate time: the heater adds 0.6 degrees a second, the walls lose 2 % of the difference to the outside."""
        gain = 0.6 if self.heating else 0.0
        self.temperature += seconds * (gain - 0.02 * (self.temperature - self.outside))


class Temperature(Numbers):
    room = Number(label="Room", format="%.1f")
    outside = Number(label="Outside", format="%.1f")


class Thermostat(PropertyDevice):
    # A number outside min..max is refused before the handler sees it.
    target = Number(18, "Target, °C", min=5, max=30, step=0.5, format="%.1f", group="Main Control", state="Ok")
    temperature = Temperature(label="Temperature, °C", group="Main Control", state="Ok")
    heater = Light("Idle", "Heating", group="Main Control", state="Ok")

    def __init__(self, room, period):
        super().__init__("Thermostat")
        self["TARGET"].timeout = 60  # seconds that a new target may take; clients wait so long for it
        self.room, self.period = room, period
        self.measured = asyncio.Event()
        self.temperature.update({"ROOM": room.temperature, "OUTSIDE": room.outside})

    @target.task
    async def heat_to(self, wanted):
        """Handle a new target. It stays Busy until the room reaches it; the next one cancels this."""
        self.target = wanted
        while abs(wanted - self.room.temperature) > 0.3:
            self.measured.clear()
            await self.measured.wait()
        self.info("The room has reached its target")

    @every(0)
    async def control(self):
        """Measure and switch the heater, as long as the driver runs. What is assigned is sent."""
        await asyncio.sleep(self.period)
        self.room.step(self.period)
        difference = self.target - self.room.temperature
        if abs(difference) > 0.3:  # close to the target the heater stays as it is, so that it does not chatter
            self.room.heating = difference > 0
        self.temperature.room = round(self.room.temperature, 2)
        self.heater = "Busy" if self.room.heating else "Idle"
        self.measured.set()

    async def devhardware(self):
        """Run the device until the driver ends, however that comes about; then nobody looks at the thermometer."""
        try:
            await super().devhardware()
        finally:
            self.room.heating = False


def make_driver(period=0.5):
    """One device "Thermostat". Its loop runs every `period` seconds."""
    return InstrumentDriver(Thermostat(Room(), period))


def main():
    parser = argparse.ArgumentParser(description="Serve an example.")
    parser.add_argument("port", nargs="?", type=int, default=7624, help="default: 7624")
    IPyServer(make_driver(), host="localhost", port=parser.parse_args().port).run()


if __name__ == "__main__":
    main()
