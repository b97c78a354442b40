"""An LED on GPIO pin 17, or a substitute that prints what it does."""

import indipydriver as ipd
from indipyserver import IPyServer


class PrintedLED:
    def __init__(self, pin, why):
        self.pin = pin
        print(f"pin {pin} cannot be used, so it is only printed: {why}")

    def on(self):
        print(f"pin {self.pin} is on")

    def off(self):
        print(f"pin {self.pin} is off")


def open_led(pin):
    try:
        import gpiozero
    except ImportError as error:
        return PrintedLED(pin, error)
    try:
        return gpiozero.LED(pin)
    except gpiozero.exc.BadPinFactory as error:  # there are no pins, or no rights; gpiozero has said which
        return PrintedLED(pin, error)


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
        group="Main Control",
        perm="rw",
        rule="AnyOfMany",
        state="Ok",
        switchmembers=[lamp],
    )
    return LEDDriver(ipd.Device("LED", [light]), led=open_led(17))


if __name__ == "__main__":
    IPyServer(make_driver()).run()
