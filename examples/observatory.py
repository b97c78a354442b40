"""One driver with several devices, each in a class of its own.

    python3 examples/observatory.py
    indi_setprop Focuser.ABS_FOCUS_POSITION.FOCUS_ABSOLUTE_POSITION=20000
    indi_setprop 'Filter Wheel.FILTER_SLOT.FILTER_SLOT_VALUE=3'
    indi_setprop 'Flat Panel.FLAT_LIGHT_CONTROL.FLAT_LIGHT_ON=On'

This is a way to structure a large driver: the driver itself only passes events on to its devices.
"""

import asyncio
import contextlib
import sys
from pathlib import Path

if not __package__:  # started as a file: use the packages of the checkout that it lies in
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import indipydriver as ipd
from indipyserver import IPyServer

FILTERS = ("Luminance", "Red", "Green", "Blue", "H-alpha")


class ObservatoryDriver(ipd.IPyDriver):
    """Passes each event to its device, and runs the loops of all devices concurrently."""

    async def rxevent(self, event):
        await self[event.devicename].devrxevent(event)

    async def hardware(self):
        async with asyncio.TaskGroup() as group:
            for device in self.devices():
                group.create_task(device.devhardware())


class Focuser(ipd.Device):
    """Moves 500 steps at a time, and can be stopped."""

    def __init__(self, name="Focuser", start=10_000):
        position = ipd.NumberMember("FOCUS_ABSOLUTE_POSITION", "Steps", "%.0f", 0, 50_000, 500, start)
        abort = ipd.SwitchMember("ABORT", "Abort")
        super().__init__(
            name,
            [
                ipd.NumberVector("ABS_FOCUS_POSITION", "Position", "Main", "rw", "Ok", [position]),
                ipd.SwitchVector("FOCUS_ABORT_MOTION", "Abort", "Main", "rw", "AtMostOne", "Idle", [abort]),
            ],
        )
        self.position = self.target = start

    async def devrxevent(self, event):
        match event.vectorname:
            case "ABS_FOCUS_POSITION":
                self.target = round(event.getfloatvalue("FOCUS_ABSOLUTE_POSITION"))
                await event.vector.send_setVector(state="Busy")
            case "FOCUS_ABORT_MOTION":
                self.target = self.position
                await event.vector.send_setVector(state="Ok")

    async def devhardware(self):
        vector = self["ABS_FOCUS_POSITION"]
        while not self.stop:
            await asyncio.sleep(0.1)
            if vector.state == "Busy":
                way = self.target - self.position
                self.position += max(-500, min(500, way))
                vector["FOCUS_ABSOLUTE_POSITION"] = self.position
                await vector.send_setVector(state="Busy" if self.position != self.target else "Ok")


class FilterWheel(ipd.Device):
    """Turns by one filter at a time."""

    def __init__(self, name="Filter Wheel"):
        slot = ipd.NumberMember("FILTER_SLOT_VALUE", "Slot", "%.0f", 1, len(FILTERS), 1, 1)
        names = [ipd.TextMember(f"FILTER_SLOT_NAME_{n}", f"Slot {n}", text) for n, text in enumerate(FILTERS, 1)]
        super().__init__(
            name,
            [
                ipd.NumberVector("FILTER_SLOT", "Filter", "Main", "rw", "Ok", [slot]),
                ipd.TextVector("FILTER_NAME", "Names", "Main", "rw", "Ok", names),
            ],
        )
        self.slot = self.target = 1

    async def devrxevent(self, event):
        match event.vectorname:
            case "FILTER_SLOT":
                self.target = round(event.getfloatvalue("FILTER_SLOT_VALUE"))
                await event.vector.send_setVector(state="Busy")
            case "FILTER_NAME":
                event.vector.update(event)
                await event.vector.send_setVector(state="Ok")

    async def devhardware(self):
        vector = self["FILTER_SLOT"]
        while not self.stop:
            await asyncio.sleep(0.2)
            if vector.state == "Busy":
                if self.slot != self.target:
                    self.slot = self.slot % len(FILTERS) + 1
                vector["FILTER_SLOT_VALUE"] = self.slot
                await vector.send_setVector(state="Busy" if self.slot != self.target else "Ok")


class FlatPanel(ipd.Device):
    """A dimmable lamp. It needs no loop: commands take effect at once."""

    def __init__(self, name="Flat Panel"):
        brightness = ipd.NumberMember("FLAT_LIGHT_INTENSITY_VALUE", "Brightness", "%.0f", 0, 255, 1, 128)
        super().__init__(
            name,
            [
                ipd.SwitchVector(
                    "FLAT_LIGHT_CONTROL",
                    "Lamp",
                    "Main",
                    "rw",
                    "OneOfMany",
                    "Ok",
                    [ipd.SwitchMember("FLAT_LIGHT_ON", "On"), ipd.SwitchMember("FLAT_LIGHT_OFF", "Off", "On")],
                ),
                ipd.NumberVector("FLAT_LIGHT_INTENSITY", "Brightness", "Main", "rw", "Ok", [brightness]),
            ],
        )

    async def devrxevent(self, event):
        match event.vectorname:
            case "FLAT_LIGHT_CONTROL":
                on = event.get("FLAT_LIGHT_ON") == "On"
                event.vector["FLAT_LIGHT_ON"] = "On" if on else "Off"
                event.vector["FLAT_LIGHT_OFF"] = "Off" if on else "On"
            case "FLAT_LIGHT_INTENSITY":
                event.vector.update(event)
        await event.vector.send_setVector(state="Ok")


def make_driver():
    """One driver with three devices."""
    return ObservatoryDriver(Focuser(), FilterWheel(), FlatPanel())


def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 7624
    server = IPyServer(make_driver(), host="localhost", port=port)
    print(f"A focuser, a filter wheel and a flat panel are served on localhost:{port}")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(server.asyncrun())


if __name__ == "__main__":
    main()
