"""Three devices with properties of their own, as an author writes them. They are typed, and read in the tests."""

import asyncio
from enum import Enum

from indipydriver.instruments import (
    Blob,
    Button,
    Choice,
    InstrumentDriver,
    Light,
    Lights,
    Number,
    Numbers,
    PropertyDevice,
    Refused,
    Switches,
    Texts,
    every,
)


class Room:
    """The hardware of the thermostat."""

    temperature = 15.0
    heating = False

    def step(self) -> None:
        self.temperature += 0.3 if self.heating else -0.1


class Mode(Enum):
    OFF = "Off"
    HEAT = "Heat"


class Thermostat(PropertyDevice):
    room = Number(15, "Room, °C", format="%.1f", state="Ok")
    target = Number(18, "Target, °C", format="%.1f", min=5, max=30, step=0.5, saved=True)
    mode = Choice(Mode.HEAT, saved=True)
    heater = Light()

    def __init__(self, hardware: Room) -> None:
        super().__init__()
        self.hardware = hardware

    @target.task
    async def heat_to(self, wanted: float) -> None:
        if self.mode is Mode.OFF:
            raise Refused("The thermostat is off")
        self.target = wanted
        while abs(self.room - wanted) > 0.3:
            await asyncio.sleep(0.5)

    @every(0.5)
    async def control(self) -> None:
        self.hardware.heating = self.mode is Mode.HEAT and self.hardware.temperature < self.target
        self.hardware.step()
        self.room = self.hardware.temperature
        self.heater = "Busy" if self.hardware.heating else "Idle"


RELAYS = range(1, 5)


class Box:
    """The hardware of the power box."""

    voltage = 12.5

    def __init__(self) -> None:
        self.relays = dict.fromkeys(RELAYS, False)

    async def switch(self, number: int, on: bool) -> None:
        await asyncio.sleep(0.4)
        self.relays[number] = on

    async def read(self) -> tuple[float, float]:
        await asyncio.sleep(0.1)
        return self.voltage, 1.3 * sum(self.relays.values())


class Power(Numbers):
    voltage = Number(label="Input, V", format="%.2f")
    current = Number(label="Current, A", format="%.2f")


class PowerBox(PropertyDevice):
    relays = Switches({f"RELAY_{n}": f"Relay {n}" for n in RELAYS})
    names = Texts({f"NAME_{n}": f"Relay {n}" for n in RELAYS}, group="Options", saved=True)
    power = Power()
    fuses = Lights({f"FUSE_{n}": f"Fuse {n}" for n in RELAYS})

    def __init__(self, box: Box) -> None:
        super().__init__("Power Box")
        self.box = box

    @relays.command
    async def switch_relays(self, wanted: Switches) -> None:
        if self.power.voltage < 11 and any(wanted.values()):
            raise Refused("The battery is empty")
        for name, on in wanted.changes().items():
            await self.box.switch(int(name[-1]), on)
            self.relays[name] = on

    @every(1)
    async def measure(self) -> None:
        self.power.voltage, self.power.current = await self.box.read()
        self.fuses.update(dict.fromkeys(self.fuses, "Ok"))


class Frame(Numbers):
    width = Number(640, min=1, max=640)
    height = Number(480, min=1, max=480)


class Camera(PropertyDevice):
    exposure = Number(1, "Exposure, s", min=0.01, max=60)
    frame = Frame(saved=True)
    abort = Button()
    image = Blob(format=".raw")

    @exposure.task
    async def expose(self, seconds: float) -> None:
        self.exposure = seconds
        while self.exposure > 0:
            await asyncio.sleep(min(1, self.exposure))
            self.exposure = max(0, self.exposure - 1)
        self.image = bytes(int(self.frame.width * self.frame.height))

    @frame.command
    async def crop(self, wanted: Frame) -> None:
        if wanted.width * wanted.height < 100:
            raise Refused("The frame is too small")
        self.frame.update(wanted)

    @abort.pressed
    async def stop_exposing(self) -> None:
        await self.cancel(self.expose)


def make_driver(*devices: PropertyDevice) -> InstrumentDriver:
    return InstrumentDriver(*(devices or (Thermostat(Room()), PowerBox(Box()), Camera())))
