"""A dew heater: keeps the glass of a telescope a little warmer than the air."""

import asyncio

import indipydriver as ipd
from indipyserver import IPyServer


# the hardware
class Heater:
    """Simulates a heater on a glass plate, with a thermometer."""

    def __init__(self):
        self.glass = 10.0  # degrees Celsius
        self.air = 10.0
        self.on = False

    def pass_time(self, seconds):
        gain = 0.5 if self.on else 0.0
        self.glass += seconds * (gain - 0.02 * (self.glass - self.air))


# the driver
class HeaterDriver(ipd.IPyDriver):
    # commands
    async def rxevent(self, event):
        match event:
            case ipd.newNumberVector(vectorname="TARGET"):
                event.vector["WARMER"] = event.getfloatvalue("WARMER")
                await event.vector.send_setVector(state="Busy")

    # the loop
    async def hardware(self):
        heater = self.driverdata["heater"]
        device = self["Dew Heater"]
        target, temperature, power = device["TARGET"], device["TEMPERATURE"], device["POWER"]
        try:
            while not self.stop:
                wanted = heater.air + target.getfloatvalue("WARMER")
                heater.on = heater.glass < wanted

                temperature["GLASS"] = f"{heater.glass:.2f}"
                temperature["AIR"] = f"{heater.air:.2f}"
                await temperature.send_setVector(state="Ok", allvalues=False)

                power["HEATING"] = "Busy" if heater.on else "Idle"
                await power.send_setVector(allvalues=False)

                if target.state == "Busy" and abs(heater.glass - wanted) < 0.5:
                    await target.send_setVector(state="Ok", message="The glass is warm enough")

                await asyncio.sleep(1)
                heater.pass_time(1)
        finally:  # nobody looks at the thermometer any more
            heater.on = False


# the vectors
def make_driver():
    target = ipd.NumberVector(
        "TARGET",
        label="Target",
        group="Main Control",
        perm="rw",
        state="Ok",
        numbermembers=[
            ipd.NumberMember(
                "WARMER",
                label="Warmer than the air, °C",
                format="%.1f",
                min=0,
                max=10,
                step=0.5,
            )
        ],
    )
    target.timeout = 60  # seconds
    temperature = ipd.NumberVector(
        "TEMPERATURE",
        label="Temperature, °C",
        group="Main Control",
        perm="ro",
        state="Idle",
        numbermembers=[
            ipd.NumberMember("GLASS", label="Glass", format="%.1f"),
            ipd.NumberMember("AIR", label="Air", format="%.1f"),
        ],
    )
    power = ipd.LightVector(
        "POWER",
        label="Power",
        group="Main Control",
        state="Ok",
        lightmembers=[ipd.LightMember("HEATING", label="Heating")],
    )
    device = ipd.Device("Dew Heater", [target, temperature, power])
    return HeaterDriver(device, heater=Heater())


# the start
if __name__ == "__main__":
    IPyServer(make_driver()).run()
