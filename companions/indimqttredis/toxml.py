"""From elements to what is sent to an INDI server, by a function of the caller's."""

from __future__ import annotations

import time
from collections.abc import Callable
from xml.etree import ElementTree as ET

__all__ = ["getProperties", "loop", "sender", "transmit_to_indiserver"]

Transmit = Callable[[bytes], object]
_transmit: list[Transmit] = []
PAUSE = 2.0
"""Seconds before the first request, and between attempts."""


def sender(transmit: Transmit) -> None:
    """Set the function that receives what is to be sent, as bytes."""
    _transmit[:] = [transmit]


def transmit_to_indiserver(element: ET.Element) -> bool:
    """Send an element; False if there is nobody to send it."""
    if not _transmit:
        return False
    _transmit[0](ET.tostring(element))
    return True


def getProperties() -> ET.Element:
    """The request for all definitions."""
    return ET.Element("getProperties", version="1.7")


def loop() -> None:
    """Ask for all definitions, as soon as there is a sender.  Blocks until then."""
    time.sleep(PAUSE)
    while not transmit_to_indiserver(getProperties()):
        time.sleep(PAUSE)
