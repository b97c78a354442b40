"""What an autofocus needs: a camera whose stars blur, a focuser, and a mount. All of them are simulated."""

import asyncio

from indipydriver.instruments import InstrumentDriver
from indipydriver.instruments.simulators import CCDSimulator, FocuserSimulator, TelescopeSimulator
from indipyserver import IPyServer


def make_driver():
    return InstrumentDriver(TelescopeSimulator(), CCDSimulator(), FocuserSimulator())


if __name__ == "__main__":
    asyncio.run(IPyServer(make_driver()).asyncrun())
