"""The drivers that are installed on this machine, by the lists that KStars and INDI Web Manager read, too."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["FOLDERS", "InstalledDriver", "installed"]

FOLDERS: Final = (Path("/usr/share/indi"), Path.home() / ".local/share/indi")
_LARGEST: Final = 4 << 20
_BINARY: Final = re.compile(r"[A-Za-z0-9_./+-]{1,200}")


@dataclass(frozen=True, slots=True)
class InstalledDriver:
    """One.

    Attributes:
        label: What people choose it by; the name of its device.
        binary: The program.
        version: As the list has it.
        family: Such as Telescopes.
        skeleton: Its skeleton file, or "".
    """

    label: str
    binary: str
    version: str
    family: str
    skeleton: str = ""


def installed(folders: Sequence[Path] = FOLDERS) -> dict[str, InstalledDriver]:
    """All of them, by label; blocks."""
    found: dict[str, InstalledDriver] = {}
    for folder in folders:
        for file in sorted(folder.glob("*.xml")) if folder.is_dir() else ():
            if file.name.endswith("_sk.xml"):
                continue
            for driver in _read(file):
                found.setdefault(driver.label, driver)
    return found


def _read(file: Path) -> Iterable[InstalledDriver]:
    try:
        text = file.read_bytes()
        if len(text) > _LARGEST or b"<!DOCTYPE" in text or b"<!ENTITY" in text:
            return
        root = ET.fromstring(text)
    except OSError:
        return
    except (ET.ParseError, LookupError, ValueError):  # the latter two for encodings that nobody knows
        try:  # some lists are groups without an element around them
            root = ET.fromstring(
                b"<driversList>" + re.sub(rb"<\?xml.*?\?>", b"", file.read_bytes()) + b"</driversList>"
            )
        except (OSError, ET.ParseError, ValueError):
            return
    for group in root.iter("devGroup"):
        for device in group.iter("device"):
            driver = device.find("driver")
            binary = (driver.text or "").strip() if driver is not None else ""
            label = device.get("label", "").strip()
            if label and driver is not None and _BINARY.fullmatch(binary):
                version = (device.findtext("version") or "1.0").strip()
                yield InstalledDriver(label, binary, version, group.get("group", ""), device.get("skel", ""))
