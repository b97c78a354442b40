"""Where mounts and domes are parked: the file that all of them share with libindi's drivers."""

from __future__ import annotations

import contextlib
import math
import os
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as ET

from .settings import DamagedFile, config_folder, locked, read_xml, write_atomically

__all__ = ["ParkData", "read_park_data", "remove_park_data", "write_park_data"]


_PARK_WORDS: Final = {True: "true", False: "false", None: "unknown"}  # libindi's drivers read the last one as false


@dataclass(frozen=True, slots=True)
class ParkData:
    """What the file says about one device.

    Attributes:
        parked: Whether it is parked; None: it is on the way, or was stopped on the way.
        axis1: First number of its park position; None if it has none.
        axis2: Second number; None if it has none.
    """

    parked: bool | None
    axis1: float | None = None
    axis2: float | None = None


def read_park_data(device: str) -> ParkData | None:
    """What is saved about a device; None if there is nothing. Blocks.

    Raises:
        OSError: The file cannot be read.
    """
    for element in _devices():
        if element.get("name") == device:
            status = (element.findtext("parkstatus") or "").strip().lower()
            axes = [_number(element.findtext(f"parkposition/axis{n}position")) for n in (1, 2)]
            return ParkData(next((parked for parked, word in _PARK_WORDS.items() if word == status), False), *axes)
    return None


def write_park_data(device: str, data: ParkData) -> None:
    """Save what is known about a device; the entries of other devices stay. Blocks.

    Raises:
        OSError: The file cannot be written.
    """
    entry = ET.Element("device", name=device)
    ET.SubElement(entry, "parkstatus").text = _PARK_WORDS[data.parked]
    if data.axis1 is not None:
        position = ET.SubElement(entry, "parkposition")
        for n, axis in ((1, data.axis1), (2, data.axis2)):
            if axis is not None:
                ET.SubElement(position, f"axis{n}position").text = f"{axis:.6f}"
    _replace(device, entry)


def remove_park_data(device: str) -> None:
    """Remove the entry of a device; those of other devices stay. Blocks.

    Raises:
        OSError: The file cannot be written.
    """
    _replace(device, None)


def _replace(device: str, entry: ET.Element | None) -> None:
    path = config_folder() / "ParkData.xml"
    with locked(path.parent):
        try:
            devices = _devices()
        except OSError as error:
            if not isinstance(error.__cause__, DamagedFile):
                raise  # it may be readable next time, so it stays as it is
            os.replace(path, path.with_name(path.name + ".unreadable"))
            devices = []
        root = ET.Element("parkdata")
        root.extend(element for element in devices if element.get("name") != device)
        if entry is not None:
            root.append(entry)
        for element in root.iter():
            element.tail = None
        ET.indent(root)
        write_atomically(path, ET.tostring(root, encoding="unicode") + "\n")


def _devices() -> list[ET.Element]:
    path = config_folder() / "ParkData.xml"
    try:
        return list(read_xml(path).findall("device"))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise OSError(f"{path} cannot be read: {error}") from error


def _number(text: str | None) -> float | None:
    with contextlib.suppress(ValueError):
        number = float(text or "")
        return number if math.isfinite(number) else None
    return None
