"""Simulated instruments, with the names of libindi's simulators: ours and theirs can be exchanged."""

from ..driver import InstrumentDriver
from .camera import CCDSimulator
from .dome import DomeSimulator, RollOffSimulator
from .faults import Fault, Simulator
from .focuser import FocuserSimulator
from .mount import TelescopeSimulator
from .site import GPSSimulator, PowerBoxSimulator, WeatherSimulator
from .small import DustCapSimulator, FilterSimulator, LightPanelSimulator, RotatorSimulator

__all__ = [
    "CCDSimulator",
    "DomeSimulator",
    "DustCapSimulator",
    "Fault",
    "FilterSimulator",
    "FocuserSimulator",
    "GPSSimulator",
    "LightPanelSimulator",
    "PowerBoxSimulator",
    "RollOffSimulator",
    "RotatorSimulator",
    "Simulator",
    "TelescopeSimulator",
    "WeatherSimulator",
    "make_observatory",
]


def make_observatory() -> list[InstrumentDriver]:
    """A driver for each simulated instrument; the roof, which would stand in for the dome, is left out."""
    kinds = (
        TelescopeSimulator,
        CCDSimulator,
        FocuserSimulator,
        FilterSimulator,
        RotatorSimulator,
        DomeSimulator,
        WeatherSimulator,
        DustCapSimulator,
        LightPanelSimulator,
        GPSSimulator,
        PowerBoxSimulator,
    )
    return [InstrumentDriver(kind(kind.own_name())) for kind in kinds]
