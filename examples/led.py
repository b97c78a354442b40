"""An LED that any INDI client can switch.

Start it, and switch it from another terminal:

    python3 examples/led.py
    indi_setprop LED.LIGHT.LAMP=On

On a Raspberry Pi with gpiozero this is a real LED at GPIO 17. Where the pin cannot be used, a plain object takes its
place, and the log says why. The driver is the same in both cases.
"""

import argparse
import logging
import sys
from pathlib import Path

if not __package__:  # started as a file: use the packages of the checkout that it lies in
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import indipydriver as ipd
from indipyserver import IPyServer


class SimulatedLED:
    """The part of gpiozero's LED that the driver uses."""

    is_lit = False

    def on(self):
        self.is_lit = True

    def off(self):
        self.is_lit = False


def open_led(pin=17):
    """The LED at this GPIO pin. If the pin cannot be used, a simulated one, and the log says why."""
    try:
        import gpiozero
    except ImportError as error:
        why = error
    else:
        try:
            return gpiozero.LED(pin)
        except gpiozero.exc.BadPinFactory as error:  # no pins, or no rights: gpiozero has warned of each
            why = error
    logging.getLogger("led").warning("GPIO %d cannot be used, so the LED is simulated: %s", pin, why)
    return SimulatedLED()


class LEDDriver(ipd.IPyDriver):
    """Switches the LED as the client asks, and reports the result."""

    async def rxevent(self, event):
        match event:
            case ipd.newSwitchVector(vectorname="LIGHT"):
                led = self.driverdata["led"]
                if event["LAMP"] == "On":
                    led.on()
                else:
                    led.off()
                event.vector["LAMP"] = "On" if led.is_lit else "Off"
                await event.vector.send_setVector(state="Ok")


def make_driver(led=None):
    """One device "LED", with one switch vector "LIGHT", with one switch "LAMP"."""
    lamp = ipd.SwitchMember("LAMP", label="Lamp", membervalue="Off")
    light = ipd.SwitchVector(
        "LIGHT",
        label="Light",
        group="Main Control",
        perm="rw",  # clients may read and write it
        rule="AnyOfMany",  # the switch may be on or off
        state="Ok",
        switchmembers=[lamp],
    )
    return LEDDriver(ipd.Device("LED", [light]), led=led or open_led())


def main():
    parser = argparse.ArgumentParser(description="Serve an example.")
    parser.add_argument("port", nargs="?", type=int, default=7624, help="default: 7624")
    IPyServer(make_driver(), host="localhost", port=parser.parse_args().port).run()


if __name__ == "__main__":
    main()
