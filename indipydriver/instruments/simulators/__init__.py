"""Simulated instruments. They have the names of libindi's simulators and can replace them."""

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
    """A driver for each simulated instrument except the roof, which would take the place of the dome."""
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
