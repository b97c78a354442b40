"""The part of a sensor that is read, as a property: X, Y, WIDTH and HEIGHT in pixels."""

from __future__ import annotations

from collections.abc import Mapping

from ..propertyvectors import PropertyVector
from .standardvectors import set_limits

__all__ = ["cut_frame", "frame_in", "limit_frame"]


def frame_in(vector: PropertyVector) -> tuple[int, int, int, int]:
    """Left, top, width and height."""
    x, y, width, height = (round(vector.data[name].getfloatvalue()) for name in ("X", "Y", "WIDTH", "HEIGHT"))
    return x, y, width, height


def cut_frame(vector: PropertyVector, values: Mapping[str, float], width: int, height: int) -> dict[str, int]:
    """All four with these values in place of its own, cut where the sensor ends; perhaps nothing is left of them."""
    wanted = dict(zip(("X", "Y", "WIDTH", "HEIGHT"), frame_in(vector), strict=True))
    wanted |= {name: round(value) for name, value in values.items()}
    wanted["WIDTH"] = min(wanted["WIDTH"], width - wanted["X"])
    wanted["HEIGHT"] = min(wanted["HEIGHT"], height - wanted["Y"])
    return wanted


def limit_frame(vector: PropertyVector, width: int, height: int) -> None:
    """The limits that a sensor of this size gives to the four."""
    for start, extent, size in (("X", "WIDTH", width), ("Y", "HEIGHT", height)):
        set_limits(vector, start, 0, size - 1)
        set_limits(vector, extent, 1, size)
