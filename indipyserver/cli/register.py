"""Adds Python drivers to the lists that KStars and INDI Web Manager read, and removes them again."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

from indipydriver.protocol.limits import LIBINDI_NAME
from indipydriver.standard import Interface

from ..loading import load_drivers
from ..spec import PythonSpec

__all__ = ["Places", "Registered", "register", "unregister"]

SYSTEM_LISTS: Final = Path("/usr/share/indi")
_MARK: Final = "made by indipyserver, register"
_COPIES: Final = ".copies-of-the-system"
_PACKAGE_FOLDER: Final = Path(__file__).resolve().parents[2]
"""The folder that this package is in."""
_GROUPS: Final = {
    Interface.CCD: "CCDs",
    Interface.TELESCOPE: "Telescopes",
    Interface.DOME: "Domes",
    Interface.FOCUSER: "Focusers",
    Interface.FILTER: "Filter Wheels",
    Interface.ROTATOR: "Rotators",
    Interface.WEATHER: "Weather",
    Interface.GPS: "GPS",
    Interface.POWER: "Power",
    Interface.ADAPTIVE_OPTICS: "Adaptive Optics",
    Interface.SPECTROGRAPH: "Spectrographs",
}
"""The groups of the lists; a device with several interfaces is in the first of these."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a driver is registered.

    Attributes:
        lists: The folder of the lists.
        programs: The folder of the programs that the lists name; it has to be on PATH.
        system: The lists of the system, which are copied to those of a user; None: `lists` is that folder.
    """

    lists: Path
    programs: Path
    system: Path | None = None

    @classmethod
    def of_system(cls) -> Places:
        """The places for all users."""
        return cls(SYSTEM_LISTS, Path("/usr/local/bin"))

    @classmethod
    def of_user(cls) -> Places:
        """The places of this user."""
        return cls(Path.home() / ".local/share/indi", Path.home() / ".local/bin", SYSTEM_LISTS)


@dataclass(frozen=True, slots=True)
class Registered:
    """One entry.

    Attributes:
        label: Its name in the lists, and of the device.
        list: The file with the entry.
        program: The program that starts the driver.
    """

    label: str
    list: Path
    program: Path


def register(
    spec: PythonSpec, places: Places, labels: Sequence[str] = (), group: str | None = None
) -> list[Registered]:
    """Register a driver, once for each label; an existing entry for a label is replaced.

    Args:
        spec: The Python code that makes the driver.
        places: Where to register it.
        labels: Names of the instances; none: the name of the device.
        group: The group in the lists; by default according to what the device says it is.

    Raises:
        ImportError: The driver cannot be created.
        ValueError: It cannot be registered; the text says why.
        OSError: A file cannot be written.
    """
    start = _start(spec)  # before it is imported: it may change to another folder
    names, found, version = _examine(spec)
    labels = list(dict.fromkeys(labels or names[:1]))
    if len(names) > 1 and len(labels) > 1:
        raise ValueError(f"this driver has {len(names)} devices, so it cannot be registered twice")
    made = [_entry(label, places) for label in labels]
    if len({one.program for one in made}) < len(made):
        raise ValueError("these names differ only in characters that a program's name cannot have")
    for one in made:
        _check_free(one, places)
    for one in made:
        _write(one.program, _launcher(start, one.label, len(names) > 1), 0o755)
        _write(one.list, _list(one, group or found, version, len(names) > 1), 0o644)
    if places.system is not None:
        _copy_lists(places.lists, places.system)
    return made


def unregister(label: str, places: Places) -> Registered:
    """Remove an entry, and everything that was created with it.

    Raises:
        ValueError: There is no such entry; the text names the existing ones.
        OSError: A file cannot be removed.
    """
    ours = {one.label: one for one in _ours(places)}
    if label not in ours:
        known = ", but " + ", ".join(map(repr, sorted(ours))) if ours else ", nor is anything else"
        raise ValueError(f"{label!r} is not registered in {places.lists}{known}")
    one = ours.pop(label)
    if _is_ours(one.program):
        one.program.unlink()
    one.list.unlink()
    if places.system is not None and not ours:
        _remove_copies(places.lists)
        for folder in (places.lists, places.programs):
            with contextlib.suppress(OSError):  # it is not empty, or has gone already
                folder.rmdir()
    return one


# --- the driver


def _examine(spec: PythonSpec) -> tuple[list[str], str, str]:
    """The names of the devices, the group of the first one, and its version."""
    kept = os.environ.pop("INDIDEV", None)
    try:
        drivers = load_drivers(spec)
    finally:
        if kept is not None:
            os.environ["INDIDEV"] = kept
    if len(drivers) > 1:
        raise ValueError(f"{spec.text!r} makes {len(drivers)} drivers: register a function that makes only one")
    devices: Mapping[str, Any] = drivers[0].data
    if not devices:
        raise ValueError(f"{spec.text!r} makes a driver without devices")
    first = next(iter(devices.values()))
    about = first.get("DRIVER_INFO", {})
    bits = str(about.get("DRIVER_INTERFACE", "0"))
    kinds = Interface(int(bits) if bits.isdecimal() else 0)
    group = next((name for kind, name in _GROUPS.items() if kinds & kind), "Auxiliary")
    return list(devices), group, str(about.get("DRIVER_VERSION", "1.0")) or "1.0"


# --- what is written


def _entry(label: str, places: Places) -> Registered:
    if not label.strip() or len(label) > LIBINDI_NAME or not (label.isascii() and label.isprintable()) or "/" in label:
        raise ValueError(
            f"{label!r} cannot be the name of a device: up to {LIBINDI_NAME} ASCII characters without / can"
        )
    stem = "indi_" + re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")
    if stem == "indi_":
        raise ValueError(f"{label!r} has no letter and no digit")
    stem = stem.replace("_sk", "-sk")  # a list with _sk in its name counts as a skeleton
    return Registered(label, places.lists / f"{stem}.xml", places.programs / stem)


def _start(spec: PythonSpec) -> tuple[list[str], list[str]]:
    """The command that starts the driver with this Python from any folder, and the paths that it searches."""
    source = os.path.realpath(spec.source) if spec.source.endswith(".py") else spec.source
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if not spec.source.endswith(".py"):
        paths.append(os.getcwd())
    if _PACKAGE_FOLDER.name not in ("site-packages", "dist-packages"):  # a checkout, with nothing installed
        paths.append(str(_PACKAGE_FOLDER))
    command = [sys.executable, "-P", "-m", "indipyserver.cli.launch", f"{source}:{spec.attribute}"]
    return command, [*map(os.path.abspath, paths)]


def _launcher(start: tuple[list[str], list[str]], label: str, has_several: bool) -> str:
    """A program that starts the driver."""
    command, paths = start
    lines = ["#!/bin/sh", f"# {_MARK}, for {label}"]
    if paths:
        lines += [f"PYTHONPATH={shlex.quote(os.pathsep.join(paths))}", "export PYTHONPATH"]
    if has_several:
        lines.append("unset INDIDEV")
    else:
        lines += [f"INDIDEV=${{INDIDEV:-{shlex.quote(label)}}}", f"INDIDRIVER={shlex.quote(label)}"]
        lines.append("export INDIDEV INDIDRIVER")
    return "\n".join([*lines, f"exec {shlex.join(command)}", ""])


def _list(one: Registered, group: str, version: str, has_several: bool) -> str:
    several = ' mdpd="true"' if has_several else ""
    return (
        f"<!-- {_MARK} -->\n"
        "<driversList>\n"
        f"  <devGroup group={quoteattr(group)}>\n"
        f'    <device label={quoteattr(one.label)} manufacturer="Python"{several}>\n'
        f"      <driver name={quoteattr(one.label)}>{escape(one.program.name)}</driver>\n"
        f"      <version>{escape(version)}</version>\n"
        "    </device>\n"
        "  </devGroup>\n"
        "</driversList>\n"
    )


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


# --- what is there


def _is_ours(path: Path) -> bool:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return _MARK in file.read(200)
    except OSError:
        return False


def _labels(path: Path) -> Iterator[str]:
    """The labels in a list; none if it cannot be read."""
    try:
        root = ET.fromstring(path.read_bytes())
    except (OSError, ET.ParseError, ValueError, LookupError):
        return
    for device in root.iter("device"):
        yield device.get("label", "")


def _ours(places: Places) -> Iterator[Registered]:
    if places.lists.is_dir():
        for path in sorted(places.lists.glob("indi[_-]*.xml")):
            if _is_ours(path):
                for label in _labels(path):
                    yield Registered(label, path, places.programs / path.stem)


def _check_free(one: Registered, places: Places) -> None:
    for path in (one.program, one.list):
        if os.path.lexists(path) and not _is_ours(path):
            raise ValueError(f"{path} exists already, and was not made by this program")
    if other := next((label for label in _labels(one.list) if label != one.label), ""):
        raise ValueError(f"{one.label!r} and {other!r} would have the same program: choose another name with --label")
    for folder in {places.lists, places.system or places.lists}:
        for path in sorted(folder.glob("*.xml")) if folder.is_dir() else ():
            if one.label in _labels(path) and not (path == one.list and _is_ours(path)):
                raise ValueError(f"{one.label!r} is already in {path}: choose another name with --label")


def _copy_lists(lists: Path, system: Path) -> None:
    """Copy the lists of the system: KStars and INDI Web Manager look in only one folder.

    The user's own files stay: only copies that were made here are updated.
    """
    earlier = _copies(lists)
    copied = []
    for path in sorted(system.glob("*.xml")) if system.is_dir() else ():
        target = lists / path.name
        is_copy = path.name in earlier and not target.is_symlink()
        if path.is_file() and not _is_ours(target) and (is_copy or not (target.exists() or target.is_symlink())):
            shutil.copyfile(path, target)
            copied.append(path.name)
    (lists / _COPIES).write_text("".join(f"{name}\n" for name in copied), encoding="utf-8")


def _copies(lists: Path) -> list[str]:
    """The names of the lists that are copies."""
    try:
        names = (lists / _COPIES).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [name for name in names if "/" not in name]


def _remove_copies(lists: Path) -> None:
    for name in _copies(lists):
        (lists / name).unlink(missing_ok=True)
    (lists / _COPIES).unlink(missing_ok=True)
