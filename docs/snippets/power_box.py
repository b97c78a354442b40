"""A power box: four relays with names that are kept, and what it measures."""

import asyncio
import random

from indipydriver.instruments import InstrumentDriver, Number, Numbers, PropertyDevice, Refused, Switches, Texts, every
from indipyserver import IPyServer

RELAYS = range(1, 5)


class Box:
    """The maker's library: its calls block."""

    def __init__(self):
        self.relays = dict.fromkeys(RELAYS, False)

    def switch(self, number, on):
        self.relays[number] = on

    def read(self):
        drawn = sum(self.relays.values())
        return 12.6 - 0.1 * drawn + random.uniform(-0.02, 0.02), 0.2 + 1.3 * drawn


# the driver
class Power(Numbers):
    voltage = Number(label="Input, V", format="%.2f")
    current = Number(label="Current, A", format="%.2f")


class PowerBox(PropertyDevice):
    relays = Switches({f"RELAY_{n}": f"Relay {n}" for n in RELAYS})
    names = Texts({f"NAME_{n}": f"Name of relay {n}" for n in RELAYS}, group="Options", saved=True)
    power = Power()

    def __init__(self, box):
        super().__init__("Power Box")
        self.box = box

    @relays.command
    async def switch_relays(self, wanted):
        if self.power.voltage < 11 and any(wanted.values()):
            raise Refused("The battery is empty")
        for name, on in wanted.changes().items():
            await asyncio.to_thread(self.box.switch, int(name[-1]), on)
            self.relays[name] = on

    @every(1)
    async def measure(self):
        self.power.voltage, self.power.current = await asyncio.to_thread(self.box.read)


# the server
def make_driver():
    return InstrumentDriver(PowerBox(Box()))


if __name__ == "__main__":
    IPyServer(make_driver()).run()
