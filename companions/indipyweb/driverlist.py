"""The drivers that are installed on this machine, from the lists that KStars and INDI Web Manager also read."""

from __future__ import annotations

import contextlib
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["InstalledDriver", "installed"]

_FOLDERS: Final = ("/usr/share/indi", "~/.local/share/indi")
_LARGEST: Final = 4 << 20
_BINARY: Final = re.compile(r"[A-Za-z0-9_./+-]{1,200}")


@dataclass(frozen=True, slots=True)
class InstalledDriver:
    """An installed driver.

    Attributes:
        label: The name shown to users, which is the name of its device.
        binary: The program.
        version: Its version, from the list.
        family: Its group, such as Telescopes.
        skeleton: Its skeleton file, or "".
    """

    label: str
    binary: str
    version: str
    family: str
    skeleton: str = ""


def _usual() -> Iterable[Path]:
    for text in _FOLDERS:
        with contextlib.suppress(RuntimeError):  # a service may have no home folder
            yield Path(text).expanduser()


def installed(folders: Sequence[Path] = ()) -> dict[str, InstalledDriver]:
    """All of them, by label; blocks.

    Args:
        folders: The folders with the lists; by default the usual ones.
    """
    found: dict[str, InstalledDriver] = {}
    for folder in folders or _usual():
        for file in _lists(folder):
            if file.name.endswith("_sk.xml"):
                continue
            for driver in _read(file):
                found.setdefault(driver.label, driver)
    return found


def _lists(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):  # it may be another user's
        return sorted(folder.glob("*.xml")) if folder.is_dir() else []
    return []


def _read(file: Path) -> Iterable[InstalledDriver]:
    try:
        text = file.read_bytes()
        if len(text) > _LARGEST or b"<!DOCTYPE" in text or b"<!ENTITY" in text:
            return
        root = ET.fromstring(text)
    except OSError:
        return
    except (ET.ParseError, LookupError, ValueError):  # the latter two for unknown encodings
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
