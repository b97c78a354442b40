"""Events, told apart by class patterns."""

import indipydriver as ipd
from indipyserver import IPyServer


# the driver
class Shutter(ipd.IPyDriver):
    async def rxevent(self, event):
        match event:
            case ipd.newSwitchVector(vectorname="SHUTTER") if event.get("OPEN") == "On":
                await event.vector.send_setVector(state="Busy")
            case ipd.newNumberVector(vectorname="SPEED"):
                event.vector["SPEED"] = event["SPEED"]
                await event.vector.send_setVector(state="Ok")

    async def snoopevent(self, event):
        match event:
            case ipd.setLightVector() if event.get("RAIN") == "Alert":
                await self["Shutter"].send_device_message("It rains")
            # the end


def make_driver():
    shutter = ipd.SwitchVector(
        "SHUTTER",
        "Shutter",
        "Main Control",
        "rw",
        "AtMostOne",
        "Ok",
        [ipd.SwitchMember("OPEN"), ipd.SwitchMember("CLOSE")],
    )
    speed = ipd.NumberVector(
        "SPEED", "Speed", "Main Control", "rw", "Ok", [ipd.NumberMember("SPEED", "%", "%.0f", 0, 100, 1)]
    )
    return Shutter(ipd.Device("Shutter", [shutter, speed]))


if __name__ == "__main__":
    IPyServer(make_driver()).run()
