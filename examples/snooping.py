"""Two drivers, one of which watches the other: the roof closes when the sensor reports rain.

    python3 examples/snooping.py
    indi_setprop Roof.DOME_SHUTTER.SHUTTER_OPEN=On
    indi_setprop 'Rain Sensor.SIMULATION.RAIN=On'       and the roof closes

They know each other only by name, and need not run in one process, or on one machine. If the sensor says
nothing for too long, the roof closes as well.
"""

import argparse
import asyncio
import sys
from pathlib import Path

if not __package__:  # started as a file: use the packages of the checkout that it lies in
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import indipydriver as ipd
from indipyserver import IPyServer


class RainSensorDriver(ipd.IPyDriver):
    """Reports rain as a light, which is red (Alert) while it rains. The weather is made by a switch."""

    async def rxevent(self, event):
        match event:
            case ipd.newSwitchVector(vectorname="SIMULATION"):
                raining = event["RAIN"]
                event.vector["RAIN"] = raining
                await event.vector.send_setVector(state="Ok")

                status = self["Rain Sensor"]["WEATHER_STATUS"]
                status["RAIN"] = "Alert" if raining == "On" else "Ok"
                await status.send_setVector(state=status["RAIN"])


class RoofDriver(ipd.IPyDriver):
    """Opens when a client asks for it, and closes when there is rain or nobody knows."""

    position = target = 0  # in per cent: 0 is closed
    dry = False
    sensor, light = "Ok", "Alert"  # the state of the sensor, and that of its light; an update may leave them out
    heard = 0.0  # when the sensor was last heard, in seconds
    longest_silence = 75.0  # it is asked after 30 seconds, and once more

    def __init__(self, *devices, **driverdata):
        super().__init__(*devices, **driverdata)
        self.snoop("Rain Sensor", "WEATHER_STATUS", timeout=30)

    async def rxevent(self, event):
        match event:
            case ipd.newSwitchVector(vectorname="DOME_SHUTTER"):
                if event.get("SHUTTER_OPEN") != "On":
                    await self.move(0)
                elif self.dry:
                    await self.move(100)
                else:
                    await event.vector.send_setVector(
                        state="Alert", message="The roof stays closed: it rains, or the sensor is silent"
                    )

    async def snoopevent(self, event):
        match event:
            case ipd.defLightVector() | ipd.setLightVector():
                self.heard = asyncio.get_running_loop().time()
                self.sensor, self.light = event.state or self.sensor, event.get("RAIN", self.light)
                self.dry = self.light == "Ok" and self.sensor != "Alert"  # it says so if it cannot be read
            case ipd.delProperty():  # the sensor is gone
                self.dry, self.light = False, "Alert"
        if not self.dry and self.target > 0:
            await self.move(0, message="Rain: closing the roof")

    async def move(self, target, message=""):
        """Tell the motor where to go. hardware() goes there."""
        self.target = target
        shutter = self["Roof"]["DOME_SHUTTER"]
        shutter["SHUTTER_OPEN"], shutter["SHUTTER_CLOSE"] = ("On", "Off") if target else ("Off", "On")
        await shutter.send_setVector(state="Busy", message=message)

    async def hardware(self):
        """The motor, which moves ten percent at a time, and the watch over the sensor."""
        shutter, position = self["Roof"]["DOME_SHUTTER"], self["Roof"]["ROOF_POSITION"]
        while not self.stop:
            await asyncio.sleep(self.driverdata["period"])
            if self.dry and asyncio.get_running_loop().time() - self.heard > self.longest_silence:
                self.dry = False
                if self.target > 0:
                    await self.move(0, message="The rain sensor is silent: closing the roof")
            if self.position != self.target:
                self.position += 10 if self.target > self.position else -10
                position["OPEN"] = self.position
                await position.send_setVector()
            elif shutter.state == "Busy":
                await shutter.send_setVector(state="Ok")


def make_rain_sensor():
    """One device "Rain Sensor"."""
    status = ipd.LightVector(
        "WEATHER_STATUS",
        label="Weather",
        group="Main Control",
        state="Ok",
        lightmembers=[ipd.LightMember("RAIN", label="Rain", membervalue="Ok")],
    )
    simulation = ipd.SwitchVector(
        "SIMULATION",
        label="Make the weather",
        group="Main Control",
        perm="rw",
        rule="AnyOfMany",
        state="Ok",
        switchmembers=[ipd.SwitchMember("RAIN", label="Rain")],
    )
    return RainSensorDriver(ipd.Device("Rain Sensor", [status, simulation]))


def make_roof(period=0.2):
    """One device "Roof". Its motor moves every `period` seconds."""
    shutter = ipd.SwitchVector(
        "DOME_SHUTTER",
        label="Roof",
        group="Main Control",
        perm="rw",
        rule="OneOfMany",
        state="Ok",
        switchmembers=[
            ipd.SwitchMember("SHUTTER_OPEN", label="Open"),
            ipd.SwitchMember("SHUTTER_CLOSE", label="Close", membervalue="On"),
        ],
    )
    position = ipd.NumberVector(
        "ROOF_POSITION",
        label="Position",
        group="Main Control",
        perm="ro",
        state="Ok",
        numbermembers=[ipd.NumberMember("OPEN", label="Open, %", format="%.0f", min=0, max=100)],
    )
    return RoofDriver(ipd.Device("Roof", [shutter, position]), period=period)


def make_drivers(period=0.2):
    """Both of them."""
    return [make_rain_sensor(), make_roof(period)]


def main():
    parser = argparse.ArgumentParser(description="Serve an example.")
    parser.add_argument("port", nargs="?", type=int, default=7624, help="default: 7624")
    IPyServer(*make_drivers(), host="localhost", port=parser.parse_args().port).run()


if __name__ == "__main__":
    main()
