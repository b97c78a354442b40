"""Finding a property by name, and the error if it does not exist."""

from __future__ import annotations

from ..errors import NoSuchDevice, NoSuchProperty
from .model import Model
from .properties import Property

__all__ = ["need"]


def need(model: Model, device: str, name: str) -> Property:
    """A property as it is now; NoSuchDevice or NoSuchProperty if it is not there."""
    prop = model.get(device, name)
    if prop is not None:
        return prop
    names = model.names(device)
    if not names:
        raise NoSuchDevice(device, model.names())
    raise NoSuchProperty(name, names, device)
