"""Simulated instruments, with the names of libindi's simulators: ours and theirs can be exchanged."""

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
]
