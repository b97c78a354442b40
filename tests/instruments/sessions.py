"""A client of one instrument."""

from indipydriver.instruments import InstrumentDriver
from indipydriver.protocol.messages import DefVector, DelProperty, SetVector
from indipydriver.testing import DriverHarness


class Session(DriverHarness):
    """A harness with one device."""

    def __init__(self, device):
        super().__init__(InstrumentDriver(device))
        self.device = device
        self.name = device.devicename

    async def press(self, vector, member):
        """Switch one member on."""
        await self.set_switch(self.name, vector, {member: "On"})

    async def number(self, vector, /, **values):
        await self.set_number(self.name, vector, values)

    async def text(self, vector, /, **values):
        await self.set_text(self.name, vector, values)

    async def connect(self):
        """Connect, and wait until all is defined."""
        await self.press("CONNECTION", "CONNECT")
        await self.wait_for(self.name, "CONNECTION", state="Ok", timeout=60)
        await self.settle()
        return self.device

    async def until(self, vector, state=None, timeout=1.0, /, **values):
        return await self.wait_for(self.name, vector, state=state, values=values, timeout=timeout)

    def state(self, vector):
        seen = self.property(self.name, vector)
        assert seen.defined, vector
        return seen.state

    def values(self, vector):
        return self.property(self.name, vector).values

    def value(self, vector):
        """The first number of a vector."""
        return float(next(iter(self.values(vector).values())))

    def on(self, vector):
        """The members that are on."""
        return [name for name, value in self.values(vector).items() if value == "On"]

    def defined(self):
        """What is defined, in the order of the definitions."""
        found = [m.name for m in self.messages if isinstance(m, DefVector)]
        return [name for name in dict.fromkeys(found) if self.property(self.name, name).defined]

    def history(self, vector):
        """All states and values that the updates of a vector had."""
        sets = [m for m in self.messages if isinstance(m, SetVector) and m.name == vector]
        return [(m.state.value, *(member.value for member in m.members)) for m in sets]

    def order(self):
        """What it has sent: the kind of each message, the property, and the state of CONNECTION."""
        found = []
        for message in self.messages:
            name = getattr(message, "name", None)
            what = {DefVector: "def", SetVector: "set", DelProperty: "del"}.get(type(message))
            if what:
                found.append((what, name, message.state.value if name == "CONNECTION" else ""))
        return found


GENERAL = ["CONNECTION", "DRIVER_INFO", "DEBUG", "CONFIG_PROCESS", "POLLING_PERIOD"]
