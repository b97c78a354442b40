"""Everything as plain dicts and lists, ready for JSON: one form for tools, web pages and the API of PyPI's package."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable
from typing import Any

from indipydriver.protocol.tags import VectorKind
from indipydriver.protocol.values import parse_timestamp

from .delta import Note
from .properties import Member, Property, number_of
from .site import Device, Site

__all__ = ["dump_device", "dump_member", "dump_property", "dump_site", "iso", "line"]


def iso(timestamp: str | None) -> str | None:
    """A received timestamp with its zone; None if there is none that can be read."""
    time = parse_timestamp(timestamp)
    return time.isoformat(sep="T") if time else None


def _float(number: float) -> float | None:
    return number if math.isfinite(number) else None  # JSON has no nan


def dump_member(prop: Property, member: Member, *, blobs: bool = False, filename: str = "") -> dict[str, Any]:
    """One member; the data of a BLOB as base64, if `blobs`."""
    found: dict[str, Any] = {"label": member.label, "value": member.value}
    if prop.kind is VectorKind.NUMBER:
        found |= {"format": member.format, "min": member.min, "max": member.max, "step": member.step}
        found |= {"floatvalue": _float(member.number), "formattedvalue": member.shown}
    elif prop.kind is VectorKind.BLOB:
        data = member.data if blobs else None
        found["value"] = base64.b64encode(data).decode() if data is not None else None
        size = member.size if member.size is not None else len(member.data or b"")
        found |= {"filename": filename, "blobsize": size, "blobformat": member.format}
    return found


def dump_property(
    prop: Property, *, blobs: bool = False, enable: bool = True, filename: Callable[[str], str] = lambda member: ""
) -> dict[str, Any]:
    """One property with its members."""
    found: dict[str, Any] = {
        "vectortype": f"{prop.kind}Vector",
        "name": prop.name,
        "devicename": prop.device,
        "label": prop.label,
        "enable": enable,
        "message": prop.message,
        "message_timestamp": iso(prop.message_timestamp),
        "group": prop.group,
        "state": prop.state.value,
        "timeout": None if prop.kind is VectorKind.LIGHT else _float(number_of(prop.timeout or "0")),
        "timestamp": iso(prop.timestamp),
    }
    if prop.rule is not None:
        found["rule"] = prop.rule.value
    found["perm"] = prop.perm.value
    found["members"] = {
        name: dump_member(prop, member, blobs=blobs, filename=filename(name)) for name, member in prop.members.items()
    }
    return found


def _dump_notes(notes: Iterable[Note]) -> list[list[str | None]]:
    """Newest first."""
    return [[iso(note.timestamp), note.text] for note in reversed(list(notes))]


def dump_device(device: Device, *, blobs: bool = False) -> dict[str, Any]:
    """One device with its properties."""
    return {
        "devicename": device.name,
        "enable": True,
        "messages": _dump_notes(note for note in device.notes if note.name is None),
        "vectors": {name: dump_property(prop, blobs=blobs) for name, prop in device.properties.items()},
    }


def dump_site(site: Site, *, blobs: bool = False) -> dict[str, Any]:
    """The server with its devices."""
    return {
        "connected": site.connected,
        "messages": _dump_notes(site.notes),
        "devices": {name: dump_device(device, blobs=blobs) for name, device in site.devices.items()},
    }


def line(prop: Property, member: Member, time: str) -> dict[str, Any]:
    """One value for a log: an object on a line."""
    found: dict[str, Any] = {"t": time, "device": prop.device, "property": prop.name, "member": member.name}
    if prop.kind is VectorKind.BLOB:
        found |= {"value": None, "size": len(member.data or b""), "format": member.format}
    else:
        found["value"] = member.value
        if prop.kind is VectorKind.NUMBER:
            found["float"] = _float(member.number)
    found["state"] = prop.state.value
    return found
