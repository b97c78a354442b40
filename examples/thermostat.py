"""A thermostat: numbers to read, a number to set, and a control loop.

    python3 examples/thermostat.py
    indi_setprop Thermostat.TARGET.TARGET=22
    indi_getprop -m Thermostat.TEMPERATURE.ROOM

The room is simulated. It warms up quickly, so that you can watch.
"""

import asyncio
import contextlib
import sys
from pathlib import Path

if not __package__:  # started as a file: use the packages of the checkout that it lies in
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import indipydriver as ipd
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


class ThermostatDriver(ipd.IPyDriver):
    async def rxevent(self, event):
        """Handle a new target. It stays Busy until the room reaches it."""
        match event:
            case ipd.newNumberVector(vectorname="TARGET"):
                event.vector["TARGET"] = event.getfloatvalue("TARGET")
                await event.vector.send_setVector(state="Busy")

    async def hardware(self):
        """Measure, switch the heater and report, as long as the driver runs."""
        room, period = self.driverdata["room"], self.driverdata["period"]
        device = self["Thermostat"]
        temperature, target, heater = device["TEMPERATURE"], device["TARGET"], device["HEATER"]
        while not self.stop:
            await asyncio.sleep(period)
            room.step(period)

            difference = target.getfloatvalue("TARGET") - room.temperature
            if abs(difference) > 0.3:  # close to the target the heater stays as it is, so that it does not chatter
                room.heating = difference > 0

            temperature["ROOM"] = f"{room.temperature:.2f}"
            await temperature.send_setVector(state="Ok")

            # With allvalues=False nothing is sent unless something has changed.
            heater["HEATER"] = "Busy" if room.heating else "Idle"
            await heater.send_setVector(allvalues=False)

            if target.state == "Busy" and abs(difference) <= 0.3:
                await target.send_setVector(state="Ok", message="The room has reached its target")


def make_driver(period=0.5):
    """One device "Thermostat". Its loop runs every `period` seconds."""
    room = Room()
    temperature = ipd.NumberVector(
        "TEMPERATURE",
        label="Temperature, °C",
        group="Main",
        perm="ro",
        state="Ok",
        numbermembers=[
            ipd.NumberMember("ROOM", label="Room", format="%.1f", membervalue=room.temperature),
            ipd.NumberMember("OUTSIDE", label="Outside", format="%.1f", membervalue=room.outside),
        ],
    )
    target = ipd.NumberVector(
        "TARGET",
        label="Target, °C",
        group="Main",
        perm="rw",
        state="Ok",
        # A number outside min..max is refused before rxevent sees it.
        numbermembers=[
            ipd.NumberMember("TARGET", label="Target", format="%.1f", min=5, max=30, step=0.5, membervalue=18)
        ],
    )
    heater = ipd.LightVector(
        "HEATER",
        label="Heater",
        group="Main",
        state="Ok",
        lightmembers=[ipd.LightMember("HEATER", label="Heating", membervalue="Idle")],
    )
    device = ipd.Device("Thermostat", [target, temperature, heater])
    return ThermostatDriver(device, room=room, period=period)


def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 7624
    server = IPyServer(make_driver(), host="localhost", port=port)
    print(f"The thermostat is served on localhost:{port}; to look at it: indi_getprop -p {port} -m")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(server.asyncrun())


if __name__ == "__main__":
    main()
