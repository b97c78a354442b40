"""Instruments: devices whose class provides their properties, states and life cycle.

A :class:`PropertyDevice` has properties that are declared on its class. All values are plain Python, and a value that
is assigned is sent::

    class Lamp(PropertyDevice):
        brightness = Number(50, min=0, max=100, writable=True)

    driver = InstrumentDriver(Lamp())
"""

from .camera import Camera
from .chips import Sensor
from .covers import DustCap, LightBox
from .declared import Blob, Button, Choice, Light, Number, Switch, Text
from .digital import Inputs, Outputs
from .dome import Dome
from .driver import InstrumentDriver
from .filterwheel import FilterWheel
from .focuser import Focuser
from .gps import GPS, Fix
from .groups import Lights, Numbers, Switches, Texts
from .guider import Direction, Guider
from .instrument import Instrument
from .lines import Line, Network, Serial
from .loops import every
from .mount import Mount
from .operations import Refused
from .powerbox import PowerBox
from .propertydevice import PropertyDevice
from .rotator import Rotator
from .shots import FrameType, Shot
from .weather import Reading, WeatherStation

__all__ = [
    "GPS",
    "Blob",
    "Button",
    "Camera",
    "Choice",
    "Direction",
    "Dome",
    "DustCap",
    "FilterWheel",
    "Fix",
    "Focuser",
    "FrameType",
    "Guider",
    "Inputs",
    "Instrument",
    "InstrumentDriver",
    "Light",
    "LightBox",
    "Lights",
    "Line",
    "Mount",
    "Network",
    "Number",
    "Numbers",
    "Outputs",
    "PowerBox",
    "PropertyDevice",
    "Reading",
    "Refused",
    "Rotator",
    "Sensor",
    "Serial",
    "Shot",
    "Switch",
    "Switches",
    "Text",
    "Texts",
    "WeatherStation",
    "every",
]
