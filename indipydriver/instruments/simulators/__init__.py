"""Simulated instruments, with the names of libindi's simulators: ours and theirs can be exchanged."""

from .faults import Fault, Simulator
from .focuser import FocuserSimulator

__all__ = ["Fault", "FocuserSimulator", "Simulator"]
