"""An LED on GPIO pin 17, or a substitute that prints what it does."""

import asyncio

import indipydriver as ipd
from indipyserver import IPyServer

try:
    from gpiozero import LED
except ImportError:

    class LED:
        def __init__(self, pin):
            self.pin = pin

        def on(self):
            print(f"pin {self.pin} is on")

        def off(self):
            print(f"pin {self.pin} is off")


class LEDDriver(ipd.IPyDriver):
    async def rxevent(self, event):
        match event:
            case ipd.newSwitchVector(vectorname="LIGHT"):
                led = self.driverdata["led"]
                if event["LAMP"] == "On":
                    led.on()
                else:
                    led.off()
                event.vector["LAMP"] = event["LAMP"]
                await event.vector.send_setVector(state="Ok")


def make_driver():
    lamp = ipd.SwitchMember("LAMP", label="Lamp")
    light = ipd.SwitchVector(
        "LIGHT",
        label="Light",
        group="Main",
        perm="rw",
        rule="AnyOfMany",
        state="Ok",
        switchmembers=[lamp],
    )
    return LEDDriver(ipd.Device("LED", [light]), led=LED(17))


if __name__ == "__main__":
    asyncio.run(IPyServer(make_driver()).asyncrun())
