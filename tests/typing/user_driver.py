"""What a driver author writes, with annotations: it has to satisfy strict type checkers without an ignore."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import indipydriver as ipd
from indipydriver.errors import IndiError
from indipydriver.testing import DriverHarness, run
from indipyserver import IPyServer


class Instrument(ipd.IPyDriver):
    """Every override point, every kind of vector, the usual ways to match events."""

    async def rxevent(self, event: object) -> None:
        match event:
            case ipd.newSwitchVector(devicename="Instrument", vectorname="POWER") if "ON" in event:
                event.vector["ON"] = event["ON"]
                await event.vector.send_setVector(state="Ok", message="switched")
            case ipd.newNumberVector(vectorname="TARGET"):
                wanted: float = event.getfloatvalue("TARGET")
                event.vector["TARGET"] = wanted
                await event.vector.send_setVector(timeout=10, state="Busy")
            case ipd.newTextVector(vectorname="NAME"):
                driver, device = event.vector.driver, event.vector.device
                if driver is not None and not driver.stop and "NAME" in device:
                    note: str = device["NAME"].message
                    await driver.send_message(f"{device.devicename} of {driver.driverdata}: {note}")
                    await device.send_device_message("named")
                    names: list[str] = [vector.name for each in driver.devices() for vector in each.properties()]
                    await driver[device.devicename][names[0]].send_setVector()
            case ipd.newTextVector():
                for name, value in event.items():
                    event.vector[name] = value
                await event.vector.send_setVector(allvalues=False)
            case ipd.newBLOBVector():
                for name, (size, suffix) in event.sizeformat.items():
                    Path(name + suffix).write_bytes(event[name][:size])
                await event.vector.send_setVectorMembers(state="Ok")
            case ipd.getProperties():
                await event.vector.send_defVector()
            case _:
                pass

    async def hardware(self) -> None:
        image = self["Instrument"]["IMAGE"]
        while not self.stop:
            image["IMAGE"] = b"data"
            await image.send_setVectorMembers(members=["IMAGE"], timestamp=datetime.now(UTC))
            await self["Instrument"]["TARGET"].send_setVector(state="Ok")
            await asyncio.sleep(1)

    async def snoopevent(self, event: object) -> None:
        if isinstance(event, ipd.setNumberVector) and event.state == "Ok":
            position: float = event.getfloatvalue("POSITION")
            await self.send_message(f"{event.devicename} is at {position}")
        elif isinstance(event, ipd.delProperty | ipd.Message):
            await self["Instrument"].send_device_message(event.message)


def make_driver() -> Instrument:
    """A driver with a vector of each kind."""
    power = ipd.SwitchVector("POWER", "Power", "Main", "rw", "OneOfMany", "Ok", [ipd.SwitchMember("ON", "On", "Off")])
    target = ipd.NumberVector(
        "TARGET", "Target", "Main", "rw", "Ok", [ipd.NumberMember("TARGET", "", "%5.1f", 0, 30, 0.5, 18)]
    )
    status = ipd.LightVector("STATUS", "Status", "Main", "Ok", [ipd.LightMember("OK", "Fine", "Ok")])
    note = ipd.TextVector("NOTE", "Note", "Main", "rw", "Ok", [ipd.TextMember("NOTE")])
    image = ipd.BLOBVector("IMAGE", "Image", "Main", "ro", "Ok", [ipd.BLOBMember("IMAGE", blobformat=".bin")])
    device = ipd.Device("Instrument", [power, target, status, note, image], pin=17)
    driver = Instrument(device, port="/dev/ttyUSB0")
    driver.snoop("Focuser", "ABS_FOCUS_POSITION", timeout=30)
    driver.debug_enable = True
    print(ipd.getfloat("12:30"), driver.driverdata, device.devicedata, ipd.version)
    return driver


async def serve() -> None:
    """The server's side."""
    server = IPyServer(make_driver(), host="localhost", port=7624, maxconnections=5)
    server.add_exdriver("indi_simulator_ccd", debug_enable=True)
    server.add_remote("dome.example.org", 7624, blob_enable=True)
    server.keepalive = 60
    await asyncio.gather(server.asyncrun(), server.send_message("hello"))


async def check() -> None:
    """A test of the driver."""
    async with DriverHarness(make_driver()) as harness:
        await harness.set_switch("Instrument", "POWER", ON="On")
        await harness.wait_for("Instrument", "POWER", state="Ok")


if __name__ == "__main__":
    try:
        run(check)
        asyncio.run(serve())
    except (IndiError, OSError) as error:
        print(error)
