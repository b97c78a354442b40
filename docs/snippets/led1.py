"""An LED that clients can see."""

import indipydriver as ipd
from indipyserver import IPyServer


class LEDDriver(ipd.IPyDriver):
    pass


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
    return LEDDriver(ipd.Device("LED", [light]))


if __name__ == "__main__":
    IPyServer(make_driver()).run()
