"""What an autofocus needs: a camera whose stars blur, a focuser, and a mount. All of them are simulated."""

from indipydriver.instruments import InstrumentDriver
from indipydriver.instruments.simulators import CCDSimulator, FocuserSimulator, TelescopeSimulator
from indipyserver import IPyServer


def make_driver():
    return InstrumentDriver(TelescopeSimulator(), CCDSimulator(), FocuserSimulator())


if __name__ == "__main__":
    IPyServer(make_driver()).run()
